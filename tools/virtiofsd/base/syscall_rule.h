/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls a room makes, said next to the code that makes them.
 *
 * Each room that enters the kernel exports one table, ended by an entry without a name; main.c
 * hands the tables to seccomp_install(). Names are those of the manual pages: a name that this
 * machine's architecture or libseccomp does not know is skipped, so old and new names of one call
 * (newfstatat, fstatat64, statx) may stand side by side.
 *
 * A rule with a mask lets the call through only when (argument & mask) == value; several rules
 * for one name are alternatives. Leave the mask 0 to let every argument through.
 */
#ifndef BASE_SYSCALL_RULE_H
#define BASE_SYSCALL_RULE_H

#include <stdint.h>

struct syscall_rule {
    const char *name;
    unsigned arg; /* 0 to 5 */
    uint64_t mask;
    uint64_t value;
};

/* For calls whose argument is an int: its upper half is whatever the register held. */
#define SYSCALL_INT_ARG 0xffffffffULL

#endif
