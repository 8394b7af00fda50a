/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workloads on data: reads and writes of a file that is in the host's cache, and reads from a
 * store that sleeps (sleepyfs). What comes back is compared with what was stored.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "requests.h"
#include "workload.h"

static int make_data(const struct bench *b)
{
    int rc = share_dir(b, "data");

    rc = rc ? rc : share_file(b, "data", "read", BENCH_DATA_SIZE);
    return rc ? rc : share_file(b, "data", "write", BENCH_DATA_SIZE);
}

static int begin_file(struct lane *l, const char *dir, const char *name, int flags)
{
    struct fuse_entry_out e;
    int rc;

    l->off = BENCH_DATA_SIZE / 16 * (l->id % 16);
    if (!l->q) {
        g_autofree char *path = g_build_filename(l->s->bench->dir, dir, name, NULL);

        l->fd = open(path, flags | O_CLOEXEC);
        return l->fd < 0 ? -errno : 0;
    }
    rc = lane_lookup(l, FUSE_ROOT_ID, dir, &e);
    l->dir = e.nodeid;
    rc = rc ? rc : lane_lookup(l, e.nodeid, name, &e);
    l->node = e.nodeid;
    return rc ? rc : fc_open(l->q, l->node, (uint32_t)flags, &l->fh);
}

static int begin_read(struct lane *l)
{
    return begin_file(l, "data", "read", O_RDONLY);
}

static int begin_write(struct lane *l)
{
    return begin_file(l, "data", "write", O_RDWR);
}

static size_t io_size(const struct lane *l)
{
    return l->s->wl->data_size;
}

static void next_random(struct lane *l)
{
    l->off = lane_random(l) % (BENCH_DATA_SIZE / io_size(l)) * io_size(l);
}

static void next_in_order(struct lane *l)
{
    l->off = (l->off + io_size(l)) % BENCH_DATA_SIZE / io_size(l) * io_size(l);
}

static int send_read(struct lane *l, struct fc_req *req)
{
    if (io_size(l) == 4096) {
        next_random(l);
    } else {
        next_in_order(l);
    }
    rq_read(req, l->node, l->fh, l->off, (uint32_t)io_size(l));
    return 0;
}

/* The first and the last word of every page. */
static bool is_right(const uint8_t *data, uint64_t off, size_t size)
{
    for (size_t at = 0; at < size; at += 4096) {
        uint64_t first = share_word(off + at);
        uint64_t last = share_word(off + at + 4088);

        if (memcmp(data + at, &first, 8) != 0 || memcmp(data + at + 4088, &last, 8) != 0) {
            return false;
        }
    }
    return true;
}

static int reply_read(struct lane *l, struct fc_req *req)
{
    if (req->error || req->got != io_size(l) || !is_right(req->data, l->off, req->got)) {
        return lane_fail(l, "read: error %d, %u bytes, or wrong data", req->error, req->got);
    }
    return LANE_DONE;
}

static int native_read(struct lane *l)
{
    static _Thread_local uint8_t buf[1 << 20];

    if (io_size(l) == 4096) {
        next_random(l);
    } else {
        next_in_order(l);
    }
    return pread(l->fd, buf, io_size(l), (off_t)l->off) == (ssize_t)io_size(l) ? LANE_DONE : -EIO;
}

static int send_write(struct lane *l, struct fc_req *req)
{
    if (io_size(l) == 4096) {
        next_random(l);
    } else {
        next_in_order(l);
    }
    memcpy(req->data, &l->off, sizeof(l->off));
    rq_write(req, l->node, l->fh, l->off, (uint32_t)io_size(l));
    return 0;
}

static int reply_write(struct lane *l, struct fc_req *req)
{
    const struct fuse_write_out *out = fc_result(req);

    if (req->error || out->size != io_size(l)) {
        return lane_fail(l, "write: error %d", req->error);
    }
    return LANE_DONE;
}

static int native_write(struct lane *l)
{
    static _Thread_local uint8_t buf[1 << 20];

    if (io_size(l) == 4096) {
        next_random(l);
    } else {
        next_in_order(l);
    }
    return pwrite(l->fd, buf, io_size(l), (off_t)l->off) == (ssize_t)io_size(l) ? LANE_DONE : -EIO;
}

/* What was written is there, on the host. */
static int check_written(struct lane *l)
{
    g_autofree char *path = share_path(l->s->bench, "data/write");
    uint64_t word = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, &word, sizeof(word), (off_t)l->off);

    if (fd >= 0) {
        close(fd);
    }
    return l->q && (n != sizeof(word) || word != l->off) ? lane_fail(l, "write: not on the host")
                                                         : 0;
}

/* The store that sleeps: every lane reads a page of its own once a slice. */
static int make_cold(const struct bench *b)
{
    g_autofree char *path = share_path(b, "sleepy");
    g_autofree char *ms = g_strdup_printf("%d", BENCH_SLEEPY_MS);
    g_autofree char *file = g_build_filename(path, "cold", NULL);
    const char *argv[] = {b->sleepyfs, ms, path, NULL};
    int status = 0;
    int rc = share_dir(b, "sleepy");

    if (rc < 0 || access(file, F_OK) == 0) {
        return rc;
    }
    if (!g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL,
                      &status, NULL) ||
        status != 0) {
        return -ENOTSUP;
    }
    return 0;
}

static int begin_cold(struct lane *l)
{
    return begin_file(l, "sleepy", "cold", O_RDONLY);
}

static int send_cold(struct lane *l, struct fc_req *req)
{
    l->off = (l->n * 64 + l->id) * 4096 % BENCH_DATA_SIZE;
    rq_read(req, l->node, l->fh, l->off, 4096);
    return 0;
}

static int native_cold(struct lane *l)
{
    char buf[4096];

    return pread(l->fd, buf, sizeof(buf), 0) == sizeof(buf) ? LANE_DONE : -EIO;
}

/* The last lane asks for attributes while the others wait for their reads, and only it counts. */
static int send_beside(struct lane *l, struct fc_req *req)
{
    if (l->is_muted) {
        return send_cold(l, req);
    }
    rq_getattr(req, FUSE_ROOT_ID);
    return 0;
}

static int begin_beside(struct lane *l)
{
    l->is_muted = l->id + 1 < l->s->n_lanes;
    return begin_cold(l);
}

static int reply_beside(struct lane *l, struct fc_req *req)
{
    if (l->is_muted) {
        return reply_read(l, req);
    }
    return req->error ? lane_fail(l, "getattr: error %d", req->error) : LANE_DONE;
}

#define READ_WORKLOAD(text, about, size, ring)                                                     \
    {                                                                                              \
        .name = text, .what = about, .data_size = size, .queue_size = ring, .make = make_data,     \
        .begin = begin_read, .send = send_read, .reply = reply_read, .native = native_read         \
    }
#define WRITE_WORKLOAD(text, about, size, ring)                                                    \
    {                                                                                              \
        .name = text, .what = about, .data_size = size, .queue_size = ring, .make = make_data,     \
        .begin = begin_write, .send = send_write, .reply = reply_write, .native = native_write,    \
        .after = check_written                                                                     \
    }

const struct workload wl_io[] = {
    READ_WORKLOAD("read-4k", "random 4K reads of cached data", 4096, 0),
    READ_WORKLOAD("read-128k", "128K reads in order", 128 << 10, 0),
    READ_WORKLOAD("read-1m", "1M reads in order", 1 << 20, 512),
    WRITE_WORKLOAD("write-4k", "random 4K writes", 4096, 0),
    WRITE_WORKLOAD("write-1m", "1M writes in order", 1 << 20, 512),
    {.name = "read-cold",
     .what = "64 reads at once from a store that sleeps 5 ms; a slice is one such burst",
     .depth = 64,
     .data_size = 4096,
     .slice_ops = 1,
     .make = make_cold,
     .begin = begin_cold,
     .send = send_cold,
     .reply = reply_read,
     .native = native_cold},
    {.name = "getattr-beside-cold",
     .what = "a getattr while 63 such reads wait",
     .depth = 64,
     .data_size = 4096,
     .slice_ops = 1,
     .make = make_cold,
     .begin = begin_beside,
     .send = send_beside,
     .reply = reply_beside},
    {0},
};
