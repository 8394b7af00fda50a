/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Id translation (--translate-uid, --translate-gid): which host id a guest's id stands for, and
 * the other way round. Two pure tables, one a direction; an id that no rule names stays what it is.
 *
 * Lookups are a binary search without locks or allocation. A NULL table is the identity.
 */
#ifndef HOST_IDMAP_H
#define HOST_IDMAP_H

#include <stddef.h>
#include <stdint.h>

enum idmap_type {
    IDMAP_GUEST,        /* guest `from`.. becomes host `to`..          one way */
    IDMAP_HOST,         /* host `from`.. becomes guest `to`..          one way */
    IDMAP_SQUASH_GUEST, /* guest `from`.. all become host `to`         one way */
    IDMAP_SQUASH_HOST,  /* host `from`.. all become guest `to`         one way */
    IDMAP_FORBID_GUEST, /* guest `from`.. may not be used at all */
    IDMAP_MAP,          /* guest `from`.. is host `to`..               both ways */
};

struct idmap_rule {
    enum idmap_type type;
    uint32_t from;
    uint32_t to;    /* unused by IDMAP_FORBID_GUEST */
    uint32_t count; /* 0: the rule says nothing */
};

/* "Nobody": what chown() takes as "leave alone". Never translated, never a result. */
#define IDMAP_INVALID UINT32_MAX

struct idmap;

/*
 * Builds the tables. Rules of one direction must not overlap, and a 1:1 range must fit into the 32
 * bits; squashed and forbidden ranges are cut at the end. -EINVAL names the rules at fault in
 * *ret_error (g_free() it). No rule at all gives a NULL table.
 */
int idmap_new(const struct idmap_rule *rules, size_t n, struct idmap **ret, char **ret_error);
void idmap_free(struct idmap *map);

/*
 * What the guest sends, as a host id: 0, or -EPERM for a forbidden one. IDMAP_INVALID passes
 * unchanged: whoever gives it a meaning checks it.
 */
int idmap_to_host(const struct idmap *map, uint32_t guest_id, uint32_t *ret_host_id);

/* What the guest gets to see. */
uint32_t idmap_to_guest(const struct idmap *map, uint32_t host_id);

#endif
