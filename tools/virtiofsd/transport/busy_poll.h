/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides whether a queue that ran dry is looked at a little longer before its thread sleeps.
 *
 * Sleeping and waking cost more than a short request, so a look pays when the next request comes
 * at once and is wasted when it does not: a guest that thinks between requests would pay twice.
 * One miss ends the looking; a trial after 4 quiet turns (then 8, up to 256) finds out whether
 * the guest has become busy. A sleep cannot tell: what it measures is mostly the wake-up itself.
 */
#ifndef TRANSPORT_BUSY_POLL_H
#define TRANSPORT_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

struct busy_poll {
    uint64_t max_ns; /* 0: never */
    uint64_t gap_ns; /* average wait of the looks that paid */
    unsigned hits;   /* in a row */
    unsigned skip;   /* quiet turns before the next trial */
    unsigned backoff;
    bool is_on;
};

void busy_poll_init(struct busy_poll *poll, unsigned max_us);

/* How long to look this time, in nanoseconds; 0: go to sleep. */
uint64_t busy_poll_window(struct busy_poll *poll);

/* What became of a look. */
void busy_poll_hit(struct busy_poll *poll, uint64_t gap_ns);
void busy_poll_miss(struct busy_poll *poll);

#endif
