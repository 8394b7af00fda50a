/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One FUSE request on its way: the header and arguments, copied once out of the chain, and the
 * answer, written once into it. request_finish() is the only place that replies.
 *
 * A request lives in the scratch memory of its chain (REQUEST_SIZE bytes) and belongs to one
 * thread at a time; it may be handed to another thread (worker.h) as long as whoever has it last
 * finishes it.
 */
#ifndef REQUEST_REQUEST_H
#define REQUEST_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chain.h"
#include "base/compat.h"
#include "base/iov_cursor.h"

/* Copied arguments up to this size need no allocation: two names and any argument struct. */
#define REQUEST_INLINE_ARGS 1024
/* The most a request may carry besides WRITE data: a 64 KiB xattr value with its name. */
#define REQUEST_MAX_ARGS (64 * 1024 + 4096)
/* Replies up to this size are built in place. */
#define REQUEST_INLINE_REPLY 320

/* request_finish() results that are not an errno or a length */
#define REQUEST_NO_REPLY (INT32_MIN)     /* FORGET: the chain is given back empty */
#define REQUEST_PENDING  (INT32_MIN + 1) /* somebody else will finish the request */

struct request {
    struct chain *chain;
    struct fuse_in_header hdr;

    /* Arguments after the header, copied; a walk through them is bounded by args_len. */
    char *args;
    size_t args_len;

    /* WRITE: the payload, still in guest memory. READ: where the payload goes, after the header. */
    struct iov_cursor data;

    /* What the opcode's function left for the reply. */
    const void *reply; /* bytes after the out header, or NULL when they are in place already */
    size_t reply_len;
    struct iov_cursor reply_end; /* where the next part goes, once there is a first one */

    void *session;                                      /* the server's own; see fuse/ */
    void (*on_finish)(struct request *req, int result); /* figures; may be NULL */
    uint64_t start_ns;

    /* hand-over to a worker (worker.h) */
    void (*work)(struct request *req);

    char reply_buf[REQUEST_INLINE_REPLY];
    char args_buf[REQUEST_INLINE_ARGS];
};

#define REQUEST_SIZE sizeof(struct request)

/*
 * Reads the header of the chain into the request in chain->user. Returns 0, or -EINVAL when the
 * chain holds less than a header or when hdr.len is not the chain's length. The request can be
 * finished in either case; a chain without room for an out header is then given back empty.
 */
int request_begin(struct request *req, struct chain *chain);

/*
 * Copies the next `len` bytes after the header as arguments; the rest of the chain stays in
 * req->data. Returns 0, -EINVAL when the chain is shorter, -E2BIG over REQUEST_MAX_ARGS, -ENOMEM.
 */
int request_copy_args(struct request *req, size_t len);

/* Bytes after the header that were not copied yet. */
size_t request_body_left(const struct request *req);

/* Room for the reply's payload in the chain, after the out header. */
size_t request_reply_room(const struct request *req);

/*
 * Zeroed room for a fixed-size reply of `size` bytes (<= REQUEST_INLINE_REPLY), which becomes the
 * reply if the request ends well.
 */
void *request_reply_new(struct request *req, size_t size);

/*
 * Writes a reply of any size, or the next part of one, straight into the chain: no copy is kept.
 * Returns 0, or -EINVAL when it does not fit, which the caller should have asked before.
 */
int request_reply_append(struct request *req, const void *data, size_t size);

/*
 * Replies and gives the chain back. `result` is 0 (reply_len bytes of reply follow the header),
 * a -errno, or REQUEST_NO_REPLY. The request is gone afterwards.
 */
void request_finish(struct request *req, int result);

#endif
