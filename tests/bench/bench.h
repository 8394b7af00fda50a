/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of vfsbench share.
 *
 * A bench has targets (daemons, or "native": the same system calls without one), all on the same
 * share. A session is one target serving one workload. A lane is an application in the guest: it
 * has one request in flight; a session has depth x queues of them. A workload is a set of
 * functions that make a lane's next request and check its reply. Each queue has a thread of ours.
 *
 * Functions return 0 or a negative number, with a sentence in session->error.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon.h"
#include "fuse_client.h"
#include "vmm.h"

#define BENCH_MAX_TARGETS 4
#define BENCH_META_FILES  64
#define BENCH_DATA_SIZE   ((size_t)64 << 20)
#define BENCH_LIST_FILES  10000
#define BENCH_DIR_FILES   1000 /* in each directory of the storm */
#define BENCH_SLEEPY_MS   5

/*
 * How the guest waits for a reply. HALT: as a virtual processor does on KVM, whose thread looks out
 * for an interrupt for 200 us (halt_poll_ns) before it sleeps; the daemon has to signal. SLEEP: at
 * once. POLL: never, and asks for no interrupts.
 */
enum guest_mode { GUEST_HALT, GUEST_SLEEP, GUEST_POLL };

struct bench {
    char **templates[BENCH_MAX_TARGETS]; /* words of the command; NULL: native */
    unsigned n_targets;
    unsigned rounds;
    unsigned slice_ms;
    unsigned depth; /* 0: the workload's */
    unsigned queues;
    unsigned queue_size;
    unsigned pause_us;
    unsigned storm_files;
    uint64_t slice_ops; /* 0: by time */
    bool count;
    bool pin; /* guest and daemon each on a processor of its own, where there are two */
    enum guest_mode guest;
    bool json;
    char *base; /* holds the share and the sockets */
    char *dir;  /* the share */
    const char *sleepyfs;
};

struct session;
struct workload;

struct lane {
    struct session *s;
    struct fc_queue *q; /* NULL: native */
    unsigned id;
    unsigned step;  /* of the operation under way */
    uint64_t n;     /* operations begun */
    uint64_t first; /* n when the slice began */
    uint64_t units; /* what was done in this slice */
    bool is_muted;  /* neither counted nor timed */
    uint64_t rng;
    uint64_t start_ns;
    uint64_t dir; /* nodeids */
    uint64_t node;
    uint64_t nodes[BENCH_META_FILES];
    uint64_t inos[BENCH_META_FILES];
    uint64_t fh;
    uint64_t off;
    char name[48];
    GArray *known;   /* nodeids to forget after the slice, uint64_t */
    GArray *latency; /* of this slice's operations, uint32_t ns */
    int dirfd;       /* native */
    int fd;
    int fds[BENCH_META_FILES];
};

struct session {
    const struct bench *bench;
    const struct workload *wl;
    unsigned index;
    bool is_native;
    struct daemon d;
    struct vmm vmm;
    struct fc fc;
    GMutex hiprio_lock;
    struct lane *lanes;
    unsigned n_lanes;
    uint64_t idle_rss; /* bytes, before the workload */
    char error[512];
};

/* What reply() may say besides an error. */
enum { LANE_MORE, LANE_DONE, LANE_EXHAUSTED };

struct workload {
    const char *name;
    const char *what;
    unsigned depth;                     /* the usual one; 0: 1 */
    size_t data_size;                   /* of a request; 0: 4096 */
    unsigned queue_size;                /* the least that fits */
    uint64_t slice_ops;                 /* operations of a lane in a slice; 0: by time */
    int (*make)(const struct bench *b); /* files on the host */
    int (*begin)(struct lane *l);       /* before the first slice */
    int (*send)(struct lane *l, struct fc_req *req);  /* fills the next request in */
    int (*reply)(struct lane *l, struct fc_req *req); /* checks it: LANE_... or negative */
    int (*after)(struct lane *l);                     /* after each slice, not measured */
    int (*native)(struct lane *l);                    /* a whole operation: LANE_... */
};

/* One slice of one session. */
struct slice {
    double seconds;
    uint64_t ops;
    uint64_t cpu_ns; /* of the daemon, all its tasks */
    uint64_t rss;    /* peak, bytes */
    int fds;
    uint32_t p50, p99; /* ns */
};

/* share.c */
int share_init(struct bench *b, const char *base);
void share_done(struct bench *b);
int share_dir(const struct bench *b, const char *name);
int share_file(const struct bench *b, const char *dir, const char *name, size_t size);
char *share_path(const struct bench *b, const char *name);
uint64_t share_word(uint64_t off); /* what is stored at off in the data file */

/* session.c */
int session_start(struct session *s, const struct bench *b, unsigned index,
                  const struct workload *wl);
void session_stop(struct session *s);
int session_fail(struct session *s, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* slice.c */
int slice_run(struct session *s, struct slice *ret);
struct syscount;
/* The same; what was counted is read before anything else is asked of the daemon. */
int slice_run_counted(struct session *s, struct slice *ret, struct syscount *count,
                      uint64_t *ret_calls, uint64_t *ret_by_number);
uint64_t bench_now_ns(void);

/* Sends a FORGET without waiting for it, from any lane. */
int lane_forget(struct lane *l, uint64_t nodeid, uint64_t n);
/* Everything in l->known is forgotten, and waited for. */
int lane_forget_known(struct lane *l);
uint64_t lane_random(struct lane *l);
int lane_fail(struct lane *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The workloads. */
extern const struct workload wl_meta[];
extern const struct workload wl_xattr[];
extern const struct workload wl_io[];
extern const struct workload wl_tree[];
extern const struct workload wl_list[];
const struct workload *workload_find(const char *name);

#endif
