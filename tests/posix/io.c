/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing: offsets and lengths round page and request borders, O_APPEND, O_DIRECT,
 * mapped files, several descriptors, copy_file_range.
 */
#include "posix.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum { MIB = 1 << 20, BIG = 3 * MIB };

static unsigned char *pattern;
static unsigned char *seen;

static void fill(void)
{
    uint32_t x = 2463534242u;

    pattern = aligned_alloc(4096, BIG);
    seen = aligned_alloc(4096, BIG);
    for (size_t i = 0; i < BIG; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        pattern[i] = (unsigned char)x;
    }
}

static int open_new(int flags)
{
    clear("x");
    return (int)must(open("x", O_RDWR | O_CREAT | O_EXCL | flags, 0644), "open");
}

static void write_and_read_back(void)
{
    static const off_t offsets[] = {
        0, 1, 4095, 4096, MIB - 1, MIB, (1LL << 31) - 1, 1LL << 32, (1LL << 40) + 3};
    static const size_t lengths[] = {1, 4095, 4096, 4097, MIB, MIB + 1, BIG};

    for (size_t i = 0; i < LENGTH(offsets); i++) {
        for (size_t j = 0; j < LENGTH(lengths); j++) {
            int fd = open_new(0);

            check_is(pwrite(fd, pattern, lengths[j], offsets[i]), (long long)lengths[j],
                     "write %zu bytes at %lld", lengths[j], (long long)offsets[i]);
            check_is(stat_of("x").st_size, offsets[i] + (off_t)lengths[j],
                     "size after %zu bytes at %lld", lengths[j], (long long)offsets[i]);
            close(fd);
            fd = (int)must(open("x", O_RDONLY), "open");
            memset(seen, 0, lengths[j]);
            check_is(pread(fd, seen, lengths[j], offsets[i]), (long long)lengths[j],
                     "read %zu bytes at %lld", lengths[j], (long long)offsets[i]);
            check(memcmp(seen, pattern, lengths[j]) == 0, "they are the same");
            check_is(pread(fd, seen, 1, offsets[i] + (off_t)lengths[j]), 0, "and then it ends");
            close(fd);
        }
    }
}

static void append(void)
{
    int a = open_new(O_APPEND);
    int b = (int)must(open("x", O_RDWR), "open");

    must(write(a, "one", 3), "write");
    check_is(lseek(a, 0, SEEK_CUR), 3, "O_APPEND: the offset is behind what was written");
    must(lseek(a, 0, SEEK_SET), "lseek");
    must(write(a, "two", 3), "write");
    check_is(stat_of("x").st_size, 6, "O_APPEND writes at the end wherever the offset is");
    check_is(lseek(a, 0, SEEK_CUR), 6, "and takes it there");
    must(pwrite(b, "longer", 6, 10), "pwrite");
    must(write(a, "three", 5), "write");
    check_is(stat_of("x").st_size, 21, "O_APPEND knows what another descriptor has written");
    check_is(pwrite(a, "X", 1, 0), 1, "pwrite with O_APPEND");
    check_is(stat_of("x").st_size, 22, "appends too");
    must(fcntl(a, F_SETFL, 0), "F_SETFL");
    check_is(pwrite(a, "Y", 1, 0), 1, "pwrite after O_APPEND was taken away");
    check_is(stat_of("x").st_size, 22, "does not append");
    must(pread(a, seen, 1, 0), "pread");
    check_is(seen[0], 'Y', "but writes where it says");
    must(fcntl(b, F_SETFL, O_APPEND), "F_SETFL");
    must(lseek(b, 0, SEEK_SET), "lseek");
    must(write(b, "end", 3), "write");
    check_is(stat_of("x").st_size, 25, "O_APPEND set later counts");
    close(a);
    close(b);
    a = (int)must(open("x", O_WRONLY | O_APPEND | O_TRUNC), "open");
    must(write(a, "a", 1), "write");
    check_is(stat_of("x").st_size, 1, "O_APPEND|O_TRUNC starts anew");
    close(a);
}

static void direct(void)
{
    static const size_t lengths[] = {4096, 8192, 65536, MIB, 2 * MIB};
    int fd = -1;

    clear("x");
    fd = open("x", O_RDWR | O_CREAT | O_DIRECT, 0644);
    check_call(fd, 0, "O_DIRECT can be opened");
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        check_is(pwrite(fd, pattern, lengths[i], 4096), (long long)lengths[i],
                 "O_DIRECT writes %zu bytes", lengths[i]);
        memset(seen, 0, lengths[i]);
        check_is(pread(fd, seen, lengths[i], 4096), (long long)lengths[i],
                 "O_DIRECT reads %zu bytes", lengths[i]);
        check(memcmp(seen, pattern, lengths[i]) == 0, "the same");
    }
    int plain = (int)must(open("x", O_RDWR), "open");
    memset(seen, 0, 4096);
    check_is(pread(plain, seen, 4096, 4096), 4096, "what O_DIRECT wrote is read without");
    check(memcmp(seen, pattern, 4096) == 0, "the same");
    must(pwrite(plain, "changed", 7, 4096), "pwrite");
    check_is(pread(fd, seen, 4096, 4096), 4096, "what was written without is read by O_DIRECT");
    check(memcmp(seen, "changed", 7) == 0, "the same");
    close(plain);
    close(fd);
}

static void map(void)
{
    int fd = open_new(0);
    unsigned char *shared = NULL;
    unsigned char *private = NULL;

    must(pwrite(fd, pattern, 3 * 4096 + 100, 0), "pwrite");
    shared = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    private = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    check(shared != MAP_FAILED, "a shared mapping");
    check(private != MAP_FAILED, "a private mapping");
    if (shared == MAP_FAILED || private == MAP_FAILED) {
        return;
    }
    check(memcmp(shared, pattern, 3 * 4096 + 100) == 0, "shows the file");
    check(shared[3 * 4096 + 100] == 0 && shared[4 * 4096 - 1] == 0, "and zeros behind its end");
    shared[0] = 'S';
    must(pread(fd, seen, 1, 0), "pread");
    check_is(seen[0], 'S', "a change in a shared mapping is read");
    private[4096] = 'P';
    must(pread(fd, seen, 1, 4096), "pread");
    check_is(seen[0], pattern[4096], "a change in a private mapping is not");
    must(pwrite(fd, "W", 1, 8192), "pwrite");
    check_is(shared[8192], 'W', "what is written is seen in a shared mapping");
    check_call(msync(shared, 4 * 4096, MS_SYNC), 0, "msync");
    must(ftruncate(fd, 4096 + 10), "ftruncate");
    must(ftruncate(fd, 3 * 4096), "ftruncate");
    check(shared[4096 + 10] == 0 && shared[8192] == 0, "what was cut off comes back as zeros");
    munmap(shared, 4 * 4096);
    munmap(private, 4 * 4096);
    close(fd);
    fd = (int)must(open("x", O_RDONLY), "open");
    must(pread(fd, seen, 1, 0), "pread");
    check_is(seen[0], 'S', "a change in a mapping outlives it");
    check(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
              errno == EACCES,
          "a file that was opened to read cannot be mapped to write");
    close(fd);
}

static void vectors(void)
{
    struct iovec iov[3] = {{(void *)"abc", 3}, {(void *)"", 0}, {(void *)"defg", 4}};
    char a[2], b[9];
    struct iovec back[2] = {{a, 2}, {b, 9}};
    int fd = open_new(0);

    check_is(writev(fd, iov, 3), 7, "writev of three parts");
    must(lseek(fd, 0, SEEK_SET), "lseek");
    check_is(readv(fd, back, 2), 7, "readv into two");
    check(memcmp(a, "ab", 2) == 0 && memcmp(b, "cdefg", 5) == 0, "the same");
    check_is(readv(fd, back, 2), 0, "and then it ends");
    check_call(lseek(fd, -1, SEEK_SET), EINVAL, "lseek before the beginning");
    check_is(lseek(fd, 100, SEEK_END), 107, "lseek behind the end");
    check_is(write(fd, "z", 1), 1, "and a write there");
    check_is(stat_of("x").st_size, 108, "makes it longer");
    check_is(pread(fd, seen, 101, 7), 101, "what is between is there");
    check(seen[0] == 0 && seen[99] == 0 && seen[100] == 'z', "and zero");
    check_call(pread(fd, seen, 1, -1), EINVAL, "pread before the beginning");
    check_call(pwrite(fd, seen, 1, -1), EINVAL, "pwrite before the beginning");
    close(fd);
}

static void copy_ranges(void)
{
    static const struct {
        off_t from, to;
        size_t length;
        ssize_t copied;
    } rows[] = {{0, 0, 100, 100},       {10, 5000, 4096, 4096}, {0, 0, MIB, MIB},
                {MIB - 10, 0, 100, 10}, {MIB, 0, 100, 0},       {MIB + 5, 0, 100, 0},
                {4096, 1 << 30, 1, 1}};
    int from = -1;
    int to = -1;

    make_file("from", "");
    from = (int)must(open("from", O_RDWR), "open");
    must(pwrite(from, pattern, MIB, 0), "pwrite");
    for (size_t i = 0; i < LENGTH(rows); i++) {
        off_t a = rows[i].from;
        off_t b = rows[i].to;

        to = open_new(0);
        check_is(copy_file_range(from, &a, to, &b, rows[i].length, 0), rows[i].copied,
                 "copy_file_range of %zu bytes at %lld", rows[i].length, (long long)rows[i].from);
        check_is(b - rows[i].to, rows[i].copied, "moves the offset");
        memset(seen, 0, rows[i].length);
        check_is(pread(to, seen, rows[i].length, rows[i].to), rows[i].copied, "that much is there");
        check(memcmp(seen, pattern + rows[i].from, (size_t)rows[i].copied) == 0, "and the same");
        close(to);
    }
    check_call(copy_file_range(from, NULL, from, NULL, 10, 1), EINVAL, "with an unknown flag");
    check_call(copy_file_range(from, &(off_t){0}, from, &(off_t){5}, 10, 0), EINVAL,
               "within a file, overlapping");
    close(from);
}

/* One writes, another descriptor reads: what is written is seen, at once and in full. */
static void two_descriptors(void)
{
    int a = open_new(0);
    int b = (int)must(open("x", O_RDONLY), "open");

    for (int i = 0; i < 20; i++) {
        off_t at = i * 3001;

        must(pwrite(a, pattern + at, 3001, at), "pwrite");
        check_is(pread(b, seen, 4096, at), 3001, "write %d is seen by another descriptor", i);
        check(memcmp(seen, pattern + at, 3001) == 0, "as it was written");
    }
    must(ftruncate(a, 10), "ftruncate");
    check_is(pread(b, seen, 4096, 0), 10, "and that it was cut");
    check_is(dup(b) >= 0 ? lseek(b, 5, SEEK_SET) : -1, 5, "lseek of a descriptor");
    close(a);
    close(b);
}

void io_cases(void)
{
    fill();
    write_and_read_back();
    append();
    direct();
    map();
    vectors();
    copy_ranges();
    two_descriptors();
    free(pattern);
    free(seen);
}
