/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's life as main.c walks through it: what a start has made, and the steps that make it.
 */
#ifndef START_H
#define START_H

#include "fs/pt.h"
#include "host/sandbox.h"
#include "options.h"

struct local_mount;
struct xattrmap;

/* What a start has made so far and an end takes away again. */
struct daemon {
    struct options options;
    struct xattrmap *xattrmap;
    struct userns_range *uid_map, *gid_map;
    size_t n_uid_map, n_gid_map;
    struct siphash_key handle_key;
    struct pt_overlay overlay;
    struct idmap *uids, *gids;
    uint64_t nofile;
    char *pid_path;
    int pid_fd;
    int listen_fd;
    int stop_fd; /* a signalfd: SIGTERM, SIGINT, SIGHUP */
    bool made_socket;
    struct local_mount *mount; /* with --mount, instead of a socket */
};

/* --- start_checks.c: what can be said before anything is made --- */

/* Each step says what is wrong through *ret_error (g_free()) and returns 0 or -errno. */
int check_shared_dir(struct daemon *daemon, char **ret_error);
int check_xattrmap(struct daemon *daemon, char **ret_error);
int make_idmaps(struct daemon *daemon, char **ret_error);
int check_modcaps(struct daemon *daemon, char **ret_error);
int check_socket(struct daemon *daemon, char **ret_error);
/* Without CAP_SYS_ADMIN namespaces take a user namespace, in which the daemon is root. */
bool will_have_userns(const struct daemon *daemon);
int probe_overlay(struct daemon *daemon, char **ret_error);

/* --- start.c --- */

/* All steps in their order; daemon_end() afterwards in any case. */
int daemon_start(struct daemon *daemon, char **ret_error);
struct sandbox_config daemon_sandbox_config(struct daemon *daemon);
/* Takes away what the start has made. */
void daemon_end(struct daemon *daemon);

/* Hands a sentence over together with its error. */
static inline int fail(int err, char **ret_error, char *sentence)
{
    *ret_error = sentence;
    return err;
}

#endif
