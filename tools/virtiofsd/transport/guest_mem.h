/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as the front end shares it: regions of guest-physical address space, each
 * mapped from a file descriptor of the front end.
 *
 * A table is changed only while no queue thread uses it (vhost_user.c sees to that), so looking
 * up takes no lock. Mappings do not move while they exist: a pointer into a region stays good
 * until exactly that region is removed.
 *
 * The pages belong to the front end, which can truncate the file below us; the next access then
 * raises SIGBUS and ends the process. System calls on such pages only fail with EFAULT, the
 * ring and header accesses here are what dies. We leave it at that: a daemon serves one VMM, the
 * VMM would do it to nobody but itself, and carrying on with made-up zero pages would turn a
 * clear end into wrong answers. What can be known beforehand (a file shorter than its region) is
 * refused in guest_mem_add().
 */
#ifndef TRANSPORT_GUEST_MEM_H
#define TRANSPORT_GUEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What GET_MAX_MEM_SLOTS answers; KVM on x86 has 509 for its users. */
#define GUEST_MEM_MAX_REGIONS 512

struct guest_mem_range {
    uint64_t gpa;    /* where the guest sees it */
    uint64_t size;   /* bytes */
    uint64_t uva;    /* where the front end sees it */
    uint64_t offset; /* where it starts in the file */
};

struct guest_mem;

struct guest_mem *guest_mem_new(void);
void guest_mem_free(struct guest_mem *mem);

/*
 * Maps one more region from fd, which stays the caller's. Returns 0, -EINVAL for an empty or
 * wrapping range and for a file that ends before it, -EEXIST for one that overlaps another,
 * -ENOSPC when the table is full, or what mmap said.
 */
int guest_mem_add(struct guest_mem *mem, const struct guest_mem_range *range, int fd);

/* Is there a region with this gpa, uva and size? */
bool guest_mem_has(const struct guest_mem *mem, const struct guest_mem_range *range);

/* Unmaps the region with this gpa, uva and size (the offset is not compared), or -ENOENT. */
int guest_mem_remove(struct guest_mem *mem, const struct guest_mem_range *range);

unsigned guest_mem_count(const struct guest_mem *mem);

/*
 * Where [gpa, gpa + len) starts in our address space, or NULL when it is no memory. *ret_len is
 * how many of the len bytes can be reached from there; the rest lies in the next region, or
 * nowhere. *hint remembers the region of the last hit; each user keeps its own, starting at 0.
 */
void *guest_mem_at(const struct guest_mem *mem, uint64_t gpa, uint64_t len, uint64_t *ret_len,
                   unsigned *hint);

/* Copies len bytes at gpa, across regions. Returns 0 or -EFAULT. */
int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, size_t len,
                   unsigned *hint);

/*
 * Where the front end's [uva, uva + len) is in our address space, or NULL: rings are given by
 * such addresses. The whole range must lie in one region.
 */
void *guest_mem_at_uva(const struct guest_mem *mem, uint64_t uva, uint64_t len);

/* The other way round: the guest-physical address of a byte of a region, or UINT64_MAX. */
uint64_t guest_mem_gpa_of(const struct guest_mem *mem, const void *host);

#endif
