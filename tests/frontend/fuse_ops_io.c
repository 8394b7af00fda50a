/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One function per opcode: open files, open directories, and the walk over directory entries.
 */
#include "fuse_client.h"

#include <errno.h>
#include <string.h>

#include "fuse_ops.h"

#define BEGIN(q, opcode, nodeid)                                                                   \
    struct fc_req *req = fc_op_begin(q, opcode, nodeid);                                           \
    if (!req) {                                                                                    \
        return -EBUSY;                                                                             \
    }

static int open_any(struct fc_queue *q, uint32_t opcode, uint64_t nodeid, uint32_t flags,
                    uint64_t *ret_fh)
{
    struct fuse_open_in in = {.flags = flags};
    struct fuse_open_out out;
    int rc;

    BEGIN(q, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    if (rc == 0) {
        *ret_fh = out.fh;
    }
    return rc;
}

int fc_open(struct fc_queue *q, uint64_t nodeid, uint32_t flags, uint64_t *ret_fh)
{
    return open_any(q, FUSE_OPEN, nodeid, flags, ret_fh);
}

int fc_opendir(struct fc_queue *q, uint64_t nodeid, uint64_t *ret_fh)
{
    return open_any(q, FUSE_OPENDIR, nodeid, 0, ret_fh);
}

static int create_any(struct fc_req *req, uint32_t flags, uint32_t mode, const char *name,
                      struct fuse_entry_out *ret, uint64_t *ret_fh)
{
    struct fuse_create_in in = {.flags = flags, .mode = mode};
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out;
    int rc;

    fc_arg_bytes(req, &in, sizeof(in));
    fc_arg_name(req, name);
    fc_op_ext(req);
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    if (rc == 0) {
        *ret_fh = out.open.fh;
        if (ret) {
            *ret = out.entry;
        }
    }
    return rc;
}

int fc_create(struct fc_queue *q, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
              struct fuse_entry_out *ret, uint64_t *ret_fh)
{
    BEGIN(q, FUSE_CREATE, dir);
    return create_any(req, flags, mode, name, ret, ret_fh);
}

int fc_tmpfile(struct fc_queue *q, uint64_t dir, uint32_t flags, uint32_t mode,
               struct fuse_entry_out *ret, uint64_t *ret_fh)
{
    BEGIN(q, FUSE_TMPFILE, dir);
    /* Linux sends the name of the dentry it made up, which is a slash */
    return create_any(req, flags, mode, "/", ret, ret_fh);
}

static int release_any(struct fc_queue *q, uint32_t opcode, uint64_t nodeid, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};

    BEGIN(q, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return fc_op_finish(req, NULL, 0);
}

int fc_release(struct fc_queue *q, uint64_t nodeid, uint64_t fh)
{
    return release_any(q, FUSE_RELEASE, nodeid, fh);
}

int fc_releasedir(struct fc_queue *q, uint64_t nodeid, uint64_t fh)
{
    return release_any(q, FUSE_RELEASEDIR, nodeid, fh);
}

static int read_any(struct fc_queue *q, uint32_t opcode, uint64_t nodeid, uint64_t fh, uint64_t off,
                    void *buf, size_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = off, .size = (uint32_t)size};

    if (size > q->fc->config.data_size) {
        return -E2BIG;
    }
    BEGIN(q, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, 0, size, true);
    return fc_op_data(req, buf, size);
}

int fc_read(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, void *buf, size_t size)
{
    return read_any(q, FUSE_READ, nodeid, fh, off, buf, size);
}

int fc_readdir(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, void *buf,
               size_t size, bool plus)
{
    return read_any(q, plus ? FUSE_READDIRPLUS : FUSE_READDIR, nodeid, fh, off, buf, size);
}

int fc_write(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, const void *buf,
             size_t size, uint32_t write_flags)
{
    struct fuse_write_in in = {
        .fh = fh, .offset = off, .size = (uint32_t)size, .write_flags = write_flags};
    struct fuse_write_out out;
    int rc;

    if (size > q->fc->config.data_size) {
        return -E2BIG;
    }
    BEGIN(q, FUSE_WRITE, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    if (size) {
        memcpy(req->data, buf, size);
    }
    req->in_data = (uint32_t)size;
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    return rc < 0 ? rc : (int)out.size;
}

int fc_flush(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t owner)
{
    struct fuse_flush_in in = {.fh = fh, .lock_owner = owner};

    BEGIN(q, FUSE_FLUSH, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return fc_op_finish(req, NULL, 0);
}

static int sync_any(struct fc_queue *q, uint32_t opcode, uint64_t nodeid, uint64_t fh,
                    bool datasync)
{
    struct fuse_fsync_in in = {.fh = fh, .fsync_flags = datasync ? FUSE_FSYNC_FDATASYNC : 0};

    BEGIN(q, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return fc_op_finish(req, NULL, 0);
}

int fc_fsync(struct fc_queue *q, uint64_t nodeid, uint64_t fh, bool datasync)
{
    return sync_any(q, FUSE_FSYNC, nodeid, fh, datasync);
}

int fc_fsyncdir(struct fc_queue *q, uint64_t nodeid, uint64_t fh, bool datasync)
{
    return sync_any(q, FUSE_FSYNCDIR, nodeid, fh, datasync);
}

int fc_fallocate(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, uint64_t len,
                 uint32_t mode)
{
    struct fuse_fallocate_in in = {.fh = fh, .offset = off, .length = len, .mode = mode};

    BEGIN(q, FUSE_FALLOCATE, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return fc_op_finish(req, NULL, 0);
}

int fc_lseek(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t whence,
             uint64_t *ret_off)
{
    struct fuse_lseek_in in = {.fh = fh, .offset = off, .whence = whence};
    struct fuse_lseek_out out;
    int rc;

    BEGIN(q, FUSE_LSEEK, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    if (rc == 0) {
        *ret_off = out.offset;
    }
    return rc;
}

int fc_copy_file_range(struct fc_queue *q, uint64_t nodeid_in, uint64_t fh_in, uint64_t off_in,
                       uint64_t nodeid_out, uint64_t fh_out, uint64_t off_out, uint64_t len,
                       bool wide, uint64_t *ret_copied)
{
    struct fuse_copy_file_range_in in = {.fh_in = fh_in,
                                         .off_in = off_in,
                                         .nodeid_out = nodeid_out,
                                         .fh_out = fh_out,
                                         .off_out = off_out,
                                         .len = len};
    /* the 64-bit form answers with 8 bytes of count, the old one with a write_out */
    union {
        struct fuse_write_out narrow;
        struct fuse_copy_file_range_out wide;
    } out = {.wide = {0}};
    int rc;

    BEGIN(q, wide ? FUSE_COPY_FILE_RANGE_64 : FUSE_COPY_FILE_RANGE, nodeid_in);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, sizeof(out), 0, false);
    rc = fc_op_finish(req, &out, sizeof(out));
    if (rc == 0) {
        *ret_copied = wide ? out.wide.bytes_copied : out.narrow.size;
    }
    return rc;
}

int fc_syncfs(struct fc_queue *q, uint64_t nodeid)
{
    struct fuse_syncfs_in in = {0};

    BEGIN(q, FUSE_SYNCFS, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    return fc_op_finish(req, NULL, 0);
}

int fc_ioctl(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint32_t cmd, size_t out_size)
{
    struct fuse_ioctl_in in = {.fh = fh, .cmd = cmd, .out_size = (uint32_t)out_size};

    BEGIN(q, FUSE_IOCTL, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, sizeof(struct fuse_ioctl_out) + out_size, 0, true);
    return fc_op_finish(req, NULL, 0);
}

int fc_lk(struct fc_queue *q, uint32_t opcode, uint64_t nodeid, uint64_t fh, uint64_t owner,
          const struct fuse_file_lock *lk, uint32_t flags, struct fuse_file_lock *ret)
{
    struct fuse_lk_in in = {.fh = fh, .owner = owner, .lk = *lk, .lk_flags = flags};

    BEGIN(q, opcode, nodeid);
    fc_arg_bytes(req, &in, sizeof(in));
    fc_expect(req, opcode == FUSE_GETLK ? sizeof(struct fuse_lk_out) : 0, 0, false);
    return fc_op_finish(req, opcode == FUSE_GETLK ? ret : NULL, sizeof(*ret));
}

int fc_next_dirent(const void *buf, size_t len, size_t *pos, bool plus, struct fc_dirent *ret)
{
    size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    const uint8_t *at = (const uint8_t *)buf + *pos;
    struct fuse_dirent dirent;

    if (*pos == len) {
        return 0;
    }
    if (*pos > len || head > len - *pos) {
        return FC_BROKEN;
    }
    memset(ret, 0, sizeof(*ret));
    if (plus) {
        memcpy(&ret->entry, at, sizeof(ret->entry));
    }
    memcpy(&dirent, at + head - FUSE_NAME_OFFSET, FUSE_NAME_OFFSET);
    if (dirent.namelen == 0 || dirent.namelen > 255 ||
        FUSE_REC_ALIGN(head + dirent.namelen) > len - *pos ||
        memchr(at + head, '\0', dirent.namelen) || memchr(at + head, '/', dirent.namelen)) {
        return FC_BROKEN;
    }
    ret->ino = dirent.ino;
    ret->off = dirent.off;
    ret->type = dirent.type;
    memcpy(ret->name, at + head, dirent.namelen);
    *pos += FUSE_REC_ALIGN(head + dirent.namelen);
    return 1;
}
