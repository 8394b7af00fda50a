/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listing a big directory with attributes, a page of entries per request as Linux 6.12 asks. An
 * operation is an entry, its latency the whole listing's.
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "requests.h"
#include "workload.h"

#define LIST_PAGE 4096

static int make_list(const struct bench *b)
{
    int rc = share_dir(b, "list");

    for (unsigned i = 0; rc == 0 && i < BENCH_LIST_FILES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "entry%u", i);
        rc = share_file(b, "list", name, 0);
    }
    return rc;
}

static int begin_list(struct lane *l)
{
    struct fuse_entry_out e;
    int rc;

    if (!l->q) {
        g_autofree char *path = share_path(l->s->bench, "list");

        l->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return l->dirfd < 0 ? -errno : 0;
    }
    rc = lane_lookup(l, FUSE_ROOT_ID, "list", &e);
    l->dir = e.nodeid;
    return rc;
}

/* The guest has all the inodes before it lists: one reference stays until the end. */
static int begin_known(struct lane *l)
{
    int rc = begin_list(l);

    for (unsigned i = 0; l->q && rc == 0 && i < BENCH_LIST_FILES; i++) {
        struct fuse_entry_out e;

        snprintf(l->name, sizeof(l->name), "entry%u", i);
        rc = lane_lookup(l, l->dir, l->name, &e);
    }
    return rc;
}

enum { LIST_OPEN, LIST_READ, LIST_RELEASE };

static int send_list(struct lane *l, struct fc_req *req)
{
    switch (l->step) {
    case LIST_OPEN:
        l->node = 0; /* entries of this listing */
        l->off = 0;
        rq_opendir(req, l->dir);
        break;
    case LIST_READ:
        rq_readdirplus(req, l->dir, l->fh, l->off, LIST_PAGE);
        break;
    default:
        rq_releasedir(req, l->dir, l->fh);
    }
    return 0;
}

/* A page of entries; at the end of the directory an empty one. */
static int take_entries(struct lane *l, struct fc_req *req)
{
    struct fc_dirent d;
    size_t pos = 0;
    int rc;

    while ((rc = fc_next_dirent(req->data, req->got, &pos, true, &d)) == 1) {
        l->off = d.off;
        if (d.name[0] == '.') {
            continue;
        }
        if (d.entry.nodeid == 0 || d.entry.attr.ino != d.ino || !S_ISREG(d.entry.attr.mode)) {
            return lane_fail(l, "readdirplus: wrong attributes of %s", d.name);
        }
        g_array_append_val(l->known, d.entry.nodeid);
        l->node++;
        l->units++;
    }
    if (rc < 0) {
        return lane_fail(l, "readdirplus: malformed entries");
    }
    if (req->got == 0) {
        if (l->node != BENCH_LIST_FILES) {
            return lane_fail(l, "readdirplus: %" PRIu64 " entries", l->node);
        }
        l->step = LIST_RELEASE;
    }
    return LANE_MORE;
}

static int reply_list(struct lane *l, struct fc_req *req)
{
    if (req->error) {
        return lane_fail(l, "listing: step %u error %d", l->step, req->error);
    }
    switch (l->step) {
    case LIST_OPEN:
        l->fh = ((const struct fuse_open_out *)fc_result(req))->fh;
        l->step = LIST_READ;
        return LANE_MORE;
    case LIST_READ:
        return take_entries(l, req);
    default:
        return LANE_DONE;
    }
}

static int after_list(struct lane *l)
{
    return l->q ? lane_forget_known(l) : 0;
}

static int native_list(struct lane *l)
{
    int fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat st;

    if (!dir) {
        return -errno;
    }
    while ((entry = readdir(dir))) {
        l->units++;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            break;
        }
    }
    closedir(dir);
    return entry ? -EIO : LANE_DONE;
}

const struct workload wl_list[] = {
    {.name = "readdirplus",
     .what = "10,000 entries that the guest knows",
     .slice_ops = 1,
     .make = make_list,
     .begin = begin_known,
     .send = send_list,
     .reply = reply_list,
     .after = after_list,
     .native = native_list},
    {.name = "readdirplus-new",
     .what = "10,000 entries that the guest does not know",
     .slice_ops = 1,
     .make = make_list,
     .begin = begin_list,
     .send = send_list,
     .reply = reply_list,
     .after = after_list,
     .native = native_list},
    {0},
};
