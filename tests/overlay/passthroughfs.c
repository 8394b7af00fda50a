/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host file system that is difficult on purpose: a FUSE passthrough that tells no types in
 * readdir, takes no RENAME_WHITEOUT and no device 0:0, and with --no-exchange no RENAME_EXCHANGE
 * either. What a network file system refuses, this refuses, without a network.
 *
 *     passthroughfs [--no-exchange] SOURCE MOUNTPOINT
 *
 * Single-threaded, in the foreground, no caching: its answers are what SOURCE says. It ends when
 * it is unmounted or its starter dies.
 */
#define FUSE_USE_VERSION 314

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct node {
    dev_t dev;
    ino_t ino;
    int fd; /* O_PATH */
    uint64_t nlookup;
};

static struct {
    GHashTable *nodes; /* struct node as a set, by dev and ino */
    struct node root;
    bool no_exchange;
} fs;

static guint node_hash(gconstpointer key)
{
    return (guint)((const struct node *)key)->ino;
}

static gboolean node_equal(gconstpointer a, gconstpointer b)
{
    const struct node *x = a;
    const struct node *y = b;

    return x->ino == y->ino && x->dev == y->dev;
}

static struct node *node_of(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? &fs.root : (struct node *)(uintptr_t)ino;
}

static int fd_of(fuse_ino_t ino)
{
    return node_of(ino)->fd;
}

/* A path that ends at the very inode, for calls that take no descriptor. */
struct fd_path {
    char text[32];
};

static struct fd_path path_of(int fd)
{
    struct fd_path path;

    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

static void reply(fuse_req_t req, int rc)
{
    fuse_reply_err(req, rc < 0 ? errno : 0);
}

static int find(fuse_ino_t parent, const char *name, struct fuse_entry_param *e)
{
    int fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct node *node = NULL;
    struct node key;

    memset(e, 0, sizeof(*e));
    if (fd < 0 || fstat(fd, &e->attr) < 0) {
        return -errno;
    }
    key = (struct node){.dev = e->attr.st_dev, .ino = e->attr.st_ino};
    node = g_hash_table_lookup(fs.nodes, &key);
    if (node) {
        close(fd);
    } else {
        node = g_new0(struct node, 1);
        *node = (struct node){.dev = key.dev, .ino = key.ino, .fd = fd};
        g_hash_table_add(fs.nodes, node);
    }
    node->nlookup++;
    e->ino = (fuse_ino_t)(uintptr_t)node;
    return 0;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;
    int err = find(parent, name, &e);

    if (err < 0) {
        fuse_reply_err(req, -err);
    } else {
        fuse_reply_entry(req, &e);
    }
}

static void forget_one(fuse_ino_t ino, uint64_t n)
{
    struct node *node = node_of(ino);

    if (ino == FUSE_ROOT_ID) {
        return;
    }
    node->nlookup -= MIN(n, node->nlookup);
    if (node->nlookup == 0) {
        g_hash_table_remove(fs.nodes, node);
        close(node->fd);
        g_free(node);
    }
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    forget_one(ino, n);
    fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
    for (size_t i = 0; i < count; i++) {
        forget_one(list[i].ino, list[i].nlookup);
    }
    fuse_reply_none(req);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    if (fstatat(fd_of(ino), "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0) {
        fuse_reply_err(req, errno);
    } else {
        fuse_reply_attr(req, &st, 0);
    }
}

static int set_times(const char *path, const struct stat *attr, int set)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

    if (set & FUSE_SET_ATTR_ATIME) {
        times[0] = attr->st_atim;
    }
    if (set & FUSE_SET_ATTR_ATIME_NOW) {
        times[0].tv_nsec = UTIME_NOW;
    }
    if (set & FUSE_SET_ATTR_MTIME) {
        times[1] = attr->st_mtim;
    }
    if (set & FUSE_SET_ATTR_MTIME_NOW) {
        times[1].tv_nsec = UTIME_NOW;
    }
    return utimensat(AT_FDCWD, path, times, 0);
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
                       struct fuse_file_info *fi)
{
    struct fd_path path = path_of(fd_of(ino));
    uid_t uid = (set & FUSE_SET_ATTR_UID) ? attr->st_uid : (uid_t)-1;
    gid_t gid = (set & FUSE_SET_ATTR_GID) ? attr->st_gid : (gid_t)-1;
    int rc = 0;

    if (set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
        rc = fchownat(fd_of(ino), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    }
    if (rc == 0 && (set & FUSE_SET_ATTR_MODE)) {
        rc = chmod(path.text, attr->st_mode & 07777);
    }
    if (rc == 0 && (set & FUSE_SET_ATTR_SIZE)) {
        rc = truncate(path.text, attr->st_size);
    }
    if (rc == 0 && (set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME))) {
        rc = set_times(path.text, attr, set);
    }
    if (rc < 0) {
        fuse_reply_err(req, errno);
    } else {
        do_getattr(req, ino, fi);
    }
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char buf[PATH_MAX + 1];
    ssize_t len = readlinkat(fd_of(ino), "", buf, sizeof(buf) - 1);

    if (len < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    buf[len] = '\0';
    fuse_reply_readlink(req, buf);
}

/*
 * A new name belongs to whoever asked, but for the group in a setgid directory. chown(2) clears
 * S_ISGID, which the kernel has already decided upon.
 */
static int give_away(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    struct stat dir, st;

    if (fstat(fd_of(parent), &dir) < 0 ||
        fstatat(fd_of(parent), name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchownat(fd_of(parent), name, ctx->uid, (dir.st_mode & S_ISGID) ? (gid_t)-1 : ctx->gid,
                 AT_SYMLINK_NOFOLLOW) < 0) {
        return -1;
    }
    return S_ISLNK(st.st_mode) ? 0 : fchmodat(fd_of(parent), name, st.st_mode & 07777, 0);
}

static void made(fuse_req_t req, int rc, fuse_ino_t parent, const char *name)
{
    if (rc < 0 || give_away(req, parent, name) < 0) {
        fuse_reply_err(req, errno);
    } else {
        do_lookup(req, parent, name);
    }
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    if (S_ISCHR(mode) && rdev == 0) {
        fuse_reply_err(req, EPERM);
        return;
    }
    made(req, mknodat(fd_of(parent), name, mode, rdev), parent, name);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    made(req, mkdirat(fd_of(parent), name, mode), parent, name);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    made(req, symlinkat(target, fd_of(parent), name), parent, name);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct fd_path path = path_of(fd_of(ino));

    if (linkat(AT_FDCWD, path.text, fd_of(parent), name, AT_SYMLINK_FOLLOW) < 0) {
        fuse_reply_err(req, errno);
    } else {
        do_lookup(req, parent, name);
    }
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply(req, unlinkat(fd_of(parent), name, 0));
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply(req, unlinkat(fd_of(parent), name, AT_REMOVEDIR));
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned flags)
{
    if ((flags & RENAME_WHITEOUT) || (fs.no_exchange && (flags & RENAME_EXCHANGE))) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    reply(req, renameat2(fd_of(parent), name, fd_of(newparent), newname, flags));
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fd_path path = path_of(fd_of(ino));
    int fd = open(path.text, (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);

    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    fi->fh = (uint64_t)fd;
    fuse_reply_open(req, fi);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    int fd = openat(fd_of(parent), name, fi->flags | O_CREAT | O_CLOEXEC, mode);
    struct fuse_entry_param e;
    int err = 0;

    if (fd < 0 || give_away(req, parent, name) < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    err = find(parent, name, &e);
    if (err < 0) {
        close(fd);
        fuse_reply_err(req, -err);
        return;
    }
    fi->fh = (uint64_t)fd;
    fuse_reply_create(req, &e, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    g_autofree char *buf = g_malloc(size);
    ssize_t n = pread((int)fi->fh, buf, size, off);

    if (n < 0) {
        fuse_reply_err(req, errno);
    } else {
        fuse_reply_buf(req, buf, (size_t)n);
    }
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    ssize_t n = pwrite((int)fi->fh, buf, size, off);

    if (n < 0) {
        fuse_reply_err(req, errno);
    } else {
        fuse_reply_write(req, (size_t)n);
    }
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    reply(req, close((int)fi->fh));
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    reply(req, datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd = openat(fd_of(ino), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        fuse_reply_err(req, errno);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)dir;
    fuse_reply_open(req, fi);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    DIR *dir = (DIR *)(uintptr_t)fi->fh;
    g_autofree char *buf = g_malloc(size);
    const struct dirent *entry = NULL;
    size_t used = 0;

    seekdir(dir, off);
    while ((entry = readdir(dir))) {
        struct stat st = {.st_ino = entry->d_ino}; /* and no type */
        size_t need =
            fuse_add_direntry(req, buf + used, size - used, entry->d_name, &st, entry->d_off);

        if (need > size - used) {
            break;
        }
        used += need;
    }
    fuse_reply_buf(req, buf, used);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    reply(req, closedir((DIR *)(uintptr_t)fi->fh));
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st;

    if (fstatvfs(fd_of(ino), &st) < 0) {
        fuse_reply_err(req, errno);
    } else {
        fuse_reply_statfs(req, &st);
    }
}

static void do_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    reply(req, setxattr(path_of(fd_of(ino)).text, name, value, size, flags));
}

/* What get and list have in common: a size of 0 asks for the length. */
static void reply_value(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
    if (n < 0) {
        fuse_reply_err(req, errno);
    } else if (size == 0) {
        fuse_reply_xattr(req, (size_t)n);
    } else {
        fuse_reply_buf(req, buf, (size_t)n);
    }
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    g_autofree char *buf = g_malloc(size + 1);

    reply_value(req, getxattr(path_of(fd_of(ino)).text, name, buf, size), buf, size);
}

static void do_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    g_autofree char *buf = g_malloc(size + 1);

    reply_value(req, listxattr(path_of(fd_of(ino)).text, buf, size), buf, size);
}

static void do_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    reply(req, removexattr(path_of(fd_of(ino)).text, name));
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = do_lookup,
    .forget = do_forget,
    .forget_multi = do_forget_multi,
    .getattr = do_getattr,
    .setattr = do_setattr,
    .readlink = do_readlink,
    .mknod = do_mknod,
    .mkdir = do_mkdir,
    .symlink = do_symlink,
    .link = do_link,
    .unlink = do_unlink,
    .rmdir = do_rmdir,
    .rename = do_rename,
    .open = do_open,
    .create = do_create,
    .read = do_read,
    .write = do_write,
    .release = do_release,
    .fsync = do_fsync,
    .opendir = do_opendir,
    .readdir = do_readdir,
    .releasedir = do_releasedir,
    .statfs = do_statfs,
    .setxattr = do_setxattr,
    .getxattr = do_getxattr,
    .listxattr = do_listxattr,
    .removexattr = do_removexattr,
};

static int serve(const char *mountpoint)
{
    char *words[] = {(char *)(uintptr_t) "passthroughfs", (char *)(uintptr_t) "-o",
                     (char *)(uintptr_t) "allow_other,default_permissions,dev,suid"};
    struct fuse_args args = FUSE_ARGS_INIT(3, words);
    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    int rc = 1;

    if (!session || fuse_session_mount(session, mountpoint) < 0) {
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    rc = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return rc < 0;
}

int main(int argc, char **argv)
{
    fs.no_exchange = argc > 1 && strcmp(argv[1], "--no-exchange") == 0;
    argv += fs.no_exchange;
    if (argc - fs.no_exchange != 3) {
        fprintf(stderr, "passthroughfs [--no-exchange] SOURCE MOUNTPOINT\n");
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(0);
    fs.nodes = g_hash_table_new(node_hash, node_equal);
    fs.root.fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs.root.fd < 0) {
        perror(argv[1]);
        return 1;
    }
    return serve(argv[2]);
}
