/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-pci transport of virtio 1.x, driver side: status, features, queues. The queues are
 * those of tests/frontend, in QEMU's memory, and kicked by a write to the device's BAR.
 */
#ifndef QTEST_LIBQVIRTIO_H
#define QTEST_LIBQVIRTIO_H

#include "libqpci.h"
#include "vring_driver.h"

struct qvirtio {
    struct qpci_dev pci;
    struct qtest *qts;
    uint64_t common; /* addresses of the structures in the BAR */
    uint64_t notify;
    uint64_t device_config;
    uint32_t notify_multiplier;
    uint64_t offered; /* features */
    uint64_t features;
};

/* Finds the device and its structures; it is reset. False when there is none. */
bool qvirtio_probe(struct qtest *qts, uint16_t device_id, struct qvirtio *ret_dev);

uint8_t qvirtio_status(const struct qvirtio *dev);
/* Writes 0 and waits for it to be read back. */
void qvirtio_reset(const struct qvirtio *dev);

/* ACKNOWLEDGE, DRIVER, all features of `wanted` that are offered, FEATURES_OK. */
void qvirtio_negotiate(struct qvirtio *dev, uint64_t wanted);

unsigned qvirtio_num_queues(const struct qvirtio *dev);

/* Makes queue `index` in `ram`, as large as the device says, and enables it. */
void qvirtio_setup_queue(struct qvirtio *dev, struct guest_ram *ram, unsigned index,
                         struct vqueue *vq);

void qvirtio_driver_ok(const struct qvirtio *dev);

#endif
