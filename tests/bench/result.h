/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was measured, and how it is shown: as a table for people, as JSON for tests/bench/compare.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <json-glib/json-glib.h>

#include "bench.h"
#include "syscount.h"

struct target_result {
    struct slice *slices; /* one for each round */
    uint64_t idle_rss;
    uint64_t counted_ops; /* 0: not counted */
    uint64_t calls;
    uint64_t calls_by_number[SYSCOUNT_MAX];
};

struct quartiles {
    double q1, median, q3;
};

/* Sorts the values. */
struct quartiles quartiles_of(double *values, unsigned n);

void result_print(const struct bench *b, const struct workload *wl,
                  const struct target_result results[]);
void result_json(JsonBuilder *json, const struct bench *b, const struct workload *wl,
                 const struct target_result results[]);

#endif
