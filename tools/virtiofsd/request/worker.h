/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hand-over pool: requests that would block a queue thread are finished here. It is never on
 * the path of a request that does not block.
 */
#ifndef REQUEST_WORKER_H
#define REQUEST_WORKER_H

#include "request/request.h"

struct worker_pool;

/*
 * Up to `threads` threads (>= 1), made when they are needed. Each calls thread_init(opaque) once
 * before its first request; a thread whose thread_init fails answers with that error.
 */
struct worker_pool *worker_pool_new(unsigned threads, int (*thread_init)(void *opaque),
                                    void *opaque);

/* Waits until everything handed over is finished. NULL is fine. */
void worker_pool_free(struct worker_pool *pool);

/*
 * Runs req->work(req) on another thread, which owns the request from now on. The number of
 * requests waiting is bounded by the rings they come from.
 */
void worker_submit(struct worker_pool *pool, struct request *req);

#endif
