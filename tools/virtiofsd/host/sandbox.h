/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: from here on the shared directory is all there is.
 *
 * CONFINE_NAMESPACE and CONFINE_CHROOT split the process. The one the caller started becomes the
 * supervisor: it passes signals on, waits, and has no other work. Its child, the worker, is the
 * only one that ever reads a guest's byte; it lives in namespaces of its own with the share as
 * its "/". Neither outlives the other. CONFINE_NONE splits nothing and is always the worker.
 *
 * When to call what, and why in this order:
 *   1. sandbox_rehearse() before the socket is announced: it plays everything in a child that
 *      then ends, so that what cannot work is said in words before a caller waits for us.
 *   2. sandbox_enter() after accept(). A caller that moves the pid it knows into a cgroup does so
 *      before the VMM connects (libvirt); a worker forked earlier would be left behind.
 * Both need a process without other threads.
 */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum confinement { CONFINE_NAMESPACE, CONFINE_CHROOT, CONFINE_NONE };

/* One line of a user namespace's uid_map or gid_map. */
struct userns_range {
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};

struct sandbox_config {
    enum confinement confinement;
    const char *shared_dir;
    /* Wishes for a user namespace; without any, one is made only by who lacks CAP_SYS_ADMIN. */
    const struct userns_range *uid_map, *gid_map;
    size_t n_uid_map, n_gid_map;
    /* The supervisor keeps this one (the pid file and its lock), the worker closes it; or -1. */
    int supervisor_fd;
    /* How long a worker that was told to end may take; 0 for well below a second. */
    int grace_ms;
};

enum sandbox_role {
    SANDBOX_WORKER,   /* serve now; the descriptors below are yours */
    SANDBOX_FINISHED, /* this was the supervisor, the worker has ended: clean up and exit */
};

struct sandbox_result {
    enum sandbox_role role;
    int exit_status; /* SANDBOX_FINISHED: what to exit with, the worker's own status */

    /* SANDBOX_WORKER. All are O_CLOEXEC. */
    int root_fd;      /* the shared directory, O_PATH */
    int proc_self_fd; /* /proc/self/fd of this process, O_PATH; ".." leads nowhere */
    int mountinfo_fd; /* its /proc/self/mountinfo, readable, paths relative to the share */
    bool in_userns;   /* a user namespace was made: ids are those inside */
    bool has_all_ids; /* every uid and gid exists in the user namespace, made here or not */
    bool may_setgroups;
};

/*
 * Returns 0, or -errno with one sentence for the administrator in *ret_error (g_free() it). After
 * an error nothing was split and the process must end: it may be half way into a namespace.
 *
 * In the worker the signal mask and handlers are those of the caller; SANDBOX_FINISHED returns with
 * all signals blocked, so that nothing interrupts the cleaning up. The supervisor has closed
 * every descriptor but 0 to 2 and supervisor_fd, and has only CAP_DAC_OVERRIDE and CAP_KILL left,
 * which is what unlinking the socket and the pid file may need.
 */
int sandbox_enter(const struct sandbox_config *config, struct sandbox_result *ret,
                  char **ret_error);

/* The same in a child that ends at once: 0 when sandbox_enter() would work, here and now. */
int sandbox_rehearse(const struct sandbox_config *config, char **ret_error);

#endif
