/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INIT: what the guest offers, what we want, and what comes of it, as a table. The guest's kernel
 * ignores flags it did not offer, and the upper 32 unless FUSE_INIT_EXT says that they are there.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/log.h"
#include "fs/pt.h"
#include "fuse/ops.h"
#include "fuse/wire.h"

enum {
    OLDEST_MINOR = 27,
    /* One MiB, the most a guest's queue can carry in one request (fs/fuse: 256 pages). */
    MAX_PAGES = 256,
    MAX_WRITE = MAX_PAGES * 4096,
    /* Enough to keep a deep queue busy; the guest's default of 12 is not. */
    MAX_BACKGROUND = 1024,
    CONGESTION = 768,
};

enum want { NEVER, ALWAYS, IF_CONFIG };

#define config_field(field) IF_CONFIG, offsetof(struct fuse_config, field)

static const struct init_flag {
    uint64_t flag;
    enum want want;
    size_t field; /* a bool in struct fuse_config */
} init_flags[] = {
    {FUSE_ASYNC_READ, ALWAYS},
    {FUSE_POSIX_LOCKS, config_field(posix_lock)},
    {FUSE_FLOCK_LOCKS, config_field(flock)},
    {FUSE_ATOMIC_O_TRUNC, ALWAYS},
    {FUSE_EXPORT_SUPPORT, config_field(export_handles)},
    {FUSE_BIG_WRITES, ALWAYS},
    {FUSE_DONT_MASK, config_field(posix_acl)},
    {FUSE_HAS_IOCTL_DIR, ALWAYS},
    {FUSE_AUTO_INVAL_DATA, ALWAYS},
    {FUSE_DO_READDIRPLUS, config_field(readdirplus)},
    {FUSE_READDIRPLUS_AUTO, config_field(readdirplus)},
    {FUSE_ASYNC_DIO, ALWAYS},
    {FUSE_WRITEBACK_CACHE, config_field(writeback)},
    {FUSE_PARALLEL_DIROPS, ALWAYS},
    {FUSE_POSIX_ACL, config_field(posix_acl)},
    {FUSE_MAX_PAGES, ALWAYS},
    {FUSE_CACHE_SYMLINKS, NEVER}, /* another guest or the host may replace a symlink */
    {FUSE_SUBMOUNTS, config_field(announce_submounts)},
    {FUSE_HANDLE_KILLPRIV_V2, config_field(killpriv_v2)},
    {FUSE_SETXATTR_EXT, config_field(posix_acl)},
    {FUSE_INIT_EXT, ALWAYS},
    {FUSE_SECURITY_CTX, NEVER},
    {FUSE_CREATE_SUPP_GROUP, ALWAYS},
    {FUSE_DIRECT_IO_ALLOW_MMAP, config_field(allow_mmap)},
    {FUSE_ALLOW_IDMAP, ALWAYS}, /* ids of a header are used for what is made, and only there */
};

static bool is_wanted(const struct fuse_config *config, const struct init_flag *row)
{
    if (row->want == IF_CONFIG) {
        return *(const bool *)((const char *)config + row->field);
    }
    return row->want == ALWAYS;
}

static uint64_t choose_flags(const struct fuse_config *config, uint64_t offered)
{
    uint64_t flags = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(init_flags); i++) {
        if ((offered & init_flags[i].flag) && is_wanted(config, &init_flags[i])) {
            flags |= init_flags[i].flag;
        }
    }
    /* An O_TRUNC within OPEN leaves set-id bits to us, and only KILLPRIV_V2 says what to do. */
    if (!(flags & FUSE_HANDLE_KILLPRIV_V2)) {
        flags &= ~(uint64_t)FUSE_ATOMIC_O_TRUNC;
    }
    /* Without handles to decode, say so where it can be said: overlayfs then does without them. */
    if (!config->export_handles && (offered & FUSE_NO_EXPORT_SUPPORT)) {
        flags |= FUSE_NO_EXPORT_SUPPORT;
    }
    return flags;
}

/* Guests before 7.36 send 16 bytes; what they do not send is 0. */
static struct fuse_init_in read_init(const struct request *req)
{
    struct fuse_init_in in = {0};

    memcpy(&in, req->args, MIN(req->args_len, sizeof(in)));
    return in;
}

static uint64_t offered_flags(const struct fuse_init_in *in)
{
    uint64_t flags = in->flags;

    if (flags & FUSE_INIT_EXT) {
        flags |= (uint64_t)in->flags2 << 32;
    }
    return flags;
}

static void fill_reply(const struct fuse_init_in *in, uint64_t flags, struct fuse_init_out *out)
{
    out->major = FUSE_KERNEL_VERSION;
    out->minor = MIN(in->minor, FUSE_OUR_MINOR);
    out->max_readahead = MIN(in->max_readahead, MAX_WRITE);
    out->flags = (uint32_t)flags;
    out->flags2 = (flags & FUSE_INIT_EXT) ? (uint32_t)(flags >> 32) : 0;
    out->max_background = MAX_BACKGROUND;
    out->congestion_threshold = CONGESTION;
    out->max_write = (flags & FUSE_MAX_PAGES) ? MAX_WRITE : 32 * 4096;
    out->max_pages = (flags & FUSE_MAX_PAGES) ? MAX_PAGES : 0;
    out->time_gran = 1;
}

int op_init(struct fuse_session *session, struct request *req)
{
    struct fuse_init_in in = read_init(req);
    struct fuse_init_out *out = NULL;
    uint64_t flags = 0;

    if (in.major < FUSE_KERNEL_VERSION ||
        (in.major == FUSE_KERNEL_VERSION && in.minor < OLDEST_MINOR)) {
        log_error_limited("the guest speaks FUSE %u.%u, which is too old: 7.%d (Linux 4.18) or "
                          "newer is needed",
                          in.major, in.minor, OLDEST_MINOR);
        return -EPROTO;
    }
    if (session->config.posix_acl_required && !(in.flags & FUSE_POSIX_ACL)) {
        log_error_limited("the guest does not know POSIX ACLs, which --posix-acl=always wants it "
                          "to; --posix-acl=auto serves it without");
        return -EPROTO;
    }
    out = request_reply_new(req, sizeof(*out));
    if (in.major > FUSE_KERNEL_VERSION) {
        /* The guest tries again with our major version. */
        out->major = FUSE_KERNEL_VERSION;
        out->minor = FUSE_OUR_MINOR;
        return 0;
    }
    if (atomic_load(&session->ready)) {
        log_info("the guest starts anew (INIT without DESTROY): its old inodes and files are gone");
    }
    /* A guest that reboots sends no DESTROY: whatever the last one knew is void. */
    fuse_session_reset(session);
    flags = choose_flags(&session->config, offered_flags(&in));
    fill_reply(&in, flags, out);
    atomic_store(&session->minor, out->minor);
    atomic_store(&session->flags, flags);
    pt_set_posix_acl(session->fs, flags & FUSE_POSIX_ACL);
    atomic_store(&session->ready, true);
    fuse_kept_write(session);
    log_debug("FUSE 7.%u, flags %#llx of %#llx offered", out->minor, (unsigned long long)flags,
              (unsigned long long)offered_flags(&in));
    return 0;
}

bool fuse_init_resume(struct fuse_session *session, uint32_t minor, uint64_t flags)
{
    if (minor < OLDEST_MINOR || minor > FUSE_OUR_MINOR ||
        (flags & ~choose_flags(&session->config, UINT64_MAX))) {
        return false;
    }
    atomic_store(&session->minor, minor);
    atomic_store(&session->flags, flags);
    pt_set_posix_acl(session->fs, flags & FUSE_POSIX_ACL);
    atomic_store(&session->ready, true);
    return true;
}

int op_destroy(struct fuse_session *session, struct request *req)
{
    fuse_kept_clear(session);
    (void)req; /* the empty reply is 16 bytes: a guest waits for them to finish umount */
    fuse_session_reset(session);
    return 0;
}

void fuse_session_reset(struct fuse_session *session)
{
    atomic_store(&session->ready, false);
    fuse_cancel_locks(session);
    pt_reset(session->fs);
}
