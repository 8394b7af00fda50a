/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Written under another name, locked, then renamed: who sees the file sees a number in it. The
 * lock belongs to the open file, which worker and supervisor share; it ends with the last of them.
 */
#include "host/pidfile.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

int pidfile_check_free(const char *path, char **ret_error)
{
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char pid[16] = "";

    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0) {
        return 0; /* none, or a dead daemon's; what cannot be opened fails when it is written */
    }
    if (errno != EWOULDBLOCK) {
        return 0; /* no locks on this file system */
    }
    if (pread(fd, pid, sizeof(pid) - 1, 0) < 0) {
        pid[0] = '\0';
    }
    *ret_error = g_strdup_printf("another daemon (pid %s) serves this socket: %s is locked",
                                 g_strstrip(pid), path);
    return -EBUSY;
}

static int write_pid(int fd)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    ssize_t n = 0;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno != EOPNOTSUPP) {
        return -errno;
    }
    n = write(fd, text, (size_t)len);
    if (n < 0) {
        return -errno;
    }
    return n == len ? 0 : -ENOSPC;
}

int pidfile_create(const char *path, int *ret_fd, char **ret_error)
{
    g_autofree char *temp = g_strdup_printf("%s.%d", path, (int)getpid());
    auto_fd fd = -1;
    int res = 0;

    (void)unlink(temp); /* left by a dead namesake; open says if it cannot go */
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    res = fd < 0 ? -errno : write_pid(fd);
    if (res == 0 && rename(temp, path) < 0) {
        res = -errno;
    }
    if (res < 0) {
        if (fd >= 0) {
            (void)unlink(temp);
        }
        *ret_error = g_strdup_printf("cannot write the pid file %s: %s", path, g_strerror(-res));
        return res;
    }
    *ret_fd = g_steal_fd(&fd);
    return 0;
}

void pidfile_remove(const char *path, int fd)
{
    struct stat ours;
    struct stat there;
    bool is_ours = fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
                   ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;

    if (is_ours) {
        (void)unlink(path); /* a directory that went read-only: the lock still tells the truth */
    }
    (void)close(fd);
}
