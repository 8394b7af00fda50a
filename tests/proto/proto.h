/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every black-box test stands on: a daemon of its own on a share of its own, a VMM connected
 * to it, and an end at which nothing may be left over.
 *
 * Each test runs in a child process with a watchdog, so that a failed assertion, a hang or a lost
 * daemon costs that test only. The child counts its descriptors and reaps its descendants.
 *
 * Environment: VIRTIOFSD the program (default: the built one), VIRTIOFSD_OPTS more options,
 * FRONTEND_TIMEOUT_MS for slow machines, PROTO_TEST_TIMEOUT seconds for one test.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include <glib.h>

#include "daemon.h"
#include "fuse_client.h"
#include "vmm.h"

struct proto_opts {
    const char *const *args; /* further daemon options, NULL-terminated */
    struct vmm_config vmm;
    struct fc_config fc;
    struct fc_init_params init;
    bool no_connect; /* only a daemon that is ready */
    bool no_init;    /* queues run, no INIT was sent */
};

struct proto {
    char *base; /* temporary directory */
    char *dir;  /* the share, inside base */
    char *sock;
    struct daemon d;
    struct vmm vmm;
    struct fc fc;
    struct fc_queue *q; /* the first request queue */
    GStringChunk *strings;
    unsigned log_mark;
};

/* Fails the test when anything does not work. opts may be NULL. */
struct proto *proto_start(const struct proto_opts *opts);
/* The directories, but no daemon. */
struct proto *proto_new(void);
/* The daemon under test. */
const char *proto_program(void);
/* The daemon's command line with these further options; g_strfreev(). */
char **proto_command(const struct proto *p, const char *const *args);
void proto_connect(struct proto *p, const struct proto_opts *opts);
/* The normal end: the VMM disconnects and the daemon exits 0. */
void proto_stop(struct proto *p);
/* The end of a daemon that exits by itself, with that code. */
void proto_stop_exit(struct proto *p, int code);
/* The end of a daemon whose front end misbehaved: code 0 or 1, but by itself. */
void proto_stop_alive(struct proto *p);
/* Frees what is left, whatever the state. */
void proto_free(struct proto *p);

/* Path of a file in the share; lives as long as p. */
const char *proto_path(struct proto *p, const char *name);
void proto_write_file(struct proto *p, const char *name, const char *text);
char *proto_read_file(struct proto *p, const char *name);

/* A looked-up or fresh inode by name, failing the test if it does not work. */
uint64_t proto_lookup(struct proto *p, uint64_t dir, const char *name);
uint64_t proto_make(struct proto *p, const char *name, const char *text);

/* Log lines: mark, do something, then exactly one more (waits for it), or at most n more. */
void proto_log_mark(struct proto *p);
void proto_expect_one_line(struct proto *p);
void proto_expect_lines_at_most(struct proto *p, unsigned n);

/* Fails with the call, the errno names, the broken rule and the daemon's log. */
void proto_check(struct proto *p, const char *file, int line, const char *call, int got, int want);
#define EXPECT(p, call, want) proto_check(p, __FILE__, __LINE__, #call, (call), (want))
#define OK(p, call)           EXPECT(p, call, 0)

/* The result must be one of the errors listed (negative, ends with 0). */
void proto_check_any(struct proto *p, const char *file, int line, const char *call, int got,
                     const int *wants);
#define EXPECT_ANY(p, call, ...)                                                                   \
    proto_check_any(p, __FILE__, __LINE__, #call, (call), (const int[]){__VA_ARGS__, 0})
#define EXPECT_ERROR(p, call)                                                                      \
    proto_check_any(p, __FILE__, __LINE__, #call, (call), NULL) /* any -errno */

/* The other queue, or the same one, still serves. */
#define EXPECT_ALIVE(p) OK(p, fc_getattr((p)->q, FUSE_ROOT_ID, NULL, NULL))

void proto_add(const char *path, void (*func)(void));
void proto_add_with(const char *path, void (*func)(gconstpointer data), gconstpointer data);
int proto_main(int argc, char **argv, void (*add_tests)(void));

#endif
