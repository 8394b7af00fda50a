/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a nodeid to an inode that can be used: one that was parked to save its descriptor is opened
 * anew, by its host file handle or, where there are none, by the name under which it was seen
 * last; and it must be the same file still.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <unistd.h>

#include "base/util.h"

enum {
    /*
     * A parked directory needs its parked parent, and so on. Bounded by what fits a small stack;
     * the guest answers ESTALE by walking the path from the top, which revives one after the other.
     */
    DEEPEST = 256,
    /* Descriptors to make room for after EMFILE: the one that failed, and those that follow. */
    ROOM = 64,
};

bool pt_free_descriptors(struct pt_fs *fs, int err)
{
    return (err == -EMFILE || err == -ENFILE) && inode_table_park(fs->inodes, ROOM) > 0;
}

static int get_at_depth(struct pt_fs *fs, uint64_t nodeid, int depth, struct inode **ret_inode);

static int open_by_place(struct pt_fs *fs, struct inode *inode, int depth, int *ret_fd)
{
    g_autofree struct inode_place *place = inode_table_get_place(fs->inodes, inode);
    auto_inode dir = NULL;
    int err = 0;

    if (!place || depth >= DEEPEST) {
        return -ESTALE;
    }
    err = get_at_depth(fs, place->dir, depth + 1, &dir);
    if (err < 0) {
        return err;
    }
    *ret_fd = openat(dir->fd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

/* A name may lead to another file by now, even to one with the same inode number. */
static bool is_still(const struct inode *inode, int fd)
{
    struct statx st;
    struct inode_id id;

    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, PT_STATX_MASK, &st) < 0) {
        return false;
    }
    id = inode_id_of(&st);
    return id.ino == inode->id.ino && id.dev == inode->id.dev && id.mnt_id == inode->id.mnt_id &&
           (st.stx_mode & S_IFMT) == inode->type && inode_birth_of(&st) == inode->birth;
}

static int revive(struct pt_fs *fs, struct inode *inode, int depth)
{
    auto_fd fd = -1;
    int err = 0;

    /* once more when there was no descriptor for it and room could be made */
    for (int attempt = 0; attempt < 2; attempt++) {
        err = inode->generation != 0
                  ? host_handle_reopen(&fs->host_handles, (uint32_t)inode->id.ino,
                                       inode->generation, &fd)
                  : open_by_place(fs, inode, depth, &fd);
        if (err == 0 || !pt_free_descriptors(fs, err)) {
            break;
        }
    }
    if (err == -EMFILE || err == -ENFILE || err == -ENOMEM) {
        return err; /* it may be there; ask again when there is room */
    }
    if (err < 0 || !is_still(inode, fd)) {
        return -ESTALE;
    }
    inode_table_unpark(fs->inodes, inode, g_steal_fd(&fd));
    return 0;
}

static int get_at_depth(struct pt_fs *fs, uint64_t nodeid, int depth, struct inode **ret_inode)
{
    auto_inode inode = inode_table_get(fs->inodes, nodeid);
    int err = 0;

    if (!inode) {
        return -EINVAL;
    }
    if (inode->fd < 0) {
        err = revive(fs, inode, depth);
    }
    if (err == 0) {
        *ret_inode = g_steal_pointer(&inode);
    }
    return err;
}

int pt_get_inode(struct pt_fs *fs, uint64_t nodeid, struct inode **ret_inode)
{
    return get_at_depth(fs, nodeid, 0, ret_inode);
}
