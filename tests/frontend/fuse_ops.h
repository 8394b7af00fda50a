/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the front end only: what the files with one function per opcode share.
 */
#ifndef FRONTEND_FUSE_OPS_H
#define FRONTEND_FUSE_OPS_H

#include "fuse_client.h"

/* A slot with its header written, or NULL when all are taken. */
struct fc_req *fc_op_begin(struct fc_queue *q, uint32_t opcode, uint64_t nodeid);
/* Waits; copies size bytes of fixed result; gives the slot back. */
int fc_op_finish(struct fc_req *req, void *ret, size_t size);
/* The same for data: returns how many bytes came, copies at most size. */
int fc_op_data(struct fc_req *req, void *buf, size_t size);
void fc_op_ext(struct fc_req *req);

#endif
