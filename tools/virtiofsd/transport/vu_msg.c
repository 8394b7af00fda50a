/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing here blocks in a socket call: MSG_DONTWAIT each time, and poll() on two descriptors
 * when there is nothing to do. The socket's own flags are left alone; the other end of --fd may
 * share them.
 */
#include "transport/vu_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Until the socket can be read or written; -ECANCELED when it is time to stop. */
static int wait_for(const struct vu_conn *conn, short events)
{
    for (;;) {
        /* poll() skips negative descriptors */
        struct pollfd fds[] = {{.fd = conn->fd, .events = events},
                               {.fd = conn->stop_fd, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0) {
            if (errno != EINTR) {
                return -errno;
            }
            continue;
        }
        if (fds[1].revents) {
            return -ECANCELED;
        }
        if (fds[0].revents) {
            return 0; /* also POLLHUP and POLLERR: the socket call says what it is */
        }
    }
}

/* Keeps the descriptors that came along. False when some were lost because they were too many. */
static bool keep_fds(struct msghdr *mh, struct vu_msg *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t cnt = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            /* the control buffer holds eight; the kernel has closed what did not fit */
            for (size_t i = 0; i < cnt && msg->fd_cnt < VU_MAX_FDS; i++) {
                memcpy(&msg->fds[msg->fd_cnt++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            }
        }
    }
    return !(mh->msg_flags & MSG_CTRUNC);
}

/*
 * Fills buf. Descriptors may come with the first bytes of a message only (has_fds); without a
 * control buffer the kernel closes those that come later and sets MSG_CTRUNC.
 * Returns len, less at the end of the stream, or -errno.
 */
static ssize_t recv_all(const struct vu_conn *conn, void *buf, size_t len, bool has_fds,
                        struct vu_msg *msg)
{
    size_t done = 0;

    while (done < len) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int) * VU_MAX_FDS)];
        } control;
        struct iovec iov = {.iov_base = (char *)buf + done, .iov_len = len - done};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = 0;
        int rc = wait_for(conn, POLLIN);

        if (rc < 0) {
            return rc;
        }
        if (has_fds && done == 0) {
            mh.msg_control = control.bytes;
            mh.msg_controllen = sizeof(control.bytes);
        }
        n = recvmsg(conn->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (!keep_fds(&mh, msg)) {
            msg->why = "too many file descriptors, or not with the first bytes";
            return -EPROTO;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int recv_header(const struct vu_conn *conn, struct vu_msg *msg)
{
    ssize_t n = recv_all(conn, &msg->hdr, sizeof(msg->hdr), true, msg);

    if (n == 0 || n == -ECONNRESET) {
        return 0; /* closed, with or without an answer of ours still unread */
    }
    if (n < 0) {
        return (int)n;
    }
    if ((size_t)n < sizeof(msg->hdr)) {
        msg->why = "the connection was closed in mid-message";
        return -EPROTO;
    }
    if ((msg->hdr.flags & VU_FLAG_VERSION_MASK) != VU_FLAG_VERSION) {
        msg->why = "a version of the protocol that is not 1";
        return -EPROTO;
    }
    if (msg->hdr.flags & VU_FLAG_REPLY) {
        msg->why = "a reply where a request is due";
        return -EPROTO;
    }
    if (msg->hdr.size > sizeof(msg->payload)) {
        msg->why = "a payload larger than any request has";
        return -EPROTO;
    }
    return 1;
}

static int recv_payload(const struct vu_conn *conn, struct vu_msg *msg)
{
    ssize_t n = recv_all(conn, &msg->payload, msg->hdr.size, false, msg);

    if (n < 0 && n != -ECONNRESET) {
        return (int)n;
    }
    if (n < 0 || (size_t)n < msg->hdr.size) {
        msg->why = "the connection was closed in mid-message";
        return -EPROTO;
    }
    return 1;
}

int vu_msg_recv(const struct vu_conn *conn, struct vu_msg *msg)
{
    int rc = 0;

    memset(msg, 0, sizeof(*msg));
    rc = recv_header(conn, msg);
    if (rc > 0) {
        rc = recv_payload(conn, msg);
    }
    if (rc <= 0) {
        vu_msg_done(msg);
    }
    return rc;
}

/* Sends what the socket takes; the descriptor, if any, travels with the first byte. */
static ssize_t send_some(const struct vu_conn *conn, const char *buf, size_t len,
                         const struct vu_msg *msg, bool is_first)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (is_first && msg->has_reply_fd) {
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.align), &msg->reply_fd, sizeof(int));
        mh.msg_control = control.bytes;
        mh.msg_controllen = sizeof(control.bytes);
    }
    return sendmsg(conn->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int vu_msg_send(const struct vu_conn *conn, const struct vu_msg *msg)
{
    size_t len = sizeof(msg->hdr) + msg->hdr.size;
    char buf[sizeof(msg->hdr) + sizeof(msg->payload)];
    size_t done = 0;

    memcpy(buf, &msg->hdr, sizeof(msg->hdr));
    memcpy(buf + sizeof(msg->hdr), &msg->payload, msg->hdr.size);
    while (done < len) {
        ssize_t n = send_some(conn, buf + done, len - done, msg, done == 0);
        int rc = 0;

        if (n >= 0) {
            done += (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        /* a peer that does not read its answers must not keep us from stopping */
        rc = wait_for(conn, POLLOUT);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int vu_msg_take_fd(struct vu_msg *msg, unsigned i)
{
    int fd = -1;

    if (i < msg->fd_cnt) {
        fd = msg->fds[i];
        msg->fds[i] = -1;
    }
    return fd;
}

void vu_msg_done(struct vu_msg *msg)
{
    for (unsigned i = 0; i < msg->fd_cnt; i++) {
        if (msg->fds[i] >= 0) {
            (void)close(msg->fds[i]); /* never used */
        }
    }
    msg->fd_cnt = 0;
}
