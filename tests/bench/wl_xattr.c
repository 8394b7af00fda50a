/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workloads on extended attributes as a guest's overlayfs makes them: a trusted.* name that is
 * stored under a mapped one, one that is not set, one that the map hides, and lists with both.
 * The daemon needs xattrs and a map of trusted.* to user.virtiofs.* (or --overlay-upper).
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "requests.h"
#include "workload.h"

#define GUEST_NAME  "trusted.overlay.origin"
#define GUEST_MISS  "trusted.overlay.opaque"
#define GUEST_PLAIN "user.plain"
#define STORED_NAME "user.virtiofs.trusted.overlay.origin"
#define VALUE       "0123456789abcdef0123456789abcdef"

static int make_xattr(const struct bench *b)
{
    g_autofree char *path = share_path(b, "xattr/f");
    int rc = share_dir(b, "xattr");

    rc = rc ? rc : share_file(b, "xattr", "f", 4096);
    if (rc == 0 && (setxattr(path, STORED_NAME, VALUE, strlen(VALUE), 0) < 0 ||
                    setxattr(path, GUEST_PLAIN, VALUE, strlen(VALUE), 0) < 0)) {
        rc = -errno;
    }
    return rc;
}

static int begin_xattr(struct lane *l)
{
    struct fuse_entry_out e;
    int rc;

    if (!l->q) {
        g_autofree char *path = share_path(l->s->bench, "xattr/f");

        l->fd = open(path, O_RDONLY | O_CLOEXEC);
        return l->fd < 0 ? -errno : 0;
    }
    rc = lane_lookup(l, FUSE_ROOT_ID, "xattr", &e);
    rc = rc ? rc : lane_lookup(l, e.nodeid, "f", &e);
    l->node = e.nodeid;
    return rc;
}

static int send_hit(struct lane *l, struct fc_req *req)
{
    rq_getxattr(req, l->node, GUEST_NAME, 64);
    return 0;
}

static int reply_hit(struct lane *l, struct fc_req *req)
{
    if (req->error || req->got != strlen(VALUE) || memcmp(req->data, VALUE, req->got) != 0) {
        return lane_fail(l, "getxattr " GUEST_NAME ": error %d, %u bytes", req->error, req->got);
    }
    return LANE_DONE;
}

static int native_hit(struct lane *l)
{
    char buf[64];

    return fgetxattr(l->fd, STORED_NAME, buf, sizeof(buf)) < 0 ? -errno : LANE_DONE;
}

static int send_miss(struct lane *l, struct fc_req *req)
{
    rq_getxattr(req, l->node, GUEST_MISS, 64);
    return 0;
}

static int reply_miss(struct lane *l, struct fc_req *req)
{
    return req->error == -ENODATA ? LANE_DONE
                                  : lane_fail(l, "getxattr " GUEST_MISS ": error %d", req->error);
}

static int native_miss(struct lane *l)
{
    char buf[64];

    return fgetxattr(l->fd, "user.virtiofs." GUEST_MISS, buf, sizeof(buf)) < 0 ? LANE_DONE : -EIO;
}

/* The stored form asked for by its own name: the guest must not see it. */
static int send_hidden(struct lane *l, struct fc_req *req)
{
    rq_getxattr(req, l->node, STORED_NAME, 64);
    return 0;
}

static int reply_hidden(struct lane *l, struct fc_req *req)
{
    return req->error < 0 ? LANE_DONE : lane_fail(l, "getxattr of a hidden name was answered");
}

static int native_nothing(struct lane *l)
{
    return LANE_DONE;
}

static int send_list(struct lane *l, struct fc_req *req)
{
    rq_listxattr(req, l->node, 256);
    return 0;
}

static int reply_list(struct lane *l, struct fc_req *req)
{
    const char *list = (const char *)req->data;

    if (req->error || !list || req->got == 0 || list[req->got - 1] != '\0' ||
        !memmem(list, req->got, GUEST_PLAIN, sizeof(GUEST_PLAIN)) ||
        memmem(list, req->got, "user.virtiofs.", 14)) {
        return lane_fail(l, "listxattr: error %d or wrong names", req->error);
    }
    return LANE_DONE;
}

static int native_list(struct lane *l)
{
    char buf[256];

    return flistxattr(l->fd, buf, sizeof(buf)) < 0 ? -errno : LANE_DONE;
}

static int send_set(struct lane *l, struct fc_req *req)
{
    rq_setxattr(req, l->node, GUEST_NAME, VALUE);
    return 0;
}

static int reply_set(struct lane *l, struct fc_req *req)
{
    return req->error ? lane_fail(l, "setxattr: error %d", req->error) : LANE_DONE;
}

static int native_set(struct lane *l)
{
    return fsetxattr(l->fd, STORED_NAME, VALUE, strlen(VALUE), 0) < 0 ? -errno : LANE_DONE;
}

#define XATTR_WORKLOAD(text, about, verb, nat)                                                     \
    {                                                                                              \
        .name = text, .what = about, .make = make_xattr, .begin = begin_xattr,                     \
        .send = send_##verb, .reply = reply_##verb, .native = nat                                  \
    }

const struct workload wl_xattr[] = {
    XATTR_WORKLOAD("getxattr", "a mapped attribute that is set", hit, native_hit),
    XATTR_WORKLOAD("getxattr-miss", "a mapped attribute that is not set", miss, native_miss),
    XATTR_WORKLOAD("getxattr-hidden", "an attribute that the map hides", hidden, native_nothing),
    XATTR_WORKLOAD("listxattr", "two attributes, one of them mapped", list, native_list),
    XATTR_WORKLOAD("setxattr", "a mapped attribute", set, native_set),
    {0},
};
