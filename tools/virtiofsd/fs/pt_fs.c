/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file system as a whole: birth, threads, reset, and the calls that concern it all.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/whiteout.h"
#include "host/idmap.h"

/* Not in every <linux/magic.h>. */
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42
#endif
#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif

/* By hand: this is in most requests, and snprintf() costs more than the look-up it is for. */
struct fd_name pt_fd_name(int fd)
{
    struct fd_name name;
    char digits[sizeof(name.text)];
    unsigned rest = (unsigned)fd; /* descriptors are not negative */
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0); /* ten digits at most */
    for (size_t i = 0; i < n; i++) {
        name.text[i] = digits[n - 1 - i];
    }
    name.text[n] = '\0';
    return name;
}

/* Local file systems have nothing to do at close(2); these report what writing could not do. */
static bool flush_matters(int fd)
{
    struct statfs st;

    if (fstatfs(fd, &st) < 0) {
        return true;
    }
    switch ((unsigned long)st.f_type) {
    case NFS_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case OVERLAYFS_SUPER_MAGIC: /* passes it on to the upper */
        return true;
    default:
        return false;
    }
}

static void open_host_handles(struct pt_fs *fs)
{
    int fd = -1;

    fs->host_handles.mount_fd = -1;
    if (fs->config.file_handles && pt_reopen(fs, fs->root, O_RDONLY | O_DIRECTORY, &fd) == 0) {
        host_handles_init(&fs->host_handles, fd, fs->root_dev, &fs->config.handle_key);
    }
}

/* Where a host copy-up changes identities nothing could be recognised: no parking there. */
static void set_parking(struct pt_fs *fs)
{
    fs->parks_by_name =
        fs->config.max_path_fds > 0 && !fs->host_handles.layout && !fs->config.overlay.unstable_ids;
    inode_table_set_parking(fs->inodes, fs->config.max_path_fds, fs->parks_by_name);
}

bool pt_can_export(const struct pt_fs *fs)
{
    return fs->host_handles.layout != NULL;
}

int pt_fs_new(const struct pt_config *config, struct pt_fs **ret_fs)
{
    struct pt_fs *fs = g_new0(struct pt_fs, 1);
    struct statx st;

    fs->config = *config;
    if (statx(config->root_fd, "", AT_EMPTY_PATH, PT_STATX_MASK, &st) < 0) {
        int err = -errno;

        g_free(fs);
        return err;
    }
    pthread_mutex_init(&fs->lock_lock, NULL);
    creds_probe(&fs->creds, config->partial_ids);
    fs->root_dev = inode_id_of(&st).dev;
    fs->inodes = inode_table_new(fs->root_dev);
    fs->handles = handle_table_new();
    fs->root = inode_table_add_root(fs->inodes, config->root_fd, &st);
    fs->flush_matters = flush_matters(config->root_fd);
    open_host_handles(fs);
    set_parking(fs);
    fs->hints =
        config->overlay.unstable_ids || config->overlay.breaks_links ? name_hints_new() : NULL;
    overlay_renames_init(&fs->renames, config->root_fd, config->proc_self_fd);
    if (config->overlay.on && !config->readonly) {
        overlay_renames_repair(&fs->renames);
    }
    *ret_fs = fs;
    return 0;
}

void pt_fs_free(struct pt_fs *fs)
{
    if (!fs) {
        return;
    }
    handle_table_free(fs->handles);
    pthread_mutex_destroy(&fs->lock_lock);
    overlay_renames_done(&fs->renames); /* before the root's descriptor goes */
    inode_table_free(fs->inodes);
    name_hints_free(fs->hints);
    host_handles_done(&fs->host_handles);
    (void)close(fs->config.proc_self_fd);
    g_free(fs);
}

int pt_thread_init(struct pt_fs *fs)
{
    /* A working directory of its own, so that "N" can stand for /proc/self/fd/N in one call. */
    if (unshare(CLONE_FS) < 0 || fchdir(fs->config.proc_self_fd) < 0) {
        return -errno;
    }
    umask(0); /* the guest's kernel has applied its own; part of what CLONE_FS separates */
    return 0;
}

void pt_reset(struct pt_fs *fs)
{
    handle_table_clear(fs->handles);
    inode_table_forget_all(fs->inodes);
}

void pt_figures(struct pt_fs *fs, struct pt_figures *ret)
{
    ret->inodes = inode_table_count(fs->inodes);
    ret->handles = handle_table_count(fs->handles);
}

int pt_reopen(struct pt_fs *fs, const struct inode *inode, int flags, int *ret_fd)
{
    struct fd_name name = pt_fd_name(inode->fd);
    int fd = -1;

    if (!S_ISREG(inode->type) && !S_ISDIR(inode->type)) {
        return -ENXIO; /* a device or pipe of the guest's is never opened on the host */
    }
    fd = openat(fs->config.proc_self_fd, name.text, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
    if (fd < 0 && pt_free_descriptors(fs, -errno)) {
        fd = openat(fs->config.proc_self_fd, name.text, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
    }
    if (fd < 0 && errno == EPERM && (flags & O_NOATIME) && !fs->config.preserve_noatime) {
        fd = openat(fs->config.proc_self_fd, name.text,
                    (flags & ~(O_NOFOLLOW | O_NOATIME)) | O_CLOEXEC);
    }
    if (fd < 0) {
        return -errno;
    }
    *ret_fd = fd;
    return 0;
}

int pt_host_caller(const struct pt_fs *fs, const struct pt_caller *caller, struct pt_caller *ret)
{
    int err = 0;

    *ret = *caller;
    err = idmap_to_host(fs->config.uids, caller->uid, &ret->uid);
    if (err == 0) {
        err = idmap_to_host(fs->config.gids, caller->gid, &ret->gid);
    }
    if (err == 0 && caller->has_group) {
        err = idmap_to_host(fs->config.gids, caller->group, &ret->group);
    }
    return err;
}

int pt_assume(const struct pt_fs *fs, const struct pt_caller *caller, bool drop_fsetid)
{
    struct pt_caller host;
    int err = pt_host_caller(fs, caller, &host);

    return err < 0 ? err : creds_assume(&fs->creds, &host, drop_fsetid);
}

int pt_making(const struct pt_fs *fs, const struct pt_new *how)
{
    int err = pt_assume(fs, &how->caller, how->mode & S_ISGID);

    if (err == 0 && how->umask != 0) {
        umask(how->umask); /* this thread's own: pt_thread_init() */
    }
    return err;
}

void pt_made(const struct pt_fs *fs, const struct pt_new *how)
{
    creds_restore(&fs->creds);
    if (how->umask != 0) {
        umask(0);
    }
}

void pt_set_posix_acl(struct pt_fs *fs, bool on)
{
    atomic_store(&fs->posix_acl, on);
}

bool pt_is_reserved(const struct pt_fs *fs, const char *name)
{
    return fs->config.overlay.on && whiteout_is_reserved_name(name);
}

int pt_statfs(struct pt_fs *fs, uint64_t nodeid, struct statvfs *ret)
{
    auto_inode inode = NULL;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err < 0) {
        return err;
    }
    return fstatvfs(inode->fd, ret) < 0 ? -errno : 0;
}

int pt_syncfs(struct pt_fs *fs, uint64_t nodeid)
{
    auto_inode inode = NULL;
    auto_fd fd = -1;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err < 0) {
        return err;
    }
    err = pt_reopen(fs, inode, O_RDONLY | O_NONBLOCK, &fd);
    if (err < 0) {
        return err;
    }
    return syncfs(fd) < 0 ? -errno : 0;
}
