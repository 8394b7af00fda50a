/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each direction is an array of ranges, sorted by their first id and checked not to overlap when
 * it is built; afterwards it is only read.
 */
#include "host/idmap.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>

enum span_kind { SPAN_SHIFT, SPAN_SQUASH, SPAN_FORBID };

struct span {
    uint32_t first;
    uint32_t last; /* inclusive, so that the whole 32-bit space has an end */
    enum span_kind kind;
    uint32_t to;
    unsigned rule; /* which rule it came from, for messages */
};

struct idmap {
    GArray *to_host;  /* struct span */
    GArray *to_guest; /* struct span */
};

static const char *const type_names[] = {
    [IDMAP_GUEST] = "guest",
    [IDMAP_HOST] = "host",
    [IDMAP_SQUASH_GUEST] = "squash-guest",
    [IDMAP_SQUASH_HOST] = "squash-host",
    [IDMAP_FORBID_GUEST] = "forbid-guest",
    [IDMAP_MAP] = "map",
};

static char *rule_text(const struct idmap_rule *rule)
{
    if (rule->type == IDMAP_FORBID_GUEST) {
        return g_strdup_printf("forbid-guest:%u:%u", rule->from, rule->count);
    }
    return g_strdup_printf("%s:%u:%u:%u", type_names[rule->type], rule->from, rule->to,
                           rule->count);
}

/* Squashed and forbidden ranges may say "all the rest" with too large a count; they are cut. */
static struct span span_make(const struct idmap_rule *rules, unsigned index, enum span_kind kind,
                             uint32_t from, uint32_t to)
{
    uint64_t last = (uint64_t)from + rules[index].count - 1;

    return (struct span){
        .first = from,
        .last = (uint32_t)MIN(last, UINT32_MAX),
        .kind = kind,
        .to = to,
        .rule = index,
    };
}

static int check_rule(const struct idmap_rule *rule, char **ret_error)
{
    bool is_shift =
        rule->type == IDMAP_GUEST || rule->type == IDMAP_HOST || rule->type == IDMAP_MAP;
    bool is_squash = rule->type == IDMAP_SQUASH_GUEST || rule->type == IDMAP_SQUASH_HOST;
    bool is_too_long = is_shift && ((uint64_t)rule->from + rule->count > IDMAP_INVALID ||
                                    (uint64_t)rule->to + rule->count > IDMAP_INVALID);

    if (is_too_long || (is_squash && rule->to == IDMAP_INVALID)) {
        g_autofree char *text = rule_text(rule);

        *ret_error = g_strdup_printf("id translation %s goes beyond the last id, 4294967294", text);
        return -EINVAL;
    }
    return 0;
}

static void add_rule(struct idmap *map, const struct idmap_rule *rules, unsigned index)
{
    const struct idmap_rule *rule = &rules[index];
    enum span_kind kind = SPAN_SHIFT;
    struct span span;

    if (rule->type == IDMAP_FORBID_GUEST) {
        kind = SPAN_FORBID;
    } else if (rule->type == IDMAP_SQUASH_GUEST || rule->type == IDMAP_SQUASH_HOST) {
        kind = SPAN_SQUASH;
    }
    span = span_make(rules, index, kind, rule->from, rule->to);
    if (rule->type == IDMAP_HOST || rule->type == IDMAP_SQUASH_HOST) {
        g_array_append_val(map->to_guest, span);
    } else {
        g_array_append_val(map->to_host, span);
    }
    if (rule->type == IDMAP_MAP) {
        span = span_make(rules, index, kind, rule->to, rule->from);
        g_array_append_val(map->to_guest, span);
    }
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a;
    const struct span *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

static int sort_and_check(GArray *spans, const char *direction, const struct idmap_rule *rules,
                          char **ret_error)
{
    g_array_sort(spans, compare_spans);
    for (unsigned i = 1; i < spans->len; i++) {
        const struct span *prev = &g_array_index(spans, struct span, i - 1);
        const struct span *span = &g_array_index(spans, struct span, i);

        if (span->first <= prev->last) {
            g_autofree char *one = rule_text(&rules[prev->rule]);
            g_autofree char *other = rule_text(&rules[span->rule]);

            *ret_error = g_strdup_printf("id translations %s and %s both say what %s id %u is", one,
                                         other, direction, span->first);
            return -EINVAL;
        }
    }
    return 0;
}

void idmap_free(struct idmap *map)
{
    if (!map) {
        return;
    }
    g_array_unref(map->to_host);
    g_array_unref(map->to_guest);
    g_free(map);
}

int idmap_new(const struct idmap_rule *rules, size_t n, struct idmap **ret, char **ret_error)
{
    struct idmap *map = NULL;
    int res = 0;

    if (n == 0) {
        *ret = NULL;
        return 0;
    }
    map = g_new0(struct idmap, 1);
    map->to_host = g_array_new(FALSE, FALSE, sizeof(struct span));
    map->to_guest = g_array_new(FALSE, FALSE, sizeof(struct span));
    for (unsigned i = 0; i < n && res == 0; i++) {
        if (rules[i].count > 0) {
            res = check_rule(&rules[i], ret_error);
            if (res == 0) {
                add_rule(map, rules, i);
            }
        }
    }
    if (res == 0) {
        res = sort_and_check(map->to_host, "guest", rules, ret_error);
    }
    if (res == 0) {
        res = sort_and_check(map->to_guest, "host", rules, ret_error);
    }
    if (res < 0) {
        idmap_free(map);
        return res;
    }
    *ret = map;
    return 0;
}

static const struct span *find_span(const GArray *spans, uint32_t id)
{
    unsigned low = 0;
    unsigned high = spans->len;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        const struct span *span = &g_array_index(spans, struct span, mid);

        if (id < span->first) {
            high = mid;
        } else if (id > span->last) {
            low = mid + 1;
        } else {
            return span;
        }
    }
    return NULL;
}

static uint32_t span_apply(const struct span *span, uint32_t id)
{
    return span->kind == SPAN_SQUASH ? span->to : span->to + (id - span->first);
}

int idmap_to_host(const struct idmap *map, uint32_t guest_id, uint32_t *ret_host_id)
{
    const struct span *span = NULL;

    if (map && guest_id != IDMAP_INVALID) {
        span = find_span(map->to_host, guest_id);
    }
    if (!span) {
        *ret_host_id = guest_id;
        return 0;
    }
    if (span->kind == SPAN_FORBID) {
        return -EPERM;
    }
    *ret_host_id = span_apply(span, guest_id);
    return 0;
}

uint32_t idmap_to_guest(const struct idmap *map, uint32_t host_id)
{
    const struct span *span = NULL;

    if (map && host_id != IDMAP_INVALID) {
        span = find_span(map->to_guest, host_id);
    }
    return span ? span_apply(span, host_id) : host_id;
}
