/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a tree. What differs between any two file systems is left out: sizes and link counts of
 * directories, inode numbers, times.
 */
#define _GNU_SOURCE
#include "guestfs-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct walk {
    struct tree *tree;
    tree_retry *retry;
    void *data;
    char *problem;
    size_t problem_size;
    size_t root_len;
};

static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * 1099511628211ULL;
    }
    return h;
}

static int describe_file(const char *path, FILE *out)
{
    uint64_t h = 14695981039346656037ULL;
    char buf[65536];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW);

    if (fd < 0) {
        return -1;
    }
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        h = hash(h, buf, (size_t)n);
    }
    close(fd);
    fprintf(out, " content=%016llx", (unsigned long long)h);
    return n < 0 ? -1 : 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names sorted, each with its value; a file system without any has none. */
static int describe_xattrs(const char *path, FILE *out)
{
    char list[4096], value[4096];
    char *names[128];
    size_t count = 0;
    ssize_t size = llistxattr(path, list, sizeof(list));

    if (size < 0) {
        return errno == EOPNOTSUPP ? 0 : -1;
    }
    for (char *name = list; name < list + size && count < 128; name += strlen(name) + 1) {
        names[count++] = name;
    }
    qsort(names, count, sizeof(names[0]), by_text);
    for (size_t i = 0; i < count; i++) {
        ssize_t len = lgetxattr(path, names[i], value, sizeof(value));

        if (len < 0) {
            return -1;
        }
        fprintf(out, " %s=%zd:%016llx", names[i], len,
                (unsigned long long)hash(7, value, (size_t)len));
    }
    return 0;
}

static int describe(const char *path, const char *shown, FILE *out, int *ret_is_dir)
{
    char target[PATH_MAX];
    struct stat st;
    ssize_t len = 0;

    if (lstat(path, &st) < 0) {
        return -1;
    }
    *ret_is_dir = S_ISDIR(st.st_mode);
    fprintf(out, "%s %06o %u:%u", shown, st.st_mode, st.st_uid, st.st_gid);
    if (!S_ISDIR(st.st_mode)) {
        fprintf(out, " nlink=%lu size=%lld", (unsigned long)st.st_nlink, (long long)st.st_size);
    }
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
        fprintf(out, " rdev=%u:%u", major(st.st_rdev), minor(st.st_rdev));
    }
    if (S_ISLNK(st.st_mode)) {
        len = readlink(path, target, sizeof(target) - 1);
        if (len < 0) {
            return -1;
        }
        fprintf(out, " -> %.*s", (int)len, target);
    }
    if (S_ISREG(st.st_mode) && describe_file(path, out) < 0) {
        return -1;
    }
    return describe_xattrs(path, out);
}

static void add_line(struct tree *tree, char *line)
{
    if (tree->n == tree->space) {
        tree->space = tree->space ? tree->space * 2 : 256;
        tree->lines = realloc(tree->lines, tree->space * sizeof(char *));
    }
    tree->lines[tree->n++] = line;
}

static int walk_path(struct walk *walk, const char *path);

static int walk_dir(struct walk *walk, const char *path)
{
    char child[PATH_MAX];
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    int err = 0;

    if (!dir) {
        return -1;
    }
    while (!err && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
            err = walk_path(walk, child);
        }
    }
    closedir(dir);
    return err;
}

static int walk_path(struct walk *walk, const char *path)
{
    const char *shown = path[walk->root_len] ? path + walk->root_len + 1 : ".";
    char *line = NULL;
    size_t size = 0;
    int is_dir = 0;
    int err = 0;

    for (int turn = 0; turn < 2; turn++) {
        FILE *out = open_memstream(&line, &size);

        err = describe(path, shown, out, &is_dir) < 0 ? errno : 0;
        fclose(out);
        if (!err) {
            break;
        }
        free(line);
        line = NULL;
        if (!walk->retry || !walk->retry(walk->data, shown, err)) {
            break;
        }
    }
    if (err) {
        snprintf(walk->problem, walk->problem_size, "%s: %s", shown, strerrorname_np(err));
        return -1;
    }
    add_line(walk->tree, line);
    if (is_dir && walk_dir(walk, path) < 0) {
        if (!walk->problem[0]) {
            snprintf(walk->problem, walk->problem_size, "%s: %s", shown, strerrorname_np(errno));
        }
        return -1;
    }
    return 0;
}

int tree_read(const char *root, struct tree *ret, tree_retry *retry, void *data, char *problem,
              size_t problem_size)
{
    struct walk walk = {
        .tree = ret,
        .retry = retry,
        .data = data,
        .problem = problem,
        .problem_size = problem_size,
        .root_len = strlen(root),
    };

    *ret = (struct tree){0};
    problem[0] = '\0';
    if (walk_path(&walk, root) < 0) {
        return -1;
    }
    qsort(ret->lines, ret->n, sizeof(ret->lines[0]), by_text);
    return 0;
}

void tree_done(struct tree *tree)
{
    for (size_t i = 0; i < tree->n; i++) {
        free(tree->lines[i]);
    }
    free(tree->lines);
}
