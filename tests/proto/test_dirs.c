/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading directories: nothing missing, nothing twice, true types, offsets that can be used again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

/* Reads a whole directory in buffers of `size`; name -> type + 1 in the table. */
static GHashTable *read_all(struct proto *p, uint64_t dir, size_t size, bool plus)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree uint8_t *buf = g_malloc(size);
    struct fc_dirent de;
    uint64_t off = 0;
    uint64_t fh;
    int n;

    OK(p, fc_opendir(p->q, dir, &fh));
    while ((n = fc_readdir(p->q, dir, fh, off, buf, size, plus)) > 0) {
        size_t pos = 0;
        int rc;

        while ((rc = fc_next_dirent(buf, (size_t)n, &pos, plus, &de)) == 1) {
            g_assert_true(
                g_hash_table_insert(names, g_strdup(de.name), GUINT_TO_POINTER(de.type + 1)));
            off = de.off;
            if (plus && de.entry.nodeid > ROOT) {
                g_assert_cmpuint(de.entry.attr.ino, ==, de.ino);
                g_assert_cmpuint(de.entry.attr.mode >> 12, ==, de.type);
                OK(p, fc_forget(fc_hiprio(&p->fc), de.entry.nodeid, 1));
            }
            if (plus && (!strcmp(de.name, ".") || !strcmp(de.name, ".."))) {
                g_assert_cmpuint(de.entry.nodeid, ==, 0); /* Linux takes no reference for them */
            }
        }
        EXPECT(p, rc, 0);
    }
    EXPECT(p, n, 0);
    OK(p, fc_releasedir(p->q, dir, fh));
    return names;
}

static unsigned type_of(GHashTable *names, const char *name)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(names, name)) - 1;
}

static void make_all_types(struct proto *p)
{
    proto_write_file(p, "reg", "");
    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0755), ==, 0);
    g_assert_cmpint(symlink("x", proto_path(p, "lnk")), ==, 0);
    g_assert_cmpint(mkfifo(proto_path(p, "fifo"), 0644), ==, 0);
    g_assert_cmpint(mknod(proto_path(p, "chr"), S_IFCHR, makedev(0, 0)), ==, 0);
    g_assert_cmpint(mknod(proto_path(p, "blk"), S_IFBLK, makedev(7, 0)), ==, 0);
    g_assert_cmpint(mknod(proto_path(p, "sock"), S_IFSOCK | 0644, 0), ==, 0);
}

static void types_are_true(bool plus)
{
    struct proto *p = proto_start(NULL);

    make_all_types(p);
    g_autoptr(GHashTable) names = read_all(p, ROOT, 4096, plus);
    g_assert_cmpuint(type_of(names, "reg"), ==, DT_REG);
    g_assert_cmpuint(type_of(names, "dir"), ==, DT_DIR);
    g_assert_cmpuint(type_of(names, "lnk"), ==, DT_LNK);
    g_assert_cmpuint(type_of(names, "fifo"), ==, DT_FIFO);
    g_assert_cmpuint(type_of(names, "chr"), ==, DT_CHR);
    g_assert_cmpuint(type_of(names, "blk"), ==, DT_BLK);
    g_assert_cmpuint(type_of(names, "sock"), ==, DT_SOCK);
    proto_stop(p);
}

static void readdir_types_are_true(void)
{
    types_are_true(false);
}

static void readdirplus_types_are_true(void)
{
    types_are_true(true);
}

static void big_directory(bool plus, size_t size)
{
    struct proto *p = proto_start(NULL);

    for (int i = 0; i < 1500; i++) {
        g_autofree char *name = g_strdup_printf("file-%d%s", i, i % 3 ? "" : "-with-more-name");

        proto_write_file(p, name, "");
    }
    g_autoptr(GHashTable) names = read_all(p, ROOT, size, plus);
    g_hash_table_remove(names, ".");
    g_hash_table_remove(names, "..");
    g_assert_cmpuint(g_hash_table_size(names), ==, 1500);
    proto_stop(p);
}

static void readdir_of_many_in_small_buffers(void)
{
    big_directory(false, 200);
}

static void readdir_of_many_in_pages(void)
{
    big_directory(false, 4096);
}

static void readdirplus_of_many_in_small_buffers(void)
{
    big_directory(true, 600);
}

static void readdirplus_of_many_in_large_buffers(void)
{
    big_directory(true, 65536);
}

static void readdirplus_takes_a_reference_each(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t known = proto_make(p, "a", "");
    uint8_t buf[4096];
    struct fc_dirent de;
    uint64_t fh;
    size_t pos = 0;
    int n;

    OK(p, fc_opendir(p->q, ROOT, &fh));
    n = fc_readdir(p->q, ROOT, fh, 0, buf, sizeof(buf), true);
    g_assert_cmpint(n, >, 0);
    while (fc_next_dirent(buf, (size_t)n, &pos, true, &de) == 1) {
        if (!strcmp(de.name, "a")) {
            g_assert_cmpuint(de.entry.nodeid, ==, known);
        }
    }
    OK(p, fc_forget(fc_hiprio(&p->fc), known, 1));
    OK(p, fc_getattr(p->q, known, NULL, NULL));
    OK(p, fc_forget(fc_hiprio(&p->fc), known, 1));
    EXPECT_ERROR(p, fc_getattr(p->q, known, NULL, NULL));
    proto_stop(p);
}

static void an_entry_too_large_for_the_buffer(void)
{
    struct proto *p = proto_start(NULL);
    uint8_t buf[32];
    uint64_t fh;
    char name[256];

    memset(name, 'n', 255);
    name[255] = '\0';
    proto_write_file(p, name, "");
    OK(p, fc_opendir(p->q, ROOT, &fh));
    /* EINVAL as getdents says it, or nothing: but no half entry, which fc_read would refuse */
    for (int i = 0; i < 4; i++) {
        int n = fc_readdir(p->q, ROOT, fh, 0, buf, sizeof(buf), false);

        g_assert_true(n == -EINVAL || (n >= 0 && n <= 32));
        EXPECT_ANY(p, fc_readdir(p->q, ROOT, fh, 0, buf, 1, true) ?: -EINVAL, -EINVAL);
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void seeking_back_to_an_offset(void)
{
    struct proto *p = proto_start(NULL);
    uint8_t buf[16384];
    struct fc_dirent first[40];
    struct fc_dirent de;
    uint64_t fh;
    size_t pos = 0;
    unsigned n = 0;
    int got;

    for (int i = 0; i < 30; i++) {
        g_autofree char *name = g_strdup_printf("f%d", i);

        proto_write_file(p, name, "");
    }
    OK(p, fc_opendir(p->q, ROOT, &fh));
    got = fc_readdir(p->q, ROOT, fh, 0, buf, sizeof(buf), false);
    g_assert_cmpint(got, >, 0);
    while (n < 40 && fc_next_dirent(buf, (size_t)got, &pos, false, &first[n]) == 1) {
        n++;
    }
    g_assert_cmpuint(n, >=, 30);
    for (unsigned i = n - 1; i-- > 0;) {
        pos = 0;
        got = fc_readdir(p->q, ROOT, fh, first[i].off, buf, 512, i & 1);
        g_assert_cmpint(got, >, 0);
        g_assert_cmpint(fc_next_dirent(buf, (size_t)got, &pos, i & 1, &de), ==, 1);
        g_assert_cmpstr(de.name, ==, first[i + 1].name);
    }
    proto_stop(p);
}

static void odd_offsets_harm_nobody(void)
{
    struct proto *p = proto_start(NULL);
    static const uint64_t offs[] = {1, 3, 12345, INT64_MAX, 1ULL << 63, UINT64_MAX};
    uint8_t buf[1024];
    uint64_t fh;

    OK(p, fc_opendir(p->q, ROOT, &fh));
    for (unsigned i = 0; i < G_N_ELEMENTS(offs); i++) {
        int n = fc_readdir(p->q, ROOT, fh, offs[i], buf, sizeof(buf), false);

        g_assert_true(n >= 0 || (n > -512 && n != -ETIMEDOUT));
    }
    EXPECT_ALIVE(p);
    OK(p, fc_fsyncdir(p->q, ROOT, fh, false));
    OK(p, fc_releasedir(p->q, ROOT, fh));
    proto_stop(p);
}

static void entries_made_meanwhile_are_seen_after_rewind(void)
{
    struct proto *p = proto_start(NULL);
    uint8_t buf[4096];
    uint64_t fh;
    struct fc_dirent de;
    bool seen = false;
    size_t pos = 0;
    int n;

    OK(p, fc_opendir(p->q, ROOT, &fh));
    EXPECT(p, fc_readdir(p->q, ROOT, fh, 0, buf, sizeof(buf), false) > 0, 1);
    proto_write_file(p, "later", "");
    n = fc_readdir(p->q, ROOT, fh, 0, buf, sizeof(buf), false);
    g_assert_cmpint(n, >, 0);
    while (fc_next_dirent(buf, (size_t)n, &pos, false, &de) == 1) {
        seen |= !strcmp(de.name, "later");
    }
    g_assert_true(seen);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/dirs/" #name, name)
    ADD(readdir_types_are_true);
    ADD(readdirplus_types_are_true);
    ADD(readdir_of_many_in_small_buffers);
    ADD(readdir_of_many_in_pages);
    ADD(readdirplus_of_many_in_small_buffers);
    ADD(readdirplus_of_many_in_large_buffers);
    ADD(readdirplus_takes_a_reference_each);
    ADD(an_entry_too_large_for_the_buffer);
    ADD(seeking_back_to_an_offset);
    ADD(odd_offsets_harm_nobody);
    ADD(entries_made_meanwhile_are_seen_after_rewind);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
