/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How callers start and end the daemon: readiness, sockets, refusals, signals, the command lines
 * that are out there.
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

/* Runs the command to its end: exit 1, one sentence on stderr. */
static void expect_refusal_of(struct proto *p, char *const *argv, const struct daemon_setup *setup)
{
    struct daemon d;
    int status;

    OK(p, daemon_start(&d, argv, setup));
    EXPECT(p, daemon_wait_exit(&d, frontend_timeout_ms()), 0);
    status = d.status;
    g_autofree char *log = daemon_log(&d);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || daemon_log_lines(&d, NULL) != 1) {
        g_autofree char *line = g_strjoinv(" ", (char **)(uintptr_t)argv);

        fprintf(stderr, "%s\nstatus %#x, said: %s\n", line, (unsigned)status, log);
        proto_check(p, __FILE__, __LINE__, "exit 1 with one line", -1, 0);
    }
    g_assert_true(g_utf8_validate(log, -1, NULL));
    daemon_done(&d);
}

static void expect_refusal(struct proto *p, const char *const *words)
{
    struct daemon_setup setup = {.keep_fd = -1};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, -1);
    g_autofree char *pid = pid_path(p);

    expect_refusal_of(p, argv, &setup);
    g_assert_false(exists(p->sock));
    g_assert_false(exists(pid));
}

#define SOCK "--socket-path={sock}"
#define DIR_ "--shared-dir={dir}"

static void refuses(const char *const *words)
{
    struct proto *p = proto_new();
    GPtrArray *argv = g_ptr_array_new();

    g_ptr_array_add(argv, (void *)(uintptr_t)proto_program());
    for (; *words; words++) {
        g_ptr_array_add(argv, (void *)(uintptr_t)*words);
    }
    g_ptr_array_add(argv, NULL);
    proto_write_file(p, "file", "");
    expect_refusal(p, (const char *const *)argv->pdata);
    g_ptr_array_free(argv, TRUE);
    proto_free(p);
}

#define REFUSES(name, ...)                                                                         \
    static void name(void)                                                                         \
    {                                                                                              \
        static const char *const words[] = {__VA_ARGS__, NULL};                                    \
        refuses(words);                                                                            \
    }
REFUSES(shared_dir_missing, SOCK, "--shared-dir={dir}/none")
REFUSES(shared_dir_is_a_file, SOCK, "--shared-dir={dir}/file")
REFUSES(shared_dir_empty, SOCK, "--shared-dir=")
REFUSES(source_missing, SOCK, "-o", "source={dir}/none")
REFUSES(two_shared_dirs, SOCK, DIR_, "--shared-dir=/")
REFUSES(two_shared_dirs_in_both_dialects, SOCK, DIR_, "-o", "source=/")
REFUSES(fd_and_socket_path, SOCK, "--fd=2", DIR_)
REFUSES(neither_fd_nor_socket_path, DIR_)
REFUSES(unknown_option, SOCK, DIR_, "--no-such-option")
REFUSES(unknown_option_with_a_value, SOCK, DIR_, "--no-such-option=1")
REFUSES(unknown_o_word, SOCK, DIR_, "-o", "no_such_word")
REFUSES(stray_word, SOCK, DIR_, "stray")
REFUSES(bad_cache_mode, SOCK, DIR_, "--cache=sometimes")
REFUSES(bad_number, SOCK, DIR_, "--thread-pool-size=many")
REFUSES(negative_number, SOCK, DIR_, "--thread-pool-size=-3")
REFUSES(bad_map_type, SOCK, DIR_, "--xattrmap=:nonsense:all:::")
REFUSES(bad_map_scope, SOCK, DIR_, "--xattrmap=:ok:nobody:::")
REFUSES(bad_map_cut_off, SOCK, DIR_, "-o", "xattrmap=:map:trusted.:user.vir")
REFUSES(bad_map_with_two_map_rules, SOCK, DIR_, "--xattrmap=:map::user.a.::map::user.b.:")
REFUSES(bad_map_empty, SOCK, DIR_, "--xattrmap=")
REFUSES(bad_modcaps, SOCK, DIR_, "--modcaps=+no_such_capability")
REFUSES(tag_too_long, SOCK, DIR_, "--tag=a-tag-that-has-more-than-thirty-six-bytes")
REFUSES(socket_group_unknown, SOCK, DIR_, "--socket-group=no-such-group-here")
REFUSES(socket_in_no_directory, "--socket-path={dir}/none/sock", DIR_)
REFUSES(fd_that_is_not_open, "--fd=99", DIR_)
REFUSES(fd_that_is_no_socket, "--fd=0", DIR_)

static void bad_map_names_rule_and_position(void)
{
    struct proto *p = proto_new();
    struct daemon_setup setup = {.keep_fd = -1};
    const char *words[] = {proto_program(), SOCK, DIR_,
                           "--xattrmap=:ok:all::: :nonsense:all:::", NULL};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, -1);

    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_autofree char *log = daemon_log(&p->d);
    g_assert_nonnull(strstr(log, "nonsense"));
    g_assert_nonnull(strpbrk(log, "0123456789"));
    proto_free(p);
}

static void socket_path_too_long(void)
{
    struct proto *p = proto_new();
    struct daemon_setup setup = {.keep_fd = -1};
    g_autofree char *sock = g_strdup_printf("--socket-path=%s/%0200d", p->base, 1);
    const char *words[] = {proto_program(), sock, DIR_, NULL};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, -1);

    expect_refusal_of(p, argv, &setup);
    proto_free(p);
}

/* A directory this user cannot read is found out before a socket exists. */
static void shared_dir_unreadable(void)
{
    struct proto *p = proto_new();
    struct daemon_setup setup = {.keep_fd = -1, .uid = 65534};
    g_autofree char *copy = g_build_filename(p->base, "virtiofsd", NULL);
    const char *words[] = {copy, SOCK, DIR_, "--sandbox=none", NULL};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, -1);
    const char *cp[] = {"cp", proto_program(), copy, NULL};

    g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)cp, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                               NULL, NULL, NULL, NULL));
    g_assert_cmpint(chmod(copy, 0755), ==, 0);
    g_assert_cmpint(chmod(p->base, 0777), ==, 0);
    g_assert_cmpint(chmod(p->dir, 0700), ==, 0);
    expect_refusal_of(p, argv, &setup);
    g_assert_false(exists(p->sock));
    proto_free(p);
}

static void become_nobody(void *data)
{
    if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0) {
        _exit(126);
    }
}

/* stdout of a daemon that ends at once with 0, started as nobody. */
static char *tell(const char *const *words)
{
    struct proto *p = proto_new();
    g_autofree char *copy = g_build_filename(p->base, "virtiofsd", NULL);
    const char *cp[] = {"cp", proto_program(), copy, NULL};
    GPtrArray *argv = g_ptr_array_new();
    GError *error = NULL;
    char *out = NULL;
    int status = -1;

    g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)cp, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                               NULL, NULL, NULL, NULL));
    g_assert_cmpint(chmod(copy, 0755), ==, 0);
    g_assert_cmpint(chmod(p->base, 0755), ==, 0);
    g_ptr_array_add(argv, copy);
    for (; *words; words++) {
        g_ptr_array_add(argv, (void *)(uintptr_t)*words);
    }
    g_ptr_array_add(argv, NULL);
    g_spawn_sync("/", (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, become_nobody, NULL, &out, NULL,
                 &status, &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    g_ptr_array_free(argv, TRUE);
    proto_free(p);
    return out;
}

#define TELL(...) tell((const char *const[]){__VA_ARGS__, NULL})

static void version_help_capabilities_as_nobody(void)
{
    g_autofree char *version = TELL("--version");
    g_autofree char *short_version = TELL("-V");
    g_autofree char *help = TELL("--help");
    g_autofree char *short_help = TELL("-h");
    g_autofree char *caps = TELL("--print-capabilities");
    g_autofree char *wins = TELL("--shared-dir=/none", "--print-capabilities", "--fd=77");

    g_assert_nonnull(strstr(version, "virtiofsd"));
    g_assert_cmpstr(version, ==, short_version);
    g_assert_nonnull(strstr(help, "--readonly"));
    g_assert_nonnull(strstr(help, "--shared-dir"));
    g_assert_cmpstr(help, ==, short_help);
    g_assert_nonnull(strstr(caps, "\"type\""));
    g_assert_nonnull(strstr(caps, "\"fs\""));
    g_assert_cmpstr(caps, ==, wins);
}

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

static void second_daemon_on_the_socket_is_refused(void)
{
    struct proto *p = proto_start(&only_ready);
    struct daemon_setup setup = {.keep_fd = -1};
    g_auto(GStrv) argv = proto_command(p, NULL);

    expect_refusal_of(p, argv, &setup);
    proto_connect(p, &(struct proto_opts){0}); /* the first one noticed nothing */
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

static void fd_that_is_connected_is_refused(void)
{
    struct proto *p = proto_new();
    int fds[2];
    const char *words[] = {proto_program(), "--fd={fd}", DIR_, NULL};

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    struct daemon_setup setup = {.keep_fd = fds[0]};
    g_auto(GStrv) argv = daemon_command(words, p->sock, p->dir, fds[0]);
    expect_refusal_of(p, argv, &setup);
    close(fds[0]);
    close(fds[1]);
    proto_free(p);
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
#define ADD(name) proto_add("/cmdline/" #name, name)
    ADD(ready_line_and_pid_file);
    ADD(pid_file_is_locked_while_it_runs);
    ADD(shared_dir_missing);
    ADD(shared_dir_is_a_file);
    ADD(shared_dir_empty);
    ADD(shared_dir_unreadable);
    ADD(source_missing);
    ADD(two_shared_dirs);
    ADD(two_shared_dirs_in_both_dialects);
    ADD(fd_and_socket_path);
    ADD(neither_fd_nor_socket_path);
    ADD(unknown_option);
    ADD(unknown_option_with_a_value);
    ADD(unknown_o_word);
    ADD(stray_word);
    ADD(bad_cache_mode);
    ADD(bad_number);
    ADD(negative_number);
    ADD(bad_map_type);
    ADD(bad_map_scope);
    ADD(bad_map_cut_off);
    ADD(bad_map_with_two_map_rules);
    ADD(bad_map_empty);
    ADD(bad_map_names_rule_and_position);
    ADD(bad_modcaps);
    ADD(tag_too_long);
    ADD(socket_group_unknown);
    ADD(socket_in_no_directory);
    ADD(socket_path_too_long);
    ADD(fd_that_is_not_open);
    ADD(fd_that_is_no_socket);
    ADD(fd_that_is_connected_is_refused);
    ADD(version_help_capabilities_as_nobody);
    ADD(stale_socket_is_replaced);
    ADD(second_daemon_on_the_socket_is_refused);
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
