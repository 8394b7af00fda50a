/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection as a loop: take a message, check its frame against the table of requests, let
 * the request do its work, answer. This is the control thread, which is the caller's; it sleeps
 * in poll() on the socket and the stop descriptor, and serves no ring itself.
 *
 * A message that is none, or that breaks its frame, ends the connection. A request that is well
 * formed but refused ends it too unless the front end asked for an answer: then it is told, and
 * may go on.
 */
#include "transport/vhost_user.h"

#include <errno.h>
#include <glib.h>
#include <stdint.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "transport/vu_session.h"

/* NULL, or what is wrong with the form of the message. */
static const char *check_frame(const struct vu_session *session, const struct vu_request *request,
                               const struct vu_msg *msg)
{
    if (msg->hdr.size < request->min_size || msg->hdr.size > request->max_size) {
        return "a payload of the wrong size";
    }
    if (msg->fd_cnt < request->min_fds || msg->fd_cnt > request->max_fds) {
        return "a wrong number of file descriptors";
    }
    if (request->protocol_feature & ~session->protocol_features) {
        return "its protocol feature was not negotiated";
    }
    return NULL;
}

static int send_reply(struct vu_session *session, struct vu_msg *msg)
{
    int rc = 0;

    msg->hdr.flags = VU_FLAG_VERSION | VU_FLAG_REPLY;
    rc = vu_msg_send(&session->conn, msg);
    if (msg->has_reply_fd) {
        (void)close(msg->reply_fd); /* the front end has its own now, or is gone */
        msg->has_reply_fd = false;
    }
    return rc;
}

static int send_ack(struct vu_session *session, struct vu_msg *msg, int result)
{
    msg->payload.u64 = result < 0 ? 1 : 0; /* "zero for success, non-zero otherwise" */
    msg->hdr.size = sizeof(msg->payload.u64);
    return send_reply(session, msg);
}

/*
 * Looked at after the request was handled: a front end may ask for the answer to the very
 * SET_PROTOCOL_FEATURES that agrees on answers, and wait for it (User Mode Linux does).
 */
static bool wants_ack(const struct vu_session *session, const struct vu_msg *msg)
{
    return (msg->hdr.flags & VU_FLAG_NEED_REPLY) &&
           (session->protocol_features & VU_PROTOCOL_F_REPLY_ACK);
}

/* Serves one message. 0 to go on, -EPROTO (logged) or another -errno of the socket to end. */
static int serve_message(struct vu_session *session, struct vu_msg *msg)
{
    const struct vu_request *request = vu_request_find(msg->hdr.request);
    const char *wrong = NULL;
    int rc = 0;

    if (!request) {
        log_error("vhost-user: unknown request %u, closing the connection", msg->hdr.request);
        return -EPROTO;
    }
    wrong = check_frame(session, request, msg);
    if (wrong) {
        log_error("vhost-user: %s: %s, closing the connection", request->name, wrong);
        return -EPROTO;
    }
    session->why = "it failed";
    rc = request->handle(session, msg);
    if (session->has_hung) {
        return -ECANCELED;
    }
    if (rc < 0) {
        bool may_go_on = wants_ack(session, msg) && !request->has_reply;

        log_error_limited("vhost-user: %s refused: %s (%s)%s", request->name, session->why,
                          g_strerror(-rc), may_go_on ? "" : ", closing the connection");
        return may_go_on ? send_ack(session, msg, rc) : -EPROTO;
    }
    log_debug("vhost-user: %s", request->name);
    if (request->has_reply) {
        return send_reply(session, msg);
    }
    return wants_ack(session, msg) ? send_ack(session, msg, 0) : 0;
}

/* -EPROTO was logged where it was found. */
static enum vu_end end_of(int rc)
{
    switch (rc) {
    case 0:
    case -EPIPE:
    case -ECONNRESET:
        return VU_END_DISCONNECT;
    case -ECANCELED:
        return VU_END_STOP;
    case -EPROTO:
        return VU_END_ERROR;
    default:
        log_error("vhost-user: the connection failed: %s", g_strerror(-rc));
        return VU_END_ERROR;
    }
}

static enum vu_end serve_connection(struct vu_session *session)
{
    struct vu_msg msg;

    for (;;) {
        int rc = vu_msg_recv(&session->conn, &msg);

        if (rc <= 0) {
            if (rc == -EPROTO) {
                log_error("vhost-user: %s, closing the connection", msg.why);
            }
            return end_of(rc);
        }
        rc = serve_message(session, &msg);
        vu_msg_done(&msg);
        if (rc < 0) {
            return end_of(rc);
        }
    }
}

static void free_session(struct vu_session *session)
{
    for (unsigned i = 0; i < VU_MAX_QUEUES; i++) {
        vu_ring_free(session->rings[i]);
    }
    vu_session_drop_inflight(session);
    dirty_log_free(session->ground.log);
    guest_mem_free(session->ground.mem);
    auto_fd_close(&session->backend_fd);
    auto_fd_close(&session->log_fd);
    auto_fd_close(&session->conn.fd);
}

enum vu_end vu_serve(int conn_fd, int stop_fd, const struct vu_config *config,
                     const struct vu_device *device)
{
    struct vu_session session = {
        .conn = {.fd = conn_fd, .stop_fd = stop_fd},
        .config = config,
        .device = device,
        .ground = {.mem = guest_mem_new(), .stop_fd = stop_fd},
        .backend_fd = -1,
        .log_fd = -1,
    };
    enum vu_end end = serve_connection(&session);

    if (vu_session_hold_rings(&session, true) < 0) {
        return VU_END_HUNG;
    }
    free_session(&session);
    return end;
}
