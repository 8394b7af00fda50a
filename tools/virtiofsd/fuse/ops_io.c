/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files. Data travels between guest memory and the host's file without a copy; what would
 * block a queue thread is handed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <string.h>

#include "fuse/lock_waiter.h"
#include "fuse/ops.h"
#include "fuse/wire.h"
#include "request/worker.h"

/* What the guest's page cache may do with a file. */
static uint32_t open_flags(const struct fuse_session *session)
{
    if (session->config.direct_io) {
        return FOPEN_DIRECT_IO;
    }
    return session->config.keep_cache ? FOPEN_KEEP_CACHE : 0;
}

static void fill_open(const struct fuse_session *session, uint64_t fh, struct fuse_open_out *out)
{
    out->fh = fh;
    out->open_flags = open_flags(session);
}

int op_open(struct fuse_session *session, struct request *req)
{
    const struct fuse_open_in *in = wire_args(req, struct fuse_open_in);
    uint64_t fh = 0;
    int err = pt_open(session->fs, req->hdr.nodeid, (int)in->flags,
                      in->open_flags & FUSE_OPEN_KILL_SUIDGID, &fh);

    if (err == 0) {
        fill_open(session, fh, request_reply_new(req, sizeof(struct fuse_open_out)));
    }
    return err;
}

/* With DONT_MASK the guest leaves its umask to whoever knows the directory's default ACL. */
static mode_t umask_for(struct fuse_session *session, uint32_t umask)
{
    return fuse_has(session, FUSE_DONT_MASK) ? umask & 0777 : 0;
}

static int reply_create(struct fuse_session *session, struct request *req,
                        const struct pt_entry *entry, uint64_t fh)
{
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } *out = request_reply_new(req, sizeof(*out));

    wire_entry(session, entry, &out->entry);
    fill_open(session, fh, &out->open);
    return 0;
}

int op_create(struct fuse_session *session, struct request *req)
{
    const struct fuse_create_in *in = wire_args(req, struct fuse_create_in);
    struct pt_new how = {.mode = in->mode & 07777, .umask = umask_for(session, in->umask)};
    struct pt_entry entry;
    const char *name = NULL;
    size_t pos = sizeof(*in);
    uint64_t fh = 0;
    int err = wire_name(req, &pos, false, &name);

    if (err == 0) {
        err = wire_caller(req, &how.caller);
    }
    if (err == 0) {
        err = pt_create(session->fs, &how, req->hdr.nodeid, name, (int)in->flags,
                        in->open_flags & FUSE_OPEN_KILL_SUIDGID, &entry, &fh);
    }
    return err < 0 ? err : reply_create(session, req, &entry, fh);
}

/*
 * overlayfs of Linux 6.1 to 6.17 keeps the nameless dentry of a TMPFILE it copied up into and then
 * revalidates "/" in the work directory: ESTALE for that file from then on. ENOSYS is sticky: such
 * a guest asks once. 7.45 came with the cure.
 */
static bool may_tmpfile(struct fuse_session *session)
{
    enum { FIRST_SOUND_MINOR = 45 };

    return session->config.tmpfile ||
           (session->config.tmpfile_if_sound && atomic_load(&session->minor) >= FIRST_SOUND_MINOR);
}

/* The name that comes along is "/" and means nothing. */
int op_tmpfile(struct fuse_session *session, struct request *req)
{
    const struct fuse_create_in *in = wire_args(req, struct fuse_create_in);
    struct pt_new how = {.mode = in->mode & 07777, .umask = umask_for(session, in->umask)};
    struct pt_entry entry;
    uint64_t fh = 0;
    int err = may_tmpfile(session) ? wire_caller(req, &how.caller) : -ENOSYS;

    if (err == 0) {
        err = pt_tmpfile(session->fs, &how, req->hdr.nodeid, (int)in->flags, &entry, &fh);
        err = err == -ENOSYS ? -EOPNOTSUPP : err;
    }
    return err < 0 ? err : reply_create(session, req, &entry, fh);
}

/* RELEASE is always well: there is nothing a guest could do about an error. */
int op_release(struct fuse_session *session, struct request *req)
{
    const struct fuse_release_in *in = wire_args(req, struct fuse_release_in);
    bool known = false;

    if (fuse_has(session, FUSE_POSIX_LOCKS)) {
        pt_drop_locks_through(session->fs, in->fh);
    }
    known = pt_release(session->fs, in->fh);
    if (session->lock_waiter) {
        lock_waiter_poke(session->lock_waiter); /* its locks are gone */
    }
    return known ? 0 : -EBADF;
}

int op_opendir(struct fuse_session *session, struct request *req)
{
    struct fuse_open_out *out = NULL;
    uint64_t fh = 0;
    int err = pt_opendir(session->fs, req->hdr.nodeid, &fh);

    if (err == 0) {
        out = request_reply_new(req, sizeof(*out));
        out->fh = fh;
    }
    return err;
}

int op_releasedir(struct fuse_session *session, struct request *req)
{
    return op_release(session, req);
}

/* --- reading and writing --- */

enum { SLICE = IOV_MAX }; /* what preadv(2) takes at once */

/*
 * Moves up to `size` bytes at `offset` between a file and the iovecs the cursor walks over; more
 * than one call only for more than SLICE pieces or a short result. Returns the bytes moved, or an
 * error when there were none.
 */
struct transfer {
    struct fuse_session *session;
    uint64_t fh;
    bool write;
    bool nowait;
    unsigned write_how; /* PT_WRITE_ */
};

static ssize_t move_slice(const struct transfer *how, const struct iovec *iov, unsigned cnt,
                          off_t offset)
{
    if (how->write) {
        return pt_write(how->session->fs, how->fh, iov, cnt, offset, how->write_how);
    }
    return pt_read(how->session->fs, how->fh, iov, cnt, offset, how->nowait);
}

static ssize_t move(const struct transfer *how, struct iov_cursor *cur, size_t size, off_t offset)
{
    struct iovec iov[SLICE];
    size_t done = 0;

    while (done < size) {
        struct iov_cursor ahead = *cur;
        size_t len = 0;
        unsigned cnt = iov_cursor_slice(&ahead, size - done, iov, SLICE, &len);
        ssize_t n = cnt > 0 ? move_slice(how, iov, cnt, offset + (off_t)done) : 0;

        if (n < 0) {
            return done > 0 && !(how->nowait && n == -EAGAIN) ? (ssize_t)done : n;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
        iov_cursor_skip(cur, (size_t)n);
        if ((size_t)n < len && !how->nowait) {
            break; /* the end of the file, or a full disk: the next call would tell */
        }
    }
    return (ssize_t)done;
}

/* Reads into the chain behind the out header. */
static int read_into(struct fuse_session *session, struct request *req, bool nowait)
{
    const struct fuse_read_in *in = wire_args(req, struct fuse_read_in);
    struct transfer how = {.session = session, .fh = in->fh, .nowait = nowait};
    struct iov_cursor cur = iov_cursor_make(req->chain->in, req->chain->in_cnt);
    ssize_t n = 0;

    iov_cursor_skip(&cur, sizeof(struct fuse_out_header));
    n = move(&how, &cur, in->size, (off_t)in->offset);
    if (n < 0) {
        return (int)n;
    }
    req->reply_len = (size_t)n; /* already in place */
    return 0;
}

static void read_on_worker(struct request *req)
{
    request_finish(req, read_into(req->session, req, false));
}

int op_read(struct fuse_session *session, struct request *req)
{
    const struct fuse_read_in *in = wire_args(req, struct fuse_read_in);
    int err = 0;

    if (in->size > request_reply_room(req) || in->offset > (uint64_t)INT64_MAX - in->size) {
        return -EINVAL;
    }
    err = read_into(session, req, session->workers != NULL);
    if (err == -EAGAIN && session->workers) {
        req->work = read_on_worker;
        worker_submit(session->workers, req);
        return REQUEST_PENDING;
    }
    return err;
}

int op_write(struct fuse_session *session, struct request *req)
{
    const struct fuse_write_in *in = wire_args(req, struct fuse_write_in);
    struct transfer how = {
        .session = session,
        .fh = in->fh,
        .write = true,
        .write_how = (in->write_flags & FUSE_WRITE_KILL_SUIDGID ? PT_WRITE_KILL_PRIV : 0) |
                     (in->flags & O_APPEND ? PT_WRITE_APPEND : 0),
    };
    struct fuse_write_out *out = NULL;
    ssize_t n = 0;

    if (in->size != request_body_left(req) || in->offset > (uint64_t)INT64_MAX - in->size) {
        return -EINVAL;
    }
    n = move(&how, &req->data, in->size, (off_t)in->offset);
    if (n < 0) {
        return (int)n;
    }
    out = request_reply_new(req, sizeof(*out));
    out->size = (uint32_t)n;
    return 0;
}

/* --- the rest --- */

int op_flush(struct fuse_session *session, struct request *req)
{
    const struct fuse_flush_in *in = wire_args(req, struct fuse_flush_in);

    if (fuse_has(session, FUSE_POSIX_LOCKS)) {
        pt_drop_owner(session->fs, req->hdr.nodeid, in->lock_owner);
        lock_waiter_poke(session->lock_waiter);
    }
    return pt_flush(session->fs, in->fh);
}

int op_fsync(struct fuse_session *session, struct request *req)
{
    const struct fuse_fsync_in *in = wire_args(req, struct fuse_fsync_in);

    return pt_fsync(session->fs, in->fh, in->fsync_flags & FUSE_FSYNC_FDATASYNC);
}

/*
 * With KILLPRIV_V2 the guest leaves set-id bits to us, and these requests have no flag that says
 * whether who asks may keep them. Root may; where ids are mapped nobody is known to be root.
 */
static bool kills_priv(struct fuse_session *session, const struct request *req)
{
    return fuse_has(session, FUSE_HANDLE_KILLPRIV_V2) && req->hdr.uid != 0;
}

int op_fallocate(struct fuse_session *session, struct request *req)
{
    const struct fuse_fallocate_in *in = wire_args(req, struct fuse_fallocate_in);

    if (in->offset > INT64_MAX || in->length > INT64_MAX) {
        return -EINVAL;
    }
    return pt_fallocate(session->fs, in->fh, (int)in->mode, (off_t)in->offset, (off_t)in->length,
                        kills_priv(session, req));
}

int op_lseek(struct fuse_session *session, struct request *req)
{
    const struct fuse_lseek_in *in = wire_args(req, struct fuse_lseek_in);
    struct fuse_lseek_out *out = NULL;
    off_t found = 0;
    int err = pt_lseek(session->fs, in->fh, (off_t)in->offset, (int)in->whence, &found);

    if (err == 0) {
        out = request_reply_new(req, sizeof(*out));
        out->offset = (uint64_t)found;
    }
    return err;
}

static ssize_t copy_range(struct fuse_session *session, const struct request *req, uint64_t most)
{
    const struct fuse_copy_file_range_in *in = wire_args(req, struct fuse_copy_file_range_in);

    if (in->off_in > INT64_MAX || in->off_out > INT64_MAX || in->flags != 0) {
        return -EINVAL; /* no flag is known */
    }
    return pt_copy_file_range(session->fs, in->fh_in, (off_t)in->off_in, in->fh_out,
                              (off_t)in->off_out, MIN(in->len, most), kills_priv(session, req));
}

int op_copy_file_range(struct fuse_session *session, struct request *req)
{
    /* the reply has 32 bits; a page less than 2 GiB as read(2) and write(2) */
    ssize_t n = copy_range(session, req, INT32_MAX & ~4095);
    struct fuse_write_out *out = NULL;

    if (n < 0) {
        return (int)n;
    }
    out = request_reply_new(req, sizeof(*out));
    out->size = (uint32_t)n;
    return 0;
}

int op_copy_file_range_64(struct fuse_session *session, struct request *req)
{
    ssize_t n = copy_range(session, req, INT64_MAX);
    struct fuse_copy_file_range_out *out = NULL;

    if (n < 0) {
        return (int)n;
    }
    out = request_reply_new(req, sizeof(*out));
    out->bytes_copied = (uint64_t)n;
    return 0;
}

int op_ioctl(struct fuse_session *session, struct request *req)
{
    const struct fuse_ioctl_in *in = wire_args(req, struct fuse_ioctl_in);
    char data[128]; /* more than any ioctl that is known here carries */
    struct pt_ioctl_data io = {
        .in = in + 1,
        .in_size = req->args_len - sizeof(*in),
        .out = data,
        .out_size = MIN(in->out_size, sizeof(data)),
    };
    struct fuse_ioctl_out out = {0};
    int len = 0;

    if (in->in_size != io.in_size || (in->flags & FUSE_IOCTL_UNRESTRICTED)) {
        return -EINVAL;
    }
    len = pt_ioctl(session->fs, in->fh, in->cmd, &io);
    if (len < 0) {
        return len;
    }
    if (request_reply_room(req) < sizeof(out) + (size_t)len) {
        return -EINVAL;
    }
    (void)request_reply_append(req, &out, sizeof(out)); /* there is room for both */
    return request_reply_append(req, data, (size_t)len);
}
