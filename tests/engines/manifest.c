/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints all that a tree of files promises to those who read it, one line for each name, so that
 * two trees are the same exactly when diff(1) says nothing.
 *
 *     manifest DIR [NAME-TO-LEAVE-OUT...]      names as they are printed, such as ./proc
 *
 * A line has type and mode, owners, link count, what the type calls for (size and hash of the
 * content, device number, target), the first name of the same inode, and all extended attributes.
 * Directories have no link count: overlayfs shows that of the upper, and only some host file
 * systems count subdirectories there. Times are left out: the trees were made one after the other.
 *
 * Compiled statically: it runs in the guest, and in containers that have no library at all.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct link_seen {
    dev_t dev;
    ino_t ino;
    char *path;
};

static struct link_seen *links;
static size_t n_links;
static char **left_out;
static int failures;

static void complain(const char *what, const char *path)
{
    fprintf(stderr, "manifest: %s %s: %s\n", what, path, strerror(errno));
    failures++;
}

static void *checked(void *memory)
{
    if (!memory) {
        perror("manifest");
        exit(2);
    }
    return memory;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *byte = data;

    /* FNV-1a: it need only see mistakes, not resist anybody. */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ byte[i]) * 0x100000001b3ULL;
    }
    return hash;
}

static uint64_t hash_file(const char *path)
{
    static char buffer[1 << 20];
    uint64_t hash = 0xcbf29ce484222325ULL;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        complain("open", path);
        return 0;
    }
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
        hash = hash_bytes(hash, buffer, (size_t)got);
    }
    if (got < 0) {
        complain("read", path);
    }
    close(fd);
    return hash;
}

/* The first name under which this inode was met, or NULL. */
static const char *first_name(const struct stat *st, const char *path)
{
    for (size_t i = 0; i < n_links; i++) {
        if (links[i].dev == st->st_dev && links[i].ino == st->st_ino) {
            return links[i].path;
        }
    }
    links = checked(realloc(links, (n_links + 1) * sizeof(*links)));
    links[n_links++] = (struct link_seen){st->st_dev, st->st_ino, checked(strdup(path))};
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_value(const char *path, const char *name)
{
    unsigned char value[65536];
    ssize_t size = lgetxattr(path, name, value, sizeof(value));

    if (size < 0) {
        complain(name, path);
        return;
    }
    printf(" %s=", name);
    for (ssize_t i = 0; i < size; i++) {
        printf("%02x", value[i]);
    }
}

static void print_xattrs(const char *path)
{
    char list[65536];
    char *names[1024];
    size_t count = 0;
    ssize_t size = llistxattr(path, list, sizeof(list));

    if (size < 0) {
        if (errno != EOPNOTSUPP) {
            complain("listxattr", path);
        }
        return;
    }
    for (char *name = list; name < list + size && count < 1024; name += strlen(name) + 1) {
        names[count++] = name;
    }
    qsort(names, count, sizeof(names[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        print_value(path, names[i]);
    }
}

static void print_name(const struct stat *st, const char *path)
{
    char target[PATH_MAX + 1] = "";

    printf("%s %07o %u:%u", path, st->st_mode, st->st_uid, st->st_gid);
    if (!S_ISDIR(st->st_mode)) {
        const char *first = st->st_nlink > 1 ? first_name(st, path) : NULL;

        printf(" links=%ju", (uintmax_t)st->st_nlink);
        if (first) {
            printf(" same-as=%s", first);
        }
    }
    if (S_ISREG(st->st_mode)) {
        printf(" size=%jd hash=%016" PRIx64, (intmax_t)st->st_size, hash_file(path));
    } else if (S_ISLNK(st->st_mode)) {
        if (readlink(path, target, PATH_MAX) < 0) {
            complain("readlink", path);
        }
        printf(" size=%jd target=%s", (intmax_t)st->st_size, target);
    } else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
        printf(" device=%u:%u", major(st->st_rdev), minor(st->st_rdev));
    }
    print_xattrs(path);
    putchar('\n');
}

static int is_left_out(const char *path)
{
    for (char **name = left_out; *name; name++) {
        if (strcmp(*name, path) == 0) {
            return 1;
        }
    }
    return 0;
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int in_byte_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void walk(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int count;

    if (is_left_out(path)) {
        return;
    }
    if (lstat(path, &st) < 0) {
        complain("lstat", path);
        return;
    }
    print_name(&st, path);
    if (!S_ISDIR(st.st_mode)) {
        return;
    }
    count = scandir(path, &entries, not_dots, in_byte_order);
    if (count < 0) {
        complain("readdir", path);
        return;
    }
    for (int i = 0; i < count; i++) {
        char child[PATH_MAX];

        if (entries[i]->d_type == DT_UNKNOWN) {
            fprintf(stderr, "manifest: %s/%s has no type\n", path, entries[i]->d_name);
            failures++;
        }
        if (snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name) < PATH_MAX) {
            walk(child);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) < 0) {
        perror("manifest DIR [NAME-TO-LEAVE-OUT...]");
        return 2;
    }
    left_out = argv + 2;
    walk(".");
    if (fflush(stdout) != 0) {
        complain("write", "standard output");
    }
    return failures ? 1 : 0;
}
