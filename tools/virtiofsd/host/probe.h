/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a directory of this host can do as the upper layer of a guest's overlayfs. Tried out, not
 * guessed from names of file systems, in a directory of its own that is removed again.
 */
#ifndef HOST_PROBE_H
#define HOST_PROBE_H

#include <stdbool.h>

enum probe_item {
    PROBE_WRITE,
    PROBE_CLOSED_DIR, /* a directory of mode 0 can be used: overlayfs makes its work directory so */
    PROBE_D_TYPE,
    PROBE_USER_XATTR,
    PROBE_WHITEOUT,        /* character device 0:0 */
    PROBE_RENAME_WHITEOUT, /* renameat2(RENAME_WHITEOUT) */
    PROBE_SYMLINK,
    PROBE_RENAME_EXCHANGE, /* renameat2(RENAME_EXCHANGE) of a file and a symbolic link */
    PROBE_HARD_LINK,
    PROBE_TMPFILE,
    PROBE_FILE_HANDLES,
    PROBE_ITEMS,
};

struct share_probe {
    char fs_type[32];        /* as /proc/self/mountinfo has it */
    bool is_overlay;         /* the share lies on a host overlayfs */
    bool redirect_dir;       /* that one can rename directories of its lower layers */
    bool unstable_ids;       /* its copy-up changes st_dev and st_ino */
    int result[PROBE_ITEMS]; /* 0, or -errno of what was tried */
    bool native_whiteouts;   /* both kinds work as they are */
    bool serves;             /* a guest can use it as an upper */
};

/*
 * Never fails as a whole: what cannot be tried carries the error of what was missing for it.
 * own_userns: the daemon will serve in a user namespace of its own, in which it may override
 * permissions that bind it here.
 */
void probe_share(const char *dir, bool own_userns, struct share_probe *ret);

/* What was tried, in words, and what to do when it is missing (NULL: it can be lived without). */
const char *probe_item_name(enum probe_item item);
const char *probe_item_remedy(enum probe_item item);

/* Why the share does not serve: one sentence with its remedy, g_free() it; NULL when it does. */
char *probe_refusal(const struct share_probe *probe, const char *dir);

#endif
