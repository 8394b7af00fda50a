/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities: what is left of root.
 *
 * The worker keeps the nine that acting for a guest's users takes, and no other: not in the
 * bounding set, not ambient, not inheritable. A daemon that started with less keeps what it had.
 */
#ifndef HOST_CAPS_H
#define HOST_CAPS_H

#include <stdbool.h>

/*
 * Judges `+name:-name:…` without changing anything (case and a CAP_ prefix do not matter; NULL and
 * "" are fine). -EINVAL and a sentence in *ret_error otherwise. Call it while parsing options.
 */
int caps_check_modcaps(const char *modcaps, char **ret_error);

/*
 * The needed set, changed by modcaps, becomes permitted and effective, and the bounding set where
 * that is allowed. Sets SECBIT_NO_SETUID_FIXUP (setfsuid() then leaves capabilities alone) and
 * no_new_privs. To be called in the worker after sandbox_enter(), before any thread. Returns 0 or
 * -errno with a sentence; a capability asked for by modcaps that the daemon was never given is
 * an error (-EPERM).
 */
int caps_apply(const char *modcaps, char **ret_error);

/* Leaves only what cleaning up takes; for the supervisor. Returns 0 or -errno. */
int caps_apply_supervisor(void);

/* Is this capability (CAP_...) effective in this thread? */
bool caps_have(unsigned cap);

#endif
