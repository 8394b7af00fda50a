/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The asynchronous core of the FUSE client: slots, descriptors, and the check of every reply.
 */
#include "fuse_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEGS    VQUEUE_INDIRECT_MAX
#define CRUMB       13
#define HEADER_SIZE sizeof(struct fuse_in_header)
#define OUT_HEADER  sizeof(struct fuse_out_header)
#define POISON      0xa5

static int init_queue(struct fc *fc, unsigned i)
{
    struct fc_queue *q = &fc->queues[i];
    struct guest_ram *ram = &fc->vmm->ram;

    *q = (struct fc_queue){.fc = fc,
                           .vq = &fc->vmm->queues[i],
                           .n_slots = fc->config.slots,
                           .layout = fc->config.layout,
                           .next_unique = ((uint64_t)(i + 1) << 48) + 2,
                           .pid = 1};
    q->slots = calloc(q->n_slots, sizeof(*q->slots));
    if (!q->slots) {
        return -ENOMEM;
    }
    for (unsigned s = 0; s < q->n_slots; s++) {
        struct fc_req *req = &q->slots[s];

        req->q = q;
        req->in = ram_alloc(ram, FC_ARGS_SIZE, 16);
        req->out = ram_alloc(ram, FC_OUT_SIZE, 16);
        /* FORGET needs no data, so neither does hiprio */
        req->data = i == 0 ? req->in : ram_alloc(ram, fc->config.data_size, 4096);
        if (!req->in || !req->out || !req->data) {
            return -ENOMEM;
        }
    }
    fc_queue_reset(q);
    return 0;
}

int fc_init_client(struct fc *fc, struct vmm *vmm, const struct fc_config *config)
{
    struct fc_config *c = &fc->config;

    memset(fc, 0, sizeof(*fc));
    fc->vmm = vmm;
    fc->timeout_ms = vmm->config.timeout_ms;
    fc->minor = FUSE_OUR_MINOR;
    if (config) {
        *c = *config;
    }
    c->slots = c->slots ? c->slots : 16;
    c->data_size = c->data_size ? c->data_size : (size_t)128 << 10;
    c->page_size = c->page_size ? c->page_size : 4096;
    for (unsigned i = 0; i < vmm->n_queues; i++) {
        int rc = init_queue(fc, i);

        fc->n_queues = i + 1;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void fc_done(struct fc *fc)
{
    for (unsigned i = 0; i < fc->n_queues; i++) {
        free(fc->queues[i].slots);
    }
    memset(fc, 0, sizeof(*fc));
}

void fc_queue_reset(struct fc_queue *q)
{
    q->free = NULL;
    for (unsigned s = q->n_slots; s-- > 0;) {
        q->slots[s].state = FC_FREE;
        q->slots[s].next = q->free;
        q->free = &q->slots[s];
    }
}

struct fc_req *fc_get(struct fc_queue *q)
{
    struct fc_req *req = q->free;

    if (req) {
        q->free = req->next;
        req->state = FC_PREPARED;
    }
    return req;
}

void fc_put(struct fc_req *req)
{
    if (req->state == FC_IN_FLIGHT) {
        return; /* timed out: the device may still write to it, so the slot is lost */
    }
    req->state = FC_FREE;
    req->next = req->q->free;
    req->q->free = req;
}

void fc_begin(struct fc_req *req, uint32_t opcode, uint64_t nodeid)
{
    struct fc_queue *q = req->q;

    req->in_used = HEADER_SIZE;
    req->n_args = 0;
    req->in_data = req->out_fixed = req->out_data = req->in_len = 0;
    req->out_var = req->no_reply = false;
    req->unique = q->next_unique;
    q->next_unique += 2; /* odd ones are interrupts */
    *fc_header(req) = (struct fuse_in_header){.opcode = opcode,
                                              .unique = req->unique,
                                              .nodeid = nodeid,
                                              .uid = q->uid,
                                              .gid = q->gid,
                                              .pid = q->pid};
}

void *fc_arg(struct fc_req *req, size_t size)
{
    uint8_t *at = req->in + req->in_used;

    if (size > FC_ARGS_SIZE - req->in_used) {
        return NULL;
    }
    memset(at, 0, size);
    req->in_used += (uint32_t)size;
    if (req->n_args < FC_MAX_ARGS) {
        req->n_args++;
    }
    req->arg_end[req->n_args - 1] = req->in_used;
    return at;
}

void fc_arg_bytes(struct fc_req *req, const void *bytes, size_t size)
{
    void *at = fc_arg(req, size);

    if (at && size) {
        memcpy(at, bytes, size);
    }
}

void fc_arg_name(struct fc_req *req, const char *name)
{
    fc_arg_bytes(req, name, strlen(name) + 1);
}

void fc_expect(struct fc_req *req, size_t fixed, size_t data, bool var)
{
    req->out_fixed = (uint32_t)fixed;
    req->out_data = (uint32_t)data;
    req->out_var = var;
}

struct seg_list {
    const struct guest_ram *ram;
    struct vq_seg segs[MAX_SEGS];
    unsigned n;
    bool overflow;
};

/* Adds [at, at+len) in pieces of at most `piece` bytes, cut at multiples of it for pages. */
static void push(struct seg_list *list, const uint8_t *at, size_t len, size_t piece)
{
    while (len > 0) {
        size_t n = len < piece ? len : piece;

        if (list->n == MAX_SEGS) {
            list->overflow = true;
            return;
        }
        list->segs[list->n++] = (struct vq_seg){ram_gpa(list->ram, at), (uint32_t)n};
        at += n;
        len -= n;
    }
}

static void push_args(struct seg_list *list, const struct fc_req *req)
{
    size_t piece = req->q->layout == FC_CRUMBS ? CRUMB : FC_ARGS_SIZE;
    uint32_t from = HEADER_SIZE;

    if (req->q->layout == FC_JOINED) {
        push(list, req->in, req->in_used, FC_ARGS_SIZE);
        return;
    }
    push(list, req->in, HEADER_SIZE, piece);
    if (req->q->layout == FC_SPLIT) {
        for (unsigned i = 0; i < req->n_args; i++) {
            push(list, req->in + from, req->arg_end[i] - from, piece);
            from = req->arg_end[i];
        }
    }
    push(list, req->in + from, req->in_used - from, piece);
}

static void push_results(struct seg_list *list, const struct fc_req *req)
{
    size_t piece = req->q->layout == FC_CRUMBS ? CRUMB : FC_OUT_SIZE;

    if (req->no_reply) {
        return;
    }
    if (req->q->layout == FC_JOINED) {
        push(list, req->out, OUT_HEADER + req->out_fixed, FC_OUT_SIZE);
        return;
    }
    push(list, req->out, OUT_HEADER, piece);
    push(list, req->out + OUT_HEADER, req->out_fixed, piece);
}

/* The page size that lets the chain fit in a table or the ring. */
static size_t page_size(const struct fc_req *req)
{
    const struct vqueue *vq = req->q->vq;
    size_t room = (vq->indirect ? vq->indirect_max : vq->size) - 4;
    size_t page = req->q->fc->config.page_size;

    while ((req->in_data + req->out_data) / page + 2 > room) {
        page *= 2;
    }
    return page;
}

int fc_submit(struct fc_req *req)
{
    struct seg_list list;
    struct fuse_in_header *h = fc_header(req);
    size_t page = page_size(req);
    unsigned n_out;
    int rc;

    list.ram = req->q->vq->ram;
    list.n = 0;
    list.overflow = false;
    h->len = req->in_len ? req->in_len : req->in_used + req->in_data;
    memset(req->out, POISON, OUT_HEADER + req->out_fixed);
    push_args(&list, req);
    push(&list, req->data, req->in_data, page);
    n_out = list.n;
    push_results(&list, req);
    push(&list, req->data, req->out_data, page);
    if (list.overflow) {
        return -E2BIG;
    }
    rc = vqueue_add(req->q->vq, list.segs, n_out, list.n - n_out, req);
    if (rc == 0) {
        req->state = FC_IN_FLIGHT;
    }
    return rc;
}

void fc_kick(struct fc_queue *q)
{
    vqueue_kick(q->vq);
}

#define BROKEN(req, ...) (snprintf((req)->q->fc->error, 256, __VA_ARGS__), FC_BROKEN)

/* The rules a guest checks, or should (fs/fuse/virtio_fs.c and dev.c). */
static int check_reply(struct fc_req *req)
{
    const struct fuse_out_header *out = (const struct fuse_out_header *)req->out;
    uint32_t op = fc_header(req)->opcode;
    uint32_t room = req->out_fixed + req->out_data;

    req->got = 0;
    if (req->no_reply) {
        return req->used_len ? BROKEN(req, "opcode %u: a reply of %u bytes", op, req->used_len) : 0;
    }
    if (req->used_len < OUT_HEADER) {
        return BROKEN(req, "opcode %u: used length %u, no header", op, req->used_len);
    }
    if (out->len != req->used_len) {
        return BROKEN(req, "opcode %u: header says %u, used %u", op, out->len, req->used_len);
    }
    if (out->unique != req->unique) {
        return BROKEN(req, "opcode %u: wrong unique", op);
    }
    if (out->error > 0 || out->error <= -512) {
        return BROKEN(req, "opcode %u: error %d is out of range", op, out->error);
    }
    req->got = out->len - (uint32_t)OUT_HEADER;
    if (out->error) {
        return req->got ? BROKEN(req, "opcode %u: %u bytes with an error", op, req->got)
                        : out->error;
    }
    if (req->got > room || (!req->out_var && req->got != room)) {
        return BROKEN(req, "opcode %u: %u bytes of result for %u", op, req->got, room);
    }
    return 0;
}

struct fc_req *fc_reap(struct fc_queue *q, int timeout_ms)
{
    void *token;
    uint32_t len;
    struct fc_req *req;
    int rc = vqueue_reap(q->vq, &token, &len);

    if (rc == 0 && timeout_ms > 0 && vqueue_wait(q->vq, timeout_ms) == 0) {
        rc = vqueue_reap(q->vq, &token, &len);
    }
    if (rc < 0) {
        snprintf(q->fc->error, sizeof(q->fc->error), "queue %u: used ring lies", q->vq->index);
    }
    if (rc <= 0) {
        return NULL;
    }
    req = token;
    req->used_len = len;
    req->state = FC_DONE;
    req->error = check_reply(req);
    return req;
}

int fc_call(struct fc_req *req)
{
    struct fc_queue *q = req->q;
    int64_t deadline = frontend_now_ms() + q->fc->timeout_ms;
    int rc = fc_submit(req);

    if (rc < 0) {
        return rc;
    }
    fc_kick(q);
    while (req->state != FC_DONE) {
        int64_t left = deadline - frontend_now_ms();
        /* another request that finishes meanwhile keeps its result in its slot */
        const struct fc_req *any = fc_reap(q, left > 0 ? (int)left : 0);

        if (!any && left <= 0) {
            return -ETIMEDOUT;
        }
    }
    return req->error;
}

int fc_raw(struct fc_queue *q, const struct fc_raw *raw, uint32_t *ret_got)
{
    struct fc_req *req = fc_get(q);
    size_t room = raw->room ? raw->room : FC_OUT_SIZE - OUT_HEADER;
    size_t fixed = room < FC_OUT_SIZE - OUT_HEADER ? room : FC_OUT_SIZE - OUT_HEADER;
    int rc;

    if (!req) {
        return -EBUSY;
    }
    fc_begin(req, raw->opcode, raw->nodeid);
    req->in_len = raw->header_len;
    if (raw->body_len <= FC_ARGS_SIZE - HEADER_SIZE) {
        fc_arg_bytes(req, raw->body, raw->body_len);
    } else {
        req->in_data = (uint32_t)raw->body_len;
        memcpy(req->data, raw->body, raw->body_len);
    }
    fc_expect(req, fixed, room - fixed, true);
    rc = fc_call(req);
    if (rc == 0 && raw->ret_result) {
        size_t n = req->got < fixed ? req->got : fixed;

        memcpy(raw->ret_result, fc_result(req), n);
        memcpy((uint8_t *)raw->ret_result + n, req->data, req->got - n);
    }
    if (ret_got) {
        *ret_got = req->got;
    }
    fc_put(req);
    return rc;
}
