/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host file handles taken apart and put together again.
 */
#include "fs/host_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/*
 * What exportfs writes into a handle, by type and length (the encode_fh of each file system; the
 * fields are in the host's byte order).
 */
static const struct handle_layout {
    int type;
    unsigned bytes;
    unsigned ino_at;
    unsigned ino_size; /* 4 or 8 */
    unsigned gen_at;   /* always 4 bytes */
} layouts[] = {
    {0x01, 8, 0, 4, 4},   /* ext2-4 and the generic form: ino32, gen */
    {0x81, 12, 0, 8, 8},  /* xfs: ino64, gen */
    {0x4d, 20, 0, 8, 16}, /* btrfs: objectid, subvolume, gen */
    {0x01, 12, 4, 8, 0},  /* tmpfs: gen, ino64 */
};

/* struct file_handle with room. */
struct any_handle {
    struct file_handle head;
    uint8_t bytes[MAX_HANDLE_SZ];
};

/* The handle of a descriptor's file. The mount id that comes along is of no use here. */
static int get_handle(int fd, struct any_handle *ret)
{
    int mount_id = 0;

    ret->head.handle_bytes = sizeof(ret->bytes);
    return name_to_handle_at(fd, "", &ret->head, &mount_id, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static uint64_t ino_of(const struct handle_layout *layout, const uint8_t *bytes)
{
    uint64_t ino64 = 0;
    uint32_t ino32 = 0;

    if (layout->ino_size == 8) {
        memcpy(&ino64, bytes + layout->ino_at, sizeof(ino64));
        return ino64;
    }
    memcpy(&ino32, bytes + layout->ino_at, sizeof(ino32));
    return ino32;
}

static uint32_t gen_of(const struct handle_layout *layout, const uint8_t *bytes)
{
    uint32_t gen = 0;

    memcpy(&gen, bytes + layout->gen_at, sizeof(gen));
    return gen;
}

/*
 * A permutation of 32 bits that depends on the key and the inode number: four Feistel rounds.
 * Unlike a mask over the generation it does not let "the next generation" be guessed.
 */
static uint32_t cipher(const struct siphash_key *key, uint32_t ino, uint32_t value, bool decrypt)
{
    uint16_t left = (uint16_t)(value >> 16);
    uint16_t right = (uint16_t)value;

    for (int i = 0; i < 4; i++) {
        int round = decrypt ? 3 - i : i;

        if (decrypt) {
            uint16_t next = left;

            left = right ^ (uint16_t)siphash_2words(key, ino, ((uint64_t)round << 32) | next);
            right = next;
        } else {
            uint16_t next =
                left ^ (uint16_t)siphash_2words(key, ino, ((uint64_t)round << 32) | right);

            left = right;
            right = next;
        }
    }
    return ((uint32_t)left << 16) | right;
}

static void make_handle(const struct host_handles *handles, uint64_t ino, uint32_t gen,
                        struct any_handle *ret)
{
    const struct handle_layout *layout = handles->layout;
    uint32_t ino32 = (uint32_t)ino;

    ret->head.handle_type = layout->type;
    ret->head.handle_bytes = layout->bytes;
    memcpy(ret->bytes, handles->template, layout->bytes);
    if (layout->ino_size == 8) {
        memcpy(ret->bytes + layout->ino_at, &ino, sizeof(ino));
    } else {
        memcpy(ret->bytes + layout->ino_at, &ino32, sizeof(ino32));
    }
    memcpy(ret->bytes + layout->gen_at, &gen, sizeof(gen));
}

/* The layout of this very handle: known, and with the right inode number in its place. */
static const struct handle_layout *find_layout(const struct any_handle *handle, uint64_t ino)
{
    for (size_t i = 0; i < G_N_ELEMENTS(layouts); i++) {
        if (handle->head.handle_type == layouts[i].type &&
            handle->head.handle_bytes == layouts[i].bytes &&
            ino_of(&layouts[i], handle->bytes) == ino) {
            return &layouts[i];
        }
    }
    return NULL;
}

/* Does the kernel let us, and do we get back what we asked for? */
static bool round_trip_works(struct host_handles *handles, uint64_t ino, uint32_t gen)
{
    struct any_handle handle;
    struct stat st;
    int fd = -1;
    bool same = false;

    make_handle(handles, ino, gen, &handle);
    fd = open_by_handle_at(handles->mount_fd, &handle.head, O_PATH | O_CLOEXEC);
    if (fd >= 0) {
        same = fstat(fd, &st) == 0 && st.st_ino == ino;
        (void)close(fd);
    }
    return same;
}

void host_handles_init(struct host_handles *handles, int root_real_fd, uint64_t dev,
                       const struct siphash_key *key)
{
    struct any_handle handle;
    struct stat st;

    handles->mount_fd = root_real_fd;
    handles->dev = dev;
    handles->key = *key;
    if (root_real_fd < 0 || fstat(root_real_fd, &st) < 0 || get_handle(root_real_fd, &handle) < 0) {
        return;
    }
    handles->layout = find_layout(&handle, st.st_ino);
    if (!handles->layout) {
        return;
    }
    memcpy(handles->template, handle.bytes, handles->layout->bytes);
    if (!round_trip_works(handles, st.st_ino, gen_of(handles->layout, handle.bytes))) {
        handles->layout = NULL;
    }
}

void host_handles_done(struct host_handles *handles)
{
    if (handles->mount_fd >= 0) {
        (void)close(handles->mount_fd);
    }
}

uint32_t host_handle_token(struct host_handles *handles, int fd, uint64_t dev, uint64_t ino)
{
    const struct handle_layout *layout = handles->layout;
    struct any_handle handle;

    /* A number of more than 32 bits does not fit: such a file is simply not found again. */
    if (!layout || dev != handles->dev || ino > UINT32_MAX || get_handle(fd, &handle) < 0 ||
        handle.head.handle_type != layout->type || handle.head.handle_bytes != layout->bytes) {
        return 0;
    }
    return cipher(&handles->key, (uint32_t)ino, gen_of(layout, handle.bytes), false);
}

static int miss(struct host_handles *handles)
{
    if (atomic_fetch_add(&handles->misses, 1) + 1 == HANDLE_MAX_MISSES) {
        log_warn("the guest asked for %d files that do not exist: its file handles are not "
                 "decoded any more",
                 HANDLE_MAX_MISSES);
    }
    return -ESTALE;
}

int host_handle_reopen(struct host_handles *handles, uint32_t ino, uint32_t token, int *ret_fd)
{
    struct any_handle handle;
    uint32_t gen = cipher(&handles->key, ino, token, true);
    int fd = -1;

    if (!handles->layout || gen == 0) {
        return -ESTALE; /* ext4 and btrfs take generation 0 for "any" */
    }
    make_handle(handles, ino, gen, &handle);
    fd = open_by_handle_at(handles->mount_fd, &handle.head, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    *ret_fd = fd;
    return 0;
}

int host_handle_open(struct host_handles *handles, uint32_t ino, uint32_t token, int *ret_fd)
{
    int err = 0;

    if (!handles->layout || atomic_load(&handles->misses) >= HANDLE_MAX_MISSES) {
        return -ESTALE;
    }
    err = host_handle_reopen(handles, ino, token, ret_fd);
    return err == -EMFILE || err == -ENFILE ? err : err < 0 ? miss(handles) : 0;
}
