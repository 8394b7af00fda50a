/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic only: no clock is read here, so that a test can play every guest.
 */
#include "transport/busy_poll.h"

#include <glib.h>
#include <string.h>

enum { BACKOFF_MIN = 4, BACKOFF_MAX = 256 };

void busy_poll_init(struct busy_poll *poll, unsigned max_us)
{
    memset(poll, 0, sizeof(*poll));
    poll->max_ns = (uint64_t)max_us * 1000;
    poll->gap_ns = poll->max_ns;
    poll->skip = BACKOFF_MIN;
    poll->backoff = BACKOFF_MIN;
}

uint64_t busy_poll_window(struct busy_poll *poll)
{
    if (poll->is_on) {
        /* a few times the usual gap: what has not come by then costs less to sleep for */
        return MIN(poll->max_ns, 4 * poll->gap_ns + 2000);
    }
    if (poll->skip > 0) {
        poll->skip--;
        return 0;
    }
    return poll->max_ns;
}

void busy_poll_hit(struct busy_poll *poll, uint64_t gap_ns)
{
    poll->is_on = true;
    poll->gap_ns = (7 * poll->gap_ns + gap_ns) / 8;
    poll->hits++;
    /* a guest that comes in bursts gets its trials back as fast as they pay */
    if (poll->hits % 4 == 0) {
        poll->backoff = MAX(poll->backoff / 2, BACKOFF_MIN);
    }
}

void busy_poll_miss(struct busy_poll *poll)
{
    poll->is_on = false;
    poll->hits = 0;
    poll->skip = poll->backoff;
    poll->backoff = MIN(poll->backoff * 2, BACKOFF_MAX);
}
