/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target at work: its daemon started, a VMM connected, INIT done, each lane prepared.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc_tree.h"

#define START_TIMEOUT_MS 20000
#define KVM_HALT_POLL_US 200

int session_fail(struct session *s, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(s->error, sizeof(s->error), fmt, ap);
    va_end(ap);
    return rc < 0 ? rc : -EIO;
}

int lane_fail(struct lane *l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(l->s->error, sizeof(l->s->error), fmt, ap);
    va_end(ap);
    return -EIO;
}

/*
 * The n-th of the processors that the bench may use, for this thread and its children. Left alone,
 * a scheduler may put guest and daemon on one processor, where waking is cheap but a guest that
 * spins is in the daemon's way; a virtual machine looks like neither.
 */
static void use_processor(unsigned n)
{
    static cpu_set_t allowed;
    static bool is_known;
    cpu_set_t one;

    if (!is_known) {
        is_known = sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
    }
    CPU_ZERO(&one);
    for (unsigned cpu = 0; is_known && CPU_COUNT(&allowed) > 1 && cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof(one), &one); /* a wish */
            return;
        }
    }
}

static int start_daemon(struct session *s, const char *sock)
{
    const struct bench *b = s->bench;
    struct daemon_setup setup = {.keep_fd = -1};
    g_auto(GStrv) argv =
        daemon_command((const char *const *)b->templates[s->index], sock, b->dir, -1);
    int rc;

    if (b->pin) {
        use_processor(1);
    }
    rc = daemon_start(&s->d, argv, &setup);
    if (b->pin) {
        use_processor(0);
    }
    rc = rc ? rc : daemon_wait_log(&s->d, DAEMON_READY_TEXT, START_TIMEOUT_MS);
    if (rc < 0) {
        g_autofree char *log = s->d.log ? daemon_log(&s->d) : g_strdup("");

        return session_fail(s, rc, "%s does not start: %.300s", argv[0], log);
    }
    return 0;
}

/* Guest memory for all slots, and some for rings and tables. */
static size_t memory_size(const struct session *s, const struct fc_config *fc, unsigned queue_size)
{
    size_t slot = fc->data_size + FC_ARGS_SIZE + FC_OUT_SIZE + 4096;
    size_t queue = (size_t)queue_size * VQUEUE_INDIRECT_MAX * 16 + (1 << 20);

    return (size_t)(s->bench->queues + 1) * (fc->slots * slot + queue);
}

static int connect_guest(struct session *s, const char *sock, unsigned depth)
{
    const struct bench *b = s->bench;
    unsigned queue_size = MAX(MAX(b->queue_size, s->wl->queue_size), 64);
    struct fc_config fc = {.slots = MAX(depth, 16), .data_size = MAX(s->wl->data_size, 4096)};
    struct vmm_config vmm = {.mem_size = memory_size(s, &fc, queue_size),
                             .request_queues = b->queues,
                             .queue_size = queue_size,
                             .spin_us = b->guest == GUEST_HALT ? KVM_HALT_POLL_US : 0,
                             .busy_poll = b->guest == GUEST_POLL};
    int rc = vmm_start(&s->vmm, sock, &vmm);

    if (rc < 0) {
        return session_fail(s, rc, "vhost-user: %s", s->vmm.error);
    }
    rc = fc_init_client(&s->fc, &s->vmm, &fc);
    rc = rc ? rc : fc_init(fc_rq(&s->fc, 0), NULL, NULL);
    return rc < 0 ? session_fail(s, rc, "INIT: %d %s", rc, s->fc.error) : 0;
}

static void init_lane(struct session *s, unsigned id)
{
    struct lane *l = &s->lanes[id];

    l->s = s;
    l->id = id;
    l->q = s->is_native ? NULL : fc_rq(&s->fc, id % s->bench->queues);
    l->rng = 0x2545f4914f6cdd1dULL * (id + 1);
    l->known = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    l->latency = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    l->fd = l->dirfd = -1;
    for (unsigned i = 0; i < BENCH_META_FILES; i++) {
        l->fds[i] = -1;
    }
}

static int start_lanes(struct session *s, unsigned depth)
{
    /* system calls wait for their end: a native lane is a queue */
    s->n_lanes = s->bench->queues * (s->is_native ? 1 : depth);
    s->lanes = g_new0(struct lane, s->n_lanes);
    for (unsigned i = 0; i < s->n_lanes; i++) {
        int rc;

        init_lane(s, i);
        rc = s->wl->begin ? s->wl->begin(&s->lanes[i]) : 0;
        if (rc < 0) {
            return s->error[0] ? rc : session_fail(s, rc, "preparing %s: %d", s->wl->name, rc);
        }
    }
    return 0;
}

int session_start(struct session *s, const struct bench *b, unsigned index,
                  const struct workload *wl)
{
    g_autofree char *name = g_strdup_printf("vhost-%u.sock", index);
    g_autofree char *sock = g_build_filename(b->base, name, NULL);
    unsigned depth = b->depth ? b->depth : MAX(wl->depth, 1);
    int rc = 0;

    memset(s, 0, sizeof(*s));
    *s = (struct session){.bench = b, .wl = wl, .index = index, .is_native = !b->templates[index]};
    s->d.pidfd = s->d.err_fd = s->vmm.sock = s->vmm.ram.memfd = -1;
    g_mutex_init(&s->hiprio_lock);
    if (s->is_native && !wl->native) {
        return session_fail(s, -ENOTSUP, "%s has no native form", wl->name);
    }
    if (!s->is_native) {
        rc = start_daemon(s, sock);
        rc = rc ? rc : connect_guest(s, sock, depth);
        s->idle_rss = rc ? 0 : proc_tree_rss(s->d.pid);
    }
    return rc ? rc : start_lanes(s, depth);
}

static void free_lane(struct lane *l)
{
    int fds[] = {l->fd, l->dirfd};

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    for (unsigned i = 0; i < BENCH_META_FILES; i++) {
        if (l->fds[i] >= 0) {
            close(l->fds[i]);
        }
    }
    g_array_free(l->known, TRUE);
    g_array_free(l->latency, TRUE);
}

void session_stop(struct session *s)
{
    for (unsigned i = 0; i < s->n_lanes; i++) {
        if (s->lanes[i].s) {
            free_lane(&s->lanes[i]);
        }
    }
    g_free(s->lanes);
    fc_done(&s->fc);
    vmm_stop(&s->vmm);
    if (s->d.pid > 0) {
        (void)daemon_wait_exit(&s->d, 5000); /* whoever does not leave is killed below */
    }
    daemon_done(&s->d);
    g_mutex_clear(&s->hiprio_lock);
}
