/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chain is one request as its source hands it over: where the bytes to read are, where the
 * answer goes, and how it is given back. A virtqueue makes chains out of descriptors, /dev/fuse
 * makes them out of a buffer; nobody behind this struct can tell the difference.
 *
 * The memory behind the iovecs belongs to the other side and may change at any time: copy, then
 * check, then use. Source and server agree on `user_size` bytes of scratch memory behind `user`,
 * so that serving a request allocates nothing.
 */
#ifndef BASE_CHAIN_H
#define BASE_CHAIN_H

#include <stddef.h>
#include <sys/uio.h>

struct chain {
    struct iovec *out; /* what the guest sent, read only */
    unsigned out_cnt;
    size_t out_len; /* bytes in out[], summed and checked for overflow by the source */

    struct iovec *in; /* where the answer goes, write only */
    unsigned in_cnt;
    size_t in_len;

    /*
     * Gives the chain back, from any thread, exactly once. `written` bytes of in[] are valid.
     * The chain and its user memory must not be touched afterwards.
     */
    void (*done)(struct chain *chain, size_t written);

    unsigned queue; /* which queue it came from, for figures and logs */
    void *user;     /* user_size bytes, aligned for any type, not initialised */
};

#endif
