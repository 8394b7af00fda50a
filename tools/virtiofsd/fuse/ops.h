/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One function per opcode: decodes the arguments (whose sizes dispatch has checked), calls the
 * file system, encodes the answer. Each returns 0, -errno, REQUEST_NO_REPLY or REQUEST_PENDING.
 */
#ifndef FUSE_OPS_H
#define FUSE_OPS_H

#include "fuse/session.h"
#include "request/request.h"

typedef int fuse_op(struct fuse_session *session, struct request *req);

/* init.c */
fuse_op op_init, op_destroy;
/* Goes on where an earlier daemon's INIT ended; false for what no INIT of ours ends in. */
bool fuse_init_resume(struct fuse_session *session, uint32_t minor, uint64_t flags);

/* kept.c: what INIT ended in is there for the next daemon, or is no longer */
void fuse_kept_write(struct fuse_session *session);
void fuse_kept_clear(struct fuse_session *session);

/* ops_meta.c: names and attributes */
fuse_op op_lookup, op_forget, op_batch_forget, op_getattr, op_setattr, op_readlink, op_statx;
fuse_op op_access, op_statfs, op_syncfs;
fuse_op op_setxattr, op_getxattr, op_listxattr, op_removexattr;

/* ops_namespace.c: names made and moved */
fuse_op op_mknod, op_mkdir, op_symlink, op_link, op_unlink, op_rmdir, op_rename, op_rename2;

/* ops_io.c: open files and directories */
fuse_op op_open, op_create, op_tmpfile, op_read, op_write, op_flush, op_release, op_fsync,
    op_fallocate;
fuse_op op_ioctl, op_lseek, op_copy_file_range, op_copy_file_range_64, op_opendir, op_releasedir;

/* ops_dir.c */
fuse_op op_readdir, op_readdirplus;

/* ops_lock.c */
fuse_op op_getlk, op_setlk, op_setlkw, op_interrupt;

#endif
