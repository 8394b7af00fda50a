/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system call filter: an allow-list, put together from one table per room.
 *
 * What every room needs just to be a process (memory, threads, locks, time, logging, dying) is in
 * the base table here; everything else is in the tables of the rooms (base/syscall_rule.h).
 */
#ifndef HOST_SECCOMP_H
#define HOST_SECCOMP_H

#include "base/syscall_rule.h"

enum filter_action {
    FILTER_KILL, /* the process dies of SIGSYS */
    FILTER_LOG,  /* the call is made, the kernel's audit log names it */
    FILTER_TRAP, /* SIGSYS with a line on stderr that names the call: for finding what is missing */
    FILTER_NONE, /* no filter */
};

/*
 * Installs the filter for all threads, those of today and those to come; best called before there
 * are any, after everything is opened. `tables` ends with NULL. Sets no_new_privs in every case,
 * FILTER_NONE included. Returns 0 or -errno with one sentence in *ret_error (g_free() it).
 */
int seccomp_install(enum filter_action action, const struct syscall_rule *const *tables,
                    char **ret_error);

#endif
