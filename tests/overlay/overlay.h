/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of --overlay-upper over the wire: what a guest's overlayfs does to its upper, done by hand
 * (tests/proto has the daemon, the VMM and the session), on each host file system and with the
 * daemon as root and as an ordinary user.
 */
#ifndef OVERLAY_OVERLAY_H
#define OVERLAY_OVERLAY_H

#include "proto/proto.h"
#include "shares.h"

#define ROOT         FUSE_ROOT_ID
#define ORDINARY_UID 4242

/* One host file system and one user for the daemon. */
struct ov_cell {
    const struct ov_share *share;
    uid_t uid;  /* 0: root */
    bool plain; /* without --overlay-upper, to compare with */
};

struct ov_test {
    const char *name;
    void (*func)(const struct ov_cell *cell);
    bool root_only;
};

/* Adds each test for each cell as /TITLE/SHARE/USER/NAME. The list ends with one without a name. */
void ov_add_tests(const char *title, const struct ov_test *tests);
int ov_main(int argc, char **argv, void (*add_tests)(void));

/* A daemon with --overlay-upper on a fresh directory of the cell; opts may be NULL. */
struct proto *ov_start(const struct ov_cell *cell, const struct proto_opts *opts);
/* The same on a directory that lies in the lower layer of a host overlayfs, filled by fill(). */
struct proto *ov_start_on_lower(const struct ov_cell *cell, void (*fill)(const char *lower_dir));
/* The same on a directory that is there already. */
struct proto *ov_start_in(const struct ov_cell *cell, const struct proto_opts *opts,
                          const char *dir);
/* The front end leaves, the daemon ends, the next one serves the same directory. */
void ov_restart(struct proto *p, const struct ov_cell *cell, const struct proto_opts *opts);
/* The second half of it, after a daemon that ended in whatever way. */
void ov_start_again(struct proto *p, const struct ov_cell *cell, const struct proto_opts *opts);

/* Through the guest: makes a file with a text, reads it (g_free), makes a whiteout. */
uint64_t ov_put(struct proto *p, uint64_t dir, const char *name, const char *text);
char *ov_text(struct proto *p, uint64_t dir, const char *name);
uint64_t ov_mkdir(struct proto *p, uint64_t dir, const char *name);
uint64_t ov_whiteout(struct proto *p, uint64_t dir, const char *name);

/* Fails the test unless the attributes are those of a whiteout; and by name. */
void ov_check_attr(const struct fuse_attr *attr);
void ov_check_whiteout(struct proto *p, uint64_t dir, const char *name);
void ov_check_text(struct proto *p, uint64_t dir, const char *name, const char *text);
void ov_check_absent(struct proto *p, uint64_t dir, const char *name);

/* What lies on the host: is it a whiteout in either form, and is it the emulated one? */
bool ov_host_is_whiteout(struct proto *p, const char *name);
bool ov_host_is_emulated(struct proto *p, const char *name);
/* No name on the host that begins like those the daemon keeps for itself. */
void ov_check_no_leftover(struct proto *p, const char *dir);

/* READDIR or READDIRPLUS of a whole directory: name to type (GUINT_TO_POINTER). */
GHashTable *ov_types(struct proto *p, uint64_t dir, bool plus);

#define OV_TARGET   "/.virtiofsd-overlay-whiteout/char-0:0" /* docs/overlay-upper.rst */
#define OV_RESERVED ".virtiofsd-overlay."

#endif
