/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The extended attributes of a guest's overlayfs: kept where anybody may keep them, shown under
 * their own names, on every type of file as well as it can be done.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "overlay.h"

#define OPAQUE "trusted.overlay.opaque"
#define STORED "user.virtiofs."

/* Set, read back, seen in the list and on the host, removed: as ovl_*xattr() do. */
static void check_cycle(struct proto *p, uint64_t node, const char *path, const char *name,
                        size_t size)
{
    g_autofree char *stored = g_strconcat(STORED, name, NULL);
    char value[300], buf[512];

    memset(value, 'v', sizeof(value));
    EXPECT(p, fc_getxattr(p->q, node, name, buf, sizeof(buf)), -ENODATA);
    OK(p, fc_setxattr(p->q, node, name, value, size, 0));
    EXPECT(p, fc_getxattr(p->q, node, name, NULL, 0), (int)size);
    EXPECT(p, fc_getxattr(p->q, node, name, buf, sizeof(buf)), (int)size);
    g_assert_cmpint(memcmp(buf, value, size), ==, 0);
    if (size > 1) {
        EXPECT(p, fc_getxattr(p->q, node, name, buf, 1), -ERANGE);
    }
    EXPECT(p, fc_listxattr(p->q, node, NULL, 0), (int)strlen(name) + 1);
    EXPECT(p, fc_listxattr(p->q, node, buf, sizeof(buf)), (int)strlen(name) + 1);
    g_assert_cmpstr(buf, ==, name);
    g_assert_cmpint(getxattr(proto_path(p, path), stored, buf, sizeof(buf)), ==, (int)size);
    EXPECT(p, fc_setxattr(p->q, node, name, "x", 1, XATTR_CREATE), -EEXIST);
    OK(p, fc_setxattr(p->q, node, name, "x", 1, XATTR_REPLACE));
    OK(p, fc_removexattr(p->q, node, name));
    EXPECT(p, fc_removexattr(p->q, node, name), -ENODATA);
    EXPECT(p, fc_setxattr(p->q, node, name, "x", 1, XATTR_REPLACE), -ENODATA);
    EXPECT(p, fc_listxattr(p->q, node, buf, sizeof(buf)), 0);
}

static void cycles_on_a_file(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "file", "F");

    check_cycle(p, node, "file", "trusted.overlay.metacopy", 0);
    check_cycle(p, node, "file", "trusted.overlay.origin", 29);
    check_cycle(p, node, "file", "trusted.overlay.redirect", 300);
    check_cycle(p, node, "file", "trusted.other", 3);
    proto_stop(p);
}

static void cycles_on_a_directory(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "dir");

    check_cycle(p, node, "dir", OPAQUE, 1);
    check_cycle(p, node, "dir", "trusted.overlay.redirect", 300);
    check_cycle(p, node, "dir", "trusted.overlay.upper", 0);
    check_cycle(p, node, "dir", "trusted.overlay.uuid", 16);
    proto_stop(p);
}

static void the_names_of_userxattr_pass(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "dir");
    char buf[64];

    /* a host overlayfs with userxattr keeps these to itself, or escapes them from 6.7 on */
    OK(p, fc_setxattr(p->q, node, "user.overlay.opaque", "y", 1, 0));
    EXPECT(p, fc_getxattr(p->q, node, "user.overlay.opaque", buf, sizeof(buf)), 1);
    OK(p, fc_setxattr(p->q, node, "user.mine", "m", 1, 0));
    EXPECT(p, fc_listxattr(p->q, node, NULL, 0),
           (int)(sizeof("user.overlay.opaque") + sizeof("user.mine")));
    OK(p, fc_removexattr(p->q, node, "user.overlay.opaque"));
    EXPECT(p, fc_getxattr(p->q, node, "user.overlay.opaque", buf, sizeof(buf)), -ENODATA);
    proto_stop(p);
}

/* Any other answer makes overlayfs give up xattrs for the whole mount, or the copy-up. */
static void origin_on_what_cannot_hold_it(struct proto *p, uint64_t node, int want)
{
    char buf[64];

    EXPECT(p, fc_setxattr(p->q, node, "trusted.overlay.origin", "o", 1, 0), want);
    EXPECT(p, fc_getxattr(p->q, node, "trusted.overlay.origin", buf, sizeof(buf)), -ENODATA);
    EXPECT_ANY(p, fc_getxattr(p->q, node, OPAQUE, buf, sizeof(buf)), -ENODATA);
    EXPECT(p, fc_setxattr(p->q, node, OPAQUE, "y", 1, 0), -EPERM);
    EXPECT_ANY(p, fc_removexattr(p->q, node, OPAQUE), -EPERM, -ENODATA);
    EXPECT(p, fc_listxattr(p->q, node, buf, sizeof(buf)), 0);
}

static void check_special(const struct ov_cell *cell, uint32_t minor, int want)
{
    struct proto_opts opts = {.init = {.minor = minor, .flags = fc_default_flags(minor)}};
    struct proto *p = ov_start(cell, &opts);
    struct fuse_entry_out e;

    OK(p, fc_symlink(p->q, ROOT, "link", "x", &e));
    origin_on_what_cannot_hold_it(p, e.nodeid, want);
    OK(p, fc_mknod(p->q, ROOT, "fifo", S_IFIFO | 0644, 0, &e));
    origin_on_what_cannot_hold_it(p, e.nodeid, want);
    origin_on_what_cannot_hold_it(p, ov_whiteout(p, ROOT, "w"), want);
    if (cell->uid == 0) {
        OK(p, fc_mknod(p->q, ROOT, "null", S_IFCHR | 0644, (1 << 8) | 3, &e));
        origin_on_what_cannot_hold_it(p, e.nodeid, want);
    }
    proto_stop(p);
}

static void origin_on_special_files_is_eperm(const struct ov_cell *cell)
{
    check_special(cell, 33, -EPERM);
    check_special(cell, 45, -EPERM);
}

static void older_guests_believe_in_their_origin(const struct ov_cell *cell)
{
    check_special(cell, 32, 0);
}

static void the_stored_names_are_out_of_reach(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "dir");
    char buf[256];

    OK(p, fc_setxattr(p->q, node, OPAQUE, "y", 1, 0));
    EXPECT(p, fc_setxattr(p->q, node, STORED OPAQUE, "n", 1, 0), -EPERM);
    EXPECT_ANY(p, fc_getxattr(p->q, node, STORED OPAQUE, buf, sizeof(buf)), -EPERM, -ENODATA);
    EXPECT(p, fc_removexattr(p->q, node, STORED OPAQUE), -EPERM);
    EXPECT(p, fc_setxattr(p->q, node, STORED "x", "n", 1, 0), -EPERM);
    EXPECT(p, fc_getxattr(p->q, node, OPAQUE, buf, sizeof(buf)), 1);
    g_assert_cmpint(buf[0], ==, 'y');
    proto_stop(p);
}

/* Written by a daemon with -o xattrmap=":map:trusted.:user.virtiofs.:" and nothing else. */
static void shares_of_the_plain_map_are_read(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "dir");
    char buf[64];

    g_assert_cmpint(setxattr(proto_path(p, "dir"), STORED OPAQUE, "y", 1, 0), ==, 0);
    EXPECT(p, fc_getxattr(p->q, node, OPAQUE, buf, sizeof(buf)), 1);
    EXPECT(p, fc_listxattr(p->q, node, buf, sizeof(buf)), sizeof(OPAQUE));
    g_assert_cmpstr(buf, ==, OPAQUE);
    OK(p, fc_removexattr(p->q, node, OPAQUE));
    g_assert_cmpint(getxattr(proto_path(p, "dir"), STORED OPAQUE, buf, sizeof(buf)), ==, -1);
    proto_stop(p);
}

static void they_survive_rename_and_restart(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "dir");
    char buf[8];

    OK(p, fc_setxattr(p->q, node, OPAQUE, "y", 1, 0));
    OK(p, fc_rename(p->q, ROOT, "dir", ROOT, "new"));
    ov_restart(p, cell, NULL);
    node = proto_lookup(p, ROOT, "new");
    EXPECT(p, fc_getxattr(p->q, node, OPAQUE, buf, sizeof(buf)), 1);
    proto_stop(p);
}

/* A capability set in the guest must not outlive a write by somebody else (CVE-2021-20263). */
static void a_write_drops_capabilities(const struct ov_cell *cell)
{
    struct vfs_cap_data caps = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                                .data = {{.permitted = 1 << 13}}};
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "file", "F");
    char buf[64];
    uint64_t fh;
    int rc = fc_setxattr(p->q, node, "security.capability", &caps, XATTR_CAPS_SZ_2, 0);

    OK(p, rc);
    EXPECT(p, fc_getxattr(p->q, node, "security.capability", buf, sizeof(buf)), XATTR_CAPS_SZ_2);
    OK(p, fc_open(p->q, node, 02, &fh));
    EXPECT(p, fc_write(p->q, node, fh, 0, "x", 1, FUSE_WRITE_KILL_SUIDGID), 1);
    EXPECT(p, fc_getxattr(p->q, node, "security.capability", buf, sizeof(buf)), -ENODATA);
    OK(p, fc_release(p->q, node, fh));
    proto_stop(p);
}

static const struct ov_test tests[] = {
#define T(name)                                                                                    \
    {                                                                                              \
#name, name, false                                                                         \
    }
    T(cycles_on_a_file),
    T(cycles_on_a_directory),
    T(the_names_of_userxattr_pass),
    T(origin_on_special_files_is_eperm),
    T(older_guests_believe_in_their_origin),
    T(the_stored_names_are_out_of_reach),
    T(shares_of_the_plain_map_are_read),
    T(they_survive_rename_and_restart),
    {"a_write_drops_capabilities", a_write_drops_capabilities, true},
    {NULL, NULL, false},
};

static void add_tests(void)
{
    ov_add_tests("xattr", tests);
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
