/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is agreed upon with the front end, and guest memory that comes and goes in mid-life.
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

static void without_protocol_features(void)
{
    /* rings start enabled, memory comes in a table, nothing is acknowledged */
    struct proto_opts o = {.vmm.features_off = VHOST_USER_F_PROTOCOL_FEATURES};
    struct proto *p = proto_start(&o);

    g_assert_cmphex(p->vmm.protocol, ==, 0);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void without_reply_ack(void)
{
    struct proto_opts o = {.vmm.protocol_off = VHOST_USER_PROTOCOL_F_REPLY_ACK};
    struct proto *p = proto_start(&o);

    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void memory_as_a_table(void)
{
    struct proto_opts o = {.vmm = {.use_mem_table = true, .mem_regions = 8}};
    struct proto *p = proto_start(&o);

    EXPECT_ALIVE(p);
    OK(p, vmm_share_memory(&p->vmm)); /* the same once more, in mid-life */
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void offers(void)
{
    struct proto *p = proto_start(NULL);
    uint64_t virtio = (1ULL << VIRTIO_F_VERSION_1) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC) |
                      (1ULL << VIRTIO_RING_F_EVENT_IDX) | VHOST_USER_F_PROTOCOL_FEATURES;
    uint64_t protocol = VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |
                        VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD |
                        VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
                        VHOST_USER_PROTOCOL_F_RESET_DEVICE;

    g_assert_cmphex(p->vmm.offered & virtio, ==, virtio);
    g_assert_cmphex(p->vmm.protocol_offered & protocol, ==, protocol);
    g_assert_cmpuint(p->vmm.max_mem_slots, >=, 509);
    proto_stop(p);
}

static void five_hundred_and_nine_regions(void)
{
    struct proto_opts o = {.vmm = {.mem_regions = 509, .mem_size = 509 * (128 << 10)}};
    struct proto *p = proto_start(&o);

    EXPECT_ALIVE(p);
    for (unsigned i = 500; i < 509; i++) {
        struct vhost_user_region r = vmm_region(&p->vmm, i);

        OK(p, vmm_rem_region(&p->vmm, &r, -1));
        OK(p, vmm_add_region(&p->vmm, &r, p->vmm.ram.memfd));
    }
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void config_space_with_a_tag(void)
{
    static const char *const args[] = {"--tag=my-share", NULL};
    struct proto_opts o = {.args = args};
    struct proto *p = proto_start(&o);
    struct vhost_user_config config = {.size = sizeof(struct virtio_fs_space)};
    struct virtio_fs_space space;
    size_t size = offsetof(struct vhost_user_config, region) + sizeof(space);

    g_assert_true(p->vmm.protocol & VHOST_USER_PROTOCOL_F_CONFIG);
    OK(p, vmm_ask(&p->vmm, VHOST_USER_GET_CONFIG, &config, size, &config, size));
    memcpy(&space, config.region, sizeof(space));
    g_assert_cmpstr((char *)space.tag, ==, "my-share");
    g_assert_cmpuint(space.num_request_queues, >, 0);
    proto_stop(p);
}

static void one_front_end_at_a_time(void)
{
    struct proto *p = proto_start(NULL);
    struct vmm second;
    int rc;

    OK(p, vmm_init(&second, NULL));
    rc = vmm_connect(&second, p->sock);
    if (rc == 0) { /* taken into the backlog perhaps, but never served */
        uint64_t features;

        second.config.timeout_ms = 200;
        rc = vmm_ask_u64(&second, VHOST_USER_GET_FEATURES, &features);
    }
    g_assert_cmpint(rc, <, 0);
    vmm_stop(&second);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void *read_until_told(void *opaque)
{
    struct job *job = opaque;
    g_autofree uint8_t *buf = g_malloc(1 << 16);

    while (!__atomic_load_n(&job->rounds, __ATOMIC_RELAXED) && !job->failed) {
        int n = fc_read(job->q, job->nodeid, job->fh, 0, buf, 1 << 16);

        job->failed = n == 1 << 16 ? 0 : n < 0 ? n : -EIO;
        job->got++;
    }
    return NULL;
}

static void memory_comes_and_goes_during_io(void)
{
    struct proto *p = proto_start(NULL);
    struct job job = {.p = p, .q = p->q};
    struct vhost_user_region extra = {
        .gpa = p->vmm.ram.gpa + (1ULL << 36), .size = 2 << 20, .uva = 0x7e0000000000ULL};
    int fd = memfd_create("hotplug", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, 2 << 20), ==, 0);
    job.nodeid = proto_make(p, "file", "");
    g_assert_cmpint(truncate(proto_path(p, "file"), 1 << 16), ==, 0);
    OK(p, fc_open(p->q, job.nodeid, O_RDONLY, &job.fh));
    job.thread = g_thread_new("guest-cpu", read_until_told, &job);
    for (int i = 0; i < 100; i++) {
        OK(p, vmm_add_region(&p->vmm, &extra, fd));
        /* a descriptor along with REM_MEM_REG is closed unused */
        OK(p, vmm_rem_region(&p->vmm, &extra, i & 1 ? fd : -1));
    }
    __atomic_store_n(&job.rounds, 1, __ATOMIC_RELAXED);
    g_thread_join(job.thread);
    close(fd);
    OK(p, job.failed);
    g_assert_cmpuint(job.got, >, 0);
    proto_expect_lines_at_most(p, 0);
    proto_stop(p);
}

/* One GETATTR whose reply goes to guest address `out`; what the front end knows is not used. */
static void getattr_into(struct proto *p, struct vqueue *vq, uint64_t out)
{
    struct fuse_in_header *h = ram_alloc(&p->vmm.ram, 56, 8);

    *h = (struct fuse_in_header){.len = 56, .opcode = FUSE_GETATTR, .unique = 7, .nodeid = ROOT};
    vqueue_raw_desc(vq, 0, ram_gpa(&p->vmm.ram, h), 56, VRING_DESC_F_NEXT, 1);
    vqueue_raw_desc(vq, 1, out, 120, VRING_DESC_F_WRITE, 0);
    vqueue_raw_publish(vq, 0);
    vqueue_kick_always(vq);
}

static void added_memory_serves_and_removed_does_not(void)
{
    struct proto_opts o = {.vmm.request_queues = 2};
    struct proto *p = proto_start(&o);
    struct vqueue *vq = &p->vmm.queues[2];
    struct vhost_user_region extra = {
        .gpa = p->vmm.ram.gpa + (1ULL << 36), .size = 2 << 20, .uva = 0x7e0000000000ULL};
    int fd = memfd_create("hotplug", MFD_CLOEXEC);
    uint8_t *mem;
    const struct fuse_out_header *h;

    g_assert_cmpint(ftruncate(fd, 2 << 20), ==, 0);
    mem = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(mem != MAP_FAILED);
    h = (const struct fuse_out_header *)(mem + 4096);
    OK(p, vmm_add_region(&p->vmm, &extra, fd));
    getattr_into(p, vq, extra.gpa + 4096);
    OK(p, vqueue_wait(vq, p->fc.timeout_ms));
    g_assert_cmpuint(h->len, ==, 120);
    g_assert_cmpuint(h->unique, ==, 7);
    vq->last_used++;
    OK(p, vmm_rem_region(&p->vmm, &extra, -1));
    proto_log_mark(p);
    getattr_into(p, vq, extra.gpa + 8192);
    proto_expect_one_line(p);
    EXPECT_ALIVE(p);
    munmap(mem, 2 << 20);
    close(fd);
    proto_stop(p);
}

/* The ring's own memory goes: that ring ends, the daemon does not. */
static void memory_of_the_rings_is_removed(void)
{
    struct proto *p = proto_start(NULL);
    struct vhost_user_region r = vmm_region(&p->vmm, 0);
    uint64_t features;

    EXPECT_ANY(p, vmm_rem_region(&p->vmm, &r, -1) ?: -EREMOTEIO, -EREMOTEIO);
    vqueue_kick_always(p->q->vq);
    OK(p, vmm_ask_u64(&p->vmm, VHOST_USER_GET_FEATURES, &features));
    vmm_disconnect(&p->vmm);
    proto_stop_exit(p, 0);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/memory/" #name, name)
    ADD(without_protocol_features);
    ADD(without_reply_ack);
    ADD(memory_as_a_table);
    ADD(offers);
    ADD(five_hundred_and_nine_regions);
    ADD(config_space_with_a_tag);
    ADD(one_front_end_at_a_time);
    ADD(memory_comes_and_goes_during_io);
    ADD(added_memory_serves_and_removed_does_not);
    ADD(memory_of_the_rings_is_removed);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
