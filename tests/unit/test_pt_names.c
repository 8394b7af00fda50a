/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pt_*: names looked up, made, moved and removed, and their attributes, without a daemon around.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pt_fixture.h"

static void a_name_gives_the_same_number_each_time(struct pt_fixture *f)
{
    struct pt_figures figures;
    uint64_t node = 0;

    pt_host_write(f, "file", "x");
    node = pt_look(f, ROOT, "file");
    g_assert_cmpuint(pt_look(f, ROOT, "file"), ==, node);
    g_assert_cmpuint(pt_look(f, ROOT, "file"), ==, node);
    pt_figures(f->fs, &figures);
    g_assert_cmpuint(figures.inodes, ==, 1);
    g_assert_true(pt_forget(f->fs, node, 3));
    pt_figures(f->fs, &figures);
    g_assert_cmpuint(figures.inodes, ==, 0);
    g_assert_false(pt_forget(f->fs, node, 1));
}

static void numbers_nobody_gave_are_refused(struct pt_fixture *f)
{
    struct pt_entry entry;
    struct statx st;

    g_assert_cmpint(pt_getattr(f->fs, 4711, PT_NO_FH, &st), ==, -EINVAL);
    g_assert_cmpint(pt_lookup(f->fs, 4711, "x", &entry), ==, -EINVAL);
    g_assert_cmpint(pt_lookup(f->fs, 4711, ".", &entry), ==, -ESTALE);
    g_assert_cmpint(pt_unlink(f->fs, 4711, "x"), ==, -EINVAL);
    g_assert_cmpint(pt_rename(f->fs, &(struct pt_caller){0}, ROOT, "x", 4711, "y", 0), ==, -EINVAL);
    g_assert_cmpint(pt_link(f->fs, 4711, ROOT, "x", &entry), ==, -EINVAL);
}

static void dots(struct pt_fixture *f)
{
    struct pt_entry dir = pt_make_dir(f, ROOT, "dir"), entry;

    g_assert_cmpint(pt_lookup(f->fs, dir.nodeid, ".", &entry), ==, 0);
    g_assert_cmpuint(entry.nodeid, ==, dir.nodeid);
    g_assert_cmpint(pt_lookup(f->fs, dir.nodeid, "..", &entry), ==, 0);
    g_assert_cmpuint(entry.nodeid, ==, ROOT);
    g_assert_cmpint(pt_lookup(f->fs, ROOT, "..", &entry), ==, -ENOENT);
    g_assert_cmpint(pt_lookup(f->fs, ROOT, ".", &entry), ==, 0);
    g_assert_cmpuint(entry.nodeid, ==, ROOT);
}

static void a_link_is_the_same_number(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file"), linked;

    g_assert_cmpint(pt_link(f->fs, file.nodeid, ROOT, "linked", &linked), ==, 0);
    g_assert_cmpuint(linked.nodeid, ==, file.nodeid);
    g_assert_cmpuint(linked.st.stx_nlink, ==, 2);
    g_assert_cmpuint(pt_look(f, ROOT, "linked"), ==, file.nodeid);
    g_assert_cmpint(pt_link(f->fs, file.nodeid, ROOT, "linked", &linked), ==, -EEXIST);
}

static void a_moved_file_keeps_its_number(struct pt_fixture *f)
{
    struct pt_caller me = {.uid = geteuid(), .gid = getegid()};
    struct pt_entry dir = pt_make_dir(f, ROOT, "dir");
    struct pt_entry file = pt_make_file(f, ROOT, "file"), entry;

    g_assert_cmpint(pt_rename(f->fs, &me, ROOT, "file", dir.nodeid, "new", 0), ==, 0);
    g_assert_cmpuint(pt_look(f, dir.nodeid, "new"), ==, file.nodeid);
    g_assert_cmpint(pt_lookup(f->fs, ROOT, "file", &entry), ==, -ENOENT);
    pt_make_file(f, ROOT, "other");
    g_assert_cmpint(pt_rename(f->fs, &me, ROOT, "other", dir.nodeid, "new", RENAME_NOREPLACE), ==,
                    -EEXIST);
    g_assert_cmpint(pt_rename(f->fs, &me, ROOT, "other", dir.nodeid, "new", 1u << 20), ==, -EINVAL);
    g_assert_cmpint(pt_rename(f->fs, &me, ROOT, "other", dir.nodeid, "new", RENAME_EXCHANGE), ==,
                    0);
    g_assert_cmpuint(pt_look(f, ROOT, "other"), ==, file.nodeid);
}

static void a_removed_file_lives_while_it_is_known(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    struct pt_setattr attr = {.valid = PT_SET_MODE, .mode = 0600};
    struct statx st;

    g_assert_cmpint(pt_unlink(f->fs, ROOT, "file"), ==, 0);
    g_assert_cmpint(pt_getattr(f->fs, file.nodeid, PT_NO_FH, &st), ==, 0);
    g_assert_cmpuint(st.stx_nlink, ==, 0);
    g_assert_cmpint(pt_setattr(f->fs, file.nodeid, PT_NO_FH, &attr, &st), ==, 0);
    g_assert_cmphex(st.stx_mode & 07777, ==, 0600);
    g_assert_cmpuint(pt_make_file(f, ROOT, "file").nodeid, !=, file.nodeid);
}

static void symlinks_are_read_not_followed(struct pt_fixture *f)
{
    struct pt_new how = {.caller = {.uid = geteuid(), .gid = getegid()}};
    struct pt_entry entry;
    char buf[64];

    g_assert_cmpint(pt_symlink(f->fs, &how, ROOT, "l", "/etc/passwd", &entry), ==, 0);
    g_assert_true(S_ISLNK(entry.st.stx_mode));
    g_assert_cmpint(pt_readlink(f->fs, entry.nodeid, buf, sizeof(buf)), ==, 11);
    g_assert_cmpint(pt_readlink(f->fs, entry.nodeid, buf, 11), ==, -ENAMETOOLONG);
    g_assert_cmpint(pt_readlink(f->fs, ROOT, buf, sizeof(buf)), ==, -EINVAL);
    g_assert_cmpint(pt_lookup(f->fs, entry.nodeid, "x", &entry), ==, -ENOTDIR);
}

static void reset_forgets_everything(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    struct pt_figures figures;
    struct statx st;
    uint64_t fh = 0;

    g_assert_cmpint(pt_open(f->fs, file.nodeid, O_RDONLY, false, &fh), ==, 0);
    pt_reset(f->fs);
    pt_figures(f->fs, &figures);
    g_assert_cmpuint(figures.inodes, ==, 0);
    g_assert_cmpuint(figures.handles, ==, 0);
    g_assert_false(pt_release(f->fs, fh));
    g_assert_cmpint(pt_getattr(f->fs, file.nodeid, PT_NO_FH, &st), ==, -EINVAL);
    g_assert_cmpint(pt_getattr(f->fs, ROOT, PT_NO_FH, &st), ==, 0);
}

static void access_goes_by_mode_and_owner(struct pt_fixture *f)
{
    struct pt_entry file = pt_make_file(f, ROOT, "file");
    struct pt_setattr attr = {.valid = PT_SET_MODE, .mode = 0640};
    struct pt_caller root = {0}, owner = {.uid = file.st.stx_uid, .gid = 9999},
                     stranger = {.uid = 9999, .gid = 9999},
                     member = {.uid = 9999, .gid = file.st.stx_gid};
    struct statx st;

    g_assert_cmpint(pt_setattr(f->fs, file.nodeid, PT_NO_FH, &attr, &st), ==, 0);
    g_assert_cmpint(pt_access(f->fs, &root, file.nodeid, R_OK | W_OK), ==, 0);
    g_assert_cmpint(pt_access(f->fs, &root, file.nodeid, X_OK), ==, -EACCES);
    g_assert_cmpint(pt_access(f->fs, &owner, file.nodeid, R_OK | W_OK), ==, 0);
    g_assert_cmpint(pt_access(f->fs, &member, file.nodeid, R_OK), ==, 0);
    g_assert_cmpint(pt_access(f->fs, &member, file.nodeid, W_OK), ==, -EACCES);
    g_assert_cmpint(pt_access(f->fs, &stranger, file.nodeid, R_OK), ==, -EACCES);
    g_assert_cmpint(pt_access(f->fs, &stranger, file.nodeid, F_OK), ==, 0);
}

static void a_whiteout_is_a_device_to_the_guest(struct pt_fixture *f)
{
    struct pt_new how = {.caller = {.uid = geteuid(), .gid = getegid()}, .mode = S_IFCHR};
    struct pt_caller me = how.caller;
    struct pt_entry entry;
    uint64_t fh = 0;

    pt_fixture_restart(f, true);
    g_assert_cmpint(pt_mknod(f->fs, &how, ROOT, "w", 0, &entry), ==, 0);
    g_assert_true(S_ISCHR(entry.st.stx_mode) && entry.st.stx_size == 0);
    g_assert_cmpint(pt_open(f->fs, entry.nodeid, O_RDONLY, false, &fh), ==, -ENXIO);
    pt_make_file(f, ROOT, "source");
    g_assert_cmpint(pt_rename(f->fs, &me, ROOT, "source", ROOT, "w", RENAME_WHITEOUT), ==, 0);
    g_assert_cmpint(pt_lookup(f->fs, ROOT, "source", &entry), ==, 0);
    g_assert_true(S_ISCHR(entry.st.stx_mode));
    g_assert_cmpint(pt_lookup(f->fs, ROOT, "w", &entry), ==, 0);
    g_assert_true(S_ISREG(entry.st.stx_mode));
    pt_fixture_restart(f, false); /* a plain share shows what is stored */
    g_assert_cmpint(pt_lookup(f->fs, ROOT, "source", &entry), ==, 0);
    g_assert_true(S_ISLNK(entry.st.stx_mode));
}

static void add_tests(void)
{
#define ADD(name) pt_add_test("pt_names", #name, name)
    ADD(a_name_gives_the_same_number_each_time);
    ADD(numbers_nobody_gave_are_refused);
    ADD(dots);
    ADD(a_link_is_the_same_number);
    ADD(a_moved_file_keeps_its_number);
    ADD(a_removed_file_lives_while_it_is_known);
    ADD(symlinks_are_read_not_followed);
    ADD(reset_forgets_everything);
    ADD(access_goes_by_mode_and_owner);
    ADD(a_whiteout_is_a_device_to_the_guest);
}

int main(int argc, char **argv)
{
    return pt_main(argc, argv, add_tests);
}
