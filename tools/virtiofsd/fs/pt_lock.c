/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks that other guests and host processes see too.
 *
 * flock(2) belongs to an open file, and the guest's open file is one of ours: the host's flock on
 * it is the guest's. A POSIX lock belongs to a process; to the host all of a guest is one process,
 * so each (inode, lock owner of the guest) gets an open file of its own with OFD locks (fcntl(2),
 * Linux 3.15). Nothing here ever waits.
 *
 * One lock of ours guards all owners' tables: locking is rare and these calls do not block.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/util.h"

/* Open files that one inode's lock owners may cost: a guest invents owners for free. */
enum { MAX_OWNERS_PER_INODE = 1024 };

struct inode_locks {
    GHashTable *fds; /* gint64 owner -> struct owner_fd */
};

struct owner_fd {
    gint64 owner;
    uint64_t fh; /* the guest's open file that it locked through last */
    int fd;
};

static void owner_fd_free(gpointer data)
{
    struct owner_fd *owner = data;

    (void)close(owner->fd); /* which drops its locks; nothing was written through it */
    g_free(owner);
}

void inode_locks_free(struct inode_locks *locks)
{
    if (locks) {
        g_hash_table_destroy(locks->fds);
        g_free(locks);
    }
}

static struct inode_locks *inode_locks_new(void)
{
    struct inode_locks *locks = g_new0(struct inode_locks, 1);

    locks->fds = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, owner_fd_free);
    return locks;
}

/* For reading and writing if that can be had: a read lock needs the one, a write lock the other. */
static int open_for_locks(struct pt_fs *fs, struct inode *inode, int *ret_fd)
{
    int err = fs->config.readonly ? -EROFS : pt_reopen(fs, inode, O_RDWR, ret_fd);

    return err == -EACCES || err == -EPERM || err == -EROFS || err == -ETXTBSY || err == -EISDIR
               ? pt_reopen(fs, inode, O_RDONLY, ret_fd)
               : err;
}

/* The owner's descriptor; -ENOENT when it has none and none is to be made. Under the lock. */
static int owner_fd(struct pt_fs *fs, struct inode *inode, uint64_t owner, bool make,
                    struct owner_fd **ret)
{
    gint64 key = (gint64)owner;
    struct owner_fd *found = inode->locks ? g_hash_table_lookup(inode->locks->fds, &key) : NULL;
    int fd = -1;
    int err = 0;

    if (found) {
        *ret = found;
        return 0;
    }
    if (!make) {
        return -ENOENT;
    }
    if (inode->locks && g_hash_table_size(inode->locks->fds) >= MAX_OWNERS_PER_INODE) {
        return -ENOLCK;
    }
    err = open_for_locks(fs, inode, &fd);
    if (err < 0) {
        return err;
    }
    if (!inode->locks) {
        inode->locks = inode_locks_new();
    }
    found = g_new0(struct owner_fd, 1);
    found->owner = key;
    found->fd = fd;
    g_hash_table_insert(inode->locks->fds, &found->owner, found);
    *ret = found;
    return 0;
}

static struct flock host_lock(const struct pt_lock *lock)
{
    return (struct flock){
        .l_type = (short)lock->type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)lock->start,
        /* 0 stands for "to the end", as end = OFFSET_MAX does in the guest */
        .l_len = lock->end >= INT64_MAX ? 0 : (off_t)(lock->end - lock->start + 1),
    };
}

static bool is_sane(const struct pt_lock *lock)
{
    return (lock->type == F_RDLCK || lock->type == F_WRLCK || lock->type == F_UNLCK) &&
           lock->start <= lock->end && lock->start <= INT64_MAX;
}

int pt_getlk(struct pt_fs *fs, uint64_t nodeid, uint64_t owner, struct pt_lock *lock)
{
    auto_inode inode = NULL;
    struct flock host;
    struct owner_fd *own = NULL;
    int err = is_sane(lock) ? pt_get_inode(fs, nodeid, &inode) : -EINVAL;

    if (err < 0) {
        return err;
    }
    host = host_lock(lock);
    pthread_mutex_lock(&fs->lock_lock);
    err = owner_fd(fs, inode, owner, true, &own);
    if (err == 0 && fcntl(own->fd, F_OFD_GETLK, &host) < 0) {
        err = -errno;
    }
    pthread_mutex_unlock(&fs->lock_lock);
    if (err < 0) {
        return err;
    }
    lock->type = (uint32_t)host.l_type;
    if (host.l_type != F_UNLCK) {
        lock->start = (uint64_t)host.l_start;
        lock->end = host.l_len == 0 ? INT64_MAX : (uint64_t)(host.l_start + host.l_len - 1);
        lock->pid = host.l_pid > 0 ? (uint32_t)host.l_pid : 0; /* OFD locks have none */
    }
    return 0;
}

int pt_setlk(struct pt_fs *fs, uint64_t nodeid, uint64_t owner, uint64_t fh,
             const struct pt_lock *lock)
{
    auto_inode inode = NULL;
    struct flock host;
    struct owner_fd *own = NULL;
    int err = is_sane(lock) ? pt_get_inode(fs, nodeid, &inode) : -EINVAL;

    if (err < 0) {
        return err;
    }
    host = host_lock(lock);
    pthread_mutex_lock(&fs->lock_lock);
    err = owner_fd(fs, inode, owner, lock->type != F_UNLCK, &own);
    if (err == 0) {
        own->fh = fh;
        err = fcntl(own->fd, F_OFD_SETLK, &host) < 0 ? -errno : 0;
    }
    pthread_mutex_unlock(&fs->lock_lock);
    /* fcntl(2) lets EACCES stand for EAGAIN; to unlock what was never locked is fine */
    return err == -EACCES ? -EAGAIN : err == -ENOENT ? 0 : err;
}

int pt_flock(struct pt_fs *fs, uint64_t fh, uint32_t type)
{
    auto_handle handle = handle_table_get(fs->handles, fh);
    int op = type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN;

    if (!handle) {
        return -EBADF;
    }
    if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK) {
        return -EINVAL;
    }
    return flock(handle->fd, op | LOCK_NB) < 0 ? -errno : 0;
}

void pt_drop_owner(struct pt_fs *fs, uint64_t nodeid, uint64_t owner)
{
    auto_inode inode = inode_table_get(fs->inodes, nodeid);
    gint64 key = (gint64)owner;

    if (inode) {
        pthread_mutex_lock(&fs->lock_lock);
        if (inode->locks) {
            g_hash_table_remove(inode->locks->fds, &key);
        }
        pthread_mutex_unlock(&fs->lock_lock);
    }
}

static gboolean is_through(gpointer key, gpointer value, gpointer fh)
{
    const struct owner_fd *owner = value;

    (void)key;
    return owner->fh == *(const uint64_t *)fh;
}

/*
 * An owner that is an open file of the guest (F_OFD_SETLK) sends no FLUSH of its own when it goes,
 * only this. One that is a process has been dropped by FLUSH before.
 */
void pt_drop_locks_through(struct pt_fs *fs, uint64_t fh)
{
    auto_handle handle = handle_table_get(fs->handles, fh);

    if (handle) {
        pthread_mutex_lock(&fs->lock_lock);
        if (handle->inode->locks) {
            g_hash_table_foreach_remove(handle->inode->locks->fds, is_through, &fh);
        }
        pthread_mutex_unlock(&fs->lock_lock);
    }
}
