/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU without a processor: its qtest socket takes port and memory accesses one line at a time,
 * and its QMP socket takes commands. Guest memory is a memfd that the test has mapped as well.
 *
 * Everything waits with a time-out and fails the test aloud. Port and memory accesses may come
 * from several threads, QMP belongs to one.
 */
#ifndef QTEST_LIBQTEST_H
#define QTEST_LIBQTEST_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon.h"

struct qtest {
    struct daemon qemu; /* its process: stderr, exit status */
    int ram_fd;
    uint8_t *ram;
    size_t ram_size;
    int qtest_fd;
    int qmp_fd;
    GMutex lock;    /* one access at a time */
    GString *input; /* of the qtest socket, what was not used up yet */
    GString *qmp_input;
    GHashTable *events; /* names of QMP events that came */
};

/* The emulator to test with: QTEST_QEMU_BINARY, or the one on the path; NULL when there is none. */
char *qtest_binary(void);

/*
 * Starts QEMU with this machine, so much memory and further words, NULL-terminated. `keep_fd`,
 * if >= 0, is inherited under its number. dir: where its sockets go.
 */
void qtest_start(struct qtest *qts, const char *dir, const char *machine, size_t ram_size,
                 int keep_fd, const char *const *words);

/* Ends it by QMP and waits for it. */
void qtest_quit(struct qtest *qts);

/* Frees everything; kills QEMU if it still runs. */
void qtest_done(struct qtest *qts);

/* One line each way; returns what followed "OK ". */
uint64_t qtest_command(struct qtest *qts, const char *format, ...) G_GNUC_PRINTF(2, 3);

static inline void qtest_out(struct qtest *qts, char width, unsigned port, uint32_t value)
{
    (void)qtest_command(qts, "out%c 0x%x 0x%x", width, port, value);
}

static inline uint32_t qtest_in(struct qtest *qts, char width, unsigned port)
{
    return (uint32_t)qtest_command(qts, "in%c 0x%x", width, port);
}

static inline void qtest_write(struct qtest *qts, char width, uint64_t addr, uint64_t value)
{
    (void)qtest_command(qts, "write%c 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x", width,
                        addr, value);
}

static inline uint64_t qtest_read(struct qtest *qts, char width, uint64_t addr)
{
    return qtest_command(qts, "read%c 0x%" G_GINT64_MODIFIER "x", width, addr);
}

/* Sends a QMP command and waits for its end. True for a return, false for an error. */
bool qtest_qmp(struct qtest *qts, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Waits until the event has come since the last time it was waited for. */
void qtest_wait_event(struct qtest *qts, const char *name);

#endif
