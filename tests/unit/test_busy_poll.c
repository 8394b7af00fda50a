/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The adaptive poll against guests of different manners.
 */
#include "transport/busy_poll.h"

#include <glib.h>

#define POLL_US 20

/* Plays a guest whose next request comes gap_ns after the ring ran dry; returns time spent looking.
 */
static uint64_t play(struct busy_poll *poll, uint64_t gap_ns, unsigned requests, unsigned *ret_hits)
{
    uint64_t spent = 0;

    *ret_hits = 0;
    for (unsigned i = 0; i < requests; i++) {
        uint64_t window = busy_poll_window(poll);

        if (window == 0) {
            continue;
        }
        g_assert_cmpuint(window, <=, POLL_US * 1000);
        if (gap_ns < window) {
            busy_poll_hit(poll, gap_ns);
            spent += gap_ns;
            ++*ret_hits;
        } else {
            busy_poll_miss(poll);
            spent += window;
        }
    }
    return spent;
}

static void a_busy_guest_is_polled(void)
{
    struct busy_poll poll;
    unsigned hits = 0;

    busy_poll_init(&poll, POLL_US);
    play(&poll, 5000, 1000, &hits);
    g_assert_cmpuint(hits, >, 990);
}

static void a_thoughtful_guest_costs_next_to_nothing(void)
{
    struct busy_poll poll;
    unsigned hits = 0;
    uint64_t spent = 0;

    busy_poll_init(&poll, POLL_US);
    spent = play(&poll, 30000, 10000, &hits);
    g_assert_cmpuint(hits, ==, 0);
    /* less than a quarter of a microsecond a request */
    g_assert_cmpuint(spent, <, (uint64_t)10000 * 250);
}

static void a_guest_may_change_its_manners(void)
{
    struct busy_poll poll;
    unsigned hits = 0;

    busy_poll_init(&poll, POLL_US);
    play(&poll, 1000000, 5000, &hits);
    g_assert_cmpuint(hits, ==, 0);
    play(&poll, 3000, 1000, &hits);
    g_assert_cmpuint(hits, >, 700);
    /* one pause does not undo it: back within a handful of requests */
    play(&poll, 1000000, 1, &hits);
    play(&poll, 3000, 100, &hits);
    g_assert_cmpuint(hits, >, 90);
}

static void zero_is_off(void)
{
    struct busy_poll poll;
    unsigned hits = 0;

    busy_poll_init(&poll, 0);
    g_assert_cmpuint(play(&poll, 0, 1000, &hits), ==, 0);
    g_assert_cmpuint(hits, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/busy_poll/a_busy_guest_is_polled", a_busy_guest_is_polled);
    g_test_add_func("/busy_poll/a_thoughtful_guest_costs_next_to_nothing",
                    a_thoughtful_guest_costs_next_to_nothing);
    g_test_add_func("/busy_poll/a_guest_may_change_its_manners", a_guest_may_change_its_manners);
    g_test_add_func("/busy_poll/zero_is_off", zero_is_off);
    return g_test_run();
}
