/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests as Linux 6.12 fills them in, one function an opcode; submitted by slice.c.
 */
#ifndef BENCH_REQUESTS_H
#define BENCH_REQUESTS_H

#include "fuse_client.h"

void rq_getattr(struct fc_req *req, uint64_t nodeid);
void rq_chmod(struct fc_req *req, uint64_t nodeid, uint32_t mode);
void rq_utimes(struct fc_req *req, uint64_t nodeid);
void rq_lookup(struct fc_req *req, uint64_t dir, const char *name);
void rq_unlink(struct fc_req *req, uint64_t dir, const char *name);
void rq_mkdir(struct fc_req *req, uint64_t dir, const char *name);
void rq_rmdir(struct fc_req *req, uint64_t dir, const char *name);
/* Within a directory. */
void rq_rename(struct fc_req *req, uint64_t dir, const char *from, const char *to);
void rq_create(struct fc_req *req, uint64_t dir, const char *name);
void rq_open(struct fc_req *req, uint64_t nodeid, uint32_t flags);
void rq_opendir(struct fc_req *req, uint64_t nodeid);
void rq_flush(struct fc_req *req, uint64_t nodeid, uint64_t fh);
void rq_release(struct fc_req *req, uint64_t nodeid, uint64_t fh);
void rq_releasedir(struct fc_req *req, uint64_t nodeid, uint64_t fh);
void rq_read(struct fc_req *req, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size);
/* The data is what lies in req->data. */
void rq_write(struct fc_req *req, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size);
void rq_readdirplus(struct fc_req *req, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size);
/* size 0 asks for the length. */
void rq_getxattr(struct fc_req *req, uint64_t nodeid, const char *name, uint32_t size);
void rq_listxattr(struct fc_req *req, uint64_t nodeid, uint32_t size);
void rq_setxattr(struct fc_req *req, uint64_t nodeid, const char *name, const char *value);

struct rq_create_out {
    struct fuse_entry_out entry;
    struct fuse_open_out open;
};

#endif
