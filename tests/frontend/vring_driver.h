/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a virtqueue, split or packed (vring_packed.c), as a guest kernel runs it.
 *
 * One queue belongs to one thread at a time. Buffers are segments of guest memory; a chain is
 * added with its readable segments first. What the device hands back is checked: an id that is
 * not in flight, a length larger than the writable part or an index that runs ahead is -EPROTO.
 * The vqueue_raw_* functions write whatever they are told, for hostile tests.
 */
#ifndef FRONTEND_VRING_DRIVER_H
#define FRONTEND_VRING_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest memory: one memfd, mapped once; guest addresses are linear over it. */
struct guest_ram {
    uint8_t *base;
    uint64_t gpa;
    size_t size;
    size_t used; /* handed out by ram_alloc() so far; never given back */
    int memfd;
};

/* The longest chain in one indirect table: 1 MiB in pages, and a few for the rest. */
#define VQUEUE_INDIRECT_MAX 272

struct vq_seg {
    uint64_t gpa;
    uint32_t len;
};

struct vq_slot {
    void *token;
    uint32_t in_len; /* writable bytes: the most a used length may say */
    uint16_t n_desc; /* descriptors taken from the ring; 0: not in flight */
};

struct vqueue {
    struct guest_ram *ram;
    unsigned index;
    unsigned size;
    bool event_idx;
    bool packed;      /* set before vqueue_reset() */
    bool indirect;    /* every chain longer than one descriptor goes through a table */
    bool busy_poll;   /* wait by looking at the used index, no interrupts wanted */
    unsigned spin_us; /* look at it for so long before sleeping, interrupts wanted: as KVM halts */

    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    struct vring_desc *tables; /* indirect_max descriptors for each head */
    unsigned indirect_max;

    int kick_fd;
    int call_fd;
    int err_fd;

    uint16_t avail_idx; /* what the driver published */
    uint16_t kicked;    /* avail_idx when the last kick was considered */
    uint16_t last_used;
    uint16_t free_head;
    unsigned n_free;
    struct vq_slot *slots;

    /* packed: the same memory in other forms, and wrap counters beside the indices above */
    struct vring_packed_desc *packed_desc;
    struct vring_packed_desc_event *driver_event;
    const struct vring_packed_desc_event *device_event;
    bool avail_wrap;
    bool used_wrap;
    unsigned n_unkicked; /* descriptors made available since a kick was last considered */
    uint16_t *ids;       /* a stack of free buffer ids, n_ids high */
    unsigned n_ids;

    void (*notify)(struct vqueue *vq); /* instead of the kick descriptor, if set */
    void *notify_opaque;

    uint64_t n_kicks; /* how often the device was woken, for tests of notification suppression */
    uint64_t n_calls; /* interrupts taken */
};

/* NULL when guest memory is used up. Zeroed. */
void *ram_alloc(struct guest_ram *ram, size_t size, size_t align);

static inline uint64_t ram_gpa(const struct guest_ram *ram, const void *p)
{
    return ram->gpa + (uint64_t)((const uint8_t *)p - ram->base);
}

/* Takes ring memory and eventfds. size: a power of two up to 32768. 0, -ENOMEM, -errno. */
int vqueue_init(struct vqueue *vq, struct guest_ram *ram, unsigned index, unsigned size);
void vqueue_done(struct vqueue *vq);

/*
 * Forgets everything in flight and starts at ring position `base`, as after a device reset; a
 * packed ring starts at its beginning.
 */
void vqueue_reset(struct vqueue *vq, uint16_t base);

/* The position as SET_VRING_BASE says it, if what the device has taken was all given back. */
uint32_t vqueue_base(const struct vqueue *vq);

/* Adds a chain, readable segments first. 0, -ENOSPC when the ring is full, -E2BIG never fits. */
int vqueue_add(struct vqueue *vq, const struct vq_seg *segs, unsigned n_out, unsigned n_in,
               void *token);

/* Wakes the device if it asked for that. Returns whether it did. */
bool vqueue_kick(struct vqueue *vq);
void vqueue_kick_always(struct vqueue *vq);

/* One completion: 1 with token and length, 0 when there is none, -EPROTO when the ring lies. */
int vqueue_reap(struct vqueue *vq, void **ret_token, uint32_t *ret_len);

/*
 * Asks for an interrupt at the next completion, as Linux leaves a ring that it has emptied. Only a
 * driver that goes on without waiting needs to; vqueue_wait() does so itself.
 */
void vqueue_arm(struct vqueue *vq);

/* Until something can be reaped: 0, -ETIMEDOUT. */
int vqueue_wait(struct vqueue *vq, int timeout_ms);

static inline unsigned vqueue_in_flight(const struct vqueue *vq)
{
    return vq->size - vq->n_free;
}

/* Hostile writing: no book is kept, so the queue is only good for a reset afterwards. */
void vqueue_raw_desc(struct vqueue *vq, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags,
                     uint16_t next);
void vqueue_raw_publish(struct vqueue *vq, uint16_t head);
void vqueue_raw_avail_idx(struct vqueue *vq, uint16_t idx);

/* Milliseconds of CLOCK_MONOTONIC, for deadlines. */
int64_t frontend_now_ms(void);

#endif
