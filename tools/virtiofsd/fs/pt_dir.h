/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the handle table must know of an open directory: how to let it go.
 */
#ifndef FS_PT_DIR_H
#define FS_PT_DIR_H

struct dir_stream;

void dir_stream_free(struct dir_stream *dir); /* NULL is fine */

#endif
