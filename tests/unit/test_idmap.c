/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Id translation: each rule type in both directions, and what is refused. */
#include "host/idmap.h"

#include <errno.h>
#include <glib.h>

#define FORBIDDEN UINT32_MAX - 1 /* stands for -EPERM in the tables below */

static struct idmap *make(const struct idmap_rule *rules, size_t n)
{
    struct idmap *map = NULL;
    char *error = NULL;
    int res = idmap_new(rules, n, &map, &error);

    g_assert_cmpstr(error, ==, NULL);
    g_assert_cmpint(res, ==, 0);
    return map;
}

static void check_host(const struct idmap *map, uint32_t guest, uint32_t wanted)
{
    uint32_t host = 12345;
    int res = idmap_to_host(map, guest, &host);

    if (wanted == FORBIDDEN) {
        g_assert_cmpint(res, ==, -EPERM);
        g_assert_cmpuint(host, ==, 12345);
        return;
    }
    g_assert_cmpint(res, ==, 0);
    g_assert_cmpuint(host, ==, wanted);
}

static void refuse(const struct idmap_rule *rules, size_t n, const char *word)
{
    struct idmap *map = NULL;
    g_autofree char *error = NULL;

    g_assert_cmpint(idmap_new(rules, n, &map, &error), ==, -EINVAL);
    g_assert_null(map);
    g_assert_nonnull(strstr(error, word));
}

static void test_no_rule_is_the_identity(void)
{
    struct idmap *map = make(NULL, 0);

    g_assert_null(map);
    check_host(map, 0, 0);
    check_host(map, 4294967295U, 4294967295U);
    g_assert_cmpuint(idmap_to_guest(map, 1000), ==, 1000);
    idmap_free(map);
}

static void test_guest_and_host_are_one_way(void)
{
    const struct idmap_rule rules[] = {
        {IDMAP_GUEST, 1000, 5000, 10},
        {IDMAP_HOST, 7000, 2000, 3},
    };
    struct idmap *map = make(rules, G_N_ELEMENTS(rules));

    check_host(map, 999, 999);
    check_host(map, 1000, 5000);
    check_host(map, 1009, 5009);
    check_host(map, 1010, 1010);
    check_host(map, 2000, 2000);
    g_assert_cmpuint(idmap_to_guest(map, 5000), ==, 5000);
    g_assert_cmpuint(idmap_to_guest(map, 6999), ==, 6999);
    g_assert_cmpuint(idmap_to_guest(map, 7002), ==, 2002);
    g_assert_cmpuint(idmap_to_guest(map, 7003), ==, 7003);
    idmap_free(map);
}

static void test_map_works_both_ways(void)
{
    const struct idmap_rule rules[] = {{IDMAP_MAP, 0, 100000, 65536}};
    struct idmap *map = make(rules, G_N_ELEMENTS(rules));

    check_host(map, 0, 100000);
    check_host(map, 65535, 165535);
    check_host(map, 65536, 65536);
    g_assert_cmpuint(idmap_to_guest(map, 100000), ==, 0);
    g_assert_cmpuint(idmap_to_guest(map, 165535), ==, 65535);
    g_assert_cmpuint(idmap_to_guest(map, 99999), ==, 99999);
    idmap_free(map);
}

static void test_squash_maps_many_to_one(void)
{
    const struct idmap_rule rules[] = {
        {IDMAP_SQUASH_GUEST, 0, 501, 4294967295U},
        {IDMAP_SQUASH_HOST, 1, 65534, 4294967295U},
    };
    struct idmap *map = make(rules, G_N_ELEMENTS(rules));

    check_host(map, 0, 501);
    check_host(map, 4294967294U, 501);
    g_assert_cmpuint(idmap_to_guest(map, 0), ==, 0);
    g_assert_cmpuint(idmap_to_guest(map, 1), ==, 65534);
    g_assert_cmpuint(idmap_to_guest(map, 4294967294U), ==, 65534);
    idmap_free(map);
}

static void test_nobody_is_never_translated(void)
{
    const struct idmap_rule rules[] = {
        {IDMAP_SQUASH_GUEST, 10, 501, 4294967295U},
        {IDMAP_FORBID_GUEST, 0, 0, 5},
        {IDMAP_SQUASH_HOST, 10, 501, 4294967295U},
    };
    struct idmap *map = make(rules, G_N_ELEMENTS(rules));

    check_host(map, IDMAP_INVALID, IDMAP_INVALID);
    g_assert_cmpuint(idmap_to_guest(map, IDMAP_INVALID), ==, IDMAP_INVALID);
    idmap_free(map);
}

/* The lists of one caller, with counts of zero and of everything. */
static void test_incus_lists_are_understood(void)
{
    const struct idmap_rule rules[] = {
        {IDMAP_FORBID_GUEST, 0, 0, 1000},   {IDMAP_MAP, 1000, 1000, 1},
        {IDMAP_FORBID_GUEST, 1001, 0, 999}, {IDMAP_MAP, 2000, 2000, 1},
        {IDMAP_FORBID_GUEST, 2001, 0, 0},   {IDMAP_FORBID_GUEST, 2001, 0, 4294967295U},
        {IDMAP_MAP, 3000, 3000, 0},
    };
    struct idmap *map = make(rules, G_N_ELEMENTS(rules));

    check_host(map, 0, FORBIDDEN);
    check_host(map, 999, FORBIDDEN);
    check_host(map, 1000, 1000);
    check_host(map, 1001, FORBIDDEN);
    check_host(map, 2000, 2000);
    check_host(map, 2001, FORBIDDEN);
    check_host(map, 4294967294U, FORBIDDEN);
    g_assert_cmpuint(idmap_to_guest(map, 0), ==, 0);
    idmap_free(map);
}

static void test_overlaps_are_refused(void)
{
    const struct idmap_rule guest[] = {{IDMAP_FORBID_GUEST, 0, 0, 1999}, {IDMAP_MAP, 1000, 7, 1}};
    const struct idmap_rule host[] = {{IDMAP_MAP, 0, 100, 10}, {IDMAP_SQUASH_HOST, 109, 0, 1}};

    refuse(guest, 2, "guest id 1000");
    refuse(host, 2, "host id 109");
}

static void test_ranges_past_the_end_are_refused(void)
{
    const struct idmap_rule cases[] = {
        {IDMAP_MAP, 1, 0, 4294967295U},          {IDMAP_MAP, 0, 1, 4294967295U},
        {IDMAP_GUEST, 4294967290U, 0, 6},        {IDMAP_HOST, 0, 4294967295U, 1},
        {IDMAP_SQUASH_GUEST, 0, 4294967295U, 1},
    };
    const struct idmap_rule whole[] = {{IDMAP_MAP, 0, 0, 4294967295U}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        refuse(&cases[i], 1, "beyond the last id");
    }
    idmap_free(make(whole, 1));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/idmap/no_rule_is_the_identity", test_no_rule_is_the_identity);
    g_test_add_func("/idmap/guest_and_host_are_one_way", test_guest_and_host_are_one_way);
    g_test_add_func("/idmap/map_works_both_ways", test_map_works_both_ways);
    g_test_add_func("/idmap/squash_maps_many_to_one", test_squash_maps_many_to_one);
    g_test_add_func("/idmap/nobody_is_never_translated", test_nobody_is_never_translated);
    g_test_add_func("/idmap/incus_lists_are_understood", test_incus_lists_are_understood);
    g_test_add_func("/idmap/overlaps_are_refused", test_overlaps_are_refused);
    g_test_add_func("/idmap/ranges_past_the_end_are_refused", test_ranges_past_the_end_are_refused);
    return g_test_run();
}
