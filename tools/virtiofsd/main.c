/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which the daemon starts and ends. Everything that can be wrong with a command line
 * or a host is said before a socket exists; the readiness line comes when a front end can
 * connect; the sandbox closes when one has (host/sandbox.h says why then).
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "check.h"
#include "fs/xattrmap.h"
#include "host/caps.h"
#include "host/idmap.h"
#include "host/limits.h"
#include "host/pidfile.h"
#include "host/probe.h"
#include "host/sandbox.h"
#include "local/mount.h"
#include "options.h"
#include "serve.h"
#include "transport/vu_listen.h"

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

/* Each step of the start says what is wrong through *ret_error. */
typedef int start_step(struct daemon *daemon, char **ret_error);

static int fail(int err, char **ret_error, char *sentence)
{
    *ret_error = sentence;
    return err;
}

static int check_shared_dir(struct daemon *daemon, char **ret_error)
{
    const char *dir = daemon->options.shared_dir;
    struct stat st;

    if (lstat(dir, &st) < 0) {
        int err = -errno;

        return fail(
            err, ret_error,
            g_strdup_printf("the shared directory '%s' cannot be used: %s", dir, strerror(-err)));
    }
    if (!S_ISDIR(st.st_mode)) {
        return fail(-ENOTDIR, ret_error,
                    g_strdup_printf("'%s' is not a directory; --shared-dir takes one%s", dir,
                                    S_ISLNK(st.st_mode) ? ", not a symbolic link to it" : ""));
    }
    if (access(dir, R_OK | X_OK) < 0) {
        int err = -errno;

        return fail(err, ret_error,
                    g_strdup_printf("the shared directory '%s' cannot be read by this user: %s",
                                    dir, strerror(-err)));
    }
    return 0;
}

/* In a user namespace of its own the worker may: the kernel ties what it sets to that namespace. */
static bool may_set_capabilities(const struct daemon *daemon)
{
    return caps_have(CAP_SETFCAP) || daemon->options.sandbox == SANDBOX_NAMESPACE;
}

/* The map that was asked for, or the one an overlay upper needs: trusted.* where anybody may. */
static int check_xattrmap(struct daemon *daemon, char **ret_error)
{
    const char *text = daemon->options.xattrmap;
    g_autofree char *reason = NULL;
    char buf[XATTRMAP_NAME_SIZE];
    const char *host_name = NULL;

    if (!text && daemon->options.overlay_upper) {
        text = may_set_capabilities(daemon) ? XATTRMAP_TRUSTED_TO_USER
                                            : XATTRMAP_TRUSTED_AND_CAPS_TO_USER;
    }
    if (!text) {
        return 0;
    }
    daemon->xattrmap = xattrmap_parse(text, &reason);
    if (!daemon->xattrmap) {
        return fail(-EINVAL, ret_error, g_strdup_printf("--xattrmap: %s", reason));
    }
    if (daemon->options.overlay_upper && xattrmap_client(daemon->xattrmap, "trusted.overlay.opaque",
                                                         buf, sizeof(buf), &host_name) < 0) {
        return fail(-EINVAL, ret_error,
                    g_strdup("--xattrmap keeps trusted.overlay.* from the guest, which "
                             "--overlay-upper needs; leave it out or map trusted. too"));
    }
    return 0;
}

static int probe_overlay(struct daemon *daemon, char **ret_error)
{
    const char *dir = daemon->options.shared_dir;
    enum whiteout_mode form = daemon->options.whiteout;
    struct share_probe probe;

    if (!daemon->options.overlay_upper) {
        return 0;
    }
    probe_share(dir, &probe);
    if (!probe.serves) {
        return fail(-EOPNOTSUPP, ret_error, probe_refusal(&probe, dir));
    }
    if (form == WHITEOUT_NATIVE && !probe.native_whiteouts) {
        return fail(-EOPNOTSUPP, ret_error,
                    g_strdup_printf("'%s' (%s) does not take whiteouts as they are; use "
                                    "--whiteout=auto",
                                    dir, probe.fs_type));
    }
    daemon->overlay = (struct pt_overlay){
        .on = true,
        .try_native = probe.native_whiteouts && form != WHITEOUT_EMULATE,
        .unstable_ids = probe.unstable_ids,
        .breaks_links = probe.is_overlay,
    };
    log_info("'%s' (%s) serves as an overlay upper; whiteouts are %s", dir, probe.fs_type,
             daemon->overlay.try_native ? "stored as they are" : "emulated");
    return 0;
}

/* The two lists have the same types in the same order, which this table states. */
static int make_idmap(const struct id_translation *rules, size_t n, const char *option,
                      struct idmap **ret, char **ret_error)
{
    static const enum idmap_type types[] = {
        [TRANSLATE_GUEST] = IDMAP_GUEST,
        [TRANSLATE_HOST] = IDMAP_HOST,
        [TRANSLATE_SQUASH_GUEST] = IDMAP_SQUASH_GUEST,
        [TRANSLATE_SQUASH_HOST] = IDMAP_SQUASH_HOST,
        [TRANSLATE_FORBID_GUEST] = IDMAP_FORBID_GUEST,
        [TRANSLATE_MAP] = IDMAP_MAP,
    };
    g_autofree struct idmap_rule *map = g_new0(struct idmap_rule, n + 1);
    g_autofree char *reason = NULL;
    int err = 0;

    for (size_t i = 0; i < n; i++) {
        map[i] = (struct idmap_rule){.type = types[rules[i].type],
                                     .from = rules[i].from,
                                     .to = rules[i].to,
                                     .count = rules[i].count};
    }
    err = idmap_new(map, n, ret, &reason);
    return err < 0 ? fail(err, ret_error, g_strdup_printf("%s: %s", option, reason)) : 0;
}

static int make_idmaps(struct daemon *daemon, char **ret_error)
{
    const struct options *options = &daemon->options;
    int err = 0;

    if (options->posix_acl == OPTION_ALWAYS &&
        (options->n_translate_uid > 0 || options->n_translate_gid > 0)) {
        return fail(-EINVAL, ret_error,
                    g_strdup("--posix-acl=always cannot go with --translate-uid or "
                             "--translate-gid: ids inside an ACL are not translated; use "
                             "--posix-acl=auto, which leaves ACLs out then"));
    }
    err = make_idmap(options->translate_uid, options->n_translate_uid, "--translate-uid",
                     &daemon->uids, ret_error);

    return err < 0 ? err
                   : make_idmap(options->translate_gid, options->n_translate_gid, "--translate-gid",
                                &daemon->gids, ret_error);
}

static int check_modcaps(struct daemon *daemon, char **ret_error)
{
    return caps_check_modcaps(daemon->options.modcaps, ret_error);
}

static int check_socket(struct daemon *daemon, char **ret_error)
{
    if (daemon->options.mount_dir) {
        return 0;
    }
    if (daemon->options.socket_path) {
        daemon->pid_path = g_strconcat(daemon->options.socket_path, ".pid", NULL);
        return pidfile_check_free(daemon->pid_path, ret_error);
    }
    return vu_listen_check_fd(daemon->options.fd, ret_error);
}

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

static struct sandbox_config sandbox_config_of(struct daemon *daemon)
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
    struct sandbox_config config = sandbox_config_of(daemon);

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

static start_step *const start_steps[] = {
    check_shared_dir, check_xattrmap,   make_idmaps,   check_modcaps, check_socket, set_limits,
    read_handle_key,  rehearse_sandbox, probe_overlay, catch_signals, open_socket,
};

/* Callers wait for this line and count it (callers.md: Kata reads stderr until it comes). */
static void announce(const struct daemon *daemon)
{
    if (daemon->mount) {
        log_announce("Serving '%s' at '%s'", daemon->options.shared_dir, daemon->options.mount_dir);
    } else if (daemon->options.socket_path) {
        log_announce("Waiting for vhost-user socket connection on %s...",
                     daemon->options.socket_path);
    } else {
        log_announce("Waiting for vhost-user socket connection...");
    }
}

/* -ECANCELED: told to stop. Another error is logged. */
static int accept_front_end(struct daemon *daemon, int *ret_fd)
{
    int err = vu_accept(daemon->listen_fd, daemon->stop_fd, ret_fd);

    if (err < 0) {
        if (err != -ECANCELED) {
            log_error("no front end can connect: %s", strerror(-err));
        }
        return err;
    }
    if (!daemon->options.keep_listening) {
        (void)close(daemon->listen_fd); /* one front end in a life: who comes next is refused */
        daemon->listen_fd = -1;
    }
    return 0;
}

static int wait_and_serve(struct daemon *daemon)
{
    struct sandbox_config config = sandbox_config_of(daemon);
    struct serve_config serving = {
        .options = &daemon->options,
        .xattrmap = daemon->xattrmap,
        .overlay = daemon->overlay,
        .uids = daemon->uids,
        .gids = daemon->gids,
        .nofile = daemon->nofile,
        .processors = g_get_num_processors(),
        .handle_key = daemon->handle_key,
        .stop_fd = daemon->stop_fd,
        .conn_fd = -1,
        .mount = daemon->mount,
    };
    g_autofree char *error = NULL;
    int err = daemon->mount ? 0 : accept_front_end(daemon, &serving.conn_fd);

    if (err < 0) {
        return err == -ECANCELED ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    serving.listen_fd = daemon->listen_fd;
    err = sandbox_enter(&config, &serving.sandbox, &error);
    if (err < 0) {
        log_error("%s", error);
        return EXIT_FAILURE;
    }
    if (serving.sandbox.role == SANDBOX_FINISHED) {
        return serving.sandbox.exit_status;
    }
    if (config.confinement != CONFINE_NONE) {
        /* Cleaning up is the supervisor's: these paths mean something else in here. */
        daemon->made_socket = false;
        daemon->pid_fd = -1;
    }
    return serve(&serving);
}

static void clean_up(struct daemon *daemon)
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

static int run_daemon(struct daemon *daemon)
{
    struct log_config log = {.level = daemon->options.log_level, .syslog = daemon->options.syslog};
    int status = EXIT_FAILURE;

    (void)limits_clean_fds(daemon->options.fd); /* before syslog opens one of its own */
    log_init(&log);
    for (size_t i = 0; i < G_N_ELEMENTS(start_steps); i++) {
        g_autofree char *error = NULL;

        if (start_steps[i](daemon, &error) < 0) {
            log_announce("%s", error);
            clean_up(daemon);
            return EXIT_FAILURE;
        }
    }
    announce(daemon);
    status = wait_and_serve(daemon);
    clean_up(daemon);
    return status;
}

static int print(char *text)
{
    int ok = fputs(text, stdout) >= 0 && fflush(stdout) == 0;

    g_free(text);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check(struct daemon *daemon)
{
    g_autofree char *error = NULL;

    if (check_shared_dir(daemon, &error) < 0) {
        log_announce("%s", error);
        return EXIT_FAILURE;
    }
    return check_share(daemon->options.shared_dir, daemon->options.json);
}

int main(int argc, char **argv)
{
    struct daemon daemon = {.pid_fd = -1, .listen_fd = -1, .stop_fd = -1};
    enum options_action action = OPTIONS_HELP;
    g_autofree char *error = NULL;

    if (options_parse(argc, argv, &daemon.options, &action, &error) < 0) {
        log_announce("%s", error);
        return EXIT_FAILURE;
    }
    switch (action) {
    case OPTIONS_HELP:
        return print(options_help_text());
    case OPTIONS_VERSION:
        return print(options_version_text());
    case OPTIONS_PRINT_CAPABILITIES:
        return print(options_capabilities_text());
    case OPTIONS_CHECK:
        return check(&daemon);
    case OPTIONS_RUN:
        break;
    }
    return run_daemon(&daemon);
}
