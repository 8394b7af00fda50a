/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed rings overwrite descriptors with used ones, so a region keeps copies of them. Its
 * entries are a list of free ones from which chains take theirs. Each field exists twice, as it
 * is and as it was (old_...): a step that was not finished is undone by the next life.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <glib.h>

#include "transport/inflight.h"

#define REGION_VERSION 1
#define FLAG_AVAIL     (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED      (1u << VRING_PACKED_DESC_F_USED)

struct packed_entry {
    uint8_t inflight;
    uint8_t padding;
    uint16_t next; /* in the free list, or in the chain */
    uint16_t last; /* of the chain */
    uint16_t num;  /* entries of the chain */
    uint64_t counter;
    uint16_t id; /* the descriptor, little-endian as in the ring */
    uint16_t flags;
    uint32_t len;
    uint64_t addr;
};

struct packed_region {
    uint64_t features; /* none are defined */
    uint16_t version;  /* 0: nobody has used the region yet */
    uint16_t desc_num;
    uint16_t free_head;
    uint16_t old_free_head;
    uint16_t used_idx;
    uint16_t old_used_idx;
    uint8_t used_wrap_counter;
    uint8_t old_used_wrap_counter;
    uint8_t padding[7];
    struct packed_entry desc[];
};

static_assert(sizeof(struct packed_entry) == 32, "form of the specification");
static_assert(offsetof(struct packed_region, desc) == 32, "form of the specification");

/* Stores that must be made, and made in the order in which they are written here. */
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

size_t inflight_packed_region_size(unsigned queue_size)
{
    return offsetof(struct packed_region, desc) + (size_t)queue_size * sizeof(struct packed_entry);
}

int inflight_packed_init(struct inflight_queue *queue)
{
    queue->next = g_try_new0(uint16_t, queue->size);
    return queue->next ? 0 : -ENOMEM;
}

void inflight_packed_clear(struct inflight_queue *queue)
{
    struct packed_region *region = queue->region;

    STORE(region->version, 0);
}

static void begin(struct inflight_queue *queue, const struct inflight_place *place)
{
    struct packed_region *region = queue->region;

    for (unsigned i = 0; i < queue->size; i++) {
        queue->next[i] = (uint16_t)(i + 1);
        region->desc[i].next = (uint16_t)(i + 1);
        region->desc[i].inflight = 0;
    }
    queue->free_head = 0;
    region->features = 0;
    region->desc_num = (uint16_t)queue->size;
    region->free_head = region->old_free_head = 0;
    region->used_idx = region->old_used_idx = place->used_idx;
    region->used_wrap_counter = region->old_used_wrap_counter = place->used_wrap;
    STORE(region->version, REGION_VERSION);
}

/* Did the driver see the used descriptor whose step was begun? */
static bool was_published(const struct packed_region *region, const struct vring_packed_desc *ring,
                          uint16_t old_used_idx)
{
    unsigned flags = le16toh(__atomic_load_n(&ring[old_used_idx].flags, __ATOMIC_ACQUIRE));
    bool wrap = region->old_used_wrap_counter & 1;

    return !!(flags & FLAG_AVAIL) == wrap && !!(flags & FLAG_USED) == wrap;
}

/* A step that was begun is finished if the driver saw it, and undone if not. */
static void settle(struct packed_region *region, const struct vring_packed_desc *ring,
                   uint16_t old_used_idx)
{
    bool is_open = region->used_idx != region->old_used_idx ||
                   region->used_wrap_counter != region->old_used_wrap_counter;

    if (is_open && was_published(region, ring, old_used_idx)) {
        region->old_free_head = region->free_head;
        region->old_used_idx = region->used_idx;
        region->old_used_wrap_counter = region->used_wrap_counter;
    }
    region->free_head = region->old_free_head;
    region->used_idx = region->old_used_idx;
    region->used_wrap_counter = region->old_used_wrap_counter;
}

/* Copies the links, each checked once; entries of the free list are not out. */
static bool adopt_list(struct inflight_queue *queue)
{
    struct packed_region *region = queue->region;
    uint16_t at = region->free_head;

    for (unsigned i = 0; i < queue->size; i++) {
        queue->next[i] = __atomic_load_n(&region->desc[i].next, __ATOMIC_RELAXED);
    }
    queue->free_head = at;
    /* the last free entry leads to `size`, which is none */
    for (unsigned i = 0; at < queue->size; i++) {
        if (i == queue->size) {
            return false; /* a loop */
        }
        region->desc[at].inflight = 0;
        at = queue->next[at];
    }
    return true;
}

static bool chain_is_sane(const struct inflight_queue *queue, uint16_t entry, unsigned num)
{
    if (num == 0 || num > queue->size) {
        return false;
    }
    for (unsigned i = 1; i < num; i++) {
        entry = queue->next[entry];
        if (entry >= queue->size) {
            return false;
        }
    }
    return true;
}

static int collect(struct inflight_queue *queue, unsigned num, unsigned *ret_taken)
{
    struct packed_region *region = queue->region;
    g_autofree struct inflight_entry *out = g_new(struct inflight_entry, queue->size);
    unsigned taken = 0;
    unsigned cnt = 0;

    for (unsigned i = 0; i < queue->size; i++) {
        if (__atomic_load_n(&region->desc[i].inflight, __ATOMIC_RELAXED)) {
            unsigned here = __atomic_load_n(&region->desc[i].num, __ATOMIC_RELAXED);

            if (!chain_is_sane(queue, (uint16_t)i, here) || here > num - taken) {
                return -EINVAL;
            }
            taken += here;
            out[cnt++] = (struct inflight_entry){region->desc[i].counter, (uint16_t)i};
        }
    }
    inflight_set_again(queue, out, cnt);
    *ret_taken = taken;
    return (int)cnt;
}

int inflight_packed_start(struct inflight_queue *queue, unsigned num,
                          const struct vring_packed_desc *ring, struct inflight_place *place,
                          unsigned *ret_taken)
{
    struct packed_region *region = queue->region;
    uint16_t version = __atomic_load_n(&region->version, __ATOMIC_ACQUIRE);
    uint16_t old_used_idx = __atomic_load_n(&region->old_used_idx, __ATOMIC_RELAXED);

    *ret_taken = 0;
    if (!queue->packed || num > queue->size) {
        return -EINVAL;
    }
    queue->is_resumed = version != 0;
    if (version == 0) {
        begin(queue, place);
        inflight_set_again(queue, NULL, 0);
        return 0;
    }
    if (version != REGION_VERSION || region->desc_num != queue->size || old_used_idx >= num) {
        return -EINVAL;
    }
    settle(region, ring, old_used_idx);
    place->used_idx = __atomic_load_n(&region->used_idx, __ATOMIC_RELAXED);
    place->used_wrap = region->used_wrap_counter & 1;
    if (place->used_idx >= num || !adopt_list(queue)) {
        return -EINVAL;
    }
    return collect(queue, num, ret_taken);
}

/* Are so many entries free? They are as long as the driver puts no more in than the ring holds. */
static bool has_free(const struct inflight_queue *queue, unsigned cnt)
{
    uint16_t at = queue->free_head;

    for (unsigned i = 0; i < cnt; i++) {
        if (at >= queue->size) {
            return false;
        }
        at = queue->next[at];
    }
    return true;
}

static uint16_t record(struct inflight_queue *queue, const struct vring_packed_desc *descs,
                       unsigned cnt)
{
    struct packed_region *region = queue->region;
    uint16_t head = queue->free_head;
    uint16_t at = head;

    STORE(region->desc[head].num, 0);
    STORE(region->desc[head].counter, queue->counter++);
    STORE(region->desc[head].inflight, 1);
    for (unsigned i = 0; i < cnt; i++) {
        struct packed_entry *entry = &region->desc[at];

        entry->addr = descs[i].addr;
        entry->len = descs[i].len;
        entry->flags = descs[i].flags;
        entry->id = descs[i].id;
        STORE(region->desc[head].last, at);
        STORE(region->desc[head].num, (uint16_t)(i + 1));
        at = queue->next[at];
        STORE(region->free_head, at);
    }
    queue->free_head = at;
    STORE(region->old_free_head, at);
    return head;
}

bool inflight_packed_popped(struct inflight_queue *queue, const struct vring_packed_desc *descs,
                            unsigned cnt, uint16_t *ret_entry)
{
    bool fits = false;

    pthread_mutex_lock(&queue->lock);
    fits = has_free(queue, cnt);
    if (fits) {
        *ret_entry = record(queue, descs, cnt);
    }
    pthread_mutex_unlock(&queue->lock);
    return fits;
}

bool inflight_packed_read(const struct inflight_queue *queue, uint16_t entry, unsigned i,
                          struct vring_packed_desc *ret_desc)
{
    const struct packed_region *region = queue->region;

    /* a chain's own links do not change while it is out, so no lock is needed */
    for (; i > 0; i--) {
        entry = queue->next[entry];
        if (entry >= queue->size) {
            return false;
        }
    }
    ret_desc->addr = region->desc[entry].addr;
    ret_desc->len = region->desc[entry].len;
    ret_desc->id = region->desc[entry].id;
    ret_desc->flags = region->desc[entry].flags;
    return true;
}

void inflight_packed_pushing(struct inflight_queue *queue, uint16_t entry, unsigned cnt,
                             struct inflight_place to)
{
    struct packed_region *region = queue->region;
    uint16_t last = entry;

    pthread_mutex_lock(&queue->lock);
    for (unsigned i = 1; i < cnt; i++) {
        last = queue->next[last];
    }
    queue->next[last] = queue->free_head;
    STORE(region->desc[last].next, queue->free_head);
    queue->free_head = entry;
    STORE(region->free_head, entry);
    STORE(region->used_idx, to.used_idx);
    STORE(region->used_wrap_counter, to.used_wrap);
}

void inflight_packed_pushed(struct inflight_queue *queue, uint16_t entry, struct inflight_place to)
{
    struct packed_region *region = queue->region;

    STORE(region->desc[entry].inflight, 0);
    STORE(region->old_free_head, queue->free_head);
    STORE(region->old_used_idx, to.used_idx);
    STORE(region->old_used_wrap_counter, to.used_wrap);
    pthread_mutex_unlock(&queue->lock);
}
