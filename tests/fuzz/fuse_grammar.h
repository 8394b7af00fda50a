/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of fuzz_fuse: from bytes of the input to the body of a request. Mostly well formed
 * and mostly small, so that sequences of requests get somewhere; any value can come, though.
 */
#ifndef FUZZ_FUSE_GRAMMAR_H
#define FUZZ_FUSE_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse/session.h"

#define BODY_MAX  (80 * 1024)
#define KNOWN_MAX 16

struct input {
    const uint8_t *data;
    size_t left;
};

/* The next bytes, or zeroes when there are none left. */
uint64_t take(struct input *in, size_t bytes);
/* Small most of the time, now and then at an edge or anything. */
uint64_t take_number(struct input *in);

/* One life of a guest: what it was told, and the request it is writing. */
struct guest {
    struct fuse_session session;
    struct input in;
    uint64_t nodeids[KNOWN_MAX], fhs[KNOWN_MAX];
    unsigned n_nodeids, n_fhs;

    uint8_t body[BODY_MAX];
    size_t len;
    int done; /* atomic: a lock may be waited for on another thread */
    size_t written;
};

/* One that was handed out, the root, or anything. */
uint64_t take_nodeid(struct guest *g);
void remember(uint64_t *list, unsigned *n, uint64_t value);
void put(struct guest *g, const void *bytes, size_t size);
void put_fill(struct guest *g, size_t size);

/* What a reply holds. READ, READDIR and friends fill data, in which any byte may be. */
enum { DATA = 1, ENTRY = 2, HANDLE = 4, DIRENTS = 8 };

struct shape {
    uint32_t opcode; /* 0: the input says */
    void (*body)(struct guest *g);
    unsigned reply;
};

const struct shape *choose_shape(struct input *in);
const struct shape *find_shape(uint32_t opcode);

#endif
