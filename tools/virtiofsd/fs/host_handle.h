/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding a file again by what its nodeid says (FUSE_EXPORT_SUPPORT).
 *
 * A guest that keeps file handles (overlayfs with index=on does, on disk) asks for nodeids that it
 * was given in another life. The lower half of a nodeid is the host's inode number; the upper half
 * is a token: the host's inode generation, enciphered with a key of this host and share. The host
 * file system itself refuses a wrong generation, so a token cannot be made up: a guest must guess
 * 32 bits, and after HANDLE_MAX_MISSES wrong guesses nothing is decoded any more. Without
 * that a guest could name files of the host file system that lie outside the share.
 *
 * Works where the layout of the host's handles is known (ext4, xfs, btrfs, tmpfs) and the daemon
 * has CAP_DAC_READ_SEARCH in the initial user namespace.
 */
#ifndef FS_HOST_HANDLE_H
#define FS_HOST_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"

/* Chance of one right guess in a life: 1 in 65,536 for a file whose number is known. */
#define HANDLE_MAX_MISSES 65536

struct handle_layout;

struct host_handles {
    const struct handle_layout *layout; /* NULL: files cannot be found again here */
    int mount_fd;
    uint64_t dev; /* the device it works for */
    struct siphash_key key;
    uint8_t template[32]; /* bytes that all handles of this file system share */
    atomic_uint misses;
};

/*
 * Finds out whether the file system of `root_fd` can do it; root_real_fd is the same directory
 * opened for reading, taken over. Never fails: handles->layout tells.
 */
void host_handles_init(struct host_handles *handles, int root_real_fd, uint64_t dev,
                       const struct siphash_key *key);
void host_handles_done(struct host_handles *handles);

/* The token of the inode behind an O_PATH fd with inode number ino; 0 when there is none. */
uint32_t host_handle_token(struct host_handles *handles, int fd, uint64_t dev, uint64_t ino);

/*
 * An O_PATH descriptor of the inode that had this number and token. host_handle_open() takes the
 * guest's word for them: -ESTALE counts as a miss. host_handle_reopen() is for what is in the
 * table already; it may also fail with -EMFILE and the like.
 */
int host_handle_reopen(struct host_handles *handles, uint32_t ino, uint32_t token, int *ret_fd);
int host_handle_open(struct host_handles *handles, uint32_t ino, uint32_t token, int *ret_fd);

#endif
