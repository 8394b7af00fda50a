/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The passed-through file system: plain functions on a host directory, addressed by the numbers a
 * guest holds (nodeid, fh). Nothing here knows a request, a queue or a guest address.
 *
 * Every function returns 0 or a count, or -errno, and may be called from any thread that called
 * pt_thread_init(). Names are single components that the caller has checked: not empty, no '/',
 * at most NAME_MAX bytes, neither "." nor ".." (except for pt_lookup()). Outputs are set only on
 * success. A struct pt_entry in an output stands for one lookup that the guest gives back with
 * pt_forget().
 */
#ifndef FS_PT_H
#define FS_PT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>

#include "base/siphash.h"
#include "base/syscall_rule.h"
#include "fs/creds.h"

struct idmap;
struct pt_fs;
struct xattrmap;

/* What all of this may ask of the kernel (base/syscall_rule.h). */
extern const struct syscall_rule pt_syscalls[];

/* What is special about a share that serves as the upper layer of a guest's overlayfs. */
struct pt_overlay {
    bool on;
    bool try_native;   /* the host may take whiteouts as they are */
    bool unstable_ids; /* a host copy-up changes an inode's st_dev and st_ino */
    bool breaks_links; /* it does so at least to a file with several links */
};

struct pt_config {
    int root_fd;      /* O_PATH of the shared directory; taken over by pt_fs_new() */
    int proc_self_fd; /* O_PATH of /proc/self/fd of the serving process; taken over */
    bool readonly;    /* nothing is ever opened for writing */
    bool xattr;
    const struct xattrmap *xattrmap; /* NULL: names pass unchanged; outlives the file system */
    bool writeback;                  /* the guest caches writes: it may read what it only writes */
    bool allow_direct_io;
    bool preserve_noatime;
    bool kills_priv; /* the guest leaves it to chown to take set-id bits and capabilities away */
    const struct idmap *uids, *gids; /* NULL: ids pass unchanged; outlive the file system */
    struct pt_overlay overlay;
    bool append_by_flag;           /* the host's kernel may ignore RWF_APPEND (before 6.8) */
    bool partial_ids;              /* a user namespace that does not have every id */
    size_t max_path_fds;           /* descriptors to spend on inodes; 0: no limit */
    bool file_handles;             /* find files again by nodeid, if the host can */
    struct siphash_key handle_key; /* what makes nodeids of this share unguessable */
};

/* A name in a directory as a guest sees it. */
struct pt_entry {
    uint64_t nodeid;
    uint32_t generation;
    bool submount; /* a directory on another mount or device than its parent */
    struct statx st;
};

/* Which of the fields below a setattr changes. */
enum pt_setattr_valid {
    PT_SET_MODE = 1 << 0,
    PT_SET_UID = 1 << 1,
    PT_SET_GID = 1 << 2,
    PT_SET_SIZE = 1 << 3,
    PT_SET_ATIME = 1 << 4, /* .tv_nsec may be UTIME_NOW */
    PT_SET_MTIME = 1 << 5,
    PT_SET_KILL_PRIV = 1 << 6, /* also clear S_ISUID and S_ISGID as for an unprivileged writer */
};

struct pt_setattr {
    unsigned valid;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    uint64_t size;
    struct timespec atime, mtime;
};

#define PT_NO_FH 0 /* no handle ever has this number */

/* --- the file system (pt_fs.c) --- */

/* Repairs what a killed daemon left behind, too: nobody else may use the share yet. */
int pt_fs_new(const struct pt_config *config, struct pt_fs **ret_fs);
void pt_fs_free(struct pt_fs *fs);
/* Once per thread, before any other call: gives the thread its own working directory. */
int pt_thread_init(struct pt_fs *fs);
/* The guest starts anew or is gone: all its numbers are void. */
void pt_reset(struct pt_fs *fs);
int pt_statfs(struct pt_fs *fs, uint64_t nodeid, struct statvfs *ret);
int pt_syncfs(struct pt_fs *fs, uint64_t nodeid);

/* Whether nodeids of a former life can be looked up: FUSE_EXPORT_SUPPORT may be promised. */
bool pt_can_export(const struct pt_fs *fs);

/* Whether the guest understands POSIX ACLs: otherwise they are neither shown nor taken. */
void pt_set_posix_acl(struct pt_fs *fs, bool on);

struct pt_figures {
    uint64_t inodes;
    uint64_t handles;
};
void pt_figures(struct pt_fs *fs, struct pt_figures *ret);

/* --- names (pt_lookup.c, pt_namespace.c) --- */

/*
 * "." and ".." are looked up too, and "." also of a nodeid that was given out in another life:
 * -ESTALE when it cannot be found again. -ENOENT for ".." of the root.
 */
int pt_lookup(struct pt_fs *fs, uint64_t parent, const char *name, struct pt_entry *ret);
/* False when the number was unknown or had fewer lookups: the guest's mistake, harmless here. */
bool pt_forget(struct pt_fs *fs, uint64_t nodeid, uint64_t n);

struct pt_new {
    struct pt_caller caller;
    mode_t mode;
    mode_t umask; /* what the guest left to the host: a default ACL takes its place (DONT_MASK) */
};
/* Ids here are the guest's own; a forbidden one (--translate-uid) is -EPERM. */
int pt_mknod(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
             dev_t rdev, struct pt_entry *ret);
int pt_mkdir(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
             struct pt_entry *ret);
int pt_symlink(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
               const char *target, struct pt_entry *ret);
int pt_link(struct pt_fs *fs, uint64_t nodeid, uint64_t parent, const char *name,
            struct pt_entry *ret);
int pt_unlink(struct pt_fs *fs, uint64_t parent, const char *name);
int pt_rmdir(struct pt_fs *fs, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT as renameat2(2) takes them. */
int pt_rename(struct pt_fs *fs, const struct pt_caller *caller, uint64_t parent, const char *name,
              uint64_t newparent, const char *newname, unsigned flags);

/* --- attributes (pt_attr.c) --- */

/* fh may be PT_NO_FH; it matters for files that were unlinked while open. */
int pt_getattr(struct pt_fs *fs, uint64_t nodeid, uint64_t fh, struct statx *ret);
int pt_setattr(struct pt_fs *fs, uint64_t nodeid, uint64_t fh, const struct pt_setattr *attr,
               struct statx *ret);
/* Returns the length; the target is not NUL-terminated. */
int pt_readlink(struct pt_fs *fs, uint64_t nodeid, char *buf, size_t size);
/* mask as access(2): decided by mode and owner, as the guest's kernel would. */
int pt_access(struct pt_fs *fs, const struct pt_caller *caller, uint64_t nodeid, int mask);

/* --- extended attributes (pt_xattr.c); a size of 0 asks for the length --- */

/* kill_sgid: the caller is not in the file's group, so an ACL that is set clears S_ISGID. */
int pt_setxattr(struct pt_fs *fs, uint64_t nodeid, const char *name, const void *value, size_t size,
                int flags, bool kill_sgid);
int pt_getxattr(struct pt_fs *fs, uint64_t nodeid, const char *name, void *value, size_t size);
int pt_listxattr(struct pt_fs *fs, uint64_t nodeid, char *list, size_t size);
int pt_removexattr(struct pt_fs *fs, uint64_t nodeid, const char *name);

/* --- files (pt_io.c) --- */

int pt_open(struct pt_fs *fs, uint64_t nodeid, int flags, bool kill_priv, uint64_t *ret_fh);
int pt_create(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, const char *name,
              int flags, bool kill_priv, struct pt_entry *ret, uint64_t *ret_fh);
/* A file without a name, which pt_link() may give it one; -EOPNOTSUPP where the host has none. */
int pt_tmpfile(struct pt_fs *fs, const struct pt_new *how, uint64_t parent, int flags,
               struct pt_entry *ret, uint64_t *ret_fh);
/* False for a number that is not in use. */
bool pt_release(struct pt_fs *fs, uint64_t fh);
enum {
    PT_WRITE_KILL_PRIV = 1 << 0, /* clear S_ISUID and S_ISGID as for an unprivileged writer */
    PT_WRITE_APPEND = 1 << 1,    /* at the end as the host knows it, also after others' writes */
};

/*
 * Like preadv2/pwritev2. With `nowait`, -EAGAIN when the data is not at once at hand (or the file
 * cannot tell): ask again without it, on a thread that may block.
 */
ssize_t pt_read(struct pt_fs *fs, uint64_t fh, const struct iovec *iov, unsigned cnt, off_t offset,
                bool nowait);
ssize_t pt_write(struct pt_fs *fs, uint64_t fh, const struct iovec *iov, unsigned cnt, off_t offset,
                 unsigned how);
int pt_flush(struct pt_fs *fs, uint64_t fh);
int pt_fsync(struct pt_fs *fs, uint64_t fh, bool datasync); /* files and directories */
int pt_fallocate(struct pt_fs *fs, uint64_t fh, int mode, off_t offset, off_t len, bool kill_priv);
int pt_lseek(struct pt_fs *fs, uint64_t fh, off_t offset, int whence, off_t *ret_offset);
ssize_t pt_copy_file_range(struct pt_fs *fs, uint64_t fh_in, off_t off_in, uint64_t fh_out,
                           off_t off_out, size_t len, bool kill_priv);

struct pt_ioctl_data {
    const void *in;
    size_t in_size;
    void *out;
    size_t out_size;
};
/* Returns the bytes in data->out; -ENOTTY for all but the few that are known to be harmless. */
int pt_ioctl(struct pt_fs *fs, uint64_t fh, unsigned cmd, const struct pt_ioctl_data *data);

/* --- locks (pt_lock.c); none of these waits: -EAGAIN --- */

struct pt_lock {
    uint32_t type;       /* F_RDLCK, F_WRLCK, F_UNLCK */
    uint64_t start, end; /* bytes, the last one included; INT64_MAX: to the end */
    uint32_t pid;
};
/* The lock that stands in the way, or F_UNLCK. */
int pt_getlk(struct pt_fs *fs, uint64_t nodeid, uint64_t owner, struct pt_lock *lock);
/* `fh` is the open file that the lock is asked for through. */
int pt_setlk(struct pt_fs *fs, uint64_t nodeid, uint64_t owner, uint64_t fh,
             const struct pt_lock *lock);
int pt_flock(struct pt_fs *fs, uint64_t fh, uint32_t type);
/* A process of the guest has closed the file: its POSIX locks are gone. */
void pt_drop_owner(struct pt_fs *fs, uint64_t nodeid, uint64_t owner);
/* An open file is about to be released: the locks asked for through it are gone. */
void pt_drop_locks_through(struct pt_fs *fs, uint64_t fh);

/* --- directories (pt_dir.c) --- */

struct pt_dirent {
    const char *name; /* NUL-terminated */
    size_t name_len;
    uint64_t ino;
    uint64_t next;                /* where the next entry is found: a cookie of the host, 64 bits */
    unsigned type;                /* DT_*, never DT_UNKNOWN */
    const struct pt_entry *entry; /* readdirplus, and not for "." and ".."; else NULL */
};

/* Where pt_readdir() puts what it finds. */
struct pt_dir_sink {
    bool (*fits)(struct pt_dir_sink *sink, size_t name_len); /* asked before put */
    void (*put)(struct pt_dir_sink *sink, const struct pt_dirent *entry);
};

int pt_opendir(struct pt_fs *fs, uint64_t nodeid, uint64_t *ret_fh);
/* From the cookie `offset` (0: the start) until the sink is full or the directory ends. */
int pt_readdir(struct pt_fs *fs, uint64_t fh, uint64_t offset, bool plus, struct pt_dir_sink *sink);

#endif
