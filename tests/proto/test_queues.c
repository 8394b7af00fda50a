/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings in motion: several queues at once, stops with requests in flight, restarts, every feature
 * on and off.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID

struct job {
    struct proto *p;
    struct fc_queue *q;
    unsigned rounds;
    uint64_t nodeid; /* of every round */
    uint64_t fh;
    uint64_t got; /* references taken */
    int failed;   /* the first wrong result */
    GThread *thread;
};

static void run_jobs(struct proto *p, struct job *jobs, unsigned n, GThreadFunc func)
{
    for (unsigned i = 0; i < n; i++) {
        jobs[i].p = p;
        jobs[i].q = fc_rq(&p->fc, i);
        jobs[i].thread = g_thread_new("guest-cpu", func, &jobs[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        g_thread_join(jobs[i].thread);
        OK(p, jobs[i].failed);
    }
}

static void *lookup_often(void *opaque)
{
    struct job *job = opaque;
    struct fuse_entry_out e;

    for (unsigned i = 0; i < job->rounds && !job->failed; i++) {
        job->failed = fc_lookup(job->q, ROOT, "one", &e);
        if (job->failed == 0 && job->nodeid && job->nodeid != e.nodeid) {
            job->failed = -ESTALE;
        }
        job->nodeid = e.nodeid;
        job->got++;
    }
    return NULL;
}

static void storm_of_lookups_gives_one_node(void)
{
    struct proto_opts o = {.vmm.request_queues = 4};
    struct proto *p = proto_start(&o);

    for (int round = 0; round < 20; round++) {
        struct job jobs[4] = {{.rounds = 50}, {.rounds = 50}, {.rounds = 50}, {.rounds = 50}};
        uint64_t refs = 0;

        proto_write_file(p, "one", "");
        run_jobs(p, jobs, 4, lookup_often);
        for (unsigned i = 0; i < 4; i++) {
            g_assert_cmpuint(jobs[i].nodeid, ==, jobs[0].nodeid);
            refs += jobs[i].got;
        }
        /* every reference was counted: one less and it would be gone, one more and it would stay */
        OK(p, fc_forget(fc_hiprio(&p->fc), jobs[0].nodeid, refs - 1));
        OK(p, fc_getattr(p->q, jobs[0].nodeid, NULL, NULL));
        OK(p, fc_forget(fc_hiprio(&p->fc), jobs[0].nodeid, 1));
        EXPECT_ERROR(p, fc_getattr(p->q, jobs[0].nodeid, NULL, NULL));
        g_assert_cmpint(unlink(proto_path(p, "one")), ==, 0);
    }
    proto_expect_lines_at_most(p, 0);
    proto_stop(p);
}

static void *lookup_and_forget(void *opaque)
{
    struct job *job = opaque;
    struct fuse_entry_out e;

    for (unsigned i = 0; i < job->rounds && !job->failed; i++) {
        job->failed = fc_lookup(job->q, ROOT, "one", &e);
        job->failed = job->failed ?: fc_getattr(job->q, e.nodeid, NULL, NULL);
        job->failed = job->failed ?: fc_forget(job->q, e.nodeid, 1);
    }
    return NULL;
}

static void lookups_race_with_forgets(void)
{
    struct proto_opts o = {.vmm.request_queues = 4};
    struct proto *p = proto_start(&o);
    struct job jobs[4] = {{.rounds = 1000}, {.rounds = 1000}, {.rounds = 1000}, {.rounds = 1000}};
    int before;

    proto_write_file(p, "one", "");
    OK(p, fc_forget(fc_hiprio(&p->fc), proto_lookup(p, ROOT, "one"), 1));
    before = daemon_count_fds(p->d.pid);
    run_jobs(p, jobs, 4, lookup_and_forget);
    g_assert_cmpint(daemon_count_fds(p->d.pid), ==, before);
    proto_expect_lines_at_most(p, 0);
    proto_stop(p);
}

static void *files_of_its_own(void *opaque)
{
    struct job *job = opaque;
    struct fuse_entry_out e;
    char out[512];
    char in[512];

    for (unsigned i = 0; i < job->rounds && !job->failed; i++) {
        g_autofree char *name = g_strdup_printf("f-%u-%u", job->q->vq->index, i);
        g_autofree char *other = g_strconcat(name, "-renamed", NULL);

        memset(out, (int)(job->q->vq->index * 16 + i), sizeof(out));
        job->failed = fc_create(job->q, ROOT, name, O_RDWR | O_CREAT, 0644, &e, &job->fh);
        if (job->failed) {
            break;
        }
        if (fc_write(job->q, e.nodeid, job->fh, 0, out, sizeof(out), 0) != sizeof(out) ||
            fc_read(job->q, e.nodeid, job->fh, 0, in, sizeof(in)) != sizeof(in) ||
            memcmp(in, out, sizeof(in)) != 0) {
            job->failed = -EIO;
            break;
        }
        job->failed = fc_release(job->q, e.nodeid, job->fh) ?:
                      fc_rename(job->q, ROOT, name, ROOT, other) ?:
                      fc_unlink(job->q, ROOT, other) ?:
                      fc_forget(job->q, e.nodeid, 1);
    }
    return NULL;
}

static void four_queues_work_in_parallel(void)
{
    struct proto_opts o = {.vmm.request_queues = 4};
    struct proto *p = proto_start(&o);
    struct job jobs[4] = {{.rounds = 200}, {.rounds = 200}, {.rounds = 200}, {.rounds = 200}};

    run_jobs(p, jobs, 4, files_of_its_own);
    proto_stop(p);
}

static void sixty_four_queues(void)
{
    struct proto_opts o = {.vmm.request_queues = 64, .vmm.mem_size = 256 << 20, .fc.slots = 2};
    struct proto *p = proto_start(&o);

    g_assert_cmpuint(p->vmm.max_queues, >=, 65);
    for (unsigned i = 0; i < 64; i++) {
        OK(p, fc_getattr(fc_rq(&p->fc, i), ROOT, NULL, NULL));
    }
    proto_stop(p);
}

/* Fills the queue with reads of different places, then takes them back in any order. */
static void deep_queue(const struct proto_opts *opts, unsigned depth)
{
    struct proto *p = proto_start(opts);
    g_autofree uint8_t *content = g_malloc(depth * 64);
    struct fuse_entry_out e;
    uint64_t fh;

    OK(p, fc_create(p->q, ROOT, "deep", O_RDWR | O_CREAT, 0644, &e, &fh));
    for (unsigned i = 0; i < depth * 64; i++) {
        content[i] = (uint8_t)(i / 64 + i);
    }
    g_assert_true(g_file_set_contents_full(proto_path(p, "deep"), (char *)content, depth * 64, 0,
                                           0644, NULL));
    for (int round = 0; round < 3; round++) {
        unsigned queued = 0;

        for (unsigned i = 0; i < depth; i++) {
            struct fc_req *req = fc_get(p->q);
            struct fuse_read_in in = {.fh = fh, .offset = i * 64, .size = 64};

            g_assert_nonnull(req);
            fc_begin(req, FUSE_READ, e.nodeid);
            fc_arg_bytes(req, &in, sizeof(in));
            fc_expect(req, 0, 64, false);
            req->user = content + i * 64;
            if (fc_submit(req) == -ENOSPC) {
                fc_put(req);
                break;
            }
            queued++;
        }
        g_assert_cmpuint(queued, >, 8);
        fc_kick(p->q);
        while (queued > 0) {
            struct fc_req *req = fc_reap(p->q, p->fc.timeout_ms);

            g_assert_nonnull(req);
            OK(p, req->error);
            g_assert_cmpmem(req->data, 64, req->user, 64);
            fc_put(req);
            queued--;
        }
        g_assert_cmpuint(vqueue_in_flight(p->q->vq), ==, 0);
    }
    proto_stop(p);
}

static void thousand_in_flight(void)
{
    struct proto_opts o = {.vmm.queue_size = 1024, .fc = {.slots = 1000, .data_size = 4096}};

    deep_queue(&o, 1000);
}

static void ring_full_of_direct_chains(void)
{
    struct proto_opts o = {.vmm.direct = true, .fc = {.slots = 100, .data_size = 4096}};

    deep_queue(&o, 100);
}

static void without_event_idx(void)
{
    struct proto_opts o = {.vmm.features_off = 1ULL << VIRTIO_RING_F_EVENT_IDX,
                           .fc = {.slots = 100, .data_size = 4096}};

    deep_queue(&o, 100);
}

static void without_indirect(void)
{
    struct proto_opts o = {.vmm.features_off = 1ULL << VIRTIO_RING_F_INDIRECT_DESC,
                           .fc = {.slots = 100, .data_size = 4096}};

    deep_queue(&o, 100);
}

static void driver_that_polls(void)
{
    struct proto_opts o = {.vmm.busy_poll = true, .fc = {.slots = 100, .data_size = 4096}};

    deep_queue(&o, 100);
}

static void driver_that_polls_without_event_idx(void)
{
    struct proto_opts o = {
        .vmm = {.busy_poll = true, .features_off = 1ULL << VIRTIO_RING_F_EVENT_IDX},
        .fc = {.slots = 100, .data_size = 4096}};

    deep_queue(&o, 100);
}

static void smallest_ring(void)
{
    struct proto_opts o = {.vmm.queue_size = 2, .fc.layout = FC_JOINED};
    struct proto *p = proto_start(&o);

    for (int i = 0; i < 100; i++) {
        EXPECT_ALIVE(p);
    }
    proto_stop(p);
}

/* GET_VRING_BASE: what was taken from the ring is finished, what was not stays for later. */
static void stop_with_requests_in_flight(void)
{
    struct proto_opts o = {.vmm.request_queues = 2, .fc = {.slots = 100, .data_size = 1 << 16}};
    struct proto *p = proto_start(&o);
    struct vqueue *vq = &p->vmm.queues[1];
    uint64_t n = proto_make(p, "big", "");
    uint64_t fh;

    g_assert_cmpint(truncate(proto_path(p, "big"), 64 << 20), ==, 0);
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    for (int round = 0; round < 20; round++) {
        unsigned left = 100;
        uint16_t base;

        for (unsigned i = 0; i < left; i++) {
            struct fc_req *req = fc_get(p->q);
            struct fuse_read_in in = {.fh = fh, .offset = i << 16, .size = 1 << 16};

            g_assert_nonnull(req);
            fc_begin(req, FUSE_READ, n);
            fc_arg_bytes(req, &in, sizeof(in));
            fc_expect(req, 0, 1 << 16, false);
            OK(p, fc_submit(req));
        }
        vqueue_kick_always(vq);
        OK(p, vmm_stop_queue(&p->vmm, 1, &base));
        g_assert_cmpuint(vq->used->idx, ==, base); /* all that was taken is answered */
        while (vq->last_used != base) {
            struct fc_req *req = fc_reap(p->q, 0);

            g_assert_nonnull(req);
            OK(p, req->error);
            fc_put(req);
            left--;
        }
        g_assert_null(fc_reap(p->q, 0));
        OK(p, fc_getattr(fc_rq(&p->fc, 1), ROOT, NULL, NULL));
        OK(p, vmm_start_queue(&p->vmm, 1));
        vqueue_kick_always(vq);
        while (left > 0) {
            struct fc_req *req = fc_reap(p->q, p->fc.timeout_ms);

            g_assert_nonnull(req);
            OK(p, req->error);
            fc_put(req);
            left--;
        }
    }
    proto_expect_lines_at_most(p, 0);
    proto_stop(p);
}

static void ring_index_wraps(void)
{
    struct proto *p = proto_start(NULL);

    OK(p, vmm_stop_queue(&p->vmm, 1, NULL));
    vqueue_reset(p->q->vq, 65500);
    fc_queue_reset(p->q);
    OK(p, vmm_start_queue(&p->vmm, 1));
    for (int i = 0; i < 100; i++) {
        EXPECT_ALIVE(p);
    }
    g_assert_cmpuint(p->q->vq->last_used, ==, 64);
    proto_stop(p);
}

static void disabled_ring_waits(void)
{
    struct proto_opts o = {.vmm.request_queues = 2};
    struct proto *p = proto_start(&o);
    struct fc_req *req = fc_get(p->q);

    OK(p, vmm_enable_queue(&p->vmm, 1, false));
    fc_begin(req, FUSE_GETATTR, ROOT);
    fc_arg(req, sizeof(struct fuse_getattr_in));
    fc_expect(req, sizeof(struct fuse_attr_out), 0, false);
    OK(p, fc_submit(req));
    vqueue_kick_always(p->q->vq);
    for (int i = 0; i < 50; i++) {
        OK(p, fc_getattr(fc_rq(&p->fc, 1), ROOT, NULL, NULL));
    }
    g_assert_null(fc_reap(p->q, 0));
    OK(p, vmm_enable_queue(&p->vmm, 1, true));
    g_assert_true(fc_reap(p->q, p->fc.timeout_ms) == req); /* without another kick */
    OK(p, req->error);
    fc_put(req);
    proto_stop(p);
}

static void guest_reset_and_new_start(void)
{
    struct proto_opts o = {.vmm.request_queues = 4};
    struct proto *p = proto_start(&o);

    for (int round = 0; round < 10; round++) {
        proto_make(p, "file", "");
        for (unsigned q = 0; q < p->vmm.n_queues; q++) {
            OK(p, vmm_stop_queue(&p->vmm, q, NULL));
            vqueue_reset(&p->vmm.queues[q], 0);
            fc_queue_reset(&p->fc.queues[q]);
        }
        if (round & 1) {
            OK(p, vmm_msg(&p->vmm, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0));
        }
        for (unsigned q = 0; q < p->vmm.n_queues; q++) {
            OK(p, vmm_start_queue(&p->vmm, q));
        }
        OK(p, fc_init(p->q, NULL, NULL));
        EXPECT_ALIVE(p);
    }
    proto_expect_lines_at_most(p, 10); /* each reboot may be told */
    proto_stop(p);
}

static void reset_device_of_running_rings(void)
{
    struct proto *p = proto_start(NULL);

    OK(p, vmm_msg(&p->vmm, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0));
    for (unsigned q = 0; q < p->vmm.n_queues; q++) {
        vqueue_reset(&p->vmm.queues[q], 0);
        fc_queue_reset(&p->fc.queues[q]);
        OK(p, vmm_start_queue(&p->vmm, q));
    }
    OK(p, fc_init(p->q, NULL, NULL));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void disconnect_with_requests_in_flight(void)
{
    struct proto_opts o = {.vmm.request_queues = 4, .fc.slots = 32};
    struct proto *p = proto_start(&o);

    for (unsigned q = 0; q < 4; q++) {
        for (unsigned i = 0; i < 32; i++) {
            struct fc_req *req = fc_get(fc_rq(&p->fc, q));

            fc_begin(req, FUSE_SYNCFS, ROOT);
            fc_arg(req, sizeof(struct fuse_syncfs_in));
            OK(p, fc_submit(req));
        }
        fc_kick(fc_rq(&p->fc, q));
    }
    proto_stop(p);
}

static void interrupts_and_kicks_are_suppressed(void)
{
    struct proto_opts o = {.vmm.queue_size = 1024, .fc = {.slots = 500, .data_size = 4096}};
    struct proto *p = proto_start(&o);
    uint64_t calls = p->q->vq->n_calls;

    for (unsigned i = 0; i < 500; i++) {
        struct fc_req *req = fc_get(p->q);

        fc_begin(req, FUSE_GETATTR, ROOT);
        fc_arg(req, sizeof(struct fuse_getattr_in));
        fc_expect(req, sizeof(struct fuse_attr_out), 0, false);
        OK(p, fc_submit(req));
    }
    fc_kick(p->q);
    for (unsigned i = 0; i < 500; i++) {
        struct fc_req *req = fc_reap(p->q, p->fc.timeout_ms);

        g_assert_nonnull(req);
        OK(p, req->error);
        fc_put(req);
    }
    /* one for each request would be 500 */
    g_assert_cmpuint(p->q->vq->n_calls - calls, <, 250);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/queues/" #name, name)
    ADD(storm_of_lookups_gives_one_node);
    ADD(lookups_race_with_forgets);
    ADD(four_queues_work_in_parallel);
    ADD(sixty_four_queues);
    ADD(thousand_in_flight);
    ADD(ring_full_of_direct_chains);
    ADD(without_event_idx);
    ADD(without_indirect);
    ADD(driver_that_polls);
    ADD(driver_that_polls_without_event_idx);
    ADD(smallest_ring);
    ADD(stop_with_requests_in_flight);
    ADD(ring_index_wraps);
    ADD(disabled_ring_waits);
    ADD(guest_reset_and_new_start);
    ADD(reset_device_of_running_rings);
    ADD(disconnect_with_requests_in_flight);
    ADD(interrupts_and_kicks_are_suppressed);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
