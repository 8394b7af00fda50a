/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon is killed at each step of an emulated rename, and at random moments of many. The next
 * one must find each name with its old or its new content, and nothing else. Needs a daemon built
 * with -Dfault_injection=true.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay.h"

enum source { A_FILE, A_DIR };
enum dest { ABSENT, FILE_, SYMLINK, EMPTY_DIR };

static const char *const sources[] = {"file", "directory"};
static const char *const dests[] = {"nothing", "file", "symlink", "empty-directory"};

/* Those of fs/overlay_rename.c. */
static const struct point {
    const char *name;
    bool dest_absent;
    bool dest_dir_only;
} points[] = {
    {"rename-absent-journal", true, false},       {"rename-absent-whiteout", true, false},
    {"rename-absent-done", true, false},          {"rename-present-journal", false, false},
    {"rename-present-whiteout", false, false},    {"rename-present-exchanged", false, false},
    {"rename-present-victim-aside", false, true}, {"rename-present-done", false, false},
};

struct crash {
    struct ov_cell cell;
    const struct point *point;
    enum source source;
    enum dest dest;
};

/* --- the scene: "from/source" and "to/dest", with contents to be known by --- */

static uint64_t make_source(struct proto *p, uint64_t dir, enum source what)
{
    uint64_t node = 0;

    if (what == A_FILE) {
        return ov_put(p, dir, "source", "SOURCE");
    }
    node = ov_mkdir(p, dir, "source");
    ov_put(p, node, "inner", "SOURCE");
    return node;
}

static void make_dest(struct proto *p, uint64_t dir, enum dest what)
{
    switch (what) {
    case ABSENT:
        break;
    case FILE_:
        ov_put(p, dir, "dest", "DEST");
        break;
    case SYMLINK:
        OK(p, fc_symlink(p->q, dir, "dest", "DEST", NULL));
        break;
    case EMPTY_DIR:
        ov_mkdir(p, dir, "dest");
        break;
    }
}

/* What stands at a name, in a word: "SOURCE", "DEST", "whiteout", "empty", "nothing". */
static const char *what_is(struct proto *p, uint64_t dir, const char *name)
{
    struct fuse_entry_out e;
    int rc = fc_lookup(p->q, dir, name, &e);

    if (rc == -ENOENT) {
        return "nothing";
    }
    OK(p, rc);
    if (S_ISDIR(e.attr.mode)) {
        return fc_lookup(p->q, e.nodeid, "inner", NULL) == 0 ? "SOURCE" : "empty";
    }
    if (S_ISREG(e.attr.mode)) {
        g_autofree char *text = ov_text(p, dir, name);

        return g_intern_string(text);
    }
    if (S_ISLNK(e.attr.mode)) {
        return "DEST";
    }
    ov_check_attr(&e.attr);
    return "whiteout";
}

/* Either nothing happened or all of it. */
static void check_scene(struct proto *p, uint64_t from, uint64_t to, const char *old_dest)
{
    const char *source = what_is(p, from, "source");
    const char *dest = what_is(p, to, "dest");
    bool before = strcmp(source, "SOURCE") == 0 && strcmp(dest, old_dest) == 0;
    bool after = strcmp(source, "whiteout") == 0 && strcmp(dest, "SOURCE") == 0;

    if (!before && !after) {
        fprintf(stderr, "source is %s, dest is %s\n", source, dest);
        g_assert_not_reached();
    }
    ov_check_no_leftover(p, "from");
    ov_check_no_leftover(p, "to");
    g_assert_cmpint(access(proto_path(p, OV_RESERVED "journal"), F_OK), ==, -1);
}

static void check_reserved_invisible(struct proto *p, uint64_t dir)
{
    g_autoptr(GHashTable) types = ov_types(p, dir, true);
    GHashTableIter iter;
    gpointer name = NULL;

    g_hash_table_iter_init(&iter, types);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_assert_false(g_str_has_prefix(name, OV_RESERVED));
    }
}

/* --- the death --- */

/* A RENAME2 that nobody will answer. */
static void send_rename(struct proto *p, uint64_t from, uint64_t to)
{
    struct fuse_rename2_in in = {.newdir = to, .flags = RENAME_WHITEOUT};
    struct fc_req *req = fc_get(p->q);

    fc_begin(req, FUSE_RENAME2, from);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, "source");
    fc_arg_name(req, "dest");
    fc_expect(req, 0, 0, false);
    OK(p, fc_submit(req));
    fc_kick(p->q);
}

/* The daemon is gone, all of it: its share is free for the next one. */
static void bury(struct proto *p)
{
    OK(p, vmm_wait_closed(&p->vmm, frontend_timeout_ms()));
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    daemon_done(&p->d);
    fc_done(&p->fc);
    vmm_stop(&p->vmm);
    (void)unlink(p->sock);
}

static void killed_at(gconstpointer data)
{
    const struct crash *it = data;
    struct proto *p = NULL;
    uint64_t from = 0, to = 0;
    static const char *const old_dest[] = {"nothing", "DEST", "DEST", "empty"};

    if (!it->cell.share->dir) {
        _exit(77);
    }
    g_assert_cmpint(setenv("VIRTIOFSD_FAULT", it->point->name, 1), ==, 0);
    p = ov_start(&it->cell, NULL);
    unsetenv("VIRTIOFSD_FAULT");
    from = ov_mkdir(p, ROOT, "from");
    to = ov_mkdir(p, ROOT, "to");
    make_source(p, from, it->source);
    make_dest(p, to, it->dest);
    send_rename(p, from, to);
    bury(p);
    ov_start_again(p, &it->cell, NULL);
    from = proto_lookup(p, ROOT, "from");
    to = proto_lookup(p, ROOT, "to");
    check_scene(p, from, to, old_dest[it->dest]);
    check_reserved_invisible(p, ROOT);
    check_reserved_invisible(p, from);
    proto_stop(p);
}

/* --- at random --- */

enum { ROUNDS = 200, FEW_ROUNDS = 40, RENAMES = 40 };

/* Names s0.. hold "SOURCE", d0.. hold "DEST" or nothing; each is renamed once. */
static void make_many(struct proto *p, uint64_t dir)
{
    for (int i = 0; i < RENAMES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "s%d", i);
        ov_put(p, dir, name, "SOURCE");
        if (i % 2) {
            snprintf(name, sizeof(name), "d%d", i);
            ov_put(p, dir, name, "DEST");
        }
    }
}

static void *kill_later(void *opaque)
{
    struct proto *p = opaque;

    g_usleep((gulong)g_random_int_range(0, 2000));
    daemon_signal(&p->d, SIGKILL);
    return NULL;
}

/* Without waiting for answers that may never come. */
static void rename_many(struct proto *p, uint64_t dir)
{
    for (int i = 0; i < RENAMES; i++) {
        struct fuse_rename2_in in = {.newdir = dir, .flags = RENAME_WHITEOUT};
        struct fc_req *req = fc_get(p->q);
        char name[16];

        fc_begin(req, FUSE_RENAME2, dir);
        fc_arg_bytes(req, &in, sizeof(in));
        snprintf(name, sizeof(name), "s%d", i);
        fc_arg_name(req, name);
        name[0] = 'd';
        fc_arg_name(req, name);
        fc_expect(req, 0, 0, false);
        OK(p, fc_submit(req));
    }
    fc_kick(p->q);
}

static int check_many(struct proto *p, uint64_t dir)
{
    int done = 0;

    for (int i = 0; i < RENAMES; i++) {
        const char *source = NULL;
        const char *dest = NULL;
        char name[16];

        snprintf(name, sizeof(name), "s%d", i);
        source = what_is(p, dir, name);
        name[0] = 'd';
        dest = what_is(p, dir, name);
        if (strcmp(source, "whiteout") == 0 && strcmp(dest, "SOURCE") == 0) {
            done++;
        } else if (strcmp(source, "SOURCE") != 0 || strcmp(dest, i % 2 ? "DEST" : "nothing") != 0) {
            g_error("s%d is %s, d%d is %s", i, source, i, dest);
        }
    }
    return done;
}

static void killed_at_random(gconstpointer data)
{
    const struct ov_cell *cell = &((const struct crash *)data)->cell;
    struct proto_opts opts = {.fc = {.slots = RENAMES + 2}};
    struct proto *p = NULL;
    int rounds = strcmp(cell->share->name, "overlay") == 0 ? ROUNDS : FEW_ROUNDS;
    int done = 0;

    if (!cell->share->dir) {
        _exit(77);
    }
    p = ov_start(cell, &opts);
    for (int round = 0; round < rounds; round++) {
        g_autofree char *name = g_strdup_printf("round-%d", round);
        uint64_t dir = ov_mkdir(p, ROOT, name);
        GThread *killer = NULL;

        make_many(p, dir);
        killer = g_thread_new("kill", kill_later, p);
        rename_many(p, dir);
        g_thread_join(killer);
        bury(p);
        ov_start_again(p, cell, &opts);
        dir = proto_lookup(p, ROOT, name);
        done += check_many(p, dir);
        ov_check_no_leftover(p, name);
        g_assert_cmpint(access(proto_path(p, OV_RESERVED "journal"), F_OK), ==, -1);
    }
    fprintf(stderr, "%d rounds, %d of %d renames were done\n", rounds, done, rounds * RENAMES);
    proto_stop(p);
}

/* --- all of them --- */

static bool makes_sense(const struct point *point, enum source source, enum dest dest)
{
    if ((dest == ABSENT) != point->dest_absent || (point->dest_dir_only && dest != EMPTY_DIR)) {
        return false;
    }
    return dest == ABSENT || (source == A_DIR) == (dest == EMPTY_DIR);
}

static void add_one(const struct ov_share *share, const struct point *point, enum source source,
                    enum dest dest)
{
    for (int user = 0; user < 2; user++) {
        struct crash *it = g_new0(struct crash, 1); /* lives as long as the program */
        g_autofree char *path =
            g_strdup_printf("/crash/%s/%s/%s/%s-onto-%s", share->name, user ? "user" : "root",
                            point->name, sources[source], dests[dest]);

        *it = (struct crash){
            .cell = {share, user ? ORDINARY_UID : 0},
            .point = point,
            .source = source,
            .dest = dest,
        };
        proto_add_with(path, killed_at, it);
    }
}

static void add_share(const struct ov_share *share)
{
    struct crash *random = g_new0(struct crash, 1);
    g_autofree char *path = g_strdup_printf("/crash/%s/root/at-random", share->name);

    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        for (enum source source = A_FILE; source <= A_DIR; source++) {
            for (enum dest dest = ABSENT; dest <= EMPTY_DIR; dest++) {
                if (makes_sense(&points[i], source, dest)) {
                    add_one(share, &points[i], source, dest);
                }
            }
        }
    }
    random->cell = (struct ov_cell){share, 0};
    proto_add_with(path, killed_at_random, random);
}

static void add_tests(void)
{
    static const char *const names[] = {"overlay", "overlay-two-fs", "ext4-emulate", "fuse"};

    (void)ov_shares();
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        add_share(ov_share_by_name(names[i]));
    }
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
