/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue as memory: takes descriptor chains out of a ring the guest writes, checks them,
 * and puts them back as used. It starts no thread and waits for nothing; vu_ring.c does that.
 *
 * Two sides use a virtqueue at the same time. The pop side (vq_pop, vq_*_kicks, vq_has_work) is
 * one thread, the queue's own. The push side (vq_push, vq_needs_signal) may be any thread that
 * holds the lock of the ring around it. They share no field that changes.
 *
 * All knowledge of the ring format is behind these functions. virtqueue.c has the split ring and
 * hands over to virtqueue_packed.c where a ring is packed, one branch that always goes the same
 * way; vq_chain.h (descriptor to iovecs) is common to both.
 *
 * Two things may watch a ring: a dirty_log (which pages did we write?) and an inflight_queue
 * (which chains are out?). Both are NULL as a rule.
 */
#ifndef TRANSPORT_VIRTQUEUE_H
#define TRANSPORT_VIRTQUEUE_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chain.h"
#include "transport/dirty_log.h"
#include "transport/guest_mem.h"
#include "transport/inflight.h"

/* virtio 1.x, split and packed; the size of a split ring is a power of two as well. */
#define VQ_MAX_SIZE 32768

/*
 * The most pieces a chain may have after translation: 1024 descriptors is what devices in the
 * field take at most, 64 more are room for buffers that cross from one region to the next.
 */
#define VQ_MAX_DESCS 1024
#define VQ_MAX_IOV   (VQ_MAX_DESCS + 64)

/* A chain with what the ring needs to know about it. `chain` is first: they are one pointer. */
struct vq_elem {
    struct chain chain;
    void *owner;          /* the ring it belongs to */
    struct vq_elem *next; /* in the ring's list of free elements */
    uint16_t head;        /* what the used ring is told: first descriptor, or buffer id */
    uint16_t desc_cnt;    /* packed: entries of the ring it takes up */
    uint16_t track;       /* inflight: the entry that remembers it */
    struct iovec iov[VQ_MAX_IOV];
};

struct vq_addr {
    uint64_t desc;  /* addresses of the front end */
    uint64_t avail; /* packed: the driver's event suppression */
    uint64_t used;  /* packed: the device's */
};

struct virtqueue {
    /* fixed while the ring runs */
    const struct guest_mem *mem;
    const struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    struct vring_packed_desc *packed_desc; /* these three instead of the three above */
    const struct vring_packed_desc_event *driver_event;
    struct vring_packed_desc_event *device_event;
    unsigned num;
    bool packed;
    bool event_idx;
    bool indirect;
    struct inflight_queue *inflight; /* each side marks what it does */
    struct dirty_log *log;           /* changed under the lock while the pop side is at rest */
    bool log_used;                   /* the ring's own pages too */
    uint64_t log_addr;               /* split: where the used ring is in the log */

    /* pop side */
    uint16_t next_avail; /* the next entry of the avail ring to take */
    uint16_t seen_avail; /* avail->idx when last read */
    bool avail_wrap;     /* packed: the driver's wrap counter at next_avail */
    unsigned mem_hint;
    const char *why; /* set with every -errno of vq_pop: what the guest did */

    /* push side */
    uint32_t base;           /* as vq_reset() was told, until used_known */
    bool is_fresh;           /* nobody said a base */
    bool used_known;         /* used_idx was read from the ring or is our own */
    bool signalled_known;    /* signalled_used means something */
    bool used_wrap;          /* packed: our wrap counter */
    uint16_t used_idx;       /* the next entry of the used ring to fill */
    uint16_t signalled_used; /* used_idx when a signal was last thought about */
    uint32_t unsignalled;    /* packed: entries filled since then */
};

/* A stopped ring that nobody said a place for: it starts where rings start. */
void vq_reset(struct virtqueue *vq);

/*
 * A stopped ring that goes on at `base`, as SET_VRING_BASE says it: the avail index of a split
 * ring; two indices of 15 bits, each with its wrap counter above it, of a packed one.
 */
void vq_reset_at(struct virtqueue *vq, uint32_t base);

/* The same backwards, for GET_VRING_BASE. */
uint32_t vq_base(const struct virtqueue *vq);

/* Could be the size of some ring; vq_map() knows more. */
bool vq_is_valid_size(unsigned num);

/*
 * Finds the parts of the ring in memory. Returns 0, or -EINVAL with a reason in *ret_why. Keeps
 * the indices, so that it can be called again after the memory table has changed. `packed` and
 * `inflight` are set before.
 */
int vq_map(struct virtqueue *vq, const struct guest_mem *mem, unsigned num,
           const struct vq_addr *addr, const char **ret_why);

/*
 * Takes the next chain into elem (chain.out/in, head). Returns 1, 0 when there is none, or
 * -EINVAL when the guest broke the ring (vq->why says how); nothing is taken then. Chains that
 * were out when an earlier life of ours ended come first.
 */
int vq_pop(struct virtqueue *vq, struct vq_elem *elem);

/* Is there anything to pop? One read of guest memory. Chains of an earlier life do not count. */
bool vq_has_work(struct virtqueue *vq);

/* Asks the driver not to kick, for as long as the queue is being looked at anyway. */
void vq_disable_kicks(struct virtqueue *vq);

/*
 * Asks the driver to kick for the next chain. True when one came in meanwhile: then there may be
 * no kick for it and the caller must not sleep.
 */
bool vq_enable_kicks(struct virtqueue *vq);

/* Gives a chain back; the driver can see it at once. */
void vq_push(struct virtqueue *vq, const struct vq_elem *elem, uint32_t written);

/* Does the driver want to be told about what was pushed since the last time this was asked? */
bool vq_needs_signal(struct virtqueue *vq);

#endif
