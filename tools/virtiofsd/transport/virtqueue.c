/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring of virtio 1.x (section 2.7); packed ones are passed on. Everything in it but
 * used_idx is written by a guest while we look: indices and descriptors are read once into locals,
 * and bounds are checked on the local. Numbers in the ring are little-endian.
 *
 * Which memory order is needed where is said at each place. "The driver does the same" means
 * that its code has the mirrored pair (Linux: drivers/virtio/virtio_ring.c).
 */
#include "transport/virtqueue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "transport/virtqueue_packed.h"
#include "transport/vq_chain.h"

/* The driver's "interrupt me when you pass this": the word after the avail ring. */
static inline uint16_t load_used_event(const struct virtqueue *vq)
{
    return load16(&vq->avail->ring[vq->num]);
}

/* Marks what was written to the used ring. */
static __attribute__((noinline)) void mark_used(const struct virtqueue *vq, const void *at,
                                                size_t len)
{
    dirty_log_mark(vq->log, vq->log_addr + (uint64_t)((const char *)at - (char *)vq->used), len);
}

static inline void log_used(const struct virtqueue *vq, const void *at, size_t len)
{
    if (vq->log && vq->log_used) {
        mark_used(vq, at, len);
    }
}

static inline void store_used16(struct virtqueue *vq, uint16_t *at, uint16_t value)
{
    store16(at, value);
    log_used(vq, at, sizeof(*at));
}

/* Ours, "kick me when you pass this": the word after the used ring. */
static inline void store_avail_event(struct virtqueue *vq, uint16_t value)
{
    store_used16(vq, (uint16_t *)&vq->used->ring[vq->num], value);
}

void vq_reset_at(struct virtqueue *vq, uint32_t base)
{
    memset(vq, 0, sizeof(*vq));
    vq->base = base;
    vq->next_avail = (uint16_t)base;
    vq->seen_avail = (uint16_t)base;
}

void vq_reset(struct virtqueue *vq)
{
    vq_reset_at(vq, 0);
    vq->is_fresh = true;
}

uint32_t vq_base(const struct virtqueue *vq)
{
    if (!vq->used_known) {
        return vq->base; /* never mapped: as it was told */
    }
    return vq->packed ? vq_packed_base(vq) : vq->next_avail;
}

bool vq_is_valid_size(unsigned num)
{
    return num > 0 && num <= VQ_MAX_SIZE;
}

/* Where the ring goes on: where the used index says, and behind what an earlier life had taken. */
static int begin_split(struct virtqueue *vq, const char **ret_why)
{
    uint16_t used_idx = load16(&vq->used->idx);
    int out = 0;

    if (vq->inflight) {
        out = inflight_split_start(vq->inflight, vq->num, used_idx);
        if (out < 0) {
            *ret_why = "its inflight region is none, or one of another size";
            return out;
        }
    }
    if (vq->inflight && vq->inflight->is_resumed) {
        /* chains are taken in order, so what was taken is what was given back and what is out */
        vq->next_avail = (uint16_t)(used_idx + out);
        vq->seen_avail = vq->next_avail;
    }
    vq->used_idx = used_idx;
    vq->used_known = true;
    return 0;
}

static int map_split(struct virtqueue *vq, const struct guest_mem *mem, const struct vq_addr *addr,
                     const char **ret_why)
{
    /* sizes with the event word at the end, which is there whether EVENT_IDX is on or not */
    size_t desc_len = sizeof(struct vring_desc) * vq->num;
    size_t avail_len = sizeof(struct vring_avail) + sizeof(uint16_t) * vq->num + sizeof(uint16_t);
    size_t used_len =
        sizeof(struct vring_used) + sizeof(struct vring_used_elem) * vq->num + sizeof(uint16_t);

    if ((vq->num & (vq->num - 1)) != 0) {
        *ret_why = "the ring's size is no power of two up to 32768";
        return -EINVAL;
    }
    vq->desc = guest_mem_at_uva(mem, addr->desc, desc_len);
    vq->avail = guest_mem_at_uva(mem, addr->avail, avail_len);
    vq->used = guest_mem_at_uva(mem, addr->used, used_len);
    if (!vq->desc || !vq->avail || !vq->used) {
        *ret_why = "a part of the ring lies outside of the memory regions";
        return -EINVAL;
    }
    /* checked on our addresses, which are the ones the CPU sees */
    if ((uintptr_t)vq->desc % VRING_DESC_ALIGN_SIZE != 0 ||
        (uintptr_t)vq->avail % VRING_AVAIL_ALIGN_SIZE != 0 ||
        (uintptr_t)vq->used % VRING_USED_ALIGN_SIZE != 0) {
        *ret_why = "a part of the ring is not aligned as virtio wants it";
        return -EINVAL;
    }
    return vq->used_known ? 0 : begin_split(vq, ret_why);
}

int vq_map(struct virtqueue *vq, const struct guest_mem *mem, unsigned num,
           const struct vq_addr *addr, const char **ret_why)
{
    if (!vq_is_valid_size(num)) {
        *ret_why = "the ring's size is no power of two up to 32768";
        return -EINVAL;
    }
    vq->num = num;
    vq->mem = mem;
    vq->mem_hint = 0;
    return vq->packed ? vq_packed_map(vq, mem, addr, ret_why) : map_split(vq, mem, addr, ret_why);
}

static const char *open_indirect(struct virtqueue *vq, uint64_t addr, uint32_t len, unsigned flags,
                                 struct vq_table *ret_table)
{
    if (!vq->indirect) {
        return "an indirect descriptor though the feature was not negotiated";
    }
    if (flags & VRING_DESC_F_NEXT) {
        return "an indirect descriptor with a next one";
    }
    return vq_table_open(vq->mem, &vq->mem_hint, addr, len, ret_table);
}

/* Walks a chain from its head. Returns NULL or what is wrong with it. */
static inline const char *walk(struct virtqueue *vq, unsigned head, struct vq_elem *elem)
{
    struct vq_table table = {.base = vq->desc, .count = vq->num};
    bool is_indirect = false;
    unsigned index = head;
    /* a chain visits no descriptor twice, so one with more steps than its table has a loop */
    unsigned steps_left = table.count;

    while (steps_left-- > 0) {
        struct vring_desc raw;
        const char *why = vq_table_read(vq->mem, &vq->mem_hint, &table, index, &raw);
        unsigned flags = why ? 0 : le16toh(raw.flags);

        if (why) {
            return why;
        }
        if (flags & VRING_DESC_F_INDIRECT) {
            if (is_indirect) {
                return "an indirect descriptor inside an indirect table";
            }
            why = open_indirect(vq, le64toh(raw.addr), le32toh(raw.len), flags, &table);
            if (why) {
                return why;
            }
            is_indirect = true;
            index = 0;
            steps_left = table.count; /* happens once: indirect tables do not nest */
            continue;
        }
        why = vq_chain_add(elem, vq->mem, &vq->mem_hint, le64toh(raw.addr), le32toh(raw.len),
                           flags & VRING_DESC_F_WRITE);
        if (why) {
            return why;
        }
        if (!(flags & VRING_DESC_F_NEXT)) {
            return NULL;
        }
        index = le16toh(raw.next);
    }
    return "a chain that loops";
}

static int broken(struct virtqueue *vq, const char *why)
{
    vq->why = why;
    return -EINVAL;
}

/* How many entries wait, or -EINVAL. */
static int pending(struct virtqueue *vq)
{
    uint16_t ready = (uint16_t)(vq->seen_avail - vq->next_avail);

    if (ready == 0) {
        /* acquire: the entries and descriptors below idx are read after it. The driver writes
         * them first and releases idx. */
        vq->seen_avail = le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
        ready = (uint16_t)(vq->seen_avail - vq->next_avail);
        if (ready > vq->num) {
            vq->seen_avail = vq->next_avail; /* looks again, should it ever be asked again */
            return broken(vq, "an avail index further ahead than the ring is long");
        }
    }
    return ready;
}

bool vq_has_work(struct virtqueue *vq)
{
    if (vq->packed) {
        return vq_packed_has_work(vq);
    }
    /* acquire: an entry that is seen here was given back before, also in the eyes of the caller */
    return le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE)) != vq->next_avail;
}

/*
 * The head of the next chain: 1, 0 when there is none, -EINVAL. One of an earlier life of ours
 * has lost its place in the avail ring, but its head is known.
 */
static inline int next_head(struct virtqueue *vq, uint16_t *ret_head, bool *ret_is_again)
{
    int rc = 0;

    if (vq->inflight && inflight_again(vq->inflight, ret_head)) {
        *ret_is_again = true;
        return 1;
    }
    rc = pending(vq);
    if (rc > 0) {
        *ret_head = load16(&vq->avail->ring[vq->next_avail & (vq->num - 1)]);
        rc = 1;
    }
    return rc;
}

/* The chain is out from here on, also for the next life. */
static inline void taken(struct virtqueue *vq, uint16_t head, bool is_again)
{
    if (is_again) {
        inflight_again_taken(vq->inflight);
        return;
    }
    if (vq->inflight) {
        inflight_split_popped(vq->inflight, head);
    }
    vq->next_avail++;
}

int vq_pop(struct virtqueue *vq, struct vq_elem *elem)
{
    const char *why = NULL;
    bool is_again = false;
    uint16_t head = 0;
    int rc = 0;

    if (vq->packed) {
        return vq_packed_pop(vq, elem);
    }
    rc = next_head(vq, &head, &is_again);
    if (rc <= 0) {
        return rc;
    }
    if (head >= vq->num) {
        return broken(vq, "an avail entry beyond the descriptor table");
    }
    vq_chain_begin(elem);
    why = walk(vq, head, elem);
    if (why) {
        return broken(vq, why);
    }
    elem->head = head;
    taken(vq, head, is_again);
    return 1;
}

void vq_disable_kicks(struct virtqueue *vq)
{
    if (vq->packed) {
        vq_packed_disable_kicks(vq);
        return;
    }
    /*
     * With EVENT_IDX nothing needs to be done: avail_event stays where the driver has passed it,
     * and it does not kick until it passes it again. The flag is only a hint: no order needed.
     */
    if (!vq->event_idx) {
        store_used16(vq, &vq->used->flags, VRING_USED_F_NO_NOTIFY);
    }
}

bool vq_enable_kicks(struct virtqueue *vq)
{
    if (vq->packed) {
        return vq_packed_enable_kicks(vq);
    }
    if (vq->event_idx) {
        store_avail_event(vq, vq->next_avail);
    } else {
        store_used16(vq, &vq->used->flags, 0);
    }
    /*
     * Our wish must be visible before we look for work a last time: a driver that publishes
     * later sees the wish and kicks, one that published earlier is seen here. The driver does
     * the same: publishes, full barrier, looks at the wish.
     */
    full_barrier();
    return vq_has_work(vq);
}

/* release: entry and answer are in memory before the driver, which acquires, sees the index */
static inline void publish_used(struct virtqueue *vq)
{
    __atomic_store_n(&vq->used->idx, htole16(vq->used_idx), __ATOMIC_RELEASE);
}

/* The same with somebody watching; kept out of the way of the usual case. */
static __attribute__((noinline)) void publish_watched(struct virtqueue *vq, uint16_t head,
                                                      const struct vring_used_elem *entry)
{
    if (vq->inflight) {
        inflight_split_pushing(vq->inflight, head);
    }
    publish_used(vq);
    if (vq->inflight) {
        inflight_split_pushed(vq->inflight, head, vq->used_idx);
    }
    log_used(vq, entry, sizeof(*entry));
    log_used(vq, &vq->used->idx, sizeof(vq->used->idx));
}

void vq_push(struct virtqueue *vq, const struct vq_elem *elem, uint32_t written)
{
    struct vring_used_elem *entry = NULL;

    if (vq->packed) {
        vq_packed_push(vq, elem, written);
        return;
    }
    entry = &vq->used->ring[vq->used_idx & (vq->num - 1)];
    __atomic_store_n(&entry->id, htole32(elem->head), __ATOMIC_RELAXED);
    __atomic_store_n(&entry->len, htole32(written), __ATOMIC_RELAXED);
    vq->used_idx++;
    if (vq->inflight || vq->log) {
        publish_watched(vq, elem->head, entry);
        return;
    }
    publish_used(vq);
}

bool vq_needs_signal(struct virtqueue *vq)
{
    uint16_t old = vq->signalled_used;
    bool is_first = !vq->signalled_known;

    if (vq->packed) {
        return vq_packed_needs_signal(vq);
    }
    vq->signalled_used = vq->used_idx;
    vq->signalled_known = true;
    /*
     * The used index must be visible before we look at the driver's wish. The driver does the
     * same: states its wish, full barrier, looks at the used index once more before it sleeps.
     */
    full_barrier();
    if (!vq->event_idx) {
        return !(load16(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
    }
    /* before the first signal nothing is known about what the driver was told: tell it */
    return is_first || vring_need_event(load_used_event(vq), vq->used_idx, old);
}
