/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's users: what they make is theirs, what the guest's kernel has allowed is done, and
 * nothing of one request is left for the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay.h"

static void act_as(struct proto *p, uint32_t uid, uint32_t gid)
{
    p->q->uid = uid;
    p->q->gid = gid;
}

/* CREATE_SUPP_GROUP: the extension with one group. */
static void with_group(struct proto *p, uint32_t group)
{
    struct fuse_ext_header head = {.size = 16, .type = FUSE_EXT_GROUPS};
    uint32_t groups[2] = {1, group};

    memcpy(p->q->ext, &head, sizeof(head));
    memcpy(p->q->ext + sizeof(head), groups, sizeof(groups));
    p->q->ext_len = 16;
}

static void without_group(struct proto *p)
{
    p->q->ext_len = 0;
}

static void check_owner(struct proto *p, uint64_t dir, const char *name, uint32_t uid, uint32_t gid)
{
    struct fuse_entry_out e;

    OK(p, fc_lookup(p->q, dir, name, &e));
    g_assert_cmpuint(e.attr.uid, ==, uid);
    g_assert_cmpuint(e.attr.gid, ==, gid);
}

/* The guest's overlayfs works in a directory of root's with mode 0 on behalf of any user. */
static void users_work_in_a_directory_of_mode_0(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out work, e;
    uint64_t fh = 0;

    OK(p, fc_mkdir(p->q, ROOT, "work", 0, &work));
    act_as(p, 1000, 1001);
    OK(p, fc_mknod(p->q, work.nodeid, "node", S_IFREG | 0600, 0, &e));
    OK(p, fc_mkdir(p->q, work.nodeid, "dir", 0700, &e));
    OK(p, fc_symlink(p->q, work.nodeid, "link", "x", &e));
    OK(p, fc_mknod(p->q, work.nodeid, "whiteout", S_IFCHR, 0, &e));
    OK(p, fc_create(p->q, work.nodeid, "file", O_RDWR | O_CREAT | O_EXCL, 0, &e, &fh));
    OK(p, fc_release(p->q, e.nodeid, fh));
    check_owner(p, work.nodeid, "node", 1000, 1001);
    check_owner(p, work.nodeid, "dir", 1000, 1001);
    check_owner(p, work.nodeid, "link", 1000, 1001);
    check_owner(p, work.nodeid, "whiteout", 1000, 1001);
    check_owner(p, work.nodeid, "file", 1000, 1001);
    OK(p, fc_rename2(p->q, work.nodeid, "node", ROOT, "made", RENAME_WHITEOUT));
    check_owner(p, ROOT, "made", 1000, 1001);
    OK(p, fc_unlink(p->q, work.nodeid, "file"));
    OK(p, fc_rmdir(p->q, work.nodeid, "dir"));
    proto_stop(p);
}

static void one_user_leaves_nothing_to_the_next(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);

    for (uint32_t i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("f%u", i);
        uint32_t uid = i % 3 == 0 ? 0 : 1000 + i;

        act_as(p, uid, uid * 2);
        OK(p, fc_mknod(p->q, ROOT, name, S_IFREG | 0600, 0, NULL));
        check_owner(p, ROOT, name, uid, uid * 2);
    }
    proto_stop(p);
}

static void ids_that_own_nothing_are_einval(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out e;
    uint64_t fh;

    act_as(p, UINT32_MAX, 0);
    EXPECT(p, fc_mknod(p->q, ROOT, "f", S_IFREG | 0600, 0, NULL), -EINVAL);
    EXPECT(p, fc_mkdir(p->q, ROOT, "f", 0700, NULL), -EINVAL);
    act_as(p, 0, UINT32_MAX);
    EXPECT(p, fc_symlink(p->q, ROOT, "f", "x", NULL), -EINVAL);
    EXPECT(p, fc_create(p->q, ROOT, "f", O_RDWR | O_CREAT, 0600, &e, &fh), -EINVAL);
    act_as(p, UINT32_MAX, UINT32_MAX);
    EXPECT(p, fc_mknod(p->q, ROOT, "f", S_IFCHR, 0, NULL), -EINVAL);
    act_as(p, 0, 0);
    ov_check_absent(p, ROOT, "f");
    proto_stop(p);
}

/* --- S_ISGID: a directory of group 2000 that gives its group away --- */

static uint64_t setgid_dir(struct proto *p)
{
    struct fuse_setattr_in in = {
        .valid = FATTR_GID | FATTR_MODE, .gid = 2000, .mode = S_IFDIR | 02777};
    uint64_t dir = ov_mkdir(p, ROOT, "setgid");
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFDIR | 02777};

    OK(p, fc_setattr(p->q, dir, &in, NULL));
    OK(p, fc_setattr(p->q, dir, &mode, NULL)); /* chown may have cleared it */
    return dir;
}

static uint32_t mode_of(struct proto *p, uint64_t dir, const char *name)
{
    struct fuse_entry_out e;

    OK(p, fc_lookup(p->q, dir, name, &e));
    g_assert_cmpuint(e.attr.gid, ==, 2000);
    return e.attr.mode & 07777;
}

/* CVE-2022-0358 */
static void outsiders_get_no_setgid_file(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = setgid_dir(p);
    struct fuse_entry_out e;
    uint64_t fh = 0;

    act_as(p, 1000, 1000);
    OK(p, fc_mknod(p->q, dir, "node", S_IFREG | 02755, 0, NULL));
    g_assert_cmphex(mode_of(p, dir, "node"), ==, 0755);
    OK(p, fc_create(p->q, dir, "file", O_RDWR | O_CREAT | O_EXCL, 02755, &e, &fh));
    OK(p, fc_release(p->q, e.nodeid, fh));
    g_assert_cmphex(mode_of(p, dir, "file"), ==, 0755);
    OK(p, fc_mkdir(p->q, dir, "dir", 0755, NULL));
    g_assert_cmphex(mode_of(p, dir, "dir"), ==, 02755); /* inherited, not asked for */
    proto_stop(p);
}

static void members_do_by_primary_group(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = setgid_dir(p);

    act_as(p, 1000, 2000);
    OK(p, fc_mknod(p->q, dir, "node", S_IFREG | 02755, 0, NULL));
    g_assert_cmphex(mode_of(p, dir, "node"), ==, 02755);
    proto_stop(p);
}

static void a_supplementary_group_counts_once(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = setgid_dir(p);

    act_as(p, 1000, 1000);
    with_group(p, 2000);
    OK(p, fc_mknod(p->q, dir, "member", S_IFREG | 02755, 0, NULL));
    g_assert_cmphex(mode_of(p, dir, "member"), ==, 02755);
    without_group(p);
    OK(p, fc_mknod(p->q, dir, "next", S_IFREG | 02755, 0, NULL));
    g_assert_cmphex(mode_of(p, dir, "next"), ==, 0755);
    with_group(p, 2000);
    EXPECT(p, fc_mknod(p->q, dir, "next", S_IFREG | 02755, 0, NULL), -EEXIST);
    without_group(p);
    OK(p, fc_mknod(p->q, dir, "after-error", S_IFREG | 02755, 0, NULL));
    g_assert_cmphex(mode_of(p, dir, "after-error"), ==, 0755);
    proto_stop(p);
}

static void a_write_clears_setuid_when_asked(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFREG | 06755};
    uint64_t node = ov_put(p, ROOT, "file", "F");
    struct fuse_attr attr;
    uint64_t fh = 0;

    OK(p, fc_setattr(p->q, node, &mode, &attr));
    g_assert_cmphex(attr.mode & 07777, ==, 06755);
    OK(p, fc_open(p->q, node, O_RDWR, &fh));
    EXPECT(p, fc_write(p->q, node, fh, 0, "x", 1, 0), 1);
    OK(p, fc_getattr(p->q, node, NULL, &attr));
    g_assert_cmphex(attr.mode & 07777, ==, 06755);
    EXPECT(p, fc_write(p->q, node, fh, 0, "x", 1, FUSE_WRITE_KILL_SUIDGID), 1);
    OK(p, fc_getattr(p->q, node, NULL, &attr));
    g_assert_cmphex(attr.mode & 07777, ==, 0755);
    OK(p, fc_release(p->q, node, fh));
    proto_stop(p);
}

static const struct ov_test tests[] = {
#define T(name)                                                                                    \
    {                                                                                              \
#name, name, true                                                                          \
    }
    T(users_work_in_a_directory_of_mode_0), T(one_user_leaves_nothing_to_the_next),
    T(ids_that_own_nothing_are_einval),     T(outsiders_get_no_setgid_file),
    T(members_do_by_primary_group),         T(a_supplementary_group_counts_once),
    T(a_write_clears_setuid_when_asked),    {NULL, NULL, false},
};

static void add_tests(void)
{
    ov_add_tests("creds", tests);
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
