/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user messages no VMM sends. Where the frame itself is wrong the connection ends; where
 * only the content is wrong and REPLY_ACK was asked for, the daemon may say no and go on. One log
 * line says why in both cases, and the process ends by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto.h"

enum stage { CONNECTED, NEGOTIATED, SHARED, STARTED };

static struct proto *reach(enum stage stage, const struct vmm_config *config)
{
    static const struct proto_opts o = {.no_connect = true};
    struct proto *p = proto_start(&o);

    OK(p, vmm_init(&p->vmm, config));
    OK(p, vmm_connect(&p->vmm, p->sock));
    if (stage >= NEGOTIATED) {
        OK(p, vmm_negotiate(&p->vmm));
    } else {
        uint64_t features;

        /* an answer shows that whatever is said about a connection has been said */
        OK(p, vmm_ask_u64(&p->vmm, VHOST_USER_GET_FEATURES, &features));
    }
    if (stage >= SHARED) {
        OK(p, vmm_share_memory(&p->vmm));
    }
    for (unsigned q = 0; stage >= STARTED && q < p->vmm.n_queues; q++) {
        OK(p, vmm_start_queue(&p->vmm, q));
    }
    proto_log_mark(p);
    return p;
}

static void expect_end(struct proto *p)
{
    OK(p, vmm_wait_closed(&p->vmm, frontend_timeout_ms()));
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    EXPECT(p, (int)(daemon_log_lines(&p->d, NULL) - p->log_mark), 1);
    proto_stop_alive(p);
}

/* rc is what vmm_msg() said about a bad message, sent with REPLY_ACK. */
static void expect_refused(struct proto *p, int rc)
{
    uint64_t features;

    if (rc != -EREMOTEIO) {
        EXPECT_ANY(p, rc, -ECONNRESET, -EPIPE);
        expect_end(p);
        return;
    }
    proto_expect_one_line(p);
    OK(p, vmm_ask_u64(&p->vmm, VHOST_USER_GET_FEATURES, &features));
    proto_expect_lines_at_most(p, 1);
    vmm_disconnect(&p->vmm);
    proto_stop_exit(p, 0);
}

static void send_frame(struct proto *p, uint32_t request, uint32_t flags, uint32_t says,
                       size_t brings)
{
    uint8_t bytes[4096] = {0};
    struct vhost_user_header h = {.request = request, .flags = flags, .size = says};

    memcpy(bytes, &h, sizeof(h));
    OK(p, vmm_send_bytes(&p->vmm, bytes, sizeof(h) + brings, NULL, 0));
}

static void bad_frame(uint32_t request, uint32_t flags, uint32_t says, size_t brings)
{
    struct proto *p = reach(NEGOTIATED, NULL);

    send_frame(p, request, flags, says, brings);
    expect_end(p);
}

static void payload_of_four_gigabytes(void)
{
    bad_frame(VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 0xffffffff, 64);
}

static void payload_longer_than_any_message(void)
{
    bad_frame(VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 4000, 4000);
}

static void payload_too_short(void)
{
    bad_frame(VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 4, 4);
}

static void payload_too_long(void)
{
    bad_frame(VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 16, 16);
}

static void payload_missing(void)
{
    bad_frame(VHOST_USER_SET_VRING_ADDR, VHOST_USER_VERSION, 0, 0);
}

static void payload_where_none_belongs(void)
{
    bad_frame(VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 8, 8);
}

static void version_zero(void)
{
    bad_frame(VHOST_USER_GET_FEATURES, 0, 0, 0);
}

static void version_two(void)
{
    bad_frame(VHOST_USER_GET_FEATURES, 2, 0, 0);
}

static void request_that_is_a_reply(void)
{
    bad_frame(VHOST_USER_SET_OWNER, VHOST_USER_VERSION | VHOST_USER_REPLY, 0, 0);
}

static void unknown_request(void)
{
    bad_frame(999, VHOST_USER_VERSION, 0, 0);
}

static void unknown_request_zero(void)
{
    bad_frame(0, VHOST_USER_VERSION, 0, 0);
}

static void unknown_request_that_wants_an_answer(void)
{
    struct proto *p = reach(NEGOTIATED, NULL);

    expect_refused(p, vmm_msg(&p->vmm, 12345, NULL, 0, NULL, 0));
}

static void closes_in_mid_header(void)
{
    struct proto *p = reach(CONNECTED, NULL);
    uint32_t half = VHOST_USER_SET_OWNER;

    OK(p, vmm_send_bytes(&p->vmm, &half, sizeof(half), NULL, 0));
    vmm_disconnect(&p->vmm);
    proto_expect_one_line(p);
    proto_stop_alive(p);
}

static void closes_in_mid_payload(void)
{
    struct proto *p = reach(CONNECTED, NULL);

    send_frame(p, VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8, 4);
    vmm_disconnect(&p->vmm);
    proto_expect_one_line(p);
    proto_stop_alive(p);
}

static void expect_sigterm_ends_it(struct proto *p)
{
    int64_t start = frontend_now_ms();

    daemon_signal(&p->d, SIGTERM);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_cmpint(frontend_now_ms() - start, <, 1000);
    proto_stop_alive(p);
}

static void stalls_in_mid_header(void)
{
    struct proto *p = reach(CONNECTED, NULL);
    uint32_t half = VHOST_USER_SET_OWNER;

    OK(p, vmm_send_bytes(&p->vmm, &half, sizeof(half), NULL, 0));
    expect_sigterm_ends_it(p);
}

static void stalls_in_mid_payload(void)
{
    struct proto *p = reach(CONNECTED, NULL);

    send_frame(p, VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8, 4);
    expect_sigterm_ends_it(p);
}

static void too_many_fds(uint32_t request, size_t size, unsigned n, bool need_reply)
{
    struct proto *p = reach(NEGOTIATED, NULL);
    uint8_t bytes[sizeof(struct vhost_user_header) + 512] = {0};
    struct vhost_user_header h = {.request = request,
                                  .flags =
                                      VHOST_USER_VERSION | (need_reply ? VHOST_USER_NEED_REPLY : 0),
                                  .size = (uint32_t)size};
    int fds[32];

    for (unsigned i = 0; i < n; i++) {
        fds[i] = p->vmm.ram.memfd;
    }
    memcpy(bytes, &h, sizeof(h));
    OK(p, vmm_send_bytes(&p->vmm, bytes, sizeof(h) + size, fds, n));
    expect_end(p);
}

static void nine_fds_with_a_memory_table(void)
{
    too_many_fds(VHOST_USER_SET_MEM_TABLE, sizeof(struct vhost_user_mem_table), 9, false);
}

static void thirty_two_fds(void)
{
    too_many_fds(VHOST_USER_SET_MEM_TABLE, sizeof(struct vhost_user_mem_table), 32, false);
}

static void an_fd_where_none_belongs(void)
{
    too_many_fds(VHOST_USER_SET_OWNER, 0, 1, false);
}

static void two_fds_with_a_kick(void)
{
    too_many_fds(VHOST_USER_SET_VRING_KICK, 8, 2, false);
}

static void features_that_were_not_offered(void)
{
    struct proto *p = reach(CONNECTED, NULL);
    uint64_t features = ~0ULL;
    uint64_t answer;
    int rc;

    OK(p, vmm_msg(&p->vmm, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0));
    rc = vmm_msg(&p->vmm, VHOST_USER_SET_FEATURES, &features, sizeof(features), NULL, 0);
    rc = rc ? rc : vmm_ask_u64(&p->vmm, VHOST_USER_GET_FEATURES, &answer);
    EXPECT_ANY(p, rc, -ECONNRESET, -EPIPE);
    expect_end(p);
}

static void protocol_features_that_were_not_offered(void)
{
    struct proto *p = reach(NEGOTIATED, NULL);
    uint64_t features = ~0ULL;

    expect_refused(p, vmm_msg(&p->vmm, VHOST_USER_SET_PROTOCOL_FEATURES, &features,
                              sizeof(features), NULL, 0));
}

static void config_without_a_tag(void)
{
    struct proto *p = reach(NEGOTIATED, NULL);
    struct vhost_user_config config = {.size = 40};

    g_assert_false(p->vmm.protocol_offered & VHOST_USER_PROTOCOL_F_CONFIG);
    expect_refused(p, vmm_msg(&p->vmm, VHOST_USER_GET_CONFIG, &config, 12 + 40, NULL, 0));
}

static void add_tests(void)
{
#define ADD(name) proto_add("/bad-vhost-user/" #name, name)
    ADD(payload_of_four_gigabytes);
    ADD(payload_longer_than_any_message);
    ADD(payload_too_short);
    ADD(payload_too_long);
    ADD(payload_missing);
    ADD(payload_where_none_belongs);
    ADD(version_zero);
    ADD(version_two);
    ADD(request_that_is_a_reply);
    ADD(unknown_request);
    ADD(unknown_request_zero);
    ADD(unknown_request_that_wants_an_answer);
    ADD(closes_in_mid_header);
    ADD(closes_in_mid_payload);
    ADD(stalls_in_mid_header);
    ADD(stalls_in_mid_payload);
    ADD(nine_fds_with_a_memory_table);
    ADD(thirty_two_fds);
    ADD(an_fd_where_none_belongs);
    ADD(two_fds_with_a_kick);
    ADD(features_that_were_not_offered);
    ADD(protocol_features_that_were_not_offered);
    ADD(config_without_a_tag);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
