/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring of the front end: a virtqueue, the descriptors it is kicked and called through, and the
 * thread that serves it while it runs.
 *
 * All functions here are for the control thread. The ring's own thread pops chains and hands
 * them to the device; chains come back from any thread. One lock a ring guards what these three
 * share: the used ring, the call descriptor, the list of free elements. It is a leaf: nothing
 * else is locked under it, and no device function is called under it.
 */
#ifndef TRANSPORT_VU_RING_H
#define TRANSPORT_VU_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/busy_poll.h"
#include "transport/vhost_user.h"
#include "transport/virtqueue.h"
#include "transport/vu_proto.h"

/*
 * What all rings have in common; each takes from it when it starts. The log and the inflight
 * regions are set for all rings at once, by vu_ring_watch().
 */
struct vu_ground {
    struct guest_mem *mem;
    uint64_t features;
    struct dirty_log *log;
    struct inflight *inflight;
    int stop_fd; /* readable: nobody waits for the device any longer; or -1 */
};

/* What the front end said about the ring; changed only while it does not run. */
struct vu_ring_setup {
    unsigned num; /* 0: not said yet */
    struct vq_addr addr;
    bool has_addr;
    bool log_used; /* VHOST_VRING_F_LOG: what we write to the ring is logged, from log_addr on */
    uint64_t log_addr;
    bool is_enabled;
    int kick_fd;
};

struct vu_ring {
    unsigned index;
    const struct vu_config *config;
    const struct vu_device *device;

    struct vu_ring_setup setup;
    bool is_running; /* a thread was started and not joined yet */
    pthread_t thread;
    int wake_fd; /* eventfd: makes the thread look at must_stop */
    int epoll_fd;
    bool must_stop; /* atomic */
    bool is_broken; /* atomic; set by the thread, cleared when the ring is stopped for good */

    /* the ring's thread; the control thread once that has exited */
    struct virtqueue vq; /* its push side: under the lock */
    struct busy_poll poll;
    struct vq_elem *spare;
    unsigned elem_cnt; /* spare, free and out */
    uint64_t popped;
    unsigned unsignalled;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* has_exited, completed */
    bool has_exited;
    uint64_t completed;
    struct vq_elem *free_elems;
    int call_fd;
    bool call_may_block;
    bool owes_call; /* a signal was due while there was no call_fd */
    int err_fd;
};

/* NULL when there is no memory or descriptor for it. */
struct vu_ring *vu_ring_new(unsigned index, const struct vu_config *config,
                            const struct vu_device *device);

/* The ring must have been stopped with everything given back. */
void vu_ring_free(struct vu_ring *ring);

/*
 * Starts the thread if the ring has all it needs, is enabled (or needs not be: no protocol
 * features), and is neither running nor broken; otherwise 0 and nothing. -errno with *ret_why
 * when it should run and cannot.
 */
int vu_ring_start(struct vu_ring *ring, const struct vu_ground *ground, const char **ret_why);

/* Tells the thread to end, and does not wait: many rings can be told at once. */
void vu_ring_ask_stop(struct vu_ring *ring);

/*
 * Waits until the thread has ended and, with `drain`, all chains were given back; what waits
 * without a bound is cancelled for that. Without `drain` chains may come back later, which is
 * safe as long as the memory they lie in stays mapped.
 *
 * Returns 0, or -ECANCELED when stop_fd became readable and the device kept the wait up for some
 * time after that (a host file system that hangs): then the ring is still in use, nothing may be
 * freed, and the process had better end.
 */
int vu_ring_wait_stopped(struct vu_ring *ring, const struct vu_ground *ground, bool drain);

int vu_ring_stop(struct vu_ring *ring, const struct vu_ground *ground, bool drain);

/* A ring whose thread does not run takes over the log and its flag; chains may be out. */
void vu_ring_watch(struct vu_ring *ring, const struct vu_ground *ground);

/* Marks it broken: not served until it is stopped with vu_ring_forget(). Tells the front end. */
void vu_ring_break(struct vu_ring *ring);

/* A stopped and drained ring forgets where it was: it needs a kick descriptor to start again. */
void vu_ring_forget(struct vu_ring *ring);

/* A stopped and drained ring looks at its memory and its inflight region as if for the first time.
 */
void vu_ring_begin_anew(struct vu_ring *ring);

/* Where a stopped and drained ring starts (vq_reset, vq_reset_at), and where its parts are. */
void vu_ring_reset(struct vu_ring *ring);
void vu_ring_set_base(struct vu_ring *ring, uint32_t base);
void vu_ring_set_addr(struct vu_ring *ring, const struct vq_addr *addr);

/* Take over a descriptor, or -1 for none. -EINVAL for what is no eventfd; it is closed then. */
int vu_ring_set_kick(struct vu_ring *ring, int fd);
int vu_ring_set_call(struct vu_ring *ring, int fd);
int vu_ring_set_err(struct vu_ring *ring, int fd);

#endif
