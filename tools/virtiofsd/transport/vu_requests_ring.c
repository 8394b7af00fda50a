/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests about one ring: size, place, start, descriptors, and its stop.
 *
 * A ring runs when it has a size, addresses and a kick descriptor and is enabled, in whatever
 * order these came; it stops with GET_VRING_BASE. Requests for an index nobody spoke of before
 * make the ring; there are at most VU_MAX_QUEUES of them.
 */
#include "transport/vu_requests.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int start_ring(struct vu_session *session, struct vu_ring *ring)
{
    return vu_ring_start(ring, &session->ground, &session->why);
}

static int stop_ring(struct vu_session *session, struct vu_ring *ring, bool drain)
{
    int rc = vu_ring_stop(ring, &session->ground, drain);

    session->has_hung = session->has_hung || rc == -ECANCELED;
    return rc;
}

static int get_ring(struct vu_session *session, uint32_t index, struct vu_ring **ret_ring)
{
    if (index >= VU_MAX_QUEUES) {
        return vu_refuse(session, -EINVAL, "no such ring");
    }
    if (!session->rings[index]) {
        session->rings[index] = vu_ring_new(index, session->config, session->device);
        if (!session->rings[index]) {
            return vu_refuse(session, -ENOMEM, "no memory or descriptor for one more ring");
        }
    }
    *ret_ring = session->rings[index];
    return 0;
}

/* A ring whose set-up may be changed: not running, and with nothing in flight. */
static int get_stopped_ring(struct vu_session *session, uint32_t index, struct vu_ring **ret_ring)
{
    int rc = get_ring(session, index, ret_ring);

    if (rc < 0) {
        return rc;
    }
    if ((*ret_ring)->is_running) {
        return vu_refuse(session, -EBUSY, "the ring is running");
    }
    /* disabled a moment ago, some chains may still be out */
    return stop_ring(session, *ret_ring, true);
}

int vu_set_vring_num(struct vu_session *session, struct vu_msg *msg)
{
    bool packed = session->ground.features & VU_F_RING_PACKED;
    unsigned num = msg->payload.state.num;
    struct vu_ring *ring = NULL;
    int rc = 0;

    if (!vq_is_valid_size(num) || (!packed && (num & (num - 1)) != 0)) {
        return vu_refuse(session, -EINVAL, "a ring size that is no power of two up to 32768");
    }
    rc = get_stopped_ring(session, msg->payload.state.index, &ring);
    if (rc == 0) {
        ring->setup.num = msg->payload.state.num;
    }
    return rc;
}

int vu_set_vring_base(struct vu_session *session, struct vu_msg *msg)
{
    bool packed = session->ground.features & VU_F_RING_PACKED;
    struct vu_ring *ring = NULL;
    int rc = 0;

    if (!packed && msg->payload.state.num > UINT16_MAX) {
        return vu_refuse(session, -EINVAL, "a ring index of more than 16 bits");
    }
    rc = get_stopped_ring(session, msg->payload.state.index, &ring);
    if (rc == 0) {
        vu_ring_set_base(ring, msg->payload.state.num);
    }
    return rc;
}

/* What the log says about the ring's own pages; front ends turn it on while the ring runs. */
static int set_ring_log(struct vu_session *session, struct vu_ring *ring,
                        const struct vu_vring_addr *from)
{
    bool log_used = from->flags & VU_VRING_F_LOG;
    int rc = 0;

    if (ring->setup.log_used == log_used && ring->setup.log_addr == from->log) {
        return 0;
    }
    rc = stop_ring(session, ring, false);
    if (rc < 0) {
        return rc;
    }
    ring->setup.log_used = log_used;
    ring->setup.log_addr = from->log;
    vu_ring_watch(ring, &session->ground);
    return start_ring(session, ring);
}

static int move_ring(struct vu_session *session, struct vu_ring *ring, const struct vq_addr *addr)
{
    struct virtqueue probe;
    int rc = 0;

    /* said now if it can be; otherwise when the ring starts, where it is looked up anyway */
    vq_reset(&probe);
    probe.packed = session->ground.features & VU_F_RING_PACKED;
    if (ring->setup.num > 0 && guest_mem_count(session->ground.mem) > 0) {
        rc = vq_map(&probe, session->ground.mem, ring->setup.num, addr, &session->why);
        if (rc < 0) {
            return rc;
        }
    }
    rc = stop_ring(session, ring, true);
    if (rc < 0) {
        return rc;
    }
    vu_ring_set_addr(ring, addr);
    return start_ring(session, ring);
}

int vu_set_vring_addr(struct vu_session *session, struct vu_msg *msg)
{
    const struct vu_vring_addr *from = &msg->payload.addr;
    struct vq_addr addr = {.desc = from->desc, .avail = from->avail, .used = from->used};
    struct vu_ring *ring = NULL;
    int rc = get_ring(session, from->index, &ring);

    if (rc < 0) {
        return rc;
    }
    rc = set_ring_log(session, ring, from);
    if (rc < 0 || (ring->setup.has_addr && memcmp(&addr, &ring->setup.addr, sizeof(addr)) == 0)) {
        return rc; /* front ends repeat it to change the log flag */
    }
    return move_ring(session, ring, &addr);
}

/*
 * All chains that are out are answered first, also where the front end would allow us to leave
 * them to the next who takes the inflight region (GET_VRING_BASE_INFLIGHT): a request to a host
 * file system cannot be called back.
 */
int vu_get_vring_base(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_ring *ring = NULL;
    int rc = get_ring(session, msg->payload.state.index, &ring);

    if (rc == 0) {
        rc = stop_ring(session, ring, true);
    }
    if (rc < 0) {
        return rc;
    }
    msg->payload.state.num = vq_base(&ring->vq);
    msg->hdr.size = sizeof(msg->payload.state);
    vu_ring_forget(ring);
    return 0;
}

int vu_set_vring_enable(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_ring *ring = NULL;
    int rc = 0;

    if (!(session->ground.features & VU_F_PROTOCOL_FEATURES)) {
        return vu_refuse(session, -EINVAL, "protocol features were not negotiated");
    }
    if (msg->payload.state.num > 1) {
        return vu_refuse(session, -EINVAL, "neither 0 nor 1");
    }
    rc = get_ring(session, msg->payload.state.index, &ring);
    if (rc < 0) {
        return rc;
    }
    ring->setup.is_enabled = msg->payload.state.num == 1;
    if (ring->setup.is_enabled) {
        return start_ring(session, ring);
    }
    return stop_ring(session, ring, false);
}

/* The ring and the descriptor (or -1) of SET_VRING_KICK, CALL and ERR. */
static int take_vring_fd(struct vu_session *session, struct vu_msg *msg, struct vu_ring **ret_ring,
                         int *ret_fd)
{
    uint64_t arg = msg->payload.u64;
    int rc = 0;

    if (arg & ~(uint64_t)(VU_VRING_INDEX_MASK | VU_VRING_NOFD)) {
        return vu_refuse(session, -EINVAL, "unknown bits beside the ring index");
    }
    if ((msg->fd_cnt == 0) != !!(arg & VU_VRING_NOFD)) {
        return vu_refuse(session, -EINVAL, "a file descriptor that is missing, or one too many");
    }
    rc = get_ring(session, arg & VU_VRING_INDEX_MASK, ret_ring);
    if (rc == 0) {
        *ret_fd = vu_msg_take_fd(msg, 0);
    }
    return rc;
}

int vu_set_vring_kick(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_ring *ring = NULL;
    int fd = -1;
    int rc = take_vring_fd(session, msg, &ring, &fd);

    if (rc < 0) {
        return rc;
    }
    if (fd < 0) {
        return vu_refuse(session, -EOPNOTSUPP, "a ring to be polled: it needs a kick eventfd");
    }
    if (ring->setup.num == 0 || !ring->setup.has_addr) {
        (void)close(fd); /* never used */
        return vu_refuse(session, -EINVAL, "a kick before the ring's size and addresses");
    }
    rc = stop_ring(session, ring, false);
    if (rc < 0) {
        (void)close(fd); /* never used */
        return rc;
    }
    rc = vu_ring_set_kick(ring, fd);
    if (rc < 0) {
        return vu_refuse(session, rc, "a kick descriptor that is no eventfd");
    }
    return start_ring(session, ring);
}

int vu_set_vring_call(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_ring *ring = NULL;
    int fd = -1;
    int rc = take_vring_fd(session, msg, &ring, &fd);

    if (rc == 0 && vu_ring_set_call(ring, fd) < 0) {
        return vu_refuse(session, -EINVAL, "a call descriptor that is no eventfd");
    }
    return rc;
}

int vu_set_vring_err(struct vu_session *session, struct vu_msg *msg)
{
    struct vu_ring *ring = NULL;
    int fd = -1;
    int rc = take_vring_fd(session, msg, &ring, &fd);

    if (rc == 0 && vu_ring_set_err(ring, fd) < 0) {
        return vu_refuse(session, -EINVAL, "an error descriptor that is no eventfd");
    }
    return rc;
}
