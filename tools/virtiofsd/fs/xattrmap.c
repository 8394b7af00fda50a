/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parses the xattr map and looks names up in it.
 *
 * The parser walks over the text once with a cursor that knows which rule it is in, so that every
 * complaint names the rule and the place. `map`, the shorthand, is written out as plain rules here;
 * lookup only knows plain ones.
 *
 * The guest chooses names, the administrator chose the map: lookup trusts the rules and bounds the
 * names.
 */
#include "fs/xattrmap.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"

/* More than anybody wrote so far; a list that long would make every lookup slow. */
#define MAX_RULES 1024

enum rule_type { RULE_PREFIX, RULE_OK, RULE_BAD, RULE_UNSUPPORTED, RULE_MAP };

enum rule_scope { SCOPE_CLIENT = 1, SCOPE_SERVER = 2, SCOPE_ALL = SCOPE_CLIENT | SCOPE_SERVER };

struct rule {
    enum rule_type type;
    enum rule_scope scope;
    char *key;     /* what a guest's name begins with */
    char *prepend; /* what a host's name begins with */
    size_t key_len, prepend_len;
};

struct xattrmap {
    GArray *rules; /* of struct rule */
};

static void rule_clear(void *data)
{
    struct rule *rule = data;

    g_free(rule->key);
    g_free(rule->prepend);
}

void xattrmap_free(struct xattrmap *map)
{
    if (!map) {
        return;
    }
    g_array_unref(map->rules);
    g_free(map);
}

static void add_rule(struct xattrmap *map, enum rule_type type, enum rule_scope scope,
                     const char *key, const char *prepend)
{
    const struct rule rule = {
        .type = type,
        .scope = scope,
        .key = g_strdup(key),
        .prepend = g_strdup(prepend),
        .key_len = strlen(key),
        .prepend_len = strlen(prepend),
    };

    g_array_append_val(map->rules, rule);
}

/*
 * The shorthand: what begins with key lives on the host behind prepend, in both directions, and
 * nobody reaches around it. Without a key that is every name, so all else is hidden and refused.
 */
static void add_map_rules(struct xattrmap *map, const char *key, const char *prepend)
{
    add_rule(map, RULE_PREFIX, SCOPE_ALL, key, prepend);
    if (!*key) {
        add_rule(map, RULE_BAD, SCOPE_ALL, "", "");
        return;
    }
    add_rule(map, RULE_BAD, SCOPE_SERVER, "", key);     /* the host's own */
    add_rule(map, RULE_BAD, SCOPE_SERVER, "", prepend); /* stored there by something else */
    add_rule(map, RULE_BAD, SCOPE_CLIENT, prepend, ""); /* the stored names themselves */
    add_rule(map, RULE_OK, SCOPE_ALL, "", "");
}

struct cursor {
    const char *text; /* the whole map, for positions */
    const char *at;
    char separator[8]; /* one character, as UTF-8 */
    unsigned rule;     /* counted from 1 */
    char **ret_error;
};

struct field {
    const char *start;
    size_t len;
};

/* Says what is wrong at `place`; always false, so that callers can return it. */
G_GNUC_PRINTF(3, 4)
static bool complain(const struct cursor *c, const char *place, const char *fmt, ...)
{
    unsigned line = 1;
    const char *line_start = c->text;

    for (const char *p = c->text; p < place; p++) {
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    }

    va_list args;
    va_start(args, fmt);
    g_autofree char *what = g_strdup_vprintf(fmt, args);
    va_end(args);

    char near[64];
    const char *text = log_quote(near, sizeof(near), place, strlen(place));

    *c->ret_error = g_strdup_printf("xattr map, rule %u, line %u, column %zu, at %s: %s", c->rule,
                                    line, (size_t)(place - line_start) + 1, text, what);
    return false;
}

static void skip_space(struct cursor *c)
{
    while (g_ascii_isspace(*c->at)) {
        c->at++;
    }
}

/* The first character of a rule separates its fields. */
static bool read_separator(struct cursor *c)
{
    gunichar character = g_utf8_get_char_validated(c->at, -1);

    if (character == (gunichar)-1 || character == (gunichar)-2) {
        return complain(c, c->at, "the separator is not a valid UTF-8 character");
    }
    c->separator[g_unichar_to_utf8(character, c->separator)] = '\0';
    c->at += strlen(c->separator);
    return true;
}

/* Everything up to the next separator, which is skipped. */
static bool read_field(struct cursor *c, const char *name, struct field *ret)
{
    const char *end = strstr(c->at, c->separator);

    if (!end) {
        return complain(c, c->at, "the %s has no '%s' behind it; a rule ends with its separator",
                        name, c->separator);
    }
    *ret = (struct field){c->at, (size_t)(end - c->at)};
    c->at = end + strlen(c->separator);
    return true;
}

struct word {
    const char *text;
    int value;
};

static const struct word type_words[] = {
    {"prefix", RULE_PREFIX},           {"ok", RULE_OK},   {"bad", RULE_BAD},
    {"unsupported", RULE_UNSUPPORTED}, {"map", RULE_MAP},
};

static const struct word scope_words[] = {
    {"client", SCOPE_CLIENT},
    {"server", SCOPE_SERVER},
    {"all", SCOPE_ALL},
};

static bool field_to_word(const struct field *field, const struct word *words, size_t n_words,
                          int *ret)
{
    for (size_t i = 0; i < n_words; i++) {
        if (strlen(words[i].text) == field->len &&
            !memcmp(words[i].text, field->start, field->len)) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

static bool read_type(struct cursor *c, enum rule_type *ret)
{
    struct field field;
    int value = 0;

    if (!read_field(c, "type", &field)) {
        return false;
    }
    if (!field_to_word(&field, type_words, G_N_ELEMENTS(type_words), &value)) {
        return complain(c, field.start, "the type must be prefix, ok, bad, unsupported or map");
    }
    *ret = value;
    return true;
}

static bool read_scope(struct cursor *c, enum rule_scope *ret)
{
    struct field field;
    int value = 0;

    if (!read_field(c, "scope", &field)) {
        return false;
    }
    if (!field_to_word(&field, scope_words, G_N_ELEMENTS(scope_words), &value)) {
        return complain(c, field.start, "the scope must be client, server or all");
    }
    *ret = value;
    return true;
}

/* The beginning of a name, which may be empty. The caller frees it. */
static bool read_beginning(struct cursor *c, const char *which, char **ret)
{
    struct field field;

    if (!read_field(c, which, &field)) {
        return false;
    }
    if (field.len > XATTRMAP_NAME_MAX) {
        return complain(c, field.start, "the %s is longer than %d bytes, so no name begins with it",
                        which, XATTRMAP_NAME_MAX);
    }
    *ret = g_strndup(field.start, field.len);
    return true;
}

/* One rule, from its separator to the separator that ends it. */
static bool read_rule(struct cursor *c, struct xattrmap *map)
{
    const char *start = c->at;
    enum rule_type type = RULE_OK;
    enum rule_scope scope = SCOPE_ALL;
    g_autofree char *key = NULL;
    g_autofree char *prepend = NULL;

    if (!read_separator(c) || !read_type(c, &type) ||
        (type != RULE_MAP && !read_scope(c, &scope)) || !read_beginning(c, "key", &key) ||
        !read_beginning(c, "prepend", &prepend)) {
        return false;
    }
    if (type != RULE_MAP) {
        add_rule(map, type, scope, key, prepend);
        return true;
    }
    if (!*prepend) {
        return complain(c, start, "a map rule needs something to prepend");
    }
    add_map_rules(map, key, prepend);
    skip_space(c);
    if (*c->at) {
        c->rule++;
        return complain(c, c->at, "a map rule stands for everything that follows; it must be last");
    }
    return true;
}

static bool read_rules(struct cursor *c, struct xattrmap *map)
{
    skip_space(c);
    if (!*c->at) {
        return complain(c, c->at,
                        "the map is empty; leave it out to pass all names on as they are");
    }
    while (*c->at) {
        if (c->rule > MAX_RULES) {
            return complain(c, c->at, "there are more than %d rules", MAX_RULES);
        }
        if (!read_rule(c, map)) {
            return false;
        }
        c->rule++;
        skip_space(c);
    }
    return true;
}

struct xattrmap *xattrmap_parse(const char *text, char **ret_error)
{
    struct cursor c = {.text = text, .at = text, .rule = 1, .ret_error = ret_error};
    struct xattrmap *map = g_new0(struct xattrmap, 1);

    map->rules = g_array_new(FALSE, FALSE, sizeof(struct rule));
    g_array_set_clear_func(map->rules, rule_clear);
    if (!read_rules(&c, map)) {
        xattrmap_free(map);
        return NULL;
    }
    return map;
}

static int prefix_name(const struct rule *rule, const char *name, char *buf, size_t size,
                       const char **ret_host_name)
{
    size_t len = strlen(name);

    if (len > XATTRMAP_NAME_MAX || rule->prepend_len + len > XATTRMAP_NAME_MAX ||
        rule->prepend_len + len >= size) {
        return -ERANGE;
    }
    memcpy(buf, rule->prepend, rule->prepend_len);
    memcpy(buf + rule->prepend_len, name, len + 1);
    *ret_host_name = buf;
    return 0;
}

int xattrmap_client(const struct xattrmap *map, const char *name, char *buf, size_t size,
                    const char **ret_host_name)
{
    for (guint i = 0; i < map->rules->len; i++) {
        const struct rule *rule = &g_array_index(map->rules, struct rule, i);

        if (!(rule->scope & SCOPE_CLIENT) || strncmp(name, rule->key, rule->key_len) != 0) {
            continue;
        }
        switch (rule->type) {
        case RULE_PREFIX:
            return prefix_name(rule, name, buf, size, ret_host_name);
        case RULE_OK:
            *ret_host_name = name;
            return 0;
        case RULE_UNSUPPORTED:
            return -EOPNOTSUPP;
        default:
            return -EPERM;
        }
    }
    return -EPERM;
}

/*
 * Whether the rule decides about a host's name. A rule that prefixes in both directions only strips
 * what it would have prefixed itself: a name that came about otherwise would be listed under a name
 * the guest cannot read, and a copy-up of overlayfs fails on such a name.
 */
static bool matches_server(const struct rule *rule, const char *host_name)
{
    if (!(rule->scope & SCOPE_SERVER) ||
        strncmp(host_name, rule->prepend, rule->prepend_len) != 0) {
        return false;
    }
    if (rule->type != RULE_PREFIX || rule->scope != SCOPE_ALL) {
        return true;
    }
    return strncmp(host_name + rule->prepend_len, rule->key, rule->key_len) == 0;
}

int xattrmap_server(const struct xattrmap *map, const char *host_name, const char **ret_guest_name)
{
    for (guint i = 0; i < map->rules->len; i++) {
        const struct rule *rule = &g_array_index(map->rules, struct rule, i);
        const char *guest_name = host_name;

        if (!matches_server(rule, host_name)) {
            continue;
        }
        if (rule->type != RULE_PREFIX && rule->type != RULE_OK) {
            return -ENODATA;
        }
        if (rule->type == RULE_PREFIX) {
            guest_name += rule->prepend_len;
        }
        if (!*guest_name) {
            return -ENODATA; /* nothing is left, and an empty name would end the guest's list */
        }
        *ret_guest_name = guest_name;
        return 0;
    }
    return -ENODATA;
}
