/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfsbench: how fast a virtio-fs daemon is, measured by a guest without a machine.
 *
 * Targets take turns within a round (A B A B ...), so that what else the machine does hits all of
 * them; every reply is checked. Root is needed, as by the daemons.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "result.h"

#define COUNT_OPS      100
#define COUNT_PAUSE_US 1500 /* longer than a traced busy poll: the daemon sleeps in between */

static const struct workload *const families[] = {wl_meta, wl_xattr, wl_io, wl_tree, wl_list};

const struct workload *workload_find(const char *name)
{
    for (unsigned f = 0; f < G_N_ELEMENTS(families); f++) {
        for (const struct workload *wl = families[f]; wl->name; wl++) {
            if (strcmp(wl->name, name) == 0) {
                return wl;
            }
        }
    }
    return NULL;
}

static void list_workloads(void)
{
    for (unsigned f = 0; f < G_N_ELEMENTS(families); f++) {
        for (const struct workload *wl = families[f]; wl->name; wl++) {
            printf("%-20s %s\n", wl->name, wl->what);
        }
    }
}

/* Counts are taken in a slice of their own, with a guest that lets the daemon fall asleep. */
static int count_calls(const struct bench *b, struct session *s, struct target_result *r)
{
    struct bench counting = *b;
    struct slice slice;
    struct syscount *c;
    int rc;

    if (s->is_native) {
        return 0;
    }
    counting.slice_ops = b->slice_ops ? b->slice_ops : s->wl->slice_ops == 1 ? 1 : COUNT_OPS;
    counting.pause_us = b->pause_us ? b->pause_us : COUNT_PAUSE_US;
    c = syscount_start(s->d.pid);
    if (!c) {
        return session_fail(s, -EPERM, "the daemon cannot be traced");
    }
    s->bench = &counting;
    r->calls = 0;
    rc = slice_run_counted(s, &slice, c, &r->calls, r->calls_by_number);
    s->bench = b;
    syscount_stop(c);
    r->counted_ops = slice.ops;
    return rc;
}

static int run_rounds(const struct bench *b, struct session *sessions,
                      struct target_result *results, struct session **ret_failed)
{
    struct slice warm_up;
    int rc = 0;

    for (unsigned t = 0; rc == 0 && t < b->n_targets; t++) {
        *ret_failed = &sessions[t];
        results[t].idle_rss = sessions[t].idle_rss;
        rc = slice_run(&sessions[t], &warm_up);
        rc = rc == 0 && b->count ? count_calls(b, &sessions[t], &results[t]) : rc;
    }
    for (unsigned round = 0; rc == 0 && round < b->rounds; round++) {
        for (unsigned t = 0; rc == 0 && t < b->n_targets; t++) {
            *ret_failed = &sessions[t];
            rc = slice_run(&sessions[t], &results[t].slices[round]);
        }
    }
    return rc;
}

static int run_workload(const struct bench *b, const struct workload *wl, JsonBuilder *json)
{
    struct session *sessions = g_new0(struct session, BENCH_MAX_TARGETS);
    struct target_result *results = g_new0(struct target_result, BENCH_MAX_TARGETS);
    struct session *failed = NULL;
    unsigned started = 0;
    int rc = wl->make(b);

    if (rc < 0) {
        fprintf(stderr, "vfsbench: %s: cannot make its files: %s\n", wl->name, g_strerror(-rc));
    }
    for (; rc == 0 && started < b->n_targets; started++) {
        results[started].slices = g_new0(struct slice, b->rounds);
        failed = &sessions[started];
        rc = session_start(failed, b, started, wl);
    }
    rc = rc ? rc : run_rounds(b, sessions, results, &failed);
    if (rc == 0 && json) {
        result_json(json, b, wl, results);
    } else if (rc == 0) {
        result_print(b, wl, results);
    } else if (failed) {
        fprintf(stderr, "vfsbench: %s: target %c: %s\n", wl->name, 'A' + (int)failed->index,
                failed->error);
    }
    for (unsigned t = 0; t < started; t++) {
        session_stop(&sessions[t]);
        g_free(results[t].slices);
    }
    g_free(sessions);
    g_free(results);
    return rc;
}

struct arguments {
    char *vs;
    char *base;
    char *cpus;
    char **words; /* the template and the workloads */
    char *guest;
    gboolean native, count, json, list, free;
    int rounds, ms, ops, depth, queues, queue_size, pause_us, storm_files;
};

static int add_target(struct bench *b, const char *template)
{
    GError *error = NULL;

    if (template && !g_shell_parse_argv(template, NULL, &b->templates[b->n_targets], &error)) {
        fprintf(stderr, "vfsbench: %s: %s\n", template, error->message);
        g_error_free(error);
        return -EINVAL;
    }
    b->n_targets++;
    return 0;
}

static bool is_template(const char *word)
{
    return strstr(word, "{sock}") != NULL;
}

/* "0", "0,1": the processors for guest and daemons. */
static int pin(const char *list)
{
    g_auto(GStrv) words = g_strsplit(list, ",", -1);
    cpu_set_t set;

    CPU_ZERO(&set);
    for (char **w = words; *w; w++) {
        CPU_SET((size_t)strtoul(*w, NULL, 10), &set);
    }
    return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

static enum guest_mode guest_mode(const char *word)
{
    return g_strcmp0(word, "sleep") == 0  ? GUEST_SLEEP
           : g_strcmp0(word, "poll") == 0 ? GUEST_POLL
                                          : GUEST_HALT;
}

static int take(struct bench *b, const struct arguments *a)
{
    int rc = a->cpus ? pin(a->cpus) : 0;

    *b = (struct bench){.rounds = (unsigned)CLAMP(a->rounds, 1, 1000),
                        .slice_ms = (unsigned)CLAMP(a->ms, 1, 60000),
                        .slice_ops = (uint64_t)MAX(a->ops, 0),
                        .depth = (unsigned)CLAMP(a->depth, 0, 512),
                        .queues = (unsigned)CLAMP(a->queues, 1, 32),
                        .queue_size = (unsigned)a->queue_size,
                        .pause_us = (unsigned)MAX(a->pause_us, 0),
                        .storm_files = (unsigned)MAX(a->storm_files, 1000),
                        .count = a->count,
                        .pin = !a->free && !a->cpus && !a->count && a->queues == 1,
                        .guest = guest_mode(a->guest),
                        .json = a->json,
                        .sleepyfs = SLEEPYFS};
    if (rc == 0 && a->words && is_template(a->words[0])) {
        rc = add_target(b, a->words[0]);
    }
    rc = rc == 0 && a->vs ? add_target(b, a->vs) : rc;
    rc = rc == 0 && a->native ? add_target(b, NULL) : rc;
    if (rc == 0 && (b->n_targets == 0 || (b->queue_size & (b->queue_size - 1)))) {
        fprintf(stderr, "vfsbench: no target, or a queue size that is no power of two\n");
        rc = -EINVAL;
    }
    return rc;
}

static int run_all(const struct bench *b, char **words)
{
    g_autoptr(JsonBuilder) json = b->json ? json_builder_new() : NULL;
    int worst = 0;

    if (json) {
        json_builder_begin_array(json);
    } else {
        printf("%-19s %3s   %-10s %9s %8s %8s %8s %7s %6s\n", "workload", "qd", "target", "ops/s",
               "cpu us", "p50 us", "p99 us", "MiB", "fds");
    }
    for (; *words; words++) {
        const struct workload *wl = workload_find(*words);
        int rc = wl ? run_workload(b, wl, json) : -ENOENT;

        if (!wl) {
            fprintf(stderr, "vfsbench: no workload %s (see --list)\n", *words);
        }
        worst = worst ? worst : rc;
    }
    if (json) {
        g_autoptr(JsonGenerator) generator = json_generator_new();
        g_autoptr(JsonNode) root = NULL;
        g_autofree char *text = NULL;

        json_builder_end_array(json);
        root = json_builder_get_root(json);
        json_generator_set_root(generator, root);
        json_generator_set_pretty(generator, TRUE);
        text = json_generator_to_data(generator, NULL);
        puts(text);
    }
    return worst;
}

static bool parse(struct arguments *a, int argc, char **argv)
{
    const GOptionEntry entries[] = {
        {"vs", 0, 0, G_OPTION_ARG_STRING, &a->vs, "Another daemon, in turns", "TEMPLATE"},
        {"native", 0, 0, G_OPTION_ARG_NONE, &a->native, "The same calls without a daemon", NULL},
        {"rounds", 'r', 0, G_OPTION_ARG_INT, &a->rounds, "Rounds (11)", "N"},
        {"ms", 0, 0, G_OPTION_ARG_INT, &a->ms, "Milliseconds of a slice (100)", "N"},
        {"ops", 0, 0, G_OPTION_ARG_INT, &a->ops, "Operations of a lane in a slice instead", "N"},
        {"depth", 'd', 0, G_OPTION_ARG_INT, &a->depth, "Requests in flight per queue", "N"},
        {"queues", 'q', 0, G_OPTION_ARG_INT, &a->queues, "Request queues, a thread each", "N"},
        {"queue-size", 0, 0, G_OPTION_ARG_INT, &a->queue_size, "Ring entries (128)", "N"},
        {"pause-us", 'p', 0, G_OPTION_ARG_INT, &a->pause_us, "The guest thinks so long", "N"},
        {"guest", 'g', 0, G_OPTION_ARG_STRING, &a->guest,
         "How it waits: halt (default), sleep, poll", "MODE"},
        {"storm-files", 0, 0, G_OPTION_ARG_INT, &a->storm_files, "Files (100000)", "N"},
        {"count", 'c', 0, G_OPTION_ARG_NONE, &a->count, "Count system calls as well", NULL},
        {"free", 0, 0, G_OPTION_ARG_NONE, &a->free, "Do not pin guest and daemon apart", NULL},
        {"cpus", 0, 0, G_OPTION_ARG_STRING, &a->cpus, "Guest and daemons only there", "0,1"},
        {"base", 0, 0, G_OPTION_ARG_FILENAME, &a->base, "Where the share is made", "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &a->json, "JSON instead of a table", NULL},
        {"list", 0, 0, G_OPTION_ARG_NONE, &a->list, "List the workloads", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &a->words, NULL, NULL},
        {0}};
    g_autoptr(GOptionContext) context =
        g_option_context_new("'DAEMON --socket-path={sock} --shared-dir={dir} ...' WORKLOAD...");
    GError *error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "vfsbench: %s\n", error->message);
        g_error_free(error);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .rounds = 11, .ms = 100, .queues = 1, .queue_size = 128, .storm_files = 100000};
    struct bench b;
    int rc;

    if (!parse(&a, argc, argv)) {
        return 2;
    }
    if (a.list) {
        list_workloads();
        return 0;
    }
    if (take(&b, &a) < 0) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    rc = share_init(&b, a.base ? a.base : "/var/tmp");
    if (rc == 0) {
        rc = run_all(&b, a.words + (is_template(a.words[0]) ? 1 : 0));
    }
    share_done(&b);
    return rc < 0 ? 1 : 0;
}
