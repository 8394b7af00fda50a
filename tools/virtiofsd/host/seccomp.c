/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds the filter. Three kinds of calls: allowed (the base table and the rooms' tables), refused
 * with an errno that libraries handle (the polite list), and everything else, which ends the
 * process as the administrator chose.
 *
 * Two rules are about what a hostile guest could plant in the share, which is our "/": nothing can
 * be mapped executable any more, so that no library a C library might want to load late can run;
 * and no process can be made, only threads in the namespaces we are in.
 */
#include "host/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#ifdef __s390__
#define CLONE_FLAGS_ARG 1
#else
#define CLONE_FLAGS_ARG 0
#endif

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define CLONE_NAMESPACES                                                                           \
    ((uint64_t)(unsigned)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |            \
                          CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME))

static const struct syscall_rule base_syscalls[] = {
    /* memory: never executable */
    {"brk"},
    {"madvise"},
    {"mmap", 2, PROT_EXEC, 0},
    {"mmap2", 2, PROT_EXEC, 0},
    {"mprotect", 2, PROT_EXEC, 0},
    {"mremap"},
    {"munmap"},

    /* threads and locks */
    {"clone", CLONE_FLAGS_ARG, CLONE_NAMESPACES | CLONE_THREAD, CLONE_THREAD},
    {"exit"},
    {"exit_group"},
    {"futex"},
    {"futex_time64"},
    {"get_robust_list"},
    {"gettid"},
    {"membarrier"},
    {"prctl", 0, SYSCALL_INT_ARG, PR_SET_NAME},
    {"prctl", 0, SYSCALL_INT_ARG, PR_GET_NAME},
    {"prctl", 0, SYSCALL_INT_ARG, PR_SET_VMA},
    {"rseq"},
    {"sched_getaffinity"},
    {"sched_yield"},
    {"set_robust_list"},
    {"set_tid_address"},

    /* signals; tgkill (abort, raise) is added for our own process only */
    {"getpid"},
    {"restart_syscall"},
    {"rt_sigaction"},
    {"rt_sigprocmask"},
    {"rt_sigreturn"},
    {"rt_sigtimedwait"},
    {"rt_sigtimedwait_time64"},
    {"sigaltstack"},
    {"sigreturn"},

    /* time */
    {"clock_getres"},
    {"clock_getres_time64"},
    {"clock_gettime"},
    {"clock_gettime64"},
    {"clock_nanosleep"},
    {"clock_nanosleep_time64"},
    {"gettimeofday"},
    {"nanosleep"},
    {"time"},

    /* descriptors: logging, signalfd, eventfd, waiting; nothing here opens anything */
    {"close"},
    {"eventfd2"},
    {"fcntl", 1, SYSCALL_INT_ARG, F_GETFD},
    {"fcntl", 1, SYSCALL_INT_ARG, F_SETFD},
    {"fcntl", 1, SYSCALL_INT_ARG, F_GETFL},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_GETFD},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_SETFD},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_GETFL},
    {"fstat"},
    {"fstat64"},
    {"lseek"},
    {"_llseek"},
    {"poll"},
    {"ppoll"},
    {"ppoll_time64"},
    {"read"},
    {"write"},
    {"writev"},
    {"ioctl", 1, SYSCALL_INT_ARG, TCGETS}, /* isatty() */
    {"sendto"},                            /* syslog() to /dev/log, connected before the sandbox */
    {"send"},

    /* asked for by libraries */
    {"getrandom"},
    {"sysinfo"},
    {"uname"},
    {NULL},
};

/*
 * Refused without a fuss. clone3: its flags are behind a pointer and cannot be judged; glibc falls
 * back to clone. socket, connect: syslog() tries them when its daemon was restarted, and a line
 * lost is better than a guest lost.
 */
static const struct {
    const char *name;
    int error;
} polite[] = {
    {"clone3", ENOSYS},
    {"socket", EACCES},
    {"connect", EACCES},
};

static uint32_t default_action(enum filter_action action)
{
    switch (action) {
    case FILTER_LOG:
        return SCMP_ACT_LOG;
    case FILTER_TRAP:
        return SCMP_ACT_TRAP;
    default:
        return SCMP_ACT_KILL_PROCESS;
    }
}

static int allow(scmp_filter_ctx ctx, const struct syscall_rule *rule)
{
    int number = seccomp_syscall_resolve_name(rule->name);
    struct scmp_arg_cmp cmp = SCMP_CMP64(rule->arg, SCMP_CMP_MASKED_EQ, rule->mask, rule->value);
    int res = 0;

    if (number == __NR_SCMP_ERROR) {
        return 0; /* this libseccomp is older than the call */
    }
    if (rule->mask == 0) {
        res = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
    } else {
        res = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, number, 1, &cmp);
    }
    /* EDOM: known, but not on this architecture. EEXIST: two rooms need the same. */
    return res == -EDOM || res == -EEXIST ? 0 : res;
}

static int allow_table(scmp_filter_ctx ctx, const struct syscall_rule *rules)
{
    for (; rules->name; rules++) {
        int res = allow(ctx, rules);

        if (res < 0) {
            return res;
        }
    }
    return 0;
}

static int refuse_politely(scmp_filter_ctx ctx)
{
    for (size_t i = 0; i < G_N_ELEMENTS(polite); i++) {
        int number = seccomp_syscall_resolve_name(polite[i].name);
        int res = 0;

        if (number != __NR_SCMP_ERROR) {
            res = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)polite[i].error), number, 0);
        }
        if (res < 0 && res != -EDOM && res != -EEXIST) {
            return res;
        }
    }
    return 0;
}

static int set_attributes(scmp_filter_ctx ctx)
{
    int res = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

    /*
     * Decision tree instead of a list, and no slow-down against speculative store bypass: no
     * foreign code runs in here. Older libraries know neither and work without.
     */
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
    return res;
}

static int fill(scmp_filter_ctx ctx, const struct syscall_rule *const *tables)
{
    struct syscall_rule own_threads = {"tgkill", 0, SYSCALL_INT_ARG, (uint64_t)getpid()};
    int res = set_attributes(ctx);

    if (res == 0) {
        res = refuse_politely(ctx);
    }
    if (res == 0) {
        res = allow_table(ctx, base_syscalls);
    }
    if (res == 0) {
        res = allow(ctx, &own_threads);
    }
    for (size_t i = 0; tables && tables[i] && res == 0; i++) {
        res = allow_table(ctx, tables[i]);
    }
    return res;
}

/* Async-signal-safe on purpose: snprintf of integers does not allocate. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
    char line[96];
    int len = snprintf(line, sizeof(line), "virtiofsd: seccomp: system call %d is not allowed\n",
                       info->si_syscall);
    ssize_t n = write(STDERR_FILENO, line, (size_t)len);

    (void)n;       /* nobody to tell */
    (void)context; /* the number says enough */
    _exit(128 + sig);
}

static int catch_traps(void)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

static int load(enum filter_action action, const struct syscall_rule *const *tables)
{
    scmp_filter_ctx ctx = seccomp_init(default_action(action));
    int res = 0;

    if (!ctx) {
        return -ENOMEM;
    }
    res = fill(ctx, tables);
    if (res == 0 && action == FILTER_TRAP) {
        res = catch_traps();
    }
    if (res == 0) {
        res = seccomp_load(ctx);
    }
    seccomp_release(ctx);
    return res;
}

int seccomp_install(enum filter_action action, const struct syscall_rule *const *tables,
                    char **ret_error)
{
    int res = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;

    if (res == 0 && action != FILTER_NONE) {
        res = load(action, tables);
    }
    if (res < 0) {
        *ret_error = g_strdup_printf("the system call filter cannot be installed (%s): does this "
                                     "kernel have seccomp? --seccomp=none runs without",
                                     g_strerror(-res));
    }
    return res;
}
