/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inode table: the numbers a guest knows, and the files they stand for.
 *
 * A guest only ever holds a nodeid. inode_table_get() turns it into a counted reference; whoever
 * has one may use the inode without any lock and gives it back with inode_unref(). The guest's own
 * references (lookup count) are kept apart: when they reach zero the nodeid is gone, the O_PATH
 * descriptor goes with the last reference.
 *
 * Identity: an inode in the table keeps its descriptor open, so its host inode number cannot be
 * used again while the guest knows it. When there are more inodes than descriptors may be spent on
 * them, those not used for longest are parked: the descriptor is closed, and whoever needs one
 * opens the file anew by handle or by name (pt_get_inode()) and makes sure that it is the same:
 * token and birth time tell a file from another one with its inode number. The nodeid is made of
 * what the host says about the file (inode number, generation, device), not of a counter, so that a
 * guest that kept a file handle over a restart of the daemon finds the same file behind it.
 *
 * Locks: one mutex per stripe, held for a few instructions, never around a system call.
 */
#ifndef FS_INODE_TABLE_H
#define FS_INODE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What the host calls a file. mnt_id tells two mounts of one file system apart (bind mounts). */
struct inode_id {
    uint64_t dev;
    uint64_t ino;
    uint64_t mnt_id; /* 0 where the kernel does not tell (before 5.8) */
};

struct inode {
    struct inode *next; /* in its bucket; under the stripe's lock */
    uint64_t nodeid;
    uint32_t generation;
    uint16_t type;      /* S_IFMT of what is on the host; never changes */
    bool whiteout;      /* a stored whiteout: see whiteout.h */
    bool linked;        /* findable in the table; under the stripe's lock */
    bool aliased;       /* id is in the alias table; under both locks */
    struct inode_id id; /* under the stripe's lock once linked: see inode_table_rekey() */
    uint64_t birth;     /* nanoseconds, or 0 where the host does not tell */
    uint64_t nlookup;   /* under the stripe's lock */
    atomic_int refs;
    /* O_PATH, or -1 while parked; stays as it is for who got the inode by pt_get_inode() */
    atomic_int fd;
    atomic_size_t *n_fds;      /* the table's count of them */
    bool used;                 /* since the parking hand passed last; under the stripe's lock */
    struct inode_locks *locks; /* pt_lock.c, under its lock */
    struct inode_place *place; /* where it was seen last, or NULL; under the stripe's lock */

    /* Files: no security.capability is stored under a mapped name, as far as we know. */
    atomic_bool no_mapped_caps;

    /*
     * Directories: whether names asked for are mostly known already (then one statx tells) or
     * mostly new (then open first). A saturating guess that may be torn by a race.
     */
    _Atomic int8_t known_bias;
};

/* A directory and a name in it: enough to open an inode anew where there are no file handles. */
struct inode_place {
    uint64_t dir;
    char name[];
};

struct inode_locks;
void inode_locks_free(struct inode_locks *locks); /* NULL is fine */

struct inode_table;

/* `root_dev`: inodes on this device get the plainest nodeids. */
struct inode_table *inode_table_new(uint64_t root_dev);

/*
 * At most max_fds descriptors are kept for inodes; 0: as many as there are inodes. keep_places:
 * inode_table_note_place() has an effect.
 */
void inode_table_set_parking(struct inode_table *table, size_t max_fds, bool keep_places);

/* Everything must have been given back. */
void inode_table_free(struct inode_table *table);

struct inode_id inode_id_of(const struct statx *st);
uint64_t inode_birth_of(const struct statx *st);

/* A new reference to the inode the guest calls `nodeid`, or NULL. It may be parked. */
struct inode *inode_table_get(struct inode_table *table, uint64_t nodeid);

/* Adds a reference for somebody else who keeps it. */
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);

/*
 * The inode with that identity, with one more lookup and one reference; NULL when it is not known
 * or parked: then only opening it tells whether it is still the same file.
 */
struct inode *inode_table_find(struct inode_table *table, const struct inode_id *id);

/*
 * Adds what `fd` (O_PATH, taken over) refers to and counts one lookup; if another thread was
 * faster its inode is used and fd is closed. `token` becomes the nodeid's upper half
 * (host_handle.h; 0: none). Returns a reference, or NULL without memory (fd is then closed too).
 */
struct inode *inode_table_add(struct inode_table *table, int fd, const struct statx *st,
                              uint32_t token, bool whiteout);

/* Gives a parked inode a descriptor, which is taken over; another thread may have been faster. */
void inode_table_unpark(struct inode_table *table, struct inode *inode, int fd);

/* Parks up to n inodes that nobody uses, whatever the limit is; returns how many. */
size_t inode_table_park(struct inode_table *table, size_t n);

/* Remembers where an inode is found, and a copy of what is remembered (g_free(), or NULL). */
void inode_table_note_place(struct inode_table *table, struct inode *inode, uint64_t dir,
                            const char *name);
struct inode_place *inode_table_get_place(struct inode_table *table, struct inode *inode);

/* The root of the share: always nodeid 1, never forgotten. fd is taken over. */
struct inode *inode_table_add_root(struct inode_table *table, int fd, const struct statx *st);

/*
 * The host may change an inode's identity under us (copy-up on an overlayfs whose layers are on
 * two file systems): the same descriptor now answers with another device and inode number. The
 * nodeid stays what the guest knows.
 */
void inode_table_rekey(struct inode_table *table, struct inode *inode, const struct inode_id *id);

/* Another lookup of an inode that is already referenced (readdirplus, link). */
void inode_table_count_lookup(struct inode_table *table, struct inode *inode);

/*
 * The guest gives back n lookups. Unknown numbers are ignored and more than there are is taken as
 * all there are: a guest can only confuse itself. Returns false in these two cases.
 */
bool inode_table_forget(struct inode_table *table, uint64_t nodeid, uint64_t n);

/* The guest starts anew (INIT, DESTROY, disconnect): all lookups are gone, the root stays. */
void inode_table_forget_all(struct inode_table *table);

/* How many inodes the guest knows. */
uint64_t inode_table_count(struct inode_table *table);

#endif
