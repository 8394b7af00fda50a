/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where inodes were last seen by name. Only for shares on which a host copy-up changes st_dev and
 * st_ino: what is found under a name then looks new, and the hint says which known inode to ask
 * whether it is still the same. A hint is never believed, only tried.
 */
#ifndef FS_NAME_HINTS_H
#define FS_NAME_HINTS_H

#include <stdint.h>

struct name_hints;

struct name_hints *name_hints_new(void);
void name_hints_free(struct name_hints *hints); /* NULL is fine */

void name_hints_set(struct name_hints *hints, uint64_t dir, const char *name, uint64_t nodeid);
/* 0 when there is none. */
uint64_t name_hints_get(struct name_hints *hints, uint64_t dir, const char *name);
/* The name has moved. */
void name_hints_move(struct name_hints *hints, uint64_t dir, const char *name, uint64_t newdir,
                     const char *newname);

#endif
