/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One slice of work: every lane keeps one request in flight until its time is up; then the CPU
 * time that the daemon took is read. A thread per queue, the first of them the caller's own.
 *
 * As in Linux each request is kicked by itself, and the thread sleeps when nothing is finished.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proc_tree.h"
#include "syscount.h"

#define REPLY_TIMEOUT_MS 20000

/* Longer than any busy poll: what a daemon still does after this is not for the slice. */
#define SETTLE_US 2000

#define LONG_PAUSE_NS 1000000

struct worker {
    struct session *s;
    unsigned queue;
    uint64_t deadline;
    uint64_t slice_ops;
    unsigned in_flight;
    uint64_t cpu_ns; /* native: of this thread */
    int rc;
};

uint64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t lane_random(struct lane *l)
{
    l->rng ^= l->rng << 13;
    l->rng ^= l->rng >> 7;
    l->rng ^= l->rng << 17;
    return l->rng;
}

static int drain_hiprio(struct session *s, bool all)
{
    struct fc_queue *q = fc_hiprio(&s->fc);
    struct fc_req *req;
    int rc = 0;

    while ((req = fc_reap(q, all && vqueue_in_flight(q->vq) ? REPLY_TIMEOUT_MS : 0))) {
        rc = req->error ? req->error : rc;
        fc_put(req);
    }
    return rc;
}

int lane_forget(struct lane *l, uint64_t nodeid, uint64_t n)
{
    struct session *s = l->s;
    struct fuse_forget_in in = {.nlookup = n};
    struct fc_req *req;
    int rc;

    g_mutex_lock(&s->hiprio_lock);
    rc = drain_hiprio(s, false);
    req = fc_get(fc_hiprio(&s->fc));
    if (!req) {
        rc = drain_hiprio(s, true);
        req = fc_get(fc_hiprio(&s->fc));
    }
    if (rc == 0 && req) {
        fc_begin(req, FUSE_FORGET, nodeid);
        fc_arg_bytes(req, &in, sizeof(in));
        req->no_reply = true;
        rc = fc_submit(req);
        fc_kick(fc_hiprio(&s->fc));
    }
    g_mutex_unlock(&s->hiprio_lock);
    return rc < 0 || !req ? lane_fail(l, "FORGET: %d %s", rc, s->fc.error) : 0;
}

int lane_forget_known(struct lane *l)
{
    struct fuse_forget_one list[256];
    int rc = drain_hiprio(l->s, true);

    for (unsigned i = 0; rc == 0 && i < l->known->len;) {
        unsigned n = 0;

        for (; n < G_N_ELEMENTS(list) && i < l->known->len; i++) {
            list[n++] = (struct fuse_forget_one){.nodeid = g_array_index(l->known, uint64_t, i),
                                                 .nlookup = 1};
        }
        rc = fc_batch_forget(fc_hiprio(&l->s->fc), list, n);
    }
    g_array_set_size(l->known, 0);
    return rc;
}

static int send_next(struct worker *w, struct lane *l)
{
    struct fc_req *req = fc_get(l->q);
    int rc;

    if (!req) {
        return lane_fail(l, "no free slot");
    }
    rc = l->s->wl->send(l, req);
    if (rc == 0) {
        req->user = l;
        rc = fc_submit(req);
    }
    if (rc < 0) {
        fc_put(req);
        return l->s->error[0] ? rc : lane_fail(l, "cannot send: %d", rc);
    }
    fc_kick(l->q);
    w->in_flight++;
    return 0;
}

/* A guest that thinks keeps its processor; only a long pause is a sleep. */
static void pause_until(uint64_t when)
{
    uint64_t now = bench_now_ns();

    if (when > now + LONG_PAUSE_NS) {
        usleep((useconds_t)((when - now) / 1000));
    }
    while (bench_now_ns() < when) {
        __builtin_ia32_pause();
    }
}

/* A request of the lane is answered: count, then go on unless its time is up. */
static int go_on(struct worker *w, struct lane *l, int outcome)
{
    uint64_t now = bench_now_ns();
    uint64_t pause = (uint64_t)l->s->bench->pause_us * 1000;
    bool may_end = outcome != LANE_MORE;

    if (may_end) {
        uint32_t took = (uint32_t)MIN(now - l->start_ns, UINT32_MAX);

        if (!l->is_muted) {
            g_array_append_val(l->latency, took);
        }
        l->step = 0;
        l->n++;
    }
    if (outcome == LANE_EXHAUSTED || (may_end && w->slice_ops && l->n - l->first >= w->slice_ops) ||
        (may_end && !w->slice_ops && now >= w->deadline)) {
        return 0;
    }
    if (pause) {
        pause_until(now + pause);
        now = bench_now_ns();
    }
    if (may_end) {
        l->start_ns = now;
    }
    return send_next(w, l);
}

static int answer(struct worker *w, struct fc_req *req)
{
    struct lane *l = req->user;
    int rc = req->error == FC_BROKEN ? lane_fail(l, "broken reply: %s", l->s->fc.error)
                                     : l->s->wl->reply(l, req);

    fc_put(req);
    w->in_flight--;
    return rc < 0 ? rc : go_on(w, l, rc);
}

static int run_queue(struct worker *w)
{
    struct session *s = w->s;
    struct fc_queue *q = fc_rq(&s->fc, w->queue);
    int rc = 0;

    for (unsigned i = w->queue; rc == 0 && i < s->n_lanes; i += s->bench->queues) {
        s->lanes[i].start_ns = bench_now_ns();
        rc = send_next(w, &s->lanes[i]);
    }
    while (rc == 0 && w->in_flight) {
        struct fc_req *req = fc_reap(q, REPLY_TIMEOUT_MS);

        vqueue_arm(q->vq);
        rc = req ? answer(w, req) : session_fail(s, -ETIMEDOUT, "no reply: %s", s->fc.error);
    }
    return rc;
}

static int run_native(struct worker *w)
{
    struct lane *l = &w->s->lanes[w->queue];
    int rc = LANE_DONE;
    uint64_t now = bench_now_ns();
    uint64_t cpu = thread_cpu_ns();

    while (rc == LANE_DONE) {
        uint64_t start = now;
        uint32_t took;

        rc = w->s->wl->native(l);
        now = bench_now_ns();
        took = (uint32_t)MIN(now - start, UINT32_MAX);
        g_array_append_val(l->latency, took);
        l->n++;
        if (w->slice_ops ? l->n - l->first >= w->slice_ops : now >= w->deadline) {
            break;
        }
    }
    w->cpu_ns = thread_cpu_ns() - cpu;
    return MIN(rc, 0);
}

static void *work(void *opaque)
{
    struct worker *w = opaque;

    w->rc = w->s->is_native ? run_native(w) : run_queue(w);
    return NULL;
}

static int run_workers(struct session *s, uint64_t *ret_cpu)
{
    const struct bench *b = s->bench;
    g_autofree struct worker *workers = g_new0(struct worker, b->queues);
    g_autofree GThread **threads = g_new0(GThread *, b->queues);
    int rc = 0;

    for (unsigned i = 0; i < b->queues; i++) {
        workers[i] = (struct worker){.s = s, .queue = i};
        workers[i].slice_ops = b->slice_ops ? b->slice_ops : s->wl->slice_ops;
        workers[i].deadline = bench_now_ns() + (uint64_t)b->slice_ms * 1000000;
        if (i > 0) {
            threads[i] = g_thread_new("guest", work, &workers[i]);
        }
    }
    work(&workers[0]);
    *ret_cpu = 0;
    for (unsigned i = 0; i < b->queues; i++) {
        if (threads[i]) {
            g_thread_join(threads[i]);
        }
        rc = rc ? rc : workers[i].rc;
        *ret_cpu += workers[i].cpu_ns;
    }
    return rc;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Latencies of all lanes together, and what they did. */
static void summarise(struct session *s, struct slice *ret)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(uint32_t));

    for (unsigned i = 0; i < s->n_lanes; i++) {
        struct lane *l = &s->lanes[i];

        g_array_append_vals(all, l->latency->data, l->latency->len);
        ret->ops += l->units ? l->units : l->latency->len;
    }
    if (all->len) {
        qsort(all->data, all->len, sizeof(uint32_t), compare_u32);
        ret->p50 = g_array_index(all, uint32_t, all->len / 2);
        ret->p99 = g_array_index(all, uint32_t, (unsigned)((uint64_t)all->len * 99 / 100));
    }
}

int slice_run(struct session *s, struct slice *ret)
{
    return slice_run_counted(s, ret, NULL, NULL, NULL);
}

int slice_run_counted(struct session *s, struct slice *ret, struct syscount *count,
                      uint64_t *ret_calls, uint64_t *ret_by_number)
{
    uint64_t start;
    uint64_t cpu_before;
    uint64_t native_cpu;
    int rc;

    *ret = (struct slice){0};
    for (unsigned i = 0; i < s->n_lanes; i++) {
        struct lane *l = &s->lanes[i];

        l->first = l->n;
        l->units = 0;
        l->step = 0;
        g_array_set_size(l->latency, 0);
    }
    cpu_before = s->is_native ? 0 : proc_tree_cpu_ns(s->d.pid);
    start = bench_now_ns();
    rc = run_workers(s, &native_cpu);
    ret->seconds = (double)(bench_now_ns() - start) / 1e9;
    usleep(SETTLE_US);
    if (count) {
        *ret_calls = syscount_total(count, ret_by_number);
    }
    ret->cpu_ns = s->is_native ? native_cpu : proc_tree_cpu_ns(s->d.pid) - cpu_before;
    if (!s->is_native) {
        ret->rss = proc_tree_peak_rss(s->d.pid);
        ret->fds = daemon_count_fds(s->d.pid);
    }
    summarise(s, ret);
    for (unsigned i = 0; rc == 0 && s->wl->after && i < s->n_lanes; i++) {
        rc = s->wl->after(&s->lanes[i]);
    }
    return rc < 0 && !s->error[0] ? session_fail(s, rc, "%s: error %d", s->wl->name, rc) : rc;
}
