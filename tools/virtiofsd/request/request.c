/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying a request in, once, and its answer out, once.
 */
#include "request/request.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

int request_begin(struct request *req, struct chain *chain)
{
    /* Only the small fields: the buffers behind them stay untouched. */
    req->chain = chain;
    req->args = NULL;
    req->args_len = 0;
    req->data = iov_cursor_make(chain->out, chain->out_cnt);
    req->reply = NULL;
    req->reply_len = 0;
    req->session = NULL;
    req->on_finish = NULL;
    req->start_ns = 0;
    req->work = NULL;

    if (iov_cursor_read(&req->data, &req->hdr, sizeof(req->hdr)) != sizeof(req->hdr)) {
        memset(&req->hdr, 0, sizeof(req->hdr));
        return -EINVAL;
    }
    if (req->hdr.len != chain->out_len) {
        return -EINVAL;
    }
    return 0;
}

int request_copy_args(struct request *req, size_t len)
{
    if (len > request_body_left(req)) {
        return -EINVAL;
    }
    if (len > REQUEST_MAX_ARGS) {
        return -E2BIG;
    }
    if (len <= sizeof(req->args_buf)) {
        req->args = req->args_buf;
    } else {
        req->args = g_try_malloc(len); /* at most REQUEST_MAX_ARGS */
        if (!req->args) {
            return -ENOMEM;
        }
    }
    req->args_len = iov_cursor_read(&req->data, req->args, len);
    return 0;
}

size_t request_body_left(const struct request *req)
{
    return req->chain->out_len - sizeof(req->hdr) - req->args_len;
}

size_t request_reply_room(const struct request *req)
{
    size_t room = req->chain->in_len;

    return room > sizeof(struct fuse_out_header) ? room - sizeof(struct fuse_out_header) : 0;
}

void *request_reply_new(struct request *req, size_t size)
{
    g_assert(size <= sizeof(req->reply_buf)); /* our own sizes, never a guest's */
    memset(req->reply_buf, 0, size);
    req->reply = req->reply_buf;
    req->reply_len = size;
    return req->reply_buf;
}

int request_reply_append(struct request *req, const void *data, size_t size)
{
    if (size > request_reply_room(req) - req->reply_len) {
        return -EINVAL;
    }
    if (req->reply_len == 0) {
        req->reply_end = iov_cursor_make(req->chain->in, req->chain->in_cnt);
        iov_cursor_skip(&req->reply_end, sizeof(struct fuse_out_header));
    }
    req->reply_len += iov_cursor_write(&req->reply_end, data, size);
    return 0;
}

/* Body first, header last: a guest that polls the header never sees a half answer. */
static size_t put_reply(struct request *req, int result)
{
    struct chain *chain = req->chain;
    struct fuse_out_header out = {.unique = req->hdr.unique, .len = sizeof(out)};
    struct iov_cursor head = iov_cursor_make(chain->in, chain->in_cnt);

    if (chain->in_len < sizeof(out)) {
        return 0;
    }
    if (result == 0 && req->reply_len > request_reply_room(req)) {
        result = -EIO; /* dispatch checks the room first; this is the net below it */
    }
    if (result == 0) {
        if (req->reply_len > 0 && req->reply) {
            struct iov_cursor body = head;

            iov_cursor_skip(&body, sizeof(out));
            iov_cursor_write(&body, req->reply, req->reply_len);
        }
        out.len += (uint32_t)req->reply_len;
    } else {
        /* A guest takes -511..0 (fs/fuse/dev.c); ENOSYS is for the dispatcher alone to say. */
        out.error = (result < 0 && result > -512) ? result : -EIO;
    }
    iov_cursor_write(&head, &out, sizeof(out));
    return out.len;
}

void request_finish(struct request *req, int result)
{
    struct chain *chain = req->chain;
    size_t written = 0;

    if (req->on_finish) {
        req->on_finish(req, result);
    }
    if (result != REQUEST_NO_REPLY) {
        written = put_reply(req, result);
    }
    if (req->args != req->args_buf) {
        g_free(req->args);
    }
    chain->done(chain, written);
}
