/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each vhost-user request does, but for those about one ring (vu_requests_ring.c) and about
 * log, inflight regions and status (vu_requests_kept.c). The table at the end is the list of all;
 * a new one is a row and a function.
 *
 * A request that changes what running rings look at (memory table, features) holds them: their
 * threads end, the change is made, and they start where they were. Where memory goes away the
 * chains in flight are waited for as well, because they point into it.
 */
#include "transport/vu_session.h"

#include <endian.h>
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "transport/vu_requests.h"

#define OFFERED_FEATURES                                                                           \
    (VU_F_VERSION_1 | VU_F_INDIRECT_DESC | VU_F_EVENT_IDX | VU_F_RING_PACKED | VU_F_LOG_ALL |      \
     VU_F_PROTOCOL_FEATURES)

static uint64_t offered_protocol_features(const struct vu_session *session)
{
    uint64_t features = VU_PROTOCOL_F_MQ | VU_PROTOCOL_F_REPLY_ACK | VU_PROTOCOL_F_BACKEND_REQ |
                        VU_PROTOCOL_F_BACKEND_SEND_FD | VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
                        VU_PROTOCOL_F_RESET_DEVICE | VU_PROTOCOL_F_LOG_SHMFD |
                        VU_PROTOCOL_F_INFLIGHT_SHMFD | VU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT |
                        VU_PROTOCOL_F_STATUS;

    return features | (session->config->tag ? VU_PROTOCOL_F_CONFIG : 0);
}

int vu_session_hold_rings(struct vu_session *session, bool drain)
{
    /* all are told before the first is waited for: they end side by side */
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        if (session->rings[i]) {
            vu_ring_ask_stop(session->rings[i]);
        }
    }
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        if (session->rings[i] &&
            vu_ring_wait_stopped(session->rings[i], &session->ground, drain) < 0) {
            session->has_hung = true;
            return -ECANCELED;
        }
    }
    return 0;
}

void vu_session_resume_rings(struct vu_session *session)
{
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        struct vu_ring *ring = session->rings[i];
        const char *why = NULL;

        if (!ring) {
            continue;
        }
        vu_ring_watch(ring, &session->ground); /* also one that does not run: chains may be out */
        if (vu_ring_start(ring, &session->ground, &why) < 0) {
            /* the request that held it was fine; the ring it took the ground from is not */
            log_error_limited("queue %u is no longer served: %s", i, why);
            vu_ring_break(ring);
        }
    }
}

static int get_features(struct vu_session *session, struct vu_msg *msg)
{
    msg->payload.u64 = OFFERED_FEATURES;
    msg->hdr.size = sizeof(msg->payload.u64);
    return 0;
}

/* A ring of one format knows nothing of the other's: it is drained and begins anew. */
static int change_features(struct vu_session *session, uint64_t features)
{
    bool is_other_format = (features ^ session->ground.features) & VU_F_RING_PACKED;
    int rc = vu_session_hold_rings(session, is_other_format);

    if (rc < 0) {
        return rc;
    }
    for (unsigned i = 0; is_other_format && i < VU_MAX_QUEUES; i++) {
        if (session->rings[i] && session->rings[i]->vq.used_known) {
            vu_ring_reset(session->rings[i]);
        }
    }
    session->ground.features = features;
    vu_session_resume_rings(session);
    return 0;
}

static int set_features(struct vu_session *session, struct vu_msg *msg)
{
    uint64_t features = msg->payload.u64;

    if (features & ~OFFERED_FEATURES) {
        return vu_refuse(session, -EINVAL, "a feature that was not offered");
    }
    if (features != session->ground.features) {
        return change_features(session, features);
    }
    return 0;
}

static int get_protocol_features(struct vu_session *session, struct vu_msg *msg)
{
    msg->payload.u64 = offered_protocol_features(session);
    msg->hdr.size = sizeof(msg->payload.u64);
    return 0;
}

static int set_protocol_features(struct vu_session *session, struct vu_msg *msg)
{
    if (msg->payload.u64 & ~offered_protocol_features(session)) {
        return vu_refuse(session, -EINVAL, "a protocol feature that was not offered");
    }
    session->protocol_features = msg->payload.u64;
    return 0;
}

static int set_owner(struct vu_session *session, struct vu_msg *msg)
{
    return 0; /* one front end a connection: it owns the session anyway */
}

int vu_reset_device(struct vu_session *session, struct vu_msg *msg)
{
    int rc = vu_session_hold_rings(session, true);

    if (rc < 0) {
        return rc;
    }
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        struct vu_ring *ring = session->rings[i];

        if (ring) {
            vu_ring_forget(ring);
            vu_ring_reset(ring);
            ring->setup.has_addr = false;
            ring->setup.is_enabled = false;
        }
    }
    session->status = 0;
    return 0;
}

static int get_queue_num(struct vu_session *session, struct vu_msg *msg)
{
    msg->payload.u64 = VU_MAX_QUEUES;
    msg->hdr.size = sizeof(msg->payload.u64);
    return 0;
}

static struct guest_mem_range range_of(const struct vu_mem_region *region)
{
    return (struct guest_mem_range){
        .gpa = region->gpa,
        .size = region->size,
        .uva = region->uva,
        .offset = region->offset,
    };
}

static int add_region(struct vu_session *session, struct guest_mem *mem,
                      const struct vu_mem_region *region, int fd)
{
    struct guest_mem_range range = range_of(region);
    int rc = guest_mem_add(mem, &range, fd);

    switch (rc) {
    case 0:
        return 0;
    case -EINVAL:
        return vu_refuse(session, rc,
                         "a memory region that is empty, wraps or ends after its file");
    case -EEXIST:
        return vu_refuse(session, rc, "a memory region that overlaps another");
    case -ENOSPC:
        return vu_refuse(session, rc, "more memory regions than there are slots");
    default:
        return vu_refuse(session, rc, "a memory region that cannot be mapped");
    }
}

static int set_mem_table(struct vu_session *session, struct vu_msg *msg)
{
    const struct vu_mem_table *table = &msg->payload.mem_table;
    struct guest_mem *mem = NULL;

    if (table->count > VU_MAX_FDS || table->count != msg->fd_cnt ||
        msg->hdr.size <
            offsetof(struct vu_mem_table, regions) + table->count * sizeof(table->regions[0])) {
        return vu_refuse(session, -EINVAL, "a memory table whose numbers do not fit");
    }
    mem = guest_mem_new();
    for (unsigned i = 0; i < table->count; i++) {
        int rc = add_region(session, mem, &table->regions[i], msg->fds[i]);

        if (rc < 0) {
            guest_mem_free(mem);
            return rc;
        }
    }
    if (vu_session_hold_rings(session, true) < 0) {
        guest_mem_free(mem);
        return -ECANCELED;
    }
    guest_mem_free(session->ground.mem);
    session->ground.mem = mem;
    vu_session_resume_rings(session);
    return 0;
}

static int get_max_mem_slots(struct vu_session *session, struct vu_msg *msg)
{
    msg->payload.u64 = GUEST_MEM_MAX_REGIONS;
    msg->hdr.size = sizeof(msg->payload.u64);
    return 0;
}

static int add_mem_reg(struct vu_session *session, struct vu_msg *msg)
{
    /*
     * Other mappings do not move: chains in flight may stay where they are. But who logs an
     * answer looks it up in the table, from any thread.
     */
    struct guest_mem_range range = range_of(&msg->payload.mem_reg.region);
    bool is_logging = session->ground.features & VU_F_LOG_ALL;
    bool is_there = guest_mem_has(session->ground.mem, &range);
    int rc = vu_session_hold_rings(session, is_logging || is_there);

    if (rc < 0) {
        return rc;
    }
    if (is_there) {
        /* QEMU forgets what it has told us when a device is plugged to the same connection again */
        (void)guest_mem_remove(session->ground.mem, &range);
    }
    rc = add_region(session, session->ground.mem, &msg->payload.mem_reg.region, msg->fds[0]);
    vu_session_resume_rings(session);
    return rc;
}

static int rem_mem_reg(struct vu_session *session, struct vu_msg *msg)
{
    struct guest_mem_range range = range_of(&msg->payload.mem_reg.region);
    int rc = vu_session_hold_rings(session, true);

    if (rc < 0) {
        return rc;
    }
    /* a descriptor that came along is closed unused, as the specification wants */
    rc = guest_mem_remove(session->ground.mem, &range);
    vu_session_resume_rings(session);
    return rc < 0 ? vu_refuse(session, rc, "no such memory region") : 0;
}

static int set_backend_req_fd(struct vu_session *session, struct vu_msg *msg)
{
    struct stat st;

    if (fstat(msg->fds[0], &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return vu_refuse(session, -EINVAL, "a back-end channel that is no socket");
    }
    auto_fd_close(&session->backend_fd);
    session->backend_fd = vu_msg_take_fd(msg, 0);
    return 0;
}

/*
 * The back end does not know how many request queues the front end will make. One that asks us
 * instead of its own options gets one a CPU of this host: a guest takes no more than it has CPUs.
 */
static int get_config(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_config_space *config = &msg->payload.config;
    struct vu_fs_config fs = {.num_request_queues = 0};
    uint8_t space[VU_CONFIG_SIZE] = {0};

    if (config->size > VU_CONFIG_SIZE || config->offset > VU_CONFIG_SIZE - config->size) {
        msg->hdr.size = 0; /* how the specification says no here */
        return 0;
    }
    fs.num_request_queues = htole32(session->config->request_queues);
    memcpy(fs.tag, session->config->tag, MIN(strlen(session->config->tag), sizeof(fs.tag)));
    memcpy(space, &fs, sizeof(fs));
    memset(config->bytes, 0, sizeof(config->bytes));
    memcpy(config->bytes, space + config->offset, config->size);
    msg->hdr.size = (uint32_t)offsetof(struct vu_config_space, bytes) + config->size;
    return 0;
}

static int set_config(struct vu_session *session, struct vu_msg *msg)
{
    return vu_refuse(session, -EPERM, "nothing in the configuration can be set");
}

/* Sizes of payloads that come in one size only, and of the configuration, which does not. */
#define NONE       0, 0
#define U64        sizeof(uint64_t), sizeof(uint64_t)
#define STATE      sizeof(struct vu_vring_state), sizeof(struct vu_vring_state)
#define ADDR       sizeof(struct vu_vring_addr), sizeof(struct vu_vring_addr)
#define MEM_TABLE  offsetof(struct vu_mem_table, regions), sizeof(struct vu_mem_table)
#define MEM_REGION sizeof(struct vu_mem_reg), sizeof(struct vu_mem_reg)
#define CONFIG     offsetof(struct vu_config_space, bytes), sizeof(struct vu_config_space)
#define LOG        sizeof(struct vu_log), sizeof(struct vu_log)
#define INFLIGHT   VU_INFLIGHT_MIN_SIZE, sizeof(struct vu_inflight)
#define SLOTS      VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS

/* name, payload min, max, descriptors min, max, protocol feature, replies by itself, function */
static const struct vu_request requests[] = {
    [VU_GET_FEATURES] = {"GET_FEATURES", NONE, 0, 0, 0, true, get_features},
    [VU_SET_FEATURES] = {"SET_FEATURES", U64, 0, 0, 0, false, set_features},
    [VU_SET_OWNER] = {"SET_OWNER", NONE, 0, 0, 0, false, set_owner},
    [VU_RESET_OWNER] = {"RESET_OWNER", NONE, 0, 0, 0, false, vu_reset_device},
    [VU_SET_MEM_TABLE] = {"SET_MEM_TABLE", MEM_TABLE, 0, VU_MAX_FDS, 0, false, set_mem_table},
    [VU_SET_LOG_BASE] = {"SET_LOG_BASE", LOG, 1, 1, VU_PROTOCOL_F_LOG_SHMFD, true, vu_set_log_base},
    [VU_SET_LOG_FD] = {"SET_LOG_FD", NONE, 1, 1, 0, false, vu_set_log_fd},
    [VU_SET_VRING_NUM] = {"SET_VRING_NUM", STATE, 0, 0, 0, false, vu_set_vring_num},
    [VU_SET_VRING_ADDR] = {"SET_VRING_ADDR", ADDR, 0, 0, 0, false, vu_set_vring_addr},
    [VU_SET_VRING_BASE] = {"SET_VRING_BASE", STATE, 0, 0, 0, false, vu_set_vring_base},
    [VU_GET_VRING_BASE] = {"GET_VRING_BASE", STATE, 0, 0, 0, true, vu_get_vring_base},
    [VU_SET_VRING_KICK] = {"SET_VRING_KICK", U64, 0, 1, 0, false, vu_set_vring_kick},
    [VU_SET_VRING_CALL] = {"SET_VRING_CALL", U64, 0, 1, 0, false, vu_set_vring_call},
    [VU_SET_VRING_ERR] = {"SET_VRING_ERR", U64, 0, 1, 0, false, vu_set_vring_err},
    [VU_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", NONE, 0, 0, 0, true,
                                  get_protocol_features},
    [VU_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", U64, 0, 0, 0, false,
                                  set_protocol_features},
    [VU_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", NONE, 0, 0, VU_PROTOCOL_F_MQ, true, get_queue_num},
    [VU_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", STATE, 0, 0, 0, false, vu_set_vring_enable},
    [VU_SET_BACKEND_REQ_FD] = {"SET_BACKEND_REQ_FD", NONE, 1, 1, VU_PROTOCOL_F_BACKEND_REQ, false,
                               set_backend_req_fd},
    [VU_GET_CONFIG] = {"GET_CONFIG", CONFIG, 0, 0, VU_PROTOCOL_F_CONFIG, true, get_config},
    [VU_SET_CONFIG] = {"SET_CONFIG", CONFIG, 0, 0, VU_PROTOCOL_F_CONFIG, false, set_config},
    [VU_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", INFLIGHT, 0, 0, VU_PROTOCOL_F_INFLIGHT_SHMFD, true,
                            vu_get_inflight_fd},
    [VU_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", INFLIGHT, 1, 1, VU_PROTOCOL_F_INFLIGHT_SHMFD, false,
                            vu_set_inflight_fd},
    [VU_RESET_DEVICE] = {"RESET_DEVICE", NONE, 0, 0, VU_PROTOCOL_F_RESET_DEVICE, false,
                         vu_reset_device},
    [VU_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", NONE, 0, 0, SLOTS, true, get_max_mem_slots},
    [VU_ADD_MEM_REG] = {"ADD_MEM_REG", MEM_REGION, 1, 1, SLOTS, false, add_mem_reg},
    [VU_REM_MEM_REG] = {"REM_MEM_REG", MEM_REGION, 0, 1, SLOTS, false, rem_mem_reg},
    [VU_SET_STATUS] = {"SET_STATUS", U64, 0, 0, VU_PROTOCOL_F_STATUS, false, vu_set_status},
    [VU_GET_STATUS] = {"GET_STATUS", NONE, 0, 0, VU_PROTOCOL_F_STATUS, true, vu_get_status},
};

const struct vu_request *vu_request_find(uint32_t id)
{
    if (id >= G_N_ELEMENTS(requests) || !requests[id].handle) {
        return NULL;
    }
    return &requests[id];
}
