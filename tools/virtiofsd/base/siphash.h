/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012) of two 64-bit words: a keyed function whose results
 * tell nothing about the key or about each other.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

struct siphash_key {
    uint64_t k0, k1;
};

uint64_t siphash_2words(const struct siphash_key *key, uint64_t a, uint64_t b);

#endif
