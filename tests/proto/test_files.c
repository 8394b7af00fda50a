/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files: data as the host sees it, handles, and every way a request may be cut into
 * descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

static const int gone[] = {-ENOENT, -ESTALE, -EBADF, -EINVAL, 0};

static void fill_pattern(uint8_t *buf, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        buf[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + seed);
    }
}

static uint64_t make_open(struct proto *p, const char *name, const char *text, uint32_t flags,
                          uint64_t *ret_fh)
{
    uint64_t n = proto_make(p, name, text);

    OK(p, fc_open(p->q, n, flags, ret_fh));
    return n;
}

static void create_write_read(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    char buf[64];
    uint64_t fh;

    OK(p, fc_create(p->q, ROOT, "new", O_RDWR | O_CREAT | O_EXCL, 0640, &e, &fh));
    g_assert_cmpuint(e.attr.mode, ==, S_IFREG | 0640);
    EXPECT(p, fc_write(p->q, e.nodeid, fh, 0, "hello world", 11, 0), 11);
    EXPECT(p, fc_write(p->q, e.nodeid, fh, 6, "there", 5, 0), 5);
    EXPECT(p, fc_read(p->q, e.nodeid, fh, 0, buf, sizeof(buf)), 11);
    g_assert_cmpmem(buf, 11, "hello there", 11);
    EXPECT(p, fc_read(p->q, e.nodeid, fh, 11, buf, sizeof(buf)), 0);
    EXPECT(p, fc_read(p->q, e.nodeid, fh, 1 << 20, buf, sizeof(buf)), 0);
    OK(p, fc_flush(p->q, e.nodeid, fh, 0));
    OK(p, fc_fsync(p->q, e.nodeid, fh, false));
    OK(p, fc_fsync(p->q, e.nodeid, fh, true));
    OK(p, fc_release(p->q, e.nodeid, fh));
    g_autofree char *text = proto_read_file(p, "new");
    g_assert_cmpstr(text, ==, "hello there");
    proto_stop(p);
}

static void create_errors(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t fh;

    proto_write_file(p, "old", "old");
    EXPECT(p, fc_create(p->q, ROOT, "old", O_RDWR | O_CREAT | O_EXCL, 0644, &e, &fh), -EEXIST);
    OK(p, fc_create(p->q, ROOT, "old", O_RDWR | O_CREAT | O_TRUNC, 0644, &e, &fh));
    g_assert_cmpuint(e.attr.size, ==, 0);
    OK(p, fc_release(p->q, e.nodeid, fh));
    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    EXPECT(p, fc_create(p->q, ROOT, "dir", O_RDWR | O_CREAT, 0644, &e, &fh), -EISDIR);
    proto_stop(p);
}

static void create_does_not_follow_a_symlink_out(void)
{
    struct proto *p = proto_start(NULL);
    g_autofree char *outside = g_build_filename(p->base, "outside", NULL);
    struct fuse_entry_out e;
    uint64_t fh;

    g_assert_cmpint(symlink(outside, proto_path(p, "link")), ==, 0);
    EXPECT_ERROR(p, fc_create(p->q, ROOT, "link", O_RDWR | O_CREAT, 0644, &e, &fh));
    OK(p, fc_lookup(p->q, ROOT, "link", &e));
    EXPECT_ERROR(p, fc_open(p->q, e.nodeid, O_RDWR, &fh));
    g_assert_false(g_file_test(outside, G_FILE_TEST_EXISTS));
    proto_stop(p);
}

static void create_takes_owner_of_the_request(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t fh;

    p->q->uid = 1000;
    p->q->gid = 1000;
    g_assert_cmpint(chmod(p->dir, 0777), ==, 0);
    OK(p, fc_create(p->q, ROOT, "f", O_RDWR | O_CREAT, 0400, &e, &fh));
    g_assert_cmpuint(e.attr.uid, ==, 1000);
    g_assert_cmpuint(e.attr.gid, ==, 1000);
    EXPECT(p, fc_write(p->q, e.nodeid, fh, 0, "x", 1, 0), 1);
    proto_stop(p);
}

static void open_truncates_and_refuses(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "content", O_WRONLY | O_TRUNC, &fh);
    struct stat st;
    char buf[8];

    g_assert_cmpint(stat(proto_path(p, "file"), &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 0);
    EXPECT(p, fc_read(p->q, n, fh, 0, buf, sizeof(buf)), -EBADF);
    OK(p, fc_release(p->q, n, fh));
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    EXPECT(p, fc_write(p->q, n, fh, 0, "x", 1, 0), -EBADF);
    EXPECT_ANY(p, fc_open(p->q, ROOT, O_RDWR, &fh), -EISDIR, -EINVAL, -EBADF);
    EXPECT(p, fc_opendir(p->q, n, &fh), -ENOTDIR);
    proto_stop(p);
}

static void odd_open_flags_reach_no_host_file(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "content");
    static const uint32_t flags[] = {
        O_RDWR | O_PATH,    O_RDWR | O_DIRECTORY, O_RDWR | O_CREAT | O_EXCL,
        O_RDWR | O_TMPFILE, O_RDWR | O_NOATIME,   O_RDWR | O_DIRECT,
        O_RDWR | O_ASYNC,   O_RDWR | O_NONBLOCK,  O_RDWR | 0x80000000u,
        O_ACCMODE,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        uint64_t fh;

        if (fc_open(p->q, n, flags[i], &fh) == 0) {
            char buf[8];

            /* whatever was made of the flags, it must be this file or an error */
            int rc = fc_read(p->q, n, fh, 0, buf, sizeof(buf));

            if (rc >= 0) {
                g_assert_cmpmem(buf, rc, "content", 7);
            }
            OK(p, fc_release(p->q, n, fh));
        }
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void append_writes_where_the_guest_says(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "0123456789", O_WRONLY | O_APPEND, &fh);

    EXPECT(p, fc_write(p->q, n, fh, 10, "AB", 2, 0), 2);
    g_autofree char *text = proto_read_file(p, "file");
    g_assert_cmpstr(text, ==, "0123456789AB");
    proto_stop(p);
}

static void unlinked_file_stays_open(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "still here", O_RDWR, &fh);
    struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_FH, .size = 5};
    struct fuse_attr attr;
    char buf[16];

    OK(p, fc_unlink(p->q, ROOT, "file"));
    EXPECT(p, fc_read(p->q, n, fh, 0, buf, sizeof(buf)), 10);
    in.fh = fh;
    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(attr.size, ==, 5);
    OK(p, fc_getattr(p->q, n, &fh, &attr));
    g_assert_cmpuint(attr.nlink, ==, 0);
    OK(p, fc_getattr(p->q, n, NULL, &attr));
    g_assert_cmpuint(attr.size, ==, 5);
    OK(p, fc_release(p->q, n, fh));
    proto_stop(p);
}

static void transfer(struct proto *p, size_t size)
{
    g_autofree uint8_t *out = g_malloc(size);
    g_autofree uint8_t *in = g_malloc0(size);
    struct fuse_entry_out e;
    g_autofree char *host = NULL;
    size_t host_size;
    uint64_t fh;

    fill_pattern(out, size, (unsigned)size);
    OK(p, fc_create(p->q, ROOT, "data", O_RDWR | O_CREAT | O_TRUNC, 0644, &e, &fh));
    EXPECT(p, fc_write(p->q, e.nodeid, fh, 0, out, size, 0), (int)size);
    EXPECT(p, fc_read(p->q, e.nodeid, fh, 0, in, size), (int)size);
    g_assert_cmpmem(in, size, out, size);
    g_assert_true(g_file_get_contents(proto_path(p, "data"), &host, &host_size, NULL));
    g_assert_cmpmem(host, host_size, out, size);
    EXPECT(p, fc_read(p->q, e.nodeid, fh, size / 2, in, size), (int)(size - size / 2));
    g_assert_cmpmem(in, size - size / 2, out + size / 2, size - size / 2);
    OK(p, fc_release(p->q, e.nodeid, fh));
}

static void sizes_from_one_byte_to_one_mebibyte(void)
{
    struct proto_opts o = {.vmm = {.queue_size = 1024}, .fc = {.slots = 4, .data_size = 1 << 20}};
    struct proto *p = proto_start(&o);
    static const size_t sizes[] = {1, 7, 512, 4095, 4096, 4097, 65536, 131072, 1 << 20};

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        transfer(p, sizes[i]);
    }
    proto_stop(p);
}

static void every_layout(struct proto_opts *o)
{
    static const size_t pages[] = {4096, 1000, 1 << 20};

    for (int layout = FC_LINUX; layout <= FC_CRUMBS; layout++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
            struct fuse_statx stx;
            struct fuse_entry_out e;
            struct proto *p;

            o->fc.layout = (enum fc_layout)layout;
            o->fc.page_size = pages[i];
            p = proto_start(o);
            transfer(p, 40000);
            OK(p, fc_mkdir(p->q, ROOT, "directory with a longer name", 0755, &e));
            OK(p, fc_rename(p->q, ROOT, "directory with a longer name", ROOT, "another name"));
            OK(p, fc_statx(p->q, e.nodeid, NULL, 0xfff, &stx));
            proto_stop(p);
        }
    }
}

static void any_framing_is_understood(void)
{
    struct proto_opts o = {.fc = {.slots = 4}};

    every_layout(&o);
}

static void any_framing_without_indirect(void)
{
    struct proto_opts o = {.vmm = {.direct = true}, .fc = {.slots = 4}};

    every_layout(&o);
}

static void buffers_may_cross_memory_regions(void)
{
    /* 1,021 pages a region: every larger buffer and table has a good chance to straddle two */
    struct proto_opts o = {.vmm = {.mem_size = 61 * 1021 * 4096, .mem_regions = 61},
                           .fc = {.slots = 16, .data_size = 1 << 20, .page_size = 1 << 20}};
    struct proto *p = proto_start(&o);

    for (int i = 0; i < 15; i++) {
        transfer(p, 1 << 20);
        g_assert_nonnull(fc_get(p->q)); /* never given back, so the next round has another slot */
    }
    proto_stop(p);
}

static void setuid_goes_with_a_killing_write(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "x", O_RDWR, &fh);
    struct stat st;

    g_assert_cmpint(chmod(proto_path(p, "file"), 06755), ==, 0);
    EXPECT(p, fc_write(p->q, n, fh, 0, "y", 1, FUSE_WRITE_KILL_SUIDGID), 1);
    g_assert_cmpint(stat(proto_path(p, "file"), &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 06000, ==, 0);
    proto_stop(p);
}

static void fallocate_modes(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "0123456789", O_RDWR, &fh);
    struct fuse_attr attr;
    char buf[10];

    OK(p, fc_fallocate(p->q, n, fh, 0, 8192, FALLOC_FL_KEEP_SIZE));
    OK(p, fc_getattr(p->q, n, NULL, &attr));
    g_assert_cmpuint(attr.size, ==, 10);
    OK(p, fc_fallocate(p->q, n, fh, 0, 8192, 0));
    OK(p, fc_getattr(p->q, n, NULL, &attr));
    g_assert_cmpuint(attr.size, ==, 8192);
    OK(p, fc_fallocate(p->q, n, fh, 2, 3, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE));
    EXPECT(p, fc_read(p->q, n, fh, 0, buf, 10), 10);
    g_assert_cmpmem(buf, 10,
                    "01\0\0\0"
                    "56789",
                    10);
    EXPECT_ANY(p, fc_fallocate(p->q, n, fh, 0, 10, 0x4000), -EOPNOTSUPP, -EINVAL);
    EXPECT(p, fc_fallocate(p->q, n, fh, 0, 0, 0), -EINVAL);
    EXPECT_ANY(p, fc_fallocate(p->q, n, fh, -5ULL, 10, 0), -EINVAL, -EFBIG);
    proto_stop(p);
}

static void lseek_finds_data_and_holes(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "data", O_RDWR, &fh);
    uint64_t off;

    g_assert_cmpint(truncate(proto_path(p, "file"), 1 << 20), ==, 0);
    OK(p, fc_lseek(p->q, n, fh, 0, SEEK_HOLE, &off));
    g_assert_cmpuint(off, >=, 4);
    g_assert_cmpuint(off, <, 1 << 20);
    OK(p, fc_lseek(p->q, n, fh, 0, SEEK_DATA, &off));
    g_assert_cmpuint(off, ==, 0);
    EXPECT(p, fc_lseek(p->q, n, fh, 2 << 20, SEEK_DATA, &off), -ENXIO);
    EXPECT(p, fc_lseek(p->q, n, fh, 0, 99, &off), -EINVAL);
    proto_stop(p);
}

static void copy_file_range_copies(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh_in;
    uint64_t fh_out;
    uint64_t in = make_open(p, "in", "0123456789", O_RDONLY, &fh_in);
    uint64_t out = make_open(p, "out", "", O_WRONLY, &fh_out);
    uint64_t copied = 0;

    OK(p, fc_copy_file_range(p->q, in, fh_in, 2, out, fh_out, 0, 5, false, &copied));
    g_assert_cmpuint(copied, ==, 5);
    g_autofree char *text = proto_read_file(p, "out");
    g_assert_cmpstr(text, ==, "23456");
    EXPECT(p, fc_copy_file_range(p->q, in, fh_out, 0, out, fh_in, 0, 5, false, &copied), -EBADF);
    proto_stop(p);
}

static void copy_file_range_64_copies_or_is_enosys(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh_in;
    uint64_t fh_out;
    uint64_t in = make_open(p, "in", "0123456789", O_RDONLY, &fh_in);
    uint64_t out = make_open(p, "out", "", O_WRONLY, &fh_out);
    uint64_t copied = 0;
    int rc = fc_copy_file_range(p->q, in, fh_in, 0, out, fh_out, 0, 10, true, &copied);

    if (rc == 0) {
        g_assert_cmpuint(copied, ==, 10);
    } else {
        EXPECT(p, rc, -ENOSYS);
    }
    proto_stop(p);
}

static void unknown_handles_are_refused(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "x");
    static const uint64_t bad[] = {0, 1, 12345, UINT32_MAX, 1ULL << 40, UINT64_MAX};
    char buf[8];
    uint64_t u;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        EXPECT_ANY(p, fc_read(p->q, n, bad[i], 0, buf, 8), -EBADF, -EINVAL);
        EXPECT_ANY(p, fc_write(p->q, n, bad[i], 0, "x", 1, 0), -EBADF, -EINVAL);
        EXPECT_ANY(p, fc_fsync(p->q, n, bad[i], false), -EBADF, -EINVAL);
        EXPECT_ANY(p, fc_lseek(p->q, n, bad[i], 0, SEEK_DATA, &u), -EBADF, -EINVAL);
        EXPECT_ANY(p, fc_fallocate(p->q, n, bad[i], 0, 1, 0), -EBADF, -EINVAL);
        EXPECT_ANY(p, fc_readdir(p->q, ROOT, bad[i], 0, buf, 8, false), -EBADF, -EINVAL);
        EXPECT_ANY(p, fc_flush(p->q, n, bad[i], 0), -EBADF, -EINVAL);
        /* 0 or an error, but never the end */
        (void)fc_release(p->q, n, bad[i]);
        (void)fc_releasedir(p->q, ROOT, bad[i]);
        EXPECT_ALIVE(p);
    }
    proto_stop(p);
}

static void released_handles_are_unknown(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "x", O_RDWR, &fh);
    char buf[8];

    OK(p, fc_release(p->q, n, fh));
    EXPECT_ANY(p, fc_read(p->q, n, fh, 0, buf, 8), -EBADF, -EINVAL);
    OK(p, fc_open(p->q, n, O_RDWR, &fh));
    /* a file handle is not a directory handle */
    EXPECT_ANY(p, fc_readdir(p->q, ROOT, fh, 0, buf, 8, false), -EBADF, -EINVAL, -ENOTDIR);
    OK(p, fc_release(p->q, n, fh));
    proto_stop(p);
}

static void unknown_nodes_are_refused(void)
{
    struct proto *p = proto_start(NULL);
    static const uint64_t bad[] = {0, 2, 999999, 1ULL << 33, UINT64_MAX};
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0644};
    uint64_t fh;
    char buf[64];

#define GONE(call) proto_check_any(p, __FILE__, __LINE__, #call, (call), gone)
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint64_t n = bad[i];

        GONE(fc_getattr(p->q, n, NULL, NULL));
        GONE(fc_setattr(p->q, n, &in, NULL));
        GONE(fc_lookup(p->q, n, "x", NULL));
        GONE(fc_mkdir(p->q, n, "x", 0755, NULL));
        GONE(fc_mknod(p->q, n, "x", S_IFREG, 0, NULL));
        GONE(fc_symlink(p->q, n, "x", "y", NULL));
        GONE(fc_unlink(p->q, n, "x"));
        GONE(fc_rmdir(p->q, n, "x"));
        GONE(fc_rename(p->q, n, "x", ROOT, "y"));
        GONE(fc_rename2(p->q, ROOT, "x", n, "y", 0));
        GONE(fc_link(p->q, n, ROOT, "y", NULL));
        GONE(fc_open(p->q, n, O_RDONLY, &fh));
        GONE(fc_opendir(p->q, n, &fh));
        GONE(fc_create(p->q, n, "x", O_RDWR | O_CREAT, 0644, NULL, &fh));
        GONE(fc_readlink(p->q, n, buf, sizeof(buf)));
        GONE(fc_access(p->q, n, R_OK));
        EXPECT_ANY(p, fc_getxattr(p->q, n, "user.x", buf, 10), -ENOENT, -ESTALE, -EBADF, -EINVAL,
                   -EOPNOTSUPP, -ENOSYS);
        OK(p, fc_forget(fc_hiprio(&p->fc), n, 1));
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void statfs_statx_access_syncfs(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "12345", O_RDWR, &fh);
    struct fuse_kstatfs fs;
    struct fuse_statx stx;
    struct stat st;

    OK(p, fc_statfs(p->q, ROOT, &fs));
    g_assert_cmpuint(fs.namelen, ==, 255);
    g_assert_cmpuint(fs.blocks, >, 0);
    g_assert_cmpuint(fs.frsize, >, 0);
    g_assert_cmpint(stat(proto_path(p, "file"), &st), ==, 0);
    OK(p, fc_statx(p->q, n, NULL, 0xfff, &stx));
    g_assert_cmpuint(stx.size, ==, 5);
    g_assert_cmpuint(stx.ino, ==, st.st_ino);
    g_assert_cmpuint(stx.mode, ==, st.st_mode);
    g_assert_cmpuint(stx.mask & 0x7ff, ==, 0x7ff);
    OK(p, fc_statx(p->q, n, &fh, 0x7ff, &stx));
    OK(p, fc_access(p->q, n, F_OK));
    OK(p, fc_access(p->q, n, R_OK | W_OK));
    OK(p, fc_syncfs(p->q, ROOT));
    proto_stop(p);
}

static void opcodes_that_are_not_there(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t fh;
    uint64_t n = make_open(p, "file", "x", O_RDWR, &fh);
    struct fuse_file_lock lk = {.start = 0, .end = 10, .type = F_WRLCK};
    struct fuse_file_lock got;
    uint8_t body[64] = {0};
    struct fc_raw raw = {.nodeid = n, .body = body};

    EXPECT(p, fc_ioctl(p->q, n, fh, 0xdead, 16), -ENOTTY);
    raw.opcode = FUSE_POLL;
    raw.body_len = sizeof(struct fuse_poll_in);
    EXPECT(p, fc_raw(p->q, &raw, NULL), -ENOSYS);
    raw.opcode = FUSE_BMAP;
    raw.body_len = sizeof(struct fuse_bmap_in);
    EXPECT_ANY(p, fc_raw(p->q, &raw, NULL), -ENOSYS, -EINVAL);
    raw.opcode = FUSE_SETUPMAPPING;
    raw.body_len = sizeof(struct fuse_setupmapping_in);
    EXPECT(p, fc_raw(p->q, &raw, NULL), -ENOSYS);
    for (uint32_t op = 60; op < 70; op++) {
        raw.opcode = op;
        EXPECT(p, fc_raw(p->q, &raw, NULL), -ENOSYS);
    }
    raw.opcode = 0;
    EXPECT(p, fc_raw(p->q, &raw, NULL), -ENOSYS);
    raw.opcode = CUSE_INIT;
    EXPECT(p, fc_raw(p->q, &raw, NULL), -ENOSYS);
    raw.opcode = UINT32_MAX;
    EXPECT(p, fc_raw(p->q, &raw, NULL), -ENOSYS);
    /* not negotiated, so a guest never sends them */
    EXPECT_ANY(p, fc_lk(p->q, FUSE_SETLK, n, fh, 1, &lk, 0, NULL), -ENOSYS, -EOPNOTSUPP);
    EXPECT_ANY(p, fc_lk(p->q, FUSE_SETLKW, n, fh, 1, &lk, 0, NULL), -ENOSYS, -EOPNOTSUPP);
    EXPECT_ANY(p, fc_lk(p->q, FUSE_GETLK, n, fh, 1, &lk, 0, &got), -ENOSYS, -EOPNOTSUPP);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void tmpfile_works_or_is_refused_for_good(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t fh;
    int rc = fc_tmpfile(p->q, ROOT, O_RDWR, 0644, &e, &fh);

    if (rc == 0) {
        g_assert_cmpuint(e.attr.nlink, ==, 0);
        OK(p, fc_link(p->q, e.nodeid, ROOT, "named", &e));
        g_assert_cmpuint(e.attr.nlink, ==, 1);
        OK(p, fc_release(p->q, e.nodeid, fh));
    } else {
        EXPECT_ANY(p, rc, -ENOSYS, -EOPNOTSUPP);
    }
    proto_stop(p);
}

static void interrupt_is_swallowed(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_interrupt_in in = {.unique = 77};
    struct fc_req *req = fc_get(p->q);

    fc_begin(req, FUSE_INTERRUPT, 0);
    fc_arg_bytes(req, &in, sizeof(in));
    req->no_reply = true;
    OK(p, fc_call(req));
    fc_put(req);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void released_files_hold_no_descriptor(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "x");
    uint64_t fh;
    int before;

    OK(p, fc_open(p->q, n, O_RDWR, &fh));
    OK(p, fc_release(p->q, n, fh));
    before = daemon_count_fds(p->d.pid);
    for (int i = 0; i < 100; i++) {
        OK(p, fc_open(p->q, n, O_RDWR, &fh));
        OK(p, fc_flush(p->q, n, fh, 0));
        OK(p, fc_release(p->q, n, fh));
        OK(p, fc_opendir(p->q, ROOT, &fh));
        OK(p, fc_releasedir(p->q, ROOT, fh));
    }
    g_assert_cmpint(daemon_count_fds(p->d.pid), ==, before);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/files/" #name, name)
    ADD(create_write_read);
    ADD(create_errors);
    ADD(create_does_not_follow_a_symlink_out);
    ADD(create_takes_owner_of_the_request);
    ADD(open_truncates_and_refuses);
    ADD(odd_open_flags_reach_no_host_file);
    ADD(append_writes_where_the_guest_says);
    ADD(unlinked_file_stays_open);
    ADD(sizes_from_one_byte_to_one_mebibyte);
    ADD(any_framing_is_understood);
    ADD(any_framing_without_indirect);
    ADD(buffers_may_cross_memory_regions);
    ADD(setuid_goes_with_a_killing_write);
    ADD(fallocate_modes);
    ADD(lseek_finds_data_and_holes);
    ADD(copy_file_range_copies);
    ADD(copy_file_range_64_copies_or_is_enosys);
    ADD(unknown_handles_are_refused);
    ADD(released_handles_are_unknown);
    ADD(unknown_nodes_are_refused);
    ADD(statfs_statx_access_syncfs);
    ADD(opcodes_that_are_not_there);
    ADD(tmpfile_works_or_is_refused_for_good);
    ADD(interrupt_is_swallowed);
    ADD(released_files_hold_no_descriptor);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
