/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pt_*: open files and directories, and extended attributes, without a daemon around.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pt_fixture.h"

static uint64_t open_file(struct pt_fixture *f, uint64_t node, int flags)
{
    uint64_t fh = 0;

    g_assert_cmpint(pt_open(f->fs, node, flags, false, &fh), ==, 0);
    g_assert_cmpuint(fh, !=, PT_NO_FH);
    return fh;
}

static ssize_t put(struct pt_fixture *f, uint64_t fh, const char *text, off_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};

    return pt_write(f->fs, fh, &iov, 1, offset, false);
}

static ssize_t get(struct pt_fixture *f, uint64_t fh, char *buf, size_t size, off_t offset)
{
    struct iovec iov[2] = {{buf, 1}, {buf + 1, size - 1}};

    return pt_read(f->fs, fh, iov, 2, offset, false);
}

static void what_is_written_is_read(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    uint64_t fh = open_file(f, file.nodeid, O_RDWR);
    struct statx st;
    char buf[16];

    g_assert_cmpint(put(f, fh, "hello", 0), ==, 5);
    g_assert_cmpint(put(f, fh, "J", 0), ==, 1);
    g_assert_cmpint(get(f, fh, buf, sizeof(buf), 0), ==, 5);
    g_assert_cmpint(memcmp(buf, "Jello", 5), ==, 0);
    g_assert_cmpint(get(f, fh, buf, sizeof(buf), 5), ==, 0);
    g_assert_cmpint(pt_flush(f->fs, fh), ==, 0);
    g_assert_cmpint(pt_fsync(f->fs, fh, true), ==, 0);
    g_assert_cmpint(pt_getattr(f->fs, file.nodeid, fh, &st), ==, 0);
    g_assert_cmpuint(st.stx_size, ==, 5);
    g_assert_true(pt_release(f->fs, fh));
    g_assert_cmpint(put(f, fh, "x", 0), ==, -EBADF);
    g_assert_cmpint(get(f, fh, buf, sizeof(buf), 0), ==, -EBADF);
    g_assert_false(pt_release(f->fs, fh));
}

static void reading_without_waiting_may_say_later(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    uint64_t fh = open_file(f, file.nodeid, O_RDWR);
    char buf[8];
    struct iovec iov = {buf, sizeof(buf)};
    ssize_t n = 0;

    g_assert_cmpint(put(f, fh, "abc", 0), ==, 3);
    n = pt_read(f->fs, fh, &iov, 1, 0, true);
    g_assert_true(n == 3 || n == -EAGAIN);
    pt_release(f->fs, fh);
}

static void a_handle_can_do_what_it_was_opened_for(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    uint64_t reader = open_file(f, file.nodeid, O_RDONLY);
    uint64_t writer = open_file(f, file.nodeid, O_WRONLY);
    char buf[8];

    g_assert_cmpint(put(f, reader, "x", 0), ==, -EBADF);
    g_assert_cmpint(put(f, writer, "x", 0), ==, 1);
    g_assert_cmpint(get(f, writer, buf, sizeof(buf), 0), ==, -EBADF);
    g_assert_cmpint(get(f, reader, buf, sizeof(buf), 0), ==, 1);
    pt_release(f->fs, reader);
    pt_release(f->fs, writer);
}

static void only_files_are_opened(struct pt_fixture *f)
{
    struct pt_new how = {.caller = {.uid = geteuid(), .gid = getegid()}, .mode = S_IFIFO | 0644};
    struct pt_entry fifo, dir = pt_make_dir(f, ROOT, "dir");
    uint64_t fh = 0;

    g_assert_cmpint(pt_mknod(f->fs, &how, ROOT, "fifo", 0, &fifo), ==, 0);
    g_assert_cmpint(pt_open(f->fs, fifo.nodeid, O_RDONLY, false, &fh), ==, -ENXIO);
    g_assert_cmpint(pt_open(f->fs, dir.nodeid, O_RDONLY, false, &fh), ==, -EISDIR);
    g_assert_cmpint(pt_opendir(f->fs, fifo.nodeid, &fh), ==, -ENOTDIR);
    g_assert_cmpint(pt_open(f->fs, 4711, O_RDONLY, false, &fh), ==, -EINVAL);
}

static void an_unlinked_file_is_still_cut_and_read(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    uint64_t fh = open_file(f, file.nodeid, O_RDWR);
    struct pt_setattr attr = {.valid = PT_SET_SIZE, .size = 2};
    struct statx st;
    char buf[8];

    g_assert_cmpint(put(f, fh, "abcdef", 0), ==, 6);
    g_assert_cmpint(pt_unlink(f->fs, ROOT, "file"), ==, 0);
    g_assert_cmpint(pt_setattr(f->fs, file.nodeid, fh, &attr, &st), ==, 0);
    g_assert_cmpuint(st.stx_size, ==, 2);
    g_assert_cmpint(get(f, fh, buf, sizeof(buf), 0), ==, 2);
    g_assert_cmpint(pt_setattr(f->fs, file.nodeid, fh + 1, &attr, &st), ==, -EBADF);
    pt_release(f->fs, fh);
}

static void creating_opens_and_exclusive_means_it(struct pt_fixture *f)
{
    struct pt_new how = {.caller = {.uid = geteuid(), .gid = getegid()}, .mode = 0644};
    struct pt_entry entry, again;
    uint64_t fh = 0, second = 0;

    g_assert_cmpint(pt_create(f->fs, &how, ROOT, "file", O_RDWR | O_EXCL, false, &entry, &fh), ==,
                    0);
    g_assert_cmpint(put(f, fh, "abc", 0), ==, 3);
    g_assert_cmpint(pt_create(f->fs, &how, ROOT, "file", O_RDWR | O_EXCL, false, &again, &second),
                    ==, -EEXIST);
    g_assert_cmpint(pt_create(f->fs, &how, ROOT, "file", O_RDWR | O_TRUNC, false, &again, &second),
                    ==, 0);
    g_assert_cmpuint(again.nodeid, ==, entry.nodeid);
    g_assert_cmpuint(again.st.stx_size, ==, 0);
    pt_release(f->fs, fh);
    pt_release(f->fs, second);
}

/* --- directories --- */

struct sink {
    struct pt_dir_sink head;
    unsigned room; /* entries per call */
    unsigned n;
    uint64_t next;
    bool plus;
    GHashTable *names;
    struct pt_fixture *f;
};

static bool sink_fits(struct pt_dir_sink *head, size_t name_len)
{
    const struct sink *sink = (const struct sink *)head;

    return sink->n < sink->room;
}

static void sink_put(struct pt_dir_sink *head, const struct pt_dirent *entry)
{
    struct sink *sink = (struct sink *)head;

    g_assert_cmpuint(strlen(entry->name), ==, entry->name_len);
    g_assert_cmpuint(entry->type, !=, DT_UNKNOWN);
    g_assert_true(g_hash_table_add(sink->names, g_strdup(entry->name))); /* never twice */
    if (entry->entry) {
        g_assert_true(sink->plus);
        pt_forget(sink->f->fs, entry->entry->nodeid, 1);
    }
    sink->next = entry->next;
    sink->n++;
}

static unsigned list(struct pt_fixture *f, uint64_t node, unsigned room, bool plus)
{
    struct sink sink = {
        .head = {.fits = sink_fits, .put = sink_put},
        .room = room,
        .plus = plus,
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .f = f,
    };
    uint64_t fh = 0;
    unsigned total = 0;

    g_assert_cmpint(pt_opendir(f->fs, node, &fh), ==, 0);
    do {
        sink.n = 0;
        g_assert_cmpint(pt_readdir(f->fs, fh, sink.next, plus, &sink.head), ==, 0);
        total += sink.n;
    } while (sink.n > 0);
    g_assert_true(pt_release(f->fs, fh));
    g_hash_table_destroy(sink.names);
    return total;
}

static void a_directory_is_read_in_pieces(struct pt_fixture *f)
{
    struct pt_entry dir = pt_make_dir(f, ROOT, "dir");
    char name[32];

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "dir/some-longer-name-%d", i);
        pt_host_write(f, name, "");
    }
    g_assert_cmpuint(list(f, dir.nodeid, 1, false), ==, 302);
    g_assert_cmpuint(list(f, dir.nodeid, 7, true), ==, 302);
    g_assert_cmpuint(list(f, dir.nodeid, 1000, false), ==, 302);
    g_assert_cmpuint(list(f, ROOT, 1000, true), ==, 3);
}

static void a_directory_handle_is_no_file(struct pt_fixture *f)
{
    struct sink sink = {.head = {.fits = sink_fits, .put = sink_put}};
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    uint64_t fh = open_file(f, file.nodeid, O_RDONLY);
    uint64_t dir = 0;
    char buf[8];

    g_assert_cmpint(pt_opendir(f->fs, ROOT, &dir), ==, 0);
    g_assert_cmpint(get(f, dir, buf, sizeof(buf), 0), ==, -EBADF);
    g_assert_cmpint(pt_readdir(f->fs, fh, 0, false, &sink.head), ==, -EBADF);
    g_assert_cmpint(pt_readdir(f->fs, 4711, 0, false, &sink.head), ==, -EBADF);
    g_assert_cmpint(pt_fsync(f->fs, dir, false), ==, 0);
    pt_release(f->fs, fh);
    pt_release(f->fs, dir);
}

/* --- extended attributes --- */

static ssize_t append(struct pt_fixture *f, uint64_t fh, const char *text)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};

    return pt_write(f->fs, fh, &iov, 1, 0, PT_WRITE_APPEND); /* where its guest believes the end */
}

/* Two openers in turns, each with a stale idea of the end; and one that stops appending. */
static void appenders_do_not_overwrite_each_other(struct pt_fixture *f)
{
    for (int way = 0; way < 2; way++) {
        struct pt_entry file;
        uint64_t a = 0, b = 0;
        char buf[16];

        f->append_by_flag = way == 1;
        pt_fixture_restart(f, false);
        file = pt_make_file(f, ROOT, way == 1 ? "by-flag" : "by-write");
        a = open_file(f, file.nodeid, O_WRONLY);
        b = open_file(f, file.nodeid, O_RDWR);
        g_assert_cmpint(append(f, a, "one"), ==, 3);
        g_assert_cmpint(append(f, b, "two"), ==, 3);
        g_assert_cmpint(append(f, a, "six"), ==, 3);
        g_assert_cmpint(put(f, a, "O", 0), ==, 1);
        g_assert_cmpint(append(f, a, "."), ==, 1);
        g_assert_cmpint(get(f, b, buf, sizeof(buf), 0), ==, 10);
        g_assert_cmpint(memcmp(buf, "Onetwosix.", 10), ==, 0);
        g_assert_true(pt_release(f->fs, a));
        g_assert_true(pt_release(f->fs, b));
    }
}

static void attributes_come_back(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    char buf[64];
    int rc = pt_setxattr(f->fs, file.nodeid, "user.a", "value", 5, 0, false);

    if (rc == -EOPNOTSUPP) {
        g_test_skip("no user.* attributes here");
        return;
    }
    g_assert_cmpint(rc, ==, 0);
    g_assert_cmpint(pt_getxattr(f->fs, file.nodeid, "user.a", NULL, 0), ==, 5);
    g_assert_cmpint(pt_getxattr(f->fs, file.nodeid, "user.a", buf, sizeof(buf)), ==, 5);
    g_assert_cmpint(pt_getxattr(f->fs, file.nodeid, "user.a", buf, 2), ==, -ERANGE);
    g_assert_cmpint(pt_getxattr(f->fs, file.nodeid, "user.b", buf, sizeof(buf)), ==, -ENODATA);
    g_assert_cmpint(pt_listxattr(f->fs, file.nodeid, NULL, 0), >=, 7);
    g_assert_cmpint(pt_listxattr(f->fs, file.nodeid, buf, 3), ==, -ERANGE);
    g_assert_cmpint(pt_removexattr(f->fs, file.nodeid, "user.a"), ==, 0);
    g_assert_cmpint(pt_removexattr(f->fs, file.nodeid, "user.a"), ==, -ENODATA);
    g_assert_cmpint(pt_getxattr(f->fs, 4711, "user.a", buf, sizeof(buf)), ==, -EINVAL);
}

static void add_tests(void)
{
#define ADD(name) pt_add_test("pt_files", #name, name)
    ADD(what_is_written_is_read);
    ADD(reading_without_waiting_may_say_later);
    ADD(a_handle_can_do_what_it_was_opened_for);
    ADD(only_files_are_opened);
    ADD(an_unlinked_file_is_still_cut_and_read);
    ADD(creating_opens_and_exclusive_means_it);
    ADD(a_directory_is_read_in_pieces);
    ADD(a_directory_handle_is_no_file);
    ADD(appenders_do_not_overwrite_each_other);
    ADD(attributes_come_back);
}

int main(int argc, char **argv)
{
    return pt_main(argc, argv, add_tests);
}
