/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE wire format up to 7.45, on top of the kernel header this is built against.
 *
 * Debian 12 ships <linux/fuse.h> 7.38; what came later is a fact of the protocol and is defined
 * here when the header lacks it (Linux include/uapi/linux/fuse.h, 6.3 to 6.18).
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#include <assert.h>
#include <linux/fuse.h>
#include <stdint.h>

/* 7.38 as of Linux 6.3; the first 7.38 headers (6.2) lack them */
#ifndef FUSE_CREATE_SUPP_GROUP
#define FUSE_CREATE_SUPP_GROUP (1ULL << 34)
enum { FUSE_EXT_GROUPS = 32 };

struct fuse_supp_groups {
    uint32_t nr_groups;
    uint32_t groups[];
};
#endif

#if FUSE_KERNEL_MINOR_VERSION < 39
enum { FUSE_STATX = 52 };

#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)

struct fuse_sx_time {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t __reserved;
};

struct fuse_statx {
    uint32_t mask;
    uint32_t blksize;
    uint64_t attributes;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t __spare0[1];
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct fuse_sx_time atime;
    struct fuse_sx_time btime;
    struct fuse_sx_time ctime;
    struct fuse_sx_time mtime;
    uint32_t rdev_major;
    uint32_t rdev_minor;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint64_t __spare2[14];
};

struct fuse_statx_in {
    uint32_t getattr_flags;
    uint32_t reserved;
    uint64_t fh;
    uint32_t sx_flags;
    uint32_t sx_mask;
};

struct fuse_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t flags;
    uint64_t spare[2];
    struct fuse_statx stat;
};
#endif

#if FUSE_KERNEL_MINOR_VERSION < 40
#define FUSE_PASSTHROUGH       (1ULL << 37)
#define FUSE_NO_EXPORT_SUPPORT (1ULL << 38)
#define FUSE_HAS_RESEND        (1ULL << 39)
#endif

#if FUSE_KERNEL_MINOR_VERSION < 41
#define FUSE_ALLOW_IDMAP    (1ULL << 40)
#define FUSE_INVALID_UIDGID ((uint32_t)(-1))
#endif

#if FUSE_KERNEL_MINOR_VERSION < 42
#define FUSE_OVER_IO_URING (1ULL << 41)
#endif

#if FUSE_KERNEL_MINOR_VERSION < 43
#define FUSE_REQUEST_TIMEOUT (1ULL << 42)
#endif

#if FUSE_KERNEL_MINOR_VERSION < 45
enum { FUSE_COPY_FILE_RANGE_64 = 53 };

struct fuse_copy_file_range_out {
    uint64_t bytes_copied;
};
#endif

/* The protocol minor we speak; a guest uses the smaller of ours and its own. */
#define FUSE_OUR_MINOR 45

static_assert(sizeof(struct fuse_in_header) == 40, "wire format");
static_assert(sizeof(struct fuse_out_header) == 16, "wire format");
static_assert(sizeof(struct fuse_attr) == 88, "wire format");
static_assert(sizeof(struct fuse_entry_out) == 128, "wire format");
static_assert(sizeof(struct fuse_init_in) == 64, "wire format");
static_assert(sizeof(struct fuse_init_out) == 64, "wire format");
static_assert(sizeof(struct fuse_statx) == 256, "wire format");
static_assert(sizeof(struct fuse_statx_out) == 288, "wire format");
static_assert(sizeof(struct fuse_setattr_in) == 88, "wire format");

#endif
