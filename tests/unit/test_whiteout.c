/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stored form of a whiteout, made and recognised in a temporary directory.
 */
#include "fs/whiteout.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char *dir;
    int fd;
};

static struct fixture fixture_new(void)
{
    struct fixture f = {.dir = g_dir_make_tmp("virtiofsd-whiteout-XXXXXX", NULL)};

    f.fd = open(f.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(f.fd, >=, 0);
    return f;
}

static void fixture_free(struct fixture *f)
{
    g_assert_cmpint(rmdir(f->dir), ==, 0);
    close(f->fd);
    g_free(f->dir);
}

static struct statx look(int dirfd, const char *name)
{
    struct statx st;

    g_assert_cmpint(statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st), ==, 0);
    return st;
}

static void the_emulated_form_is_recognised(void)
{
    struct fixture f = fixture_new();
    struct statx st;
    int fd = -1;

    g_assert_cmpint(whiteout_make(f.fd, "w", false, 0), ==, 0);
    g_assert_cmpint(whiteout_make(f.fd, "w", false, 0), ==, -EEXIST);
    st = look(f.fd, "w");
    g_assert_true(S_ISLNK(st.stx_mode) && whiteout_may_be(&st));
    g_assert_true(whiteout_is_link(f.fd, "w"));
    fd = openat(f.fd, "w", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    g_assert_true(whiteout_is_link(fd, ""));
    close(fd);
    unlinkat(f.fd, "w", 0);
    g_assert_false(whiteout_is_link(f.fd, "w"));
    fixture_free(&f);
}

static void other_links_are_not(void)
{
    static const char *const targets[] = {
        "x",
        WHITEOUT_TARGET "x",
        "/.virtiofsd-overlay-whiteout/char-0:1",
        "/etc/passwd",
    };
    struct fixture f = fixture_new();

    for (size_t i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_assert_cmpint(symlinkat(targets[i], f.fd, "l"), ==, 0);
        g_assert_false(whiteout_is_link(f.fd, "l"));
        unlinkat(f.fd, "l", 0);
    }
    close(openat(f.fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    g_assert_false(whiteout_is_link(f.fd, "file"));
    g_assert_false(whiteout_is_link(f.fd, "."));
    unlinkat(f.fd, "file", 0);
    fixture_free(&f);
}

static void what_the_guest_sees_of_one(void)
{
    struct statx st = {
        .stx_mode = S_IFLNK | 0777,
        .stx_size = 36,
        .stx_blocks = 8,
        .stx_rdev_minor = 3,
        .stx_uid = 7,
        .stx_nlink = 2,
        .stx_ino = 42,
    };

    whiteout_present(&st);
    g_assert_cmphex(st.stx_mode, ==, S_IFCHR);
    g_assert_true(st.stx_size == 0 && st.stx_blocks == 0 && st.stx_rdev_major == 0 &&
                  st.stx_rdev_minor == 0);
    g_assert_true(st.stx_uid == 7 && st.stx_nlink == 2 && st.stx_ino == 42);
}

static void only_a_prefix_is_reserved(void)
{
    g_assert_true(whiteout_is_reserved_name(".virtiofsd-overlay.journal"));
    g_assert_true(whiteout_is_reserved_name(".virtiofsd-overlay."));
    g_assert_false(whiteout_is_reserved_name(".virtiofsd-overlay"));
    g_assert_false(whiteout_is_reserved_name("virtiofsd-overlay.x"));
    g_assert_false(whiteout_is_reserved_name("x.virtiofsd-overlay.x"));
    g_assert_false(whiteout_is_reserved_name(""));
}

static void an_error_that_is_no_refusal_stays(void)
{
    struct fixture f = fixture_new();

    g_assert_cmpint(whiteout_make(-1, "w", true, 0), ==, -EBADF);
    g_assert_cmpint(whiteout_make(f.fd, "no/where", true, 0), ==, -ENOENT);
    /* native or not: one of them always works */
    g_assert_cmpint(whiteout_make(f.fd, "w", true, 0), ==, 0);
    g_assert_cmpint(whiteout_make(f.fd, "w", true, 0), ==, -EEXIST);
    unlinkat(f.fd, "w", 0);
    fixture_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/whiteout/" #name, name)
    ADD(the_emulated_form_is_recognised);
    ADD(other_links_are_not);
    ADD(what_the_guest_sees_of_one);
    ADD(only_a_prefix_is_reserved);
    ADD(an_error_that_is_no_refusal_stays);
    return g_test_run();
}
