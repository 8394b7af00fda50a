/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: what may be shared, what is refused, and that addresses come out where they are.
 */
#include "transport/guest_mem.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define PAGE 4096u
#define GPA  0x100000000u
#define UVA  0x7f0000000000u

/* A memfd of `pages` pages; each page is filled with its number. */
static int make_memory(unsigned pages)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);
    char page[PAGE];

    g_assert_cmpint(fd, >=, 0);
    for (unsigned i = 0; i < pages; i++) {
        memset(page, (int)i, sizeof(page));
        g_assert_cmpint(write(fd, page, sizeof(page)), ==, sizeof(page));
    }
    return fd;
}

static struct guest_mem_range range_at(uint64_t gpa_page, uint64_t pages, uint64_t offset)
{
    return (struct guest_mem_range){
        .gpa = GPA + gpa_page * PAGE,
        .size = pages * PAGE,
        .uva = UVA + gpa_page * PAGE,
        .offset = offset,
    };
}

static void addresses_are_found_in_the_right_region(void)
{
    auto_fd fd = make_memory(16);
    struct guest_mem *mem = guest_mem_new();
    unsigned hint = 0;
    uint64_t len = 0;
    const unsigned char *p = NULL;

    /* added out of order, with a hole at pages 8..11 */
    const struct guest_mem_range ranges[] = {range_at(12, 4, 12 * PAGE), range_at(0, 4, 0),
                                             range_at(4, 4, 4 * PAGE)};

    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        g_assert_cmpint(guest_mem_add(mem, &ranges[i], fd), ==, 0);
    }
    g_assert_cmpuint(guest_mem_count(mem), ==, 3);
    for (unsigned page = 0; page < 16; page++) {
        p = guest_mem_at(mem, GPA + page * PAGE + 5, 7, &len, &hint);
        if (page >= 8 && page < 12) {
            g_assert_null(p);
            continue;
        }
        g_assert_nonnull(p);
        g_assert_cmpuint(len, ==, 7);
        g_assert_cmpuint(*p, ==, page);
    }
    g_assert_null(guest_mem_at(mem, GPA - 1, 1, &len, &hint));
    g_assert_null(guest_mem_at(mem, GPA + 16 * PAGE, 1, &len, &hint));
    g_assert_null(guest_mem_at(mem, UINT64_MAX, 1, &len, &hint));
    guest_mem_free(mem);
}

static void ranges_that_cross_regions_come_in_pieces(void)
{
    auto_fd fd = make_memory(3);
    struct guest_mem *mem = guest_mem_new();
    unsigned char buf[PAGE + 2];
    unsigned hint = 0;
    uint64_t len = 0;

    for (unsigned i = 0; i < 3; i++) {
        struct guest_mem_range range = range_at(i, 1, i * PAGE);

        g_assert_cmpint(guest_mem_add(mem, &range, fd), ==, 0);
    }
    g_assert_nonnull(guest_mem_at(mem, GPA + PAGE - 1, 100, &len, &hint));
    g_assert_cmpuint(len, ==, 1);
    g_assert_cmpint(guest_mem_read(mem, GPA + PAGE - 1, buf, sizeof(buf), &hint), ==, 0);
    g_assert_cmpuint(buf[0], ==, 0);
    g_assert_cmpuint(buf[1], ==, 1);
    g_assert_cmpuint(buf[PAGE], ==, 1);
    g_assert_cmpuint(buf[PAGE + 1], ==, 2);
    g_assert_cmpint(guest_mem_read(mem, GPA + 3 * PAGE - 1, buf, 2, &hint), ==, -EFAULT);
    /* by user address a range must be in one region */
    g_assert_nonnull(guest_mem_at_uva(mem, UVA + PAGE, PAGE));
    g_assert_null(guest_mem_at_uva(mem, UVA + PAGE, PAGE + 1));
    g_assert_null(guest_mem_at_uva(mem, UVA + PAGE + 1, UINT64_MAX));
    g_assert_null(guest_mem_at_uva(mem, UVA - 1, 1));
    guest_mem_free(mem);
}

static void offsets_need_not_be_aligned(void)
{
    auto_fd fd = make_memory(4);
    struct guest_mem *mem = guest_mem_new();
    struct guest_mem_range range = range_at(0, 1, PAGE + 100);
    unsigned hint = 0;
    uint64_t len = 0;
    const unsigned char *p = NULL;

    g_assert_cmpint(guest_mem_add(mem, &range, fd), ==, 0);
    p = guest_mem_at(mem, GPA, PAGE, &len, &hint);
    g_assert_cmpuint(len, ==, PAGE);
    g_assert_cmpuint(p[0], ==, 1);
    g_assert_cmpuint(p[PAGE - 101], ==, 1);
    g_assert_cmpuint(p[PAGE - 100], ==, 2);
    guest_mem_free(mem);
}

static void bad_regions_are_refused(void)
{
    static const struct {
        const char *what;
        struct guest_mem_range range;
        int rc;
    } rows[] = {
        {"empty", {GPA, 0, UVA, 0}, -EINVAL},
        {"wraps in guest addresses", {UINT64_MAX - 10, PAGE, UVA, 0}, -EINVAL},
        {"wraps in user addresses", {GPA, PAGE, UINT64_MAX - 10, 0}, -EINVAL},
        {"wraps in the file", {GPA, PAGE, UVA, UINT64_MAX - 10}, -EINVAL},
        {"larger than any file", {GPA, INT64_MAX, UVA, PAGE}, -EINVAL},
        {"nearly everything", {GPA, UINT64_MAX - UVA, UVA, 0}, -EINVAL},
        {"ends after the file", {GPA, 5 * PAGE, UVA, 0}, -EINVAL},
        {"starts after the file", {GPA, PAGE, UVA, 4 * PAGE}, -EINVAL},
        {"overlaps at its end", {0x2000000u - PAGE, 2 * PAGE, UVA, 0}, -EEXIST},
        {"overlaps at its start", {0x2000000u + PAGE, PAGE, UVA, 0}, -EEXIST},
        {"overlaps in user addresses only", {GPA, PAGE, 0x3000000u, 0}, -EEXIST},
    };
    auto_fd fd = make_memory(4);
    struct guest_mem *mem = guest_mem_new();
    struct guest_mem_range first = {0x2000000u, 2 * PAGE, 0x3000000u, 0};

    g_assert_cmpint(guest_mem_add(mem, &first, fd), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].what);
        g_assert_cmpint(guest_mem_add(mem, &rows[i].range, fd), ==, rows[i].rc);
        g_assert_cmpuint(guest_mem_count(mem), ==, 1);
    }
    g_assert_cmpint(guest_mem_add(mem, &(struct guest_mem_range){GPA, PAGE, UVA, 0}, -1), ==,
                    -EBADF);
    guest_mem_free(mem);
}

static void removal_matches_all_three_numbers(void)
{
    auto_fd fd = make_memory(4);
    struct guest_mem *mem = guest_mem_new();
    struct guest_mem_range range = range_at(0, 2, 0);
    struct guest_mem_range other = range;
    unsigned hint = 0;
    uint64_t len = 0;

    g_assert_cmpint(guest_mem_add(mem, &range, fd), ==, 0);
    other.size = PAGE;
    g_assert_cmpint(guest_mem_remove(mem, &other), ==, -ENOENT);
    other = range;
    other.uva++;
    g_assert_cmpint(guest_mem_remove(mem, &other), ==, -ENOENT);
    other = range;
    other.gpa++;
    g_assert_cmpint(guest_mem_remove(mem, &other), ==, -ENOENT);
    other = range;
    other.offset = 77; /* not compared */
    g_assert_cmpint(guest_mem_remove(mem, &other), ==, 0);
    g_assert_null(guest_mem_at(mem, GPA, 1, &len, &hint));
    g_assert_cmpint(guest_mem_add(mem, &range, fd), ==, 0);
    guest_mem_free(mem);
}

static void all_slots_can_be_used_and_no_more(void)
{
    auto_fd fd = make_memory(1);
    struct guest_mem *mem = guest_mem_new();
    unsigned hint = 600; /* of a table that was longer */
    uint64_t len = 0;

    g_assert_cmpuint(GUEST_MEM_MAX_REGIONS, >=, 509);
    for (unsigned i = 0; i < GUEST_MEM_MAX_REGIONS; i++) {
        struct guest_mem_range range = range_at(2 * i, 1, 0);

        g_assert_cmpint(guest_mem_add(mem, &range, fd), ==, 0);
    }
    struct guest_mem_range more = range_at(2 * GUEST_MEM_MAX_REGIONS, 1, 0);

    g_assert_cmpint(guest_mem_add(mem, &more, fd), ==, -ENOSPC);
    for (unsigned i = 0; i < GUEST_MEM_MAX_REGIONS; i++) {
        uint64_t gpa = GPA + (uint64_t)2 * i * PAGE;

        g_assert_nonnull(guest_mem_at(mem, gpa + PAGE - 1, 10, &len, &hint));
        g_assert_cmpuint(len, ==, 1);
        g_assert_null(guest_mem_at(mem, gpa + PAGE, 1, &len, &hint));
    }
    guest_mem_free(mem);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest_mem/addresses_are_found_in_the_right_region",
                    addresses_are_found_in_the_right_region);
    g_test_add_func("/guest_mem/ranges_that_cross_regions_come_in_pieces",
                    ranges_that_cross_regions_come_in_pieces);
    g_test_add_func("/guest_mem/offsets_need_not_be_aligned", offsets_need_not_be_aligned);
    g_test_add_func("/guest_mem/bad_regions_are_refused", bad_regions_are_refused);
    g_test_add_func("/guest_mem/removal_matches_all_three_numbers",
                    removal_matches_all_three_numbers);
    g_test_add_func("/guest_mem/all_slots_can_be_used_and_no_more",
                    all_slots_can_be_used_and_no_more);
    return g_test_run();
}
