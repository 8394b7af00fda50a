/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session: INIT as guests of every age send it, what may not come before it, and reboots.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

static const struct proto_opts without_init = {.no_init = true};

/* The reply must make sense to a guest that offered `offered` at `minor`. */
static void check_init(struct proto *p, uint32_t minor, uint64_t offered, uint32_t size)
{
    const struct fuse_init_out *out = &p->fc.init;
    uint64_t flags = out->flags | (uint64_t)out->flags2 << 32;

    g_assert_cmpuint(size, ==, sizeof(*out));
    g_assert_cmpuint(out->major, ==, 7);
    g_assert_cmpuint(out->minor, >=, 27);
    g_assert_cmpuint(out->minor, <=, 45);
    g_assert_cmphex(flags & ~offered, ==, 0);
    if (out->flags2) {
        g_assert_true(out->flags & FUSE_INIT_EXT);
    }
    g_assert_cmpuint(out->max_write, >=, 4096);
    g_assert_cmpuint(out->max_readahead, <=, 128 << 10);
    g_assert_cmpuint(out->time_gran, >=, 1);
    g_assert_cmpuint(out->time_gran, <=, 1000000000);
    if (out->flags & FUSE_MAX_PAGES) {
        g_assert_cmpuint(out->max_pages, >, 0);
        g_assert_cmpuint((uint64_t)out->max_pages * 4096, >=, out->max_write);
    }
    /* 0 is "your default" for both */
    if (out->max_background) {
        g_assert_cmpuint(out->congestion_threshold, <=, out->max_background);
    }
}

static void work_a_little(struct proto *p)
{
    struct fuse_entry_out e;
    uint64_t fh;
    char buf[16];

    OK(p, fc_create(p->q, ROOT, "init-test", O_RDWR | O_CREAT | O_TRUNC, 0644, &e, &fh));
    EXPECT(p, fc_write(p->q, e.nodeid, fh, 0, "abc", 3, 0), 3);
    EXPECT(p, fc_read(p->q, e.nodeid, fh, 0, buf, sizeof(buf)), 3);
    OK(p, fc_release(p->q, e.nodeid, fh));
    OK(p, fc_unlink(p->q, ROOT, "init-test"));
}

static void init_as_minor(uint32_t minor)
{
    uint64_t all = fc_default_flags(minor);
    const uint64_t offers[] = {all, all & 0xffffffff & ~(uint64_t)FUSE_INIT_EXT, 0,
                               all & ~(uint64_t)FUSE_MAX_PAGES, 0xffffffffffffffffULL};

    for (unsigned i = 0; i < G_N_ELEMENTS(offers); i++) {
        struct proto *p = proto_start(&without_init);
        struct fc_init_params params = {
            .minor = minor, .flags = offers[i], .no_flags = offers[i] == 0};
        /* an old guest's INIT has no room for flags2, so they were not offered */
        uint64_t offered = minor >= 36 ? offers[i] : offers[i] & 0xffffffff;
        uint32_t size;

        OK(p, fc_init(p->q, &params, &size));
        check_init(p, minor, offered, size);
        if (!(p->fc.init.flags & FUSE_INIT_EXT)) {
            g_assert_cmphex(p->fc.init.flags2, ==, 0);
        }
        work_a_little(p);
        OK(p, fc_destroy(p->q));
        proto_stop(p);
    }
}

#define INIT_MINOR(n)                                                                              \
    static void guest_minor_##n(void)                                                              \
    {                                                                                              \
        init_as_minor(n);                                                                          \
    }
INIT_MINOR(27)
INIT_MINOR(31)
INIT_MINOR(36)
INIT_MINOR(38)
INIT_MINOR(41)
INIT_MINOR(45)

static void flags2_without_init_ext_are_not_offered(void)
{
    struct proto *p = proto_start(&without_init);
    struct fc_init_params params = {.minor = 45,
                                    .flags = fc_default_flags(45) & ~(uint64_t)FUSE_INIT_EXT};

    OK(p, fc_init(p->q, &params, NULL));
    g_assert_cmphex(p->fc.init.flags2, ==, 0);
    g_assert_false(p->fc.init.flags & FUSE_INIT_EXT);
    proto_stop(p);
}

static void newer_guest_gets_init_ext_back(void)
{
    struct proto *p = proto_start(NULL);

    /* a guest from 6.1 on ignores the upper half of the flags without it */
    g_assert_true(p->fc.init.flags & FUSE_INIT_EXT);
    proto_stop(p);
}

static void newer_minor_than_ours(void)
{
    struct proto *p = proto_start(&without_init);
    struct fc_init_params params = {.minor = 99, .flags = fc_default_flags(45)};
    uint32_t size;

    OK(p, fc_init(p->q, &params, &size));
    check_init(p, 99, params.flags, size);
    work_a_little(p);
    proto_stop(p);
}

/* The guest sends its own major when ours is older, and must be told ours. */
static void newer_major_is_answered_with_ours(void)
{
    struct proto *p = proto_start(&without_init);
    struct fuse_init_in in = {.major = 8, .minor = 1};
    struct fuse_init_out out = {0};
    struct fc_raw raw = {.opcode = FUSE_INIT,
                         .body = &in,
                         .body_len = sizeof(in),
                         .room = sizeof(out),
                         .ret_result = &out};

    OK(p, fc_raw(p->q, &raw, NULL));
    g_assert_cmpuint(out.major, ==, 7);
    OK(p, fc_init(p->q, NULL, NULL));
    work_a_little(p);
    proto_stop(p);
}

static void older_guests_are_refused(void)
{
    struct proto *p = proto_start(&without_init);
    struct fc_init_params params = {.minor = 26};

    EXPECT(p, fc_init(p->q, &params, NULL), -EPROTO);
    OK(p, fc_init(p->q, NULL, NULL));
    proto_stop(p);
}

static void init_of_a_wrong_size(void)
{
    static const size_t sizes[] = {0, 1, 7, 8, 12, 15};

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct proto *p = proto_start(&without_init);
        struct fuse_init_in in = {.major = 7, .minor = 38};
        struct fc_raw raw = {.opcode = FUSE_INIT, .body = &in, .body_len = sizes[i]};

        EXPECT_ANY(p, fc_raw(p->q, &raw, NULL), -EINVAL, -EPROTO);
        OK(p, fc_init(p->q, NULL, NULL));
        proto_stop(p);
    }
}

static void nothing_before_init(void)
{
    struct proto *p = proto_start(&without_init);

    proto_write_file(p, "file", "");
    EXPECT_ERROR(p, fc_getattr(p->q, ROOT, NULL, NULL));
    EXPECT_ERROR(p, fc_lookup(p->q, ROOT, "file", NULL));
    EXPECT_ERROR(p, fc_mkdir(p->q, ROOT, "dir", 0755, NULL));
    OK(p, fc_forget(fc_hiprio(&p->fc), 2, 1));
    OK(p, fc_init(p->q, NULL, NULL));
    work_a_little(p);
    proto_stop(p);
}

static void destroy_is_answered_with_a_bare_header(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "x");
    uint64_t fh;

    OK(p, fc_open(p->q, n, O_RDWR, &fh));
    OK(p, fc_destroy(p->q)); /* the client insists on exactly 16 bytes */
    proto_stop(p);
}

static void after_destroy_comes_another_init(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "x");

    OK(p, fc_destroy(p->q));
    EXPECT_ERROR(p, fc_getattr(p->q, ROOT, NULL, NULL));
    OK(p, fc_init(p->q, NULL, NULL));
    EXPECT_ERROR(p, fc_getattr(p->q, n, NULL, NULL));
    work_a_little(p);
    proto_stop(p);
}

/* A guest that was reset forgets everything and says nothing. */
static void reboot_without_destroy(void)
{
    struct proto *p = proto_start(NULL);
    struct fc_init_params old = {.minor = 31};
    uint64_t fh;
    uint64_t n;
    int before;

    work_a_little(p);
    before = daemon_count_fds(p->d.pid);
    for (int i = 0; i < 20; i++) {
        n = proto_make(p, "file", "x");
        OK(p, fc_open(p->q, n, O_RDWR, &fh));
        OK(p, fc_opendir(p->q, ROOT, &fh));
        OK(p, fc_init(p->q, i & 1 ? NULL : &old, NULL));
        EXPECT_ERROR(p, fc_getattr(p->q, n, NULL, NULL));
        work_a_little(p);
    }
    g_assert_cmpint(daemon_count_fds(p->d.pid), ==, before);
    proto_stop(p);
}

static void setxattr_header_follows_negotiation(void)
{
    static const char *const args[] = {"-o", "xattr", NULL};
    const struct proto_opts o = {.args = args, .no_init = true};

    for (uint32_t minor = 31; minor <= 45; minor += 14) {
        struct proto *p = proto_start(&o);
        struct fc_init_params params = {.minor = minor};
        char buf[8];

        OK(p, fc_init(p->q, &params, NULL));
        uint64_t n = proto_make(p, "file", "");
        OK(p, fc_setxattr(p->q, n, "user.a", "value", 5, 0));
        EXPECT(p, fc_getxattr(p->q, n, "user.a", buf, sizeof(buf)), 5);
        proto_stop(p);
    }
}

static void add_tests(void)
{
#define ADD(name) proto_add("/init/" #name, name)
    ADD(guest_minor_27);
    ADD(guest_minor_31);
    ADD(guest_minor_36);
    ADD(guest_minor_38);
    ADD(guest_minor_41);
    ADD(guest_minor_45);
    ADD(flags2_without_init_ext_are_not_offered);
    ADD(newer_guest_gets_init_ext_back);
    ADD(newer_minor_than_ours);
    ADD(newer_major_is_answered_with_ours);
    ADD(older_guests_are_refused);
    ADD(init_of_a_wrong_size);
    ADD(nothing_before_init);
    ADD(destroy_is_answered_with_a_bare_header);
    ADD(after_destroy_comes_another_init);
    ADD(reboot_without_destroy);
    ADD(setxattr_header_follows_negotiation);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
