/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packed ring without a thread: descriptors are written by hand, good ones and each kind of
 * bad one. Whole loads over packed rings are in test_vhost_user.c.
 */
#include "transport/virtqueue.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define NUM       5u /* need be no power of two */
#define DESC_AT   0u
#define DRIVER_AT 0x1000u
#define DEVICE_AT 0x2000u
#define DATA_AT   0x4000u
#define MEM_SIZE  0x20000u
#define HALF      (MEM_SIZE / 2) /* two adjacent regions meet here */
#define GPA       0x100000000u
#define UVA       0x7f0000000000u

enum {
    N = VRING_DESC_F_NEXT,
    W = VRING_DESC_F_WRITE,
    I = VRING_DESC_F_INDIRECT,
    A = 1 << VRING_PACKED_DESC_F_AVAIL,
    U = 1 << VRING_PACKED_DESC_F_USED,
};

struct bed {
    struct guest_mem *mem;
    char *base;
    struct vring_packed_desc *desc;
    struct vring_packed_desc_event *driver;
    struct vring_packed_desc_event *device;
    struct virtqueue vq;
    struct vq_elem *elem;
};

static const struct vq_addr ring_addr = {
    .desc = UVA + DESC_AT, .avail = UVA + DRIVER_AT, .used = UVA + DEVICE_AT};

static void set_up(struct bed *bed, bool event_idx)
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
    bed->desc = (struct vring_packed_desc *)(bed->base + DESC_AT);
    bed->driver = (struct vring_packed_desc_event *)(bed->base + DRIVER_AT);
    bed->device = (struct vring_packed_desc_event *)(bed->base + DEVICE_AT);
    bed->elem = g_new0(struct vq_elem, 1);
    vq_reset(&bed->vq);
    bed->vq.packed = true;
    bed->vq.event_idx = event_idx;
    bed->vq.indirect = true;
    g_assert_cmpint(vq_map(&bed->vq, bed->mem, NUM, &ring_addr, &why), ==, 0);
}

static void tear_down(struct bed *bed)
{
    guest_mem_free(bed->mem);
    munmap(bed->base, MEM_SIZE);
    g_free(bed->elem);
}

static void put(struct bed *bed, unsigned i, unsigned id, unsigned len, unsigned flags)
{
    bed->desc[i] = (struct vring_packed_desc){
        .addr = GPA + DATA_AT, .len = len, .id = (uint16_t)id, .flags = (uint16_t)flags};
}

static void chains_go_round_the_ring(void)
{
    struct bed bed;

    set_up(&bed, false);
    g_assert_cmphex(vq_base(&bed.vq), ==, 0x80008000u);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 0);
    put(&bed, 0, 7, 8, A | N);
    put(&bed, 1, 7, 8, A | N);
    put(&bed, 2, 9, 8, A | W);
    g_assert_true(vq_has_work(&bed.vq));
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    g_assert_cmpuint(bed.elem->head, ==, 9); /* the id is the last one's */
    g_assert_cmpuint(bed.elem->desc_cnt, ==, 3);
    g_assert_cmpuint(bed.elem->chain.out_len, ==, 16);
    g_assert_cmpuint(bed.elem->chain.in_len, ==, 8);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 0);
    vq_push(&bed.vq, bed.elem, 5);
    g_assert_cmpuint(bed.desc[0].id, ==, 9);
    g_assert_cmpuint(bed.desc[0].len, ==, 5);
    g_assert_cmphex(bed.desc[0].flags, ==, A | U | W);

    /* over the end: the second lap has the other bit */
    put(&bed, 3, 1, 8, A | N);
    put(&bed, 4, 1, 8, A | N);
    put(&bed, 0, 1, 8, U);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    g_assert_cmpuint(bed.elem->desc_cnt, ==, 3);
    g_assert_cmphex(vq_base(&bed.vq), ==, (3u | 1u << 15) << 16 | 1u);
    vq_push(&bed.vq, bed.elem, 0);
    g_assert_cmphex(bed.desc[3].flags, ==, A | U); /* nothing was written, and it says so */
    g_assert_cmphex(vq_base(&bed.vq), ==, 1u << 16 | 1u);
    put(&bed, 1, 2, 8, U | W);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    vq_push(&bed.vq, bed.elem, 8);
    g_assert_cmphex(bed.desc[1].flags, ==, W);
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 0);
    tear_down(&bed);
}

static void a_ring_goes_on_where_its_base_says(void)
{
    struct bed bed;
    const char *why = NULL;

    set_up(&bed, false);
    vq_reset_at(&bed.vq, (uint32_t)3 << 16 | 4);
    bed.vq.packed = true;
    g_assert_cmpint(vq_map(&bed.vq, bed.mem, NUM, &ring_addr, &why), ==, 0);
    g_assert_cmphex(vq_base(&bed.vq), ==, (uint32_t)3 << 16 | 4);
    put(&bed, 4, 1, 8, U); /* wrap counters are 0 */
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    vq_push(&bed.vq, bed.elem, 0);
    g_assert_cmphex(bed.desc[3].flags, ==, 0);
    vq_reset_at(&bed.vq, NUM);
    bed.vq.packed = true;
    g_assert_cmpint(vq_map(&bed.vq, bed.mem, NUM, &ring_addr, &why), ==, -EINVAL);
    g_assert_nonnull(strstr(why, "beyond its size"));
    tear_down(&bed);
}

static void an_indirect_table_is_read_in_turn(void)
{
    struct vring_packed_desc table[3];
    struct bed bed;

    set_up(&bed, false);
    for (unsigned i = 0; i < 3; i++) {
        /* of these flags, a device looks at WRITE only */
        table[i] = (struct vring_packed_desc){
            .addr = GPA + DATA_AT + i * 64, .len = 8, .id = 77, .flags = i == 2 ? W | N : U};
    }
    memcpy(bed.base + HALF - 24, table, sizeof(table)); /* across two regions */
    bed.desc[0] = (struct vring_packed_desc){
        .addr = GPA + HALF - 24, .len = sizeof(table), .id = 3, .flags = A | I | W};
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, 1);
    g_assert_cmpuint(bed.elem->head, ==, 3);
    g_assert_cmpuint(bed.elem->desc_cnt, ==, 1);
    g_assert_cmpuint(bed.elem->chain.out_len, ==, 16);
    g_assert_cmpuint(bed.elem->chain.in_len, ==, 8);
    tear_down(&bed);
}

static const struct bad_chain {
    const char *name;
    unsigned flags[NUM]; /* of descriptors that are 16 bytes long */
    bool no_indirect;
    const char *why;
} bad_chains[] = {
    {"longer_than_the_ring", {A | N, A | N, A | N, A | N, A | N}, false, "longer than its ring"},
    {"readable_after_writable", {A | N | W, A}, false, "readable"},
    {"indirect_after_others", {A | N, A | I}, false, "with others"},
    {"indirect_with_next", {A | I | N, A}, false, "with others"},
    {"indirect_not_negotiated", {A | I}, true, "not negotiated"},
    {"indirect_table_of_no_length", {A | I}, false, "without length"}, /* memory there is zero */
};

static void a_bad_chain_is_refused(gconstpointer data)
{
    const struct bad_chain *bad = data;
    struct bed bed;

    set_up(&bed, false);
    bed.vq.indirect = !bad->no_indirect;
    for (unsigned i = 0; i < NUM; i++) {
        put(&bed, i, i, 16, bad->flags[i]);
    }
    g_assert_cmpint(vq_pop(&bed.vq, bed.elem), ==, -EINVAL);
    g_assert_nonnull(strstr(bed.vq.why, bad->why));
    g_assert_cmphex(vq_base(&bed.vq), ==, 0x80008000u); /* nothing is taken */
    tear_down(&bed);
}

static void push_one(struct bed *bed)
{
    bed->elem->desc_cnt = 1;
    vq_push(&bed->vq, bed->elem, 0);
}

static void the_driver_is_told_when_it_wants_to_be(void)
{
    struct bed bed;

    set_up(&bed, true);
    bed.driver->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
    push_one(&bed);
    g_assert_false(vq_needs_signal(&bed.vq));
    bed.driver->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
    push_one(&bed);
    g_assert_true(vq_needs_signal(&bed.vq));
    bed.driver->flags = VRING_PACKED_EVENT_FLAG_DESC;
    bed.driver->off_wrap = 1 << 15 | 4; /* entry 4 of this lap */
    push_one(&bed);                     /* 2; the first look is always yes */
    g_assert_true(vq_needs_signal(&bed.vq));
    push_one(&bed); /* 3 */
    g_assert_false(vq_needs_signal(&bed.vq));
    push_one(&bed); /* 4: this is it, and the lap ends */
    g_assert_true(vq_needs_signal(&bed.vq));
    bed.driver->off_wrap = 1; /* entry 1 of the next lap, whose counter is 0 */
    push_one(&bed);           /* 0 */
    g_assert_false(vq_needs_signal(&bed.vq));
    push_one(&bed);
    push_one(&bed); /* 1 and 2 in one batch */
    g_assert_true(vq_needs_signal(&bed.vq));
    g_assert_false(vq_needs_signal(&bed.vq)); /* nothing new */
    tear_down(&bed);
}

static void kicks_are_asked_for(gconstpointer data)
{
    struct bed bed;

    set_up(&bed, GPOINTER_TO_INT(data));
    vq_disable_kicks(&bed.vq);
    g_assert_cmpuint(bed.device->flags, ==, VRING_PACKED_EVENT_FLAG_DISABLE);
    g_assert_false(vq_enable_kicks(&bed.vq));
    if (GPOINTER_TO_INT(data)) {
        g_assert_cmpuint(bed.device->flags, ==, VRING_PACKED_EVENT_FLAG_DESC);
        g_assert_cmphex(bed.device->off_wrap, ==, 1 << 15);
    } else {
        g_assert_cmpuint(bed.device->flags, ==, VRING_PACKED_EVENT_FLAG_ENABLE);
    }
    put(&bed, 0, 0, 8, A);
    g_assert_true(vq_enable_kicks(&bed.vq));
    tear_down(&bed);
}

static void rings_in_bad_places_are_refused(void)
{
    static const struct {
        unsigned num;
        struct vq_addr addr;
        const char *why;
    } rows[] = {
        {32769, {UVA, UVA + DRIVER_AT, UVA + DEVICE_AT}, "power of two"},
        {NUM, {UVA + 8, UVA + DRIVER_AT, UVA + DEVICE_AT}, "aligned"},
        {NUM, {UVA, UVA + DRIVER_AT + 2, UVA + DEVICE_AT}, "aligned"},
        {NUM, {UVA, UVA + DRIVER_AT, UVA + DEVICE_AT + 1}, "aligned"},
        {NUM, {UVA, UVA + DRIVER_AT, UVA + MEM_SIZE - 2}, "outside"},
        {NUM, {UVA + MEM_SIZE - 64, UVA + DRIVER_AT, UVA + DEVICE_AT}, "outside"},
        {32768, {UVA, UVA + DRIVER_AT, UVA + DEVICE_AT}, "outside"},
    };
    struct bed bed;

    set_up(&bed, false);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct virtqueue vq;
        const char *why = NULL;

        vq_reset(&vq);
        vq.packed = true;
        g_assert_cmpint(vq_map(&vq, bed.mem, rows[i].num, &rows[i].addr, &why), ==, -EINVAL);
        g_assert_nonnull(strstr(why, rows[i].why));
    }
    tear_down(&bed);
}

#define ADD(f) g_test_add_func("/virtqueue_packed/" #f, f)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(chains_go_round_the_ring);
    ADD(a_ring_goes_on_where_its_base_says);
    ADD(an_indirect_table_is_read_in_turn);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_chains); i++) {
        g_autofree char *path =
            g_strdup_printf("/virtqueue_packed/bad_chain/%s", bad_chains[i].name);

        g_test_add_data_func(path, &bad_chains[i], a_bad_chain_is_refused);
    }
    ADD(the_driver_is_told_when_it_wants_to_be);
    g_test_add_data_func("/virtqueue_packed/kicks_are_asked_for/flags", GINT_TO_POINTER(0),
                         kicks_are_asked_for);
    g_test_add_data_func("/virtqueue_packed/kicks_are_asked_for/index", GINT_TO_POINTER(1),
                         kicks_are_asked_for);
    ADD(rings_in_bad_places_are_refused);
    return g_test_run();
}
