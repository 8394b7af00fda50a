/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor sees signals and the end of its worker, nothing else. SIGTERM must end all of it
 * within a second, so that a worker that does not end by itself in GRACE_MS (or as long as its
 * caller gives it) is killed; the pid
 * namespace dies with it. A worker stuck in the kernel (a dead NFS server) cannot be killed: then
 * the supervisor leaves after another GRACE_MS rather than hang its caller.
 */
#include "host/supervisor.h"

#include "base/log.h"
#include "base/util.h"
#include "host/caps.h"
#include "host/limits.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>

#define GRACE_MS   700
#define REPORT_MAX 4096

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

struct watch {
    pid_t worker;
    int signal_fd;
    gint64 deadline; /* monotonic, microseconds; 0: none */
    int grace_ms;
    bool is_killed;
    bool has_ended;
    int status; /* of waitpid() */
};

void supervisor_report(int report_fd, int error, const char *text)
{
    g_autofree char *report = g_strdup_printf("%d %s", error, text);
    ssize_t n = write(report_fd, report, MIN(strlen(report), REPORT_MAX));

    (void)n; /* the other side is gone: nobody asks any more */
}

int supervisor_read_report(int report_fd, char **ret_error)
{
    char text[REPORT_MAX + 1];
    size_t len = 0;
    ssize_t n = 0;
    char *words = NULL;
    int error = 0;

    do {
        n = read(report_fd, text + len, REPORT_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && len < REPORT_MAX) || (n < 0 && errno == EINTR));
    if (len == 0) {
        return 0;
    }
    text[len] = '\0';
    error = (int)g_ascii_strtoll(text, &words, 10);
    *ret_error = g_strdup(words[0] == ' ' ? words + 1 : words);
    return error < 0 ? error : -EIO;
}

/* Should: keep what cleaning up takes. Must not: hold the front end's socket or anything open. */
static void settle_down(int report_fd, int keep_fd)
{
    if (caps_apply_supervisor() < 0) {
        log_warn("the supervising process could not give up its capabilities");
    }
    closelog(); /* opened anew by the next line that is written */
    limits_close_others(report_fd, keep_fd);
}

static int wait_ms(const struct watch *watch)
{
    gint64 left = 0;

    if (watch->deadline == 0) {
        return -1;
    }
    left = (watch->deadline - g_get_monotonic_time()) / 1000;
    return (int)CLAMP(left, 0, watch->grace_ms) + 1;
}

static void start_grace(struct watch *watch)
{
    if (watch->deadline == 0) {
        watch->deadline = g_get_monotonic_time() + (gint64)watch->grace_ms * 1000;
    }
}

static void reap(struct watch *watch)
{
    if (waitpid(watch->worker, &watch->status, WNOHANG) == watch->worker) {
        watch->has_ended = true;
    }
}

static void pass_on(struct watch *watch, int sig)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forwarded); i++) {
        if (sig == forwarded[i] && !watch->has_ended) {
            (void)kill(watch->worker, sig); /* not yet reaped: the number is still its own */
            if (sig != SIGUSR1 && sig != SIGUSR2) {
                start_grace(watch);
            }
        }
    }
}

static void handle_signals(struct watch *watch)
{
    struct signalfd_siginfo info;

    while (read(watch->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(watch);
        } else {
            pass_on(watch, (int)info.ssi_signo);
        }
    }
}

/* Returns false when there is nothing left to wait for. */
static bool handle_deadline(struct watch *watch)
{
    if (watch->deadline == 0 || g_get_monotonic_time() < watch->deadline) {
        return true;
    }
    if (watch->is_killed) {
        log_error("the worker (pid %d) hangs in the kernel and cannot be ended",
                  (int)watch->worker);
        return false;
    }
    watch->is_killed = true;
    (void)kill(watch->worker, SIGKILL);
    watch->deadline = 0;
    start_grace(watch);
    return true;
}

static void watch_until_end(struct watch *watch)
{
    struct pollfd pfd = {.fd = watch->signal_fd, .events = POLLIN};

    reap(watch);
    while (!watch->has_ended) {
        if (poll(&pfd, 1, wait_ms(watch)) < 0 && errno != EINTR) {
            return;
        }
        handle_signals(watch);
        if (!watch->has_ended && !handle_deadline(watch)) {
            return;
        }
    }
}

/* The worker's own status; 128 + signal if it was killed, as a shell says it. */
static int exit_status(const struct watch *watch)
{
    if (!watch->has_ended) {
        return 128 + SIGKILL;
    }
    if (WIFEXITED(watch->status)) {
        return WEXITSTATUS(watch->status);
    }
    if (WTERMSIG(watch->status) == SIGSYS) {
        log_error("the worker made a system call that its filter does not allow; --seccomp=trap "
                  "shows which");
    } else {
        log_error("the worker was ended by signal %d (%s)", WTERMSIG(watch->status),
                  g_strsignal(WTERMSIG(watch->status)));
    }
    return 128 + WTERMSIG(watch->status);
}

int supervise(pid_t worker, const struct supervision *how, int *ret_status, char **ret_error)
{
    struct watch watch = {
        .worker = worker,
        .signal_fd = -1,
        .grace_ms = how->grace_ms > 0 ? how->grace_ms : GRACE_MS,
    };
    auto_fd report = how->report_fd;
    auto_fd signals = -1;
    sigset_t all;
    int res = 0;

    settle_down(how->report_fd, how->keep_fd);
    sigfillset(&all);
    signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        res = -errno;
        (void)kill(worker, SIGKILL);
        *ret_error = g_strdup_printf("sandbox: cannot wait for signals: %s", g_strerror(-res));
        return res;
    }
    watch.signal_fd = signals;
    watch_until_end(&watch);
    /*
     * Only now: a worker that hangs while it starts (a dead share) must not make us deaf to
     * SIGTERM. The report fits into the pipe, and its writer is gone.
     */
    if (watch.has_ended) {
        res = supervisor_read_report(report, ret_error);
    }
    if (res == 0) {
        *ret_status = exit_status(&watch);
    }
    return res;
}
