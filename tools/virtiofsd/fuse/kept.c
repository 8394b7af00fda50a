/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What INIT made of a session, in memory that outlives the daemon: a guest whose daemon was killed
 * and started again goes on asking, and sends no second INIT. With this its requests are
 * understood. Nodeids it can find again by LOOKUP of "." (fs/host_handle.h); its open files are
 * gone.
 *
 * The memory is the front end's: it is read once and believed only as far as a guest's INIT is.
 */
#include <string.h>

#include "base/log.h"
#include "fs/pt.h"
#include "fuse/ops.h"

#define MAGIC 0x76667331u /* "vfs1": the form of what follows */

struct kept {
    uint32_t magic;
    uint32_t minor;
    uint64_t flags;
};

void fuse_keep(struct fuse_session *session, void *memory, size_t size)
{
    struct kept kept;

    session->kept = size >= sizeof(kept) ? memory : NULL;
    if (!session->kept) {
        return;
    }
    memcpy(&kept, session->kept, sizeof(kept));
    if (atomic_load(&session->ready)) {
        fuse_kept_write(session);
    } else if (kept.magic == MAGIC && fuse_init_resume(session, kept.minor, kept.flags)) {
        log_info("a guest's session goes on: FUSE 7.%u", kept.minor);
    }
}

void fuse_kept_write(struct fuse_session *session)
{
    struct kept kept = {.magic = MAGIC,
                        .minor = atomic_load(&session->minor),
                        .flags = atomic_load(&session->flags)};

    if (session->kept) {
        memcpy(session->kept, &kept, sizeof(kept));
    }
}

void fuse_kept_clear(struct fuse_session *session)
{
    if (session->kept) {
        memset(session->kept, 0, sizeof(struct kept));
    }
}
