/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations on two directories at once: one whose answers are trusted, and one on test.
 *
 *     guestfs-tool soak TRUSTED TESTED SEED OPERATIONS
 *
 * Both start with equal contents. Each operation is done on both, and must end with the same errno;
 * every 200 operations the trees must be equal (guestfs-tree.c), every other time after the
 * kernel's caches were dropped. The seed decides everything; at a difference the last operations
 * are printed.
 *
 * One difference is known and belongs to the guest's kernel: on an overlay whose upper layer is any
 * FUSE file system, a file that was opened, got a second name and then lost the first answers
 * ESTALE under the second until the caches are dropped. For exactly that, an ESTALE of the tested
 * side for a file that had several names and lost one, the caches are dropped and the operation is
 * repeated once; how often is printed.
 */
#define _GNU_SOURCE
#include "guestfs-soak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guestfs-tree.h"

enum { TRUSTED, TESTED, SIDES };
enum { COMPARE_EVERY = 200, LOG_LINES = 40, MAX_LOST = 1 << 16 };

static struct {
    const char *root[SIDES];
    uint64_t random;
    char log[LOG_LINES][400];
    unsigned long step;
    unsigned long stale;  /* known ESTALEs */
    ino_t lost[MAX_LOST]; /* files (of the trusted side) that had several names and lost one */
    size_t n_lost;
} soak;

/* One operation with all it needs, so that it is the same on both sides. */
struct op {
    const struct kind *kind;
    char path[2][96]; /* relative to the root */
    uint64_t number;  /* sizes, modes, whatever */
    uid_t uid;
};

struct kind {
    const char *name;
    unsigned weight;
    int (*run)(int root, const struct op *op);
    int paths;
    bool old; /* works on what is there */
};

static uint64_t random_number(uint64_t limit)
{
    soak.random ^= soak.random << 13;
    soak.random ^= soak.random >> 7;
    soak.random ^= soak.random << 17;
    return (soak.random >> 11) % limit;
}

static int no_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* --- the operations: 0 or a value, or -1 and errno; `root` is a descriptor --- */

static void fill(char *buf, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++) {
        buf[i] = (char)('a' + (number + i * 7) % 26);
    }
}

static int write_some(int fd, const struct op *op, off_t at)
{
    char buf[6000];
    size_t len = op->number % sizeof(buf);
    ssize_t done = 0;
    int err = 0;

    if (fd < 0) {
        return -1;
    }
    fill(buf, len, op->number);
    done = at < 0 ? write(fd, buf, len) : pwrite(fd, buf, len, at);
    err = errno;
    close(fd);
    errno = err;
    return done == (ssize_t)len ? 0 : -1;
}

static int run_create(int root, const struct op *op)
{
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | (op->number & 1 ? O_EXCL : O_TRUNC);

    return write_some(openat(root, op->path[0], flags, op->number & 2 ? 0644 : 0600), op, -1);
}

static int run_write(int root, const struct op *op)
{
    return write_some(openat(root, op->path[0], O_WRONLY | O_NOFOLLOW | O_NONBLOCK), op,
                      (off_t)(op->number % 20000));
}

static int run_append(int root, const struct op *op)
{
    return write_some(openat(root, op->path[0], O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK), op,
                      -1);
}

static int run_truncate(int root, const struct op *op)
{
    int fd = openat(root, op->path[0], O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
    int done = fd < 0 ? -1 : ftruncate(fd, (off_t)(op->number % 9000));
    int err = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = err;
    return done;
}

static int run_rename(int root, const struct op *op)
{
    return renameat2(root, op->path[0], root, op->path[1], 0);
}

static int run_noreplace(int root, const struct op *op)
{
    return renameat2(root, op->path[0], root, op->path[1], RENAME_NOREPLACE);
}

static int run_exchange(int root, const struct op *op)
{
    return renameat2(root, op->path[0], root, op->path[1], RENAME_EXCHANGE);
}

/*
 * Not of symbolic links and special files: trusted.overlay.origin cannot be kept on those, and the
 * guest's overlayfs then takes two names of one that was copied up for two files (known limit).
 */
static int run_link(int root, const struct op *op)
{
    struct stat st;

    if (fstatat(root, op->path[0], &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)) {
        errno = EPERM;
        return -1;
    }
    return linkat(root, op->path[0], root, op->path[1], 0);
}

static int run_unlink(int root, const struct op *op)
{
    return unlinkat(root, op->path[0], 0);
}

static int run_rmdir(int root, const struct op *op)
{
    return unlinkat(root, op->path[0], AT_REMOVEDIR);
}

static int run_mkdir(int root, const struct op *op)
{
    return mkdirat(root, op->path[0], op->number & 1 ? 0755 : 0775);
}

static int run_symlink(int root, const struct op *op)
{
    char target[32];

    snprintf(target, sizeof(target), "target-%llu", (unsigned long long)op->number % 100);
    return symlinkat(target, root, op->path[0]);
}

static int run_mknod(int root, const struct op *op)
{
    return op->number & 1 ? mknodat(root, op->path[0], S_IFIFO | 0640, 0)
                          : mknodat(root, op->path[0], S_IFCHR | 0600, makedev(1, 7));
}

static int run_chmod(int root, const struct op *op)
{
    mode_t mode = op->number & 07777;
    struct stat st;

    /* fchmodat follows: a dangling link would be the same on both sides, but tell nothing */
    if (fstatat(root, op->path[0], &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -1;
    }
    /*
     * S_ISGID without S_IXGRP gives nobody anything, and a local file system clears it when an
     * outsider writes; the FUSE of a guest's kernel (without KILLPRIV_V2) leaves it there.
     */
    if (S_ISREG(st.st_mode) && !(mode & S_IXGRP)) {
        mode &= ~(mode_t)S_ISGID;
    }
    return S_ISLNK(st.st_mode) ? 0 : fchmodat(root, op->path[0], mode, 0);
}

static int run_chown(int root, const struct op *op)
{
    return fchownat(root, op->path[0], op->number & 1 ? 1000 : 0, op->number & 2 ? 1000 : 5,
                    AT_SYMLINK_NOFOLLOW);
}

/* On files and directories: the tested side may refuse attributes on other kinds. */
static int open_for_xattr(int root, const struct op *op)
{
    struct stat st;

    if (fstatat(root, op->path[0], &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -1;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return openat(root, op->path[0], O_RDONLY | O_NOFOLLOW);
}

static int run_xattr(int root, const struct op *op)
{
    char name[32], value[300];
    size_t len = (op->number >> 8) % sizeof(value);
    int fd = open_for_xattr(root, op);
    int done = -1, err = 0;

    if (fd < 0) {
        return -1;
    }
    snprintf(name, sizeof(name), "trusted.soak%llu", (unsigned long long)(op->number >> 4) % 3);
    fill(value, len, op->number);
    if (op->number % 4 == 0) {
        done = fremovexattr(fd, name);
    } else {
        done = fsetxattr(fd, name, value, len, 0);
    }
    err = errno;
    close(fd);
    errno = err;
    return done;
}

/* The file without its name is still written, read and measured. */
static int run_orphan(int root, const struct op *op)
{
    char byte = 0;
    struct stat st;
    int fd = openat(root, op->path[0], O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    int done = -1, err = 0;

    if (fd < 0) {
        return -1;
    }
    if (unlinkat(root, op->path[0], 0) == 0 && fstat(fd, &st) == 0) {
        done = !S_ISREG(st.st_mode)                                                       ? 0
               : pwrite(fd, "x", 1, 3) == 1 && pread(fd, &byte, 1, 3) == 1 && byte == 'x' ? 0
                                                                                          : -1;
    }
    err = errno;
    close(fd);
    errno = err;
    return done;
}

static int run_stat(int root, const struct op *op)
{
    struct stat st;

    return fstatat(root, op->path[0], &st, AT_SYMLINK_NOFOLLOW);
}

/* Only a name for the table: remove_tree() takes it apart into unlink and rmdir. */
static int run_remove_tree(int root, const struct op *op)
{
    (void)root;
    (void)op;
    return 0;
}

static const struct kind kinds[] = {
    {"create", 18, run_create, 1, false},
    {"write", 6, run_write, 1, true},
    {"append", 4, run_append, 1, true},
    {"truncate", 3, run_truncate, 1, true},
    {"rename", 16, run_rename, 2, true},
    {"rename-noreplace", 3, run_noreplace, 2, true},
    {"exchange", 6, run_exchange, 2, true},
    {"link", 7, run_link, 2, true},
    {"unlink", 16, run_unlink, 1, true},
    {"rmdir", 4, run_rmdir, 1, true},
    {"remove-tree", 2, run_remove_tree, 1, true},
    {"mkdir", 8, run_mkdir, 1, false},
    {"symlink", 5, run_symlink, 1, false},
    {"mknod", 3, run_mknod, 1, false},
    {"chmod", 4, run_chmod, 1, true},
    {"chown", 4, run_chown, 1, true},
    {"xattr", 6, run_xattr, 1, true},
    {"orphan", 2, run_orphan, 1, true},
    {"stat", 3, run_stat, 1, true},
};

/* --- choosing --- */

enum { DEEPEST = 3 };

/* An entry of the directory as the trusted side has it; false for none. */
static bool pick_entry(const char *dir, char *ret_name, size_t size)
{
    char full[PATH_MAX];
    struct dirent **entries = NULL;
    int n = 0;

    snprintf(full, sizeof(full), "%s/%s", soak.root[TRUSTED], dir);
    n = scandir(full, &entries, no_dots, alphasort);
    if (n > 0) {
        snprintf(ret_name, size, "%.31s", entries[random_number((uint64_t)n)]->d_name);
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    return n > 0;
}

static bool is_dir(const char *path)
{
    char full[PATH_MAX];
    struct stat st;

    snprintf(full, sizeof(full), "%s/%s", soak.root[TRUSTED], path);
    return lstat(full, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Something that exists, or a name out of a few in a directory that does, so that they meet. */
static void choose_path(char *ret, size_t size, bool existing)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5",
                                        "6", "7", "a", "b", "x", "long-name-of-a-file"};
    char dir[64] = "";

    for (int depth = 1;; depth++) {
        char name[32];

        if (!pick_entry(dir, name, sizeof(name))) {
            break;
        }
        snprintf(ret, size, "%s%.31s", dir, name);
        if (depth == DEEPEST || !is_dir(ret) || random_number(4) == 0) {
            if (existing) {
                return;
            }
            break;
        }
        snprintf(dir, sizeof(dir), "%s/", ret);
    }
    snprintf(ret, size, "%s%s", dir, names[random_number(12)]);
}

static void choose(struct op *op)
{
    unsigned total = 0;
    uint64_t pick = 0;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        total += kinds[i].weight;
    }
    pick = random_number(total);
    op->kind = kinds;
    while (pick >= op->kind->weight) {
        pick -= op->kind->weight;
        op->kind++;
    }
    choose_path(op->path[0], sizeof(op->path[0]), op->kind->old && random_number(10) > 0);
    choose_path(op->path[1], sizeof(op->path[1]), random_number(3) == 0);
    op->number = random_number(UINT64_MAX >> 12);
    op->uid = random_number(4) == 0 ? 1000 : 0;
}

/* --- the known ESTALE --- */

static void drop_caches(void)
{
    FILE *file = fopen("/proc/sys/vm/drop_caches", "w");

    if (file) {
        fputs("3\n", file);
        fclose(file);
    }
}

static bool is_lost(const char *full)
{
    struct stat st;

    if (lstat(full, &st) < 0 || S_ISDIR(st.st_mode)) {
        return false;
    }
    for (size_t i = 0; i < soak.n_lost; i++) {
        if (soak.lost[i] == st.st_ino) {
            return true;
        }
    }
    return false;
}

/* The file at the path, or one in its middle, where a directory was wanted. */
static bool has_lost_a_name(const char *path)
{
    char full[PATH_MAX];
    int root_len = snprintf(full, sizeof(full), "%s/", soak.root[TRUSTED]);

    for (size_t i = 0; i <= strlen(path); i++) {
        if (path[i] == '/' || path[i] == '\0') {
            snprintf(full + root_len, sizeof(full) - (size_t)root_len, "%.*s", (int)i, path);
            if (is_lost(full)) {
                return true;
            }
        }
    }
    return false;
}

/* Before an operation that may take a name away. */
static void note_loss(int trusted, const struct op *op)
{
    int last = op->kind->paths - 1;
    struct stat st;

    if (fstatat(trusted, op->path[last], &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) &&
        st.st_nlink > 1 && soak.n_lost < MAX_LOST) {
        soak.lost[soak.n_lost++] = st.st_ino;
    }
}

static int retry_known(void *data, const char *path, int err)
{
    (void)data;
    if (err != ESTALE || !has_lost_a_name(path)) {
        return false;
    }
    soak.stale++;
    drop_caches();
    return true;
}

/* --- one step, and the comparison --- */

static int attempt(int root, const struct op *op)
{
    int result = 0;

    if (op->uid) {
        setfsgid(op->uid);
        setfsuid(op->uid);
    }
    errno = 0;
    result = op->kind->run(root, op) < 0 ? errno : 0;
    if (op->uid) {
        setfsuid(0);
        setfsgid(0);
    }
    return result;
}

static void print_log(void)
{
    for (unsigned long i = soak.step > LOG_LINES ? soak.step - LOG_LINES : 0; i < soak.step; i++) {
        printf("  %lu: %s\n", i, soak.log[i % LOG_LINES]);
    }
}

static bool is_known(const struct op *op)
{
    return has_lost_a_name(op->path[0]) || (op->kind->paths == 2 && has_lost_a_name(op->path[1]));
}

static int step(const int roots[SIDES], const struct op *chosen)
{
    struct op op = *chosen;
    int result[SIDES];
    char *log = soak.log[soak.step % LOG_LINES];
    bool known = false;

    known = is_known(&op); /* as it stands before: the trusted side comes first */
    note_loss(roots[TRUSTED], &op);
    result[TRUSTED] = attempt(roots[TRUSTED], &op);
    result[TESTED] = attempt(roots[TESTED], &op);
    if (result[TESTED] == ESTALE && result[TRUSTED] != ESTALE && known) {
        soak.stale++;
        drop_caches();
        result[TESTED] = attempt(roots[TESTED], &op);
    }
    snprintf(log, sizeof(soak.log[0]), "%s %s %s %llu uid %u: %s", op.kind->name, op.path[0],
             op.kind->paths == 2 ? op.path[1] : "", (unsigned long long)op.number, op.uid,
             result[TRUSTED] ? strerrorname_np(result[TRUSTED]) : "0");
    soak.step++;
    if (result[TRUSTED] == result[TESTED]) {
        return 0;
    }
    print_log();
    printf("difference at step %lu: %s, but on the tested side %s\n", soak.step - 1, log,
           result[TESTED] ? strerrorname_np(result[TESTED]) : "0");
    return -1;
}

static int one_of_tree(const int roots[SIDES], const struct op *tree, const char *path,
                       const char *kind)
{
    struct op op = *tree;

    snprintf(op.path[0], sizeof(op.path[0]), "%s", path);
    op.kind = kinds;
    while (strcmp(op.kind->name, kind) != 0) {
        op.kind++;
    }
    return step(roots, &op);
}

/* As rm -r, one step a name. A refusal in the middle is the same on both sides, as any. */
static int remove_tree(const int roots[SIDES], const struct op *op, const char *path)
{
    struct dirent **entries = NULL;
    char child[sizeof(op->path[0])];
    int n = 0, err = 0;

    if (!is_dir(path)) {
        return one_of_tree(roots, op, path, "unlink");
    }
    n = scandirat(roots[TRUSTED], path, &entries, no_dots, alphasort);
    for (int i = 0; i < n; i++) {
        if (!err && snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name) <
                        (int)sizeof(child)) {
            err = remove_tree(roots, op, child);
        }
        free(entries[i]);
    }
    free(entries);
    return err ? err : one_of_tree(roots, op, path, "rmdir");
}

static int step_or_tree(const int roots[SIDES])
{
    struct op op = {0};

    choose(&op);
    return op.kind->run == run_remove_tree ? remove_tree(roots, &op, op.path[0]) : step(roots, &op);
}

static int compare(void)
{
    struct tree trees[SIDES];
    char problem[PATH_MAX];
    size_t i = 0;
    bool same = false;

    for (int side = 0; side < SIDES; side++) {
        if (tree_read(soak.root[side], &trees[side], side == TESTED ? retry_known : NULL, NULL,
                      problem, sizeof(problem)) < 0) {
            print_log();
            printf("step %lu: reading %s: %s\n", soak.step, soak.root[side], problem);
            return -1;
        }
    }
    while (i < trees[0].n && i < trees[1].n && strcmp(trees[0].lines[i], trees[1].lines[i]) == 0) {
        i++;
    }
    same = i == trees[0].n && i == trees[1].n;
    if (!same) {
        print_log();
        printf("trees differ after step %lu:\n- %s\n+ %s\n", soak.step,
               i < trees[0].n ? trees[0].lines[i] : "(nothing)",
               i < trees[1].n ? trees[1].lines[i] : "(nothing)");
    }
    for (int side = 0; side < SIDES; side++) {
        tree_done(&trees[side]);
    }
    return same ? 0 : -1;
}

int cmd_soak(int argc, char **argv)
{
    int roots[SIDES];
    unsigned long operations = strtoul(argv[3], NULL, 10);
    unsigned long compared = 0, comparisons = 0;

    (void)argc;
    for (int side = 0; side < SIDES; side++) {
        soak.root[side] = argv[side];
        roots[side] = open(argv[side], O_RDONLY | O_DIRECTORY);
        if (roots[side] < 0) {
            printf("%s: %s\n", argv[side], strerrorname_np(errno));
            return 1;
        }
    }
    umask(0);
    soak.random = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15ULL + 1;
    printf("seed %s, %lu operations\n", argv[2], operations);
    while (soak.step < operations) {
        if (step_or_tree(roots) < 0) {
            return 1;
        }
        if (soak.step >= compared + COMPARE_EVERY) {
            compared = soak.step;
            if (++comparisons % 2 == 0) {
                drop_caches();
            }
            if (compare() < 0) {
                return 1;
            }
        }
    }
    printf("equal after %lu operations; known ESTALE, cured by dropping caches: %lu\n", soak.step,
           soak.stale);
    return 0;
}
