/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of one option's value into a number, a word of a list, or an id map.
 *
 * Everything returns 0 or -EINVAL with the reason in *ret_error (g_free), without the option's
 * name: options.c puts it in front. Text is quoted and escaped in reasons.
 */
#ifndef OPTIONS_VALUES_H
#define OPTIONS_VALUES_H

#include <glib.h>
#include <stdint.h>

#include "options.h"

/* A word that may be chosen. Lists end with a NULL word; several words may mean the same. */
struct choice {
    const char *word;
    int value;
};

int value_error(char **ret_error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
char *value_quote(const char *text);

int value_to_choice(const char *text, const struct choice *choices, int *ret, char **ret_error);
int value_to_number(const char *text, int64_t min, int64_t max, int64_t *ret, char **ret_error);
int value_to_seconds(const char *text, double *ret, char **ret_error);
int value_to_tag(const char *text, char **ret_error);
int value_to_modcaps(const char *text, char **ret_error);
int value_to_id_map(const char *text, struct id_map *ret, char **ret_error);
int value_to_translation(const char *text, struct id_translation *ret, char **ret_error);

#endif
