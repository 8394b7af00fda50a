/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Regions are kept sorted by guest-physical address. Almost every lookup hits the region of the
 * one before it (a guest has one or two big ones), so a binary search is what happens otherwise.
 */
#include "transport/guest_mem.h"

#include <errno.h>
#include <glib.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct region {
    struct guest_mem_range range;
    char *host; /* where range.gpa is */
    void *map;  /* what was mapped: starts at a page boundary of the file */
    size_t map_len;
};

struct guest_mem {
    unsigned count;
    struct region regions[GUEST_MEM_MAX_REGIONS];
};

struct guest_mem *guest_mem_new(void)
{
    return g_new0(struct guest_mem, 1);
}

void guest_mem_free(struct guest_mem *mem)
{
    if (!mem) {
        return;
    }
    for (unsigned i = 0; i < mem->count; i++) {
        (void)munmap(mem->regions[i].map, mem->regions[i].map_len);
    }
    g_free(mem);
}

unsigned guest_mem_count(const struct guest_mem *mem)
{
    return mem->count;
}

/* Huge pages: file offset and length of a mapping, and of its munmap, are multiples of them. */
static uint64_t page_size_of(int fd)
{
    struct statfs fs;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0) {
        page = MAX(page, (uint64_t)fs.f_bsize);
    }
    return page;
}

/* The end of start + len in *ret_end; false when empty or when it wraps. */
static bool range_end(uint64_t start, uint64_t len, uint64_t *ret_end)
{
    return len > 0 && !__builtin_add_overflow(start, len, ret_end);
}

static bool ranges_meet(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b ? b - a < a_len : a - b < b_len;
}

static bool overlaps(const struct guest_mem *mem, const struct guest_mem_range *range)
{
    for (unsigned i = 0; i < mem->count; i++) {
        const struct guest_mem_range *other = &mem->regions[i].range;

        if (ranges_meet(range->gpa, range->size, other->gpa, other->size) ||
            ranges_meet(range->uva, range->size, other->uva, other->size)) {
            return true;
        }
    }
    return false;
}

static int map_region(struct region *region, const struct guest_mem_range *range, int fd)
{
    uint64_t page = page_size_of(fd);
    uint64_t skip = range->offset % page;
    uint64_t len = 0;
    struct stat st;

    if (__builtin_add_overflow(range->size, skip, &len) || len > INT64_MAX - page ||
        range->offset > INT64_MAX - len || len > SIZE_MAX - page) {
        return -EINVAL;
    }
    len = (len + page - 1) / page * page;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    /* only an early word for an honest mistake: the file may shrink right after this */
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < range->offset + range->size) {
        return -EINVAL;
    }
    /* NORESERVE: huge pages were reserved by the front end, not once more by us */
    region->map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                       (off_t)(range->offset - skip));
    if (region->map == MAP_FAILED) {
        return -errno;
    }
    /* a core dump of the daemon is not a dump of the guest; where unsupported it merely grows */
    (void)madvise(region->map, len, MADV_DONTDUMP);
    region->map_len = len;
    region->host = (char *)region->map + skip;
    region->range = *range;
    return 0;
}

int guest_mem_add(struct guest_mem *mem, const struct guest_mem_range *range, int fd)
{
    struct region region;
    uint64_t end = 0;
    unsigned pos = 0;
    int rc = 0;

    if (!range_end(range->gpa, range->size, &end) || !range_end(range->uva, range->size, &end)) {
        return -EINVAL;
    }
    if (overlaps(mem, range)) {
        return -EEXIST;
    }
    if (mem->count == GUEST_MEM_MAX_REGIONS) {
        return -ENOSPC;
    }
    rc = map_region(&region, range, fd);
    if (rc < 0) {
        return rc;
    }
    while (pos < mem->count && mem->regions[pos].range.gpa < range->gpa) {
        pos++;
    }
    memmove(&mem->regions[pos + 1], &mem->regions[pos],
            (mem->count - pos) * sizeof(mem->regions[0]));
    mem->regions[pos] = region;
    mem->count++;
    return 0;
}

/* The index of the region with this gpa, uva and size, or the count when there is none. */
static unsigned find_same(const struct guest_mem *mem, const struct guest_mem_range *range)
{
    unsigned i = 0;

    while (i < mem->count &&
           (mem->regions[i].range.gpa != range->gpa || mem->regions[i].range.uva != range->uva ||
            mem->regions[i].range.size != range->size)) {
        i++;
    }
    return i;
}

bool guest_mem_has(const struct guest_mem *mem, const struct guest_mem_range *range)
{
    return find_same(mem, range) < mem->count;
}

int guest_mem_remove(struct guest_mem *mem, const struct guest_mem_range *range)
{
    unsigned i = find_same(mem, range);
    struct region *region = &mem->regions[i];

    if (i == mem->count) {
        return -ENOENT;
    }
    (void)munmap(region->map, region->map_len);
    memmove(region, region + 1, (mem->count - i - 1) * sizeof(*region));
    mem->count--;
    return 0;
}

static bool region_has(const struct region *region, uint64_t gpa)
{
    return gpa >= region->range.gpa && gpa - region->range.gpa < region->range.size;
}

static const struct region *find_region(const struct guest_mem *mem, uint64_t gpa, unsigned *hint)
{
    unsigned lo = 0;
    unsigned hi = mem->count;

    /* the table may have shrunk since the hint was kept */
    if (*hint < mem->count && region_has(&mem->regions[*hint], gpa)) {
        return &mem->regions[*hint];
    }
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (region_has(&mem->regions[mid], gpa)) {
            *hint = mid;
            return &mem->regions[mid];
        }
        if (gpa < mem->regions[mid].range.gpa) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return NULL;
}

void *guest_mem_at(const struct guest_mem *mem, uint64_t gpa, uint64_t len, uint64_t *ret_len,
                   unsigned *hint)
{
    const struct region *region = find_region(mem, gpa, hint);
    uint64_t skip = 0;

    if (!region) {
        return NULL;
    }
    skip = gpa - region->range.gpa;
    *ret_len = MIN(len, region->range.size - skip);
    return region->host + skip;
}

int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, size_t len, unsigned *hint)
{
    size_t done = 0;

    while (done < len) {
        uint64_t piece = 0;
        uint64_t at = 0;
        const void *host = NULL;

        if (__builtin_add_overflow(gpa, done, &at)) {
            return -EFAULT;
        }
        host = guest_mem_at(mem, at, len - done, &piece, hint);
        if (!host) {
            return -EFAULT;
        }
        memcpy((char *)buf + done, host, piece);
        done += piece;
    }
    return 0;
}

void *guest_mem_at_uva(const struct guest_mem *mem, uint64_t uva, uint64_t len)
{
    /* only used when a ring starts: a walk will do */
    for (unsigned i = 0; i < mem->count; i++) {
        const struct region *region = &mem->regions[i];

        if (uva >= region->range.uva && uva - region->range.uva < region->range.size) {
            uint64_t skip = uva - region->range.uva;

            return len <= region->range.size - skip ? region->host + skip : NULL;
        }
    }
    return NULL;
}

uint64_t guest_mem_gpa_of(const struct guest_mem *mem, const void *host)
{
    uintptr_t at = (uintptr_t)host;

    /* only used while a migration logs: a walk will do */
    for (unsigned i = 0; i < mem->count; i++) {
        const struct region *region = &mem->regions[i];
        uintptr_t start = (uintptr_t)region->host;

        if (at >= start && at - start < region->range.size) {
            return region->range.gpa + (at - start);
        }
    }
    return UINT64_MAX;
}
