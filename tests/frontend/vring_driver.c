/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueue, driver side. See the header for the rules; the memory order is the one of
 * virtio 1.2 section 2.7: descriptors, then avail ring, then avail index, then the look at
 * whether the device wants a kick.
 */
#include "vring_driver.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vring_packed.h"

#define RING_ALIGN 4096

int64_t frontend_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void *ram_alloc(struct guest_ram *ram, size_t size, size_t align)
{
    size_t start = (ram->used + align - 1) & ~(align - 1);

    if (size > ram->size || start > ram->size - size) {
        return NULL;
    }
    ram->used = start + size;
    memset(ram->base + start, 0, size);
    return ram->base + start;
}

static uint16_t *used_event(struct vqueue *vq)
{
    return &vq->avail->ring[vq->size];
}

static uint16_t *avail_event(struct vqueue *vq)
{
    return (uint16_t *)&vq->used->ring[vq->size];
}

void vqueue_reset(struct vqueue *vq, uint16_t base)
{
    memset(vq->desc, 0, vq->size * sizeof(*vq->desc));
    memset(vq->avail, 0, sizeof(*vq->avail) + (vq->size + 1) * sizeof(uint16_t));
    memset(vq->used, 0, sizeof(*vq->used) + vq->size * sizeof(struct vring_used_elem) + 2);
    memset(vq->slots, 0, vq->size * sizeof(*vq->slots));
    if (vq->packed) {
        packed_reset(vq);
        return;
    }
    for (unsigned i = 0; i < vq->size; i++) {
        vq->desc[i].next = (uint16_t)(i + 1);
    }
    vq->free_head = 0;
    vq->n_free = vq->size;
    vq->avail_idx = vq->kicked = vq->last_used = base;
    vq->avail->idx = vq->used->idx = base;
    *used_event(vq) = base;
}

uint32_t vqueue_base(const struct vqueue *vq)
{
    return vq->packed ? packed_base(vq) : vq->last_used;
}

int vqueue_init(struct vqueue *vq, struct guest_ram *ram, unsigned index, unsigned size)
{
    *vq = (struct vqueue){.ram = ram, .index = index, .size = size, .indirect = true};
    vq->indirect_max = size < VQUEUE_INDIRECT_MAX ? size : VQUEUE_INDIRECT_MAX;
    vq->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vq->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vq->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vq->kick_fd < 0 || vq->call_fd < 0 || vq->err_fd < 0) {
        return -errno;
    }
    vq->desc = ram_alloc(ram, size * sizeof(*vq->desc), RING_ALIGN);
    vq->avail = ram_alloc(ram, sizeof(*vq->avail) + (size + 1) * 2, RING_ALIGN);
    vq->used =
        ram_alloc(ram, sizeof(*vq->used) + size * sizeof(struct vring_used_elem) + 2, RING_ALIGN);
    vq->tables = ram_alloc(ram, (size_t)size * vq->indirect_max * sizeof(*vq->tables), RING_ALIGN);
    vq->slots = calloc(size, sizeof(*vq->slots));
    vq->ids = calloc(size, sizeof(*vq->ids));
    if (!vq->desc || !vq->avail || !vq->used || !vq->tables || !vq->slots || !vq->ids) {
        return -ENOMEM;
    }
    vqueue_reset(vq, 0);
    return 0;
}

void vqueue_done(struct vqueue *vq)
{
    int fds[] = {vq->kick_fd, vq->call_fd, vq->err_fd};

    for (unsigned i = 0; i < 3; i++) {
        if (vq->ram && fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(vq->slots);
    free(vq->ids);
    *vq = (struct vqueue){.kick_fd = -1, .call_fd = -1, .err_fd = -1};
}

static void fill(struct vring_desc *d, const struct vq_seg *seg, bool writable, bool more,
                 uint16_t next)
{
    d->addr = seg->gpa;
    d->len = seg->len;
    d->flags = (uint16_t)((writable ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0));
    d->next = next;
}

/* Both return the number of ring descriptors used, which start at the free head. */
static unsigned add_indirect(struct vqueue *vq, const struct vq_seg *segs, unsigned n_out,
                             unsigned n)
{
    unsigned head = vq->free_head;
    struct vring_desc *table = vq->tables + (size_t)head * vq->indirect_max;

    for (unsigned i = 0; i < n; i++) {
        fill(&table[i], &segs[i], i >= n_out, i + 1 < n, (uint16_t)(i + 1));
    }
    vq->free_head = vq->desc[head].next;
    vq->desc[head].addr = ram_gpa(vq->ram, table);
    vq->desc[head].len = n * (uint32_t)sizeof(*table);
    vq->desc[head].flags = VRING_DESC_F_INDIRECT;
    return 1;
}

static unsigned add_direct(struct vqueue *vq, const struct vq_seg *segs, unsigned n_out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct vring_desc *d = &vq->desc[vq->free_head];
        uint16_t next = d->next;

        fill(d, &segs[i], i >= n_out, i + 1 < n, next);
        vq->free_head = next;
    }
    return n;
}

static void publish(struct vqueue *vq, uint16_t head)
{
    vq->avail->ring[vq->avail_idx & (vq->size - 1)] = head;
    vq->avail_idx++;
    /* the device may read the entry as soon as it sees the index */
    __atomic_store_n(&vq->avail->idx, vq->avail_idx, __ATOMIC_RELEASE);
}

int vqueue_add(struct vqueue *vq, const struct vq_seg *segs, unsigned n_out, unsigned n_in,
               void *token)
{
    unsigned n = n_out + n_in;
    bool indirect = vq->indirect && n > 1;
    unsigned need = indirect ? 1 : n;
    uint16_t head = vq->free_head;
    uint32_t in_len = 0;

    if (vq->packed) {
        return packed_add(vq, segs, n_out, n_in, token);
    }
    if (n == 0 || n > (indirect ? vq->indirect_max : vq->size)) {
        return -E2BIG;
    }
    if (need > vq->n_free) {
        return -ENOSPC;
    }
    for (unsigned i = n_out; i < n; i++) {
        in_len += segs[i].len;
    }
    vq->n_free -= indirect ? add_indirect(vq, segs, n_out, n) : add_direct(vq, segs, n_out, n);
    vq->slots[head] = (struct vq_slot){.token = token, .in_len = in_len, .n_desc = (uint16_t)need};
    publish(vq, head);
    return 0;
}

void vqueue_kick_always(struct vqueue *vq)
{
    uint64_t one = 1;

    vq->n_kicks++;
    if (vq->notify) {
        vq->notify(vq);
        return;
    }
    if (write(vq->kick_fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: the counter is full, so a kick is pending anyway */
    }
}

bool vqueue_kick(struct vqueue *vq)
{
    uint16_t old = vq->kicked;
    uint16_t event;
    bool wanted;

    /* publish before looking: the device re-arms, then looks at the index again */
    atomic_thread_fence(memory_order_seq_cst);
    if (vq->packed) {
        wanted = packed_wants_kick(vq);
    } else if (vq->event_idx) {
        event = __atomic_load_n(avail_event(vq), __ATOMIC_RELAXED);
        wanted = (uint16_t)(vq->avail_idx - event - 1) < (uint16_t)(vq->avail_idx - old);
    } else {
        wanted = !(__atomic_load_n(&vq->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
    }
    vq->kicked = vq->avail_idx;
    if (wanted) {
        vqueue_kick_always(vq);
    }
    return wanted;
}

static void free_chain(struct vqueue *vq, uint16_t head)
{
    unsigned n = vq->slots[head].n_desc;
    uint16_t last = head;

    for (unsigned i = 1; i < n; i++) {
        last = vq->desc[last].next;
    }
    vq->desc[last].next = vq->free_head;
    vq->free_head = head;
    vq->n_free += n;
    vq->slots[head].n_desc = 0;
}

static int split_reap(struct vqueue *vq, void **ret_token, uint32_t *ret_len)
{
    uint16_t idx = __atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE);
    const struct vring_used_elem *elem = &vq->used->ring[vq->last_used & (vq->size - 1)];
    uint32_t id = elem->id;
    uint32_t len = elem->len;

    if (idx == vq->last_used) {
        return 0;
    }
    if ((uint16_t)(idx - vq->last_used) > vqueue_in_flight(vq) || id >= vq->size ||
        vq->slots[id].n_desc == 0 || len > vq->slots[id].in_len) {
        return -EPROTO;
    }
    *ret_token = vq->slots[id].token;
    *ret_len = len;
    free_chain(vq, (uint16_t)id);
    vq->last_used++;
    return 1;
}

int vqueue_reap(struct vqueue *vq, void **ret_token, uint32_t *ret_len)
{
    return vq->packed ? packed_reap(vq, ret_token, ret_len) : split_reap(vq, ret_token, ret_len);
}

/* States whether the next completion is to be signalled. */
static void arm(struct vqueue *vq, bool wants_calls)
{
    if (vq->packed) {
        packed_arm(vq, wants_calls);
        return;
    }
    if (!wants_calls) {
        vq->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    }
    __atomic_store_n(used_event(vq), (uint16_t)(wants_calls ? vq->last_used : vq->last_used - 1),
                     __ATOMIC_RELAXED);
}

static bool has_used(struct vqueue *vq)
{
    return vq->packed ? packed_has_used(vq)
                      : __atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE) != vq->last_used;
}

void vqueue_arm(struct vqueue *vq)
{
    if (!vq->busy_poll && !has_used(vq)) {
        arm(vq, true);
    }
}

static int spin(struct vqueue *vq, int64_t deadline)
{
    while (!has_used(vq)) {
        for (int i = 0; i < 1000 && !has_used(vq); i++) {
            __builtin_ia32_pause();
        }
        if (frontend_now_ms() > deadline) {
            return -ETIMEDOUT;
        }
    }
    return 0;
}

/* What a halted virtual processor does on KVM: its thread looks out for an interrupt first. */
static void spin_before_sleep(struct vqueue *vq)
{
    struct timespec now;
    int64_t end = 0;

    for (;;) {
        for (int i = 0; i < 50; i++) {
            if (has_used(vq)) {
                return;
            }
            __builtin_ia32_pause();
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        end = end ? end : us + vq->spin_us;
        if (us >= end) {
            return;
        }
    }
}

int vqueue_wait(struct vqueue *vq, int timeout_ms)
{
    int64_t deadline = frontend_now_ms() + timeout_ms;
    uint64_t count;

    if (vq->busy_poll) {
        arm(vq, false);
        return spin(vq, deadline);
    }
    while (!has_used(vq)) {
        int64_t left = deadline - frontend_now_ms();
        struct pollfd pfd = {.fd = vq->call_fd, .events = POLLIN};

        arm(vq, true);
        /* arm before the last look: the device publishes, then looks at the event index */
        atomic_thread_fence(memory_order_seq_cst);
        if (vq->spin_us) {
            spin_before_sleep(vq);
        }
        if (has_used(vq)) {
            break;
        }
        if (left <= 0) {
            return -ETIMEDOUT;
        }
        if (poll(&pfd, 1, (int)left) > 0 && read(vq->call_fd, &count, sizeof(count)) > 0) {
            vq->n_calls += count;
        }
    }
    return 0;
}

void vqueue_raw_desc(struct vqueue *vq, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    vq->desc[i] = (struct vring_desc){.addr = gpa, .len = len, .flags = flags, .next = next};
}

void vqueue_raw_publish(struct vqueue *vq, uint16_t head)
{
    publish(vq, head);
}

void vqueue_raw_avail_idx(struct vqueue *vq, uint16_t idx)
{
    vq->avail_idx = idx;
    __atomic_store_n(&vq->avail->idx, idx, __ATOMIC_RELEASE);
}
