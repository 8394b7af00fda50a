/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buffer as a whole, and the regions of split rings. Those of packed rings are in
 * inflight_packed.c.
 *
 * Counters and flags in a region are in the byte order of the machine: only we read them.
 */
#include "transport/inflight.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "transport/virtqueue.h"

#define REGION_ALIGN   64
#define REGION_VERSION 1

struct split_entry {
    uint8_t inflight;
    uint8_t padding[5];
    uint16_t next; /* in the last batch of used descriptors */
    uint64_t counter;
};

struct split_region {
    uint64_t features; /* none are defined */
    uint16_t version;  /* 0: nobody has used the region yet */
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    struct split_entry desc[];
};

static_assert(sizeof(struct split_entry) == 16, "form of the specification");
static_assert(sizeof(struct split_region) == 16, "form of the specification");

struct inflight {
    void *map;
    size_t map_len;
    void *kept;
    unsigned count;
    struct inflight_queue queues[];
};

static uint64_t region_size(unsigned queue_size, bool packed)
{
    size_t size =
        packed ? inflight_packed_region_size(queue_size)
               : sizeof(struct split_region) + (size_t)queue_size * sizeof(struct split_entry);

    return ROUND_UP(size, REGION_ALIGN);
}

uint64_t inflight_size(unsigned queues, unsigned queue_size, bool packed)
{
    return queues * region_size(queue_size, packed) + INFLIGHT_KEPT_SIZE;
}

int inflight_create(uint64_t size)
{
    int fd = memfd_create("virtiofsd-inflight", MFD_CLOEXEC);
    int rc = 0;

    if (fd < 0) {
        return -errno;
    }
    if (ftruncate(fd, (off_t)size) < 0) {
        rc = -errno;
        (void)close(fd); /* empty */
        return rc;
    }
    return fd;
}

static int init_queue(struct inflight_queue *queue, void *region, unsigned size, bool packed)
{
    queue->region = region;
    queue->size = size;
    queue->packed = packed;
    pthread_mutex_init(&queue->lock, NULL);
    return packed ? inflight_packed_init(queue) : 0;
}

int inflight_map(int fd, uint64_t map_size, uint64_t offset, unsigned queues, unsigned queue_size,
                 bool packed, struct inflight **ret_inflight)
{
    struct inflight *inflight = NULL;
    uint64_t end = 0;
    struct stat st;
    void *map = NULL;

    if (queues == 0 || !vq_is_valid_size(queue_size) ||
        map_size < inflight_size(queues, queue_size, packed) ||
        offset % (uint64_t)sysconf(_SC_PAGESIZE) != 0 ||
        __builtin_add_overflow(offset, map_size, &end) || end > INT64_MAX || map_size > SIZE_MAX) {
        return -EINVAL;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < end) {
        return -EINVAL;
    }
    map = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED) {
        return -errno;
    }
    /* the number of queues was checked by the caller: at most 256 */
    inflight = g_malloc0(sizeof(*inflight) + queues * sizeof(inflight->queues[0]));
    inflight->map = map;
    inflight->map_len = map_size;
    inflight->kept = (char *)map + inflight_size(queues, queue_size, packed) - INFLIGHT_KEPT_SIZE;
    for (unsigned i = 0; i < queues; i++) {
        char *region = (char *)map + i * region_size(queue_size, packed);

        inflight->count = i + 1;
        if (init_queue(&inflight->queues[i], region, queue_size, packed) < 0) {
            inflight_free(inflight);
            return -ENOMEM;
        }
    }
    *ret_inflight = inflight;
    return 0;
}

void inflight_free(struct inflight *inflight)
{
    if (!inflight) {
        return;
    }
    for (unsigned i = 0; i < inflight->count; i++) {
        g_free(inflight->queues[i].again);
        g_free(inflight->queues[i].next);
        pthread_mutex_destroy(&inflight->queues[i].lock);
    }
    (void)munmap(inflight->map, inflight->map_len);
    g_free(inflight);
}

void *inflight_kept(const struct inflight *inflight)
{
    return inflight->kept;
}

struct inflight_queue *inflight_queue(struct inflight *inflight, unsigned index)
{
    return inflight && index < inflight->count ? &inflight->queues[index] : NULL;
}

static int by_counter(const void *a, const void *b)
{
    const struct inflight_entry *left = a;
    const struct inflight_entry *right = b;

    return (left->counter > right->counter) - (left->counter < right->counter);
}

void inflight_set_again(struct inflight_queue *queue, struct inflight_entry *entries, unsigned cnt)
{
    if (cnt > 0) {
        qsort(entries, cnt, sizeof(*entries), by_counter);
    }
    g_free(queue->again);
    queue->again = g_new(uint16_t, cnt);
    for (unsigned i = 0; i < cnt; i++) {
        queue->again[i] = entries[i].entry;
    }
    queue->again_cnt = cnt;
    queue->again_at = 0;
    queue->counter = cnt > 0 ? entries[cnt - 1].counter + 1 : 0;
}

void inflight_clear(struct inflight_queue *queue)
{
    struct split_region *region = queue->region;

    inflight_set_again(queue, NULL, 0);
    if (queue->packed) {
        inflight_packed_clear(queue);
        return;
    }
    __atomic_store_n(&region->version, 0, __ATOMIC_RELEASE);
}

/* Nothing is out: what the entries say is of a ring that is gone. */
static void begin_split(struct split_region *region, unsigned size, uint16_t used_idx)
{
    for (unsigned i = 0; i < size; i++) {
        region->desc[i].inflight = 0;
    }
    region->features = 0;
    region->desc_num = (uint16_t)size;
    region->last_batch_head = 0;
    region->used_idx = used_idx;
    __atomic_store_n(&region->version, REGION_VERSION, __ATOMIC_RELEASE);
}

/*
 * The end may have come between the used index and the entries it is about: those of the last
 * batch are not out any more. A batch of ours is one chain, a foreign one is bounded by the ring.
 */
static void finish_last_batch(struct split_region *region, unsigned num, uint16_t used_idx)
{
    uint16_t left = (uint16_t)(used_idx - region->used_idx);
    uint16_t entry = region->last_batch_head;

    for (unsigned i = 0; i < MIN(left, num) && entry < num; i++) {
        region->desc[entry].inflight = 0;
        entry = __atomic_load_n(&region->desc[entry].next, __ATOMIC_RELAXED);
    }
    region->used_idx = used_idx;
}

int inflight_split_start(struct inflight_queue *queue, unsigned num, uint16_t used_idx)
{
    struct split_region *region = queue->region;
    uint16_t version = __atomic_load_n(&region->version, __ATOMIC_ACQUIRE);
    g_autofree struct inflight_entry *out = NULL;
    unsigned cnt = 0;

    if (queue->packed || num > queue->size) {
        return -EINVAL;
    }
    queue->is_resumed = version != 0;
    if (version == 0) {
        begin_split(region, queue->size, used_idx);
        inflight_set_again(queue, NULL, 0);
        return 0;
    }
    if (version != REGION_VERSION || region->desc_num != queue->size) {
        return -EINVAL;
    }
    finish_last_batch(region, num, used_idx);
    out = g_new(struct inflight_entry, num);
    for (unsigned i = 0; i < num; i++) {
        if (__atomic_load_n(&region->desc[i].inflight, __ATOMIC_RELAXED)) {
            out[cnt++] = (struct inflight_entry){region->desc[i].counter, (uint16_t)i};
        }
    }
    inflight_set_again(queue, out, cnt);
    return (int)cnt;
}

/*
 * The order of the stores is what counts, and it counts for a process that reads them after we
 * are gone: the compiler must keep it, the CPU shows its stores to nobody out of turn but others
 * that run at the same time.
 */
void inflight_split_popped(struct inflight_queue *queue, uint16_t head)
{
    struct split_region *region = queue->region;

    __atomic_store_n(&region->desc[head].counter, queue->counter++, __ATOMIC_RELAXED);
    __atomic_store_n(&region->desc[head].inflight, 1, __ATOMIC_RELEASE);
}

void inflight_split_pushing(struct inflight_queue *queue, uint16_t head)
{
    struct split_region *region = queue->region;

    __atomic_store_n(&region->desc[head].next, region->last_batch_head, __ATOMIC_RELAXED);
    __atomic_store_n(&region->last_batch_head, head, __ATOMIC_RELEASE);
}

void inflight_split_pushed(struct inflight_queue *queue, uint16_t head, uint16_t used_idx)
{
    struct split_region *region = queue->region;

    __atomic_store_n(&region->desc[head].inflight, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&region->used_idx, used_idx, __ATOMIC_RELEASE);
}
