/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arguments in, room for the result out. The prepared request belongs to a lane.
 */
#include "requests.h"

#include <fcntl.h>
#include <string.h>

void rq_getattr(struct fc_req *req, uint64_t nodeid)
{
    fc_begin(req, FUSE_GETATTR, nodeid);
    (void)fc_arg(req, sizeof(struct fuse_getattr_in));
    fc_expect(req, sizeof(struct fuse_attr_out), 0, false);
}

static void setattr(struct fc_req *req, uint64_t nodeid, const struct fuse_setattr_in *in)
{
    fc_begin(req, FUSE_SETATTR, nodeid);
    fc_arg_bytes(req, in, sizeof(*in));
    fc_expect(req, sizeof(struct fuse_attr_out), 0, false);
}

void rq_chmod(struct fc_req *req, uint64_t nodeid, uint32_t mode)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = mode};

    setattr(req, nodeid, &in);
}

void rq_utimes(struct fc_req *req, uint64_t nodeid)
{
    struct fuse_setattr_in in = {
        .valid = FATTR_ATIME | FATTR_MTIME, .atime = 1700000000, .mtime = 1700000000};

    setattr(req, nodeid, &in);
}

void rq_lookup(struct fc_req *req, uint64_t dir, const char *name)
{
    fc_begin(req, FUSE_LOOKUP, dir);
    fc_arg_name(req, name);
    fc_expect(req, sizeof(struct fuse_entry_out), 0, false);
}

void rq_unlink(struct fc_req *req, uint64_t dir, const char *name)
{
    fc_begin(req, FUSE_UNLINK, dir);
    fc_arg_name(req, name);
}

void rq_mkdir(struct fc_req *req, uint64_t dir, const char *name)
{
    struct fuse_mkdir_in in = {.mode = 0755};

    fc_begin(req, FUSE_MKDIR, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_expect(req, sizeof(struct fuse_entry_out), 0, false);
}

void rq_rmdir(struct fc_req *req, uint64_t dir, const char *name)
{
    fc_begin(req, FUSE_RMDIR, dir);
    fc_arg_name(req, name);
}

void rq_rename(struct fc_req *req, uint64_t dir, const char *from, const char *to)
{
    struct fuse_rename_in in = {.newdir = dir};

    fc_begin(req, FUSE_RENAME, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, from);
    fc_arg_name(req, to);
}

void rq_create(struct fc_req *req, uint64_t dir, const char *name)
{
    struct fuse_create_in in = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0100644};

    fc_begin(req, FUSE_CREATE, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_expect(req, sizeof(struct rq_create_out), 0, false);
}

static void open_any(struct fc_req *req, uint32_t opcode, uint64_t nodeid, uint32_t flags)
{
    struct fuse_open_in in = {.flags = flags};

    fc_begin(req, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, sizeof(struct fuse_open_out), 0, false);
}

void rq_open(struct fc_req *req, uint64_t nodeid, uint32_t flags)
{
    open_any(req, FUSE_OPEN, nodeid, flags);
}

void rq_opendir(struct fc_req *req, uint64_t nodeid)
{
    open_any(req, FUSE_OPENDIR, nodeid, 0);
}

void rq_flush(struct fc_req *req, uint64_t nodeid, uint64_t fh)
{
    struct fuse_flush_in in = {.fh = fh};

    fc_begin(req, FUSE_FLUSH, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
}

static void release_any(struct fc_req *req, uint32_t opcode, uint64_t nodeid, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};

    fc_begin(req, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
}

void rq_release(struct fc_req *req, uint64_t nodeid, uint64_t fh)
{
    release_any(req, FUSE_RELEASE, nodeid, fh);
}

void rq_releasedir(struct fc_req *req, uint64_t nodeid, uint64_t fh)
{
    release_any(req, FUSE_RELEASEDIR, nodeid, fh);
}

static void read_any(struct fc_req *req, uint32_t opcode, uint64_t nodeid, uint64_t fh,
                     uint64_t off, uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};

    fc_begin(req, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, 0, size, true);
}

void rq_read(struct fc_req *req, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size)
{
    read_any(req, FUSE_READ, nodeid, fh, off, size);
}

void rq_readdirplus(struct fc_req *req, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size)
{
    read_any(req, FUSE_READDIRPLUS, nodeid, fh, off, size);
}

void rq_write(struct fc_req *req, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size)
{
    struct fuse_write_in in = {.fh = fh, .offset = off, .size = size};

    fc_begin(req, FUSE_WRITE, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    req->in_data = size;
    fc_expect(req, sizeof(struct fuse_write_out), 0, false);
}

/* The values of Linux are copied out of the arguments, not out of pages. */
static void xattr_room(struct fc_req *req, uint32_t size)
{
    if (size) {
        fc_expect(req, 0, size, true);
    } else {
        fc_expect(req, sizeof(struct fuse_getxattr_out), 0, false);
    }
}

void rq_getxattr(struct fc_req *req, uint64_t nodeid, const char *name, uint32_t size)
{
    struct fuse_getxattr_in in = {.size = size};

    fc_begin(req, FUSE_GETXATTR, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    xattr_room(req, size);
}

void rq_listxattr(struct fc_req *req, uint64_t nodeid, uint32_t size)
{
    struct fuse_getxattr_in in = {.size = size};

    fc_begin(req, FUSE_LISTXATTR, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    xattr_room(req, size);
}

void rq_setxattr(struct fc_req *req, uint64_t nodeid, const char *name, const char *value)
{
    struct fuse_setxattr_in in = {.size = (uint32_t)strlen(value)};

    fc_begin(req, FUSE_SETXATTR, nodeid);
    /* the struct is short where SETXATTR_EXT was not negotiated */
    fc_arg_bytes(req, &in, req->q->fc->flags & FUSE_SETXATTR_EXT ? sizeof(in) : 8);
    fc_arg_name(req, name);
    fc_arg_bytes(req, value, in.size);
}
