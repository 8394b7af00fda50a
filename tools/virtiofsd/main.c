/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the command line to the end. The readiness line comes when a front end can connect; the
 * sandbox closes when one has (host/sandbox.h says why then).
 */
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "check.h"
#include "host/limits.h"
#include "serve.h"
#include "start.h"
#include "transport/vu_listen.h"

/* Callers wait for this line and count it (Kata reads stderr until it comes). */
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
    struct sandbox_config config = daemon_sandbox_config(daemon);
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

static int run_daemon(struct daemon *daemon)
{
    struct log_config log = {.level = daemon->options.log_level, .syslog = daemon->options.syslog};
    g_autofree char *error = NULL;
    int status = EXIT_FAILURE;

    (void)limits_clean_fds(daemon->options.fd); /* before syslog opens one of its own */
    log_init(&log);
    if (daemon_start(daemon, &error) < 0) {
        log_announce("%s", error);
    } else {
        announce(daemon);
        status = wait_and_serve(daemon);
    }
    daemon_end(daemon);
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
    return check_share(daemon->options.shared_dir, will_have_userns(daemon), daemon->options.json);
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
