/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon as the host sees it: a process and its descendants, whose CPU time and memory count
 * together (a sandboxed daemon serves from a child in a PID namespace of its own).
 */
#ifndef BENCH_PROC_TREE_H
#define BENCH_PROC_TREE_H

#include <glib.h>
#include <stdint.h>
#include <sys/types.h>

/* Process ids, the root first; g_array_free(). */
GArray *proc_tree(pid_t root);
/* Thread ids of all of them. */
GArray *proc_tree_tasks(pid_t root);

uint64_t proc_tree_cpu_ns(pid_t root);
/* Sum of the peaks (VmHWM) or of the present size (VmRSS), bytes. */
uint64_t proc_tree_peak_rss(pid_t root);
uint64_t proc_tree_rss(pid_t root);

#endif
