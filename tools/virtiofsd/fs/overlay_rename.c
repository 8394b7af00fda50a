/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each step of an emulated rename can be the last one before the daemon is killed: the crash tests
 * stop it at every FAULT_POINT.
 */
#include "fs/overlay_rename.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/util.h"
#include "fs/whiteout.h"

#define JOURNAL_DIR RESERVED_PREFIX "journal"
#define TEMP_PREFIX RESERVED_PREFIX "tmp."

void overlay_renames_init(struct overlay_renames *renames, int root_fd, int proc_self_fd)
{
    renames->root_fd = root_fd;
    renames->proc_self_fd = proc_self_fd;
    pthread_mutex_init(&renames->lock, NULL);
    atomic_init(&renames->seq, 0);
    renames->next_id = g_random_int(); /* names that a former life may have left are not met */
}

void overlay_renames_done(struct overlay_renames *renames)
{
    (void)unlinkat(renames->root_fd, JOURNAL_DIR, AT_REMOVEDIR); /* stays if something is left */
    pthread_mutex_destroy(&renames->lock);
}

unsigned overlay_renames_begin(struct overlay_renames *renames)
{
    unsigned seq = 0;

    while ((seq = atomic_load_explicit(&renames->seq, memory_order_acquire)) & 1) {
        pthread_mutex_lock(&renames->lock); /* until the rename is through */
        pthread_mutex_unlock(&renames->lock);
    }
    return seq;
}

/* --- what is where --- */

struct node {
    uint64_t dev, ino;
    mode_t mode;
    bool is_device_0;
    struct statx_timestamp btime, mtime;
};

/* 1: there is something, 0: nothing, or -errno. */
static int look(int dirfd, const char *name, struct node *ret)
{
    struct statx st;

    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME,
              &st) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    *ret = (struct node){
        .dev = makedev(st.stx_dev_major, st.stx_dev_minor),
        .ino = st.stx_ino,
        .mode = st.stx_mode,
        .is_device_0 = S_ISCHR(st.stx_mode) && st.stx_rdev_major == 0 && st.stx_rdev_minor == 0,
        .btime = (st.stx_mask & STATX_BTIME) ? st.stx_btime : (struct statx_timestamp){0},
        .mtime = st.stx_mtime,
    };
    return 1;
}

static bool same_node(const struct node *a, const struct node *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

static bool is_whiteout(int dirfd, const char *name, const struct node *node)
{
    return node->is_device_0 || (S_ISLNK(node->mode) && whiteout_is_link(dirfd, name));
}

static int dir_is_empty(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    int found = 0;

    if (!dir) {
        int err = -errno;

        if (fd >= 0) {
            (void)close(fd);
        }
        return err;
    }
    while (!found && (entry = readdir(dir))) {
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(dir);
    return found ? -ENOTEMPTY : 0;
}

/* What rename(2) would say of this pair before it does anything. */
static int check_pair(const struct rename_names *names, const struct node *source,
                      const struct node *victim)
{
    if (names->noreplace) {
        return -EEXIST;
    }
    if (S_ISDIR(source->mode)) {
        return S_ISDIR(victim->mode) ? dir_is_empty(names->newdirfd, names->newname) : -ENOTDIR;
    }
    return S_ISDIR(victim->mode) ? -EISDIR : 0;
}

/* --- the journal: one symbolic link per rename under way, its target says what it was --- */

/*
 * By what a file is known again in the next life. No part of it is enough on a host overlayfs: its
 * own copy-up, which a rename sets off, can change the inode number and the birth time, and the
 * numbers of its directories need not outlive a cache.
 */
struct mark {
    uint64_t ino;
    int64_t birth, change; /* in nanoseconds; birth 0: not known */
};

struct intent {
    char *dir, *newdir; /* relative to the share */
    char *name, *newname, *temp;
    struct mark source, victim; /* victim.ino 0: the destination was absent */
};

static int64_t in_ns(const struct statx_timestamp *time)
{
    /* a guest can set any time: only equality matters, so let it wrap */
    return (int64_t)((uint64_t)time->tv_sec * 1000000000u + time->tv_nsec);
}

static struct mark mark_of(const struct node *node)
{
    return (struct mark){
        .ino = node->ino, .birth = in_ns(&node->btime), .change = in_ns(&node->mtime)};
}

/* How much speaks for it that the node is the one that was marked. */
static int likeness(const struct node *node, const struct mark *mark)
{
    struct mark now = mark_of(node);

    return (now.ino == mark->ino) + (now.birth != 0 && now.birth == mark->birth) +
           (now.change == mark->change);
}

static void intent_done(struct intent *intent)
{
    g_free(intent->dir);
    g_free(intent->newdir);
    g_free(intent->name);
    g_free(intent->newname);
    g_free(intent->temp);
}

/* The path of a directory, relative to the share; NULL when it is not below it by now. */
static char *path_in_share(const struct overlay_renames *renames, int dirfd)
{
    char root[PATH_MAX], path[PATH_MAX], number[12];
    ssize_t root_len = 0, len = 0;

    snprintf(number, sizeof(number), "%d", renames->root_fd);
    root_len = readlinkat(renames->proc_self_fd, number, root, sizeof(root) - 1);
    snprintf(number, sizeof(number), "%d", dirfd);
    len = readlinkat(renames->proc_self_fd, number, path, sizeof(path) - 1);
    if (root_len < 1 || len < 1) {
        return NULL;
    }
    root[root_len] = path[len] = '\0';
    if (strcmp(root, "/") == 0) {
        root_len = 0; /* in the sandbox */
    }
    if (strncmp(path, root, (size_t)root_len) != 0 ||
        (path[root_len] != '/' && path[root_len] != '\0')) {
        return NULL;
    }
    return path[root_len] == '\0' || path[root_len + 1] == '\0' ? g_strdup(".")
                                                                : g_strdup(path + root_len + 1);
}

/* Fields separated by "//", which no path or name contains. */
static char *intent_text(const struct intent *it)
{
    return g_strdup_printf("v1//%s//%s//%s//%s//%s//%" PRIu64 " %" PRId64 " %" PRId64 "//%" PRIu64
                           " %" PRId64 " %" PRId64,
                           it->dir, it->name, it->newdir, it->newname, it->temp, it->source.ino,
                           it->source.birth, it->source.change, it->victim.ino, it->victim.birth,
                           it->victim.change);
}

static bool mark_parse(const char *text, struct mark *ret)
{
    return sscanf(text, "%" SCNu64 " %" SCNd64 " %" SCNd64, &ret->ino, &ret->birth, &ret->change) ==
           3;
}

static bool intent_parse(const char *text, struct intent *ret)
{
    g_auto(GStrv) field = g_strsplit(text, "//", 9);
    struct mark source, victim;

    if (g_strv_length(field) != 8 || strcmp(field[0], "v1") != 0 ||
        !mark_parse(field[6], &source) || !mark_parse(field[7], &victim)) {
        return false;
    }
    *ret = (struct intent){
        .dir = g_strdup(field[1]),
        .name = g_strdup(field[2]),
        .newdir = g_strdup(field[3]),
        .newname = g_strdup(field[4]),
        .temp = g_strdup(field[5]),
        .source = source,
        .victim = victim,
    };
    return true;
}

static int open_journal(const struct overlay_renames *renames)
{
    return openat(renames->root_fd, JOURNAL_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The journal's directory, made when it is not there. */
static int open_or_make_journal(const struct overlay_renames *renames)
{
    int fd = open_journal(renames);

    if (fd < 0 && errno == ENOENT) {
        fd = mkdirat(renames->root_fd, JOURNAL_DIR, 0700) < 0 ? -1 : open_journal(renames);
    }
    return fd < 0 ? -errno : fd;
}

/*
 * Writes the intent; its name is the temporary one. A path of more than a link can hold, or a
 * share whose root cannot be written, goes without: only a kill in the next few microseconds
 * would then leave a name with what is not its own.
 */
static int journal_add(struct overlay_renames *renames, const struct rename_names *names,
                       const char *temp, const struct node *source, const struct node *victim)
{
    struct intent intent = {
        .dir = path_in_share(renames, names->dirfd),
        .newdir = path_in_share(renames, names->newdirfd),
        .name = g_strdup(names->name),
        .newname = g_strdup(names->newname),
        .temp = g_strdup(temp),
        .source = mark_of(source),
        .victim = victim ? mark_of(victim) : (struct mark){0},
    };
    auto_fd journal = -1;
    g_autofree char *text = NULL;

    if (intent.dir && intent.newdir) {
        text = intent_text(&intent);
    }
    intent_done(&intent);
    if (!text || strlen(text) >= PATH_MAX) {
        return 0;
    }
    journal = open_or_make_journal(renames);
    if (journal < 0) {
        return journal == -EROFS || journal == -EACCES || journal == -EPERM ? 0 : journal;
    }
    return symlinkat(text, journal, temp) < 0 && errno != EACCES ? -errno : 0;
}

static void journal_remove(struct overlay_renames *renames, const char *temp)
{
    auto_fd journal = open_journal(renames);

    if (journal >= 0) {
        (void)unlinkat(journal, temp, 0); /* if it stays, the next repair finds nothing to do */
    }
}

/* --- the two ways --- */

enum { TEMP_SIZE = sizeof(TEMP_PREFIX) + 8 };

static void next_temp(struct overlay_renames *renames, char temp[TEMP_SIZE])
{
    snprintf(temp, TEMP_SIZE, TEMP_PREFIX "%08x", renames->next_id++);
}

static int exchange(int dirfd, const char *name, int newdirfd, const char *newname)
{
    return renameat2(dirfd, name, newdirfd, newname, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static int to_absent(struct overlay_renames *renames, const struct rename_names *names,
                     const struct node *source)
{
    char temp[TEMP_SIZE];
    int err = 0;

    /* A whiteout over nothing is not harmless: the guest's lower layer may have that name. */
    next_temp(renames, temp);
    err = journal_add(renames, names, temp, source, NULL);
    if (err < 0) {
        return err;
    }
    FAULT_POINT("rename-absent-journal");
    err = whiteout_make(names->newdirfd, names->newname, names->try_native, 0);
    if (err == 0) {
        FAULT_POINT("rename-absent-whiteout");
        err = exchange(names->dirfd, names->name, names->newdirfd, names->newname);
        if (err < 0) {
            (void)unlinkat(names->newdirfd, names->newname, 0); /* made a moment ago */
        }
    }
    FAULT_POINT("rename-absent-done");
    journal_remove(renames, temp);
    return err;
}

/*
 * The source's name holds the victim, T the whiteout: put the whiteout in place and drop the
 * victim. -errno when it cannot be done, with everything still where it was.
 */
static int finish(int dirfd, const char *name, const char *temp, bool victim_is_dir)
{
    int err = 0;

    if (!victim_is_dir) {
        return renameat(dirfd, temp, dirfd, name) < 0 ? -errno : 0;
    }
    err = exchange(dirfd, temp, dirfd, name);
    if (err < 0) {
        return err;
    }
    FAULT_POINT("rename-present-victim-aside");
    if (unlinkat(dirfd, temp, AT_REMOVEDIR) < 0) {
        err = -errno;
        (void)exchange(dirfd, temp, dirfd, name); /* just worked the other way round */
    }
    return err;
}

static int swap_and_finish(struct overlay_renames *renames, const struct rename_names *names,
                           const char *temp, bool victim_is_dir)
{
    int err = 0;

    /* seq_cst: nobody's look may slip between the mark and the exchange */
    atomic_fetch_add(&renames->seq, 1);
    err = exchange(names->dirfd, names->name, names->newdirfd, names->newname);
    if (err == 0) {
        FAULT_POINT("rename-present-exchanged");
        err = finish(names->dirfd, names->name, temp, victim_is_dir);
        if (err < 0) {
            (void)exchange(names->dirfd, names->name, names->newdirfd, names->newname);
        }
    }
    atomic_fetch_add(&renames->seq, 1);
    return err;
}

static int to_present(struct overlay_renames *renames, const struct rename_names *names,
                      const struct node *source, const struct node *victim)
{
    char temp[TEMP_SIZE];
    int err = check_pair(names, source, victim);

    if (err < 0) {
        return err;
    }
    next_temp(renames, temp);
    err = journal_add(renames, names, temp, source, victim);
    if (err < 0) {
        return err;
    }
    FAULT_POINT("rename-present-journal");
    err = whiteout_make(names->dirfd, temp, names->try_native, 0);
    if (err == 0) {
        FAULT_POINT("rename-present-whiteout");
        err = swap_and_finish(renames, names, temp, S_ISDIR(victim->mode));
        if (err < 0) {
            (void)unlinkat(names->dirfd, temp, 0);
        }
    }
    FAULT_POINT("rename-present-done");
    journal_remove(renames, temp);
    return err;
}

int overlay_rename_whiteout(struct overlay_renames *renames, const struct rename_names *names)
{
    struct node source = {0}, victim = {0};
    int err = 0;

    pthread_mutex_lock(&renames->lock);
    err = look(names->dirfd, names->name, &source);
    if (err == 0) {
        err = -ENOENT;
    }
    if (err > 0) {
        err = look(names->newdirfd, names->newname, &victim);
    }
    if (err == 0) {
        err = to_absent(renames, names, &source);
    } else if (err > 0) {
        /* Two names of one file: rename(2) does nothing, and so do we. */
        err = same_node(&source, &victim) ? 0 : to_present(renames, names, &source, &victim);
    }
    pthread_mutex_unlock(&renames->lock);
    return err;
}

/* --- after a crash --- */

/* A directory of the share by its path, never through a symbolic link. */
static int open_in_share(const struct overlay_renames *renames, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    int fd = fcntl(renames->root_fd, F_DUPFD_CLOEXEC, 0);

    for (size_t i = 0; parts[i] && fd >= 0; i++) {
        int next = -1;

        if (strcmp(parts[i], ".") == 0) {
            continue;
        }
        next = strcmp(parts[i], "..") == 0
                   ? -1
                   : openat(fd, parts[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(fd);
        fd = next;
    }
    return fd;
}

static bool is_plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool names_are_sound(const struct intent *intent)
{
    return is_plain_name(intent->name) && is_plain_name(intent->newname) &&
           is_plain_name(intent->temp) && whiteout_is_reserved_name(intent->temp);
}

/* The destination was absent: a whiteout there, and none at the source's name, is ours to undo. */
static void repair_absent(const struct intent *intent, int dirfd, int newdirfd)
{
    struct node source = {0}, dest = {0};

    if (look(dirfd, intent->name, &source) == 1 && look(newdirfd, intent->newname, &dest) == 1 &&
        is_whiteout(newdirfd, intent->newname, &dest) &&
        !is_whiteout(dirfd, intent->name, &source)) {
        (void)unlinkat(newdirfd, intent->newname, 0);
    }
}

/* Does the victim stand at the source's name? In doubt it does not. */
static bool was_exchanged(const struct intent *intent, int dirfd, int newdirfd,
                          struct node *ret_at_source)
{
    struct node dest = {0};

    if (look(dirfd, intent->name, ret_at_source) != 1 ||
        look(newdirfd, intent->newname, &dest) != 1) {
        return false;
    }
    return likeness(ret_at_source, &intent->victim) + likeness(&dest, &intent->source) >
           likeness(ret_at_source, &intent->source) + likeness(&dest, &intent->victim);
}

/* Decides by what stands where, so that a second crash in here is repaired just the same. */
static void repair_present(const struct intent *intent, int dirfd, int newdirfd)
{
    struct node temp = {0}, at_source = {0};

    if (look(dirfd, intent->temp, &temp) <= 0) {
        return; /* nothing was begun, or all was done */
    }
    if (S_ISDIR(temp.mode)) {
        (void)unlinkat(dirfd, intent->temp, AT_REMOVEDIR); /* the victim, already replaced */
        return;
    }
    if (was_exchanged(intent, dirfd, newdirfd, &at_source) &&
        finish(dirfd, intent->name, intent->temp, S_ISDIR(at_source.mode)) == 0) {
        return;
    }
    if (is_whiteout(dirfd, intent->temp, &temp)) {
        (void)unlinkat(dirfd, intent->temp, 0);
    }
}

static void repair_one(const struct overlay_renames *renames, const struct intent *intent)
{
    auto_fd dirfd = open_in_share(renames, intent->dir);
    auto_fd newdirfd = open_in_share(renames, intent->newdir);

    if (dirfd < 0 || newdirfd < 0 || !names_are_sound(intent)) {
        return;
    }
    if (intent->victim.ino == 0) {
        repair_absent(intent, dirfd, newdirfd);
    } else {
        repair_present(intent, dirfd, newdirfd);
    }
}

static void repair_named(const struct overlay_renames *renames, int journal, const char *name)
{
    char text[PATH_MAX];
    ssize_t len = readlinkat(journal, name, text, sizeof(text) - 1);
    struct intent intent;

    if (len > 0) {
        text[len] = '\0';
        if (intent_parse(text, &intent)) {
            log_info("a rename was interrupted when the last daemon ended; repairing it");
            repair_one(renames, &intent);
            intent_done(&intent);
        }
    }
    (void)unlinkat(journal, name, 0);
}

void overlay_renames_repair(struct overlay_renames *renames)
{
    int fd = open_journal(renames);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;

    if (!dir) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return; /* no journal: no emulated rename ever replaced anything here */
    }
    while ((entry = readdir(dir))) {
        if (whiteout_is_reserved_name(entry->d_name)) {
            repair_named(renames, fd, entry->d_name);
        }
    }
    closedir(dir);
    (void)unlinkat(renames->root_fd, JOURNAL_DIR, AT_REMOVEDIR); /* stays if something is left */
}
