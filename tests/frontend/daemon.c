/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes for tests. fork and exec by hand rather than by g_spawn: the daemon needs a chosen
 * descriptor left open, a death signal and sometimes another user.
 */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

char **daemon_command(const char *const *words, const char *sock, const char *dir, int fd)
{
    GPtrArray *argv = g_ptr_array_new();
    g_autofree char *fd_text = g_strdup_printf("%d", fd);

    for (; *words; words++) {
        GString *word = g_string_new(*words);

        g_string_replace(word, "{sock}", sock ? sock : "", 0);
        g_string_replace(word, "{dir}", dir ? dir : "", 0);
        g_string_replace(word, "{fd}", fd_text, 0);
        g_ptr_array_add(argv, g_string_free(word, FALSE));
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

/* In the child, so only async-signal-safe calls. */
static void become_daemon(char *const *argv, const struct daemon_setup *setup, int err_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 0);
    dup2(null, 1);
    dup2(err_fd, 2);
    if (setup->keep_fd > 2) {
        fcntl(setup->keep_fd, F_SETFD, 0);
    }
    if (setup->cwd && chdir(setup->cwd) < 0) {
        _exit(126);
    }
    if (setup->uid &&
        (setgroups(0, NULL) < 0 || setgid(setup->uid) < 0 || setuid(setup->uid) < 0)) {
        _exit(126);
    }
    execvp(argv[0], argv);
    _exit(127);
}

/*
 * Takes what is in the pipe; d->lock is held, so that whoever drained it and finds it empty has
 * everything the daemon wrote before.
 */
static void drain(struct daemon *d)
{
    char buf[4096];
    ssize_t n;

    while (!d->eof && (n = read(d->err_fd, buf, sizeof(buf))) >= 0) {
        g_string_append_len(d->log, buf, n);
        d->eof = n == 0;
        g_cond_broadcast(&d->changed);
    }
}

static void *collect(void *opaque)
{
    struct daemon *d = opaque;
    struct pollfd pfd = {.fd = d->err_fd, .events = POLLIN};
    bool eof = false;

    while (!eof && poll(&pfd, 1, -1) > 0) {
        g_mutex_lock(&d->lock);
        drain(d);
        eof = d->eof;
        g_mutex_unlock(&d->lock);
    }
    return NULL;
}

int daemon_start(struct daemon *d, char *const *argv, const struct daemon_setup *setup)
{
    int fds[2];

    memset(d, 0, sizeof(*d));
    d->pidfd = d->err_fd = -1;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    d->pid = fork();
    if (d->pid == 0) {
        become_daemon(argv, setup, fds[1]);
    }
    close(fds[1]);
    if (d->pid < 0) {
        close(fds[0]);
        return -EAGAIN;
    }
    d->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
    d->err_fd = fds[0];
    fcntl(d->err_fd, F_SETFL, O_NONBLOCK); /* the daemon's end is another open file */
    d->log = g_string_new(NULL);
    g_mutex_init(&d->lock);
    g_cond_init(&d->changed);
    d->reader = g_thread_new("stderr", collect, d);
    return 0;
}

int daemon_wait_log(struct daemon *d, const char *text, int timeout_ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    int rc = 0;

    g_mutex_lock(&d->lock);
    while (!strstr(d->log->str, text)) {
        if (d->eof) {
            rc = -ECHILD;
            break;
        }
        if (!g_cond_wait_until(&d->changed, &d->lock, deadline)) {
            rc = -ETIMEDOUT;
            break;
        }
    }
    g_mutex_unlock(&d->lock);
    return rc;
}

static unsigned count_lines(const char *text)
{
    unsigned n = 0;

    while ((text = strchr(text, '\n'))) {
        text++;
        n++;
    }
    return n;
}

int daemon_wait_lines(struct daemon *d, unsigned n, int timeout_ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    int rc = 0;

    g_mutex_lock(&d->lock);
    while (rc == 0 && count_lines(d->log->str) < n) {
        if (d->eof) {
            rc = -ECHILD;
        } else if (!g_cond_wait_until(&d->changed, &d->lock, deadline)) {
            rc = -ETIMEDOUT;
        }
    }
    g_mutex_unlock(&d->lock);
    return rc;
}

char *daemon_log(struct daemon *d)
{
    char *copy;

    if (!d->log) {
        return g_strdup(""); /* never started */
    }
    g_mutex_lock(&d->lock);
    drain(d);
    copy = g_strdup(d->log->str);
    g_mutex_unlock(&d->lock);
    return copy;
}

unsigned daemon_log_lines(struct daemon *d, const char *text)
{
    g_autofree char *log = daemon_log(d);
    g_auto(GStrv) lines = g_strsplit(log, "\n", -1);
    unsigned n = 0;

    for (char **line = lines; *line; line++) {
        n += **line != '\0' && (!text || strstr(*line, text));
    }
    return n;
}

static void finish_log(struct daemon *d)
{
    if (d->reader) {
        g_thread_join(d->reader);
        d->reader = NULL;
    }
}

int daemon_wait_exit(struct daemon *d, int timeout_ms)
{
    struct pollfd pfd = {.fd = d->pidfd, .events = POLLIN};
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;

    if (d->pid <= 0) {
        return 0;
    }
    if (poll(&pfd, 1, timeout_ms) <= 0) {
        return -ETIMEDOUT;
    }
    if (waitpid(d->pid, &d->status, 0) != d->pid) {
        return -errno;
    }
    d->pid = 0;
    /* a child that outlives the daemon would hold stderr open: that is a finding, not a hang */
    g_mutex_lock(&d->lock);
    while (!d->eof && g_cond_wait_until(&d->changed, &d->lock, deadline)) {
    }
    if (!d->eof) {
        g_mutex_unlock(&d->lock);
        return -ETIMEDOUT;
    }
    g_mutex_unlock(&d->lock);
    finish_log(d);
    return 0;
}

void daemon_signal(struct daemon *d, int sig)
{
    if (d->pid > 0) {
        kill(d->pid, sig);
    }
}

void daemon_done(struct daemon *d)
{
    if (d->pid > 0) {
        kill(d->pid, SIGKILL);
        waitpid(d->pid, &d->status, 0);
        d->pid = 0;
    }
    finish_log(d);
    if (d->pidfd >= 0) {
        close(d->pidfd);
    }
    if (d->err_fd >= 0) {
        close(d->err_fd);
    }
    if (d->log) {
        g_string_free(d->log, TRUE);
        g_mutex_clear(&d->lock);
        g_cond_clear(&d->changed);
    }
    memset(d, 0, sizeof(*d));
    d->pidfd = d->err_fd = -1;
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    if (!dir) {
        return -errno;
    }
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n - 2;
}

int daemon_count_fds(pid_t pid)
{
    g_autofree char *fds = g_strdup_printf("/proc/%d/fd", (int)pid);
    g_autofree char *kids = g_strdup_printf("/proc/%d/task/%d/children", (int)pid, (int)pid);
    g_autofree char *text = NULL;
    int n = count_entries(fds);

    if (n < 0 || !g_file_get_contents(kids, &text, NULL, NULL)) {
        return n;
    }
    g_auto(GStrv) words = g_strsplit(g_strstrip(text), " ", -1);
    for (char **w = words; *w; w++) {
        int more = **w ? daemon_count_fds((pid_t)g_ascii_strtoll(*w, NULL, 10)) : 0;

        n += more > 0 ? more : 0;
    }
    return n;
}
