/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring of virtio 1.x (section 2.7). Everything in it but used_idx is written by a
 * guest while we look: indices and descriptors are read once into locals, and bounds are checked
 * on the local. Numbers in the ring are little-endian.
 *
 * Which memory order is needed where is said at each place. "The driver does the same" means
 * that its code has the mirrored pair (Linux: drivers/virtio/virtio_ring.c).
 */
#include "transport/virtqueue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "transport/vq_chain.h"

/* Orders our earlier stores before our later loads, which neither acquire nor release does. */
static inline void full_barrier(void)
{
#ifdef __SANITIZE_THREAD__
    static int location; /* gcc's TSan knows no fences; an atomic exchange is one on any CPU */

    (void)__atomic_exchange_n(&location, 1, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline uint16_t load16(const uint16_t *p)
{
    return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline void store16(uint16_t *p, uint16_t value)
{
    __atomic_store_n(p, htole16(value), __ATOMIC_RELAXED);
}

/* The driver's "interrupt me when you pass this": the word after the avail ring. */
static inline uint16_t load_used_event(const struct virtqueue *vq)
{
    return load16(&vq->avail->ring[vq->num]);
}

/* Ours, "kick me when you pass this": the word after the used ring. */
static inline void store_avail_event(struct virtqueue *vq, uint16_t value)
{
    store16((uint16_t *)&vq->used->ring[vq->num], value);
}

void vq_reset(struct virtqueue *vq, uint16_t base)
{
    memset(vq, 0, sizeof(*vq));
    vq->next_avail = base;
    vq->seen_avail = base;
}

bool vq_is_valid_size(unsigned num)
{
    return num > 0 && num <= VQ_MAX_SIZE && (num & (num - 1)) == 0;
}

int vq_map(struct virtqueue *vq, const struct guest_mem *mem, unsigned num,
           const struct vq_addr *addr, const char **ret_why)
{
    /* sizes with the event word at the end, which is there whether EVENT_IDX is on or not */
    size_t desc_len = sizeof(struct vring_desc) * num;
    size_t avail_len = sizeof(struct vring_avail) + sizeof(uint16_t) * num + sizeof(uint16_t);
    size_t used_len =
        sizeof(struct vring_used) + sizeof(struct vring_used_elem) * num + sizeof(uint16_t);

    if (!vq_is_valid_size(num)) {
        *ret_why = "the ring's size is no power of two up to 32768";
        return -EINVAL;
    }
    vq->num = num;
    vq->mem = mem;
    vq->mem_hint = 0;
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
    if (!vq->used_known) {
        /* after a restart of ours the ring goes on where the used index says */
        vq->used_idx = load16(&vq->used->idx);
        vq->used_known = true;
    }
    return 0;
}

/* One copy of a descriptor, made once: the guest may change the original at any time. */
static struct vring_desc copy_desc(const struct vring_desc *from)
{
    struct vring_desc desc;

    memcpy(&desc, from, sizeof(desc));
    /* keeps the compiler from looking at the original again instead of at the copy */
    __asm__ __volatile__("" ::: "memory");
    desc.addr = le64toh(desc.addr);
    desc.len = le32toh(desc.len);
    desc.flags = le16toh(desc.flags);
    desc.next = le16toh(desc.next);
    return desc;
}

/* A table of descriptors: the ring's own, or an indirect one anywhere in guest memory. */
struct desc_table {
    const struct vring_desc *base; /* NULL: an indirect table that crosses regions */
    uint64_t gpa;
    unsigned count;
};

static const char *table_read(struct virtqueue *vq, const struct desc_table *table, unsigned i,
                              struct vring_desc *ret_desc)
{
    struct vring_desc raw;

    if (i >= table->count) {
        return "a descriptor index beyond its table";
    }
    if (table->base) {
        *ret_desc = copy_desc(table->base + i);
        return NULL;
    }
    /* in 64 bits and below gpa + length of the table, which was checked not to wrap */
    if (guest_mem_read(vq->mem, table->gpa + (uint64_t)i * sizeof(raw), &raw, sizeof(raw),
                       &vq->mem_hint) < 0) {
        return "an indirect table outside of the guest's memory";
    }
    *ret_desc = copy_desc(&raw);
    return NULL;
}

static const char *table_open_indirect(struct virtqueue *vq, const struct vring_desc *desc,
                                       struct desc_table *ret_table)
{
    uint64_t piece = 0;
    uint64_t end = 0;
    const void *host = NULL;

    if (!vq->indirect) {
        return "an indirect descriptor though the feature was not negotiated";
    }
    if (desc->flags & VRING_DESC_F_NEXT) {
        return "an indirect descriptor with a next one";
    }
    if (desc->len == 0 || desc->len % sizeof(struct vring_desc) != 0) {
        return "an indirect table that is not made of whole descriptors";
    }
    /*
     * "A driver MUST NOT create a descriptor chain longer than the Queue Size", but guests before
     * Linux 5.13 put 256 pages into an indirect table of a ring with 128 entries.
     */
    if (desc->len / sizeof(struct vring_desc) > VQ_MAX_DESCS) {
        return "an indirect table of too many descriptors";
    }
    if (__builtin_add_overflow(desc->addr, (uint64_t)desc->len, &end)) {
        return "an indirect table that wraps around the address space";
    }
    host = guest_mem_at(vq->mem, desc->addr, desc->len, &piece, &vq->mem_hint);
    if (!host) {
        return "an indirect table outside of the guest's memory";
    }
    *ret_table = (struct desc_table){
        .base = piece == desc->len ? host : NULL,
        .gpa = desc->addr,
        .count = desc->len / sizeof(struct vring_desc),
    };
    return NULL;
}

/* Walks a chain from its head. Returns NULL or what is wrong with it. */
static const char *walk(struct virtqueue *vq, unsigned head, struct vq_elem *elem)
{
    struct desc_table table = {.base = vq->desc, .count = vq->num};
    bool is_indirect = false;
    unsigned index = head;
    /* a chain visits no descriptor twice, so one with more steps than its table has a loop */
    unsigned steps_left = table.count;
    const char *why = NULL;

    while (steps_left-- > 0) {
        struct vring_desc desc;

        why = table_read(vq, &table, index, &desc);
        if (why) {
            return why;
        }
        if (desc.flags & VRING_DESC_F_INDIRECT) {
            if (is_indirect) {
                return "an indirect descriptor inside an indirect table";
            }
            why = table_open_indirect(vq, &desc, &table);
            if (why) {
                return why;
            }
            is_indirect = true;
            index = 0;
            steps_left = table.count; /* happens once: indirect tables do not nest */
            continue;
        }
        why = vq_chain_add(elem, vq->mem, &vq->mem_hint, desc.addr, desc.len,
                           desc.flags & VRING_DESC_F_WRITE);
        if (why) {
            return why;
        }
        if (!(desc.flags & VRING_DESC_F_NEXT)) {
            return NULL;
        }
        index = desc.next;
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
    /* acquire: an entry that is seen here was given back before, also in the eyes of the caller */
    return le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE)) != vq->next_avail;
}

int vq_pop(struct virtqueue *vq, struct vq_elem *elem)
{
    const char *why = NULL;
    unsigned head = 0;
    int rc = pending(vq);

    if (rc <= 0) {
        return rc;
    }
    head = load16(&vq->avail->ring[vq->next_avail & (vq->num - 1)]);
    if (head >= vq->num) {
        return broken(vq, "an avail entry beyond the descriptor table");
    }
    vq_chain_begin(elem);
    why = walk(vq, head, elem);
    if (why) {
        return broken(vq, why);
    }
    elem->head = (uint16_t)head;
    vq->next_avail++;
    return 1;
}

void vq_disable_kicks(struct virtqueue *vq)
{
    /*
     * With EVENT_IDX nothing needs to be done: avail_event stays where the driver has passed it,
     * and it does not kick until it passes it again. The flag is only a hint: no order needed.
     */
    if (!vq->event_idx) {
        store16(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
    }
}

bool vq_enable_kicks(struct virtqueue *vq)
{
    if (vq->event_idx) {
        store_avail_event(vq, vq->next_avail);
    } else {
        store16(&vq->used->flags, 0);
    }
    /*
     * Our wish must be visible before we look for work a last time: a driver that publishes
     * later sees the wish and kicks, one that published earlier is seen here. The driver does
     * the same: publishes, full barrier, looks at the wish.
     */
    full_barrier();
    return vq_has_work(vq);
}

void vq_push(struct virtqueue *vq, uint16_t head, uint32_t written)
{
    struct vring_used_elem *entry = &vq->used->ring[vq->used_idx & (vq->num - 1)];

    __atomic_store_n(&entry->id, htole32(head), __ATOMIC_RELAXED);
    __atomic_store_n(&entry->len, htole32(written), __ATOMIC_RELAXED);
    vq->used_idx++;
    /* release: entry and answer are in memory before the driver, which acquires, sees the index */
    __atomic_store_n(&vq->used->idx, htole16(vq->used_idx), __ATOMIC_RELEASE);
}

bool vq_needs_signal(struct virtqueue *vq)
{
    uint16_t old = vq->signalled_used;
    bool is_first = !vq->signalled_known;

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
