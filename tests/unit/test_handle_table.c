/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handle table on its own: numbers that are released stay invalid, files stay open while
 * somebody uses them.
 */
#include "fs/handle_table.h"

#include <fcntl.h>
#include <glib.h>
#include <unistd.h>

struct fixture {
    struct inode_table *inodes;
    struct inode *inode;
    struct handle_table *table;
};

static struct fixture fixture_new(void)
{
    struct fixture f = {.inodes = inode_table_new(1), .table = handle_table_new()};
    struct statx st = {.stx_mode = S_IFREG, .stx_ino = 42};

    f.inode = inode_table_add(f.inodes, open("/", O_PATH | O_CLOEXEC), &st, 0, false);
    return f;
}

static void fixture_free(struct fixture *f)
{
    handle_table_free(f->table);
    inode_unref(f->inode);
    inode_table_free(f->inodes);
}

static uint64_t add(struct fixture *f, int *ret_fd)
{
    uint64_t fh = 0;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(handle_table_add(f->table, fd, inode_ref(f->inode), O_RDONLY, NULL, &fh), ==,
                    0);
    if (ret_fd) {
        *ret_fd = fd;
    }
    return fh;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void a_number_means_one_open_file(void)
{
    struct fixture f = fixture_new();
    int fd = -1;
    uint64_t fh = add(&f, &fd);
    struct handle *handle = handle_table_get(f.table, fh);

    g_assert_cmpuint(fh, !=, 0);
    g_assert_true(handle && handle->fd == fd && handle->inode == f.inode);
    handle_unref(handle);
    g_assert_cmpuint(handle_table_count(f.table), ==, 1);
    g_assert_true(handle_table_remove(f.table, fh));
    g_assert_false(is_open(fd));
    g_assert_cmpuint(handle_table_count(f.table), ==, 0);
    fixture_free(&f);
}

static void unknown_numbers_are_harmless(void)
{
    struct fixture f = fixture_new();
    uint64_t fh = add(&f, NULL);
    uint64_t wrong[] = {0, fh + 1, fh + (1ull << 32), (uint32_t)fh, UINT64_MAX, 1ull << 63};

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_null(handle_table_get(f.table, wrong[i]));
        g_assert_false(handle_table_remove(f.table, wrong[i]));
    }
    g_assert_cmpuint(handle_table_count(f.table), ==, 1);
    fixture_free(&f);
}

static void released_numbers_stay_invalid(void)
{
    struct fixture f = fixture_new();
    uint64_t old = add(&f, NULL);

    handle_table_remove(f.table, old);
    for (int i = 0; i < 100; i++) {
        uint64_t fh = add(&f, NULL);

        g_assert_cmpuint(fh, !=, old);
        g_assert_null(handle_table_get(f.table, old));
        g_assert_false(handle_table_remove(f.table, old));
        g_assert_true(handle_table_remove(f.table, fh));
    }
    fixture_free(&f);
}

static void a_file_in_use_stays_open(void)
{
    struct fixture f = fixture_new();
    int fd = -1;
    uint64_t fh = add(&f, &fd);
    struct handle *handle = handle_table_get(f.table, fh);

    g_assert_true(handle_table_remove(f.table, fh));
    g_assert_null(handle_table_get(f.table, fh));
    g_assert_true(is_open(fd));
    handle_unref(handle);
    g_assert_false(is_open(fd));
    handle_unref(NULL);
    fixture_free(&f);
}

static void clearing_releases_all(void)
{
    struct fixture f = fixture_new();
    uint64_t fh[50];
    int fd[50];

    for (int i = 0; i < 50; i++) {
        fh[i] = add(&f, &fd[i]);
    }
    handle_table_clear(f.table);
    for (int i = 0; i < 50; i++) {
        g_assert_null(handle_table_get(f.table, fh[i]));
        g_assert_false(is_open(fd[i]));
    }
    g_assert_cmpuint(handle_table_count(f.table), ==, 0);
    (void)add(&f, NULL); /* usable as before */
    fixture_free(&f);
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *churn(void *opaque)
{
    struct fixture *f = opaque;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t fh = add(f, NULL);
        struct handle *handle = handle_table_get(f->table, fh);

        g_assert_nonnull(handle);
        g_assert_true(handle_table_remove(f->table, fh));
        handle_unref(handle);
    }
    return NULL;
}

static void threads_open_and_release(void)
{
    struct fixture f = fixture_new();
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++) {
        g_assert_cmpint(pthread_create(&thread[i], NULL, churn, &f), ==, 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    g_assert_cmpuint(handle_table_count(f.table), ==, 0);
    fixture_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/handle_table/" #name, name)
    ADD(a_number_means_one_open_file);
    ADD(unknown_numbers_are_harmless);
    ADD(released_numbers_stay_invalid);
    ADD(a_file_in_use_stays_open);
    ADD(clearing_releases_all);
    ADD(threads_open_and_release);
    return g_test_run();
}
