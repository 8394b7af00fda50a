/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * renameat2(2): each kind of source, onto each kind of destination, with each flag, within one
 * directory and across two. What is left at both names is checked too.
 */
#include "posix.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#define RENAME_WHITEOUT  (1 << 2)
#endif

static const struct {
    const char *name;
    unsigned flags;
} ways[] = {
    {"rename", 0},
    {"NOREPLACE", RENAME_NOREPLACE},
    {"EXCHANGE", RENAME_EXCHANGE},
    {"WHITEOUT", RENAME_WHITEOUT},
    {"NOREPLACE|WHITEOUT", RENAME_NOREPLACE | RENAME_WHITEOUT},
    {"NOREPLACE|EXCHANGE", RENAME_NOREPLACE | RENAME_EXCHANGE},
    {"EXCHANGE|WHITEOUT", RENAME_EXCHANGE | RENAME_WHITEOUT},
    {"an unknown flag", 1 << 20},
};

static const enum kind kinds[] = {MISSING, FILE_KIND, EMPTY_DIR, FULL_DIR, DANGLING, FIFO};

static long rename2(const char *from, const char *to, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static bool is_dir(enum kind kind)
{
    return kind == EMPTY_DIR || kind == FULL_DIR;
}

static int expect(enum kind from, enum kind to, unsigned flags)
{
    bool exchanges = flags & RENAME_EXCHANGE;

    if (flags > 7 || (exchanges && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))) {
        return EINVAL;
    }
    if (from == MISSING) {
        return ENOENT;
    }
    if (to != MISSING && (flags & RENAME_NOREPLACE)) {
        return EEXIST;
    }
    if (exchanges) {
        return to == MISSING ? ENOENT : 0;
    }
    if (to != MISSING && is_dir(from) && !is_dir(to)) {
        return ENOTDIR;
    }
    if (is_dir(to) && !is_dir(from)) {
        return EISDIR;
    }
    return to == FULL_DIR ? ENOTEMPTY : 0;
}

static bool is_whiteout(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static void look_at_both(const char *a, const char *b, ino_t from, ino_t to, unsigned flags,
                         const char *what)
{
    check_is((long long)inode_of(b), (long long)from, "%s: the source is at the destination", what);
    if (flags & RENAME_EXCHANGE) {
        check_is((long long)inode_of(a), (long long)to, "%s: and the other way round", what);
    } else if (flags & RENAME_WHITEOUT) {
        check(is_whiteout(a), "%s: a whiteout is left", what);
    } else {
        check(!exists(a), "%s: the old name is gone", what);
    }
}

static void rename_one(const char *a, const char *b, enum kind from, enum kind to, size_t way)
{
    unsigned flags = ways[way].flags;
    int expected = expect(from, to, flags);
    char what[200];
    ino_t before_a, before_b;
    long result;

    make(a, from);
    make(b, to);
    before_a = inode_of(a);
    before_b = inode_of(b);
    snprintf(what, sizeof(what), "%s of %s onto %s%s", ways[way].name, kind_names[from],
             kind_names[to], strchr(b, '/') ? ", elsewhere" : "");
    result = rename2(a, b, flags);
    check_call(result, expected, "%s: %s", what, errno_name(expected));
    if (result == 0) {
        look_at_both(a, b, before_a, before_b, flags, what);
    } else {
        check(inode_of(a) == before_a && inode_of(b) == before_b, "%s: nothing has changed", what);
    }
}

static void rename_matrix(const char *a, const char *b)
{
    for (size_t way = 0; way < LENGTH(ways); way++) {
        for (size_t i = 0; i < LENGTH(kinds); i++) {
            for (size_t j = 0; j < LENGTH(kinds); j++) {
                rename_one(a, b, kinds[i], kinds[j], way);
            }
        }
    }
    clear(a);
    clear(b);
}

static void special_places(void)
{
    make("d", FULL_DIR);
    make("f", FILE_KIND);
    must(link("f", "same"), "link");
    check_call(rename("f", "same"), 0, "rename onto a link of the same file");
    check(exists("f") && exists("same"), "which leaves both names");
    check_call(rename("f", "f"), 0, "rename onto itself");
    check_call(rename("d", "d/inside2"), EINVAL, "a directory into itself");
    must(mkdir("d/e", 0755), "mkdir");
    check_call(rename("d", "d/e/f"), EINVAL, "a directory into its child");
    check_call(rename("d/e", "d"), ENOTEMPTY, "a child onto its directory");
    check_call(rename("d/.", "g"), EBUSY, "of \".\"");
    check_call(rename("d/e/..", "g"), EBUSY, "of \"..\"");
    check_call(rename("d", "f/g"), ENOTDIR, "into a file");
    check_call(rename("d", "nowhere/g"), ENOENT, "into nothing");
    check_call(rename("f", "g/"), ENOTDIR, "of a file to a name with a slash");
    check_call(rename("d/e", "g/"), 0, "of a directory to a name with a slash");
    check_call(rename2("d", "d/inside", RENAME_EXCHANGE), EINVAL, "EXCHANGE with one's child");
    check_call(rename2("d/inside", "d", RENAME_EXCHANGE), EINVAL, "EXCHANGE with one's directory");
    check_call(rename2("same", "same", RENAME_EXCHANGE), 0, "EXCHANGE with itself");
    check_call(rename2("same", "same", RENAME_NOREPLACE), EEXIST, "NOREPLACE of itself");
}

/* An open file stays what it is, whatever happens to its name. */
static void open_over_rename(void)
{
    int old = -1;
    int moved = -1;
    char text[8] = "";
    struct stat st;

    make_file("one", "first");
    make_file("two", "second");
    moved = (int)must(open("one", O_RDWR), "open");
    old = (int)must(open("two", O_RDONLY), "open");
    must(rename("one", "two"), "rename");
    must(fstat(old, &st), "fstat");
    check_is(st.st_nlink, 0, "what was replaced has no name");
    check_is(read(old, text, 6), 6, "what was replaced can be read");
    check(strcmp(text, "second") == 0, "and is still itself");
    must(fstat(moved, &st), "fstat");
    check_is((long long)st.st_ino, (long long)inode_of("two"), "what was moved is at the new name");
    check_call(pwrite(moved, "FIRST", 5, 0), 0, "and can be written");
    close(moved);
    close(old);
    old = (int)must(open("two", O_RDONLY), "open");
    memset(text, 0, sizeof(text));
    must(read(old, text, 5), "read");
    check(strcmp(text, "FIRST") == 0, "which is seen at the new name");
    close(old);
}

static void link_counts_of_directories(void)
{
    make("p", EMPTY_DIR);
    make("q", EMPTY_DIR);
    must(mkdir("p/c", 0755), "mkdir");
    check_is(stat_of("p").st_nlink, 3, "a directory with a child has three links");
    must(rename("p/c", "q/c"), "rename");
    check_is(stat_of("p").st_nlink, 2, "the child has moved: two links");
    check_is(stat_of("q").st_nlink, 3, "three links where it went");
    must(mkdir("p/d", 0755), "mkdir");
    must(rename("p/d", "q/c"), "rename over an empty directory");
    check_is(stat_of("p").st_nlink, 2, "moved over another: two links");
    check_is(stat_of("q").st_nlink, 3, "and still three");
    make("p/f", FILE_KIND);
    must(rename2("p/f", "q/c", RENAME_EXCHANGE), "EXCHANGE");
    check_is(stat_of("p").st_nlink, 3, "EXCHANGE of a file and a directory moves a link");
    check_is(stat_of("q").st_nlink, 2, "from where it was");
    struct stat up = stat_of("p/f/..");
    check_is((long long)up.st_ino, (long long)inode_of("p"), "\"..\" follows a moved directory");
}

void rename_cases(void)
{
    must(mkdir("other", 0755), "mkdir");
    rename_matrix("a", "b");
    rename_matrix("a", "other/b");
    special_places();
    open_over_rename();
    link_counts_of_directories();
}
