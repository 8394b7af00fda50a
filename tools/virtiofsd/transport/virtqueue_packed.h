/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packed ring (virtio 1.x, section 2.8) behind the functions of virtqueue.h, and what both
 * formats need to look at memory a guest writes. Only virtqueue.c calls these.
 */
#ifndef TRANSPORT_VIRTQUEUE_PACKED_H
#define TRANSPORT_VIRTQUEUE_PACKED_H

#include <endian.h>

#include "transport/virtqueue.h"

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

int vq_packed_map(struct virtqueue *vq, const struct guest_mem *mem, const struct vq_addr *addr,
                  const char **ret_why);
uint32_t vq_packed_base(const struct virtqueue *vq);
int vq_packed_pop(struct virtqueue *vq, struct vq_elem *elem);
bool vq_packed_has_work(const struct virtqueue *vq);
void vq_packed_disable_kicks(struct virtqueue *vq);
bool vq_packed_enable_kicks(struct virtqueue *vq);
void vq_packed_push(struct virtqueue *vq, const struct vq_elem *elem, uint32_t written);
bool vq_packed_needs_signal(struct virtqueue *vq);

#endif
