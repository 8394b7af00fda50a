/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loop images are sparse, small and freed with their mount, so that nothing stays when a run is
 * killed.
 */
#include "shares.h"

#include <errno.h>
#include <ftw.h>
#include <glib.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char *base;

static struct ov_share shares[] = {
    {.name = "ext4", .native = true, .has_handles = true},
    {.name = "xfs", .native = true, .has_handles = true},
    {.name = "btrfs", .native = true, .has_handles = true},
    {.name = "tmpfs", .native = true, .has_handles = true},
    {.name = "ext4-emulate", .option = "--whiteout=emulate", .has_handles = true},
    {.name = "overlay",
     .is_overlay = true,
     .lower_on = "ext4",
     .upper_on = "ext4",
     .overlay_options = "redirect_dir=off"},
    {.name = "overlay-two-fs",
     .is_overlay = true,
     .lower_on = "xfs",
     .upper_on = "ext4",
     .overlay_options = "redirect_dir=off,xino=off"},
    {.name = "overlay-redirect",
     .is_overlay = true,
     .lower_on = "ext4",
     .upper_on = "ext4",
     .moves_lower = true,
     .overlay_options = "redirect_dir=on"},
    {.name = "overlay-userxattr",
     .is_overlay = true,
     .lower_on = "ext4",
     .upper_on = "ext4",
     .overlay_options = "userxattr"},
    {.name = "fuse"},
    {.name = NULL},
};

bool ov_run(const char *format, ...)
{
    g_autofree char *command = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;
    va_list ap;

    va_start(ap, format);
    command = g_strdup_vprintf(format, ap);
    va_end(ap);
    if (!g_spawn_command_line_sync(command, NULL, &errors, &status, &error) || status != 0) {
        fprintf(stderr, "# %s: %s\n", command, error ? error->message : errors);
        return false;
    }
    return true;
}

static char *make_dir(const char *parent, const char *name)
{
    char *path = g_build_filename(parent, name, NULL);

    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        g_error("%s: %s", path, g_strerror(errno));
    }
    return path;
}

static bool mount_loop(const struct ov_share *share, const char *point)
{
    g_autofree char *image = g_strconcat(base, "/", share->name, ".image", NULL);

    return ov_run("truncate -s 400M %s", image) &&
           ov_run("mkfs.%s %s %s", share->name, strcmp(share->name, "ext4") == 0 ? "-q -F" : "-q",
                  image) &&
           ov_run("mount -o loop %s %s", image, point);
}

static bool mount_overlay(struct ov_share *share, const char *point)
{
    const struct ov_share *lower_on = ov_share_by_name(share->lower_on);
    const struct ov_share *upper_on = ov_share_by_name(share->upper_on);
    g_autofree char *upper = NULL;
    g_autofree char *layers = NULL;
    g_autofree char *below = NULL;
    g_autofree char *work = NULL;

    if (!lower_on->dir || !upper_on->dir) {
        return false;
    }
    layers = make_dir(upper_on->dir, share->name);
    upper = make_dir(layers, "upper");
    work = make_dir(layers, "work");
    below = make_dir(lower_on->dir, share->name);
    share->lower = make_dir(below, "lower");
    return ov_run("mount -t overlay overlay -o lowerdir=%s,upperdir=%s,workdir=%s,%s %s",
                  share->lower, upper, work, share->overlay_options, point);
}

/* It says "ready" when it is mounted, and dies with this process. */
int ov_mount_passthrough(const char *source, const char *point, bool no_exchange)
{
    const char *argv[5] = {PASSTHROUGHFS};
    unsigned n = 1;
    char word[8] = "";
    int out = -1;

    if (no_exchange) {
        argv[n++] = "--no-exchange";
    }
    argv[n++] = source;
    argv[n++] = point;
    if (access("/dev/fuse", R_OK | W_OK) < 0 ||
        !g_spawn_async_with_pipes(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                  NULL, NULL, NULL, NULL, &out, NULL, NULL)) {
        return -1;
    }
    if (read(out, word, sizeof(word) - 1) != 6) {
        close(out);
        return -1;
    }
    return out;
}

static bool mount_fuse(const char *point)
{
    const struct ov_share *ext4 = ov_share_by_name("ext4");
    g_autofree char *source = ext4->dir ? make_dir(ext4->dir, "fuse-source") : NULL;

    return source && ov_mount_passthrough(source, point, false) >= 0;
}

static bool mount_one(struct ov_share *share, const char *point)
{
    if (share->is_overlay) {
        return mount_overlay(share, point);
    }
    if (strcmp(share->name, "tmpfs") == 0) {
        return ov_run("mount -t tmpfs -o size=64m tmpfs %s", point);
    }
    if (strcmp(share->name, "fuse") == 0) {
        return mount_fuse(point);
    }
    if (strcmp(share->name, "ext4-emulate") == 0) {
        const struct ov_share *ext4 = ov_share_by_name("ext4");

        return ext4->dir && mount(ext4->dir, point, NULL, MS_BIND, NULL) == 0;
    }
    return mount_loop(share, point);
}

struct ov_share *ov_shares(void)
{
    if (base) {
        return shares;
    }
    base = g_dir_make_tmp("virtiofsd-overlay-XXXXXX", NULL);
    if (!base || chmod(base, 0755) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        g_error("no place for mounts: %s", g_strerror(errno));
    }
    for (struct ov_share *share = shares; share->name; share++) {
        g_autofree char *point = make_dir(base, share->name);

        if (mount_one(share, point)) {
            share->dir = g_steal_pointer(&point);
            g_assert_cmpint(chmod(share->dir, 0755), ==, 0);
        }
    }
    return shares;
}

struct ov_share *ov_share_by_name(const char *name)
{
    struct ov_share *share = shares;

    while (share->name && strcmp(share->name, name) != 0) {
        share++;
    }
    return share;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void ov_shares_done(void)
{
    size_t n = G_N_ELEMENTS(shares) - 1;

    while (base && n-- > 0) {
        if (shares[n].dir) {
            (void)umount2(shares[n].dir, MNT_DETACH);
        }
    }
    if (base) {
        (void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
}
