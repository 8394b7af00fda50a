/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From descriptors to iovecs: the checks every buffer of a guest goes through, one descriptor
 * at a time, whichever format of ring it came from.
 */
#ifndef TRANSPORT_VQ_CHAIN_H
#define TRANSPORT_VQ_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

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

#endif
