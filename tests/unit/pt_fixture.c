/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mounts live in a mount namespace of the program's own and end with it.
 */
#include "pt_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static const char *const place_names[] = {"tmpdir", "tmpfs", "overlay"};

struct pt_test {
    void (*func)(struct pt_fixture *f);
    enum pt_place place;
};

static char *own_cwd;

static bool run(const char *command)
{
    int status = 0;

    return g_spawn_command_line_sync(command, NULL, NULL, &status, NULL) && status == 0;
}

static bool may_mount(void)
{
    static int may = -1;

    if (may < 0) {
        may = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
              mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    }
    return may;
}

/* Fills f->dir; false where it cannot be. */
static bool make_place(struct pt_fixture *f, enum pt_place place)
{
    g_autofree char *layers = NULL;
    g_autofree char *dirs = NULL;

    f->base = g_dir_make_tmp("virtiofsd-pt-XXXXXX", NULL);
    f->dir = g_build_filename(f->base, "share", NULL);
    dirs = g_strdup_printf("mkdir %s %s/layers", f->dir, f->base);
    g_assert_true(run(dirs));
    if (place == PT_TMPDIR) {
        return true;
    }
    if (!may_mount()) {
        return false;
    }
    if (place == PT_TMPFS) {
        return mount("tmpfs", f->dir, "tmpfs", 0, "size=16m") == 0;
    }
    layers = g_strdup_printf("sh -c 'mount -t tmpfs tmpfs %s/layers && cd %s/layers && "
                             "mkdir l u w && mount -t overlay overlay -o "
                             "lowerdir=%s/layers/l,upperdir=%s/layers/u,workdir=%s/layers/w %s'",
                             f->base, f->base, f->base, f->base, f->base, f->dir);
    return run(layers);
}

static void start(struct pt_fixture *f, bool overlay)
{
    struct pt_config config = {
        .root_fd = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .xattr = true,
        .overlay = {.on = overlay},
        .append_by_flag = f->append_by_flag,
        .file_handles = true,
        .handle_key = {.k0 = 1, .k1 = 2},
    };

    g_assert_cmpint(config.root_fd, >=, 0);
    g_assert_cmpint(pt_fs_new(&config, &f->fs), ==, 0);
    g_assert_cmpint(pt_thread_init(f->fs), ==, 0);
}

void pt_fixture_restart(struct pt_fixture *f, bool overlay)
{
    g_assert_cmpint(chdir(own_cwd), ==, 0);
    pt_fs_free(f->fs);
    start(f, overlay);
}

static void end(struct pt_fixture *f)
{
    g_autofree char *command = g_strdup_printf("rm -r %s", f->base);
    g_autofree char *layers = g_build_filename(f->base, "layers", NULL);

    g_assert_cmpint(chdir(own_cwd), ==, 0);
    pt_fs_free(f->fs);
    (void)umount2(f->dir, MNT_DETACH);
    (void)umount2(layers, MNT_DETACH);
    g_assert_true(run(command));
    g_free(f->base);
    g_free(f->dir);
}

static void run_test(gconstpointer data)
{
    const struct pt_test *test = data;
    struct pt_fixture f = {0};

    if (make_place(&f, test->place)) {
        start(&f, false);
        test->func(&f);
    } else {
        g_test_skip("needs root and this file system");
    }
    end(&f);
}

void pt_add_test(const char *title, const char *name, void (*func)(struct pt_fixture *f))
{
    for (enum pt_place place = PT_TMPDIR; place < PT_PLACES; place++) {
        struct pt_test *test = g_new0(struct pt_test, 1);
        g_autofree char *path = g_strdup_printf("/%s/%s/%s", title, place_names[place], name);

        *test = (struct pt_test){.func = func, .place = place};
        g_test_add_data_func_full(path, test, run_test, g_free);
    }
}

int pt_main(int argc, char **argv, void (*add_tests)(void))
{
    int status = 0;

    own_cwd = g_get_current_dir();
    g_test_init(&argc, &argv, NULL);
    add_tests();
    status = g_test_run();
    g_free(own_cwd);
    return status;
}

char *pt_host_path(struct pt_fixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

void pt_host_write(struct pt_fixture *f, const char *name, const char *text)
{
    g_autofree char *path = pt_host_path(f, name);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

uint64_t pt_look(struct pt_fixture *f, uint64_t dir, const char *name)
{
    struct pt_entry entry;

    g_assert_cmpint(pt_lookup(f->fs, dir, name, &entry), ==, 0);
    return entry.nodeid;
}

static struct pt_new as_myself(mode_t mode)
{
    return (struct pt_new){.caller = {.uid = geteuid(), .gid = getegid()}, .mode = mode};
}

struct pt_entry pt_make_file(struct pt_fixture *f, uint64_t dir, const char *name)
{
    struct pt_new how = as_myself(S_IFREG | 0644);
    struct pt_entry entry;

    g_assert_cmpint(pt_mknod(f->fs, &how, dir, name, 0, &entry), ==, 0);
    return entry;
}

struct pt_entry pt_make_dir(struct pt_fixture *f, uint64_t dir, const char *name)
{
    struct pt_new how = as_myself(0755);
    struct pt_entry entry;

    g_assert_cmpint(pt_mkdir(f->fs, &how, dir, name, &entry), ==, 0);
    return entry;
}
