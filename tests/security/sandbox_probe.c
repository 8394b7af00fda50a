/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stand-in for the daemon: goes through the same confinement as main.c does, then does as it is
 * told, one word a line on stdin, and answers on stdout. The tests drive it from outside, and use
 * it to do what no daemon would do by itself.
 *
 *     sandbox_probe namespace|chroot|none kill|log|trap|none DIR [:in:out:count: UID GID maps...]
 */
#include "base/log.h"
#include "host/caps.h"
#include "host/limits.h"
#include "host/sandbox.h"
#include "host/seccomp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <syslog.h>
#include <unistd.h>

static struct sandbox_result box;

/* What the probe itself does beyond the base table; a room would keep this next to its code. */
static const struct syscall_rule probe_syscalls[] = {
    {"openat"},     {"newfstatat"}, {"statx"},
    {"fchdir"},     {"getxattr"},   {"setxattr"},
    {"getuid"},     {"geteuid"},    {"getgid"},
    {"getegid"},    {"getppid"},    {"getdents64"},
    {"getcwd"},     {"pread64"},    {"readlink"},
    {"readlinkat"}, {"kill"},       {"unshare", 0, SYSCALL_INT_ARG, CLONE_FS},
    {NULL},
};

static void say(const char *name, int res)
{
    printf("%s %s\n", name, res < 0 ? g_strerror(errno) : "ok");
}

static void try_open(const char *name, int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

    say(name, fd);
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* What a compromised worker would try first. */
static void cmd_escape(void)
{
    struct stat up;
    struct stat here;

    try_open("proc_up", box.proc_self_fd, "../status");
    try_open("proc_core_pattern", box.proc_self_fd, "../../sys/kernel/core_pattern");
    try_open("root_up", box.root_fd, "../../../../../../etc/passwd");
    if (fstatat(box.proc_self_fd, "..", &up, 0) == 0 &&
        fstatat(box.proc_self_fd, ".", &here, 0) == 0) {
        printf("proc_dotdot %s\n",
               up.st_ino == here.st_ino && up.st_dev == here.st_dev ? "itself" : "elsewhere");
    }
}

/* What the file system does: a thread of its own, with xattrs through the magic links. */
static void *xattr_thread(void *opaque)
{
    char name[16];
    char value[8] = "";
    int fd = openat(box.root_fd, "probe-file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ssize_t n = -1;

    snprintf(name, sizeof(name), "%d", fd);
    say("file", fd);
    say("unshare_fs", unshare(CLONE_FS));
    say("fchdir", fchdir(box.proc_self_fd));
    say("setxattr", setxattr(name, "user.probe", "yes", 3, 0));
    n = getxattr(name, "user.probe", value, sizeof(value));
    say("getxattr", n == 3 ? 0 : -1);
    (void)close(fd);
    return opaque;
}

static void cmd_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, xattr_thread, NULL) == 0) {
        pthread_join(thread, NULL);
        puts("thread ok");
    } else {
        puts("thread failed");
    }
}

static void cmd_fds(void)
{
    DIR *dir = fdopendir(openat(box.proc_self_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *entry = NULL;

    while (dir && (entry = readdir(dir)) != NULL) {
        char target[256];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));

        if (n > 0 && atoi(entry->d_name) != dirfd(dir)) {
            printf("fd %s %.*s\n", entry->d_name, (int)n, target);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static void cmd_mounts(void)
{
    char text[16384];
    ssize_t n = pread(box.mountinfo_fd, text, sizeof(text) - 1, 0);

    printf("mountinfo %zd\n%.*s", n, (int)MAX(n, 0), text);
}

/* Error paths that libraries take: they must not be what the filter ends us for. */
static void cmd_errors(void)
{
    for (int i = 1; i < 200; i++) {
        (void)g_strerror(i);
        (void)strerror(i);
    }
    g_free(g_strdup_printf("%m"));
    syslog(LOG_DEBUG, "a line that /dev/log may not be there for");
    closelog();
    syslog(LOG_DEBUG, "a line after the log daemon was restarted");
    log_warn("a line by GLib's structured log: %s", g_strerror(ENOSPC));
    puts("errors ok");
}

static void cmd_ids(void)
{
    printf("ids %d %d %d %d pid %d userns %d setgroups %d all %d\n", (int)getuid(), (int)geteuid(),
           (int)getgid(), (int)getegid(), (int)getpid(), box.in_userns, box.may_setgroups,
           box.has_all_ids);
}

static void cmd_mmap_exec(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    say("mmap_exec", p == MAP_FAILED ? -1 : 0);
}

static void cmd_socket(void)
{
    say("socket", socket(AF_UNIX, SOCK_STREAM, 0));
}

static void cmd_unshare(void)
{
    say("unshare_user", unshare(CLONE_NEWUSER));
}

static void cmd_fork(void)
{
    pid_t child = fork();

    if (child == 0) {
        _exit(0);
    }
    say("fork", child);
}

static void cmd_exec(void)
{
    execl("/bin/true", "true", NULL);
    say("exec", -1);
}

static void cmd_abort(void)
{
    abort();
}

static void cmd_hang(void)
{
    /* deaf to SIGTERM: the supervisor must deal with it */
    (void)signal(SIGTERM, SIG_IGN);
    puts("hanging");
    fflush(stdout);
    for (;;) {
        poll(NULL, 0, 1000);
    }
}

static void cmd_fail(void)
{
    exit(42);
}

static const struct {
    const char *name;
    void (*run)(void);
} commands[] = {
    {"escape", cmd_escape}, {"thread", cmd_thread},       {"fds", cmd_fds},
    {"mounts", cmd_mounts}, {"errors", cmd_errors},       {"ids", cmd_ids},
    {"socket", cmd_socket}, {"mmap-exec", cmd_mmap_exec}, {"unshare", cmd_unshare},
    {"fork", cmd_fork},     {"exec", cmd_exec},           {"abort", cmd_abort},
    {"hang", cmd_hang},     {"fail", cmd_fail},
};

static int run_commands(void)
{
    char line[64];

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        g_strstrip(line);
        for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
            if (strcmp(line, commands[i].name) == 0) {
                commands[i].run();
            }
        }
        puts("done");
        fflush(stdout);
    }
    return 0;
}

static int word_index(const char *word, const char *const *words, const char *what)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    fprintf(stderr, "unknown %s %s\n", what, word);
    exit(2);
}

static void end(const char *error)
{
    fprintf(stderr, "%s\n", error);
    exit(1);
}

static void on_term(int sig)
{
    _exit(0);
}

int main(int argc, char **argv)
{
    static const char *const confinements[] = {"namespace", "chroot", "none", NULL};
    static const char *const actions[] = {"kill", "log", "trap", "none", NULL};
    static const struct syscall_rule *const tables[] = {probe_syscalls, NULL};
    struct log_config log = {.level = LOG_LEVEL_WARN};
    struct userns_range uid_maps[8];
    struct userns_range gid_maps[8];
    struct sandbox_config config = {.uid_map = uid_maps, .gid_map = gid_maps, .supervisor_fd = -1};
    enum filter_action action = FILTER_KILL;
    uint64_t nofile = 0;
    char *error = NULL;

    if (argc < 4) {
        end("usage: sandbox_probe CONFINEMENT FILTER DIR [UIDMAP GIDMAP]...");
    }
    (void)limits_clean_fds(-1);
    log_init(&log);
    openlog("sandbox_probe", LOG_NDELAY, LOG_DAEMON);
    config.confinement = (enum confinement)word_index(argv[1], confinements, "confinement");
    action = (enum filter_action)word_index(argv[2], actions, "filter");
    config.shared_dir = argv[3];
    for (int i = 4; i + 1 < argc && i < 20; i += 2) {
        struct userns_range *u = &uid_maps[config.n_uid_map++];
        struct userns_range *g = &gid_maps[config.n_gid_map++];

        if (sscanf(argv[i], ":%u:%u:%u:", &u->inside, &u->outside, &u->count) != 3 ||
            sscanf(argv[i + 1], ":%u:%u:%u:", &g->inside, &g->outside, &g->count) != 3) {
            end("bad map");
        }
    }
    if (limits_set_nofile(LIMITS_NOFILE_AUTO, &nofile, &error) < 0 ||
        sandbox_rehearse(&config, &error) < 0) {
        end(error);
    }
    (void)signal(SIGTERM, on_term);
    if (sandbox_enter(&config, &box, &error) < 0) {
        end(error);
    }
    if (box.role == SANDBOX_FINISHED) {
        return box.exit_status;
    }
    if (caps_apply(getenv("PROBE_MODCAPS"), &error) < 0 || limits_forbid_core_dumps() < 0 ||
        seccomp_install(action, tables, &error) < 0) {
        end(error ? error : "core dumps cannot be forbidden");
    }
    return run_commands();
}
