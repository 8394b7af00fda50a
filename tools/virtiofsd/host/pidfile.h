/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pid file, `<socket>.pid`: exists, complete and locked, only once the socket listens.
 */
#ifndef HOST_PIDFILE_H
#define HOST_PIDFILE_H

#include <sys/types.h>

/* Before the old socket is replaced: -EBUSY and a sentence when a living daemon holds the file. */
int pidfile_check_free(const char *path, char **ret_error);

/*
 * Writes the calling process's id, mode 0600, and locks the file for as long as *ret_fd (O_CLOEXEC)
 * is open somewhere. Replaces the file of a dead daemon.
 */
int pidfile_create(const char *path, int *ret_fd, char **ret_error);

/* Removes the file if it is still ours, then closes fd. */
void pidfile_remove(const char *path, int fd);

#endif
