/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains as a guest may write them into its rings.
 *
 * Guest memory is two adjacent regions, one page apart from a third, each in its own mapping on
 * the host, so that a piece that crosses a border and is not split would be seen. The input writes
 * memory, descriptors and available entries; then chains are taken and given back, with writes in
 * between, until the ring is broken or dry.
 *
 * Checked: every piece lies in one region, pieces add up to what the chain says, readable ones are
 * apart from writable ones, and the used ring says what was pushed.
 */
#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/guest_mem.h"
#include "transport/virtqueue.h"

#define REGION  (64 * 1024u)
#define BASE    0x100000ull
#define UVA     0x7f0000000000ull
#define RING    0x400u /* where the rings are, in the first region */
#define REGIONS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

static uint64_t take(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    bytes = MIN(bytes, in->left);
    memcpy(&value, in->data, bytes);
    in->data += bytes;
    in->left -= bytes;
    return value;
}

static void expect(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static const uint64_t starts[REGIONS] = {BASE, BASE + REGION, BASE + 2 * REGION + 4096};

static struct {
    int fd[REGIONS];
    struct guest_mem *mem;
    char *host[REGIONS];
} world;

static void make_world(void)
{
    unsigned hint = 0;

    world.mem = guest_mem_new();
    for (unsigned i = 0; i < REGIONS; i++) {
        struct guest_mem_range range = {
            .gpa = starts[i], .size = REGION, .uva = UVA + starts[i], .offset = 4096};
        uint64_t len = 0;

        world.fd[i] = memfd_create("guest", MFD_CLOEXEC);
        expect(ftruncate(world.fd[i], REGION + 4096) == 0);
        expect(guest_mem_add(world.mem, &range, world.fd[i]) == 0);
        world.host[i] = guest_mem_at(world.mem, starts[i], REGION, &len, &hint);
        expect(world.host[i] && len == REGION);
    }
}

/* An address in memory, at its edges, or nowhere. */
static uint64_t take_gpa(struct input *in)
{
    uint8_t how = (uint8_t)take(in, 1);
    uint64_t start = starts[how % REGIONS];

    if (how >= 0xf8) {
        return take(in, 8);
    }
    if (how >= 0xc0) {
        return start + REGION - how % 64;
    }
    return start + take(in, 2);
}

static uint32_t take_len(struct input *in)
{
    uint8_t how = (uint8_t)take(in, 1);

    if (how >= 0xf0) {
        return (uint32_t)take(in, 4);
    }
    return how >= 0xc0 ? (how - 0xbfu) * 4096u : how;
}

static struct vring_desc take_desc(struct input *in)
{
    struct vring_desc desc = {.addr = take_gpa(in), .len = take_len(in)};
    uint16_t both = (uint16_t)take(in, 2);

    desc.flags = both & 7;
    desc.next = both >> 3;
    if (desc.next >= 64) {
        desc.next %= 64; /* most rings are small */
    }
    return desc;
}

struct ring {
    struct virtqueue vq;
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    unsigned num;
};

static bool map_ring(struct ring *ring, struct input *in)
{
    uint8_t bits = (uint8_t)take(in, 1);
    uint32_t at = RING;
    struct vq_addr addr;
    const char *why = NULL;

    ring->num = 1u << (bits % 8);
    vq_reset_at(&ring->vq, (uint16_t)take(in, 2));
    ring->vq.indirect = bits & 8;
    ring->vq.event_idx = bits & 16;
    addr.desc = UVA + BASE + at;
    addr.avail = addr.desc + 16 * ring->num;
    addr.used = (addr.avail + 6 + 2 * ring->num + 3) & ~3ull;
    if (bits & 32) {
        addr.used = UVA + BASE + REGION - (6 + 8 * ring->num);
        addr.used &= ~3ull;
    }
    if (bits & 64) {
        addr.used += take(in, 1); /* over the end, or unaligned */
    }
    if (vq_map(&ring->vq, world.mem, ring->num, &addr, &why) < 0) {
        expect(why != NULL);
        return false;
    }
    ring->desc = guest_mem_at_uva(world.mem, addr.desc, 16);
    ring->avail = guest_mem_at_uva(world.mem, addr.avail, 6);
    ring->used = guest_mem_at_uva(world.mem, addr.used, 6);
    return true;
}

/* One thing a guest does to its memory. */
static void write_something(struct ring *ring, struct input *in)
{
    uint8_t how = (uint8_t)take(in, 1);
    uint16_t at = (uint16_t)take(in, 1);

    if (how < 0x60) {
        ring->desc[at % ring->num] = take_desc(in);
    } else if (how < 0xa0) {
        ring->avail->ring[ring->avail->idx++ % ring->num] = at < 0xf8 ? at % ring->num : at * 77;
    } else if (how < 0xe0) {
        /* an indirect table, anywhere */
        unsigned region = how % REGIONS;
        size_t skip = take(in, 2) % (REGION - 16 * 8);
        unsigned n = at % 8 + 1;

        for (unsigned i = 0; i < n; i++) {
            struct vring_desc desc = take_desc(in);

            memcpy(world.host[region] + skip + i * 16, &desc, sizeof(desc));
        }
    } else if (how < 0xf0) {
        ring->avail->idx = (uint16_t)take(in, 2);
    } else {
        ring->avail->flags = at;
        ring->avail->ring[ring->num] = (uint16_t)take(in, 2);
    }
}

/* In one region, or it would be a wild pointer. */
static void check_piece(const struct iovec *iov)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        const char *start = iov->iov_base;

        if (start >= world.host[i] && start < world.host[i] + REGION) {
            expect(iov->iov_len > 0 && iov->iov_len <= (size_t)(world.host[i] + REGION - start));
            return;
        }
    }
    abort();
}

static void check_chain(const struct vq_elem *elem)
{
    const struct chain *chain = &elem->chain;
    size_t out = 0;
    size_t in = 0;

    expect(chain->out_cnt + chain->in_cnt <= VQ_MAX_IOV && chain->out == elem->iov);
    expect(chain->in == elem->iov + chain->out_cnt);
    for (unsigned i = 0; i < chain->out_cnt; i++) {
        check_piece(&chain->out[i]);
        out += chain->out[i].iov_len;
    }
    for (unsigned i = 0; i < chain->in_cnt; i++) {
        check_piece(&chain->in[i]);
        in += chain->in[i].iov_len;
    }
    expect(out == chain->out_len && in == chain->in_len && in <= UINT32_MAX);
}

static void give_back(struct ring *ring, const struct vq_elem *elem)
{
    uint16_t at = ring->vq.used_idx;

    vq_push(&ring->vq, elem, (uint32_t)elem->chain.in_len);
    expect(ring->used->idx == (uint16_t)(at + 1));
    expect(ring->used->ring[at % ring->num].id == elem->head &&
           ring->used->ring[at % ring->num].len == elem->chain.in_len);
    (void)vq_needs_signal(&ring->vq);
}

static void serve(struct ring *ring, struct input *in)
{
    g_autofree struct vq_elem *elem = g_new0(struct vq_elem, 1);

    for (unsigned turn = 0; turn < 256; turn++) {
        int rc = 0;

        if (!vq_has_work(&ring->vq) || take(in, 1) & 1) {
            if (in->left == 0) {
                return;
            }
            write_something(ring, in);
        }
        if (turn % 16 == 0) {
            vq_disable_kicks(&ring->vq);
            (void)vq_enable_kicks(&ring->vq);
        }
        rc = vq_pop(&ring->vq, elem);
        expect(rc == 0 || rc == 1 || (rc == -EINVAL && ring->vq.why));
        if (rc < 0) {
            return;
        }
        if (rc == 1) {
            expect(elem->head < ring->num);
            check_chain(elem);
            give_back(ring, elem);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .left = size};
    struct ring ring = {.num = 0};

    if (!world.mem) {
        make_world();
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        memset(world.host[i], 0, REGION);
    }
    if (map_ring(&ring, &in)) {
        for (unsigned n = (unsigned)take(&in, 1) % 64; n > 0; n--) {
            write_something(&ring, &in);
        }
        serve(&ring, &in);
    }
    return 0;
}
