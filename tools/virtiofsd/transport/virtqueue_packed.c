/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In a packed ring driver and device write the same descriptors in turn. Two bits of a
 * descriptor's flags, compared with a wrap counter that flips at each lap, tell whose it is. What
 * was taken out may be overwritten by what is given back, so a chain is copied when it is popped.
 *
 * A chain takes up as many entries as it has descriptors (one, if indirect), and giving it back
 * writes the first of them and skips the rest.
 */
#include "transport/virtqueue_packed.h"

#include <errno.h>

#include "base/util.h"
#include "transport/vq_chain.h"

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1u << VRING_PACKED_DESC_F_USED)

#define WRAP_BIT   15
#define INDEX_MASK 0x7fffu
/* Both sides begin at entry 0 with wrap counters of 1. */
#define FRESH_BASE 0x80008000u

uint32_t vq_packed_base(const struct virtqueue *vq)
{
    return vq->next_avail | (uint32_t)vq->avail_wrap << WRAP_BIT | (uint32_t)vq->used_idx << 16 |
           (uint32_t)vq->used_wrap << (16 + WRAP_BIT);
}

static void advance(const struct virtqueue *vq, uint16_t *index, bool *wrap, unsigned cnt)
{
    unsigned next = *index + cnt; /* cnt <= num */

    if (next >= vq->num) {
        next -= vq->num;
        *wrap = !*wrap;
    }
    *index = (uint16_t)next;
}

/* Where the ring goes on: as the front end says, or as the inflight region knows better. */
static int begin(struct virtqueue *vq, const char **ret_why)
{
    uint32_t base = vq->is_fresh ? FRESH_BASE : vq->base;
    struct inflight_place place = {.used_idx = base >> 16 & INDEX_MASK,
                                   .used_wrap = base >> (16 + WRAP_BIT) & 1};
    unsigned taken = 0;
    int rc = 0;

    vq->next_avail = base & INDEX_MASK;
    vq->avail_wrap = base >> WRAP_BIT & 1;
    if (vq->next_avail >= vq->num || place.used_idx >= vq->num) {
        *ret_why = "its base is beyond its size";
        return -EINVAL;
    }
    if (vq->inflight) {
        rc = inflight_packed_start(vq->inflight, vq->num, vq->packed_desc, &place, &taken);
        if (rc < 0) {
            *ret_why = "its inflight region is none, or one of another size";
            return rc;
        }
    }
    vq->used_idx = place.used_idx;
    vq->used_wrap = place.used_wrap;
    if (vq->inflight && vq->inflight->is_resumed) {
        vq->next_avail = place.used_idx;
        vq->avail_wrap = place.used_wrap;
        advance(vq, &vq->next_avail, &vq->avail_wrap, taken);
    }
    vq->used_known = true;
    return 0;
}

int vq_packed_map(struct virtqueue *vq, const struct guest_mem *mem, const struct vq_addr *addr,
                  const char **ret_why)
{
    size_t event_len = sizeof(struct vring_packed_desc_event);

    vq->packed_desc = guest_mem_at_uva(mem, addr->desc, sizeof(struct vring_packed_desc) * vq->num);
    vq->driver_event = guest_mem_at_uva(mem, addr->avail, event_len);
    vq->device_event = guest_mem_at_uva(mem, addr->used, event_len);
    if (!vq->packed_desc || !vq->driver_event || !vq->device_event) {
        *ret_why = "a part of the ring lies outside of the memory regions";
        return -EINVAL;
    }
    if ((uintptr_t)vq->packed_desc % VRING_DESC_ALIGN_SIZE != 0 ||
        (uintptr_t)vq->driver_event % event_len != 0 ||
        (uintptr_t)vq->device_event % event_len != 0) {
        *ret_why = "a part of the ring is not aligned as virtio wants it";
        return -EINVAL;
    }
    return vq->used_known ? 0 : begin(vq, ret_why);
}

bool vq_packed_has_work(const struct virtqueue *vq)
{
    /* acquire: what the driver wrote before these flags is read after them */
    unsigned flags =
        le16toh(__atomic_load_n(&vq->packed_desc[vq->next_avail].flags, __ATOMIC_ACQUIRE));

    return !!(flags & FLAG_AVAIL) == vq->avail_wrap && !!(flags & FLAG_USED) != vq->avail_wrap;
}

static int broken(struct virtqueue *vq, const char *why)
{
    vq->why = why;
    return -EINVAL;
}

static const char *add_table(struct virtqueue *vq, const struct vring_packed_desc *desc,
                             struct vq_elem *elem)
{
    struct vq_table table;
    const char *why =
        vq_table_open(vq->mem, &vq->mem_hint, le64toh(desc->addr), le32toh(desc->len), &table);

    /* all descriptors of the table, in turn; of their flags only WRITE counts */
    for (unsigned i = 0; !why && i < table.count; i++) {
        struct vring_desc raw;
        struct vring_packed_desc entry;

        why = vq_table_read(vq->mem, &vq->mem_hint, &table, i, &raw);
        if (!why) {
            memcpy(&entry, &raw, sizeof(entry));
            why = vq_chain_add(elem, vq->mem, &vq->mem_hint, le64toh(entry.addr),
                               le32toh(entry.len), le16toh(entry.flags) & VRING_DESC_F_WRITE);
        }
    }
    return why;
}

static const char *add_desc(struct virtqueue *vq, const struct vring_packed_desc *desc,
                            struct vq_elem *elem)
{
    unsigned flags = le16toh(desc->flags);

    if (!(flags & VRING_DESC_F_INDIRECT)) {
        return vq_chain_add(elem, vq->mem, &vq->mem_hint, le64toh(desc->addr), le32toh(desc->len),
                            flags & VRING_DESC_F_WRITE);
    }
    if (!vq->indirect) {
        return "an indirect descriptor though the feature was not negotiated";
    }
    if ((flags & VRING_DESC_F_NEXT) || elem->desc_cnt > 0) {
        return "an indirect descriptor in a chain with others";
    }
    return add_table(vq, desc, elem);
}

/* One copy of descriptor i of the chain, from the ring or from what an earlier life remembered. */
static bool read_desc(struct virtqueue *vq, bool is_again, uint16_t entry, unsigned i,
                      struct vring_packed_desc *ret_desc)
{
    unsigned at = vq->next_avail + i;

    if (is_again) {
        return inflight_packed_read(vq->inflight, entry, i, ret_desc);
    }
    memcpy(ret_desc, &vq->packed_desc[at < vq->num ? at : at - vq->num], sizeof(*ret_desc));
    __asm__ __volatile__("" ::: "memory"); /* the copy is what is looked at from here on */
    return true;
}

/* Copies and checks the chain; with `copies`, keeps what was read. NULL or what is wrong. */
static const char *walk(struct virtqueue *vq, struct vq_elem *elem, bool is_again,
                        struct vring_packed_desc *copies)
{
    struct vring_packed_desc desc;

    vq_chain_begin(elem);
    elem->desc_cnt = 0;
    do {
        const char *why = NULL;

        if (elem->desc_cnt == vq->num ||
            !read_desc(vq, is_again, elem->track, elem->desc_cnt, &desc)) {
            return "a chain that is longer than its ring";
        }
        why = add_desc(vq, &desc, elem);
        if (why) {
            return why;
        }
        if (copies && elem->desc_cnt < VQ_MAX_IOV) {
            copies[elem->desc_cnt] = desc; /* each added a piece: there are no more of them */
        }
        elem->desc_cnt++;
    } while (le16toh(desc.flags) & VRING_DESC_F_NEXT);
    elem->head = le16toh(desc.id); /* the buffer id is in the last one */
    return NULL;
}

static int pop_tracked(struct virtqueue *vq, struct vq_elem *elem)
{
    struct vring_packed_desc copies[VQ_MAX_IOV];
    const char *why = NULL;

    if (inflight_again(vq->inflight, &elem->track)) {
        why = walk(vq, elem, true, NULL);
        if (why) {
            return broken(vq, why);
        }
        inflight_again_taken(vq->inflight);
        return 1;
    }
    if (!vq_packed_has_work(vq)) {
        return 0;
    }
    why = walk(vq, elem, false, copies);
    if (why) {
        return broken(vq, why);
    }
    if (!inflight_packed_popped(vq->inflight, copies, elem->desc_cnt, &elem->track)) {
        return broken(vq, "more descriptors than its ring has entries");
    }
    advance(vq, &vq->next_avail, &vq->avail_wrap, elem->desc_cnt);
    return 1;
}

int vq_packed_pop(struct virtqueue *vq, struct vq_elem *elem)
{
    const char *why = NULL;

    if (vq->inflight) {
        return pop_tracked(vq, elem);
    }
    if (!vq_packed_has_work(vq)) {
        return 0;
    }
    why = walk(vq, elem, false, NULL);
    if (why) {
        return broken(vq, why);
    }
    advance(vq, &vq->next_avail, &vq->avail_wrap, elem->desc_cnt);
    return 1;
}

/* Marks what was written to the ring itself; used descriptors lie among the others. */
static void log_ring(const struct virtqueue *vq, const void *at, size_t len)
{
    if (vq->log && vq->log_used) {
        dirty_log_mark(vq->log, guest_mem_gpa_of(vq->mem, at), len);
    }
}

void vq_packed_disable_kicks(struct virtqueue *vq)
{
    store16(&vq->device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
    log_ring(vq, vq->device_event, sizeof(*vq->device_event));
}

bool vq_packed_enable_kicks(struct virtqueue *vq)
{
    uint16_t flags = VRING_PACKED_EVENT_FLAG_ENABLE;

    if (vq->event_idx) {
        store16(&vq->device_event->off_wrap,
                (uint16_t)(vq->next_avail | (unsigned)vq->avail_wrap << WRAP_BIT));
        flags = VRING_PACKED_EVENT_FLAG_DESC;
    }
    /* release: the driver reads the flags first and the place after them */
    __atomic_store_n(&vq->device_event->flags, htole16(flags), __ATOMIC_RELEASE);
    log_ring(vq, vq->device_event, sizeof(*vq->device_event));
    /* our wish is visible before we look for work a last time; the driver does the same */
    full_barrier();
    return vq_packed_has_work(vq);
}

void vq_packed_push(struct virtqueue *vq, const struct vq_elem *elem, uint32_t written)
{
    struct vring_packed_desc *desc = &vq->packed_desc[vq->used_idx];
    unsigned flags = vq->used_wrap ? FLAG_AVAIL | FLAG_USED : 0;
    struct inflight_place to = {0};

    __atomic_store_n(&desc->id, htole16(elem->head), __ATOMIC_RELAXED);
    __atomic_store_n(&desc->len, htole32(written), __ATOMIC_RELAXED);
    advance(vq, &vq->used_idx, &vq->used_wrap, elem->desc_cnt);
    if (vq->inflight) {
        to = (struct inflight_place){.used_idx = vq->used_idx, .used_wrap = vq->used_wrap};
        inflight_packed_pushing(vq->inflight, elem->track, elem->desc_cnt, to);
    }
    /* "whether any data has been written"; release: all of it is in memory before these flags */
    flags |= written > 0 ? VRING_DESC_F_WRITE : 0;
    __atomic_store_n(&desc->flags, htole16((uint16_t)flags), __ATOMIC_RELEASE);
    if (vq->inflight) {
        inflight_packed_pushed(vq->inflight, elem->track, to);
    }
    vq->unsignalled += elem->desc_cnt;
    log_ring(vq, desc, sizeof(*desc));
}

bool vq_packed_needs_signal(struct virtqueue *vq)
{
    uint32_t filled = vq->unsignalled;
    uint16_t flags = 0;
    uint16_t off_wrap = 0;
    int event = 0;

    vq->unsignalled = 0;
    /* used descriptors are visible before we look at the driver's wish; it does the same */
    full_barrier();
    flags = le16toh(__atomic_load_n(&vq->driver_event->flags, __ATOMIC_ACQUIRE));
    if (flags == VRING_PACKED_EVENT_FLAG_DISABLE) {
        return false;
    }
    if (!vq->event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC) {
        return true;
    }
    if (!vq->signalled_known) {
        vq->signalled_known = true; /* before the first, nothing is known of what it was told */
        return true;
    }
    off_wrap = load16(&vq->driver_event->off_wrap);
    event = off_wrap & INDEX_MASK;
    if (off_wrap >> WRAP_BIT != vq->used_wrap) {
        event -= (int)vq->num; /* a place in the lap before this one */
    }
    /* is the place it waits for among those that were filled since the last look? */
    return event < vq->used_idx && filled >= (uint32_t)(vq->used_idx - event);
}
