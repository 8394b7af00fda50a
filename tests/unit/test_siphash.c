/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-2-4 against the vector of its paper (appendix A) and its reference implementation.
 */
#include "base/siphash.h"

#include <glib.h>

/* Key 00 01 .. 0f, message 00 01 .. 0f. */
static void the_published_vector(void)
{
    struct siphash_key key = {.k0 = 0x0706050403020100ull, .k1 = 0x0f0e0d0c0b0a0908ull};

    g_assert_cmphex(siphash_2words(&key, 0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull), ==,
                    0x3f2acc7f57c29bdbull);
}

static void every_part_matters(void)
{
    struct siphash_key key = {.k0 = 1, .k1 = 2}, other = {.k0 = 1, .k1 = 3};
    uint64_t hash = siphash_2words(&key, 4, 5);

    g_assert_cmphex(hash, ==, siphash_2words(&key, 4, 5));
    g_assert_cmphex(hash, !=, siphash_2words(&key, 5, 4));
    g_assert_cmphex(hash, !=, siphash_2words(&key, 4, 6));
    g_assert_cmphex(hash, !=, siphash_2words(&other, 4, 5));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/siphash/the_published_vector", the_published_vector);
    g_test_add_func("/siphash/every_part_matters", every_part_matters);
    return g_test_run();
}
