/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who makes a user namespace may map exactly one id into it: its own. Anything more is written
 * from outside, by newuidmap and newgidmap (they know /etc/subuid), or by root directly. That
 * outside is a helper, forked before the namespace is entered and gone after it.
 *
 * Without any wish the user becomes uid 0 inside: what the guest's root makes belongs to the user,
 * and what the user has belongs to the guest's root.
 */
#include "host/userns.h"

#include "base/util.h"
#include "host/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* The kernel takes 340 lines; newuidmap's command line sets no lower bound. */
#define MAX_RANGES 340

struct map {
    const char *file; /* in /proc/PID */
    const char *tool;
    const struct userns_range *ranges;
    size_t n;
    struct userns_range own; /* what `ranges` points to without a wish */
};

struct maps {
    struct map uid;
    struct map gid;
};

static void map_init(struct map *map, const char *file, const char *tool,
                     const struct userns_range *wished, size_t n, uint32_t own)
{
    map->file = file;
    map->tool = tool;
    map->own = (struct userns_range){.inside = 0, .outside = own, .count = 1};
    map->ranges = n > 0 ? wished : &map->own;
    map->n = n > 0 ? n : 1;
}

static bool is_own_id_only(const struct map *map)
{
    return map->n == 1 && map->ranges[0].count == 1 && map->ranges[0].outside == map->own.outside;
}

static int write_file(const char *path, const char *text)
{
    auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t len = strlen(text);

    if (fd < 0) {
        return -errno;
    }
    /* the kernel takes a map in one write or not at all */
    return write(fd, text, len) == (ssize_t)len ? 0 : -errno;
}

static int map_write(const struct map *map, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, map->file);
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; i < map->n; i++) {
        g_string_append_printf(text, "%u %u %u\n", map->ranges[i].inside, map->ranges[i].outside,
                               map->ranges[i].count);
    }
    return write_file(path, text->str);
}

/* Runs newuidmap PID INSIDE OUTSIDE COUNT...; it says on stderr what it does not like. */
static int map_run_tool(const struct map *map, pid_t pid)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    pid_t child = -1;
    int status = 0;

    g_ptr_array_add(argv, g_strdup(map->tool));
    g_ptr_array_add(argv, g_strdup_printf("%d", (int)pid));
    for (size_t i = 0; i < map->n; i++) {
        g_ptr_array_add(argv, g_strdup_printf("%u", map->ranges[i].inside));
        g_ptr_array_add(argv, g_strdup_printf("%u", map->ranges[i].outside));
        g_ptr_array_add(argv, g_strdup_printf("%u", map->ranges[i].count));
    }
    g_ptr_array_add(argv, NULL);
    child = fork();
    if (child == 0) {
        execvp(map->tool, (char *const *)argv->pdata);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child < 0 || !WIFEXITED(status)) {
        return -EIO;
    }
    if (WEXITSTATUS(status) == 127) {
        return -ENOENT;
    }
    return WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* The helper's life: wait until its parent is in the namespace, map it, end. */
static void helper_run(const struct maps *maps, int go_fd, pid_t target)
{
    bool is_privileged = caps_have(CAP_SETUID) && caps_have(CAP_SETGID);
    char go = 0;
    int res = 0;

    if (read(go_fd, &go, 1) != 1) {
        _exit(EXIT_SUCCESS); /* the parent gave up */
    }
    res = is_privileged ? map_write(&maps->gid, target) : map_run_tool(&maps->gid, target);
    if (res == 0) {
        res = is_privileged ? map_write(&maps->uid, target) : map_run_tool(&maps->uid, target);
    }
    _exit(-res);
}

static int helper_start(const struct maps *maps, pid_t *ret_helper, int *ret_go_fd)
{
    pid_t parent = getpid();
    pid_t helper = -1;
    int go[2];

    if (pipe2(go, O_CLOEXEC) < 0) {
        return -errno;
    }
    helper = fork();
    if (helper == 0) {
        (void)close(go[1]);
        helper_run(maps, go[0], parent);
    }
    (void)close(go[0]);
    if (helper < 0) {
        (void)close(go[1]);
        return -EAGAIN;
    }
    *ret_helper = helper;
    *ret_go_fd = go[1];
    return 0;
}

static int helper_finish(pid_t helper, int go_fd)
{
    int status = 0;
    ssize_t n = write(go_fd, "g", 1);

    (void)close(go_fd);
    while (waitpid(helper, &status, 0) < 0 && errno == EINTR) {
    }
    if (n != 1 || !WIFEXITED(status)) {
        return -EIO;
    }
    return -WEXITSTATUS(status);
}

static int unshare_user(char **ret_error)
{
    int res = unshare(CLONE_NEWUSER) < 0 ? -errno : 0;

    if (res < 0) {
        *ret_error = g_strdup_printf("sandbox: user namespaces are not permitted here (%s): run as "
                                     "root, permit them, or use --sandbox=none",
                                     g_strerror(-res));
    }
    return res;
}

static int enter_with_own_id(const struct maps *maps, char **ret_error)
{
    int res = unshare_user(ret_error);

    if (res < 0) {
        return res;
    }
    /* the kernel's condition for mapping a gid without privilege; absent before 3.19 */
    res = write_file("/proc/self/setgroups", "deny");
    if (res == 0 || res == -ENOENT) {
        res = map_write(&maps->gid, getpid());
    }
    if (res == 0) {
        res = map_write(&maps->uid, getpid());
    }
    if (res < 0) {
        *ret_error = g_strdup_printf("sandbox: cannot map the user into its namespace (%s): use "
                                     "--sandbox=none",
                                     g_strerror(-res));
    }
    return res;
}

static int enter_with_helper(const struct maps *maps, char **ret_error)
{
    pid_t helper = -1;
    int go_fd = -1;
    int res = helper_start(maps, &helper, &go_fd);

    if (res < 0) {
        *ret_error = g_strdup_printf("sandbox: cannot start a helper: %s", g_strerror(-res));
        return res;
    }
    res = unshare_user(ret_error);
    if (res < 0) {
        (void)close(go_fd); /* which ends the helper */
        (void)waitpid(helper, NULL, 0);
        return res;
    }
    res = helper_finish(helper, go_fd);
    if (res == -ENOENT) {
        *ret_error = g_strdup("sandbox: --uid-map and --gid-map need newuidmap and newgidmap "
                              "(package uidmap)");
    } else if (res < 0) {
        *ret_error = g_strdup_printf("sandbox: the id maps were refused (%s): are the host ids "
                                     "yours in /etc/subuid and /etc/subgid?",
                                     g_strerror(-res));
    }
    return res;
}

int userns_enter(const struct sandbox_config *config, char **ret_error)
{
    struct maps maps;

    if (config->n_uid_map > MAX_RANGES || config->n_gid_map > MAX_RANGES) {
        *ret_error = g_strdup_printf("sandbox: at most %d id ranges can be mapped", MAX_RANGES);
        return -EINVAL;
    }
    map_init(&maps.uid, "uid_map", "newuidmap", config->uid_map, config->n_uid_map, geteuid());
    map_init(&maps.gid, "gid_map", "newgidmap", config->gid_map, config->n_gid_map, getegid());
    if (is_own_id_only(&maps.uid) && is_own_id_only(&maps.gid)) {
        return enter_with_own_id(&maps, ret_error);
    }
    return enter_with_helper(&maps, ret_error);
}

static bool has_zero(const struct userns_range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].inside == 0 && ranges[i].count > 0) {
            return true;
        }
    }
    return n == 0; /* without a wish the own id is 0 */
}

int userns_become_root(const struct sandbox_config *config, char **ret_error)
{
    int res = 0;

    if (has_zero(config->gid_map, config->n_gid_map) && setresgid(0, 0, 0) < 0) {
        res = -errno;
    } else if (has_zero(config->uid_map, config->n_uid_map) && setresuid(0, 0, 0) < 0) {
        res = -errno;
    }
    if (res < 0) {
        *ret_error = g_strdup_printf("sandbox: cannot become root of the user namespace: %s",
                                     g_strerror(-res));
    }
    return res;
}
