/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One lock; requests are tried and answered outside of it.
 */
#include "fuse/lock_waiter.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <time.h>

enum {
    MAX_WAITING = 1024, /* a guest's parked tasks cannot be interrupted: no use for more */
    FIRST_PAUSE_MS = 2,
    LONGEST_PAUSE_MS = 50,
    EARLY_INTERRUPTS = 16, /* more than queues that could deliver one before its request */
};

struct lock_waiter {
    int (*try)(struct request *req);
    int (*thread_init)(void *opaque);
    void *opaque;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    GQueue waiting;
    const struct request *trying; /* out of `waiting` for a moment */
    bool trying_is_interrupted;
    uint64_t early[EARLY_INTERRUPTS]; /* of requests that have not been seen waiting */
    unsigned next_early;
    bool has_thread, stopping, poked;
    pthread_t thread;
};

struct lock_waiter *lock_waiter_new(int (*try)(struct request *req),
                                    int (*thread_init)(void *opaque), void *opaque)
{
    struct lock_waiter *waiter = g_new0(struct lock_waiter, 1);
    pthread_condattr_t attr;

    waiter->try = try;
    waiter->thread_init = thread_init;
    waiter->opaque = opaque;
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter->wake, &attr);
    pthread_condattr_destroy(&attr);
    g_queue_init(&waiter->waiting);
    return waiter;
}

void lock_waiter_free(struct lock_waiter *waiter)
{
    if (!waiter) {
        return;
    }
    lock_waiter_cancel(waiter);
    pthread_mutex_lock(&waiter->lock);
    waiter->stopping = true;
    pthread_cond_signal(&waiter->wake);
    pthread_mutex_unlock(&waiter->lock);
    if (waiter->has_thread) {
        pthread_join(waiter->thread, NULL);
    }
    pthread_cond_destroy(&waiter->wake);
    pthread_mutex_destroy(&waiter->lock);
    g_free(waiter);
}

/* Each that waits is tried once. True when one got its lock. */
static bool try_all(struct lock_waiter *waiter)
{
    bool any = false;
    guint n = 0;

    pthread_mutex_lock(&waiter->lock);
    n = g_queue_get_length(&waiter->waiting);
    while (n-- > 0) {
        struct request *req = g_queue_pop_head(&waiter->waiting);
        int err = 0;

        if (!req) {
            break; /* cancelled meanwhile */
        }
        waiter->trying = req;
        waiter->trying_is_interrupted = false;
        pthread_mutex_unlock(&waiter->lock);
        err = waiter->try(req);
        pthread_mutex_lock(&waiter->lock);
        waiter->trying = NULL;
        if (err == -EAGAIN && waiter->trying_is_interrupted) {
            err = -EINTR;
        }
        pthread_mutex_unlock(&waiter->lock);
        if (err != -EAGAIN) {
            request_finish(req, err);
            any = true;
        }
        pthread_mutex_lock(&waiter->lock);
        if (err == -EAGAIN) {
            g_queue_push_tail(&waiter->waiting, req);
        }
    }
    pthread_mutex_unlock(&waiter->lock);
    return any;
}

/* Under the lock. */
static void pause_for(struct lock_waiter *waiter, long ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (!waiter->poked && !waiter->stopping) {
        (void)pthread_cond_timedwait(&waiter->wake, &waiter->lock, &until);
    }
}

static void *waiter_thread(void *arg)
{
    struct lock_waiter *waiter = arg;
    long ms = FIRST_PAUSE_MS;
    bool stopping = waiter->thread_init && waiter->thread_init(waiter->opaque) < 0;

    while (!stopping) {
        bool any = try_all(waiter);

        pthread_mutex_lock(&waiter->lock);
        ms = any || waiter->poked ? FIRST_PAUSE_MS : MIN(ms * 2, LONGEST_PAUSE_MS);
        if (g_queue_is_empty(&waiter->waiting)) {
            while (g_queue_is_empty(&waiter->waiting) && !waiter->stopping) {
                pthread_cond_wait(&waiter->wake, &waiter->lock);
            }
        } else {
            pause_for(waiter, ms);
        }
        waiter->poked = false;
        stopping = waiter->stopping;
        pthread_mutex_unlock(&waiter->lock);
    }
    return NULL;
}

/* Forgets the interrupt. Under the lock. */
static bool was_interrupted(struct lock_waiter *waiter, uint64_t unique)
{
    for (unsigned i = 0; i < EARLY_INTERRUPTS; i++) {
        if (waiter->early[i] == unique) {
            waiter->early[i] = 0;
            return unique != 0;
        }
    }
    return false;
}

int lock_waiter_add(struct lock_waiter *waiter, struct request *req)
{
    int err = -ENOLCK;

    pthread_mutex_lock(&waiter->lock);
    if (!waiter->has_thread) {
        waiter->has_thread = pthread_create(&waiter->thread, NULL, waiter_thread, waiter) == 0;
    }
    if (was_interrupted(waiter, req->hdr.unique)) {
        err = -EINTR;
    } else if (waiter->has_thread && g_queue_get_length(&waiter->waiting) < MAX_WAITING) {
        g_queue_push_tail(&waiter->waiting, req);
        waiter->poked = true; /* it may have come free since the caller tried */
        pthread_cond_signal(&waiter->wake);
        err = 0;
    }
    pthread_mutex_unlock(&waiter->lock);
    return err;
}

void lock_waiter_poke(struct lock_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    if (!g_queue_is_empty(&waiter->waiting)) {
        waiter->poked = true;
        pthread_cond_signal(&waiter->wake);
    }
    pthread_mutex_unlock(&waiter->lock);
}

void lock_waiter_cancel(struct lock_waiter *waiter)
{
    struct request *req = NULL;

    for (;;) {
        pthread_mutex_lock(&waiter->lock);
        req = g_queue_pop_head(&waiter->waiting);
        pthread_mutex_unlock(&waiter->lock);
        if (!req) {
            return; /* one that is being tried now is back in a moment: the caller asks again */
        }
        request_finish(req, -ENOLCK);
    }
}

static gint has_unique(gconstpointer request, gconstpointer unique)
{
    return ((const struct request *)request)->hdr.unique == *(const uint64_t *)unique ? 0 : 1;
}

void lock_waiter_interrupt(struct lock_waiter *waiter, uint64_t unique)
{
    struct request *req = NULL;
    GList *found = NULL;

    pthread_mutex_lock(&waiter->lock);
    found = g_queue_find_custom(&waiter->waiting, &unique, has_unique);
    if (found) {
        req = found->data;
        g_queue_delete_link(&waiter->waiting, found);
    } else if (waiter->trying && waiter->trying->hdr.unique == unique) {
        waiter->trying_is_interrupted = true;
    } else {
        waiter->early[waiter->next_early++ % EARLY_INTERRUPTS] = unique;
    }
    pthread_mutex_unlock(&waiter->lock);
    if (req) {
        request_finish(req, -EINTR);
    }
}
