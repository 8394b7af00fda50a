/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files: opened, read, written, released.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <unistd.h>

#include "base/util.h"

/*
 * What a guest may ask of an open; the rest is the daemon's business or dangerous on a host.
 * O_APPEND comes with each write again: a guest may take it away from an open file (F_SETFL).
 */
#define GUEST_OPEN_FLAGS                                                                           \
    (O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC | O_DIRECT | O_LARGEFILE | O_NOATIME | O_NONBLOCK)

static int sanitise_flags(const struct pt_fs *fs, int flags)
{
    flags &= GUEST_OPEN_FLAGS;
    if (!fs->config.allow_direct_io) {
        flags &= ~O_DIRECT;
    }
    if (fs->config.writeback && (flags & O_ACCMODE) == O_WRONLY) {
        flags = (flags & ~O_ACCMODE) | O_RDWR; /* the guest's cache reads what it fills up */
    }
    return flags;
}

static bool may_change(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* Opens with or without the right to keep S_ISUID and S_ISGID when O_TRUNC cuts the file. */
static int open_inode(struct pt_fs *fs, struct inode *inode, int flags, bool kill_priv, int *ret_fd)
{
    bool kill = kill_priv && (flags & O_TRUNC);
    int err = 0;

    if (fs->config.readonly && may_change(flags)) {
        return -EROFS;
    }
    if (kill) {
        creds_drop_fsetid();
    }
    err = pt_reopen(fs, inode, flags, ret_fd);
    if (kill) {
        creds_raise_fsetid();
    }
    if (err == 0 && (flags & O_TRUNC)) {
        pt_drop_mapped_caps(fs, inode);
    }
    if (err == 0 && fs->config.overlay.unstable_ids && may_change(flags)) {
        struct statx st;

        (void)pt_stat_inode(fs, inode, &st); /* the host has just copied it up: note its new id */
    }
    return err;
}

int pt_open(struct pt_fs *fs, uint64_t nodeid, int flags, bool kill_priv, uint64_t *ret_fh)
{
    auto_inode inode = NULL;
    int fd = -1;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err < 0) {
        return err;
    }
    if (S_ISDIR(inode->type)) {
        return -EISDIR;
    }
    flags = sanitise_flags(fs, flags);
    err = open_inode(fs, inode, flags, kill_priv, &fd);
    if (err < 0) {
        return err;
    }
    return handle_table_add(fs->handles, fd, g_steal_pointer(&inode), flags, NULL, ret_fh);
}

/* Makes a file that was not there: -EEXIST otherwise, also for a dangling symlink. */
static int create_new(struct pt_fs *fs, const struct pt_new *how, struct inode *dir,
                      const char *name, int flags, struct pt_entry *ret, int *ret_fd,
                      struct inode **ret_inode)
{
    auto_fd fd = -1;
    int err = pt_making(fs, how);

    if (err < 0) {
        return err;
    }
    fd = openat(dir->fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, how->mode);
    err = fd < 0 ? -errno : 0;
    pt_made(fs, how);
    if (err == 0) {
        err = pt_lookup_fd(fs, dir, fd, ret, ret_inode);
    }
    if (err == 0) {
        *ret_fd = g_steal_fd(&fd);
    }
    return err;
}

int pt_create(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
              int flags, bool kill_priv, struct pt_entry *ret, uint64_t *ret_fh)
{
    auto_inode dir = NULL;
    auto_inode inode = NULL;
    bool exclusive = flags & O_EXCL;
    int fd = -1;
    int err = pt_get_inode(fs, parent, &dir);

    if (err < 0) {
        return err;
    }
    if (pt_is_reserved(fs, name)) {
        return -EPERM;
    }
    flags = sanitise_flags(fs, flags);
    err = create_new(fs, how, dir, name, flags & ~O_TRUNC, ret, &fd, &inode);
    if (err == -EEXIST && !exclusive) {
        err = pt_lookup_new(fs, dir, name, ret, &inode);
        if (err == 0) {
            err = S_ISDIR(inode->type) ? -EISDIR : open_inode(fs, inode, flags, kill_priv, &fd);
        }
        if (err == 0 && (flags & O_TRUNC)) {
            err = pt_stat_inode(fs, inode, &ret->st);
        }
    }
    if (err == 0) {
        err = handle_table_add(fs->handles, fd, inode_ref(inode), flags, NULL, ret_fh);
    }
    if (err < 0 && inode) {
        inode_table_forget(fs->inodes, inode->nodeid, 1);
    }
    return err;
}

int pt_tmpfile(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, int flags,
               struct pt_entry *ret, uint64_t *ret_fh)
{
    auto_inode dir = NULL;
    struct inode *inode = NULL;
    auto_fd fd = -1;
    int err = pt_get_inode(fs, parent, &dir);

    if (err < 0) {
        return err;
    }
    flags = sanitise_flags(fs, flags) & ~O_TRUNC;
    if ((flags & O_ACCMODE) == O_RDONLY) {
        return -EINVAL; /* as open(2) says of O_TMPFILE */
    }
    err = pt_making(fs, how);
    if (err < 0) {
        return err;
    }
    fd = openat(dir->fd, ".", flags | O_TMPFILE | O_CLOEXEC, how->mode);
    err = fd < 0 ? -errno : 0;
    pt_made(fs, how);
    if (err == 0) {
        err = pt_lookup_fd(fs, dir, fd, ret, &inode);
    }
    if (err < 0) {
        return err == -EISDIR || err == -ENOENT ? -EOPNOTSUPP : err; /* file systems without it */
    }
    err = handle_table_add(fs->handles, g_steal_fd(&fd), inode_ref(inode), flags, NULL, ret_fh);
    if (err < 0) {
        inode_table_forget(fs->inodes, inode->nodeid, 1);
    }
    inode_unref(inode);
    return err;
}

bool pt_release(struct pt_fs *fs, uint64_t fh)
{
    return handle_table_remove(fs->handles, fh);
}

/* An open regular file, or NULL. */
static struct handle *get_file(struct pt_fs *fs, uint64_t fh)
{
    struct handle *handle = handle_table_get(fs->handles, fh);

    if (handle && handle->dir) {
        handle_unref(handle);
        return NULL;
    }
    return handle;
}

static bool is_nowait_refused(int err)
{
    return err == EOPNOTSUPP || err == EINVAL || err == ENOSYS;
}

ssize_t pt_read(struct pt_fs *fs, uint64_t fh, const struct iovec *iov, unsigned cnt, off_t offset,
                bool nowait)
{
    auto_handle handle = get_file(fs, fh);
    ssize_t n = 0;

    if (!handle) {
        return -EBADF;
    }
    if (!nowait) {
        n = preadv(handle->fd, iov, (int)cnt, offset);
        return n < 0 ? -errno : n;
    }
    if (atomic_load_explicit(&handle->no_nowait, memory_order_relaxed)) {
        return -EAGAIN;
    }
    n = preadv2(handle->fd, iov, (int)cnt, offset, RWF_NOWAIT);
    if (n >= 0) {
        return n;
    }
    if (is_nowait_refused(errno)) {
        atomic_store_explicit(&handle->no_nowait, true, memory_order_relaxed);
        return -EAGAIN;
    }
    return -errno;
}

/*
 * Sets or clears O_APPEND on the open file, when it is not as wanted. A host overlayfs before Linux
 * 6.8 drops RWF_APPEND without a word and writes at the offset: two appenders would overwrite each
 * other. The flag of the open file it does hand on.
 */
static int set_append(struct handle *handle, bool on)
{
    int flags = 0;

    if (atomic_load_explicit(&handle->appends, memory_order_relaxed) == on) {
        return 0;
    }
    flags = fcntl(handle->fd, F_GETFL);
    if (flags < 0 || fcntl(handle->fd, F_SETFL, on ? flags | O_APPEND : flags & ~O_APPEND) < 0) {
        return -errno;
    }
    atomic_store_explicit(&handle->appends, on, memory_order_relaxed);
    return 0;
}

/* How many bytes of one write, or -errno. */
static ssize_t write_at(const struct pt_fs *fs, struct handle *handle, const struct iovec *iov,
                        unsigned cnt, off_t offset, bool append)
{
    int err = fs->config.append_by_flag ? set_append(handle, append) : 0;
    ssize_t n = 0;

    if (err < 0) {
        return err;
    }
    if (append && !fs->config.append_by_flag) {
        n = pwritev2(handle->fd, iov, (int)cnt, offset, RWF_APPEND);
    } else {
        n = pwritev(handle->fd, iov, (int)cnt, offset);
    }
    return n < 0 ? -errno : n;
}

ssize_t pt_write(struct pt_fs *fs, uint64_t fh, const struct iovec *iov, unsigned cnt, off_t offset,
                 unsigned how)
{
    auto_handle handle = get_file(fs, fh);
    ssize_t n = 0;

    if (!handle) {
        return -EBADF;
    }
    if (how & PT_WRITE_KILL_PRIV) {
        creds_drop_fsetid();
    }
    /* a guest that caches writes knows the end better */
    n = write_at(fs, handle, iov, cnt, offset, (how & PT_WRITE_APPEND) && !fs->config.writeback);
    if (how & PT_WRITE_KILL_PRIV) {
        creds_raise_fsetid();
    }
    pt_drop_mapped_caps(fs, handle->inode);
    return n;
}

int pt_flush(struct pt_fs *fs, uint64_t fh)
{
    auto_handle handle = handle_table_get(fs->handles, fh);
    int fd = -1;

    if (!handle) {
        return -EBADF;
    }
    if (!fs->flush_matters && handle->inode->id.dev == fs->root_dev) {
        return 0;
    }
    fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 || close(fd) < 0 ? -errno : 0;
}

int pt_fsync(struct pt_fs *fs, uint64_t fh, bool datasync)
{
    auto_handle handle = handle_table_get(fs->handles, fh);

    if (!handle) {
        return -EBADF;
    }
    return (datasync ? fdatasync(handle->fd) : fsync(handle->fd)) < 0 ? -errno : 0;
}

int pt_fallocate(struct pt_fs *fs, uint64_t fh, int mode, off_t offset, off_t len, bool kill_priv)
{
    auto_handle handle = get_file(fs, fh);
    int err = 0;

    if (!handle) {
        return -EBADF;
    }
    if (kill_priv) {
        creds_drop_fsetid();
    }
    err = fallocate(handle->fd, mode, offset, len) < 0 ? -errno : 0;
    if (kill_priv) {
        creds_raise_fsetid();
    }
    pt_drop_mapped_caps(fs, handle->inode);
    return err;
}

int pt_lseek(struct pt_fs *fs, uint64_t fh, off_t offset, int whence, off_t *ret_offset)
{
    auto_handle handle = get_file(fs, fh);
    off_t found = 0;

    if (!handle) {
        return -EBADF;
    }
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return -EINVAL; /* the guest keeps the position itself; nothing else is ever asked */
    }
    found = lseek(handle->fd, offset, whence);
    if (found < 0) {
        return -errno;
    }
    *ret_offset = found;
    return 0;
}

ssize_t pt_copy_file_range(struct pt_fs *fs, uint64_t fh_in, off_t off_in, uint64_t fh_out,
                           off_t off_out, size_t len, bool kill_priv)
{
    auto_handle in = get_file(fs, fh_in);
    auto_handle out = get_file(fs, fh_out);
    ssize_t n = 0;

    if (!in || !out) {
        return -EBADF;
    }
    if (kill_priv) {
        creds_drop_fsetid();
    }
    n = copy_file_range(in->fd, &off_in, out->fd, &off_out, len, 0);
    n = n < 0 ? -errno : n;
    if (kill_priv) {
        creds_raise_fsetid();
    }
    pt_drop_mapped_caps(fs, out->inode);
    return n;
}
