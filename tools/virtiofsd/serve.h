/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving one front end: where transport, FUSE and the file system meet.
 */
#ifndef SERVE_H
#define SERVE_H

#include "base/siphash.h"
#include "fs/pt.h"
#include "host/sandbox.h"
#include "options.h"

struct serve_config {
    const struct options *options;
    const struct xattrmap *xattrmap; /* NULL: names pass unchanged */
    struct pt_overlay overlay;
    struct siphash_key handle_key;
    const struct idmap *uids, *gids; /* NULL: ids pass unchanged */
    uint64_t nofile;                 /* RLIMIT_NOFILE in force */
    unsigned processors; /* of the host; asked before the sandbox hides /sys and /proc */
    struct sandbox_result sandbox;
    int conn_fd;               /* the connected front end; taken over; -1 with a mount */
    struct local_mount *mount; /* of --mount, still the caller's; NULL with a front end */
    int listen_fd; /* where the next one connects, still the caller's; or -1: there is none */
    int stop_fd;   /* readable: end */
};

/*
 * The rest of the worker's life: gives up what it does not need, closes the filter behind itself
 * and serves until the front end leaves or stop_fd becomes readable. Returns the exit status.
 */
int serve(const struct serve_config *config);

#endif
