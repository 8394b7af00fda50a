/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small parts of the host room: modcaps, limits, pid file. What they do to a whole process is
 * seen from outside by tests/security.
 */
#include "base/util.h"
#include "host/caps.h"
#include "host/limits.h"
#include "host/pidfile.h"
#include "host/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void test_modcaps_grammar(void)
{
    static const char *const good[] = {
        NULL, "", "+sys_admin", "-mknod", "+CAP_SYS_ADMIN:-Cap_MkNod", "+dac_read_search:-setfcap",
    };
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"sys_admin", "must start with"}, {"+flying", "\"flying\""}, {"+", "\"\""},
        {"+sys_admin:", "must start"},    {":", "must start"},       {"+sys_admin,-mknod", "named"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *error = NULL;

        g_assert_cmpint(caps_check_modcaps(good[i], &error), ==, 0);
        g_assert_null(error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *error = NULL;

        g_assert_cmpint(caps_check_modcaps(bad[i].text, &error), ==, -EINVAL);
        g_assert_nonnull(strstr(error, bad[i].word));
    }
}

/* In a child: limits are for life. */
static void in_child(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        body();
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void set_hard_nofile(rlim_t hard)
{
    struct rlimit limit = {MIN(hard, 64), hard};

    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

static void automatic_limit(void)
{
    uint64_t got = 0;
    char *error = NULL;
    struct rlimit now;

    set_hard_nofile(500);
    g_assert_cmpint(limits_set_nofile(LIMITS_NOFILE_AUTO, &got, &error), ==, 0);
    g_assert_null(error);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &now), ==, 0);
    g_assert_cmpuint(got, ==, now.rlim_cur);
    g_assert_cmpuint(got, >=, 500);
    g_assert_cmpuint(got, <=, 1000000);
}

static void impossible_limit(void)
{
    uint64_t got = 7;
    char *error = NULL;

    /* above fs.nr_open not even root may go */
    g_assert_cmpint(limits_set_nofile(INT64_MAX, &got, &error), ==, -EPERM);
    g_assert_nonnull(strstr(error, "--rlimit-nofile="));
    g_assert_cmpuint(got, ==, 7);
}

static void kept_limit(void)
{
    uint64_t got = 0;
    char *error = NULL;

    set_hard_nofile(500);
    g_assert_cmpint(limits_set_nofile(LIMITS_NOFILE_KEEP, &got, &error), ==, 0);
    g_assert_cmpuint(got, ==, 64);
}

static void test_nofile(void)
{
    in_child(automatic_limit);
    in_child(impossible_limit);
    in_child(kept_limit);
}

static void clean_fds(void)
{
    int low = open("/", O_PATH | O_DIRECTORY);
    int kept = fcntl(low, F_DUPFD, 20);
    int high = fcntl(low, F_DUPFD, 40);

    (void)close(STDIN_FILENO);
    g_assert_cmpint(limits_clean_fds(kept), ==, 0);
    g_assert_cmpint(fcntl(low, F_GETFD), ==, -1);
    g_assert_cmpint(fcntl(high, F_GETFD), ==, -1);
    g_assert_cmpint(fcntl(kept, F_GETFD), ==, 0);
    g_assert_cmpint(fcntl(STDIN_FILENO, F_GETFD), ==, 0);
}

static void test_leaked_descriptors_are_closed(void)
{
    in_child(clean_fds);
}

static void test_pid_file(void)
{
    g_autofree char *dir = g_dir_make_tmp("virtiofsd-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "socket.pid", NULL);
    g_autofree char *text = NULL;
    g_autofree char *wanted = g_strdup_printf("%d\n", (int)getpid());
    g_autofree char *error = NULL;
    struct stat st;
    int fd = -1;

    g_assert_cmpint(pidfile_check_free(path, &error), ==, 0);
    g_assert_true(g_file_set_contents(path, "1\n", -1, NULL)); /* a dead daemon's */
    g_assert_cmpint(pidfile_check_free(path, &error), ==, 0);
    g_assert_cmpint(pidfile_create(path, &fd, &error), ==, 0);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, wanted);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);

    g_assert_cmpint(pidfile_check_free(path, &error), ==, -EBUSY);
    g_assert_nonnull(strstr(error, path));
    pidfile_remove(path, fd);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    g_assert_cmpint(g_rmdir(dir), ==, 0); /* no temporary name is left */
}

static void test_pid_file_of_another_stays(void)
{
    g_autofree char *dir = g_dir_make_tmp("virtiofsd-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "socket.pid", NULL);
    char *error = NULL;
    int old = -1;
    int new = -1;

    g_assert_cmpint(pidfile_create(path, &old, &error), ==, 0);
    g_assert_cmpint(pidfile_create(path, &new, &error), ==, 0);
    pidfile_remove(path, old);
    g_assert_cmpint(access(path, F_OK), ==, 0);
    pidfile_remove(path, new);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

static void test_maps_without_namespaces_are_refused(void)
{
    const struct userns_range range = {0, 1000, 1};
    struct sandbox_config config = {
        .confinement = CONFINE_NONE,
        .shared_dir = "/",
        .uid_map = &range,
        .n_uid_map = 1,
        .supervisor_fd = -1,
    };
    struct sandbox_result result;
    g_autofree char *error = NULL;

    g_assert_cmpint(sandbox_enter(&config, &result, &error), ==, -EINVAL);
    g_assert_nonnull(strstr(error, "--sandbox=namespace"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/modcaps_grammar", test_modcaps_grammar);
    g_test_add_func("/host/nofile", test_nofile);
    g_test_add_func("/host/leaked_descriptors_are_closed", test_leaked_descriptors_are_closed);
    g_test_add_func("/host/pid_file", test_pid_file);
    g_test_add_func("/host/pid_file_of_another_stays", test_pid_file_of_another_stays);
    g_test_add_func("/host/maps_without_namespaces_are_refused",
                    test_maps_without_namespaces_are_refused);
    return g_test_run();
}
