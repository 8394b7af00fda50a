/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories: reading them while they change, positions that are kept, types of entries; and
 * names of every length and of every byte.
 */
#include "posix.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 3000 };

static unsigned char found[MANY];

/* Reads on and counts names f0 to f2999 in found[]; returns how many entries of all. */
static int read_all(DIR *dir)
{
    struct dirent *entry = NULL;
    int n = 0;

    memset(found, 0, sizeof(found));
    while ((entry = readdir(dir))) {
        int number = entry->d_name[0] == 'f' ? atoi(entry->d_name + 1) : -1;

        n++;
        if (number >= 0 && number < MANY && found[number] < 255) {
            found[number]++;
        }
    }
    return n;
}

static int count(int from, int to, int times)
{
    int n = 0;

    for (int i = from; i < to; i++) {
        n += found[i] == times;
    }
    return n;
}

static void name_of(char *name, int i)
{
    snprintf(name, 32, "d/f%d", i);
}

static void fill(int from, int to)
{
    char name[32];

    for (int i = from; i < to; i++) {
        name_of(name, i);
        must(mknod(name, S_IFREG | 0644, 0), name);
    }
}

static void empty(int from, int to)
{
    char name[32];

    for (int i = from; i < to; i++) {
        name_of(name, i);
        must(unlink(name), name);
    }
}

static void read_sizes(void)
{
    static const int sizes[] = {0, 1, 2, 10, 100, 1000, MANY};
    int there = 0;

    make("d", EMPTY_DIR);
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        DIR *dir = NULL;

        fill(there, sizes[i]);
        there = sizes[i];
        dir = opendir("d");
        check_is(read_all(dir), there + 2, "%d names, \".\" and \"..\"", there);
        check_is(count(0, there, 1), there, "%d names: each once", there);
        rewinddir(dir);
        check_is(read_all(dir), there + 2, "%d names: again after rewinddir", there);
        closedir(dir);
    }
}

/* Every position can be returned to: what follows is what followed. */
static void seek(void)
{
    DIR *dir = opendir("d");
    long *places = calloc(MANY + 2, sizeof(*places));
    char(*names)[16] = calloc(MANY + 2, 16);
    struct dirent *entry = NULL;
    int n = 0;

    for (places[0] = telldir(dir); n < MANY + 2 && (entry = readdir(dir)); n++) {
        snprintf(names[n], 16, "%.15s", entry->d_name);
        if (n + 1 < MANY + 2) {
            places[n + 1] = telldir(dir);
        }
    }
    check_is(n, MANY + 2, "telldir at each entry");
    for (int i = 0; i < 60; i++) {
        int at = (i * 1009) % (MANY + 2);

        seekdir(dir, places[at]);
        entry = readdir(dir);
        check(entry && strcmp(entry->d_name, names[at]) == 0, "seekdir to entry %d finds it", at);
        check_is(telldir(dir), at + 1 < MANY + 2 ? places[at + 1] : telldir(dir),
                 "and telldir agrees behind it");
    }
    free(places);
    free(names);
    closedir(dir);
}

/* What is there all the time is seen once; what comes or goes may be seen or not, never twice. */
static void read_while_changing(void)
{
    DIR *dir = NULL;
    long place = 0;
    int n = 0;

    make("d", EMPTY_DIR);
    fill(0, 2000);
    dir = opendir("d");
    for (n = 0; n < 500 && readdir(dir); n++) {
    }
    place = telldir(dir);
    empty(1000, 2000);
    fill(2000, MANY);
    read_all(dir);
    check_is(count(0, MANY, 0) + count(0, MANY, 1), MANY, "no name comes twice");
    seekdir(dir, place);
    read_all(dir);
    check_is(count(0, MANY, 0) + count(0, MANY, 1), MANY, "nor after seekdir to before the change");
    check(count(0, 1000, 1) >= 1000 - 500, "what stays and was not read before is there");
    rewinddir(dir);
    read_all(dir);
    check_is(count(0, 1000, 1), 1000, "after rewinddir all that is there");
    check_is(count(1000, 2000, 0), 1000, "nothing that is gone");
    check_is(count(2000, MANY, 1), 1000, "and all that is new");
    closedir(dir);
}

/* rm -r as everybody writes it: remove while reading. */
static void remove_while_reading(void)
{
    char name[300];
    struct dirent *entry = NULL;
    DIR *dir = NULL;
    int removed = 0;

    make("d", EMPTY_DIR);
    fill(0, MANY);
    dir = opendir("d");
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == 'f') {
            snprintf(name, sizeof(name), "d/%s", entry->d_name);
            removed += unlink(name) == 0;
        }
    }
    closedir(dir);
    check_is(removed, MANY, "removing each name that is read removes all");
    check_call(rmdir("d"), 0, "and the directory is empty");
}

static void types(void)
{
    static const struct {
        enum kind kind;
        int type;
    } rows[] = {{FILE_KIND, DT_REG}, {EMPTY_DIR, DT_DIR}, {DANGLING, DT_LNK},
                {FIFO, DT_FIFO},     {SOCKET, DT_SOCK},   {CHAR_DEVICE, DT_CHR}};

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct dirent *entry = NULL;
        DIR *dir = NULL;

        make("t", EMPTY_DIR);
        make("t/x", rows[i].kind);
        dir = opendir("t");
        while ((entry = readdir(dir)) && strcmp(entry->d_name, "x") != 0) {
            check_is(entry->d_type, entry->d_name[0] == '.' ? DT_DIR : entry->d_type,
                     "\"%s\" is a directory", entry->d_name);
        }
        check(entry != NULL, "%s is listed", kind_names[rows[i].kind]);
        if (entry) {
            check_is(entry->d_type, rows[i].type, "%s has its type", kind_names[rows[i].kind]);
            check_is((long long)entry->d_ino, (long long)inode_of("t/x"), "and its inode number");
        }
        closedir(dir);
    }
}

void dir_cases(void)
{
    read_sizes();
    seek();
    read_while_changing();
    remove_while_reading();
    types();
    make("f", FILE_KIND);
    check(!opendir("f") && errno == ENOTDIR, "a file is no directory");
    check(!opendir("none") && errno == ENOENT, "nor is nothing");
}

static bool is_listed(const char *name)
{
    struct dirent *entry = NULL;
    DIR *dir = opendir(".");

    while ((entry = readdir(dir)) && strcmp(entry->d_name, name) != 0) {
    }
    closedir(dir);
    return entry != NULL;
}

/* All that can be done to a name, with this one. */
static void use_name(const char *name, const char *what, int expected)
{
    int fd = open(name, O_CREAT | O_RDWR, 0644);

    check_call(fd, expected, "open of %s: %s", what, errno_name(expected));
    close(fd);
    if (expected == 0) {
        check(is_listed(name), "%s is listed", what);
        check_call(rename(name, "moved"), 0, "rename from %s", what);
        check_call(link("moved", name), 0, "link to %s", what);
        check_call(rename("moved", name), 0, "rename to %s", what);
        clear("moved");
        check_call(unlink(name), 0, "unlink of %s", what);
    }
    check_call(mkdir(name, 0755), expected, "mkdir of %s", what);
    check_call(rmdir(name), expected, "rmdir of %s", what);
    check_call(symlink("x", name), expected, "symlink of %s", what);
    check_call(unlink(name), expected, "unlink of the symlink %s", what);
}

static void lengths(void)
{
    static const size_t all[] = {1, 2, 64, 127, 128, 254, 255, 256, 300, 1000, PATH_MAX - 1};
    char name[PATH_MAX];
    char what[64];

    for (size_t i = 0; i < LENGTH(all); i++) {
        memset(name, 'n', all[i]);
        name[all[i]] = '\0';
        snprintf(what, sizeof(what), "a name of %zu bytes", all[i]);
        use_name(name, what, all[i] > NAME_MAX ? ENAMETOOLONG : 0);
    }
}

static void bytes(void)
{
    int made = 0;
    int read = 0;
    int kept = 0;

    make("b", EMPTY_DIR);
    for (int byte = 1; byte < 256; byte++) {
        char name[8] = {'b', '/', 'a', (char)byte, 'z'};

        made += byte != '/' && mknod(name, S_IFREG | 0644, 0) == 0;
    }
    check_is(made, 254, "a name with each byte but NUL and slash");
    DIR *dir = opendir("b");
    struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        read += entry->d_name[0] == 'a' && strlen(entry->d_name) == 3;
    }
    closedir(dir);
    check_is(read, 254, "all are listed as they are");
    for (int byte = 1; byte < 256; byte++) {
        char name[8] = {'b', '/', 'a', (char)byte, 'z'};

        kept += byte != '/' && unlink(name) == 0;
    }
    check_is(kept, 254, "and all can be removed");
}

static void paths(void)
{
    static const struct {
        const char *path;
        int expected;
    } rows[] = {{"", ENOENT},
                {".", 0},
                {"./.", 0},
                {"..", 0},
                {"p", 0},
                {"p/", 0},
                {"p//q", 0},
                {"p/./q", 0},
                {"p/../p/q", 0},
                {"p/q/..", 0},
                {"p/q/", ENOTDIR},
                {"p/q/.", ENOTDIR},
                {"p/q/..", ENOTDIR},
                {"p/none/..", ENOENT},
                {"none", ENOENT},
                {"p/none", ENOENT}};
    struct stat st;

    make("p", EMPTY_DIR);
    for (size_t i = 0; i < LENGTH(rows); i++) {
        bool dir = strcmp(rows[i].path, "p/q/..") == 0 && rows[i].expected == 0;

        clear("p/q");
        make("p/q", dir ? EMPTY_DIR : FILE_KIND);
        check_call(stat(rows[i].path, &st), rows[i].expected, "path \"%s\": %s", rows[i].path,
                   errno_name(rows[i].expected));
    }
}

static void deep(void)
{
    int here = (int)must(open(".", O_RDONLY | O_DIRECTORY), "open");
    int depth = 0;

    for (depth = 0; depth < 300 && mkdir("deep", 0755) == 0 && chdir("deep") == 0; depth++) {
    }
    check_is(depth, 300, "300 directories, one in the other");
    make("f", FILE_KIND);
    check_is(stat_of("f").st_size, 7, "with a file in the last");
    unlink("f");
    for (; depth > 0 && chdir("..") == 0 && rmdir("deep") == 0; depth--) {
    }
    check_is(depth, 0, "and all the way back");
    must(fchdir(here), "fchdir");
    close(here);
}

void name_cases(void)
{
    lengths();
    bytes();
    paths();
    deep();
    use_name("\xc3\xa4\xf0\x9f\x90\xa7", "a name in UTF-8", 0);
    use_name("\xff\xfe", "a name that is none", 0);
    use_name("-rf *; $(x)\n'\"\\", "a name for shells", 0);
    use_name("...", "three dots", 0);
    use_name(" ", "a space", 0);
}
