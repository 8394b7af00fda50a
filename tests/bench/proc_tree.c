/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads /proc. A task that ends between two readings takes its time with it: daemons keep their
 * threads while they serve.
 */
#include "proc_tree.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_tasks(GArray *tids, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        pid_t tid = (pid_t)atoi(entry->d_name);

        if (tid > 0) {
            g_array_append_val(tids, tid);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static void add_children(GArray *pids, pid_t pid)
{
    g_autoptr(GArray) tids = g_array_new(FALSE, FALSE, sizeof(pid_t));

    add_tasks(tids, pid);
    for (unsigned i = 0; i < tids->len; i++) {
        g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", (int)pid,
                                                (int)g_array_index(tids, pid_t, i));
        g_autofree char *text = NULL;

        if (g_file_get_contents(path, &text, NULL, NULL)) {
            char *at = text;
            pid_t child;

            while ((child = (pid_t)strtol(at, &at, 10)) > 0) {
                g_array_append_val(pids, child);
            }
        }
    }
}

GArray *proc_tree(pid_t root)
{
    GArray *pids = g_array_new(FALSE, FALSE, sizeof(pid_t));

    g_array_append_val(pids, root);
    for (unsigned i = 0; i < pids->len; i++) {
        add_children(pids, g_array_index(pids, pid_t, i));
    }
    return pids;
}

GArray *proc_tree_tasks(pid_t root)
{
    GArray *tids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_autoptr(GArray) pids = proc_tree(root);

    for (unsigned i = 0; i < pids->len; i++) {
        add_tasks(tids, g_array_index(pids, pid_t, i));
    }
    return tids;
}

uint64_t proc_tree_cpu_ns(pid_t root)
{
    g_autoptr(GArray) tids = proc_tree_tasks(root);
    uint64_t sum = 0;

    for (unsigned i = 0; i < tids->len; i++) {
        char path[64];
        unsigned long long ns = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)g_array_index(tids, pid_t, i));
        f = fopen(path, "re");
        if (f) {
            if (fscanf(f, "%llu", &ns) == 1) {
                sum += ns;
            }
            fclose(f);
        }
    }
    return sum;
}

static uint64_t sum_status(pid_t root, const char *field)
{
    g_autoptr(GArray) pids = proc_tree(root);
    uint64_t sum = 0;

    for (unsigned i = 0; i < pids->len; i++) {
        g_autofree char *path =
            g_strdup_printf("/proc/%d/status", (int)g_array_index(pids, pid_t, i));
        g_autofree char *text = NULL;
        const char *at;

        if (g_file_get_contents(path, &text, NULL, NULL) && (at = strstr(text, field))) {
            sum += strtoull(at + strlen(field), NULL, 10) * 1024;
        }
    }
    return sum;
}

uint64_t proc_tree_peak_rss(pid_t root)
{
    return sum_status(root, "VmHWM:");
}

uint64_t proc_tree_rss(pid_t root)
{
    return sum_status(root, "VmRSS:");
}
