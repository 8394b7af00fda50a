/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A passed-through file system on a directory of its own, served by the test's thread: on the file
 * system of the temporary directory, and as root on a tmpfs and on a host overlayfs as well.
 */
#ifndef UNIT_PT_FIXTURE_H
#define UNIT_PT_FIXTURE_H

#include <glib.h>

#include "fs/pt.h"

#define ROOT 1

enum pt_place { PT_TMPDIR, PT_TMPFS, PT_OVERLAY, PT_PLACES };

struct pt_fixture {
    char *base;
    char *dir; /* shared; a path of the host */
    struct pt_fs *fs;
    bool append_by_flag; /* from the next start on */
};

/* Adds /TITLE/PLACE/NAME for every place. */
void pt_add_test(const char *title, const char *name, void (*func)(struct pt_fixture *f));
/* The main() of a test program. */
int pt_main(int argc, char **argv, void (*add_tests)(void));

/* The daemon ends and starts again, with --overlay-upper or not. */
void pt_fixture_restart(struct pt_fixture *f, bool overlay);

/* By the host; and through the file system, failing the test if it does not work. */
void pt_host_write(struct pt_fixture *f, const char *name, const char *text);
char *pt_host_path(struct pt_fixture *f, const char *name); /* g_free */
uint64_t pt_look(struct pt_fixture *f, uint64_t dir, const char *name);
struct pt_entry pt_make_file(struct pt_fixture *f, uint64_t dir, const char *name);
struct pt_entry pt_make_dir(struct pt_fixture *f, uint64_t dir, const char *name);

#endif
