/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks. They stay in the guest unless --posix-lock or --flock asked for more; a guest that asks
 * all the same hears ENOSYS and keeps them itself.
 */
#include <errno.h>
#include <fcntl.h>

#include "fuse/lock_waiter.h"
#include "fuse/ops.h"
#include "fuse/wire.h"

static bool is_offered(struct fuse_session *session, const struct fuse_lk_in *in)
{
    bool is_flock = in->lk_flags & FUSE_LK_FLOCK;

    return fuse_has(session, is_flock ? FUSE_FLOCK_LOCKS : FUSE_POSIX_LOCKS);
}

static struct pt_lock lock_of(const struct fuse_lk_in *in)
{
    return (struct pt_lock){
        .type = in->lk.type, .start = in->lk.start, .end = in->lk.end, .pid = in->lk.pid};
}

int op_getlk(struct fuse_session *session, struct request *req)
{
    const struct fuse_lk_in *in = wire_args(req, struct fuse_lk_in);
    struct pt_lock lock = lock_of(in);
    struct fuse_lk_out *out = NULL;
    int err = 0;

    if (!is_offered(session, in)) {
        return -ENOSYS;
    }
    err = pt_getlk(session->fs, req->hdr.nodeid, in->owner, &lock);
    if (err < 0) {
        return err;
    }
    out = request_reply_new(req, sizeof(*out));
    out->lk = (struct fuse_file_lock){
        .type = lock.type, .start = lock.start, .end = lock.end, .pid = lock.pid};
    return 0;
}

/* 0, or -EAGAIN when somebody else has it. */
static int try_lock(struct request *req)
{
    struct fuse_session *session = req->session;
    const struct fuse_lk_in *in = wire_args(req, struct fuse_lk_in);
    struct pt_lock lock = lock_of(in);

    if (in->lk_flags & FUSE_LK_FLOCK) {
        return pt_flock(session->fs, in->fh, lock.type);
    }
    return pt_setlk(session->fs, req->hdr.nodeid, in->owner, in->fh, &lock);
}

int op_setlk(struct fuse_session *session, struct request *req)
{
    const struct fuse_lk_in *in = wire_args(req, struct fuse_lk_in);
    int err = is_offered(session, in) ? try_lock(req) : -ENOSYS;

    if (err == 0 && in->lk.type != F_WRLCK && session->lock_waiter) {
        lock_waiter_poke(session->lock_waiter); /* unlocked, or no longer exclusive */
    }
    return err;
}

int op_setlkw(struct fuse_session *session, struct request *req)
{
    int err = op_setlk(session, req);

    if (err != -EAGAIN || !session->lock_waiter) {
        return err;
    }
    err = lock_waiter_add(session->lock_waiter, req);
    return err == 0 ? REQUEST_PENDING : err;
}

/* Only who waits for a lock waits so long that it matters. virtio-fs guests never ask. */
int op_interrupt(struct fuse_session *session, struct request *req)
{
    const struct fuse_interrupt_in *in = wire_args(req, struct fuse_interrupt_in);

    if (session->lock_waiter && req->args_len >= sizeof(*in)) {
        lock_waiter_interrupt(session->lock_waiter, in->unique);
    }
    return REQUEST_NO_REPLY;
}

void fuse_start_locks(struct fuse_session *session, int (*thread_init)(void *opaque))
{
    if (session->config.flock || session->config.posix_lock) {
        session->lock_waiter = lock_waiter_new(try_lock, thread_init, session);
    }
}

void fuse_cancel_locks(struct fuse_session *session)
{
    if (session->lock_waiter) {
        lock_waiter_cancel(session->lock_waiter);
    }
}

void fuse_stop_locks(struct fuse_session *session)
{
    lock_waiter_free(session->lock_waiter);
    session->lock_waiter = NULL;
}
