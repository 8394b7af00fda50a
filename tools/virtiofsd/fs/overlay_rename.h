/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RENAME_WHITEOUT on a host that refuses it: the source's name must end up a whiteout, the
 * destination's the source, in one step as far as anybody can see.
 *
 * Destination absent: a whiteout is made there and exchanged with the source; the exchange is the
 * one step. Destination present: a whiteout T is made beside the source, source and destination
 * are exchanged, and T replaces what then stands at the source's name. In between the victim
 * stands there, so look-ups by name wait.
 *
 * Either way an intent is kept in the journal, a directory with a reserved name in the root of the
 * share, so that what a killed daemon left in between is completed or undone by the next one: a
 * whiteout at an absent destination would hide what the guest's lower layer has there, and the
 * victim at the source's name would be taken for the source.
 */
#ifndef FS_OVERLAY_RENAME_H
#define FS_OVERLAY_RENAME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct overlay_renames {
    int root_fd;          /* O_PATH of the share; borrowed */
    int proc_self_fd;     /* borrowed; for the paths of directories */
    pthread_mutex_t lock; /* one emulated rename at a time */
    atomic_uint seq;      /* odd: the middle of one is visible */
    unsigned next_id;     /* under the lock */
};

struct rename_names {
    int dirfd;
    const char *name;
    int newdirfd;
    const char *newname;
    bool noreplace;
    bool try_native; /* a native whiteout may work even if the rename does not */
};

void overlay_renames_init(struct overlay_renames *renames, int root_fd, int proc_self_fd);
void overlay_renames_done(struct overlay_renames *renames);

/*
 * The emulation; to be called under the credentials that the whiteout shall belong to. Returns 0
 * or -errno with everything as it was.
 */
int overlay_rename_whiteout(struct overlay_renames *renames, const struct rename_names *names);

/* Completes or undoes what a killed daemon left in the journal. At start, before any guest. */
void overlay_renames_repair(struct overlay_renames *renames);

/*
 * A look-up by name: begin, look, and look again if end says so.
 *     do { seq = ..._begin(); look } while (..._changed(seq));
 */
unsigned overlay_renames_begin(struct overlay_renames *renames);
static inline bool overlay_renames_changed(struct overlay_renames *renames, unsigned seq)
{
    /* the look in between is a system call, which nothing is moved across */
    return atomic_load(&renames->seq) != seq;
}

#endif
