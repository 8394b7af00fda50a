/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes. A thread's working directory is /proc/self/fd, so one system call on the
 * relative path "N" reaches any inode, symlinks and special files included, without opening it.
 */
#include "fs/pt_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "fs/xattrmap.h"

#define XATTR_CAPS "security.capability"

/* EOPNOTSUPP, never ENOSYS: that would turn xattrs off in the guest for good. */
static struct inode *get_inode(struct pt_fs *fs, uint64_t nodeid, int *ret_err)
{
    struct inode *inode = NULL;

    if (!fs->config.xattr) {
        *ret_err = -EOPNOTSUPP;
        return NULL;
    }
    *ret_err = pt_get_inode(fs, nodeid, &inode);
    return inode;
}

static bool is_acl(const char *name)
{
    return strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0;
}

/* An ACL that a guest cannot interpret would be checked by nobody. */
static bool is_hidden(const struct pt_fs *fs, const char *name)
{
    return is_acl(name) && !atomic_load_explicit(&fs->posix_acl, memory_order_relaxed);
}

/* The name on the host; buf holds it when the map changes it. */
static int host_name(const struct pt_fs *fs, const char *name, char buf[XATTR_NAME_MAX + 1],
                     const char **ret_name)
{
    if (is_hidden(fs, name)) {
        return -EOPNOTSUPP;
    }
    if (!fs->config.xattrmap) {
        *ret_name = name;
        return 0;
    }
    return xattrmap_client(fs->config.xattrmap, name, buf, XATTR_NAME_MAX + 1, ret_name);
}

/* The kernel does it for callers outside of the group, but not for one with CAP_FSETID. */
static void clear_sgid(const struct inode *inode)
{
    struct fd_name name = pt_fd_name(inode->fd);
    struct stat st;

    if (fstatat(inode->fd, "", &st, AT_EMPTY_PATH) == 0 && (st.st_mode & S_ISGID) &&
        fchmodat(AT_FDCWD, name.text, st.st_mode & 07777 & ~S_ISGID, 0) < 0) {
        log_warn_limited("cannot clear S_ISGID after an ACL was set: %s", strerror(errno));
    }
}

int pt_setxattr(struct pt_fs *fs, uint64_t nodeid, const char *name, const void *value, size_t size,
                int flags, bool kill_sgid)
{
    char buf[XATTR_NAME_MAX + 1];
    const char *host = NULL;
    int err = 0;
    auto_inode inode = get_inode(fs, nodeid, &err);

    if (err == 0) {
        err = host_name(fs, name, buf, &host);
    }
    if (err < 0) {
        return err;
    }
    if (setxattr(pt_fd_name(inode->fd).text, host, value, size, flags) < 0) {
        return -errno;
    }
    if (kill_sgid && is_acl(name)) {
        clear_sgid(inode);
    }
    if (strcmp(name, XATTR_CAPS) == 0) {
        atomic_store(&inode->no_mapped_caps, false);
    }
    return 0;
}

int pt_getxattr(struct pt_fs *fs, uint64_t nodeid, const char *name, void *value, size_t size)
{
    char buf[XATTR_NAME_MAX + 1];
    const char *host = NULL;
    ssize_t len = 0;
    int err = 0;
    auto_inode inode = get_inode(fs, nodeid, &err);

    if (err == 0) {
        err = host_name(fs, name, buf, &host);
    }
    if (err < 0) {
        return err;
    }
    len = getxattr(pt_fd_name(inode->fd).text, host, value, size);
    return len < 0 ? -errno : (int)len;
}

/* Maps the names of a host's list in place; what must be hidden falls out. Returns the length. */
static size_t map_list(const struct pt_fs *fs, char *list, size_t len)
{
    size_t from = 0;
    size_t to = 0;

    while (from < len) {
        const char *name = list + from;
        size_t host_len = strnlen(name, len - from);
        const char *guest = name;
        size_t guest_size = 0;

        from += host_len + 1;
        if (is_hidden(fs, name) ||
            (fs->config.xattrmap && xattrmap_server(fs->config.xattrmap, name, &guest) < 0)) {
            continue;
        }
        /* A guest's name is the end of the host's: never longer, so this never overtakes. */
        guest_size = strlen(guest) + 1;
        memmove(list + to, guest, guest_size);
        to += guest_size;
    }
    return to;
}

int pt_listxattr(struct pt_fs *fs, uint64_t nodeid, char *list, size_t size)
{
    /* One more than the kernel's limit, so that the last name always ends inside. */
    char host[XATTR_LIST_MAX + 1];
    int err = 0;
    auto_inode inode = get_inode(fs, nodeid, &err);
    ssize_t len = 0;

    if (err < 0) {
        return err;
    }
    len = listxattr(pt_fd_name(inode->fd).text, host, XATTR_LIST_MAX);
    if (len < 0) {
        return -errno;
    }
    host[len] = '\0';
    len = (ssize_t)map_list(fs, host, (size_t)len);
    if (size > 0 && (size_t)len > size) {
        return -ERANGE;
    }
    if (size > 0) {
        memcpy(list, host, (size_t)len);
    }
    return (int)len;
}

int pt_removexattr(struct pt_fs *fs, uint64_t nodeid, const char *name)
{
    char buf[XATTR_NAME_MAX + 1];
    const char *host = NULL;
    int err = 0;
    auto_inode inode = get_inode(fs, nodeid, &err);

    if (err == 0) {
        err = host_name(fs, name, buf, &host);
    }
    if (err < 0) {
        return err;
    }
    return removexattr(pt_fd_name(inode->fd).text, host) < 0 ? -errno : 0;
}

void pt_drop_mapped_caps(struct pt_fs *fs, struct inode *inode)
{
    char buf[XATTR_NAME_MAX + 1];
    const char *host = NULL;

    if (!fs->config.xattr || !fs->config.xattrmap || !S_ISREG(inode->type) ||
        atomic_load_explicit(&inode->no_mapped_caps, memory_order_relaxed)) {
        return;
    }
    if (host_name(fs, XATTR_CAPS, buf, &host) < 0 || host != buf) {
        return; /* the kernel drops its own */
    }
    /* said before it is true: a SETXATTR that comes in between takes it back when it is through */
    atomic_store(&inode->no_mapped_caps, true);
    if (removexattr(pt_fd_name(inode->fd).text, host) < 0 && errno != ENODATA) {
        atomic_store(&inode->no_mapped_caps, false);
    }
}

ssize_t pt_read_caps(struct pt_fs *fs, struct inode *inode, void *ret_caps)
{
    char buf[XATTR_NAME_MAX + 1];
    const char *host = NULL;

    if (!fs->config.xattr || host_name(fs, XATTR_CAPS, buf, &host) < 0 || host == buf) {
        return -1;
    }
    return getxattr(pt_fd_name(inode->fd).text, host, ret_caps, PT_CAPS_MAX);
}

int pt_write_caps(struct inode *inode, const void *caps, size_t len)
{
    return setxattr(pt_fd_name(inode->fd).text, XATTR_CAPS, caps, len, 0) < 0 ? -errno : 0;
}
