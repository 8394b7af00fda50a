/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One small function per question, asked in a fresh directory inside the share.
 */
#include "host/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/util.h"

/* The prefix is one that an overlay share hides from its guest (fs/whiteout.h). */
#define PROBE_DIR ".virtiofsd-overlay.probe-XXXXXX"

static int make_file(int dirfd, const char *name)
{
    auto_fd fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : 0;
}

static int try_write(int dirfd)
{
    return make_file(dirfd, "file");
}

static int try_closed_dir(int dirfd)
{
    auto_fd closed = -1;

    if (mkdirat(dirfd, "closed", 0) < 0) {
        return -errno;
    }
    closed = openat(dirfd, "closed", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (closed < 0 || mkdirat(closed, "inside", 0700) < 0 ||
        unlinkat(closed, "inside", AT_REMOVEDIR) < 0) {
        return -errno;
    }
    return 0;
}

static int try_d_type(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    int err = -ENOENT;

    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, "file") == 0) {
            err = entry->d_type == DT_REG ? 0 : -EOPNOTSUPP;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return err;
}

static int set_user_xattr(int dirfd, const char *name)
{
    auto_fd fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    return fsetxattr(fd, "user.virtiofs.trusted.overlay.probe", "y", 1, 0) < 0 ? -errno : 0;
}

static int try_user_xattr(int dirfd)
{
    int err = set_user_xattr(dirfd, "file");

    return err < 0 ? err : set_user_xattr(dirfd, ".");
}

static int try_whiteout(int dirfd)
{
    return mknodat(dirfd, "whiteout", S_IFCHR, 0) < 0 ? -errno : 0;
}

static int try_rename_whiteout(int dirfd)
{
    struct stat st;
    int err = make_file(dirfd, "source");

    if (err < 0) {
        return err;
    }
    if (renameat2(dirfd, "source", dirfd, "renamed", RENAME_WHITEOUT) < 0) {
        return -errno;
    }
    if (fstatat(dirfd, "source", &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    return S_ISCHR(st.st_mode) && st.st_rdev == 0 ? 0 : -EOPNOTSUPP;
}

static int try_symlink(int dirfd)
{
    return symlinkat("/nowhere", dirfd, "symlink") < 0 ? -errno : 0;
}

static int try_rename_exchange(int dirfd)
{
    return renameat2(dirfd, "file", dirfd, "symlink", RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static int try_hard_link(int dirfd)
{
    /* after the exchange "file" is the symbolic link, which is what whiteouts may be */
    return linkat(dirfd, "file", dirfd, "linked", 0) < 0 ? -errno : 0;
}

static int try_tmpfile(int dirfd)
{
    auto_fd fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : 0;
}

static int try_file_handles(int dirfd)
{
    struct {
        struct file_handle head;
        unsigned char bytes[MAX_HANDLE_SZ];
    } handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount_id = 0;
    auto_fd fd = -1;

    if (name_to_handle_at(dirfd, "", &handle.head, &mount_id, AT_EMPTY_PATH) < 0) {
        return -errno;
    }
    fd = open_by_handle_at(dirfd, &handle.head, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : 0;
}

static const struct {
    const char *name;
    int (*try)(int dirfd);
    const char *remedy;
} items[PROBE_ITEMS] = {
    [PROBE_WRITE] = {"files can be made", try_write,
                     "share a directory that the daemon's user may write to"},
    [PROBE_CLOSED_DIR] = {"use of closed directories", try_closed_dir,
                          "run the daemon as root, or leave out --sandbox=none so that it gets a "
                          "user namespace of its own"},
    [PROBE_D_TYPE] = {"readdir tells types", try_d_type, NULL},
    [PROBE_USER_XATTR] = {"user.* extended attributes", try_user_xattr,
                          "share a directory on a file system with user.* attributes (ext4, xfs, "
                          "btrfs; tmpfs from Linux 6.6)"},
    [PROBE_WHITEOUT] = {"character device 0:0", try_whiteout, NULL},
    [PROBE_RENAME_WHITEOUT] = {"RENAME_WHITEOUT", try_rename_whiteout, NULL},
    [PROBE_SYMLINK] = {"symbolic links", try_symlink,
                       "share a directory on a file system with symbolic links"},
    [PROBE_RENAME_EXCHANGE] = {"RENAME_EXCHANGE", try_rename_exchange,
                               "share a directory on a file system with renameat2(RENAME_EXCHANGE) "
                               "(ext4, xfs, btrfs, tmpfs, overlayfs)"},
    [PROBE_HARD_LINK] = {"hard links", try_hard_link, NULL},
    [PROBE_TMPFILE] = {"O_TMPFILE", try_tmpfile, NULL},
    [PROBE_FILE_HANDLES] = {"file handles", try_file_handles, NULL},
};

const char *probe_item_name(enum probe_item item)
{
    return items[item].name;
}

const char *probe_item_remedy(enum probe_item item)
{
    return items[item].remedy;
}

/* One directory with at most empty ones in it; all of it is ours. */
static void remove_dir(int parent, int dirfd, const char *name)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;

    while (dir && (entry = readdir(dir))) {
        /* "." and ".." refuse by themselves */
        if (unlinkat(dirfd, entry->d_name, 0) < 0) {
            (void)unlinkat(dirfd, entry->d_name, AT_REMOVEDIR);
        }
    }
    if (dir) {
        closedir(dir);
    }
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* The mount's line in mountinfo: "ID ... - TYPE SOURCE OPTIONS". */
static char *mount_line(int dirfd)
{
    g_autofree char *all = NULL;
    g_auto(GStrv) lines = NULL;
    struct statx st;

    if (statx(dirfd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 ||
        !g_file_get_contents("/proc/self/mountinfo", &all, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(all, "\n", -1);
    for (size_t i = 0; lines[i]; i++) {
        if (g_ascii_strtoull(lines[i], NULL, 10) == st.stx_mnt_id) {
            return g_strdup(lines[i]);
        }
    }
    return NULL;
}

static void look_at_mount(int dirfd, struct share_probe *ret)
{
    g_autofree char *line = mount_line(dirfd);
    const char *tail = line ? strstr(line, " - ") : NULL;
    g_auto(GStrv) field = g_strsplit(tail ? tail + 3 : "unknown", " ", 3);

    g_strlcpy(ret->fs_type, field[0], sizeof(ret->fs_type));
    ret->is_overlay = strcmp(ret->fs_type, "overlay") == 0;
    ret->redirect_dir = tail && strstr(tail, "redirect_dir=on");
}

/* On an overlayfs over several file systems, files carry the device of the layer they lie on. */
static bool files_have_other_device(int dirfd)
{
    struct stat dir, file;

    return fstat(dirfd, &dir) == 0 && fstatat(dirfd, "file", &file, AT_SYMLINK_NOFOLLOW) == 0 &&
           dir.st_dev != file.st_dev;
}

static void judge(struct share_probe *ret)
{
    ret->native_whiteouts =
        ret->result[PROBE_WHITEOUT] == 0 && ret->result[PROBE_RENAME_WHITEOUT] == 0;
    ret->serves = ret->result[PROBE_WRITE] == 0 && ret->result[PROBE_CLOSED_DIR] == 0 &&
                  ret->result[PROBE_USER_XATTR] == 0 &&
                  (ret->native_whiteouts ||
                   (ret->result[PROBE_SYMLINK] == 0 && ret->result[PROBE_RENAME_EXCHANGE] == 0));
}

void probe_share(const char *dir, bool own_userns, struct share_probe *ret)
{
    auto_fd parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autofree char *path = g_build_filename(dir, PROBE_DIR, NULL);
    int err = parent < 0 ? -errno : 0;
    auto_fd dirfd = -1;

    *ret = (struct share_probe){0};
    if (err == 0) {
        look_at_mount(parent, ret);
        err = mkdtemp(path) ? 0 : -errno;
    }
    if (err == 0) {
        dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = dirfd < 0 ? -errno : 0;
    }
    for (size_t i = 0; i < PROBE_ITEMS; i++) {
        bool moot = i == PROBE_CLOSED_DIR && own_userns;

        ret->result[i] = err < 0 ? err : moot ? 0 : items[i].try(dirfd);
        if (err == 0 && i == PROBE_WRITE) {
            ret->unstable_ids = ret->is_overlay && files_have_other_device(dirfd);
        }
    }
    if (dirfd >= 0) {
        remove_dir(parent, dirfd, strrchr(path, '/') + 1);
    }
    judge(ret);
}

char *probe_refusal(const struct share_probe *probe, const char *dir)
{
    if (probe->serves) {
        return NULL;
    }
    for (size_t i = 0; i < PROBE_ITEMS; i++) {
        if (probe->result[i] < 0 && items[i].remedy) {
            return g_strdup_printf("'%s' (%s) cannot be the upper layer of an overlayfs: %s: %s; "
                                   "%s, or leave out --overlay-upper",
                                   dir, probe->fs_type, items[i].name, strerror(-probe->result[i]),
                                   items[i].remedy);
        }
    }
    return g_strdup_printf("'%s' cannot be the upper layer of an overlayfs", dir);
}
