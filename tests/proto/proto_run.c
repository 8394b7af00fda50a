/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One child process for each test, with a watchdog and a look at what it leaves behind.
 */
#include "proto.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int test_timeout_ms(void)
{
    const char *text = g_getenv("PROTO_TEST_TIMEOUT");
    int seconds = text ? atoi(text) : 0;

    return (seconds > 0 ? seconds : 60) * 1000;
}

/* Descendants that lost their parent become ours; whoever is still there after a while leaked. */
static bool all_reaped(void)
{
    gint64 deadline = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;

    while (waitpid(-1, NULL, WNOHANG) >= 0) {
        if (g_get_monotonic_time() > deadline) {
            return false;
        }
        g_usleep(1000);
    }
    return errno == ECHILD;
}

struct test {
    void (*func)(gconstpointer data);
    gconstpointer data;
};

static G_GNUC_NORETURN void run_in_child(const struct test *test)
{
    int before;
    int after;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* the TAP stream belongs to the parent */
    before = daemon_count_fds(getpid());
    test->func(test->data);
    after = daemon_count_fds(getpid());
    if (after != before) {
        fprintf(stderr, "leak: %d descriptors before, %d after\n", before, after);
        _exit(1);
    }
    if (!all_reaped()) {
        fprintf(stderr, "leak: a process of the daemon is still there\n");
        kill(-getpid(), SIGTERM);
        _exit(1);
    }
    _exit(0);
}

static void run_one(gconstpointer data)
{
    const struct test *test = data;
    struct pollfd pfd = {.events = POLLIN};
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        run_in_child(test);
    }
    g_assert_cmpint(pid, >, 0);
    pfd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (poll(&pfd, 1, test_timeout_ms()) == 0) {
        fprintf(stderr, "test ran out of time\n");
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
    }
    close(pfd.fd);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "the test ended by signal %d\n", WTERMSIG(status));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        g_test_skip("not possible here");
    } else if (status != 0) {
        g_test_fail();
    }
}

/* PROTO_NOT_HERE: paths of tests that this environment cannot do, one a line. Said aloud. */
static bool is_not_here(const char *path)
{
    const char *list = g_getenv("PROTO_NOT_HERE");
    g_auto(GStrv) paths = g_strsplit(list ? list : "", "\n", -1);

    if (!g_strv_contains((const gchar *const *)paths, path)) {
        return false;
    }
    printf("# not possible here: %s\n", path);
    return true;
}

void proto_add_with(const char *path, void (*func)(gconstpointer data), gconstpointer data)
{
    struct test *test = NULL;

    if (is_not_here(path)) {
        return;
    }
    test = g_new0(struct test, 1);
    *test = (struct test){.func = func, .data = data};
    g_test_add_data_func_full(path, test, run_one, g_free);
}

static void run_plain(gconstpointer data)
{
    void (*func)(void) = (void (*)(void))(uintptr_t)data;

    func();
}

void proto_add(const char *path, void (*func)(void))
{
    proto_add_with(path, run_plain, (gconstpointer)(uintptr_t)func);
}

int proto_main(int argc, char **argv, void (*add_tests)(void))
{
    if (geteuid() != 0) {
        fprintf(stderr, "proto tests need root: they look at ownership and devices\n");
        return g_getenv("CI") ? 1 : 77;
    }
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    /* without -k GLib ends the program at the first test that fails */
    g_autofree char **args = g_new0(char *, (size_t)argc + 2);
    memcpy(args, argv, (size_t)argc * sizeof(*args));
    args[argc++] = (char *)(uintptr_t) "-k";
    argv = args;
    g_test_init(&argc, &argv, NULL);
    add_tests();
    return g_test_run();
}
