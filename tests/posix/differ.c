/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random system calls, each made twice: in a directory of ext4 and in one of our mount. Whatever
 * differs, a result, an errno, what was read or what is there, is a failed case.
 *
 *     differ REFERENCE MOUNT COUNT [SEED]
 *
 * The same seed makes the same calls. What is known to differ is not asked for: O_DIRECT (a host's
 * file is opened without it by default), the modes of fallocate(2) that the kernel's FUSE client
 * refuses, sizes and positions of directories, which only one of two file systems has chosen, and
 * places of holes (see do_seek_data).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { SIDES = 2, FILES = 12, DATA = 70000, HISTORY = 25, MOST_DIFFERENCES = 5 };

/* What a call is made with; drawn once for both sides. */
struct args {
    const char *path, *other;
    int slot, slot2, flags;
    mode_t mode;
    off_t offset;
    size_t length;
    unsigned pick;
};

struct outcome {
    long result;
    int error;
    uint64_t seen; /* a hash of what came back besides */
};

static uint64_t rng;
static int fds[SIDES][FILES];
static int roots[SIDES];
static char data[DATA + 4096];
static char buffer[DATA + 4096];
static char history[HISTORY][200];
static unsigned n_calls;
static unsigned n_good; /* calls that did something: a run of errors shows nothing */

static uint32_t draw(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32) % below;
}

static uint64_t hash(uint64_t before, const void *bytes, size_t length)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < length; i++) {
        before = (before ^ p[i]) * 1099511628211ull;
    }
    return before;
}

static struct outcome say(long result)
{
    return (struct outcome){.result = result, .error = result < 0 ? errno : 0};
}

static struct outcome say_bytes(long result)
{
    struct outcome out = say(result);

    out.seen = result > 0 ? hash(1, buffer, (size_t)result) : 0;
    return out;
}

/* Times are left out: two calls are never made at one time. So are sizes of directories. */
static struct outcome say_stat(long result, const struct stat *st)
{
    struct outcome out = say(result);

    if (result == 0) {
        out.result = st->st_mode;
        out.seen = (uint64_t)st->st_nlink << 56 | (uint64_t)(st->st_uid & 0xff) << 48 |
                   (uint64_t)(st->st_gid & 0xff) << 40 |
                   (S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size);
    }
    return out;
}

/* --- the calls; each acts on one side, which is its working directory --- */

#define CALL(name) static struct outcome name(int side, const struct args *a)

CALL(do_open)
{
    int fd = open(a->path, a->flags | O_NONBLOCK | O_CLOEXEC, a->mode);

    if (fd >= 0) {
        close(fds[side][a->slot]);
        fds[side][a->slot] = fd;
    }
    return say(fd < 0 ? -1 : 0);
}

CALL(do_close)
{
    int fd = fds[side][a->slot];

    fds[side][a->slot] = -1;
    return say(close(fd));
}

CALL(do_read)
{
    return say_bytes(read(fds[side][a->slot], buffer, a->length));
}

CALL(do_pread)
{
    return say_bytes(pread(fds[side][a->slot], buffer, a->length, a->offset));
}

CALL(do_write)
{
    return say(write(fds[side][a->slot], data + a->pick % 4096, a->length));
}

CALL(do_pwrite)
{
    return say(pwrite(fds[side][a->slot], data + a->pick % 4096, a->length, a->offset));
}

CALL(do_lseek)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    struct stat st;

    /* the position in a directory is the file system's own number */
    if (fstat(fds[side][a->slot], &st) == 0 && S_ISDIR(st.st_mode)) {
        return say(0);
    }
    return say(lseek(fds[side][a->slot], a->offset, whences[a->pick % LENGTH(whences)]));
}

static bool is_zero(const char *bytes, ssize_t length)
{
    for (ssize_t i = 0; i < length; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

/*
 * Where holes are is ext4's choice of the moment: it fills up to 32 KiB round a write into what was
 * only allocated. What is said to be a hole must be one, and the position stays out of it.
 */
CALL(do_seek_data)
{
    int fd = fds[side][a->slot];
    off_t before = lseek(fd, 0, SEEK_CUR);
    off_t found = lseek(fd, a->offset, SEEK_DATA);
    struct outcome out = say(found < 0 && errno != ENXIO ? -1 : 0);
    size_t length = found >= 0 && found - a->offset < DATA ? (size_t)(found - a->offset) : DATA;
    struct stat st;

    if (out.result == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        out.result = is_zero(buffer, pread(fd, buffer, length, a->offset));
    } else {
        out.result = 0; /* a directory, again */
    }
    (void)lseek(fd, before, SEEK_SET);
    return out;
}

CALL(do_ftruncate)
{
    return say(ftruncate(fds[side][a->slot], a->offset));
}

CALL(do_truncate)
{
    return say(truncate(a->path, a->offset));
}

CALL(do_fallocate)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};

    return say(
        fallocate(fds[side][a->slot], modes[a->pick % LENGTH(modes)], a->offset, (off_t)a->length));
}

CALL(do_copy_range)
{
    loff_t from = a->offset;
    loff_t to = (loff_t)(a->pick % 100000);

    return say(copy_file_range(fds[side][a->slot], &from, fds[side][a->slot2], &to, a->length, 0));
}

CALL(do_map)
{
    bool writes = a->pick % 2;
    int fd = fds[side][a->slot];
    struct stat st;
    char *map = NULL;
    struct outcome out;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        return say(0);
    }
    size_t length = st.st_size > DATA ? DATA : (size_t)st.st_size;
    map = mmap(NULL, length, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        return say(-1);
    }
    if (writes) {
        map[a->pick % length] = (char)a->pick;
        (void)msync(map, length, MS_SYNC);
    }
    out = (struct outcome){.seen = hash(1, map, length)};
    munmap(map, length);
    return out;
}

CALL(do_append_flag)
{
    return say(fcntl(fds[side][a->slot], F_SETFL, O_NONBLOCK | (a->pick % 2 ? O_APPEND : 0)));
}

CALL(do_fsync)
{
    return say(a->pick % 2 ? fsync(fds[side][a->slot]) : fdatasync(fds[side][a->slot]));
}

CALL(do_mkdir)
{
    return say(mkdir(a->path, a->mode));
}

CALL(do_rmdir)
{
    return say(rmdir(a->path));
}

CALL(do_unlink)
{
    return say(unlink(a->path));
}

CALL(do_rename)
{
    return say(rename(a->path, a->other));
}

CALL(do_rename2)
{
    static const unsigned flags[] = {1, 2, 4, 5, 3, 6, 8};

    return say(syscall(SYS_renameat2, AT_FDCWD, a->path, AT_FDCWD, a->other,
                       flags[a->pick % LENGTH(flags)]));
}

CALL(do_link)
{
    return say(
        linkat(AT_FDCWD, a->path, AT_FDCWD, a->other, a->pick % 4 == 0 ? AT_SYMLINK_FOLLOW : 0));
}

CALL(do_symlink)
{
    return say(symlink(a->path, a->other));
}

CALL(do_readlink)
{
    return say_bytes(readlink(a->path, buffer, a->length));
}

CALL(do_mknod)
{
    static const mode_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFREG | S_ISUID, S_IFCHR};

    return say(mknod(a->path, types[a->pick % LENGTH(types)] | (a->mode & 0777), 0));
}

CALL(do_chmod)
{
    return say(chmod(a->path, a->mode));
}

CALL(do_fchmod)
{
    return say(fchmod(fds[side][a->slot], a->mode));
}

static const uid_t owners[] = {0, 60001, 60002, (uid_t)-1};

CALL(do_chown)
{
    return say(fchownat(AT_FDCWD, a->path, owners[a->pick % 4], owners[a->pick / 4 % 4],
                        a->pick / 16 % 2 ? AT_SYMLINK_NOFOLLOW : 0));
}

CALL(do_fchown)
{
    return say(fchown(fds[side][a->slot], owners[a->pick % 4], owners[a->pick / 4 % 4]));
}

CALL(do_utimes)
{
    struct timespec times[2] = {{a->offset - 50000, 1 + a->pick % 999999999}, {a->pick, 5}};
    struct stat st;
    struct outcome out;

    if (a->pick % 5 == 0) {
        times[a->pick % 2].tv_nsec = UTIME_OMIT;
    }
    out = say(utimensat(AT_FDCWD, a->path, times, a->pick % 3 ? 0 : AT_SYMLINK_NOFOLLOW));
    if (out.result == 0 && times[1].tv_nsec == 5 &&
        fstatat(AT_FDCWD, a->path, &st, a->pick % 3 ? 0 : AT_SYMLINK_NOFOLLOW) == 0) {
        out.seen = hash(1, &st.st_mtim, sizeof(st.st_mtim));
    }
    return out;
}

CALL(do_stat)
{
    struct stat st;
    long result = fstatat(AT_FDCWD, a->path, &st, a->pick % 2 ? AT_SYMLINK_NOFOLLOW : 0);

    return say_stat(result, &st);
}

CALL(do_fstat)
{
    struct stat st;
    long result = fstat(fds[side][a->slot], &st);

    return say_stat(result, &st);
}

CALL(do_access)
{
    return say(faccessat(AT_FDCWD, a->path, (int)a->pick % 8, AT_EACCESS));
}

/* Every path that can be drawn, so that what went apart is found soon after. */
static const char *const paths[29];

CALL(do_everything)
{
    struct outcome out = {0};

    for (size_t i = 0; paths[i]; i++) {
        struct stat st;
        long result = lstat(paths[i], &st);
        struct outcome one = say_stat(result, &st);
        ssize_t attrs = result < 0 ? 0 : llistxattr(paths[i], NULL, 0);

        one.result += attrs;
        out.seen = hash(out.seen, &one, sizeof(one));
    }
    (void)a;
    (void)side;
    return out;
}

static const char *const attributes[] = {"user.a", "user.b", "user.long", "user.", "bad", "user.c"};

CALL(do_setxattr)
{
    return say(lsetxattr(a->path, attributes[a->pick % LENGTH(attributes)], data, a->length % 500,
                         (int)(a->pick / 8 % 3)));
}

CALL(do_getxattr)
{
    return say_bytes(lgetxattr(a->path, attributes[a->pick % LENGTH(attributes)], buffer,
                               a->pick / 8 % 4 ? 1000 : a->length % 100));
}

CALL(do_removexattr)
{
    return say(lremovexattr(a->path, attributes[a->pick % LENGTH(attributes)]));
}

/* Names in a list may come in any order: their hashes are added up. */
CALL(do_listxattr)
{
    ssize_t length = llistxattr(a->path, buffer, sizeof(buffer));
    struct outcome out = say(length);

    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(buffer + at) + 1) {
        out.seen += hash(1, buffer + at, strlen(buffer + at));
    }
    return out;
}

CALL(do_list)
{
    DIR *dir = opendir(a->path);
    struct outcome out = say(dir ? 0 : -1);
    struct dirent *entry = NULL;

    while (dir && (entry = readdir(dir))) {
        out.result++;
        out.seen += hash(entry->d_type, entry->d_name, strlen(entry->d_name));
    }
    if (dir) {
        closedir(dir);
    }
    return out;
}

CALL(do_content)
{
    int fd = open(a->path, O_RDONLY | O_NONBLOCK);
    struct outcome out = fd < 0 ? say(-1) : say_bytes(read(fd, buffer, DATA));

    if (fd >= 0) {
        close(fd);
    }
    return out;
}

static const struct call {
    const char *name;
    struct outcome (*run)(int side, const struct args *a);
    unsigned weight;
} calls[] = {
    {"open", do_open, 14},
    {"close", do_close, 5},
    {"read", do_read, 4},
    {"pread", do_pread, 5},
    {"write", do_write, 6},
    {"pwrite", do_pwrite, 7},
    {"lseek", do_lseek, 5},
    {"SEEK_DATA", do_seek_data, 2},
    {"ftruncate", do_ftruncate, 3},
    {"truncate", do_truncate, 2},
    {"fallocate", do_fallocate, 3},
    {"copy_file_range", do_copy_range, 2},
    {"mmap", do_map, 3},
    {"F_SETFL", do_append_flag, 2},
    {"fsync", do_fsync, 1},
    {"mkdir", do_mkdir, 4},
    {"rmdir", do_rmdir, 2},
    {"unlink", do_unlink, 5},
    {"rename", do_rename, 5},
    {"renameat2", do_rename2, 4},
    {"link", do_link, 3},
    {"symlink", do_symlink, 2},
    {"readlink", do_readlink, 2},
    {"mknod", do_mknod, 3},
    {"chmod", do_chmod, 3},
    {"fchmod", do_fchmod, 2},
    {"chown", do_chown, 3},
    {"fchown", do_fchown, 2},
    {"utimensat", do_utimes, 3},
    {"stat", do_stat, 6},
    {"fstat", do_fstat, 5},
    {"access", do_access, 4},
    {"setxattr", do_setxattr, 4},
    {"getxattr", do_getxattr, 3},
    {"removexattr", do_removexattr, 2},
    {"listxattr", do_listxattr, 2},
    {"readdir", do_list, 3},
    {"content", do_content, 5},
    {"everything", do_everything, 2},
};

/* --- drawing --- */

static const char *const paths[] = {
    "a",       "b",       "c",        "d",    "e",    "d1",     "d2",      "d1/a", "d1/b", "d1/d3",
    "d1/d3/a", "d1/d3/b", "d1/d3/d4", "d2/a", "d2/b", "d2/d5",  "d2/d5/a", "l",    "l/a",  "d1/l",
    "d1/../a", "d2/./b",  "a/",       "d1/",  ".",    "none/a", "f",       "g",    NULL,
};

static const char *draw_path(void)
{
    return paths[draw(LENGTH(paths) - 1)];
}

static struct args draw_args(void)
{
    static const int access[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
    static const int extra[] = {0,
                                0,
                                O_CREAT,
                                O_CREAT,
                                O_CREAT | O_EXCL,
                                O_TRUNC,
                                O_APPEND | O_CREAT,
                                O_CREAT | O_TRUNC,
                                O_DIRECTORY,
                                O_NOFOLLOW,
                                O_PATH};
    static const mode_t modes[] = {0644, 0755, 0600, 0, 0777, 0444, 01777, 02775, 04755, 06755};
    static const off_t bases[] = {0, 0, 0, 4096, 65536, 1 << 20, 1LL << 33};

    return (struct args){
        .path = draw_path(),
        .other = draw_path(),
        .slot = (int)draw(FILES),
        .slot2 = (int)draw(FILES),
        .flags = access[draw(LENGTH(access))] | extra[draw(LENGTH(extra))],
        .mode = modes[draw(LENGTH(modes))],
        .offset = bases[draw(LENGTH(bases))] + draw(draw(2) ? 5000 : 50),
        .length = draw(4) ? draw(5000) : draw(DATA),
        .pick = draw(1u << 30),
    };
}

static const struct call *draw_call(void)
{
    static unsigned total;
    unsigned at = 0;
    size_t i = 0;

    for (; total == 0 && i < LENGTH(calls); i++) {
        at += calls[i].weight;
    }
    total = total ? total : at;
    at = draw(total);
    for (i = 0; at >= calls[i].weight; i++) {
        at -= calls[i].weight;
    }
    return &calls[i];
}

static void act_as(unsigned who)
{
    static const gid_t none[1];

    if (seteuid(0) < 0 || setegid(0) < 0 || setgroups(0, none) < 0 ||
        (who && (setegid(60000 + who) < 0 || seteuid(60000 + who) < 0))) {
        perror("differ: changing users");
        exit(2);
    }
}

/* --- running --- */

static bool run_both(const struct call *call, const struct args *a, unsigned who)
{
    struct outcome out[SIDES];
    char *line = history[n_calls % HISTORY];

    for (int side = 0; side < SIDES; side++) {
        if (fchdir(roots[side]) < 0) {
            perror("differ: changing sides");
            exit(2);
        }
        act_as(who);
        out[side] = call->run(side, a);
        act_as(0);
    }
    snprintf(line, sizeof(history[0]),
             "%u: %s as %u: path %s other %s slot %d,%d flags %#o mode %#o offset %lld length %zu "
             "pick %u",
             n_calls, call->name, who, a->path, a->other, a->slot, a->slot2, (unsigned)a->flags,
             a->mode, (long long)a->offset, a->length, a->pick);
    n_calls++;
    n_good += out[0].error == 0;
    if (out[0].result == out[1].result && out[0].error == out[1].error &&
        out[0].seen == out[1].seen) {
        return true;
    }
    printf("# ext4 %#lx %s %#llx, mount %#lx %s %#llx\n", out[0].result,
           strerrorname_np(out[0].error), (unsigned long long)out[0].seen, out[1].result,
           strerrorname_np(out[1].error), (unsigned long long)out[1].seen);
    return false;
}

static void print_history(void)
{
    for (unsigned i = n_calls > HISTORY ? n_calls - HISTORY : 0; i < n_calls; i++) {
        printf("# %s\n", history[i % HISTORY]);
    }
}

static void set_up(char **argv)
{
    rng = argv[4] ? strtoull(argv[4], NULL, 0) : 0;
    if (rng == 0 && getrandom(&rng, sizeof(rng), 0) < 0) {
        rng = 1;
    }
    printf("# seed %#llx\n", (unsigned long long)rng);
    for (int side = 0; side < SIDES; side++) {
        roots[side] = open(argv[1 + side], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (roots[side] < 0 || fchmod(roots[side], 0777) < 0) {
            perror(argv[1 + side]);
            exit(2);
        }
        memset(fds[side], -1, sizeof(fds[side]));
    }
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)draw(256);
    }
    signal(SIGPIPE, SIG_IGN); /* a fifo without a reader */
    umask(0);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 0;
    unsigned differences = 0;

    if (count == 0 || geteuid() != 0) {
        fprintf(stderr, "usage, as root: differ REFERENCE MOUNT COUNT [SEED]\n");
        return 2;
    }
    set_up(argv);
    for (unsigned i = 0; i < count && differences < MOST_DIFFERENCES; i++) {
        const struct call *call = draw_call();
        struct args args = draw_args();

        if (!run_both(call, &args, draw(4) ? 0 : 1 + draw(2))) {
            differences++;
            printf("not ok %u - %s differs\n", differences, call->name);
            print_history();
        }
    }
    printf("# %u calls, %u of them good\n", n_calls, n_good);
    if (differences == 0) {
        printf("ok 1 - %u random system calls do the same on ext4 and on the mount\n", count);
    }
    printf("1..%u\n", differences ? differences : 1);
    return differences != 0;
}
