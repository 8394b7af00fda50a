/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the xattr map: the input is a map, then names with a NUL between. A map comes from the
 * administrator, names come from the guest and from the host's files. No result may be longer than
 * a host takes, and an error names its rule.
 */
#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/xattrmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static void look_up(const struct xattrmap *map, const char *name)
{
    char buf[XATTRMAP_NAME_SIZE];
    const char *host = NULL;
    const char *guest = NULL;
    int r = xattrmap_client(map, name, buf, sizeof(buf), &host);

    if (r == 0) {
        expect(host == name || (host == buf && strlen(buf) <= XATTRMAP_NAME_MAX));
    } else {
        expect(r == -EPERM || r == -EOPNOTSUPP || r == -ERANGE);
    }

    r = xattrmap_server(map, name, &guest);
    if (r == 0) {
        expect(guest >= name && *guest && guest < name + strlen(name));
    } else {
        expect(r == -ENODATA);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_malloc0(size + 1);
    char *error = NULL;

    if (size > 0) {
        memcpy(text, data, size);
    }

    struct xattrmap *map = xattrmap_parse(text, &error);
    if (!map) {
        expect(error && strstr(error, "rule "));
        g_free(error);
        return 0;
    }
    for (const char *p = text + strlen(text) + 1; p < text + size; p += strlen(p) + 1) {
        look_up(map, p);
    }
    look_up(map, "trusted.overlay.opaque");
    look_up(map, "user.virtiofs.trusted.overlay.opaque");
    xattrmap_free(map);
    return 0;
}
