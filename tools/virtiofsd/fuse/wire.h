/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between wire structs and the file system's own: arguments, names, callers, attributes.
 */
#ifndef FUSE_WIRE_H
#define FUSE_WIRE_H

#include "base/compat.h"
#include "fs/pt.h"
#include "fuse/session.h"
#include "request/request.h"

/* The fixed argument struct; dispatch has made sure that it is there. */
#define wire_args(req, type) ((const type *)(const void *)(req)->args)

/*
 * The next NUL-terminated string at *pos, which moves behind it; NULL when none ends within the
 * arguments. *ret_len may be NULL.
 */
const char *wire_string(const struct request *req, size_t *pos, size_t *ret_len);

/*
 * A string that is a name to make, remove or look up: 0, -EINVAL when it is empty, holds a '/' or
 * does not end, -ENAMETOOLONG over 255 bytes. "." and ".." only where `may_be_dot`.
 */
int wire_name(const struct request *req, size_t *pos, bool may_be_dot, const char **ret_name);

/* Who makes something: ids of the header, the group of the request's extension. -EINVAL. */
int wire_caller(const struct request *req, struct pt_caller *ret);

/* The extensions at the end of the arguments (total_extlen) are no argument: cut them off. */
int wire_split_extensions(struct request *req);

void wire_attr(const struct statx *st, struct fuse_attr *ret);
void wire_entry(struct fuse_session *session, const struct pt_entry *entry,
                struct fuse_entry_out *ret);
void wire_attr_out(struct fuse_session *session, const struct statx *st, struct fuse_attr_out *ret);
void wire_timeout(double seconds, uint64_t *ret_sec, uint32_t *ret_nsec);

/* The usual ends: reply with an entry or attributes when err is 0. */
int wire_reply_entry(struct fuse_session *session, struct request *req, int err,
                     const struct pt_entry *entry);
int wire_reply_attr(struct fuse_session *session, struct request *req, int err,
                    const struct statx *st);

#endif
