/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start, step by step, and the end. Everything that can be wrong is said before a socket
 * exists; the table at the bottom is the order.
 */
#include "start.h"

#include <errno.h>
#include <glib.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/xattrmap.h"
#include "host/caps.h"
#include "host/idmap.h"
#include "host/limits.h"
#include "host/pidfile.h"
#include "local/mount.h"
#include "transport/vu_listen.h"

static int set_limits(struct daemon *daemon, char **ret_error)
{
    return limits_set_nofile(daemon->options.rlimit_nofile, &daemon->nofile, ret_error);
}

static struct userns_range *ranges_of(const struct id_map *map, size_t n)
{
    struct userns_range *ranges = g_new0(struct userns_range, n + 1);

    for (size_t i = 0; i < n; i++) {
        ranges[i] = (struct userns_range){
            .inside = map[i].inside, .outside = map[i].outside, .count = map[i].count};
    }
    return ranges;
}

/*
 * Who lacks CAP_SYS_ADMIN gets a user namespace in which a guest's root is its user. The host's
 * own kernel, though, speaks of users as they are outside: with --mount they stay who they are.
 */
static void make_user_maps(struct daemon *daemon)
{
    const struct options *options = &daemon->options;
    bool is_unasked = options->n_uid_map + options->n_gid_map == 0;

    daemon->uid_map = ranges_of(options->uid_map, options->n_uid_map);
    daemon->gid_map = ranges_of(options->gid_map, options->n_gid_map);
    daemon->n_uid_map = options->n_uid_map;
    daemon->n_gid_map = options->n_gid_map;
    if (options->mount_dir && is_unasked && options->sandbox == SANDBOX_NAMESPACE &&
        !caps_have(CAP_SYS_ADMIN)) {
        daemon->uid_map[0] =
            (struct userns_range){.inside = geteuid(), .outside = geteuid(), .count = 1};
        daemon->gid_map[0] =
            (struct userns_range){.inside = getegid(), .outside = getegid(), .count = 1};
        daemon->n_uid_map = daemon->n_gid_map = 1;
    }
}

struct sandbox_config daemon_sandbox_config(struct daemon *daemon)
{
    static const enum confinement modes[] = {
        [SANDBOX_NAMESPACE] = CONFINE_NAMESPACE,
        [SANDBOX_CHROOT] = CONFINE_CHROOT,
        [SANDBOX_NONE] = CONFINE_NONE,
    };
    const struct options *options = &daemon->options;

    if (!daemon->uid_map) {
        make_user_maps(daemon);
    }
    return (struct sandbox_config){
        .confinement = modes[options->sandbox],
        .shared_dir = options->shared_dir,
        .uid_map = daemon->uid_map,
        .gid_map = daemon->gid_map,
        .n_uid_map = daemon->n_uid_map,
        .n_gid_map = daemon->n_gid_map,
        .supervisor_fd = daemon->pid_fd,
        .grace_ms = daemon->mount ? LOCAL_UNMOUNT_MS + 1000 : 0,
    };
}

/*
 * The key of this host and share: the same in the next life, unknown to the guest. machine-id(5)
 * asks to be hashed with a purpose rather than used as it is.
 */
static int read_handle_key(struct daemon *daemon, char **ret_error)
{
    g_autofree char *machine_id = NULL;
    g_autofree char *digest = NULL;
    struct stat st = {0};
    gsize len = 0;

    (void)ret_error;
    if (!g_file_get_contents("/etc/machine-id", &machine_id, &len, NULL) || len < 32) {
        daemon->handle_key = (struct siphash_key){
            .k0 = ((uint64_t)g_random_int() << 32) | g_random_int(),
            .k1 = ((uint64_t)g_random_int() << 32) | g_random_int(),
        };
        log_debug("no /etc/machine-id: file handles of the guest will not survive a restart");
        return 0;
    }
    (void)stat(daemon->options.shared_dir, &st);
    digest = g_compute_hmac_for_data(G_CHECKSUM_SHA256, (const guchar *)machine_id, len,
                                     (const guchar *)&st.st_ino, sizeof(st.st_ino));
    sscanf(digest, "%16" G_GINT64_MODIFIER "x%16" G_GINT64_MODIFIER "x", &daemon->handle_key.k0,
           &daemon->handle_key.k1);
    return 0;
}

static int rehearse_sandbox(struct daemon *daemon, char **ret_error)
{
    struct sandbox_config config = daemon_sandbox_config(daemon);

    return sandbox_rehearse(&config, ret_error);
}

/* From here on SIGTERM is a reason to clean up; a reader that leaves costs a log line only. */
static int catch_signals(struct daemon *daemon, char **ret_error)
{
    sigset_t stop;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    daemon->stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (daemon->stop_fd < 0) {
        return fail(-errno, ret_error, g_strdup_printf("no signalfd: %s", strerror(errno)));
    }
    return 0;
}

static int open_mount(struct daemon *daemon, char **ret_error)
{
    const struct options *options = &daemon->options;
    struct local_mount_config config = {
        .dir = options->mount_dir,
        .source = options->shared_dir,
        .options = options->mount_options,
        .readonly = options->readonly,
        .for_everybody = geteuid() == 0,
    };

    return local_mount_new(&config, &daemon->mount, ret_error);
}

static int open_socket(struct daemon *daemon, char **ret_error)
{
    const struct options *options = &daemon->options;
    int err = 0;

    if (options->mount_dir) {
        return open_mount(daemon, ret_error);
    }
    if (!options->socket_path) {
        daemon->listen_fd = options->fd;
        return 0;
    }
    err =
        vu_listen_path(options->socket_path, options->socket_group, &daemon->listen_fd, ret_error);
    daemon->made_socket = err == 0;
    return err < 0 ? err : pidfile_create(daemon->pid_path, &daemon->pid_fd, ret_error);
}

typedef int start_step(struct daemon *daemon, char **ret_error);

static start_step *const start_steps[] = {
    check_shared_dir, check_xattrmap,   make_idmaps,   check_modcaps, check_socket, set_limits,
    read_handle_key,  rehearse_sandbox, probe_overlay, catch_signals, open_socket,
};

int daemon_start(struct daemon *daemon, char **ret_error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(start_steps); i++) {
        int err = start_steps[i](daemon, ret_error);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

void daemon_end(struct daemon *daemon)
{
    if (daemon->made_socket) {
        (void)unlink(daemon->options.socket_path); /* gone already: just as well */
    }
    if (daemon->pid_fd >= 0) {
        pidfile_remove(daemon->pid_path, daemon->pid_fd);
    }
    local_mount_free(daemon->mount);
    xattrmap_free(daemon->xattrmap);
    idmap_free(daemon->uids);
    idmap_free(daemon->gids);
    g_free(daemon->uid_map);
    g_free(daemon->gid_map);
    g_free(daemon->pid_path);
    options_done(&daemon->options);
}
