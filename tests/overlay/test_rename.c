/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RENAME2 with WHITEOUT: by the host where it can, in steps where it refuses, and the same to see
 * from the guest either way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay.h"

/* The source is at the destination, a whiteout in its place, and nothing else is left. */
static void check_moved(struct proto *p, uint64_t node, uint64_t dir, const char *name)
{
    g_assert_cmpuint(proto_lookup(p, dir, name), ==, node);
    ov_check_whiteout(p, ROOT, "source");
    g_assert_true(ov_host_is_whiteout(p, "source"));
    ov_check_no_leftover(p, ".");
}

static void to_nothing(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "source", "S");

    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
    check_moved(p, node, ROOT, "dest");
    ov_check_text(p, ROOT, "dest", "S");
    g_assert_true(ov_host_is_emulated(p, "source") == !cell->share->native);
    proto_stop(p);
}

static void onto_a_file(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "source", "S");
    uint64_t victim = ov_put(p, ROOT, "dest", "D");
    struct fuse_attr attr;
    uint64_t fh;
    char buf[8];

    OK(p, fc_open(p->q, victim, O_RDONLY, &fh));
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
    check_moved(p, node, ROOT, "dest");
    ov_check_text(p, ROOT, "dest", "S");
    EXPECT(p, fc_read(p->q, victim, fh, 0, buf, sizeof(buf)), 1);
    g_assert_cmpint(buf[0], ==, 'D');
    OK(p, fc_release(p->q, victim, fh));
    OK(p, fc_getattr(p->q, node, NULL, &attr));
    g_assert_cmpuint(attr.nlink, ==, 1);
    proto_stop(p);
}

static void onto_a_symlink(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "source", "S");

    ov_put(p, ROOT, "target", "T");
    OK(p, fc_symlink(p->q, ROOT, "dest", "target", NULL));
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
    check_moved(p, node, ROOT, "dest");
    ov_check_text(p, ROOT, "target", "T");
    proto_stop(p);
}

static void symlink_onto_a_file(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out e;
    char buf[64];

    OK(p, fc_symlink(p->q, ROOT, "source", "dest", &e));
    ov_put(p, ROOT, "dest", "D");
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
    check_moved(p, e.nodeid, ROOT, "dest");
    EXPECT(p, fc_readlink(p->q, e.nodeid, buf, sizeof(buf)), 4);
    proto_stop(p);
}

static void directory_to_nothing(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "source");
    uint64_t other = ov_mkdir(p, ROOT, "other");

    ov_put(p, node, "inner", "I");
    OK(p, fc_rename2(p->q, ROOT, "source", other, "dest", RENAME_WHITEOUT));
    check_moved(p, node, other, "dest");
    ov_check_text(p, node, "inner", "I");
    proto_stop(p);
}

static void directory_onto_an_empty_one(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "source");
    uint64_t other = ov_mkdir(p, ROOT, "other");

    ov_put(p, node, "inner", "I");
    ov_mkdir(p, other, "dest");
    OK(p, fc_rename2(p->q, ROOT, "source", other, "dest", RENAME_WHITEOUT));
    check_moved(p, node, other, "dest");
    ov_check_no_leftover(p, "other");
    ov_check_text(p, node, "inner", "I");
    proto_stop(p);
}

static void directory_onto_a_full_one_is_enotempty(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_mkdir(p, ROOT, "source");
    uint64_t victim = ov_mkdir(p, ROOT, "dest");

    ov_put(p, victim, "inner", "I");
    EXPECT_ANY(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT), -ENOTEMPTY,
               -EEXIST);
    g_assert_cmpuint(proto_lookup(p, ROOT, "source"), ==, node);
    g_assert_cmpuint(proto_lookup(p, ROOT, "dest"), ==, victim);
    ov_check_text(p, victim, "inner", "I");
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

static void types_must_fit(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t dir = ov_mkdir(p, ROOT, "dir");
    uint64_t file = ov_put(p, ROOT, "file", "F");

    EXPECT(p, fc_rename2(p->q, ROOT, "dir", ROOT, "file", RENAME_WHITEOUT), -ENOTDIR);
    EXPECT(p, fc_rename2(p->q, ROOT, "file", ROOT, "dir", RENAME_WHITEOUT), -EISDIR);
    EXPECT(p, fc_rename2(p->q, ROOT, "none", ROOT, "dest", RENAME_WHITEOUT), -ENOENT);
    EXPECT(p, fc_rename2(p->q, ROOT, "none", ROOT, "file", RENAME_WHITEOUT), -ENOENT);
    EXPECT(p, fc_rename2(p->q, ROOT, "dir", dir, "self", RENAME_WHITEOUT), -EINVAL);
    ov_check_absent(p, ROOT, "dest");
    ov_check_absent(p, dir, "self");
    g_assert_cmpuint(proto_lookup(p, ROOT, "dir"), ==, dir);
    g_assert_cmpuint(proto_lookup(p, ROOT, "file"), ==, file);
    ov_check_no_leftover(p, ".");
    ov_check_no_leftover(p, "dir");
    proto_stop(p);
}

static void across_directories(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t a = ov_mkdir(p, ROOT, "a");
    uint64_t b = ov_mkdir(p, ROOT, "b");
    uint64_t one = ov_put(p, a, "f", "one");

    OK(p, fc_rename2(p->q, a, "f", b, "new", RENAME_WHITEOUT));
    ov_check_whiteout(p, a, "f");
    g_assert_cmpuint(proto_lookup(p, b, "new"), ==, one);
    ov_put(p, a, "g", "two");
    OK(p, fc_rename2(p->q, a, "g", b, "new", RENAME_WHITEOUT));
    ov_check_whiteout(p, a, "g");
    ov_check_text(p, b, "new", "two");
    ov_check_no_leftover(p, "a");
    ov_check_no_leftover(p, "b");
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

static void two_names_of_one_file_stay(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "source", "S");

    OK(p, fc_link(p->q, node, ROOT, "dest", NULL));
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
    g_assert_cmpuint(proto_lookup(p, ROOT, "source"), ==, node);
    g_assert_cmpuint(proto_lookup(p, ROOT, "dest"), ==, node);
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "source", RENAME_WHITEOUT));
    g_assert_cmpuint(proto_lookup(p, ROOT, "source"), ==, node);
    ov_check_text(p, ROOT, "source", "S");
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

static void with_noreplace(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "source", "S");
    unsigned flags = RENAME_WHITEOUT | RENAME_NOREPLACE;

    ov_put(p, ROOT, "there", "T");
    EXPECT(p, fc_rename2(p->q, ROOT, "source", ROOT, "there", flags), -EEXIST);
    ov_check_text(p, ROOT, "there", "T");
    ov_check_text(p, ROOT, "source", "S");
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", flags));
    check_moved(p, node, ROOT, "dest");
    proto_stop(p);
}

static void onto_and_of_whiteouts(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    uint64_t node = ov_put(p, ROOT, "source", "S");

    ov_whiteout(p, ROOT, "dest");
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
    check_moved(p, node, ROOT, "dest");
    /* a whiteout itself is moved, and leaves one */
    OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "third", RENAME_WHITEOUT));
    ov_check_whiteout(p, ROOT, "source");
    ov_check_whiteout(p, ROOT, "third");
    ov_check_text(p, ROOT, "dest", "S");
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

static void longest_names(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    char a[256], b[256];

    memset(a, 'a', 255);
    memset(b, 'b', 255);
    a[255] = b[255] = '\0';
    ov_put(p, ROOT, a, "A");
    ov_put(p, ROOT, b, "B");
    OK(p, fc_rename2(p->q, ROOT, a, ROOT, b, RENAME_WHITEOUT));
    ov_check_whiteout(p, ROOT, a);
    ov_check_text(p, ROOT, b, "A");
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

static void flags_that_make_no_sense(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);

    ov_put(p, ROOT, "a", "A");
    ov_put(p, ROOT, "b", "B");
    EXPECT(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_WHITEOUT | RENAME_EXCHANGE), -EINVAL);
    EXPECT(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_WHITEOUT | 8), -EINVAL);
    ov_check_text(p, ROOT, "a", "A");
    ov_check_text(p, ROOT, "b", "B");
    proto_stop(p);
}

static void the_whiteout_belongs_to_the_caller(const struct ov_cell *cell)
{
    struct proto *p = ov_start(cell, NULL);
    struct fuse_entry_out e;

    ov_put(p, ROOT, "a", "A");
    ov_put(p, ROOT, "b", "B");
    ov_put(p, ROOT, "c", "C");
    p->q->uid = 1000;
    p->q->gid = 1001;
    OK(p, fc_rename2(p->q, ROOT, "a", ROOT, "b", RENAME_WHITEOUT));
    OK(p, fc_lookup(p->q, ROOT, "a", &e));
    g_assert_true(e.attr.uid == 1000 && e.attr.gid == 1001);
    OK(p, fc_rename2(p->q, ROOT, "c", ROOT, "d", RENAME_WHITEOUT));
    OK(p, fc_lookup(p->q, ROOT, "c", &e));
    g_assert_true(e.attr.uid == 1000 && e.attr.gid == 1001);
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

/* --- what another thread of the guest sees meanwhile --- */

enum { ROUNDS = 300 };

struct looker {
    struct proto *p;
    uint64_t source, victim; /* under which numbers the guest knows them now */
    gint stop;
    gint bad;
};

/* The source's name must hold the source or a whiteout, the destination's either file. */
static bool is_bad(const char *name, const struct fuse_attr *attr)
{
    return (strcmp(name, "source") == 0 && S_ISREG(attr->mode) && attr->size != 6) ||
           (strcmp(name, "dest") == 0 && S_ISCHR(attr->mode));
}

static void list_once(struct looker *it, struct fc_queue *q)
{
    struct fc_dirent entry;
    char buf[2048];
    size_t pos = 0;
    uint64_t fh = 0;
    int n = 0;

    OK(it->p, fc_opendir(q, ROOT, &fh));
    n = fc_readdir(q, ROOT, fh, 0, buf, sizeof(buf), true);
    g_assert_cmpint(n, >, 0);
    while (fc_next_dirent(buf, (size_t)n, &pos, true, &entry) == 1) {
        if (entry.entry.nodeid != 0 && is_bad(entry.name, &entry.entry.attr)) {
            g_atomic_int_inc(&it->bad);
        }
    }
    OK(it->p, fc_releasedir(q, ROOT, fh));
}

static void *look(void *opaque)
{
    struct looker *it = opaque;
    struct fc_queue *q = fc_rq(&it->p->fc, 1);
    struct fuse_entry_out e;

    while (!g_atomic_int_get(&it->stop)) {
        if (fc_lookup(q, ROOT, "source", &e) == 0 && is_bad("source", &e.attr)) {
            g_atomic_int_inc(&it->bad);
        }
        if (fc_lookup(q, ROOT, "dest", &e) == 0 && is_bad("dest", &e.attr)) {
            g_atomic_int_inc(&it->bad);
        }
        list_once(it, q);
    }
    return NULL;
}

static void nobody_sees_the_middle(const struct ov_cell *cell)
{
    struct proto_opts opts = {.vmm = {.request_queues = 2}};
    struct proto *p = ov_start(cell, &opts);
    struct looker looker = {.p = p};
    GThread *thread = NULL;

    ov_put(p, ROOT, "source", "SOURCE");
    ov_put(p, ROOT, "dest", "D");
    thread = g_thread_new("look", look, &looker);
    for (int i = 0; i < ROUNDS; i++) {
        OK(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT));
        ov_put(p, ROOT, "new", "SOURCE");
        OK(p, fc_rename(p->q, ROOT, "new", ROOT, "source"));
        ov_put(p, ROOT, "new", "D");
        OK(p, fc_rename(p->q, ROOT, "new", ROOT, "dest"));
    }
    g_atomic_int_set(&looker.stop, 1);
    g_thread_join(thread);
    g_assert_cmpint(looker.bad, ==, 0);
    ov_check_no_leftover(p, ".");
    proto_stop(p);
}

/* --- directories that come from the lower layer of the host's overlayfs (E17) --- */

static void fill_lower(const char *dir)
{
    g_assert_true(ov_run("mkdir -p %s/source/inner %s/dest", dir, dir));
}

static void lower_directories_move_or_stay_whole(const struct ov_cell *cell)
{
    bool moves = cell->share->moves_lower;
    struct proto *p = NULL;
    uint64_t node = 0;

    if (!cell->share->is_overlay) {
        return;
    }
    p = ov_start_on_lower(cell, fill_lower);
    node = proto_lookup(p, ROOT, "source");
    EXPECT(p, fc_rename2(p->q, ROOT, "source", ROOT, "new", RENAME_WHITEOUT), moves ? 0 : -EXDEV);
    if (moves) {
        check_moved(p, node, ROOT, "new");
        proto_lookup(p, node, "inner");
    } else {
        ov_check_absent(p, ROOT, "new");
        EXPECT(p, fc_rename2(p->q, ROOT, "source", ROOT, "dest", RENAME_WHITEOUT), -EXDEV);
        g_assert_cmpuint(proto_lookup(p, ROOT, "source"), ==, node);
        proto_lookup(p, node, "inner");
        proto_lookup(p, ROOT, "dest");
        ov_check_no_leftover(p, ".");
    }
    proto_stop(p);
}

static const struct ov_test tests[] = {
#define T(name)                                                                                    \
    {                                                                                              \
#name, name, false                                                                         \
    }
    T(to_nothing),
    T(onto_a_file),
    T(onto_a_symlink),
    T(symlink_onto_a_file),
    T(directory_to_nothing),
    T(directory_onto_an_empty_one),
    T(directory_onto_a_full_one_is_enotempty),
    T(types_must_fit),
    T(across_directories),
    T(two_names_of_one_file_stay),
    T(with_noreplace),
    T(onto_and_of_whiteouts),
    T(longest_names),
    T(flags_that_make_no_sense),
    {"the_whiteout_belongs_to_the_caller", the_whiteout_belongs_to_the_caller, true},
    T(nobody_sees_the_middle),
    T(lower_directories_move_or_stay_whole),
    {NULL, NULL, false},
};

static void add_tests(void)
{
    ov_add_tests("rename", tests);
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
