/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole connection of a front end that follows no rule.
 *
 * A thread plays the front end: the input tells it which messages to send, with which descriptors,
 * and what to write into the guest's memory in between. The device behind the rings reads what it
 * is sent, fills its answers, and keeps some of the chains until it is told to cancel.
 *
 * Checked, beside memory: vu_serve() returns once the front end has gone, every chain came back,
 * and no descriptor is left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/vhost_user.h"
#include "transport/vu_proto.h"

#define MEMORY (128 * 1024u)
#define GPA    0x10000ull
#define UVA    0x7f0000000000ull
#define PARKED 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

struct input {
    const uint8_t *data;
    size_t left;
};

static uint64_t take(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    bytes = MIN(bytes, in->left);
    memcpy(&value, in->data, bytes);
    in->data += bytes;
    in->left -= bytes;
    return value;
}

/* --- the device --- */

static struct {
    GMutex lock;
    struct chain *parked[PARKED];
    unsigned n_parked;
    int out; /* chains not given back yet */
} device;

static void finish(struct chain *chain)
{
    g_atomic_int_add(&device.out, -1);
    for (unsigned i = 0; i < chain->in_cnt; i++) {
        memset(chain->in[i].iov_base, 0x99, chain->in[i].iov_len);
    }
    chain->done(chain, chain->in_len);
}

static void serve_chain(void *opaque, struct chain *chain)
{
    unsigned sum = 0;
    bool parked = false;

    (void)opaque;
    memset(chain->user, 0x11, 64);
    g_atomic_int_inc(&device.out);
    for (unsigned i = 0; i < chain->out_cnt; i++) {
        const uint8_t *bytes = chain->out[i].iov_base;

        for (size_t at = 0; at < chain->out[i].iov_len; at += 256) {
            sum += bytes[at];
        }
    }
    if (sum % 3 == 1) {
        g_mutex_lock(&device.lock);
        parked = device.n_parked < PARKED;
        if (parked) {
            device.parked[device.n_parked++] = chain;
        }
        g_mutex_unlock(&device.lock);
    }
    if (!parked) {
        finish(chain);
    }
}

static void cancel(void *opaque)
{
    struct chain *parked[PARKED];
    unsigned n = 0;

    (void)opaque;
    g_mutex_lock(&device.lock);
    n = device.n_parked;
    memcpy(parked, device.parked, sizeof(parked));
    device.n_parked = 0;
    g_mutex_unlock(&device.lock);
    for (unsigned i = 0; i < n; i++) {
        finish(parked[i]);
    }
}

/* --- the front end --- */

struct front {
    struct input in;
    int sock;
    int memfd;
    int event; /* an eventfd for kicks and calls */
    char *ram;
};

static struct vu_mem_region region(struct front *front, uint8_t how)
{
    struct vu_mem_region whole = {.gpa = GPA, .size = MEMORY, .uva = UVA};
    struct vu_mem_region half = {.gpa = GPA, .size = MEMORY / 2, .uva = UVA};

    switch (how % 8) {
    case 1:
        return half;
    case 2:
        half.gpa += MEMORY / 2;
        half.uva += MEMORY / 2;
        half.offset = MEMORY / 2;
        return half;
    case 3:
        whole.gpa = take(&front->in, 8);
        return whole;
    case 4:
        whole.size = take(&front->in, 8);
        return whole;
    case 5:
        whole.offset = take(&front->in, 8);
        return whole;
    default:
        return whole;
    }
}

/* What a message carries, by its number; anything for numbers we do not know. */
static uint32_t fill_payload(struct front *front, uint32_t request, union vu_payload *payload)
{
    struct input *in = &front->in;
    uint8_t how = (uint8_t)take(in, 1);
    uint32_t queue = how % 3;

    switch (request) {
    case VU_SET_FEATURES:
        payload->u64 = how < 0xf0 ? VU_F_VERSION_1 | (how & 1 ? VU_F_INDIRECT_DESC : 0) |
                                        (how & 2 ? VU_F_EVENT_IDX : 0) |
                                        (how & 4 ? 0 : VU_F_PROTOCOL_FEATURES)
                                  : take(in, 8);
        return 8;
    case VU_SET_PROTOCOL_FEATURES:
        payload->u64 = how < 0xf0 ? VU_PROTOCOL_F_MQ | VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
                                        VU_PROTOCOL_F_BACKEND_REQ | VU_PROTOCOL_F_RESET_DEVICE |
                                        (how & 1 ? VU_PROTOCOL_F_REPLY_ACK : 0) |
                                        (how & 2 ? VU_PROTOCOL_F_CONFIG : 0) |
                                        (how & 4 ? VU_PROTOCOL_F_INFLIGHT_SHMFD : 0) |
                                        (how & 8 ? VU_PROTOCOL_F_LOG_SHMFD : 0)
                                  : take(in, 8);
        return 8;
    case VU_SET_MEM_TABLE:
        payload->mem_table.count = how < 0xf0 ? how % 3 : (uint32_t)take(in, 4);
        for (unsigned i = 0; i < MIN(how % 3, VU_MAX_FDS); i++) {
            payload->mem_table.regions[i] = region(front, (uint8_t)take(in, 1));
        }
        return 8 + 32 * (how % 3u);
    case VU_ADD_MEM_REG:
    case VU_REM_MEM_REG:
        payload->mem_reg.region = region(front, how);
        return sizeof(payload->mem_reg);
    case VU_SET_VRING_ADDR: {
        uint64_t at = UVA + (how & 8 ? MEMORY / 2 - 64 : 0x1000u * queue);

        payload->addr.index = how < 0xf0 ? queue : (uint32_t)take(in, 4);
        payload->addr.desc = at;
        payload->addr.avail = at + 0x400;
        payload->addr.used = at + 0x800 + (how & 16 ? take(in, 4) : 0);
        return sizeof(payload->addr);
    }
    case VU_SET_VRING_NUM:
    case VU_SET_VRING_BASE:
    case VU_GET_VRING_BASE:
    case VU_SET_VRING_ENABLE:
        payload->state.index = how < 0xf0 ? queue : (uint32_t)take(in, 4);
        payload->state.num = request == VU_SET_VRING_NUM ? 1u << (how / 3 % 7) : how / 3 % 2;
        if (how >= 0xe8) {
            payload->state.num = (uint32_t)take(in, 4);
        }
        return sizeof(payload->state);
    case VU_SET_VRING_KICK:
    case VU_SET_VRING_CALL:
    case VU_SET_VRING_ERR:
        payload->u64 = how < 0xf0 ? queue | (how & 16 ? VU_VRING_NOFD : 0) : take(in, 8);
        return 8;
    case VU_SET_LOG_BASE:
        payload->log.size = how < 0xf0 ? 64u * (how % 64) : take(in, 8);
        payload->log.offset = how & 64 ? take(in, 8) : 0;
        return sizeof(payload->log);
    case VU_GET_INFLIGHT_FD:
    case VU_SET_INFLIGHT_FD:
        payload->inflight.queues = how < 0xf0 ? how % 4 : (uint16_t)take(in, 2);
        payload->inflight.queue_size = (uint16_t)(how < 0xe8 ? 1u << (how / 4 % 7) : take(in, 2));
        payload->inflight.size = how & 128 ? take(in, 8) : MEMORY / 2;
        payload->inflight.offset = how & 64 ? take(in, 8) : 0;
        return how & 1 ? sizeof(payload->inflight) : VU_INFLIGHT_MIN_SIZE;
    case VU_GET_CONFIG:
    case VU_SET_CONFIG:
        payload->config.size = how < 0xf0 ? how : (uint32_t)take(in, 4);
        payload->config.offset = how & 1 ? (uint32_t)take(in, 4) : 0;
        return 12u + how;
    default:
        for (unsigned i = 0; i < how % 64; i++) {
            ((uint8_t *)payload)[i] = (uint8_t)take(in, 1);
        }
        return how % 64u;
    }
}

/* Descriptors of all kinds a front end could send instead of what is due. */
static int borrow_fd(struct front *front, uint8_t how)
{
    switch (how % 8) {
    case 0:
    case 1:
        return front->memfd;
    case 5:
        return front->sock;
    case 6:
        return STDIN_FILENO;
    default:
        return front->event;
    }
}

static unsigned choose_fds(struct front *front, uint32_t request, uint8_t how, int fds[VU_MAX_FDS])
{
    unsigned n = 0;

    if (how >= 0xe0) {
        n = how % (VU_MAX_FDS + 1);
        for (unsigned i = 0; i < n; i++) {
            fds[i] = borrow_fd(front, (uint8_t)take(&front->in, 1));
        }
        return n;
    }
    switch (request) {
    case VU_SET_MEM_TABLE:
        fds[0] = fds[1] = front->memfd;
        return how % 3;
    case VU_ADD_MEM_REG:
    case VU_SET_LOG_BASE:
    case VU_SET_INFLIGHT_FD:
        fds[0] = front->memfd;
        return 1;
    case VU_SET_VRING_KICK:
    case VU_SET_VRING_CALL:
    case VU_SET_VRING_ERR:
    case VU_SET_LOG_FD:
        fds[0] = front->event;
        return how & 16 ? 0 : 1;
    case VU_SET_BACKEND_REQ_FD:
        fds[0] = front->sock;
        return 1;
    default:
        return 0;
    }
}

static bool send_bytes(struct front *front, const void *bytes, size_t size, const int *fds,
                       unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * VU_MAX_FDS)];
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        struct cmsghdr *c = (struct cmsghdr *)&control;

        mh.msg_control = control.bytes;
        mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    return sendmsg(front->sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

static bool send_message(struct front *front, uint8_t how)
{
    static const uint8_t usual[] = {VU_SET_FEATURES,     VU_SET_PROTOCOL_FEATURES,
                                    VU_SET_MEM_TABLE,    VU_ADD_MEM_REG,
                                    VU_SET_VRING_NUM,    VU_SET_VRING_ADDR,
                                    VU_SET_VRING_BASE,   VU_SET_VRING_KICK,
                                    VU_SET_VRING_CALL,   VU_SET_VRING_ENABLE,
                                    VU_GET_VRING_BASE,   VU_REM_MEM_REG,
                                    VU_SET_LOG_BASE,     VU_SET_LOG_FD,
                                    VU_GET_INFLIGHT_FD,  VU_SET_INFLIGHT_FD,
                                    VU_RESET_DEVICE,     VU_GET_CONFIG,
                                    VU_GET_QUEUE_NUM,    VU_SET_VRING_ERR,
                                    VU_SET_CONFIG,       VU_SET_BACKEND_REQ_FD,
                                    VU_GET_MAX_MEM_SLOTS};
    struct vu_header head = {.flags = VU_FLAG_VERSION};
    union vu_payload payload;
    char bytes[sizeof(head) + sizeof(payload)]; /* without the padding a struct would have */
    int fds[VU_MAX_FDS];
    unsigned n_fds = 0;

    memset(&payload, 0, sizeof(payload));
    head.request =
        how < 0xf0 ? usual[how % G_N_ELEMENTS(usual)] : (uint32_t)take(&front->in, 1) % 50;
    n_fds = choose_fds(front, head.request, front->in.left > 0 ? front->in.data[0] : 0, fds);
    head.size = fill_payload(front, head.request, &payload);
    if (how % 5 == 0) {
        head.flags |= VU_FLAG_NEED_REPLY;
    }
    if (how == 0xee) {
        head.size = (uint32_t)take(&front->in, 2);
    }
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), &payload, sizeof(payload));
    return send_bytes(front, bytes, sizeof(head) + MIN(head.size, sizeof(payload)), fds, n_fds);
}

/* Any 8 bytes, or a descriptor that points into memory. */
static void write_memory(struct front *front)
{
    struct input *in = &front->in;
    size_t at = take(in, 2) % (MEMORY - 16) & ~7ull;
    uint8_t how = (uint8_t)take(in, 1);

    if (how < 0x80) {
        struct {
            uint64_t addr;
            uint32_t len;
            uint16_t flags, next;
        } desc = {.addr = GPA + take(in, 2) * 2,
                  .len = (uint32_t)take(in, 1) + 1,
                  .flags = how & 3,
                  .next = how >> 2};

        at = how & 0x40 ? at : at % 0x40 * 16 + 0x1000u * (how % 3);
        memcpy(front->ram + at, &desc, sizeof(desc));
    } else {
        uint64_t value = take(in, 8);

        at = how & 0x40 ? at : 0x400 + 0x1000u * (how % 3) + at % 0x40 * 8;
        memcpy(front->ram + at, &value, sizeof(value));
    }
}

/* One descriptor made available on a queue that was set up as usual, and a kick. */
static void offer(struct front *front)
{
    unsigned queue = (unsigned)take(&front->in, 1) % 3;
    uint16_t *avail = (uint16_t *)(void *)(front->ram + 0x1000u * queue + 0x400);
    uint64_t one = 1;
    uint16_t idx = __atomic_load_n(&avail[1], __ATOMIC_RELAXED);

    __atomic_store_n(&avail[2 + idx % 64], (uint16_t)(take(&front->in, 1) % 8), __ATOMIC_RELAXED);
    __atomic_store_n(&avail[1], (uint16_t)(idx + 1), __ATOMIC_RELEASE);
    (void)!write(front->event, &one, sizeof(one));
}

static void play(struct front *front)
{
    char answer[512];
    bool is_open = true;

    while (is_open && front->in.left > 0) {
        uint8_t how = (uint8_t)take(&front->in, 1);

        if (how < 0x90) {
            is_open = send_message(front, (uint8_t)take(&front->in, 1));
        } else if (how < 0xc0) {
            write_memory(front);
        } else if (how < 0xe8) {
            offer(front);
        } else if (how < 0xf0) {
            g_usleep(how % 8 * 50u); /* the rings are served meanwhile */
        } else {
            uint64_t raw = take(&front->in, 8);

            is_open = send_bytes(front, &raw, how % 8 + 1, NULL, 0);
        }
        while (recv(front->sock, answer, sizeof(answer), MSG_DONTWAIT) > 0) {
        }
    }
}

static gpointer front_thread(gpointer opaque)
{
    struct front *front = opaque;

    play(front);
    (void)shutdown(front->sock, SHUT_RDWR);
    return NULL;
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vu_device vu_device = {.serve = serve_chain, .cancel_waiting = cancel};
    struct front front = {.in = {.data = data, .left = size}};
    struct vu_config config = {.request_queues = 2, .chain_user_size = 64};
    unsigned fds_before = count_fds();
    GThread *thread = NULL;
    int pair[2];

    log_threshold = getenv("FUZZ_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_OFF;
    config.tag = take(&front.in, 1) & 1 ? "tag" : NULL;
    config.poll_us = take(&front.in, 1) & 1 ? 20 : 0;
    expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    front.sock = pair[0];
    front.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    front.memfd = memfd_create("guest", MFD_CLOEXEC);
    expect(front.event >= 0 && ftruncate(front.memfd, MEMORY) == 0);
    front.ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, front.memfd, 0);
    expect(front.ram != MAP_FAILED);

    thread = g_thread_new("front-end", front_thread, &front);
    (void)vu_serve(pair[1], -1, &config, &vu_device);
    (void)shutdown(front.sock, SHUT_RDWR);
    g_thread_join(thread);
    expect(g_atomic_int_get(&device.out) == 0);
    munmap(front.ram, MEMORY);
    close(front.memfd);
    close(front.event);
    close(front.sock);
    expect(count_fds() == fds_before);
    return 0;
}
