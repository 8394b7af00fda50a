/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table from (directory, name) hashed to 64 bits: two names that collide cost one wrong try.
 */
#include "fs/name_hints.h"

#include <glib.h>
#include <pthread.h>
#include <string.h>

/* 32 bytes each; when there are more the table starts anew, since old hints are mostly stale. */
enum { MAX_HINTS = 1 << 20 };

struct name_hints {
    pthread_mutex_t lock;
    GHashTable *table; /* gint64 -> gint64, both in one allocation */
};

struct hint {
    gint64 key;
    gint64 nodeid;
};

struct name_hints *name_hints_new(void)
{
    struct name_hints *hints = g_new0(struct name_hints, 1);

    pthread_mutex_init(&hints->lock, NULL);
    hints->table = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    return hints;
}

void name_hints_free(struct name_hints *hints)
{
    if (hints) {
        g_hash_table_destroy(hints->table);
        pthread_mutex_destroy(&hints->lock);
        g_free(hints);
    }
}

/* FNV-1a, 64 bits. */
static gint64 key_of(uint64_t dir, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ull ^ dir;

    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash ^ *c) * 0x100000001b3ull;
    }
    return (gint64)hash;
}

void name_hints_set(struct name_hints *hints, uint64_t dir, const char *name, uint64_t nodeid)
{
    struct hint *hint = g_try_new(struct hint, 1);

    if (!hint) {
        return;
    }
    *hint = (struct hint){.key = key_of(dir, name), .nodeid = (gint64)nodeid};
    pthread_mutex_lock(&hints->lock);
    if (g_hash_table_size(hints->table) >= MAX_HINTS) {
        g_hash_table_remove_all(hints->table);
    }
    g_hash_table_replace(hints->table, &hint->key, hint);
    pthread_mutex_unlock(&hints->lock);
}

uint64_t name_hints_get(struct name_hints *hints, uint64_t dir, const char *name)
{
    gint64 key = key_of(dir, name);
    const struct hint *hint = NULL;
    uint64_t nodeid = 0;

    pthread_mutex_lock(&hints->lock);
    hint = g_hash_table_lookup(hints->table, &key);
    nodeid = hint ? (uint64_t)hint->nodeid : 0;
    pthread_mutex_unlock(&hints->lock);
    return nodeid;
}

void name_hints_move(struct name_hints *hints, uint64_t dir, const char *name, uint64_t newdir,
                     const char *newname)
{
    uint64_t nodeid = name_hints_get(hints, dir, name);

    if (nodeid != 0) {
        name_hints_set(hints, newdir, newname, nodeid);
    }
}
