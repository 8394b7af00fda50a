/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A life of the daemon as its callers see it: readiness, the socket, the command lines that are out
 * there, and the end by signal, by disconnect or by force.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proto.h"

#define ROOT FUSE_ROOT_ID

static const struct proto_opts only_ready = {.no_connect = true};

static char *pid_path(const struct proto *p)
{
    return g_strconcat(p->sock, ".pid", NULL);
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void ready_line_and_pid_file(void)
{
    struct proto *p = proto_start(&only_ready);
    g_autofree char *pid = pid_path(p);
    g_autofree char *text = NULL;
    struct stat st;

    g_assert_true(exists(pid)); /* before the line, so at once */
    g_assert_true(exists(p->sock));
    g_assert_cmpint(stat(pid, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
    g_assert_true(g_file_get_contents(pid, &text, NULL, NULL));
    g_assert_cmpint((int)g_ascii_strtoll(text, NULL, 10), ==, p->d.pid);
    proto_connect(p, &(struct proto_opts){0});
    EXPECT_ALIVE(p);
    g_assert_cmpuint(daemon_log_lines(&p->d, DAEMON_READY_TEXT), ==, 1);
    vmm_disconnect(&p->vmm);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_cmpuint(daemon_log_lines(&p->d, DAEMON_READY_TEXT), ==, 1);
    g_assert_false(exists(pid));
    g_assert_false(exists(p->sock));
    proto_stop_exit(p, 0);
}

static bool is_locked(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lk = {.l_type = F_WRLCK};
    bool locked;

    g_assert_cmpint(fd, >=, 0);
    locked =
        flock(fd, LOCK_EX | LOCK_NB) < 0 || (fcntl(fd, F_GETLK, &lk) == 0 && lk.l_type != F_UNLCK);
    close(fd);
    return locked;
}

static void pid_file_is_locked_while_it_runs(void)
{
    struct proto *p = proto_start(&only_ready);
    g_autofree char *pid = pid_path(p);

    g_assert_true(is_locked(pid));
    proto_connect(p, &(struct proto_opts){0});
    EXPECT_ALIVE(p);
    g_assert_true(is_locked(pid));
    proto_stop(p);
}

#define SOCK "--socket-path={sock}"
#define DIR_ "--shared-dir={dir}"

static void stale_socket_is_replaced(void)
{
    struct proto *p = proto_new();
    struct daemon_setup setup = {.keep_fd = -1};
    g_auto(GStrv) argv = proto_command(p, NULL);
    g_autofree char *pid = pid_path(p);
    int fd = vmm_listen(p->sock);

    g_assert_cmpint(fd, >=, 0);
    close(fd); /* the name stays, nobody listens */
    g_assert_true(g_file_set_contents(pid, "1\n", -1, NULL));
    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    proto_connect(p, &(struct proto_opts){0});
    EXPECT_ALIVE(p);
    proto_stop(p);
}

static void socket_is_private(void)
{
    struct proto *p;
    struct stat st;

    umask(0);
    p = proto_start(&only_ready);
    g_assert_cmpint(stat(p->sock, &st), ==, 0);
    g_assert_true(S_ISSOCK(st.st_mode));
    g_assert_cmpuint(st.st_mode & 0077, ==, 0);
    umask(022);
    daemon_signal(&p->d, SIGTERM);
    proto_stop_exit(p, 0);
}

static void socket_group_may_connect(void)
{
    static const char *const args[] = {"--socket-group=daemon", NULL};
    const struct proto_opts o = {.args = args, .no_connect = true};
    struct proto *p = proto_start(&o);
    const struct group *gr = getgrnam("daemon");
    struct stat st;

    g_assert_nonnull(gr);
    g_assert_cmpint(stat(p->sock, &st), ==, 0);
    g_assert_cmpuint(st.st_gid, ==, gr->gr_gid);
    g_assert_cmpuint(st.st_mode & 0060, ==, 0060);
    g_assert_cmpuint(st.st_mode & 0007, ==, 0);
    daemon_signal(&p->d, SIGTERM);
    proto_stop_exit(p, 0);
}

static void relative_socket_path(void)
{
    struct proto *p = proto_new();
    struct daemon_setup setup = {.keep_fd = -1, .cwd = p->base};
    const char *words[] = {proto_program(), "--socket-path=vhost.sock", DIR_, NULL};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, -1);
    g_autofree char *pid = pid_path(p);

    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    proto_connect(p, &(struct proto_opts){0});
    EXPECT_ALIVE(p);
    vmm_disconnect(&p->vmm);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_false(exists(p->sock) || exists(pid));
    proto_stop_exit(p, 0);
}

/* Starts words with a listening socket as {fd}, connects and works a little. */
static void serve_on_fd(const char *const *words, bool nonblock)
{
    struct proto *p = proto_new();
    int fd = vmm_listen(p->sock);
    struct daemon_setup setup = {.keep_fd = fd};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, fd);

    g_assert_cmpint(fd, >=, 0);
    if (nonblock) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    OK(p, daemon_start(&p->d, argv, &setup));
    close(fd);
    proto_connect(p, &(struct proto_opts){0}); /* at once, as Kata's shim does */
    proto_make(p, "file", "x");
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    g_assert_cmpuint(daemon_log_lines(&p->d, DAEMON_READY_TEXT), ==, 1);
    proto_stop(p);
}

static void fd_that_blocks(void)
{
    const char *words[] = {proto_program(), "--fd={fd}", DIR_, NULL};

    serve_on_fd(words, false);
}

static void fd_that_does_not_block(void)
{
    const char *words[] = {proto_program(), "--fd={fd}", DIR_, NULL};

    serve_on_fd(words, true);
}

static void line_of_kata_go(void)
{
    const char *words[] = {proto_program(),
                           "--syslog",
                           "--cache=auto",
                           DIR_,
                           "--fd={fd}",
                           "--thread-pool-size=1",
                           "--announce-submounts",
                           "--xattr",
                           NULL};

    serve_on_fd(words, true);
}

static void line_of_old_kata(void)
{
    const char *words[] = {
        proto_program(), "--syslog",  "-o", "cache=auto", "-o", "no_posix_lock", "-o",
        "source={dir}",  "--fd={fd}", "-f", NULL};

    serve_on_fd(words, false);
}

static void line_of_incus(void)
{
    const char *words[] = {proto_program(),    "--fd={fd}", "--cache=never", DIR_,
                           "--posix-acl=auto", NULL};

    serve_on_fd(words, false);
}

/* Two-word and one-word forms, on a socket of its own. */
static void serve_line(const char *const *words)
{
    struct proto *p = proto_new();
    struct daemon_setup setup = {.keep_fd = -1};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, -1);

    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    proto_connect(p, &(struct proto_opts){0});
    proto_make(p, "file", "x");
    proto_stop(p);
}

static void line_of_kata_rust(void)
{
    const char *words[] = {
        proto_program(), "--socket-path",        "{sock}", "--shared-dir",       "{dir}", "--cache",
        "auto",          "--thread-pool-size=1", "-o",     "announce_submounts", NULL};

    serve_line(words);
}

static void line_of_older_kata_rust(void)
{
    const char *words[] = {
        proto_program(), "--socket-path", "{sock}",    "--shared-dir", "{dir}",
        "--cache",       "never",         "--sandbox", "none",         "--seccomp",
        "none",          "--xattr",       NULL};

    serve_line(words);
}

static void line_of_virtme_ng(void)
{
    const char *words[] = {proto_program(),
                           "--syslog",
                           "--no-announce-submounts",
                           "--readonly",
                           "--socket-path",
                           "{sock}",
                           "--shared-dir",
                           "{dir}",
                           "--sandbox",
                           "none",
                           "--cache",
                           "auto",
                           NULL};

    serve_line(words);
}

static void line_of_kubevirt(void)
{
    const char *words[] = {proto_program(),
                           SOCK,
                           DIR_,
                           "--sandbox=none",
                           "--cache=auto",
                           "--migration-on-error=guest-error",
                           "--migration-mode=find-paths",
                           NULL};

    serve_line(words);
}

static void line_of_libvirt_with_the_old_daemon(void)
{
    const char *words[] = {proto_program(), SOCK, "-o", "source={dir},cache=always,xattr,no_flock",
                           NULL};

    serve_line(words);
}

static void end_by(int sig, bool connected)
{
    struct proto *p = proto_start(connected ? NULL : &only_ready);
    g_autofree char *pid = pid_path(p);
    int64_t start;

    if (connected) {
        EXPECT_ALIVE(p);
    }
    start = frontend_now_ms();
    daemon_signal(&p->d, sig);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_cmpint(frontend_now_ms() - start, <, 1000);
    g_assert_false(exists(p->sock));
    g_assert_false(exists(pid));
    proto_stop_exit(p, 0);
}

static void sigterm_before_a_front_end(void)
{
    end_by(SIGTERM, false);
}

static void sigterm_while_serving(void)
{
    end_by(SIGTERM, true);
}

static void sigint_while_serving(void)
{
    end_by(SIGINT, true);
}

/* The runner finds whatever process is left. */
static void sigkill_leaves_no_orphan(void)
{
    struct proto *p = proto_start(NULL);

    EXPECT_ALIVE(p);
    daemon_signal(&p->d, SIGKILL);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    proto_free(p);
}

static void front_end_that_says_nothing(void)
{
    struct proto *p = proto_start(&only_ready);

    OK(p, vmm_init(&p->vmm, NULL));
    OK(p, vmm_connect(&p->vmm, p->sock));
    proto_stop(p);
}

/* stderr is a pipe nobody reads: closed, or full and non-blocking. */
static void serve_with_stderr(int err_fd)
{
    struct proto *p = proto_new();
    int fd = vmm_listen(p->sock);
    g_autofree char *fd_text = g_strdup_printf("--fd=%d", fd);
    g_autofree char *dir = g_strdup_printf("--shared-dir=%s", p->dir);
    char *argv[] = {(char *)(uintptr_t)proto_program(), fd_text, dir,
                    (char *)(uintptr_t) "--log-level=debug", NULL};
    GError *error = NULL;
    int status;
    GPid pid;

    fcntl(fd, F_SETFD, 0);
    g_spawn_async_with_fds(NULL, argv, NULL,
                           G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN, NULL, NULL,
                           &pid, -1, -1, err_fd, &error);
    g_assert_no_error(error);
    close(fd);
    proto_connect(p, &(struct proto_opts){0});
    for (int i = 0; i < 50; i++) {
        (void)fc_mkdir(p->q, ROOT, "", 0755, NULL); /* something to log */
    }
    EXPECT_ALIVE(p);
    vmm_disconnect(&p->vmm);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    proto_free(p);
}

static void stderr_that_is_closed(void)
{
    int fds[2];

    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    close(fds[0]);
    signal(SIGPIPE, SIG_DFL);
    serve_with_stderr(fds[1]);
    signal(SIGPIPE, SIG_IGN);
    close(fds[1]);
}

static void stderr_that_is_full(void)
{
    char block[4096] = {0};
    int fds[2];

    g_assert_cmpint(pipe2(fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
    while (write(fds[1], block, sizeof(block)) > 0) {
    }
    serve_with_stderr(fds[1]);
    close(fds[0]);
    close(fds[1]);
}

static void readonly_share(void)
{
    static const char *const args[] = {"--readonly", NULL};
    const struct proto_opts o = {.args = args};
    struct proto *p = proto_start(&o);
    uint64_t n = proto_make(p, "file", "content");
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0600};
    char buf[16];
    uint64_t fh;

    EXPECT(p, fc_mkdir(p->q, ROOT, "dir", 0755, NULL), -EROFS);
    EXPECT(p, fc_unlink(p->q, ROOT, "file"), -EROFS);
    EXPECT(p, fc_setattr(p->q, n, &in, NULL), -EROFS);
    EXPECT(p, fc_open(p->q, n, O_RDWR, &fh), -EROFS);
    EXPECT(p, fc_open(p->q, n, O_RDONLY | O_TRUNC, &fh), -EROFS);
    EXPECT(p, fc_create(p->q, ROOT, "new", O_RDWR | O_CREAT, 0644, NULL, &fh), -EROFS);
    OK(p, fc_open(p->q, n, O_RDONLY, &fh));
    EXPECT(p, fc_read(p->q, n, fh, 0, buf, sizeof(buf)), 7);
    proto_stop(p);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/life/" #name, name)
    ADD(ready_line_and_pid_file);
    ADD(pid_file_is_locked_while_it_runs);
    ADD(stale_socket_is_replaced);
    ADD(socket_is_private);
    ADD(socket_group_may_connect);
    ADD(relative_socket_path);
    ADD(fd_that_blocks);
    ADD(fd_that_does_not_block);
    ADD(line_of_kata_go);
    ADD(line_of_old_kata);
    ADD(line_of_kata_rust);
    ADD(line_of_older_kata_rust);
    ADD(line_of_incus);
    ADD(line_of_virtme_ng);
    ADD(line_of_kubevirt);
    ADD(line_of_libvirt_with_the_old_daemon);
    ADD(sigterm_before_a_front_end);
    ADD(sigterm_while_serving);
    ADD(sigint_while_serving);
    ADD(sigkill_leaves_no_orphan);
    ADD(front_end_that_says_nothing);
    ADD(stderr_that_is_closed);
    ADD(stderr_that_is_full);
    ADD(readonly_share);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
