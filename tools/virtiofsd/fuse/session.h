/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A FUSE session: what this share offers, what the guest's INIT made of it, and the entrance for
 * chains. Several queue threads are in here at the same time.
 */
#ifndef FUSE_SESSION_H
#define FUSE_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chain.h"

struct pt_fs;
struct request;
struct worker_pool;

struct lock_waiter;

struct fuse_config {
    double entry_timeout, attr_timeout, negative_timeout; /* seconds */
    bool direct_io;  /* cache=never: every open bypasses the guest's page cache */
    bool allow_mmap; /* with direct_io: shared mappings all the same */
    bool keep_cache; /* cache=always: data stays cached over open */
    bool readdirplus;
    bool writeback;
    bool flock, posix_lock; /* locks are the host's, not the guest's own */
    bool readonly;
    bool posix_acl;
    bool posix_acl_required; /* a guest that does not offer them is refused */
    bool killpriv_v2;
    bool announce_submounts;
    bool tmpfile;          /* always: for who knows that the guest's overlayfs is sound */
    bool tmpfile_if_sound; /* for guests that are new enough to be known to be */
    bool export_handles;   /* file handles of the guest can be decoded later */
};

struct fuse_session {
    struct fuse_config config; /* never changes */
    struct pt_fs *fs;
    struct lock_waiter *lock_waiter; /* NULL: no lock is ever waited for */
    struct worker_pool *workers;     /* NULL: everything is served on the queue thread */

    /* Negotiated by INIT; read without a lock, written by the last INIT. */
    atomic_bool ready;
    atomic_uint minor;
    atomic_uint_fast64_t flags; /* FUSE_* flags in force, both halves */

    void *kept; /* where the three above outlive us, or NULL; set while no request runs */
};

/* Serves one chain; the struct request lives in chain->user (REQUEST_SIZE bytes). */
void fuse_serve(struct fuse_session *session, struct chain *chain);

/* Blocking locks: before the first request, when rings stop, and after the last request. */
void fuse_start_locks(struct fuse_session *session, int (*thread_init)(void *opaque));
void fuse_cancel_locks(struct fuse_session *session);
void fuse_stop_locks(struct fuse_session *session);

/*
 * From here on what INIT negotiated is kept in this memory as well, which is shared with the front
 * end; what an earlier daemon kept there takes effect. NULL: no longer. No request may run.
 */
void fuse_keep(struct fuse_session *session, void *memory, size_t size);

/* The guest or front end is gone: nothing it was told is valid any longer. */
void fuse_session_reset(struct fuse_session *session);

static inline bool fuse_has(struct fuse_session *session, uint64_t flag)
{
    return atomic_load_explicit(&session->flags, memory_order_relaxed) & flag;
}

#endif
