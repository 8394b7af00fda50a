/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads are made while requests wait and none is idle, up to the limit, and stay.
 *
 * Not a GThreadPool: when that cannot make its first thread (EAGAIN under a pids cgroup) what was
 * pushed waits for ever, and it has no per-thread set-up. Here the caller serves it instead. Locks
 * are pthread ones because TSan cannot look into GLib.
 */
#include "request/worker.h"

#include <glib.h>
#include <pthread.h>

struct worker_pool {
    pthread_mutex_t lock; /* all below; never held while a request runs */
    pthread_cond_t wake;
    GQueue waiting;
    GPtrArray *threads;
    unsigned max_threads;
    unsigned idle;
    bool stopping;

    int (*thread_init)(void *opaque);
    void *opaque;
};

/* The next request, or NULL when the pool stops and nothing waits. */
static struct request *next_request(struct worker_pool *pool)
{
    struct request *req = NULL;

    pthread_mutex_lock(&pool->lock);
    pool->idle++;
    while (!(req = g_queue_pop_head(&pool->waiting)) && !pool->stopping) {
        pthread_cond_wait(&pool->wake, &pool->lock);
    }
    pool->idle--;
    pthread_mutex_unlock(&pool->lock);
    return req;
}

static gpointer worker_thread(gpointer opaque)
{
    struct worker_pool *pool = opaque;
    int err = pool->thread_init ? pool->thread_init(pool->opaque) : 0;
    struct request *req = NULL;

    while ((req = next_request(pool))) {
        if (err < 0) {
            request_finish(req, err);
        } else {
            req->work(req);
        }
    }
    return NULL;
}

struct worker_pool *worker_pool_new(unsigned threads, int (*thread_init)(void *opaque),
                                    void *opaque)
{
    struct worker_pool *pool = g_new0(struct worker_pool, 1);

    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    g_queue_init(&pool->waiting);
    pool->threads = g_ptr_array_new();
    pool->max_threads = threads;
    pool->thread_init = thread_init;
    pool->opaque = opaque;
    return pool;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads->len; i++) {
        g_thread_join(g_ptr_array_index(pool->threads, i));
    }
    g_ptr_array_free(pool->threads, TRUE);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    g_free(pool);
}

/* Under the lock. True when there is a thread that will take the request. */
static bool have_thread(struct worker_pool *pool)
{
    GThread *thread = NULL;

    if (pool->idle > g_queue_get_length(&pool->waiting) ||
        pool->threads->len == pool->max_threads) {
        return true;
    }
    thread = g_thread_try_new("virtiofsd", worker_thread, pool, NULL);
    if (thread) {
        g_ptr_array_add(pool->threads, thread);
    }
    return pool->threads->len > 0;
}

void worker_submit(struct worker_pool *pool, struct request *req)
{
    bool taken = false;

    pthread_mutex_lock(&pool->lock);
    taken = have_thread(pool);
    if (taken) {
        g_queue_push_tail(&pool->waiting, req);
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!taken) {
        req->work(req);
    }
}
