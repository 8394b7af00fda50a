/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection of a front end, from connect to close: what vhost_user.c (which moves messages)
 * and vu_requests.c (which knows what they mean) share. All of it belongs to the control thread.
 */
#ifndef TRANSPORT_VU_SESSION_H
#define TRANSPORT_VU_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/guest_mem.h"
#include "transport/vhost_user.h"
#include "transport/vu_msg.h"
#include "transport/vu_ring.h"

struct vu_session {
    struct vu_conn conn;
    const struct vu_config *config;
    const struct vu_device *device;

    uint64_t features;          /* negotiated */
    uint64_t protocol_features; /* negotiated */
    struct guest_mem *mem;
    struct vu_ring *rings[VU_MAX_QUEUES]; /* made when first spoken of */
    int backend_fd;                       /* SET_BACKEND_REQ_FD, or -1 */

    const char *why; /* set by a request that fails, for the log line */
};

/*
 * One request the front end may send. Framing (sizes, descriptors) and the needed feature are
 * checked before `handle` is called.
 */
struct vu_request {
    const char *name;
    uint32_t min_size;
    uint32_t max_size;
    unsigned min_fds;
    unsigned max_fds;
    uint64_t protocol_feature; /* 0: none needed */
    bool has_reply;            /* handle() has left the answer in the message */
    /* Returns 0 or -errno with session->why. Descriptors it wants it takes out of the message. */
    int (*handle)(struct vu_session *session, struct vu_msg *msg);
};

/* The request with this number, or NULL for one we do not know. */
const struct vu_request *vu_request_find(uint32_t id);

/* Stops all rings for good, with every chain given back. */
void vu_session_stop_rings(struct vu_session *session);

#endif
