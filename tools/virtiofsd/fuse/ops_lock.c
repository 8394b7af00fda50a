/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks stay in the guest: POSIX_LOCKS and FLOCK_LOCKS are not negotiated, so a sound guest never
 * asks. ENOSYS tells one that does to keep them itself.
 */
#include <errno.h>

#include "fuse/ops.h"

int op_getlk(struct fuse_session *session, struct request *req)
{
    (void)session;
    (void)req;
    return -ENOSYS;
}

int op_setlk(struct fuse_session *session, struct request *req)
{
    return op_getlk(session, req);
}

int op_setlkw(struct fuse_session *session, struct request *req)
{
    return op_getlk(session, req);
}
