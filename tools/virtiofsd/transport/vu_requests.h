/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests about one ring, and how a request says why it refuses: between vu_requests.c with
 * its table and vu_requests_ring.c.
 */
#ifndef TRANSPORT_VU_REQUESTS_H
#define TRANSPORT_VU_REQUESTS_H

#include "transport/vu_session.h"

static inline int vu_refuse(struct vu_session *session, int rc, const char *why)
{
    session->why = why;
    return rc;
}

int vu_set_vring_num(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_base(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_addr(struct vu_session *session, struct vu_msg *msg);
int vu_get_vring_base(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_enable(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_kick(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_call(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_err(struct vu_session *session, struct vu_msg *msg);

#endif
