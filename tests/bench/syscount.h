/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the system calls of a process and its descendants, by number, with ptrace: exact, and
 * without a tool of the machine. What is traced is slow; counts and times are not taken together.
 */
#ifndef BENCH_SYSCOUNT_H
#define BENCH_SYSCOUNT_H

#include <stdint.h>
#include <sys/types.h>

#define SYSCOUNT_MAX 512

struct syscount;

/* Attaches to every task there is now and to those they make. NULL when that is not allowed. */
struct syscount *syscount_start(pid_t root);
/* Calls entered since the start; ret_by_number may be NULL. */
uint64_t syscount_total(struct syscount *c, uint64_t ret_by_number[SYSCOUNT_MAX]);
/* Lets go of all tasks and frees. */
void syscount_stop(struct syscount *c);

#endif
