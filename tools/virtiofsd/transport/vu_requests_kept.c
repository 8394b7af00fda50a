/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests about what is written down beside the rings: the dirty log of a migration, the
 * inflight regions for the next life of the daemon, and the status of the device.
 */
#include <errno.h>
#include <unistd.h>

#include "base/util.h"
#include "transport/vu_requests.h"

int vu_set_log_base(struct vu_session *session, struct vu_msg *msg)
{
    struct dirty_log *log = NULL;
    int rc = dirty_log_new(msg->fds[0], msg->payload.log.size, msg->payload.log.offset, &log);

    if (rc < 0) {
        return vu_refuse(session, rc, "a log that is empty, or is no memory of that size");
    }
    /* answers may come in meanwhile: each ring has the old log or the new one, never none */
    rc = vu_session_hold_rings(session, false);
    if (rc < 0) {
        dirty_log_free(log);
        return rc;
    }
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        struct vu_ground next = session->ground;

        next.log = log;
        if (session->rings[i]) {
            vu_ring_watch(session->rings[i], &next);
        }
    }
    dirty_log_free(session->ground.log);
    session->ground.log = log;
    vu_session_resume_rings(session);
    msg->payload.u64 = 0; /* the answer that LOG_SHMFD promises, also good as an ack */
    msg->hdr.size = sizeof(msg->payload.u64);
    return 0;
}

/* "It may be used to inform the front-end that the log has been modified": we do not. */
int vu_set_log_fd(struct vu_session *session, struct vu_msg *msg)
{
    auto_fd_close(&session->log_fd);
    session->log_fd = vu_msg_take_fd(msg, 0);
    return 0;
}

static bool is_packed(const struct vu_session *session)
{
    return session->ground.features & VU_F_RING_PACKED;
}

static int check_inflight(struct vu_session *session, const struct vu_inflight *inflight)
{
    if (inflight->queues == 0 || inflight->queues > VU_MAX_QUEUES) {
        return vu_refuse(session, -EINVAL, "inflight regions for no queue, or for too many");
    }
    if (!vq_is_valid_size(inflight->queue_size)) {
        return vu_refuse(session, -EINVAL, "inflight regions for queues of an impossible size");
    }
    return 0;
}

/* The form depends on that of the rings, so features are to be negotiated before. */
int vu_get_inflight_fd(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_inflight *inflight = &msg->payload.inflight;
    int rc = check_inflight(session, inflight);

    if (rc < 0) {
        return rc;
    }
    inflight->size = inflight_size(inflight->queues, inflight->queue_size, is_packed(session));
    inflight->offset = 0;
    rc = inflight_create(inflight->size);
    if (rc < 0) {
        return vu_refuse(session, rc, "no memory for inflight regions");
    }
    msg->reply_fd = rc;
    msg->has_reply_fd = true;
    return 0;
}

void vu_session_drop_inflight(struct vu_session *session)
{
    if (session->ground.inflight && session->device->keep) {
        session->device->keep(session->device->opaque, NULL, 0);
    }
    inflight_free(session->ground.inflight);
    session->ground.inflight = NULL;
}

int vu_set_inflight_fd(struct vu_session *session, struct vu_msg *msg)
{
    const struct vu_inflight *from = &msg->payload.inflight;
    struct inflight *inflight = NULL;
    int rc = check_inflight(session, from);

    if (rc < 0) {
        return rc;
    }
    rc = inflight_map(msg->fds[0], from->size, from->offset, from->queues, from->queue_size,
                      is_packed(session), &inflight);
    if (rc < 0) {
        return vu_refuse(session, rc, "inflight regions that are too small for what they say");
    }
    rc = vu_session_hold_rings(session, true);
    if (rc < 0) {
        inflight_free(inflight);
        return rc;
    }
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        if (session->rings[i]) {
            vu_ring_begin_anew(session->rings[i]);
        }
    }
    vu_session_drop_inflight(session);
    session->ground.inflight = inflight;
    if (session->device->keep) {
        session->device->keep(session->device->opaque, inflight_kept(inflight), INFLIGHT_KEPT_SIZE);
    }
    vu_session_resume_rings(session);
    return 0;
}

/*
 * 0 is a reset: rings stop and forget. What the guest's file system session knows stays, because
 * a VM that is merely paused resets its back end as well; a guest that starts anew says so
 * itself (FUSE_INIT).
 */
int vu_set_status(struct vu_session *session, struct vu_msg *msg)
{
    uint64_t status = msg->payload.u64;

    if (status > UINT8_MAX) {
        return vu_refuse(session, -EINVAL, "a device status of more than eight bits");
    }
    if (status == 0) {
        return vu_reset_device(session, msg);
    }
    session->status = (uint8_t)(status & ~(uint64_t)VU_STATUS_NEEDS_RESET);
    return 0;
}

int vu_get_status(struct vu_session *session, struct vu_msg *msg)
{
    msg->payload.u64 = session->status;
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        const struct vu_ring *ring = session->rings[i];

        if (ring && __atomic_load_n(&ring->is_broken, __ATOMIC_RELAXED)) {
            msg->payload.u64 |= VU_STATUS_NEEDS_RESET;
        }
    }
    msg->hdr.size = sizeof(msg->payload.u64);
    return 0;
}
