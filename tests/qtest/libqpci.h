/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI by hand, as firmware and a driver's bus code do it: configuration space through the two
 * ports of a PC, one BAR placed where nothing else is.
 */
#ifndef QTEST_LIBQPCI_H
#define QTEST_LIBQPCI_H

#include <stdbool.h>
#include <stdint.h>

#include "libqtest.h"

struct qpci_dev {
    struct qtest *qts;
    unsigned slot; /* on bus 0, function 0 */
};

/* The first device of these ids; false when there is none. */
bool qpci_find(struct qtest *qts, uint16_t vendor, uint16_t device, struct qpci_dev *ret_dev);

uint32_t qpci_config_read(const struct qpci_dev *dev, char width, unsigned at);
void qpci_config_write(const struct qpci_dev *dev, char width, unsigned at, uint32_t value);

/* The next capability of this id after `after` (0: from the start); 0 when there is none. */
unsigned qpci_capability(const struct qpci_dev *dev, uint8_t id, unsigned after);

/* Places a memory BAR and lets the device answer and be a bus master. Returns its address. */
uint64_t qpci_place_bar(const struct qpci_dev *dev, unsigned bar);

#endif
