/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bitmap by itself: which bits, and how far. What is marked when is in tests/proto/test_kept.c.
 */
#include "transport/dirty_log.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define FILE_SIZE 8192u

static int make_file(uint8_t **ret_bytes)
{
    int fd = memfd_create("log", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, FILE_SIZE), ==, 0);
    *ret_bytes = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(*ret_bytes != MAP_FAILED);
    return fd;
}

static void pages_are_bits(void)
{
    uint8_t *bytes = NULL;
    auto_fd fd = make_file(&bytes);
    struct dirty_log *log = NULL;

    /* an offset that is no page boundary, and a neighbour that must stay clean */
    g_assert_cmpint(dirty_log_new(fd, 16, 4100, &log), ==, 0);
    dirty_log_mark(log, 0, 1);
    g_assert_cmphex(bytes[4100], ==, 0x01);
    dirty_log_mark(log, 4095, 2);
    g_assert_cmphex(bytes[4100], ==, 0x03);
    dirty_log_mark(log, 8 * 4096, 8 * 4096);
    g_assert_cmphex(bytes[4101], ==, 0xff);
    g_assert_cmphex(bytes[4102], ==, 0x00);
    dirty_log_mark(log, 127 * 4096, 4096 * 100); /* runs over the end */
    g_assert_cmphex(bytes[4115], ==, 0x80);
    g_assert_cmphex(bytes[4116], ==, 0x00);
    dirty_log_mark(log, 128 * 4096, 1);
    dirty_log_mark(log, UINT64_MAX, 4096);
    dirty_log_mark(log, 5 * 4096, 0);
    g_assert_cmphex(bytes[4116], ==, 0x00);
    g_assert_cmphex(bytes[4099], ==, 0x00);
    g_assert_cmphex(bytes[4100], ==, 0x03);
    dirty_log_free(log);
    munmap(bytes, FILE_SIZE);
}

static void what_is_no_log_is_refused(void)
{
    uint8_t *bytes = NULL;
    struct dirty_log *log = NULL;
    auto_fd fd = make_file(&bytes);
    auto_fd event = eventfd(0, EFD_CLOEXEC);

    g_assert_cmpint(dirty_log_new(fd, 0, 0, &log), ==, -EINVAL);
    g_assert_cmpint(dirty_log_new(fd, FILE_SIZE + 1, 0, &log), ==, -EINVAL);
    g_assert_cmpint(dirty_log_new(fd, FILE_SIZE, 1, &log), ==, -EINVAL);
    g_assert_cmpint(dirty_log_new(fd, UINT64_MAX, 1, &log), ==, -EINVAL);
    g_assert_cmpint(dirty_log_new(fd, 1, UINT64_MAX, &log), ==, -EINVAL);
    g_assert_cmpint(dirty_log_new(event, 8, 0, &log), ==, -EINVAL);
    g_assert_null(log);
    munmap(bytes, FILE_SIZE);
}

struct marker {
    struct dirty_log *log;
    unsigned bit;
};

static void *mark_often(void *opaque)
{
    struct marker *marker = opaque;

    for (unsigned i = 0; i < 20000; i++) {
        dirty_log_mark(marker->log, (marker->bit + 8 * (i % 64)) * 4096ull, 1);
    }
    return NULL;
}

/* Four threads of ours mark bits of the same bytes while a front end takes them. */
static void marks_are_not_lost_between_threads(void)
{
    uint8_t *bytes = NULL;
    auto_fd fd = make_file(&bytes);
    struct dirty_log *log = NULL;
    struct marker markers[4];
    pthread_t threads[4];
    uint8_t seen[64] = {0};

    g_assert_cmpint(dirty_log_new(fd, 64, 0, &log), ==, 0);
    for (unsigned i = 0; i < 4; i++) {
        markers[i] = (struct marker){log, i * 2};
        pthread_create(&threads[i], NULL, mark_often, &markers[i]);
    }
    for (unsigned i = 0; i < 2000; i++) {
        seen[i % 64] |= __atomic_exchange_n(&bytes[i % 64], 0, __ATOMIC_SEQ_CST);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < 64; i++) {
        g_assert_cmphex(seen[i] | bytes[i], ==, 0x55);
    }
    dirty_log_free(log);
    munmap(bytes, FILE_SIZE);
}

#define ADD(f) g_test_add_func("/dirty_log/" #f, f)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(pages_are_bits);
    ADD(what_is_no_log_is_refused);
    ADD(marks_are_not_lost_between_threads);
    return g_test_run();
}
