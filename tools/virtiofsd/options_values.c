/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of options, strictly: the whole text must be the value, numbers have bounds, and what is
 * refused is shown in the reason together with what would be accepted. Nothing depends on the
 * locale.
 */
#include "options_values.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* A hundred years; more seconds than anybody caches, and far from overflowing anything. */
#define SECONDS_MAX 3155760000.0

/* Ids are 32 bits and the last one means "no id" to the kernel. */
#define ID_MAX UINT32_MAX

#define QUOTED_SIZE 256

int value_error(char **ret_error, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    *ret_error = g_strdup_vprintf(fmt, args);
    va_end(args);
    return -EINVAL;
}

char *value_quote(const char *text)
{
    char *buf = g_malloc(QUOTED_SIZE);

    log_quote(buf, QUOTED_SIZE, text, strlen(text));
    return buf;
}

/* `never, auto or always`, each meaning once. */
static char *list_choices(const struct choice *choices)
{
    GString *list = g_string_new(NULL);

    for (const struct choice *c = choices; c->word; c++) {
        if (c > choices) {
            g_string_append(list, c[1].word ? ", " : " or ");
        }
        g_string_append(list, c->word);
    }
    return g_string_free(list, FALSE);
}

int value_to_choice(const char *text, const struct choice *choices, int *ret, char **ret_error)
{
    for (const struct choice *c = choices; c->word; c++) {
        if (g_str_equal(text, c->word)) {
            *ret = c->value;
            return 0;
        }
    }

    g_autofree char *quoted = value_quote(text);
    g_autofree char *words = list_choices(choices);

    return value_error(ret_error, "%s is not one of %s", quoted, words);
}

int value_to_number(const char *text, int64_t min, int64_t max, int64_t *ret, char **ret_error)
{
    gint64 number = 0;

    if (!g_ascii_string_to_signed(text, 10, min, max, &number, NULL)) {
        g_autofree char *quoted = value_quote(text);

        return value_error(
            ret_error, "%s is not a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
            quoted, (gint64)min, (gint64)max);
    }
    *ret = number;
    return 0;
}

int value_to_seconds(const char *text, double *ret, char **ret_error)
{
    char *end = NULL;
    /* strtod would take "inf", "0x1p3" and leading blanks */
    bool is_plain = *text && strspn(text, "0123456789.") == strlen(text);
    double seconds = is_plain ? g_ascii_strtod(text, &end) : -1;

    if (!is_plain || *end || end == text || !isfinite(seconds) || seconds > SECONDS_MAX) {
        g_autofree char *quoted = value_quote(text);

        return value_error(ret_error, "%s is not a number of seconds, such as 0, 1.5 or 86400",
                           quoted);
    }
    *ret = seconds;
    return 0;
}

int value_to_tag(const char *text, char **ret_error)
{
    size_t len = strlen(text);

    if (len < 1 || len > OPTIONS_TAG_MAX || !g_utf8_validate(text, -1, NULL)) {
        g_autofree char *quoted = value_quote(text);

        return value_error(ret_error, "%s is no tag; a tag is UTF-8 text of 1 to %d bytes", quoted,
                           OPTIONS_TAG_MAX);
    }
    return 0;
}

/* The shape only; whether a capability of that name exists is known where they are dropped. */
int value_to_modcaps(const char *text, char **ret_error)
{
    g_auto(GStrv) words = g_strsplit(text, ":", -1);

    for (char **word = words; *word; word++) {
        bool is_signed = (*word)[0] == '+' || (*word)[0] == '-';

        if (!is_signed || !(*word)[1]) {
            g_autofree char *quoted = value_quote(*word);

            return value_error(ret_error,
                               "%s is no change of a capability; write +name to add or "
                               "-name to drop, with colons between",
                               quoted);
        }
    }
    return *words ? 0 : value_error(ret_error, "the list of capabilities is empty");
}

static int text_to_ids(char *const *fields, size_t n, uint32_t *ret, char **ret_error)
{
    for (size_t i = 0; i < n; i++) {
        int64_t id = 0;
        int r = value_to_number(fields[i], 0, ID_MAX, &id, ret_error);

        if (r < 0) {
            return r;
        }
        ret[i] = (uint32_t)id;
    }
    return 0;
}

static int check_range(uint32_t start, uint32_t count, uint64_t end, char **ret_error)
{
    if ((uint64_t)start + count > end) {
        return value_error(ret_error, "%u ids from %u on reach beyond the last id", count, start);
    }
    return 0;
}

/* `:inside:outside:count:`, where the first character is what separates. */
int value_to_id_map(const char *text, struct id_map *ret, char **ret_error)
{
    const char separator[2] = {text[0], '\0'};
    g_auto(GStrv) fields = g_strsplit(text, *separator ? separator : ":", -1);
    uint32_t ids[3] = {0};

    /* an empty field before the first separator and one behind the last */
    if (g_strv_length(fields) != 5 || *fields[4] || g_ascii_isalnum(text[0])) {
        g_autofree char *quoted = value_quote(text);

        return value_error(ret_error, "%s is no id map; write :inside:outside:count:", quoted);
    }

    int r = text_to_ids(fields + 1, 3, ids, ret_error);
    if (r < 0) {
        return r;
    }
    if (ids[2] == 0) {
        return value_error(ret_error, "the count of an id map must not be 0");
    }
    r = check_range(ids[0], ids[2], ID_MAX, ret_error);
    if (r == 0) {
        r = check_range(ids[1], ids[2], ID_MAX, ret_error);
    }
    if (r == 0) {
        *ret = (struct id_map){.inside = ids[0], .outside = ids[1], .count = ids[2]};
    }
    return r;
}

static const struct choice translation_types[] = {
    {"guest", TRANSLATE_GUEST},
    {"host", TRANSLATE_HOST},
    {"squash-guest", TRANSLATE_SQUASH_GUEST},
    {"squash-host", TRANSLATE_SQUASH_HOST},
    {"forbid-guest", TRANSLATE_FORBID_GUEST},
    {"map", TRANSLATE_MAP},
    {NULL, 0},
};

static bool is_range_both_sides(enum id_translation_type type)
{
    return type == TRANSLATE_GUEST || type == TRANSLATE_HOST || type == TRANSLATE_MAP;
}

/* `type:from:to:count`; a forbidden range has no `to`. */
int value_to_translation(const char *text, struct id_translation *ret, char **ret_error)
{
    g_auto(GStrv) fields = g_strsplit(text, ":", -1);
    guint n = g_strv_length(fields);
    int type = 0;
    uint32_t ids[3] = {0};
    int r = value_to_choice(n > 0 ? fields[0] : "", translation_types, &type, ret_error);

    if (r < 0) {
        return r;
    }
    bool has_target = type != TRANSLATE_FORBID_GUEST;
    guint n_ids = has_target ? 3 : 2;
    if (n != n_ids + 1) {
        g_autofree char *quoted = value_quote(text);

        return value_error(ret_error, "%s does not have the form %s:%s", quoted, fields[0],
                           has_target ? "from:to:count" : "from:count");
    }
    r = text_to_ids(fields + 1, n_ids, ids, ret_error);
    if (r < 0) {
        return r;
    }

    const struct id_translation rule = {
        .type = type,
        .from = ids[0],
        .to = has_target ? ids[1] : 0,
        .count = ids[n_ids - 1],
    };
    /* whoever writes "from 100000 on, 4294867296 of them" means all the rest */
    r = check_range(rule.from, rule.count, (uint64_t)ID_MAX + 1, ret_error);
    if (r == 0 && is_range_both_sides(type)) {
        r = check_range(rule.to, rule.count, (uint64_t)ID_MAX + 1, ret_error);
    }
    if (r == 0) {
        *ret = rule;
    }
    return r;
}
