/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Id maps from arbitrary rules, compared with the slow and obvious reading of the same rules.
 */
#include "host/idmap.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RULES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool covers(uint32_t from, const struct idmap_rule *rule, uint32_t id)
{
    return id >= from && (uint64_t)id < (uint64_t)from + rule->count;
}

static int slow_to_host(const struct idmap_rule *rules, size_t n, uint32_t id, uint32_t *ret)
{
    *ret = id;
    for (size_t i = 0; i < n && id != IDMAP_INVALID; i++) {
        const struct idmap_rule *rule = &rules[i];

        if (rule->type == IDMAP_HOST || rule->type == IDMAP_SQUASH_HOST ||
            !covers(rule->from, rule, id)) {
            continue;
        }
        if (rule->type == IDMAP_FORBID_GUEST) {
            return -EPERM;
        }
        *ret = rule->type == IDMAP_SQUASH_GUEST ? rule->to : rule->to + (id - rule->from);
    }
    return 0;
}

static uint32_t slow_to_guest(const struct idmap_rule *rules, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n && id != IDMAP_INVALID; i++) {
        const struct idmap_rule *rule = &rules[i];

        if (rule->type == IDMAP_MAP && covers(rule->to, rule, id)) {
            return rule->from + (id - rule->to);
        }
        if (rule->type == IDMAP_HOST && covers(rule->from, rule, id)) {
            return rule->to + (id - rule->from);
        }
        if (rule->type == IDMAP_SQUASH_HOST && covers(rule->from, rule, id)) {
            return rule->to;
        }
    }
    return id;
}

static void compare(const struct idmap *map, const struct idmap_rule *rules, size_t n, uint32_t id)
{
    uint32_t fast = 0;
    uint32_t slow = 0;
    int fast_res = idmap_to_host(map, id, &fast);
    int slow_res = slow_to_host(rules, n, id, &slow);

    if (fast_res != slow_res || (fast_res == 0 && fast != slow) ||
        idmap_to_guest(map, id) != slow_to_guest(rules, n, id)) {
        abort();
    }
    if (fast_res == 0 && fast == IDMAP_INVALID && id != IDMAP_INVALID) {
        abort(); /* "nobody" must never come out */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct idmap_rule rules[MAX_RULES] = {0};
    struct idmap *map = NULL;
    g_autofree char *error = NULL;
    size_t n = 0;

    for (; n < MAX_RULES && size >= 13; n++, data += 13, size -= 13) {
        rules[n].type = data[0] % (IDMAP_MAP + 1);
        memcpy(&rules[n].from, data + 1, 4);
        memcpy(&rules[n].to, data + 5, 4);
        memcpy(&rules[n].count, data + 9, 4);
    }
    if (idmap_new(rules, n, &map, &error) < 0) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        for (uint32_t near = 0; near < 3; near++) {
            compare(map, rules, n, rules[i].from + near - 1);
            compare(map, rules, n, rules[i].to + near - 1);
            compare(map, rules, n, rules[i].from + rules[i].count + near - 1);
            compare(map, rules, n, rules[i].to + rules[i].count + near - 1);
        }
    }
    compare(map, rules, n, 0);
    compare(map, rules, n, IDMAP_INVALID);
    idmap_free(map);
    return 0;
}
