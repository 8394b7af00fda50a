/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Well-formed chains with a request no kernel makes: wrong sizes, impossible names, extensions that
 * do not fit (numbers that lie are in test_lies.c). Each is answered EINVAL or a better error, is
 * told in at most one line, and changes nothing on the host.
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
    ADD(extensions_that_eat_the_arguments);
    ADD(log_is_not_flooded);
    ADD(guest_text_is_escaped_in_the_log);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
