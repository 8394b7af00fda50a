/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Times: what is set is what is read, to the nanosecond and before 1970; and which operation
 * touches which of the three.
 */
#include "posix.h"

#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

static const struct {
    const char *name;
    struct timespec time;
} moments[] = {
    {"the epoch", {0, 0}},
    {"one nanosecond after it", {0, 1}},
    {"just before the next second", {0, 999999999}},
    {"one second before the epoch", {-1, 0}},
    {"one and a half seconds before it", {-2, 500000000}},
    {"1901, near the first of 32 bits", {-2147483647LL, 0}},
    {"1901 and a nanosecond", {-2147483647LL, 1}},
    {"2001", {1000000000, 123456789}},
    {"2038, the last of 32 bits", {2147483647, 999999999}},
    {"2038, the first beyond", {2147483648LL, 1}},
    {"2106", {4294967296LL, 7}},
    {"2445, near the last of ext4", {15032385534LL, 999999999}},
};

static bool same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void set_times(void)
{
    static const enum kind kinds[] = {FILE_KIND, EMPTY_DIR, DANGLING, FIFO, CHAR_DEVICE};

    for (size_t k = 0; k < LENGTH(kinds); k++) {
        make("x", kinds[k]);
        for (size_t i = 0; i < LENGTH(moments); i++) {
            struct timespec access = {moments[i].time.tv_sec, 111};
            struct timespec times[2] = {access, moments[i].time};
            struct stat st;

            check_call(utimensat(AT_FDCWD, "x", times, AT_SYMLINK_NOFOLLOW), 0, "%s: set to %s",
                       kind_names[kinds[k]], moments[i].name);
            st = stat_of("x");
            check(same(st.st_mtim, moments[i].time), "%s: mtime is %s", kind_names[kinds[k]],
                  moments[i].name);
            check(same(st.st_atim, access), "%s: atime is as set beside %s", kind_names[kinds[k]],
                  moments[i].name);
        }
    }
}

static void set_one_time(void)
{
    struct timespec old[2] = {{100, 1}, {200, 2}};
    struct timespec now;
    struct stat st;

    make("x", FILE_KIND);
    must(utimensat(AT_FDCWD, "x", old, 0), "utimensat");
    check_call(utimensat(AT_FDCWD, "x", (struct timespec[]){{0, UTIME_OMIT}, {300, 3}}, 0), 0,
               "UTIME_OMIT of atime");
    st = stat_of("x");
    check(same(st.st_atim, old[0]) && st.st_mtim.tv_sec == 300, "leaves atime");
    check_call(utimensat(AT_FDCWD, "x", (struct timespec[]){{400, 4}, {0, UTIME_OMIT}}, 0), 0,
               "UTIME_OMIT of mtime");
    st = stat_of("x");
    check(st.st_atim.tv_sec == 400 && st.st_mtim.tv_sec == 300, "leaves mtime");
    clock_gettime(CLOCK_REALTIME, &now);
    check_call(utimensat(AT_FDCWD, "x", (struct timespec[]){{0, UTIME_NOW}, {500, 5}}, 0), 0,
               "UTIME_NOW of atime");
    st = stat_of("x");
    check(st.st_atim.tv_sec >= now.tv_sec - 1 && st.st_mtim.tv_sec == 500, "sets it to now");
    check_call(utimensat(AT_FDCWD, "x", NULL, 0), 0, "both to now");
    check(stat_of("x").st_mtim.tv_sec >= now.tv_sec - 1, "mtime is now");
    check_call(utimensat(AT_FDCWD, "x", (struct timespec[]){{0, 1000000000}, {0, 0}}, 0), EINVAL,
               "a second of nanoseconds is too many");
    must(utimensat(AT_FDCWD, "x", old, 0), "utimensat");
    st = stat_of("x");
    check_call(utimensat(AT_FDCWD, "x", (struct timespec[]){{0, UTIME_OMIT}, {0, UTIME_OMIT}}, 0),
               0, "UTIME_OMIT of both");
    check(same(st.st_ctim, stat_of("x").st_ctim), "changes nothing");
}

enum {
    M = 1,
    C = 2,
    PARENT = 4
}; /* what changes: mtime, ctime, mtime and ctime of the directory */

static int fd;
static char buffer[64];

static long do_read(void)
{
    return read(fd, buffer, 4);
}
static long do_stat(void)
{
    struct stat st;

    return fstat(fd, &st);
}
static long do_write(void)
{
    return write(fd, "w", 1);
}
static long do_write_nothing(void)
{
    return write(fd, "w", 0);
}
static long do_truncate(void)
{
    return ftruncate(fd, 2);
}
static long do_truncate_same(void)
{
    return ftruncate(fd, 7);
}
static long do_chmod(void)
{
    return fchmod(fd, 0600);
}
static long do_chown(void)
{
    return fchown(fd, OWNER_UID, SHARED_GID);
}
static long do_setxattr(void)
{
    return fsetxattr(fd, "user.t", "v", 1, 0);
}
static long do_getxattr(void)
{
    return fgetxattr(fd, "user.there", buffer, sizeof(buffer));
}
static long do_removexattr(void)
{
    return fremovexattr(fd, "user.there");
}
static long do_link(void)
{
    return link("p/x", "p/y");
}
static long do_link_elsewhere(void)
{
    return link("p/x", "z");
}
static long do_rename(void)
{
    return rename("p/x", "p/z");
}
static long do_unlink(void)
{
    return unlink("p/x");
}
static long do_create(void)
{
    return mknod("p/new", S_IFREG | 0644, 0);
}
static long do_mkdir(void)
{
    return mkdir("p/new", 0755);
}
static long do_symlink(void)
{
    return symlink("a", "p/new");
}
static long do_fallocate(void)
{
    return fallocate(fd, 0, 0, 8192);
}
static long do_open(void)
{
    int other = open("p/x", O_RDWR);

    close(other);
    return other;
}
static long do_open_trunc(void)
{
    int other = open("p/x", O_RDWR | O_TRUNC);

    close(other);
    return other;
}
static long do_fsync(void)
{
    return fsync(fd);
}
static long do_touch(void)
{
    return futimens(fd, (struct timespec[]){{9, 9}, {0, UTIME_OMIT}});
}

static const struct {
    const char *name;
    long (*run)(void);
    int changes;
} touches[] = {
    {"read", do_read, 0},
    {"fstat", do_stat, 0},
    {"open", do_open, 0},
    {"fsync", do_fsync, 0},
    {"getxattr", do_getxattr, 0},
    {"write", do_write, M | C},
    {"a write of nothing", do_write_nothing, 0},
    {"ftruncate", do_truncate, M | C},
    {"ftruncate to the same size", do_truncate_same, M | C},
    {"open with O_TRUNC", do_open_trunc, M | C},
    {"fallocate", do_fallocate, M | C},
    {"fchmod", do_chmod, C},
    {"fchown", do_chown, C},
    {"setxattr", do_setxattr, C},
    {"removexattr", do_removexattr, C},
    {"setting atime", do_touch, C},
    {"link", do_link, C | PARENT},
    {"link elsewhere", do_link_elsewhere, C},
    {"rename", do_rename, C | PARENT},
    {"unlink", do_unlink, C | PARENT},
    {"making a file beside it", do_create, PARENT},
    {"making a directory beside it", do_mkdir, PARENT},
    {"making a symlink beside it", do_symlink, PARENT},
};

static void look_before_and_after(size_t i)
{
    static const struct timespec tick = {0,
                                         12000000}; /* longer than a tick of the kernel's clock */
    struct timespec past[2] = {{1000000000, 1}, {1000000000, 2}};
    struct stat before, after, parent_before, parent_after;

    make("p", EMPTY_DIR);
    clear("z");
    make("p/x", FILE_KIND);
    must(setxattr("p/x", "user.there", "v", 1, 0), "setxattr");
    fd = (int)must(open("p/x", O_RDWR), "open");
    must(futimens(fd, past), "futimens");
    must(utimensat(AT_FDCWD, "p", past, 0), "utimensat");
    must(fstat(fd, &before), "fstat");
    parent_before = stat_of("p");
    nanosleep(&tick, NULL);
    check_call(touches[i].run(), 0, "%s works", touches[i].name);
    must(fstat(fd, &after), "fstat");
    parent_after = stat_of("p");
    check_is(!same(before.st_mtim, after.st_mtim), !!(touches[i].changes & M), "%s: mtime %s",
             touches[i].name, touches[i].changes & M ? "changes" : "stays");
    check_is(!same(before.st_ctim, after.st_ctim), !!(touches[i].changes & C), "%s: ctime %s",
             touches[i].name, touches[i].changes & C ? "changes" : "stays");
    check_is(!same(parent_before.st_mtim, parent_after.st_mtim), !!(touches[i].changes & PARENT),
             "%s: mtime of the directory %s", touches[i].name,
             touches[i].changes & PARENT ? "changes" : "stays");
    check_is(!same(parent_before.st_ctim, parent_after.st_ctim), !!(touches[i].changes & PARENT),
             "%s: ctime of the directory %s", touches[i].name,
             touches[i].changes & PARENT ? "changes" : "stays");
    close(fd);
}

static void birth(void)
{
    struct statx before, after;

    make("x", FILE_KIND);
    must(statx(AT_FDCWD, "x", 0, STATX_BTIME | STATX_BASIC_STATS, &before), "statx");
    check(before.stx_mask & STATX_BTIME, "statx knows the time of birth");
    must(chmod("x", 0600), "chmod");
    must(rename("x", "y"), "rename");
    must(statx(AT_FDCWD, "y", 0, STATX_BTIME | STATX_BASIC_STATS, &after), "statx");
    check(before.stx_btime.tv_sec == after.stx_btime.tv_sec &&
              before.stx_btime.tv_nsec == after.stx_btime.tv_nsec,
          "which does not change");
    check_is((long long)after.stx_ino, (long long)inode_of("y"), "statx and stat name one inode");
    check_is(after.stx_size, 7, "statx and stat agree on the size");
}

void time_cases(void)
{
    set_times();
    set_one_time();
    for (size_t i = 0; i < LENGTH(touches); i++) {
        look_before_and_after(i);
    }
    birth();
}
