/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handle table: the fh numbers a guest holds, and the open files behind them.
 *
 * A number is a slot and a serial: one that was released stays invalid when its slot is used
 * again. handle_table_get() hands out a counted reference, so a RELEASE that races with a READ
 * closes the file only when the READ is done.
 */
#ifndef FS_HANDLE_TABLE_H
#define FS_HANDLE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/inode_table.h"

struct dir_stream; /* pt_dir.c */

struct handle {
    atomic_int refs;
    int fd;
    struct inode *inode;    /* a reference */
    int flags;              /* host open flags in force */
    atomic_bool no_nowait;  /* RWF_NOWAIT is not supported for this file */
    atomic_bool appends;    /* O_APPEND is set on fd: see pt_write() */
    struct dir_stream *dir; /* directories only */
};

struct handle_table;

struct handle_table *handle_table_new(void);
void handle_table_free(struct handle_table *table); /* closes what is still open */

/*
 * Takes over fd, one reference of inode and dir (NULL for a file), and gives *ret_fh. -ENFILE when
 * there are too many, -ENOMEM; all are then given back.
 */
int handle_table_add(struct handle_table *table, int fd, struct inode *inode, int flags,
                     struct dir_stream *dir, uint64_t *ret_fh);

/* A reference, or NULL for a number that is not (any longer) in use. */
struct handle *handle_table_get(struct handle_table *table, uint64_t fh);
void handle_unref(struct handle *handle);

/* Releases the number. False when there is none. */
bool handle_table_remove(struct handle_table *table, uint64_t fh);

/* The guest starts anew: every number is released. */
void handle_table_clear(struct handle_table *table);

uint64_t handle_table_count(struct handle_table *table);

#endif
