/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attacks that need two at a time: the guest against itself on several queues, and somebody who
 * renames while the guest looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto.h"

#define ROOT   FUSE_ROOT_ID
#define QUEUES 3

struct job {
    struct proto *p;
    struct fc_queue *q;
    unsigned index;
    uint64_t dir, nodeid, fh; /* what it works on */
    const char *broken;       /* what must not have happened */
    unsigned done;
    int *stop;
    GThread *thread;
};

static void run(struct proto *p, GThreadFunc func, const struct job *like, unsigned ms)
{
    struct job jobs[QUEUES];
    int stop = 0;

    for (unsigned i = 0; i < QUEUES; i++) {
        jobs[i] = *like;
        jobs[i].p = p;
        jobs[i].q = fc_rq(&p->fc, i);
        jobs[i].index = i;
        jobs[i].stop = &stop;
        jobs[i].thread = g_thread_new("guest-cpu", func, &jobs[i]);
    }
    g_usleep(ms * 1000u);
    g_atomic_int_set(&stop, 1);
    for (unsigned i = 0; i < QUEUES; i++) {
        g_thread_join(jobs[i].thread);
        if (jobs[i].broken) {
            proto_check(p, __FILE__, __LINE__, jobs[i].broken, -1, 0);
        }
        g_assert_cmpuint(jobs[i].done, >, 10);
    }
}

static bool goes_on(const struct job *job)
{
    return !job->broken && !g_atomic_int_get(job->stop);
}

/* --- symbolic links and directories that take each other's place --- */

struct swapper {
    char *a, *b;
    int *stop;
};

static void *swap_for_ever(void *opaque)
{
    struct swapper *s = opaque;

    while (!g_atomic_int_get(s->stop)) {
        (void)renameat2(AT_FDCWD, s->a, AT_FDCWD, s->b, RENAME_EXCHANGE);
    }
    return NULL;
}

static void check_inside(struct job *job, int rc, uint64_t nodeid, uint64_t fh)
{
    char buf[16] = {0};

    if (rc == 0 && fc_read(job->q, nodeid, fh, 0, buf, sizeof(buf)) > 0 &&
        strncmp(buf, "secret", 6) == 0) {
        job->broken = "a file outside of the share was read";
    }
    if (rc == 0) {
        (void)fc_release(job->q, nodeid, fh);
    }
}

static void *walk_and_open(void *opaque)
{
    struct job *job = opaque;

    while (goes_on(job)) {
        struct fuse_entry_out e, dir;
        uint64_t fh;

        job->done++;
        if (fc_lookup(job->q, ROOT, "dir", &dir) == 0) {
            if (fc_lookup(job->q, dir.nodeid, "file", &e) == 0) {
                check_inside(job, fc_open(job->q, e.nodeid, O_RDWR, &fh), e.nodeid, fh);
            }
            (void)fc_create(job->q, dir.nodeid, "planted", O_RDWR | O_TRUNC, 0644, NULL, &fh);
            (void)fc_mkdir(job->q, dir.nodeid, "planted-dir", 0755, NULL);
            (void)fc_unlink(job->q, dir.nodeid, "victim");
        }
        if (fc_lookup(job->q, ROOT, "leaf", &e) == 0) {
            check_inside(job, fc_open(job->q, e.nodeid, O_RDONLY, &fh), e.nodeid, fh);
        }
        if (fc_create(job->q, ROOT, "leaf", O_RDWR, 0644, &e, &fh) == 0) {
            check_inside(job, 0, e.nodeid, fh);
        }
    }
    return NULL;
}

static void swapped_symlinks_never_lead_out(void)
{
    struct proto_opts o = {.vmm.request_queues = QUEUES};
    struct proto *p = proto_start(&o);
    struct job like = {.dir = 0};
    int stop = 0;
    struct swapper swap[2];
    GThread *threads[2];
    g_autofree char *outside = g_build_filename(p->base, "outside", NULL);
    g_autofree char *secret = g_build_filename(outside, "file", NULL);
    g_autofree char *victim = g_build_filename(outside, "victim", NULL);
    g_autofree char *planted = g_build_filename(outside, "planted", NULL);
    g_autofree char *planted_dir = g_build_filename(outside, "planted-dir", NULL);
    g_autofree char *text = NULL;

    g_assert_cmpint(mkdir(outside, 0777), ==, 0);
    g_assert_true(g_file_set_contents(secret, "secret", 6, NULL));
    g_assert_true(g_file_set_contents(victim, "victim", 6, NULL));
    g_assert_cmpint(mkdir(proto_path(p, "dir"), 0777), ==, 0);
    proto_write_file(p, "dir/file", "inside");
    g_assert_cmpint(symlink("../outside", proto_path(p, "dir2")), ==, 0);
    proto_write_file(p, "leaf", "inside");
    g_assert_cmpint(symlink("../outside/file", proto_path(p, "leaf2")), ==, 0);
    swap[0] =
        (struct swapper){g_strdup(proto_path(p, "dir")), g_strdup(proto_path(p, "dir2")), &stop};
    swap[1] =
        (struct swapper){g_strdup(proto_path(p, "leaf")), g_strdup(proto_path(p, "leaf2")), &stop};
    for (unsigned i = 0; i < 2; i++) {
        threads[i] = g_thread_new("swap", swap_for_ever, &swap[i]);
    }
    run(p, walk_and_open, &like, 3000);
    g_atomic_int_set(&stop, 1);
    for (unsigned i = 0; i < 2; i++) {
        g_thread_join(threads[i]);
        g_free(swap[i].a);
        g_free(swap[i].b);
    }
    g_assert_cmpint(access(planted, F_OK), ==, -1);
    g_assert_cmpint(access(planted_dir, F_OK), ==, -1);
    g_assert_cmpint(access(victim, F_OK), ==, 0);
    g_assert_true(g_file_get_contents(secret, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "secret");
    proto_stop(p);
}

/* --- a name that is a file and a FIFO in turn --- */

static void *open_and_create(void *opaque)
{
    struct job *job = opaque;

    while (goes_on(job)) {
        struct fuse_entry_out e;
        uint64_t fh;

        job->done++;
        if (fc_create(job->q, ROOT, "leaf", O_WRONLY, 0644, &e, &fh) == 0) {
            (void)fc_release(job->q, e.nodeid, fh);
        }
        if (fc_lookup(job->q, ROOT, "leaf", &e) == 0 &&
            fc_open(job->q, e.nodeid, O_RDONLY, &fh) == 0) {
            (void)fc_release(job->q, e.nodeid, fh);
        }
    }
    return NULL;
}

static void swapped_fifo_never_blocks(void)
{
    struct proto_opts o = {.vmm.request_queues = QUEUES};
    struct proto *p = proto_start(&o);
    struct job like = {.dir = 0};
    struct swapper swap;
    int stop = 0;
    GThread *thread = NULL;

    proto_write_file(p, "leaf", "inside");
    g_assert_cmpint(mkfifo(proto_path(p, "fifo"), 0666), ==, 0);
    swap =
        (struct swapper){g_strdup(proto_path(p, "leaf")), g_strdup(proto_path(p, "fifo")), &stop};
    thread = g_thread_new("swap", swap_for_ever, &swap);
    run(p, open_and_create, &like, 1500);
    g_atomic_int_set(&stop, 1);
    g_thread_join(thread);
    g_free(swap.a);
    g_free(swap.b);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* --- the guest against itself --- */

/* Queue 0 starts the session anew all the time; the others are busy in what is no longer there. */
static void *init_or_work(void *opaque)
{
    struct job *job = opaque;
    struct fc_init_params params = {.minor = 45};
    uint8_t buf[4096];

    while (goes_on(job)) {
        struct fuse_entry_out e;
        uint64_t fh;
        int rc = 0;

        job->done++;
        if (job->index == 0) {
            (void)(job->done % 8 ? fc_init(job->q, &params, NULL) : fc_destroy(job->q));
            continue;
        }
        rc = fc_create(job->q, ROOT, job->index == 1 ? "one" : "two", O_RDWR, 0644, &e, &fh);
        if (rc == 0) {
            (void)fc_write(job->q, e.nodeid, fh, 0, buf, sizeof(buf), 0);
            (void)fc_read(job->q, e.nodeid, fh, 0, buf, sizeof(buf));
            (void)fc_fsync(job->q, e.nodeid, fh, false);
            (void)fc_release(job->q, e.nodeid, fh);
        }
        if (fc_opendir(job->q, ROOT, &fh) == 0) {
            (void)fc_readdir(job->q, ROOT, fh, 0, buf, sizeof(buf), true);
            (void)fc_releasedir(job->q, ROOT, fh);
        }
        if (rc == FC_BROKEN || rc == -ETIMEDOUT) {
            job->broken = "a broken reply, or none";
        }
    }
    return NULL;
}

static void new_inits_race_with_busy_queues(void)
{
    struct proto_opts o = {.vmm.request_queues = QUEUES};
    struct proto *p = proto_start(&o);
    struct job like = {.dir = 0};

    run(p, init_or_work, &like, 2500);
    OK(p, fc_init(p->q, NULL, NULL));
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* All queues release, and read, and release again the same handle. */
static void *read_and_release(void *opaque)
{
    struct job *job = opaque;
    char buf[256];

    while (goes_on(job)) {
        uint64_t fh = 0;

        job->done++;
        if (job->index == 0 && fc_open(job->q, job->nodeid, O_RDWR, &fh) == 0) {
            (void)fc_read(job->q, job->nodeid, fh, 0, buf, sizeof(buf));
        }
        for (uint64_t serial = 1; serial < 200; serial++) {
            uint64_t guess = serial << 32 | job->index % 2;
            int n = fc_read(job->q, job->nodeid, guess, 0, buf, sizeof(buf));

            if (n != -EBADF && n != 7) {
                job->broken = "a handle that leads elsewhere";
            }
            (void)fc_release(job->q, job->nodeid, guess);
        }
    }
    return NULL;
}

static void releases_race_with_reads(void)
{
    struct proto_opts o = {.vmm.request_queues = QUEUES};
    struct proto *p = proto_start(&o);
    struct job like = {.nodeid = proto_make(p, "file", "content")};

    run(p, read_and_release, &like, 1500);
    EXPECT_ALIVE(p);
    proto_stop(p);
}

/* --- the end --- */

static void *load(void *opaque)
{
    struct job *job = opaque;
    static uint8_t buf[65536];
    struct fuse_entry_out e;
    uint64_t fh;
    g_autofree char *name = g_strdup_printf("load%u", job->index);

    if (fc_create(job->q, ROOT, name, O_RDWR, 0644, &e, &fh) < 0) {
        return NULL;
    }
    while (goes_on(job)) {
        if (fc_write(job->q, e.nodeid, fh, (job->done++ % 64) * sizeof(buf), buf, sizeof(buf), 0) <
            0) {
            break;
        }
    }
    return NULL;
}

static void sigterm_under_load_ends_within_a_second(void)
{
    static const char *const args[] = {"--thread-pool-size=8", NULL};
    struct proto_opts o = {.args = args, .vmm = {.request_queues = QUEUES}};
    struct proto *p = proto_start(&o);
    struct job jobs[QUEUES];
    int stop = 0;
    gint64 start = 0;

    p->fc.timeout_ms = 2000; /* what is in flight at the end is never answered */
    for (unsigned i = 0; i < QUEUES; i++) {
        jobs[i] = (struct job){.p = p, .q = fc_rq(&p->fc, i), .index = i, .stop = &stop};
        jobs[i].thread = g_thread_new("guest-cpu", load, &jobs[i]);
    }
    g_usleep(300 * 1000);
    start = g_get_monotonic_time();
    daemon_signal(&p->d, SIGTERM);
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 1500 * 1000);
    g_assert_cmpint(access(p->sock, F_OK), ==, -1);
    g_atomic_int_set(&stop, 1);
    for (unsigned i = 0; i < QUEUES; i++) {
        g_thread_join(jobs[i].thread);
    }
    proto_stop_exit(p, 0);
}

static void add_tests(void)
{
#define ADD(name) proto_add("/races/" #name, name)
    ADD(swapped_symlinks_never_lead_out);
    ADD(swapped_fifo_never_blocks);
    ADD(new_inits_race_with_busy_queues);
    ADD(releases_race_with_reads);
    ADD(sigterm_under_load_ends_within_a_second);
}

int main(int argc, char **argv)
{
    return proto_main(argc, argv, add_tests);
}
