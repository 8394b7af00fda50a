/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From descriptors to iovecs: the checks every buffer of a guest goes through, one descriptor
 * at a time, whichever format of ring it came from.
 */
#ifndef TRANSPORT_VQ_CHAIN_H
#define TRANSPORT_VQ_CHAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "transport/guest_mem.h"
#include "transport/virtqueue.h"

/* Begins an empty chain in elem. */
void vq_chain_begin(struct vq_elem *elem);

/*
 * Adds the buffer of one descriptor. Returns NULL, or what is wrong with it: no length, outside
 * of memory, readable after writable, more than fits.
 */
const char *vq_chain_add(struct vq_elem *elem, const struct guest_mem *mem, unsigned *hint,
                         uint64_t addr, uint32_t len, bool is_writable);

/* A table of descriptors: the ring's own, or an indirect one anywhere in guest memory. */
struct vq_table {
    const struct vring_desc *base; /* NULL: an indirect table that crosses regions */
    uint64_t gpa;
    unsigned count;
};

/*
 * Opens an indirect table of `len` bytes at gpa. Both formats have descriptors of 16 bytes.
 * Returns NULL or what is wrong with it.
 */
const char *vq_table_open(const struct guest_mem *mem, unsigned *hint, uint64_t gpa, uint32_t len,
                          struct vq_table *ret_table);

/* Copies descriptor i of a table that crosses regions. The same. */
const char *vq_table_read_far(const struct guest_mem *mem, unsigned *hint,
                              const struct vq_table *table, unsigned i, struct vring_desc *ret_raw);

/* Copies descriptor i once: the guest may change the original at any time. The same. */
static inline const char *vq_table_read(const struct guest_mem *mem, unsigned *hint,
                                        const struct vq_table *table, unsigned i,
                                        struct vring_desc *ret_raw)
{
    if (i >= table->count) {
        return "a descriptor index beyond its table";
    }
    if (!table->base) {
        return vq_table_read_far(mem, hint, table, i, ret_raw);
    }
    memcpy(ret_raw, table->base + i, sizeof(*ret_raw));
    /* keeps the compiler from looking at the original again instead of at the copy */
    __asm__ __volatile__("" ::: "memory");
    return NULL;
}

#endif
