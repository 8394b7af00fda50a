/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One function per opcode: session, names, attributes and extended attributes.
 *
 * Each starts a request with begin(), adds its arguments and ends in finish(), which waits and
 * copies the result out of guest memory.
 */
#include "fuse_client.h"

#include <errno.h>
#include <string.h>

#include "fuse_ops.h"

struct fc_req *fc_op_begin(struct fc_queue *q, uint32_t opcode, uint64_t nodeid)
{
    struct fc_req *req = fc_get(q);

    if (req) {
        fc_begin(req, opcode, nodeid);
    }
    return req;
}

int fc_op_finish(struct fc_req *req, void *ret, size_t size)
{
    int rc = fc_call(req);

    if (rc == 0 && ret) {
        memcpy(ret, fc_result(req), size);
    }
    fc_put(req);
    return rc;
}

int fc_op_data(struct fc_req *req, void *buf, size_t size)
{
    int rc = fc_call(req);

    if (rc == 0) {
        memcpy(buf, req->data, req->got < size ? req->got : size);
        rc = (int)req->got;
    }
    fc_put(req);
    return rc;
}

static int simple(struct fc_req *req)
{
    return fc_op_finish(req, NULL, 0);
}

static int entry(struct fc_req *req, struct fuse_entry_out *ret)
{
    fc_expect(req, sizeof(*ret), 0, false);
    return fc_op_finish(req, ret, sizeof(*ret));
}

/* What a guest tells about the creator, after everything else. */
void fc_op_ext(struct fc_req *req)
{
    if (req->q->ext_len) {
        fc_arg_bytes(req, req->q->ext, req->q->ext_len);
        fc_header(req)->total_extlen = (uint16_t)(req->q->ext_len / 8);
    }
}

#define BEGIN(q, opcode, nodeid)                                                                   \
    struct fc_req *req = fc_op_begin(q, opcode, nodeid);                                           \
    if (!req) {                                                                                    \
        return -EBUSY;                                                                             \
    }

/* What Linux offers on virtio-fs at that minor, without what only /dev/fuse can do. */
uint64_t fc_default_flags(uint32_t minor)
{
    uint64_t flags = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC |
                     FUSE_EXPORT_SUPPORT | FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_FLOCK_LOCKS |
                     FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
                     FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_WRITEBACK_CACHE |
                     FUSE_NO_OPEN_SUPPORT | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV |
                     FUSE_POSIX_ACL | FUSE_ABORT_ERROR;

    flags |= minor >= 28 ? FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS : 0;
    flags |= minor >= 29 ? FUSE_NO_OPENDIR_SUPPORT : 0;
    flags |= minor >= 30 ? FUSE_EXPLICIT_INVAL_DATA : 0;
    flags |= minor >= 32 ? FUSE_SUBMOUNTS : 0;
    flags |= minor >= 33 ? FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT : 0;
    flags |= minor >= 36 ? FUSE_INIT_EXT | FUSE_SECURITY_CTX : 0;
    flags |= minor >= 38 ? FUSE_CREATE_SUPP_GROUP | FUSE_HAS_EXPIRE_ONLY : 0;
    flags |= minor >= 39 ? FUSE_DIRECT_IO_ALLOW_MMAP : 0;
    flags |= minor >= 40 ? FUSE_NO_EXPORT_SUPPORT | FUSE_HAS_RESEND : 0;
    flags |= minor >= 41 ? FUSE_ALLOW_IDMAP : 0;
    flags |= minor >= 43 ? FUSE_REQUEST_TIMEOUT : 0;
    return flags;
}

int fc_init(struct fc_queue *q, const struct fc_init_params *params, uint32_t *ret_size)
{
    struct fc_init_params p = params ? *params : (struct fc_init_params){0};
    uint32_t minor = p.minor ? p.minor : FUSE_OUR_MINOR;
    struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION, .minor = minor};
    struct fc *fc = q->fc;
    int rc;

    BEGIN(q, FUSE_INIT, 0);
    p.flags = p.flags || p.no_flags ? p.flags : fc_default_flags(minor);
    in.max_readahead = p.max_readahead ? p.max_readahead : 128 << 10;
    in.flags = (uint32_t)p.flags;
    in.flags2 = (uint32_t)(p.flags >> 32);
    /* the struct grew with 7.36; before it ended after `flags` */
    fc_arg_bytes(req, &in, minor >= 36 ? sizeof(in) : 16);
    fc_expect(req, sizeof(struct fuse_init_out), 0, true);
    rc = fc_call(req);
    memset(&fc->init, 0, sizeof(fc->init));
    if (rc == 0) {
        memcpy(&fc->init, fc_result(req), req->got);
        fc->flags = fc->init.flags;
        if (fc->init.flags & FUSE_INIT_EXT) {
            fc->flags |= (uint64_t)fc->init.flags2 << 32;
        }
        fc->minor = fc->init.minor < minor ? fc->init.minor : minor;
    }
    if (ret_size) {
        *ret_size = req->got;
    }
    fc_put(req);
    return rc;
}

int fc_destroy(struct fc_queue *q)
{
    BEGIN(q, FUSE_DESTROY, 0);
    return simple(req);
}

int fc_lookup(struct fc_queue *q, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
    BEGIN(q, FUSE_LOOKUP, dir);
    fc_arg_name(req, name);
    return entry(req, ret);
}

int fc_forget(struct fc_queue *hiprio, uint64_t nodeid, uint64_t n)
{
    struct fuse_forget_in in = {.nlookup = n};

    BEGIN(hiprio, FUSE_FORGET, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    req->no_reply = true;
    return simple(req);
}

int fc_batch_forget(struct fc_queue *q, const struct fuse_forget_one *list, uint32_t n)
{
    struct fuse_batch_forget_in in = {.count = n};

    BEGIN(q, FUSE_BATCH_FORGET, 0);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_bytes(req, list, n * sizeof(*list));
    req->no_reply = true;
    return simple(req);
}

static int attr(struct fc_req *req, struct fuse_attr *ret)
{
    struct fuse_attr_out out;
    int rc;

    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    if (rc == 0 && ret) {
        *ret = out.attr;
    }
    return rc;
}

int fc_getattr(struct fc_queue *q, uint64_t nodeid, const uint64_t *fh, struct fuse_attr *ret)
{
    struct fuse_getattr_in in = {.getattr_flags = fh ? FUSE_GETATTR_FH : 0, .fh = fh ? *fh : 0};

    BEGIN(q, FUSE_GETATTR, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return attr(req, ret);
}

int fc_setattr(struct fc_queue *q, uint64_t nodeid, const struct fuse_setattr_in *in,
               struct fuse_attr *ret)
{
    BEGIN(q, FUSE_SETATTR, nodeid);
    fc_arg_bytes(req, in, sizeof(*in));
    return attr(req, ret);
}

int fc_readlink(struct fc_queue *q, uint64_t nodeid, char *buf, size_t size)
{
    int rc;

    BEGIN(q, FUSE_READLINK, nodeid);
    fc_expect(req, 0, 4095, true); /* PAGE_SIZE - 1: Linux keeps a byte for the NUL */
    rc = fc_op_data(req, buf, size - 1);
    buf[rc > 0 && (size_t)rc < size ? rc : 0] = '\0';
    return rc;
}

int fc_symlink(struct fc_queue *q, uint64_t dir, const char *name, const char *target,
               struct fuse_entry_out *ret)
{
    BEGIN(q, FUSE_SYMLINK, dir);
    fc_arg_name(req, name);
    fc_arg_name(req, target);
    fc_op_ext(req);
    return entry(req, ret);
}

int fc_mknod(struct fc_queue *q, uint64_t dir, const char *name, uint32_t mode, uint32_t rdev,
             struct fuse_entry_out *ret)
{
    struct fuse_mknod_in in = {.mode = mode, .rdev = rdev};

    BEGIN(q, FUSE_MKNOD, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_op_ext(req);
    return entry(req, ret);
}

int fc_mkdir(struct fc_queue *q, uint64_t dir, const char *name, uint32_t mode,
             struct fuse_entry_out *ret)
{
    struct fuse_mkdir_in in = {.mode = mode};

    BEGIN(q, FUSE_MKDIR, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_op_ext(req);
    return entry(req, ret);
}

int fc_unlink(struct fc_queue *q, uint64_t dir, const char *name)
{
    BEGIN(q, FUSE_UNLINK, dir);
    fc_arg_name(req, name);
    return simple(req);
}

int fc_rmdir(struct fc_queue *q, uint64_t dir, const char *name)
{
    BEGIN(q, FUSE_RMDIR, dir);
    fc_arg_name(req, name);
    return simple(req);
}

int fc_rename(struct fc_queue *q, uint64_t dir, const char *name, uint64_t newdir,
              const char *newname)
{
    struct fuse_rename_in in = {.newdir = newdir};

    BEGIN(q, FUSE_RENAME, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_arg_name(req, newname);
    return simple(req);
}

int fc_rename2(struct fc_queue *q, uint64_t dir, const char *name, uint64_t newdir,
               const char *newname, uint32_t flags)
{
    struct fuse_rename2_in in = {.newdir = newdir, .flags = flags};

    BEGIN(q, FUSE_RENAME2, dir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_arg_name(req, newname);
    return simple(req);
}

int fc_link(struct fc_queue *q, uint64_t nodeid, uint64_t newdir, const char *newname,
            struct fuse_entry_out *ret)
{
    struct fuse_link_in in = {.oldnodeid = nodeid};

    BEGIN(q, FUSE_LINK, newdir);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, newname);
    return entry(req, ret);
}

int fc_statx(struct fc_queue *q, uint64_t nodeid, const uint64_t *fh, uint32_t mask,
             struct fuse_statx *ret)
{
    struct fuse_statx_in in = {
        .getattr_flags = fh ? FUSE_GETATTR_FH : 0, .fh = fh ? *fh : 0, .sx_mask = mask};
    struct fuse_statx_out out;
    int rc;

    BEGIN(q, FUSE_STATX, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    if (rc == 0 && ret) {
        *ret = out.stat;
    }
    return rc;
}

int fc_statfs(struct fc_queue *q, uint64_t nodeid, struct fuse_kstatfs *ret)
{
    BEGIN(q, FUSE_STATFS, nodeid);
    fc_expect(req, sizeof(*ret), 0, false);
    return fc_op_finish(req, ret, sizeof(*ret));
}

int fc_access(struct fc_queue *q, uint64_t nodeid, uint32_t mask)
{
    struct fuse_access_in in = {.mask = mask};

    BEGIN(q, FUSE_ACCESS, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return simple(req);
}

int fc_setxattr(struct fc_queue *q, uint64_t nodeid, const char *name, const void *value,
                size_t size, uint32_t flags)
{
    struct fuse_setxattr_in in = {.size = (uint32_t)size, .flags = flags};

    BEGIN(q, FUSE_SETXATTR, nodeid);
    fc_arg_bytes(req, &in, q->fc->flags & FUSE_SETXATTR_EXT ? sizeof(in) : 8);
    fc_arg_name(req, name);
    if (size && size <= q->fc->config.data_size) {
        memcpy(req->data, value, size);
        req->in_data = (uint32_t)size;
    }
    return simple(req);
}

/* GETXATTR and LISTXATTR: a size, or that many bytes at most. */
static int xattr_bytes(struct fc_req *req, const char *name, void *buf, size_t size)
{
    struct fuse_getxattr_in in = {.size = (uint32_t)size};
    struct fuse_getxattr_out out;
    int rc;

    fc_arg_bytes(req, &in, sizeof(in));
    if (name) {
        fc_arg_name(req, name);
    }
    if (size) {
        fc_expect(req, 0, size, true);
        return fc_op_data(req, buf, size);
    }
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    return rc < 0 ? rc : (int)out.size;
}

int fc_getxattr(struct fc_queue *q, uint64_t nodeid, const char *name, void *buf, size_t size)
{
    BEGIN(q, FUSE_GETXATTR, nodeid);
    return xattr_bytes(req, name, buf, size);
}

int fc_listxattr(struct fc_queue *q, uint64_t nodeid, char *buf, size_t size)
{
    BEGIN(q, FUSE_LISTXATTR, nodeid);
    return xattr_bytes(req, NULL, buf, size);
}

int fc_removexattr(struct fc_queue *q, uint64_t nodeid, const char *name)
{
    BEGIN(q, FUSE_REMOVEXATTR, nodeid);
    fc_arg_name(req, name);
    return simple(req);
}
