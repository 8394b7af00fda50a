/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding files again by number and token, on the file system of the temporary directory: skipped
 * where that has no handles, or without the right to open them.
 */
#include "fs/host_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct siphash_key key = {.k0 = 1, .k1 = 2};

struct fixture {
    char *dir;
    int dirfd;
    uint64_t dev;
    struct host_handles handles;
};

static bool fixture_start(struct fixture *f)
{
    struct stat st;

    f->dir = g_dir_make_tmp("virtiofsd-handle-XXXXXX", NULL);
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(fstat(f->dirfd, &st), ==, 0);
    f->dev = st.st_dev;
    f->handles = (struct host_handles){0};
    host_handles_init(&f->handles, fcntl(f->dirfd, F_DUPFD_CLOEXEC, 0), f->dev, &key);
    if (!f->handles.layout) {
        g_test_skip("no file handles here");
    }
    return f->handles.layout != NULL;
}

static void fixture_stop(struct fixture *f)
{
    host_handles_done(&f->handles);
    close(f->dirfd);
    rmdir(f->dir);
    g_free(f->dir);
}

/* Makes a file; its inode number and token. */
static uint32_t make(struct fixture *f, const char *name, uint64_t *ret_ino)
{
    int fd = openat(f->dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    uint32_t token = 0;
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    token = host_handle_token(&f->handles, fd, f->dev, st.st_ino);
    close(fd);
    *ret_ino = st.st_ino;
    return token;
}

static void a_file_is_found_again(void)
{
    struct fixture f;
    uint64_t ino = 0;
    uint32_t token = 0;
    struct stat st;
    int fd = -1;

    if (fixture_start(&f)) {
        token = make(&f, "file", &ino);
        g_assert_cmpuint(token, !=, 0);
        g_assert_cmpint(host_handle_open(&f.handles, (uint32_t)ino, token, &fd), ==, 0);
        g_assert_cmpint(fstat(fd, &st), ==, 0);
        g_assert_cmpuint(st.st_ino, ==, ino);
        close(fd);
        unlinkat(f.dirfd, "file", 0);
        g_assert_cmpuint(atomic_load(&f.handles.misses), ==, 0);
    }
    fixture_stop(&f);
}

static void a_wrong_token_is_estale(void)
{
    struct fixture f;
    uint64_t ino = 0;
    uint32_t token = 0;
    int fd = -1;

    if (fixture_start(&f)) {
        token = make(&f, "file", &ino);
        for (int bit = 0; bit < 32; bit++) {
            g_assert_cmpint(host_handle_open(&f.handles, (uint32_t)ino, token ^ (1u << bit), &fd),
                            ==, -ESTALE);
        }
        unlinkat(f.dirfd, "file", 0);
        g_assert_cmpint(host_handle_open(&f.handles, (uint32_t)ino, token, &fd), ==, -ESTALE);
        g_assert_cmpuint(atomic_load(&f.handles.misses), ==, 33);
    }
    fixture_stop(&f);
}

static void another_key_gives_another_token(void)
{
    struct fixture f;
    struct siphash_key other = {.k0 = 1, .k1 = 3};
    struct host_handles handles = {0};
    uint64_t ino = 0;
    uint32_t token = 0;
    int fd = -1;

    if (fixture_start(&f)) {
        token = make(&f, "file", &ino);
        host_handles_init(&handles, fcntl(f.dirfd, F_DUPFD_CLOEXEC, 0), f.dev, &other);
        g_assert_cmpint(host_handle_open(&handles, (uint32_t)ino, token, &fd), ==, -ESTALE);
        host_handles_done(&handles);
        unlinkat(f.dirfd, "file", 0);
    }
    fixture_stop(&f);
}

static void who_guesses_too_often_is_not_answered(void)
{
    struct fixture f;
    uint64_t ino = 0;
    uint32_t token = 0;
    int fd = -1;

    if (fixture_start(&f)) {
        token = make(&f, "file", &ino);
        atomic_store(&f.handles.misses, HANDLE_MAX_MISSES);
        g_assert_cmpint(host_handle_open(&f.handles, (uint32_t)ino, token, &fd), ==, -ESTALE);
        /* what the table knows is found all the same */
        g_assert_cmpint(host_handle_reopen(&f.handles, (uint32_t)ino, token, &fd), ==, 0);
        close(fd);
        unlinkat(f.dirfd, "file", 0);
    }
    fixture_stop(&f);
}

static void other_devices_and_wide_numbers_have_no_token(void)
{
    struct fixture f;
    uint64_t ino = 0;

    if (fixture_start(&f)) {
        (void)make(&f, "file", &ino);
        g_assert_cmpuint(host_handle_token(&f.handles, f.dirfd, f.dev + 1, ino), ==, 0);
        g_assert_cmpuint(host_handle_token(&f.handles, f.dirfd, f.dev, ino + (1ull << 32)), ==, 0);
        unlinkat(f.dirfd, "file", 0);
    }
    fixture_stop(&f);
}

static void where_there_are_none_nothing_is_found(void)
{
    struct host_handles handles = {0};
    int fd = -1;

    host_handles_init(&handles, open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 1, &key);
    g_assert_null(handles.layout);
    g_assert_cmpuint(host_handle_token(&handles, AT_FDCWD, 1, 1), ==, 0);
    g_assert_cmpint(host_handle_open(&handles, 1, 1, &fd), ==, -ESTALE);
    host_handles_done(&handles);
    handles = (struct host_handles){0};
    host_handles_init(&handles, -1, 1, &key);
    g_assert_null(handles.layout);
    host_handles_done(&handles);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/host_handle/" #name, name)
    ADD(a_file_is_found_again);
    ADD(a_wrong_token_is_estale);
    ADD(another_key_gives_another_token);
    ADD(who_guesses_too_often_is_not_answered);
    ADD(other_devices_and_wide_numbers_have_no_token);
    ADD(where_there_are_none_nothing_is_found);
    return g_test_run();
}
