/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bitmap is the front end's memory: its size is what the front end said and the file has.
 */
#include "transport/dirty_log.h"

#include <errno.h>
#include <glib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct dirty_log {
    uint8_t *bits; /* `size` bytes of them */
    uint64_t size;
    void *map;
    size_t map_len;
};

int dirty_log_new(int fd, uint64_t size, uint64_t offset, struct dirty_log **ret_log)
{
    uint64_t skip = offset % (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = 0;
    struct stat st;
    struct dirty_log *log = NULL;
    void *map = NULL;

    if (size == 0 || __builtin_add_overflow(offset, size, &end) || end > INT64_MAX ||
        size > SIZE_MAX - skip) {
        return -EINVAL;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    /* a word in time for an honest mistake; guest_mem.h says what happens to a file that shrinks */
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < end) {
        return -EINVAL;
    }
    map = mmap(NULL, size + skip, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(offset - skip));
    if (map == MAP_FAILED) {
        return -errno;
    }
    log = g_new0(struct dirty_log, 1);
    log->map = map;
    log->map_len = size + skip;
    log->bits = (uint8_t *)map + skip;
    log->size = size;
    *ret_log = log;
    return 0;
}

void dirty_log_free(struct dirty_log *log)
{
    if (log) {
        (void)munmap(log->map, log->map_len);
        g_free(log);
    }
}

void dirty_log_mark(struct dirty_log *log, uint64_t addr, uint64_t len)
{
    uint64_t page = addr / DIRTY_LOG_PAGE;
    uint64_t last = 0;

    if (len == 0) {
        return;
    }
    last = len - 1 > UINT64_MAX - addr ? UINT64_MAX : addr + len - 1;
    last = MIN(last / DIRTY_LOG_PAGE, log->size > UINT64_MAX / 8 ? UINT64_MAX : log->size * 8 - 1);
    for (; page <= last; page++) {
        /*
         * Sequentially consistent: the write this is about comes before it, also in the eyes of
         * a front end that fetches and clears the bit with an atomic operation of its own.
         */
        __atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << (page % 8)), __ATOMIC_SEQ_CST);
    }
}
