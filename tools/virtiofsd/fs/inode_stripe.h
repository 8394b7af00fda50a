/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the inode table, for the files that make it: inode_table.c (identity, lookup
 * counts), inode_stripe.c (the hash table) and inode_park.c (descriptors). Nobody else.
 */
#ifndef FS_INODE_STRIPE_H
#define FS_INODE_STRIPE_H

#include <glib.h>
#include <pthread.h>

#include "fs/inode_table.h"

enum { STRIPES = 64, FIRST_BUCKETS = 64 };

struct stripe {
    pthread_mutex_t lock;
    struct inode **buckets;
    size_t n_buckets; /* a power of two */
    size_t n_inodes;
} __attribute__((aligned(64))); /* two queues' stripes do not share a cache line */

struct inode_table {
    struct stripe stripes[STRIPES];
    uint64_t root_dev;
    struct inode *root; /* its nodeid does not follow from its identity */

    size_t max_fds; /* 0: no limit */
    bool keep_places;
    atomic_size_t n_fds; /* descriptors that inodes hold */
    atomic_uint hand;    /* the stripe where parking goes on */

    /*
     * Inodes whose host identity changed since they were added, so that the bucket no longer
     * follows from it. Nearly always empty, and then never locked. Lock order: aliases, stripe.
     */
    pthread_mutex_t alias_lock;
    GHashTable *aliases; /* &inode->id -> inode */
    atomic_size_t n_aliases;
};

/* Inode numbers of one file system are dense: spread them. */
static inline uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

static inline uint32_t fold_ino(uint64_t ino)
{
    return (uint32_t)(ino ^ (ino >> 32));
}

static inline struct stripe *stripe_of(struct inode_table *table, uint32_t folded)
{
    return &table->stripes[mix(folded) % STRIPES];
}

static inline struct inode **bucket_of(struct stripe *stripe, uint32_t folded)
{
    return &stripe->buckets[(mix(folded) / STRIPES) & (stripe->n_buckets - 1)];
}

static inline bool same_id(const struct inode_id *a, const struct inode_id *b)
{
    return a->ino == b->ino && a->dev == b->dev && a->mnt_id == b->mnt_id;
}

/* All under the stripe's lock. */
struct inode *stripe_find_nodeid(struct stripe *stripe, uint64_t nodeid);
struct inode *stripe_find_id(struct stripe *stripe, const struct inode_id *id);
void stripe_link(struct stripe *stripe, struct inode *inode);
/* Takes the inode out; the table's reference is now the caller's. */
void stripe_unlink(struct stripe *stripe, struct inode *inode);

/* After a descriptor was added, without any lock: parks some when there are too many. */
void inode_table_keep_limit(struct inode_table *table);

#endif
