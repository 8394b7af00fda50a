/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that knows far more files than the daemon may have descriptors: every number it holds
 * keeps meaning the same file, with file handles of the host and without.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

enum { FILES = 3000, DIRS = 30 };

static const char *const by_handle[] = {"--rlimit-nofile=400", NULL};
static const char *const by_name[] = {"--rlimit-nofile=400", "--inode-file-handles=never", NULL};

struct known {
    uint64_t dirs[DIRS], files[FILES], inos[FILES];
};

static const char *file_name(char buf[32], unsigned i)
{
    snprintf(buf, 32, "f%u", i);
    return buf;
}

/* Files on the host, each with its number in it, all looked up and kept. */
static struct known *know_many(struct proto *p)
{
    struct known *k = g_new0(struct known, 1);
    struct fuse_entry_out entry;
    char name[32], path[64], text[32];

    for (unsigned d = 0; d < DIRS; d++) {
        snprintf(name, sizeof(name), "d%u", d);
        g_assert_cmpint(mkdir(proto_path(p, name), 0755), ==, 0);
        OK(p, fc_lookup(p->q, ROOT, name, &entry));
        k->dirs[d] = entry.nodeid;
    }
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "d%u/%s", i % DIRS, file_name(name, i));
        snprintf(text, sizeof(text), "%u", i);
        proto_write_file(p, path, text);
        OK(p, fc_lookup(p->q, k->dirs[i % DIRS], name, &entry));
        k->files[i] = entry.nodeid;
        k->inos[i] = entry.attr.ino;
    }
    return k;
}

static void descriptors_stay_below(struct proto *p, unsigned limit)
{
    int n = daemon_count_fds(p->d.pid);

    g_assert_cmpint(n, >, 0);
    g_assert_cmpint(n, <=, (int)limit);
}

static void every_number_keeps_its_file(gconstpointer args)
{
    struct proto_opts opts = {.args = args};
    struct proto *p = proto_start(&opts);
    g_autofree struct known *k = know_many(p);
    struct fuse_attr attr;
    struct fuse_entry_out entry;
    char name[32], text[32], got[32];
    uint64_t fh;

    descriptors_stay_below(p, 400);
    for (unsigned i = 0; i < FILES; i++) {
        unsigned n = (i * 7919u) % FILES; /* in an order that defeats any cache */

        OK(p, fc_getattr(p->q, k->files[n], NULL, &attr));
        g_assert_cmpuint(attr.ino, ==, k->inos[n]);
    }
    for (unsigned i = 0; i < FILES; i += 10) {
        int len;

        OK(p, fc_open(p->q, k->files[i], O_RDONLY, &fh));
        len = fc_read(p->q, k->files[i], fh, 0, got, sizeof(got));
        snprintf(text, sizeof(text), "%u", i);
        g_assert_cmpint(len, ==, (int)strlen(text));
        g_assert_cmpint(memcmp(got, text, strlen(text)), ==, 0);
        OK(p, fc_release(p->q, k->files[i], fh));
        /* and by name it is still the same number */
        OK(p, fc_lookup(p->q, k->dirs[i % DIRS], file_name(name, i), &entry));
        g_assert_cmpuint(entry.nodeid, ==, k->files[i]);
    }
    descriptors_stay_below(p, 400);
    proto_stop(p);
}

/* What was deleted, or replaced by another file of that name, is not found as something else. */
static void a_replaced_file_is_stale(gconstpointer args)
{
    struct proto_opts opts = {.args = args};
    struct proto *p = proto_start(&opts);
    g_autofree struct known *k = know_many(p);
    struct fuse_attr attr;
    struct fuse_entry_out entry;
    char name[32], path[64];
    unsigned stale = 0;

    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "d%u/%s", i % DIRS, file_name(name, i));
        g_assert_cmpint(unlink(proto_path(p, path)), ==, 0);
        proto_write_file(p, path, "another");
    }
    for (unsigned i = 0; i < 500; i++) {
        int rc = fc_getattr(p->q, k->files[i], NULL, &attr);

        if (rc == -ESTALE) {
            stale++;
        } else {
            /* its descriptor was still open: the file itself, without a name */
            EXPECT(p, rc, 0);
            g_assert_cmpuint(attr.nlink, ==, 0);
        }
        OK(p, fc_lookup(p->q, k->dirs[i % DIRS], file_name(name, i), &entry));
        g_assert_cmpuint(entry.attr.size, ==, strlen("another"));
        g_assert_cmpuint(entry.attr.nlink, ==, 1);
    }
    g_assert_cmpuint(stale, >, 100); /* most were parked */
    proto_stop(p);
}

/* As many open files as there are descriptors, and then one error, and then on again. */
static void open_files_up_to_the_limit(gconstpointer args)
{
    struct proto_opts opts = {.args = args};
    struct proto *p = proto_start(&opts);
    g_autofree struct known *k = know_many(p);
    uint64_t fhs[500];
    unsigned n = 0;
    int rc = 0;

    while (n < G_N_ELEMENTS(fhs) && (rc = fc_open(p->q, k->files[n], O_RDONLY, &fhs[n])) == 0) {
        n++;
    }
    g_assert_cmpint(rc, ==, -EMFILE);
    g_assert_cmpuint(n, >, 150); /* an open file and its inode are two; the others made room */
    for (unsigned i = 0; i < n; i++) {
        OK(p, fc_release(p->q, k->files[i], fhs[i]));
    }
    OK(p, fc_open(p->q, k->files[FILES - 1], O_RDONLY, &fhs[0]));
    proto_stop(p);
}

static void add_tests(void)
{
    proto_add_with("/parking/by_handle/every_number_keeps_its_file", every_number_keeps_its_file,
                   by_handle);
    proto_add_with("/parking/by_name/every_number_keeps_its_file", every_number_keeps_its_file,
                   by_name);
    proto_add_with("/parking/by_handle/a_replaced_file_is_stale", a_replaced_file_is_stale,
                   by_handle);
    proto_add_with("/parking/by_name/a_replaced_file_is_stale", a_replaced_file_is_stale, by_name);
    proto_add_with("/parking/by_handle/open_files_up_to_the_limit", open_files_up_to_the_limit,
                   by_handle);
    proto_add_with("/parking/by_name/open_files_up_to_the_limit", open_files_up_to_the_limit,
                   by_name);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
