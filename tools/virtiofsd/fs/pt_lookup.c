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
#include "fs/whiteout.h"

enum { BIAS_MAX = 8 }; /* this many surprises in a row change the guess */

static void learn(struct inode *dir, bool was_known)
{
    int8_t bias = atomic_load_explicit(&dir->known_bias, memory_order_relaxed);

    bias = was_known ? MIN(bias + 1, BIAS_MAX) : MAX(bias - 1, -BIAS_MAX);
    atomic_store_explicit(&dir->known_bias, bias, memory_order_relaxed);
}

void pt_fill_entry(const struct inode *dir, const struct inode *inode, struct pt_entry *ret)
{
    ret->nodeid = inode->nodeid;
    ret->generation = inode->generation;
    ret->submount = dir && S_ISDIR(inode->type) &&
                    (dir->id.dev != inode->id.dev || dir->id.mnt_id != inode->id.mnt_id);
}

/*
 * The host may have copied a file up since the guest was told of it: what stands under the name has
 * another identity, and is the inode we have all the same. Asks the one that stood there.
 */
static struct inode *find_copied_up(struct pt_fs *fs, const struct inode *dir, const char *name,
                                    const struct inode_id *id)
{
    auto_inode known = NULL;
    struct statx st;

    if (!fs->hints) {
        return NULL;
    }
    if (pt_get_inode(fs, name_hints_get(fs->hints, dir->nodeid, name), &known) < 0 ||
        pt_stat_inode(fs, known, &st) < 0) {
        return NULL;
    }
    return inode_table_find(fs->inodes, id); /* pt_stat_inode() has noted its identity of today */
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

/* A name in a directory; {0} where it is not known. */
struct place {
    const struct inode *dir;
    const char *name;
};

/*
 * The inode of an O_PATH descriptor, which is taken over and was found at `place`. Right also when
 * a race adds it.
 */
static int inode_of_fd(struct pt_fs *fs, int path_fd, struct place place, struct statx *st,
                       struct inode **ret_inode, bool *ret_known)
{
    auto_fd fd = path_fd;
    struct inode_id id;

    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, PT_STATX_MASK, st) < 0) {
        return -errno;
    }
    id = inode_id_of(st);
    *ret_inode = inode_table_find(fs->inodes, &id);
    if (!*ret_inode && place.name) {
        *ret_inode = find_copied_up(fs, place.dir, place.name, &id);
    }
    *ret_known = *ret_inode != NULL;
    if (!*ret_inode) {
        uint32_t token = host_handle_token(&fs->host_handles, fd, id.dev, id.ino);

        bool whiteout = fs->config.overlay.on && whiteout_may_be(st) && whiteout_is_link(fd, "");

        *ret_inode = inode_table_add(fs->inodes, g_steal_fd(&fd), st, token, whiteout);
    }
    return *ret_inode ? 0 : -ENOMEM;
}

/* One O_PATH descriptor more; -errno. */
static int pt_open_path(struct pt_fs *fs, int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && pt_free_descriptors(fs, -errno)) {
        fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

/* By opening. */
static int find_or_add(struct pt_fs *fs, struct inode *dir, const char *name, struct statx *st,
                       struct inode **ret_inode, bool *ret_known)
{
    int fd = pt_open_path(fs, dir->fd, name);

    return fd < 0 ? fd : inode_of_fd(fs, fd, (struct place){dir, name}, st, ret_inode, ret_known);
}

static void show(struct pt_fs *fs, struct inode *dir, struct inode *inode, struct pt_entry *ret)
{
    pt_present(fs, inode, &ret->st);
    pt_fill_entry(dir, inode, ret);
}

static void note_name(struct pt_fs *fs, const struct inode *dir, const char *name,
                      struct inode *inode)
{
    if (fs->hints) {
        name_hints_set(fs->hints, dir->nodeid, name, inode->nodeid);
    }
    if (fs->parks_by_name) {
        inode_table_note_place(fs->inodes, inode, dir->nodeid, name);
    }
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
    note_name(fs, dir, name, inode);
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
    note_name(fs, dir, name, inode);
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

    err = path_fd < 0 ? -errno
                      : inode_of_fd(fs, path_fd, (struct place){0}, &ret->st, ret_inode, &known);
    if (err == 0) {
        show(fs, dir, *ret_inode, ret);
    }
    return err;
}

/* "." of an inode the guest knows. */
static int lookup_self(struct pt_fs *fs, struct inode *inode, struct pt_entry *ret)
{
    int err = pt_stat_inode(fs, inode, &ret->st);

    if (err < 0) {
        return err;
    }
    inode_table_count_lookup(fs->inodes, inode);
    pt_fill_entry(NULL, inode, ret);
    return 0;
}

/*
 * Is the directory behind fd the root of the share or below it? Climbs; a directory that the host
 * has moved out of the share has no business here any longer.
 */
static bool is_in_share(struct pt_fs *fs, int dir_fd)
{
    enum { DEEPEST = 2048 }; /* PATH_MAX / 2: no path that could be named is deeper */
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    bool found = false;
    struct inode_id below = {0};

    for (int depth = 0; fd >= 0 && depth < DEEPEST; depth++) {
        struct statx st;
        struct inode_id id;
        int up = -1;

        if (statx(fd, "", AT_EMPTY_PATH, PT_STATX_MASK, &st) < 0) {
            break;
        }
        id = inode_id_of(&st);
        if (id.ino == fs->root->id.ino && id.dev == fs->root->id.dev) {
            found = true;
            break;
        }
        if (id.ino == below.ino && id.dev == below.dev) {
            break; /* the host's "/" */
        }
        below = id;
        up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void)close(fd);
        fd = up;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return found;
}

/* The entry of an O_PATH descriptor that no name led to; taken over. */
static int entry_of_fd(struct pt_fs *fs, int path_fd, struct pt_entry *ret)
{
    auto_inode inode = NULL;
    bool known = false;
    int err = inode_of_fd(fs, path_fd, (struct place){0}, &ret->st, &inode, &known);

    if (err == 0) {
        show(fs, NULL, inode, ret);
    }
    return err;
}

/* "." of an inode that the guest knew in another life. */
static int lookup_by_handle(struct pt_fs *fs, uint64_t nodeid, struct pt_entry *ret)
{
    struct stat st;
    int fd = -1;
    int err = host_handle_open(&fs->host_handles, (uint32_t)nodeid, (uint32_t)(nodeid >> 32), &fd);

    if (err < 0) {
        return err;
    }
    if (fstat(fd, &st) < 0 || st.st_nlink == 0 || (S_ISDIR(st.st_mode) && !is_in_share(fs, fd))) {
        (void)close(fd);
        return -ESTALE;
    }
    err = entry_of_fd(fs, fd, ret);
    if (err == 0 && ret->nodeid != nodeid) {
        inode_table_forget(fs->inodes, ret->nodeid, 1);
        err = -ESTALE;
    }
    return err;
}

/* ".." of a directory, never of the root. */
static int lookup_parent(struct pt_fs *fs, struct inode *dir, struct pt_entry *ret)
{
    int fd = -1;

    if (dir == fs->root) {
        return -ENOENT;
    }
    if (!S_ISDIR(dir->type)) {
        return -ENOTDIR;
    }
    fd = openat(dir->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (!is_in_share(fs, fd)) {
        (void)close(fd);
        return -ESTALE;
    }
    return entry_of_fd(fs, fd, ret);
}

int pt_lookup_settled(struct pt_fs *fs, struct inode *dir, const char *name, struct pt_entry *ret)
{
    if (!fs->config.overlay.on) {
        return pt_lookup_in(fs, dir, name, ret);
    }
    for (;;) {
        unsigned seq = overlay_renames_begin(&fs->renames);
        int err = pt_lookup_in(fs, dir, name, ret);

        if (!overlay_renames_changed(&fs->renames, seq)) {
            return err;
        }
        if (err == 0) {
            inode_table_forget(fs->inodes, ret->nodeid, 1);
        }
    }
}

int pt_lookup(struct pt_fs *fs, uint64_t parent, const char *name, struct pt_entry *ret)
{
    auto_inode dir = NULL;
    bool is_self = strcmp(name, ".") == 0;
    int err = pt_get_inode(fs, parent, &dir);

    if (err == -EINVAL && is_self) {
        return lookup_by_handle(fs, parent, ret);
    }
    if (err < 0) {
        return err;
    }
    if (is_self) {
        return lookup_self(fs, dir, ret);
    }
    if (strcmp(name, "..") == 0) {
        return lookup_parent(fs, dir, ret);
    }
    if (pt_is_reserved(fs, name)) {
        return -ENOENT;
    }
    return pt_lookup_settled(fs, dir, name, ret);
}

bool pt_forget(struct pt_fs *fs, uint64_t nodeid, uint64_t n)
{
    return inode_table_forget(fs->inodes, nodeid, n);
}
