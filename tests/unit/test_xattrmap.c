/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xattr map, as tables: for each map what a guest's name becomes, what a host's name is shown
 * as, and how each mistake in a map is described.
 */
#include "fs/xattrmap.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

/* A guest's name, and the host's name it must become; or the error, with host NULL. */
struct client_row {
    const char *map;
    const char *guest;
    const char *host;
    int error;
};

/* A host's name, and what is listed; NULL: hidden. */
struct server_row {
    const char *map;
    const char *host;
    const char *guest;
};

#define ALL     ":map::user.virtiofs.:"
#define TRUSTED XATTRMAP_TRUSTED_TO_USER
#define WRITTEN                                                                                    \
    "/prefix/all/trusted./user.virtiofs./\n"                                                       \
    "/bad/server//trusted./\n  /bad/client/user.virtiofs.//\n\t/ok/all///\n"
#define NO_LABEL "/unsupported/all/security.selinux/security.selinux//ok/all///"
#define CAPS     ":bad:all:security.capability:security.capability::ok:all:::"
#define CAPS_NO  ":unsupported:all:security.capability:security.capability::ok:all:::"
#define TWO      ":prefix:all:trusted.:user.v.::prefix:all:security.:user.v.::ok:all:user.:user.:"

static const struct client_row client_rows[] = {
    {ALL, "user.a", "user.virtiofs.user.a", 0},
    {ALL, "trusted.overlay.opaque", "user.virtiofs.trusted.overlay.opaque", 0},
    {ALL, "user.virtiofs.a", "user.virtiofs.user.virtiofs.a", 0},
    {TRUSTED, "trusted.overlay.opaque", "user.virtiofs.trusted.overlay.opaque", 0},
    {TRUSTED, "user.a", "user.a", 0},
    {TRUSTED, "security.capability", "security.capability", 0},
    {TRUSTED, "trusted", "trusted", 0},
    {TRUSTED, "user.virtiofs.trusted.overlay.opaque", NULL, -EPERM},
    {TRUSTED, "user.virtiofs.", NULL, -EPERM},
    {WRITTEN, "trusted.a", "user.virtiofs.trusted.a", 0},
    {WRITTEN, "user.virtiofs.trusted.a", NULL, -EPERM},
    {WRITTEN, "user.a", "user.a", 0},
    {NO_LABEL, "security.selinux", NULL, -EOPNOTSUPP},
    {NO_LABEL, "security.selinux2", NULL, -EOPNOTSUPP},
    {NO_LABEL, "security.capability", "security.capability", 0},
    /* an older daemon ended when this name was refused */
    {CAPS, "security.capability", NULL, -EPERM},
    {CAPS_NO, "security.capability", NULL, -EOPNOTSUPP},
    {CAPS, "user.a", "user.a", 0},
    /* the beginning of the name counts, not the other way round */
    {CAPS, "security", "security", 0},
    {":bad:all:security.capability.x::", "security.capability", NULL, -EPERM},
    {TWO, "security.a", "user.v.security.a", 0},
    {TWO, "trusted.a", "user.v.trusted.a", 0},
    {TWO, "user.a", "user.a", 0},
    /* no rule matches */
    {TWO, "system.posix_acl_access", NULL, -EPERM},
    {":ok:server:::", "user.a", NULL, -EPERM},
    {":prefix:server::user.virtiofs.::ok:client:::", "user.a", "user.a", 0},
    {":prefix:client:trusted.:user.virtiofs.:", "trusted.a", "user.virtiofs.trusted.a", 0},
    {":ok:client:user.::", "user.a", "user.a", 0},
    {":ok:client:user.::", "trusted.a", NULL, -EPERM},
    /* the first match decides */
    {":ok:client:user.keep:::bad:client:user.:::ok:all:::", "user.keep1", "user.keep1", 0},
    {":ok:client:user.keep:::bad:client:user.:::ok:all:::", "user.other", NULL, -EPERM},
};

static const struct server_row server_rows[] = {
    {ALL, "user.virtiofs.user.a", "user.a"},
    {ALL, "user.virtiofs.trusted.overlay.opaque", "trusted.overlay.opaque"},
    {ALL, "user.a", NULL},
    {ALL, "security.selinux", NULL},
    {ALL, "user.virtiofs.", NULL}, /* nothing would be left */
    {TRUSTED, "user.virtiofs.trusted.overlay.opaque", "trusted.overlay.opaque"},
    {TRUSTED, "trusted.overlay.opaque", NULL},
    {TRUSTED, "user.a", "user.a"},
    {TRUSTED, "user.virtiofs.other", NULL}, /* the guest could not read it */
    {TRUSTED, "security.selinux", "security.selinux"},
    {WRITTEN, "user.virtiofs.trusted.a", "trusted.a"},
    {WRITTEN, "trusted.a", NULL},
    {WRITTEN, "user.a", "user.a"},
    {NO_LABEL, "security.selinux", NULL},
    {NO_LABEL, "security.capability", "security.capability"},
    {CAPS, "security.capability", NULL},
    {CAPS_NO, "security.capability", NULL},
    {CAPS, "security", "security"},
    {TWO, "user.v.security.a", "security.a"},
    {TWO, "user.v.trusted.a", "trusted.a"},
    {TWO, "user.v.else", "user.v.else"},
    {TWO, "system.posix_acl_access", NULL},
    {":prefix:server::user.virtiofs.:", "user.virtiofs.anything", "anything"},
    {":prefix:server::user.virtiofs.:", "user.a", NULL},
    {":prefix:client::user.virtiofs.:", "user.virtiofs.a", NULL},
    {":ok:server::security.:", "security.a", "security.a"},
    {":ok:server::security.:", "user.a", NULL},
    {":bad:server::security.::ok:server:::", "security.a", NULL},
    {":bad:server::security.::ok:server:::", "user.a", "user.a"},
};

static struct xattrmap *parse(const char *text)
{
    g_autofree char *error = NULL;
    struct xattrmap *map = xattrmap_parse(text, &error);

    if (!map) {
        g_error("map %s: %s", text, error);
    }
    return map;
}

static void names_of_the_guest_follow_the_table(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(client_rows); i++) {
        const struct client_row *row = &client_rows[i];
        struct xattrmap *map = parse(row->map);
        char buf[XATTRMAP_NAME_SIZE];
        const char *host = NULL;
        int r = xattrmap_client(map, row->guest, buf, sizeof(buf), &host);

        g_test_message("%s: %s", row->map, row->guest);
        g_assert_cmpint(r, ==, row->error);
        g_assert_cmpstr(host, ==, row->host);
        xattrmap_free(map);
    }
}

static void names_of_the_host_follow_the_table(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(server_rows); i++) {
        const struct server_row *row = &server_rows[i];
        struct xattrmap *map = parse(row->map);
        const char *guest = NULL;
        int r = xattrmap_server(map, row->host, &guest);

        g_test_message("%s: %s", row->map, row->host);
        g_assert_cmpint(r, ==, row->guest ? 0 : -ENODATA);
        g_assert_cmpstr(guest, ==, row->guest);
        xattrmap_free(map);
    }
}

static void what_the_guest_sets_it_sees_again(void)
{
    static const char *const maps[] = {ALL, TRUSTED, WRITTEN, NO_LABEL, CAPS, TWO};
    static const char *const names[] = {
        "user.a",           "trusted.overlay.redirect", "security.capability",
        "security.selinux", "user.virtiofs.trusted.a",  "system.posix_acl_access",
        "user.v.security.x"};

    for (size_t i = 0; i < G_N_ELEMENTS(maps); i++) {
        struct xattrmap *map = parse(maps[i]);

        for (size_t j = 0; j < G_N_ELEMENTS(names); j++) {
            char buf[XATTRMAP_NAME_SIZE];
            const char *host = NULL;
            const char *guest = NULL;

            if (xattrmap_client(map, names[j], buf, sizeof(buf), &host) == 0) {
                g_test_message("%s: %s", maps[i], names[j]);
                /* TWO lets user.* through by hand, also where it stores: its writer's mistake */
                if (g_str_equal(names[j], "user.v.security.x")) {
                    continue;
                }
                g_assert_cmpint(xattrmap_server(map, host, &guest), ==, 0);
                g_assert_cmpstr(guest, ==, names[j]);
            }
        }
        xattrmap_free(map);
    }
}

static void long_names_are_refused_and_never_cut(void)
{
    struct xattrmap *map = parse(TRUSTED);
    size_t room = XATTRMAP_NAME_MAX - strlen("user.virtiofs.");
    char name[600];
    char buf[XATTRMAP_NAME_SIZE];
    const char *host = NULL;

    memset(name, 'x', sizeof(name));
    memcpy(name, "trusted.", 8);
    name[room] = '\0';
    g_assert_cmpint(xattrmap_client(map, name, buf, sizeof(buf), &host), ==, 0);
    g_assert_cmpuint(strlen(host), ==, XATTRMAP_NAME_MAX);
    g_assert_cmpint(xattrmap_client(map, name, buf, sizeof(buf) - 1, &host), ==, -ERANGE);

    name[room] = 'x';
    name[room + 1] = '\0';
    g_assert_cmpint(xattrmap_client(map, name, buf, sizeof(buf), &host), ==, -ERANGE);

    name[room + 1] = 'x';
    name[sizeof(name) - 1] = '\0';
    g_assert_cmpint(xattrmap_client(map, name, buf, sizeof(buf), &host), ==, -ERANGE);
    xattrmap_free(map);
}

static void any_character_separates(void)
{
    static const char *const separators[] = {":",
                                             "/",
                                             ",",
                                             "|",
                                             "#",
                                             "-",
                                             "=",
                                             "\"",
                                             "\\",
                                             "%",
                                             "z",
                                             "\xc3\xa9",
                                             "\xe2\x86\x92",
                                             "\xf0\x9f\x90\xa7"};

    for (size_t i = 0; i < G_N_ELEMENTS(separators); i++) {
        const char *s = separators[i];
        g_autofree char *text = g_strdup_printf("%sprefix%sall%strusted.%suser.v.%s \n"
                                                "%sok%sclient%suser.%s%s",
                                                s, s, s, s, s, s, s, s, s, s);
        struct xattrmap *map = parse(text);
        char buf[XATTRMAP_NAME_SIZE];
        const char *host = NULL;

        g_assert_cmpint(xattrmap_client(map, "trusted.a", buf, sizeof(buf), &host), ==, 0);
        g_assert_cmpstr(host, ==, "user.v.trusted.a");
        g_assert_cmpint(xattrmap_client(map, "user.a", buf, sizeof(buf), &host), ==, 0);
        g_assert_cmpint(xattrmap_client(map, "system.a", buf, sizeof(buf), &host), ==, -EPERM);
        xattrmap_free(map);
    }
}

static void rules_may_differ_in_their_separator(void)
{
    struct xattrmap *map = parse("\r\n\t :prefix:all:trusted.:user.v.:\n\n\n#bad#all#user.#user.#"
                                 "  |ok|all|||\n ");
    char buf[XATTRMAP_NAME_SIZE];
    const char *host = NULL;

    g_assert_cmpint(xattrmap_client(map, "trusted.a", buf, sizeof(buf), &host), ==, 0);
    g_assert_cmpint(xattrmap_client(map, "user.a", buf, sizeof(buf), &host), ==, -EPERM);
    g_assert_cmpint(xattrmap_client(map, "system.a", buf, sizeof(buf), &host), ==, 0);
    xattrmap_free(map);
}

/* What is wrong, and the rule, line and column that must be named. */
static const struct {
    const char *map;
    const char *place;
    const char *near;
    const char *reason;
} mistakes[] = {
    {"", "rule 1, line 1, column 1", "\"\"", "empty"},
    {" \n\t", "rule 1, line 2, column 2", "\"\"", "empty"},
    {":", "rule 1, line 1, column 2", "\"\"", "type has no ':'"},
    {"a", "rule 1, line 1, column 2", "\"\"", "type has no 'a'"},
    {":prefx:all:a:b:", "rule 1, line 1, column 2", "\"prefx:all:a:b:\"", "type must be"},
    {":prefix:bogus:a:b:", "rule 1, line 1, column 9", "\"bogus:a:b:\"", "scope must be"},
    {":Prefix:all:a:b:", "rule 1, line 1, column 2", "\"Prefix:all:a:b:\"", "type must be"},
    {":ok:all:", "rule 1, line 1, column 9", "\"\"", "key has no ':'"},
    {":ok:all::", "rule 1, line 1, column 10", "\"\"", "prepend has no ':'"},
    {":ok:all::b", "rule 1, line 1, column 10", "\"b\"", "prepend has no ':'"},
    {":ok:all:::\n :bad:all::\n", "rule 2, line 2, column 12", "\"\\x0a\"", "prepend has no ':'"},
    {":ok:all:::\n\n  /bad/al///", "rule 2, line 3, column 8", "\"al///\"", "scope must be"},
    {":map::user.v.::ok:all:::", "rule 2, line 1, column 15", "\":ok:all:::\"", "must be last"},
    {":map:a:b:\n:map:c:d:", "rule 2, line 2, column 1", "\":map:c:d:\"", "must be last"},
    {":map:a::", "rule 1, line 1, column 1", "\":map:a::\"", "needs something"},
    {":map:all:a:b:", "rule 2, line 1, column 12", "\"b:\"", "must be last"},
    {"\xff:", "rule 1, line 1, column 1", "\"\\xff:\"", "valid UTF-8"},
    {":\xff\x1b:", "rule 1, line 1, column 2", "\"\\xff\\x1b:\"", "type must be"},
};

static void a_mistake_is_shown_with_rule_and_place(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autofree char *error = NULL;

        g_assert_null(xattrmap_parse(mistakes[i].map, &error));
        g_test_message("%s", error);
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(error, mistakes[i].place));
        g_assert_nonnull(strstr(error, mistakes[i].near));
        g_assert_nonnull(strstr(error, mistakes[i].reason));
        g_assert_true(g_utf8_validate(error, -1, NULL));
    }
}

static void sizes_have_a_bound(void)
{
    g_autofree char *error = NULL;
    g_autofree char *longest = g_strnfill(XATTRMAP_NAME_MAX + 1, 'x');
    g_autofree char *key = g_strdup_printf(":ok:all:%s::", longest);
    GString *many = g_string_new(NULL);

    g_assert_null(xattrmap_parse(key, &error));
    g_assert_nonnull(strstr(error, "rule 1, line 1, column 9"));
    g_assert_nonnull(strstr(error, "longer than 255"));

    for (int i = 0; i < 2000; i++) {
        g_string_append(many, ":ok:all:::\n");
    }
    g_clear_pointer(&error, g_free);
    g_assert_null(xattrmap_parse(many->str, &error));
    g_assert_nonnull(strstr(error, "more than 1024 rules"));
    g_string_free(many, TRUE);
}

static void freeing_nothing_is_harmless(void)
{
    xattrmap_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xattrmap/names_of_the_guest_follow_the_table",
                    names_of_the_guest_follow_the_table);
    g_test_add_func("/xattrmap/names_of_the_host_follow_the_table",
                    names_of_the_host_follow_the_table);
    g_test_add_func("/xattrmap/what_the_guest_sets_it_sees_again",
                    what_the_guest_sets_it_sees_again);
    g_test_add_func("/xattrmap/long_names_are_refused_and_never_cut",
                    long_names_are_refused_and_never_cut);
    g_test_add_func("/xattrmap/any_character_separates", any_character_separates);
    g_test_add_func("/xattrmap/rules_may_differ_in_their_separator",
                    rules_may_differ_in_their_separator);
    g_test_add_func("/xattrmap/a_mistake_is_shown_with_rule_and_place",
                    a_mistake_is_shown_with_rule_and_place);
    g_test_add_func("/xattrmap/sizes_have_a_bound", sizes_have_a_bound);
    g_test_add_func("/xattrmap/freeing_nothing_is_harmless", freeing_nothing_is_harmless);
    return g_test_run();
}
