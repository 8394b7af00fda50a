/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host runs out of something in the middle of a rename: it is refused as a whole, with the
 * errno of what is missing, and works once there is room again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay.h"

static const struct ov_cell emulating = {
    .share = &(const struct ov_share){.name = "own", .option = "--whiteout=emulate"},
};

/* A small file system of the test's own, gone with it. Skips the test where it cannot be. */
struct small {
    char *base, *dir;
};

static void need(bool ok)
{
    if (!ok) {
        fprintf(stderr, "this machine cannot mount what the test needs\n");
        _exit(77);
    }
}

static struct small small_new(void)
{
    struct small s = {.base = g_dir_make_tmp("virtiofsd-full-XXXXXX", NULL)};

    s.dir = g_build_filename(s.base, "mnt", NULL);
    need(mkdir(s.dir, 0755) == 0 && unshare(CLONE_NEWNS) == 0 &&
         mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    return s;
}

static void small_free(struct small *s)
{
    (void)umount2(s->dir, MNT_DETACH);
    g_assert_true(ov_run("rm -r --one-file-system %s", s->base));
    g_free(s->base);
    g_free(s->dir);
}

static void mount_tmpfs(const struct small *s, const char *options)
{
    need(mount("tmpfs", s->dir, "tmpfs", 0, options) == 0);
}

/* With few inodes, in which alone the number of names is limited. */
static void mount_ext4(const struct small *s, const char *options)
{
    need(ov_run("truncate -s 8M %s/image", s->base) &&
         ov_run("mkfs.ext4 -q -F %s %s/image", options, s->base) &&
         ov_run("mount -o loop %s/image %s", s->base, s->dir));
}

/* A host overlayfs whose upper is the small file system; replaces s->dir by it. */
static void stack_overlay(struct small *s)
{
    g_autofree char *merged = g_build_filename(s->base, "merged", NULL);

    need(
        ov_run("mkdir %s/lower %s/upper %s/work %s", s->dir, s->dir, s->dir, merged) &&
        ov_run("mount -t overlay overlay -o lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work %s",
               s->dir, s->dir, s->dir, merged));
}

/* Makes empty files until there is no room, and returns how many. */
static int fill(struct proto *p, uint64_t dir)
{
    int n = 0;

    for (;; n++) {
        g_autofree char *name = g_strdup_printf("fill%d", n);
        struct fuse_entry_out e;
        int rc = fc_mknod(p->q, dir, name, S_IFREG | 0600, 0, &e);

        if (rc < 0) {
            EXPECT_ANY(p, rc, -ENOSPC, -EDQUOT);
            return n;
        }
        /* whoever knows an inode keeps it, also when its name is gone */
        OK(p, fc_forget(fc_hiprio(&p->fc), e.nodeid, 1));
        g_assert_cmpint(n, <, 100000);
    }
}

static void make_room(struct proto *p, uint64_t dir, int *n)
{
    g_autofree char *name = g_strdup_printf("fill%d", --*n);

    g_assert_cmpint(*n, >=, 0);
    OK(p, fc_unlink(p->q, dir, name));
}

static void check_untouched(struct proto *p, uint64_t dir, const char *dest)
{
    ov_check_text(p, dir, "source", "");
    if (dest) {
        struct fuse_entry_out e;

        OK(p, fc_lookup(p->q, dir, "dest", &e));
        g_assert_true(S_ISFIFO(e.attr.mode));
    } else {
        ov_check_absent(p, dir, "dest");
    }
    ov_check_no_leftover(p, "dir");
}

/* Inode by inode more room, until the rename succeeds; refused cleanly each time before. */
static void rename_in_narrow_room(struct proto *p, const char *dest)
{
    uint64_t dir = ov_mkdir(p, ROOT, "dir");
    uint64_t node = ov_put(p, dir, "source", "");
    int refused = 0;
    int rc = 0;
    int n = 0;

    if (dest) {
        OK(p, fc_mknod(p->q, dir, "dest", S_IFIFO | 0600, 0, NULL));
    }
    n = fill(p, dir);
    while ((rc = fc_rename2(p->q, dir, "source", dir, "dest", RENAME_WHITEOUT)) < 0) {
        EXPECT_ANY(p, rc, -ENOSPC, -EDQUOT);
        check_untouched(p, dir, dest);
        make_room(p, dir, &n);
        g_assert_cmpint(++refused, <, 40);
    }
    g_assert_cmpint(refused, >=, 1);
    ov_check_whiteout(p, dir, "source");
    g_assert_cmpuint(proto_lookup(p, dir, "dest"), ==, node);
    ov_check_no_leftover(p, "dir");
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

static void without_inodes_on_tmpfs(const char *dest)
{
    struct small s = small_new();

    mount_tmpfs(&s, "size=4m,nr_inodes=40");
    rename_in_narrow_room(ov_start_in(&emulating, NULL, s.dir), dest);
    small_free(&s);
}

static void without_inodes_onto_nothing(void)
{
    without_inodes_on_tmpfs(NULL);
}

static void without_inodes_onto_a_node(void)
{
    without_inodes_on_tmpfs("fifo");
}

static void without_inodes_on_ext4(void)
{
    struct small s = small_new();

    mount_ext4(&s, "-N 64");
    rename_in_narrow_room(ov_start_in(&emulating, NULL, s.dir), "fifo");
    small_free(&s);
}

static void without_inodes_on_an_overlay(void)
{
    struct small s = small_new();
    g_autofree char *merged = g_build_filename(s.base, "merged", NULL);

    mount_tmpfs(&s, "size=4m,nr_inodes=60");
    stack_overlay(&s);
    rename_in_narrow_room(ov_start_in(&emulating, NULL, merged), "fifo");
    g_assert_cmpint(umount2(merged, MNT_DETACH), ==, 0);
    small_free(&s);
}

/* --- no blocks: an intent of more than 60 bytes needs one on ext4 --- */

static void without_blocks_on_ext4(void)
{
    struct small s = small_new();
    struct proto *p = NULL;
    g_autofree char *block = g_malloc0(4096);
    struct fuse_entry_out e;
    uint64_t fh = 0;
    uint64_t off = 0;
    uint64_t dir = 0;
    int rc = 0;

    mount_ext4(&s, "-O ^has_journal -m 0 -b 1024");
    p = ov_start_in(&emulating, NULL, s.dir);
    dir = ov_mkdir(p, ROOT, "dir");
    ov_put(p, dir, "source", "");
    OK(p, fc_mknod(p->q, dir, "dest", S_IFIFO | 0600, 0, NULL));
    OK(p, fc_create(p->q, ROOT, "big", O_RDWR | O_CREAT | O_EXCL, 0600, &e, &fh));
    while ((rc = fc_write(p->q, e.nodeid, fh, off, block, 4096, 0)) > 0) {
        off += (uint64_t)rc;
        g_assert_cmpuint(off, <, 16 << 20);
    }
    EXPECT(p, rc, -ENOSPC);
    OK(p, fc_fsync(p->q, e.nodeid, fh, false));
    OK(p, fc_release(p->q, e.nodeid, fh));
    EXPECT(p, fc_rename2(p->q, dir, "source", dir, "dest", RENAME_WHITEOUT), -ENOSPC);
    check_untouched(p, dir, "fifo");
    OK(p, fc_unlink(p->q, ROOT, "big"));
    OK(p, fc_forget(fc_hiprio(&p->fc), e.nodeid, 1));
    OK(p, fc_rename2(p->q, dir, "source", dir, "dest", RENAME_WHITEOUT));
    ov_check_whiteout(p, dir, "source");
    proto_stop(p);
    small_free(&s);
}

/* --- read-only all of a sudden --- */

static void a_file_system_that_turns_read_only(void)
{
    struct small s = small_new();
    struct proto *p = NULL;
    uint64_t dir = 0;

    mount_tmpfs(&s, "size=4m");
    p = ov_start_in(&emulating, NULL, s.dir);
    dir = ov_mkdir(p, ROOT, "dir");
    ov_put(p, dir, "source", "");
    OK(p, fc_mknod(p->q, dir, "dest", S_IFIFO | 0600, 0, NULL));
    need(mount(NULL, s.dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    EXPECT(p, fc_rename2(p->q, dir, "source", dir, "dest", RENAME_WHITEOUT), -EROFS);
    EXPECT(p, fc_rename2(p->q, dir, "source", dir, "new", RENAME_WHITEOUT), -EROFS);
    EXPECT(p, fc_mknod(p->q, dir, "w", S_IFCHR, 0, NULL), -EROFS);
    check_untouched(p, dir, "fifo");
    ov_check_absent(p, dir, "new");
    g_assert_cmpint(mount(NULL, s.dir, NULL, MS_REMOUNT, NULL), ==, 0);
    OK(p, fc_rename2(p->q, dir, "source", dir, "dest", RENAME_WHITEOUT));
    ov_check_whiteout(p, dir, "source");
    proto_stop(p);
    small_free(&s);
}

/* --- no descriptors --- */

static void without_descriptors(void)
{
    static const char *const args[] = {"--rlimit-nofile=128", NULL};
    struct proto_opts opts = {.args = args, .fc = {.slots = 4}};
    struct small s = small_new();
    struct proto *p = NULL;
    uint64_t fh[256];
    uint64_t dir = 0, file = 0;
    int n = 0;
    int rc = 0;

    mount_tmpfs(&s, "size=4m");
    p = ov_start_in(&emulating, &opts, s.dir);
    dir = ov_mkdir(p, ROOT, "dir");
    file = ov_put(p, dir, "source", "");
    OK(p, fc_mknod(p->q, dir, "dest", S_IFIFO | 0600, 0, NULL));
    while (n < 256 && (rc = fc_open(p->q, file, O_RDONLY, &fh[n])) == 0) {
        n++;
    }
    EXPECT_ANY(p, rc, -EMFILE, -ENFILE);
    /* one descriptor after the other is free again, until the rename has enough */
    while ((rc = fc_rename2(p->q, dir, "source", dir, "dest", RENAME_WHITEOUT)) < 0) {
        EXPECT_ANY(p, rc, -EMFILE, -ENFILE);
        OK(p, fc_release(p->q, file, fh[--n]));
        g_assert_cmpint(n, >, 0);
        g_assert_false(ov_host_is_whiteout(p, "dir/source"));
    }
    while (n > 0) {
        OK(p, fc_release(p->q, file, fh[--n]));
    }
    ov_check_whiteout(p, dir, "source");
    g_assert_cmpuint(proto_lookup(p, dir, "dest"), ==, file);
    ov_check_no_leftover(p, "dir");
    proto_stop(p);
    small_free(&s);
}

/* --- a host that cannot do it at all --- */

static void without_exchange_the_daemon_says_so_and_ends(void)
{
    static const char *const args[] = {"--overlay-upper", NULL};
    struct daemon_setup setup = {.keep_fd = -1};
    struct small s = small_new();
    struct proto *p = proto_new();
    g_autofree char *source = g_build_filename(s.dir, "source", NULL);
    int fd = -1;

    mount_tmpfs(&s, "size=4m");
    need(ov_run("mkdir %s/source", s.dir));
    g_free(p->dir);
    p->dir = g_build_filename(s.base, "merged", NULL);
    g_assert_cmpint(mkdir(p->dir, 0755), ==, 0);
    fd = ov_mount_passthrough(source, p->dir, true);
    need(fd >= 0);
    g_auto(GStrv) argv = proto_command(p, args);
    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_cmpuint(daemon_log_lines(&p->d, "RENAME_EXCHANGE"), ==, 1);
    g_assert_cmpuint(daemon_log_lines(&p->d, "or leave out --overlay-upper"), ==, 1);
    g_assert_cmpuint(daemon_log_lines(&p->d, DAEMON_READY_TEXT), ==, 0);
    g_assert_cmpint(umount2(p->dir, 0), ==, 0);
    close(fd);
    proto_stop_exit(p, 1);
    small_free(&s);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/full/" #name, name)
    ADD(without_inodes_onto_nothing);
    ADD(without_inodes_onto_a_node);
    ADD(without_inodes_on_ext4);
    ADD(without_inodes_on_an_overlay);
    ADD(without_blocks_on_ext4);
    ADD(a_file_system_that_turns_read_only);
    ADD(without_descriptors);
    ADD(without_exchange_the_daemon_says_so_and_ends);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
