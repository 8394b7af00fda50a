/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of a migration: one bit for each page of guest-physical memory, in memory shared
 * with the front end, which clears the bits it has seen.
 *
 * A page is marked after it was written: a front end that clears the bit in between copies the
 * new contents or finds the bit set again. Marking takes no lock; any number of threads may.
 */
#ifndef TRANSPORT_DIRTY_LOG_H
#define TRANSPORT_DIRTY_LOG_H

#include <stdint.h>

/* Fixed by the protocol, whatever the pages of host and guest. */
#define DIRTY_LOG_PAGE 4096

struct dirty_log;

/* Maps `size` bytes at `offset` of fd, which stays the caller's. Returns 0 or -errno. */
int dirty_log_new(int fd, uint64_t size, uint64_t offset, struct dirty_log **ret_log);

/* NULL is fine. */
void dirty_log_free(struct dirty_log *log);

/* Marks the pages of [addr, addr + len); what lies beyond the log is left out. */
void dirty_log_mark(struct dirty_log *log, uint64_t addr, uint64_t len);

#endif
