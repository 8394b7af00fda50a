/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User namespaces, for who is not root and for --uid-map/--gid-map. Private to this room.
 */
#ifndef HOST_USERNS_H
#define HOST_USERNS_H

#include "host/sandbox.h"

/* The calling process moves into a user namespace with the configured maps. 0 or -errno. */
int userns_enter(const struct sandbox_config *config, char **ret_error);

/* In the worker, with the share open: become uid and gid 0 of the namespace, where they exist. */
int userns_become_root(const struct sandbox_config *config, char **ret_error);

#endif
