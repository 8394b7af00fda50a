/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon, a QEMU connected to it, and a virtio-fs driver in the test: what the tests of this
 * folder start from. The FUSE client is the one of tests/frontend, on queues that QEMU has passed
 * on to the daemon.
 */
#ifndef QTEST_LIBQFS_H
#define QTEST_LIBQFS_H

#include "libqtest.h"
#include "libqvirtio.h"
#include "proto.h"

struct qfs_opts {
    const char *const *args; /* further daemon options */
    const char *machine;     /* NULL: q35 */
    unsigned request_queues; /* 0: one */
    unsigned queue_size;     /* 0: 128 */
    unsigned slots;          /* of the FUSE client, per queue; 0: 16 */
    bool packed;
    bool no_device; /* QEMU starts without it */
    int keep_fd;    /* QEMU inherits it; 0: none */
};

struct qfs {
    struct qfs_opts opts;
    struct proto *p; /* share, daemon, FUSE client */
    struct qtest qts;
    struct qvirtio dev;
};

struct qfs *qfs_start(const struct qfs_opts *opts);

/* Finds the device and reads its configuration, without starting a driver. */
void qfs_probe(struct qfs *q);

/* Starts the driver: features, queues, DRIVER_OK; INIT unless told not to. */
void qfs_drive(struct qfs *q, bool with_init);

/* The driver forgets its queues; the device is left as it is. */
void qfs_forget(struct qfs *q);

/* The words that make the device, for a command line or, with a JSON form, for QMP. */
char *qfs_device_words(const struct qfs *q);

/* The normal end: QEMU quits and the daemon follows with status 0. */
void qfs_stop(struct qfs *q);

/* Frees everything, whatever still runs. */
void qfs_free(struct qfs *q);

#endif
