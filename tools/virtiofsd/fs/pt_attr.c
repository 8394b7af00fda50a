/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes: read, changed, and shown to the guest in one place.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/whiteout.h"
#include "host/idmap.h"

void pt_present(struct pt_fs *fs, const struct inode *inode, struct statx *st)
{
    if (inode->whiteout) {
        whiteout_present(st);
    }
    st->stx_uid = idmap_to_guest(fs->config.uids, st->stx_uid);
    st->stx_gid = idmap_to_guest(fs->config.gids, st->stx_gid);
}

int pt_stat_inode(struct pt_fs *fs, struct inode *inode, struct statx *ret)
{
    if (statx(inode->fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, PT_STATX_MASK, ret) < 0) {
        return -errno;
    }
    if (fs->hints) {
        struct inode_id id = inode_id_of(ret);

        inode_table_rekey(fs->inodes, inode, &id); /* the host may have copied it up */
    }
    pt_present(fs, inode, ret);
    return 0;
}

int pt_getattr(struct pt_fs *fs, uint64_t nodeid, uint64_t fh, struct statx *ret)
{
    auto_inode inode = NULL;
    int err = pt_get_inode(fs, nodeid, &inode);

    (void)fh; /* the O_PATH descriptor follows an unlinked file as well */
    return err < 0 ? err : pt_stat_inode(fs, inode, ret);
}

static int set_mode(const struct inode *inode, mode_t mode)
{
    struct fd_name name = pt_fd_name(inode->fd);

    if (inode->whiteout) {
        return 0; /* its mode is 0 and interests nobody */
    }
    if (S_ISLNK(inode->type)) {
        return -EOPNOTSUPP; /* as lchmod(2); a path through the magic link would not say so */
    }
    return fchmodat(AT_FDCWD, name.text, mode, 0) < 0 ? -errno : 0;
}

static int set_owner(const struct pt_fs *fs, const struct inode *inode,
                     const struct pt_setattr *attr)
{
    uid_t uid = (attr->valid & PT_SET_UID) ? attr->uid : (uid_t)-1;
    gid_t gid = (attr->valid & PT_SET_GID) ? attr->gid : (gid_t)-1;
    int err = idmap_to_host(fs->config.uids, uid, &uid); /* -1 stays -1: "leave alone" */

    if (err == 0) {
        err = idmap_to_host(fs->config.gids, gid, &gid);
    }
    if (err < 0) {
        return err;
    }
    return fchownat(inode->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int truncate_to(struct pt_fs *fs, const struct inode *inode, uint64_t fh, uint64_t size)
{
    auto_handle handle = fh != PT_NO_FH ? handle_table_get(fs->handles, fh) : NULL;
    struct fd_name name = pt_fd_name(inode->fd);
    int err = 0;

    if (S_ISDIR(inode->type)) {
        return -EISDIR;
    }
    if (!S_ISREG(inode->type) || size > INT64_MAX) {
        return -EINVAL;
    }
    if (fh != PT_NO_FH && (!handle || handle->inode != inode)) {
        return -EBADF;
    }
    if (handle && (handle->flags & O_ACCMODE) != O_RDONLY) {
        err = ftruncate(handle->fd, (off_t)size);
    } else {
        err = truncate(name.text, (off_t)size);
    }
    return err < 0 ? -errno : 0;
}

static int set_size(struct pt_fs *fs, struct inode *inode, uint64_t fh,
                    const struct pt_setattr *attr)
{
    bool kill = attr->valid & PT_SET_KILL_PRIV;
    int err = 0;

    if (kill) {
        creds_drop_fsetid();
    }
    err = truncate_to(fs, inode, fh, attr->size);
    if (kill) {
        creds_raise_fsetid();
    }
    return err;
}

static int set_times(const struct inode *inode, const struct pt_setattr *attr)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    struct fd_name name = pt_fd_name(inode->fd);

    if (attr->valid & PT_SET_ATIME) {
        times[0] = attr->atime;
    }
    if (attr->valid & PT_SET_MTIME) {
        times[1] = attr->mtime;
    }
    return utimensat(AT_FDCWD, name.text, times, 0) < 0 ? -errno : 0;
}

/* What the host takes from a regular file with chown(2) and truncate(2). */
struct privileges {
    mode_t set_id; /* 0, or the whole mode */
    ssize_t caps_len;
    char caps[PT_CAPS_MAX];
};

/*
 * Without KILLPRIV_V2 the guest decides about set-id bits and capabilities: where they must go, a
 * mode comes along or a REMOVEXATTR has come before, and where not they must stay. An overlayfs in
 * the guest truncates and sets the owner last when it copies a file up; sudo would lose its bit.
 */
static bool keeps_privileges(const struct pt_fs *fs, const struct inode *inode,
                             const struct pt_setattr *attr)
{
    return S_ISREG(inode->type) && (attr->valid & (PT_SET_UID | PT_SET_GID | PT_SET_SIZE)) &&
           !(attr->valid & PT_SET_KILL_PRIV) && !fs->config.kills_priv;
}

static void note_privileges(struct pt_fs *fs, struct inode *inode, const struct pt_setattr *attr,
                            struct privileges *ret)
{
    struct stat st;

    ret->set_id = 0;
    if (!(attr->valid & PT_SET_MODE) && (attr->valid & (PT_SET_UID | PT_SET_GID)) &&
        fstat(inode->fd, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID))) {
        ret->set_id = st.st_mode & 07777;
    }
    ret->caps_len = pt_read_caps(fs, inode, ret->caps);
}

static int restore_privileges(struct inode *inode, const struct privileges *kept)
{
    int err = kept->set_id ? set_mode(inode, kept->set_id) : 0;

    return err == 0 && kept->caps_len > 0 ? pt_write_caps(inode, kept->caps, (size_t)kept->caps_len)
                                          : err;
}

/* In the order in which a later step may depend on an earlier one: chown clears mode bits. */
static int apply(struct pt_fs *fs, struct inode *inode, uint64_t fh, const struct pt_setattr *attr)
{
    bool keep = keeps_privileges(fs, inode, attr);
    struct privileges kept;
    int err = 0;

    if (keep) {
        note_privileges(fs, inode, attr, &kept);
    }
    if (attr->valid & (PT_SET_UID | PT_SET_GID)) {
        err = set_owner(fs, inode, attr);
    }
    if (err == 0 && (attr->valid & PT_SET_MODE)) {
        err = set_mode(inode, attr->mode);
    }
    if (err == 0 && (attr->valid & PT_SET_SIZE)) {
        err = set_size(fs, inode, fh, attr);
    }
    if (err == 0 && keep) {
        err = restore_privileges(inode, &kept);
    } else if (attr->valid & (PT_SET_UID | PT_SET_GID | PT_SET_SIZE)) {
        pt_drop_mapped_caps(fs, inode);
    }
    if (err == 0 && (attr->valid & (PT_SET_ATIME | PT_SET_MTIME))) {
        err = set_times(inode, attr);
    }
    return err;
}

int pt_setattr(struct pt_fs *fs, uint64_t nodeid, uint64_t fh, const struct pt_setattr *attr,
               struct statx *ret)
{
    auto_inode inode = NULL;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err == 0) {
        err = apply(fs, inode, fh, attr);
    }
    return err < 0 ? err : pt_stat_inode(fs, inode, ret);
}

int pt_readlink(struct pt_fs *fs, uint64_t nodeid, char *buf, size_t size)
{
    auto_inode inode = NULL;
    ssize_t len = 0;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err < 0) {
        return err;
    }
    if (!S_ISLNK(inode->type) || inode->whiteout) {
        return -EINVAL;
    }
    len = readlinkat(inode->fd, "", buf, size);
    if (len < 0) {
        return -errno;
    }
    return (size_t)len == size ? -ENAMETOOLONG : (int)len;
}

int pt_access(struct pt_fs *fs, const struct pt_caller *caller, uint64_t nodeid, int mask)
{
    struct statx st;
    int err = pt_getattr(fs, nodeid, PT_NO_FH, &st);
    int granted = 0;

    if (err < 0) {
        return err;
    }
    if (mask == F_OK) {
        return 0;
    }
    if (caller->uid == 0) {
        bool may_run = S_ISDIR(st.stx_mode) || (st.stx_mode & 0111);

        return !(mask & X_OK) || may_run ? 0 : -EACCES;
    }
    if (caller->uid == st.stx_uid) {
        granted = st.stx_mode >> 6;
    } else if (caller->gid == st.stx_gid || (caller->has_group && caller->group == st.stx_gid)) {
        granted = st.stx_mode >> 3;
    } else {
        granted = st.stx_mode;
    }
    return (mask & ~granted & (R_OK | W_OK | X_OK)) ? -EACCES : 0;
}
