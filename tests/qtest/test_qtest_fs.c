/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon behind the real QEMU, with a guest that does only what a test wants: what it reads
 * and writes, how it is reset, paused, plugged and killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libqfs.h"

#define ROOT FUSE_ROOT_ID

/* Most tests run over both forms of ring; the argument says which. */
#define IS_PACKED(data) (GPOINTER_TO_UINT(data) == 1)

static void the_device_has_a_tag_and_queues(gconstpointer data)
{
    struct qfs_opts opts = {.request_queues = 3, .packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);
    char tag[37] = "";

    qfs_probe(q);
    for (unsigned i = 0; i < 36; i++) {
        tag[i] = (char)qtest_read(&q->qts, 'b', q->dev.device_config + i);
    }
    g_assert_cmpstr(tag, ==, "share");
    g_assert_cmpuint(qtest_read(&q->qts, 'l', q->dev.device_config + 36), ==, 3);
    g_assert_cmpuint(qvirtio_num_queues(&q->dev), ==, 4);
    qvirtio_negotiate(&q->dev, 1ULL << VIRTIO_F_VERSION_1);
    g_assert_cmpint(!!(q->dev.offered & (1ULL << VIRTIO_F_RING_PACKED)), ==, opts.packed);
    qfs_stop(q);
}

/* Writes through the guest, looks at the host, reads through the guest. */
static void round_trip(struct qfs *q, struct fc_queue *queue, const char *name)
{
    enum { SIZE = 200000 };
    g_autofree char *out = g_malloc(SIZE);
    g_autofree char *in = g_malloc0(SIZE);
    g_autofree char *on_host = NULL;
    struct fuse_entry_out entry;
    struct proto *p = q->p;
    uint64_t fh = 0;

    for (unsigned i = 0; i < SIZE; i++) {
        out[i] = (char)('a' + (i * 7 + i / 4096) % 26);
    }
    out[SIZE - 1] = '\0';
    OK(p, fc_create(queue, ROOT, name, O_RDWR | O_CREAT, 0644, &entry, &fh));
    EXPECT(p, fc_write(queue, entry.nodeid, fh, 0, out, SIZE, 0), SIZE);
    on_host = proto_read_file(p, name);
    g_assert_cmpstr(on_host, ==, out);
    EXPECT(p, fc_read(queue, entry.nodeid, fh, 0, in, SIZE), SIZE);
    g_assert_cmpint(memcmp(in, out, SIZE), ==, 0);
    OK(p, fc_release(queue, entry.nodeid, fh));
    OK(p, fc_lookup(queue, ROOT, name, &entry));
    OK(p, fc_forget(fc_hiprio(&p->fc), entry.nodeid, 2));
    EXPECT(p, fc_lookup(queue, ROOT, "no such name", &entry), -ENOENT);
}

static void files_go_there_and_back(gconstpointer data)
{
    struct qfs_opts opts = {.packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);

    qfs_probe(q);
    qfs_drive(q, true);
    g_assert_cmpuint(q->p->fc.init.major, ==, 7);
    round_trip(q, q->p->q, "file");
    qfs_stop(q);
}

static void every_queue_is_served(gconstpointer data)
{
    struct qfs_opts opts = {.request_queues = 4, .packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);

    qfs_probe(q);
    qfs_drive(q, true);
    for (unsigned i = 0; i < 4; i++) {
        g_autofree char *name = g_strdup_printf("file-%u", i);

        round_trip(q, fc_rq(&q->p->fc, i), name);
    }
    qfs_stop(q);
}

static struct fc_req *submit_read(struct fc_queue *queue, uint64_t nodeid, uint64_t fh,
                                  uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    struct fc_req *req = fc_get(queue);

    if (!req) {
        return NULL;
    }
    fc_begin(req, FUSE_READ, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, 0, size, false);
    if (fc_submit(req) < 0) {
        fc_put(req);
        return NULL;
    }
    return req;
}

/* A file whose every 512 bytes say where they are, open. */
static uint64_t open_numbered(struct qfs *q, unsigned blocks, uint64_t *ret_fh)
{
    FILE *f = fopen(proto_path(q->p, "numbered"), "w");
    uint64_t nodeid = 0;

    g_assert_nonnull(f);
    for (unsigned i = 0; i < blocks; i++) {
        fprintf(f, "%511u\n", i);
    }
    fclose(f);
    nodeid = proto_lookup(q->p, ROOT, "numbered");
    OK(q->p, fc_open(q->p->q, nodeid, O_RDONLY, ret_fh));
    return nodeid;
}

static void check_numbered(struct fc_req *req, uint64_t offset)
{
    g_autofree char *text = g_strndup((const char *)req->data, 511);

    g_assert_cmpint(req->error, ==, 0);
    g_assert_cmpuint(g_ascii_strtoull(g_strchug(text), NULL, 10), ==, offset / 512);
}

static void a_queue_of_1024_is_filled(gconstpointer data)
{
    enum { DEPTH = 1000 };
    struct qfs_opts opts = {.queue_size = 1024, .slots = 64, .packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);
    unsigned posted = 0;
    unsigned done = 0;
    uint64_t nodeid = 0;
    uint64_t fh = 0;

    qfs_probe(q);
    qfs_drive(q, true);
    nodeid = open_numbered(q, 4 * DEPTH, &fh);
    while (done < 4 * DEPTH) {
        struct fc_req *req = NULL;

        while (posted < 4 * DEPTH && (req = submit_read(q->p->q, nodeid, fh, posted * 512, 512))) {
            req->user_time = posted++ * 512;
        }
        fc_kick(q->p->q);
        while ((req = fc_reap(q->p->q, done < posted ? 5000 : 0))) {
            check_numbered(req, req->user_time);
            fc_put(req);
            done++;
            if (done == posted) {
                break;
            }
        }
        g_assert_cmpuint(done, ==, posted);
    }
    qfs_stop(q);
}

static unsigned count_threads(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autofree char *kids_path = g_strdup_printf("/proc/%d/task/%d/children", (int)pid, (int)pid);
    g_autofree char *kids = NULL;
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    while (dir && g_dir_read_name(dir)) {
        n++;
    }
    if (dir) {
        g_dir_close(dir);
    }
    if (g_file_get_contents(kids_path, &kids, NULL, NULL) && *kids) {
        n += count_threads((pid_t)g_ascii_strtoll(kids, NULL, 10));
    }
    return n;
}

static unsigned resident_kib(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *kids_path = g_strdup_printf("/proc/%d/task/%d/children", (int)pid, (int)pid);
    g_autofree char *text = NULL;
    g_autofree char *kids = NULL;
    const char *line = NULL;
    unsigned kib = 0;

    if (g_file_get_contents(path, &text, NULL, NULL) && (line = strstr(text, "RssAnon:"))) {
        kib = (unsigned)g_ascii_strtoull(g_strchug((char *)(uintptr_t)line + 8), NULL, 10);
    }
    if (g_file_get_contents(kids_path, &kids, NULL, NULL) && *kids) {
        kib += resident_kib((pid_t)g_ascii_strtoll(kids, NULL, 10));
    }
    return kib;
}

#ifdef __SANITIZE_ADDRESS__
#define MAY_GROW_KIB 300000 /* what was freed is kept for a while, to be caught when it is used */
#else
#define MAY_GROW_KIB 600
#endif

static unsigned cycles(void)
{
    const char *text = g_getenv("QTEST_CYCLES");

    return text ? (unsigned)atoi(text) : 50;
}

static void reset_and_init_again(gconstpointer data)
{
    struct qfs_opts opts = {.packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);
    unsigned threads = 0;
    unsigned kib = 0;
    int fds = 0;

    qfs_probe(q);
    proto_write_file(q->p, "file", "text");
    for (unsigned i = 0; i < cycles(); i++) {
        struct fuse_entry_out entry;
        uint64_t fh = 0;

        qfs_drive(q, true);
        /* left open, referenced and in the middle of things: the reset takes it away */
        OK(q->p, fc_lookup(q->p->q, ROOT, "file", &entry));
        OK(q->p, fc_open(q->p->q, entry.nodeid, O_RDONLY, &fh));
        g_assert_nonnull(submit_read(q->p->q, entry.nodeid, fh, 0, 512));
        fc_kick(q->p->q);
        if (i == 9) { /* everything has found its size by now */
            fds = daemon_count_fds(q->p->d.pid);
            threads = count_threads(q->p->d.pid);
            kib = resident_kib(q->p->d.pid);
        }
        if (i + 1 == cycles()) {
            fprintf(stderr,
                    "after 10 and after %u cycles: %d and %d descriptors, %u and %u "
                    "threads, %u and %u KiB\n",
                    i + 1, fds, daemon_count_fds(q->p->d.pid), threads, count_threads(q->p->d.pid),
                    kib, resident_kib(q->p->d.pid));
            g_assert_cmpint(daemon_count_fds(q->p->d.pid), ==, fds);
            g_assert_cmpuint(count_threads(q->p->d.pid), ==, threads);
            /* a leak of 100 bytes a cycle would show over 10,000 of them */
            g_assert_cmpuint(resident_kib(q->p->d.pid), <, kib + MAY_GROW_KIB);
        }
        qvirtio_reset(&q->dev);
        qfs_forget(q);
    }
    qfs_drive(q, true);
    round_trip(q, q->p->q, "last");
    qfs_stop(q);
}

static void a_machine_reset_begins_anew(gconstpointer data)
{
    struct qfs_opts opts = {.packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);

    qfs_probe(q);
    for (unsigned i = 0; i < 5; i++) {
        g_autofree char *name = g_strdup_printf("file-%u", i);

        qfs_drive(q, true);
        round_trip(q, q->p->q, name);
        g_assert_true(qtest_qmp(&q->qts, "{'execute': 'system_reset'}"));
        qtest_wait_event(&q->qts, "RESET");
        qfs_forget(q);
        qfs_probe(q); /* the BAR is gone, too */
        g_assert_cmpuint(qvirtio_status(&q->dev), ==, 0);
    }
    qfs_drive(q, true);
    round_trip(q, q->p->q, "last");
    qfs_stop(q);
}

/* Everything of a ring that a device writes to, in either form. */
static GBytes *snapshot(const struct vqueue *vq)
{
    size_t desc_len = vq->size * sizeof(*vq->desc);
    size_t used_len = sizeof(*vq->used) + vq->size * sizeof(vq->used->ring[0]) + 2;
    g_autofree uint8_t *copy = g_malloc(desc_len + used_len);

    memcpy(copy, vq->desc, desc_len);
    memcpy(copy + desc_len, vq->used, used_len);
    return g_bytes_new(copy, desc_len + used_len);
}

/* "The back-end must complete all inflight I/O requests for the specified vring before stopping".
 */
static void stop_answers_what_is_out_and_cont_goes_on(gconstpointer data)
{
    enum { DEPTH = 14 };
    struct qfs_opts opts = {.packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);
    uint64_t nodeid = 0;
    uint64_t fh = 0;

    qfs_probe(q);
    qfs_drive(q, true);
    nodeid = open_numbered(q, 512 * DEPTH, &fh);
    for (unsigned round = 0; round < 10; round++) {
        g_autoptr(GBytes) before = NULL;
        g_autoptr(GBytes) after = NULL;

        for (unsigned i = 0; i < DEPTH; i++) {
            struct fc_req *req = submit_read(q->p->q, nodeid, fh, i * 262144, 262144);

            g_assert_nonnull(req);
            req->user_time = i * 262144;
        }
        fc_kick(q->p->q);
        g_assert_true(qtest_qmp(&q->qts, "{'execute': 'stop'}"));
        /* what was not answered by now is not answered until cont */
        before = snapshot(q->p->q->vq);
        g_usleep(20000);
        after = snapshot(q->p->q->vq);
        g_assert_true(g_bytes_equal(before, after));
        g_assert_true(qtest_qmp(&q->qts, "{'execute': 'cont'}"));
        fc_kick(q->p->q);
        for (unsigned i = 0; i < DEPTH; i++) {
            struct fc_req *req = fc_reap(q->p->q, 5000);

            g_assert_nonnull(req);
            check_numbered(req, req->user_time);
            fc_put(req);
        }
    }
    /* neither the guest's inodes nor its open files were lost */
    OK(q->p, fc_getattr(q->p->q, nodeid, &fh, NULL));
    round_trip(q, q->p->q, "last");
    qfs_stop(q);
}

/* ACPI hot-unplug of a PCI device on a "pc": the guest's part is one write to this port. */
#define ACPI_PCI_EJECT 0xae08

static void add_chardev(struct qfs *q)
{
    g_assert_true(qtest_qmp(&q->qts,
                            "{'execute': 'chardev-add', 'arguments': {'id': 'fs0', 'backend': "
                            "{'type': 'socket', 'data': {'server': false, 'addr': {'type': 'unix', "
                            "'data': {'path': '%s'}}}}}}",
                            q->p->sock));
}

static void add_device(struct qfs *q)
{
    bool added = false;

    /* the one before may not have let go of its chardev yet */
    for (unsigned i = 0; !added && i < 100; i++) {
        g_usleep(i ? 20000 : 0);
        added = qtest_qmp(&q->qts,
                          "{'execute': 'device_add', 'arguments': {'driver': "
                          "'vhost-user-fs-pci', 'id': 'fs', 'chardev': 'fs0', 'tag': 'share', "
                          "'packed': %s}}",
                          q->opts.packed ? "true" : "false");
    }
    g_assert_true(added);
}

static void remove_device(struct qfs *q)
{
    g_assert_true(qtest_qmp(&q->qts, "{'execute': 'device_del', 'arguments': {'id': 'fs'}}"));
    qtest_out(&q->qts, 'l', ACPI_PCI_EJECT, 1u << q->dev.pci.slot);
    qtest_wait_event(&q->qts, "DEVICE_DELETED");
    g_assert_false(qvirtio_probe(&q->qts, VIRTIO_ID_FS, &q->dev));
}

static void unplug(struct qfs *q)
{
    bool removed = false;

    remove_device(q);
    /* the device is gone for the guest at once, its last reference some time later */
    for (unsigned i = 0; !removed && i < 100; i++) {
        g_usleep(20000);
        removed = qtest_qmp(&q->qts, "{'execute': 'chardev-remove', 'arguments': {'id': 'fs0'}}");
    }
    g_assert_true(removed);
}

static void the_device_is_unplugged_and_plugged(gconstpointer data)
{
    static const char *const args[] = {"--keep-listening", NULL};
    struct qfs_opts opts = {
        .machine = "pc", .packed = IS_PACKED(data), .no_device = true, .args = args};
    struct qfs *q = qfs_start(&opts);
    struct proto *p = q->p;

    for (unsigned i = 0; i < 5; i++) {
        g_autofree char *name = g_strdup_printf("file-%u", i);

        add_chardev(q);
        add_device(q);
        qfs_probe(q);
        qfs_drive(q, true);
        round_trip(q, p->q, name);
        /* the first time with requests out, which nobody will reap */
        (void)submit_read(p->q, ROOT, 0, 0, 512);
        fc_kick(p->q);
        unplug(q);
        qfs_forget(q);
    }
    qtest_quit(&q->qts);
    qtest_done(&q->qts);
    g_free(q);
    /* it keeps listening, and ends when it is told to */
    EXPECT(p, daemon_wait_exit(&p->d, 200), -ETIMEDOUT);
    daemon_signal(&p->d, SIGTERM);
    proto_stop_exit(p, 0);
}

/* The same connection may have to do for the next device, which says everything anew. */
static void the_connection_outlives_the_device(gconstpointer data)
{
    struct qfs_opts opts = {.machine = "pc", .packed = IS_PACKED(data), .no_device = true};
    struct qfs *q = qfs_start(&opts);

    add_chardev(q);
    for (unsigned i = 0; i < 5; i++) {
        g_autofree char *name = g_strdup_printf("file-%u", i);

        add_device(q);
        qfs_probe(q);
        qfs_drive(q, true);
        round_trip(q, q->p->q, name);
        qfs_forget(q);
        remove_device(q);
    }
    qfs_stop(q);
}

struct io_thread {
    struct qfs *q;
    uint64_t nodeid;
    uint64_t fh;
    int stop; /* atomic */
    unsigned done;
};

static void *keep_reading(void *opaque)
{
    struct io_thread *io = opaque;
    struct fc_queue *queue = io->q->p->q;

    while (!g_atomic_int_get(&io->stop)) {
        struct fc_req *reqs[8];

        for (unsigned i = 0; i < 8; i++) {
            reqs[i] = submit_read(queue, io->nodeid, io->fh, i * 4096, 4096);
            g_assert_nonnull(reqs[i]);
            reqs[i]->user_time = i * 4096;
        }
        fc_kick(queue);
        for (unsigned i = 0; i < 8; i++) {
            struct fc_req *req = fc_reap(queue, 5000);

            g_assert_nonnull(req);
            check_numbered(req, req->user_time);
            fc_put(req);
            io->done++;
        }
    }
    return NULL;
}

#define DIMM_SIZE ((size_t)128 << 20)
#define DIMM_GPA  (1ULL << 32)

/* The guest's part of unplugging memory: which slot, and the bit that lets it go. */
#define ACPI_MEMORY_SLOT    0xa00
#define ACPI_MEMORY_CONTROL 0xa14
#define ACPI_MEMORY_EJECT   8

static void plug_memory(struct qfs *q, int fd)
{
    g_assert_true(qtest_qmp(&q->qts,
                            "{'execute': 'object-add', 'arguments': {'qom-type': "
                            "'memory-backend-file', 'id': 'extra', 'size': %zu, 'share': true, "
                            "'mem-path': '/proc/self/fd/%d'}}",
                            DIMM_SIZE, fd));
    g_assert_true(qtest_qmp(&q->qts,
                            "{'execute': 'device_add', 'arguments': {'driver': 'pc-dimm', 'id': "
                            "'dimm', 'memdev': 'extra', 'addr': %" G_GUINT64_FORMAT "}}",
                            (uint64_t)DIMM_GPA));
}

static void unplug_memory(struct qfs *q)
{
    g_assert_true(qtest_qmp(&q->qts, "{'execute': 'device_del', 'arguments': {'id': 'dimm'}}"));
    qtest_out(&q->qts, 'l', ACPI_MEMORY_SLOT, 0);
    qtest_out(&q->qts, 'b', ACPI_MEMORY_CONTROL, ACPI_MEMORY_EJECT);
    qtest_wait_event(&q->qts, "DEVICE_DELETED");
    g_assert_true(qtest_qmp(&q->qts, "{'execute': 'object-del', 'arguments': {'id': 'extra'}}"));
}

/* A READ whose data goes to the memory that was plugged in, on the hiprio queue. */
static void read_into_dimm(struct qfs *q, const struct io_thread *io, const uint8_t *dimm)
{
    struct fc_queue *queue = fc_hiprio(&q->p->fc);
    struct fc_req *req = fc_get(queue);
    struct fuse_read_in in = {.fh = io->fh, .offset = 512 * 7, .size = 512};
    struct vq_seg segs[3];
    g_autofree char *text = NULL;

    g_assert_nonnull(req);
    fc_begin(req, FUSE_READ, io->nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_header(req)->len = req->in_used;
    segs[0] = (struct vq_seg){ram_gpa(queue->vq->ram, req->in), req->in_used};
    segs[1] = (struct vq_seg){ram_gpa(queue->vq->ram, req->out), sizeof(struct fuse_out_header)};
    segs[2] = (struct vq_seg){DIMM_GPA + DIMM_SIZE - 512, 512};
    req->out_data = 512;
    req->state = FC_IN_FLIGHT;
    g_assert_cmpint(vqueue_add(queue->vq, segs, 1, 2, req), ==, 0);
    fc_kick(queue);
    g_assert_true(fc_reap(queue, 5000) == req);
    g_assert_cmpint(req->error, ==, 0);
    text = g_strndup((const char *)dimm + DIMM_SIZE - 512, 511);
    g_assert_cmpuint(g_ascii_strtoull(g_strchug(text), NULL, 10), ==, 7);
    fc_put(req);
}

static void memory_comes_and_goes_during_io(gconstpointer data)
{
    int fd = memfd_create("dimm", 0);
    struct qfs_opts opts = {.packed = IS_PACKED(data), .keep_fd = fd};
    struct io_thread io = {0};
    GThread *thread = NULL;
    uint8_t *dimm = NULL;

    g_assert_cmpint(ftruncate(fd, (off_t)DIMM_SIZE), ==, 0);
    dimm = mmap(NULL, DIMM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(dimm != MAP_FAILED);
    io.q = qfs_start(&opts);
    qfs_probe(io.q);
    qfs_drive(io.q, true);
    io.nodeid = open_numbered(io.q, 64, &io.fh);
    thread = g_thread_new("guest-cpu", keep_reading, &io);
    for (unsigned i = 0; i < 5; i++) {
        plug_memory(io.q, fd);
        read_into_dimm(io.q, &io, dimm);
        memset(dimm + DIMM_SIZE - 512, 0, 512);
        unplug_memory(io.q);
    }
    g_atomic_int_set(&io.stop, 1);
    g_thread_join(thread);
    g_assert_cmpuint(io.done, >, 0);
    qfs_stop(io.q);
    munmap(dimm, DIMM_SIZE);
    close(fd);
}

static void keep_busy(struct qfs *q)
{
    uint64_t fh = 0;
    uint64_t nodeid = open_numbered(q, 8192, &fh);

    for (unsigned i = 0; i < 14; i++) {
        g_assert_nonnull(submit_read(q->p->q, nodeid, fh, i * 262144, 262144));
    }
    fc_kick(q->p->q);
}

static void the_daemon_ends_after_a_killed_qemu(gconstpointer data)
{
    for (unsigned i = 0; i < 3; i++) {
        struct qfs_opts opts = {.packed = IS_PACKED(data)};
        struct qfs *q = qfs_start(&opts);
        struct proto *p = q->p;

        qfs_probe(q);
        qfs_drive(q, true);
        keep_busy(q);
        daemon_signal(&q->qts.qemu, SIGKILL);
        OK(p, daemon_wait_exit(&q->qts.qemu, frontend_timeout_ms()));
        qfs_forget(q);
        qtest_done(&q->qts);
        g_free(q);
        proto_stop_exit(p, 0);
    }
}

/* QEMU cannot go on with the device, but it must live, and so must the rest of the machine. */
static void qemu_survives_a_killed_daemon(gconstpointer data)
{
    struct qfs_opts opts = {.packed = IS_PACKED(data)};
    struct qfs *q = qfs_start(&opts);

    qfs_probe(q);
    qfs_drive(q, true);
    keep_busy(q);
    daemon_signal(&q->p->d, SIGKILL);
    OK(q->p, daemon_wait_exit(&q->p->d, frontend_timeout_ms())); /* the worker is gone as well */
    g_assert_true(qtest_qmp(&q->qts, "{'execute': 'query-status'}"));
    qvirtio_reset(&q->dev);
    g_assert_true(qtest_qmp(&q->qts, "{'execute': 'query-status'}"));
    qtest_quit(&q->qts);
    qfs_free(q);
}

static void add_both(const char *name, void (*func)(gconstpointer data))
{
    g_autofree char *split = g_strdup_printf("/qtest/%s/split", name);
    g_autofree char *packed = g_strdup_printf("/qtest/%s/packed", name);

    proto_add_with(split, func, GUINT_TO_POINTER(0));
    proto_add_with(packed, func, GUINT_TO_POINTER(1));
}

#define ADD(f) add_both(#f, f)

static void add_tests(void)
{
    ADD(the_device_has_a_tag_and_queues);
    ADD(files_go_there_and_back);
    ADD(every_queue_is_served);
    ADD(a_queue_of_1024_is_filled);
    ADD(reset_and_init_again);
    ADD(a_machine_reset_begins_anew);
    ADD(stop_answers_what_is_out_and_cont_goes_on);
    ADD(the_device_is_unplugged_and_plugged);
    ADD(the_connection_outlives_the_device);
    ADD(memory_comes_and_goes_during_io);
    ADD(the_daemon_ends_after_a_killed_qemu);
    ADD(qemu_survives_a_killed_daemon);
}

int main(int argc, char **argv)
{
    g_autofree char *qemu = qtest_binary();

    if (!qemu) {
        fprintf(stderr, "there is no qemu-system-x86_64 here\n");
        return g_getenv("CI") ? 1 : 77;
    }
    return proto_main(argc, argv, add_tests);
}
