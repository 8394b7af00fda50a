/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line, from words to a struct.
 *
 * In this order: look whether help, the version or the capabilities are asked for, which wins over
 * everything else, however wrong the rest may be; let GOption split the line and call back for each
 * option, and split the words of `-o` here; then look at the pieces together and fill in what
 * depends on others. What an option is called and what it sets is in options_rows.c.
 */
#include "options.h"

#include <errno.h>
#include <string.h>

#include "config.h"
#include "options_rows.h"

#define PROGRAM       "virtiofsd"
#define SECONDS_UNSET (-1.0)

static void line_init(struct line *line)
{
    *line = (struct line){
        .options =
            {
                .fd = OPTIONS_FD_NONE,
                .cache = CACHE_AUTO,
                .entry_timeout = SECONDS_UNSET,
                .attr_timeout = SECONDS_UNSET,
                .negative_timeout = SECONDS_UNSET,
                .announce_submounts = true,
                .inode_file_handles = FILE_HANDLES_PREFER,
                .rlimit_nofile = OPTIONS_NOFILE_AUTO,
                .thread_pool_size = OPTIONS_THREADS_AUTO,
                .poll_us = OPTIONS_POLL_US_DEFAULT,
                .log_level = LOG_LEVEL_INFO,
            },
        .timeout = SECONDS_UNSET,
        .action = OPTIONS_RUN,
        .uid_map = g_array_new(FALSE, FALSE, sizeof(struct id_map)),
        .gid_map = g_array_new(FALSE, FALSE, sizeof(struct id_map)),
        .translate_uid = g_array_new(FALSE, FALSE, sizeof(struct id_translation)),
        .translate_gid = g_array_new(FALSE, FALSE, sizeof(struct id_translation)),
    };
}

static void line_done(struct line *line)
{
    options_done(&line->options);
    g_clear_pointer(&line->uid_map, g_array_unref);
    g_clear_pointer(&line->gid_map, g_array_unref);
    g_clear_pointer(&line->translate_uid, g_array_unref);
    g_clear_pointer(&line->translate_gid, g_array_unref);
}

void options_done(struct options *options)
{
    g_free(options->shared_dir);
    g_free(options->socket_path);
    g_free(options->socket_group);
    g_free(options->tag);
    g_free(options->mount_dir);
    g_free(options->mount_options);
    g_free(options->xattrmap);
    g_free(options->modcaps);
    g_free(options->metrics);
    g_free(options->trace);
    g_free(options->uid_map);
    g_free(options->gid_map);
    g_free(options->translate_uid);
    g_free(options->translate_gid);
    *options = (struct options){.fd = OPTIONS_FD_NONE};
}

/* Sets a row and puts the option's name, as it was written, in front of what is wrong. */
static int set_named(struct line *line, const struct row *row, const char *shown, const char *value,
                     char **ret_error)
{
    g_autofree char *reason = NULL;
    int r = row_set(line, row, value, &reason);

    return r < 0 ? value_error(ret_error, "%s: %s", shown, reason) : 0;
}

static int set_word(struct line *line, const char *word, char **ret_error)
{
    const char *equals = strchr(word, '=');
    size_t name_len = equals ? (size_t)(equals - word) : strlen(word);
    const struct row *row = row_find(word, name_len, ROW_WORD);

    if (!row) {
        g_autofree char *quoted = value_quote(word);

        return value_error(ret_error, "-o: %s is unknown; see --help for what there is", quoted);
    }

    g_autofree char *name = g_strndup(word, name_len);
    g_autofree char *shown = g_strdup_printf("-o %s", name);
    if (equals && !row->value_name) {
        return value_error(ret_error, "%s takes no value", shown);
    }
    if (!equals && row->value_name && !(row->forms & ROW_OPTIONAL)) {
        return value_error(ret_error, "%s needs a value: %s=%s", shown, name, row->value_name);
    }
    return set_named(line, row, shown, equals ? equals + 1 : NULL, ret_error);
}

/* Cuts the next word off a list in which a doubled comma stands for a comma. */
static char *next_word(const char **list)
{
    GString *word = g_string_new(NULL);
    const char *p = *list;

    while (*p && (*p != ',' || p[1] == ',')) {
        g_string_append_c(word, *p);
        p += *p == ',' ? 2 : 1;
    }
    *list = *p ? p + 1 : p;
    return g_string_free(word, FALSE);
}

static int set_words(struct line *line, const char *list, char **ret_error)
{
    int r = 0;

    while (r == 0 && *list) {
        g_autofree char *word = next_word(&list);

        if (*word) {
            r = set_word(line, word, ret_error);
        }
    }
    return r;
}

/* GOption found an option: "--name" or "-n", with its value. */
static gboolean on_option(const char *written, const char *value, void *data, GError **error)
{
    struct line *line = data;
    g_autofree char *reason = NULL;
    int r;

    if (g_str_equal(written, "-o") || g_str_equal(written, "--option")) {
        r = set_words(line, value, &reason);
    } else {
        const struct row *row = NULL;

        for (row = option_rows; row->name; row++) {
            bool is_short = written[1] == row->short_name && !written[2];

            if ((row->forms & ROW_LONG) && (is_short || g_str_equal(written + 2, row->name))) {
                break;
            }
        }
        r = set_named(line, row, written, value, &reason);
    }
    if (r < 0) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, reason);
    }
    return r == 0;
}

static void add_entry(GArray *entries, const struct row *row)
{
    GOptionEntry entry = {
        .long_name = row->name,
        .short_name = row->short_name,
        .flags = G_OPTION_FLAG_FILENAME, /* bytes, whatever the locale */
        .arg = G_OPTION_ARG_CALLBACK,
        .arg_data = on_option,
        .description = row->help,
        .arg_description = row->value_name,
    };

    if (!row->value_name) {
        entry.flags = G_OPTION_FLAG_NO_ARG;
    } else if (row->forms & ROW_OPTIONAL) {
        entry.flags |= G_OPTION_FLAG_OPTIONAL_ARG;
    }
    if ((row->forms & ROW_HIDDEN) || !row_is_supported(row)) {
        entry.flags |= G_OPTION_FLAG_HIDDEN;
    }
    g_array_append_val(entries, entry);
}

static GOptionContext *context_new(struct line *line)
{
    static const struct row words_row = {"option", 'o', ROW_LONG, "WORD,...",
                                         .help = "Options in the older spelling, see below"};
    g_autoptr(GArray) entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));
    GOptionContext *context = g_option_context_new("--shared-dir=DIR --socket-path=PATH");
    GOptionGroup *group = g_option_group_new(PROGRAM, "", "", line, NULL);

    for (const struct row *row = option_rows; row->name; row++) {
        if (row->forms & ROW_LONG) {
            add_entry(entries, row);
        }
    }
    add_entry(entries, &words_row);
    g_option_group_add_entries(group, (const GOptionEntry *)(void *)entries->data);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    return context;
}

/* Whether the word is an option whose value is the next word. */
static bool takes_next(const char *word)
{
    if (g_str_has_prefix(word, "--")) {
        const struct row *row = row_find(word + 2, strlen(word + 2), ROW_LONG);

        return g_str_equal(word, "--option") ||
               (row && row->value_name && !(row->forms & ROW_OPTIONAL));
    }
    const char *o = word[0] == '-' ? strchr(word, 'o') : NULL;

    return o && !o[1]; /* -o itself, or at the end of short ones together */
}

/* True when the word asks for one of the texts that win over everything. */
static bool is_action(const char *word, enum options_action *ret)
{
    static const struct {
        const char *word;
        enum options_action action;
    } actions[] = {
        {"--help", OPTIONS_HELP},       {"-h", OPTIONS_HELP},
        {"--version", OPTIONS_VERSION}, {"-V", OPTIONS_VERSION},
        {"-?", OPTIONS_HELP},           {"--print-capabilities", OPTIONS_PRINT_CAPABILITIES},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (g_str_equal(word, actions[i].word)) {
            *ret = actions[i].action;
            return true;
        }
    }
    return false;
}

/* The first one on the line, but --print-capabilities from anywhere: other options do not count. */
static bool find_action(int argc, char *const *argv, enum options_action *ret)
{
    bool found = false;

    for (int i = 1; i < argc && !g_str_equal(argv[i], "--"); i++) {
        enum options_action action = OPTIONS_RUN;

        if (takes_next(argv[i])) {
            i++; /* a value that looks like an option */
        } else if (is_action(argv[i], &action) &&
                   (!found || action == OPTIONS_PRINT_CAPABILITIES)) {
            *ret = action;
            found = true;
        }
    }
    return found;
}

/* A copy of the line for GOption, which does not know `-oWORDS` written in one. */
static char **split_line(int argc, char *const *argv)
{
    GPtrArray *words = g_ptr_array_new();
    bool is_value = false;

    for (int i = 0; i < argc; i++) {
        bool is_glued = i > 0 && !is_value && g_str_has_prefix(argv[i], "-o") && argv[i][2];

        is_value = i > 0 && !is_value && !is_glued && takes_next(argv[i]);
        if (is_glued) {
            g_ptr_array_add(words, g_strdup("-o"));
        }
        g_ptr_array_add(words, g_strdup(is_glued ? argv[i] + 2 : argv[i]));
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* GOption would drop the value of an option that takes none, and --readonly=no would not say no. */
static int check_flag(const char *word, char **ret_error)
{
    const char *equals = g_str_has_prefix(word, "--") ? strchr(word, '=') : NULL;
    const struct row *row =
        equals ? row_find(word + 2, (size_t)(equals - word) - 2, ROW_LONG) : NULL;

    if (row && !row->value_name) {
        return value_error(ret_error, "--%s takes no value", row->name);
    }
    return 0;
}

static int check_flags(char *const *words, char **ret_error)
{
    int r = 0;

    for (size_t i = 1; r == 0 && words[i]; i++) {
        r = check_flag(words[i], ret_error);
        if (takes_next(words[i]) && words[i + 1]) {
            i++; /* a value that looks like an option */
        }
    }
    return r;
}

static int read_line(struct line *line, int argc, char *const *argv, char **ret_error)
{
    g_autoptr(GOptionContext) context = context_new(line);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) words = split_line(argc, argv);
    int r = check_flags(words, ret_error);

    if (r < 0) {
        return r;
    }
    if (!g_option_context_parse_strv(context, &words, &error)) {
        bool is_ours = g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);

        g_autofree char *message = g_utf8_make_valid(error->message, -1);

        return value_error(ret_error, is_ours ? "%s" : "%s; see --help for what there is", message);
    }
    if (words[0] && words[1]) {
        g_autofree char *quoted = value_quote(words[1]);

        return value_error(ret_error,
                           "%s is not an option; the shared directory is named with "
                           "--shared-dir",
                           quoted);
    }
    return 0;
}

/* A level word in RUST_LOG overrides the line, as in the Rust daemon; its filter language is not
 * ours. */
static void read_environment(struct line *line)
{
    const char *rust_log = g_getenv("RUST_LOG");

    for (const struct choice *c = log_level_choices; rust_log && c->word; c++) {
        if (g_ascii_strcasecmp(rust_log, c->word) == 0) {
            line->options.log_level = (enum log_level)c->value;
        }
    }
}

/* What must be there for serving the host itself, or a guest, and how that one connects. */
static int check_socket(const struct options *o, char **ret_error)
{
    if (o->mount_dir && (o->fd != OPTIONS_FD_NONE || o->socket_path)) {
        return value_error(ret_error, "--mount and a socket exclude each other; start a daemon "
                                      "for each");
    }
    if (o->mount_options && !o->mount_dir) {
        return value_error(ret_error, "--mount-options belongs to --mount; add that or leave the "
                                      "options out");
    }
    if (o->fd != OPTIONS_FD_NONE && o->socket_path) {
        return value_error(ret_error, "--fd and --socket-path exclude each other; give only one");
    }
    if (o->socket_group && !o->socket_path) {
        return value_error(ret_error, "--socket-group belongs to a socket made with --socket-path; "
                                      "add that or leave the group out");
    }
    if (o->fd == OPTIONS_FD_NONE && !o->socket_path && !o->mount_dir) {
        return value_error(ret_error, "there is no socket to serve on; add --socket-path=PATH, or "
                                      "--fd=N for one that is inherited");
    }
    return 0;
}

static int check_line(const struct line *line, char **ret_error)
{
    const struct options *o = &line->options;

    if (!o->shared_dir) {
        return value_error(ret_error, "there is nothing to share; add --shared-dir=DIR");
    }
    if ((line->uid_map->len || line->gid_map->len) && o->sandbox != SANDBOX_NAMESPACE) {
        return value_error(ret_error, "--uid-map and --gid-map describe the user namespace of "
                                      "--sandbox=namespace; use that or leave them out");
    }
    if (o->overlay_upper && o->readonly) {
        return value_error(ret_error, "--overlay-upper and --readonly exclude each other: an upper "
                                      "layer is written to");
    }
    if (o->json && line->action != OPTIONS_CHECK) {
        return value_error(ret_error, "--json says how --check answers; add --check or leave it "
                                      "out");
    }
    return line->action == OPTIONS_CHECK ? 0 : check_socket(o, ret_error);
}

static double first_set(double specific, double general, double otherwise)
{
    return specific >= 0 ? specific : general >= 0 ? general : otherwise;
}

/* Fills in what was not said and follows from what was. */
static void resolve(struct line *line)
{
    static const double seconds[] = {
        [CACHE_NEVER] = 0, [CACHE_METADATA] = 86400, [CACHE_AUTO] = 1, [CACHE_ALWAYS] = 86400};
    struct options *o = &line->options;
    double by_cache = seconds[o->cache];

    o->entry_timeout = first_set(o->entry_timeout, line->timeout, by_cache);
    o->attr_timeout = first_set(o->attr_timeout, line->timeout, by_cache);
    o->negative_timeout = first_set(o->negative_timeout, SECONDS_UNSET, 0);
    if (!line->readdirplus_given) {
        o->readdirplus = o->cache != CACHE_NEVER; /* the attributes would be thrown away */
    }
    if (o->xattrmap || o->overlay_upper || o->posix_acl != OPTION_NEVER ||
        o->security_label != OPTION_NEVER) {
        o->xattr = true;
    }
}

static void *give_list(GArray **list, size_t *ret_n)
{
    *ret_n = (*list)->len;
    return g_array_free(g_steal_pointer(list), FALSE);
}

static void give(struct line *line, struct options *ret)
{
    *ret = line->options;
    line->options = (struct options){0};
    ret->uid_map = give_list(&line->uid_map, &ret->n_uid_map);
    ret->gid_map = give_list(&line->gid_map, &ret->n_gid_map);
    ret->translate_uid = give_list(&line->translate_uid, &ret->n_translate_uid);
    ret->translate_gid = give_list(&line->translate_gid, &ret->n_translate_gid);
}

int options_parse(int argc, char *const *argv, struct options *ret, enum options_action *ret_action,
                  char **ret_error)
{
    struct line line;
    int r = 0;

    line_init(&line);
    if (argc <= 1) {
        line.action = OPTIONS_HELP;
    } else if (!find_action(argc, argv, &line.action)) {
        r = read_line(&line, argc, argv, ret_error);
        read_environment(&line);
    }
    if (r == 0 && (line.action == OPTIONS_RUN || line.action == OPTIONS_CHECK)) {
        r = check_line(&line, ret_error);
    }
    if (r == 0) {
        resolve(&line);
        *ret_action = line.action;
        give(&line, ret);
    }
    line_done(&line);
    return r;
}

/* The words of -o, in lines that fit a terminal. */
static char *words_text(void)
{
    GString *text =
        g_string_new("Words of -o, with commas between (a doubled comma is a comma):\n ");
    size_t column = 1;

    for (const struct row *row = option_rows; row->name; row++) {
        if (!(row->forms & ROW_WORD) || !row_is_supported(row)) {
            continue;
        }
        g_autofree char *word = g_strdup_printf(" %s%s%s", row->name, row->value_name ? "=" : "",
                                                row->value_name ? row->value_name : "");

        g_strdelimit(word, "-", '_');
        if (column + strlen(word) > 78) {
            g_string_append(text, "\n ");
            column = 1;
        }
        g_string_append(text, word);
        column += strlen(word);
    }
    return g_string_free(text, FALSE);
}

char *options_help_text(void)
{
    struct line line;
    line_init(&line);
    g_autoptr(GOptionContext) context = context_new(&line);
    g_autofree char *words = words_text();

    if (!g_get_prgname()) {
        g_set_prgname(PROGRAM); /* GOption prints it */
    }
    g_option_context_set_summary(context, "Shares a directory of this host with a guest over "
                                          "virtio-fs (a vhost-user back end).");
    g_option_context_set_description(context, words);

    char *help = g_option_context_get_help(context, TRUE, NULL);
    line_done(&line);
    return help;
}

char *options_version_text(void)
{
    return g_strdup(PROGRAM " " VERSION "\n");
}

/* What the vhost-user back-end conventions ask for; only what truly works is named. */
char *options_capabilities_text(void)
{
    return g_strdup("{\n"
                    "  \"type\": \"fs\",\n"
                    "  \"features\": [\n"
                    "    \"separate-options\"\n"
                    "  ]\n"
                    "}\n");
}
