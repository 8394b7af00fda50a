/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --check: what an administrator wants to know about a directory before sharing it.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>

/* As probe_share(). Prints a table, or JSON; returns the exit status: 0 when the directory will
 * serve. */
int check_share(const char *dir, bool own_userns, bool json);

#endif
