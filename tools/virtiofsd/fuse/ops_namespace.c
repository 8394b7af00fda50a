/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names made, moved and removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fuse/ops.h"
#include "fuse/wire.h"

/* Permission bits and, for mknod, the type; anything else has no meaning on the host. */
static int new_for(struct fuse_session *session, const struct request *req, mode_t mode,
                   mode_t umask, struct pt_new *ret)
{
    ret->mode = mode;
    ret->umask = fuse_has(session, FUSE_DONT_MASK) ? umask & 0777 : 0;
    return wire_caller(req, &ret->caller);
}

/* The kernel's new_decode_dev(). */
static dev_t decode_rdev(uint32_t rdev)
{
    return makedev((rdev & 0xfff00) >> 8, (rdev & 0xff) | ((rdev >> 12) & 0xfff00));
}

int op_mknod(struct fuse_session *session, struct request *req)
{
    const struct fuse_mknod_in *in = wire_args(req, struct fuse_mknod_in);
    struct pt_entry entry;
    struct pt_new how;
    const char *name = NULL;
    size_t pos = sizeof(*in);
    int err = wire_name(req, &pos, false, &name);

    if (err == 0) {
        err = new_for(session, req, in->mode & (S_IFMT | 07777), in->umask, &how);
    }
    if (err == 0) {
        err = pt_mknod(session->fs, &how, req->hdr.nodeid, name, decode_rdev(in->rdev), &entry);
    }
    return wire_reply_entry(session, req, err, &entry);
}

int op_mkdir(struct fuse_session *session, struct request *req)
{
    const struct fuse_mkdir_in *in = wire_args(req, struct fuse_mkdir_in);
    struct pt_entry entry;
    struct pt_new how;
    const char *name = NULL;
    size_t pos = sizeof(*in);
    int err = wire_name(req, &pos, false, &name);

    if (err == 0) {
        err = new_for(session, req, in->mode & 07777, in->umask, &how);
    }
    if (err == 0) {
        err = pt_mkdir(session->fs, &how, req->hdr.nodeid, name, &entry);
    }
    return wire_reply_entry(session, req, err, &entry);
}

int op_symlink(struct fuse_session *session, struct request *req)
{
    struct pt_entry entry;
    struct pt_new how;
    const char *name = NULL;
    const char *target = NULL;
    size_t target_len = 0;
    size_t pos = 0;
    int err = wire_name(req, &pos, false, &name);

    if (err == 0) {
        target = wire_string(req, &pos, &target_len);
        err = !target || target_len == 0 ? -EINVAL : new_for(session, req, 0, 0, &how);
    }
    if (err == 0 && target_len >= PATH_MAX) {
        err = -ENAMETOOLONG;
    }
    if (err == 0) {
        err = pt_symlink(session->fs, &how, req->hdr.nodeid, name, target, &entry);
    }
    return wire_reply_entry(session, req, err, &entry);
}

int op_link(struct fuse_session *session, struct request *req)
{
    const struct fuse_link_in *in = wire_args(req, struct fuse_link_in);
    struct pt_entry entry;
    const char *name = NULL;
    size_t pos = sizeof(*in);
    int err = wire_name(req, &pos, false, &name);

    if (err == 0) {
        err = pt_link(session->fs, in->oldnodeid, req->hdr.nodeid, name, &entry);
    }
    return wire_reply_entry(session, req, err, &entry);
}

int op_unlink(struct fuse_session *session, struct request *req)
{
    const char *name = NULL;
    size_t pos = 0;
    int err = wire_name(req, &pos, false, &name);

    return err < 0 ? err : pt_unlink(session->fs, req->hdr.nodeid, name);
}

int op_rmdir(struct fuse_session *session, struct request *req)
{
    const char *name = NULL;
    size_t pos = 0;
    int err = wire_name(req, &pos, false, &name);

    return err < 0 ? err : pt_rmdir(session->fs, req->hdr.nodeid, name);
}

static int rename_with(struct fuse_session *session, struct request *req, size_t pos,
                       uint64_t newdir, uint32_t flags)
{
    const char *name = NULL;
    const char *newname = NULL;
    struct pt_caller caller = {.uid = 0};
    int err = wire_name(req, &pos, false, &name);

    if (err == 0) {
        err = wire_name(req, &pos, false, &newname);
    }
    /*
     * Only a rename that makes a whiteout carries ids that mean something: guests from Linux 6.12
     * send FUSE_INVALID_UIDGID with the others.
     */
    if (err == 0 && (flags & RENAME_WHITEOUT)) {
        err = wire_caller(req, &caller);
    }
    return err < 0 ? err
                   : pt_rename(session->fs, &caller, req->hdr.nodeid, name, newdir, newname, flags);
}

int op_rename(struct fuse_session *session, struct request *req)
{
    const struct fuse_rename_in *in = wire_args(req, struct fuse_rename_in);

    return rename_with(session, req, sizeof(*in), in->newdir, 0);
}

int op_rename2(struct fuse_session *session, struct request *req)
{
    const struct fuse_rename2_in *in = wire_args(req, struct fuse_rename2_in);

    return rename_with(session, req, sizeof(*in), in->newdir, in->flags);
}
