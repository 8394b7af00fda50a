/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket a front end connects to: made here, or handed over by the caller.
 */
#ifndef TRANSPORT_VU_LISTEN_H
#define TRANSPORT_VU_LISTEN_H

/*
 * Makes a listening socket at `path`, for the daemon's user alone, or for `group` too unless that
 * is NULL. A socket that is already there is replaced; anything else is not touched. Returns 0 or
 * -errno with one sentence in *ret_error (g_free() it).
 */
int vu_listen_path(const char *path, const char *group, int *ret_fd, char **ret_error);

/* Is `fd` what --fd wants: a listening stream socket of the unix family? -errno and a sentence. */
int vu_listen_check_fd(int fd, char **ret_error);

/*
 * Waits for a front end; the listening socket may be blocking or not. Returns 0 and *ret_fd,
 * -ECANCELED when stop_fd became readable first, or -errno.
 */
int vu_accept(int listen_fd, int stop_fd, int *ret_fd);

#endif
