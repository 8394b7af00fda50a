/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages over a socketpair: whole ones, torn ones, lying ones, and descriptors that must not
 * be left open.
 */
#include "transport/vu_msg.h"

#include <dirent.h>
#include <errno.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

struct pair {
    struct vu_conn conn;
    int peer;
};

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    g_assert_nonnull(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static void open_pair(struct pair *pair)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    pair->conn.fd = fds[0];
    pair->conn.stop_fd = eventfd(0, EFD_CLOEXEC);
    pair->peer = fds[1];
}

static void close_peer(struct pair *pair)
{
    auto_fd_close(&pair->peer);
    pair->peer = -1;
}

static void close_pair(struct pair *pair)
{
    close_peer(pair);
    close(pair->conn.fd);
    close(pair->conn.stop_fd);
}

static void stop(struct pair *pair)
{
    uint64_t one = 1;

    g_assert_cmpint(write(pair->conn.stop_fd, &one, sizeof(one)), ==, sizeof(one));
}

/* Sends bytes with `fd_cnt` copies of a descriptor. */
static void send_bytes(struct pair *pair, const void *bytes, size_t len, unsigned fd_cnt)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    memset(&control, 0, sizeof(control));
    if (fd_cnt > 0) {
        struct cmsghdr *c = &control.align;

        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_cnt * sizeof(int));
        for (unsigned i = 0; i < fd_cnt; i++) {
            memcpy(CMSG_DATA(c) + i * sizeof(int), &pair->conn.stop_fd, sizeof(int));
        }
    }
    g_assert_cmpint(sendmsg(pair->peer, &mh, MSG_NOSIGNAL), ==, (ssize_t)len);
}

static size_t make(char *buf, uint32_t request, uint32_t flags, uint32_t size, uint64_t value)
{
    struct vu_header hdr = {.request = request, .flags = flags, .size = size};

    memcpy(buf, &hdr, sizeof(hdr));
    memcpy(buf + sizeof(hdr), &value, sizeof(value));
    return sizeof(hdr) + sizeof(value);
}

static void a_message_comes_with_its_descriptors(void)
{
    struct pair pair;
    struct vu_msg msg;
    char buf[64];
    size_t len = make(buf, VU_SET_VRING_KICK, 1, 8, 0x1234);
    unsigned before = 0;
    int fd = -1;

    open_pair(&pair);
    before = count_fds();
    send_bytes(&pair, buf, len, 3);
    g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, 1);
    g_assert_cmpuint(msg.hdr.request, ==, VU_SET_VRING_KICK);
    g_assert_cmpuint(msg.payload.u64, ==, 0x1234);
    g_assert_cmpuint(msg.fd_cnt, ==, 3);
    fd = vu_msg_take_fd(&msg, 1);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(vu_msg_take_fd(&msg, 1), ==, -1);
    g_assert_cmpint(vu_msg_take_fd(&msg, 3), ==, -1);
    vu_msg_done(&msg);
    g_assert_cmpuint(count_fds(), ==, before + 1);
    close(fd);
    close_pair(&pair);
}

static gpointer dribble(gpointer data)
{
    struct pair *pair = data;
    char buf[64];
    size_t len = make(buf, VU_SET_FEATURES, 1, 8, 77);

    for (size_t i = 0; i < len; i++) {
        send_bytes(pair, buf + i, 1, i == 0 ? 1 : 0);
        g_usleep(200);
    }
    return NULL;
}

static void a_message_may_come_byte_by_byte(void)
{
    struct pair pair;
    struct vu_msg msg;
    GThread *thread = NULL;

    open_pair(&pair);
    thread = g_thread_new("peer", dribble, &pair);
    g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, 1);
    g_assert_cmpuint(msg.payload.u64, ==, 77);
    g_assert_cmpuint(msg.fd_cnt, ==, 1);
    vu_msg_done(&msg);
    g_thread_join(thread);
    close_pair(&pair);
}

static void closing_between_messages_is_the_end(void)
{
    struct pair pair;
    struct vu_msg msg;

    open_pair(&pair);
    close_peer(&pair);
    g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, 0);
    close_pair(&pair);
}

static void closing_in_mid_message_is_an_error(void)
{
    char buf[64];
    size_t len = make(buf, VU_SET_FEATURES, 1, 8, 0);

    for (size_t cut = 1; cut < len; cut++) {
        struct pair pair;
        struct vu_msg msg;
        unsigned before = count_fds();

        open_pair(&pair);
        send_bytes(&pair, buf, cut, 1);
        close_peer(&pair);
        g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, -EPROTO);
        g_assert_nonnull(strstr(msg.why, "mid-message"));
        close_pair(&pair);
        g_assert_cmpuint(count_fds(), ==, before);
    }
}

static void bad_headers_are_refused(void)
{
    static const struct {
        uint32_t flags;
        uint32_t size;
        unsigned fd_cnt;
        const char *why;
    } rows[] = {
        {0, 8, 0, "version"},
        {2, 8, 0, "version"},
        {1 | 4, 8, 0, "a reply"},
        {1, sizeof(union vu_payload) + 1, 0, "larger"},
        {1, UINT32_MAX, 0, "larger"},
        {1, 8, 9, "too many file descriptors"},
        {1, 8, 16, "too many file descriptors"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct pair pair;
        struct vu_msg msg;
        char buf[64];
        size_t len = make(buf, VU_SET_FEATURES, rows[i].flags, rows[i].size, 0);
        unsigned before = count_fds();

        open_pair(&pair);
        send_bytes(&pair, buf, len, rows[i].fd_cnt);
        g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, -EPROTO);
        g_assert_nonnull(strstr(msg.why, rows[i].why));
        close_pair(&pair);
        g_assert_cmpuint(count_fds(), ==, before);
    }
}

static void descriptors_in_mid_message_are_refused(void)
{
    struct pair pair;
    struct vu_msg msg;
    char buf[64];
    size_t len = make(buf, VU_SET_FEATURES, 1, 8, 0);
    unsigned before = count_fds();

    open_pair(&pair);
    send_bytes(&pair, buf, 12, 0);
    send_bytes(&pair, buf + 12, len - 12, 2);
    g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, -EPROTO);
    close_pair(&pair);
    g_assert_cmpuint(count_fds(), ==, before);
}

static gpointer stop_soon(gpointer data)
{
    g_usleep(20000);
    stop(data);
    return NULL;
}

static void a_stalled_peer_does_not_hold_up_a_stop(void)
{
    struct pair pair;
    struct vu_msg msg;
    char buf[64];
    GThread *thread = NULL;

    open_pair(&pair);
    make(buf, VU_SET_FEATURES, 1, 8, 0);
    send_bytes(&pair, buf, 15, 1); /* and no more */
    thread = g_thread_new("stop", stop_soon, &pair);
    g_assert_cmpint(vu_msg_recv(&pair.conn, &msg), ==, -ECANCELED);
    g_thread_join(thread);
    close_pair(&pair);

    /* the same for one that does not read its answers */
    open_pair(&pair);
    thread = g_thread_new("stop", stop_soon, &pair);
    memset(&msg, 0, sizeof(msg));
    msg.hdr.size = sizeof(msg.payload);
    for (;;) {
        int rc = vu_msg_send(&pair.conn, &msg);

        if (rc < 0) {
            g_assert_cmpint(rc, ==, -ECANCELED);
            break;
        }
    }
    g_thread_join(thread);
    close_pair(&pair);
}

static void an_answer_arrives_whole(void)
{
    struct pair pair;
    struct vu_msg msg = {.hdr = {.request = VU_GET_FEATURES, .flags = 5, .size = 8}};
    char buf[64];
    uint64_t value = 0;

    open_pair(&pair);
    msg.payload.u64 = 0xabcdef;
    g_assert_cmpint(vu_msg_send(&pair.conn, &msg), ==, 0);
    g_assert_cmpint(recv(pair.peer, buf, sizeof(buf), 0), ==, 20);
    memcpy(&value, buf + 12, sizeof(value));
    g_assert_cmpuint(value, ==, 0xabcdef);
    close_peer(&pair);
    g_assert_cmpint(vu_msg_send(&pair.conn, &msg), ==, -EPIPE); /* and no SIGPIPE */
    close_pair(&pair);
}

#define ADD(f) g_test_add_func("/vu_msg/" #f, f)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(a_message_comes_with_its_descriptors);
    ADD(a_message_may_come_byte_by_byte);
    ADD(closing_between_messages_is_the_end);
    ADD(closing_in_mid_message_is_an_error);
    ADD(bad_headers_are_refused);
    ADD(descriptors_in_mid_message_are_refused);
    ADD(a_stalled_peer_does_not_hold_up_a_stop);
    ADD(an_answer_arrives_whole);
    return g_test_run();
}
