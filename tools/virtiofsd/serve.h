/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving one front end: where transport, FUSE and the file system meet.
 */
#ifndef SERVE_H
#define SERVE_H

#include "base/siphash.h"
#include "host/sandbox.h"
#include "options.h"

struct xattrmap;

/*
 * The rest of the worker's life: gives up what it does not need, closes the filter behind itself
 * and serves conn_fd (taken over) until the front end leaves or stop_fd becomes readable. Returns
 * the exit status.
 */
int serve(const struct options *options, const struct xattrmap *xattrmap,
          const struct siphash_key *handle_key, const struct sandbox_result *sandbox, int conn_fd,
          int stop_fd);

#endif
