/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mounting, and the keeper: the process that unmounts.
 *
 * It has to be a process of its own. The worker that serves cannot unmount: it sees neither the
 * host's mounts nor, under its filter, the system call, and it may crash. The keeper is forked
 * before anything is given up, sleeps on a pipe, and unmounts when it is told to or when the pipe's
 * last writer, the worker, is gone. Told, it unmounts while the worker still answers, so that
 * what the kernel has not written yet is written.
 *
 * libfuse's auto_unmount does the second half, but only with fusermount3, and nobody can wait for
 * it: a caller that sees us end should find its directory empty.
 */
#define FUSE_USE_VERSION 314

#include "local/mount.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/syscall_rule.h"
#include "base/util.h"
#include "local/dev_fuse.h"

enum {
    KEEPER_MS = 1000,
    NOTICE_MS = 50, /* between an unmount and our threads' notice of it */
    STEP_MS = 5,
};

struct local_mount {
    struct fuse_session *session; /* libfuse's: the mount, and the descriptor of /dev/fuse */
    char *dir;
    int keeper_fd; /* a byte in it, or its end, makes the keeper unmount */
    int done_fd;   /* ends when the keeper does */
    pid_t keeper;
};

const struct syscall_rule local_syscalls[] = {
    {"newfstatat"}, /* how glibc says fstat */
    {"readv"},
    {"waitid"}, /* without a sandbox: for the keeper */
    {0},
};

static int fail(int err, char **ret_error, char *sentence)
{
    *ret_error = sentence;
    return err;
}

static void on_fuse_log(enum fuse_log_level level, const char *format, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(format, ap);

    g_strdelimit(g_strchomp(text), "\n", ' ');
    log_at(level <= FUSE_LOG_WARNING ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "%s", text);
}

/* One below the other, or the same: we would wait for ourselves. Both are real paths. */
static bool is_within(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return strcmp(dir, "/") == 0 ||
           (strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

static int find_dir(const struct local_mount_config *config, char **ret_dir, char **ret_error)
{
    g_autofree char *quoted = g_strescape(config->dir, NULL);
    char dir[PATH_MAX];
    char source[PATH_MAX];
    struct stat st;

    if (!realpath(config->dir, dir)) {
        return fail(-errno, ret_error,
                    g_strdup_printf("--mount: '%s' cannot be used: %s", quoted, strerror(errno)));
    }
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return fail(-ENOTDIR, ret_error,
                    g_strdup_printf("--mount: '%s' is not a directory", quoted));
    }
    if (realpath(config->source, source) && (is_within(dir, source) || is_within(source, dir))) {
        return fail(-ELOOP, ret_error,
                    g_strdup_printf("--mount: '%s' and the shared directory lie one within the "
                                    "other, and serving one would wait for itself; mount it "
                                    "elsewhere",
                                    quoted));
    }
    *ret_dir = g_strdup(dir);
    return 0;
}

/* A comma or a backslash in a value would end it. */
static char *escape(const char *value)
{
    GString *out = g_string_new(NULL);

    for (; *value; value++) {
        if (*value == ',' || *value == '\\') {
            g_string_append_c(out, '\\');
        }
        g_string_append_c(out, *value);
    }
    return g_string_free(out, FALSE);
}

/*
 * default_permissions always: the kernel checks as a guest's would, and our INIT answer allows
 * idmapped mounts, which it takes only with that.
 */
static int make_session(const struct local_mount_config *config, struct fuse_session **ret)
{
    static const struct fuse_lowlevel_ops no_ops; /* requests never pass libfuse */
    g_autofree char *source = escape(config->source);
    g_autofree char *words =
        g_strdup_printf("default_permissions,subtype=virtiofsd,fsname=%s%s%s%s%s", source,
                        config->for_everybody ? ",allow_other" : "", config->readonly ? ",ro" : "",
                        config->options ? "," : "", config->options ? config->options : "");
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

    fuse_set_log_func(on_fuse_log);
    if (fuse_opt_add_arg(&args, "virtiofsd") < 0 || fuse_opt_add_arg(&args, "-o") < 0 ||
        fuse_opt_add_arg(&args, words) < 0) {
        return -ENOMEM;
    }
    *ret = fuse_session_new(&args, &no_ops, sizeof(no_ops), NULL);
    fuse_opt_free_args(&args);
    return *ret ? 0 : -EINVAL;
}

/* In the keeper. Does not return. */
static void keep(struct local_mount *mount, int told_fd)
{
    sigset_t all;
    char told = 0;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL); /* whoever stops the rest stops us by that */
    (void)prctl(PR_SET_NAME, "virtiofsd-mount");
    while (read(told_fd, &told, 1) < 0 && errno == EINTR) {
    }
    /* Does nothing when the mount is gone already: another one may be in its place. */
    fuse_session_unmount(mount->session);
    _exit(EXIT_SUCCESS);
}

static int fork_keeper(struct local_mount *mount, int tell[2], int done[2])
{
    mount->keeper = fork();
    if (mount->keeper == 0) {
        (void)close(tell[1]);
        (void)close(done[0]);
        keep(mount, tell[0]);
    }
    (void)close(tell[0]);
    (void)close(done[1]);
    mount->keeper_fd = tell[1];
    mount->done_fd = done[0];
    return mount->keeper < 0 ? -EAGAIN : 0;
}

static int start_keeper(struct local_mount *mount)
{
    int tell[2];
    int done[2];

    if (pipe2(tell, O_CLOEXEC) < 0) {
        return -errno;
    }
    if (pipe2(done, O_CLOEXEC) < 0) {
        int err = -errno;

        (void)close(tell[0]);
        (void)close(tell[1]);
        return err;
    }
    return fork_keeper(mount, tell, done);
}

int local_mount_new(const struct local_mount_config *config, struct local_mount **ret,
                    char **ret_error)
{
    struct local_mount *mount = g_new0(struct local_mount, 1);
    int err = 0;

    mount->keeper_fd = mount->done_fd = -1;
    mount->keeper = -1;
    err = find_dir(config, &mount->dir, ret_error);
    if (err == 0 && make_session(config, &mount->session) < 0) {
        err = fail(-EINVAL, ret_error,
                   g_strdup_printf("--mount-options: '%s' is not understood", config->options));
    }
    if (err == 0 && fuse_session_mount(mount->session, mount->dir) < 0) {
        err = fail(-EIO, ret_error,
                   g_strdup_printf("--mount: cannot mount at '%s'; is there a /dev/fuse, and "
                                   "fusermount3 for an ordinary user?",
                                   mount->dir));
    }
    if (err == 0 && start_keeper(mount) < 0) {
        fuse_session_unmount(mount->session);
        err = fail(-EAGAIN, ret_error, g_strdup("--mount: cannot start a process to unmount"));
    }
    if (err < 0) {
        local_mount_free(mount);
        return err;
    }
    *ret = mount;
    return 0;
}

static bool keeper_has_ended(const struct local_mount *mount)
{
    siginfo_t info = {0};

    /* ECHILD: forked off, and the keeper is another's; or the caller ignores SIGCHLD */
    return waitid(P_PID, (id_t)mount->keeper, &info, WEXITED | WNOHANG) < 0 || info.si_pid != 0;
}

/*
 * Only libfuse's unmount frees the name of the mount point; it makes no system call that our filter
 * does not know when the mount is gone, which it sees as we do here.
 */
static void free_session(struct fuse_session *session)
{
    struct pollfd fd = {.fd = fuse_session_fd(session)};

    if (poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR)) {
        fuse_session_unmount(session);
    }
    fuse_session_destroy(session);
}

void local_mount_free(struct local_mount *mount)
{
    if (!mount) {
        return;
    }
    auto_fd_close(&mount->keeper_fd);
    auto_fd_close(&mount->done_fd);
    for (int ms = 0; mount->keeper > 0 && ms < KEEPER_MS && !keeper_has_ended(mount);
         ms += STEP_MS) {
        g_usleep(STEP_MS * 1000);
    }
    if (mount->session) {
        free_session(mount->session);
    }
    g_free(mount->dir);
    g_free(mount);
}

/*
 * The worker still answers: what the kernel has not written yet comes now, and a clean unmount ends
 * the threads. If the keeper is done and they have not ended, the mount is in use and is detached:
 * nothing to wait for.
 */
static void ask_keeper(struct local_mount *mount, int ended_fd)
{
    struct pollfd fds[2] = {{.fd = mount->done_fd, .events = POLLIN},
                            {.fd = ended_fd, .events = POLLIN}};

    (void)!write(mount->keeper_fd, "u", 1); /* without a keeper its end is seen at once */
    if (poll(fds, 2, LOCAL_UNMOUNT_MS) > 0 && !fds[1].revents) {
        (void)poll(&fds[1], 1, NOTICE_MS); /* whatever it says, we leave now */
    }
}

enum local_end local_serve(struct local_mount *mount, int stop_fd,
                           const struct local_device *device)
{
    struct dev_fuse *dev = NULL;
    int err = dev_fuse_start(fuse_session_fd(mount->session), device, &dev);
    struct pollfd fds[2] = {{.fd = stop_fd, .events = POLLIN}, {.events = POLLIN}};

    if (err < 0) {
        log_error("no thread can be started for the mount: %s", strerror(-err));
        return LOCAL_END_ERROR;
    }
    fds[1].fd = dev_fuse_ended_fd(dev);
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    if (fds[0].revents) {
        ask_keeper(mount, fds[1].fd);
    }
    err = dev_fuse_stop(dev);
    if (err < 0 && err != -ENODEV && err != -ECONNABORTED) {
        log_error("reading requests from /dev/fuse failed: %s", strerror(-err));
        return LOCAL_END_ERROR;
    }
    return fds[0].revents ? LOCAL_END_STOP : LOCAL_END_UNMOUNTED;
}
