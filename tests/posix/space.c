/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Size and space: truncation in both directions, holes and where they are, fallocate(2) in each of
 * its modes.
 */
#include "posix.h"

#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum { BLOCK = 4096 };

static char block[BLOCK];

static int open_filled(unsigned blocks)
{
    int fd = -1;

    clear("x");
    fd = (int)must(open("x", O_RDWR | O_CREAT, 0644), "open");
    for (unsigned i = 0; i < blocks; i++) {
        memset(block, 'a' + (int)i, BLOCK);
        must(pwrite(fd, block, BLOCK, (off_t)i * BLOCK), "pwrite");
    }
    return fd;
}

/* The byte at `offset`, or -1 behind the end. */
static int byte_at(int fd, off_t offset)
{
    unsigned char byte = 0;

    return must(pread(fd, &byte, 1, offset), "pread") == 1 ? byte : -1;
}

static void truncate_to(void)
{
    static const off_t sizes[] = {0,          1,         BLOCK - 1, BLOCK,           BLOCK + 1,
                                  10 * BLOCK, 1LL << 31, 1LL << 32, (1LL << 40) + 1, 1LL << 43};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        for (size_t j = 0; j < LENGTH(sizes); j++) {
            int fd = open_filled(2);

            must(ftruncate(fd, sizes[i]), "ftruncate");
            check_call(j % 2 ? truncate("x", sizes[j]) : ftruncate(fd, sizes[j]), 0,
                       "truncate %lld to %lld", (long long)sizes[i], (long long)sizes[j]);
            check_is(stat_of("x").st_size, sizes[j], "is %lld long", (long long)sizes[j]);
            if (sizes[j] > 2 * BLOCK) {
                check_is(byte_at(fd, sizes[j] - 1), 0, "and ends with zeros");
            }
            close(fd);
        }
    }
}

static void truncate_what_cannot_be(void)
{
    make("d", EMPTY_DIR);
    make("p", FIFO);
    make("f", FILE_KIND);
    check_call(truncate("d", 0), EISDIR, "truncate of a directory");
    check_call(truncate("p", 0), EINVAL, "truncate of a fifo");
    check_call(truncate("f", -1), EINVAL, "truncate to less than nothing");
    check_call(truncate("none", 0), ENOENT, "truncate of nothing");
    check_call(truncate("f/x", 0), ENOTDIR, "truncate through a file");
    check_call(truncate("f", 1LL << 62), EFBIG, "truncate to 2^62");
    check_is(stat_of("f").st_size, 7, "which leaves it");
}

/* Zeros, not what was there before, come back when a file grows again. */
static void grow_again(void)
{
    static const off_t cuts[] = {0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17};

    for (size_t i = 0; i < LENGTH(cuts); i++) {
        int fd = open_filled(4);

        must(ftruncate(fd, cuts[i]), "ftruncate");
        must(ftruncate(fd, 4 * BLOCK), "ftruncate");
        check_is(cuts[i] ? byte_at(fd, cuts[i] - 1) : 'a',
                 'a' + (cuts[i] ? cuts[i] - 1 : 0) / BLOCK, "cut at %lld: the byte before is kept",
                 (long long)cuts[i]);
        check_is(byte_at(fd, cuts[i]), 0, "the next one is zero");
        check_is(byte_at(fd, 4 * BLOCK - 1), 0, "and the last one");
        close(fd);
    }
}

static void find_holes(void)
{
    static const struct {
        off_t from;
        int whence;
        off_t found; /* -1: ENXIO */
    } rows[] = {
        {0, SEEK_DATA, 0},
        {0, SEEK_HOLE, 65536},
        {100, SEEK_DATA, 100},
        {65536, SEEK_DATA, 1 << 20},
        {65536, SEEK_HOLE, 65536},
        {70000, SEEK_HOLE, 70000},
        {1 << 20, SEEK_DATA, 1 << 20},
        {1 << 20, SEEK_HOLE, (1 << 20) + 65536},
        {(1 << 20) + 65536, SEEK_DATA, (1LL << 40)},
        {(1LL << 40), SEEK_HOLE, (1LL << 40) + 65536},
        {(1LL << 40) + 65536, SEEK_DATA, -1},
        {(1LL << 40) + 65536, SEEK_HOLE, -1},
        {1LL << 41, SEEK_DATA, -1},
    };
    static const off_t places[] = {0, 1 << 20, 1LL << 40};
    static char data[65536] = "data";
    int fd = open_filled(0);

    for (size_t i = 0; i < LENGTH(places); i++) {
        must(pwrite(fd, data, sizeof(data), places[i]), "pwrite");
    }
    must(fsync(fd), "fsync");
    check(stat_of("x").st_blocks < 1000, "a sparse file of 2^40 bytes takes little room");
    for (size_t i = 0; i < LENGTH(rows); i++) {
        off_t found = lseek(fd, rows[i].from, rows[i].whence);

        check_is(found < 0 && errno != ENXIO ? -2 : found, rows[i].found, "%s from %lld",
                 rows[i].whence == SEEK_DATA ? "SEEK_DATA" : "SEEK_HOLE", (long long)rows[i].from);
    }
    close(fd);
}

enum { NOT_BY_FUSE = 1 }; /* the kernel's FUSE client refuses the mode before asking anybody */

static const struct {
    const char *name;
    int mode;
    int expected;
    off_t size;        /* afterwards, of 4 blocks; offset 1 block, length 5 blocks */
    int first, inside; /* bytes: of block 0, of block 1 */
    int special;
} modes[] = {
    {"0", 0, 0, 6 * BLOCK, 'a', 'b', 0},
    {"KEEP_SIZE", FALLOC_FL_KEEP_SIZE, 0, 4 * BLOCK, 'a', 'b', 0},
    {"PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE, EOPNOTSUPP, 4 * BLOCK, 'a', 'b', 0},
    {"PUNCH_HOLE|KEEP_SIZE", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * BLOCK, 'a', 0, 0},
    {"ZERO_RANGE", FALLOC_FL_ZERO_RANGE, 0, 6 * BLOCK, 'a', 0, 0},
    {"ZERO_RANGE|KEEP_SIZE", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4 * BLOCK, 'a', 0, 0},
    {"COLLAPSE_RANGE", FALLOC_FL_COLLAPSE_RANGE, EINVAL, 4 * BLOCK, 'a', 'b', NOT_BY_FUSE},
    {"INSERT_RANGE", FALLOC_FL_INSERT_RANGE, 0, 9 * BLOCK, 'a', 0, NOT_BY_FUSE},
    {"an unknown mode", 1 << 20, EOPNOTSUPP, 4 * BLOCK, 'a', 'b', 0},
};

static void allocate(void)
{
    for (size_t i = 0; i < LENGTH(modes); i++) {
        bool refused = on_fuse && (modes[i].special & NOT_BY_FUSE);
        int expected = refused ? EOPNOTSUPP : modes[i].expected;
        int fd = open_filled(4);

        check_call(fallocate(fd, modes[i].mode, BLOCK, 5 * BLOCK), expected, "fallocate %s: %s",
                   modes[i].name, errno_name(expected));
        check_is(stat_of("x").st_size, refused ? 4 * BLOCK : modes[i].size, "fallocate %s: size",
                 modes[i].name);
        check_is(byte_at(fd, 0), modes[i].first, "fallocate %s: what is before", modes[i].name);
        check_is(byte_at(fd, BLOCK), refused ? 'b' : modes[i].inside,
                 "fallocate %s: what is inside", modes[i].name);
        close(fd);
    }
    int fd = open_filled(1);
    check_call(fallocate(fd, 0, -1, 10), EINVAL, "fallocate before the beginning");
    check_call(fallocate(fd, 0, 0, 0), EINVAL, "fallocate of nothing");
    check_call(fallocate(fd, 0, 1LL << 62, 1LL << 62), EFBIG, "fallocate behind everything");
    check_call(fallocate(fd, 0, 100, 10), 0, "fallocate of what is there");
    check_is(byte_at(fd, 100), 'a', "changes nothing");
    close(fd);
    fd = (int)must(open("x", O_RDONLY), "open");
    check_call(fallocate(fd, 0, 0, 10), EBADF, "fallocate of what was opened to read");
    close(fd);
    make("p", FIFO);
    fd = (int)must(open("p", O_RDWR), "open");
    check_call(fallocate(fd, 0, 0, 10), ESPIPE, "fallocate of a fifo");
    close(fd);
    make("d", EMPTY_DIR);
    fd = (int)must(open("d", O_RDONLY), "open");
    check_call(fallocate(fd, 0, 0, 10), EBADF, "fallocate of a directory");
    check_call(ftruncate(fd, 0), EINVAL, "ftruncate of a directory");
    close(fd);
}

static void room(void)
{
    struct statvfs fs;
    struct stat st;
    int fd = -1;

    check_call(statvfs(".", &fs), 0, "statvfs");
    check(fs.f_namemax == 255 && fs.f_bsize > 0 && fs.f_blocks > 0, "statvfs says something");
    fd = open_filled(100);
    must(fsync(fd), "fsync");
    st = stat_of("x");
    /* a FUSE client that writes back remembers what it was told before */
    check((on_fuse || st.st_blocks >= 800) && st.st_blocks < 900, "st_blocks counts 512 bytes");
    check_is(st.st_blksize, BLOCK, "st_blksize");
    check_call(fdatasync(fd), 0, "fdatasync");
    check_call(syncfs(fd), 0, "syncfs");
    close(fd);
    fd = (int)must(open(".", O_RDONLY), "open");
    check_call(fsync(fd), 0, "fsync of a directory");
    close(fd);
}

void space_cases(void)
{
    truncate_to();
    truncate_what_cannot_be();
    grow_again();
    find_holes();
    allocate();
    room();
}
