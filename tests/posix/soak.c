/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load for a bounded time: soak DIR SECONDS [SEED]. Half of the processes change a file each, in
 * every way there is, and hold it against a copy in memory; the others make, move, list and remove
 * names in one directory, on top of each other. Prints TAP: a case for each process.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 6, LONGEST = 3 << 20, MOST = 200000, NAMES = 40 };

static uint64_t rng;
static time_t end;

static uint32_t draw(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32) % below;
}

/* --- one file against a copy --- */

struct file {
    const char *name;
    int fd;
    size_t size;
    unsigned char *copy;
    unsigned char *buffer;
};

static void extend(struct file *file, size_t to)
{
    if (to > file->size) {
        memset(file->copy + file->size, 0, to - file->size);
        file->size = to;
    }
}

static bool change_by_write(struct file *file, size_t at, size_t length)
{
    extend(file, at);
    for (size_t i = 0; i < length; i++) {
        file->copy[at + i] = (unsigned char)draw(256);
    }
    file->size = at + length > file->size ? at + length : file->size;
    return pwrite(file->fd, file->copy + at, length, (off_t)at) == (ssize_t)length;
}

static bool change_by_truncate(struct file *file, size_t at, size_t length)
{
    (void)length;
    extend(file, at);
    file->size = at;
    return ftruncate(file->fd, (off_t)at) == 0;
}

static bool change_by_map(struct file *file, size_t at, size_t length)
{
    unsigned char *map = NULL;

    if (file->size == 0) {
        return true;
    }
    at %= file->size;
    length = at + length > file->size ? file->size - at : length;
    map = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    memset(map + at, (int)(length & 0xff), length);
    memset(file->copy + at, (int)(length & 0xff), length);
    munmap(map, file->size);
    return true;
}

static bool change_by_punch(struct file *file, size_t at, size_t length)
{
    if (at < file->size) {
        memset(file->copy + at, 0, at + length > file->size ? file->size - at : length);
    }
    return fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                     (off_t)length) == 0;
}

static bool change_by_zero_range(struct file *file, size_t at, size_t length)
{
    extend(file, at + length);
    memset(file->copy + at, 0, length);
    return fallocate(file->fd, FALLOC_FL_ZERO_RANGE, (off_t)at, (off_t)length) == 0;
}

static bool change_by_copy(struct file *file, size_t at, size_t length)
{
    loff_t from = 0;
    loff_t to = (loff_t)at;

    length = length > file->size ? file->size : length;
    if (length == 0 || at < length) {
        return true; /* they would overlap */
    }
    extend(file, at);
    if (copy_file_range(file->fd, &from, file->fd, &to, length, 0) != (ssize_t)length) {
        return false;
    }
    memmove(file->copy + at, file->copy, length);
    file->size = at + length > file->size ? at + length : file->size;
    return true;
}

static bool change_by_reopen(struct file *file, size_t at, size_t length)
{
    (void)at;
    close(file->fd);
    file->fd = open(file->name, O_RDWR | (length % 16 ? 0 : O_SYNC));
    return file->fd >= 0;
}

static bool look(struct file *file, size_t at, size_t length)
{
    size_t there = at >= file->size ? 0 : at + length > file->size ? file->size - at : length;
    struct stat st;

    return pread(file->fd, file->buffer, length, (off_t)at) == (ssize_t)there &&
           memcmp(file->buffer, file->copy + at, there) == 0 && fstat(file->fd, &st) == 0 &&
           (size_t)st.st_size == file->size;
}

static const struct {
    const char *name;
    bool (*run)(struct file *file, size_t at, size_t length);
} changes[] = {
    {"read", look},
    {"read", look},
    {"write", change_by_write},
    {"write", change_by_write},
    {"truncate", change_by_truncate},
    {"mmap", change_by_map},
    {"punch hole", change_by_punch},
    {"zero range", change_by_zero_range},
    {"copy_file_range", change_by_copy},
    {"reopen", change_by_reopen},
};

/* NULL, or what went wrong. */
static const char *change_a_file(const char *name, unsigned *ret_n)
{
    struct file file = {.name = name, .fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644)};
    const char *wrong = file.fd < 0 ? "open" : NULL;

    file.copy = calloc(1, LONGEST + MOST);
    file.buffer = calloc(1, LONGEST + MOST);
    while (!wrong && time(NULL) < end) {
        unsigned which = draw(sizeof(changes) / sizeof(changes[0]));
        size_t at = draw(4) ? draw(LONGEST / 8) : draw(LONGEST);
        size_t length = 1 + draw(draw(3) ? 5000 : MOST - 1);

        if (!changes[which].run(&file, at, length)) {
            wrong = changes[which].name;
        } else if (!look(&file, at, length)) {
            wrong = "what is read back";
        }
        (*ret_n)++;
    }
    if (!wrong && !look(&file, 0, file.size)) {
        wrong = "the whole file";
    }
    close(file.fd);
    (void)unlink(name);
    free(file.copy);
    free(file.buffer);
    return wrong;
}

/* --- names on top of each other: any of these errors is right, and no other --- */

static bool is_fine(long result)
{
    return result >= 0 || errno == ENOENT || errno == EEXIST || errno == ENOTDIR ||
           errno == EISDIR || errno == ENOTEMPTY || errno == EINVAL || errno == EPERM ||
           errno == ELOOP;
}

static bool list(void)
{
    DIR *dir = opendir(".");
    struct dirent *entry = NULL;
    int n = 0;

    while (dir && (errno = 0, entry = readdir(dir))) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return dir && errno == 0 && n >= 2 && n <= NAMES + 2;
}

static long change_a_name(const char *a, const char *b, unsigned which)
{
    struct stat st;
    int fd = -1;

    switch (which) {
    case 0:
        fd = open(a, O_RDWR | O_CREAT | O_NONBLOCK | O_NOFOLLOW, 0644);
        is_fine(fd) && fd >= 0 ? (void)!write(fd, a, strlen(a)) : (void)0;
        return fd < 0 ? -1 : close(fd);
    case 1:
        return mkdir(a, 0755);
    case 2:
        return unlink(a);
    case 3:
        return rmdir(a);
    case 4:
        return rename(a, b);
    case 5:
        return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* EXCHANGE */);
    case 6:
        return link(a, b);
    case 7:
        return symlink(a, b);
    default:
        return lstat(a, &st);
    }
}

static const char *change_names(unsigned *ret_n)
{
    char a[16], b[16];

    while (time(NULL) < end) {
        snprintf(a, sizeof(a), "n%u", draw(NAMES));
        snprintf(b, sizeof(b), "n%u", draw(NAMES));
        if (!is_fine(change_a_name(a, b, draw(10)))) {
            return strerrorname_np(errno);
        }
        if (draw(20) == 0 && !list()) {
            return "a list";
        }
        (*ret_n)++;
    }
    return NULL;
}

static void run(unsigned number)
{
    const char *wrong = NULL;
    unsigned n = 0;
    char name[16];

    rng += number * 7919;
    if (number % 2) {
        wrong = chdir("names") < 0 ? "chdir" : change_names(&n);
    } else {
        snprintf(name, sizeof(name), "file%u", number);
        wrong = change_a_file(name, &n);
    }
    printf("%sok %u - %s: %u changes%s%s\n", wrong ? "not " : "", number + 1,
           number % 2 ? "names" : "a file", n, wrong ? ", wrong: " : "", wrong ? wrong : "");
    exit(wrong ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void clean_names(void)
{
    char name[32];

    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "names/n%u", i);
        (void)remove(name); /* most are not there */
    }
    (void)rmdir("names");
}

int main(int argc, char **argv)
{
    int status = 0;
    bool good = true;

    if (argc < 3 || chdir(argv[1]) < 0 || mkdir("names", 0755) < 0) {
        fprintf(stderr, "usage: soak DIR SECONDS [SEED]\n");
        return 2;
    }
    rng = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
    end = time(NULL) + atoi(argv[2]);
    printf("# seed %llu\n", (unsigned long long)rng);
    fflush(stdout);
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            run(i);
        }
    }
    while (wait(&status) > 0) {
        good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    clean_names();
    printf("1..%d\n", PROCESSES);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
