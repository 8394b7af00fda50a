/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whiteouts: what a guest overlayfs knows as character device 0:0.
 *
 * Where the host file system takes such a device (ext4, xfs, btrfs, tmpfs) that is what is stored.
 * Where it does not (a host overlayfs keeps them to itself; NFS, FUSE) a whiteout is a symbolic
 * link with a reserved target: made by one atomic system call, without an xattr, and it can be
 * hard-linked, renamed, exchanged and copied by tar or rsync like any other. Readdir tells it
 * apart by DT_LNK and its size, so ordinary files cost nothing. Both forms are always understood.
 */
#ifndef FS_WHITEOUT_H
#define FS_WHITEOUT_H

#include <stdbool.h>
#include <sys/stat.h>

/* An absolute path that exists nowhere, of a length few links have. docs/overlay-upper.rst. */
#define WHITEOUT_TARGET "/.virtiofsd-overlay-whiteout/char-0:0"

/*
 * Names that the daemon keeps for itself in an overlay share: hidden from the guest, which cannot
 * make them either.
 */
#define RESERVED_PREFIX ".virtiofsd-overlay."

bool whiteout_is_reserved_name(const char *name);

/* Could this be a stored whiteout, as far as attributes tell? */
static inline bool whiteout_may_be(const struct statx *st)
{
    return S_ISLNK(st->stx_mode) && st->stx_size == sizeof(WHITEOUT_TARGET) - 1;
}

/* Is the symbolic link `name` in dirfd (or dirfd itself, for "") a stored whiteout? */
bool whiteout_is_link(int dirfd, const char *name);

/* Makes one: 0 or -errno. `native` first if it may work here; a refusal falls back to the link. */
int whiteout_make(int dirfd, const char *name, bool try_native, mode_t mode);

/* What the guest sees of a stored whiteout. */
void whiteout_present(struct statx *st);

#endif
