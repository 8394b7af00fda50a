/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's numbers stay what they are: over a host copy-up while it holds them, and over the
 * daemon's life where the host has file handles.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay.h"

/* --- over a restart --- */

static void nodeids_outlive_the_daemon(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out before, after;

    if (cell->share->is_overlay || strcmp(cell->share->name, "fuse") == 0) {
        proto_stop(p); /* nothing is promised: the guest is told so (FUSE_EXPORT_SUPPORT) */
        return;
    }
    ov_put(p, ROOT, "file", "F");
    ov_mkdir(p, ROOT, "dir");
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "dir" : "file";

        OK(p, fc_lookup(p->q, ROOT, name, &before));
        ov_restart(p, cell, NULL);
        OK(p, fc_lookup(p->q, ROOT, name, &after));
        g_assert_cmpuint(after.nodeid, ==, before.nodeid);
        g_assert_cmpuint(after.generation, ==, before.generation);
    }
    proto_stop(p);
}

static bool can_decode(struct proto *p)
{
    return p->fc.flags & FUSE_EXPORT_SUPPORT;
}

static void export_is_promised_where_it_works(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);

    g_assert_true(can_decode(p) == (cell->share->has_handles && cell->uid == 0));
    proto_stop(p);
}

static void a_handle_of_another_life_decodes(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out dir, file, again;
    char buf[8];
    uint64_t fh;

    if (!can_decode(p)) {
        ov_put(p, ROOT, "file", "F");
        OK(p, fc_lookup(p->q, ROOT, "file", &file));
        ov_restart(p, cell, NULL);
        EXPECT_ANY(p, fc_lookup(p->q, file.nodeid, ".", NULL), -ESTALE, -ENOENT, -EINVAL);
        proto_stop(p);
        return;
    }
    OK(p, fc_mkdir(p->q, ROOT, "dir", 0755, &dir));
    ov_put(p, dir.nodeid, "file", "F");
    OK(p, fc_lookup(p->q, dir.nodeid, "file", &file));
    ov_restart(p, cell, NULL);
    OK(p, fc_lookup(p->q, file.nodeid, ".", &again));
    g_assert_cmpuint(again.nodeid, ==, file.nodeid);
    g_assert_cmpuint(again.generation, ==, file.generation);
    OK(p, fc_open(p->q, again.nodeid, O_RDONLY, &fh));
    EXPECT(p, fc_read(p->q, again.nodeid, fh, 0, buf, sizeof(buf)), 1);
    OK(p, fc_release(p->q, again.nodeid, fh));
    OK(p, fc_lookup(p->q, dir.nodeid, ".", &again));
    g_assert_cmpuint(again.nodeid, ==, dir.nodeid);
    OK(p, fc_lookup(p->q, dir.nodeid, "..", &again));
    g_assert_cmpuint(again.nodeid, ==, ROOT);
    proto_stop(p);
}

static void what_is_gone_is_estale(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t file = ov_put(p, ROOT, "file", "F");
    uint64_t dir = ov_mkdir(p, ROOT, "dir");

    ov_restart(p, cell, NULL);
    g_assert_cmpint(unlink(proto_path(p, "file")), ==, 0);
    g_assert_cmpint(rmdir(proto_path(p, "dir")), ==, 0);
    EXPECT(p, fc_lookup(p->q, file, ".", NULL), -ESTALE);
    EXPECT(p, fc_lookup(p->q, dir, ".", NULL), -ESTALE);
    proto_stop(p);
}

static void what_was_made_up_is_estale(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t file = ov_put(p, ROOT, "file", "F");
    struct stat st;

    ov_restart(p, cell, NULL);
    g_assert_cmpint(stat(proto_path(p, "file"), &st), ==, 0);
    EXPECT(p, fc_lookup(p->q, (uint32_t)st.st_ino, ".", NULL), -ESTALE);
    EXPECT(p, fc_lookup(p->q, file ^ (1ull << 32), ".", NULL), -ESTALE);
    EXPECT(p, fc_lookup(p->q, file ^ (1ull << 63), ".", NULL), -ESTALE);
    EXPECT(p, fc_lookup(p->q, file ^ 1, ".", NULL), -ESTALE);
    for (uint64_t i = 2; i < 200; i++) {
        EXPECT(p, fc_lookup(p->q, i << 32 | i, ".", NULL), -ESTALE);
        EXPECT(p, fc_lookup(p->q, i << 32 | (uint32_t)st.st_ino, ".", NULL), -ESTALE);
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* A guest that learnt of a directory in the share keeps it only while it is there. */
static void what_left_the_share_is_estale(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = ov_mkdir(p, ROOT, "dir");
    g_autofree char *outside = g_strconcat(p->dir, "-outside", NULL);

    ov_mkdir(p, dir, "inner");
    vmm_disconnect(&p->vmm);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_cmpint(rename(proto_path(p, "dir"), outside), ==, 0);
    ov_restart(p, cell, NULL);
    EXPECT(p, fc_lookup(p->q, dir, ".", NULL), -ESTALE);
    proto_stop(p);
}

/* --- over a copy-up by the host --- */

static void fill(const char *dir)
{
    g_assert_true(ov_run("sh -c 'mkdir %s/dir; echo one > %s/file; echo two > %s/dir/inner; "
                         "ln %s/file %s/linked'",
                         dir, dir, dir, dir, dir));
}

static void append_on_host(struct proto *p, const char *name)
{
    FILE *f = fopen(proto_path(p, name), "a");

    g_assert_nonnull(f);
    g_assert_cmpint(fputs("more\n", f), >=, 0);
    g_assert_cmpint(fclose(f), ==, 0);
}

static void a_copy_up_by_the_host_changes_no_nodeid(const struct ov_cell *cell)
{
    struct proto *p = NULL;
    struct fuse_entry_out file, dir, inner, again;
    struct fuse_attr attr;

    if (!cell->share->is_overlay) {
        return;
    }
    p = ov_start_on_lower(cell, fill);
    OK(p, fc_lookup(p->q, ROOT, "file", &file));
    OK(p, fc_lookup(p->q, ROOT, "dir", &dir));
    OK(p, fc_lookup(p->q, dir.nodeid, "inner", &inner));
    append_on_host(p, "file");
    append_on_host(p, "dir/inner");
    OK(p, fc_getattr(p->q, file.nodeid, NULL, &attr));
    g_assert_cmpuint(attr.size, ==, 9);
    OK(p, fc_lookup(p->q, ROOT, "file", &again));
    g_assert_cmpuint(again.nodeid, ==, file.nodeid);
    OK(p, fc_lookup(p->q, ROOT, "dir", &again));
    g_assert_cmpuint(again.nodeid, ==, dir.nodeid);
    OK(p, fc_lookup(p->q, dir.nodeid, "inner", &again));
    g_assert_cmpuint(again.nodeid, ==, inner.nodeid);
    ov_check_text(p, dir.nodeid, "inner", "two\nmore\n");
    proto_stop(p);
}

/* LOOKUP comes first, before any GETATTR could notice that the host's numbers are new. */
static void a_lookup_right_after_the_copy_up(const struct ov_cell *cell)
{
    struct proto *p = NULL;
    struct fuse_entry_out file, again;

    if (!cell->share->is_overlay) {
        return;
    }
    p = ov_start_on_lower(cell, fill);
    OK(p, fc_lookup(p->q, ROOT, "linked", &file));
    append_on_host(p, "linked");
    OK(p, fc_lookup(p->q, ROOT, "linked", &again));
    g_assert_cmpuint(again.nodeid, ==, file.nodeid);
    g_assert_cmpuint(again.generation, ==, file.generation);
    ov_check_text(p, ROOT, "linked", "one\nmore\n");
    proto_stop(p);
}

static void a_copy_up_by_the_guest_changes_no_nodeid(const struct ov_cell *cell)
{
    struct proto *p = NULL;
    struct fuse_entry_out file, again;
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFREG | 0600};
    uint64_t dir = 0;

    if (!cell->share->is_overlay) {
        return;
    }
    p = ov_start_on_lower(cell, fill);
    OK(p, fc_lookup(p->q, ROOT, "linked", &file));
    OK(p, fc_setattr(p->q, file.nodeid, &mode, NULL));
    OK(p, fc_lookup(p->q, ROOT, "linked", &again));
    g_assert_cmpuint(again.nodeid, ==, file.nodeid);
    /* the host's overlayfs has broken the link: the other name is another file from now on */
    OK(p, fc_lookup(p->q, ROOT, "file", &again));
    g_assert_cmpuint(again.nodeid, !=, file.nodeid);
    g_assert_cmphex(again.attr.mode & 0777, ==, 0644);
    dir = proto_lookup(p, ROOT, "dir");
    OK(p, fc_lookup(p->q, dir, "inner", &file));
    OK(p, fc_rename(p->q, dir, "inner", ROOT, "moved"));
    OK(p, fc_lookup(p->q, ROOT, "moved", &again));
    g_assert_cmpuint(again.nodeid, ==, file.nodeid);
    proto_stop(p);
}

static const struct ov_test tests[] = {
#define T(name)                                                                                    \
    {                                                                                              \
#name, name, false                                                                         \
    }
    T(nodeids_outlive_the_daemon),
    T(export_is_promised_where_it_works),
    T(a_handle_of_another_life_decodes),
    T(what_is_gone_is_estale),
    T(what_was_made_up_is_estale),
    T(what_left_the_share_is_estale),
    T(a_copy_up_by_the_host_changes_no_nodeid),
    T(a_lookup_right_after_the_copy_up),
    T(a_copy_up_by_the_guest_changes_no_nodeid),
    {NULL, NULL, false},
};

static void add_tests(void)
{
    ov_add_tests("identity", tests);
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
