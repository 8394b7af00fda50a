/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other source of requests: the host's own kernel. What a guest would see is mounted at a
 * directory of the host, through /dev/fuse; libfuse3 mounts and unmounts (as an ordinary user by
 * way of fusermount3), the requests are read and answered here as chains.
 *
 * When to call what: local_mount_new() while the host's file system is still in sight and there
 * are no other threads; local_serve() in the confined worker; local_mount_free() in whoever is left
 * to clean up. Requests wait in the kernel in between.
 *
 * The mount does not outlive us, however we end: a process of its own, the keeper, is forked by
 * local_mount_new() and unmounts when the last of us is gone.
 */
#ifndef LOCAL_MOUNT_H
#define LOCAL_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/chain.h"
#include "base/syscall_rule.h"

struct local_mount;

struct local_mount_config {
    const char *dir;
    const char *source;  /* how the mount is called in the list of mounts: the shared directory */
    const char *options; /* more mount options, separated by commas; NULL for none */
    bool readonly;
    bool for_everybody; /* users other than ours may look in; the kernel checks permissions */
};

/* 0 or -errno and a sentence for the administrator in *ret_error (g_free() it). */
int local_mount_new(const struct local_mount_config *config, struct local_mount **ret,
                    char **ret_error);

/*
 * What has not been written yet (--writeback) is, before local_serve() returns; not without a bound
 * if the host's disk hangs.
 */
enum { LOCAL_UNMOUNT_MS = 10000 };

/*
 * Unmounts if local_serve() has not, and waits up to a second for it. In a process that was
 * forked off since it is harmless. NULL is fine.
 */
void local_mount_free(struct local_mount *mount);

/* What to do with requests; as for a virtqueue. */
struct local_device {
    int (*thread_init)(void *opaque); /* in each thread, before its first chain */
    void (*serve)(void *opaque, struct chain *chain);
    void (*cancel_waiting)(void *opaque); /* answer what waits without a bound */
    void *opaque;
    unsigned threads;
    size_t chain_user_size;
};

enum local_end {
    LOCAL_END_UNMOUNTED, /* by somebody else */
    LOCAL_END_STOP,      /* stop_fd became readable */
    LOCAL_END_ERROR,     /* logged */
};

/* Returns when every chain was given back. */
enum local_end local_serve(struct local_mount *mount, int stop_fd,
                           const struct local_device *device);

/* The system calls of this room once it serves. */
extern const struct syscall_rule local_syscalls[];

#endif
