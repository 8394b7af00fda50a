/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files with requests have in common: how a request says why it refuses, and the
 * functions that the table in vu_requests.c names and other files have.
 */
#ifndef TRANSPORT_VU_REQUESTS_H
#define TRANSPORT_VU_REQUESTS_H

#include "transport/vu_session.h"

static inline int vu_refuse(struct vu_session *session, int rc, const char *why)
{
    session->why = why;
    return rc;
}

/* vu_requests.c: as after power-on, but for memory, features and call descriptors. */
int vu_reset_device(struct vu_session *session, struct vu_msg *msg);

/* vu_requests_kept.c */
int vu_set_log_base(struct vu_session *session, struct vu_msg *msg);
int vu_set_log_fd(struct vu_session *session, struct vu_msg *msg);
int vu_get_inflight_fd(struct vu_session *session, struct vu_msg *msg);
int vu_set_inflight_fd(struct vu_session *session, struct vu_msg *msg);
int vu_set_status(struct vu_session *session, struct vu_msg *msg);
int vu_get_status(struct vu_session *session, struct vu_msg *msg);

/* vu_requests_ring.c */
int vu_set_vring_num(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_base(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_addr(struct vu_session *session, struct vu_msg *msg);
int vu_get_vring_base(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_enable(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_kick(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_call(struct vu_session *session, struct vu_msg *msg);
int vu_set_vring_err(struct vu_session *session, struct vu_msg *msg);

#endif
