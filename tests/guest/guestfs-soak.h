/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guestfs-tool soak: see guestfs-soak.c. */
#ifndef GUESTFS_SOAK_H
#define GUESTFS_SOAK_H

int cmd_soak(int argc, char **argv);

#endif
