/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user on the wire: a 12-byte header, then a payload whose form depends on the request,
 * in the byte order of the machine. Numbers are those of the specification
 * (qemu.org, "Vhost-user Protocol").
 */
#ifndef TRANSPORT_VU_PROTO_H
#define TRANSPORT_VU_PROTO_H

#include <assert.h>
#include <stdint.h>

enum vu_request_id {
    VU_GET_FEATURES = 1,
    VU_SET_FEATURES = 2,
    VU_SET_OWNER = 3,
    VU_RESET_OWNER = 4,
    VU_SET_MEM_TABLE = 5,
    VU_SET_LOG_BASE = 6,
    VU_SET_LOG_FD = 7,
    VU_SET_VRING_NUM = 8,
    VU_SET_VRING_ADDR = 9,
    VU_SET_VRING_BASE = 10,
    VU_GET_VRING_BASE = 11,
    VU_SET_VRING_KICK = 12,
    VU_SET_VRING_CALL = 13,
    VU_SET_VRING_ERR = 14,
    VU_GET_PROTOCOL_FEATURES = 15,
    VU_SET_PROTOCOL_FEATURES = 16,
    VU_GET_QUEUE_NUM = 17,
    VU_SET_VRING_ENABLE = 18,
    VU_SET_BACKEND_REQ_FD = 21,
    VU_GET_CONFIG = 24,
    VU_SET_CONFIG = 25,
    VU_GET_INFLIGHT_FD = 31,
    VU_SET_INFLIGHT_FD = 32,
    VU_RESET_DEVICE = 34,
    VU_GET_MAX_MEM_SLOTS = 36,
    VU_ADD_MEM_REG = 37,
    VU_REM_MEM_REG = 38,
    VU_SET_STATUS = 39,
    VU_GET_STATUS = 40,
    VU_SET_DEVICE_STATE_FD = 42,
    VU_CHECK_DEVICE_STATE = 43,
};

/* Protocol features, as masks. */
#define VU_PROTOCOL_F_MQ                  (1ULL << 0)
#define VU_PROTOCOL_F_LOG_SHMFD           (1ULL << 1)
#define VU_PROTOCOL_F_REPLY_ACK           (1ULL << 3)
#define VU_PROTOCOL_F_BACKEND_REQ         (1ULL << 5)
#define VU_PROTOCOL_F_CONFIG              (1ULL << 9)
#define VU_PROTOCOL_F_BACKEND_SEND_FD     (1ULL << 10)
#define VU_PROTOCOL_F_INFLIGHT_SHMFD      (1ULL << 12)
#define VU_PROTOCOL_F_RESET_DEVICE        (1ULL << 13)
#define VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS (1ULL << 15)
#define VU_PROTOCOL_F_STATUS              (1ULL << 16)
#define VU_PROTOCOL_F_DEVICE_STATE        (1ULL << 19)
/* GET_VRING_BASE may leave chains out that are written down in the inflight region. */
#define VU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT (1ULL << 20)

/* Device feature bits, as masks; the ones vhost-user itself looks at. */
#define VU_F_LOG_ALL           (1ULL << 26)
#define VU_F_INDIRECT_DESC     (1ULL << 28)
#define VU_F_EVENT_IDX         (1ULL << 29)
#define VU_F_PROTOCOL_FEATURES (1ULL << 30)
#define VU_F_VERSION_1         (1ULL << 32)
#define VU_F_RING_PACKED       (1ULL << 34)

/* Of the device status (virtio 1.x, 2.1), the bit that is ours to set. */
#define VU_STATUS_NEEDS_RESET 0x40u

/* Flags of SET_VRING_ADDR. */
#define VU_VRING_F_LOG 0x1u

#define VU_FLAG_VERSION_MASK 0x3u
#define VU_FLAG_VERSION      0x1u
#define VU_FLAG_REPLY        0x4u
#define VU_FLAG_NEED_REPLY   0x8u

/* The u64 of SET_VRING_KICK, CALL and ERR. */
#define VU_VRING_INDEX_MASK 0xffu
#define VU_VRING_NOFD       0x100u

#define VU_MAX_FDS     8 /* in one message; SET_MEM_TABLE brings one a region */
#define VU_CONFIG_SIZE 256

struct vu_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload */
};

struct vu_vring_state {
    uint32_t index;
    uint32_t num;
};

struct vu_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
};

struct vu_mem_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t uva;
    uint64_t offset;
};

struct vu_mem_table {
    uint32_t count;
    uint32_t padding;
    struct vu_mem_region regions[VU_MAX_FDS];
};

struct vu_mem_reg {
    uint64_t padding;
    struct vu_mem_region region;
};

struct vu_log {
    uint64_t size;
    uint64_t offset;
};

/* 24 bytes where the compiler of the front end rounds up, 20 where it does not. */
struct vu_inflight {
    uint64_t size;
    uint64_t offset;
    uint16_t queues;
    uint16_t queue_size;
    uint32_t padding;
};

#define VU_INFLIGHT_MIN_SIZE 20

struct vu_config_space {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
    uint8_t bytes[VU_CONFIG_SIZE];
};

/* The device configuration of virtio-fs, little-endian (virtio 1.x, 5.11.4). */
struct vu_fs_config {
    char tag[36]; /* no NUL at the end when all 36 bytes are used */
    uint32_t num_request_queues;
};

union vu_payload {
    uint64_t u64;
    struct vu_vring_state state;
    struct vu_vring_addr addr;
    struct vu_mem_table mem_table;
    struct vu_mem_reg mem_reg;
    struct vu_config_space config;
    struct vu_log log;
    struct vu_inflight inflight;
};

static_assert(sizeof(struct vu_header) == 12, "wire format");
static_assert(sizeof(struct vu_vring_state) == 8, "wire format");
static_assert(sizeof(struct vu_vring_addr) == 40, "wire format");
static_assert(sizeof(struct vu_mem_region) == 32, "wire format");
static_assert(sizeof(struct vu_mem_table) == 8 + VU_MAX_FDS * 32, "wire format");
static_assert(sizeof(struct vu_mem_reg) == 40, "wire format");
static_assert(sizeof(struct vu_log) == 16, "wire format");
static_assert(sizeof(struct vu_inflight) == 24, "wire format");
static_assert(sizeof(struct vu_config_space) == 12 + VU_CONFIG_SIZE, "wire format");
static_assert(sizeof(struct vu_fs_config) == 40, "wire format");

#endif
