/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts the parts together: proto has share and daemon, libqtest has QEMU, libqvirtio the queues.
 */
#include "libqfs.h"

#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#define RAM_SIZE ((size_t)96 << 20)
/* Below lies what PCs keep in the first megabyte, which is no plain memory. */
#define RAM_START ((size_t)1 << 20)

#define WANTED_FEATURES                                                                            \
    ((1ULL << VIRTIO_F_VERSION_1) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC) |                        \
     (1ULL << VIRTIO_RING_F_EVENT_IDX) | (1ULL << VIRTIO_F_RING_PACKED))

static void start_daemon(struct qfs *q)
{
    struct daemon_setup setup = {.keep_fd = -1};
    struct proto *p = q->p;
    g_auto(GStrv) argv = proto_command(p, q->opts.args);

    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
}

char *qfs_device_words(const struct qfs *q)
{
    return g_strdup_printf("vhost-user-fs-pci,id=fs,chardev=fs0,tag=share,num-request-queues=%u,"
                           "queue-size=%u,packed=%s",
                           q->opts.request_queues, q->opts.queue_size,
                           q->opts.packed ? "on" : "off");
}

static void start_qemu(struct qfs *q)
{
    g_autofree char *chardev = g_strdup_printf("socket,id=fs0,path=%s", q->p->sock);
    g_autofree char *device = qfs_device_words(q);
    const char *words[] = {"-chardev", chardev, "-device", device, NULL};

    if (q->opts.no_device) {
        words[0] = NULL;
    }
    qtest_start(&q->qts, q->p->base, q->opts.machine, RAM_SIZE,
                q->opts.keep_fd ? q->opts.keep_fd : -1, words);
}

struct qfs *qfs_start(const struct qfs_opts *opts)
{
    struct qfs *q = g_new0(struct qfs, 1);

    if (opts) {
        q->opts = *opts;
    }
    q->opts.machine = q->opts.machine ? q->opts.machine : "q35";
    q->opts.request_queues = q->opts.request_queues ? q->opts.request_queues : 1;
    q->opts.queue_size = q->opts.queue_size ? q->opts.queue_size : 128;
    q->p = proto_new();
    start_daemon(q);
    start_qemu(q);
    return q;
}

void qfs_probe(struct qfs *q)
{
    g_assert_true(qvirtio_probe(&q->qts, VIRTIO_ID_FS, &q->dev));
}

void qfs_drive(struct qfs *q, bool with_init)
{
    struct proto *p = q->p;
    struct fc_config fc = {.slots = q->opts.slots, .data_size = 256 << 10};
    struct fc_init_params init = {0};

    qvirtio_negotiate(&q->dev, WANTED_FEATURES);
    g_assert_cmpint(!!(q->dev.features & (1ULL << VIRTIO_F_RING_PACKED)), ==, q->opts.packed);
    p->vmm.ram = (struct guest_ram){
        .base = q->qts.ram, .size = q->qts.ram_size, .used = RAM_START, .memfd = q->qts.ram_fd};
    p->vmm.config.timeout_ms = frontend_timeout_ms();
    p->vmm.n_queues = q->opts.request_queues + 1;
    p->vmm.features = q->dev.features;
    for (unsigned i = 0; i < p->vmm.n_queues; i++) {
        qvirtio_setup_queue(&q->dev, &p->vmm.ram, i, &p->vmm.queues[i]);
        g_assert_cmpuint(p->vmm.queues[i].size, ==, q->opts.queue_size);
    }
    qvirtio_driver_ok(&q->dev);
    OK(p, fc_init_client(&p->fc, &p->vmm, &fc));
    p->q = fc_rq(&p->fc, 0);
    if (with_init) {
        OK(p, fc_init(p->q, &init, NULL));
    }
}

void qfs_forget(struct qfs *q)
{
    struct vmm *vmm = &q->p->vmm;

    fc_done(&q->p->fc);
    for (unsigned i = 0; i < vmm->n_queues; i++) {
        vqueue_done(&vmm->queues[i]);
    }
    memset(vmm, 0, sizeof(*vmm));
    vmm->sock = vmm->ram.memfd = -1; /* memory and connection are QEMU's, not proto's to close */
}

void qfs_free(struct qfs *q)
{
    qfs_forget(q);
    qtest_done(&q->qts);
    proto_free(q->p);
    g_free(q);
}

void qfs_stop(struct qfs *q)
{
    struct proto *p = q->p;

    qfs_forget(q);
    qtest_quit(&q->qts);
    qtest_done(&q->qts);
    g_free(q);
    proto_stop_exit(p, 0);
}
