/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory tree as text: one line an entry with all that a program can see of it, sorted, so
 * that two trees, or one tree before and after, can be compared line by line.
 */
#ifndef GUESTFS_TREE_H
#define GUESTFS_TREE_H

#include <stddef.h>

struct tree {
    char **lines;
    size_t n, space;
};

/* Called for an entry that cannot be looked at; true: try once more. */
typedef int tree_retry(void *data, const char *path, int err);

/* 0, or -1 with the path and the errno in `problem`. */
int tree_read(const char *root, struct tree *ret, tree_retry *retry, void *data, char *problem,
              size_t problem_size);
void tree_done(struct tree *tree);

#endif
