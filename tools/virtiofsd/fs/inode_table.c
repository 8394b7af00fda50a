/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Identity and lookup counts; the hash table is in inode_stripe.c.
 */
#include "fs/inode_table.h"

#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/compat.h"
#include "fs/inode_stripe.h"

static guint id_hash(gconstpointer key)
{
    const struct inode_id *id = key;

    return mix(fold_ino(id->ino) ^ (uint32_t)id->dev);
}

static gboolean id_equal(gconstpointer a, gconstpointer b)
{
    return same_id(a, b);
}

struct inode_id inode_id_of(const struct statx *st)
{
    return (struct inode_id){
        .dev = makedev(st->stx_dev_major, st->stx_dev_minor),
        .ino = st->stx_ino,
#ifdef STATX_MNT_ID
        .mnt_id = (st->stx_mask & STATX_MNT_ID) ? st->stx_mnt_id : 0,
#endif
    };
}

struct inode_table *inode_table_new(uint64_t root_dev)
{
    struct inode_table *table = g_aligned_alloc0(1, sizeof(*table), 64);

    table->root_dev = root_dev;
    pthread_mutex_init(&table->alias_lock, NULL);
    table->aliases = g_hash_table_new(id_hash, id_equal);
    for (size_t i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&table->stripes[i].lock, NULL);
        table->stripes[i].n_buckets = FIRST_BUCKETS;
        table->stripes[i].buckets = g_new0(struct inode *, FIRST_BUCKETS);
    }
    return table;
}

void inode_table_free(struct inode_table *table)
{
    if (!table) {
        return;
    }
    inode_table_forget_all(table);
    if (table->root) {
        inode_unref(table->root);
    }
    for (size_t i = 0; i < STRIPES; i++) {
        g_free(table->stripes[i].buckets);
        pthread_mutex_destroy(&table->stripes[i].lock);
    }
    g_hash_table_destroy(table->aliases);
    pthread_mutex_destroy(&table->alias_lock);
    g_aligned_free(table);
}

struct inode *inode_ref(struct inode *inode)
{
    atomic_fetch_add_explicit(&inode->refs, 1, memory_order_relaxed);
    return inode;
}

void inode_unref(struct inode *inode)
{
    /* acq_rel: whoever frees must see everything the others did with it */
    if (inode && atomic_fetch_sub_explicit(&inode->refs, 1, memory_order_acq_rel) == 1) {
        if (inode->fd >= 0) {
            (void)close(inode->fd); /* O_PATH: nothing to lose */
            if (inode->n_fds) {
                atomic_fetch_sub_explicit(inode->n_fds, 1, memory_order_relaxed);
            }
        }
        inode_locks_free(inode->locks);
        g_free(inode->place);
        g_free(inode);
    }
}

/* Files of other devices in the share get other upper halves; the same ones after a restart. */
static uint32_t dev_salt(const struct inode_table *table, uint64_t dev)
{
    return dev == table->root_dev ? 0 : mix((uint32_t)dev ^ mix((uint32_t)(dev >> 32))) | 1;
}

/* A number that no inode of the stripe has; nearly always the first that is tried. */
static uint64_t pick_nodeid(const struct inode_table *table, struct stripe *stripe,
                            const struct inode_id *id, uint32_t token)
{
    uint32_t high = token ^ dev_salt(table, id->dev);
    uint64_t nodeid = ((uint64_t)high << 32) | fold_ino(id->ino);

    while (nodeid <= FUSE_ROOT_ID || stripe_find_nodeid(stripe, nodeid)) {
        nodeid += 1ull << 32; /* ends: a stripe holds far fewer than 2^32 inodes */
    }
    return nodeid;
}

struct inode *inode_table_get(struct inode_table *table, uint64_t nodeid)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)nodeid);
    struct inode *inode = NULL;

    if (nodeid == FUSE_ROOT_ID) {
        return table->root ? inode_ref(table->root) : NULL;
    }
    pthread_mutex_lock(&stripe->lock);
    inode = stripe_find_nodeid(stripe, nodeid);
    if (inode) {
        inode->used = true;
        inode_ref(inode);
    }
    pthread_mutex_unlock(&stripe->lock);
    return inode;
}

uint64_t inode_birth_of(const struct statx *st)
{
    if (!(st->stx_mask & STATX_BTIME)) {
        return 0;
    }
    return (uint64_t)st->stx_btime.tv_sec * 1000000000 + st->stx_btime.tv_nsec;
}

static struct inode *make_inode(struct inode_table *table, int fd, const struct statx *st)
{
    struct inode *inode = g_try_new0(struct inode, 1);

    if (!inode) {
        (void)close(fd);
        return NULL;
    }
    inode->fd = fd;
    inode->n_fds = &table->n_fds;
    atomic_fetch_add_explicit(&table->n_fds, 1, memory_order_relaxed);
    inode->type = st->stx_mode & S_IFMT;
    inode->birth = inode_birth_of(st);
    inode->id = inode_id_of(st);
    atomic_init(&inode->refs, 2); /* the table's and the caller's */
    return inode;
}

/* An inode whose descriptor is open is the file itself; a parked one has to be compared. */
static bool is_same_file(const struct inode *known, const struct inode *found)
{
    return known->fd >= 0 || (known->generation == found->generation &&
                              known->birth == found->birth && known->type == found->type);
}

struct inode *inode_table_add(struct inode_table *table, int fd, const struct statx *st,
                              uint32_t token, bool whiteout)
{
    struct inode *inode = make_inode(table, fd, st);
    struct stripe *stripe = NULL;
    struct inode *faster = NULL;
    struct inode *dead = NULL;

    if (!inode) {
        return NULL;
    }
    inode->generation = token;
    inode->whiteout = whiteout;
    stripe = stripe_of(table, fold_ino(inode->id.ino));
    pthread_mutex_lock(&stripe->lock);
    faster = stripe_find_id(stripe, &inode->id);
    if (faster && !is_same_file(faster, inode)) {
        dead = faster; /* parked, and its inode number has a new owner: the old one is no more */
        stripe_unlink(stripe, dead);
        faster = NULL;
    }
    if (faster) {
        faster->nlookup++;
        faster->used = true;
        inode_ref(faster);
        if (faster->fd < 0) {
            faster->fd = atomic_exchange(&inode->fd, -1); /* its count goes along */
        }
    } else {
        inode->nodeid = pick_nodeid(table, stripe, &inode->id, token);
        inode->nlookup = 1;
        inode->used = true;
        stripe_link(stripe, inode);
    }
    pthread_mutex_unlock(&stripe->lock);
    inode_unref(dead);
    if (faster) {
        atomic_store(&inode->refs, 1);
        inode_unref(inode);
        inode = faster;
    }
    inode_table_keep_limit(table);
    return inode;
}

struct inode *inode_table_add_root(struct inode_table *table, int fd, const struct statx *st)
{
    struct inode *inode = make_inode(table, fd, st);

    if (inode) {
        inode->nodeid = FUSE_ROOT_ID; /* and generation 0: fuse_lookup_name() complains otherwise */
        atomic_store(&inode->refs, 1);
        table->root = inode;
    }
    return inode;
}

void inode_table_rekey(struct inode_table *table, struct inode *inode, const struct inode_id *id)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)inode->nodeid);

    pthread_mutex_lock(&table->alias_lock);
    pthread_mutex_lock(&stripe->lock);
    if (inode->linked && !same_id(&inode->id, id)) {
        if (inode->aliased) {
            g_hash_table_remove(table->aliases, &inode->id);
        }
        inode->id = *id;
        inode->aliased = true;
        g_hash_table_replace(table->aliases, &inode->id, inode);
        atomic_store(&table->n_aliases, g_hash_table_size(table->aliases));
    }
    pthread_mutex_unlock(&stripe->lock);
    pthread_mutex_unlock(&table->alias_lock);
}

/* Before the last table reference of an unlinked inode goes. */
static void drop_alias(struct inode_table *table, struct inode *inode)
{
    if (!inode->aliased) {
        return;
    }
    pthread_mutex_lock(&table->alias_lock);
    if (g_hash_table_lookup(table->aliases, &inode->id) == inode) {
        g_hash_table_remove(table->aliases, &inode->id);
    }
    atomic_store(&table->n_aliases, g_hash_table_size(table->aliases));
    pthread_mutex_unlock(&table->alias_lock);
}

static struct inode *find_alias(struct inode_table *table, const struct inode_id *id)
{
    struct inode *inode = NULL;

    if (atomic_load_explicit(&table->n_aliases, memory_order_relaxed) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&table->alias_lock);
    inode = g_hash_table_lookup(table->aliases, id);
    if (inode) {
        struct stripe *stripe = stripe_of(table, (uint32_t)inode->nodeid);

        pthread_mutex_lock(&stripe->lock);
        if (inode->linked) {
            inode->nlookup++;
            inode_ref(inode);
        } else {
            inode = NULL;
        }
        pthread_mutex_unlock(&stripe->lock);
    }
    pthread_mutex_unlock(&table->alias_lock);
    return inode;
}

struct inode *inode_table_find(struct inode_table *table, const struct inode_id *id)
{
    struct stripe *stripe = stripe_of(table, fold_ino(id->ino));
    struct inode *inode = NULL;

    if (table->root && same_id(&table->root->id, id)) {
        return inode_ref(table->root);
    }
    pthread_mutex_lock(&stripe->lock);
    inode = stripe_find_id(stripe, id);
    if (inode && inode->fd < 0) {
        inode = NULL;
    } else if (inode) {
        inode->nlookup++;
        inode->used = true;
        inode_ref(inode);
    }
    pthread_mutex_unlock(&stripe->lock);
    return inode ? inode : find_alias(table, id);
}

void inode_table_count_lookup(struct inode_table *table, struct inode *inode)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)inode->nodeid);

    if (inode == table->root) {
        return;
    }
    pthread_mutex_lock(&stripe->lock);
    if (!inode->linked) {
        /* Forgotten by a racing FORGET or INIT. Its number may live on in another object. */
        struct inode *heir = stripe_find_nodeid(stripe, inode->nodeid);

        if (heir) {
            inode = heir;
        } else {
            stripe_link(stripe, inode_ref(inode));
        }
    }
    inode->nlookup++;
    pthread_mutex_unlock(&stripe->lock);
}

bool inode_table_forget(struct inode_table *table, uint64_t nodeid, uint64_t n)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)nodeid);
    struct inode *gone = NULL;
    struct inode *inode = NULL;
    bool sound = false;

    if (nodeid == FUSE_ROOT_ID) {
        return true;
    }
    pthread_mutex_lock(&stripe->lock);
    inode = stripe_find_nodeid(stripe, nodeid);
    if (inode) {
        sound = n <= inode->nlookup;
        inode->nlookup -= MIN(n, inode->nlookup);
        if (inode->nlookup == 0) {
            stripe_unlink(stripe, inode);
            gone = inode;
        }
    }
    pthread_mutex_unlock(&stripe->lock);
    if (gone) {
        drop_alias(table, gone);
        inode_unref(gone); /* outside the lock: it closes a descriptor */
    }
    return sound;
}

/* Any inode of the stripe, taken out, or NULL. *at is where the search goes on. */
static struct inode *take_any(struct stripe *stripe, size_t *at)
{
    struct inode *inode = NULL;

    pthread_mutex_lock(&stripe->lock);
    while (*at < stripe->n_buckets && !stripe->buckets[*at]) {
        (*at)++;
    }
    if (*at < stripe->n_buckets) {
        inode = stripe->buckets[*at];
        stripe_unlink(stripe, inode);
    }
    pthread_mutex_unlock(&stripe->lock);
    return inode;
}

void inode_table_forget_all(struct inode_table *table)
{
    for (size_t i = 0; i < STRIPES; i++) {
        struct inode *inode = NULL;
        size_t at = 0;

        while ((inode = take_any(&table->stripes[i], &at))) {
            drop_alias(table, inode);
            inode_unref(inode);
        }
    }
}

uint64_t inode_table_count(struct inode_table *table)
{
    uint64_t count = 0;

    for (size_t i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&table->stripes[i].lock);
        count += table->stripes[i].n_inodes;
        pthread_mutex_unlock(&table->stripes[i].lock);
    }
    return count;
}
