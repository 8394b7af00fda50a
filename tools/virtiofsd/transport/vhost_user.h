/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user back end: serves one front end (VMM) on one connection, with one thread per
 * started queue. It knows rings and guest memory and nothing of what travels in them.
 */
#ifndef TRANSPORT_VHOST_USER_H
#define TRANSPORT_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/chain.h"
#include "base/syscall_rule.h"

/* SET_VRING_KICK and friends carry the queue number in eight bits. */
#define VU_MAX_QUEUES 256

/* What serving a front end asks of the kernel (base/syscall_rule.h). */
extern const struct syscall_rule transport_syscalls[];

/* And waiting for the next one. */
extern const struct syscall_rule transport_accept_syscalls[];

struct vu_config {
    const char *tag;         /* NULL: PROTOCOL_F_CONFIG is not offered */
    unsigned request_queues; /* what the config space recommends; 1 to VU_MAX_QUEUES - 1 */
    size_t chain_user_size;  /* bytes of scratch memory the server wants behind chain->user */
    unsigned poll_us;        /* longest adaptive busy poll before a queue thread sleeps; 0: none */
};

/* What the device behind the transport does. Called without any transport lock held. */
struct vu_device {
    /* A queue thread is born: per-thread set-up (credentials, cwd). Returns 0 or -errno. */
    int (*thread_init)(void *opaque);
    /* Serve a chain; chain->done() may be called before this returns or later, elsewhere. */
    void (*serve)(void *opaque, struct chain *chain);
    /* Answer everything that waits without a bound (parked locks): a ring is about to stop. */
    void (*cancel_waiting)(void *opaque);
    /*
     * Memory that the front end hands to the next life of the daemon, and what an earlier one has
     * left there; zeros the first time. NULL: it is gone. May be NULL itself. No chain is out.
     */
    void (*keep)(void *opaque, void *memory, size_t size);
    void *opaque;
};

enum vu_end {
    VU_END_DISCONNECT, /* the front end closed the connection: the normal end */
    VU_END_STOP,       /* stop_fd became readable */
    VU_END_ERROR,      /* the front end broke the protocol; already logged */
    VU_END_HUNG,       /* as VU_END_STOP, but the device did not give all chains back in time */
};

/*
 * Serves the connected socket conn_fd (owned by the callee from now on) until it ends. stop_fd is
 * polled along (an eventfd or signalfd that becomes readable ends the service); it is not read.
 * On return all queue threads have ended, every chain was given back and all memory is unmapped.
 * Not so after VU_END_HUNG, which comes when the host hangs under a request: threads may still
 * be in the device, so that nothing may be freed and the process must end at once.
 */
enum vu_end vu_serve(int conn_fd, int stop_fd, const struct vu_config *config,
                     const struct vu_device *device);

#endif
