/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a name to an inode. A name that the guest knows already costs one statx and a look into the
 * table; a new one is opened (O_PATH) so that the guest's number keeps meaning this very file.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>

#include "base/util.h"

enum { BIAS_MAX = 8 }; /* this many surprises in a row change the guess */

static void learn(struct inode *dir, bool was_known)
{
    int8_t bias = atomic_load_explicit(&dir->known_bias, memory_order_relaxed);

    bias = was_known ? MIN(bias + 1, BIAS_MAX) : MAX(bias - 1, -BIAS_MAX);
    atomic_store_explicit(&dir->known_bias, bias, memory_order_relaxed);
}

void pt_fill_entry(const struct inode *dir, const struct inode *inode, const struct statx *st,
                   struct pt_entry *ret)
{
    ret->nodeid = inode->nodeid;
    ret->generation = inode->generation;
    ret->submount = dir && S_ISDIR(inode->type) &&
                    (dir->id.dev != inode->id.dev || dir->id.mnt_id != inode->id.mnt_id);
    ret->st = *st;
}

/* By statx alone. 1: found, 0: exists but is new, or -errno. */
static int find_known(struct pt_fs *fs, struct inode *dir, const char *name, struct statx *st,
                      struct inode **ret_inode)
{
    struct inode_id id;

    if (statx(dir->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, PT_STATX_MASK, st) < 0) {
        return -errno;
    }
    id = inode_id_of(st);
    *ret_inode = inode_table_find(fs->inodes, &id);
    return *ret_inode ? 1 : 0;
}

/* The inode of an O_PATH descriptor, which is taken over. Right also when a race adds it. */
static int inode_of_fd(struct pt_fs *fs, int path_fd, struct statx *st, struct inode **ret_inode,
                       bool *ret_known)
{
    auto_fd fd = path_fd;
    struct inode_id id;

    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, PT_STATX_MASK, st) < 0) {
        return -errno;
    }
    id = inode_id_of(st);
    *ret_inode = inode_table_find(fs->inodes, &id);
    *ret_known = *ret_inode != NULL;
    if (!*ret_inode) {
        *ret_inode = inode_table_add(fs->inodes, g_steal_fd(&fd), st, 0, false);
    }
    return *ret_inode ? 0 : -ENOMEM;
}

/* By opening. */
static int find_or_add(struct pt_fs *fs, struct inode *dir, const char *name, struct statx *st,
                       struct inode **ret_inode, bool *ret_known)
{
    int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : inode_of_fd(fs, fd, st, ret_inode, ret_known);
}

static void show(struct pt_fs *fs, struct inode *dir, struct inode *inode, struct pt_entry *ret)
{
    pt_present(fs, inode, &ret->st);
    pt_fill_entry(dir, inode, &ret->st, ret);
}

int pt_lookup_in(struct pt_fs *fs, struct inode *dir, const char *name, struct pt_entry *ret)
{
    bool guess_known = atomic_load_explicit(&dir->known_bias, memory_order_relaxed) >= 0;
    auto_inode inode = NULL;
    bool known = false;
    int err = 0;

    if (guess_known) {
        err = find_known(fs, dir, name, &ret->st, &inode);
        known = err == 1;
    }
    if (err == 0) {
        err = find_or_add(fs, dir, name, &ret->st, &inode, &known);
    }
    if (err < 0) {
        return err;
    }
    learn(dir, known);
    show(fs, dir, inode, ret);
    return 0;
}

int pt_lookup_new(struct pt_fs *fs, struct inode *dir, const char *name, struct pt_entry *ret,
                  struct inode **ret_inode)
{
    auto_inode inode = NULL;
    bool known = false;
    int err = find_or_add(fs, dir, name, &ret->st, &inode, &known);

    if (err < 0) {
        return err;
    }
    show(fs, dir, inode, ret);
    if (ret_inode) {
        *ret_inode = g_steal_pointer(&inode);
    }
    return 0;
}

int pt_lookup_fd(struct pt_fs *fs, struct inode *dir, int fd, struct pt_entry *ret,
                 struct inode **ret_inode)
{
    struct fd_name name = pt_fd_name(fd);
    int path_fd = openat(fs->config.proc_self_fd, name.text, O_PATH | O_CLOEXEC);
    bool known = false;
    int err = 0;

    err = path_fd < 0 ? -errno : inode_of_fd(fs, path_fd, &ret->st, ret_inode, &known);
    if (err == 0) {
        show(fs, dir, *ret_inode, ret);
    }
    return err;
}

/* "." of any inode the guest knows, "..": for guests that decode file handles. */
static int lookup_dot(struct pt_fs *fs, struct inode *inode, struct pt_entry *ret)
{
    int err = pt_stat_inode(fs, inode, &ret->st);

    if (err < 0) {
        return err;
    }
    inode_table_count_lookup(fs->inodes, inode);
    pt_fill_entry(NULL, inode, &ret->st, ret);
    return 0;
}

int pt_lookup(struct pt_fs *fs, uint64_t parent, const char *name, struct pt_entry *ret)
{
    auto_inode dir = inode_table_get(fs->inodes, parent);

    if (!dir) {
        return -EINVAL;
    }
    if (strcmp(name, ".") == 0) {
        return lookup_dot(fs, dir, ret);
    }
    if (strcmp(name, "..") == 0) {
        return -ENOENT;
    }
    return pt_lookup_in(fs, dir, name, ret);
}

bool pt_forget(struct pt_fs *fs, uint64_t nodeid, uint64_t n)
{
    return inode_table_forget(fs->inodes, nodeid, n);
}
