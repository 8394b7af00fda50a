/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where names are judged and attributes get their wire form.
 */
#include "fuse/wire.h"

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

const char *wire_string(const struct request *req, size_t *pos, size_t *ret_len)
{
    const char *start = req->args + *pos;
    const char *end = NULL;

    if (*pos >= req->args_len) {
        return NULL;
    }
    end = memchr(start, '\0', req->args_len - *pos);
    if (!end) {
        return NULL;
    }
    *pos += (size_t)(end - start) + 1;
    if (ret_len) {
        *ret_len = (size_t)(end - start);
    }
    return start;
}

int wire_name(const struct request *req, size_t *pos, bool may_be_dot, const char **ret_name)
{
    size_t len = 0;
    const char *name = wire_string(req, pos, &len);

    if (!name || len == 0 || memchr(name, '/', len)) {
        return -EINVAL;
    }
    if (len > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    if (!may_be_dot && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)) {
        return -EINVAL;
    }
    *ret_name = name;
    return 0;
}

int wire_split_extensions(struct request *req)
{
    size_t len = (size_t)req->hdr.total_extlen * 8; /* at most 512 KiB; args_len bounds it */

    if (len > req->args_len) {
        return -EINVAL;
    }
    req->args_len -= len;
    return 0;
}

/* The first supplementary group the guest's kernel sends: the one that matches the directory. */
static int find_group(const char *ext, size_t len, struct pt_caller *ret)
{
    struct fuse_ext_header head;
    uint32_t groups[2]; /* their number, the first */

    while (len > 0) {
        if (len < sizeof(head)) {
            return -EINVAL;
        }
        memcpy(&head, ext, sizeof(head));
        if (head.size < sizeof(head) || head.size > len) {
            return -EINVAL;
        }
        if (head.type == FUSE_EXT_GROUPS) {
            if (head.size < sizeof(head) + sizeof(groups)) {
                return -EINVAL;
            }
            memcpy(groups, ext + sizeof(head), sizeof(groups));
            if (groups[0] > (head.size - sizeof(head)) / sizeof(groups[0]) - 1) {
                return -EINVAL;
            }
            ret->has_group = groups[0] > 0;
            ret->group = groups[1];
        }
        ext += head.size;
        len -= head.size;
    }
    return 0;
}

int wire_caller(const struct request *req, struct pt_caller *ret)
{
    *ret = (struct pt_caller){.uid = req->hdr.uid, .gid = req->hdr.gid};
    if (req->hdr.total_extlen == 0) {
        return 0;
    }
    return find_group(req->args + req->args_len, (size_t)req->hdr.total_extlen * 8, ret);
}

void wire_timeout(double seconds, uint64_t *ret_sec, uint32_t *ret_nsec)
{
    *ret_sec = (uint64_t)seconds;
    *ret_nsec = (uint32_t)((seconds - (double)*ret_sec) * 1e9);
}

void wire_attr(const struct statx *st, struct fuse_attr *ret)
{
    *ret = (struct fuse_attr){
        .ino = st->stx_ino,
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .atime = (uint64_t)st->stx_atime.tv_sec,
        .mtime = (uint64_t)st->stx_mtime.tv_sec,
        .ctime = (uint64_t)st->stx_ctime.tv_sec,
        .atimensec = st->stx_atime.tv_nsec,
        .mtimensec = st->stx_mtime.tv_nsec,
        .ctimensec = st->stx_ctime.tv_nsec,
        .mode = st->stx_mode,
        .nlink = st->stx_nlink,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
        /* the kernel's new_encode_dev(): 12 bits of major, 20 of minor around them */
        .rdev = (st->stx_rdev_minor & 0xff) | (st->stx_rdev_major << 8) |
                ((st->stx_rdev_minor & ~0xffu) << 12),
        .blksize = st->stx_blksize,
    };
}

void wire_entry(struct fuse_session *session, const struct pt_entry *entry,
                struct fuse_entry_out *ret)
{
    ret->nodeid = entry->nodeid;
    ret->generation = entry->generation;
    wire_timeout(session->config.entry_timeout, &ret->entry_valid, &ret->entry_valid_nsec);
    wire_timeout(session->config.attr_timeout, &ret->attr_valid, &ret->attr_valid_nsec);
    wire_attr(&entry->st, &ret->attr);
    if (entry->submount && fuse_has(session, FUSE_SUBMOUNTS)) {
        ret->attr.flags |= FUSE_ATTR_SUBMOUNT;
    }
}

void wire_attr_out(struct fuse_session *session, const struct statx *st, struct fuse_attr_out *ret)
{
    wire_timeout(session->config.attr_timeout, &ret->attr_valid, &ret->attr_valid_nsec);
    wire_attr(st, &ret->attr);
}

int wire_reply_entry(struct fuse_session *session, struct request *req, int err,
                     const struct pt_entry *entry)
{
    if (err == 0) {
        wire_entry(session, entry, request_reply_new(req, sizeof(struct fuse_entry_out)));
    }
    return err;
}

int wire_reply_attr(struct fuse_session *session, struct request *req, int err,
                    const struct statx *st)
{
    if (err == 0) {
        wire_attr_out(session, st, request_reply_new(req, sizeof(struct fuse_attr_out)));
    }
    return err;
}
