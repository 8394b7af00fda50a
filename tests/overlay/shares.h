/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host file systems to share from: made once for a test program, in a mount namespace of its own,
 * and gone with it.
 */
#ifndef OVERLAY_SHARES_H
#define OVERLAY_SHARES_H

#include <stdbool.h>

struct ov_share {
    const char *name;
    const char *option; /* a daemon option that goes with it, or NULL */
    bool native;        /* stores whiteouts as they are */
    bool has_handles;   /* its files can be found again by nodeid */
    bool moves_lower;   /* overlays: directories of the lower layer can be renamed */
    bool is_overlay;
    const char *lower_on, *upper_on; /* overlays: on which of the others */
    const char *overlay_options;
    char *dir;   /* where it is mounted; NULL: this machine cannot */
    char *lower; /* overlays: the lower layer's directory */
};

/* All that there are; ended by one without a name. Makes them at the first call. */
struct ov_share *ov_shares(void);
struct ov_share *ov_share_by_name(const char *name);

/* Takes the directories away that held the mounts. */
void ov_shares_done(void);

/*
 * Mounts tests/overlay/passthroughfs.c: -1 where that cannot be, or a descriptor to close after the
 * umount, which ends it.
 */
int ov_mount_passthrough(const char *source, const char *point, bool no_exchange);

/* A command line that must not fail silently: false and a line on stderr when it does. */
bool ov_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
