/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small things every room uses: descriptors that close themselves, and bits.
 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stddef.h>
#include <unistd.h>

static inline void auto_fd_close(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* nothing was written through it that close could still lose */
    }
}

/* A descriptor that is closed when its scope ends; give it away with g_steal_fd(). */
#define auto_fd __attribute__((cleanup(auto_fd_close))) int

#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define ROUND_UP(n, d)     (DIV_ROUND_UP(n, d) * (d))

#define member_size(type, member) sizeof(((type *)0)->member)

#endif
