/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures of virtio 1.2, section 4.1.4.
 */
#include "libqvirtio.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#define VIRTIO_VENDOR    0x1af4
#define MODERN_DEVICE_ID 0x1040

#define COMMON(field) offsetof(struct virtio_pci_common_cfg, field)

static uint64_t common_read(const struct qvirtio *dev, char width, size_t at)
{
    return qtest_read(dev->qts, width, dev->common + at);
}

static void common_write(const struct qvirtio *dev, char width, size_t at, uint64_t value)
{
    qtest_write(dev->qts, width, dev->common + at, value);
}

/* Notes where the structure that this capability speaks of lies. */
static void take_capability(struct qvirtio *dev, unsigned cap, uint64_t bar)
{
    uint64_t at = bar + qpci_config_read(&dev->pci, 'l', cap + VIRTIO_PCI_CAP_OFFSET);

    switch (qpci_config_read(&dev->pci, 'b', cap + VIRTIO_PCI_CAP_CFG_TYPE)) {
    case VIRTIO_PCI_CAP_COMMON_CFG:
        dev->common = at;
        break;
    case VIRTIO_PCI_CAP_NOTIFY_CFG:
        dev->notify = at;
        dev->notify_multiplier = qpci_config_read(&dev->pci, 'l', cap + VIRTIO_PCI_NOTIFY_CAP_MULT);
        break;
    case VIRTIO_PCI_CAP_DEVICE_CFG:
        dev->device_config = at;
        break;
    default:
        break;
    }
}

bool qvirtio_probe(struct qtest *qts, uint16_t device_id, struct qvirtio *ret_dev)
{
    struct qvirtio dev = {.qts = qts};
    uint64_t bar = 0;
    unsigned cap = 0;

    if (!qpci_find(qts, VIRTIO_VENDOR, MODERN_DEVICE_ID + device_id, &dev.pci)) {
        return false;
    }
    while ((cap = qpci_capability(&dev.pci, PCI_CAP_ID_VNDR, cap))) {
        unsigned number = qpci_config_read(&dev.pci, 'b', cap + VIRTIO_PCI_CAP_BAR);

        /* QEMU has all of them in one BAR but the window in configuration space, which has none */
        if (qpci_config_read(&dev.pci, 'b', cap + VIRTIO_PCI_CAP_CFG_TYPE) !=
            VIRTIO_PCI_CAP_PCI_CFG) {
            bar = bar ? bar : qpci_place_bar(&dev.pci, number);
            take_capability(&dev, cap, bar);
        }
    }
    if (!dev.common || !dev.notify || !dev.device_config) {
        return false;
    }
    qvirtio_reset(&dev);
    *ret_dev = dev;
    return true;
}

uint8_t qvirtio_status(const struct qvirtio *dev)
{
    return (uint8_t)common_read(dev, 'b', COMMON(device_status));
}

static void add_status(const struct qvirtio *dev, uint8_t bits)
{
    common_write(dev, 'b', COMMON(device_status), qvirtio_status(dev) | bits);
}

void qvirtio_reset(const struct qvirtio *dev)
{
    common_write(dev, 'b', COMMON(device_status), 0);
    while (qvirtio_status(dev) != 0) {
    }
}

void qvirtio_negotiate(struct qvirtio *dev, uint64_t wanted)
{
    dev->offered = 0;
    add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(dev, VIRTIO_CONFIG_S_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        common_write(dev, 'l', COMMON(device_feature_select), i);
        dev->offered |= common_read(dev, 'l', COMMON(device_feature)) << (32 * i);
    }
    dev->features = dev->offered & wanted;
    for (unsigned i = 0; i < 2; i++) {
        common_write(dev, 'l', COMMON(guest_feature_select), i);
        common_write(dev, 'l', COMMON(guest_feature), (uint32_t)(dev->features >> (32 * i)));
    }
    add_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    g_assert_true(qvirtio_status(dev) & VIRTIO_CONFIG_S_FEATURES_OK);
}

unsigned qvirtio_num_queues(const struct qvirtio *dev)
{
    return (unsigned)common_read(dev, 'w', COMMON(num_queues));
}

/* What a kick is here: the index of the queue at the address that belongs to it. */
struct notifier {
    struct qtest *qts;
    uint64_t addr;
};

static void notify(struct vqueue *vq)
{
    const struct notifier *to = vq->notify_opaque;

    qtest_write(to->qts, 'w', to->addr, vq->index);
}

static void write_address(const struct qvirtio *dev, size_t at, const struct guest_ram *ram,
                          const void *p)
{
    uint64_t gpa = ram_gpa(ram, p);

    common_write(dev, 'l', at, (uint32_t)gpa);
    common_write(dev, 'l', at + 4, gpa >> 32);
}

void qvirtio_setup_queue(struct qvirtio *dev, struct guest_ram *ram, unsigned index,
                         struct vqueue *vq)
{
    struct notifier *to = NULL;
    unsigned size = 0;

    common_write(dev, 'w', COMMON(queue_select), index);
    size = (unsigned)common_read(dev, 'w', COMMON(queue_size));
    g_assert_cmpuint(size, >, 0);
    g_assert_cmpint(vqueue_init(vq, ram, index, size), ==, 0);
    vq->packed = dev->features & (1ULL << VIRTIO_F_RING_PACKED);
    vq->event_idx = dev->features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
    vq->indirect = dev->features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
    vq->busy_poll = true;
    vqueue_reset(vq, 0);
    to = ram_alloc(ram, sizeof(*to), 16); /* goes away with the guest's memory */
    to->qts = dev->qts;
    to->addr =
        dev->notify + common_read(dev, 'w', COMMON(queue_notify_off)) * dev->notify_multiplier;
    vq->notify = notify;
    vq->notify_opaque = to;
    write_address(dev, COMMON(queue_desc_lo), ram, vq->desc);
    write_address(dev, COMMON(queue_avail_lo), ram, vq->avail);
    write_address(dev, COMMON(queue_used_lo), ram, vq->used);
    common_write(dev, 'w', COMMON(queue_enable), 1);
}

void qvirtio_driver_ok(const struct qvirtio *dev)
{
    add_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
}
