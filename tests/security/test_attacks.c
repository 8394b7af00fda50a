/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was done to daemons of this kind before, by the number it got, and what a guest could try
 * next. A guest's kernel would not send most of this: here it is hostile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

static struct proto *start_with(const char *const *args)
{
    struct proto_opts o = {.args = args};

    return proto_start(&o);
}

static mode_t host_mode(struct proto *p, const char *name)
{
    struct stat st;

    g_assert_cmpint(lstat(proto_path(p, name), &st), ==, 0);
    return st.st_mode;
}

/* CVE-2020-10717: a guest that opens files for ever. */
static void open_files_run_out_for_the_guest_alone(void)
{
    static const char *const args[] = {"--rlimit-nofile=256", NULL};
    struct proto *p = start_with(args);
    uint64_t n = proto_make(p, "file", "content");
    uint64_t fhs[600];
    unsigned opened = 0;
    int rc = 0;
    char buf[8];
    uint64_t fh;

    while (opened < G_N_ELEMENTS(fhs) && (rc = fc_open(p->q, n, O_RDONLY, &fhs[opened])) == 0) {
        opened++;
    }
    g_assert_cmpuint(opened, <, 256);
    g_assert_cmpuint(opened, >, 64);
    EXPECT_ANY(p, rc, -EMFILE, -ENFILE);
    g_assert_cmpint(daemon_count_fds(p->d.pid), <, 400); /* two processes */
    EXPECT_ANY(p, fc_create(p->q, ROOT, "more", O_RDWR, 0644, NULL, &fh), -EMFILE, -ENFILE);
    EXPECT_ALIVE(p);
    EXPECT(p, fc_read(p->q, n, fhs[0], 0, buf, 7), 7);
    for (unsigned i = 0; i < opened; i++) {
        OK(p, fc_release(p->q, n, fhs[i]));
    }
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    OK(p, fc_create(p->q, ROOT, "later", O_RDWR, 0644, NULL, &fh));
    proto_stop(p);
}

/* Not in a user namespace. */
static bool may_make_devices(struct proto *p)
{
    const char *path = proto_path(p, "device");

    return mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0 && unlink(path) == 0;
}

/* CVE-2020-35517: nodes the guest makes itself are never opened, by no way there is. */
static void special_files_are_never_opened(void)
{
    static const uint32_t modes[] = {S_IFCHR | 0666, S_IFBLK | 0666, S_IFIFO | 0666,
                                     S_IFSOCK | 0666};
    struct proto *p = proto_start(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *name = g_strdup_printf("node%u", i);
        struct fuse_setattr_in cut = {.valid = FATTR_SIZE};
        struct fuse_entry_out e;
        uint64_t fh;
        int rc = 0;

        rc = fc_mknod(p->q, ROOT, name, modes[i], (1 << 8) | 3, &e); /* /dev/null, if a device */
        if (rc == -EPERM && (S_ISCHR(modes[i]) || S_ISBLK(modes[i])) && !may_make_devices(p)) {
            g_test_message("no device nodes in this user namespace");
            continue;
        }
        OK(p, rc);
        for (int flags = O_RDONLY; flags <= O_RDWR; flags++) {
            EXPECT(p, fc_open(p->q, e.nodeid, (uint32_t)flags, &fh), -ENXIO);
            EXPECT(p, fc_open(p->q, e.nodeid, (uint32_t)flags | O_NONBLOCK, &fh), -ENXIO);
            EXPECT(p, fc_create(p->q, ROOT, name, (uint32_t)flags, 0644, NULL, &fh), -ENXIO);
        }
        EXPECT_ERROR(p, fc_opendir(p->q, e.nodeid, &fh));
        EXPECT_ERROR(p, fc_setattr(p->q, e.nodeid, &cut, NULL));
        EXPECT_ERROR(p, fc_syncfs(p->q, e.nodeid));
        g_assert_cmpuint(host_mode(p, name), ==, modes[i]);
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* --- CVE-2021-20263: a mapped capability must go when its file changes --- */

enum change { WRITE, CUT, CUT_BY_OPEN, CUT_BY_CREATE, GIVE_AWAY, ALLOCATE, COPY };

static void change_file(struct proto *p, uint64_t n, enum change how)
{
    /* without the kill bit the guest removes the attribute itself, or means to keep it */
    struct fuse_setattr_in attr = {
        .valid = FATTR_KILL_SUIDGID | (how == CUT ? FATTR_SIZE : FATTR_UID), .uid = 5};
    uint64_t fh, from_fh, copied;
    uint64_t from = proto_make(p, "other", "other");

    OK(p, fc_open(p->q, n, O_RDWR, &fh));
    switch (how) {
    case WRITE:
        EXPECT(p, fc_write(p->q, n, fh, 0, "x", 1, 0), 1);
        break;
    case CUT:
    case GIVE_AWAY:
        OK(p, fc_setattr(p->q, n, &attr, NULL));
        break;
    case CUT_BY_OPEN:
        OK(p, fc_open(p->q, n, O_WRONLY | O_TRUNC, &fh));
        break;
    case CUT_BY_CREATE:
        OK(p, fc_create(p->q, ROOT, "prog", O_WRONLY | O_TRUNC, 0755, NULL, &fh));
        break;
    case ALLOCATE:
        OK(p, fc_fallocate(p->q, n, fh, 0, 4096, 0));
        break;
    case COPY:
        OK(p, fc_open(p->q, from, O_RDONLY, &from_fh));
        OK(p, fc_copy_file_range(p->q, from, from_fh, 0, n, fh, 0, 5, false, &copied));
        break;
    }
}

static void mapped_capability_goes_with(enum change how)
{
    static const char *const args[] = {"--xattr",
                                       "--xattrmap=:prefix:all:security.capability:user.virtiofs.:"
                                       ":map:trusted.:user.virtiofs.:",
                                       NULL};
    static const char stored[] = "user.virtiofs.security.capability";
    static const char caps[] = "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0";
    struct proto *p = start_with(args);
    uint64_t n = proto_make(p, "prog", "text");
    char buf[64];

    /* twice: what was learnt from the first time must not hide the second */
    for (int round = 0; round < 2; round++) {
        OK(p, fc_setxattr(p->q, n, "security.capability", caps, sizeof(caps), 0));
        g_assert_cmpint(getxattr(proto_path(p, "prog"), stored, buf, sizeof(buf)), ==,
                        sizeof(caps));
        change_file(p, n, how);
        g_assert_cmpint(getxattr(proto_path(p, "prog"), stored, buf, sizeof(buf)), ==, -1);
        EXPECT(p, fc_getxattr(p->q, n, "security.capability", buf, sizeof(buf)), -ENODATA);
    }
    proto_stop(p);
}

#define GOES_WITH(name, how)                                                                       \
    static void mapped_capability_goes_with_##name(void)                                           \
    {                                                                                              \
        mapped_capability_goes_with(how);                                                          \
    }
GOES_WITH(write, WRITE)
GOES_WITH(truncate, CUT)
GOES_WITH(open_trunc, CUT_BY_OPEN)
GOES_WITH(create_trunc, CUT_BY_CREATE)
GOES_WITH(chown, GIVE_AWAY)
GOES_WITH(fallocate, ALLOCATE)
GOES_WITH(copy_file_range, COPY)

/* --- CVE-2022-0358 --- */

static void setgid_directory_gives_no_setgid_file(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t dir, fh;

    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0777), ==, 0);
    g_assert_cmpint(chmod(proto_path(p, "dir"), 02777), ==, 0); /* of group 0 */
    dir = proto_lookup(p, ROOT, "dir");
    p->q->uid = 1000;
    p->q->gid = 1000;
    OK(p, fc_create(p->q, dir, "prog", O_RDWR, 02755, &e, &fh));
    OK(p, fc_mknod(p->q, dir, "node", S_IFREG | 02755, 0, &e));
    g_assert_cmpuint(host_mode(p, "dir/prog") & 07777, ==, 0755);
    g_assert_cmpuint(host_mode(p, "dir/node") & 07777, ==, 0755);
    proto_stop(p);
}

static gid_t host_gid(struct proto *p, const char *name)
{
    struct stat st;

    g_assert_cmpint(lstat(proto_path(p, name), &st), ==, 0);
    return st.st_gid;
}

/* A group that came along with one request is not there for the next, on the same thread. */
static void supplementary_group_is_gone_afterwards(void)
{
    struct proto *p = proto_start(NULL);
    struct {
        struct fuse_ext_header head;
        uint32_t nr, group;
    } ext = {.head = {.size = 16, .type = FUSE_EXT_GROUPS}, .nr = 1, .group = 4242};
    uint64_t dir, fh;

    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0777), ==, 0);
    g_assert_cmpint(chown(proto_path(p, "dir"), 0, 4242), ==, 0);
    g_assert_cmpint(chmod(proto_path(p, "dir"), 02777), ==, 0);
    dir = proto_lookup(p, ROOT, "dir");
    for (uint32_t uid = 0; uid <= 1000; uid += 1000) { /* the daemon's own ids, and others */
        g_autofree char *with = g_strdup_printf("with%u", uid);
        g_autofree char *without = g_strdup_printf("without%u", uid);
        g_autofree char *path = g_strdup_printf("dir/%s", without);

        p->q->uid = uid;
        p->q->gid = uid;
        memcpy(p->q->ext, &ext, sizeof(ext));
        p->q->ext_len = sizeof(ext);
        OK(p, fc_create(p->q, dir, with, O_RDWR, 0755, NULL, &fh));
        p->q->ext_len = 0;
        p->q->uid = 1000;
        p->q->gid = 1000;
        OK(p, fc_create(p->q, dir, without, O_RDWR, 02755, NULL, &fh));
        g_assert_cmpuint(host_gid(p, path), ==, 4242);
        g_assert_cmpuint(host_mode(p, path) & 07777, ==, 0755);
    }
    proto_stop(p);
}

/* GHSA-rr59-xxvx-96qr: a second source does not override the first. */
static void second_source_is_refused(void)
{
    static const char *const ways[][3] = {{"-o", "source=/", NULL}, {"--shared-dir=/", NULL}};

    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        struct proto *p = proto_new();
        struct daemon_setup setup = {.keep_fd = -1};
        g_auto(GStrv) argv = proto_command(p, ways[i]);

        OK(p, daemon_start(&p->d, argv, &setup));
        OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
        g_assert_cmpuint(daemon_log_lines(&p->d, NULL), ==, 1);
        g_assert_cmpuint(daemon_log_lines(&p->d, DAEMON_READY_TEXT), ==, 0);
        proto_stop_exit(p, 1);
    }
}

static void dot_dot_stays_in_the_share(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t dir, below;

    EXPECT_ANY(p, fc_lookup(p->q, ROOT, "..", &e), -ENOENT, -EINVAL);
    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    g_assert_cmpint(mkdir(proto_path(p, "dir/below"), 0755), ==, 0);
    dir = proto_lookup(p, ROOT, "dir");
    below = proto_lookup(p, dir, "below");
    OK(p, fc_lookup(p->q, below, "..", &e));
    g_assert_cmpuint(e.nodeid, ==, dir);
    OK(p, fc_lookup(p->q, dir, "..", &e));
    g_assert_cmpuint(e.nodeid, ==, ROOT);
    /* the host moves it out from under the guest, who then climbs */
    g_autofree char *outside = g_build_filename(p->base, "outside", NULL);
    g_assert_cmpint(rename(proto_path(p, "dir/below"), outside), ==, 0);
    /* in the sandbox nothing is above it any more */
    EXPECT_ANY(p, fc_lookup(p->q, below, "..", &e), -ESTALE, -ENOENT);
    proto_stop(p);
}

/* Numbers the guest makes up name nothing, and after enough of them nobody even looks. */
static void made_up_numbers_name_nothing(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "content");
    struct fuse_entry_out e;
    struct stat st;
    int rc = 0;
    uint64_t fh;

    /* files beside the share, by the right inode number */
    g_autofree char *outside = g_build_filename(p->base, "outside", NULL);
    g_assert_true(g_file_set_contents(outside, "secret", 6, NULL));
    g_assert_cmpint(stat(outside, &st), ==, 0);
    for (uint64_t i = 0; i < 1000 && rc == 0; i++) {
        rc = fc_lookup(p->q, (i << 32) | (uint32_t)st.st_ino, ".", &e) == -ESTALE ? 0 : -1;
    }
    OK(p, rc);
    for (uint64_t i = 0; i < 67000 && rc == 0; i++) {
        rc = fc_lookup(p->q, (i << 40) + 0x123456789, ".", &e) == -ESTALE ? 0 : -1;
    }
    OK(p, rc);
    EXPECT_ERROR(p, fc_open(p->q, (7ull << 32) | (uint32_t)st.st_ino, O_RDONLY, &fh));
    /* what the guest holds is its own all the same */
    OK(p, fc_lookup(p->q, n, ".", &e));
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    proto_expect_lines_at_most(p, 6);
    proto_stop(p);
}

/* A directory that was moved out of the share cannot be entered again by its old number. */
static void number_of_what_left_the_share_is_stale(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t dir;

    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    dir = proto_lookup(p, ROOT, "dir");
    OK(p, fc_forget(fc_hiprio(&p->fc), dir, 1));
    EXPECT_ERROR(p,
                 fc_getattr(p->q, dir, NULL, NULL)); /* a round trip: the other queue is through */
    g_autofree char *outside = g_build_filename(p->base, "outside", NULL);
    g_assert_cmpint(rename(proto_path(p, "dir"), outside), ==, 0);
    EXPECT(p, fc_lookup(p->q, dir, ".", &e), -ESTALE);
    proto_stop(p);
}

/* --- --readonly --- */

static void readonly_means_all_of_it(void)
{
    static const char *const args[] = {"--readonly", "--xattr", NULL};
    struct proto *p = start_with(args);
    struct fuse_setattr_in attr = {.valid = FATTR_SIZE};
    uint64_t n = proto_make(p, "file", "content");
    uint64_t fh, copied;

    for (uint32_t valid = 1; valid <= FATTR_MTIME; valid <<= 1) {
        attr.valid = valid;
        EXPECT(p, fc_setattr(p->q, n, &attr, NULL), -EROFS);
    }
    EXPECT(p, fc_symlink(p->q, ROOT, "s", "file", NULL), -EROFS);
    EXPECT(p, fc_mknod(p->q, ROOT, "n", S_IFREG | 0644, 0, NULL), -EROFS);
    EXPECT(p, fc_mkdir(p->q, ROOT, "d", 0755, NULL), -EROFS);
    EXPECT(p, fc_unlink(p->q, ROOT, "file"), -EROFS);
    EXPECT(p, fc_rmdir(p->q, ROOT, "file"), -EROFS);
    EXPECT(p, fc_rename(p->q, ROOT, "file", ROOT, "g"), -EROFS);
    EXPECT(p, fc_rename2(p->q, ROOT, "file", ROOT, "g", 4), -EROFS);
    EXPECT(p, fc_link(p->q, n, ROOT, "l", NULL), -EROFS);
    EXPECT(p, fc_setxattr(p->q, n, "user.a", "b", 1, 0), -EROFS);
    EXPECT(p, fc_removexattr(p->q, n, "user.a"), -EROFS);
    EXPECT(p, fc_create(p->q, ROOT, "file", O_RDONLY, 0644, NULL, &fh), -EROFS);
    EXPECT(p, fc_tmpfile(p->q, ROOT, O_RDWR, 0644, NULL, &fh), -EROFS);
    EXPECT(p, fc_open(p->q, n, O_WRONLY, &fh), -EROFS);
    EXPECT(p, fc_open(p->q, n, O_RDWR, &fh), -EROFS); /* what a shared mapping needs */
    EXPECT(p, fc_open(p->q, n, 3, &fh), -EROFS);
    EXPECT(p, fc_open(p->q, n, O_RDONLY | O_TRUNC, &fh), -EROFS);
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    EXPECT(p, fc_write(p->q, n, fh, 0, "x", 1, 0), -EROFS);
    EXPECT(p, fc_fallocate(p->q, n, fh, 0, 1, 0), -EROFS);
    EXPECT(p, fc_copy_file_range(p->q, n, fh, 0, n, fh, 4, 1, false, &copied), -EROFS);
    EXPECT(p, fc_copy_file_range(p->q, n, fh, 0, n, fh, 4, 1, true, &copied), -EROFS);
    EXPECT_ANY(p, fc_ioctl(p->q, n, fh, 0x40086602 /* FS_IOC_SETFLAGS */, 8), -EROFS, -ENOTTY);
    g_autofree char *text = proto_read_file(p, "file");
    g_assert_cmpstr(text, ==, "content");
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/attacks/" #name, name)
    ADD(open_files_run_out_for_the_guest_alone);
    ADD(special_files_are_never_opened);
    ADD(mapped_capability_goes_with_write);
    ADD(mapped_capability_goes_with_truncate);
    ADD(mapped_capability_goes_with_open_trunc);
    ADD(mapped_capability_goes_with_create_trunc);
    ADD(mapped_capability_goes_with_chown);
    ADD(mapped_capability_goes_with_fallocate);
    ADD(mapped_capability_goes_with_copy_file_range);
    ADD(setgid_directory_gives_no_setgid_file);
    ADD(supplementary_group_is_gone_afterwards);
    ADD(second_source_is_refused);
    ADD(dot_dot_stays_in_the_share);
    ADD(made_up_numbers_name_nothing);
    ADD(number_of_what_left_the_share_is_stale);
    ADD(readonly_means_all_of_it);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
