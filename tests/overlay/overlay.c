/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cells, daemons on them, and what a test looks at again and again.
 */
#include "overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct cell_test {
    struct ov_cell cell;
    const struct ov_test *test;
};

static void run_cell(gconstpointer data)
{
    const struct cell_test *it = data;

    if (!it->cell.share->dir) {
        fprintf(stderr, "this machine has no %s to test on\n", it->cell.share->name);
        _exit(77);
    }
    it->test->func(&it->cell);
}

static void add_cell(const char *title, const struct ov_share *share, uid_t uid,
                     const struct ov_test *test)
{
    static GPtrArray *all; /* they live as long as the program */
    struct cell_test *it = g_new0(struct cell_test, 1);
    g_autofree char *path =
        g_strdup_printf("/%s/%s/%s/%s", title, share->name, uid ? "user" : "root", test->name);

    *it = (struct cell_test){.cell = {.share = share, .uid = uid}, .test = test};
    all = all ? all : g_ptr_array_new();
    g_ptr_array_add(all, it);
    proto_add_with(path, run_cell, it);
}

void ov_add_tests(const char *title, const struct ov_test *tests)
{
    for (const struct ov_share *share = ov_shares(); share->name; share++) {
        for (const struct ov_test *test = tests; test->name; test++) {
            add_cell(title, share, 0, test);
            if (!test->root_only) {
                add_cell(title, share, ORDINARY_UID, test);
            }
        }
    }
}

int ov_main(int argc, char **argv, void (*add_tests)(void))
{
    int status = proto_main(argc, argv, add_tests);

    ov_shares_done();
    return status;
}

/* "--overlay-upper", what the share needs, what the test wants. */
static void fill_args(const struct ov_cell *cell, const struct proto_opts *opts,
                      const char *args[16])
{
    unsigned n = 0;

    args[n++] = cell->plain ? "--xattr" : "--overlay-upper";
    if (cell->share->option && !cell->plain) {
        args[n++] = cell->share->option;
    }
    for (unsigned i = 0; opts && opts->args && opts->args[i] && n < 15; i++) {
        args[n++] = opts->args[i];
    }
    args[n] = NULL;
}

void ov_start_again(struct proto *p, const struct ov_cell *cell, const struct proto_opts *opts)
{
    struct daemon_setup setup = {.keep_fd = -1, .uid = cell->uid};
    struct proto_opts full = opts ? *opts : (struct proto_opts){0};
    const char *args[16];

    fill_args(cell, opts, args);
    full.args = args;
    g_auto(GStrv) argv = proto_command(p, args);
    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    if (!full.no_connect) {
        proto_connect(p, &full);
    }
}

void ov_restart(struct proto *p, const struct ov_cell *cell, const struct proto_opts *opts)
{
    vmm_disconnect(&p->vmm);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    daemon_done(&p->d);
    fc_done(&p->fc);
    vmm_stop(&p->vmm);
    ov_start_again(p, cell, opts);
}

struct proto *ov_start_in(const struct ov_cell *cell, const struct proto_opts *opts,
                          const char *dir)
{
    struct proto *p = proto_new();

    g_free(p->dir);
    p->dir = g_strdup(dir);
    if (cell->uid) {
        g_assert_cmpint(chown(p->base, cell->uid, cell->uid), ==, 0);
        g_assert_cmpint(chown(p->dir, cell->uid, cell->uid), ==, 0);
    }
    ov_start_again(p, cell, opts);
    return p;
}

struct proto *ov_start(const struct ov_cell *cell, const struct proto_opts *opts)
{
    g_autofree char *dir = g_build_filename(cell->share->dir, "t.XXXXXX", NULL);

    g_assert_nonnull(g_mkdtemp_full(dir, 0755));
    return ov_start_in(cell, opts, dir);
}

struct proto *ov_start_on_lower(const struct ov_cell *cell, void (*fill)(const char *lower_dir))
{
    g_autofree char *lower = g_build_filename(cell->share->lower, "l.XXXXXX", NULL);
    g_autofree char *name = NULL;
    g_autofree char *dir = NULL;

    g_assert_nonnull(g_mkdtemp_full(lower, 0755));
    fill(lower);
    if (cell->uid) {
        g_assert_true(ov_run("chown -R %u:%u %s", cell->uid, cell->uid, lower));
    }
    name = g_path_get_basename(lower);
    dir = g_build_filename(cell->share->dir, name, NULL);
    return ov_start_in(cell, NULL, dir);
}

uint64_t ov_put(struct proto *p, uint64_t dir, const char *name, const char *text)
{
    struct fuse_entry_out e;
    uint64_t fh = 0;

    OK(p, fc_create(p->q, dir, name, O_RDWR | O_CREAT | O_EXCL, 0644, &e, &fh));
    if (*text) {
        EXPECT(p, fc_write(p->q, e.nodeid, fh, 0, text, strlen(text), 0), (int)strlen(text));
    }
    OK(p, fc_release(p->q, e.nodeid, fh));
    return e.nodeid;
}

char *ov_text(struct proto *p, uint64_t dir, const char *name)
{
    char *text = g_malloc0(4096);
    struct fuse_entry_out e;
    uint64_t fh = 0;
    int n = 0;

    OK(p, fc_lookup(p->q, dir, name, &e));
    OK(p, fc_open(p->q, e.nodeid, O_RDONLY, &fh));
    n = fc_read(p->q, e.nodeid, fh, 0, text, 4095);
    g_assert_cmpint(n, >=, 0);
    text[n] = '\0';
    OK(p, fc_release(p->q, e.nodeid, fh));
    return text;
}

uint64_t ov_mkdir(struct proto *p, uint64_t dir, const char *name)
{
    struct fuse_entry_out e;

    OK(p, fc_mkdir(p->q, dir, name, 0755, &e));
    return e.nodeid;
}

uint64_t ov_whiteout(struct proto *p, uint64_t dir, const char *name)
{
    struct fuse_entry_out e;

    OK(p, fc_mknod(p->q, dir, name, S_IFCHR, 0, &e));
    ov_check_attr(&e.attr);
    return e.nodeid;
}

void ov_check_attr(const struct fuse_attr *attr)
{
    g_assert_cmphex(attr->mode & S_IFMT, ==, S_IFCHR);
    g_assert_cmpuint(attr->rdev, ==, 0);
    g_assert_cmpuint(attr->size, ==, 0);
    g_assert_cmpuint(attr->blocks, ==, 0);
}

void ov_check_whiteout(struct proto *p, uint64_t dir, const char *name)
{
    struct fuse_entry_out e;
    struct fuse_attr attr;
    struct fuse_statx sx;

    OK(p, fc_lookup(p->q, dir, name, &e));
    ov_check_attr(&e.attr);
    OK(p, fc_getattr(p->q, e.nodeid, NULL, &attr));
    ov_check_attr(&attr);
    OK(p, fc_statx(p->q, e.nodeid, NULL, STATX_BASIC_STATS, &sx));
    g_assert_cmphex(sx.mode & S_IFMT, ==, S_IFCHR);
    g_assert_true(sx.rdev_major == 0 && sx.rdev_minor == 0 && sx.size == 0 && sx.blocks == 0);
}

void ov_check_text(struct proto *p, uint64_t dir, const char *name, const char *text)
{
    g_autofree char *found = ov_text(p, dir, name);

    g_assert_cmpstr(found, ==, text);
}

void ov_check_absent(struct proto *p, uint64_t dir, const char *name)
{
    EXPECT(p, fc_lookup(p->q, dir, name, NULL), -ENOENT);
}

bool ov_host_is_emulated(struct proto *p, const char *name)
{
    char target[256];
    ssize_t len = readlink(proto_path(p, name), target, sizeof(target));

    return len == (ssize_t)strlen(OV_TARGET) && memcmp(target, OV_TARGET, (size_t)len) == 0;
}

bool ov_host_is_whiteout(struct proto *p, const char *name)
{
    struct stat st;

    return ov_host_is_emulated(p, name) || (lstat(proto_path(p, name), &st) == 0 &&
                                            S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
}

static bool journal_is_empty(struct proto *p)
{
    g_autoptr(GDir) dir = g_dir_open(proto_path(p, OV_RESERVED "journal"), 0, NULL);

    return dir && !g_dir_read_name(dir);
}

void ov_check_no_leftover(struct proto *p, const char *dir)
{
    DIR *d = opendir(proto_path(p, dir));
    const struct dirent *entry = NULL;

    g_assert_nonnull(d);
    while ((entry = readdir(d))) {
        /* an empty journal may stay until the daemon ends */
        if (g_str_has_prefix(entry->d_name, OV_RESERVED) &&
            !(strcmp(entry->d_name, OV_RESERVED "journal") == 0 && journal_is_empty(p))) {
            g_error("%s is left in %s", entry->d_name, dir);
        }
    }
    closedir(d);
}

GHashTable *ov_types(struct proto *p, uint64_t dir, bool plus)
{
    GHashTable *types = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *buf = g_malloc(8192);
    struct fc_dirent entry;
    uint64_t off = 0;
    uint64_t fh = 0;
    int n = 0;

    OK(p, fc_opendir(p->q, dir, &fh));
    while ((n = fc_readdir(p->q, dir, fh, off, buf, 8192, plus)) > 0) {
        size_t pos = 0;

        while (fc_next_dirent(buf, (size_t)n, &pos, plus, &entry) == 1) {
            g_hash_table_insert(types, g_strdup(entry.name), GUINT_TO_POINTER(entry.type));
            off = entry.off;
            if (plus && entry.entry.nodeid) {
                g_assert_cmpuint(entry.type, ==, entry.entry.attr.mode >> 12);
            }
        }
    }
    g_assert_cmpint(n, ==, 0);
    OK(p, fc_releasedir(p->q, dir, fh));
    return types;
}
