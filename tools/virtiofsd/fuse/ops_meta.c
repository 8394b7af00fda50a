/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names looked up and forgotten, attributes, extended attributes, the file system as a whole.
 */
#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "fuse/ops.h"
#include "fuse/wire.h"

/*
 * A dentry that the guest's kernel made of a file handle has neither name nor parent; when it is
 * revalidated, what comes is LOOKUP of "/" in the file itself. Overlayfs keeps such dentries as
 * the origin of what it copied up, and gives ESTALE to applications when they are not confirmed.
 * In a directory "/" means nothing: those are connected by their "..".
 */
static int lookup_unnamed(struct fuse_session *session, uint64_t nodeid, struct pt_entry *ret)
{
    int err = pt_lookup(session->fs, nodeid, ".", ret);

    if (err == 0 && S_ISDIR(ret->st.stx_mode)) {
        pt_forget(session->fs, ret->nodeid, 1);
        err = -EINVAL;
    }
    return err;
}

int op_lookup(struct fuse_session *session, struct request *req)
{
    struct pt_entry entry;
    const char *name = NULL;
    size_t pos = 0;
    int err = 0;

    if (req->args_len == 2 && memcmp(req->args, "/", 2) == 0) {
        err = lookup_unnamed(session, req->hdr.nodeid, &entry);
        return wire_reply_entry(session, req, err, &entry);
    }
    err = wire_name(req, &pos, true, &name);
    if (err == 0) {
        err = pt_lookup(session->fs, req->hdr.nodeid, name, &entry);
    }
    if (err == -ENOENT && session->config.negative_timeout > 0) {
        /* nodeid 0: the guest remembers that there is no such name */
        struct fuse_entry_out *out = request_reply_new(req, sizeof(*out));

        wire_timeout(session->config.negative_timeout, &out->entry_valid, &out->entry_valid_nsec);
        return 0;
    }
    return wire_reply_entry(session, req, err, &entry);
}

static void forget_one(struct fuse_session *session, uint64_t nodeid, uint64_t n)
{
    if (!pt_forget(session->fs, nodeid, n)) {
        log_info_limited("the guest forgets %llu lookups of inode %#llx, which it does not have",
                         (unsigned long long)n, (unsigned long long)nodeid);
    }
}

int op_forget(struct fuse_session *session, struct request *req)
{
    forget_one(session, req->hdr.nodeid, wire_args(req, struct fuse_forget_in)->nlookup);
    return REQUEST_NO_REPLY;
}

int op_batch_forget(struct fuse_session *session, struct request *req)
{
    const struct fuse_batch_forget_in *in = wire_args(req, struct fuse_batch_forget_in);
    const struct fuse_forget_one *one = (const void *)(in + 1);
    size_t there = (req->args_len - sizeof(*in)) / sizeof(*one);

    if (in->count > there) {
        log_warn_limited("queue %u: malformed BATCH_FORGET request (%u promised, %zu there)",
                         req->chain->queue, in->count, there);
        return REQUEST_NO_REPLY;
    }
    for (uint32_t i = 0; i < in->count; i++) {
        forget_one(session, one[i].nodeid, one[i].nlookup);
    }
    return REQUEST_NO_REPLY;
}

int op_getattr(struct fuse_session *session, struct request *req)
{
    const struct fuse_getattr_in *in = wire_args(req, struct fuse_getattr_in);
    uint64_t fh = (in->getattr_flags & FUSE_GETATTR_FH) ? in->fh : PT_NO_FH;
    struct statx st;
    int err = pt_getattr(session->fs, req->hdr.nodeid, fh, &st);

    return wire_reply_attr(session, req, err, &st);
}

static struct fuse_sx_time wire_sx_time(const struct statx_timestamp *time)
{
    return (struct fuse_sx_time){.tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec};
}

int op_statx(struct fuse_session *session, struct request *req)
{
    struct fuse_statx_out *out = NULL;
    struct statx st;
    int err = pt_getattr(session->fs, req->hdr.nodeid, PT_NO_FH, &st);

    if (err < 0) {
        return err;
    }
    out = request_reply_new(req, sizeof(*out));
    wire_timeout(session->config.attr_timeout, &out->attr_valid, &out->attr_valid_nsec);
    out->stat = (struct fuse_statx){
        .mask = st.stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
        .blksize = st.stx_blksize,
        .nlink = st.stx_nlink,
        .uid = st.stx_uid,
        .gid = st.stx_gid,
        .mode = st.stx_mode,
        .ino = st.stx_ino,
        .size = st.stx_size,
        .blocks = st.stx_blocks,
        .atime = wire_sx_time(&st.stx_atime),
        .btime = wire_sx_time(&st.stx_btime),
        .ctime = wire_sx_time(&st.stx_ctime),
        .mtime = wire_sx_time(&st.stx_mtime),
        .rdev_major = st.stx_rdev_major,
        .rdev_minor = st.stx_rdev_minor,
    };
    return 0;
}

/* Which wire bit sets which field; the times' NOW bits are looked at on their own. */
static const struct {
    uint32_t wire;
    unsigned pt;
} setattr_bits[] = {
    {FATTR_MODE, PT_SET_MODE},
    {FATTR_UID, PT_SET_UID},
    {FATTR_GID, PT_SET_GID},
    {FATTR_SIZE, PT_SET_SIZE},
    {FATTR_ATIME, PT_SET_ATIME},
    {FATTR_MTIME, PT_SET_MTIME},
    {FATTR_KILL_SUIDGID, PT_SET_KILL_PRIV},
};

static struct timespec wire_time(uint64_t sec, uint32_t nsec, bool now)
{
    return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = now ? UTIME_NOW : (long)nsec};
}

int op_setattr(struct fuse_session *session, struct request *req)
{
    const struct fuse_setattr_in *in = wire_args(req, struct fuse_setattr_in);
    struct pt_setattr attr = {
        .mode = in->mode & 07777,
        .uid = in->uid,
        .gid = in->gid,
        .size = in->size,
        .atime = wire_time(in->atime, in->atimensec, in->valid & FATTR_ATIME_NOW),
        .mtime = wire_time(in->mtime, in->mtimensec, in->valid & FATTR_MTIME_NOW),
    };
    uint64_t fh = (in->valid & FATTR_FH) ? in->fh : PT_NO_FH;
    struct statx st;
    int err = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(setattr_bits); i++) {
        attr.valid |= (in->valid & setattr_bits[i].wire) ? setattr_bits[i].pt : 0;
    }
    if (((attr.valid & PT_SET_ATIME) && !(in->valid & FATTR_ATIME_NOW) &&
         in->atimensec >= 1000000000) ||
        ((attr.valid & PT_SET_MTIME) && !(in->valid & FATTR_MTIME_NOW) &&
         in->mtimensec >= 1000000000)) {
        return -EINVAL; /* UTIME_OMIT and friends are not for a guest to smuggle in */
    }
    err = pt_setattr(session->fs, req->hdr.nodeid, fh, &attr, &st);
    return wire_reply_attr(session, req, err, &st);
}

int op_readlink(struct fuse_session *session, struct request *req)
{
    char target[PATH_MAX + 1];
    int len = pt_readlink(session->fs, req->hdr.nodeid, target, sizeof(target));

    if (len < 0) {
        return len;
    }
    return request_reply_append(req, target, MIN((size_t)len, request_reply_room(req)));
}

int op_access(struct fuse_session *session, struct request *req)
{
    struct pt_caller caller = {.uid = req->hdr.uid, .gid = req->hdr.gid};
    uint32_t mask = wire_args(req, struct fuse_access_in)->mask;

    return pt_access(session->fs, &caller, req->hdr.nodeid, (int)(mask & 7));
}

int op_statfs(struct fuse_session *session, struct request *req)
{
    struct fuse_statfs_out *out = NULL;
    struct statvfs st;
    int err = pt_statfs(session->fs, req->hdr.nodeid, &st);

    if (err < 0) {
        return err;
    }
    out = request_reply_new(req, sizeof(*out));
    out->st = (struct fuse_kstatfs){
        .blocks = st.f_blocks,
        .bfree = st.f_bfree,
        .bavail = st.f_bavail,
        .files = st.f_files,
        .ffree = st.f_ffree,
        .bsize = (uint32_t)st.f_bsize,
        .namelen = (uint32_t)st.f_namemax,
        .frsize = (uint32_t)st.f_frsize,
    };
    return 0;
}

int op_syncfs(struct fuse_session *session, struct request *req)
{
    return pt_syncfs(session->fs, req->hdr.nodeid);
}

/* An attribute's name: not empty, at most 255 bytes, ended within the arguments. */
static int xattr_name(const struct request *req, size_t *pos, const char **ret_name)
{
    size_t len = 0;
    const char *name = wire_string(req, pos, &len);

    if (!name || len == 0) {
        return -EINVAL;
    }
    *ret_name = name;
    return len > XATTR_NAME_MAX ? -ERANGE : 0;
}

int op_setxattr(struct fuse_session *session, struct request *req)
{
    const struct fuse_setxattr_in *in = wire_args(req, struct fuse_setxattr_in);
    size_t pos = fuse_has(session, FUSE_SETXATTR_EXT) ? sizeof(*in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
    bool kill_sgid = fuse_has(session, FUSE_SETXATTR_EXT) && req->args_len >= sizeof(*in) &&
                     (in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID);
    const char *name = NULL;
    int err = xattr_name(req, &pos, &name);

    if (err < 0) {
        return err;
    }
    if (in->size > XATTR_SIZE_MAX) {
        return -E2BIG;
    }
    if (in->size != req->args_len - pos) {
        return -EINVAL;
    }
    err = pt_setxattr(session->fs, req->hdr.nodeid, name, req->args + pos, in->size, (int)in->flags,
                      kill_sgid);
    /*
     * Symbolic links and special files cannot hold what trusted.* is mapped to. overlayfs only
     * ever sets "origin" on them and takes EPERM for an answer since Linux 5.11 (FUSE 7.33); older
     * ones would give up the copy-up: let them believe.
     */
    if (err == -EPERM && atomic_load(&session->minor) < 33 &&
        strcmp(name, "trusted.overlay.origin") == 0) {
        return 0;
    }
    return err;
}

/*
 * What get and list have in common: a size of 0 asks how long the value is, otherwise it is read
 * into a buffer of at most the kernel's limit.
 */
struct xattr_read {
    int (*read)(struct pt_fs *fs, uint64_t nodeid, const char *name, void *buf, size_t size);
    const char *name;
};

static int read_named(struct pt_fs *fs, uint64_t nodeid, const char *name, void *buf, size_t size)
{
    return pt_getxattr(fs, nodeid, name, buf, size);
}

static int read_names(struct pt_fs *fs, uint64_t nodeid, const char *name, void *buf, size_t size)
{
    (void)name;
    return pt_listxattr(fs, nodeid, buf, size);
}

static int reply_xattr(struct fuse_session *session, struct request *req, uint32_t wanted,
                       const struct xattr_read *how)
{
    size_t size = MIN(wanted, XATTR_SIZE_MAX);
    char buf[XATTR_SIZE_MAX]; /* 64 KiB of stack, of which only what is there is ever touched */
    struct fuse_getxattr_out *out = NULL;
    int len = 0;

    if (request_reply_room(req) < (wanted > 0 ? size : sizeof(*out))) {
        return -EINVAL;
    }
    len = how->read(session->fs, req->hdr.nodeid, how->name, buf, size);
    if (len < 0) {
        return len;
    }
    if (wanted > 0) {
        return request_reply_append(req, buf, (size_t)len);
    }
    out = request_reply_new(req, sizeof(*out));
    out->size = (uint32_t)len;
    return 0;
}

int op_getxattr(struct fuse_session *session, struct request *req)
{
    const struct fuse_getxattr_in *in = wire_args(req, struct fuse_getxattr_in);
    struct xattr_read how = {.read = read_named};
    size_t pos = sizeof(*in);
    int err = xattr_name(req, &pos, &how.name);

    return err < 0 ? err : reply_xattr(session, req, in->size, &how);
}

int op_listxattr(struct fuse_session *session, struct request *req)
{
    struct xattr_read how = {.read = read_names};

    return reply_xattr(session, req, wire_args(req, struct fuse_getxattr_in)->size, &how);
}

int op_removexattr(struct fuse_session *session, struct request *req)
{
    const char *name = NULL;
    size_t pos = 0;
    int err = xattr_name(req, &pos, &name);

    return err < 0 ? err : pt_removexattr(session->fs, req->hdr.nodeid, name);
}
