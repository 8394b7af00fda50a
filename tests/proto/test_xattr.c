/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes over the wire, plain and through a map, looked at from both sides.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

static struct proto *start_with(const char *map)
{
    g_autofree char *word = map ? g_strdup_printf("xattrmap=%s", map) : g_strdup("xattr");
    const char *args[] = {"-o", "xattr", "-o", word, NULL};
    struct proto_opts o = {.args = args};

    return proto_start(&o);
}

/* Is name in the NUL-separated list? */
static bool listed(const char *list, int len, const char *name)
{
    for (int at = 0; at < len; at += (int)strlen(list + at) + 1) {
        if (strcmp(list + at, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool guest_lists(struct proto *p, uint64_t n, const char *name)
{
    char list[4096];
    int len = fc_listxattr(p->q, n, list, sizeof(list));

    g_assert_cmpint(len, >=, 0);
    EXPECT(p, fc_listxattr(p->q, n, NULL, 0), len);
    return listed(list, len, name);
}

static void expect_host(struct proto *p, const char *file, const char *name, const char *value)
{
    char buf[256];
    ssize_t n = lgetxattr(proto_path(p, file), name, buf, sizeof(buf));

    if (!value) {
        g_assert_cmpint(n, ==, -1);
        return;
    }
    g_assert_cmpint(n, ==, (ssize_t)strlen(value));
    g_assert_cmpmem(buf, n, value, strlen(value));
}

static void expect_guest(struct proto *p, uint64_t n, const char *name, const char *value)
{
    char buf[256];

    EXPECT(p, fc_getxattr(p->q, n, name, buf, sizeof(buf)), (int)strlen(value));
    g_assert_cmpmem(buf, strlen(value), value, strlen(value));
    EXPECT(p, fc_getxattr(p->q, n, name, NULL, 0), (int)strlen(value));
}

static void off_without_the_option(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t n = proto_make(p, "file", "");
    char buf[16];

    EXPECT_ANY(p, fc_setxattr(p->q, n, "user.a", "1", 1, 0), -EOPNOTSUPP, -ENOSYS);
    EXPECT_ANY(p, fc_getxattr(p->q, n, "user.a", buf, 16), -EOPNOTSUPP, -ENOSYS);
    EXPECT_ANY(p, fc_listxattr(p->q, n, buf, 16), -EOPNOTSUPP, -ENOSYS);
    EXPECT_ANY(p, fc_removexattr(p->q, n, "user.a"), -EOPNOTSUPP, -ENOSYS);
    proto_stop(p);
}

static void set_get_list_remove(void)
{
    struct proto *p = start_with(NULL);
    uint64_t n = proto_make(p, "file", "");
    char buf[16];

    OK(p, fc_setxattr(p->q, n, "user.a", "value", 5, 0));
    expect_host(p, "file", "user.a", "value");
    expect_guest(p, n, "user.a", "value");
    g_assert_true(guest_lists(p, n, "user.a"));
    EXPECT(p, fc_setxattr(p->q, n, "user.a", "x", 1, XATTR_CREATE), -EEXIST);
    EXPECT(p, fc_setxattr(p->q, n, "user.b", "x", 1, XATTR_REPLACE), -ENODATA);
    OK(p, fc_setxattr(p->q, n, "user.a", "new", 3, XATTR_REPLACE));
    expect_guest(p, n, "user.a", "new");
    EXPECT(p, fc_getxattr(p->q, n, "user.a", buf, 2), -ERANGE);
    EXPECT(p, fc_listxattr(p->q, n, buf, 2), -ERANGE);
    OK(p, fc_removexattr(p->q, n, "user.a"));
    EXPECT(p, fc_removexattr(p->q, n, "user.a"), -ENODATA);
    EXPECT(p, fc_getxattr(p->q, n, "user.a", buf, 16), -ENODATA);
    g_assert_false(guest_lists(p, n, "user.a"));
    proto_stop(p);
}

static void value_of_zero_length(void)
{
    static const char *const maps[] = {NULL, ":map:trusted.:user.virtiofs.:"};

    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        struct proto *p = start_with(maps[i]);
        uint64_t n = proto_make(p, "file", "");

        OK(p, fc_setxattr(p->q, n, "user.empty", NULL, 0, 0));
        expect_guest(p, n, "user.empty", "");
        expect_host(p, "file", "user.empty", "");
        if (maps[i]) {
            OK(p, fc_setxattr(p->q, n, "trusted.empty", NULL, 0, 0));
            expect_guest(p, n, "trusted.empty", "");
            expect_host(p, "file", "user.virtiofs.trusted.empty", "");
        }
        proto_stop(p);
    }
}

static void large_value(void)
{
    struct proto *p = start_with(NULL);
    uint64_t n = proto_make(p, "file", "");
    char value[3000];
    char back[4096];

    memset(value, 'v', sizeof(value));
    OK(p, fc_setxattr(p->q, n, "user.large", value, sizeof(value), 0));
    EXPECT(p, fc_getxattr(p->q, n, "user.large", back, sizeof(back)), sizeof(value));
    g_assert_cmpmem(back, sizeof(value), value, sizeof(value));
    EXPECT(p, fc_getxattr(p->q, n, "user.large", back, sizeof(value)), sizeof(value));
    proto_stop(p);
}

static void on_directories_and_special_files(void)
{
    struct proto *p = start_with(NULL);
    struct fuse_entry_out e;

    OK(p, fc_setxattr(p->q, ROOT, "user.root", "1", 1, 0));
    expect_guest(p, ROOT, "user.root", "1");
    OK(p, fc_mkdir(p->q, ROOT, "dir", 0755, &e));
    OK(p, fc_setxattr(p->q, e.nodeid, "user.dir", "1", 1, 0));
    expect_host(p, "dir", "user.dir", "1");
    OK(p, fc_symlink(p->q, ROOT, "link", "dir", &e));
    EXPECT(p, fc_setxattr(p->q, e.nodeid, "user.link", "1", 1, 0), -EPERM);
    expect_host(p, "dir", "user.link", NULL);
    OK(p, fc_mknod(p->q, ROOT, "fifo", S_IFIFO | 0600, 0, &e));
    EXPECT(p, fc_setxattr(p->q, e.nodeid, "user.fifo", "1", 1, 0), -EPERM); /* and no waiting */
    proto_stop(p);
}

static void xattr_of_an_unlinked_file(void)
{
    struct proto *p = start_with(NULL);
    uint64_t n = proto_make(p, "file", "");

    OK(p, fc_setxattr(p->q, n, "user.a", "1", 1, 0));
    OK(p, fc_unlink(p->q, ROOT, "file"));
    expect_guest(p, n, "user.a", "1");
    proto_stop(p);
}

static void trusted_is_mapped_both_ways(void)
{
    struct proto *p = start_with(":map:trusted.:user.virtiofs.:");
    uint64_t n = proto_make(p, "file", "");
    char buf[16];

    OK(p, fc_setxattr(p->q, n, "trusted.overlay.opaque", "y", 1, 0));
    expect_host(p, "file", "user.virtiofs.trusted.overlay.opaque", "y");
    expect_host(p, "file", "trusted.overlay.opaque", NULL);
    expect_guest(p, n, "trusted.overlay.opaque", "y");
    g_assert_true(guest_lists(p, n, "trusted.overlay.opaque"));
    g_assert_false(guest_lists(p, n, "user.virtiofs.trusted.overlay.opaque"));
    /* what the host put there is seen under the guest's name */
    g_assert_cmpint(setxattr(proto_path(p, "file"), "user.virtiofs.trusted.host", "h", 1, 0), ==,
                    0);
    expect_guest(p, n, "trusted.host", "h");
    OK(p, fc_removexattr(p->q, n, "trusted.overlay.opaque"));
    expect_host(p, "file", "user.virtiofs.trusted.overlay.opaque", NULL);
    EXPECT(p, fc_getxattr(p->q, n, "trusted.overlay.opaque", buf, 16), -ENODATA);
    /* other names pass as they are */
    OK(p, fc_setxattr(p->q, n, "user.plain", "p", 1, 0));
    expect_host(p, "file", "user.plain", "p");
    g_assert_true(guest_lists(p, n, "user.plain"));
    proto_stop(p);
}

static void stored_names_are_out_of_reach(void)
{
    struct proto *p = start_with(":map:trusted.:user.virtiofs.:");
    uint64_t n = proto_make(p, "file", "");
    char buf[16];

    OK(p, fc_setxattr(p->q, n, "trusted.a", "1", 1, 0));
    EXPECT(p, fc_setxattr(p->q, n, "user.virtiofs.trusted.a", "2", 1, 0), -EPERM);
    EXPECT(p, fc_setxattr(p->q, n, "user.virtiofs.x", "2", 1, 0), -EPERM);
    EXPECT_ERROR(p, fc_getxattr(p->q, n, "user.virtiofs.trusted.a", buf, 16));
    EXPECT(p, fc_removexattr(p->q, n, "user.virtiofs.trusted.a"), -EPERM);
    expect_guest(p, n, "trusted.a", "1");
    /* the host's own trusted.* is not the guest's: it would pass for the mapped one */
    g_assert_cmpint(setxattr(proto_path(p, "file"), "trusted.real", "r", 1, 0), ==, 0);
    g_assert_false(guest_lists(p, n, "trusted.real"));
    EXPECT(p, fc_getxattr(p->q, n, "trusted.real", buf, 16), -ENODATA);
    proto_stop(p);
}

static void everything_is_mapped(void)
{
    struct proto *p = start_with(":map::user.virtiofs.:");
    uint64_t n = proto_make(p, "file", "");

    OK(p, fc_setxattr(p->q, n, "user.a", "1", 1, 0));
    expect_host(p, "file", "user.virtiofs.user.a", "1");
    OK(p, fc_setxattr(p->q, n, "security.capability", "cap", 3, 0));
    expect_host(p, "file", "user.virtiofs.security.capability", "cap");
    OK(p, fc_setxattr(p->q, n, "made.up", "1", 1, 0));
    expect_guest(p, n, "made.up", "1");
    g_assert_cmpint(setxattr(proto_path(p, "file"), "user.host", "h", 1, 0), ==, 0);
    g_assert_false(guest_lists(p, n, "user.host"));
    g_assert_true(guest_lists(p, n, "security.capability"));
    proto_stop(p);
}

static void rules_prefix_bad_unsupported_ok(void)
{
    struct proto *p = start_with("/prefix/all/user.pre/user.moved./ /bad/all/user.bad/user.bad/"
                                 " /unsupported/client/user.un//\n /ok/all///");
    uint64_t n = proto_make(p, "file", "");
    char buf[16];

    OK(p, fc_setxattr(p->q, n, "user.prefixed", "1", 1, 0));
    expect_host(p, "file", "user.moved.user.prefixed", "1");
    expect_guest(p, n, "user.prefixed", "1");
    g_assert_true(guest_lists(p, n, "user.prefixed"));
    EXPECT(p, fc_setxattr(p->q, n, "user.bad1", "1", 1, 0), -EPERM);
    EXPECT(p, fc_removexattr(p->q, n, "user.bad1"), -EPERM);
    g_assert_cmpint(setxattr(proto_path(p, "file"), "user.bad1", "h", 1, 0), ==, 0);
    g_assert_false(guest_lists(p, n, "user.bad1"));
    EXPECT_ANY(p, fc_getxattr(p->q, n, "user.bad1", buf, 16), -EPERM, -ENODATA);
    EXPECT(p, fc_setxattr(p->q, n, "user.un1", "1", 1, 0), -EOPNOTSUPP);
    EXPECT(p, fc_getxattr(p->q, n, "user.un1", buf, 16), -EOPNOTSUPP);
    OK(p, fc_setxattr(p->q, n, "user.fine", "1", 1, 0));
    proto_stop(p);
}

static void a_mapped_name_that_gets_too_long(void)
{
    struct proto *p = start_with(":map:trusted.:user.virtiofs.:");
    uint64_t n = proto_make(p, "file", "");
    char name[256];
    char buf[16];

    memset(name, 'n', sizeof(name));
    memcpy(name, "trusted.", 8);
    name[250] = '\0'; /* legal for the guest, not with 14 bytes before it */
    EXPECT_ANY(p, fc_setxattr(p->q, n, name, "1", 1, 0), -ERANGE, -ENAMETOOLONG, -EINVAL);
    EXPECT_ANY(p, fc_getxattr(p->q, n, name, buf, 16), -ERANGE, -ENAMETOOLONG, -EINVAL, -ENODATA);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void list_is_no_longer_than_it_says(void)
{
    struct proto *p = start_with(":map:trusted.:user.virtiofs.:");
    uint64_t n = proto_make(p, "file", "");
    char list[2048];
    int len;

    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("trusted.number.%d", i);

        OK(p, fc_setxattr(p->q, n, name, "1", 1, 0));
        g_autofree char *hidden = g_strdup_printf("trusted.hidden.%d", i);
        g_assert_cmpint(setxattr(proto_path(p, "file"), hidden, "1", 1, 0), ==, 0);
    }
    len = fc_listxattr(p->q, n, list, sizeof(list));
    g_assert_cmpint(len, >, 0);
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("trusted.number.%d", i);

        g_assert_true(listed(list, len, name));
    }
    g_assert_false(listed(list, len, "trusted.hidden.1"));
    /* the guest asks for the size and brings exactly that */
    EXPECT(p, fc_listxattr(p->q, n, NULL, 0), len);
    EXPECT(p, fc_listxattr(p->q, n, list, (size_t)len), len);
    EXPECT(p, fc_listxattr(p->q, n, list, (size_t)len - 1), -ERANGE);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/xattr/" #name, name)
    ADD(off_without_the_option);
    ADD(set_get_list_remove);
    ADD(value_of_zero_length);
    ADD(large_value);
    ADD(on_directories_and_special_files);
    ADD(xattr_of_an_unlinked_file);
    ADD(trusted_is_mapped_both_ways);
    ADD(stored_names_are_out_of_reach);
    ADD(everything_is_mapped);
    ADD(rules_prefix_bad_unsupported_ok);
    ADD(a_mapped_name_that_gets_too_long);
    ADD(list_is_no_longer_than_it_says);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
