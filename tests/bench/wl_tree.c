/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workloads on many files: made and removed, unpacked from an archive, and looked at for the
 * first time. What a slice made is removed on the host after it, and forgotten by the guest.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "requests.h"
#include "workload.h"

static int make_work(const struct bench *b)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < b->n_targets; i++) {
        char name[16];

        snprintf(name, sizeof(name), "work-%u", i);
        rc = share_dir(b, name);
    }
    return rc;
}

static int begin_work(struct lane *l)
{
    struct fuse_entry_out e;
    char name[16];
    int rc;

    snprintf(name, sizeof(name), "work-%u", l->s->index);
    g_autofree char *path = share_path(l->s->bench, name);
    l->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->dirfd < 0 || !l->q) {
        return l->dirfd < 0 ? -errno : 0;
    }
    rc = lane_lookup(l, FUSE_ROOT_ID, name, &e);
    l->dir = e.nodeid;
    return rc;
}

static void name_file(struct lane *l, uint64_t n)
{
    snprintf(l->name, sizeof(l->name), "lane%u-file%" PRIu64, l->id, n);
}

static int take_created(struct lane *l, struct fc_req *req)
{
    const struct rq_create_out *out = fc_result(req);

    if (!S_ISREG(out->entry.attr.mode) || out->entry.nodeid <= FUSE_ROOT_ID) {
        return lane_fail(l, "create: wrong attributes");
    }
    l->node = out->entry.nodeid;
    l->fh = out->open.fh;
    return 0;
}

/* create, flush, release, unlink; the guest forgets the inode at once */
static int send_create_unlink(struct lane *l, struct fc_req *req)
{
    switch (l->step) {
    case 0:
        name_file(l, l->n);
        rq_create(req, l->dir, l->name);
        break;
    case 1:
        rq_flush(req, l->node, l->fh);
        break;
    case 2:
        rq_release(req, l->node, l->fh);
        break;
    default:
        rq_unlink(req, l->dir, l->name);
    }
    return 0;
}

static int reply_create_unlink(struct lane *l, struct fc_req *req)
{
    int rc = 0;

    if (req->error && !(l->step == 1 && req->error == -ENOSYS)) {
        return lane_fail(l, "create, unlink: step %u error %d", l->step, req->error);
    }
    if (l->step == 0) {
        rc = take_created(l, req);
    } else if (l->step == 3) {
        rc = lane_forget(l, l->node, 1);
    }
    return rc ? rc : l->step++ == 3 ? LANE_DONE : LANE_MORE;
}

static int native_create_unlink(struct lane *l)
{
    int fd;

    name_file(l, l->n);
    fd = openat(l->dirfd, l->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 || close(fd) < 0 || unlinkat(l->dirfd, l->name, 0) < 0 ? -errno : LANE_DONE;
}

/* mkdir, rename, rmdir, forget */
static int send_mkdir_rename(struct lane *l, struct fc_req *req)
{
    char to[64];

    name_file(l, l->n);
    snprintf(to, sizeof(to), "%s-renamed", l->name);
    if (l->step == 0) {
        rq_mkdir(req, l->dir, l->name);
    } else if (l->step == 1) {
        rq_rename(req, l->dir, l->name, to);
    } else {
        rq_rmdir(req, l->dir, to);
    }
    return 0;
}

static int reply_mkdir_rename(struct lane *l, struct fc_req *req)
{
    const struct fuse_entry_out *out = fc_result(req);
    int rc = 0;

    if (req->error || (l->step == 0 && !S_ISDIR(out->attr.mode))) {
        return lane_fail(l, "mkdir, rename, rmdir: step %u error %d", l->step, req->error);
    }
    if (l->step == 0) {
        l->node = out->nodeid;
    } else if (l->step == 2) {
        rc = lane_forget(l, l->node, 1);
    }
    return rc ? rc : l->step++ == 2 ? LANE_DONE : LANE_MORE;
}

static int native_mkdir_rename(struct lane *l)
{
    char to[64];

    name_file(l, l->n);
    snprintf(to, sizeof(to), "%s-renamed", l->name);
    return mkdirat(l->dirfd, l->name, 0755) < 0 || renameat(l->dirfd, l->name, l->dirfd, to) < 0 ||
                   unlinkat(l->dirfd, to, AT_REMOVEDIR) < 0
               ? -errno
               : LANE_DONE;
}

/* What tar does for a small file, as the guest's kernel asks for it. */
enum { TAR_LOOKUP, TAR_CREATE, TAR_CAPS, TAR_WRITE, TAR_CHMOD, TAR_UTIMES, TAR_FLUSH, TAR_RELEASE };

static int send_untar(struct lane *l, struct fc_req *req)
{
    switch (l->step) {
    case TAR_LOOKUP:
        name_file(l, l->n);
        rq_lookup(req, l->dir, l->name);
        break;
    case TAR_CREATE:
        rq_create(req, l->dir, l->name);
        break;
    case TAR_CAPS:
        rq_getxattr(req, l->node, "security.capability", 20);
        break;
    case TAR_WRITE:
        rq_write(req, l->node, l->fh, 0, 4096);
        break;
    case TAR_CHMOD:
        rq_chmod(req, l->node, 0100755);
        break;
    case TAR_UTIMES:
        rq_utimes(req, l->node);
        break;
    case TAR_FLUSH:
        rq_flush(req, l->node, l->fh);
        break;
    default:
        rq_release(req, l->node, l->fh);
    }
    return 0;
}

static bool is_untar_error(const struct lane *l, int error)
{
    switch (l->step) {
    case TAR_LOOKUP:
        return error != -ENOENT;
    case TAR_CAPS:
        return error != -ENODATA && error != -EOPNOTSUPP;
    case TAR_FLUSH:
        return error && error != -ENOSYS;
    default:
        return error;
    }
}

static int reply_untar(struct lane *l, struct fc_req *req)
{
    int rc = 0;

    if (is_untar_error(l, req->error)) {
        return lane_fail(l, "untar: step %u error %d", l->step, req->error);
    }
    if (l->step == TAR_CREATE) {
        rc = take_created(l, req);
        g_array_append_val(l->known, l->node);
    } else if (l->step == TAR_UTIMES) {
        const struct fuse_attr_out *out = fc_result(req);

        if (out->attr.mode != 0100755 || out->attr.mtime != 1700000000 || out->attr.size != 4096) {
            return lane_fail(l, "untar: wrong attributes at the end");
        }
    }
    return rc ? rc : l->step++ == TAR_RELEASE ? LANE_DONE : LANE_MORE;
}

static int native_untar(struct lane *l)
{
    struct timespec times[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    static char data[4096];
    struct stat st;
    int fd;

    name_file(l, l->n);
    fd = openat(l->dirfd, l->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || pwrite(fd, data, sizeof(data), 0) < 0 || fchmod(fd, 0755) < 0 ||
        futimens(fd, times) < 0 || fstat(fd, &st) < 0 || close(fd) < 0) {
        return -errno;
    }
    return LANE_DONE;
}

/* Removes on the host what the slice made. */
static int clean_work(struct lane *l)
{
    for (uint64_t n = l->first; n < l->n; n++) {
        name_file(l, n);
        (void)unlinkat(l->dirfd, l->name, 0); /* create-unlink has done so itself */
    }
    return l->q ? lane_forget_known(l) : 0;
}

/* The storm: every file of a big tree is looked up for the first time. */
static unsigned storm_dirs(const struct bench *b)
{
    return MAX(b->storm_files / BENCH_DIR_FILES, 1);
}

static int make_storm(const struct bench *b)
{
    int rc = 0;

    for (unsigned d = 0; rc == 0 && d < storm_dirs(b); d++) {
        g_autofree char *dir = g_strdup_printf("storm-%u", d);

        rc = share_dir(b, dir);
        for (unsigned i = 0; rc == 0 && i < BENCH_DIR_FILES; i++) {
            char name[16];

            snprintf(name, sizeof(name), "file%u", i);
            rc = share_file(b, dir, name, 0);
        }
    }
    return rc;
}

static int begin_storm(struct lane *l)
{
    g_autofree char *path = share_path(l->s->bench, ".");

    l->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return l->dirfd < 0 ? -errno : 0;
}

/* Of all files of all lanes' slices, which is this one's next: directory and file. */
static void storm_where(const struct lane *l, unsigned *ret_dir, unsigned *ret_file)
{
    uint64_t n = l->n - l->first;

    *ret_dir = (unsigned)(l->id + n / BENCH_DIR_FILES * l->s->n_lanes);
    *ret_file = (unsigned)(n % BENCH_DIR_FILES);
}

static int send_storm(struct lane *l, struct fc_req *req)
{
    unsigned dir;
    unsigned file;

    storm_where(l, &dir, &file);
    if (file == 0 && l->step == 0) {
        snprintf(l->name, sizeof(l->name), "storm-%u", dir % storm_dirs(l->s->bench));
        rq_lookup(req, FUSE_ROOT_ID, l->name);
    } else {
        l->step = 1;
        snprintf(l->name, sizeof(l->name), "file%u", file);
        rq_lookup(req, l->dir, l->name);
    }
    return 0;
}

static int storm_outcome(const struct lane *l)
{
    unsigned dir;
    unsigned file;

    storm_where(l, &dir, &file);
    return file + 1 == BENCH_DIR_FILES && dir + l->s->n_lanes >= storm_dirs(l->s->bench)
               ? LANE_EXHAUSTED
               : LANE_DONE;
}

static int reply_storm(struct lane *l, struct fc_req *req)
{
    const struct fuse_entry_out *out = fc_result(req);

    if (req->error || !(l->step == 0 ? S_ISDIR(out->attr.mode) : S_ISREG(out->attr.mode))) {
        return lane_fail(l, "storm: %s: error %d or wrong type", l->name, req->error);
    }
    g_array_append_val(l->known, out->nodeid);
    if (l->step == 0) {
        l->dir = out->nodeid;
        l->step = 1;
        return LANE_MORE;
    }
    return storm_outcome(l);
}

static int reply_storm_forget(struct lane *l, struct fc_req *req)
{
    int rc = reply_storm(l, req);

    if (rc != LANE_MORE && rc >= 0) {
        uint64_t nodeid = g_array_index(l->known, uint64_t, l->known->len - 1);
        int err = lane_forget(l, nodeid, 1);

        g_array_set_size(l->known, l->known->len - 1);
        rc = err ? err : rc;
    }
    return rc;
}

static int native_storm(struct lane *l)
{
    struct stat st;
    unsigned dir;
    unsigned file;

    storm_where(l, &dir, &file);
    snprintf(l->name, sizeof(l->name), "storm-%u/file%u", dir % storm_dirs(l->s->bench), file);
    return fstatat(l->dirfd, l->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : storm_outcome(l);
}

static int after_storm(struct lane *l)
{
    return l->q ? lane_forget_known(l) : 0;
}

const struct workload wl_tree[] = {
    {.name = "create-unlink",
     .what = "create, flush, release, unlink, forget",
     .make = make_work,
     .begin = begin_work,
     .send = send_create_unlink,
     .reply = reply_create_unlink,
     .after = clean_work,
     .native = native_create_unlink},
    {.name = "mkdir-rename",
     .what = "mkdir, rename, rmdir, forget",
     .make = make_work,
     .begin = begin_work,
     .send = send_mkdir_rename,
     .reply = reply_mkdir_rename,
     .native = native_mkdir_rename},
    {.name = "untar",
     .what = "small files out of an archive, eight requests each",
     .make = make_work,
     .begin = begin_work,
     .send = send_untar,
     .reply = reply_untar,
     .after = clean_work,
     .native = native_untar},
    {.name = "storm",
     .what = "first look at every file of a big tree",
     .slice_ops = G_MAXUINT64,
     .make = make_storm,
     .begin = begin_storm,
     .send = send_storm,
     .reply = reply_storm,
     .after = after_storm,
     .native = native_storm},
    {.name = "storm-forget",
     .what = "the same, each forgotten at once",
     .slice_ops = G_MAXUINT64,
     .make = make_storm,
     .begin = begin_storm,
     .send = send_storm,
     .reply = reply_storm_forget,
     .after = after_storm,
     .native = native_storm},
    {0},
};
