/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rounds of different targets are paired: round i of one with round i of the other, which ran
 * right after it. The median of these ratios says more on a busy machine than a ratio of medians.
 */
#include "result.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

/* What a slice is judged by; ratios are of the first target to another. */
enum measure { OPS_PER_S, CPU_PER_OP, P50, P99, SECONDS, N_MEASURES };

static const char *const measure_names[N_MEASURES] = {"ops_per_s", "cpu_ns_per_op", "p50_ns",
                                                      "p99_ns", "seconds"};

static double value_of(const struct slice *s, enum measure m)
{
    switch (m) {
    case OPS_PER_S:
        return s->seconds > 0 ? (double)s->ops / s->seconds : 0;
    case CPU_PER_OP:
        return s->ops ? (double)s->cpu_ns / (double)s->ops : 0;
    case P50:
        return s->p50;
    case P99:
        return s->p99;
    default:
        return s->seconds;
    }
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double at_fraction(const double *sorted, unsigned n, double fraction)
{
    double place = fraction * (n - 1);
    unsigned low = (unsigned)place;
    unsigned high = low + 1 < n ? low + 1 : low;

    return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

struct quartiles quartiles_of(double *values, unsigned n)
{
    if (n == 0) {
        return (struct quartiles){0};
    }
    qsort(values, n, sizeof(*values), compare_double);
    return (struct quartiles){at_fraction(values, n, 0.25), at_fraction(values, n, 0.5),
                              at_fraction(values, n, 0.75)};
}

static struct quartiles of_target(const struct bench *b, const struct target_result *r,
                                  enum measure m)
{
    g_autofree double *values = g_new0(double, b->rounds);

    for (unsigned i = 0; i < b->rounds; i++) {
        values[i] = value_of(&r->slices[i], m);
    }
    return quartiles_of(values, b->rounds);
}

static struct quartiles of_pair(const struct bench *b, const struct target_result *of,
                                const struct target_result *to, enum measure m)
{
    g_autofree double *ratios = g_new0(double, b->rounds);
    unsigned n = 0;

    for (unsigned i = 0; i < b->rounds; i++) {
        double base = value_of(&to->slices[i], m);

        if (base > 0) {
            ratios[n++] = value_of(&of->slices[i], m) / base;
        }
    }
    return quartiles_of(ratios, n);
}

static unsigned depth_of(const struct bench *b, const struct workload *wl)
{
    return b->depth ? b->depth : MAX(wl->depth, 1);
}

static char *target_name(const struct bench *b, unsigned i)
{
    return b->templates[i] ? g_path_get_basename(b->templates[i][0]) : g_strdup("native");
}

static char *syscall_name(int number)
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

    return name ? name : g_strdup_printf("%d", number);
}

static void print_calls(const struct target_result *r)
{
    double ops = (double)r->counted_ops;

    printf("    system calls %.2f:", (double)r->calls / ops);
    for (int nr = 0; nr < SYSCOUNT_MAX; nr++) {
        double per_op = (double)r->calls_by_number[nr] / ops;

        if (per_op >= 0.005) {
            char *name = syscall_name(nr);

            printf(" %s %.2f", name, per_op);
            free(name);
        }
    }
    printf("\n");
}

static void print_target(const struct bench *b, const struct workload *wl, unsigned i,
                         const struct target_result *r)
{
    const struct slice *last = &r->slices[b->rounds - 1];
    g_autofree char *name = target_name(b, i);

    printf("%-19s %3u %-1c %-10s %9.0f %8.2f %8.1f %8.1f %7.1f %6d\n", wl->name, depth_of(b, wl),
           'A' + (int)i, name, of_target(b, r, OPS_PER_S).median,
           of_target(b, r, CPU_PER_OP).median / 1000, of_target(b, r, P50).median / 1000,
           of_target(b, r, P99).median / 1000, (double)last->rss / (1 << 20), last->fds);
    if (r->counted_ops) {
        print_calls(r);
    }
}

void result_print(const struct bench *b, const struct workload *wl,
                  const struct target_result results[])
{
    for (unsigned i = 0; i < b->n_targets; i++) {
        print_target(b, wl, i, &results[i]);
    }
    for (unsigned i = 1; i < b->n_targets; i++) {
        struct quartiles cpu = of_pair(b, &results[0], &results[i], CPU_PER_OP);
        struct quartiles ops = of_pair(b, &results[0], &results[i], OPS_PER_S);

        printf("    A/%c  cpu/op %.2f [%.2f-%.2f]  ops/s %.2f [%.2f-%.2f]\n", 'A' + (int)i,
               cpu.median, cpu.q1, cpu.q3, ops.median, ops.q1, ops.q3);
    }
    fflush(stdout);
}

static void json_quartiles(JsonBuilder *json, const char *name, struct quartiles q)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    json_builder_add_double_value(json, q.q1);
    json_builder_add_double_value(json, q.median);
    json_builder_add_double_value(json, q.q3);
    json_builder_end_array(json);
}

static void json_int(JsonBuilder *json, const char *name, uint64_t value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, (gint64)value);
}

static void json_calls(JsonBuilder *json, const struct target_result *r)
{
    json_builder_set_member_name(json, "calls_per_op");
    json_builder_add_double_value(json, (double)r->calls / (double)r->counted_ops);
    json_builder_set_member_name(json, "calls");
    json_builder_begin_object(json);
    for (int nr = 0; nr < SYSCOUNT_MAX; nr++) {
        if (r->calls_by_number[nr]) {
            char *name = syscall_name(nr);

            json_builder_set_member_name(json, name);
            json_builder_add_double_value(json,
                                          (double)r->calls_by_number[nr] / (double)r->counted_ops);
            free(name);
        }
    }
    json_builder_end_object(json);
}

static void json_target(JsonBuilder *json, const struct bench *b, unsigned i,
                        const struct target_result *r)
{
    const struct slice *last = &r->slices[b->rounds - 1];
    g_autofree char *command = b->templates[i] ? g_strjoinv(" ", b->templates[i]) : NULL;

    json_builder_begin_object(json);
    json_builder_set_member_name(json, "command");
    json_builder_add_string_value(json, command ? command : "native");
    for (enum measure m = 0; m < N_MEASURES; m++) {
        json_quartiles(json, measure_names[m], of_target(b, r, m));
    }
    json_int(json, "idle_rss", r->idle_rss);
    json_int(json, "peak_rss", last->rss);
    json_int(json, "fds", (uint64_t)MAX(last->fds, 0));
    if (r->counted_ops) {
        json_calls(json, r);
    }
    json_builder_end_object(json);
}

static void json_ratios(JsonBuilder *json, const struct bench *b,
                        const struct target_result results[])
{
    json_builder_set_member_name(json, "ratios");
    json_builder_begin_array(json);
    for (unsigned i = 1; i < b->n_targets; i++) {
        json_builder_begin_object(json);
        for (enum measure m = 0; m < N_MEASURES; m++) {
            json_quartiles(json, measure_names[m], of_pair(b, &results[0], &results[i], m));
        }
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

void result_json(JsonBuilder *json, const struct bench *b, const struct workload *wl,
                 const struct target_result results[])
{
    json_builder_begin_object(json);
    json_builder_set_member_name(json, "workload");
    json_builder_add_string_value(json, wl->name);
    json_int(json, "depth", depth_of(b, wl));
    json_int(json, "queues", b->queues);
    json_int(json, "pause_us", b->pause_us);
    json_int(json, "rounds", b->rounds);
    json_builder_set_member_name(json, "targets");
    json_builder_begin_array(json);
    for (unsigned i = 0; i < b->n_targets; i++) {
        json_target(json, b, i, &results[i]);
    }
    json_builder_end_array(json);
    json_ratios(json, b, results);
    json_builder_end_object(json);
}
