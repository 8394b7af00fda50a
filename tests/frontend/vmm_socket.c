/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages on the vhost-user socket, with a time-out on every wait.
 */
#include "vmm.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm_socket.h"

#define MAX_SEND_FDS 32

static int make_address(const char *path, struct sockaddr_un *ret_addr)
{
    *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret_addr->sun_path)) {
        return -ENAMETOOLONG;
    }
    strcpy(ret_addr->sun_path, path);
    return 0;
}

int vmm_connect(struct vmm *vmm, const char *sock_path)
{
    struct sockaddr_un addr;
    int rc = make_address(sock_path, &addr);

    if (rc < 0) {
        return vmm_fail(vmm, rc, "socket path too long");
    }
    vmm->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (vmm->sock < 0 || connect(vmm->sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        rc = -errno;
        return vmm_fail(vmm, rc, "connect: %s", strerror(-rc));
    }
    return 0;
}

int vmm_listen(const char *sock_path)
{
    struct sockaddr_un addr;
    int rc = make_address(sock_path, &addr);
    int fd;

    if (rc < 0) {
        return rc;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int vmm_send_bytes(struct vmm *vmm, const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
    union {
        char buf[CMSG_SPACE(MAX_SEND_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (n_fds > MAX_SEND_FDS) {
        return -EINVAL;
    }
    if (n_fds) {
        struct cmsghdr *cmsg = &control.align;

        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
    }
    n = sendmsg(vmm->sock, &msg, MSG_NOSIGNAL);
    if (n < 0) {
        return -errno;
    }
    return (size_t)n == size ? 0 : -EIO;
}

/* Takes what is there; a descriptor that came along goes to *ret_fd if somebody wants it. */
static ssize_t receive(int sock, void *buf, size_t size, int *ret_fd)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    const struct cmsghdr *cmsg;
    ssize_t n;

    if (!ret_fd) {
        return recv(sock, buf, size, 0);
    }
    msg.msg_control = control.buf;
    msg.msg_controllen = sizeof(control.buf);
    n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(*ret_fd));
    }
    return n;
}

static int read_exactly(struct vmm *vmm, void *buf, size_t size, int *ret_fd)
{
    int64_t deadline = frontend_now_ms() + vmm->config.timeout_ms;
    uint8_t *at = buf;

    while (size > 0) {
        struct pollfd pfd = {.fd = vmm->sock, .events = POLLIN};
        int64_t left = deadline - frontend_now_ms();
        ssize_t n;

        if (left <= 0 || poll(&pfd, 1, (int)left) == 0) {
            return vmm_fail(vmm, -ETIMEDOUT, "no answer from the daemon");
        }
        n = receive(vmm->sock, at, size, ret_fd);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return vmm_fail(vmm, -ECONNRESET, "the daemon closed the connection");
        }
        if (n < 0) {
            return -errno;
        }
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

int vmm_recv(struct vmm *vmm, struct vhost_user_header *ret_header, void *payload, size_t room)
{
    return vmm_recv_fd(vmm, ret_header, payload, room, NULL);
}

int vmm_recv_fd(struct vmm *vmm, struct vhost_user_header *ret_header, void *payload, size_t room,
                int *ret_fd)
{
    int rc;

    if (ret_fd) {
        *ret_fd = -1;
    }
    rc = read_exactly(vmm, ret_header, sizeof(*ret_header), ret_fd);
    if (rc < 0) {
        return rc;
    }
    if (ret_header->flags != (VHOST_USER_VERSION | VHOST_USER_REPLY) || ret_header->size > room) {
        return vmm_fail(vmm, -EPROTO, "reply to %u has flags %#x and size %u", ret_header->request,
                        ret_header->flags, ret_header->size);
    }
    return read_exactly(vmm, payload, ret_header->size, NULL);
}

static int send_msg(struct vmm *vmm, uint32_t request, uint32_t flags, const void *payload,
                    size_t size, const int *fds, unsigned n_fds)
{
    uint8_t bytes[sizeof(struct vhost_user_header) + 512];
    struct vhost_user_header header = {
        .request = request, .flags = VHOST_USER_VERSION | flags, .size = (uint32_t)size};
    int rc;

    if (size > sizeof(bytes) - sizeof(header)) {
        return -E2BIG;
    }
    memcpy(bytes, &header, sizeof(header));
    if (size) {
        memcpy(bytes + sizeof(header), payload, size);
    }
    rc = vmm_send_bytes(vmm, bytes, sizeof(header) + size, fds, n_fds);
    return rc < 0 ? vmm_fail(vmm, rc, "sending message %u: %s", request, strerror(-rc)) : 0;
}

static int recv_reply(struct vmm *vmm, uint32_t request, void *ret_reply, size_t size)
{
    struct vhost_user_header header;
    int rc = vmm_recv(vmm, &header, ret_reply, size);

    if (rc < 0) {
        return rc;
    }
    if (header.request != request || header.size != size) {
        return vmm_fail(vmm, -EPROTO, "reply %u of %u bytes to message %u", header.request,
                        header.size, request);
    }
    return 0;
}

int vmm_msg(struct vmm *vmm, uint32_t request, const void *payload, size_t size, const int *fds,
            unsigned n_fds)
{
    bool ack = vmm->protocol & VHOST_USER_PROTOCOL_F_REPLY_ACK;
    uint64_t result;
    int rc = send_msg(vmm, request, ack ? VHOST_USER_NEED_REPLY : 0, payload, size, fds, n_fds);

    if (rc < 0 || !ack) {
        return rc;
    }
    rc = recv_reply(vmm, request, &result, sizeof(result));
    if (rc == 0 && result != 0) {
        return vmm_fail(vmm, -EREMOTEIO, "message %u was refused", request);
    }
    return rc;
}

int vmm_ask(struct vmm *vmm, uint32_t request, const void *payload, size_t payload_size,
            void *ret_reply, size_t size)
{
    int rc = send_msg(vmm, request, 0, payload, payload_size, NULL, 0);

    return rc < 0 ? rc : recv_reply(vmm, request, ret_reply, size);
}

int vmm_ask_u64(struct vmm *vmm, uint32_t request, uint64_t *ret_value)
{
    return vmm_ask(vmm, request, NULL, 0, ret_value, sizeof(*ret_value));
}

int vmm_wait_closed(struct vmm *vmm, int timeout_ms)
{
    int64_t deadline = frontend_now_ms() + timeout_ms;
    char buf[256];

    for (;;) {
        struct pollfd pfd = {.fd = vmm->sock, .events = POLLIN};
        int64_t left = deadline - frontend_now_ms();

        if (left <= 0 || poll(&pfd, 1, (int)left) == 0) {
            return -ETIMEDOUT;
        }
        if (recv(vmm->sock, buf, sizeof(buf), 0) <= 0) {
            return 0;
        }
    }
}
