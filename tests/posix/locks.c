/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks between descriptors and processes of one machine: fcntl(2) of processes and of open files,
 * and flock(2), as a matrix of what is held and what is wanted.
 */
#include "posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>

enum dialect { PROCESS, OPEN_FILE, FLOCK, DIALECTS };

static const char *const dialects[DIALECTS] = {"process", "open file", "flock"};
static const char *const kinds[] = {"nothing", "a read lock", "a write lock"};

static int lock(int fd, enum dialect dialect, int kind, off_t start, off_t length)
{
    static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
    static const int operations[] = {LOCK_UN, LOCK_SH, LOCK_EX};
    struct flock lock = {.l_type = types[kind], .l_start = start, .l_len = length};

    if (dialect == FLOCK) {
        return flock(fd, operations[kind] | LOCK_NB);
    }
    return fcntl(fd, dialect == PROCESS ? F_SETLK : F_OFD_SETLK, &lock);
}

/* Closing gives a lock back, but with FUSE not before close(2) returns: give it a second. */
static int lock_soon(int fd, enum dialect dialect, int kind, off_t start, off_t length)
{
    int res = lock(fd, dialect, kind, start, length);

    for (int i = 0; on_fuse && res < 0 && errno == EAGAIN && i < 100; i++) {
        usleep(10000);
        res = lock(fd, dialect, kind, start, length);
    }
    return res;
}

/* Another process tries; its errno is its status. */
static int in_child(int (*try)(int, enum dialect, int, off_t, off_t), enum dialect dialect,
                    int kind, off_t start, off_t length)
{
    pid_t child = (pid_t)must(fork(), "fork");
    int status = 0;

    if (child == 0) {
        int fd = open("x", O_RDWR);

        _exit(try(fd, dialect, kind, start, length) < 0 ? errno : 0);
    }
    must(waitpid(child, &status, 0), "waitpid");
    errno = WEXITSTATUS(status);
    return errno ? -1 : 0;
}

static void matrix(void)
{
    for (enum dialect held_by = 0; held_by < DIALECTS; held_by++) {
        for (enum dialect wanted_by = 0; wanted_by < DIALECTS; wanted_by++) {
            for (int held = 0; held < 3; held++) {
                for (int wanted = 1; wanted < 3; wanted++) {
                    bool meet = (held_by == FLOCK) == (wanted_by == FLOCK);
                    bool clash = meet && held && (held == 2 || wanted == 2);
                    int fd = (int)must(open("x", O_RDWR), "open");

                    must(lock_soon(fd, held_by, held, 0, 0), "lock");
                    check_call(in_child(lock, wanted_by, wanted, 0, 0), clash ? EAGAIN : 0,
                               "%s (%s) held, %s (%s) wanted by another process", kinds[held],
                               dialects[held_by], kinds[wanted], dialects[wanted_by]);
                    close(fd);
                    check_call(in_child(lock_soon, wanted_by, 2, 0, 0), 0,
                               "and close gives it back");
                }
            }
        }
    }
}

static void ranges(void)
{
    static const struct {
        off_t start, length;
        int expected;
    } rows[] = {{0, 10, 0},        {0, 101, EAGAIN}, {100, 1, EAGAIN},
                {150, 10, EAGAIN}, {199, 1, EAGAIN}, {200, 1, 0},
                {200, 0, 0},       {0, 0, EAGAIN},   {1LL << 40, 10, 0}};
    int fd = (int)must(open("x", O_RDWR), "open");
    struct flock ask = {.l_type = F_WRLCK, .l_start = 150, .l_len = 1};
    pid_t child = 0;
    int status = 0;

    must(lock_soon(fd, PROCESS, 2, 100, 100), "lock");
    for (size_t i = 0; i < LENGTH(rows); i++) {
        check_call(in_child(lock, PROCESS, 2, rows[i].start, rows[i].length), rows[i].expected,
                   "100 to 199 held, %lld bytes from %lld wanted", (long long)rows[i].length,
                   (long long)rows[i].start);
    }
    child = (pid_t)must(fork(), "fork");
    if (child == 0) {
        int mine = open("x", O_RDWR);

        _exit(fcntl(mine, F_GETLK, &ask) == 0 && ask.l_type == F_WRLCK && ask.l_start == 100 &&
                      ask.l_len == 100 && (ask.l_pid == getppid() || (on_fuse && ask.l_pid == 0))
                  ? 0
                  : 1);
    }
    must(waitpid(child, &status, 0), "waitpid");
    check_is(WEXITSTATUS(status), 0, "F_GETLK tells who holds what");
    must(lock(fd, PROCESS, 0, 120, 10), "unlock");
    check_call(in_child(lock, PROCESS, 2, 120, 10), 0, "a hole in a lock is free");
    check_call(in_child(lock, PROCESS, 2, 119, 1), EAGAIN, "what is before it is not");
    check_call(in_child(lock, PROCESS, 2, 130, 1), EAGAIN, "nor what is behind");
    close(fd);
}

static void descriptors(void)
{
    int a = (int)must(open("x", O_RDWR), "open");
    int b = (int)must(open("x", O_RDWR), "open");
    int c = -1;

    check_call(lock_soon(a, OPEN_FILE, 2, 0, 10), 0, "a lock of an open file");
    check_call(lock(b, OPEN_FILE, 2, 0, 10), EAGAIN, "another open file of the process clashes");
    check_call(lock(b, OPEN_FILE, 2, 10, 10), 0, "not beside it");
    close(b);
    check_call(lock_soon(a, OPEN_FILE, 2, 10, 10), 0, "closing gives back its own");
    check_call(lock(a, PROCESS, 2, 50, 10), 0, "a lock of the process");
    b = (int)must(open("x", O_RDWR), "open");
    check_call(lock(b, PROCESS, 2, 50, 10), 0, "is the process's on any descriptor");
    close(b);
    check_call(in_child(lock_soon, PROCESS, 2, 50, 10), 0, "closing any descriptor gives it back");
    close(a);
    a = (int)must(open("x", O_RDONLY), "open");
    check_call(lock_soon(a, PROCESS, 1, 0, 1), 0, "a read lock on what was opened to read");
    check_call(lock(a, PROCESS, 2, 0, 1), EBADF, "a write lock on what was opened to read");
    check_call(lock_soon(a, FLOCK, 2, 0, 0), 0, "flock does not care how it was opened");
    b = dup(a);
    check_call(lock(b, FLOCK, 2, 0, 0), 0, "a duplicate has the same flock");
    c = (int)must(open("x", O_RDWR), "open");
    check_call(lock(c, FLOCK, 1, 0, 0), EAGAIN, "another open file has not");
    close(b);
    check_call(lock(c, FLOCK, 1, 0, 0), EAGAIN, "closing a duplicate does not give it back");
    close(a);
    check_call(lock_soon(c, FLOCK, 1, 0, 0), 0, "closing the last does");
    check_call(lock(c, FLOCK, 2, 0, 0), 0, "a read lock becomes a write lock");
    close(c);
}

void lock_cases(void)
{
    make("x", FILE_KIND);
    matrix();
    ranges();
    descriptors();
}
