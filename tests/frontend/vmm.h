/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine monitor without a machine: the vhost-user front end that connects to a
 * daemon, shares guest memory with it and sets its queues up, the way QEMU does.
 *
 * Functions return 0 or -errno and leave a sentence in vmm->error. For hostile tests every step
 * can be done by hand (vmm_msg, vmm_send_bytes); nothing here checks what the caller sends.
 */
#ifndef FRONTEND_VMM_H
#define FRONTEND_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vring_driver.h"
#include "vu_wire.h"

#define VMM_MAX_QUEUES 66

struct vmm_config {
    size_t mem_size;         /* 0: 64 MiB */
    unsigned mem_regions;    /* 0: one; the memory is cut into so many adjacent regions */
    bool use_mem_table;      /* SET_MEM_TABLE even where ADD_MEM_REG is possible */
    unsigned request_queues; /* 0: one */
    unsigned queue_size;     /* 0: 128, QEMU's default */
    uint64_t features_off;   /* virtio features not to accept */
    uint64_t protocol_off;   /* protocol features not to accept */
    bool packed;             /* packed rings, if the daemon offers them */
    uint64_t features_on;    /* further virtio and protocol features to accept if offered */
    uint64_t protocol_on;
    bool direct;      /* no indirect descriptors although negotiated */
    bool busy_poll;   /* completions by polling */
    unsigned spin_us; /* look for them so long before sleeping; 0: sleep at once */
    int timeout_ms;   /* 0: 10 seconds, or FRONTEND_TIMEOUT_MS */
};

struct vmm {
    struct vmm_config config;
    int sock;
    struct guest_ram ram;
    uint64_t offered; /* by the daemon */
    uint64_t features;
    uint64_t protocol_offered;
    uint64_t protocol;
    uint64_t max_queues; /* answer to GET_QUEUE_NUM; 0 when MQ was not negotiated */
    uint64_t max_mem_slots;
    struct vqueue queues[VMM_MAX_QUEUES]; /* 0 is hiprio */
    unsigned n_queues;
    char error[256];
};

/* Everything: connect, negotiate, share memory, start all queues. vmm_stop() in any case. */
int vmm_start(struct vmm *vmm, const char *sock_path, const struct vmm_config *config);
/* The same on a connected socket, which is owned from now on. */
int vmm_start_on(struct vmm *vmm, int sock, const struct vmm_config *config);
/* Disconnects and frees; everything in flight is lost. Harmless on a half-started vmm. */
void vmm_stop(struct vmm *vmm);

/* The steps of vmm_start, for tests that stray from the path. */
int vmm_init(struct vmm *vmm, const struct vmm_config *config);
int vmm_connect(struct vmm *vmm, const char *sock_path);
int vmm_negotiate(struct vmm *vmm);
/* The same on a new connection, with rings that go on where they are. */
int vmm_negotiate_again(struct vmm *vmm);
int vmm_share_memory(struct vmm *vmm);
int vmm_start_queue(struct vmm *vmm, unsigned q);
/* GET_VRING_BASE; ret_base may be NULL. The ring can be started again with vmm_start_queue(). */
int vmm_stop_queue(struct vmm *vmm, unsigned q, uint16_t *ret_base);
int vmm_enable_queue(struct vmm *vmm, unsigned q, bool enable);
/* Closes only the connection, keeps guest memory to look at. */
void vmm_disconnect(struct vmm *vmm);

/* A listening socket for a daemon's --fd; mode bits as umask leaves them. fd or -errno. */
int vmm_listen(const char *sock_path);

/* What a region of guest memory looks like on the wire, the i-th of mem_regions. */
struct vhost_user_region vmm_region(const struct vmm *vmm, unsigned i);
int vmm_add_region(struct vmm *vmm, const struct vhost_user_region *region, int fd);
int vmm_rem_region(struct vmm *vmm, const struct vhost_user_region *region, int fd);

/* Sends a message; with REPLY_ACK negotiated waits for its acknowledgement: -EREMOTEIO if not 0. */
int vmm_msg(struct vmm *vmm, uint32_t request, const void *payload, size_t size, const int *fds,
            unsigned n_fds);
/* A message that is answered by one of the same number; the reply must have exactly `size` bytes.
 */
int vmm_ask(struct vmm *vmm, uint32_t request, const void *payload, size_t payload_size,
            void *ret_reply, size_t size);
int vmm_ask_u64(struct vmm *vmm, uint32_t request, uint64_t *ret_value);

/* As they are: bytes with descriptors on the first, and one message read off the socket. */
int vmm_send_bytes(struct vmm *vmm, const void *bytes, size_t size, const int *fds, unsigned n_fds);
int vmm_recv(struct vmm *vmm, struct vhost_user_header *ret_header, void *payload, size_t room);
/* The same with a descriptor that comes along; *ret_fd is -1 when none does. */
int vmm_recv_fd(struct vmm *vmm, struct vhost_user_header *ret_header, void *payload, size_t room,
                int *ret_fd);

/* Until the daemon closes the connection: 0, -ETIMEDOUT; bytes that still arrive are thrown away.
 */
int vmm_wait_closed(struct vmm *vmm, int timeout_ms);

int frontend_timeout_ms(void);

#endif
