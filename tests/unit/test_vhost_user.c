/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu_serve() as a whole, between the front end of tests/frontend and a device made for the test:
 * the first byte of a chain says what becomes of it (see serve()).
 */
#include "transport/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "transport/vu_proto.h"
#include "vmm.h"

#define WAIT_MS 5000
#define ECHO    'e' /* answered inline */
#define LATER   'l' /* answered by another thread */
#define PARK    'p' /* answered when waiting is cancelled */
#define HOLD    'h' /* answered only when the test lets go */

struct bed {
    struct vmm vmm;
    struct vu_config config;
    struct vu_device device;
    int conn_fd;
    int stop_fd;
    pthread_t thread;
    enum vu_end end;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    GQueue later; /* chains for the worker */
    GQueue parked;
    GQueue held;
    bool is_ending;
    unsigned served;
    unsigned threads_born;
    pthread_t worker;
    char *text; /* the one request buffer of simple tests, in guest memory */
};

/* Answers with the chain's own bytes. */
static void answer(struct chain *chain)
{
    char buf[64];
    size_t len = MIN(sizeof(buf), chain->out[0].iov_len);

    memcpy(buf, chain->out[0].iov_base, len);
    if (chain->in_cnt > 0) {
        len = MIN(len, chain->in[0].iov_len);
        memcpy(chain->in[0].iov_base, buf, len);
    }
    memset(chain->user, 0xa5, 100);
    chain->done(chain, chain->in_cnt > 0 ? len : 0);
}

static void serve(void *opaque, struct chain *chain)
{
    struct bed *bed = opaque;
    char what = *(char *)chain->out[0].iov_base;

    if (what == ECHO) {
        answer(chain);
        return;
    }
    pthread_mutex_lock(&bed->lock);
    bed->served++;
    g_queue_push_tail(what == LATER  ? &bed->later
                      : what == PARK ? &bed->parked
                                     : &bed->held,
                      chain);
    pthread_cond_broadcast(&bed->changed);
    pthread_mutex_unlock(&bed->lock);
}

static void answer_all(struct bed *bed, GQueue *queue)
{
    for (;;) {
        struct chain *chain = NULL;

        pthread_mutex_lock(&bed->lock);
        chain = g_queue_pop_head(queue);
        pthread_mutex_unlock(&bed->lock);
        if (!chain) {
            return;
        }
        answer(chain);
    }
}

static void cancel_waiting(void *opaque)
{
    struct bed *bed = opaque;

    answer_all(bed, &bed->parked);
}

static int thread_init(void *opaque)
{
    struct bed *bed = opaque;

    pthread_mutex_lock(&bed->lock);
    bed->threads_born++;
    pthread_mutex_unlock(&bed->lock);
    return 0;
}

static void *work(void *opaque)
{
    struct bed *bed = opaque;

    pthread_mutex_lock(&bed->lock);
    while (!bed->is_ending || !g_queue_is_empty(&bed->later)) {
        if (g_queue_is_empty(&bed->later)) {
            pthread_cond_wait(&bed->changed, &bed->lock);
            continue;
        }
        pthread_mutex_unlock(&bed->lock);
        answer_all(bed, &bed->later);
        pthread_mutex_lock(&bed->lock);
    }
    pthread_mutex_unlock(&bed->lock);
    return NULL;
}

static void *run(void *opaque)
{
    struct bed *bed = opaque;

    bed->end = vu_serve(bed->conn_fd, bed->stop_fd, &bed->config, &bed->device);
    return NULL;
}

/* The daemon's side, with the front end's socket in *ret_sock. */
static void start_daemon(struct bed *bed, unsigned poll_us, int *ret_sock)
{
    int fds[2];

    memset(bed, 0, sizeof(*bed));
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    bed->conn_fd = fds[0];
    *ret_sock = fds[1];
    bed->stop_fd = eventfd(0, EFD_CLOEXEC);
    bed->config = (struct vu_config){
        .tag = "share", .request_queues = 3, .chain_user_size = 100, .poll_us = poll_us};
    bed->device = (struct vu_device){.thread_init = thread_init,
                                     .serve = serve,
                                     .cancel_waiting = cancel_waiting,
                                     .opaque = bed};
    pthread_mutex_init(&bed->lock, NULL);
    pthread_cond_init(&bed->changed, NULL);
    g_queue_init(&bed->later);
    g_queue_init(&bed->parked);
    g_queue_init(&bed->held);
    g_assert_cmpint(pthread_create(&bed->worker, NULL, work, bed), ==, 0);
    g_assert_cmpint(pthread_create(&bed->thread, NULL, run, bed), ==, 0);
}

static void set_up(struct bed *bed, const struct vmm_config *config, unsigned poll_us)
{
    int sock = -1;
    int rc = 0;

    start_daemon(bed, poll_us, &sock);
    rc = vmm_start_on(&bed->vmm, sock, config);
    if (rc < 0) {
        g_error("front end: %s", bed->vmm.error);
    }
    bed->text = ram_alloc(&bed->vmm.ram, 128, 64);
}

static enum vu_end wait_end(struct bed *bed)
{
    pthread_join(bed->thread, NULL);
    pthread_mutex_lock(&bed->lock);
    bed->is_ending = true;
    pthread_cond_broadcast(&bed->changed);
    pthread_mutex_unlock(&bed->lock);
    pthread_join(bed->worker, NULL);
    close(bed->stop_fd);
    vmm_stop(&bed->vmm);
    return bed->end;
}

static void tear_down(struct bed *bed)
{
    vmm_disconnect(&bed->vmm);
    g_assert_cmpint(wait_end(bed), ==, VU_END_DISCONNECT);
}

/* Puts one request of the given kind into queue q and kicks. */
static void post(struct bed *bed, unsigned q, char what)
{
    struct vq_seg segs[2] = {{ram_gpa(&bed->vmm.ram, bed->text), 8},
                             {ram_gpa(&bed->vmm.ram, bed->text + 64), 8}};

    memcpy(bed->text, "?answer", 8);
    *bed->text = what;
    memset(bed->text + 64, 0, 8);
    g_assert_cmpint(vqueue_add(&bed->vmm.queues[q], segs, 1, 1, bed), ==, 0);
    vqueue_kick(&bed->vmm.queues[q]);
}

static void expect_answer(struct bed *bed, unsigned q)
{
    void *token = NULL;
    uint32_t len = 0;

    g_assert_cmpint(vqueue_wait(&bed->vmm.queues[q], WAIT_MS), ==, 0);
    g_assert_cmpint(vqueue_reap(&bed->vmm.queues[q], &token, &len), ==, 1);
    g_assert_cmpuint(len, ==, 8);
    g_assert_cmpstr(bed->text + 65, ==, "answer");
}

static void expect_served(struct bed *bed, unsigned n)
{
    pthread_mutex_lock(&bed->lock);
    while (bed->served < n) {
        pthread_cond_wait(&bed->changed, &bed->lock);
    }
    pthread_mutex_unlock(&bed->lock);
}

static bool is_signalled(int fd, int timeout_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, timeout_ms) == 1;
}

static void every_queue_is_served(void)
{
    static const struct vmm_config configs[] = {
        {.request_queues = 4},
        {.features_off = VU_F_EVENT_IDX},
        {.features_off = VU_F_INDIRECT_DESC, .use_mem_table = true, .mem_regions = 8},
        {.features_off = VU_F_PROTOCOL_FEATURES}, /* rings start enabled then */
        {.protocol_off = VU_PROTOCOL_F_REPLY_ACK | VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS},
        {.busy_poll = true},
        {.packed = true},
        {.packed = true, .features_off = VU_F_EVENT_IDX, .direct = true},
        {.packed = true, .queue_size = 7, .direct = true, .busy_poll = true},
        {.packed = true, .queue_size = 2, .direct = true},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(configs); i++) {
        struct bed bed;

        set_up(&bed, &configs[i], i % 2 ? 20 : 0);
        for (unsigned q = 0; q < bed.vmm.n_queues; q++) {
            for (unsigned n = 0; n < 300; n++) {
                post(&bed, q, n % 2 ? ECHO : LATER);
                expect_answer(&bed, q);
            }
        }
        tear_down(&bed);
    }
}

#define PACKED 0x1000u /* in the argument of a test, besides microseconds to poll for */

struct load {
    struct bed *bed;
    unsigned q;
    char *text;
};

/* Keeps a queue full for a while; each request carries its number out and in. */
static void *load_queue(void *opaque)
{
    enum { DEPTH = 16, REQUESTS = 20000 };
    struct load *load = opaque;
    struct vmm *vmm = &load->bed->vmm;
    struct vqueue *vq = &vmm->queues[load->q];
    unsigned posted = 0;
    unsigned reaped = 0;

    while (reaped < REQUESTS) {
        void *token = NULL;
        uint32_t len = 0;

        while (posted < REQUESTS && vqueue_in_flight(vq) < DEPTH) {
            char *slot = load->text + (size_t)(posted % (4 * DEPTH)) * 128;
            struct vq_seg segs[2] = {{ram_gpa(&vmm->ram, slot), 8},
                                     {ram_gpa(&vmm->ram, slot + 64), 8}};

            slot[0] = posted % 3 == 0 ? LATER : ECHO;
            memcpy(slot + 4, &posted, sizeof(posted));
            if (slot[1]) {
                break; /* still out: answers overtake each other */
            }
            slot[1] = 1;
            g_assert_cmpint(vqueue_add(vq, segs, 1, 1, slot), ==, 0);
            posted++;
        }
        vqueue_kick(vq);
        g_assert_cmpint(vqueue_wait(vq, WAIT_MS), ==, 0);
        while (vqueue_reap(vq, &token, &len) == 1) {
            char *slot = token;

            g_assert_cmpuint(len, ==, 8);
            g_assert_cmpmem(slot + 4, 4, slot + 64 + 4, 4);
            slot[1] = 0;
            reaped++;
        }
    }
    return NULL;
}

/* More than 65536 chains in all on two queues: the index wraps, answers come from two threads. */
static void a_deep_load_loses_nothing(gconstpointer data)
{
    const struct vmm_config config = {
        .request_queues = 3, .packed = GPOINTER_TO_UINT(data) & PACKED, .queue_size = 64};
    struct bed bed;
    struct load loads[4];
    pthread_t threads[4];

    set_up(&bed, &config, GPOINTER_TO_UINT(data) & ~PACKED);
    for (unsigned q = 0; q < 4; q++) {
        loads[q] = (struct load){&bed, q, ram_alloc(&bed.vmm.ram, (size_t)64 * 128, 64)};
        /* just below the wrap of the index */
        g_assert_cmpint(vmm_stop_queue(&bed.vmm, q, NULL), ==, 0);
        vqueue_reset(&bed.vmm.queues[q], 65000);
        g_assert_cmpint(vmm_start_queue(&bed.vmm, q), ==, 0);
    }
    for (unsigned q = 0; q < 4; q++) {
        pthread_create(&threads[q], NULL, load_queue, &loads[q]);
    }
    for (unsigned q = 0; q < 4; q++) {
        pthread_join(threads[q], NULL);
    }
    tear_down(&bed);
}

/* A front end that changes everything it may while requests run. */
static void rings_keep_running_through_changes(gconstpointer data)
{
    const struct vmm_config config = {.request_queues = 3,
                                      .packed = GPOINTER_TO_UINT(data) & PACKED};
    struct bed bed;
    struct load loads[3];
    pthread_t threads[3];

    set_up(&bed, &config, 20);
    for (unsigned q = 0; q < 3; q++) {
        loads[q] = (struct load){&bed, q, ram_alloc(&bed.vmm.ram, (size_t)64 * 128, 64)};
        pthread_create(&threads[q], NULL, load_queue, &loads[q]);
    }
    for (unsigned i = 0; i < 100; i++) {
        struct vhost_user_region extra = {
            .gpa = 1 << 20, .size = 1 << 20, .uva = 1 << 20, .mmap_offset = 4096};
        struct vhost_user_mem_table table = {.n_regions = 1};
        uint64_t index = i % 3;
        struct vqueue *vq = &bed.vmm.queues[index];
        uint64_t one = 1;

        table.regions[0] = vmm_region(&bed.vmm, 0);
        g_assert_cmpint(vmm_add_region(&bed.vmm, &extra, bed.vmm.ram.memfd), ==, 0);
        g_assert_cmpint(vmm_rem_region(&bed.vmm, &extra, i % 2 ? vq->kick_fd : -1), ==, 0);
        g_assert_cmpint(vmm_msg(&bed.vmm, VU_SET_MEM_TABLE, &table, 40, &bed.vmm.ram.memfd, 1), ==,
                        0);
        g_assert_cmpint(vmm_msg(&bed.vmm, VU_SET_VRING_CALL, &index, 8, &vq->call_fd, 1), ==, 0);
        g_assert_cmpint(vmm_msg(&bed.vmm, VU_SET_VRING_KICK, &index, 8, &vq->kick_fd, 1), ==, 0);
        g_assert_cmpint(vmm_enable_queue(&bed.vmm, (unsigned)index, false), ==, 0);
        g_assert_cmpint(vmm_enable_queue(&bed.vmm, (unsigned)index, true), ==, 0);
        /* a front end that swaps the call descriptor signals once, as nobody knows better */
        g_assert_cmpint(write(vq->call_fd, &one, sizeof(one)), ==, sizeof(one));
    }
    for (unsigned q = 0; q < 3; q++) {
        pthread_join(threads[q], NULL);
    }
    tear_down(&bed);
}

static void stopping_a_ring_completes_what_waits(void)
{
    struct bed bed;
    uint16_t base = 0;

    set_up(&bed, NULL, 0);
    post(&bed, 1, PARK);
    expect_served(&bed, 1);
    g_assert_cmpint(vmm_stop_queue(&bed.vmm, 1, &base), ==, 0);
    g_assert_cmpuint(base, ==, 1);
    expect_answer(&bed, 1);

    /* a stopped ring is not served, and what was put there meanwhile is not lost */
    post(&bed, 1, ECHO);
    g_assert_cmpint(vqueue_wait(&bed.vmm.queues[1], 50), ==, -ETIMEDOUT);
    g_assert_cmpint(vmm_start_queue(&bed.vmm, 1), ==, 0);
    expect_answer(&bed, 1);
    tear_down(&bed);
}

static void a_disabled_ring_waits(void)
{
    struct bed bed;

    set_up(&bed, NULL, 0);
    g_assert_cmpint(vmm_enable_queue(&bed.vmm, 1, false), ==, 0);
    post(&bed, 1, ECHO);
    g_assert_cmpint(vqueue_wait(&bed.vmm.queues[1], 50), ==, -ETIMEDOUT);
    g_assert_cmpint(vmm_enable_queue(&bed.vmm, 1, true), ==, 0);
    expect_answer(&bed, 1);
    tear_down(&bed);
}

static void chains_may_come_back_to_a_disabled_ring(void)
{
    struct bed bed;

    set_up(&bed, NULL, 0);
    post(&bed, 1, HOLD);
    expect_served(&bed, 1);
    g_assert_cmpint(vmm_enable_queue(&bed.vmm, 1, false), ==, 0);
    answer_all(&bed, &bed.held);
    expect_answer(&bed, 1);
    g_assert_cmpint(vmm_enable_queue(&bed.vmm, 1, true), ==, 0);
    post(&bed, 1, ECHO);
    expect_answer(&bed, 1);
    tear_down(&bed);
}

static void reset_stops_all_rings(void)
{
    const struct vmm_config config = {.request_queues = 2};
    struct bed bed;

    for (unsigned i = 0; i < 2; i++) {
        set_up(&bed, &config, 0);
        post(&bed, 1, PARK);
        expect_served(&bed, 1);
        g_assert_cmpint(vmm_msg(&bed.vmm, i ? VU_RESET_OWNER : VU_RESET_DEVICE, NULL, 0, NULL, 0),
                        ==, 0);
        expect_answer(&bed, 1);
        for (unsigned q = 0; q < 3; q++) {
            vqueue_reset(&bed.vmm.queues[q], 0);
            g_assert_cmpint(vmm_start_queue(&bed.vmm, q), ==, 0);
            post(&bed, q, ECHO);
            expect_answer(&bed, q);
        }
        tear_down(&bed);
    }
}

static void a_bad_chain_breaks_its_queue_only(void)
{
    const struct vmm_config config = {.request_queues = 2};
    struct bed bed;
    struct vqueue *vq = NULL;

    set_up(&bed, &config, 0);
    vq = &bed.vmm.queues[1];
    vqueue_raw_desc(vq, 0, 1, 100, 0, 0); /* no memory there */
    vqueue_raw_publish(vq, 0);
    vqueue_kick_always(vq);
    g_assert_true(is_signalled(vq->err_fd, WAIT_MS));

    post(&bed, 2, ECHO);
    expect_answer(&bed, 2);
    /* enabling does not mend it */
    g_assert_cmpint(vmm_enable_queue(&bed.vmm, 1, true), ==, 0);
    g_assert_cmpint(vmm_stop_queue(&bed.vmm, 1, NULL), ==, 0);
    vqueue_reset(vq, 0);
    g_assert_cmpint(vmm_start_queue(&bed.vmm, 1), ==, 0);
    post(&bed, 1, ECHO);
    expect_answer(&bed, 1);
    tear_down(&bed);
}

static void a_chain_handed_out_again_and_again_is_bounded(void)
{
    const struct vmm_config config = {.queue_size = 8};
    struct bed bed;
    struct vqueue *vq = NULL;

    set_up(&bed, &config, 0);
    vq = &bed.vmm.queues[1];
    *bed.text = HOLD;
    vqueue_raw_desc(vq, 0, ram_gpa(&bed.vmm.ram, bed.text), 8, 0, 0);
    for (unsigned i = 0; i < 8; i++) {
        vqueue_raw_publish(vq, 0);
    }
    vqueue_kick_always(vq);
    expect_served(&bed, 8);
    g_assert_false(is_signalled(vq->err_fd, 20)); /* a full ring is no crime */
    vqueue_raw_publish(vq, 0);
    vqueue_kick_always(vq);
    g_assert_true(is_signalled(vq->err_fd, WAIT_MS));
    g_assert_cmpuint(bed.served, ==, 8);
    answer_all(&bed, &bed.held);
    tear_down(&bed);
}

static void a_ring_that_loses_its_memory_breaks(void)
{
    struct bed bed;
    struct vhost_user_region region;

    set_up(&bed, NULL, 0);
    region = vmm_region(&bed.vmm, 0);
    g_assert_cmpint(vmm_rem_region(&bed.vmm, &region, -1), ==, 0);
    g_assert_true(is_signalled(bed.vmm.queues[1].err_fd, WAIT_MS));
    /* GET_VRING_BASE works, and with memory again so does the ring */
    g_assert_cmpint(vmm_stop_queue(&bed.vmm, 1, NULL), ==, 0);
    g_assert_cmpint(vmm_add_region(&bed.vmm, &region, bed.vmm.ram.memfd), ==, 0);
    g_assert_cmpint(vmm_start_queue(&bed.vmm, 1), ==, 0);
    post(&bed, 1, ECHO);
    expect_answer(&bed, 1);
    tear_down(&bed);
}

static void a_missing_or_full_call_descriptor_blocks_nobody(void)
{
    struct bed bed;
    struct vqueue *vq = NULL;
    uint64_t index = 1 | VHOST_USER_NOFD;
    uint64_t full = UINT64_MAX - 1;
    auto_fd call = eventfd(0, EFD_CLOEXEC); /* a write blocks when it is full */

    set_up(&bed, NULL, 0);
    vq = &bed.vmm.queues[1];
    g_assert_cmpint(vmm_msg(&bed.vmm, VU_SET_VRING_CALL, &index, 8, NULL, 0), ==, 0);
    post(&bed, 1, ECHO);
    g_assert_cmpint(vqueue_wait(vq, 100), ==, 0); /* looks at the ring after a while */
    index = 1;
    g_assert_cmpint(vmm_msg(&bed.vmm, VU_SET_VRING_CALL, &index, 8, &call, 1), ==, 0);
    g_assert_true(is_signalled(call, WAIT_MS)); /* the signal that was owed */
    g_assert_cmpint(read(call, &index, sizeof(index)), ==, sizeof(index));
    g_assert_cmpint(write(call, &full, sizeof(full)), ==, sizeof(full));
    expect_answer(&bed, 1);
    for (unsigned i = 0; i < 10; i++) {
        post(&bed, 1, i % 2 ? LATER : ECHO);
        while (vq->used->idx == vq->last_used) {
            g_usleep(100);
        }
        expect_answer(&bed, 1);
    }
    g_assert_cmpint(fcntl(call, F_GETFL) & O_NONBLOCK, ==, 0);
    tear_down(&bed);
}

static void stop_and_disconnect_end_it_with_chains_out(void)
{
    struct bed bed;
    uint64_t one = 1;

    set_up(&bed, NULL, 20);
    post(&bed, 1, PARK);
    expect_served(&bed, 1);
    g_assert_cmpint(write(bed.stop_fd, &one, sizeof(one)), ==, sizeof(one));
    g_assert_cmpint(wait_end(&bed), ==, VU_END_STOP);

    set_up(&bed, NULL, 20);
    post(&bed, 1, PARK);
    post(&bed, 1, PARK);
    tear_down(&bed);
}

/* In a process of its own: what hangs cannot be freed. Ends by SIGKILL when all went well. */
static G_GNUC_NORETURN void hang_and_stop(char how)
{
    uint64_t one = 1;
    struct bed bed;
    gint64 start = 0;
    bool is_quick = false;

    set_up(&bed, NULL, 0);
    post(&bed, 1, HOLD);
    expect_served(&bed, 1);
    if (how == 'b') {
        struct {
            struct vu_header header;
            struct vu_vring_state state;
        } msg = {{VU_GET_VRING_BASE, VU_FLAG_VERSION, sizeof(msg.state)}, {.index = 1}};

        /* waits for the chain that is held */
        (void)vmm_send_bytes(&bed.vmm, &msg, sizeof(msg), NULL, 0);
    } else if (how == 'd') {
        vmm_disconnect(&bed.vmm);
    }
    g_usleep(50000);
    start = g_get_monotonic_time();
    (void)!write(bed.stop_fd, &one, sizeof(one));
    pthread_join(bed.thread, NULL);
    is_quick = g_get_monotonic_time() - start < 900 * 1000;
    /* an end without a look at the threads that are still there, which is the point */
    kill(getpid(), bed.end == VU_END_HUNG && is_quick ? SIGKILL : SIGTERM);
    pause();
    _exit(1);
}

static void a_device_that_hangs_does_not_keep_us(gconstpointer data)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        hang_and_stop((char)GPOINTER_TO_INT(data));
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

static void the_configuration_has_tag_and_queues(void)
{
    struct bed bed;
    struct vhost_user_config config = {.offset = 0, .size = sizeof(struct virtio_fs_space)};
    struct virtio_fs_space space;
    size_t size = 12 + config.size;

    set_up(&bed, NULL, 0);
    g_assert_cmpuint(bed.vmm.max_queues, ==, VU_MAX_QUEUES);
    g_assert_cmpuint(bed.vmm.max_mem_slots, >=, 509);
    g_assert_cmpint(vmm_ask(&bed.vmm, VU_GET_CONFIG, &config, size, &config, size), ==, 0);
    memcpy(&space, config.region, sizeof(space));
    g_assert_cmpmem(space.tag, 6, "share", 6);
    g_assert_cmpuint(space.num_request_queues, >, 0);
    g_assert_cmpuint(space.num_request_queues, <, VU_MAX_QUEUES);

    config = (struct vhost_user_config){.offset = 250, .size = 7};
    g_assert_cmpint(vmm_ask(&bed.vmm, VU_GET_CONFIG, &config, 19, &config, 0), ==, 0);
    tear_down(&bed);
}

/* A request that is refused: told when it asked, and the end of the connection otherwise. */
static const struct refusal {
    const char *name;
    uint32_t request;
    uint64_t words[5];
    size_t size;
    int fd_kind; /* 'e' eventfd, 'f' file, 0 none */
} refusals[] = {
    {"features_not_offered", VU_SET_FEATURES, {1}, 8, 0},
    {"protocol_features_not_offered", VU_SET_PROTOCOL_FEATURES, {1 << 14}, 8, 0},
    {"ring_that_cannot_be", VU_SET_VRING_NUM, {256 | 8ull << 32}, 8, 0},
    {"ring_size_no_power_of_two", VU_SET_VRING_NUM, {9 | 12ull << 32}, 8, 0},
    {"ring_size_of_a_running_ring", VU_SET_VRING_NUM, {1 | 8ull << 32}, 8, 0},
    {"ring_base_of_a_running_ring", VU_SET_VRING_BASE, {1}, 8, 0},
    {"ring_base_too_large", VU_SET_VRING_BASE, {9 | 65536ull << 32}, 8, 0},
    {"ring_enable_two", VU_SET_VRING_ENABLE, {1 | 2ull << 32}, 8, 0},
    {"kick_before_addresses", VU_SET_VRING_KICK, {9}, 8, 'e'},
    {"kick_without_descriptor", VU_SET_VRING_KICK, {1}, 8, 0},
    {"kick_by_polling", VU_SET_VRING_KICK, {1 | 0x100}, 8, 0},
    {"kick_that_is_a_file", VU_SET_VRING_KICK, {1}, 8, 'f'},
    {"kick_with_unknown_bits", VU_SET_VRING_KICK, {1 | 0x200}, 8, 'e'},
    {"call_that_is_a_file", VU_SET_VRING_CALL, {1}, 8, 'f'},
    {"err_that_is_a_file", VU_SET_VRING_ERR, {1}, 8, 'f'},
    {"addresses_outside", VU_SET_VRING_ADDR, {1, 4096, 8192, 12288, 0}, 40, 0},
    {"table_without_descriptors", VU_SET_MEM_TABLE, {1, 0, 4096, 0, 0}, 40, 0},
    {"table_shorter_than_it_says", VU_SET_MEM_TABLE, {1}, 8, 'f'},
    {"table_of_a_billion", VU_SET_MEM_TABLE, {1 << 30, 0, 4096, 0, 0}, 40, 'f'},
    {"region_that_overlaps", VU_ADD_MEM_REG, {0, 1ull << 32, 4096, 0, 0}, 40, 'f'},
    {"region_after_its_file", VU_ADD_MEM_REG, {0, 4096, 1 << 20, 4096, 0}, 40, 'f'},
    {"region_of_an_eventfd", VU_ADD_MEM_REG, {0, 4096, 4096, 4096, 0}, 40, 'e'},
    {"removal_of_no_region", VU_REM_MEM_REG, {0, 4096, 4096, 4096, 0}, 40, 0},
    {"configuration_is_read_only", VU_SET_CONFIG, {0}, 12, 0},
    {"inflight_regions_for_no_queue", VU_SET_INFLIGHT_FD, {4096, 0, 128 << 16}, 24, 'f'},
    {"inflight_regions_in_an_empty_file", VU_SET_INFLIGHT_FD, {1 << 20, 0, 2 | 8 << 16}, 24, 'f'},
    {"inflight_regions_in_an_eventfd", VU_SET_INFLIGHT_FD, {1 << 20, 0, 2 | 8 << 16}, 24, 'e'},
    {"status_of_nine_bits", VU_SET_STATUS, {256}, 8, 0},
};

static int send_refusal(struct bed *bed, const struct refusal *r)
{
    auto_fd fd = r->fd_kind == 'e'   ? eventfd(0, EFD_CLOEXEC)
                 : r->fd_kind == 'f' ? memfd_create("f", MFD_CLOEXEC)
                                     : -1;

    return vmm_msg(&bed->vmm, r->request, r->words, r->size, &fd, fd >= 0 ? 1 : 0);
}

/* Requests are refused for what they say, not because they were not negotiated. */
#define ALL_PROTOCOL (VU_PROTOCOL_F_LOG_SHMFD | VU_PROTOCOL_F_INFLIGHT_SHMFD | VU_PROTOCOL_F_STATUS)

static void a_refused_request_is_told(gconstpointer data)
{
    const struct vmm_config config = {.protocol_on = ALL_PROTOCOL};
    struct bed bed;

    set_up(&bed, &config, 0);
    g_assert_cmpint(send_refusal(&bed, data), ==, -EREMOTEIO);
    post(&bed, 0, ECHO);
    expect_answer(&bed, 0);
    tear_down(&bed);
}

static void a_refused_request_ends_a_deaf_front_end(gconstpointer data)
{
    const struct vmm_config config = {.protocol_off = VU_PROTOCOL_F_REPLY_ACK,
                                      .protocol_on = ALL_PROTOCOL};
    struct bed bed;

    set_up(&bed, &config, 0);
    g_assert_cmpint(send_refusal(&bed, data), ==, 0);
    g_assert_cmpint(vmm_wait_closed(&bed.vmm, WAIT_MS), ==, 0);
    g_assert_cmpint(wait_end(&bed), ==, VU_END_ERROR);
}

/* Frames nobody survives. */
static const struct bad_frame {
    const char *name;
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    unsigned fd_cnt;
} bad_frames[] = {
    {"unknown_request", 99, 1, 0, 0},
    {"request_zero", 0, 1, 0, 0},
    {"request_of_another_device", 19, 1, 8, 0},
    {"payload_too_short", VU_SET_FEATURES, 1, 4, 0},
    {"payload_too_long", VU_SET_FEATURES, 1, 16, 0},
    {"payload_where_none_is", VU_GET_FEATURES, 1, 8, 0},
    {"descriptor_where_none_is", VU_SET_FEATURES, 1, 8, 1},
    {"two_descriptors_for_a_kick", VU_SET_VRING_KICK, 1, 8, 2},
    {"no_descriptor_for_a_region", VU_ADD_MEM_REG, 1, 40, 0},
    {"no_descriptor_for_a_channel", VU_SET_BACKEND_REQ_FD, 1, 0, 0},
    {"protocol_feature_not_negotiated", VU_SET_BACKEND_REQ_FD, 1, 0, 1},
    {"log_before_its_time", VU_SET_LOG_BASE, 1, 16, 1},
    {"log_without_descriptor", VU_SET_LOG_BASE, 1, 16, 0},
    {"log_that_is_empty", VU_SET_LOG_BASE, 1, 16, 1},
    {"inflight_without_descriptor", VU_SET_INFLIGHT_FD, 1, 24, 0},
    {"inflight_for_no_queue", VU_GET_INFLIGHT_FD, 1, 24, 0},
    {"status_too_long", VU_SET_STATUS, 1, 16, 0},
    {"wrong_version", VU_GET_FEATURES, 3, 0, 0},
};

static void a_bad_frame_ends_the_connection(gconstpointer data)
{
    const struct vmm_config config = {.protocol_on = ALL_PROTOCOL};
    const struct bad_frame *bad = data;
    struct vu_header hdr = {bad->request, bad->flags | VU_FLAG_NEED_REPLY, bad->size};
    struct bed bed;
    char bytes[128] = {0};
    int fds[2];

    set_up(&bed, strcmp(bad->name, "log_before_its_time") == 0 ? NULL : &config, 0);
    memcpy(bytes, &hdr, sizeof(hdr));
    fds[0] = fds[1] = bed.vmm.ram.memfd;
    g_assert_cmpint(vmm_send_bytes(&bed.vmm, bytes, sizeof(hdr) + bad->size, fds, bad->fd_cnt), ==,
                    0);
    g_assert_cmpint(vmm_wait_closed(&bed.vmm, WAIT_MS), ==, 0);
    g_assert_cmpint(wait_end(&bed), ==, VU_END_ERROR);
}

#define ADD(f) g_test_add_func("/vhost_user/" #f, f)

static void add_rows(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *told = g_strdup_printf("/vhost_user/refused/%s", refusals[i].name);
        g_autofree char *deaf = g_strdup_printf("/vhost_user/refused_deaf/%s", refusals[i].name);

        g_test_add_data_func(told, &refusals[i], a_refused_request_is_told);
        g_test_add_data_func(deaf, &refusals[i], a_refused_request_ends_a_deaf_front_end);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_frames); i++) {
        g_autofree char *path = g_strdup_printf("/vhost_user/bad_frame/%s", bad_frames[i].name);

        g_test_add_data_func(path, &bad_frames[i], a_bad_frame_ends_the_connection);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* what is refused is logged, rightly, and not wanted among the results */
    log_init(&(struct log_config){.level = LOG_LEVEL_OFF});
    ADD(every_queue_is_served);
    g_test_add_data_func("/vhost_user/a_deep_load_loses_nothing/sleeping", GUINT_TO_POINTER(0),
                         a_deep_load_loses_nothing);
    g_test_add_data_func("/vhost_user/a_deep_load_loses_nothing/polling", GUINT_TO_POINTER(20),
                         a_deep_load_loses_nothing);
    g_test_add_data_func("/vhost_user/a_deep_load_loses_nothing/packed", GUINT_TO_POINTER(PACKED),
                         a_deep_load_loses_nothing);
    g_test_add_data_func("/vhost_user/a_deep_load_loses_nothing/packed_polling",
                         GUINT_TO_POINTER(PACKED | 20), a_deep_load_loses_nothing);
    g_test_add_data_func("/vhost_user/rings_keep_running_through_changes/split", NULL,
                         rings_keep_running_through_changes);
    g_test_add_data_func("/vhost_user/rings_keep_running_through_changes/packed",
                         GUINT_TO_POINTER(PACKED), rings_keep_running_through_changes);
    ADD(stopping_a_ring_completes_what_waits);
    ADD(a_disabled_ring_waits);
    ADD(chains_may_come_back_to_a_disabled_ring);
    ADD(reset_stops_all_rings);
    ADD(a_bad_chain_breaks_its_queue_only);
    ADD(a_chain_handed_out_again_and_again_is_bounded);
    ADD(a_ring_that_loses_its_memory_breaks);
    ADD(a_missing_or_full_call_descriptor_blocks_nobody);
    ADD(stop_and_disconnect_end_it_with_chains_out);
    g_test_add_data_func("/vhost_user/a_device_that_hangs_does_not_keep_us/idle",
                         GINT_TO_POINTER('i'), a_device_that_hangs_does_not_keep_us);
    g_test_add_data_func("/vhost_user/a_device_that_hangs_does_not_keep_us/stopping_a_ring",
                         GINT_TO_POINTER('b'), a_device_that_hangs_does_not_keep_us);
    g_test_add_data_func("/vhost_user/a_device_that_hangs_does_not_keep_us/disconnected",
                         GINT_TO_POINTER('d'), a_device_that_hangs_does_not_keep_us);
    ADD(the_configuration_has_tag_and_queues);
    add_rows();
    return g_test_run();
}
