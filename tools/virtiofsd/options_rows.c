/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table of rows serves both dialects: a row is a long option (`--allow-direct-io`), a word of
 * `-o` (`allow_direct_io`), or both. Above it are the few ways a row can set something. What is not
 * there yet is a second table: a row of it goes away when the feature arrives.
 */
#include "options_rows.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "config.h"

static void *target(struct line *line, const struct row *row)
{
    return (char *)line + row->offset;
}

static int set_true(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    *(bool *)target(line, row) = true;
    return 0;
}

static int set_false(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    *(bool *)target(line, row) = false;
    return 0;
}

static void store_enum(struct line *line, const struct row *row, int value)
{
    static_assert(sizeof(enum cache_mode) == sizeof(int), "enums of options are stored as int");
    memcpy(target(line, row), &value, sizeof(value));
}

/* A word without a value that stands for one choice, which is in `min`. */
static int set_fixed(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    store_enum(line, row, (int)row->min);
    return 0;
}

static int set_choice(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    int choice = (int)row->min; /* what an optional value that is left out means */
    int r = value ? value_to_choice(value, row->choices, &choice, ret_error) : 0;

    if (r == 0) {
        store_enum(line, row, choice);
    }
    return r;
}

static int set_string(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    char **string = target(line, row);

    if (!*value) {
        return value_error(ret_error, "the value is empty");
    }
    g_free(*string);
    *string = g_strdup(value);
    return 0;
}

/* Repeating a share is harmless; naming another one behind somebody's back is not. */
static int set_share(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    const char *before = line->options.shared_dir;

    if (before && !g_str_equal(before, value)) {
        g_autofree char *first = value_quote(before);
        g_autofree char *second = value_quote(value);

        return value_error(ret_error,
                           "%s is a second shared directory besides %s; name only one, and start "
                           "a daemon for each",
                           second, first);
    }
    return set_string(line, row, value, ret_error);
}

static int set_tag(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    int r = value_to_tag(value, ret_error);

    return r < 0 ? r : set_string(line, row, value, ret_error);
}

static int set_modcaps(struct line *line, const struct row *row, const char *value,
                       char **ret_error)
{
    int r = value_to_modcaps(value, ret_error);

    return r < 0 ? r : set_string(line, row, value, ret_error);
}

static int set_int(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    int64_t number = 0;
    int r = value_to_number(value, row->min, row->max, &number, ret_error);

    if (r == 0) {
        *(int *)target(line, row) = (int)number;
    }
    return r;
}

static int set_int64(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    return value_to_number(value, row->min, row->max, target(line, row), ret_error);
}

static int set_threads(struct line *line, const struct row *row, const char *value,
                       char **ret_error)
{
    if (g_str_equal(value, "auto")) {
        line->options.thread_pool_size = OPTIONS_THREADS_AUTO;
        return 0;
    }
    return set_int(line, row, value, ret_error);
}

static int set_seconds(struct line *line, const struct row *row, const char *value,
                       char **ret_error)
{
    return value_to_seconds(value, target(line, row), ret_error);
}

static int set_readdirplus(struct line *line, const struct row *row, const char *value,
                           char **ret_error)
{
    line->options.readdirplus = row->min;
    line->readdirplus_given = true;
    return 0;
}

static int append(GArray *list, const void *item, char **ret_error)
{
    if (list->len >= OPTIONS_MAX_ID_RULES) {
        return value_error(ret_error, "there are more than %d of these", OPTIONS_MAX_ID_RULES);
    }
    g_array_append_vals(list, item, 1);
    return 0;
}

static int set_id_map(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    struct id_map map;
    int r = value_to_id_map(value, &map, ret_error);

    return r < 0 ? r : append(*(GArray **)target(line, row), &map, ret_error);
}

static int set_translation(struct line *line, const struct row *row, const char *value,
                           char **ret_error)
{
    struct id_translation rule;
    int r = value_to_translation(value, &rule, ret_error);

    return r < 0 ? r : append(*(GArray **)target(line, row), &rule, ret_error);
}

static int set_action(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    line->action = (enum options_action)row->min;
    line->has_action = true;
    return 0;
}

/* Callers pass it and nothing depends on it here. A value that has a fixed set is still checked. */
static int set_ignored(struct line *line, const struct row *row, const char *value,
                       char **ret_error)
{
    int ignored = 0;

    return row->choices ? value_to_choice(value, row->choices, &ignored, ret_error) : 0;
}

static int set_daemonize(struct line *line, const struct row *row, const char *value,
                         char **ret_error)
{
    return value_error(ret_error, "the daemon stays the process that was started, so that its "
                                  "caller may wait for it and signal it; leave this out and start "
                                  "it in the background");
}

static const struct choice cache_choices[] = {
    {"never", CACHE_NEVER},   {"metadata", CACHE_METADATA}, {"auto", CACHE_AUTO},
    {"always", CACHE_ALWAYS}, {"none", CACHE_NEVER},        {NULL, 0},
};
static const struct choice sandbox_choices[] = {
    {"namespace", SANDBOX_NAMESPACE},
    {"chroot", SANDBOX_CHROOT},
    {"none", SANDBOX_NONE},
    {NULL, 0},
};
static const struct choice seccomp_choices[] = {
    {"kill", SECCOMP_KILL},
    {"log", SECCOMP_LOG},
    {"trap", SECCOMP_TRAP},
    {"none", SECCOMP_NONE},
    {NULL, 0},
};
static const struct choice mode_choices[] = {
    {"never", OPTION_NEVER},
    {"auto", OPTION_AUTO},
    {"always", OPTION_ALWAYS},
    {NULL, 0},
};
static const struct choice file_handles_choices[] = {
    {"never", FILE_HANDLES_NEVER},
    {"prefer", FILE_HANDLES_PREFER},
    {"mandatory", FILE_HANDLES_MANDATORY},
    {"fallback", FILE_HANDLES_PREFER},
    {NULL, 0},
};
static const struct choice whiteout_choices[] = {
    {"auto", WHITEOUT_AUTO},
    {"native", WHITEOUT_NATIVE},
    {"emulate", WHITEOUT_EMULATE},
    {NULL, 0},
};
static const struct choice tmpfile_choices[] = {
    {"auto", TMPFILE_AUTO},
    {"on", TMPFILE_ON},
    {"off", TMPFILE_OFF},
    {NULL, 0},
};
static const struct choice migration_mode_choices[] = {
    {"find-paths", 0},
    {"file-handles", 0},
    {NULL, 0},
};
static const struct choice migration_error_choices[] = {
    {"abort", 0},
    {"guest-error", 0},
    {NULL, 0},
};
const struct choice log_level_choices[] = {
    {"off", LOG_LEVEL_OFF},   {"error", LOG_LEVEL_ERROR},  {"warn", LOG_LEVEL_WARN},
    {"info", LOG_LEVEL_INFO}, {"debug", LOG_LEVEL_DEBUG},  {"trace", LOG_LEVEL_TRACE},
    {"err", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARN}, {NULL, 0},
};

/* A field of the options, and one of the line around them. */
#define OPT(field)  .offset = offsetof(struct line, options.field)
#define LINE(field) .offset = offsetof(struct line, field)

#define LONG   ROW_LONG
#define WORD   ROW_WORD
#define BOTH   ROW_BOTH
#define HIDDEN ROW_HIDDEN

/* clang-format off */
const struct row option_rows[] = {
    /* what is shared, and where */
    {"shared-dir", 0, LONG, "DIR", set_share, OPT(shared_dir),
     .help = "Directory to share with the guest"},
    {"source", 0, WORD, "DIR", set_share, OPT(shared_dir)},
    {"socket-path", 0, LONG, "PATH", set_string, OPT(socket_path),
     .help = "Listen on this vhost-user socket; one that is left over is replaced"},
    {"socket", 0, LONG | HIDDEN, "PATH", set_string, OPT(socket_path)},
    {"socket-group", 0, LONG, "GROUP", set_string, OPT(socket_group),
     .help = "Let this group connect to the socket"},
    {"fd", 0, LONG, "N", set_int, OPT(fd), .max = INT_MAX,
     .help = "Accept on this inherited, already listening socket instead"},
    {"tag", 0, LONG, "TAG", set_tag, OPT(tag),
     .help = "Announce this tag (not with QEMU, which has its own)"},
    {"keep-listening", 0, LONG, NULL, set_true, OPT(keep_listening),
     .help = "Serve the next front end when one has left; default: end"},
    {"mount", 0, LONG, "DIR", set_string, OPT(mount_dir),
     .help = "Serve the share to this host at DIR, without a guest"},
    {"mount-options", 0, LONG, "LIST", set_string, OPT(mount_options),
     .help = "With --mount: options for it as for mount(8), such as noatime,suid,dev"},

    /* what the guest sees */
    {"cache", 0, BOTH, "MODE", set_choice, OPT(cache), .choices = cache_choices,
     .help = "What the guest may cache: never, metadata, auto (default), always"},
    {"timeout", 0, BOTH, "SECONDS", set_seconds, LINE(timeout),
     .help = "How long names and attributes stay cached; default: by --cache"},
    {"entry-timeout", 0, BOTH, "SECONDS", set_seconds, OPT(entry_timeout),
     .help = "The same for names only"},
    {"attr-timeout", 0, BOTH, "SECONDS", set_seconds, OPT(attr_timeout),
     .help = "The same for attributes only"},
    {"negative-timeout", 0, BOTH, "SECONDS", set_seconds, OPT(negative_timeout),
     .help = "The same for names that do not exist; default: 0"},
    {"readonly", 0, BOTH, NULL, set_true, OPT(readonly),
     .help = "The guest can change nothing"},
    {"xattr", 0, BOTH, NULL, set_true, OPT(xattr),
     .help = "Extended attributes"},
    {"no-xattr", 0, WORD | HIDDEN, NULL, set_false, OPT(xattr)},
    {"xattrmap", 0, BOTH, "RULES", set_string, OPT(xattrmap),
     .help = "How the guest's attribute names are stored; implies --xattr"},
    {"overlay-upper", 0, BOTH, NULL, set_true, OPT(overlay_upper),
     .help = "Serve as the upper layer of an overlayfs in the guest; implies --xattr"},
    {"whiteout", 0, BOTH, "FORM", set_choice, OPT(whiteout), .choices = whiteout_choices,
     .help = "How deleted names are stored: auto (default), native, emulate"},
    {"tmpfile", 0, BOTH, "MODE", set_choice, OPT(tmpfile), .choices = tmpfile_choices,
     .help = "Unnamed files (O_TMPFILE): auto (default), on, off"},
    {"posix-acl", 0, BOTH | ROW_OPTIONAL, "MODE", set_choice, OPT(posix_acl), .min = OPTION_AUTO,
     .choices = mode_choices, .help = "POSIX ACLs: never (default), auto, always"},
    {"no-posix-acl", 0, WORD | HIDDEN, NULL, set_fixed, OPT(posix_acl), .min = OPTION_NEVER},
    {"security-label", 0, BOTH | ROW_OPTIONAL, "MODE", set_choice, OPT(security_label),
     .min = OPTION_AUTO, .choices = mode_choices,
     .help = "Label new files for the guest's SELinux: never (default), auto, always"},
    {"no-security-label", 0, WORD | HIDDEN, NULL, set_fixed, OPT(security_label),
     .min = OPTION_NEVER},
    {"no-readdirplus", 0, BOTH, NULL, set_readdirplus, .min = false,
     .help = "List directories without attributes (default with --cache=never)"},
    {"readdirplus", 0, WORD, NULL, set_readdirplus, .min = true},
    {"writeback", 0, BOTH, NULL, set_true, OPT(writeback),
     .help = "The guest collects writes before it sends them"},
    {"no-writeback", 0, WORD | HIDDEN, NULL, set_false, OPT(writeback)},
    {"allow-direct-io", 0, BOTH, NULL, set_true, OPT(allow_direct_io),
     .help = "Pass O_DIRECT on to the host"},
    {"no-allow-direct-io", 0, WORD | HIDDEN, NULL, set_false, OPT(allow_direct_io)},
    {"allow-mmap", 0, BOTH, NULL, set_true, OPT(allow_mmap),
     .help = "Shared mappings also with --cache=never or metadata"},
    {"announce-submounts", 0, BOTH, NULL, set_true, OPT(announce_submounts),
     .help = "Show mounts below the share as mounts (default)"},
    {"no-announce-submounts", 0, BOTH, NULL, set_false, OPT(announce_submounts),
     .help = "Show them as plain directories"},
    {"killpriv-v2", 0, BOTH, NULL, set_true, OPT(killpriv_v2),
     .help = "Let the host drop set-id bits and capabilities on a write"},
    {"no-killpriv-v2", 0, BOTH | HIDDEN, NULL, set_false, OPT(killpriv_v2)},
    {"flock", 0, BOTH, NULL, set_true, OPT(flock),
     .help = "flock(2) locks reach the host"},
    {"no-flock", 0, WORD | HIDDEN, NULL, set_false, OPT(flock)},
    {"posix-lock", 0, BOTH, NULL, set_true, OPT(posix_lock),
     .help = "fcntl(2) locks reach the host"},
    {"no-posix-lock", 0, WORD | HIDDEN, NULL, set_false, OPT(posix_lock)},
    {"preserve-noatime", 0, BOTH, NULL, set_true, OPT(preserve_noatime),
     .help = "Pass O_NOATIME on to the host"},
    {"inode-file-handles", 0, BOTH, "MODE", set_choice, OPT(inode_file_handles),
     .choices = file_handles_choices,
     .help = "Host file handles instead of open files: never, prefer (default), mandatory"},
    {"exclusive", 0, BOTH, NULL, set_true, OPT(exclusive),
     .help = "Nothing but this guest changes the shared directory"},

    /* confinement and identity */
    {"sandbox", 0, BOTH, "MODE", set_choice, OPT(sandbox), .choices = sandbox_choices,
     .help = "How the daemon is confined: namespace (default), chroot, none"},
    {"seccomp", 0, BOTH, "ACTION", set_choice, OPT(seccomp), .choices = seccomp_choices,
     .help = "On a system call it does not need: kill (default), log, trap, none"},
    {"modcaps", 0, BOTH, "LIST", set_modcaps, OPT(modcaps),
     .help = "Change the kept capabilities, such as +sys_admin:-mknod"},
    {"rlimit-nofile", 0, BOTH, "N", set_int64, OPT(rlimit_nofile), .max = INT_MAX,
     .help = "Limit of open files; 0 leaves it as it is"},
    {"uid-map", 0, LONG, "MAP", set_id_map, LINE(uid_map),
     .help = "User namespace: :inside:outside:count:, may be repeated"},
    {"gid-map", 0, LONG, "MAP", set_id_map, LINE(gid_map), .help = "The same for groups"},
    {"translate-uid", 0, LONG, "RULE", set_translation, LINE(translate_uid),
     .help = "Translate user ids: guest|host|squash-guest|squash-host|map:FROM:TO:COUNT or "
             "forbid-guest:FROM:COUNT, may be repeated"},
    {"translate-gid", 0, LONG, "RULE", set_translation, LINE(translate_gid),
     .help = "The same for groups"},

    /* how it runs */
    {"thread-pool-size", 0, BOTH, "N", set_threads, OPT(thread_pool_size),
     .max = OPTIONS_THREADS_MAX,
     .help = "Threads for requests that block: auto (default), or a number; 0 has none"},
    {"poll-us", 0, BOTH, "N", set_int, OPT(poll_us), .max = OPTIONS_POLL_US_MAX,
     .help = "Microseconds to look out for the next request before sleeping; default 20"},
    {"log-level", 0, BOTH, "LEVEL", set_choice, OPT(log_level), .choices = log_level_choices,
     .help = "off, error, warn, info (default), debug, trace"},
    {"loglevel", 0, WORD | HIDDEN, "LEVEL", set_choice, OPT(log_level),
     .choices = log_level_choices},
    {"debug", 'd', BOTH, NULL, set_fixed, OPT(log_level), .min = LOG_LEVEL_DEBUG,
     .help = "The same as --log-level=debug"},
    {"syslog", 0, LONG, NULL, set_true, OPT(syslog), .help = "Log to syslog instead of stderr"},
    {"metrics", 0, LONG, "PATH", set_string, OPT(metrics), .help = "Write counters to PATH"},
    {"trace", 0, LONG, "PATH", set_string, OPT(trace), .help = "Record requests to PATH"},

    /* instead of running */
    {"check", 0, LONG, NULL, set_action, .min = OPTIONS_CHECK,
     .help = "Say what the shared directory can do as an overlay upper, and exit"},
    {"print-host", 0, LONG | HIDDEN, NULL, set_action, .min = OPTIONS_CHECK},
    {"json", 0, LONG, NULL, set_true, OPT(json), .help = "With --check: for programs"},
    {"print-capabilities", 0, LONG, NULL, set_action, .min = OPTIONS_PRINT_CAPABILITIES,
     .help = "Print what callers may use, as JSON, and exit"},
    {"version", 'V', LONG, NULL, set_action, .min = OPTIONS_VERSION,
     .help = "Print the version and exit"},
    {"help", 'h', LONG, NULL, set_action, .min = OPTIONS_HELP, .help = "Print this and exit"},

    /* what callers of the older daemons pass and has no effect here */
    {"foreground", 'f', LONG | HIDDEN, NULL, set_ignored},
    {"daemonize", 0, LONG | HIDDEN, NULL, set_daemonize},
    {"migration-mode", 0, LONG | HIDDEN, "MODE", set_ignored, .choices = migration_mode_choices},
    {"migration-on-error", 0, LONG | HIDDEN, "ACTION", set_ignored,
     .choices = migration_error_choices},
    {"migration-verify-handles", 0, LONG | HIDDEN, NULL, set_ignored},
    {"migration-confirm-paths", 0, LONG | HIDDEN, NULL, set_ignored},
    {"max-idle-threads", 0, WORD | HIDDEN, "N", set_ignored},
    {"norace", 0, WORD | HIDDEN, NULL, set_ignored},
    {"allow-root", 0, WORD | HIDDEN, NULL, set_ignored},
    {"fsname", 0, WORD | HIDDEN, "NAME", set_ignored},
    {"subtype", 0, WORD | HIDDEN, "NAME", set_ignored},
    {NULL},
};
/* clang-format on */

/* Understood, but not there yet: with every value, with only one, or with all but one. */
static const struct {
    const char *name;
    const char *only;
    const char *except;
} not_yet[] = {
#if !HAVE_LOCAL_MOUNT
    {"mount"},   {"mount-options"},
#endif
    {"metrics"}, {"trace"},         {"exclusive"}, {"security-label", .except = "never"},
};

/* Compares a name as it was written with a row's; words write '_' for '-'. */
static bool is_name(const char *name, size_t len, const char *row_name, enum row_form form)
{
    if (strlen(row_name) != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        bool is_dash = row_name[i] == '-' && name[i] == '_' && form == ROW_WORD;

        if (name[i] != row_name[i] && !is_dash) {
            return false;
        }
    }
    return true;
}

const struct row *row_find(const char *name, size_t len, enum row_form form)
{
    for (const struct row *row = option_rows; row->name; row++) {
        if ((row->forms & form) && is_name(name, len, row->name, form)) {
            return row;
        }
    }
    return NULL;
}

bool row_is_supported(const struct row *row)
{
    for (size_t i = 0; i < G_N_ELEMENTS(not_yet); i++) {
        if (g_str_equal(not_yet[i].name, row->name) && !not_yet[i].only) {
            return false;
        }
    }
    return true;
}

static bool is_refused(const struct row *row, const char *value)
{
    for (size_t i = 0; i < G_N_ELEMENTS(not_yet); i++) {
        const char *only = not_yet[i].only;
        const char *except = not_yet[i].except;

        if (g_str_equal(not_yet[i].name, row->name)) {
            return only ? g_strcmp0(value, only) == 0 : !except || g_strcmp0(value, except) != 0;
        }
    }
    return false;
}

int row_set(struct line *line, const struct row *row, const char *value, char **ret_error)
{
    if (is_refused(row, value)) {
        return value_error(ret_error, "not supported by this version; leave it out");
    }
    return row->set(line, row, value, ret_error);
}
