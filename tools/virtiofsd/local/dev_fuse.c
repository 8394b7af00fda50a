/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads sleep in readv() on /dev/fuse; each request is put into a chain of its own, which comes
 * back from whatever thread has finished it and is kept for the next request.
 *
 * Not libfuse's receive function: the first iovec holds just a header and the arguments of WRITE,
 * so that file data begins on a page, as O_DIRECT on the host wants it. The same holds for what is
 * read. Splicing would save a copy of large data and cost system calls for all the rest.
 *
 * The lock is held for the list of free chains only.
 */
#include "local/dev_fuse.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "base/compat.h"
#include "base/log.h"
#include "base/util.h"

enum {
    PAGE = 4096,
    /* max_write of our INIT answer, and the most that one READ asks for: 256 pages. */
    MAX_DATA = 256 * PAGE,
    OUT_HEAD = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
    IN_HEAD = sizeof(struct fuse_out_header),
    /* Requests without file data (an xattr value of 64 KiB with its name) are smaller. */
    OUT_DATA = MAX_DATA + PAGE,
    /*
     * Host processes may wait without a bound in number; requests beyond this one stay in the
     * kernel. What idle chains keep in memory is bounded below that.
     */
    MAX_CHAINS = 1024,
    MAX_IDLE_CHAINS = 32,
    KICK_US = 5000,
};

/* Interrupts a readv(); ignored by who does not know it, so that nobody can end us with it. */
#define KICK SIGURG

struct dev_chain {
    struct chain chain; /* first: given back by its address */
    struct dev_fuse *dev;
    struct dev_chain *next;
    struct iovec out[2];
    struct iovec in[2];
    char *data; /* OUT_DATA, then MAX_DATA; on pages */
    char out_head[OUT_HEAD];
    char in_head[IN_HEAD];
};

struct dev_fuse {
    int fd;
    const struct local_device *device;
    int ended_fd;
    atomic_bool stopping;
    atomic_int error; /* why the threads end; the first one says it */
    atomic_uint running;
    pthread_t *threads;
    unsigned n_threads;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t given_back;
    struct dev_chain *idle;
    unsigned n_idle;
    unsigned n_chains;
};

static void chain_free(struct dev_chain *dc)
{
    if (dc) {
        free(dc->data);
        g_free(dc->chain.user);
        g_free(dc);
    }
}

static void chain_done(struct chain *chain, size_t written);

static struct dev_chain *chain_new(struct dev_fuse *dev)
{
    struct dev_chain *dc = g_try_new0(struct dev_chain, 1);
    void *data = NULL;

    if (!dc) {
        return NULL;
    }
    dc->dev = dev;
    dc->chain.user = g_try_malloc(dev->device->chain_user_size);
    if (!dc->chain.user || posix_memalign(&data, PAGE, OUT_DATA + MAX_DATA) != 0) {
        chain_free(dc);
        return NULL;
    }
    dc->data = data;
    dc->chain.out = dc->out;
    dc->chain.in = dc->in;
    dc->chain.done = chain_done;
    return dc;
}

/* Waits while there are too many already, which end by themselves. */
static struct dev_chain *chain_take(struct dev_fuse *dev)
{
    struct dev_chain *dc = NULL;
    bool may_make = false;

    pthread_mutex_lock(&dev->lock);
    while (!dev->idle && dev->n_chains == MAX_CHAINS) {
        pthread_cond_wait(&dev->given_back, &dev->lock);
    }
    dc = dev->idle;
    if (dc) {
        dev->idle = dc->next;
        dev->n_idle--;
    } else {
        dev->n_chains++;
        may_make = true;
    }
    pthread_mutex_unlock(&dev->lock);
    if (!may_make) {
        return dc;
    }
    dc = chain_new(dev);
    if (!dc) {
        pthread_mutex_lock(&dev->lock);
        dev->n_chains--;
        pthread_mutex_unlock(&dev->lock);
    }
    return dc;
}

static void chain_give_back(struct dev_chain *dc)
{
    struct dev_fuse *dev = dc->dev;
    bool keeps = false;

    pthread_mutex_lock(&dev->lock);
    keeps = dev->n_idle < MAX_IDLE_CHAINS;
    if (keeps) {
        dc->next = dev->idle;
        dev->idle = dc;
        dev->n_idle++;
    } else {
        dev->n_chains--;
    }
    pthread_cond_broadcast(&dev->given_back);
    pthread_mutex_unlock(&dev->lock);
    if (!keeps) {
        chain_free(dc);
    }
}

/* Cuts two iovecs to `len` bytes in all; returns how many of them hold any. */
static unsigned fit(struct iovec iov[2], char *head, size_t head_size, char *data, size_t len)
{
    size_t first = MIN(len, head_size);

    iov[0] = (struct iovec){head, first};
    iov[1] = (struct iovec){data, len - first};
    return len > first ? 2 : 1;
}

static void chain_done(struct chain *chain, size_t written)
{
    struct dev_chain *dc = (struct dev_chain *)chain;
    struct iovec iov[2];
    unsigned n = fit(iov, dc->in_head, IN_HEAD, dc->data + OUT_DATA, written);

    /* Whoever asked may have been killed (ENOENT), or all of it unmounted (ENODEV). */
    if (written > 0 && writev(dc->dev->fd, iov, (int)n) < 0 && errno != ENOENT && errno != ENODEV) {
        log_warn_limited("an answer was not taken by /dev/fuse: %s", strerror(errno));
    }
    chain_give_back(dc);
}

/* Reads one request. 1 if there is one, 0 to look again, -errno to end. */
static int chain_read(struct dev_chain *dc)
{
    char *answer = dc->data + OUT_DATA;
    ssize_t n = 0;

    fit(dc->out, dc->out_head, OUT_HEAD, dc->data, OUT_HEAD + OUT_DATA);
    n = readv(dc->dev->fd, dc->out, 2);
    if (n < 0) {
        /* ENOENT: the request was taken back before we could read it */
        return errno == EINTR || errno == ENOENT || errno == EAGAIN ? 0 : -errno;
    }
    dc->chain.out_len = (size_t)n;
    dc->chain.out_cnt = fit(dc->out, dc->out_head, OUT_HEAD, dc->data, (size_t)n);
    dc->chain.in_len = IN_HEAD + MAX_DATA;
    dc->chain.in_cnt = fit(dc->in, dc->in_head, IN_HEAD, answer, IN_HEAD + MAX_DATA);
    return n > 0;
}

static int serve_next(struct dev_fuse *dev)
{
    struct dev_chain *dc = chain_take(dev);
    int res = 0;

    if (!dc) {
        return -ENOMEM;
    }
    res = chain_read(dc);
    if (res <= 0) {
        chain_give_back(dc);
        return res;
    }
    dev->device->serve(dev->device->opaque, &dc->chain);
    return 0;
}

static void *reader(void *opaque)
{
    struct dev_fuse *dev = opaque;
    const uint64_t one = 1;
    int none = 0;
    int res = dev->device->thread_init(dev->device->opaque);

    while (res == 0 && !atomic_load(&dev->stopping)) {
        res = serve_next(dev);
    }
    if (res < 0) {
        atomic_compare_exchange_strong(&dev->error, &none, res);
    }
    /* One that ends ends all: a mount that nobody answers is worse than none. */
    atomic_fetch_sub(&dev->running, 1);
    (void)!write(dev->ended_fd, &one, sizeof(one)); /* a counter that is full is readable too */
    return NULL;
}

static void on_kick(int sig)
{
    (void)sig; /* it is the EINTR that counts */
}

/* No SA_RESTART: readv() must return. */
static void catch_kicks(void)
{
    struct sigaction action = {.sa_handler = on_kick};
    sigset_t kicks;

    (void)sigaction(KICK, &action, NULL); /* the arguments are right */
    sigemptyset(&kicks);
    sigaddset(&kicks, KICK);
    (void)pthread_sigmask(SIG_UNBLOCK, &kicks, NULL);
}

int dev_fuse_start(int fd, const struct local_device *device, struct dev_fuse **ret)
{
    struct dev_fuse *dev = g_new0(struct dev_fuse, 1);
    int ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = ended_fd < 0 ? errno : 0;

    dev->fd = fd;
    dev->device = device;
    dev->ended_fd = ended_fd;
    dev->threads = g_new0(pthread_t, device->threads);
    pthread_mutex_init(&dev->lock, NULL);
    pthread_cond_init(&dev->given_back, NULL);
    catch_kicks();
    while (err == 0 && dev->n_threads < device->threads) {
        atomic_fetch_add(&dev->running, 1);
        err = pthread_create(&dev->threads[dev->n_threads], NULL, reader, dev);
        if (err == 0) {
            dev->n_threads++;
        } else {
            atomic_fetch_sub(&dev->running, 1);
        }
    }
    if (dev->n_threads == 0) {
        (void)dev_fuse_stop(dev);
        return -err;
    }
    *ret = dev;
    return 0; /* with fewer threads than asked for it is slower, nothing else */
}

int dev_fuse_ended_fd(const struct dev_fuse *dev)
{
    return dev->ended_fd;
}

/* A kick that comes just before the readv() is lost: so there is always another one. */
static void stop_threads(struct dev_fuse *dev)
{
    atomic_store(&dev->stopping, true);
    while (atomic_load(&dev->running) > 0) {
        for (unsigned i = 0; i < dev->n_threads; i++) {
            (void)pthread_kill(dev->threads[i], KICK); /* not joined yet: the id is valid */
        }
        g_usleep(KICK_US);
    }
    for (unsigned i = 0; i < dev->n_threads; i++) {
        (void)pthread_join(dev->threads[i], NULL);
    }
}

static void wait_for_chains(struct dev_fuse *dev)
{
    pthread_mutex_lock(&dev->lock);
    while (dev->n_idle < dev->n_chains) {
        pthread_cond_wait(&dev->given_back, &dev->lock);
    }
    pthread_mutex_unlock(&dev->lock);
}

int dev_fuse_stop(struct dev_fuse *dev)
{
    int error = 0;

    if (dev->device->cancel_waiting) {
        dev->device->cancel_waiting(dev->device->opaque);
    }
    stop_threads(dev);
    wait_for_chains(dev);
    while (dev->idle) {
        struct dev_chain *dc = dev->idle;

        dev->idle = dc->next;
        chain_free(dc);
    }
    error = atomic_load(&dev->error);
    pthread_cond_destroy(&dev->given_back);
    pthread_mutex_destroy(&dev->lock);
    auto_fd_close(&dev->ended_fd);
    g_free(dev->threads);
    g_free(dev);
    return error;
}
