/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration mechanism 1: address at 0xcf8, data at 0xcfc.
 */
#include "libqpci.h"

#include <linux/pci_regs.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc

/* Each slot has its own window in the PCI hole below 4 GiB of both machine types. */
#define BAR_WINDOW     0xe0000000u
#define BAR_WINDOW_LEN 0x100000u

static void select_register(const struct qpci_dev *dev, unsigned at)
{
    qtest_out(dev->qts, 'l', CONFIG_ADDRESS, 0x80000000u | dev->slot << 11 | (at & 0xfc));
}

uint32_t qpci_config_read(const struct qpci_dev *dev, char width, unsigned at)
{
    select_register(dev, at);
    return qtest_in(dev->qts, width, CONFIG_DATA + (at & 3));
}

void qpci_config_write(const struct qpci_dev *dev, char width, unsigned at, uint32_t value)
{
    select_register(dev, at);
    qtest_out(dev->qts, width, CONFIG_DATA + (at & 3), value);
}

bool qpci_find(struct qtest *qts, uint16_t vendor, uint16_t device, struct qpci_dev *ret_dev)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        struct qpci_dev dev = {.qts = qts, .slot = slot};

        if (qpci_config_read(&dev, 'l', PCI_VENDOR_ID) == (vendor | (uint32_t)device << 16)) {
            *ret_dev = dev;
            return true;
        }
    }
    return false;
}

unsigned qpci_capability(const struct qpci_dev *dev, uint8_t id, unsigned after)
{
    unsigned at = qpci_config_read(dev, 'b', after ? after + 1 : PCI_CAPABILITY_LIST);

    while (at && qpci_config_read(dev, 'b', at) != id) {
        at = qpci_config_read(dev, 'b', at + 1);
    }
    return at;
}

uint64_t qpci_place_bar(const struct qpci_dev *dev, unsigned bar)
{
    unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t kind = qpci_config_read(dev, 'l', at);
    uint32_t addr = BAR_WINDOW + dev->slot * BAR_WINDOW_LEN;
    uint32_t command = qpci_config_read(dev, 'w', PCI_COMMAND);

    qpci_config_write(dev, 'l', at, addr);
    if ((kind & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        qpci_config_write(dev, 'l', at + 4, 0);
    }
    qpci_config_write(dev, 'w', PCI_COMMAND, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return addr;
}
