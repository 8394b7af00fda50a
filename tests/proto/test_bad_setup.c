/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device set up wrongly over vhost-user: rings of no size or in no memory, regions that wrap or
 * overlap, tables whose numbers do not fit. Refused in one line, and the process ends by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "proto.h"

enum stage { CONNECTED, NEGOTIATED, SHARED, STARTED };

static struct proto *reach(enum stage stage, const struct vmm_config *config)
{
    static const struct proto_opts o = {.no_connect = true};
    struct proto *p = proto_start(&o);

    OK(p, vmm_init(&p->vmm, config));
    OK(p, vmm_connect(&p->vmm, p->sock));
    if (stage >= NEGOTIATED) {
        OK(p, vmm_negotiate(&p->vmm));
    } else {
        uint64_t features;

        /* an answer shows that whatever is said about a connection has been said */
        OK(p, vmm_ask_u64(&p->vmm, VHOST_USER_GET_FEATURES, &features));
    }
    if (stage >= SHARED) {
        OK(p, vmm_share_memory(&p->vmm));
    }
    for (unsigned q = 0; stage >= STARTED && q < p->vmm.n_queues; q++) {
        OK(p, vmm_start_queue(&p->vmm, q));
    }
    proto_log_mark(p);
    return p;
}

static void expect_end(struct proto *p)
{
    OK(p, vmm_wait_closed(&p->vmm, frontend_timeout_ms()));
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    EXPECT(p, (int)(daemon_log_lines(&p->d, NULL) - p->log_mark), 1);
    proto_stop_alive(p);
}

/* rc is what vmm_msg() said about a bad message, sent with REPLY_ACK. */
static void expect_refused(struct proto *p, int rc)
{
    uint64_t features;

    if (rc != -EREMOTEIO) {
        EXPECT_ANY(p, rc, -ECONNRESET, -EPIPE);
        expect_end(p);
        return;
    }
    proto_expect_one_line(p);
    OK(p, vmm_ask_u64(&p->vmm, VHOST_USER_GET_FEATURES, &features));
    proto_expect_lines_at_most(p, 1);
    vmm_disconnect(&p->vmm);
    proto_stop_exit(p, 0);
}

static int send_state(struct proto *p, uint32_t request, uint32_t index, uint32_t num)
{
    struct vhost_user_vring_state state = {.index = index, .num = num};

    return vmm_msg(&p->vmm, request, &state, sizeof(state), NULL, 0);
}

static void bad_state(enum stage stage, uint32_t request, uint32_t index, uint32_t num)
{
    struct proto *p = reach(stage, NULL);

    expect_refused(p, send_state(p, request, index, num));
}

static void vring_num_zero(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_NUM, 0, 0);
}

static void vring_num_not_a_power_of_two(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_NUM, 0, 100);
}

static void vring_num_too_large(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_NUM, 0, 65536);
}

static void vring_index_too_large(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_NUM, 1000, 128);
}

static void vring_index_of_four_billion(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_BASE, 0xffffffff, 0);
}

static void vring_base_too_large(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_BASE, 0, 0x10000);
}

static void enable_of_no_vring(void)
{
    bad_state(SHARED, VHOST_USER_SET_VRING_ENABLE, 1000, 1);
}

static void num_of_a_running_vring(void)
{
    struct proto *p = reach(STARTED, NULL);
    int rc = send_state(p, VHOST_USER_SET_VRING_NUM, 1, 64);

    /* no, or a ring that goes on; but not a ring of two sizes */
    if (rc == 0) {
        vmm_disconnect(&p->vmm);
        proto_stop_exit(p, 0);
    } else {
        expect_refused(p, rc);
    }
}

static void get_vring_base_of_no_vring(void)
{
    struct proto *p = reach(SHARED, NULL);
    struct vhost_user_vring_state state = {.index = 1000};
    int rc =
        vmm_ask(&p->vmm, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), &state, sizeof(state));

    EXPECT_ANY(p, rc, -ECONNRESET, -EPIPE, -EPROTO);
    vmm_disconnect(&p->vmm);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    proto_stop_alive(p);
}

static int send_addr(struct proto *p, struct vhost_user_vring_addr addr)
{
    return vmm_msg(&p->vmm, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

static struct vhost_user_vring_addr good_addr(struct proto *p)
{
    const struct vqueue *vq = &p->vmm.queues[1];

    return (struct vhost_user_vring_addr){.index = 1,
                                          .desc = (uint64_t)(uintptr_t)vq->desc,
                                          .used = (uint64_t)(uintptr_t)vq->used,
                                          .avail = (uint64_t)(uintptr_t)vq->avail};
}

/* Tries to start a ring whose addresses are wrong; any of the steps may refuse. */
static void bad_ring(struct vhost_user_vring_addr (*spoil)(struct proto *))
{
    struct proto *p = reach(SHARED, NULL);
    struct vqueue *vq = &p->vmm.queues[1];
    uint64_t index = 1;
    int rc = send_state(p, VHOST_USER_SET_VRING_NUM, 1, vq->size);

    rc = rc ? rc : send_state(p, VHOST_USER_SET_VRING_BASE, 1, 0);
    rc = rc ? rc : send_addr(p, spoil(p));
    rc = rc ? rc
            : vmm_msg(&p->vmm, VHOST_USER_SET_VRING_KICK, &index, sizeof(index), &vq->kick_fd, 1);
    rc = rc ? rc : vmm_enable_queue(&p->vmm, 1, true);
    vqueue_kick_always(vq);
    if (rc == 0) {
        /* the ring is broken when it starts, and the connection goes on */
        proto_expect_one_line(p);
        rc = -EREMOTEIO;
    }
    expect_refused(p, rc);
}

static struct vhost_user_vring_addr spoil_desc(struct proto *p)
{
    struct vhost_user_vring_addr a = good_addr(p);

    a.desc = 0x1000;
    return a;
}

static struct vhost_user_vring_addr spoil_used(struct proto *p)
{
    struct vhost_user_vring_addr a = good_addr(p);

    a.used = (uint64_t)(uintptr_t)p->vmm.ram.base + p->vmm.ram.size - 16;
    return a;
}

static struct vhost_user_vring_addr spoil_avail(struct proto *p)
{
    struct vhost_user_vring_addr a = good_addr(p);

    a.avail = UINT64_MAX - 1;
    return a;
}

static struct vhost_user_vring_addr spoil_alignment(struct proto *p)
{
    struct vhost_user_vring_addr a = good_addr(p);

    a.desc += 8;
    return a;
}

static struct vhost_user_vring_addr spoil_as_guest_address(struct proto *p)
{
    struct vhost_user_vring_addr a = good_addr(p);

    a.desc = ram_gpa(&p->vmm.ram, p->vmm.queues[1].desc);
    return a;
}

#define BAD_RING(name)                                                                             \
    static void ring_##name(void)                                                                  \
    {                                                                                              \
        bad_ring(spoil_##name);                                                                    \
    }
BAD_RING(desc)
BAD_RING(used)
BAD_RING(avail)
BAD_RING(alignment)
BAD_RING(as_guest_address)

static void kick_before_its_prerequisites(void)
{
    struct proto *p = reach(NEGOTIATED, NULL);
    uint64_t index = 1;
    int rc = vmm_msg(&p->vmm, VHOST_USER_SET_VRING_KICK, &index, sizeof(index),
                     &p->vmm.queues[1].kick_fd, 1);

    rc = rc ? rc : vmm_enable_queue(&p->vmm, 1, true);
    vqueue_kick_always(&p->vmm.queues[1]);
    if (rc == 0) {
        proto_expect_one_line(p);
        rc = -EREMOTEIO;
    }
    expect_refused(p, rc);
}

static void kick_without_an_fd(void)
{
    struct proto *p = reach(SHARED, NULL);
    uint64_t index = 1;

    expect_refused(p, vmm_msg(&p->vmm, VHOST_USER_SET_VRING_KICK, &index, sizeof(index), NULL, 0));
}

static void kick_that_is_a_file(void)
{
    struct proto *p = reach(SHARED, NULL);
    uint64_t index = 1;

    expect_refused(p, vmm_msg(&p->vmm, VHOST_USER_SET_VRING_KICK, &index, sizeof(index),
                              &p->vmm.ram.memfd, 1));
}

static void kick_of_no_vring(void)
{
    struct proto *p = reach(SHARED, NULL);
    uint64_t index = 255;
    uint64_t wild = 0xffffffffffffff00ULL;
    int rc = vmm_msg(&p->vmm, VHOST_USER_SET_VRING_KICK, &index, sizeof(index),
                     &p->vmm.queues[1].kick_fd, 1);

    if (rc == 0) { /* a ring 255 there may be; bits beyond the index there are not */
        rc = vmm_msg(&p->vmm, VHOST_USER_SET_VRING_KICK, &wild, sizeof(wild),
                     &p->vmm.queues[1].kick_fd, 1);
    }
    expect_refused(p, rc);
}

static void bad_region(struct vhost_user_region region, int fd)
{
    struct proto *p = reach(NEGOTIATED, NULL);

    expect_refused(p, vmm_add_region(&p->vmm, &region, fd >= 0 ? fd : p->vmm.ram.memfd));
}

static void region_of_no_size(void)
{
    bad_region((struct vhost_user_region){.gpa = 0x1000, .size = 0, .uva = 0x1000}, -1);
}

static void region_that_wraps(void)
{
    bad_region((struct vhost_user_region){.gpa = UINT64_MAX - 4095, .size = 8192, .uva = 0x1000},
               -1);
}

static void region_whose_user_address_wraps(void)
{
    bad_region((struct vhost_user_region){.gpa = 0x1000, .size = 8192, .uva = UINT64_MAX - 4095},
               -1);
}

static void region_of_all_memory(void)
{
    bad_region((struct vhost_user_region){.gpa = 0, .size = UINT64_MAX, .uva = 0}, -1);
}

static void region_with_a_wild_offset(void)
{
    bad_region(
        (struct vhost_user_region){
            .gpa = 0x1000, .size = 8192, .uva = 0x1000, .mmap_offset = UINT64_MAX - 4095},
        -1);
}

static void region_that_cannot_be_mapped(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    bad_region((struct vhost_user_region){.gpa = 0x1000, .size = 8192, .uva = 0x1000}, fd);
    close(fd);
}

static void regions_that_overlap(void)
{
    struct proto *p = reach(SHARED, NULL);
    struct vhost_user_region r = vmm_region(&p->vmm, 0);

    r.gpa += r.size - 4096;
    r.uva += 1ULL << 40;
    expect_refused(p, vmm_add_region(&p->vmm, &r, p->vmm.ram.memfd));
}

/* The same region again is what QEMU says to a connection it uses again; this is another one. */
static void region_added_twice_but_for_its_size(void)
{
    struct proto *p = reach(SHARED, NULL);
    struct vhost_user_region r = vmm_region(&p->vmm, 0);

    r.size -= 4096;
    expect_refused(p, vmm_add_region(&p->vmm, &r, p->vmm.ram.memfd));
}

static void region_removed_that_is_not_there(void)
{
    struct proto *p = reach(SHARED, NULL);
    struct vhost_user_region r = vmm_region(&p->vmm, 0);

    r.size -= 4096;
    expect_refused(p, vmm_rem_region(&p->vmm, &r, -1));
}

static void region_without_an_fd(void)
{
    struct proto *p = reach(NEGOTIATED, NULL);
    struct vhost_user_mem_reg msg = {.region = vmm_region(&p->vmm, 0)};

    expect_refused(p, vmm_msg(&p->vmm, VHOST_USER_ADD_MEM_REG, &msg, sizeof(msg), NULL, 0));
}

static void region_message_not_negotiated(void)
{
    struct vmm_config config = {.protocol_off = VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS};
    struct proto *p = reach(NEGOTIATED, &config);
    struct vhost_user_region r = vmm_region(&p->vmm, 0);

    expect_refused(p, vmm_add_region(&p->vmm, &r, p->vmm.ram.memfd));
}

static void bad_table(uint32_t says, unsigned brings_fds, size_t size)
{
    struct proto *p = reach(NEGOTIATED, NULL);
    struct vhost_user_mem_table table = {.n_regions = says};
    int fds[VHOST_USER_MEM_TABLE_MAX];

    for (unsigned i = 0; i < VHOST_USER_MEM_TABLE_MAX; i++) {
        table.regions[i] = (struct vhost_user_region){
            .gpa = 0x100000ULL * i, .size = 0x10000, .uva = 0x7000000000ULL + 0x100000ULL * i};
        fds[i] = p->vmm.ram.memfd;
    }
    expect_refused(p, vmm_msg(&p->vmm, VHOST_USER_SET_MEM_TABLE, &table, size, fds, brings_fds));
}

static void table_of_more_regions_than_fds(void)
{
    bad_table(3, 2, 8 + 3 * 32);
}

static void table_of_fewer_regions_than_fds(void)
{
    bad_table(1, 2, 8 + 32);
}

static void table_of_more_regions_than_it_brings(void)
{
    bad_table(8, 8, 8 + 7 * 32);
}

static void table_of_four_billion_regions(void)
{
    bad_table(0xffffffff, 8, sizeof(struct vhost_user_mem_table));
}

static void memory_that_shrinks_ends_at_worst_the_daemon(void)
{
    struct proto *p = proto_start(NULL);
    struct fc_req *req = fc_get(p->q);

    fc_begin(req, FUSE_GETATTR, FUSE_ROOT_ID);
    fc_arg(req, sizeof(struct fuse_getattr_in));
    fc_expect(req, sizeof(struct fuse_attr_out), 0, false);
    OK(p, fc_submit(req));
    /* the VMM did it to itself; only an endless loop or a leftover process would be wrong */
    munmap(p->vmm.ram.base, p->vmm.ram.size);
    p->vmm.ram.base = NULL;
    g_assert_cmpint(ftruncate(p->vmm.ram.memfd, 0), ==, 0);
    vqueue_kick_always(p->q->vq);
    vmm_disconnect(&p->vmm);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    proto_free(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/bad-setup/" #name, name)
    ADD(vring_num_zero);
    ADD(vring_num_not_a_power_of_two);
    ADD(vring_num_too_large);
    ADD(vring_index_too_large);
    ADD(vring_index_of_four_billion);
    ADD(vring_base_too_large);
    ADD(enable_of_no_vring);
    ADD(num_of_a_running_vring);
    ADD(get_vring_base_of_no_vring);
    ADD(ring_desc);
    ADD(ring_used);
    ADD(ring_avail);
    ADD(ring_alignment);
    ADD(ring_as_guest_address);
    ADD(kick_before_its_prerequisites);
    ADD(kick_without_an_fd);
    ADD(kick_that_is_a_file);
    ADD(kick_of_no_vring);
    ADD(region_of_no_size);
    ADD(region_that_wraps);
    ADD(region_whose_user_address_wraps);
    ADD(region_of_all_memory);
    ADD(region_with_a_wild_offset);
    ADD(region_that_cannot_be_mapped);
    ADD(regions_that_overlap);
    ADD(region_added_twice_but_for_its_size);
    ADD(region_removed_that_is_not_there);
    ADD(region_without_an_fd);
    ADD(region_message_not_negotiated);
    ADD(table_of_more_regions_than_fds);
    ADD(table_of_fewer_regions_than_fds);
    ADD(table_of_more_regions_than_it_brings);
    ADD(table_of_four_billion_regions);
    ADD(memory_that_shrinks_ends_at_worst_the_daemon);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
