/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE requests as a virtio-fs guest sends them, and the rules its replies must keep.
 *
 * The asynchronous core (fc_get, fc_begin, fc_arg…, fc_submit, fc_kick, fc_reap, fc_put) works in
 * slots of guest memory laid out once: no allocation per request. The functions after it do one
 * opcode each and wait for it. All return 0 or the server's -errno; a reply that breaks a rule of
 * the guest (length, unique, error range, size for the opcode) is FC_BROKEN with a sentence in
 * fc->error, no reply in time is -ETIMEDOUT.
 *
 * A queue belongs to one thread at a time; different queues may be used in parallel.
 */
#ifndef FRONTEND_FUSE_CLIENT_H
#define FRONTEND_FUSE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "vmm.h"

#define FC_BROKEN    (-10000) /* outside of the errno range on purpose */
#define FC_ARGS_SIZE 8192     /* header and small arguments of a request */
#define FC_OUT_SIZE  512      /* out header and fixed results */
#define FC_MAX_ARGS  8

/* How a request is cut into descriptors; a device must not care (virtio 1.2, 2.7.4). */
enum fc_layout {
    FC_LINUX,  /* header | arguments | pages ; header | results | pages */
    FC_SPLIT,  /* every argument a descriptor */
    FC_JOINED, /* one readable, one writable descriptor where memory allows */
    FC_CRUMBS, /* 13-byte pieces of everything small */
};

struct fc_config {
    unsigned slots;   /* requests in flight per queue; 0: 16 */
    size_t data_size; /* page data per slot; 0: 128 KiB */
    size_t page_size; /* data descriptors; 0: 4096 */
    enum fc_layout layout;
};

struct fc_queue;

enum fc_state { FC_FREE, FC_PREPARED, FC_IN_FLIGHT, FC_DONE };

struct fc_req {
    struct fc_queue *q;
    uint8_t *in;   /* guest memory: header, arguments */
    uint8_t *out;  /* guest memory: out header, fixed results */
    uint8_t *data; /* guest memory: page data, either direction */
    uint32_t in_used;
    uint32_t arg_end[FC_MAX_ARGS];
    unsigned n_args;
    uint32_t in_data;   /* bytes of data that go along as the last argument */
    uint32_t out_fixed; /* bytes of result after the out header */
    uint32_t out_data;  /* room for data after that */
    uint32_t in_len;    /* what header.len says; 0: the true length */
    bool out_var;       /* shorter results are right */
    bool no_reply;
    enum fc_state state;
    uint64_t unique;
    int error; /* 0, -errno or FC_BROKEN once done */
    uint32_t used_len;
    uint32_t got; /* bytes after the out header */
    void *user;   /* the caller's own */
    uint64_t user_time;
    struct fc_req *next; /* free list */
};

struct fc_queue {
    struct fc *fc;
    struct vqueue *vq;
    struct fc_req *slots;
    struct fc_req *free;
    unsigned n_slots;
    uint64_t next_unique;
    enum fc_layout layout;
    /* what the header of the next requests says */
    uint32_t uid;
    uint32_t gid;
    uint32_t pid;
    /* extension appended to requests made by fc_create/mknod/mkdir/symlink; multiple of 8 */
    uint8_t ext[64];
    unsigned ext_len;
};

struct fc {
    struct vmm *vmm;
    struct fc_config config;
    struct fc_queue queues[VMM_MAX_QUEUES];
    unsigned n_queues;
    struct fuse_init_out init; /* of the last fc_init() */
    uint64_t flags;            /* negotiated, 64 bits */
    uint32_t minor;
    int timeout_ms;
    char error[256]; /* which rule was broken; the last one */
};

int fc_init_client(struct fc *fc, struct vmm *vmm, const struct fc_config *config);
void fc_done(struct fc *fc);
/* After a queue was stopped and restarted: all slots are free again. */
void fc_queue_reset(struct fc_queue *q);

static inline struct fc_queue *fc_rq(struct fc *fc, unsigned i)
{
    return &fc->queues[1 + i];
}

static inline struct fc_queue *fc_hiprio(struct fc *fc)
{
    return &fc->queues[0];
}

/* The asynchronous core. fc_get: NULL when all slots are taken. */
struct fc_req *fc_get(struct fc_queue *q);
void fc_begin(struct fc_req *req, uint32_t opcode, uint64_t nodeid);
/* Appends a zeroed argument; the pointer is guest memory. NULL when it does not fit. */
void *fc_arg(struct fc_req *req, size_t size);
void fc_arg_bytes(struct fc_req *req, const void *bytes, size_t size);
void fc_arg_name(struct fc_req *req, const char *name);
/* What may come back: fixed bytes, then room for data; var: less is fine too. */
void fc_expect(struct fc_req *req, size_t fixed, size_t data, bool var);
/* Queues the request without a kick. 0, -ENOSPC when the ring is full. */
int fc_submit(struct fc_req *req);
void fc_kick(struct fc_queue *q);
/* The next finished request, checked; NULL when none came in time (0: does not wait). */
struct fc_req *fc_reap(struct fc_queue *q, int timeout_ms);
void fc_put(struct fc_req *req);
/* Submit, kick, wait for this very request; its slot stays taken. */
int fc_call(struct fc_req *req);

static inline void *fc_result(struct fc_req *req)
{
    return req->out + sizeof(struct fuse_out_header);
}

static inline struct fuse_in_header *fc_header(struct fc_req *req)
{
    return (struct fuse_in_header *)req->in;
}

/* One request with any body, for opcodes and sizes no driver would send. */
struct fc_raw {
    uint32_t opcode;
    uint64_t nodeid;
    const void *body;
    size_t body_len;
    uint32_t header_len; /* 0: right */
    size_t room;         /* for the result; 0: FC_OUT_SIZE - 16, counted as variable */
    void *ret_result;    /* room bytes or NULL */
};
int fc_raw(struct fc_queue *q, const struct fc_raw *raw, uint32_t *ret_got);

/* Session. */
struct fc_init_params {
    uint32_t minor;         /* 0: 45 */
    uint32_t max_readahead; /* 0: 128 KiB */
    uint64_t flags;         /* offered; bits above 31 need FUSE_INIT_EXT among them */
    bool no_flags;          /* offer nothing rather than fc_default_flags() */
};
uint64_t fc_default_flags(uint32_t minor);
int fc_init(struct fc_queue *q, const struct fc_init_params *params, uint32_t *ret_size);
int fc_destroy(struct fc_queue *q);

/* Names and inodes (fuse_ops.c). ret_* may be NULL. */
int fc_lookup(struct fc_queue *q, uint64_t dir, const char *name, struct fuse_entry_out *ret);
int fc_forget(struct fc_queue *hiprio, uint64_t nodeid, uint64_t n);
int fc_batch_forget(struct fc_queue *q, const struct fuse_forget_one *list, uint32_t n);
int fc_getattr(struct fc_queue *q, uint64_t nodeid, const uint64_t *fh, struct fuse_attr *ret);
int fc_setattr(struct fc_queue *q, uint64_t nodeid, const struct fuse_setattr_in *in,
               struct fuse_attr *ret);
int fc_readlink(struct fc_queue *q, uint64_t nodeid, char *buf, size_t size);
int fc_symlink(struct fc_queue *q, uint64_t dir, const char *name, const char *target,
               struct fuse_entry_out *ret);
int fc_mknod(struct fc_queue *q, uint64_t dir, const char *name, uint32_t mode, uint32_t rdev,
             struct fuse_entry_out *ret);
int fc_mkdir(struct fc_queue *q, uint64_t dir, const char *name, uint32_t mode,
             struct fuse_entry_out *ret);
int fc_unlink(struct fc_queue *q, uint64_t dir, const char *name);
int fc_rmdir(struct fc_queue *q, uint64_t dir, const char *name);
int fc_rename(struct fc_queue *q, uint64_t dir, const char *name, uint64_t newdir,
              const char *newname);
int fc_rename2(struct fc_queue *q, uint64_t dir, const char *name, uint64_t newdir,
               const char *newname, uint32_t flags);
int fc_link(struct fc_queue *q, uint64_t nodeid, uint64_t newdir, const char *newname,
            struct fuse_entry_out *ret);
int fc_statx(struct fc_queue *q, uint64_t nodeid, const uint64_t *fh, uint32_t mask,
             struct fuse_statx *ret);
int fc_statfs(struct fc_queue *q, uint64_t nodeid, struct fuse_kstatfs *ret);
int fc_access(struct fc_queue *q, uint64_t nodeid, uint32_t mask);
int fc_setxattr(struct fc_queue *q, uint64_t nodeid, const char *name, const void *value,
                size_t size, uint32_t flags);
/* size 0 asks for the length. Returns the length or an error. */
int fc_getxattr(struct fc_queue *q, uint64_t nodeid, const char *name, void *buf, size_t size);
int fc_listxattr(struct fc_queue *q, uint64_t nodeid, char *buf, size_t size);
int fc_removexattr(struct fc_queue *q, uint64_t nodeid, const char *name);

/* Open files and directories (fuse_ops_io.c). */
int fc_open(struct fc_queue *q, uint64_t nodeid, uint32_t flags, uint64_t *ret_fh);
int fc_opendir(struct fc_queue *q, uint64_t nodeid, uint64_t *ret_fh);
int fc_create(struct fc_queue *q, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
              struct fuse_entry_out *ret, uint64_t *ret_fh);
int fc_tmpfile(struct fc_queue *q, uint64_t dir, uint32_t flags, uint32_t mode,
               struct fuse_entry_out *ret, uint64_t *ret_fh);
int fc_release(struct fc_queue *q, uint64_t nodeid, uint64_t fh);
int fc_releasedir(struct fc_queue *q, uint64_t nodeid, uint64_t fh);
/* Bytes read or written, or an error; at most data_size. */
int fc_read(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, void *buf, size_t size);
int fc_write(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, const void *buf,
             size_t size, uint32_t write_flags);
int fc_flush(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t owner);
int fc_fsync(struct fc_queue *q, uint64_t nodeid, uint64_t fh, bool datasync);
int fc_fsyncdir(struct fc_queue *q, uint64_t nodeid, uint64_t fh, bool datasync);
int fc_readdir(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, void *buf,
               size_t size, bool plus);
int fc_fallocate(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, uint64_t len,
                 uint32_t mode);
int fc_lseek(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t whence,
             uint64_t *ret_off);
int fc_copy_file_range(struct fc_queue *q, uint64_t nodeid_in, uint64_t fh_in, uint64_t off_in,
                       uint64_t nodeid_out, uint64_t fh_out, uint64_t off_out, uint64_t len,
                       bool wide, uint64_t *ret_copied);
int fc_syncfs(struct fc_queue *q, uint64_t nodeid);
int fc_ioctl(struct fc_queue *q, uint64_t nodeid, uint64_t fh, uint32_t cmd, size_t out_size);
int fc_lk(struct fc_queue *q, uint32_t opcode, uint64_t nodeid, uint64_t fh, uint64_t owner,
          const struct fuse_file_lock *lk, uint32_t flags, struct fuse_file_lock *ret);

/* A walk over what READDIR(PLUS) returned: 1 entry, 0 end, FC_BROKEN for a malformed one. */
struct fc_dirent {
    struct fuse_entry_out entry; /* READDIRPLUS only */
    uint64_t ino;
    uint64_t off;
    uint32_t type;
    char name[256];
};
int fc_next_dirent(const void *buf, size_t len, size_t *pos, bool plus, struct fc_dirent *ret);

#endif
