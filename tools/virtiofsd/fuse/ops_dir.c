/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * READDIR and READDIRPLUS: entries packed into the reply until it is full.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "fuse/ops.h"
#include "fuse/wire.h"

/* More than a guest asks for at once (fs/fuse reads a page, or 128 KiB with large folios). */
enum { MAX_READDIR = 256 * 1024 };

struct dir_reply {
    struct pt_dir_sink sink;
    struct fuse_session *session;
    bool plus;
    char *buf;
    size_t size, used;
};

static size_t record_size(const struct dir_reply *reply, size_t name_len)
{
    return FUSE_DIRENT_ALIGN((reply->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET) +
                             name_len);
}

static bool fits(struct pt_dir_sink *sink, size_t name_len)
{
    struct dir_reply *reply = (struct dir_reply *)sink;

    return record_size(reply, name_len) <= reply->size - reply->used;
}

static void put(struct pt_dir_sink *sink, const struct pt_dirent *entry)
{
    struct dir_reply *reply = (struct dir_reply *)sink;
    char *at = reply->buf + reply->used; /* zeroed, padding included */
    struct fuse_dirent *dirent = (void *)at;

    if (reply->plus) {
        struct fuse_direntplus *plus = (void *)at;

        dirent = &plus->dirent;
        if (entry->entry) {
            wire_entry(reply->session, entry->entry, &plus->entry_out);
        }
    }
    dirent->ino = entry->entry ? entry->entry->st.stx_ino : entry->ino;
    dirent->off = entry->next;
    dirent->namelen = (uint32_t)entry->name_len;
    dirent->type = entry->type;
    memcpy(dirent->name, entry->name, entry->name_len);
    reply->used += record_size(reply, entry->name_len);
}

static int read_dir(struct fuse_session *session, struct request *req, bool plus)
{
    const struct fuse_read_in *in = wire_args(req, struct fuse_read_in);
    struct dir_reply reply = {
        .sink = {.fits = fits, .put = put},
        .session = session,
        .plus = plus,
        .size = MIN(MIN(in->size, request_reply_room(req)), MAX_READDIR),
    };
    int err = 0;

    reply.buf = request_reply_heap(req, reply.size);
    if (!reply.buf) {
        return -ENOMEM;
    }
    err = pt_readdir(session->fs, in->fh, in->offset, plus, &reply.sink);
    req->reply_len = reply.used;
    return err;
}

int op_readdir(struct fuse_session *session, struct request *req)
{
    return read_dir(session, req, false);
}

int op_readdirplus(struct fuse_session *session, struct request *req)
{
    return read_dir(session, req, true);
}
