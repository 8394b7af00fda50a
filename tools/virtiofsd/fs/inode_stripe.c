/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash table below the inode table, in stripes. The bucket follows from the folded inode
 * number, which is also the low half of the nodeid: one table serves look-ups by nodeid and by
 * host identity alike.
 */
#include "fs/inode_stripe.h"

struct inode *stripe_find_nodeid(struct stripe *stripe, uint64_t nodeid)
{
    struct inode *inode = *bucket_of(stripe, (uint32_t)nodeid);

    while (inode && inode->nodeid != nodeid) {
        inode = inode->next;
    }
    return inode;
}

struct inode *stripe_find_id(struct stripe *stripe, const struct inode_id *id)
{
    struct inode *inode = *bucket_of(stripe, fold_ino(id->ino));

    while (inode && !same_id(&inode->id, id)) {
        inode = inode->next;
    }
    return inode;
}

/* Doubles the buckets when chains grow; without memory they stay longer. */
static void maybe_grow(struct stripe *stripe)
{
    size_t wider = stripe->n_buckets * 2;
    struct inode **old = stripe->buckets;
    size_t n_old = stripe->n_buckets;

    if (stripe->n_inodes < stripe->n_buckets || wider > (1u << 26)) {
        return;
    }
    stripe->buckets = g_try_new0(struct inode *, wider);
    if (!stripe->buckets) {
        stripe->buckets = old;
        return;
    }
    stripe->n_buckets = wider;
    for (size_t i = 0; i < n_old; i++) {
        struct inode *inode = old[i];

        while (inode) {
            struct inode *next = inode->next;
            struct inode **bucket = bucket_of(stripe, (uint32_t)inode->nodeid);

            inode->next = *bucket;
            *bucket = inode;
            inode = next;
        }
    }
    g_free(old);
}

void stripe_link(struct stripe *stripe, struct inode *inode)
{
    struct inode **bucket = NULL;

    maybe_grow(stripe);
    bucket = bucket_of(stripe, (uint32_t)inode->nodeid);
    inode->next = *bucket;
    *bucket = inode;
    inode->linked = true;
    stripe->n_inodes++;
}

void stripe_unlink(struct stripe *stripe, struct inode *inode)
{
    struct inode **at = bucket_of(stripe, (uint32_t)inode->nodeid);

    while (*at != inode) {
        at = &(*at)->next;
    }
    *at = inode->next;
    inode->linked = false;
    inode->nlookup = 0;
    stripe->n_inodes--;
}
