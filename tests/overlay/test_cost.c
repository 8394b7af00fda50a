/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What --overlay-upper costs ordinary files and directories: no system call, whether the host
 * stores whiteouts as they are or not. The daemon is traced; waiting and waking do not count.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "bench/syscount.h"
#include "overlay.h"

enum {
    FILES = 50,
    STRAY = 2, /* a host may cut a directory elsewhere; a call for each file would be 25 or 50 */
};

struct scene {
    struct proto *p;
    uint64_t dir;
    uint64_t node[FILES];
};

static void name_of(int i, char name[16])
{
    snprintf(name, 16, "f%d", i);
}

static void look_up_all(struct scene *s)
{
    char name[16];

    for (int i = 0; i < FILES; i++) {
        name_of(i, name);
        s->node[i] = proto_lookup(s->p, s->dir, name);
    }
}

static void forget_all(struct scene *s)
{
    for (int i = 0; i < FILES; i++) {
        OK(s->p, fc_forget(fc_hiprio(&s->p->fc), s->node[i], 1000));
    }
}

static void getattr_all(struct scene *s)
{
    for (int i = 0; i < FILES; i++) {
        OK(s->p, fc_getattr(s->p->q, s->node[i], NULL, NULL));
    }
}

static void open_and_read_all(struct scene *s)
{
    char buf[16];

    for (int i = 0; i < FILES; i++) {
        uint64_t fh = 0;

        if (i % 2 == 0) { /* the others are directories */
            OK(s->p, fc_open(s->p->q, s->node[i], O_RDONLY, &fh));
            EXPECT(s->p, fc_read(s->p->q, s->node[i], fh, 0, buf, sizeof(buf)), 1);
            OK(s->p, fc_release(s->p->q, s->node[i], fh));
        }
    }
}

static void list_plus(struct scene *s)
{
    g_autoptr(GHashTable) types = ov_types(s->p, s->dir, true);

    g_assert_cmpuint(g_hash_table_size(types), ==, FILES + 2);
}

static void list(struct scene *s)
{
    g_autoptr(GHashTable) types = ov_types(s->p, s->dir, false);

    g_assert_cmpuint(g_hash_table_size(types), ==, FILES + 2);
}

static const struct step {
    const char *name;
    void (*run)(struct scene *s);
} steps[] = {
    {"lookup of what is known", look_up_all},
    {"getattr", getattr_all},
    {"open, read, release", open_and_read_all},
    {"readdirplus of what is known", list_plus},
    {"readdir", list},
    {"forget", forget_all},
    {"readdirplus of what is new", list_plus},
    {"forget", forget_all},
    {"lookup of what is new", look_up_all},
};

/* Not of the file system: how a thread waits and is woken, and what memory it is given. */
static bool is_aside(unsigned call)
{
    static const unsigned calls[] = {
        SYS_read,        SYS_write,           SYS_poll, SYS_ppoll, SYS_futex,  SYS_epoll_wait,
        SYS_epoll_pwait, SYS_restart_syscall, SYS_brk,  SYS_mmap,  SYS_munmap, SYS_madvise,
        SYS_mprotect,    SYS_sched_yield,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (call == calls[i]) {
            return true;
        }
    }
    return false;
}

static unsigned calls_of(struct scene *s, const struct step *step)
{
    uint64_t by_number[SYSCOUNT_MAX] = {0};
    struct syscount *count = syscount_start(s->p->d.pid);
    unsigned sum = 0;

    if (!count) {
        fprintf(stderr, "the daemon cannot be traced here\n");
        _exit(77);
    }
    step->run(s);
    (void)syscount_total(count, by_number);
    syscount_stop(count);
    for (unsigned i = 0; i < SYSCOUNT_MAX; i++) {
        sum += is_aside(i) ? 0 : (unsigned)by_number[i];
    }
    return sum;
}

static void count_all(const struct ov_cell *cell, unsigned calls[G_N_ELEMENTS(steps)])
{
    struct scene s = {.p = ov_start(cell, NULL)};
    char name[16];

    s.dir = ov_mkdir(s.p, ROOT, "dir");
    for (int i = 0; i < FILES; i++) {
        name_of(i, name);
        s.node[i] = i % 2 ? ov_mkdir(s.p, s.dir, name) : ov_put(s.p, s.dir, name, "x");
    }
    look_up_all(&s); /* the daemon has learnt that these names are known */
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        calls[i] = calls_of(&s, &steps[i]);
    }
    proto_stop(s.p);
}

static void costs_ordinary_files_nothing(const struct ov_cell *cell)
{
    struct ov_cell plain = *cell;
    unsigned without[G_N_ELEMENTS(steps)], with[G_N_ELEMENTS(steps)];
    unsigned dearer = 0;

    plain.plain = true;
    count_all(&plain, without);
    count_all(cell, with);
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        fprintf(stderr, "%s: %u without, %u with\n", steps[i].name, without[i], with[i]);
        g_assert_cmpuint(with[i], >, strcmp(steps[i].name, "forget") == 0 ? 0 : FILES / 20);
        dearer += with[i] > without[i] + STRAY;
    }
    g_assert_cmpuint(dearer, ==, 0);
}

static const struct ov_test tests[] = {
    {"costs_ordinary_files_nothing", costs_ordinary_files_nothing, true},
    {NULL, NULL, false},
};

static void add_tests(void)
{
    ov_add_tests("cost", tests);
}

int main(int argc, char **argv)
{
    return ov_main(argc, argv, add_tests);
}
