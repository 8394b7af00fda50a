/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sleepyfs MS DIR: a file system for benches, mounted on DIR, with one file "cold" in which every
 * read takes MS milliseconds, any number at a time. It stands for a slow disk or a network: reads
 * bypass the page cache. Goes to the background when mounted; ends when unmounted.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define COLD_SIZE ((uint64_t)64 << 20)

static unsigned sleep_ms;

static int sleepy_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    memset(st, 0, sizeof(*st));
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0755;
        st->st_nlink = 2;
    } else if (strcmp(path, "/cold") == 0) {
        st->st_mode = S_IFREG | 0444;
        st->st_nlink = 1;
        st->st_size = (off_t)COLD_SIZE;
    } else {
        return -ENOENT;
    }
    return 0;
}

static int sleepy_open(const char *path, struct fuse_file_info *fi)
{
    fi->direct_io = 1;
    return 0;
}

/* The same words as in the bench's data file, so that replies can be checked. */
static int sleepy_read(const char *path, char *buf, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    struct timespec nap = {.tv_nsec = (long)sleep_ms * 1000000};

    nanosleep(&nap, NULL);
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = ((uint64_t)off + i + 1) * 0x9e3779b97f4a7c15ULL;

        memcpy(buf + i, &word, 8);
    }
    return (int)size;
}

static const struct fuse_operations operations = {
    .getattr = sleepy_getattr,
    .open = sleepy_open,
    .read = sleepy_read,
};

int main(int argc, char **argv)
{
    const char *options = "allow_other,default_permissions,ro,max_threads=100";
    char *args[] = {argv[0], (char *)(uintptr_t) "-o", (char *)(uintptr_t)options,
                    argc > 2 ? argv[2] : NULL, NULL};

    if (argc != 3 || atoi(argv[1]) < 0 || atoi(argv[1]) > 900) {
        fprintf(stderr, "usage: sleepyfs MS DIR\n");
        return 2;
    }
    sleep_ms = (unsigned)atoi(argv[1]);
    return fuse_main(4, args, &operations, NULL);
}
