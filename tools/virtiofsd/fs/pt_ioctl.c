/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few ioctls that mean the same on any host file system: inode flags and project
 * ids. Everything else is ENOTTY, which is what a guest's overlayfs takes for "not here".
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

/* What goes in and comes out is a flat buffer of a known size. */
static const struct known_ioctl {
    unsigned cmd;
    unsigned in, out; /* bytes */
    bool changes;
} ioctls[] = {
    /* declared with long, and an int in fact (ioctl_iflags(2)) */
    {FS_IOC_GETFLAGS, 0, sizeof(int), false},
    {FS_IOC_SETFLAGS, sizeof(int), 0, true},
    {FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr), false},
    {FS_IOC_FSSETXATTR, sizeof(struct fsxattr), 0, true},
};

static const struct known_ioctl *find_ioctl(unsigned cmd)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ioctls); i++) {
        if (ioctls[i].cmd == cmd) {
            return &ioctls[i];
        }
    }
    return NULL;
}

int pt_ioctl(struct pt_fs *fs, uint64_t fh, unsigned cmd, const struct pt_ioctl_data *data)
{
    const struct known_ioctl *known = find_ioctl(cmd);
    auto_handle handle = handle_table_get(fs->handles, fh);
    union {
        long flags; /* a kernel that takes the declaration at its word touches eight bytes */
        struct fsxattr xattr;
    } arg;

    if (!handle) {
        return -EBADF;
    }
    if (!known) {
        return -ENOTTY;
    }
    if (known->changes && fs->config.readonly) {
        return -EROFS;
    }
    if (data->in_size < known->in || data->out_size < known->out) {
        return -EINVAL;
    }
    memset(&arg, 0, sizeof(arg));
    memcpy(&arg, data->in, known->in);
    if (ioctl(handle->fd, cmd, &arg) < 0) {
        /* what file systems say that have no flags */
        return errno == EOPNOTSUPP || errno == ENOSYS ? -ENOTTY : -errno;
    }
    memcpy(data->out, &arg, known->out);
    return (int)known->out;
}
