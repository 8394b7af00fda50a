/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places where the crash tests kill the daemon. Nothing at all unless built with
 * -Dfault_injection=true.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#ifdef FAULT_INJECTION
/* Kills the process (SIGKILL) when VIRTIOFSD_FAULT names this point. */
void fault_point(const char *name);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
