/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX cases for a file system: posix [--killpriv] [--fuse] DIR [TOPIC]... prints TAP. The tables
 * say what Linux does on a file system of its own; run it on plain ext4 to see that the tables are
 * right, and on a mount to see whether that is. --fuse: there is FUSE below, as the upper layer.
 */
#include "posix.h"

#include <ftw.h>
#include <grp.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

bool on_fuse;
bool on_ext4;
bool has_acl;
bool kills_priv;

static const char *topic_name;
static unsigned n_cases;
static unsigned n_bad;

const char *const user_names[USERS] = {"owner", "group member", "other", "root"};

const char *const kind_names[KINDS] = {
    [MISSING] = "nothing",
    [FILE_KIND] = "file",
    [EMPTY_DIR] = "empty directory",
    [FULL_DIR] = "full directory",
    [LINK_TO_FILE] = "link to a file",
    [LINK_TO_DIR] = "link to a directory",
    [DANGLING] = "dangling link",
    [LOOPING] = "link to itself",
    [FIFO] = "fifo",
    [SOCKET] = "socket",
    [CHAR_DEVICE] = "device 0:0",
};

static const struct topic topics[] = {
    {"open", open_cases},   {"rename", rename_cases},   {"unlink", unlink_cases},
    {"link", link_cases},   {"perm", permission_cases}, {"owner", owner_cases},
    {"time", time_cases},   {"io", io_cases},           {"space", space_cases},
    {"xattr", xattr_cases}, {"acl", acl_cases},         {"dir", dir_cases},
    {"name", name_cases},   {"lock", lock_cases},
};

const char *errno_name(int err)
{
    const char *name = err == 0 ? "success" : strerrorname_np(err);

    return name ? name : "an unknown errno";
}

static void report(bool good, const char *name, const char *detail)
{
    printf("%sok %u - %s: %s\n", good ? "" : "not ", ++n_cases, topic_name, name);
    if (!good) {
        n_bad++;
        printf("# %s\n", detail);
    }
}

void check(bool good, const char *format, ...)
{
    char name[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof(name), format, ap);
    va_end(ap);
    report(good, name, "it does not hold");
}

void check_call(long result, int expected, const char *format, ...)
{
    int seen = result < 0 ? errno : 0;
    char name[512];
    char detail[160];
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof(name), format, ap);
    va_end(ap);
    snprintf(detail, sizeof(detail), "%s, expected %s", errno_name(seen), errno_name(expected));
    report(seen == expected, name, detail);
}

void check_is(long long seen, long long expected, const char *format, ...)
{
    char name[512];
    char detail[160];
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof(name), format, ap);
    va_end(ap);
    snprintf(detail, sizeof(detail), "%lld, expected %lld", seen, expected);
    report(seen == expected, name, detail);
}

long must(long result, const char *what)
{
    if (result < 0) {
        printf("Bail out! %s: %s: %s\n", topic_name ? topic_name : "start", what,
               errno_name(errno));
        exit(EXIT_FAILURE);
    }
    return result;
}

void become_root(void)
{
    must(seteuid(0), "seteuid");
    must(setegid(0), "setegid");
    must(setgroups(0, NULL), "setgroups");
}

void become(enum user user)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        gid_t group;
    } ids[USERS] = {
        [OWNER] = {OWNER_UID, SHARED_GID, SHARED_GID},
        [MEMBER] = {MEMBER_UID, MEMBER_GID, SHARED_GID},
        [OTHER] = {OTHER_UID, OTHER_GID, OTHER_GID},
    };

    become_root();
    if (user != ROOT) {
        must(setgroups(1, &ids[user].group), "setgroups");
        must(setegid(ids[user].gid), "setegid");
        must(seteuid(ids[user].uid), "seteuid");
    }
}

bool exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

struct stat stat_of(const char *name)
{
    struct stat st;

    must(lstat(name, &st), name);
    return st;
}

ino_t inode_of(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0 ? st.st_ino : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/*
 * An overlayfs whose upper layer is not local asks it for the first name of a file also when that
 * is gone, and answers ESTALE for the other names: a bug of the kernel's. It ends when the name
 * is no longer cached.
 */
static void forget_names(void)
{
    int fd = (int)must(open("/proc/sys/vm/drop_caches", O_WRONLY), "drop_caches");

    must(write(fd, "2", 1), "drop_caches");
    close(fd);
}

void clear(const char *name)
{
    struct stat st;

    if (lstat(name, &st) < 0 && errno == ESTALE) {
        forget_names();
    }
    if (exists(name) && nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        forget_names();
        must(nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS), "clear");
    }
}

void make_file(const char *name, const char *content)
{
    int fd = (int)must(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644), name);

    must(write(fd, content, strlen(content)), name);
    must(close(fd), name);
}

static void make_socket(const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = (int)must(socket(AF_UNIX, SOCK_STREAM, 0), "socket");

    strncpy(addr.sun_path, name, sizeof(addr.sun_path) - 1);
    must(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), "bind");
    close(fd);
}

/* `name` with `suffix`, in one of a few buffers. */
static const char *with(const char *name, const char *suffix)
{
    static char buffers[4][300];
    static unsigned next;
    char *buffer = buffers[next++ % LENGTH(buffers)];

    snprintf(buffer, sizeof(buffers[0]), "%s%s", name, suffix);
    return buffer;
}

void make(const char *name, enum kind kind)
{
    clear(name);
    switch (kind) {
    case FILE_KIND:
        make_file(name, "content");
        break;
    case EMPTY_DIR:
    case FULL_DIR:
        must(mkdir(name, 0755), name);
        if (kind == FULL_DIR) {
            make_file(with(name, "/inside"), "inside");
        }
        break;
    case LINK_TO_FILE:
        make_file(with(name, ".target"), "target");
        must(symlink(with(name, ".target"), name), name);
        break;
    case LINK_TO_DIR:
        clear(with(name, ".tardir"));
        must(mkdir(with(name, ".tardir"), 0755), name);
        must(symlink(with(name, ".tardir"), name), name);
        break;
    case DANGLING:
        clear(with(name, ".nowhere"));
        must(symlink(with(name, ".nowhere"), name), name);
        break;
    case LOOPING:
        must(symlink(name, name), name);
        break;
    case FIFO:
        must(mkfifo(name, 0644), name);
        break;
    case SOCKET:
        make_socket(name);
        break;
    case CHAR_DEVICE:
        /* overlayfs keeps 0:0 for itself; nobody serves 0:1 either */
        if (mknod(name, S_IFCHR | 0644, makedev(0, 0)) < 0) {
            must(mknod(name, S_IFCHR | 0644, makedev(0, 1)), name);
        }
        break;
    case MISSING:
    case KINDS:
        break;
    }
}

static void look_around(const char *dir)
{
    struct statfs fs;

    must(statfs(dir, &fs), dir);
    on_fuse = fs.f_type == FUSE_SUPER_MAGIC;
    on_ext4 = fs.f_type == EXT4_SUPER_MAGIC;
    has_acl = getxattr(dir, "system.posix_acl_access", NULL, 0) >= 0 || errno == ENODATA;
    printf("# %s, ACLs: %s\n",
           on_fuse   ? "FUSE"
           : on_ext4 ? "ext4"
                     : "some file system",
           has_acl ? "yes" : "no");
}

static void run(const struct topic *topic)
{
    topic_name = topic->name;
    clear(topic->name);
    must(mkdir(topic->name, 0777), topic->name);
    must(chmod(topic->name, 0777), topic->name);
    must(chdir(topic->name), topic->name);
    topic->run();
    become_root();
    must(chdir(".."), "..");
    clear(topic->name);
}

static bool is_chosen(const struct topic *topic, char **names)
{
    for (char **name = names; *name; name++) {
        if (strcmp(*name, topic->name) == 0) {
            return true;
        }
    }
    return !*names;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    bool below = false;

    for (; argc > 1 && argv[1][0] == '-'; argc--, argv++) {
        kills_priv = kills_priv || strcmp(argv[1], "--killpriv") == 0;
        below = below || strcmp(argv[1], "--fuse") == 0;
    }
    if (argc < 2 || geteuid() != 0) {
        fprintf(stderr, "usage, as root: posix [--killpriv] [--fuse] DIR [TOPIC]...\n");
        return 2;
    }
    must(chdir(argv[1]), argv[1]);
    umask(0);
    look_around(".");
    on_fuse = on_fuse || below;
    for (size_t i = 0; i < LENGTH(topics); i++) {
        if (is_chosen(&topics[i], argv + 2)) {
            run(&topics[i]);
        }
    }
    printf("1..%u\n", n_cases);
    return n_bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
