/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parking: inodes that nobody uses give up their descriptors, those not used for longest first (a
 * clock with a second chance), and where each can be found again.
 */
#include <string.h>
#include <unistd.h>

#include "fs/inode_stripe.h"

/* Nobody but the table and the guest's numbers has it, and it can be opened anew. */
static bool may_park(const struct inode_table *table, const struct inode *inode)
{
    return inode->fd >= 0 && !inode->aliased && atomic_load(&inode->refs) == 1 &&
           (inode->generation != 0 || (table->keep_places && inode->place));
}

/* Takes the descriptors of up to n inodes of a stripe that were not used for a round. */
static size_t park_in(struct inode_table *table, struct stripe *stripe, int *fds, size_t n)
{
    size_t found = 0;

    pthread_mutex_lock(&stripe->lock);
    for (size_t b = 0; b < stripe->n_buckets && found < n; b++) {
        for (struct inode *inode = stripe->buckets[b]; inode && found < n; inode = inode->next) {
            if (!may_park(table, inode)) {
                continue;
            }
            if (inode->used) {
                inode->used = false; /* a second chance */
                continue;
            }
            fds[found++] = atomic_exchange(&inode->fd, -1);
        }
    }
    pthread_mutex_unlock(&stripe->lock);
    return found;
}

size_t inode_table_park(struct inode_table *table, size_t n)
{
    enum { AT_ONCE = 64 };
    size_t parked = 0;

    /* Two rounds: in the first all may just lose their mark. */
    for (int i = 0; i < 2 * STRIPES && parked < n; i++) {
        struct stripe *stripe = &table->stripes[atomic_fetch_add(&table->hand, 1) % STRIPES];
        int fds[AT_ONCE];
        size_t found = park_in(table, stripe, fds, MIN(n - parked, (size_t)AT_ONCE));

        for (size_t f = 0; f < found; f++) {
            (void)close(fds[f]); /* outside the lock; O_PATH: nothing to lose */
        }
        parked += found;
    }
    atomic_fetch_sub(&table->n_fds, parked);
    return parked;
}

/* Over the limit a bunch is parked at once, so that the search costs little for each. */
void inode_table_keep_limit(struct inode_table *table)
{
    if (table->max_fds > 0 &&
        atomic_load_explicit(&table->n_fds, memory_order_relaxed) > table->max_fds) {
        (void)inode_table_park(table, table->max_fds / 8 + 1);
    }
}

void inode_table_set_parking(struct inode_table *table, size_t max_fds, bool keep_places)
{
    table->max_fds = max_fds;
    table->keep_places = keep_places;
}

void inode_table_unpark(struct inode_table *table, struct inode *inode, int fd)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)inode->nodeid);

    pthread_mutex_lock(&stripe->lock);
    if (inode->fd < 0) {
        inode->fd = fd;
        atomic_fetch_add_explicit(&table->n_fds, 1, memory_order_relaxed);
        fd = -1;
    }
    pthread_mutex_unlock(&stripe->lock);
    if (fd >= 0) {
        (void)close(fd);
    }
    inode_table_keep_limit(table);
}

void inode_table_note_place(struct inode_table *table, struct inode *inode, uint64_t dir,
                            const char *name)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)inode->nodeid);
    size_t size = strlen(name) + 1;
    struct inode_place *place = NULL;

    if (!table->keep_places || inode == table->root) {
        return;
    }
    pthread_mutex_lock(&stripe->lock);
    if (!inode->place || inode->place->dir != dir || strcmp(inode->place->name, name) != 0) {
        place = g_try_malloc(sizeof(*place) + size); /* without memory it cannot be parked */
    }
    if (place) {
        place->dir = dir;
        memcpy(place->name, name, size);
        g_free(inode->place);
        inode->place = place;
    }
    pthread_mutex_unlock(&stripe->lock);
}

struct inode_place *inode_table_get_place(struct inode_table *table, struct inode *inode)
{
    struct stripe *stripe = stripe_of(table, (uint32_t)inode->nodeid);
    struct inode_place *copy = NULL;

    pthread_mutex_lock(&stripe->lock);
    if (inode->place) {
        size_t size = sizeof(*copy) + strlen(inode->place->name) + 1;

        copy = g_try_malloc(size);
        if (copy) {
            memcpy(copy, inode->place, size);
        }
    }
    pthread_mutex_unlock(&stripe->lock);
    return copy;
}
