/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of options: what exists, how it is written, what it sets; and what is refused because
 * it is not there yet. options.c reads lines with it.
 */
#ifndef OPTIONS_ROWS_H
#define OPTIONS_ROWS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "options_values.h"

/* What a line says, before the pieces are looked at together. */
struct line {
    struct options options;
    double timeout; /* for entries and attributes alike, where they have none of their own */
    bool readdirplus_given;
    bool has_action;
    enum options_action action;
    GArray *uid_map, *gid_map;             /* of struct id_map */
    GArray *translate_uid, *translate_gid; /* of struct id_translation */
};

enum row_form {
    ROW_LONG = 1, /* --name */
    ROW_WORD = 2, /* -o name, where _ and - are the same */
    ROW_BOTH = ROW_LONG | ROW_WORD,
    ROW_OPTIONAL = 4, /* the value may be left out */
    ROW_HIDDEN = 8,   /* not in the help: an old spelling, or the default said aloud */
};

struct row {
    const char *name;
    char short_name;
    unsigned forms;
    const char *value_name; /* NULL: takes no value */
    int (*set)(struct line *line, const struct row *row, const char *value, char **ret_error);
    size_t offset; /* into struct line */
    int64_t min, max;
    const struct choice *choices;
    const char *help;
};

/* Ends with a row without a name. */
extern const struct row option_rows[];

/* The log levels' names; RUST_LOG uses them too. */
extern const struct choice log_level_choices[];

/*
 * The row of that name in one of the forms, or NULL; `len` bytes of name, where '_' stands for '-'
 * in a word.
 */
const struct row *row_find(const char *name, size_t len, enum row_form form);

/* False for what is refused with every value: the help does not mention it. */
bool row_is_supported(const struct row *row);

/* Sets what the row says, or refuses it as not there yet. value is NULL when there was none. */
int row_set(struct line *line, const struct row *row, const char *value, char **ret_error);

#endif
