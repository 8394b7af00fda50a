/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon under test: started from a command line, watched through its stderr, ended and reaped.
 *
 * A thread collects stderr so that the daemon never blocks on it; everything that waits has a
 * time-out. The daemon is killed when its starter dies.
 */
#ifndef FRONTEND_DAEMON_H
#define FRONTEND_DAEMON_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct daemon {
    pid_t pid;  /* 0: not running, reaped */
    int status; /* of waitpid, once it is gone */
    int pidfd;
    int err_fd;
    GThread *reader;
    GMutex lock; /* protects log and eof */
    GCond changed;
    GString *log;
    bool eof;
};

#define DAEMON_READY_TEXT "Waiting for vhost-user socket connection"

/*
 * Replaces {sock}, {dir} and {fd} in every word. Returns a new vector (g_strfreev).
 */
char **daemon_command(const char *const *words, const char *sock, const char *dir, int fd);

struct daemon_setup {
    int keep_fd; /* >= 0: stays open in the daemon under the same number */
    uid_t uid;   /* not 0: the daemon runs as this user */
    const char *cwd;
};

/* Starts argv. 0 or -errno; a command that cannot be executed shows up as exit code 127. */
int daemon_start(struct daemon *d, char *const *argv, const struct daemon_setup *setup);

/* Until stderr contains text: 0, -ETIMEDOUT, or -ECHILD when stderr ended without it. */
int daemon_wait_log(struct daemon *d, const char *text, int timeout_ms);

/* Until stderr has at least n complete lines: 0, -ETIMEDOUT, -ECHILD. */
int daemon_wait_lines(struct daemon *d, unsigned n, int timeout_ms);

/* A copy of stderr so far, and how many lines of it contain text (NULL: all lines). */
char *daemon_log(struct daemon *d);
unsigned daemon_log_lines(struct daemon *d, const char *text);

/* Until the process ends: 0 with d->status set, or -ETIMEDOUT. stderr is complete afterwards. */
int daemon_wait_exit(struct daemon *d, int timeout_ms);

void daemon_signal(struct daemon *d, int sig);

/* Frees everything; kills and reaps the process first if it still runs. */
void daemon_done(struct daemon *d);

/* Open descriptors of a process and its descendants, /proc/PID/fd. Negative: -errno. */
int daemon_count_fds(pid_t pid);

#endif
