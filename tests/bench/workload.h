/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small things that several workloads need.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "bench.h"

/* A look-up outside of the measurement. */
static inline int lane_lookup(struct lane *l, uint64_t dir, const char *name,
                              struct fuse_entry_out *ret)
{
    int rc = fc_lookup(l->q, dir, name, ret);

    return rc ? lane_fail(l, "lookup of %s: %d %s", name, rc, l->s->fc.error) : 0;
}

#endif
