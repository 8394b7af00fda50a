/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a ring is stopped, drained and started, and how its chains come back. What its thread does
 * in between is in vu_ring_thread.c.
 */
#include "transport/vu_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "transport/vu_ring_thread.h"

/* How often a wait for chains that are out cancels again: one may begin to wait after a cancel. */
#define CANCEL_EVERY_NS (20 * 1000 * 1000L)

/* How long a wait goes on once it is time to stop: SIGTERM must end the daemon within a second. */
#define STOP_GRACE_NS (300 * 1000 * 1000L)

static void close_fd(int *fd)
{
    auto_fd_close(fd);
    *fd = -1;
}

struct vu_ring *vu_ring_new(unsigned index, const struct vu_config *config,
                            const struct vu_device *device)
{
    struct vu_ring *ring = g_try_new0(struct vu_ring, 1);
    pthread_condattr_t attr;

    if (!ring) {
        return NULL;
    }
    ring->index = index;
    ring->config = config;
    ring->device = device;
    ring->setup.kick_fd = -1;
    ring->call_fd = -1;
    ring->err_fd = -1;
    ring->epoll_fd = -1;
    ring->has_exited = true;
    ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->wake_fd < 0) {
        g_free(ring);
        return NULL;
    }
    pthread_mutex_init(&ring->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&ring->changed, &attr);
    pthread_condattr_destroy(&attr);
    vq_reset(&ring->vq);
    busy_poll_init(&ring->poll, config->poll_us);
    return ring;
}

static void free_elems(struct vu_ring *ring)
{
    g_free(g_steal_pointer(&ring->spare));
    while (ring->free_elems) {
        struct vq_elem *elem = ring->free_elems;

        ring->free_elems = elem->next;
        g_free(elem);
    }
    ring->elem_cnt = 0;
}

void vu_ring_free(struct vu_ring *ring)
{
    if (!ring) {
        return;
    }
    free_elems(ring);
    close_fd(&ring->setup.kick_fd);
    close_fd(&ring->call_fd);
    close_fd(&ring->err_fd);
    close_fd(&ring->epoll_fd);
    close_fd(&ring->wake_fd);
    pthread_cond_destroy(&ring->changed);
    pthread_mutex_destroy(&ring->lock);
    g_free(ring);
}

/*
 * One wake-up is one epoll_wait: the kick is edge-triggered, so its counter need not be read back
 * (each write is an edge, and 2^64 writes are no concern). The kick descriptor is shared with
 * the front end, and its flags are not ours to change.
 */
static int open_epoll(struct vu_ring *ring, const char **ret_why)
{
    struct epoll_event kick = {.events = EPOLLIN | EPOLLET, .data.fd = ring->setup.kick_fd};
    struct epoll_event wake = {.events = EPOLLIN, .data.fd = ring->wake_fd};

    close_fd(&ring->epoll_fd);
    ring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (ring->epoll_fd < 0) {
        int rc = -errno;

        *ret_why = "no epoll descriptor for it";
        return rc;
    }
    if (epoll_ctl(ring->epoll_fd, EPOLL_CTL_ADD, ring->wake_fd, &wake) < 0 ||
        epoll_ctl(ring->epoll_fd, EPOLL_CTL_ADD, ring->setup.kick_fd, &kick) < 0) {
        int rc = -errno;

        *ret_why = "its kick descriptor cannot be waited for";
        return rc;
    }
    return 0;
}

static int map_ring(struct vu_ring *ring, const struct vu_ground *ground, const char **ret_why)
{
    struct virtqueue *vq = &ring->vq;
    int rc = 0;

    /* chains may be coming back from other threads when a ring was only held for a moment */
    pthread_mutex_lock(&ring->lock);
    vq->packed = ground->features & VU_F_RING_PACKED;
    vq->event_idx = ground->features & VU_F_EVENT_IDX;
    vq->indirect = ground->features & VU_F_INDIRECT_DESC;
    vq->inflight = inflight_queue(ground->inflight, ring->index);
    rc = vq_map(vq, ground->mem, ring->setup.num, &ring->setup.addr, ret_why);
    pthread_mutex_unlock(&ring->lock);
    return rc;
}

void vu_ring_watch(struct vu_ring *ring, const struct vu_ground *ground)
{
    pthread_mutex_lock(&ring->lock);
    ring->vq.log = ground->features & VU_F_LOG_ALL ? ground->log : NULL;
    ring->vq.log_used = ring->setup.log_used;
    ring->vq.log_addr = ring->setup.log_addr;
    pthread_mutex_unlock(&ring->lock);
}

static void set_exited(struct vu_ring *ring, bool has_exited)
{
    pthread_mutex_lock(&ring->lock);
    ring->has_exited = has_exited;
    pthread_mutex_unlock(&ring->lock);
}

static int create_thread(struct vu_ring *ring)
{
    sigset_t all;
    sigset_t before;
    int rc = 0;

    /* signals are for the main thread, which turns them into an orderly end */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&ring->thread, NULL, vu_ring_thread, ring);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

int vu_ring_start(struct vu_ring *ring, const struct vu_ground *ground, const char **ret_why)
{
    const struct vu_ring_setup *setup = &ring->setup;
    bool may_run = setup->is_enabled || !(ground->features & VU_F_PROTOCOL_FEATURES);
    int rc = 0;

    if (ring->is_running || __atomic_load_n(&ring->is_broken, __ATOMIC_RELAXED) || !may_run ||
        setup->kick_fd < 0 || setup->num == 0 || !setup->has_addr) {
        return 0;
    }
    rc = map_ring(ring, ground, ret_why);
    if (rc < 0) {
        return rc;
    }
    vu_ring_watch(ring, ground);
    rc = open_epoll(ring, ret_why);
    if (rc < 0) {
        return rc;
    }
    __atomic_store_n(&ring->must_stop, false, __ATOMIC_RELAXED);
    set_exited(ring, false);
    rc = create_thread(ring);
    if (rc < 0) {
        set_exited(ring, true);
        *ret_why = "no thread for it";
        return rc;
    }
    ring->is_running = true;
    return 0;
}

void vu_ring_ask_stop(struct vu_ring *ring)
{
    uint64_t one = 1;

    if (ring->is_running) {
        __atomic_store_n(&ring->must_stop, true, __ATOMIC_RELEASE);
        (void)!write(ring->wake_fd, &one, sizeof(one)); /* full means: awake already */
    }
}

/* Under the lock. The thread's count is read only after it has exited. */
static bool is_at_rest(const struct vu_ring *ring, bool drain)
{
    return ring->has_exited && (!drain || ring->popped == ring->completed);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void wait_a_little(struct vu_ring *ring)
{
    uint64_t until = now_ns() + CANCEL_EVERY_NS;
    struct timespec ts = {.tv_sec = (time_t)(until / 1000000000u),
                          .tv_nsec = (long)(until % 1000000000u)};

    (void)pthread_cond_timedwait(&ring->changed, &ring->lock, &ts); /* caller looks again */
}

/* Has stop_fd been readable for so long that the wait is given up? */
static bool patience_is_over(int stop_fd, uint64_t *since)
{
    struct pollfd pfd = {.fd = stop_fd, .events = POLLIN};

    if (stop_fd < 0 || poll(&pfd, 1, 0) != 1) {
        return false;
    }
    if (*since == 0) {
        *since = now_ns();
    }
    return now_ns() - *since > STOP_GRACE_NS;
}

/* Everything that keeps the ring from its rest, and that we can end, is ended again and again. */
static int wait_for_rest(struct vu_ring *ring, int stop_fd, bool drain)
{
    uint64_t stop_since = 0;
    int rc = 0;

    pthread_mutex_lock(&ring->lock);
    while (!is_at_rest(ring, drain)) {
        if (patience_is_over(stop_fd, &stop_since)) {
            rc = -ECANCELED;
            break;
        }
        if (drain && ring->device->cancel_waiting) {
            pthread_mutex_unlock(&ring->lock);
            ring->device->cancel_waiting(ring->device->opaque);
            pthread_mutex_lock(&ring->lock);
        }
        if (!is_at_rest(ring, drain)) {
            wait_a_little(ring);
        }
    }
    pthread_mutex_unlock(&ring->lock);
    return rc;
}

int vu_ring_wait_stopped(struct vu_ring *ring, const struct vu_ground *ground, bool drain)
{
    uint64_t count = 0;
    int rc = wait_for_rest(ring, ground->stop_fd, drain);

    if (rc < 0) {
        return rc;
    }
    if (ring->is_running) {
        pthread_join(ring->thread, NULL);
        ring->is_running = false;
        (void)!read(ring->wake_fd, &count, sizeof(count)); /* empty: the thread ended by itself */
    }
    return 0;
}

int vu_ring_stop(struct vu_ring *ring, const struct vu_ground *ground, bool drain)
{
    vu_ring_ask_stop(ring);
    return vu_ring_wait_stopped(ring, ground, drain);
}

/* One more on an eventfd, without ever waiting for its reader. */
static void notify(int fd, bool may_block)
{
    uint64_t one = 1;

    if (may_block) {
        /*
         * The flags are shared with the front end and not ours to change. One that fills its
         * eventfd between these two calls holds up this queue, which is its own.
         */
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};

        if (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLOUT)) {
            return;
        }
    }
    (void)!write(fd, &one, sizeof(one)); /* EAGAIN: the counter is full, so it is signalled */
}

static bool fd_may_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || !(flags & O_NONBLOCK);
}

void vu_ring_signal_locked(struct vu_ring *ring)
{
    if (!vq_needs_signal(&ring->vq)) {
        return;
    }
    if (ring->call_fd < 0) {
        ring->owes_call = true;
        return;
    }
    notify(ring->call_fd, ring->call_may_block);
}

void vu_ring_break(struct vu_ring *ring)
{
    __atomic_store_n(&ring->is_broken, true, __ATOMIC_RELAXED);
    pthread_mutex_lock(&ring->lock);
    if (ring->err_fd >= 0) {
        notify(ring->err_fd, true);
    }
    pthread_mutex_unlock(&ring->lock);
}

void vu_ring_begin_anew(struct vu_ring *ring)
{
    if (ring->vq.used_known || !ring->vq.is_fresh) {
        vu_ring_set_base(ring, vq_base(&ring->vq));
    } else {
        vu_ring_reset(ring); /* where nobody said a base, it stays unsaid */
    }
}

void vu_ring_forget(struct vu_ring *ring)
{
    if (ring->vq.inflight && ring->vq.used_known) {
        inflight_clear(ring->vq.inflight);
    }
    vu_ring_begin_anew(ring);
    close_fd(&ring->setup.kick_fd);
    __atomic_store_n(&ring->is_broken, false, __ATOMIC_RELAXED);
}

static void forget_elems(struct vu_ring *ring)
{
    g_assert(ring->has_exited && ring->popped == ring->completed);
    ring->owes_call = false;
    /* another size may follow, and with it another bound on how many elements there are */
    free_elems(ring);
}

void vu_ring_reset(struct vu_ring *ring)
{
    forget_elems(ring);
    vq_reset(&ring->vq);
}

void vu_ring_set_base(struct vu_ring *ring, uint32_t base)
{
    forget_elems(ring);
    vq_reset_at(&ring->vq, base);
}

void vu_ring_set_addr(struct vu_ring *ring, const struct vq_addr *addr)
{
    vu_ring_begin_anew(ring); /* another place is another used index */
    ring->setup.addr = *addr;
    ring->setup.has_addr = true;
}

/*
 * eventfds are anonymous inodes, which have no file type; this keeps out files, pipes, sockets
 * and devices, on which a write would do something.
 */
static bool may_be_eventfd(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

int vu_ring_set_kick(struct vu_ring *ring, int fd)
{
    if (fd >= 0 && !may_be_eventfd(fd)) {
        (void)close(fd); /* never used */
        return -EINVAL;
    }
    close_fd(&ring->setup.kick_fd);
    ring->setup.kick_fd = fd;
    return 0;
}

int vu_ring_set_call(struct vu_ring *ring, int fd)
{
    int old = -1;

    if (fd >= 0 && !may_be_eventfd(fd)) {
        (void)close(fd); /* never used */
        return -EINVAL;
    }
    pthread_mutex_lock(&ring->lock);
    old = ring->call_fd;
    ring->call_fd = fd;
    if (fd >= 0) {
        ring->call_may_block = fd_may_block(fd);
        if (ring->owes_call) {
            ring->owes_call = false;
            notify(fd, ring->call_may_block);
        }
    }
    pthread_mutex_unlock(&ring->lock);
    close_fd(&old);
    return 0;
}

int vu_ring_set_err(struct vu_ring *ring, int fd)
{
    int old = -1;

    if (fd >= 0 && !may_be_eventfd(fd)) {
        (void)close(fd); /* never used */
        return -EINVAL;
    }
    pthread_mutex_lock(&ring->lock);
    old = ring->err_fd;
    ring->err_fd = fd;
    pthread_mutex_unlock(&ring->lock);
    close_fd(&old);
    return 0;
}
