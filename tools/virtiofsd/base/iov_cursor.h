/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cursor walks over an array of iovecs. It never goes past the end: every call says how many
 * bytes it really moved.
 */
#ifndef BASE_IOV_CURSOR_H
#define BASE_IOV_CURSOR_H

#include <stddef.h>
#include <sys/uio.h>

struct iov_cursor {
    const struct iovec *iov;
    unsigned cnt;
    size_t skip; /* bytes of iov[0] already passed */
};

struct iov_cursor iov_cursor_make(const struct iovec *iov, unsigned cnt);

/* Bytes left. */
size_t iov_cursor_left(const struct iov_cursor *cur);

/* Copies up to len bytes out of / into the iovecs and moves on; returns the bytes copied. */
size_t iov_cursor_read(struct iov_cursor *cur, void *buf, size_t len);
size_t iov_cursor_write(struct iov_cursor *cur, const void *buf, size_t len);

/* Moves on without copying; returns the bytes passed. */
size_t iov_cursor_skip(struct iov_cursor *cur, size_t len);

/*
 * Describes the next bytes, at most `len`, as at most `max` iovecs without copying; returns how
 * many iovecs were written to ret_iov, and their bytes in *ret_len. The cursor moves on.
 */
unsigned iov_cursor_slice(struct iov_cursor *cur, size_t len, struct iovec *ret_iov, unsigned max,
                          size_t *ret_len);

#endif
