/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose files they are: ids that own nothing, and ids that mean another one on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT   FUSE_ROOT_ID
#define NOBODY 0xffffffffu

static struct proto *start_with(const char *const *args)
{
    struct proto_opts o = {.args = args};

    return proto_start(&o);
}

static void act_as(struct proto *p, uint32_t id)
{
    p->q->uid = id;
    p->q->gid = id;
}

static void expect_owner(struct proto *p, const char *name, uint32_t uid, uint32_t gid)
{
    struct stat st;

    g_assert_cmpint(lstat(proto_path(p, name), &st), ==, 0);
    g_assert_cmpuint(st.st_uid, ==, uid);
    g_assert_cmpuint(st.st_gid, ==, gid);
}

/* What ALLOW_IDMAP guests put into headers (FUSE_INVALID_UIDGID) never becomes an owner. */
static void nobody_owns_nothing(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_setattr_in give = {.valid = FATTR_UID | FATTR_GID, .uid = NOBODY, .gid = NOBODY};
    uint64_t n = proto_make(p, "file", "content");
    uint64_t fh;

    g_assert_cmpint(chown(proto_path(p, "file"), 3, 4), ==, 0);
    for (unsigned i = 1; i < 4; i++) {
        p->q->uid = i & 1 ? NOBODY : 0;
        p->q->gid = i & 2 ? NOBODY : 0;
        EXPECT(p, fc_create(p->q, ROOT, "new", O_RDWR, 0644, NULL, &fh), -EINVAL);
        EXPECT(p, fc_mkdir(p->q, ROOT, "new", 0755, NULL), -EINVAL);
        EXPECT(p, fc_mknod(p->q, ROOT, "new", S_IFREG | 0644, 0, NULL), -EINVAL);
        EXPECT(p, fc_symlink(p->q, ROOT, "new", "file", NULL), -EINVAL);
        g_assert_cmpint(access(proto_path(p, "new"), F_OK), ==, -1);
        /* what makes nothing does not ask who */
        OK(p, fc_getattr(p->q, n, NULL, NULL));
        OK(p, fc_open(p->q, n, O_RDWR, &fh));
        EXPECT(p, fc_write(p->q, n, fh, 0, "x", 1, 1u << 2), 1);
        OK(p, fc_release(p->q, n, fh));
    }
    act_as(p, 0);
    (void)fc_setattr(p->q, n, &give, NULL); /* an error or nothing, but nobody's it is not */
    expect_owner(p, "file", 3, 4);
    OK(p, fc_create(p->q, ROOT, "after", O_RDWR, 0644, NULL, &fh));
    expect_owner(p, "after", 0, 0);
    proto_stop(p);
}

/* Creates a file as guest user `guest`; it must be `host`'s there, and look like `seen`'s. */
static void expect_translation(struct proto *p, uint32_t guest, uint32_t host, uint32_t seen)
{
    g_autofree char *name = g_strdup_printf("by-%u", guest);
    struct fuse_entry_out e;
    uint64_t fh;

    act_as(p, guest);
    OK(p, fc_create(p->q, ROOT, name, O_RDWR, 0644, &e, &fh));
    g_assert_cmpuint(e.attr.uid, ==, seen);
    g_assert_cmpuint(e.attr.gid, ==, seen);
    expect_owner(p, name, host, host);
    act_as(p, 0);
}

static void translation_map(void)
{
    static const char *const args[] = {"--translate-uid=map:0:20000:1000",
                                       "--translate-gid=map:0:20000:1000", NULL};
    struct proto *p = start_with(args);
    struct fuse_setattr_in give = {.valid = FATTR_UID | FATTR_GID, .uid = 7, .gid = 8};
    struct fuse_attr attr;
    uint64_t n;

    expect_translation(p, 0, 20000, 0);
    expect_translation(p, 999, 20999, 999);
    n = proto_lookup(p, ROOT, "by-999");
    OK(p, fc_setattr(p->q, n, &give, &attr));
    g_assert_cmpuint(attr.uid, ==, 7);
    g_assert_cmpuint(attr.gid, ==, 8);
    expect_owner(p, "by-999", 20007, 20008);
    proto_stop(p);
}

static void translation_guest_and_host(void)
{
    static const char *const args[] = {
        "--translate-uid=guest:10:5000:10", "--translate-uid=host:5000:20:10",
        "--translate-gid=guest:10:5000:10", "--translate-gid=host:5000:20:10", NULL};
    struct proto *p = start_with(args);

    expect_translation(p, 12, 5002, 22);
    expect_translation(p, 30, 30, 30);
    proto_stop(p);
}

static void translation_squash(void)
{
    static const char *const args[] = {"--translate-uid=squash-guest:0:4242:4294967295",
                                       "--translate-gid=squash-guest:0:4242:4294967295",
                                       "--translate-uid=squash-host:0:77:4294967295",
                                       "--translate-gid=squash-host:0:77:4294967295", NULL};
    struct proto *p = start_with(args);

    expect_translation(p, 0, 4242, 77);
    expect_translation(p, 1000, 4242, 77);
    expect_translation(p, NOBODY - 1, 4242, 77);
    proto_stop(p);
}

static void translation_forbids(void)
{
    static const char *const args[] = {"--translate-uid=forbid-guest:1000:100",
                                       "--translate-gid=forbid-guest:1000:100", NULL};
    struct proto *p = start_with(args);
    struct fuse_setattr_in give = {.valid = FATTR_UID, .uid = 1050};
    uint64_t n = proto_make(p, "file", "content");
    uint64_t fh;

    act_as(p, 1000);
    EXPECT(p, fc_create(p->q, ROOT, "new", O_RDWR, 0644, NULL, &fh), -EPERM);
    EXPECT(p, fc_mkdir(p->q, ROOT, "new", 0755, NULL), -EPERM);
    EXPECT(p, fc_symlink(p->q, ROOT, "new", "file", NULL), -EPERM);
    p->q->uid = 5;
    EXPECT(p, fc_mknod(p->q, ROOT, "new", S_IFREG | 0644, 0, NULL), -EPERM);
    g_assert_cmpint(access(proto_path(p, "new"), F_OK), ==, -1);
    act_as(p, 0);
    EXPECT(p, fc_setattr(p->q, n, &give, NULL), -EPERM);
    expect_owner(p, "file", 0, 0);
    expect_translation(p, 1100, 1100, 1100);
    proto_stop(p);
}

/* As Incus passes them: nothing is forbidden, everything from there on is. */
static void translation_of_incus(void)
{
    static const char *const args[] = {"--translate-uid=map:0:1000000:65536",
                                       "--translate-uid=forbid-guest:65536:4294901759",
                                       "--translate-gid=map:0:1000000:65536",
                                       "--translate-gid=forbid-guest:65536:4294901759",
                                       "--translate-uid=squash-host:0:65534:0",
                                       "--translate-gid=squash-host:0:65534:0",
                                       NULL};
    struct proto *p = start_with(args);
    uint64_t fh;

    expect_translation(p, 0, 1000000, 0);
    expect_translation(p, 65535, 1065535, 65535);
    act_as(p, 65536);
    EXPECT(p, fc_create(p->q, ROOT, "new", O_RDWR, 0644, NULL, &fh), -EPERM);
    act_as(p, NOBODY - 1);
    EXPECT(p, fc_create(p->q, ROOT, "new", O_RDWR, 0644, NULL, &fh), -EPERM);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/ids/" #name, name)
    ADD(nobody_owns_nothing);
    ADD(translation_map);
    ADD(translation_guest_and_host);
    ADD(translation_squash);
    ADD(translation_forbids);
    ADD(translation_of_incus);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
