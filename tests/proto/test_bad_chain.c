/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains no driver makes. Each breaks its own queue and nothing else: one log line
 * says why, the other queue still serves, and the broken one works again once it was stopped and
 * started (which is what a guest's reset does).
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "proto.h"

#define RING 128

struct scene {
    struct proto *p;
    struct vqueue *vq;        /* the first request queue, to be broken */
    struct vring_desc *table; /* RING + 1 descriptors for indirect ones */
    uint64_t in;              /* guest address of a good GETATTR request */
    uint32_t in_len;
    uint64_t out; /* guest address of room for its reply */
    uint32_t out_len;
};

static void set(struct vring_desc *d, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
    *d = (struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

static struct scene open_scene(const struct proto_opts *opts)
{
    struct proto_opts o = opts ? *opts : (struct proto_opts){0};
    struct scene s = {.in_len = sizeof(struct fuse_in_header) + sizeof(struct fuse_getattr_in),
                      .out_len = sizeof(struct fuse_out_header) + sizeof(struct fuse_attr_out)};
    struct fuse_in_header *h;

    o.vmm.request_queues = 2;
    o.vmm.queue_size = RING;
    s.p = proto_start(&o);
    s.vq = &s.p->vmm.queues[1];
    s.table = ram_alloc(&s.p->vmm.ram, (RING + 1) * sizeof(*s.table), 16);
    h = ram_alloc(&s.p->vmm.ram, s.in_len, 8);
    *h = (struct fuse_in_header){
        .len = s.in_len, .opcode = FUSE_GETATTR, .unique = 99, .nodeid = FUSE_ROOT_ID};
    s.in = ram_gpa(&s.p->vmm.ram, h);
    s.out = ram_gpa(&s.p->vmm.ram, ram_alloc(&s.p->vmm.ram, 4096, 8));
    EXPECT_ALIVE(s.p);
    proto_log_mark(s.p);
    return s;
}

static void expect_other_queue_serves(struct scene *s)
{
    OK(s->p, fc_getattr(fc_rq(&s->p->fc, 1), FUSE_ROOT_ID, NULL, NULL));
}

/* The chain at descriptor `head` breaks the queue. */
static void expect_broken(struct scene *s, uint16_t head)
{
    struct proto *p = s->p;

    vqueue_raw_publish(s->vq, head);
    vqueue_kick_always(s->vq);
    proto_expect_one_line(p);
    expect_other_queue_serves(s);
    /* a broken queue stays quiet */
    vqueue_kick_always(s->vq);
    expect_other_queue_serves(s);
    proto_expect_lines_at_most(p, 1);

    OK(p, vmm_stop_queue(&p->vmm, 1, NULL));
    vqueue_reset(s->vq, 0);
    fc_queue_reset(fc_rq(&p->fc, 0));
    OK(p, vmm_start_queue(&p->vmm, 1));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void chain_that_loops_on_itself(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.in, s.in_len, VRING_DESC_F_NEXT, 0);
    expect_broken(&s, 0);
}

static void chain_that_loops_in_a_circle(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.in, s.in_len, VRING_DESC_F_NEXT, 1);
    vqueue_raw_desc(s.vq, 1, s.out, s.out_len, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
    vqueue_raw_desc(s.vq, 2, s.out, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
    expect_broken(&s, 0);
}

static void next_beyond_the_ring(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.in, s.in_len, VRING_DESC_F_NEXT, RING);
    expect_broken(&s, 0);
}

static void next_far_beyond_the_ring(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.in, s.in_len, VRING_DESC_F_NEXT, 65535);
    expect_broken(&s, 0);
}

static void head_beyond_the_ring(void)
{
    struct scene s = open_scene(NULL);

    expect_broken(&s, RING);
}

static void head_far_beyond_the_ring(void)
{
    struct scene s = open_scene(NULL);

    expect_broken(&s, 65535);
}

static void bad_in_address(uint64_t (*address)(const struct guest_ram *), uint32_t len)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, address(&s.p->vmm.ram), len, VRING_DESC_F_NEXT, 1);
    vqueue_raw_desc(s.vq, 1, s.out, s.out_len, VRING_DESC_F_WRITE, 0);
    expect_broken(&s, 0);
}

static void bad_out_address(uint64_t (*address)(const struct guest_ram *), uint32_t len)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.in, s.in_len, VRING_DESC_F_NEXT, 1);
    vqueue_raw_desc(s.vq, 1, address(&s.p->vmm.ram), len, VRING_DESC_F_WRITE, 0);
    expect_broken(&s, 0);
}

static uint64_t addr_zero(const struct guest_ram *ram)
{
    return 0;
}

static uint64_t addr_below(const struct guest_ram *ram)
{
    return ram->gpa - 8;
}

static uint64_t addr_before_end(const struct guest_ram *ram)
{
    return ram->gpa + ram->size - 8;
}

static uint64_t addr_end(const struct guest_ram *ram)
{
    return ram->gpa + ram->size;
}

static uint64_t addr_host(const struct guest_ram *ram)
{
    return (uint64_t)(uintptr_t)ram->base; /* a user address is not a guest address */
}

static uint64_t addr_wrapping(const struct guest_ram *ram)
{
    return UINT64_MAX - 7;
}

static uint64_t addr_start(const struct guest_ram *ram)
{
    return ram->gpa;
}

#define BAD_ADDRESS(name, addr, len)                                                               \
    static void readable_##name(void)                                                              \
    {                                                                                              \
        bad_in_address(addr, len);                                                                 \
    }                                                                                              \
    static void writable_##name(void)                                                              \
    {                                                                                              \
        bad_out_address(addr, len);                                                                \
    }
BAD_ADDRESS(at_zero, addr_zero, 120)
BAD_ADDRESS(starts_before_memory, addr_below, 120)
BAD_ADDRESS(runs_over_the_end, addr_before_end, 120)
BAD_ADDRESS(at_the_end, addr_end, 120)
BAD_ADDRESS(at_a_host_address, addr_host, 120)
BAD_ADDRESS(wraps_around, addr_wrapping, 120)
BAD_ADDRESS(of_length_zero, addr_start, 0)
BAD_ADDRESS(of_four_gigabytes, addr_start, 0xffffffff)
BAD_ADDRESS(longer_than_memory, addr_start, (64 << 20) + 1)

static void writable_before_readable(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.out, s.out_len, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    vqueue_raw_desc(s.vq, 1, s.in, s.in_len, 0, 0);
    expect_broken(&s, 0);
}

static void expect_table_broken(struct scene *s, uint32_t len, uint16_t flags, uint16_t next)
{
    vqueue_raw_desc(s->vq, 0, ram_gpa(&s->p->vmm.ram, s->table), len,
                    (uint16_t)(VRING_DESC_F_INDIRECT | flags), next);
    expect_broken(s, 0);
}

static void good_table(struct scene *s)
{
    set(&s->table[0], s->in, s->in_len, VRING_DESC_F_NEXT, 1);
    set(&s->table[1], s->out, s->out_len, VRING_DESC_F_WRITE, 0);
}

static void indirect_inside_indirect(void)
{
    struct scene s = open_scene(NULL);

    set(&s.table[0], ram_gpa(&s.p->vmm.ram, s.table), 32, VRING_DESC_F_INDIRECT, 0);
    expect_table_broken(&s, 16, 0, 0);
}

static void indirect_with_next(void)
{
    struct scene s = open_scene(NULL);

    good_table(&s);
    vqueue_raw_desc(s.vq, 1, s.out, s.out_len, VRING_DESC_F_WRITE, 0);
    expect_table_broken(&s, 32, VRING_DESC_F_NEXT, 1);
}

static void indirect_table_of_odd_length(void)
{
    struct scene s = open_scene(NULL);

    good_table(&s);
    expect_table_broken(&s, 33, 0, 0);
}

static void indirect_table_of_no_length(void)
{
    struct scene s = open_scene(NULL);

    good_table(&s);
    expect_table_broken(&s, 0, 0, 0);
}

static void indirect_table_of_four_gigabytes(void)
{
    struct scene s = open_scene(NULL);

    good_table(&s);
    expect_table_broken(&s, 0xfffffff0, 0, 0);
}

static void indirect_table_outside_memory(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, addr_end(&s.p->vmm.ram), 32, VRING_DESC_F_INDIRECT, 0);
    expect_broken(&s, 0);
}

static void indirect_table_over_the_end_of_memory(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, addr_end(&s.p->vmm.ram) - 16, 32, VRING_DESC_F_INDIRECT, 0);
    expect_broken(&s, 0);
}

/* Linux up to 5.13 filled tables longer than its ring, so there is room; but there is a limit. */
static void indirect_table_of_too_many(void)
{
    struct scene s = open_scene(NULL);
    unsigned n = 40000;

    s.table = ram_alloc(&s.p->vmm.ram, n * sizeof(*s.table), 16);
    set(&s.table[0], s.in, s.in_len, VRING_DESC_F_NEXT, 1);
    for (unsigned i = 1; i < n; i++) {
        set(&s.table[i], s.out, 16, VRING_DESC_F_WRITE | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
            (uint16_t)(i + 1));
    }
    expect_table_broken(&s, n * 16, 0, 0);
}

static void indirect_table_that_loops(void)
{
    struct scene s = open_scene(NULL);

    good_table(&s);
    s.table[1].flags |= VRING_DESC_F_NEXT;
    s.table[1].next = 0;
    expect_table_broken(&s, 32, 0, 0);
}

static void indirect_table_with_next_beyond_it(void)
{
    struct scene s = open_scene(NULL);

    good_table(&s);
    s.table[1].flags |= VRING_DESC_F_NEXT;
    s.table[1].next = 2;
    expect_table_broken(&s, 32, 0, 0);
}

static void indirect_that_was_not_negotiated(void)
{
    struct proto_opts o = {.vmm.features_off = 1ULL << VIRTIO_RING_F_INDIRECT_DESC};
    struct scene s = open_scene(&o);

    good_table(&s);
    expect_table_broken(&s, 32, 0, 0);
}

/* Virtio 1.2, 2.7.5.3.2: the device must ignore the write flag of the descriptor of a table. */
static void indirect_with_write_flag_is_served(void)
{
    struct scene s = open_scene(NULL);
    struct proto *p = s.p;

    good_table(&s);
    vqueue_raw_desc(s.vq, 0, ram_gpa(&p->vmm.ram, s.table), 32,
                    VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
    vqueue_raw_publish(s.vq, 0);
    vqueue_kick_always(s.vq);
    OK(p, vqueue_wait(s.vq, p->fc.timeout_ms));
    g_assert_cmpuint(s.vq->used->ring[s.vq->last_used & (RING - 1)].len, ==, s.out_len);
    proto_stop(p);
}

static void avail_index_that_jumps(void)
{
    struct scene s = open_scene(NULL);

    vqueue_raw_desc(s.vq, 0, s.in, s.in_len, VRING_DESC_F_NEXT, 1);
    vqueue_raw_desc(s.vq, 1, s.out, s.out_len, VRING_DESC_F_WRITE, 0);
    vqueue_raw_avail_idx(s.vq, (uint16_t)(s.vq->avail_idx + RING + 1));
    expect_broken(&s, 0);
}

static void avail_index_that_goes_back(void)
{
    struct scene s = open_scene(NULL);

    EXPECT_ALIVE(s.p);
    vqueue_raw_avail_idx(s.vq, (uint16_t)(s.vq->avail_idx - 3));
    expect_broken(&s, 0);
}

/* More bytes than any length field holds, all of them real memory. */
static void lengths_that_sum_beyond_four_gigabytes(void)
{
    struct scene s = open_scene(NULL);
    struct proto *p = s.p;
    uint32_t all = (uint32_t)p->vmm.ram.size;

    for (uint16_t i = 0; i < 100; i++) {
        vqueue_raw_desc(s.vq, i, p->vmm.ram.gpa, all, i < 99 ? VRING_DESC_F_NEXT : 0,
                        (uint16_t)(i + 1));
    }
    vqueue_raw_publish(s.vq, 0);
    vqueue_kick_always(s.vq);
    expect_other_queue_serves(&s);
    proto_expect_one_line(p);
    expect_other_queue_serves(&s);
    proto_stop(p);
}

/* Chains that are well-formed but hold no request: they come back, and the queue goes on. */
static void expect_returned(struct scene *s, const struct vq_seg *segs, unsigned n_out,
                            unsigned n_in)
{
    struct proto *p = s->p;
    void *token;
    uint32_t len;

    OK(p, vqueue_add(s->vq, segs, n_out, n_in, s));
    vqueue_kick(s->vq);
    OK(p, vqueue_wait(s->vq, p->fc.timeout_ms));
    EXPECT(p, vqueue_reap(s->vq, &token, &len), 1);
    g_assert_true(len == 0 || len == sizeof(struct fuse_out_header));
    EXPECT_ALIVE(p);
    expect_other_queue_serves(s);
    proto_expect_lines_at_most(p, 1);
    proto_stop(p);
}

static void chain_without_room_for_a_reply(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.in, s.in_len}};

    expect_returned(&s, segs, 1, 0);
}

static void chain_with_half_a_reply_header(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.in, s.in_len}, {s.out, 8}};

    expect_returned(&s, segs, 1, 1);
}

static void chain_without_a_request(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.out, s.out_len}};

    expect_returned(&s, segs, 0, 1);
}

static void chain_shorter_than_a_header(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.in, 39}, {s.out, s.out_len}};

    expect_returned(&s, segs, 1, 1);
}

static void chain_of_one_byte(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.in, 1}, {s.out, 1}};

    expect_returned(&s, segs, 1, 1);
}

static void reply_room_for_the_header_only(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.in, s.in_len}, {s.out, 16}};

    expect_returned(&s, segs, 1, 1);
}

/* The same memory for request and reply: our guest's problem, never ours. */
static void request_and_reply_overlap(void)
{
    struct scene s = open_scene(NULL);
    struct vq_seg segs[] = {{s.in, s.in_len}, {s.in, 56}};

    expect_returned(&s, segs, 1, 1);
}

static void add_tests(void)
{
#define ADD(name)  proto_add("/bad-chain/" #name, name)
#define ADD2(name) (ADD(readable_##name), ADD(writable_##name))
    ADD(chain_that_loops_on_itself);
    ADD(chain_that_loops_in_a_circle);
    ADD(next_beyond_the_ring);
    ADD(next_far_beyond_the_ring);
    ADD(head_beyond_the_ring);
    ADD(head_far_beyond_the_ring);
    ADD2(at_zero);
    ADD2(starts_before_memory);
    ADD2(runs_over_the_end);
    ADD2(at_the_end);
    ADD2(at_a_host_address);
    ADD2(wraps_around);
    ADD2(of_length_zero);
    ADD2(of_four_gigabytes);
    ADD2(longer_than_memory);
    ADD(writable_before_readable);
    ADD(indirect_inside_indirect);
    ADD(indirect_with_next);
    ADD(indirect_table_of_odd_length);
    ADD(indirect_table_of_no_length);
    ADD(indirect_table_of_four_gigabytes);
    ADD(indirect_table_outside_memory);
    ADD(indirect_table_over_the_end_of_memory);
    ADD(indirect_table_of_too_many);
    ADD(indirect_table_that_loops);
    ADD(indirect_table_with_next_beyond_it);
    ADD(indirect_that_was_not_negotiated);
    ADD(indirect_with_write_flag_is_served);
    ADD(avail_index_that_jumps);
    ADD(avail_index_that_goes_back);
    ADD(lengths_that_sum_beyond_four_gigabytes);
    ADD(chain_without_room_for_a_reply);
    ADD(chain_with_half_a_reply_header);
    ADD(chain_without_a_request);
    ADD(chain_shorter_than_a_header);
    ADD(chain_of_one_byte);
    ADD(reply_room_for_the_header_only);
    ADD(request_and_reply_overlap);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
