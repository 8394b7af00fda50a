/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Used for every header and every payload; the memory belongs to the other side.
 */
#include "base/iov_cursor.h"

#include <glib.h>
#include <string.h>

struct iov_cursor iov_cursor_make(const struct iovec *iov, unsigned cnt)
{
    return (struct iov_cursor){.iov = iov, .cnt = cnt};
}

size_t iov_cursor_left(const struct iov_cursor *cur)
{
    size_t left = 0;

    for (unsigned i = 0; i < cur->cnt; i++) {
        left += cur->iov[i].iov_len;
    }
    return left - (cur->cnt > 0 ? cur->skip : 0);
}

/* The next contiguous piece, at most `max` bytes; 0 at the end. The cursor moves past it. */
static size_t next_piece(struct iov_cursor *cur, size_t max, char **ret_base)
{
    while (cur->cnt > 0 && max > 0) {
        size_t here = cur->iov[0].iov_len - cur->skip;
        size_t take = MIN(here, max);

        if (take > 0) {
            *ret_base = (char *)cur->iov[0].iov_base + cur->skip;
            cur->skip += take;
            return take;
        }
        cur->iov++;
        cur->cnt--;
        cur->skip = 0;
    }
    return 0;
}

size_t iov_cursor_read(struct iov_cursor *cur, void *buf, size_t len)
{
    size_t done = 0;
    size_t n = 0;
    char *base = NULL;

    while ((n = next_piece(cur, len - done, &base)) > 0) {
        memcpy((char *)buf + done, base, n);
        done += n;
    }
    return done;
}

size_t iov_cursor_write(struct iov_cursor *cur, const void *buf, size_t len)
{
    size_t done = 0;
    size_t n = 0;
    char *base = NULL;

    while ((n = next_piece(cur, len - done, &base)) > 0) {
        memcpy(base, (const char *)buf + done, n);
        done += n;
    }
    return done;
}

size_t iov_cursor_skip(struct iov_cursor *cur, size_t len)
{
    size_t done = 0;
    size_t n = 0;
    char *base = NULL;

    while ((n = next_piece(cur, len - done, &base)) > 0) {
        done += n;
    }
    return done;
}

unsigned iov_cursor_slice(struct iov_cursor *cur, size_t len, struct iovec *ret_iov, unsigned max,
                          size_t *ret_len)
{
    unsigned cnt = 0;
    size_t n = 0;
    char *base = NULL;

    *ret_len = 0;
    while (cnt < max && (n = next_piece(cur, len - *ret_len, &base)) > 0) {
        ret_iov[cnt++] = (struct iovec){.iov_base = base, .iov_len = n};
        *ret_len += n;
    }
    return cnt;
}
