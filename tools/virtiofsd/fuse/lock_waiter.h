/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocking locks, without blocking: a request that cannot have its lock now waits here, and one
 * thread tries again, at once when a lock of this guest is given back and every few milliseconds
 * for those that others hold. Everything that waits can be answered at any time.
 */
#ifndef FUSE_LOCK_WAITER_H
#define FUSE_LOCK_WAITER_H

#include <stdint.h>

#include "request/request.h"

struct lock_waiter;

/* `try` takes the lock for a request: 0 or -errno, -EAGAIN for "not yet". */
struct lock_waiter *lock_waiter_new(int (*try)(struct request *req),
                                    int (*thread_init)(void *opaque), void *opaque);
/* Nothing may wait any more. NULL is fine. */
void lock_waiter_free(struct lock_waiter *waiter);

/*
 * Takes the request over. It stays the caller's when too many wait already (-ENOLCK) or when it was
 * interrupted on its way here (-EINTR).
 */
int lock_waiter_add(struct lock_waiter *waiter, struct request *req);

/* Answers the request of that number with -EINTR, now or when it comes. */
void lock_waiter_interrupt(struct lock_waiter *waiter, uint64_t unique);

/* Some lock was given back. */
void lock_waiter_poke(struct lock_waiter *waiter);

/* Answers everything that waits with -ENOLCK: its ring stops, or the guest is gone. */
void lock_waiter_cancel(struct lock_waiter *waiter);

#endif
