/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Well-formed chains with a request no kernel makes: wrong sizes, impossible names, sizes that
 * lie. Each is answered EINVAL (or a better error), is told in at most one line, and changes
 * nothing on the host.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

static const char *const with_xattr[] = {"-o", "xattr", NULL};
static const struct proto_opts xattr_opts = {.args = with_xattr};

/* Opcodes with an argument struct, and what must follow it at least. */
static const struct {
    const char *name;
    uint32_t opcode;
    size_t size;
    unsigned names; /* NUL-terminated names after it */
} shapes[] = {
    {"LOOKUP", FUSE_LOOKUP, 0, 1},
    {"GETATTR", FUSE_GETATTR, sizeof(struct fuse_getattr_in), 0},
    {"SETATTR", FUSE_SETATTR, sizeof(struct fuse_setattr_in), 0},
    {"SYMLINK", FUSE_SYMLINK, 0, 2},
    {"MKNOD", FUSE_MKNOD, sizeof(struct fuse_mknod_in), 1},
    {"MKDIR", FUSE_MKDIR, sizeof(struct fuse_mkdir_in), 1},
    {"UNLINK", FUSE_UNLINK, 0, 1},
    {"RMDIR", FUSE_RMDIR, 0, 1},
    {"RENAME", FUSE_RENAME, sizeof(struct fuse_rename_in), 2},
    {"RENAME2", FUSE_RENAME2, sizeof(struct fuse_rename2_in), 2},
    {"LINK", FUSE_LINK, sizeof(struct fuse_link_in), 1},
    {"OPEN", FUSE_OPEN, sizeof(struct fuse_open_in), 0},
    {"READ", FUSE_READ, sizeof(struct fuse_read_in), 0},
    {"WRITE", FUSE_WRITE, sizeof(struct fuse_write_in), 0},
    {"RELEASE", FUSE_RELEASE, sizeof(struct fuse_release_in), 0},
    {"FSYNC", FUSE_FSYNC, sizeof(struct fuse_fsync_in), 0},
    {"SETXATTR", FUSE_SETXATTR, sizeof(struct fuse_setxattr_in), 1},
    {"GETXATTR", FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), 1},
    {"LISTXATTR", FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), 0},
    {"REMOVEXATTR", FUSE_REMOVEXATTR, 0, 1},
    {"FLUSH", FUSE_FLUSH, sizeof(struct fuse_flush_in), 0},
    {"OPENDIR", FUSE_OPENDIR, sizeof(struct fuse_open_in), 0},
    {"READDIR", FUSE_READDIR, sizeof(struct fuse_read_in), 0},
    {"READDIRPLUS", FUSE_READDIRPLUS, sizeof(struct fuse_read_in), 0},
    {"RELEASEDIR", FUSE_RELEASEDIR, sizeof(struct fuse_release_in), 0},
    {"FSYNCDIR", FUSE_FSYNCDIR, sizeof(struct fuse_fsync_in), 0},
    {"ACCESS", FUSE_ACCESS, sizeof(struct fuse_access_in), 0},
    {"CREATE", FUSE_CREATE, sizeof(struct fuse_create_in), 1},
    {"FALLOCATE", FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), 0},
    {"LSEEK", FUSE_LSEEK, sizeof(struct fuse_lseek_in), 0},
    {"COPY_FILE_RANGE", FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in), 0},
    {"SYNCFS", FUSE_SYNCFS, sizeof(struct fuse_syncfs_in), 0},
    {"STATX", FUSE_STATX, sizeof(struct fuse_statx_in), 0},
};

#define ROUND_UP_8(n) (((n) + 7) & ~(size_t)7)

static unsigned count_host_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    g_assert_nonnull(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static int send(struct proto *p, uint32_t opcode, const void *body, size_t size)
{
    struct fc_raw raw = {.opcode = opcode, .nodeid = ROOT, .body = body, .body_len = size};

    return fc_raw(p->q, &raw, NULL);
}

/* "a" for each name */
static size_t make_body(uint8_t *body, size_t size, unsigned names)
{
    memset(body, 0, size);
    for (unsigned i = 0; i < names; i++) {
        body[size++] = (uint8_t)('a' + i);
        body[size++] = '\0';
    }
    return size;
}

static void too_short_for_the_opcode(void)
{
    struct proto *p = proto_start(&xattr_opts);
    unsigned before = count_host_entries(p->dir);
    uint8_t body[256];

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        size_t size = make_body(body, shapes[i].size, shapes[i].names);

        for (size_t n = 0; n < size; n++) {
            int rc = send(p, shapes[i].opcode, body, n);

            if (rc != -EINVAL) {
                g_autofree char *what =
                    g_strdup_printf("%s with %zu of %zu bytes", shapes[i].name, n, size);

                proto_check(p, __FILE__, __LINE__, what, rc, -EINVAL);
            }
        }
    }
    EXPECT_ALIVE(p);
    g_assert_cmpuint(count_host_entries(p->dir), ==, before);
    proto_stop(p);
}

static void too_long_for_the_opcode(void)
{
    struct proto *p = proto_start(&xattr_opts);
    unsigned before = count_host_entries(p->dir);
    uint8_t body[4096] = {0};
    static const size_t extra[] = {1, 8, 3000};

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        size_t size = make_body(body, shapes[i].size, shapes[i].names);

        memset(body + size, 'x', 64);
        for (unsigned e = 0; e < G_N_ELEMENTS(extra); e++) {
            int rc = send(p, shapes[i].opcode, body, size + extra[e]);

            if (rc != -EINVAL) {
                g_autofree char *what =
                    g_strdup_printf("%s with %zu bytes too many", shapes[i].name, extra[e]);

                proto_check(p, __FILE__, __LINE__, what, rc, -EINVAL);
            }
        }
        memset(body, 0, sizeof(body));
    }
    EXPECT_ALIVE(p);
    g_assert_cmpuint(count_host_entries(p->dir), ==, before);
    proto_stop(p);
}

static void header_length_that_lies(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_getattr_in in = {0};
    static const uint32_t lengths[] = {1, 39, 40, 55, 57, 4096, 1 << 20, 0x7fffffff, 0xffffffff};
    struct fc_raw raw = {
        .opcode = FUSE_GETATTR, .nodeid = ROOT, .body = &in, .body_len = sizeof(in)};

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        raw.header_len = lengths[i];
        EXPECT(p, fc_raw(p->q, &raw, NULL), -EINVAL);
        EXPECT_ALIVE(p);
    }
    proto_stop(p);
}

static void too_little_room_for_the_reply(void)
{
    struct proto *p = proto_start(&xattr_opts);
    uint64_t n = proto_make(p, "file", "content");
    struct fuse_getattr_in in = {0};
    struct fc_raw raw = {
        .opcode = FUSE_GETATTR, .nodeid = ROOT, .body = &in, .body_len = sizeof(in)};

    for (size_t room = 1; room < sizeof(struct fuse_attr_out); room += 7) {
        raw.room = room;
        EXPECT_ERROR(p, fc_raw(p->q, &raw, NULL));
    }
    raw = (struct fc_raw){
        .opcode = FUSE_LOOKUP, .nodeid = ROOT, .body = "file", .body_len = 5, .room = 64};
    EXPECT_ERROR(p, fc_raw(p->q, &raw, NULL));
    raw.opcode = FUSE_STATFS;
    raw.body_len = 0;
    EXPECT_ERROR(p, fc_raw(p->q, &raw, NULL));
    EXPECT_ALIVE(p);
    /* the failed LOOKUP took no reference */
    OK(p, fc_forget(fc_hiprio(&p->fc), n, 1));
    EXPECT_ERROR(p, fc_getattr(p->q, n, NULL, NULL));
    proto_stop(p);
}

/* Sends each name-carrying opcode with the bytes of `name`, as first and as second name. */
static void with_each_opcode(struct proto *p, const void *name, size_t len, const int *wants)
{
    unsigned before = count_host_entries(p->dir);
    unsigned before_base = count_host_entries(p->base);
    uint8_t body[2048];

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        for (unsigned bad = 0; bad < shapes[i].names; bad++) {
            size_t size = make_body(body, shapes[i].size, bad);
            int rc;

            if (shapes[i].opcode == FUSE_SYMLINK && bad == 1) {
                continue; /* a target may be anything */
            }
            memcpy(body + size, name, len);
            size += len;
            for (unsigned more = bad + 1; more < shapes[i].names; more++) {
                memcpy(body + size, "z", 2);
                size += 2;
            }
            rc = send(p, shapes[i].opcode, body, size);
            if (rc >= 0) {
                g_autofree char *what =
                    g_strdup_printf("%s with a bad name %u", shapes[i].name, bad + 1);

                proto_check(p, __FILE__, __LINE__, what, rc, -EINVAL);
            }
            if (strstr(shapes[i].name, "XATTR") == NULL) {
                proto_check_any(p, __FILE__, __LINE__, shapes[i].name, rc, wants);
            }
        }
    }
    EXPECT_ALIVE(p);
    g_assert_cmpuint(count_host_entries(p->dir), ==, before);
    g_assert_cmpuint(count_host_entries(p->base), ==, before_base);
}

static const int einval[] = {-EINVAL, 0};

static void name_with_a_slash(void)
{
    struct proto *p = proto_start(&xattr_opts);

    g_assert_cmpint(mkdir(proto_path(p, "sub"), 0755), ==, 0);
    with_each_opcode(p, "sub/x", 6, einval);
    with_each_opcode(p, "../escaped", 11, einval);
    with_each_opcode(p, "/", 2, einval);
    with_each_opcode(p, "/tmp/virtiofsd-escaped", 23, einval);
    with_each_opcode(p, "x/", 3, einval);
    g_assert_false(g_file_test("/tmp/virtiofsd-escaped", G_FILE_TEST_EXISTS));
    proto_stop(p);
}

static void name_that_is_empty(void)
{
    struct proto *p = proto_start(&xattr_opts);

    with_each_opcode(p, "", 1, einval);
    proto_stop(p);
}

/* "." and ".." name something in a LOOKUP of a guest that exports; nowhere else. */
static void name_dot(const char *name)
{
    static const int dots[] = {-EINVAL, -EEXIST, -EBUSY, -ENOTEMPTY, -EISDIR, -EPERM, 0};
    struct proto *p = proto_start(NULL);
    size_t len = strlen(name) + 1;

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        uint8_t body[256];

        if (shapes[i].opcode == FUSE_LOOKUP || strstr(shapes[i].name, "XATTR")) {
            continue;
        }
        for (unsigned bad = 0; bad < shapes[i].names; bad++) {
            size_t size = make_body(body, shapes[i].size, bad);

            if (shapes[i].opcode == FUSE_SYMLINK && bad == 1) {
                continue;
            }
            memcpy(body + size, name, len);
            size += len;
            if (bad + 1 < shapes[i].names) {
                memcpy(body + size, "z", 2);
                size += 2;
            }
            proto_check_any(p, __FILE__, __LINE__, shapes[i].name,
                            send(p, shapes[i].opcode, body, size), dots);
        }
    }
    g_assert_true(g_file_test(p->dir, G_FILE_TEST_IS_DIR));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void name_dot_is_refused(void)
{
    name_dot(".");
}

static void name_dot_dot_is_refused(void)
{
    name_dot("..");
}

static void name_over_255_bytes(void)
{
    static const int too_long[] = {-ENAMETOOLONG, -EINVAL, 0};
    struct proto *p = proto_start(&xattr_opts);
    char name[1025];

    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    with_each_opcode(p, name, 257, too_long);
    name[256] = 'n';
    name[1023] = '\0';
    with_each_opcode(p, name, 1024, too_long);
    proto_stop(p);
}

static void name_without_nul(void)
{
    struct proto *p = proto_start(&xattr_opts);
    uint8_t body[256];

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        if (shapes[i].names > 0) {
            size_t size = make_body(body, shapes[i].size, shapes[i].names);

            body[size - 1] = 'x'; /* where the last NUL was */
            proto_check_any(p, __FILE__, __LINE__, shapes[i].name,
                            send(p, shapes[i].opcode, body, size), einval);
        }
    }
    EXPECT_ALIVE(p);
    g_assert_cmpuint(count_host_entries(p->dir), ==, 2);
    proto_stop(p);
}

static void symlink_target_that_is_empty_or_too_long(void)
{
    struct proto *p = proto_start(NULL);
    g_autofree char *body = g_malloc0(8000);

    memcpy(body, "l\0\0", 3);
    EXPECT_ANY(p, send(p, FUSE_SYMLINK, body, 3), -EINVAL, -ENOENT);
    memset(body + 2, 't', 7000);
    EXPECT_ANY(p, send(p, FUSE_SYMLINK, body, 7003), -EINVAL, -ENAMETOOLONG);
    g_assert_cmpuint(count_host_entries(p->dir), ==, 2);
    proto_stop(p);
}

static int raw_write(struct proto *p, uint64_t n, uint64_t fh, uint32_t says, size_t brings)
{
    g_autofree uint8_t *body = g_malloc0(sizeof(struct fuse_write_in) + brings);
    struct fc_raw raw = {.opcode = FUSE_WRITE,
                         .nodeid = n,
                         .body = body,
                         .body_len = sizeof(struct fuse_write_in) + brings};

    *(struct fuse_write_in *)body = (struct fuse_write_in){.fh = fh, .size = says};
    memset(body + sizeof(struct fuse_write_in), 'w', brings);
    return fc_raw(p->q, &raw, NULL);
}

static void write_size_that_lies(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "content");
    uint64_t fh;

    OK(p, fc_open(p->q, n, O_RDWR, &fh));
    EXPECT(p, raw_write(p, n, fh, 100, 50), -EINVAL);
    EXPECT(p, raw_write(p, n, fh, 100, 0), -EINVAL);
    EXPECT(p, raw_write(p, n, fh, 1 << 20, 0), -EINVAL);
    EXPECT(p, raw_write(p, n, fh, 0xffffffff, 4096), -EINVAL);
    EXPECT(p, raw_write(p, n, fh, 50, 100), -EINVAL);
    EXPECT(p, raw_write(p, n, fh, 0, 100), -EINVAL);
    g_autofree char *text = proto_read_file(p, "file");
    g_assert_cmpstr(text, ==, "content");
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void write_beyond_any_file(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "content");
    uint64_t fh;

    OK(p, fc_open(p->q, n, O_RDWR, &fh));
    EXPECT_ANY(p, fc_write(p->q, n, fh, INT64_MAX, "x", 1, 0), -EFBIG, -EINVAL);
    EXPECT_ANY(p, fc_write(p->q, n, fh, 1ULL << 63, "x", 1, 0), -EFBIG, -EINVAL);
    EXPECT_ANY(p, fc_write(p->q, n, fh, UINT64_MAX, "x", 1, 0), -EFBIG, -EINVAL);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static int raw_read(struct proto *p, uint32_t opcode, uint64_t n, uint64_t fh, uint32_t says,
                    size_t room, uint32_t *ret_got)
{
    struct fuse_read_in in = {.fh = fh, .size = says};
    struct fc_raw raw = {
        .opcode = opcode, .nodeid = n, .body = &in, .body_len = sizeof(in), .room = room};

    return fc_raw(p->q, &raw, ret_got);
}

/* More asked for than there is room: an error, or what fits, but not a byte beyond the room. */
static void read_size_that_lies(void)
{
    struct proto *p = proto_start(NULL);
    static const uint32_t sizes[] = {101, 4096, 1 << 20, 1 << 30, 0xffffffff};
    uint64_t n = proto_make(p, "file", "0123456789");
    uint64_t fh;
    uint64_t dir;
    uint32_t got;

    g_assert_cmpint(truncate(proto_path(p, "file"), 1 << 20), ==, 0);
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    OK(p, fc_opendir(p->q, ROOT, &dir));
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        int rc = raw_read(p, FUSE_READ, n, fh, sizes[i], 100, &got);

        g_assert_true(rc == -EINVAL || (rc == 0 && got <= 100));
        rc = raw_read(p, FUSE_READDIR, ROOT, dir, sizes[i], 100, &got);
        g_assert_true(rc == -EINVAL || (rc == 0 && got <= 100));
        rc = raw_read(p, FUSE_READDIRPLUS, ROOT, dir, sizes[i], 300, &got);
        g_assert_true(rc == -EINVAL || (rc == 0 && got <= 300));
    }
    /* less asked for than there is room: no more than that */
    OK(p, raw_read(p, FUSE_READ, n, fh, 10, 200, &got));
    g_assert_cmpuint(got, ==, 10);
    EXPECT(p, raw_read(p, FUSE_READ, n, fh, 0, 200, &got), 0);
    g_assert_cmpuint(got, ==, 0);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static int raw_setxattr(struct proto *p, uint64_t n, const char *name, uint32_t says, size_t brings)
{
    size_t head = p->fc.flags & FUSE_SETXATTR_EXT ? 16 : 8;
    size_t len = strlen(name) + 1;
    g_autofree uint8_t *body = g_malloc0(head + len + brings);
    struct fc_raw raw = {
        .opcode = FUSE_SETXATTR, .nodeid = n, .body = body, .body_len = head + len + brings};

    memcpy(body, &says, sizeof(says));
    memcpy(body + head, name, len);
    memset(body + head + len, 'v', brings);
    return fc_raw(p->q, &raw, NULL);
}

static void setxattr_size_that_lies(void)
{
    struct proto *p = proto_start(&xattr_opts);
    uint64_t n = proto_make(p, "file", "");
    char list[64];

    EXPECT(p, raw_setxattr(p, n, "user.a", 10, 9), -EINVAL);
    EXPECT(p, raw_setxattr(p, n, "user.a", 10, 0), -EINVAL);
    EXPECT_ANY(p, raw_setxattr(p, n, "user.a", 0xffffffff, 9), -E2BIG, -EINVAL);
    EXPECT(p, raw_setxattr(p, n, "user.a", 9, 10), -EINVAL);
    EXPECT(p, raw_setxattr(p, n, "user.a", 0, 10), -EINVAL);
    EXPECT_ANY(p, raw_setxattr(p, n, "user.a", 65537, 65537), -E2BIG, -EINVAL);
    EXPECT(p, fc_listxattr(p->q, n, list, sizeof(list)), 0);
    OK(p, raw_setxattr(p, n, "user.a", 5, 5));
    proto_stop(p);
}

static void xattr_names_that_are_none(void)
{
    struct proto *p = proto_start(&xattr_opts);
    uint64_t n = proto_make(p, "file", "");
    char name[400];
    char buf[16];

    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[256] = '\0';
    EXPECT_ANY(p, fc_setxattr(p->q, n, name, "v", 1, 0), -ERANGE, -EINVAL, -ENAMETOOLONG);
    EXPECT_ANY(p, fc_getxattr(p->q, n, name, buf, 16), -ERANGE, -EINVAL, -ENAMETOOLONG, -ENODATA);
    EXPECT_ERROR(p, fc_setxattr(p->q, n, "", "v", 1, 0));
    EXPECT_ERROR(p, fc_getxattr(p->q, n, "", buf, 16));
    EXPECT_ERROR(p, fc_removexattr(p->q, n, ""));
    EXPECT_ERROR(p, fc_setxattr(p->q, n, "noprefix", "v", 1, 0));
    EXPECT_ERROR(p, fc_setxattr(p->q, n, "user.", "v", 1, 0));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void getxattr_size_that_lies(void)
{
    struct proto *p = proto_start(&xattr_opts);
    uint64_t n = proto_make(p, "file", "");
    struct {
        struct fuse_getxattr_in in;
        char name[7];
    } body = {.in.size = 0xffffffff, .name = "user.a"};
    struct fc_raw raw = {.opcode = FUSE_GETXATTR,
                         .nodeid = n,
                         .body = &body,
                         .body_len = sizeof(body.in) + 7,
                         .room = 4};
    uint32_t got = 0;
    int rc;

    OK(p, fc_setxattr(p->q, n, "user.a", "0123456789", 10, 0));
    rc = fc_raw(p->q, &raw, &got);
    EXPECT_ANY(p, rc, -EINVAL, -ERANGE);
    raw.opcode = FUSE_LISTXATTR;
    raw.body_len = sizeof(body.in);
    rc = fc_raw(p->q, &raw, &got);
    EXPECT_ANY(p, rc, -EINVAL, -ERANGE);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void send_silent(struct proto *p, uint32_t opcode, uint64_t nodeid, const void *body,
                        size_t size)
{
    struct fc_req *req = fc_get(p->q);

    fc_begin(req, opcode, nodeid);
    fc_arg_bytes(req, body, size);
    req->no_reply = true;
    OK(p, fc_call(req));
    fc_put(req);
}

static void batch_forget_count_that_lies(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "");
    struct {
        struct fuse_batch_forget_in in;
        struct fuse_forget_one one[2];
    } body = {.one = {{n, 1}, {n, 1}}};
    static const uint32_t counts[] = {3, 100, 1 << 28, 0x0fffffff, 0xffffffff};

    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        body.in.count = counts[i];
        send_silent(p, FUSE_BATCH_FORGET, 0, &body, sizeof(body));
        EXPECT_ALIVE(p);
    }
    send_silent(p, FUSE_BATCH_FORGET, 0, &body, 3);
    send_silent(p, FUSE_BATCH_FORGET, 0, &body, sizeof(body.in) + 7);
    EXPECT_ALIVE(p);
    proto_expect_lines_at_most(p, G_N_ELEMENTS(counts) + 2);
    proto_stop(p);
}

static void forget_that_is_too_short(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "");
    uint64_t one = 1;

    for (size_t size = 0; size < sizeof(one); size++) {
        send_silent(p, FUSE_FORGET, n, &one, size);
    }
    OK(p, fc_getattr(p->q, n, NULL, NULL));
    proto_stop(p);
}

static void forget_of_more_than_was_looked_up(void)
{
    struct proto *p = proto_start(NULL);
    static const uint64_t counts[] = {2, 1000, INT64_MAX, UINT64_MAX};

    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        uint64_t n = proto_make(p, "file", "");

        proto_log_mark(p);
        OK(p, fc_forget(fc_hiprio(&p->fc), n, counts[i]));
        EXPECT_ERROR(p, fc_getattr(p->q, n, NULL, NULL));
        proto_expect_lines_at_most(p, 1);
        OK(p, fc_forget(fc_hiprio(&p->fc), n, 1)); /* and of what is gone */
        EXPECT_ALIVE(p);
    }
    g_assert_cmpuint(proto_make(p, "file", ""), >, 1);
    proto_stop(p);
}

static void forget_of_the_root_is_ignored(void)
{
    struct proto *p = proto_start(NULL);

    OK(p, fc_forget(fc_hiprio(&p->fc), ROOT, 1));
    OK(p, fc_forget(fc_hiprio(&p->fc), ROOT, UINT64_MAX));
    OK(p, fc_forget(fc_hiprio(&p->fc), 0, 1));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* The open file outlives the forgotten inode, as long as the handle is there. */
static void forget_while_open(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "content");
    char buf[16];
    uint64_t fh;

    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    OK(p, fc_forget(fc_hiprio(&p->fc), n, 1));
    (void)fc_read(p->q, n, fh, 0, buf, sizeof(buf)); /* content or an error */
    (void)fc_release(p->q, n, fh);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* Extensions (supplementary groups) whose sizes lie; offered by guests from 6.3. */
static void extensions_that_lie(void)
{
    struct proto *p = proto_start(NULL);
    unsigned before = count_host_entries(p->dir);
    struct {
        struct fuse_mkdir_in in;
        char name[8];
        struct fuse_ext_header head;
        uint32_t nr;
        uint32_t gid[3];
    } body = {.name = "extdir", .in.mode = 0755};
    struct {
        uint16_t extlen; /* in 8 bytes */
        uint32_t size;
        uint32_t type;
        uint32_t nr;
    } lies[] = {
        {100, 24, 32, 1},     {0xffff, 24, 32, 1},     {3, 0, 32, 1},          {3, 4, 32, 1},
        {3, 7, 32, 1},        {3, 32, 32, 1},          {3, 0xfffffff8, 32, 1}, {3, 24, 32, 4},
        {3, 24, 32, 1 << 30}, {3, 24, 32, 0xffffffff},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        struct fc_req *req = fc_get(p->q);
        int rc;

        body.head.size = lies[i].size;
        body.head.type = lies[i].type;
        body.nr = lies[i].nr;
        fc_begin(req, FUSE_MKDIR, ROOT);
        /* the name ends where the extension begins */
        fc_arg_bytes(req, &body, offsetof(typeof(body), name) + 7);
        fc_arg_bytes(req, &body.head, 24);
        fc_header(req)->total_extlen = lies[i].extlen;
        fc_expect(req, sizeof(struct fuse_entry_out), 0, false);
        rc = fc_call(req);
        fc_put(req);
        if (rc != -EINVAL) {
            g_autofree char *what = g_strdup_printf("lie %u", i);

            proto_check(p, __FILE__, __LINE__, what, rc, -EINVAL);
        }
    }
    g_assert_cmpuint(count_host_entries(p->dir), ==, before);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* An extension length that claims the arguments themselves. */
static void extensions_that_eat_the_arguments(void)
{
    struct proto *p = proto_start(&xattr_opts);
    struct {
        struct fuse_batch_forget_in in;
        struct fuse_forget_one one;
    } forget = {.in.count = 0xffffffff, .one = {FUSE_ROOT_ID + 1, 1}};
    uint8_t body[256];

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        size_t size = ROUND_UP_8(make_body(body, shapes[i].size, shapes[i].names));

        for (uint16_t extlen = 1; extlen <= size / 8; extlen++) {
            struct fc_req *req = fc_get(p->q);
            int rc;

            fc_begin(req, shapes[i].opcode, ROOT);
            fc_arg_bytes(req, body, size);
            fc_header(req)->total_extlen = extlen;
            fc_expect(req, FC_OUT_SIZE - sizeof(struct fuse_out_header), 0, true);
            rc = fc_call(req);
            g_assert_true(rc != FC_BROKEN && rc != -ETIMEDOUT);
            fc_put(req);
        }
    }
    for (uint16_t extlen = 1; extlen <= 3; extlen++) {
        struct fc_req *req = fc_get(p->q);

        fc_begin(req, FUSE_BATCH_FORGET, 0);
        fc_arg_bytes(req, &forget, sizeof(forget));
        fc_header(req)->total_extlen = extlen;
        req->no_reply = true;
        OK(p, fc_call(req));
        fc_put(req);
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void log_is_not_flooded(void)
{
    struct proto *p = proto_start(NULL);

    for (int i = 0; i < 2000; i++) {
        EXPECT(p, send(p, FUSE_MKDIR, "", 0), -EINVAL);
    }
    g_assert_cmpuint(daemon_log_lines(&p->d, NULL), <, 200);
    proto_stop(p);
}

static void guest_text_is_escaped_in_the_log(void)
{
    struct proto *p = proto_start(NULL);

    (void)fc_mkdir(p->q, ROOT, "\xff\xfe\033[31m\n forged line", 0755, NULL);
    (void)fc_lookup(p->q, ROOT, "\xff\xfe/\033[31m\n forged line", NULL);
    (void)fc_unlink(p->q, ROOT, "\xff\xfe/\033[31m\n forged line");
    EXPECT_ALIVE(p);
    g_autofree char *log = daemon_log(&p->d);
    g_assert_true(g_utf8_validate(log, -1, NULL));
    g_assert_null(strchr(log, '\033'));
    g_assert_cmpuint(daemon_log_lines(&p->d, "\n forged"), ==, 0);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/bad-fuse/" #name, name)
    ADD(too_short_for_the_opcode);
    ADD(too_long_for_the_opcode);
    ADD(header_length_that_lies);
    ADD(too_little_room_for_the_reply);
    ADD(name_with_a_slash);
    ADD(name_that_is_empty);
    ADD(name_dot_is_refused);
    ADD(name_dot_dot_is_refused);
    ADD(name_over_255_bytes);
    ADD(name_without_nul);
    ADD(symlink_target_that_is_empty_or_too_long);
    ADD(write_size_that_lies);
    ADD(write_beyond_any_file);
    ADD(read_size_that_lies);
    ADD(setxattr_size_that_lies);
    ADD(xattr_names_that_are_none);
    ADD(getxattr_size_that_lies);
    ADD(batch_forget_count_that_lies);
    ADD(forget_that_is_too_short);
    ADD(forget_of_more_than_was_looked_up);
    ADD(forget_of_the_root_is_ignored);
    ADD(forget_while_open);
    ADD(extensions_that_lie);
    ADD(extensions_that_eat_the_arguments);
    ADD(log_is_not_flooded);
    ADD(guest_text_is_escaped_in_the_log);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
