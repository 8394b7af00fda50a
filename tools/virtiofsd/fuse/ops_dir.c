/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * READDIR and READDIRPLUS: entries packed into the reply until it is full.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "fuse/ops.h"
#include "fuse/wire.h"

struct dir_reply {
    struct pt_dir_sink sink;
    struct fuse_session *session;
    struct request *req;
    bool plus;
    size_t left; /* of what the guest asked for, and has room for */
};

static size_t record_size(const struct dir_reply *reply, size_t name_len)
{
    return FUSE_DIRENT_ALIGN((reply->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET) +
                             name_len);
}

static bool fits(struct pt_dir_sink *sink, size_t name_len)
{
    const struct dir_reply *reply = (const struct dir_reply *)sink;

    return record_size(reply, name_len) <= reply->left;
}

/* Straight into guest memory: a record's head, its name, and zeroes up to the next one. */
static void put(struct pt_dir_sink *sink, const struct pt_dirent *entry)
{
    static const char zeroes[FUSE_REC_ALIGN(1)];
    struct dir_reply *reply = (struct dir_reply *)sink;
    size_t head_size = reply->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    size_t size = record_size(reply, entry->name_len);
    struct fuse_direntplus plus = {.dirent = {
                                       .ino = entry->entry ? entry->entry->st.stx_ino : entry->ino,
                                       .off = entry->next,
                                       .namelen = (uint32_t)entry->name_len,
                                       .type = entry->type,
                                   }};

    if (reply->plus && entry->entry) {
        wire_entry(reply->session, entry->entry, &plus.entry_out);
    }
    /* fits() has been asked: none of these can fail */
    (void)request_reply_append(
        reply->req, reply->plus ? (const void *)&plus : (const void *)&plus.dirent, head_size);
    (void)request_reply_append(reply->req, entry->name, entry->name_len);
    (void)request_reply_append(reply->req, zeroes, size - head_size - entry->name_len);
    reply->left -= size;
}

static int read_dir(struct fuse_session *session, struct request *req, bool plus)
{
    const struct fuse_read_in *in = wire_args(req, struct fuse_read_in);
    struct dir_reply reply = {
        .sink = {.fits = fits, .put = put},
        .session = session,
        .req = req,
        .plus = plus,
        .left = MIN(in->size, request_reply_room(req)),
    };

    return pt_readdir(session->fs, in->fh, in->offset, plus, &reply.sink);
}

int op_readdir(struct fuse_session *session, struct request *req)
{
    return read_dir(session, req, false);
}

int op_readdirplus(struct fuse_session *session, struct request *req)
{
    return read_dir(session, req, true);
}
