/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acting as the guest's user, for ownership only.
 *
 * The guest's kernel has already decided whether the caller may do what it asks
 * (default_permissions); the daemon switches fsuid, fsgid and at most one supplementary group so
 * that what it creates belongs to the right user, and keeps CAP_DAC_OVERRIDE and friends effective:
 * overlayfs creates in its root-owned mode 0 work directory on behalf of uid 1000. The securebit
 * NO_SETUID_FIXUP, set at start, makes setfsuid() leave the capabilities alone.
 *
 * Credentials belong to a thread. Whoever assumes them restores them before the request ends, so
 * nothing leaks into the next one.
 */
#ifndef FS_CREDS_H
#define FS_CREDS_H

#include <stdbool.h>
#include <sys/types.h>

/* Who a guest request says it is from. */
struct pt_caller {
    uid_t uid;
    gid_t gid;
    bool has_group; /* CREATE_SUPP_GROUP: the group of the parent directory, if a member */
    gid_t group;
};

enum creds_mode {
    CREDS_FIXED,  /* no right to switch (or not wanted): everything belongs to the daemon's user */
    CREDS_SWITCH, /* may switch to any id */
    CREDS_VERIFY, /* may switch to the ids of its user namespace: check that it happened */
};

struct creds {
    enum creds_mode mode;
    uid_t own_uid;
    gid_t own_gid;
};

/*
 * Fills *ret for this process: what it runs as and whether it may switch. `partial_ids`: it lives
 * in a user namespace that does not have every id.
 */
void creds_probe(struct creds *ret, bool partial_ids);

/*
 * From now on this thread creates files as `caller`. When `drop_fsetid`, CAP_FSETID is not
 * effective either, so that the kernel clears S_ISGID as it would for the caller (CVE-2022-0358).
 * Returns 0, -EINVAL for an id that can own nothing (FUSE_INVALID_UIDGID), -EPERM for one outside
 * the daemon's user namespace. Nothing is changed on an error.
 */
int creds_assume(const struct creds *creds, const struct pt_caller *caller, bool drop_fsetid);

/* Back to the daemon's own. Harmless when nothing was assumed. */
void creds_restore(const struct creds *creds);

/* The same for CAP_FSETID alone: writes that must clear S_ISUID and S_ISGID. */
void creds_drop_fsetid(void);
void creds_raise_fsetid(void);

#endif
