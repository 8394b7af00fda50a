/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stored form of a whiteout, and back.
 */
#include "fs/whiteout.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool whiteout_is_reserved_name(const char *name)
{
    return strncmp(name, RESERVED_PREFIX, sizeof(RESERVED_PREFIX) - 1) == 0;
}

bool whiteout_is_link(int dirfd, const char *name)
{
    char target[sizeof(WHITEOUT_TARGET)];
    ssize_t len = readlinkat(dirfd, name, target, sizeof(target));

    return len == sizeof(WHITEOUT_TARGET) - 1 && memcmp(target, WHITEOUT_TARGET, (size_t)len) == 0;
}

/* What host file systems say that cannot or may not store a device 0:0. */
static bool is_refusal(int err)
{
    return err == -EPERM || err == -EINVAL || err == -EOPNOTSUPP || err == -ENOSYS;
}

int whiteout_make(int dirfd, const char *name, bool try_native, mode_t mode)
{
    if (try_native) {
        int err = mknodat(dirfd, name, S_IFCHR | (mode & 07777), 0) < 0 ? -errno : 0;

        if (!is_refusal(err)) {
            return err;
        }
    }
    return symlinkat(WHITEOUT_TARGET, dirfd, name) < 0 ? -errno : 0;
}

void whiteout_present(struct statx *st)
{
    st->stx_mode = S_IFCHR; /* overlayfs makes them with mode 0 */
    st->stx_rdev_major = 0;
    st->stx_rdev_minor = 0;
    st->stx_size = 0;
    st->stx_blocks = 0;
}
