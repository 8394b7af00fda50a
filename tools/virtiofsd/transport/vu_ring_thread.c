/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread of a running ring: serve until dry, look a little longer if that has paid lately,
 * ask for a kick, sleep. Each answer is published at once; the driver is signalled once for all
 * the answers this thread gave in a row. An answer from another thread signals by itself.
 *
 * The usual request is answered before device->serve() returns. It costs one round of the lock
 * and uses the same element, warm in the cache, again and again.
 */
#include "transport/vu_ring_thread.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

/* After so many answers the driver is told even though the queue has not run dry. */
#define SIGNAL_BATCH 16

/* Looks at the ring between two looks at the clock: a microsecond or two. */
#define POLL_SPINS 16

#define ELEM_ALIGN       16
#define ELEM_USER_OFFSET ROUND_UP(sizeof(struct vq_elem), ELEM_ALIGN)

/* The ring this thread serves: tells an answer given inline from one given elsewhere. */
static __thread struct vu_ring *own_ring;

static inline bool must_stop(const struct vu_ring *ring)
{
    return __atomic_load_n(&ring->must_stop, __ATOMIC_ACQUIRE);
}

static void signal_driver(struct vu_ring *ring)
{
    if (ring->unsignalled > 0) {
        ring->unsignalled = 0;
        pthread_mutex_lock(&ring->lock);
        vu_ring_signal_locked(ring);
        pthread_mutex_unlock(&ring->lock);
    }
}

/*
 * All of the room for the answer, not just what the answer came to: a read that failed half way
 * has written there too. Under the lock; the memory table does not change while a log is kept
 * and chains are out.
 */
static void log_answer(struct vu_ring *ring, const struct chain *chain)
{
    for (unsigned i = 0; i < chain->in_cnt; i++) {
        dirty_log_mark(ring->vq.log, guest_mem_gpa_of(ring->vq.mem, chain->in[i].iov_base),
                       chain->in[i].iov_len);
    }
}

/*
 * The usual case, without the lock: this thread answers the only chain that is out. Nobody else
 * can push then, since the others push what this thread has popped, and nobody waits for chains
 * until this thread has exited. The acquire pairs with the release of whoever pushed last.
 */
static bool push_alone(struct vu_ring *ring, struct vq_elem *elem, uint32_t written)
{
    uint64_t completed = __atomic_load_n(&ring->completed, __ATOMIC_ACQUIRE);

    /* a dirty log takes the long way; it is set and cleared only while this thread is stopped */
    if (ring->spare || ring->vq.log || ring->popped - completed != 1) {
        return false;
    }
    vq_push(&ring->vq, elem, written);
    ring->unsignalled++;
    ring->spare = elem;
    __atomic_store_n(&ring->completed, completed + 1, __ATOMIC_RELEASE);
    return true;
}

/* chain->done: from any thread. */
static void elem_done(struct chain *chain, size_t written)
{
    struct vq_elem *elem = (struct vq_elem *)chain;
    struct vu_ring *ring = elem->owner;
    bool is_inline = own_ring == ring;

    if (is_inline && push_alone(ring, elem, (uint32_t)MIN(written, chain->in_len))) {
        return;
    }
    pthread_mutex_lock(&ring->lock);
    if (ring->vq.log) {
        log_answer(ring, chain);
    }
    vq_push(&ring->vq, elem, (uint32_t)MIN(written, chain->in_len));
    if (is_inline) {
        ring->unsignalled++;
    } else {
        vu_ring_signal_locked(ring);
    }
    if (is_inline && !ring->spare) {
        ring->spare = elem;
    } else {
        elem->next = ring->free_elems;
        ring->free_elems = elem;
    }
    /* the ring may be stopped and unmapped from here on, but not before we let go of the lock */
    __atomic_store_n(&ring->completed, ring->completed + 1, __ATOMIC_RELEASE);
    if (ring->has_exited) {
        pthread_cond_signal(&ring->changed);
    }
    pthread_mutex_unlock(&ring->lock);
}

static struct vq_elem *elem_new(struct vu_ring *ring)
{
    /* not cleared: most of the room for iovecs is never touched */
    struct vq_elem *elem = g_try_malloc(ELEM_USER_OFFSET + ring->config->chain_user_size);

    if (elem) {
        elem->chain.done = elem_done;
        elem->chain.queue = ring->index;
        elem->chain.user = (char *)elem + ELEM_USER_OFFSET;
        elem->owner = ring;
        elem->next = NULL;
        elem->head = 0;
        elem->desc_cnt = 0;
        elem->track = 0;
    }
    return elem;
}

/*
 * An element for the next chain, in ring->spare. There are never more than the ring has entries:
 * a driver cannot have more chains out than that, unless it hands out one twice.
 */
static int get_spare(struct vu_ring *ring)
{
    if (ring->spare) {
        return 0;
    }
    pthread_mutex_lock(&ring->lock);
    if (ring->free_elems) {
        ring->spare = ring->free_elems;
        ring->free_elems = ring->spare->next;
    }
    pthread_mutex_unlock(&ring->lock);
    if (ring->spare) {
        return 0;
    }
    if (ring->elem_cnt >= ring->vq.num) {
        return -EBUSY;
    }
    ring->spare = elem_new(ring);
    if (!ring->spare) {
        return -ENOMEM;
    }
    ring->elem_cnt++;
    return 0;
}

/* Pops the next chain into *ret_elem: 1, 0 when there is none, -errno with a reason. */
static int pop(struct vu_ring *ring, struct vq_elem **ret_elem)
{
    int rc = get_spare(ring);

    if (rc == -EBUSY) {
        if (!vq_has_work(&ring->vq)) {
            return 0; /* all entries are out, which is fine as long as no more come */
        }
        /* what came may be an entry that was given back just now, and its element with it */
        rc = get_spare(ring);
    }
    if (rc < 0) {
        ring->vq.why = rc == -EBUSY ? "more chains than its ring has entries"
                                    : "a chain there is no memory for";
        return rc;
    }
    rc = vq_pop(&ring->vq, ring->spare);
    if (rc > 0) {
        *ret_elem = g_steal_pointer(&ring->spare);
        ring->popped++;
    }
    return rc;
}

/* Serves until the ring is dry, or it is time to stop: 0. -errno when the guest broke it. */
static int serve_all(struct vu_ring *ring)
{
    /* chains of an earlier life are out already: they are answered before the ring stops */
    while (!must_stop(ring) || inflight_has_more(ring->vq.inflight)) {
        struct vq_elem *elem = NULL;
        int rc = pop(ring, &elem);

        if (rc <= 0) {
            return rc;
        }
        ring->device->serve(ring->device->opaque, &elem->chain);
        if (ring->unsignalled >= SIGNAL_BATCH) {
            signal_driver(ring);
        }
    }
    return 0;
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" ::: "memory");
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Looks at the ring for a while, if that is likely to pay. True when it is worth serving again. */
static bool poll_for_work(struct vu_ring *ring)
{
    uint64_t window = busy_poll_window(&ring->poll);
    uint64_t start = 0;
    uint64_t passed = 0;

    if (window == 0) {
        return false;
    }
    start = now_ns();
    while (passed < window) {
        for (unsigned i = 0; i < POLL_SPINS; i++) {
            if (vq_has_work(&ring->vq)) {
                busy_poll_hit(&ring->poll, now_ns() - start);
                return true;
            }
            cpu_relax();
        }
        if (must_stop(ring)) {
            return true;
        }
        passed = now_ns() - start;
    }
    busy_poll_miss(&ring->poll);
    return false;
}

/* Sleeps until kicked or told to stop. */
static void sleep_until_kicked(struct vu_ring *ring)
{
    struct epoll_event events[2];

    /* which of the two it was does not matter: both are looked at on each turn anyway */
    (void)epoll_wait(ring->epoll_fd, events, 2, -1);
}

static void serve_until_stopped(struct vu_ring *ring)
{
    vq_disable_kicks(&ring->vq);
    while (!must_stop(ring) || inflight_has_more(ring->vq.inflight)) {
        /* the first turn needs no kick: chains may have waited while nobody served the ring */
        int rc = serve_all(ring);

        signal_driver(ring);
        if (rc < 0) {
            log_error_limited("queue %u is no longer served: the guest sent %s", ring->index,
                              ring->vq.why);
            vu_ring_break(ring);
            return;
        }
        if (poll_for_work(ring)) {
            continue;
        }
        if (!vq_enable_kicks(&ring->vq)) {
            sleep_until_kicked(ring);
        }
        vq_disable_kicks(&ring->vq);
    }
}

static int init_thread(struct vu_ring *ring)
{
    char name[16]; /* the kernel's limit */

    (void)snprintf(name, sizeof(name), "queue-%u", ring->index);
    (void)pthread_setname_np(pthread_self(), name); /* only for people who look */
    if (!ring->device->thread_init) {
        return 0;
    }
    return ring->device->thread_init(ring->device->opaque);
}

void *vu_ring_thread(void *arg)
{
    struct vu_ring *ring = arg;
    int rc = init_thread(ring);

    own_ring = ring;
    if (rc == 0) {
        serve_until_stopped(ring);
    } else {
        log_error_limited("queue %u is not served: its thread cannot be set up: %s", ring->index,
                          g_strerror(-rc));
        vu_ring_break(ring);
    }
    own_ring = NULL;
    pthread_mutex_lock(&ring->lock);
    ring->has_exited = true;
    pthread_cond_signal(&ring->changed);
    pthread_mutex_unlock(&ring->lock);
    return NULL;
}
