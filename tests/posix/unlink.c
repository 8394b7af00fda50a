/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names come and go: unlink, rmdir, link, symlink, mknod, mkdir on each kind of thing; and files
 * that are open when their last name goes.
 */
#include "posix.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>

static void remove_each_kind(void)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        bool is_dir = kind == EMPTY_DIR || kind == FULL_DIR;
        int for_unlink = kind == MISSING ? ENOENT : is_dir ? EISDIR : 0;
        int for_rmdir = kind == MISSING    ? ENOENT
                        : kind == FULL_DIR ? ENOTEMPTY
                        : is_dir           ? 0
                                           : ENOTDIR;

        make("x", kind);
        check_call(unlink("x"), for_unlink, "unlink of %s: %s", kind_names[kind],
                   errno_name(for_unlink));
        check_is(exists("x"), kind != MISSING && for_unlink != 0, "unlink of %s: what is left",
                 kind_names[kind]);
        make("x", kind);
        check_call(rmdir("x"), for_rmdir, "rmdir of %s: %s", kind_names[kind],
                   errno_name(for_rmdir));
        check_is(exists("x"), kind != MISSING && for_rmdir != 0, "rmdir of %s: what is left",
                 kind_names[kind]);
        clear("x");
    }
    check_call(rmdir("."), EINVAL, "rmdir of \".\"");
    make("d", EMPTY_DIR);
    check_call(rmdir("d/.."), ENOTEMPTY, "rmdir of \"d/..\"");
    make("f", FILE_KIND);
    check_call(unlink("f/"), ENOTDIR, "unlink of a file with a slash behind it");
    check_call(unlink("f/g"), ENOTDIR, "unlink through a file");
    check_call(unlink("nowhere/g"), ENOENT, "unlink through nothing");
}

/* How things are made, and that none of the ways replaces what is there. */
static void make_each_kind(void)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        int expected = kind == MISSING ? 0 : EEXIST;
        ino_t before;

        make("from", FILE_KIND);
        make("x", kind);
        before = inode_of("x");
        check_call(mkdir("x", 0700), expected, "mkdir over %s", kind_names[kind]);
        make("x", kind);
        check_call(mknod("x", S_IFREG | 0600, 0), expected, "mknod over %s", kind_names[kind]);
        make("x", kind);
        check_call(mkfifo("x", 0600), expected, "mkfifo over %s", kind_names[kind]);
        make("x", kind);
        check_call(symlink("where", "x"), expected, "symlink over %s", kind_names[kind]);
        make("x", kind);
        before = inode_of("x");
        check_call(link("from", "x"), expected, "link over %s", kind_names[kind]);
        check(kind == MISSING || inode_of("x") == before, "link over %s leaves it",
              kind_names[kind]);
        clear("x");
    }
    make("f", FILE_KIND);
    check_call(mkdir("f/d", 0700), ENOTDIR, "mkdir in a file");
    check_call(mkdir("nowhere/d", 0700), ENOENT, "mkdir in nothing");
    check_call(mkdir("new/", 0700), 0, "mkdir with a slash behind it");
    check_call(symlink("", "empty"), ENOENT, "symlink to an empty path");
}

static void read_symlinks(void)
{
    static const size_t lengths[] = {1, 59, 60, 61, 255, 1000, PATH_MAX - 1};
    char target[PATH_MAX];
    char seen[PATH_MAX];

    for (size_t i = 0; i < LENGTH(lengths); i++) {
        memset(target, 'a', lengths[i]);
        target[lengths[i]] = '\0';
        clear("s");
        check_call(symlink(target, "s"), 0, "symlink of %zu bytes", lengths[i]);
        check_is(readlink("s", seen, sizeof(seen)), (long long)lengths[i], "readlink of %zu bytes",
                 lengths[i]);
        check(memcmp(seen, target, lengths[i]) == 0, "readlink of %zu bytes gives them",
              lengths[i]);
        check_is(stat_of("s").st_size, (long long)lengths[i], "lstat of a symlink of %zu bytes",
                 lengths[i]);
        check_is(readlink("s", seen, 1), 1, "readlink into one byte cuts %zu bytes", lengths[i]);
    }
    make("f", FILE_KIND);
    check_call(readlink("f", seen, sizeof(seen)), EINVAL, "readlink of a file");
    make("d", EMPTY_DIR);
    check_call(readlink("d", seen, sizeof(seen)), EINVAL, "readlink of a directory");
    check_is(stat_of("s").st_mode & 07777, 0777, "the mode of a symlink");
}

/* Through a chain of symlinks of each length: 40 are followed, no more. */
static void follow_chains(void)
{
    static const struct {
        int length;
        int expected;
    } rows[] = {{1, 0}, {2, 0}, {39, 0}, {40, 0}, {41, ELOOP}, {60, ELOOP}};
    char from[32], to[32];
    struct stat st;

    make_file("c0", "end");
    for (int i = 1; i <= 60; i++) {
        snprintf(from, sizeof(from), "c%d", i - 1);
        snprintf(to, sizeof(to), "c%d", i);
        must(symlink(from, to), to);
    }
    for (size_t i = 0; i < LENGTH(rows); i++) {
        snprintf(to, sizeof(to), "c%d", rows[i].length);
        check_call(stat(to, &st), rows[i].expected, "a chain of %d symlinks: %s", rows[i].length,
                   errno_name(rows[i].expected));
    }
}

static void use_after_unlink(void)
{
    struct stat st;
    char text[16] = "";
    int fd = -1;

    make_file("x", "still here");
    fd = (int)must(open("x", O_RDWR), "open");
    must(unlink("x"), "unlink");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_nlink, 0, "an open file without a name has no links");
    check_is(read(fd, text, 10), 10, "and can be read");
    check(strcmp(text, "still here") == 0, "and is what it was");
    check_call(pwrite(fd, "STILL", 5, 0), 0, "and can be written");
    check_call(ftruncate(fd, 7), 0, "and truncated");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_size, 7, "to that size");
    check_call(fchmod(fd, 0600), 0, "and its mode changed");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_mode & 07777, 0600, "to that mode");
    check_call(fchown(fd, OWNER_UID, SHARED_GID), 0, "and its owner");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_uid, OWNER_UID, "to that owner");
    check_call(futimens(fd, (struct timespec[]){{1, 2}, {3, 4}}), 0, "and its times");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_mtim.tv_nsec, 4, "to that time");
    check_call(fsetxattr(fd, "user.late", "v", 1, 0), 0, "and an xattr set");
    check_is(fgetxattr(fd, "user.late", text, sizeof(text)), 1, "and read");
    check_call(fsync(fd), 0, "and synced");
    make_file("x", "another");
    must(fstat(fd, &st), "fstat");
    check(st.st_ino != inode_of("x") || st.st_nlink == 0, "a new file at its name is another one");
    must(lseek(fd, 0, SEEK_SET), "lseek");
    memset(text, 0, sizeof(text));
    must(read(fd, text, 7), "read");
    check(strcmp(text, "STILL h") == 0, "whose content it does not show");
    close(fd);
}

static void map_after_unlink(void)
{
    char *map = NULL;
    int fd = -1;

    make_file("x", "mapped");
    fd = (int)must(open("x", O_RDWR), "open");
    must(unlink("x"), "unlink");
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    check(map != MAP_FAILED, "a file without a name can be mapped");
    if (map != MAP_FAILED) {
        check(strcmp(map, "mapped") == 0, "and shows its content");
        map[0] = 'M';
        check_call(msync(map, 4096, MS_SYNC), 0, "and takes changes");
        munmap(map, 4096);
    }
}

static void use_removed_directory(void)
{
    struct stat st;
    int fd = -1;

    make("d", EMPTY_DIR);
    fd = (int)must(open("d", O_RDONLY | O_DIRECTORY), "open");
    must(rmdir("d"), "rmdir");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_nlink, 0, "a removed directory has no links");
    check_call(openat(fd, "new", O_CREAT | O_RDWR, 0644), ENOENT, "nothing can be made in it");
    check_call(mkdirat(fd, "new", 0755), ENOENT, "nor a directory");
    check_call(faccessat(fd, "old", F_OK, 0), ENOENT, "nothing is found in it");
    check_call(fchmod(fd, 0700), 0, "its mode can be changed");
    must(mkdir("d", 0755), "mkdir");
    make_file("d/new", "n");
    check_call(faccessat(fd, "new", F_OK, 0), ENOENT, "it is not the new one at its name");
    close(fd);
}

void unlink_cases(void)
{
    remove_each_kind();
    make_each_kind();
    read_symlinks();
    follow_chains();
    use_after_unlink();
    map_after_unlink();
    use_removed_directory();
}

static void count_links(void)
{
    char name[16];

    make_file("l0", "shared");
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof(name), "l%d", i);
        check_call(link("l0", name), 0, "link number %d", i);
        check_is(stat_of("l0").st_nlink, i + 1, "the first name sees %d links", i + 1);
        check_is(stat_of(name).st_nlink, i + 1, "the new name sees %d links", i + 1);
        check_is((long long)inode_of(name), (long long)inode_of("l0"), "name %d: the same file", i);
    }
    must(truncate("l7", 3), "truncate");
    check_is(stat_of("l20").st_size, 3, "a change is seen at another name");
    must(chmod("l3", 0600), "chmod");
    check_is(stat_of("l9").st_mode & 0777, 0600, "and a mode");
    for (int i = 20; i >= 1; i--) {
        snprintf(name, sizeof(name), "l%d", i);
        must(unlink(name), name);
        check_is(stat_of("l0").st_nlink, i, "%d links after one is removed", i);
    }
}

static void link_each_kind(void)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        bool is_dir = kind == EMPTY_DIR || kind == FULL_DIR;
        int expected = kind == MISSING ? ENOENT : is_dir ? EPERM : 0;

        make("x", kind);
        clear("y");
        check_call(link("x", "y"), expected, "link of %s: %s", kind_names[kind],
                   errno_name(expected));
        check_is((long long)inode_of("y"), expected ? 0 : (long long)inode_of("x"),
                 "link of %s: the same thing", kind_names[kind]);
        if (expected == 0) {
            check_is(stat_of("x").st_nlink, 2, "link of %s: two links", kind_names[kind]);
            must(unlink("x"), "unlink");
            check_is(stat_of("y").st_nlink, 1, "and one again");
        }
        clear("x");
    }
    make("x", LINK_TO_FILE);
    clear("y");
    check_call(linkat(AT_FDCWD, "x", AT_FDCWD, "y", AT_SYMLINK_FOLLOW), 0,
               "link through a symlink");
    check(S_ISREG(stat_of("y").st_mode), "is a link of the file");
    check_call(link("y", "y/"), EEXIST, "link over itself with a slash");
}

static void count_directories(void)
{
    char name[16];

    must(mkdir("top", 0755), "mkdir");
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof(name), "top/%d", i);
        must(mkdir(name, 0755), name);
        check_is(stat_of("top").st_nlink, i + 2, "%d directories: %d links", i, i + 2);
        check_is(stat_of(name).st_nlink, 2, "an empty directory has two");
    }
    for (int i = 20; i >= 1; i--) {
        snprintf(name, sizeof(name), "top/%d", i);
        must(rmdir(name), name);
        check_is(stat_of("top").st_nlink, i + 1, "one less: %d links", i + 1);
    }
}

void link_cases(void)
{
    count_links();
    link_each_kind();
    count_directories();
}
