/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names: what LOOKUP, the creating and the removing opcodes do to the host, and their errors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

static struct stat host_stat(struct proto *p, const char *name)
{
    struct stat st;

    g_assert_cmpint(lstat(proto_path(p, name), &st), ==, 0);
    return st;
}

static bool host_has(struct proto *p, const char *name)
{
    struct stat st;

    return lstat(proto_path(p, name), &st) == 0;
}

static void lookup_gives_attributes_of_the_host(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    struct stat st;

    proto_write_file(p, "file", "hello");
    st = host_stat(p, "file");
    OK(p, fc_lookup(p->q, ROOT, "file", &e));
    g_assert_cmpuint(e.nodeid, >, 1);
    g_assert_cmpuint(e.attr.mode, ==, st.st_mode);
    g_assert_cmpuint(e.attr.size, ==, 5);
    g_assert_cmpuint(e.attr.nlink, ==, 1);
    g_assert_cmpuint(e.attr.ino, ==, st.st_ino);
    g_assert_cmpuint(e.attr.mtime, ==, (uint64_t)st.st_mtim.tv_sec);
    g_assert_cmpuint(e.attr.mtimensec, ==, (uint32_t)st.st_mtim.tv_nsec);
    g_assert_cmpuint(e.entry_valid_nsec, <, 1000000000);
    proto_stop(p);
}

static void lookup_of_nothing_is_enoent(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    int rc = fc_lookup(p->q, ROOT, "nothing", &e);

    /* a cached negative is a reply with node 0 */
    if (rc == 0) {
        g_assert_cmpuint(e.nodeid, ==, 0);
    } else {
        EXPECT(p, rc, -ENOENT);
    }
    proto_write_file(p, "file", "");
    EXPECT(p, fc_lookup(p->q, proto_lookup(p, ROOT, "file"), "x", NULL), -ENOTDIR);
    proto_stop(p);
}

/* How a guest revalidates a dentry that it made of a file handle: it has no name and no parent. */
static void lookup_of_a_slash_confirms_a_file(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t file = proto_make(p, "file", "hello");
    struct fuse_entry_out e;

    OK(p, fc_lookup(p->q, file, "/", &e));
    g_assert_cmpuint(e.nodeid, ==, file);
    g_assert_cmpuint(e.attr.size, ==, 5);
    EXPECT(p, fc_lookup(p->q, ROOT, "/", NULL), -EINVAL);
    EXPECT(p, fc_lookup(p->q, file, "//", NULL), -EINVAL);
    EXPECT(p, fc_lookup(p->q, file, "/etc", NULL), -EINVAL);
    proto_stop(p);
}

static void lookup_twice_gives_one_node(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t a = proto_make(p, "file", "");
    struct fuse_entry_out e;

    g_assert_cmpint(link(proto_path(p, "file"), proto_path(p, "other")), ==, 0);
    g_assert_cmpuint(proto_lookup(p, ROOT, "file"), ==, a);
    OK(p, fc_lookup(p->q, ROOT, "other", &e));
    g_assert_cmpuint(e.nodeid, ==, a); /* a hard link is the same inode */
    g_assert_cmpuint(e.attr.nlink, ==, 2);
    proto_stop(p);
}

static void lookup_does_not_follow_symlinks(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;

    g_assert_cmpint(symlink("/", proto_path(p, "link")), ==, 0);
    OK(p, fc_lookup(p->q, ROOT, "link", &e));
    g_assert_true(S_ISLNK(e.attr.mode));
    EXPECT(p, fc_lookup(p->q, e.nodeid, "etc", NULL), -ENOTDIR);
    proto_stop(p);
}

static void lookup_never_leaves_the_share(void)
{
    struct proto *p = proto_start(NULL);
    struct stat root;
    struct fuse_entry_out e = {0};
    uint64_t dir;
    int rc;

    g_assert_cmpint(stat(p->dir, &root), ==, 0);
    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    dir = proto_lookup(p, ROOT, "dir");
    rc = fc_lookup(p->q, ROOT, "..", &e);
    if (rc == 0) {
        g_assert_cmpuint(e.attr.ino, ==, root.st_ino);
    } else {
        EXPECT_ANY(p, rc, -ENOENT, -EINVAL);
    }
    rc = fc_lookup(p->q, dir, "..", &e);
    if (rc == 0) {
        g_assert_cmpuint(e.nodeid, ==, ROOT);
        g_assert_cmpuint(e.generation, ==, 0);
    } else {
        EXPECT_ANY(p, rc, -ENOENT, -EINVAL);
    }
    proto_stop(p);
}

static void lookup_of_a_replaced_file_gives_another_node(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t a = proto_make(p, "file", "old");
    struct fuse_attr attr;

    proto_write_file(p, "new", "newer");
    g_assert_cmpint(rename(proto_path(p, "new"), proto_path(p, "file")), ==, 0);
    g_assert_cmpuint(proto_lookup(p, ROOT, "file"), !=, a);
    OK(p, fc_getattr(p->q, a, NULL, &attr)); /* the old one is still held by the guest */
    g_assert_cmpuint(attr.size, ==, 3);
    g_assert_cmpuint(attr.nlink, ==, 0);
    proto_stop(p);
}

static void getattr_of_the_root(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_attr attr;
    struct stat st;

    g_assert_cmpint(stat(p->dir, &st), ==, 0);
    OK(p, fc_getattr(p->q, ROOT, NULL, &attr));
    g_assert_cmpuint(attr.mode, ==, st.st_mode);
    g_assert_cmpuint(attr.ino, ==, st.st_ino);
    proto_stop(p);
}

static void setattr_of_mode_owner_size_times(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "0123456789");
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = S_IFREG | 0640};
    struct fuse_attr attr;

    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(attr.mode, ==, S_IFREG | 0640);
    in = (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_GID, .uid = 12, .gid = 34};
    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(host_stat(p, "file").st_uid, ==, 12);
    g_assert_cmpuint(host_stat(p, "file").st_gid, ==, 34);
    in = (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 56};
    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(host_stat(p, "file").st_gid, ==, 34);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 4};
    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(attr.size, ==, 4);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_ATIME,
                                  .atime = 1000,
                                  .atimensec = 1,
                                  .mtime = 2000,
                                  .mtimensec = 2};
    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(attr.mtime, ==, 2000);
    g_assert_cmpint(host_stat(p, "file").st_atim.tv_nsec, ==, 1);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_MTIME_NOW};
    OK(p, fc_setattr(p->q, n, &in, &attr));
    g_assert_cmpuint(attr.mtime, >, 1000000);
    g_assert_cmpuint(attr.atime, ==, 1000);
    proto_stop(p);
}

static void setattr_of_times_before_1970(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "");
    struct fuse_setattr_in in = {.valid = FATTR_MTIME, .mtime = (uint64_t)-5};

    OK(p, fc_setattr(p->q, n, &in, NULL));
    g_assert_cmpint(host_stat(p, "file").st_mtim.tv_sec, ==, -5);
    proto_stop(p);
}

static void setattr_errors(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "");
    struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = 1ULL << 63};

    EXPECT_ANY(p, fc_setattr(p->q, n, &in, NULL), -EINVAL, -EFBIG);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 0};
    EXPECT_ANY(p, fc_setattr(p->q, ROOT, &in, NULL), -EISDIR, -EINVAL, -EBADF);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtime = 1, .mtimensec = 2000000000};
    EXPECT(p, fc_setattr(p->q, n, &in, NULL), -EINVAL);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void chmod_of_a_symlink_and_chown_of_it(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_setattr_in in = {.valid = FATTR_UID, .uid = 77};
    struct fuse_entry_out e;

    proto_write_file(p, "target", "");
    OK(p, fc_symlink(p->q, ROOT, "link", "target", &e));
    OK(p, fc_setattr(p->q, e.nodeid, &in, NULL));
    g_assert_cmpuint(host_stat(p, "link").st_uid, ==, 77);
    g_assert_cmpuint(host_stat(p, "target").st_uid, ==, 0);
    proto_stop(p);
}

static void symlink_and_readlink(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    char buf[4096];
    char host[64];

    OK(p, fc_symlink(p->q, ROOT, "link", "some/../where", &e));
    g_assert_true(S_ISLNK(e.attr.mode));
    EXPECT(p, fc_readlink(p->q, e.nodeid, buf, sizeof(buf)), 13);
    g_assert_cmpstr(buf, ==, "some/../where");
    g_assert_cmpint(readlink(proto_path(p, "link"), host, sizeof(host)), ==, 13);
    EXPECT(p, fc_symlink(p->q, ROOT, "link", "x", &e), -EEXIST);
    EXPECT_ANY(p, fc_readlink(p->q, ROOT, buf, sizeof(buf)), -EINVAL, -ENOENT);
    proto_stop(p);
}

static void longest_symlink(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    char target[4096];
    char buf[4096];

    memset(target, 'x', 4095);
    target[4095] = '\0';
    OK(p, fc_symlink(p->q, ROOT, "link", target, &e));
    EXPECT(p, fc_readlink(p->q, e.nodeid, buf, sizeof(buf)), 4095);
    proto_stop(p);
}

static void mkdir_takes_owner_of_the_request(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    struct stat st;

    p->q->uid = 1000;
    p->q->gid = 1001;
    g_assert_cmpint(chmod(p->dir, 0777), ==, 0);
    OK(p, fc_mkdir(p->q, ROOT, "dir", 0750, &e));
    st = host_stat(p, "dir");
    g_assert_cmpuint(st.st_uid, ==, 1000);
    g_assert_cmpuint(st.st_gid, ==, 1001);
    g_assert_cmpuint(st.st_mode, ==, S_IFDIR | 0750);
    g_assert_cmpuint(e.attr.uid, ==, 1000);
    EXPECT(p, fc_mkdir(p->q, ROOT, "dir", 0750, &e), -EEXIST);
    p->q->uid = p->q->gid = 0;
    OK(p, fc_mkdir(p->q, ROOT, "roots", 0755, &e));
    g_assert_cmpuint(host_stat(p, "roots").st_uid, ==, 0);
    proto_stop(p);
}

static void user_may_create_where_the_guest_allowed_it(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out dir;
    struct fuse_entry_out e;

    /* the work directory of an overlay: root's, mode 0, and the guest has checked already */
    OK(p, fc_mkdir(p->q, ROOT, "work", 0, &dir));
    p->q->uid = p->q->gid = 1000;
    OK(p, fc_mknod(p->q, dir.nodeid, "f", S_IFREG | 0600, 0, &e));
    g_assert_cmpuint(host_stat(p, "work/f").st_uid, ==, 1000);
    OK(p, fc_unlink(p->q, dir.nodeid, "f"));
    proto_stop(p);
}

static void mknod_of_every_type(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    struct stat st;

    OK(p, fc_mknod(p->q, ROOT, "reg", S_IFREG | 0644, 0, &e));
    OK(p, fc_mknod(p->q, ROOT, "fifo", S_IFIFO | 0600, 0, &e));
    g_assert_true(S_ISFIFO(e.attr.mode));
    OK(p, fc_mknod(p->q, ROOT, "socket", S_IFSOCK | 0600, 0, &e));
    OK(p, fc_mknod(p->q, ROOT, "whiteout", S_IFCHR, 0, &e));
    g_assert_true(S_ISCHR(e.attr.mode));
    g_assert_cmpuint(e.attr.rdev, ==, 0);
    st = host_stat(p, "whiteout");
    g_assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    EXPECT(p, fc_mknod(p->q, ROOT, "reg", S_IFREG | 0644, 0, &e), -EEXIST);
    EXPECT_ERROR(p, fc_mknod(p->q, ROOT, "dir", S_IFDIR | 0755, 0, &e));
    g_assert_false(host_has(p, "dir"));
    proto_stop(p);
}

static void devices_and_fifos_are_never_opened(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    uint64_t fh;

    g_assert_cmpint(mknod(proto_path(p, "zero"), S_IFCHR | 0666, makedev(1, 5)), ==, 0);
    g_assert_cmpint(mkfifo(proto_path(p, "fifo"), 0666), ==, 0);
    OK(p, fc_lookup(p->q, ROOT, "zero", &e));
    g_assert_cmpuint(e.attr.rdev, ==, (1 << 8) + 5);
    EXPECT_ERROR(p, fc_open(p->q, e.nodeid, O_RDONLY, &fh));
    OK(p, fc_lookup(p->q, ROOT, "fifo", &e));
    EXPECT_ERROR(p, fc_open(p->q, e.nodeid, O_RDONLY, &fh)); /* must not block either */
    EXPECT_ERROR(p, fc_create(p->q, ROOT, "fifo", O_WRONLY | O_CREAT, 0644, &e, &fh));
    EXPECT_ERROR(p, fc_create(p->q, ROOT, "zero", O_RDWR | O_CREAT, 0644, &e, &fh));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void unlink_and_rmdir(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t dir;

    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    dir = proto_lookup(p, ROOT, "dir");
    proto_write_file(p, "dir/file", "");
    EXPECT(p, fc_rmdir(p->q, ROOT, "dir"), -ENOTEMPTY);
    EXPECT_ANY(p, fc_unlink(p->q, ROOT, "dir"), -EISDIR, -EPERM);
    EXPECT(p, fc_rmdir(p->q, dir, "file"), -ENOTDIR);
    OK(p, fc_unlink(p->q, dir, "file")); /* never looked up: the guest may not know the inode */
    g_assert_false(host_has(p, "dir/file"));
    EXPECT(p, fc_unlink(p->q, dir, "file"), -ENOENT);
    OK(p, fc_rmdir(p->q, ROOT, "dir"));
    g_assert_false(host_has(p, "dir"));
    EXPECT(p, fc_rmdir(p->q, ROOT, "dir"), -ENOENT);
    EXPECT_ERROR(p, fc_mkdir(p->q, dir, "in-the-dead", 0755, NULL));
    proto_stop(p);
}

static void rename_moves_and_keeps_the_node(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t file = proto_make(p, "a", "A");
    uint64_t dir;

    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    dir = proto_lookup(p, ROOT, "dir");
    proto_write_file(p, "dir/b", "B");
    OK(p, fc_rename(p->q, ROOT, "a", dir, "b"));
    g_assert_false(host_has(p, "a"));
    g_autofree char *text = proto_read_file(p, "dir/b");
    g_assert_cmpstr(text, ==, "A");
    g_assert_cmpuint(proto_lookup(p, dir, "b"), ==, file);
    EXPECT(p, fc_rename(p->q, ROOT, "a", dir, "b"), -ENOENT);
    EXPECT(p, fc_rename(p->q, ROOT, "dir", dir, "self"), -EINVAL);
    /* its own parent: the kernel says it is not empty before it says it is a directory */
    EXPECT_ANY(p, fc_rename(p->q, dir, "b", ROOT, "dir"), -EISDIR, -ENOTEMPTY);
    proto_stop(p);
}

static void rename2_noreplace_and_exchange(void)
{
    struct proto *p = proto_start(NULL);

    proto_write_file(p, "a", "A");
    proto_write_file(p, "b", "B");
    EXPECT(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_NOREPLACE), -EEXIST);
    OK(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_EXCHANGE));
    g_autofree char *text = proto_read_file(p, "a");
    g_assert_cmpstr(text, ==, "B");
    EXPECT(p, fc_rename2(p->q, ROOT, "a", ROOT, "none", RENAME_EXCHANGE), -ENOENT);
    OK(p, fc_rename2(p->q, ROOT, "a", ROOT, "c", RENAME_NOREPLACE));
    OK(p, fc_rename2(p->q, ROOT, "c", ROOT, "b", 0));
    g_assert_false(host_has(p, "c"));
    proto_stop(p);
}

static void rename2_whiteout_leaves_a_whiteout(void)
{
    struct proto *p = proto_start(NULL);
    struct stat st;

    proto_write_file(p, "a", "A");
    OK(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_WHITEOUT));
    st = host_stat(p, "a");
    g_assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    OK(p, fc_rename2(p->q, ROOT, "b", ROOT, "c", RENAME_WHITEOUT | RENAME_NOREPLACE));
    g_assert_true(host_has(p, "c"));
    proto_stop(p);
}

static void rename2_with_unknown_flags_is_einval(void)
{
    struct proto *p = proto_start(NULL);

    proto_write_file(p, "a", "A");
    EXPECT(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", 1u << 30), -EINVAL);
    EXPECT(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
    g_assert_true(host_has(p, "a"));
    proto_stop(p);
}

static void link_gives_the_same_node(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t file = proto_make(p, "file", "x");
    struct fuse_entry_out e;

    OK(p, fc_link(p->q, file, ROOT, "hard", &e));
    g_assert_cmpuint(e.nodeid, ==, file);
    g_assert_cmpuint(e.attr.nlink, ==, 2);
    g_assert_cmpuint(host_stat(p, "hard").st_ino, ==, host_stat(p, "file").st_ino);
    EXPECT(p, fc_link(p->q, file, ROOT, "hard", &e), -EEXIST);
    EXPECT(p, fc_link(p->q, ROOT, ROOT, "dirlink", &e), -EPERM);
    /* a link to a symlink links the symlink */
    OK(p, fc_symlink(p->q, ROOT, "soft", "file", &e));
    OK(p, fc_link(p->q, e.nodeid, ROOT, "soft2", &e));
    g_assert_true(S_ISLNK(host_stat(p, "soft2").st_mode));
    proto_stop(p);
}

static void names_of_255_bytes_and_of_any_byte(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    char name[257];

    memset(name, 'n', 256);
    name[255] = '\0';
    OK(p, fc_mkdir(p->q, ROOT, name, 0755, &e));
    g_assert_true(host_has(p, name));
    OK(p, fc_mkdir(p->q, ROOT, "\xff\x01 \n", 0755, &e));
    g_assert_true(host_has(p, "\xff\x01 \n"));
    OK(p, fc_rmdir(p->q, ROOT, "\xff\x01 \n"));
    proto_stop(p);
}

static void forget_frees_the_node(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t file = proto_make(p, "file", "");

    proto_lookup(p, ROOT, "file");
    OK(p, fc_forget(fc_hiprio(&p->fc), file, 1));
    OK(p, fc_getattr(p->q, file, NULL, NULL)); /* looked up twice, forgotten once */
    OK(p, fc_forget(fc_hiprio(&p->fc), file, 1));
    EXPECT_ANY(p, fc_getattr(p->q, file, NULL, NULL), -ENOENT, -ESTALE, -EBADF, -EINVAL);
    proto_stop(p);
}

static void batch_forget_frees_many(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_forget_one list[] = {{proto_make(p, "a", ""), 1}, {proto_make(p, "b", ""), 1}};

    OK(p, fc_batch_forget(p->q, list, 2));
    EXPECT_ERROR(p, fc_getattr(p->q, list[0].nodeid, NULL, NULL));
    EXPECT_ERROR(p, fc_getattr(p->q, list[1].nodeid, NULL, NULL));
    proto_stop(p);
}

static void forgotten_inodes_hold_no_descriptor(void)
{
    struct proto *p = proto_start(NULL);
    struct fuse_entry_out e;
    int before;

    proto_write_file(p, "warm-up", "");
    OK(p, fc_forget(fc_hiprio(&p->fc), proto_lookup(p, ROOT, "warm-up"), 1));
    before = daemon_count_fds(p->d.pid);
    for (int i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("f%d", i);

        OK(p, fc_mknod(p->q, ROOT, name, S_IFREG | 0644, 0, &e));
        OK(p, fc_forget(fc_hiprio(&p->fc), e.nodeid, 1));
    }
    g_assert_cmpint(daemon_count_fds(p->d.pid), ==, before);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/names/" #name, name)
    ADD(lookup_gives_attributes_of_the_host);
    ADD(lookup_of_nothing_is_enoent);
    ADD(lookup_of_a_slash_confirms_a_file);
    ADD(lookup_twice_gives_one_node);
    ADD(lookup_does_not_follow_symlinks);
    ADD(lookup_never_leaves_the_share);
    ADD(lookup_of_a_replaced_file_gives_another_node);
    ADD(getattr_of_the_root);
    ADD(setattr_of_mode_owner_size_times);
    ADD(setattr_of_times_before_1970);
    ADD(setattr_errors);
    ADD(chmod_of_a_symlink_and_chown_of_it);
    ADD(symlink_and_readlink);
    ADD(longest_symlink);
    ADD(mkdir_takes_owner_of_the_request);
    ADD(user_may_create_where_the_guest_allowed_it);
    ADD(mknod_of_every_type);
    ADD(devices_and_fifos_are_never_opened);
    ADD(unlink_and_rmdir);
    ADD(rename_moves_and_keeps_the_node);
    ADD(rename2_noreplace_and_exchange);
    ADD(rename2_whiteout_leaves_a_whiteout);
    ADD(rename2_with_unknown_flags_is_einval);
    ADD(link_gives_the_same_node);
    ADD(names_of_255_bytes_and_of_any_byte);
    ADD(forget_frees_the_node);
    ADD(batch_forget_frees_many);
    ADD(forgotten_inodes_hold_no_descriptor);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
