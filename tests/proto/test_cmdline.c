/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines that are refused: one sentence, exit 1, and no socket made. And those that only
 * ask, which nobody needs privileges for.
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

static void add_tests(void)
{
#define ADD(name) proto_add("/cmdline/" #name, name)
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
    ADD(second_daemon_on_the_socket_is_refused);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
