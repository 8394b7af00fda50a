/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xattr map: which name an extended attribute of the guest has on the host.
 *
 * A map is an ordered list of rules and the first one that matches a name decides. Rules are
 * written `:type:scope:key:prepend:`; docs/virtiofsd.rst explains them. A map never changes once
 * it is parsed and may be used from any thread. Looking a name up allocates nothing.
 */
#ifndef FS_XATTRMAP_H
#define FS_XATTRMAP_H

#include <stddef.h>

/* Longest name a host takes (XATTR_NAME_MAX), and the room for one with its NUL. */
#define XATTRMAP_NAME_MAX  255
#define XATTRMAP_NAME_SIZE (XATTRMAP_NAME_MAX + 1)

/* The widely used map that keeps a guest's trusted.* in what an ordinary user may write. */
#define XATTRMAP_TRUSTED_TO_USER ":map:trusted.:user.virtiofs.:"

/* The same, and capabilities too: for a daemon that may not set security.capability itself. */
#define XATTRMAP_TRUSTED_AND_CAPS_TO_USER                                                          \
    ":prefix:all:security.capability:user.virtiofs.:" XATTRMAP_TRUSTED_TO_USER

struct xattrmap;

/* NULL and one sentence with the rule and the place in *ret_error (g_free) when text is wrong. */
struct xattrmap *xattrmap_parse(const char *text, char **ret_error);
void xattrmap_free(struct xattrmap *map);

/*
 * The guest names `name` in get, set or remove. Returns 0 and the host's name, which is `name`
 * itself or lies in buf[size] (XATTRMAP_NAME_SIZE holds every result); -EPERM for what a `bad` rule
 * or no rule matches; -EOPNOTSUPP for an `unsupported` rule; -ERANGE if the host's name would be
 * longer than a host takes.
 *
 * Reading or removing a name that is refused with -EPERM is best answered with -ENODATA: the guest
 * cannot have such an attribute, and an overlayfs gives up on other errors.
 */
int xattrmap_client(const struct xattrmap *map, const char *name, char *buf, size_t size,
                    const char **ret_host_name);

/*
 * A host's list contains `host_name`. Returns 0 and the name to show to the guest, a pointer into
 * host_name; -ENODATA when it must not be shown.
 */
int xattrmap_server(const struct xattrmap *map, const char *host_name, const char **ret_guest_name);

#endif
