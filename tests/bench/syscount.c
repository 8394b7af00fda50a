/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ptrace wants one thread to do it all: a tracer thread attaches, waits with __WNOTHREAD so that
 * children of other threads are left alone, and detaches when asked to, at the tasks' next stop.
 */
#include "syscount.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc_tree.h"

#define TRACE_OPTIONS                                                                              \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

struct syscount {
    pid_t root;
    GThread *thread;
    GHashTable *tasks; /* of the tracer: tid -> "has been stopped and runs traced" */
    atomic_int state;  /* 0: attaching, 1: counting, 2: asked to stop, -1: failed */
    _Atomic uint64_t total;
    _Atomic uint64_t by_number[SYSCOUNT_MAX];
};

static int req_ptrace(int request, pid_t tid, uintptr_t addr, uintptr_t data)
{
    return ptrace((enum __ptrace_request)request, tid, (void *)addr, (void *)data) < 0 ? -errno : 0;
}

static int attach(struct syscount *c, pid_t tid)
{
    int rc = req_ptrace(PTRACE_SEIZE, tid, 0, TRACE_OPTIONS);

    if (rc == 0) {
        g_hash_table_insert(c->tasks, GINT_TO_POINTER(tid), GINT_TO_POINTER(0));
        rc = req_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
    }
    return rc == -ESRCH ? 0 : rc; /* it has ended meanwhile */
}

static int attach_all(struct syscount *c)
{
    g_autoptr(GArray) tids = proc_tree_tasks(c->root);
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < tids->len; i++) {
        rc = attach(c, g_array_index(tids, pid_t, i));
    }
    return rc;
}

static void count_entry(struct syscount *c, pid_t tid)
{
    struct __ptrace_syscall_info info = {0};

    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) > 0 &&
        info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        atomic_fetch_add(&c->total, 1);
        if (info.entry.nr < SYSCOUNT_MAX) {
            atomic_fetch_add(&c->by_number[info.entry.nr], 1);
        }
    }
}

/* A stop: counted if it is a call's entry, then the task goes on. */
static void handle_stop(struct syscount *c, pid_t tid, int status)
{
    int sig = WSTOPSIG(status);
    int event = status >> 16;

    g_hash_table_insert(c->tasks, GINT_TO_POINTER(tid), GINT_TO_POINTER(1));
    if (sig == (SIGTRAP | 0x80)) {
        count_entry(c, tid);
        sig = 0;
    } else if (event || sig == SIGTRAP) {
        sig = 0;
    }
    if (atomic_load(&c->state) == 2) {
        (void)req_ptrace(PTRACE_DETACH, tid, 0, (uintptr_t)sig);
        g_hash_table_remove(c->tasks, GINT_TO_POINTER(tid));
    } else {
        (void)req_ptrace(PTRACE_SYSCALL, tid, 0, (uintptr_t)sig);
    }
}

static bool all_run_traced(struct syscount *c)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, c->tasks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (!value) {
            return false;
        }
    }
    return true;
}

static void interrupt_all(struct syscount *c)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, c->tasks);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        (void)req_ptrace(PTRACE_INTERRUPT, GPOINTER_TO_INT(key), 0, 0);
    }
}

static void *trace(void *opaque)
{
    struct syscount *c = opaque;
    bool interrupted = false;

    if (attach_all(c) < 0) {
        atomic_store(&c->state, -1);
        interrupt_all(c);
    }
    while (g_hash_table_size(c->tasks) > 0) {
        int status = 0;
        pid_t tid = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG);

        if (tid < 0 && errno == ECHILD) {
            break;
        }
        if (tid <= 0) {
            g_usleep(20); /* cheaper than a signal to wake this thread up for the stop */
        } else if (WIFSTOPPED(status)) {
            handle_stop(c, tid, status);
        } else {
            g_hash_table_remove(c->tasks, GINT_TO_POINTER(tid));
        }
        if (atomic_load(&c->state) == 0 && all_run_traced(c)) {
            atomic_store(&c->state, 1);
        }
        if (atomic_load(&c->state) == 2 && !interrupted) {
            interrupted = true;
            interrupt_all(c);
        }
    }
    return NULL;
}

struct syscount *syscount_start(pid_t root)
{
    struct syscount *c = g_new0(struct syscount, 1);

    c->root = root;
    c->tasks = g_hash_table_new(NULL, NULL);
    c->thread = g_thread_new("syscount", trace, c);
    while (atomic_load(&c->state) == 0) {
        g_usleep(100);
    }
    if (atomic_load(&c->state) < 0) {
        syscount_stop(c);
        return NULL;
    }
    /* the interrupted waits have been entered again; that is not the workload's doing */
    g_usleep(20000);
    atomic_store(&c->total, 0);
    for (unsigned i = 0; i < SYSCOUNT_MAX; i++) {
        atomic_store(&c->by_number[i], 0);
    }
    return c;
}

uint64_t syscount_total(struct syscount *c, uint64_t ret_by_number[SYSCOUNT_MAX])
{
    for (unsigned i = 0; ret_by_number && i < SYSCOUNT_MAX; i++) {
        ret_by_number[i] = atomic_load(&c->by_number[i]);
    }
    return atomic_load(&c->total);
}

void syscount_stop(struct syscount *c)
{
    atomic_store(&c->state, 2);
    g_thread_join(c->thread);
    g_hash_table_destroy(c->tasks);
    g_free(c);
}
