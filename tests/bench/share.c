/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files that are shared. All targets of a bench see the same ones, so that page cache and
 * directory layout are the same for each; what a lane creates carries its target's number.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int share_init(struct bench *b, const char *base)
{
    g_autofree char *template = g_build_filename(base, "vfsbench-XXXXXX", NULL);

    if (!g_mkdtemp(template)) {
        return -errno;
    }
    b->base = g_steal_pointer(&template);
    b->dir = g_build_filename(b->base, "share", NULL);
    return mkdir(b->dir, 0755) < 0 ? -errno : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void share_done(struct bench *b)
{
    if (b->base) {
        g_autofree char *sleepy = share_path(b, "sleepy");

        (void)umount2(sleepy, MNT_DETACH); /* usually not mounted */
        (void)nftw(b->base, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
    g_free(b->base);
    g_free(b->dir);
}

char *share_path(const struct bench *b, const char *name)
{
    return g_build_filename(b->dir, name, NULL);
}

int share_dir(const struct bench *b, const char *name)
{
    g_autofree char *path = share_path(b, name);

    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

uint64_t share_word(uint64_t off)
{
    return (off + 1) * 0x9e3779b97f4a7c15ULL;
}

static int fill(int fd, size_t size)
{
    uint64_t words[8192];
    uint64_t off = 0;

    while (off < size) {
        size_t n = MIN(sizeof(words), size - off);

        for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
            words[i] = share_word(off + i * 8);
        }
        if (pwrite(fd, words, n, (off_t)off) != (ssize_t)n) {
            return -EIO;
        }
        off += n;
    }
    return 0;
}

/* A file that is there already with that size is kept. */
int share_file(const struct bench *b, const char *dir, const char *name, size_t size)
{
    g_autofree char *path = g_build_filename(b->dir, dir, name, NULL);
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int rc;

    if (fd < 0) {
        return -errno;
    }
    rc = fstat(fd, &st) == 0 && (size_t)st.st_size == size ? 0 : fill(fd, size);
    close(fd);
    return rc;
}
