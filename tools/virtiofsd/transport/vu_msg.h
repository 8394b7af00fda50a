/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole vhost-user messages in and out of a stream socket.
 *
 * A peer that stalls in mid-message holds up nothing: every wait is on the socket and on the
 * stop descriptor together. Descriptors that come with a message belong to the message until
 * they are taken out of it.
 */
#ifndef TRANSPORT_VU_MSG_H
#define TRANSPORT_VU_MSG_H

#include <stdbool.h>

#include "transport/vu_proto.h"

struct vu_conn {
    int fd;
    int stop_fd; /* readable: give up; or -1 */
};

struct vu_msg {
    struct vu_header hdr;
    union vu_payload payload; /* hdr.size bytes of it came, the rest is 0 */
    int fds[VU_MAX_FDS];      /* -1 once taken */
    unsigned fd_cnt;
    bool has_reply_fd; /* vu_msg_send() sends it along; it stays the caller's to close */
    int reply_fd;
    const char *why; /* what is wrong, when vu_msg_recv() says -EPROTO */
};

/*
 * Receives one message. Returns 1; 0 when the peer has closed between two messages; -ECANCELED
 * when stop_fd became readable; -EPROTO (with msg->why) for what is no message; or another
 * -errno of the socket. The caller calls vu_msg_done() after a 1 only.
 */
int vu_msg_recv(const struct vu_conn *conn, struct vu_msg *msg);

/* Sends hdr.size bytes of payload behind the header. Returns 0 or -errno as above. */
int vu_msg_send(const struct vu_conn *conn, const struct vu_msg *msg);

/* Takes descriptor i out of the message; -1 when there is none. */
int vu_msg_take_fd(struct vu_msg *msg, unsigned i);

/* Closes the descriptors nobody took. */
void vu_msg_done(struct vu_msg *msg);

#endif
