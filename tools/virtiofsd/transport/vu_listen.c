/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making, judging and waiting at the listening socket.
 */
#include "transport/vu_listen.h"

#include <errno.h>
#include <glib.h>
#include <grp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

static int fail(int err, char **ret_error, char *sentence)
{
    *ret_error = sentence;
    return err;
}

static int find_group(const char *name, gid_t *ret_gid, char **ret_error)
{
    struct group *group = getgrnam(name);

    if (!group) {
        return fail(-ENOENT, ret_error,
                    g_strdup_printf("--socket-group: there is no group '%s' on this host", name));
    }
    *ret_gid = group->gr_gid;
    return 0;
}

/* A socket left behind by a daemon that was killed goes; a file or directory stays. */
static int remove_stale(const char *path, char **ret_error)
{
    struct stat st;

    if (lstat(path, &st) < 0) {
        return 0; /* nothing there, or bind() will say why not */
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fail(-EEXIST, ret_error,
                    g_strdup_printf("--socket-path: '%s' exists and is not a socket; "
                                    "remove it or choose another path",
                                    path));
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        int err = -errno;

        return fail(err, ret_error,
                    g_strdup_printf("cannot remove the old socket '%s': %s", path, strerror(-err)));
    }
    return 0;
}

static int bind_and_listen(int fd, const char *path, mode_t mask, char **ret_error)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t old_mask = 0;
    int err = 0;

    memcpy(addr.sun_path, path, strlen(path) + 1); /* the caller checked the length */
    old_mask = umask(mask);
    err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    umask(old_mask);
    if (err == 0 && listen(fd, 1) < 0) {
        err = -errno;
    }
    if (err < 0) {
        return fail(err, ret_error,
                    g_strdup_printf("cannot listen on '%s': %s", path, strerror(-err)));
    }
    return 0;
}

int vu_listen_path(const char *path, const char *group, int *ret_fd, char **ret_error)
{
    auto_fd fd = -1;
    gid_t gid = (gid_t)-1;
    int err = 0;

    if (strlen(path) >= member_size(struct sockaddr_un, sun_path)) {
        return fail(-ENAMETOOLONG, ret_error,
                    g_strdup_printf("--socket-path: the path has %zu bytes, and a socket's can "
                                    "have %zu; use a relative or shorter one",
                                    strlen(path), member_size(struct sockaddr_un, sun_path) - 1));
    }
    if (group && (err = find_group(group, &gid, ret_error)) < 0) {
        return err;
    }
    if ((err = remove_stale(path, ret_error)) < 0) {
        return err;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err = -errno;
        return fail(err, ret_error, g_strdup_printf("cannot make a socket: %s", strerror(-err)));
    }
    err = bind_and_listen(fd, path, group ? 007 : 077, ret_error);
    if (err == 0 && group && chown(path, (uid_t)-1, gid) < 0) {
        err = fail(
            -errno, ret_error,
            g_strdup_printf("cannot give '%s' to group '%s': %s", path, group, strerror(errno)));
        (void)unlink(path);
    }
    if (err == 0) {
        *ret_fd = g_steal_fd(&fd);
    }
    return err;
}

int vu_listen_check_fd(int fd, char **ret_error)
{
    int listening = 0;
    socklen_t len = sizeof(listening);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
        int err = -errno;

        return fail(err, ret_error,
                    g_strdup_printf("--fd=%d: %s", fd,
                                    err == -EBADF ? "no such descriptor was passed"
                                                  : "this is not a socket"));
    }
    if (!listening) {
        return fail(-EINVAL, ret_error,
                    g_strdup_printf("--fd=%d: this socket does not listen; pass one on which "
                                    "listen() was called",
                                    fd));
    }
    return 0;
}

int vu_accept(int listen_fd, int stop_fd, int *ret_fd)
{
    struct pollfd fds[] = {{.fd = listen_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};

    for (;;) {
        int fd = -1;

        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        if (fds[1].revents) {
            return -ECANCELED;
        }
        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
        /* The other side may have left between poll and accept. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            return -errno;
        }
    }
}
