/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the pt_*.c files share: the file system's state and the few steps they all take.
 */
#ifndef FS_PT_FS_H
#define FS_PT_FS_H

#include "fs/creds.h"
#include "fs/handle_table.h"
#include "fs/host_handle.h"
#include "fs/inode_table.h"
#include "fs/name_hints.h"
#include "fs/overlay_rename.h"
#include "fs/pt.h"

struct pt_fs {
    struct pt_config config; /* never changes */
    struct creds creds;      /* likewise */
    struct inode_table *inodes;
    struct handle_table *handles;
    struct inode *root;
    uint64_t root_dev;
    pthread_mutex_t lock_lock; /* all inodes' lock owners: pt_lock.c */
    bool parks_by_name;        /* no file handles: parked inodes are found again by name */
    atomic_bool posix_acl;     /* as the guest's last INIT left it */
    struct host_handles host_handles;
    struct name_hints *hints;       /* NULL where a host copy-up changes no identity */
    struct overlay_renames renames; /* overlay shares only */
    bool flush_matters;             /* a host file system that reports write errors at close */
};

#define PT_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* References that end with the scope. */
static inline void auto_inode_unref(struct inode *const *inode)
{
    inode_unref(*inode);
}
#define auto_inode __attribute__((cleanup(auto_inode_unref))) struct inode *

static inline void auto_handle_unref(struct handle *const *handle)
{
    handle_unref(*handle);
}
#define auto_handle __attribute__((cleanup(auto_handle_unref))) struct handle *

/*
 * The inode the guest calls `nodeid`, with a descriptor that stays open while the reference lasts:
 * 0, -EINVAL for a number nobody gave it, -ESTALE when a parked one is not found again.
 */
int pt_get_inode(struct pt_fs *fs, uint64_t nodeid, struct inode **ret_inode);

/* After EMFILE or ENFILE: makes room; false when there is none to be made. */
bool pt_free_descriptors(struct pt_fs *fs, int err);

/* "N" of /proc/self/fd/N: a thread's working directory is /proc/self/fd (pt_thread_init()). */
struct fd_name {
    char text[12];
};
struct fd_name pt_fd_name(int fd);

/* A real descriptor of a regular file or directory; other types are refused. */
int pt_reopen(struct pt_fs *fs, const struct inode *inode, int flags, int *ret_fd);

/* Attributes of an inode as the guest sees them. */
int pt_stat_inode(struct pt_fs *fs, struct inode *inode, struct statx *ret);
/* Turns what the host says about an inode into what the guest sees. */
void pt_present(struct pt_fs *fs, const struct inode *inode, struct statx *st);

/* The guest's caller in host ids: 0 or -EPERM for one that may not be used. */
int pt_host_caller(const struct pt_fs *fs, const struct pt_caller *caller, struct pt_caller *ret);
/* creds_assume() for a caller as the guest names it. */
int pt_assume(const struct pt_fs *fs, const struct pt_caller *caller, bool drop_fsetid);

/* Assumes the maker's credentials and umask; pt_made() gives both back. */
int pt_making(const struct pt_fs *fs, const struct pt_new *how);
void pt_made(const struct pt_fs *fs, const struct pt_new *how);

/* A name the daemon keeps for itself: the guest neither sees nor makes it. */
bool pt_is_reserved(const struct pt_fs *fs, const char *name);

/* Looks `name` up in `dir` and counts one lookup. */
int pt_lookup_in(struct pt_fs *fs, struct inode *dir, const char *name, struct pt_entry *ret);
/* The same for what the guest will remember: not in the middle of an emulated rename. */
int pt_lookup_settled(struct pt_fs *fs, struct inode *dir, const char *name, struct pt_entry *ret);
/* The same for a name that was just made; a reference too unless ret_inode is NULL. */
int pt_lookup_new(struct pt_fs *fs, struct inode *dir, const char *name, struct pt_entry *ret,
                  struct inode **ret_inode);
/* The same for an open file, whatever its name is by now. */
int pt_lookup_fd(struct pt_fs *fs, struct inode *dir, int fd, struct pt_entry *ret,
                 struct inode **ret_inode);
/*
 * Fills the rest of ret, whose attributes are there, for an inode on which a lookup was counted;
 * `dir` NULL: not known.
 */
void pt_fill_entry(const struct inode *dir, const struct inode *inode, struct pt_entry *ret);

/* security.capability that a map stores under another name is ours to drop (CVE-2021-20263). */
void pt_drop_mapped_caps(struct pt_fs *fs, struct inode *inode);

/*
 * security.capability of a regular file under its own name, around a change that shall not take it:
 * the length, or -1 for none. What the guest cannot see it cannot drop by itself; that is not kept.
 */
enum { PT_CAPS_MAX = 64 };
ssize_t pt_read_caps(struct pt_fs *fs, struct inode *inode, void *ret_caps);
int pt_write_caps(struct inode *inode, const void *caps, size_t len);

#endif
