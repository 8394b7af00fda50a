/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process the caller knows, once the worker is on its own. Private to this room.
 */
#ifndef HOST_SUPERVISOR_H
#define HOST_SUPERVISOR_H

#include <sys/types.h>

struct supervision {
    int report_fd; /* a failed start, in words; owned from here on */
    int keep_fd;   /* stays open; or -1 */
    int grace_ms;  /* until a worker that was told to end is killed; 0 for well below a second */
};

/*
 * Waits for the worker and passes signals on; all signals must be blocked. Gives up privileges and
 * descriptors first, except 0 to 2 and those named. Returns 0 with the worker's status when it has
 * ended, or what the worker reported if it never came to serve.
 */
int supervise(pid_t worker, const struct supervision *how, int *ret_status, char **ret_error);

/* A failed start, as bytes in a pipe. */
void supervisor_report(int report_fd, int error, const char *text);

/* Reads to the end: 0 if nothing was reported. */
int supervisor_read_report(int report_fd, char **ret_error);

#endif
