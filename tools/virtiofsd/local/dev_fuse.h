/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/fuse as a source of chains: threads that read requests, and answers on their way back.
 * Private to this room.
 */
#ifndef LOCAL_DEV_FUSE_H
#define LOCAL_DEV_FUSE_H

#include <stdbool.h>

#include "local/mount.h"

struct dev_fuse;

/* Starts the threads; fd stays the caller's. 0 or -errno. */
int dev_fuse_start(int fd, const struct local_device *device, struct dev_fuse **ret);

/* Becomes readable when the threads have ended by themselves: unmounted, or an error. */
int dev_fuse_ended_fd(const struct dev_fuse *dev);

/* Stops the threads, waits for all chains. Returns 0, or why the threads had ended (-errno). */
int dev_fuse_stop(struct dev_fuse *dev);

#endif
