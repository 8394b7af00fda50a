/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests whose numbers lie: sizes that are not the size of what follows, counts of what is not
 * there, references that were never given. Answered with an error or, for a FORGET, with nothing;
 * the node table and the host stay as they are.
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

static void add_tests(void)
{
#define ADD(name) proto_add("/lies/" #name, name)
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
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
