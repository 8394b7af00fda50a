/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring without a thread: a driver made of plain stores puts chains into a ring in a memfd,
 * good ones and each kind of bad one.
 */
#include "transport/virtqueue.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define NUM  8u
#define PAGE 4096u

/* Where things are, as offsets into memory; guest and user addresses are linear over it. */
#define DESC_AT  0u
#define AVAIL_AT 0x1000u
#define USED_AT  0x2000u
#define DATA_AT  0x4000u
#define MEM_SIZE 0x20000u
#define HALF     (MEM_SIZE / 2) /* two adjacent regions meet here */
#define GPA      0x100000000u
#define UVA      0x7f0000000000u

struct bed {
    struct guest_mem *mem;
    char *base;
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    struct virtqueue vq;
    struct vq_elem *elem;
};

static const struct vq_addr ring_addr = {
    .desc = UVA + DESC_AT, .avail = UVA + AVAIL_AT, .used = UVA + USED_AT};

static void set_up(struct bed *bed, bool event_idx, uint16_t start)
{
    auto_fd fd = memfd_create("guest", MFD_CLOEXEC);
    const char *why = NULL;

    memset(bed, 0, sizeof(*bed));
    g_assert_cmpint(ftruncate(fd, MEM_SIZE), ==, 0);
    bed->base = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(bed->base != MAP_FAILED);
    bed->mem = guest_mem_new();
    for (unsigned i = 0; i < 2; i++) {
        struct guest_mem_range range = {GPA + i * HALF, HALF, UVA + i * HALF, i * HALF};

        g_assert_cmpint(guest_mem_add(bed->mem, &range, fd), ==, 0);
    }
    bed->desc = (struct vring_desc *)(bed->base + DESC_AT);
    bed->avail = (struct vring_avail *)(bed->base + AVAIL_AT);
    bed->used = (struct vring_used *)(bed->base + USED_AT);
    bed->avail->idx = start;
    bed->used->idx = start;
    bed->elem = g_new0(struct vq_elem, 1);
    vq_reset_at(&bed->vq, start);
    g_assert_cmpint(vq_map(&bed->vq, bed->mem, NUM, &ring_addr, &why), ==, 0);
    bed->vq.event_idx = event_idx;
    bed->vq.indirect = true;
}

static void tear_down(struct bed *bed)
{
    guest_mem_free(bed->mem);
    munmap(bed->base, MEM_SIZE);
    g_free(bed->elem);
}

static void put_desc(struct vring_desc *desc, uint64_t addr, uint32_t len, unsigned flags,
                     unsigned next)
{
    *desc = (struct vring_desc){
        .addr = addr, .len = len, .flags = (uint16_t)flags, .next = (uint16_t)next};
}

static void publish(struct bed *bed, uint16_t head)
{
    bed->avail->ring[bed->avail->idx % NUM] = head;
    bed->avail->idx++;
}

static uint16_t *used_event(struct bed *bed)
{
    return &bed->avail->ring[NUM];
}

static uint16_t avail_event(const struct bed *bed)
{
    uint16_t value = 0;

    memcpy(&value, &bed->used->ring[NUM], sizeof(value));
    return value;
}

static void a_chain_becomes_iovecs(void)
{
    struct bed bed;
    struct chain *chain = NULL;

    set_up(&bed, false, 0);
    chain = &bed.elem->chain;
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 0);
    g_assert_false(vq_has_work(&bed.vq));

    memcpy(bed.base + DATA_AT, "question", 8);
    put_desc(&bed.desc[3], GPA + DATA_AT, 8, VRING_DESC_F_NEXT, 5);
    put_desc(&bed.desc[5], GPA + DATA_AT + 16, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
    /* crosses from one region into the next */
    put_desc(&bed.desc[1], GPA + HALF - 10, 30, VRING_DESC_F_WRITE, 0);
    publish(&bed, 3);

    g_assert_true(vq_has_work(&bed.vq));
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    g_assert_cmpuint(bed.elem->head, ==, 3);
    g_assert_cmpuint(chain->out_cnt, ==, 1);
    g_assert_cmpuint(chain->out_len, ==, 8);
    g_assert_cmpmem(chain->out[0].iov_base, 8, "question", 8);
    g_assert_cmpuint(chain->in_cnt, ==, 3);
    g_assert_cmpuint(chain->in_len, ==, 34);
    g_assert_cmpuint(chain->in[1].iov_len, ==, 10);
    g_assert_cmpuint(chain->in[2].iov_len, ==, 20);
    memcpy(chain->in[2].iov_base, "answer", 6);
    g_assert_cmpmem(bed.base + HALF, 6, "answer", 6);

    vq_push(&bed.vq, bed.elem, 26);
    g_assert_cmpuint(bed.used->idx, ==, 1);
    g_assert_cmpuint(bed.used->ring[0].id, ==, 3);
    g_assert_cmpuint(bed.used->ring[0].len, ==, 26);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 0);
    tear_down(&bed);
}

static void an_indirect_table_may_follow_descriptors_and_cross_regions(void)
{
    struct bed bed;
    struct vring_desc table[20];

    set_up(&bed, false, 0);
    /* longer than the ring, as old guests make them, and not even aligned */
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        bool is_last = i + 1 == G_N_ELEMENTS(table);

        put_desc(&table[i], GPA + DATA_AT + i * 16, 16,
                 (is_last ? 0 : VRING_DESC_F_NEXT) | (i >= 5 ? VRING_DESC_F_WRITE : 0), i + 1);
    }
    memcpy(bed.base + HALF - 24, table, sizeof(table));
    put_desc(&bed.desc[0], GPA + DATA_AT + 0x800, 4, VRING_DESC_F_NEXT, 7);
    /* the specification: the device ignores WRITE on a descriptor of a table */
    put_desc(&bed.desc[7], GPA + HALF - 24, sizeof(table),
             VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
    publish(&bed, 0);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    g_assert_cmpuint(bed.elem->chain.out_cnt, ==, 6);
    g_assert_cmpuint(bed.elem->chain.out_len, ==, 84);
    g_assert_cmpuint(bed.elem->chain.in_cnt, ==, 15);
    tear_down(&bed);
}

enum { N = VRING_DESC_F_NEXT, W = VRING_DESC_F_WRITE, I = VRING_DESC_F_INDIRECT };

#define TABLE (GPA + DATA_AT)

/* Descriptors 0.. of the ring and of a table at TABLE, and what the complaint contains. */
static const struct bad_chain {
    const char *name;
    struct vring_desc ring[3];
    struct vring_desc table[3];
    const char *why;
} bad_chains[] = {
    {"loops_to_itself", {{TABLE, 4, N, 0}}, {{0}}, "loops"},
    {"loops_over_two", {{TABLE, 4, N, 1}, {TABLE, 4, N, 0}}, {{0}}, "loops"},
    {"index_beyond_the_ring", {{TABLE, 4, N, NUM}}, {{0}}, "beyond its table"},
    {"no_length", {{TABLE, 0, 0, 0}}, {{0}}, "without length"},
    {"four_gib", {{TABLE, 0xffffffff, 0, 0}}, {{0}}, "outside"},
    {"before_memory", {{GPA - 1, 4, 0, 0}}, {{0}}, "outside"},
    {"past_memory", {{GPA + MEM_SIZE - 3, 4, 0, 0}}, {{0}}, "outside"},
    {"wraps", {{UINT64_MAX - 3, 8, 0, 0}}, {{0}}, "wraps"},
    {"wraps_to_zero", {{UINT64_MAX, 1, 0, 0}}, {{0}}, "wraps"},
    {"readable_after_writable", {{TABLE, 4, N | W, 1}, {TABLE, 4, 0, 0}}, {{0}}, "readable"},
    {"indirect_with_next", {{TABLE, 16, I | N, 1}}, {{TABLE, 4, 0, 0}}, "with a next"},
    {"indirect_in_indirect", {{TABLE, 16, I, 0}}, {{TABLE, 16, I, 0}}, "inside an indirect"},
    {"indirect_of_no_length", {{TABLE, 0, I, 0}}, {{0}}, "whole descriptors"},
    {"indirect_of_odd_length", {{TABLE, 17, I, 0}}, {{0}}, "whole descriptors"},
    {"indirect_too_long", {{TABLE, 1025 * 16, I, 0}}, {{0}}, "too many descriptors"},
    {"indirect_of_four_gib", {{TABLE, 0xfffffff0, I, 0}}, {{0}}, "too many descriptors"},
    {"indirect_wraps", {{UINT64_MAX - 15, 32, I, 0}}, {{0}}, "wraps"},
    {"indirect_outside", {{GPA + MEM_SIZE, 16, I, 0}}, {{0}}, "outside"},
    {"indirect_half_outside", {{GPA + MEM_SIZE - 8, 16, I, 0}}, {{0}}, "outside"},
    {"indirect_loops", {{TABLE, 32, I, 0}}, {{TABLE, 1, N, 1}, {TABLE, 1, N, 0}}, "loops"},
    {"indirect_index_beyond", {{TABLE, 32, I, 0}}, {{TABLE, 4, N, 2}}, "beyond its table"},
};

static void a_bad_chain_is_refused(gconstpointer data)
{
    const struct bad_chain *bad = data;
    struct bed bed;

    set_up(&bed, false, 0);
    memcpy(bed.desc, bad->ring, sizeof(bad->ring));
    memcpy(bed.base + DATA_AT, bad->table, sizeof(bad->table));
    publish(&bed, 0);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, -EINVAL);
    g_test_message("%s", bed.vq.why);
    g_assert_nonnull(strstr(bed.vq.why, bad->why));
    /* nothing is taken: GET_VRING_BASE tells which entry it was */
    g_assert_cmpuint(bed.vq.next_avail, ==, 0);
    tear_down(&bed);
}

static void a_chain_of_4_gib_in_all_is_refused(void)
{
    struct bed bed;
    auto_fd fd = memfd_create("large", MFD_CLOEXEC);
    struct guest_mem_range range = {GPA * 4, (uint64_t)1 << 31, UVA * 2, 0};

    g_assert_cmpint(ftruncate(fd, (off_t)range.size), ==, 0); /* sparse, never touched */
    set_up(&bed, false, 0);
    g_assert_cmpint(guest_mem_add(bed.mem, &range, fd), ==, 0);
    put_desc(&bed.desc[0], range.gpa, 1u << 31, N, 1);
    put_desc(&bed.desc[1], range.gpa, 1u << 31, 0, 0);
    publish(&bed, 0);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, -EINVAL);
    g_assert_nonnull(strstr(bed.vq.why, "4 GiB"));
    tear_down(&bed);
}

static void indirect_needs_its_feature(void)
{
    struct bed bed;

    set_up(&bed, false, 0);
    bed.vq.indirect = false;
    put_desc(&bed.desc[0], TABLE, 16, I, 0);
    publish(&bed, 0);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, -EINVAL);
    g_assert_nonnull(strstr(bed.vq.why, "not negotiated"));
    tear_down(&bed);
}

static void bad_indices_are_refused(void)
{
    struct bed bed;

    set_up(&bed, false, 0);
    publish(&bed, NUM);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, -EINVAL);
    g_assert_nonnull(strstr(bed.vq.why, "avail entry"));
    tear_down(&bed);

    set_up(&bed, false, 65533);
    bed.avail->idx = (uint16_t)(65533 + NUM + 1);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, -EINVAL);
    g_assert_nonnull(strstr(bed.vq.why, "further ahead"));
    tear_down(&bed);
}

static void rings_in_bad_places_are_refused(void)
{
    static const struct {
        unsigned num;
        struct vq_addr addr;
        const char *why;
    } rows[] = {
        {0, {UVA, UVA + AVAIL_AT, UVA + USED_AT}, "power of two"},
        {12, {UVA, UVA + AVAIL_AT, UVA + USED_AT}, "power of two"},
        {65536, {UVA, UVA + AVAIL_AT, UVA + USED_AT}, "power of two"},
        {8, {UVA + 8, UVA + AVAIL_AT, UVA + USED_AT}, "aligned"},
        {8, {UVA, UVA + AVAIL_AT + 1, UVA + USED_AT}, "aligned"},
        {8, {UVA, UVA + AVAIL_AT, UVA + USED_AT + 2}, "aligned"},
        {8, {UVA, UVA + AVAIL_AT, UVA + MEM_SIZE - 64}, "outside"},
        {8, {UVA, UVA + MEM_SIZE - 16, UVA + USED_AT}, "outside"},
        {8, {UVA + MEM_SIZE - 112, UVA + AVAIL_AT, UVA + USED_AT}, "outside"},
        {8, {UINT64_MAX - 15, UVA + AVAIL_AT, UVA + USED_AT}, "outside"},
        {32768, {UVA, UVA + AVAIL_AT, UVA + USED_AT}, "outside"},
    };
    struct bed bed;

    set_up(&bed, false, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct virtqueue vq;
        const char *why = NULL;

        vq_reset(&vq);
        g_assert_cmpint(vq_map(&vq, bed.mem, rows[i].num, &rows[i].addr, &why), ==, -EINVAL);
        g_assert_nonnull(strstr(why, rows[i].why));
    }
    tear_down(&bed);
}

static void without_event_idx_flags_rule(void)
{
    struct bed bed;

    set_up(&bed, false, 0);
    vq_disable_kicks(&bed.vq);
    g_assert_cmpuint(bed.used->flags, ==, VRING_USED_F_NO_NOTIFY);
    g_assert_false(vq_enable_kicks(&bed.vq));
    g_assert_cmpuint(bed.used->flags, ==, 0);
    put_desc(&bed.desc[0], TABLE, 4, 0, 0);
    publish(&bed, 0);
    g_assert_true(vq_enable_kicks(&bed.vq));

    vq_push(&bed.vq, bed.elem, 0);
    g_assert_true(vq_needs_signal(&bed.vq));
    bed.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    vq_push(&bed.vq, bed.elem, 0);
    g_assert_false(vq_needs_signal(&bed.vq));
    tear_down(&bed);
}

static void event_idx_works_across_the_wrap_of_the_index(void)
{
    struct bed bed;

    set_up(&bed, true, 65530);
    put_desc(&bed.desc[0], TABLE, 4, 0, 0);
    for (unsigned i = 0; i < 16; i++) {
        uint16_t at = (uint16_t)(65530 + i);
        bool wants = i % 3 == 0;

        g_assert_false(vq_enable_kicks(&bed.vq));
        g_assert_cmpuint(avail_event(&bed), ==, at);
        publish(&bed, 0);
        g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
        g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 0);
        /* the driver wants to hear of this completion, or only of a later one */
        *used_event(&bed) = wants ? at : (uint16_t)(at + 5);
        vq_push(&bed.vq, bed.elem, i);
        g_assert_cmpuint(bed.used->idx, ==, (uint16_t)(at + 1));
        /* the first is signalled in any case: what the driver knows is unknown */
        g_assert_cmpint(vq_needs_signal(&bed.vq), ==, wants || i == 0);
        g_assert_false(vq_needs_signal(&bed.vq)); /* nothing new */
    }
    tear_down(&bed);
}

static void a_batch_is_signalled_once(void)
{
    struct bed bed;

    set_up(&bed, true, 0);
    vq_push(&bed.vq, bed.elem, 0);
    g_assert_true(vq_needs_signal(&bed.vq));
    *used_event(&bed) = 2; /* when the used index has passed 2 */
    for (unsigned i = 0; i < 5; i++) {
        vq_push(&bed.vq, bed.elem, 0);
    }
    g_assert_true(vq_needs_signal(&bed.vq));
    vq_push(&bed.vq, bed.elem, 0);
    g_assert_false(vq_needs_signal(&bed.vq));
    tear_down(&bed);
}

static void indices_survive_a_new_memory_table(void)
{
    struct bed bed;
    const char *why = NULL;

    set_up(&bed, true, 100);
    put_desc(&bed.desc[0], TABLE, 4, 0, 0);
    publish(&bed, 0);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    bed.used->idx = 55; /* the guest scribbles: our own count is the one that counts */
    g_assert_cmpint(vq_map(&bed.vq, bed.mem, NUM, &ring_addr, &why), ==, 0);
    vq_push(&bed.vq, bed.elem, 0);
    g_assert_cmpuint(bed.used->idx, ==, 101);
    g_assert_cmpuint(bed.vq.next_avail, ==, 101);
    tear_down(&bed);
}

#define ADD(f) g_test_add_func("/virtqueue/" #f, f)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(a_chain_becomes_iovecs);
    ADD(an_indirect_table_may_follow_descriptors_and_cross_regions);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_chains); i++) {
        g_autofree char *path = g_strdup_printf("/virtqueue/bad_chain/%s", bad_chains[i].name);

        g_test_add_data_func(path, &bad_chains[i], a_bad_chain_is_refused);
    }
    ADD(a_chain_of_4_gib_in_all_is_refused);
    ADD(indirect_needs_its_feature);
    ADD(bad_indices_are_refused);
    ADD(rings_in_bad_places_are_refused);
    ADD(without_event_idx_flags_rule);
    ADD(event_idx_works_across_the_wrap_of_the_index);
    ADD(a_batch_is_signalled_once);
    ADD(indices_survive_a_new_memory_table);
    return g_test_run();
}
