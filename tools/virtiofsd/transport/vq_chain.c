/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elem->iov holds the readable pieces and after them the writable ones; the specification wants
 * them in this order, so one array does for both.
 */
#include "transport/vq_chain.h"

#include <stddef.h>

void vq_chain_begin(struct vq_elem *elem)
{
    struct chain *chain = &elem->chain;

    chain->out = elem->iov;
    chain->out_cnt = 0;
    chain->out_len = 0;
    chain->in = elem->iov;
    chain->in_cnt = 0;
    chain->in_len = 0;
}

const char *vq_chain_add(struct vq_elem *elem, const struct guest_mem *mem, unsigned *hint,
                         uint64_t addr, uint32_t len, bool is_writable)
{
    struct chain *chain = &elem->chain;
    size_t *total = is_writable ? &chain->in_len : &chain->out_len;
    uint64_t left = len;
    uint64_t end = 0;

    if (len == 0) {
        return "a descriptor without length";
    }
    if (__builtin_add_overflow(addr, left, &end)) {
        return "a buffer that wraps around the address space";
    }
    if (!is_writable && chain->in_cnt > 0) {
        return "a readable descriptor after a writable one";
    }
    /* the specification bounds a chain at 4 GiB, and the used ring counts in 32 bits */
    if (*total > UINT32_MAX - (size_t)len) {
        return "a chain of 4 GiB or more";
    }
    while (left > 0) {
        unsigned cnt = chain->out_cnt + chain->in_cnt;
        uint64_t piece = 0;
        void *host = guest_mem_at(mem, addr, left, &piece, hint);

        if (!host) {
            return "a buffer outside of the guest's memory";
        }
        if (cnt == VQ_MAX_IOV) {
            return "a chain of too many pieces";
        }
        elem->iov[cnt] = (struct iovec){.iov_base = host, .iov_len = piece};
        if (is_writable) {
            chain->in_cnt++;
        } else {
            chain->out_cnt++;
            chain->in++; /* the writable ones start after the last readable one */
        }
        addr += piece;
        left -= piece;
    }
    *total += len;
    return NULL;
}

const char *vq_table_open(const struct guest_mem *mem, unsigned *hint, uint64_t gpa, uint32_t len,
                          struct vq_table *ret_table)
{
    uint64_t piece = 0;
    uint64_t end = 0;
    const void *host = NULL;

    if (len == 0 || len % sizeof(struct vring_desc) != 0) {
        return "an indirect table that is not made of whole descriptors";
    }
    /*
     * "A driver MUST NOT create a descriptor chain longer than the Queue Size", but guests before
     * Linux 5.13 put 256 pages into an indirect table of a ring with 128 entries.
     */
    if (len / sizeof(struct vring_desc) > VQ_MAX_DESCS) {
        return "an indirect table of too many descriptors";
    }
    if (__builtin_add_overflow(gpa, (uint64_t)len, &end)) {
        return "an indirect table that wraps around the address space";
    }
    host = guest_mem_at(mem, gpa, len, &piece, hint);
    if (!host) {
        return "an indirect table outside of the guest's memory";
    }
    *ret_table = (struct vq_table){
        .base = piece == len ? host : NULL,
        .gpa = gpa,
        .count = len / sizeof(struct vring_desc),
    };
    return NULL;
}

const char *vq_table_read_far(const struct guest_mem *mem, unsigned *hint,
                              const struct vq_table *table, unsigned i, struct vring_desc *ret_raw)
{
    /* in 64 bits and below gpa + length of the table, which was checked not to wrap */
    if (guest_mem_read(mem, table->gpa + (uint64_t)i * sizeof(*ret_raw), ret_raw, sizeof(*ret_raw),
                       hint) < 0) {
        return "an indirect table outside of the guest's memory";
    }
    return NULL;
}
