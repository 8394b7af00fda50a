/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whiteouts: made, looked at in every way there is, linked, moved and removed, as a guest's
 * overlayfs does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay.h"

static void mknod_makes_one(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out e, again;
    struct stat st;

    p->q->uid = cell->uid ? 0 : 1000;
    p->q->gid = cell->uid ? 0 : 1001;
    OK(p, fc_mknod(p->q, ROOT, "w", S_IFCHR, 0, &e));
    ov_check_attr(&e.attr);
    ov_check_whiteout(p, ROOT, "w");
    OK(p, fc_lookup(p->q, ROOT, "w", &again));
    g_assert_cmpuint(again.nodeid, ==, e.nodeid);
    g_assert_true(ov_host_is_whiteout(p, "w"));
    g_assert_true(ov_host_is_emulated(p, "w") == !cell->share->native);
    g_assert_cmpint(lstat(proto_path(p, "w"), &st), ==, 0);
    g_assert_cmpuint(st.st_uid, ==, cell->uid ? cell->uid : 1000);
    EXPECT(p, fc_mknod(p->q, ROOT, "w", S_IFCHR, 0, &e), -EEXIST);
    proto_stop(p);
}

static void survives_forget_and_restart(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_whiteout(p, ROOT, "w");

    OK(p, fc_forget(fc_hiprio(&p->fc), node, 1));
    ov_check_whiteout(p, ROOT, "w");
    ov_restart(p, cell, NULL);
    ov_check_whiteout(p, ROOT, "w");
    proto_stop(p);
}

static unsigned type_in(GHashTable *types, const char *name)
{
    g_assert_true(g_hash_table_contains(types, name));
    return GPOINTER_TO_UINT(g_hash_table_lookup(types, name));
}

static void check_types(struct proto *p, bool plus)
{
    g_autoptr(GHashTable) types = ov_types(p, ROOT, plus);

    g_assert_cmpuint(type_in(types, "whiteout"), ==, DT_CHR);
    g_assert_cmpuint(type_in(types, "link"), ==, DT_LNK);
    g_assert_cmpuint(type_in(types, "link-as-long"), ==, DT_LNK);
    g_assert_cmpuint(type_in(types, "file"), ==, DT_REG);
    g_assert_cmpuint(type_in(types, "dir"), ==, DT_DIR);
    g_assert_cmpuint(type_in(types, "fifo"), ==, DT_FIFO);
}

static void readdir_tells_every_type(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    char as_long[] = OV_TARGET;

    as_long[0] = 'x';
    ov_whiteout(p, ROOT, "whiteout");
    ov_put(p, ROOT, "file", "");
    ov_mkdir(p, ROOT, "dir");
    OK(p, fc_symlink(p->q, ROOT, "link", "file", NULL));
    OK(p, fc_symlink(p->q, ROOT, "link-as-long", as_long, NULL));
    OK(p, fc_mknod(p->q, ROOT, "fifo", S_IFIFO | 0600, 0, NULL));
    check_types(p, false);
    check_types(p, true);
    ov_restart(p, cell, NULL); /* nothing is known from before */
    check_types(p, true);
    proto_stop(p);
}

static void link_shares_one(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out e;
    struct fuse_attr attr;
    uint64_t node = ov_whiteout(p, ROOT, "#1");
    uint64_t dir = ov_mkdir(p, ROOT, "dir");

    OK(p, fc_link(p->q, node, ROOT, "#2", &e));
    g_assert_cmpuint(e.nodeid, ==, node);
    g_assert_cmpuint(e.attr.nlink, ==, 2);
    ov_check_attr(&e.attr);
    OK(p, fc_link(p->q, node, dir, "#3", &e));
    g_assert_cmpuint(e.attr.nlink, ==, 3);
    ov_check_whiteout(p, dir, "#3");
    OK(p, fc_lookup(p->q, dir, "#3", &e));
    g_assert_cmpuint(e.nodeid, ==, node);
    OK(p, fc_unlink(p->q, ROOT, "#1"));
    OK(p, fc_getattr(p->q, node, NULL, &attr));
    ov_check_attr(&attr);
    g_assert_cmpuint(attr.nlink, ==, 2);
    proto_stop(p);
}

static void is_never_opened_read_or_cut(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_whiteout(p, ROOT, "w");
    struct fuse_setattr_in cut = {.valid = FATTR_SIZE};
    struct fuse_entry_out e;
    char target[256];
    uint64_t fh;

    EXPECT(p, fc_open(p->q, node, O_RDONLY, &fh), -ENXIO);
    EXPECT(p, fc_open(p->q, node, O_RDWR, &fh), -ENXIO);
    EXPECT(p, fc_create(p->q, ROOT, "w", O_RDWR | O_CREAT, 0644, &e, &fh), -ENXIO);
    EXPECT(p, fc_create(p->q, ROOT, "w", O_RDWR | O_CREAT | O_EXCL, 0644, &e, &fh), -EEXIST);
    EXPECT(p, fc_opendir(p->q, node, &fh), -ENOTDIR);
    EXPECT(p, fc_readlink(p->q, node, target, sizeof(target)), -EINVAL);
    EXPECT(p, fc_setattr(p->q, node, &cut, NULL), -EINVAL);
    EXPECT(p, fc_lookup(p->q, node, "x", NULL), -ENOTDIR);
    proto_stop(p);
}

static void holds_no_user_xattr(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_whiteout(p, ROOT, "w");
    char buf[256];

    EXPECT(p, fc_setxattr(p->q, node, "user.a", "b", 1, 0), -EPERM);
    EXPECT(p, fc_getxattr(p->q, node, "user.a", buf, sizeof(buf)), -ENODATA);
    EXPECT(p, fc_listxattr(p->q, node, buf, sizeof(buf)), 0);
    EXPECT_ANY(p, fc_removexattr(p->q, node, "user.a"), -EPERM, -ENODATA);
    proto_stop(p);
}

static void takes_owner_times_and_mode(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_whiteout(p, ROOT, "w");
    struct fuse_setattr_in times = {
        .valid = FATTR_ATIME | FATTR_MTIME, .atime = 1000, .mtime = 2000, .mtimensec = 7};
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFCHR | 0600};
    struct fuse_setattr_in owner = {.valid = FATTR_UID | FATTR_GID, .uid = 77, .gid = 78};
    struct fuse_attr attr;

    OK(p, fc_setattr(p->q, node, &mode, &attr));
    ov_check_attr(&attr);
    OK(p, fc_setattr(p->q, node, &times, &attr));
    ov_check_attr(&attr);
    g_assert_cmpuint(attr.mtime, ==, 2000);
    g_assert_cmpuint(attr.mtimensec, ==, 7);
    g_assert_cmpuint(attr.atime, ==, 1000);
    if (cell->uid == 0) {
        OK(p, fc_setattr(p->q, node, &owner, &attr));
        ov_check_attr(&attr);
        g_assert_true(attr.uid == 77 && attr.gid == 78);
    }
    ov_check_whiteout(p, ROOT, "w");
    g_assert_true(ov_host_is_whiteout(p, "w"));
    proto_stop(p);
}

static void moves_like_any_node(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = ov_mkdir(p, ROOT, "dir");
    uint64_t node = ov_whiteout(p, ROOT, "#w");

    ov_put(p, ROOT, "file", "F");
    ov_put(p, dir, "victim", "V");
    OK(p, fc_rename(p->q, ROOT, "#w", dir, "victim"));
    ov_check_absent(p, ROOT, "#w");
    ov_check_whiteout(p, dir, "victim");
    g_assert_cmpuint(proto_lookup(p, dir, "victim"), ==, node);
    OK(p, fc_rename(p->q, ROOT, "file", dir, "victim"));
    ov_check_text(p, dir, "victim", "F");
    ov_whiteout(p, ROOT, "w");
    EXPECT(p, fc_rename(p->q, ROOT, "dir", ROOT, "w"), -ENOTDIR);
    /* its own parent: not empty */
    EXPECT_ANY(p, fc_rename(p->q, ROOT, "w", ROOT, "dir"), -EISDIR);
    EXPECT(p, fc_rmdir(p->q, ROOT, "w"), -ENOTDIR);
    OK(p, fc_unlink(p->q, ROOT, "w"));
    ov_check_absent(p, ROOT, "w");
    proto_stop(p);
}

static void is_exchanged_with_anything(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = ov_mkdir(p, ROOT, "dir");
    uint64_t inner = ov_mkdir(p, dir, "inner");
    uint64_t file = ov_put(p, ROOT, "file", "F");

    ov_whiteout(p, ROOT, "w");
    OK(p, fc_rename2(p->q, ROOT, "w", ROOT, "file", RENAME_EXCHANGE));
    ov_check_whiteout(p, ROOT, "file");
    ov_check_text(p, ROOT, "w", "F");
    g_assert_cmpuint(proto_lookup(p, ROOT, "w"), ==, file);
    OK(p, fc_rename2(p->q, ROOT, "file", dir, "inner", RENAME_EXCHANGE));
    ov_check_whiteout(p, dir, "inner");
    g_assert_cmpuint(proto_lookup(p, ROOT, "file"), ==, inner);
    ov_whiteout(p, dir, "w");
    OK(p, fc_rename2(p->q, dir, "w", dir, "inner", RENAME_EXCHANGE));
    ov_check_whiteout(p, dir, "w");
    ov_check_whiteout(p, dir, "inner");
    EXPECT(p, fc_rename2(p->q, dir, "w", dir, "none", RENAME_EXCHANGE), -ENOENT);
    EXPECT(p, fc_rename2(p->q, dir, "w", dir, "inner", RENAME_EXCHANGE | RENAME_WHITEOUT), -EINVAL);
    proto_stop(p);
}

static void its_stored_form_cannot_be_made_by_symlink(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out e;
    char buf[256];

    EXPECT(p, fc_symlink(p->q, ROOT, "s", OV_TARGET, NULL), -EPERM);
    ov_check_absent(p, ROOT, "s");
    OK(p, fc_symlink(p->q, ROOT, "s", OV_TARGET "/", &e));
    g_assert_true(S_ISLNK(e.attr.mode));
    EXPECT(p, fc_readlink(p->q, e.nodeid, buf, sizeof(buf)), (int)strlen(OV_TARGET) + 1);
    OK(p, fc_symlink(p->q, ROOT, "t", &OV_TARGET[1], &e));
    g_assert_true(S_ISLNK(e.attr.mode));
    proto_stop(p);
}

static void reserved_names_cannot_be_made(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    const char *name = OV_RESERVED "tmp.1";
    uint64_t file = ov_put(p, ROOT, "file", "F");
    struct fuse_entry_out e;
    uint64_t fh;

    EXPECT(p, fc_mknod(p->q, ROOT, name, S_IFREG | 0644, 0, NULL), -EPERM);
    EXPECT(p, fc_mknod(p->q, ROOT, name, S_IFCHR, 0, NULL), -EPERM);
    EXPECT(p, fc_mkdir(p->q, ROOT, name, 0755, NULL), -EPERM);
    EXPECT(p, fc_symlink(p->q, ROOT, name, "x", NULL), -EPERM);
    EXPECT(p, fc_link(p->q, file, ROOT, name, NULL), -EPERM);
    EXPECT(p, fc_create(p->q, ROOT, name, O_RDWR | O_CREAT, 0644, &e, &fh), -EPERM);
    EXPECT(p, fc_rename(p->q, ROOT, "file", ROOT, name), -EPERM);
    EXPECT(p, fc_rename2(p->q, ROOT, "file", ROOT, name, RENAME_WHITEOUT), -EPERM);
    ov_check_no_leftover(p, ".");
    ov_check_text(p, ROOT, "file", "F");
    proto_stop(p);
}

static void reserved_names_are_invisible(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    const char *name = OV_RESERVED "journal";

    ov_put(p, ROOT, "file", "F");
    g_assert_cmpint(mkdir(proto_path(p, name), 0755), ==, 0);
    ov_check_absent(p, ROOT, name);
    EXPECT(p, fc_rmdir(p->q, ROOT, name), -ENOENT);
    EXPECT(p, fc_unlink(p->q, ROOT, name), -ENOENT);
    EXPECT(p, fc_rename(p->q, ROOT, name, ROOT, "mine"), -ENOENT);
    EXPECT_ANY(p, fc_rename2(p->q, ROOT, "file", ROOT, name, RENAME_EXCHANGE), -EPERM, -ENOENT);
    for (int plus = 0; plus < 2; plus++) {
        g_autoptr(GHashTable) types = ov_types(p, ROOT, plus);

        g_assert_true(g_hash_table_contains(types, "file"));
        g_assert_false(g_hash_table_contains(types, name));
    }
    g_assert_cmpint(rmdir(proto_path(p, name)), ==, 0);
    proto_stop(p);
}

static void both_forms_are_understood(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    bool native = mknod(proto_path(p, "native"), S_IFCHR, makedev(0, 0)) == 0;

    g_assert_true(native || !cell->share->native);
    g_assert_cmpint(symlink(OV_TARGET, proto_path(p, "link")), ==, 0);
    ov_check_whiteout(p, ROOT, "link");
    if (native) {
        ov_check_whiteout(p, ROOT, "native");
        OK(p, fc_rename2(p->q, ROOT, "link", ROOT, "native", RENAME_EXCHANGE));
    }
    for (int plus = 0; plus < 2; plus++) {
        g_autoptr(GHashTable) types = ov_types(p, ROOT, plus);

        g_assert_cmpuint(type_in(types, "link"), ==, DT_CHR);
        g_assert_cmpuint(native ? type_in(types, "native") : DT_CHR, ==, DT_CHR);
    }
    if (cell->uid == 0) {
        OK(p, fc_unlink(p->q, ROOT, "link"));
        ov_check_absent(p, ROOT, "link");
    }
    proto_stop(p);
}

/* Anything else makes the guest mount read-only (ovl_workdir_create). */
static void check_removed_acl(struct proto *p, int rc)
{
    if (rc != 0) {
        EXPECT_ANY(p, rc, -ENODATA, -EOPNOTSUPP);
    }
}

/* What a guest's overlayfs tries at mount (ovl_check_rename_whiteout and friends). */
static void the_mount_probes_of_overlayfs_pass(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t base = ov_mkdir(p, ROOT, "work");
    uint64_t work = 0;
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFDIR};
    struct fuse_entry_out e;
    char buf[8];

    OK(p, fc_mkdir(p->q, base, "work", 0, &e));
    work = e.nodeid;
    check_removed_acl(p, fc_removexattr(p->q, work, "system.posix_acl_default"));
    check_removed_acl(p, fc_removexattr(p->q, work, "system.posix_acl_access"));
    OK(p, fc_setattr(p->q, work, &mode, NULL));
    OK(p, fc_mknod(p->q, work, "#1", S_IFREG, 0, NULL));
    ov_check_absent(p, work, "#2");
    OK(p, fc_rename2(p->q, work, "#1", work, "#2", RENAME_WHITEOUT));
    ov_check_whiteout(p, work, "#1");
    OK(p, fc_unlink(p->q, work, "#1"));
    OK(p, fc_unlink(p->q, work, "#2"));
    OK(p, fc_setxattr(p->q, work, "trusted.overlay.opaque", "0", 1, 0));
    EXPECT(p, fc_getxattr(p->q, work, "trusted.overlay.opaque", buf, sizeof(buf)), 1);
    OK(p, fc_removexattr(p->q, work, "trusted.overlay.opaque"));
    proto_stop(p);
}

/* rm f; echo > f, and rm -r d; mkdir d, as the guest's user: in a work directory of mode 0. */
static void names_come_back_over_whiteouts(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t upper = ov_mkdir(p, ROOT, "upper");
    struct fuse_entry_out work, e;

    OK(p, fc_mkdir(p->q, ROOT, "work", 0, &work));
    ov_whiteout(p, upper, "f");
    ov_whiteout(p, upper, "d");
    p->q->uid = p->q->gid = cell->uid ? 0 : 1000; /* an ordinary user's daemon knows one user */
    OK(p, fc_mknod(p->q, work.nodeid, "#1", S_IFREG | 0644, 0, &e));
    OK(p, fc_rename(p->q, work.nodeid, "#1", upper, "f"));
    OK(p, fc_mkdir(p->q, work.nodeid, "#2", 0755, &e));
    OK(p, fc_setxattr(p->q, e.nodeid, "trusted.overlay.opaque", "y", 1, 0));
    OK(p, fc_rename2(p->q, work.nodeid, "#2", upper, "d", RENAME_EXCHANGE));
    ov_check_whiteout(p, work.nodeid, "#2");
    OK(p, fc_unlink(p->q, work.nodeid, "#2"));
    OK(p, fc_lookup(p->q, upper, "f", &e));
    g_assert_true(S_ISREG(e.attr.mode) && e.attr.uid == (cell->uid ? e.attr.uid : 1000));
    OK(p, fc_lookup(p->q, upper, "d", &e));
    g_assert_true(S_ISDIR(e.attr.mode));
    proto_stop(p);
}

static const struct ov_test tests[] = {
#define T(name)                                                                                    \
    {                                                                                              \
#name, name, false                                                                         \
    }
    T(mknod_makes_one),
    T(survives_forget_and_restart),
    T(readdir_tells_every_type),
    T(link_shares_one),
    T(is_never_opened_read_or_cut),
    T(holds_no_user_xattr),
    T(takes_owner_times_and_mode),
    T(moves_like_any_node),
    T(is_exchanged_with_anything),
    T(its_stored_form_cannot_be_made_by_symlink),
    T(reserved_names_cannot_be_made),
    T(reserved_names_are_invisible),
    T(both_forms_are_understood),
    T(the_mount_probes_of_overlayfs_pass),
    T(names_come_back_over_whiteouts),
    {NULL, NULL, false},
};

static void add_tests(void)
{
    ov_add_tests("whiteout", tests);
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
