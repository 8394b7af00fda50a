/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueue, driver side (virtio 1.2, 2.8). Descriptors are filled in ring order, those of
 * a chain from the second to the last and then the first, whose flags hand all of it over.
 */
#include "vring_packed.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1u << VRING_PACKED_DESC_F_USED)

void packed_reset(struct vqueue *vq)
{
    vq->packed_desc = (struct vring_packed_desc *)vq->desc;
    vq->driver_event = (struct vring_packed_desc_event *)vq->avail;
    vq->device_event = (struct vring_packed_desc_event *)vq->used;
    memset(vq->packed_desc, 0, vq->size * sizeof(*vq->packed_desc));
    vq->avail_idx = vq->last_used = 0;
    vq->avail_wrap = vq->used_wrap = true;
    vq->n_unkicked = 0;
    vq->n_free = vq->n_ids = vq->size;
    for (unsigned i = 0; i < vq->size; i++) {
        vq->ids[i] = (uint16_t)(vq->size - 1 - i);
    }
}

uint32_t packed_base(const struct vqueue *vq)
{
    uint32_t place = vq->last_used | (uint32_t)vq->used_wrap << 15;

    return place | place << 16;
}

static void advance(const struct vqueue *vq, uint16_t *index, bool *wrap, unsigned n)
{
    unsigned next = *index + n;

    if (next >= vq->size) {
        next -= vq->size;
        *wrap = !*wrap;
    }
    *index = (uint16_t)next;
}

static uint16_t owner_flags(bool wrap)
{
    return wrap ? FLAG_AVAIL : FLAG_USED;
}

/* One indirect descriptor with a table in guest memory; returns it without its owner flags. */
static struct vring_packed_desc make_table(struct vqueue *vq, const struct vq_seg *segs,
                                           unsigned n_out, unsigned n, uint16_t id)
{
    struct vring_packed_desc *table =
        (struct vring_packed_desc *)(vq->tables + (size_t)id * vq->indirect_max);

    for (unsigned i = 0; i < n; i++) {
        table[i] = (struct vring_packed_desc){
            .addr = segs[i].gpa, .len = segs[i].len, .flags = i >= n_out ? VRING_DESC_F_WRITE : 0};
    }
    return (struct vring_packed_desc){.addr = ram_gpa(vq->ram, table),
                                      .len = n * (uint32_t)sizeof(*table),
                                      .id = id,
                                      .flags = VRING_DESC_F_INDIRECT};
}

static struct vring_packed_desc make_desc(const struct vq_seg *segs, unsigned n_out, unsigned n,
                                          unsigned i, uint16_t id)
{
    return (struct vring_packed_desc){
        .addr = segs[i].gpa,
        .len = segs[i].len,
        .id = id,
        .flags =
            (uint16_t)((i >= n_out ? VRING_DESC_F_WRITE : 0) | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
    };
}

/* Everything but the flags of the first, which come last. */
static void put(struct vqueue *vq, const struct vring_packed_desc *from, bool is_first)
{
    struct vring_packed_desc *to = &vq->packed_desc[vq->avail_idx];
    uint16_t flags = from->flags | owner_flags(vq->avail_wrap);

    to->addr = from->addr;
    to->len = from->len;
    to->id = from->id;
    if (!is_first) {
        to->flags = flags;
    }
    advance(vq, &vq->avail_idx, &vq->avail_wrap, 1);
}

int packed_add(struct vqueue *vq, const struct vq_seg *segs, unsigned n_out, unsigned n_in,
               void *token)
{
    unsigned n = n_out + n_in;
    bool indirect = vq->indirect && n > 1;
    unsigned need = indirect ? 1 : n;
    struct vring_packed_desc *head = &vq->packed_desc[vq->avail_idx];
    uint16_t head_flags = owner_flags(vq->avail_wrap);
    struct vring_packed_desc first;
    uint32_t in_len = 0;
    uint16_t id;

    if (n == 0 || n > (indirect ? vq->indirect_max : vq->size)) {
        return -E2BIG;
    }
    if (need > vq->n_free || vq->n_ids == 0) {
        return -ENOSPC;
    }
    for (unsigned i = n_out; i < n; i++) {
        in_len += segs[i].len;
    }
    id = vq->ids[--vq->n_ids];
    first = indirect ? make_table(vq, segs, n_out, n, id) : make_desc(segs, n_out, n, 0, id);
    put(vq, &first, true);
    for (unsigned i = 1; i < need; i++) {
        struct vring_packed_desc more = make_desc(segs, n_out, n, i, id);

        put(vq, &more, false);
    }
    vq->slots[id] = (struct vq_slot){.token = token, .in_len = in_len, .n_desc = (uint16_t)need};
    vq->n_free -= need;
    vq->n_unkicked += need;
    __atomic_store_n(&head->flags, (uint16_t)(first.flags | head_flags), __ATOMIC_RELEASE);
    return 0;
}

bool packed_wants_kick(struct vqueue *vq)
{
    unsigned filled = vq->n_unkicked;
    uint16_t flags;
    uint16_t off_wrap;
    int event;

    vq->n_unkicked = 0;
    atomic_thread_fence(memory_order_seq_cst);
    flags = __atomic_load_n(&vq->device_event->flags, __ATOMIC_ACQUIRE);
    if (flags != VRING_PACKED_EVENT_FLAG_DESC) {
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    }
    off_wrap = __atomic_load_n(&vq->device_event->off_wrap, __ATOMIC_RELAXED);
    event = off_wrap & 0x7fff;
    if (off_wrap >> 15 != vq->avail_wrap) {
        event -= (int)vq->size;
    }
    return event < vq->avail_idx && filled >= (unsigned)(vq->avail_idx - event);
}

bool packed_has_used(const struct vqueue *vq)
{
    uint16_t flags = __atomic_load_n(&vq->packed_desc[vq->last_used].flags, __ATOMIC_ACQUIRE);

    return !!(flags & FLAG_AVAIL) == vq->used_wrap && !!(flags & FLAG_USED) == vq->used_wrap;
}

int packed_reap(struct vqueue *vq, void **ret_token, uint32_t *ret_len)
{
    const struct vring_packed_desc *desc = &vq->packed_desc[vq->last_used];
    struct vq_slot *slot;
    uint16_t id;

    if (vqueue_in_flight(vq) == 0 || !packed_has_used(vq)) {
        return 0;
    }
    id = desc->id;
    if (id >= vq->size || vq->slots[id].n_desc == 0 || desc->len > vq->slots[id].in_len ||
        !!(desc->flags & VRING_DESC_F_WRITE) != (desc->len > 0)) {
        return -EPROTO;
    }
    slot = &vq->slots[id];
    *ret_token = slot->token;
    *ret_len = desc->len;
    advance(vq, &vq->last_used, &vq->used_wrap, slot->n_desc);
    vq->n_free += slot->n_desc;
    slot->n_desc = 0;
    vq->ids[vq->n_ids++] = id;
    return 1;
}

void packed_arm(struct vqueue *vq, bool wants_calls)
{
    uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

    if (wants_calls) {
        flags = vq->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
        __atomic_store_n(&vq->driver_event->off_wrap,
                         (uint16_t)(vq->last_used | (unsigned)vq->used_wrap << 15),
                         __ATOMIC_RELAXED);
    }
    __atomic_store_n(&vq->driver_event->flags, flags, __ATOMIC_RELEASE);
}
