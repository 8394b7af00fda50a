/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user messages as a front end sends them, written down from the specification a second
 * time: a test that shared these with the daemon would share the daemon's mistakes.
 */
#ifndef FRONTEND_VU_WIRE_H
#define FRONTEND_VU_WIRE_H

#include <assert.h>
#include <stdint.h>

enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_LOG_FD = 7,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_GET_INFLIGHT_FD = 31,
    VHOST_USER_SET_INFLIGHT_FD = 32,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
};

#define VHOST_USER_VERSION    1u
#define VHOST_USER_REPLY      (1u << 2)
#define VHOST_USER_NEED_REPLY (1u << 3)
#define VHOST_USER_NOFD       (1u << 8) /* in the u64 of KICK, CALL and ERR */

#define VHOST_USER_F_PROTOCOL_FEATURES (1ULL << 30)

#define VHOST_USER_PROTOCOL_F_MQ                  (1ULL << 0)
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD           (1ULL << 1)
#define VHOST_USER_PROTOCOL_F_REPLY_ACK           (1ULL << 3)
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ         (1ULL << 5)
#define VHOST_USER_PROTOCOL_F_CONFIG              (1ULL << 9)
#define VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD     (1ULL << 10)
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD      (1ULL << 12)
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE        (1ULL << 13)
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS (1ULL << 15)
#define VHOST_USER_PROTOCOL_F_STATUS              (1ULL << 16)

#define VHOST_USER_MEM_TABLE_MAX 8

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
} __attribute__((packed));

struct vhost_user_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t uva;
    uint64_t mmap_offset;
};

struct vhost_user_mem_table {
    uint32_t n_regions;
    uint32_t padding;
    struct vhost_user_region regions[VHOST_USER_MEM_TABLE_MAX];
};

struct vhost_user_mem_reg {
    uint64_t padding;
    struct vhost_user_region region;
};

struct vhost_user_vring_state {
    uint32_t index;
    uint32_t num;
};

struct vhost_user_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
};

struct vhost_user_config {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
    uint8_t region[256];
};

/* The device's configuration space (virtio 1.2, 5.11.4). */
struct virtio_fs_space {
    uint8_t tag[36];
    uint32_t num_request_queues;
};

static_assert(sizeof(struct vhost_user_header) == 12, "wire format");
static_assert(sizeof(struct vhost_user_mem_table) == 8 + 8 * 32, "wire format");
static_assert(sizeof(struct vhost_user_vring_addr) == 40, "wire format");

#endif
