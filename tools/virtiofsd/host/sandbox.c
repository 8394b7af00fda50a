/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The phases of closing the sandbox, in order. Each says what it should do and what it must not
 * leave behind. The waiting process is in supervisor.c, user namespaces are in userns.c.
 */
#include "host/sandbox.h"

#include "base/util.h"
#include "host/caps.h"
#include "host/supervisor.h"
#include "host/userns.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <glib.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define NAMESPACE_HINT                                                                             \
    "if namespaces are not permitted here, let the container be the sandbox and use "              \
    "--sandbox=none"

/* What a phase holds on its way; closed on every way out. */
struct rooms {
    int share;     /* the shared directory as mounted for us */
    int proc_self; /* /proc/self, until mountinfo is open */
};

static void rooms_done(struct rooms *rooms)
{
    auto_fd_close(&rooms->share);
    auto_fd_close(&rooms->proc_self);
}

static int fail(char **ret_error, const char *what, const char *hint)
{
    int res = -errno;

    *ret_error = g_strdup_printf("sandbox: %s: %s%s%s", what, g_strerror(-res), hint ? "; " : "",
                                 hint ? hint : "");
    return res;
}

/*
 * Should: make the C library read everything it reads late, now. Must not: leave it a reason to
 * look for /etc/localtime, a charset converter or libgcc_s in "/", which will be the guest's.
 */
static void settle_libraries(void)
{
    enum { LAST_ERRNO = 133 };
    void *frame = NULL;

    tzset();
    for (int i = 1; i <= LAST_ERRNO; i++) {
        (void)g_strerror(i); /* cached: later calls find it */
    }
    (void)backtrace(&frame, 1);
}

static int open_share(const char *path, int *ret_fd, char **ret_error)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_autofree char *what = NULL;

    if (fd < 0) {
        what = g_strdup_printf("cannot open the shared directory %s", path);
        return fail(ret_error, what, NULL);
    }
    *ret_fd = fd;
    return 0;
}

/* Should: leave /proc/self and /proc/self/fd open. Used where /proc stays what it is. */
static int open_proc(struct rooms *rooms, struct sandbox_result *ret, char **ret_error)
{
    rooms->proc_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rooms->proc_self >= 0) {
        ret->proc_self_fd = openat(rooms->proc_self, "fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (rooms->proc_self < 0 || ret->proc_self_fd < 0) {
        return fail(ret_error, "cannot open /proc/self/fd", "is /proc mounted?");
    }
    return 0;
}

static int open_mountinfo(const struct rooms *rooms, struct sandbox_result *ret, char **ret_error)
{
    ret->mountinfo_fd = openat(rooms->proc_self, "mountinfo", O_RDONLY | O_CLOEXEC);
    return ret->mountinfo_fd < 0 ? fail(ret_error, "cannot open /proc/self/mountinfo", NULL) : 0;
}

/* Asked here, where /proc is still the kernel's; a missing map means that it cannot be told. */
static bool maps_all(int proc_self, const char *name)
{
    auto_fd fd = openat(proc_self, name, O_RDONLY | O_CLOEXEC);
    char text[64] = "";
    unsigned inside = 1;
    unsigned outside = 0;
    unsigned count = 0;

    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0) {
        return false;
    }
    return sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
           count == UINT32_MAX;
}

/*
 * Should: no file opened with the groups of whoever started us (CVE-2022-0358). Must not fail
 * where the kernel does not let us: an ordinary user's groups are no more than the user's own.
 */
static int drop_groups(struct sandbox_result *ret, char **ret_error)
{
    if (setgroups(0, NULL) == 0) {
        ret->may_setgroups = true;
        return 0;
    }
    return errno == EPERM ? 0 : fail(ret_error, "cannot drop supplementary groups", NULL);
}

/*
 * Should: mounts, network, IPC and host name of our own; host mounts made later below the share
 * still arrive (slave). Must not: send ours back, or go private, which would hide the containers'
 * roots that are mounted while we run.
 */
static int phase_namespaces(char **ret_error)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) {
        return fail(ret_error, "cannot make namespaces", NAMESPACE_HINT);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
        return fail(ret_error, "cannot make mounts slaves of the host's", NAMESPACE_HINT);
    }
    return 0;
}

/*
 * Should: the share, with what is mounted below it, a mount of its own that can become "/". A
 * share that is "/" itself is covered by its new mount, which only ".." of the root leads to.
 */
static int phase_share(const char *shared_dir, struct rooms *rooms, char **ret_error)
{
    g_autofree char *what = g_strdup_printf("cannot use the shared directory %s", shared_dir);
    char real[PATH_MAX];

    if (!realpath(shared_dir, real)) {
        return fail(ret_error, what, NULL);
    }
    if (mount(real, real, NULL, MS_BIND | MS_REC, NULL) < 0) {
        return fail(ret_error, what, NULL);
    }
    return open_share(strcmp(real, "/") == 0 ? "/.." : real, &rooms->share, ret_error);
}

/*
 * Should: reach the magic links of our own descriptors. Must not: leave a way up into /proc, where
 * uid 0 can write what the host trusts (sys/kernel/core_pattern): /proc/self/fd is mounted by
 * itself, and ends up detached from everything when the old root goes.
 *
 * The new pid namespace's own /proc is used; where it may not be mounted (a container that masks
 * parts of its /proc) the old one does, since nothing but this one directory is kept of either.
 */
static int phase_proc(struct rooms *rooms, struct sandbox_result *ret, char **ret_error)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 &&
        errno != EPERM) {
        return fail(ret_error, "cannot mount /proc", NAMESPACE_HINT);
    }
    rooms->proc_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rooms->proc_self < 0) {
        return fail(ret_error, "cannot open /proc/self", NULL);
    }
    if (mount("/proc/self/fd", "/proc", NULL, MS_BIND, NULL) < 0) {
        return fail(ret_error, "cannot mount /proc/self/fd by itself", NULL);
    }
    ret->proc_self_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return ret->proc_self_fd < 0 ? fail(ret_error, "cannot open /proc/self/fd", NULL) : 0;
}

/* Should: "/" is the share. Must not: leave anything of the old root mounted. */
static int phase_pivot(const struct rooms *rooms, char **ret_error)
{
    auto_fd old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (old_root < 0 || fchdir(rooms->share) < 0) {
        return fail(ret_error, "cannot enter the shared directory", NULL);
    }
    /* both at the same place: the old root now lies on top of the new one */
    if (syscall(SYS_pivot_root, ".", ".") < 0) {
        return fail(ret_error, "cannot make the share the root directory",
                    "with an initramfs as root use --sandbox=chroot");
    }
    if (fchdir(old_root) < 0 || umount2(".", MNT_DETACH) < 0 || fchdir(rooms->share) < 0 ||
        chdir("/") < 0) {
        return fail(ret_error, "cannot detach the old root", NULL);
    }
    return 0;
}

static int confine_namespace(const struct sandbox_config *config, struct rooms *rooms,
                             struct sandbox_result *ret, char **ret_error)
{
    int res = phase_namespaces(ret_error);

    if (res == 0) {
        res = phase_share(config->shared_dir, rooms, ret_error);
    }
    if (res == 0) {
        res = phase_proc(rooms, ret, ret_error);
    }
    if (res == 0) {
        res = phase_pivot(rooms, ret_error);
    }
    if (res == 0 && ret->in_userns) {
        res = userns_become_root(config, ret_error);
    }
    return res;
}

/*
 * Should: "/" is the share, where a container gives CAP_SYS_CHROOT but no namespaces. Weaker: the
 * kept descriptor of /proc/self/fd has a parent, which someone who owns the process could walk.
 */
static int confine_chroot(const struct sandbox_config *config, struct rooms *rooms,
                          struct sandbox_result *ret, char **ret_error)
{
    int res = open_proc(rooms, ret, ret_error);

    if (res == 0) {
        res = open_share(config->shared_dir, &rooms->share, ret_error);
    }
    if (res < 0) {
        return res;
    }
    if (fchdir(rooms->share) < 0 || chroot(".") < 0 || chdir("/") < 0) {
        return fail(ret_error, "cannot change the root directory",
                    "without CAP_SYS_CHROOT use --sandbox=namespace or --sandbox=none");
    }
    return 0;
}

static int confine(const struct sandbox_config *config, struct sandbox_result *ret,
                   char **ret_error)
{
    __attribute__((cleanup(rooms_done))) struct rooms rooms = {-1, -1};
    int res = 0;

    if (config->confinement == CONFINE_NAMESPACE) {
        res = confine_namespace(config, &rooms, ret, ret_error);
    } else if (config->confinement == CONFINE_CHROOT) {
        res = confine_chroot(config, &rooms, ret, ret_error);
    } else {
        res = open_proc(&rooms, ret, ret_error);
    }
    if (res == 0) {
        res = open_share(config->confinement == CONFINE_NONE ? config->shared_dir : "/",
                         &ret->root_fd, ret_error);
    }
    if (res == 0) {
        res = open_mountinfo(&rooms, ret, ret_error);
    }
    if (res == 0) {
        ret->has_all_ids =
            maps_all(rooms.proc_self, "uid_map") && maps_all(rooms.proc_self, "gid_map");
        res = drop_groups(ret, ret_error);
    }
    return res;
}

/* A worker without its supervisor must not be: not later, and not in the moment of its birth. */
static int die_with_supervisor(int report_fd)
{
    struct pollfd supervisor = {.fd = report_fd};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        return -errno;
    }
    /* the only reader is the supervisor: gone before the prctl, it shows as an error here */
    if (poll(&supervisor, 1, 0) > 0 && (supervisor.revents & POLLERR)) {
        return -ESRCH;
    }
    return 0;
}

/* In the child. A failure is told to the supervisor, which returns it to the caller. */
static void worker_start(const struct sandbox_config *config, struct sandbox_result *ret,
                         int report_fd)
{
    g_autofree char *error = NULL;
    int res = die_with_supervisor(report_fd);

    if (res == 0) {
        res = confine(config, ret, &error);
    }
    if (res == 0) {
        res = die_with_supervisor(report_fd); /* changing ids has cleared it */
    }
    if (res < 0) {
        supervisor_report(report_fd, res, error ? error : "sandbox: the supervisor is gone");
        _exit(EXIT_FAILURE);
    }
    (void)close(report_fd); /* end of file: all is well */
    if (config->supervisor_fd >= 0) {
        (void)close(config->supervisor_fd); /* its lock lives on in the supervisor */
    }
}

static int make_outer_namespaces(const struct sandbox_config *config, struct sandbox_result *ret,
                                 char **ret_error)
{
    bool wants_userns = config->n_uid_map > 0 || config->n_gid_map > 0;
    int res = 0;

    if (config->confinement != CONFINE_NAMESPACE) {
        return 0;
    }
    if (wants_userns || !caps_have(CAP_SYS_ADMIN)) {
        res = userns_enter(config, ret_error);
        ret->in_userns = res == 0;
    }
    if (res == 0 && unshare(CLONE_NEWPID) < 0) {
        res = fail(ret_error, "cannot make a pid namespace", NAMESPACE_HINT);
    }
    return res;
}

static int split(const struct sandbox_config *config, struct sandbox_result *ret, char **ret_error)
{
    auto_fd report_in = -1;
    auto_fd report_out = -1;
    struct supervision how = {.keep_fd = config->supervisor_fd, .grace_ms = config->grace_ms};
    int pipe_fds[2];
    pid_t worker = -1;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return fail(ret_error, "cannot make a pipe", NULL);
    }
    report_in = pipe_fds[0];
    report_out = pipe_fds[1];
    worker = fork();
    if (worker < 0) {
        return fail(ret_error, "cannot start the worker", NULL);
    }
    if (worker == 0) {
        auto_fd_close(&report_in);
        report_in = -1;
        ret->role = SANDBOX_WORKER;
        worker_start(config, ret, g_steal_fd(&report_out));
        return 0;
    }
    auto_fd_close(&report_out);
    report_out = -1;
    ret->role = SANDBOX_FINISHED;
    how.report_fd = g_steal_fd(&report_in);
    return supervise(worker, &how, &ret->exit_status, ret_error);
}

static int check_config(const struct sandbox_config *config, char **ret_error)
{
    if (config->confinement != CONFINE_NAMESPACE && config->n_uid_map + config->n_gid_map > 0) {
        *ret_error = g_strdup("--uid-map and --gid-map need --sandbox=namespace: a user namespace "
                              "is part of it");
        return -EINVAL;
    }
    return 0;
}

int sandbox_enter(const struct sandbox_config *config, struct sandbox_result *ret, char **ret_error)
{
    struct sandbox_result result = {.root_fd = -1, .proc_self_fd = -1, .mountinfo_fd = -1};
    sigset_t all;
    sigset_t before;
    int res = check_config(config, ret_error);

    if (res < 0) {
        return res;
    }
    settle_libraries();
    if (config->confinement == CONFINE_NONE) {
        res = confine(config, &result, ret_error);
        *ret = result;
        return res;
    }
    /* signals wait until there is someone to pass them on to; an ignored SIGCHLD never comes */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    (void)signal(SIGCHLD, SIG_DFL);
    res = make_outer_namespaces(config, &result, ret_error);
    if (res == 0) {
        res = split(config, &result, ret_error);
    }
    if (res < 0 || result.role == SANDBOX_WORKER) {
        sigprocmask(SIG_SETMASK, &before, NULL);
    } /* else a second SIGTERM must not interrupt the cleaning up */
    *ret = result;
    return res;
}

/* In the child of a rehearsal; report_fd survives the supervisor's closing. */
static void rehearse_and_exit(const struct sandbox_config *config, int report_fd)
{
    struct sandbox_config rehearsal = *config;
    struct sandbox_result result;
    char *error = NULL;
    int res = 0;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a second line: the pipe ends with us too */
    rehearsal.supervisor_fd = report_fd;
    res = sandbox_enter(&rehearsal, &result, &error);
    if (res < 0) {
        supervisor_report(report_fd, res, error);
        _exit(EXIT_FAILURE);
    }
    _exit(result.role == SANDBOX_FINISHED ? result.exit_status : EXIT_SUCCESS);
}

int sandbox_rehearse(const struct sandbox_config *config, char **ret_error)
{
    int pipe_fds[2];
    pid_t child = -1;
    int res = 0;
    int status = 0;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return fail(ret_error, "cannot make a pipe", NULL);
    }
    (void)signal(SIGCHLD, SIG_DFL);
    child = fork();
    if (child == 0) {
        (void)close(pipe_fds[0]);
        rehearse_and_exit(config, pipe_fds[1]);
    }
    (void)close(pipe_fds[1]);
    if (child < 0) {
        res = fail(ret_error, "cannot start a rehearsal", NULL);
    } else {
        res = supervisor_read_report(pipe_fds[0], ret_error);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    }
    (void)close(pipe_fds[0]);
    if (res == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        *ret_error = g_strdup("sandbox: a rehearsal ended without saying why");
        res = -EIO;
    }
    return res;
}
