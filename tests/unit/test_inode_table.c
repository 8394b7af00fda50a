/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inode table on its own, with made-up identities: counting, identity over a copy-up, parking,
 * and threads that look up and forget the same inodes.
 */
#include "fs/inode_table.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/compat.h"

enum { ROOT_DEV = 0x801 };

static struct statx stat_of(unsigned dev_minor, uint64_t ino)
{
    return (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_mode = S_IFREG | 0644,
        .stx_dev_major = 8,
        .stx_dev_minor = dev_minor,
        .stx_ino = ino,
    };
}

static struct inode_id id_of(unsigned dev_minor, uint64_t ino)
{
    struct statx st = stat_of(dev_minor, ino);

    return inode_id_of(&st);
}

static int some_fd(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static struct inode *add(struct inode_table *table, uint64_t ino)
{
    struct statx st = stat_of(1, ino);

    return inode_table_add(table, some_fd(), &st, 0, false);
}

/* Adds one and keeps no reference: the guest alone knows it. */
static uint64_t add_for_guest(struct inode_table *table, uint64_t ino)
{
    struct inode *inode = add(table, ino);
    uint64_t nodeid = inode->nodeid;

    inode_unref(inode);
    return nodeid;
}

static void an_added_inode_is_found_in_both_ways(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct inode *inode = add(table, 42);
    struct inode_id id = id_of(1, 42);
    struct inode *by_nodeid = inode_table_get(table, inode->nodeid);
    struct inode *by_id = inode_table_find(table, &id);

    g_assert_true(by_nodeid == inode && by_id == inode);
    g_assert_cmpuint(inode_table_count(table), ==, 1);
    inode_unref(by_nodeid);
    inode_unref(by_id);
    g_assert_true(inode_table_forget(table, inode->nodeid, 2)); /* add and find */
    g_assert_null(inode_table_get(table, inode->nodeid));
    g_assert_null(inode_table_find(table, &id));
    inode_unref(inode);
    g_assert_cmpuint(inode_table_count(table), ==, 0);
    inode_table_free(table);
}

static void what_the_guest_counts_wrong_is_harmless(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    uint64_t nodeid = add_for_guest(table, 42);

    g_assert_false(inode_table_forget(table, 4711, 1));
    g_assert_false(inode_table_forget(table, 0, 1));
    g_assert_false(inode_table_forget(table, UINT64_MAX, UINT64_MAX));
    g_assert_null(inode_table_get(table, 0));
    g_assert_false(inode_table_forget(table, nodeid, UINT64_MAX));
    g_assert_null(inode_table_get(table, nodeid));
    g_assert_false(inode_table_forget(table, nodeid, 1));
    inode_table_free(table);
}

static void each_lookup_counts(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct inode *inode = add(table, 42);

    inode_table_count_lookup(table, inode);
    inode_table_count_lookup(table, inode);
    g_assert_true(inode_table_forget(table, inode->nodeid, 2));
    g_assert_cmpuint(inode_table_count(table), ==, 1);
    g_assert_true(inode_table_forget(table, inode->nodeid, 1));
    g_assert_cmpuint(inode_table_count(table), ==, 0);
    /* a racing reply counts after the FORGET: the number must be good again */
    inode_table_count_lookup(table, inode);
    g_assert_cmpuint(inode_table_count(table), ==, 1);
    inode_unref(inode);
    inode_table_free(table);
}

static void the_root_is_never_forgotten(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct statx st = stat_of(1, 2);
    struct inode *root = inode_table_add_root(table, some_fd(), &st);
    struct inode *again = NULL;

    g_assert_cmpuint(root->nodeid, ==, FUSE_ROOT_ID);
    g_assert_cmpuint(root->generation, ==, 0);
    inode_table_forget(table, FUSE_ROOT_ID, UINT64_MAX);
    inode_table_forget_all(table);
    again = inode_table_get(table, FUSE_ROOT_ID);
    g_assert_true(again == root);
    inode_unref(again);
    inode_table_free(table);
}

static void a_descriptor_lives_as_long_as_a_reference(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct inode *inode = add(table, 42);
    int fd = inode->fd;

    inode_table_forget(table, inode->nodeid, 1);
    g_assert_cmpint(fcntl(fd, F_GETFD), >=, 0);
    inode_unref(inode);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    inode_table_free(table);
}

static void nodeids_follow_from_the_host(void)
{
    uint64_t nodeid[2] = {0};
    uint64_t other_dev[2] = {0};

    for (int life = 0; life < 2; life++) {
        struct inode_table *table = inode_table_new(ROOT_DEV);
        struct statx st = stat_of(2, 42);
        struct inode *inode = NULL;

        nodeid[life] = add_for_guest(table, 42);
        inode = inode_table_add(table, some_fd(), &st, 0, false);
        other_dev[life] = inode->nodeid;
        inode_unref(inode);
        inode_table_free(table);
    }
    g_assert_cmpuint(nodeid[0], ==, nodeid[1]);
    g_assert_cmpuint(other_dev[0], ==, other_dev[1]);
    g_assert_cmpuint(nodeid[0], !=, other_dev[0]);
    g_assert_cmpuint((uint32_t)nodeid[0], ==, 42);
}

static void numbers_that_collide_are_told_apart(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    uint64_t ino[] = {42, 42ull << 32, (7ull << 32) | (7 ^ 42)}; /* all fold to 42 */
    uint64_t nodeid[3];

    for (int i = 0; i < 3; i++) {
        nodeid[i] = add_for_guest(table, ino[i]);
        for (int j = 0; j < i; j++) {
            g_assert_cmpuint(nodeid[i], !=, nodeid[j]);
        }
    }
    for (int i = 0; i < 3; i++) {
        struct inode *inode = inode_table_get(table, nodeid[i]);

        g_assert_cmpuint(inode->id.ino, ==, ino[i]);
        inode_unref(inode);
    }
    inode_table_free(table);
}

static void no_host_number_becomes_the_root_or_zero(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);

    for (uint64_t ino = 0; ino < 3; ino++) {
        g_assert_cmpuint(add_for_guest(table, ino), >, FUSE_ROOT_ID);
    }
    inode_table_free(table);
}

static void adding_what_is_there_gives_what_is_there(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct inode *first = add(table, 42);
    int fd = some_fd();
    struct statx st = stat_of(1, 42);
    struct inode *second = inode_table_add(table, fd, &st, 0, false);

    g_assert_true(first == second);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1); /* not needed, so closed */
    inode_unref(first);
    inode_unref(second);
    g_assert_true(inode_table_forget(table, first->nodeid, 2));
    inode_table_free(table);
}

/* --- a copy-up by the host --- */

static void a_new_identity_keeps_the_nodeid(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct inode *inode = add(table, 42);
    struct inode_id old = id_of(1, 42), new = id_of(9, 4711), newer = id_of(9, 4712);
    struct inode *found = NULL;

    inode_table_rekey(table, inode, &new);
    inode_table_rekey(table, inode, &new);
    found = inode_table_find(table, &new);
    g_assert_true(found == inode);
    inode_unref(found);
    g_assert_null(inode_table_find(table, &old));
    inode_table_rekey(table, inode, &newer);
    g_assert_null(inode_table_find(table, &new));
    found = inode_table_find(table, &newer);
    g_assert_true(found == inode);
    inode_unref(found);
    /* the old identity belongs to another file by now */
    g_assert_cmpuint(add_for_guest(table, 42), !=, inode->nodeid);
    inode_table_forget(table, inode->nodeid, 3);
    g_assert_null(inode_table_find(table, &newer));
    inode_unref(inode);
    inode_table_free(table);
}

static void a_new_identity_survives_growth_and_reset(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct inode *inode = add(table, 42);
    struct inode_id new = id_of(9, 4711);
    struct inode *found = NULL;

    inode_table_rekey(table, inode, &new);
    for (uint64_t ino = 100; ino < 700; ino++) {
        add_for_guest(table, ino);
    }
    found = inode_table_find(table, &new);
    g_assert_true(found == inode);
    inode_unref(found);
    inode_table_forget_all(table);
    g_assert_null(inode_table_find(table, &new));
    g_assert_cmpuint(inode_table_count(table), ==, 0);
    inode_table_rekey(table, inode, &new); /* too late: nobody may find it any more */
    g_assert_null(inode_table_find(table, &new));
    inode_unref(inode);
    inode_table_free(table);
}

/* --- parking --- */

static void parked_inodes_keep_their_number(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    uint64_t nodeid[20];
    int parked = 0;

    for (int i = 0; i < 20; i++) {
        struct statx st = stat_of(1, 1000 + (uint64_t)i);
        struct inode *inode = inode_table_add(table, some_fd(), &st, 7, false);

        nodeid[i] = inode->nodeid;
        inode_unref(inode);
    }
    /* the hand may spare at first what was used lately */
    g_assert_cmpuint(inode_table_park(table, 10) + inode_table_park(table, 10), >=, 10);
    for (int i = 0; i < 20; i++) {
        struct inode *inode = inode_table_get(table, nodeid[i]);

        g_assert_nonnull(inode);
        if (inode->fd < 0) {
            parked++;
            inode_table_unpark(table, inode, some_fd());
            g_assert_cmpint(inode->fd, >=, 0);
        }
        inode_unref(inode);
    }
    g_assert_cmpint(parked, >=, 10);
    g_assert_cmpuint(inode_table_count(table), ==, 20);
    inode_table_free(table);
}

/* Without a token there is no way to open it anew. */
static void what_could_not_be_found_again_is_not_parked(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);

    for (uint64_t i = 0; i < 20; i++) {
        add_for_guest(table, 1000 + i);
    }
    (void)inode_table_park(table, 10);
    g_assert_cmpuint(inode_table_park(table, 10), ==, 0);
    inode_table_free(table);
}

static void what_is_in_use_is_not_parked(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    struct statx st = stat_of(1, 42);
    struct inode *inode = inode_table_add(table, some_fd(), &st, 7, false);

    (void)inode_table_park(table, 10);
    (void)inode_table_park(table, 10);
    g_assert_cmpint(inode->fd, >=, 0);
    inode_unref(inode);
    inode_table_free(table);
}

/* --- threads --- */

enum { THREADS = 4, ROUNDS = 3000, INODES = 8 };

static void *churn(void *opaque)
{
    struct inode_table *table = opaque;

    for (int i = 0; i < ROUNDS; i++) {
        struct inode_id id = id_of(1, 100 + (uint64_t)i % INODES);
        struct inode *inode = inode_table_find(table, &id);

        if (!inode) {
            inode = add(table, id.ino);
        }
        g_assert_cmpuint(inode->id.ino, ==, id.ino);
        inode_table_forget(table, inode->nodeid, 1);
        inode_unref(inode);
    }
    return NULL;
}

static void threads_look_up_and_forget_the_same(void)
{
    struct inode_table *table = inode_table_new(ROOT_DEV);
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++) {
        g_assert_cmpint(pthread_create(&thread[i], NULL, churn, table), ==, 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    g_assert_cmpuint(inode_table_count(table), ==, 0);
    inode_table_free(table);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/inode_table/" #name, name)
    ADD(an_added_inode_is_found_in_both_ways);
    ADD(what_the_guest_counts_wrong_is_harmless);
    ADD(each_lookup_counts);
    ADD(the_root_is_never_forgotten);
    ADD(a_descriptor_lives_as_long_as_a_reference);
    ADD(nodeids_follow_from_the_host);
    ADD(numbers_that_collide_are_told_apart);
    ADD(no_host_number_becomes_the_root_or_zero);
    ADD(adding_what_is_there_gives_what_is_there);
    ADD(a_new_identity_keeps_the_nodeid);
    ADD(a_new_identity_survives_growth_and_reset);
    ADD(parked_inodes_keep_their_number);
    ADD(what_could_not_be_found_again_is_not_parked);
    ADD(what_is_in_use_is_not_parked);
    ADD(threads_look_up_and_forget_the_same);
    return g_test_run();
}
