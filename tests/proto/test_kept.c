/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a back end writes down beside its rings: the dirty log of a migration against the bytes
 * that really changed, inflight regions against a daemon that is killed under load, the status of
 * the device; and a daemon that keeps listening.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT FUSE_ROOT_ID
#define PAGE 4096u

#define LOG_ALL         (1ULL << 26)
#define VRING_F_LOG     1u
#define F_STATUS        VHOST_USER_PROTOCOL_F_STATUS
#define F_LOG_SHMFD     VHOST_USER_PROTOCOL_F_LOG_SHMFD
#define F_INFLIGHT      VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD
#define F_BASE_INFLIGHT (1ULL << 20)

struct inflight_msg {
    uint64_t size;
    uint64_t offset;
    uint16_t queues;
    uint16_t queue_size;
    uint32_t padding;
};

/* ---- the dirty log ---- */

struct dirty {
    struct proto *p;
    uint8_t *bits;
    size_t size;
    uint8_t *before; /* a copy of all memory */
    uint8_t *may;    /* for each page: may be marked */
};

static void set_log(struct dirty *d, bool on)
{
    struct vmm *vmm = &d->p->vmm;
    uint64_t features = on ? vmm->features | LOG_ALL : vmm->features & ~LOG_ALL;

    OK(d->p, vmm_msg(vmm, VHOST_USER_SET_FEATURES, &features, sizeof(features), NULL, 0));
    vmm->features = features;
    for (unsigned q = 0; q < vmm->n_queues; q++) {
        const struct vqueue *vq = &vmm->queues[q];
        /* as QEMU says it, to a ring that runs: nothing but flag and log address are new */
        struct vhost_user_vring_addr addr = {
            .index = q,
            .flags = on ? VRING_F_LOG : 0,
            .desc = (uint64_t)(uintptr_t)vq->desc,
            .used = (uint64_t)(uintptr_t)vq->used,
            .avail = (uint64_t)(uintptr_t)vq->avail,
            .log = on ? ram_gpa(&vmm->ram, vq->used) : 0,
        };

        OK(d->p, vmm_msg(vmm, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0));
    }
}

static void start_log(struct dirty *d)
{
    const struct guest_ram *ram = &d->p->vmm.ram;
    int fd = memfd_create("log", MFD_CLOEXEC);
    uint64_t words[2] = {(ram->gpa + ram->size) / PAGE / 8, 0};
    uint64_t answer = 1;
    struct vhost_user_header header;
    struct {
        struct vhost_user_header header;
        uint64_t words[2];
    } __attribute__((packed)) msg = {
        .header = {VHOST_USER_SET_LOG_BASE, VHOST_USER_VERSION, sizeof(words)},
        .words = {words[0], words[1]},
    };

    d->size = words[0];
    g_assert_cmpint(ftruncate(fd, (off_t)d->size), ==, 0);
    d->bits = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(d->bits != MAP_FAILED);
    /* it is answered whether an answer was asked for or not */
    OK(d->p, vmm_send_bytes(&d->p->vmm, &msg, sizeof(msg), &fd, 1));
    OK(d->p, vmm_recv(&d->p->vmm, &header, &answer, sizeof(answer)));
    g_assert_cmpuint(header.request, ==, VHOST_USER_SET_LOG_BASE);
    g_assert_cmpuint(answer, ==, 0);
    close(fd);
    set_log(d, true);
}

static bool is_marked(const struct dirty *d, const uint8_t *at)
{
    uint64_t page = ram_gpa(&d->p->vmm.ram, at) / PAGE;

    return d->bits[page / 8] & (1u << (page % 8));
}

static void may_write(struct dirty *d, const void *at, size_t len)
{
    const struct guest_ram *ram = &d->p->vmm.ram;
    size_t first = (size_t)((const uint8_t *)at - ram->base) / PAGE;
    size_t last = ((size_t)((const uint8_t *)at - ram->base) + len - 1) / PAGE;

    memset(d->may + first, 1, last - first + 1);
}

/* Nothing changed without its bit, and no bit is set where nothing was written. */
static unsigned compare(struct dirty *d)
{
    const struct guest_ram *ram = &d->p->vmm.ram;
    unsigned changed = 0;

    for (size_t page = 0; page < ram->size / PAGE; page++) {
        const uint8_t *at = ram->base + page * PAGE;
        bool has_changed = memcmp(at, d->before + page * PAGE, PAGE) != 0;

        if (has_changed && !is_marked(d, at)) {
            g_error("page %zu was written and not marked", page);
        }
        if (is_marked(d, at) && !d->may[page]) {
            g_error("page %zu is marked, and nothing was written there", page);
        }
        changed += has_changed;
    }
    return changed;
}

static struct fc_req *queue_read(struct proto *p, uint64_t nodeid, uint64_t fh, uint64_t offset,
                                 uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    struct fc_req *req = fc_get(p->q);

    g_assert_nonnull(req);
    fc_begin(req, FUSE_READ, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, 0, size, false);
    OK(p, fc_submit(req));
    return req;
}

static bool all_used(const struct vqueue *vq, unsigned n)
{
    if (!vq->packed) {
        return (uint16_t)(__atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE) - vq->last_used) == n;
    }
    for (unsigned i = 0; i < n; i++) {
        uint16_t flags =
            __atomic_load_n(&vq->packed_desc[vq->last_used + i].flags, __ATOMIC_ACQUIRE);

        if (!(flags & 1u << VRING_PACKED_DESC_F_USED)) {
            return false;
        }
    }
    return true;
}

static void the_log_has_every_page_that_was_written(gconstpointer data)
{
    enum { READS = 12, SIZE = 3 * PAGE };
    struct proto_opts o = {
        .vmm = {.packed = GPOINTER_TO_UINT(data) & 1,
                .features_off = GPOINTER_TO_UINT(data) & 2 ? 1ULL << 29 /* EVENT_IDX */ : 0,
                .mem_size = 8 << 20,
                .mem_regions = 3,
                .queue_size = 32,
                .features_on = LOG_ALL,
                .protocol_on = F_LOG_SHMFD},
        .fc = {.data_size = 32 << 10}};
    struct proto *p = proto_start(&o);
    struct dirty d = {.p = p};
    struct vqueue *vq = &p->vmm.queues[1];
    g_autofree char *text = g_strnfill(READS * SIZE, 'x');
    uint64_t fh = 0;
    uint64_t nodeid = proto_make(p, "file", text);

    OK(p, fc_open(p->q, nodeid, O_RDONLY, &fh));
    start_log(&d);
    OK(p, vmm_enable_queue(&p->vmm, 1, false));
    d.may = g_malloc0(p->vmm.ram.size / PAGE);
    for (unsigned q = 0; q < p->vmm.n_queues; q++) {
        const struct vqueue *any = &p->vmm.queues[q];

        may_write(&d, any->used, sizeof(*vq->used) + vq->size * sizeof(vq->used->ring[0]) + 2);
        if (any->packed) {
            may_write(&d, any->desc, vq->size * sizeof(*vq->desc));
        }
    }
    for (unsigned i = 0; i < READS; i++) {
        struct fc_req *req = queue_read(p, nodeid, fh, i * SIZE, SIZE);

        may_write(&d, req->out, FC_OUT_SIZE);
        may_write(&d, req->data, SIZE);
    }
    /* from here on nobody but the daemon writes */
    memset(d.bits, 0, d.size);
    d.before = g_memdup2(p->vmm.ram.base, p->vmm.ram.size);
    OK(p, vmm_enable_queue(&p->vmm, 1, true));
    for (unsigned i = 0; !all_used(vq, READS) && i < 5000; i++) {
        g_usleep(1000);
    }
    OK(p, vmm_stop_queue(&p->vmm, 1, NULL)); /* all of it is in the log by now */
    g_assert_cmpuint(compare(&d), >=, READS * SIZE / PAGE);

    /* and without the log, nothing is marked */
    for (unsigned i = 0; i < READS; i++) {
        struct fc_req *req = fc_reap(p->q, 1000);

        g_assert_nonnull(req);
        OK(p, req->error);
        fc_put(req);
    }
    set_log(&d, false);
    OK(p, vmm_start_queue(&p->vmm, 1));
    memset(d.bits, 0, d.size);
    OK(p, fc_getattr(p->q, nodeid, NULL, NULL));
    for (size_t i = 0; i < d.size; i++) {
        g_assert_cmpuint(d.bits[i], ==, 0);
    }
    munmap(d.bits, d.size);
    g_free(d.before);
    g_free(d.may);
    proto_stop(p);
}

/* ---- the status of the device ---- */

static uint64_t get_status(struct proto *p)
{
    uint64_t status = 0;

    OK(p, vmm_ask_u64(&p->vmm, VHOST_USER_GET_STATUS, &status));
    return status;
}

static int set_status(struct proto *p, uint64_t status)
{
    return vmm_msg(&p->vmm, VHOST_USER_SET_STATUS, &status, sizeof(status), NULL, 0);
}

static void the_status_is_kept_and_tells_of_broken_rings(void)
{
    struct proto_opts o = {.vmm = {.protocol_on = F_STATUS, .request_queues = 2}};
    struct proto *p = proto_start(&o);
    struct fc_queue *other = fc_rq(&p->fc, 1);

    g_assert_cmphex(get_status(p), ==, 0);
    OK(p, set_status(p, 0xf));
    g_assert_cmphex(get_status(p), ==, 0xf);
    EXPECT(p, set_status(p, 0x100), -EREMOTEIO);
    /* a ring that is broken shows in the status, until it is stopped */
    vqueue_raw_desc(&p->vmm.queues[1], 0, 1, 100, 0, 0);
    vqueue_raw_publish(&p->vmm.queues[1], 0);
    vqueue_kick_always(&p->vmm.queues[1]);
    for (unsigned i = 0; get_status(p) == 0xf && i < 1000; i++) {
        g_usleep(1000);
    }
    g_assert_cmphex(get_status(p), ==, 0x4f);
    OK(p, set_status(p, 0x4f)); /* as a front end adds to what it has read */
    OK(p, fc_getattr(other, ROOT, NULL, NULL));
    /* 0 resets the rings and leaves the guest's session alone: a paused VM does this as well */
    OK(p, set_status(p, 0));
    g_assert_cmphex(get_status(p), ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        vqueue_reset(&p->vmm.queues[i], 0);
        fc_queue_reset(&p->fc.queues[i]);
        OK(p, vmm_start_queue(&p->vmm, i));
    }
    OK(p, fc_getattr(p->q, ROOT, NULL, NULL));
    proto_stop(p);
}

/* ---- inflight regions ---- */

static int get_inflight(struct proto *p, struct inflight_msg *ret_msg)
{
    struct inflight_msg ask = {.queues = (uint16_t)p->vmm.n_queues,
                               .queue_size = (uint16_t)p->vmm.queues[0].size};
    struct {
        struct vhost_user_header header;
        struct inflight_msg msg;
    } __attribute__((packed))
    out = {.header = {VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_VERSION, sizeof(ask)}, .msg = ask};
    int fd = -1;

    OK(p, vmm_send_bytes(&p->vmm, &out, sizeof(out), NULL, 0));
    OK(p, vmm_recv_fd(&p->vmm, &out.header, ret_msg, sizeof(*ret_msg), &fd));
    g_assert_cmpuint(out.header.request, ==, VHOST_USER_GET_INFLIGHT_FD);
    g_assert_cmpuint(out.header.size, ==, sizeof(*ret_msg));
    return fd;
}

static void start_life(struct proto *p, const struct proto_opts *o)
{
    struct daemon_setup setup = {.keep_fd = -1};
    g_auto(GStrv) argv = proto_command(p, o->args);

    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    OK(p, vmm_connect(&p->vmm, p->sock));
    OK(p, vmm_negotiate_again(&p->vmm));
    OK(p, vmm_share_memory(&p->vmm));
}

static void start_rings(struct proto *p, const struct inflight_msg *regions, int fd)
{
    OK(p, vmm_msg(&p->vmm, VHOST_USER_SET_INFLIGHT_FD, regions, sizeof(*regions), &fd, 1));
    for (unsigned i = 0; i < p->vmm.n_queues; i++) {
        OK(p, vmm_start_queue(&p->vmm, i));
    }
}

static void end_life(struct proto *p)
{
    daemon_signal(&p->d, SIGKILL);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    daemon_done(&p->d);
    vmm_disconnect(&p->vmm);
}

static struct fc_req *queue_lookup(struct fc_queue *q)
{
    struct fc_req *req = fc_get(q);

    if (req) {
        fc_begin(req, FUSE_LOOKUP, ROOT);
        fc_arg_name(req, "file");
        fc_expect(req, sizeof(struct fuse_entry_out), 0, false);
        if (fc_submit(req) < 0) {
            fc_put(req);
            return NULL;
        }
    }
    return req;
}

struct tally {
    uint64_t posted;
    uint64_t answered;
};

static void keep_full_for(struct proto *p, struct tally *t, gint64 us)
{
    gint64 until = g_get_monotonic_time() + us;

    while (g_get_monotonic_time() < until) {
        for (unsigned i = 0; i + 1 < p->vmm.n_queues; i++) {
            struct fc_queue *q = fc_rq(&p->fc, i);
            struct fc_req *req = NULL;

            while (queue_lookup(q)) {
                t->posted++;
            }
            fc_kick(q);
            /* a second answer to a chain is -EPROTO in the ring, which reap reports */
            while ((req = fc_reap(q, 0))) {
                OK(p, req->error);
                t->answered++;
                fc_put(req);
            }
            g_assert_cmpstr(p->fc.error, ==, "");
        }
    }
}

static unsigned lives(void)
{
    const char *text = g_getenv("KEPT_LIVES");

    return text ? (unsigned)atoi(text) : 15;
}

static void a_daemon_killed_under_load_loses_no_request(gconstpointer data)
{
    struct proto_opts o = {.vmm = {.packed = GPOINTER_TO_UINT(data) & 1,
                                   .request_queues = 2,
                                   .protocol_on = F_INFLIGHT | F_BASE_INFLIGHT},
                           .no_connect = true};
    struct proto *p = proto_new();
    struct inflight_msg regions;
    struct tally t = {0};
    int fd = -1;

    proto_write_file(p, "file", "text");
    OK(p, vmm_init(&p->vmm, &o.vmm));
    for (unsigned life = 0; life < lives(); life++) {
        start_life(p, &o);
        if (life == 0) {
            struct fc_init_params init = {0};

            for (unsigned q = 0; q < p->vmm.n_queues; q++) {
                vqueue_reset(&p->vmm.queues[q], 0);
            }
            fd = get_inflight(p, &regions);
            start_rings(p, &regions, fd);
            OK(p, fc_init_client(&p->fc, &p->vmm, &o.fc));
            p->q = fc_rq(&p->fc, 0);
            OK(p, fc_init(p->q, &init, NULL));
        } else {
            start_rings(p, &regions, fd);
        }
        keep_full_for(p, &t, g_random_int_range(2000, 30000));
        if (life + 1 < lives()) {
            end_life(p);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct fc_queue *q = fc_rq(&p->fc, i);
        struct fc_req *req = NULL;

        while (vqueue_in_flight(q->vq) > 0 && (req = fc_reap(q, 5000))) {
            OK(p, req->error);
            t.answered++;
            fc_put(req);
        }
    }
    g_assert_cmpuint(t.answered, ==, t.posted);
    g_assert_cmpuint(t.answered, >, lives());
    fprintf(stderr, "%u lives, %" G_GUINT64_FORMAT " requests\n", lives(), t.answered);
    close(fd);
    proto_stop(p);
}

static void inflight_regions_are_checked(void)
{
    struct proto_opts o = {.vmm = {.protocol_on = F_INFLIGHT}};
    struct proto *p = proto_start(&o);
    struct inflight_msg regions;
    struct inflight_msg wrong;
    int fd = get_inflight(p, &regions);
    struct vmm *vmm = &p->vmm;

    wrong = regions;
    wrong.queues = 100;
    EXPECT(p, vmm_msg(vmm, VHOST_USER_SET_INFLIGHT_FD, &wrong, sizeof(wrong), &fd, 1), -EREMOTEIO);
    wrong = regions;
    wrong.size = 1ULL << 40;
    EXPECT(p, vmm_msg(vmm, VHOST_USER_SET_INFLIGHT_FD, &wrong, sizeof(wrong), &fd, 1), -EREMOTEIO);
    wrong = regions;
    wrong.queue_size = 0;
    EXPECT(p, vmm_msg(vmm, VHOST_USER_SET_INFLIGHT_FD, &wrong, sizeof(wrong), &fd, 1), -EREMOTEIO);
    OK(p, vmm_msg(vmm, VHOST_USER_SET_INFLIGHT_FD, &regions, sizeof(regions), &fd, 1));
    /* rings that run take the regions over, and go on */
    OK(p, fc_getattr(p->q, ROOT, NULL, NULL));
    OK(p, vmm_stop_queue(vmm, 1, NULL));
    OK(p, vmm_start_queue(vmm, 1));
    OK(p, fc_getattr(p->q, ROOT, NULL, NULL));
    close(fd);
    proto_stop(p);
}

/* ---- one front end after the other ---- */

static void it_keeps_listening_when_told_to(void)
{
    static const char *const args[] = {"--keep-listening", NULL};
    struct proto_opts o = {.args = args};
    struct proto *p = proto_start(&o);
    int fds = 0;

    proto_write_file(p, "file", "");
    for (unsigned i = 0; i < MAX(20, lives()); i++) {
        struct fuse_entry_out entry;

        OK(p, fc_lookup(p->q, ROOT, "file", &entry));
        fc_done(&p->fc);
        vmm_stop(&p->vmm);
        proto_connect(p, &o);
        /* what the one before knew is gone, and so is what the daemon kept for it */
        EXPECT_ERROR(p, fc_getattr(p->q, entry.nodeid, NULL, NULL));
        fds = i == 2 ? daemon_count_fds(p->d.pid) : fds;
    }
    g_assert_cmpint(daemon_count_fds(p->d.pid), ==, fds);
    g_assert_cmpuint(daemon_log_lines(&p->d, DAEMON_READY_TEXT), ==, 1);
    /* one that breaks the protocol does not keep the next one out */
    OK(p, vmm_send_bytes(&p->vmm, "nonsense, of which twelve bytes are read", 40, NULL, 0));
    OK(p, vmm_wait_closed(&p->vmm, frontend_timeout_ms()));
    fc_done(&p->fc);
    vmm_stop(&p->vmm);
    proto_connect(p, &o);
    EXPECT_ALIVE(p);
    vmm_disconnect(&p->vmm);
    EXPECT(p, daemon_wait_exit(&p->d, 100), -ETIMEDOUT);
    daemon_signal(&p->d, SIGTERM);
    proto_stop_exit(p, 0);
}

static void add_forms(const char *name, void (*func)(gconstpointer data), unsigned cnt)
{
    static const char *const forms[] = {"split", "packed", "split_flags", "packed_flags"};

    for (unsigned i = 0; i < cnt; i++) {
        g_autofree char *path = g_strdup_printf("/kept/%s/%s", name, forms[i]);

        proto_add_with(path, func, GUINT_TO_POINTER(i));
    }
}

static void add_tests(void)
{
    add_forms("the_log_has_every_page_that_was_written", the_log_has_every_page_that_was_written,
              4);
    add_forms("a_daemon_killed_under_load_loses_no_request",
              a_daemon_killed_under_load_loses_no_request, 2);
    proto_add("/kept/inflight_regions_are_checked", inflight_regions_are_checked);
    proto_add("/kept/the_status_is_kept_and_tells_of_broken_rings",
              the_status_is_kept_and_tells_of_broken_rings);
    proto_add("/kept/it_keeps_listening_when_told_to", it_keeps_listening_when_told_to);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
