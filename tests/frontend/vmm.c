/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Setting a device up over vhost-user, in the order of messages QEMU uses. The raw socket part is
 * in vmm_socket.c.
 */
#include "vmm.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm_socket.h"

/* Away from 0 and above 4 GiB, so that truncated addresses are caught. */
#define RAM_GPA (1ULL << 32)

#define WANTED_FEATURES                                                                            \
    ((1ULL << VIRTIO_F_VERSION_1) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC) |                        \
     (1ULL << VIRTIO_RING_F_EVENT_IDX) | VHOST_USER_F_PROTOCOL_FEATURES)

#define WANTED_PROTOCOL                                                                            \
    (VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |                                  \
     VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | VHOST_USER_PROTOCOL_F_RESET_DEVICE |              \
     VHOST_USER_PROTOCOL_F_CONFIG)

int frontend_timeout_ms(void)
{
    const char *text = getenv("FRONTEND_TIMEOUT_MS");
    int ms = text ? atoi(text) : 0;

    return ms > 0 ? ms : 10000;
}

static int init_ram(struct guest_ram *ram, size_t size)
{
    ram->gpa = RAM_GPA;
    ram->memfd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (ram->memfd < 0 || ftruncate(ram->memfd, (off_t)size) < 0) {
        return -errno;
    }
    ram->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ram->memfd, 0);
    if (ram->base == MAP_FAILED) {
        ram->base = NULL;
        return -errno;
    }
    ram->size = size;
    return 0;
}

int vmm_init(struct vmm *vmm, const struct vmm_config *config)
{
    struct vmm_config *c = &vmm->config;
    int rc;

    memset(vmm, 0, sizeof(*vmm));
    vmm->sock = vmm->ram.memfd = -1;
    if (config) {
        *c = *config;
    }
    c->mem_size = c->mem_size ? c->mem_size : (size_t)64 << 20;
    c->mem_regions = c->mem_regions ? c->mem_regions : 1;
    c->request_queues = c->request_queues ? c->request_queues : 1;
    c->queue_size = c->queue_size ? c->queue_size : 128;
    c->timeout_ms = c->timeout_ms ? c->timeout_ms : frontend_timeout_ms();
    rc = init_ram(&vmm->ram, c->mem_size);
    if (rc < 0 || c->request_queues + 1 > VMM_MAX_QUEUES) {
        return rc < 0 ? rc : -EINVAL;
    }
    for (unsigned q = 0; q <= c->request_queues; q++) {
        vmm->n_queues = q + 1;
        rc = vqueue_init(&vmm->queues[q], &vmm->ram, q, c->queue_size);
        if (rc < 0) {
            return vmm_fail(vmm, rc, "no memory for queue %u", q);
        }
        vmm->queues[q].busy_poll = c->busy_poll;
        vmm->queues[q].spin_us = c->spin_us;
    }
    return 0;
}

static int negotiate_protocol(struct vmm *vmm)
{
    int rc = vmm_ask_u64(vmm, VHOST_USER_GET_PROTOCOL_FEATURES, &vmm->protocol_offered);
    uint64_t accept = vmm->protocol_offered & (WANTED_PROTOCOL | vmm->config.protocol_on) &
                      ~vmm->config.protocol_off;

    if (rc < 0) {
        return rc;
    }
    rc = vmm_msg(vmm, VHOST_USER_SET_PROTOCOL_FEATURES, &accept, sizeof(accept), NULL, 0);
    if (rc < 0) {
        return rc;
    }
    vmm->protocol = accept;
    if (accept & VHOST_USER_PROTOCOL_F_MQ) {
        rc = vmm_ask_u64(vmm, VHOST_USER_GET_QUEUE_NUM, &vmm->max_queues);
    }
    if (rc == 0 && (accept & VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
        rc = vmm_ask_u64(vmm, VHOST_USER_GET_MAX_MEM_SLOTS, &vmm->max_mem_slots);
    }
    return rc;
}

int vmm_negotiate_again(struct vmm *vmm)
{
    int rc = vmm_ask_u64(vmm, VHOST_USER_GET_FEATURES, &vmm->offered);
    uint64_t wanted = WANTED_FEATURES | vmm->config.features_on |
                      (vmm->config.packed ? 1ULL << VIRTIO_F_RING_PACKED : 0);
    uint64_t accept = vmm->offered & wanted & ~vmm->config.features_off;

    vmm->protocol = 0; /* nothing is agreed on a new connection, so nothing is acknowledged */
    if (rc == 0 && (accept & VHOST_USER_F_PROTOCOL_FEATURES)) {
        rc = negotiate_protocol(vmm);
    }
    if (rc == 0) {
        rc = vmm_msg(vmm, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
    }
    if (rc == 0) {
        rc = vmm_msg(vmm, VHOST_USER_SET_FEATURES, &accept, sizeof(accept), NULL, 0);
    }
    if (rc < 0) {
        return rc;
    }
    vmm->features = accept;
    for (unsigned q = 0; q < vmm->n_queues; q++) {
        if (accept & (1ULL << VIRTIO_F_RING_PACKED)) {
            vmm->queues[q].packed = true;
        }
        vmm->queues[q].event_idx = accept & (1ULL << VIRTIO_RING_F_EVENT_IDX);
        vmm->queues[q].indirect =
            !vmm->config.direct && (accept & (1ULL << VIRTIO_RING_F_INDIRECT_DESC));
    }
    return 0;
}

int vmm_negotiate(struct vmm *vmm)
{
    int rc = vmm_negotiate_again(vmm);

    for (unsigned q = 0; rc == 0 && q < vmm->n_queues; q++) {
        if (vmm->queues[q].packed) {
            vqueue_reset(&vmm->queues[q], 0); /* they were made as split ones */
        }
    }
    return rc;
}

struct vhost_user_region vmm_region(const struct vmm *vmm, unsigned i)
{
    size_t share = (vmm->ram.size / vmm->config.mem_regions) & ~(size_t)4095;
    size_t start = i * share;
    bool last = i + 1 == vmm->config.mem_regions;

    return (struct vhost_user_region){
        .gpa = vmm->ram.gpa + start,
        .size = last ? vmm->ram.size - start : share,
        .uva = (uint64_t)(uintptr_t)vmm->ram.base + start,
        .mmap_offset = start,
    };
}

int vmm_add_region(struct vmm *vmm, const struct vhost_user_region *region, int fd)
{
    struct vhost_user_mem_reg msg = {.region = *region};

    return vmm_msg(vmm, VHOST_USER_ADD_MEM_REG, &msg, sizeof(msg), &fd, 1);
}

int vmm_rem_region(struct vmm *vmm, const struct vhost_user_region *region, int fd)
{
    struct vhost_user_mem_reg msg = {.region = *region};

    return vmm_msg(vmm, VHOST_USER_REM_MEM_REG, &msg, sizeof(msg), &fd, fd >= 0 ? 1 : 0);
}

static int send_mem_table(struct vmm *vmm)
{
    struct vhost_user_mem_table table = {.n_regions = vmm->config.mem_regions};
    int fds[VHOST_USER_MEM_TABLE_MAX];
    size_t size = 8 + table.n_regions * sizeof(table.regions[0]);

    if (table.n_regions > VHOST_USER_MEM_TABLE_MAX) {
        return -E2BIG;
    }
    for (unsigned i = 0; i < table.n_regions; i++) {
        table.regions[i] = vmm_region(vmm, i);
        fds[i] = vmm->ram.memfd;
    }
    return vmm_msg(vmm, VHOST_USER_SET_MEM_TABLE, &table, size, fds, table.n_regions);
}

int vmm_share_memory(struct vmm *vmm)
{
    if (vmm->config.use_mem_table || !(vmm->protocol & VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
        return send_mem_table(vmm);
    }
    for (unsigned i = 0; i < vmm->config.mem_regions; i++) {
        struct vhost_user_region region = vmm_region(vmm, i);
        int rc = vmm_add_region(vmm, &region, vmm->ram.memfd);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int send_state(struct vmm *vmm, uint32_t request, unsigned q, uint32_t num)
{
    struct vhost_user_vring_state state = {.index = q, .num = num};

    return vmm_msg(vmm, request, &state, sizeof(state), NULL, 0);
}

static int send_event(struct vmm *vmm, uint32_t request, unsigned q, int fd)
{
    uint64_t index = q;

    return vmm_msg(vmm, request, &index, sizeof(index), &fd, 1);
}

static int send_addr(struct vmm *vmm, unsigned q)
{
    struct vqueue *vq = &vmm->queues[q];
    struct vhost_user_vring_addr addr = {
        .index = q,
        .desc = (uint64_t)(uintptr_t)vq->desc,
        .used = (uint64_t)(uintptr_t)vq->used,
        .avail = (uint64_t)(uintptr_t)vq->avail,
    };

    return vmm_msg(vmm, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

int vmm_enable_queue(struct vmm *vmm, unsigned q, bool enable)
{
    return send_state(vmm, VHOST_USER_SET_VRING_ENABLE, q, enable);
}

int vmm_start_queue(struct vmm *vmm, unsigned q)
{
    struct vqueue *vq = &vmm->queues[q];
    int rc = send_state(vmm, VHOST_USER_SET_VRING_NUM, q, vq->size);

    rc = rc ? rc : send_state(vmm, VHOST_USER_SET_VRING_BASE, q, vqueue_base(vq));
    rc = rc ? rc : send_addr(vmm, q);
    rc = rc ? rc : send_event(vmm, VHOST_USER_SET_VRING_KICK, q, vq->kick_fd);
    rc = rc ? rc : send_event(vmm, VHOST_USER_SET_VRING_CALL, q, vq->call_fd);
    rc = rc ? rc : send_event(vmm, VHOST_USER_SET_VRING_ERR, q, vq->err_fd);
    if (rc == 0 && (vmm->features & VHOST_USER_F_PROTOCOL_FEATURES)) {
        rc = vmm_enable_queue(vmm, q, true);
    }
    return rc;
}

int vmm_stop_queue(struct vmm *vmm, unsigned q, uint16_t *ret_base)
{
    struct vhost_user_vring_state state = {.index = q};
    int rc = vmm_ask(vmm, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), &state, sizeof(state));

    if (rc == 0 && (state.index != q || (!vmm->queues[q].packed && state.num > UINT16_MAX))) {
        return vmm_fail(vmm, -EPROTO, "GET_VRING_BASE answered %u for queue %u", state.num,
                        state.index);
    }
    if (rc == 0 && ret_base) {
        *ret_base = (uint16_t)state.num;
    }
    return rc;
}

static int start_all(struct vmm *vmm)
{
    int rc = vmm_negotiate(vmm);

    rc = rc ? rc : vmm_share_memory(vmm);
    for (unsigned q = 0; rc == 0 && q < vmm->n_queues; q++) {
        rc = vmm_start_queue(vmm, q);
    }
    return rc;
}

int vmm_start(struct vmm *vmm, const char *sock_path, const struct vmm_config *config)
{
    int rc = vmm_init(vmm, config);

    rc = rc ? rc : vmm_connect(vmm, sock_path);
    return rc ? rc : start_all(vmm);
}

int vmm_start_on(struct vmm *vmm, int sock, const struct vmm_config *config)
{
    int rc = vmm_init(vmm, config);

    vmm->sock = sock;
    return rc ? rc : start_all(vmm);
}

void vmm_disconnect(struct vmm *vmm)
{
    if (vmm->sock >= 0) {
        close(vmm->sock);
        vmm->sock = -1;
    }
}

void vmm_stop(struct vmm *vmm)
{
    vmm_disconnect(vmm);
    for (unsigned q = 0; q < vmm->n_queues; q++) {
        vqueue_done(&vmm->queues[q]);
    }
    if (vmm->ram.base) {
        munmap(vmm->ram.base, vmm->ram.size);
    }
    if (vmm->ram.memfd >= 0) {
        close(vmm->ram.memfd);
    }
    memset(vmm, 0, sizeof(*vmm));
    vmm->sock = vmm->ram.memfd = -1;
}

int vmm_fail(struct vmm *vmm, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(vmm->error, sizeof(vmm->error), fmt, ap);
    va_end(ap);
    return rc;
}
