/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file-system calls that busybox has no command for, for the scripts inside the test guest.
 *
 * Built statically by initramfs.py and put into the guest's /bin. One sub-command does one call
 * and prints what it found on one line, so that a shell script can compare it. A call that fails
 * prints its errno by name and ends with status 1; a wrong use ends with 2.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guestfs-soak.h"
#include "guestfs-tree.h"

static int fail(const char *what)
{
    printf("%s: %s\n", what, strerrorname_np(errno));
    return 1;
}

static int cmd_rename(int argc, char **argv)
{
    static const struct {
        const char *name;
        unsigned int flag;
    } flags[] = {
        {"plain", 0},
        {"noreplace", RENAME_NOREPLACE},
        {"exchange", RENAME_EXCHANGE},
        {"whiteout", RENAME_WHITEOUT},
        {"whiteout-noreplace", RENAME_WHITEOUT | RENAME_NOREPLACE},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(argv[0], flags[i].name) != 0) {
            continue;
        }
        return renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], flags[i].flag) ? fail("rename") : 0;
    }
    return 2;
}

static int cmd_setxattr(int argc, char **argv)
{
    return lsetxattr(argv[0], argv[1], argv[2], strlen(argv[2]), 0) ? fail("setxattr") : 0;
}

static int cmd_getxattr(int argc, char **argv)
{
    char value[65536];
    ssize_t size = lgetxattr(argv[0], argv[1], value, sizeof(value));

    if (size < 0) {
        return fail("getxattr");
    }
    printf("%.*s\n", (int)size, value);
    return 0;
}

/* A binary value, in hexadecimal digits both ways. */
static int cmd_sethex(int argc, char **argv)
{
    char value[1024];
    size_t len = 0;

    for (; sscanf(argv[2] + 2 * len, "%2hhx", &value[len]) == 1; len++) {
    }
    return lsetxattr(argv[0], argv[1], value, len, 0) ? fail("setxattr") : 0;
}

static int cmd_gethex(int argc, char **argv)
{
    unsigned char value[1024];
    ssize_t size = lgetxattr(argv[0], argv[1], value, sizeof(value));

    if (size < 0) {
        return fail("getxattr");
    }
    for (ssize_t i = 0; i < size; i++) {
        printf("%02x", value[i]);
    }
    puts("");
    return 0;
}

static int cmd_rmxattr(int argc, char **argv)
{
    return lremovexattr(argv[0], argv[1]) ? fail("removexattr") : 0;
}

static int cmd_listxattr(int argc, char **argv)
{
    char list[65536];
    ssize_t size = llistxattr(argv[0], list, sizeof(list));

    if (size < 0) {
        return fail("listxattr");
    }
    for (const char *name = list; name < list + size; name += strlen(name) + 1) {
        puts(name);
    }
    return 0;
}

static const char *type_name(unsigned int type)
{
    switch (type) {
    case DT_REG:
        return "file";
    case DT_DIR:
        return "dir";
    case DT_LNK:
        return "symlink";
    case DT_CHR:
        return "chr";
    case DT_BLK:
        return "blk";
    case DT_FIFO:
        return "fifo";
    case DT_SOCK:
        return "sock";
    default:
        return "unknown";
    }
}

static int cmd_stat(int argc, char **argv)
{
    struct statx stx;

    if (statx(AT_FDCWD, argv[0], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &stx) < 0) {
        return fail("statx");
    }
    printf("%s mode=%04o nlink=%u uid=%u gid=%u size=%llu rdev=%u:%u\n",
           type_name(IFTODT(stx.stx_mode)), stx.stx_mode & 07777, stx.stx_nlink, stx.stx_uid,
           stx.stx_gid, (unsigned long long)stx.stx_size, stx.stx_rdev_major, stx.stx_rdev_minor);
    return 0;
}

/* The file system: two mounts of one have the same. */
static int cmd_dev(int argc, char **argv)
{
    struct stat st;

    if (lstat(argv[0], &st) < 0) {
        return fail("lstat");
    }
    printf("%u:%u\n", major(st.st_dev), minor(st.st_dev));
    return 0;
}

/* What readdir says each entry is, without a stat: overlayfs relies on it. */
static int cmd_dtype(int argc, char **argv)
{
    DIR *dir = opendir(argv[0]);

    if (!dir) {
        return fail("opendir");
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            printf("%s %s\n", entry->d_name, type_name(entry->d_type));
        }
    }
    closedir(dir);
    return 0;
}

static int cmd_handle(int argc, char **argv)
{
    union {
        struct file_handle handle;
        char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } u = {.handle.handle_bytes = MAX_HANDLE_SZ};
    int mount_id = 0;
    int dir = open(argv[0], O_RDONLY | O_DIRECTORY);

    if (dir < 0) {
        return fail("open");
    }
    if (name_to_handle_at(AT_FDCWD, argv[1], &u.handle, &mount_id, 0) < 0) {
        return fail("name_to_handle_at");
    }
    if (open_by_handle_at(dir, &u.handle, O_PATH) < 0) {
        return fail("open_by_handle_at");
    }
    printf("type=%d bytes=%u\n", u.handle.handle_type, u.handle.handle_bytes);
    return 0;
}

/* An unnamed file in DIR that holds TEXT and is then given the name PATH. */
static int cmd_tmpfile(int argc, char **argv)
{
    char self[64];
    int fd = open(argv[0], O_TMPFILE | O_RDWR, 0644);

    if (fd < 0) {
        return fail("tmpfile");
    }
    if (write(fd, argv[2], strlen(argv[2])) != (ssize_t)strlen(argv[2])) {
        return fail("write");
    }
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, argv[1], AT_SYMLINK_FOLLOW) ? fail("link") : 0;
}

/* Reads PATH after its name is gone, through descriptor, fstat and truncate. */
static int cmd_orphan(int argc, char **argv)
{
    struct stat st;
    char byte = 0;
    int fd = open(argv[0], O_RDWR | O_CREAT | O_EXCL, 0600);

    if (fd < 0 || write(fd, "orphan", 6) != 6) {
        return fail("create");
    }
    if (unlink(argv[0]) < 0) {
        return fail("unlink");
    }
    if (pread(fd, &byte, 1, 2) != 1 || byte != 'p') {
        return fail("read");
    }
    if (ftruncate(fd, 3) < 0 || fstat(fd, &st) < 0) {
        return fail("truncate");
    }
    printf("nlink=%lu size=%ld\n", (unsigned long)st.st_nlink, (long)st.st_size);
    return 0;
}

static int cmd_mmap(int argc, char **argv)
{
    int fd = open(argv[0], O_RDWR);
    char *map = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        return fail("mmap");
    }
    memcpy(map, argv[1], strlen(argv[1]));
    return msync(map, 4096, MS_SYNC) ? fail("msync") : 0;
}

static int cmd_fallocate(int argc, char **argv)
{
    int fd = open(argv[0], O_RDWR | O_CREAT, 0644);

    if (fd < 0 || fallocate(fd, 0, 0, atol(argv[1])) < 0) {
        return fail("fallocate");
    }
    return 0;
}

static int cmd_copyrange(int argc, char **argv)
{
    int from = open(argv[0], O_RDONLY);
    int to = open(argv[1], O_WRONLY | O_CREAT, 0644);
    ssize_t done = copy_file_range(from, NULL, to, NULL, 1 << 20, 0);

    if (done < 0) {
        return fail("copy_file_range");
    }
    printf("%zd\n", done);
    return 0;
}

/* Offset of the first hole, as SEEK_HOLE tells it. */
static int cmd_hole(int argc, char **argv)
{
    int fd = open(argv[0], O_RDONLY);
    off_t hole = lseek(fd, 0, SEEK_HOLE);

    if (hole < 0) {
        return fail("lseek");
    }
    printf("%ld\n", (long)hole);
    return 0;
}

/* What lsattr and chattr ask. */
static int cmd_flags(int argc, char **argv)
{
    int flags = 0;
    int fd = open(argv[0], O_RDONLY | O_NONBLOCK);

    if (fd < 0) {
        return fail("open");
    }
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) {
        return fail("getflags");
    }
    printf("0x%x\n", (unsigned int)flags);
    return 0;
}

/* Files name-1 ... name-N in DIR made or removed, without a process for each. */
static int cmd_many(int argc, char **argv)
{
    char path[4096];

    for (long i = 1; i <= atol(argv[2]); i++) {
        snprintf(path, sizeof(path), "%s/name-%ld", argv[1], i);
        if (strcmp(argv[0], "remove") == 0) {
            if (unlink(path) < 0) {
                return fail(path);
            }
        } else {
            int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

            if (fd < 0) {
                return fail(path);
            }
            close(fd);
        }
    }
    return 0;
}

/* FROM is open when it gets the name TO and loses its own; then what TO is. */
static int cmd_linkopen(int argc, char **argv)
{
    struct stat st;
    int fd = open(argv[0], O_RDONLY);

    if (fd < 0 || link(argv[0], argv[1]) < 0 || lstat(argv[0], &st) < 0 ||
        lstat(argv[1], &st) < 0 || unlink(argv[0]) < 0) {
        return fail("link");
    }
    return lstat(argv[1], &st) < 0 ? fail("lstat") : 0;
}

static int cmd_tree(int argc, char **argv)
{
    char problem[4096 + 32];
    struct tree tree;

    if (tree_read(argv[0], &tree, NULL, NULL, problem, sizeof(problem)) < 0) {
        printf("tree: %s\n", problem);
        return 1;
    }
    for (size_t i = 0; i < tree.n; i++) {
        puts(tree.lines[i]);
    }
    tree_done(&tree);
    return 0;
}

/* The command with the identity of an ordinary user: no groups but its own, no capabilities. */
static int cmd_as(int argc, char **argv)
{
    uid_t uid = (uid_t)atol(argv[0]);
    gid_t gid = (gid_t)atol(argv[1]);

    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        return fail("setresuid");
    }
    execvp(argv[2], argv + 2);
    return fail("exec");
}

static const struct {
    const char *name;
    int min_args;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    {"rename", 3, cmd_rename, "plain|noreplace|exchange|whiteout FROM TO"},
    {"setxattr", 3, cmd_setxattr, "PATH NAME VALUE"},
    {"getxattr", 2, cmd_getxattr, "PATH NAME"},
    {"sethex", 3, cmd_sethex, "PATH NAME HEX"},
    {"gethex", 2, cmd_gethex, "PATH NAME"},
    {"flags", 1, cmd_flags, "PATH"},
    {"many", 3, cmd_many, "make|remove DIR NUMBER"},
    {"linkopen", 2, cmd_linkopen, "FROM TO"},
    {"tree", 1, cmd_tree, "DIR"},
    {"soak", 4, cmd_soak, "TRUSTED TESTED SEED OPERATIONS"},
    {"rmxattr", 2, cmd_rmxattr, "PATH NAME"},
    {"listxattr", 1, cmd_listxattr, "PATH"},
    {"stat", 1, cmd_stat, "PATH"},
    {"dev", 1, cmd_dev, "PATH"},
    {"dtype", 1, cmd_dtype, "DIR"},
    {"handle", 2, cmd_handle, "MOUNT PATH"},
    {"tmpfile", 3, cmd_tmpfile, "DIR PATH TEXT"},
    {"orphan", 1, cmd_orphan, "PATH"},
    {"mmap", 2, cmd_mmap, "PATH TEXT"},
    {"fallocate", 2, cmd_fallocate, "PATH SIZE"},
    {"copyrange", 2, cmd_copyrange, "FROM TO"},
    {"hole", 1, cmd_hole, "PATH"},
    {"as", 3, cmd_as, "UID GID COMMAND..."},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (argc >= 2 + commands[i].min_args && strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(stderr, "guestfs-tool %s %s\n", commands[i].name, commands[i].usage);
    }
    return 2;
}
