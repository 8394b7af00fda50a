/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the command line. The input is the line, one word a line; callers pass words that come
 * from annotations of a container, so no line may crash, leak or yield numbers out of bounds.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static void check(const struct options *o, enum options_action action)
{
    expect(o->fd >= OPTIONS_FD_NONE);
    expect(o->thread_pool_size >= OPTIONS_THREADS_AUTO &&
           o->thread_pool_size <= OPTIONS_THREADS_MAX);
    expect(o->poll_us <= OPTIONS_POLL_US_MAX);
    expect(o->entry_timeout >= 0 && o->attr_timeout >= 0 && o->negative_timeout >= 0);
    expect(o->n_translate_uid <= OPTIONS_MAX_ID_RULES && o->n_uid_map <= OPTIONS_MAX_ID_RULES);
    if (action == OPTIONS_RUN) {
        expect(o->shared_dir && (o->fd >= 0) != (o->socket_path != NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    g_auto(GStrv) argv = g_strsplit(text, "\n", -1);
    struct options options;
    enum options_action action = OPTIONS_RUN;
    char *error = NULL;

    if (options_parse((int)g_strv_length(argv), argv, &options, &action, &error) == 0) {
        check(&options, action);
        options_done(&options);
    } else {
        expect(error && g_utf8_validate(error, -1, NULL));
        g_free(error);
    }
    return 0;
}
