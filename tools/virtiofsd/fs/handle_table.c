/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots in chunks that never move, a mutex per stripe of slots for the look-up, one mutex for
 * taking and freeing slots. Lock order: table lock before stripe lock.
 */
#include "fs/handle_table.h"

#include <errno.h>
#include <glib.h>
#include <unistd.h>

#include "fs/pt_dir.h"

enum {
    STRIPES = 32,
    CHUNK = 1024,
    MAX_CHUNKS = 1024, /* a million open files: RLIMIT_NOFILE ends earlier */
    NO_SLOT = -1,
};

struct slot {
    struct handle *handle; /* under the slot's stripe lock */
    uint32_t serial;       /* likewise */
    int next_free;         /* under the table lock */
};

struct stripe {
    pthread_mutex_t lock;
} __attribute__((aligned(64)));

struct handle_table {
    struct stripe stripes[STRIPES];
    pthread_mutex_t lock;
    struct slot *_Atomic chunks[MAX_CHUNKS];
    int n_slots;
    int first_free;
    atomic_uint_fast64_t count;
};

static struct slot *slot_at(struct handle_table *table, uint32_t index)
{
    struct slot *chunk = NULL;

    if (index >= CHUNK * MAX_CHUNKS) {
        return NULL;
    }
    chunk = atomic_load_explicit(&table->chunks[index / CHUNK], memory_order_acquire);
    return chunk ? &chunk[index % CHUNK] : NULL;
}

static pthread_mutex_t *lock_of(struct handle_table *table, uint32_t index)
{
    return &table->stripes[index % STRIPES].lock;
}

struct handle_table *handle_table_new(void)
{
    struct handle_table *table = g_aligned_alloc0(1, sizeof(*table), 64);

    pthread_mutex_init(&table->lock, NULL);
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&table->stripes[i].lock, NULL);
    }
    table->first_free = NO_SLOT;
    return table;
}

void handle_table_free(struct handle_table *table)
{
    if (!table) {
        return;
    }
    handle_table_clear(table);
    for (int i = 0; i < MAX_CHUNKS; i++) {
        g_free(table->chunks[i]);
    }
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_destroy(&table->stripes[i].lock);
    }
    pthread_mutex_destroy(&table->lock);
    g_aligned_free(table);
}

void handle_unref(struct handle *handle)
{
    if (!handle || atomic_fetch_sub_explicit(&handle->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    dir_stream_free(handle->dir);
    (void)close(handle->fd); /* write errors were told by FLUSH and FSYNC */
    inode_unref(handle->inode);
    g_free(handle);
}

/* A free slot's index, or NO_SLOT. Under the table lock. */
static int take_slot(struct handle_table *table)
{
    int index = table->first_free;

    if (index != NO_SLOT) {
        table->first_free = slot_at(table, index)->next_free;
        return index;
    }
    if (table->n_slots == CHUNK * MAX_CHUNKS) {
        return NO_SLOT;
    }
    if (table->n_slots % CHUNK == 0) {
        struct slot *chunk = g_try_new0(struct slot, CHUNK);

        if (!chunk) {
            return NO_SLOT;
        }
        atomic_store_explicit(&table->chunks[table->n_slots / CHUNK], chunk, memory_order_release);
    }
    return table->n_slots++;
}

int handle_table_add(struct handle_table *table, int fd, struct inode *inode, int flags,
                     struct dir_stream *dir, uint64_t *ret_fh)
{
    struct handle *handle = g_try_new0(struct handle, 1);
    struct slot *slot = NULL;
    int index = NO_SLOT;

    if (!handle) {
        dir_stream_free(dir);
        (void)close(fd);
        inode_unref(inode);
        return -ENOMEM;
    }
    handle->fd = fd;
    handle->inode = inode;
    handle->flags = flags;
    handle->dir = dir;
    atomic_init(&handle->refs, 1);

    pthread_mutex_lock(&table->lock);
    index = take_slot(table);
    pthread_mutex_unlock(&table->lock);
    if (index == NO_SLOT) {
        handle_unref(handle);
        return -ENFILE;
    }
    slot = slot_at(table, index);
    pthread_mutex_lock(lock_of(table, index));
    slot->handle = handle;
    slot->serial++; /* so that fh 0 is never valid either */
    *ret_fh = ((uint64_t)slot->serial << 32) | (uint32_t)index;
    pthread_mutex_unlock(lock_of(table, index));
    atomic_fetch_add(&table->count, 1);
    return 0;
}

struct handle *handle_table_get(struct handle_table *table, uint64_t fh)
{
    uint32_t index = (uint32_t)fh;
    struct slot *slot = slot_at(table, index);
    struct handle *handle = NULL;

    if (!slot) {
        return NULL;
    }
    pthread_mutex_lock(lock_of(table, index));
    if (slot->handle && slot->serial == (uint32_t)(fh >> 32)) {
        handle = slot->handle;
        atomic_fetch_add_explicit(&handle->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(lock_of(table, index));
    return handle;
}

/* Empties the slot and gives its handle's reference to the caller. */
static struct handle *empty_slot(struct handle_table *table, uint32_t index, const uint32_t *serial)
{
    struct slot *slot = slot_at(table, index);
    struct handle *handle = NULL;

    pthread_mutex_lock(lock_of(table, index));
    if (slot->handle && (!serial || slot->serial == *serial)) {
        handle = g_steal_pointer(&slot->handle);
    }
    pthread_mutex_unlock(lock_of(table, index));
    if (handle) {
        pthread_mutex_lock(&table->lock);
        slot->next_free = table->first_free;
        table->first_free = (int)index;
        pthread_mutex_unlock(&table->lock);
        atomic_fetch_sub(&table->count, 1);
    }
    return handle;
}

bool handle_table_remove(struct handle_table *table, uint64_t fh)
{
    uint32_t serial = (uint32_t)(fh >> 32);
    struct handle *handle = NULL;

    if (!slot_at(table, (uint32_t)fh)) {
        return false;
    }
    handle = empty_slot(table, (uint32_t)fh, &serial);
    handle_unref(handle);
    return handle != NULL;
}

void handle_table_clear(struct handle_table *table)
{
    for (uint32_t index = 0; slot_at(table, index); index++) {
        handle_unref(empty_slot(table, index, NULL));
    }
}

uint64_t handle_table_count(struct handle_table *table)
{
    return atomic_load(&table->count);
}
