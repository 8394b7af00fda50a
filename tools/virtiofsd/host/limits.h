/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits the process gives itself: how many descriptors, which of its caller's, no core dumps.
 */
#ifndef HOST_LIMITS_H
#define HOST_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define LIMITS_NOFILE_AUTO (-1) /* min(1,000,000, what the host can spare) */
#define LIMITS_NOFILE_KEEP 0    /* as the caller set it */

/*
 * Sets RLIMIT_NOFILE. The automatic value never fails: it settles for what is allowed. A number
 * that was asked for and cannot be had is -EPERM with a sentence. *ret_nofile is the limit in
 * force, so that the file system can keep the guest below it.
 */
int limits_set_nofile(int64_t nofile, uint64_t *ret_nofile, char **ret_error);

/*
 * No core file, no core-dump helper, no ptrace by the same user: guest memory stays here. Call it
 * in the worker after sandbox_enter(): writing id maps needs a dumpable process.
 */
int limits_forbid_core_dumps(void);

/*
 * Closes every descriptor above 2 but `keep` (-1 for none): a caller's leaked directory would be a
 * way out of the sandbox. Opens /dev/null for those of 0 to 2 that are closed, so that no file of
 * ours becomes "stderr". First thing in main().
 */
int limits_clean_fds(int keep);

/* Closes every descriptor above 2 but these two (-1 for none). */
void limits_close_others(int keep, int other);

#endif
