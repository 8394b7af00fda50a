/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which chains are out, written down in memory that outlives us: the front end keeps it and hands
 * it to the next life of the daemon, which takes those chains once more, in their order.
 *
 * The form is the specification's ("Inflight I/O tracking"): a region for each queue, with an
 * entry for each descriptor. At every instant it tells the truth about the ring, so that the end
 * may come between any two stores. What is read back is the front end's and checked like a
 * guest's; nothing in it is read again after that, only written.
 *
 * A chain whose request was carried out but not yet given back is carried out twice. A read or
 * a write of the same bytes does not mind; a MKDIR finds its own directory (see
 * docs/vhost-user.rst).
 */
#ifndef TRANSPORT_INFLIGHT_H
#define TRANSPORT_INFLIGHT_H

#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflight;

/* A queue's part of it. The functions below say who may call them. */
struct inflight_queue {
    void *region; /* shared; see inflight.c and inflight_packed.c */
    unsigned size;
    bool packed;
    bool is_resumed;  /* an earlier life wrote to the region: it knows where the ring is */
    uint64_t counter; /* of the next chain that is popped */

    uint16_t *again; /* entries to take once more, in order */
    unsigned again_cnt;
    unsigned again_at;

    /* packed: entries are a list, which both sides change */
    pthread_mutex_t lock;
    uint16_t *next; /* our own copy of the links */
    uint16_t free_head;
};

/* Bytes for so many queues of that size. */
uint64_t inflight_size(unsigned queues, unsigned queue_size, bool packed);

/* A zeroed memory file of that many bytes that cannot shrink. A descriptor or -errno. */
int inflight_create(uint64_t size);

/* Maps what inflight_create() made, in this life or an earlier one. 0 or -errno. */
int inflight_map(int fd, uint64_t map_size, uint64_t offset, unsigned queues, unsigned queue_size,
                 bool packed, struct inflight **ret_inflight);

/* NULL is fine. No ring may use it any more. */
void inflight_free(struct inflight *inflight);

/* Behind the regions: memory of the device's own that is kept with them. */
#define INFLIGHT_KEPT_SIZE 64
void *inflight_kept(const struct inflight *inflight);

/* NULL when there is none for this index. */
struct inflight_queue *inflight_queue(struct inflight *inflight, unsigned index);

/* All chains were given back and the ring is at rest: nothing to be told to the next life. */
void inflight_clear(struct inflight_queue *queue);

/*
 * Looks what an earlier life left; afterwards inflight_again() hands it out. *used_idx is where
 * the used ring is. Returns how many chains were out, 0 for a region that is new, or -EINVAL for
 * one that makes no sense.
 */
int inflight_split_start(struct inflight_queue *queue, unsigned num, uint16_t used_idx);

/*
 * A place in a packed ring; in and out: where the ring begins, unless the region knows better.
 * *ret_taken is how many entries of the ring the chains that are out take up.
 */
struct inflight_place {
    uint16_t used_idx;
    bool used_wrap;
};
int inflight_packed_start(struct inflight_queue *queue, unsigned num,
                          const struct vring_packed_desc *ring, struct inflight_place *place,
                          unsigned *ret_taken);

/* The next entry of an earlier life: a head of a split ring, an entry of a packed one. Pop side. */
static inline bool inflight_again(const struct inflight_queue *queue, uint16_t *ret_entry)
{
    if (queue->again_at == queue->again_cnt) {
        return false;
    }
    *ret_entry = queue->again[queue->again_at];
    return true;
}

static inline void inflight_again_taken(struct inflight_queue *queue)
{
    queue->again_at++;
}

static inline bool inflight_has_more(const struct inflight_queue *queue)
{
    return queue && queue->again_at < queue->again_cnt;
}

/* Pop side: the chain that begins there is out. */
void inflight_split_popped(struct inflight_queue *queue, uint16_t head);

/* Push side, around the store that makes it visible to the driver. */
void inflight_split_pushing(struct inflight_queue *queue, uint16_t head);
void inflight_split_pushed(struct inflight_queue *queue, uint16_t head, uint16_t used_idx);

/* Pop side: remembers cnt descriptors, as the ring has them. False when there is no room. */
bool inflight_packed_popped(struct inflight_queue *queue, const struct vring_packed_desc *descs,
                            unsigned cnt, uint16_t *ret_entry);
/* Pop side: copies descriptor `i` of an entry of an earlier life; false when there is none. */
bool inflight_packed_read(const struct inflight_queue *queue, uint16_t entry, unsigned i,
                          struct vring_packed_desc *ret_desc);

/*
 * Push side, around the store that makes it visible: an entry of cnt descriptors, and the place
 * the ring moves to. Locks out the pop side in between.
 */
void inflight_packed_pushing(struct inflight_queue *queue, uint16_t entry, unsigned cnt,
                             struct inflight_place to);
void inflight_packed_pushed(struct inflight_queue *queue, uint16_t entry, struct inflight_place to);

/* For the two files of this module: sorts `again`, whose counters are given, and takes it over. */
struct inflight_entry {
    uint64_t counter;
    uint16_t entry;
};
void inflight_set_again(struct inflight_queue *queue, struct inflight_entry *entries, unsigned cnt);

size_t inflight_packed_region_size(unsigned queue_size);
int inflight_packed_init(struct inflight_queue *queue);
void inflight_packed_clear(struct inflight_queue *queue);

#endif
