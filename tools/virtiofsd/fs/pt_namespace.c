/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names made, moved and removed. What is made belongs to the guest's user (creds.h).
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/whiteout.h"

/* One step of making something in `dir`, under assumed credentials: 0 or -errno. */
struct make {
    int (*step)(int dirfd, const char *name, const struct make *make);
    mode_t mode;
    dev_t rdev;
    const char *target;
    bool try_native;
};

static int step_whiteout(int dirfd, const char *name, const struct make *make)
{
    return whiteout_make(dirfd, name, make->try_native, make->mode);
}

static int step_mknod(int dirfd, const char *name, const struct make *make)
{
    return mknodat(dirfd, name, make->mode, make->rdev) < 0 ? -errno : 0;
}

static int step_mkdir(int dirfd, const char *name, const struct make *make)
{
    return mkdirat(dirfd, name, make->mode) < 0 ? -errno : 0;
}

static int step_symlink(int dirfd, const char *name, const struct make *make)
{
    return symlinkat(make->target, dirfd, name) < 0 ? -errno : 0;
}

/*
 * When the look-up afterwards fails (EMFILE, or somebody else was faster) the guest sees an error
 * for something that exists, as it would after a crash in between; it asks again by name.
 */
static int make_entry(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
                      const struct make *make, struct pt_entry *ret)
{
    auto_inode dir = NULL;
    int err = pt_get_inode(fs, parent, &dir);

    if (err < 0) {
        return err;
    }
    if (pt_is_reserved(fs, name)) {
        return -EPERM;
    }
    err = pt_making(fs, how);
    if (err < 0) {
        return err;
    }
    err = make->step(dir->fd, name, make);
    pt_made(fs, how);
    return err < 0 ? err : pt_lookup_new(fs, dir, name, ret, NULL);
}

int pt_mknod(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
             dev_t rdev, struct pt_entry *ret)
{
    struct make make = {.step = step_mknod, .mode = how->mode, .rdev = rdev};

    if (fs->config.overlay.on && S_ISCHR(how->mode) && rdev == 0) {
        make.step = step_whiteout;
        make.try_native = fs->config.overlay.try_native;
    }
    return make_entry(fs, how, parent, name, &make, ret);
}

int pt_mkdir(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
             struct pt_entry *ret)
{
    struct make make = {.step = step_mkdir, .mode = how->mode};

    return make_entry(fs, how, parent, name, &make, ret);
}

int pt_symlink(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
               const char *target, struct pt_entry *ret)
{
    struct make make = {.step = step_symlink, .target = target};

    if (fs->config.overlay.on && strcmp(target, WHITEOUT_TARGET) == 0) {
        return -EPERM; /* it would come back as a whiteout */
    }
    return make_entry(fs, how, parent, name, &make, ret);
}

int pt_link(struct pt_fs *fs, uint64_t nodeid, uint64_t parent, const char *name,
            struct pt_entry *ret)
{
    auto_inode inode = NULL;
    auto_inode dir = NULL;
    struct fd_name from;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err == 0) {
        err = pt_get_inode(fs, parent, &dir);
    }
    if (err < 0) {
        return err;
    }
    if (pt_is_reserved(fs, name)) {
        return -EPERM;
    }
    /*
     * Through the magic link, which ends at the inode itself, symlink or not: linkat with
     * AT_EMPTY_PATH would want CAP_DAC_READ_SEARCH.
     */
    from = pt_fd_name(inode->fd);
    if (linkat(AT_FDCWD, from.text, dir->fd, name, AT_SYMLINK_FOLLOW) < 0) {
        return -errno;
    }
    /* The same nodeid must come back, so the inode is not looked up by its new name. */
    err = pt_stat_inode(fs, inode, &ret->st);
    if (err < 0) {
        return err;
    }
    inode_table_count_lookup(fs->inodes, inode);
    if (fs->hints) {
        name_hints_set(fs->hints, parent, name, nodeid);
    }
    pt_fill_entry(dir, inode, ret);
    return 0;
}

static int remove_name(struct pt_fs *fs, uint64_t parent, const char *name, int flags)
{
    auto_inode dir = NULL;
    int err = pt_get_inode(fs, parent, &dir);

    if (err < 0) {
        return err;
    }
    if (pt_is_reserved(fs, name)) {
        return -ENOENT;
    }
    return unlinkat(dir->fd, name, flags) < 0 ? -errno : 0;
}

int pt_unlink(struct pt_fs *fs, uint64_t parent, const char *name)
{
    return remove_name(fs, parent, name, 0);
}

int pt_rmdir(struct pt_fs *fs, uint64_t parent, const char *name)
{
    return remove_name(fs, parent, name, AT_REMOVEDIR);
}

/* The rules of rename(2): what the host's kernel does not know it must not be asked. */
static bool flags_make_sense(unsigned flags)
{
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) {
        return false;
    }
    return !(flags & RENAME_EXCHANGE) || !(flags & (RENAME_NOREPLACE | RENAME_WHITEOUT));
}

/* By the host if it can and may, otherwise in steps. */
static int rename_whiteout(struct pt_fs *fs, struct inode *dir, const char *name,
                           struct inode *newdir, const char *newname, unsigned flags)
{
    bool try_native = fs->config.overlay.try_native;
    struct rename_names names = {
        .dirfd = dir->fd,
        .name = name,
        .newdirfd = newdir->fd,
        .newname = newname,
        .noreplace = flags & RENAME_NOREPLACE,
        .try_native = try_native,
    };

    if (try_native) {
        int err = renameat2(dir->fd, name, newdir->fd, newname, flags) < 0 ? -errno : 0;

        if (err != -EINVAL && err != -EPERM && err != -EOPNOTSUPP && err != -ENOSYS) {
            return err;
        }
    }
    return overlay_rename_whiteout(&fs->renames, &names);
}

int pt_rename(struct pt_fs *fs, const struct pt_caller *caller, uint64_t parent, const char *name,
              uint64_t newparent, const char *newname, unsigned flags)
{
    auto_inode dir = NULL;
    auto_inode newdir = NULL;
    int err = flags_make_sense(flags) ? pt_get_inode(fs, parent, &dir) : -EINVAL;

    if (err == 0) {
        err = pt_get_inode(fs, newparent, &newdir);
    }
    if (err < 0) {
        return err;
    }
    if (pt_is_reserved(fs, name) || pt_is_reserved(fs, newname)) {
        return pt_is_reserved(fs, name) ? -ENOENT : -EPERM;
    }
    if (flags & RENAME_WHITEOUT) {
        /* it makes a node, which belongs to the caller */
        err = pt_assume(fs, caller, false);
    }
    if (err < 0) {
        return err;
    }
    if ((flags & RENAME_WHITEOUT) && fs->config.overlay.on) {
        err = rename_whiteout(fs, dir, name, newdir, newname, flags);
    } else {
        err = renameat2(dir->fd, name, newdir->fd, newname, flags) < 0 ? -errno : 0;
    }
    creds_restore(&fs->creds);
    if (err == 0 && fs->hints) {
        name_hints_move(fs->hints, parent, name, newparent, newname);
    }
    return err;
}
