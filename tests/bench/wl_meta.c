/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workloads on what is known: attributes, names, open and close, and a mix of them.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "requests.h"
#include "workload.h"

static int make_meta(const struct bench *b)
{
    int rc = share_dir(b, "meta");

    for (unsigned i = 0; rc == 0 && i < BENCH_META_FILES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%u", i);
        rc = share_file(b, "meta", name, 4096);
    }
    return rc;
}

static int begin_native(struct lane *l)
{
    g_autofree char *path = share_path(l->s->bench, "meta");

    l->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < BENCH_META_FILES; i++) {
        snprintf(l->name, sizeof(l->name), "f%u", i);
        l->fds[i] = openat(l->dirfd, l->name, O_RDONLY | O_CLOEXEC);
        if (l->fds[i] < 0) {
            return -errno;
        }
    }
    return 0;
}

static int begin_meta(struct lane *l)
{
    struct fuse_entry_out e;
    int rc;

    if (!l->q) {
        return begin_native(l);
    }
    rc = lane_lookup(l, FUSE_ROOT_ID, "meta", &e);
    l->dir = e.nodeid;
    for (unsigned i = 0; rc == 0 && i < BENCH_META_FILES; i++) {
        snprintf(l->name, sizeof(l->name), "f%u", i);
        rc = lane_lookup(l, l->dir, l->name, &e);
        l->nodes[i] = e.nodeid;
        l->inos[i] = e.attr.ino;
    }
    return rc;
}

static unsigned pick(const struct lane *l)
{
    return (unsigned)(l->n + l->id * 7) % BENCH_META_FILES;
}

static int send_getattr(struct lane *l, struct fc_req *req)
{
    rq_getattr(req, l->nodes[pick(l)]);
    return 0;
}

static int reply_getattr(struct lane *l, struct fc_req *req)
{
    const struct fuse_attr_out *out = fc_result(req);

    if (req->error || out->attr.ino != l->inos[pick(l)] || out->attr.size != 4096) {
        return lane_fail(l, "getattr: error %d or wrong attributes", req->error);
    }
    return LANE_DONE;
}

static int native_getattr(struct lane *l)
{
    struct stat st;

    return fstat(l->fds[pick(l)], &st) < 0 ? -errno : LANE_DONE;
}

static int send_lookup(struct lane *l, struct fc_req *req)
{
    snprintf(l->name, sizeof(l->name), "f%u", pick(l));
    rq_lookup(req, l->dir, l->name);
    return 0;
}

static int reply_lookup(struct lane *l, struct fc_req *req)
{
    const struct fuse_entry_out *out = fc_result(req);

    if (req->error || out->nodeid != l->nodes[pick(l)] || out->attr.ino != l->inos[pick(l)]) {
        return lane_fail(l, "lookup of a known name: error %d or another node", req->error);
    }
    return LANE_DONE;
}

static int native_lookup(struct lane *l)
{
    struct stat st;

    snprintf(l->name, sizeof(l->name), "f%u", pick(l));
    return fstatat(l->dirfd, l->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : LANE_DONE;
}

static int send_miss(struct lane *l, struct fc_req *req)
{
    snprintf(l->name, sizeof(l->name), "none%u", pick(l));
    rq_lookup(req, l->dir, l->name);
    return 0;
}

static int reply_miss(struct lane *l, struct fc_req *req)
{
    const struct fuse_entry_out *out = fc_result(req);

    /* nodeid 0 says "not there, and remember that" */
    if (req->error != -ENOENT && (req->error || out->nodeid)) {
        return lane_fail(l, "lookup of a missing name: error %d", req->error);
    }
    return LANE_DONE;
}

static int native_miss(struct lane *l)
{
    struct stat st;

    snprintf(l->name, sizeof(l->name), "none%u", pick(l));
    return fstatat(l->dirfd, l->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST : LANE_DONE;
}

static int send_open(struct lane *l, struct fc_req *req)
{
    uint64_t node = l->nodes[pick(l)];

    if (l->step == 0) {
        rq_open(req, node, O_RDONLY);
    } else if (l->step == 1) {
        rq_flush(req, node, l->fh);
    } else {
        rq_release(req, node, l->fh);
    }
    return 0;
}

static int reply_open(struct lane *l, struct fc_req *req)
{
    /* a daemon may answer FLUSH with ENOSYS once: then guests stop asking */
    if (req->error && !(l->step == 1 && req->error == -ENOSYS)) {
        return lane_fail(l, "open, flush, release: step %u error %d", l->step, req->error);
    }
    if (l->step == 0) {
        l->fh = ((const struct fuse_open_out *)fc_result(req))->fh;
    }
    return l->step++ == 2 ? LANE_DONE : LANE_MORE;
}

static int native_open(struct lane *l)
{
    int fd;

    snprintf(l->name, sizeof(l->name), "f%u", pick(l));
    fd = openat(l->dirfd, l->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 || close(fd) < 0 ? -errno : LANE_DONE;
}

/* The mix: half getattr, a quarter lookups, a quarter 4K reads. */
static int begin_mix(struct lane *l)
{
    int rc = begin_meta(l);

    return rc || !l->q ? rc : fc_open(l->q, l->nodes[0], O_RDONLY, &l->fh);
}

static int send_mix(struct lane *l, struct fc_req *req)
{
    switch (l->n & 3) {
    case 0:
        return send_lookup(l, req);
    case 1:
        rq_read(req, l->nodes[0], l->fh, 0, 4096);
        return 0;
    default:
        return send_getattr(l, req);
    }
}

static int reply_mix(struct lane *l, struct fc_req *req)
{
    switch (l->n & 3) {
    case 0:
        return reply_lookup(l, req);
    case 1:
        if (req->error || req->got != 4096 || memcmp(req->data, &(uint64_t){share_word(0)}, 8)) {
            return lane_fail(l, "mix: read: error %d, %u bytes", req->error, req->got);
        }
        return LANE_DONE;
    default:
        return reply_getattr(l, req);
    }
}

static int native_mix(struct lane *l)
{
    char buf[4096];

    switch (l->n & 3) {
    case 0:
        return native_lookup(l);
    case 1:
        return pread(l->fds[0], buf, sizeof(buf), 0) == sizeof(buf) ? LANE_DONE : -EIO;
    default:
        return native_getattr(l);
    }
}

const struct workload wl_meta[] = {
    {.name = "getattr",
     .what = "attributes of known files",
     .make = make_meta,
     .begin = begin_meta,
     .send = send_getattr,
     .reply = reply_getattr,
     .native = native_getattr},
    {.name = "lookup-hit",
     .what = "names of known files",
     .make = make_meta,
     .begin = begin_meta,
     .send = send_lookup,
     .reply = reply_lookup,
     .native = native_lookup},
    {.name = "lookup-miss",
     .what = "names that are not there",
     .make = make_meta,
     .begin = begin_meta,
     .send = send_miss,
     .reply = reply_miss,
     .native = native_miss},
    {.name = "open",
     .what = "open, flush, release",
     .make = make_meta,
     .begin = begin_meta,
     .send = send_open,
     .reply = reply_open,
     .native = native_open},
    {.name = "mix",
     .what = "half getattr, a quarter lookups, a quarter 4K reads",
     .depth = 16,
     .make = make_meta,
     .begin = begin_mix,
     .send = send_mix,
     .reply = reply_mix,
     .native = native_mix},
    {0},
};
