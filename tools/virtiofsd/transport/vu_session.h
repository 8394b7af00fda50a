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

    struct vu_ground ground;    /* memory, negotiated features, log, inflight regions */
    uint64_t protocol_features; /* negotiated */
    uint8_t status;             /* of the device, as the driver sees it */
    int log_fd;                 /* SET_LOG_FD, or -1; kept and not used: see vu_requests_kept.c */
    bool has_hung;              /* a wait for the device was given up: nothing may be freed */
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

/*
 * Holds all rings for a change of the ground they stand on: their threads end, and with `drain`
 * the chains that are out come back. 0, or -ECANCELED with has_hung set.
 */
int vu_session_hold_rings(struct vu_session *session, bool drain);

/* All rings are held, drained, and will begin anew: the inflight regions are unmapped. */
void vu_session_drop_inflight(struct vu_session *session);

/* Starts those again that may run. */
void vu_session_resume_rings(struct vu_session *session);

#endif
