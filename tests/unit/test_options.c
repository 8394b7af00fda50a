/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: what callers are known to pass, word for word; that every row of the table does
 * what it says in each of its spellings; and what is refused, with which words.
 */
#include "options.h"

#include <errno.h>
#include <glib.h>
#include <locale.h>
#include <string.h>

/* Splits a line as a shell would and parses it. */
static int parse(const char *line, struct options *ret, enum options_action *ret_action,
                 char **ret_error)
{
    g_autofree char *whole = g_strdup_printf("virtiofsd %s", line);
    g_auto(GStrv) argv = NULL;
    int argc = 0;

    g_test_message("%s", line);
    g_assert_true(g_shell_parse_argv(whole, &argc, &argv, NULL));
    return options_parse(argc, argv, ret, ret_action, ret_error);
}

/* A line that must be good. */
static struct options good(const char *line)
{
    struct options o;
    enum options_action action;
    g_autofree char *error = NULL;

    if (parse(line, &o, &action, &error) < 0) {
        g_error("%s: %s", line, error);
    }
    g_assert_cmpint(action, ==, OPTIONS_RUN);
    return o;
}

#define SHARE "--shared-dir=/s --fd=3 "

/* The literal lines of known callers, as far as they can be chosen by the caller alone. */
static const char *const callers[] = {
    /* Kata, Go runtime, now and before */
    "--syslog --cache=auto --shared-dir=/run/kata-containers/shared/sandboxes/1/shared --fd=3 "
    "--thread-pool-size=1 --announce-submounts",
    "--syslog --cache=auto --shared-dir=/run/kata-containers/shared/sandboxes/1/shared --fd=3 "
    "--thread-pool-size=1 --announce-submounts --xattr",
    "--syslog --cache=never --shared-dir=/run/kata-shared/foo --fd=123",
    "--syslog -o cache=none -o no_posix_lock -o source=/run/kata/shared --fd=3 -f "
    "--thread-pool-size=1 -o announce_submounts",
    "--syslog -o cache=auto -o no_posix_lock -o source=/run/kata/shared --fd=3 "
    "-o xattr,modcaps=+sys_admin",
    /* Kata, Rust runtime, now and before */
    "--socket-path /run/kata/root/virtiofsd.sock --shared-dir "
    "/run/kata-containers/shared/sandboxes/1/shared --cache auto --thread-pool-size=1 -o "
    "announce_submounts",
    "--socket-path /run/kata/root/virtiofsd.sock --shared-dir "
    "/run/kata-containers/shared/sandboxes/1/shared --cache auto --sandbox none --seccomp none "
    "--thread-pool-size=1 -o announce_submounts --xattr",
    "--socket-path virtiofsd.sock --shared-dir /s --cache never --overlay-upper",
    /* libvirt, both dialects */
    "--fd=24 --shared-dir /srv/a --cache never --sandbox namespace --xattr",
    "--fd=24 --shared-dir /srv/a --cache always --sandbox namespace --xattr --thread-pool-size=16 "
    "--rlimit-nofile=4096 --log-level debug --uid-map=:0:1000:1: --uid-map=:1:100000:65536: "
    "--gid-map=:0:1000:1: --readonly",
    "--fd=24 -o source=/srv/a,cache=none,sandbox=namespace,xattr,no_flock,no_posix_lock -d",
    "--fd=24 -o source=/srv/a,,b,cache=always,sandbox=chroot,no_xattr --thread-pool-size=0",
    /* cloud-hypervisor */
    "--log-level debug --socket-path=/tmp/virtiofs --shared-dir=/tmp/shared_dir --cache=never "
    "--thread-pool-size=4 --tag myfs",
    /* systemd-vmspawn */
    "--shared-dir /s --xattr --fd 3 --no-announce-submounts --uid-map :0:100000:65536: --gid-map "
    ":0:100000:65536:",
    "--shared-dir /s --xattr --fd 3 --no-announce-submounts --translate-uid map:0:100000:65536 "
    "--translate-gid map:0:100000:65536",
    "--shared-dir /run/systemd/mount-rootfs --xattr --fd 7 --no-announce-submounts "
    "--log-level=error --modcaps=-mknod --translate-uid map:0:0:65536",
    /* podman machine */
    "--sandbox none --socket-path /tmp/s --shared-dir . --seccomp=none",
    /* virtme-ng */
    "--syslog --no-announce-submounts --posix-acl --readonly --socket-path /tmp/s --shared-dir / "
    "--sandbox none --cache always",
    "--syslog --no-announce-submounts --socket-path /tmp/s --shared-dir / --sandbox none --cache "
    "auto",
    /* Incus */
    "--fd=3 --cache=never --shared-dir=/s --translate-uid=map:0:1000000:1000000000 "
    "--translate-uid=forbid-guest:1000000000:3294967295 "
    "--translate-gid=map:0:1000000:1000000000 --translate-gid=forbid-guest:1000000000:3294967295",
    "--fd=3 --cache=metadata --shared-dir=/s --translate-uid=forbid-guest:0:0 "
    "--translate-gid=forbid-guest:1:4294967295",
    "--fd=3 --cache=always --shared-dir=/s --posix-acl=auto",
    "--fd=3 --cache=always --shared-dir=/s --posix-acl",
    /* LXD */
    "--fd=3 --shared-dir /s --cache auto --allow-direct-io --thread-pool-size 8 --xattr",
    /* Proxmox */
    "--fd=5 --shared-dir=/s --xattr --posix-acl --announce-submounts --allow-direct-io "
    "--cache=auto --inode-file-handles=prefer --syslog",
    "--fd=5 --shared-dir=/s --announce-submounts --syslog",
    /* KubeVirt */
    "--socket-path=/s --shared-dir=/d --sandbox=none --cache=auto "
    "--migration-on-error=guest-error --migration-mode=find-paths --translate-uid=host:107:0:1",
    /* microvm.nix */
    "--socket-path=/s --socket-group=kvm --shared-dir=/d --rlimit-nofile 1048576 "
    "--thread-pool-size 16 --posix-acl --xattr --cache=auto --inode-file-handles=prefer "
    "--tag=ro-store --readonly",
    /* Lima, coreos-assembler */
    "--socket-path /tmp/s --shared-dir /d",
    "--sandbox none --socket-path /tmp/s --shared-dir . --modcaps=-setuid:-setgid --seccomp none",
    /* QEMU's documentation of the C daemon */
    "--socket-path=/var/run/vm001-vhost-fs.sock -o source=/var/lib/fs/vm001",
    "--socket-path=/s -o source=/d -o max_idle_threads=10 -o norace,fsname=a,subtype=b -f",
    "--socket-path=/s -o source=/d,timeout=0.5,log_level=warn,killpriv_v2,no_readdirplus",
    "--socket-path=/s -o source=/d -o loglevel=err -o no_posix_acl,no_security_label,no_writeback",
};

static void lines_of_known_callers_parse(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(callers); i++) {
        struct options o = good(callers[i]);

        g_assert_nonnull(o.shared_dir);
        g_assert_true((o.fd >= 0) != (o.socket_path != NULL));
        options_done(&o);
    }
}

static void defaults_are_those_of_the_rust_daemon(void)
{
    struct options o = good(SHARE);

    g_assert_cmpstr(o.shared_dir, ==, "/s");
    g_assert_cmpint(o.fd, ==, 3);
    g_assert_cmpint(o.cache, ==, CACHE_AUTO);
    g_assert_cmpfloat(o.entry_timeout, ==, 1);
    g_assert_cmpfloat(o.attr_timeout, ==, 1);
    g_assert_cmpfloat(o.negative_timeout, ==, 0);
    g_assert_cmpint(o.sandbox, ==, SANDBOX_NAMESPACE);
    g_assert_cmpint(o.seccomp, ==, SECCOMP_KILL);
    g_assert_cmpint(o.inode_file_handles, ==, FILE_HANDLES_PREFER);
    g_assert_cmpint(o.log_level, ==, LOG_LEVEL_INFO);
    g_assert_cmpint(o.thread_pool_size, ==, OPTIONS_THREADS_AUTO);
    g_assert_cmpint(o.rlimit_nofile, ==, OPTIONS_NOFILE_AUTO);
    g_assert_cmpuint(o.poll_us, ==, OPTIONS_POLL_US_DEFAULT);
    g_assert_true(o.announce_submounts && o.readdirplus);
    g_assert_false(o.xattr || o.readonly || o.writeback || o.allow_direct_io || o.allow_mmap);
    g_assert_false(o.overlay_upper || o.killpriv_v2 || o.flock || o.posix_lock || o.syslog);
    g_assert_null(o.socket_path);
    g_assert_null(o.xattrmap);
    g_assert_null(o.modcaps);
    g_assert_cmpuint(o.n_uid_map + o.n_gid_map + o.n_translate_uid + o.n_translate_gid, ==, 0);
    options_done(&o);
}

static void every_spelling_of_an_option_is_the_same(void)
{
    static const char *const lines[] = {
        "--cache=never",
        "--cache never",
        "-o cache=never",
        "-ocache=never",
        "-o cache=none",
        "-oxattr,cache=none",
        "--option cache=none",
        "--option=cache=none",
        "--cache=always --cache=never",
        "-o cache=always --cache never",
        "--cache always -o cache=none",
        "-o cache=auto,cache=none",
        "-do cache=none",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *line = g_strconcat(SHARE, lines[i], NULL);
        struct options o = good(line);

        g_assert_cmpint(o.cache, ==, CACHE_NEVER);
        options_done(&o);
    }
}

static void the_last_one_wins(void)
{
    struct options o = good(SHARE "--tag a --tag=b -o xattr,no_xattr --announce-submounts "
                                  "--no-announce-submounts --log-level=off -d --fd=4 --timeout=9 "
                                  "--timeout=2.5 -o readdirplus --cache=never --modcaps=+a "
                                  "--modcaps=+b:-c");

    g_assert_cmpstr(o.tag, ==, "b");
    g_assert_false(o.xattr);
    g_assert_false(o.announce_submounts);
    g_assert_cmpint(o.log_level, ==, LOG_LEVEL_DEBUG);
    g_assert_cmpint(o.fd, ==, 4);
    g_assert_cmpfloat(o.entry_timeout, ==, 2.5);
    g_assert_cmpfloat(o.attr_timeout, ==, 2.5);
    g_assert_true(o.readdirplus);
    g_assert_cmpstr(o.modcaps, ==, "+b:-c");
    options_done(&o);
}

static void words_may_hold_commas_and_equal_signs(void)
{
    static const struct {
        const char *line;
        const char *dir;
        const char *map;
    } rows[] = {
        {"--fd=3 -o source=/a,,b=c,xattr", "/a,b=c", NULL},
        {"--fd=3 -o source=/a,,,,b", "/a,,b", NULL},
        {"--fd=3 -o source=/a,,,xattr", "/a,", NULL},
        {"--fd=3 -o source=/a,,", "/a,", NULL},
        {"--fd=3 -o ,xattr,source=/a,", "/a", NULL},
        {"--fd=3 -o xattrmap=:map::user.a=b.:,source=/a", "/a", ":map::user.a=b.:"},
        {"--fd=3 -osource=/a -o xattrmap=,,ok,,all,,,,,,", "/a", ",ok,all,,,"},
        {"--fd=3 --shared-dir=/a,,b", "/a,,b", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct options o = good(rows[i].line);

        g_assert_cmpstr(o.shared_dir, ==, rows[i].dir);
        g_assert_cmpstr(o.xattrmap, ==, rows[i].map);
        options_done(&o);
    }
}

static void each_cache_mode_has_its_timeout(void)
{
    static const struct {
        const char *line;
        double entry, attr, negative;
    } rows[] = {
        {SHARE "--cache=never", 0, 0, 0},
        {SHARE "--cache=metadata", 86400, 86400, 0},
        {SHARE "--cache=auto", 1, 1, 0},
        {SHARE "--cache=always", 86400, 86400, 0},
        {SHARE "--cache=always --timeout=0", 0, 0, 0},
        {SHARE "--cache=always --timeout=.5 --attr-timeout=7", 0.5, 7, 0},
        {SHARE "--entry-timeout 3 --negative-timeout 2", 3, 1, 2},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct options o = good(rows[i].line);

        g_assert_cmpfloat(o.entry_timeout, ==, rows[i].entry);
        g_assert_cmpfloat(o.attr_timeout, ==, rows[i].attr);
        g_assert_cmpfloat(o.negative_timeout, ==, rows[i].negative);
        options_done(&o);
    }
}

static void what_needs_xattr_turns_it_on(void)
{
    static const char *const lines[] = {"--xattr",
                                        "-o xattr",
                                        "--overlay-upper",
                                        "-o overlay_upper",
                                        "--xattrmap=:ok:all:::",
                                        "-o no_xattr,xattrmap=:ok:all:::",
                                        "--posix-acl=auto"};

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *line = g_strconcat(SHARE, lines[i], NULL);
        struct options o = good(line);

        g_assert_true(o.xattr);
        options_done(&o);
    }
}

static void id_lists_keep_their_order(void)
{
    struct options o = good(SHARE "--uid-map=:0:1000:1: --uid-map '|1|100000|65536|' "
                                  "--gid-map=:0:4294967294:1: --translate-uid=guest:1:2:3 "
                                  "--translate-uid=squash-host:0:5:4294967295 "
                                  "--translate-gid=forbid-guest:1000:4294966296");

    g_assert_cmpuint(o.n_uid_map, ==, 2);
    g_assert_cmpuint(o.uid_map[0].inside, ==, 0);
    g_assert_cmpuint(o.uid_map[0].outside, ==, 1000);
    g_assert_cmpuint(o.uid_map[1].count, ==, 65536);
    g_assert_cmpuint(o.n_gid_map, ==, 1);
    g_assert_cmpuint(o.gid_map[0].outside, ==, 4294967294);
    g_assert_cmpuint(o.n_translate_uid, ==, 2);
    g_assert_cmpint(o.translate_uid[0].type, ==, TRANSLATE_GUEST);
    g_assert_cmpuint(o.translate_uid[0].from, ==, 1);
    g_assert_cmpuint(o.translate_uid[0].to, ==, 2);
    g_assert_cmpuint(o.translate_uid[0].count, ==, 3);
    g_assert_cmpint(o.translate_uid[1].type, ==, TRANSLATE_SQUASH_HOST);
    g_assert_cmpuint(o.translate_uid[1].to, ==, 5);
    g_assert_cmpint(o.translate_gid[0].type, ==, TRANSLATE_FORBID_GUEST);
    g_assert_cmpuint(o.translate_gid[0].from, ==, 1000);
    g_assert_cmpuint(o.translate_gid[0].to, ==, 0);
    g_assert_cmpuint(o.translate_gid[0].count, ==, 4294966296);
    options_done(&o);
}

static void questions_win_over_everything(void)
{
    static const struct {
        const char *line;
        enum options_action action;
    } rows[] = {
        {"", OPTIONS_HELP},
        {"--help", OPTIONS_HELP},
        {"-h", OPTIONS_HELP},
        {"-dh", OPTIONS_HELP},
        {"--bogus --help", OPTIONS_HELP},
        {"--version", OPTIONS_VERSION},
        {"-V", OPTIONS_VERSION},
        {"--fd=x --shared-dir A -o source=B --version --daemonize", OPTIONS_VERSION},
        {"--print-capabilities", OPTIONS_PRINT_CAPABILITIES},
        {"--fd=3 --socket-path=/s --print-capabilities --what", OPTIONS_PRINT_CAPABILITIES},
        {"--help --version --print-capabilities", OPTIONS_PRINT_CAPABILITIES},
        {"--version --help", OPTIONS_VERSION},
        {"--check --shared-dir=/s", OPTIONS_CHECK},
        {"--print-host --json -o source=/s,overlay_upper", OPTIONS_CHECK},
        /* a value that looks like a question is a value */
        {"--shared-dir --help --fd=3", OPTIONS_RUN},
        {"--tag -h -o source=/s --fd=3", OPTIONS_RUN},
        {"-osource=/foo --fd 3", OPTIONS_RUN},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct options o;
        enum options_action action;
        g_autofree char *error = NULL;

        g_assert_cmpint(parse(rows[i].line, &o, &action, &error), ==, 0);
        g_assert_cmpint(action, ==, rows[i].action);
        options_done(&o);
    }
}

/* What is refused, and what the sentence must contain. */
static const struct {
    const char *line;
    const char *reason;
} refused[] = {
    {"--fd=3", "add --shared-dir"},
    {"--shared-dir=/s", "add --socket-path"},
    {SHARE "--socket-path=/x", "exclude each other"},
    {SHARE "--socket-group=kvm", "--socket-group"},
    {"--shared-dir=A -o source=B --fd=3", "second shared directory"},
    {"--shared-dir=A --shared-dir=B --fd=3", "second shared directory"},
    {"-o source=A,source=/ --fd=3", "second shared directory"},
    {"--check", "add --shared-dir"},
    {SHARE "--json", "--check"},
    {SHARE "--overlay-upper --readonly", "--readonly"},
    {SHARE "--sandbox=none --uid-map=:0:0:1:", "--sandbox=namespace"},
    {SHARE "--bogus", "--bogus"},
    {SHARE "-x", "-x"},
    {SHARE "--shared-dir", "--shared-dir"},
    {SHARE "directory", "\"directory\" is not an option"},
    {SHARE "-- --xattr", "is not an option"},
    {SHARE "--xattr=1", "--xattr takes no value"},
    {SHARE "--readonly=no", "--readonly takes no value"},
    {SHARE "--help=", "--help takes no value"},
    {SHARE "-o", "-o"},
    {SHARE "-o bogus", "-o: \"bogus\" is unknown"},
    {SHARE "-o bogus=1", "is unknown"},
    {SHARE "-o xattr=1", "-o xattr takes no value"},
    {SHARE "-o cache", "-o cache needs a value"},
    {SHARE "-o shared_dir=/s", "is unknown"},
    {SHARE "-o log_level=verbose", "-o log_level: \"verbose\" is not one of"},
    {SHARE "--cache=", "--cache: \"\" is not one of"},
    {SHARE "--cache=Auto", "never, metadata, auto, always or none"},
    {SHARE "--sandbox=jail", "namespace, chroot or none"},
    {SHARE "--seccomp=warn", "kill, log, trap or none"},
    {SHARE "--inode-file-handles", "--inode-file-handles"},
    {SHARE "--whiteout=x", "auto, native or emulate"},
    {SHARE "--tmpfile=x", "auto, on or off"},
    {SHARE "--migration-mode=x", "find-paths or file-handles"},
    {SHARE "--fd=-1", "whole number from 0"},
    {SHARE "--fd=3x", "whole number"},
    {SHARE "--fd=", "whole number"},
    {SHARE "--fd=99999999999999999999", "whole number"},
    {SHARE "--thread-pool-size=1025", "from 0 to 1024"},
    {SHARE "--thread-pool-size=many", "whole number"},
    {SHARE "--poll-us=1000001", "from 0 to 1000000"},
    {SHARE "--rlimit-nofile=-1", "whole number"},
    {SHARE "--timeout=-1", "number of seconds"},
    {SHARE "--timeout=inf", "number of seconds"},
    {SHARE "--timeout=1,5", "number of seconds"},
    {SHARE "--timeout=.", "number of seconds"},
    {SHARE "--timeout=99999999999999999999", "number of seconds"},
    {SHARE "--tag=", "1 to 36 bytes"},
    {SHARE "--tag=1234567890123456789012345678901234567", "1 to 36 bytes"},
    {SHARE "--modcaps=mknod", "+name to add"},
    {SHARE "--modcaps=", "empty"},
    {SHARE "--modcaps=+a:", "+name to add"},
    {SHARE "--uid-map=0:0:1", ":inside:outside:count:"},
    {SHARE "--uid-map=:0:0:1", ":inside:outside:count:"},
    {SHARE "--uid-map=", ":inside:outside:count:"},
    {SHARE "--uid-map=:0:0:0:", "must not be 0"},
    {SHARE "--uid-map=:0:4294967295:1:", "beyond the last id"},
    {SHARE "--gid-map=:1:2:x:", "whole number"},
    {SHARE "--translate-uid=map:1:2", "map:from:to:count"},
    {SHARE "--translate-uid=forbid-guest:1:2:3", "forbid-guest:from:count"},
    {SHARE "--translate-uid=bogus:1:2:3", "squash-guest"},
    {SHARE "--translate-uid=", "squash-guest"},
    {SHARE "--translate-gid=map:1:4294967295:2", "beyond the last id"},
    {SHARE "--translate-gid=map:4294967296:0:1", "whole number"},
    {SHARE "--daemonize", "in the background"},
    {SHARE "--mount=/mnt", "--mount and a socket exclude each other"},
    {SHARE "--mount-options=ro", "belongs to --mount"},
    {SHARE "--metrics=/m", "not supported by this version"},
    {SHARE "--trace=/m", "not supported by this version"},
    {SHARE "--exclusive", "not supported by this version"},
    {SHARE "--security-label", "not supported by this version"},
    {SHARE "--security-label=auto", "not supported by this version"},
    {SHARE "-o security_label", "not supported by this version"},
};

static void what_is_wrong_is_said_in_one_sentence(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        struct options o;
        enum options_action action;
        g_autofree char *error = NULL;

        g_assert_cmpint(parse(refused[i].line, &o, &action, &error), ==, -EINVAL);
        g_test_message("%s", error);
        g_assert_nonnull(strstr(error, refused[i].reason));
        g_assert_null(strchr(error, '\n'));
        g_assert_true(g_utf8_validate(error, -1, NULL));
    }
}

static void never_is_accepted_of_what_is_not_there_yet(void)
{
    struct options o = good(SHARE "--security-label=never --posix-acl=never -o no_flock");

    g_assert_false(o.xattr);
    options_done(&o);
}

static void bytes_that_are_no_text_reach_the_path(void)
{
    g_auto(GStrv) argv = g_strsplit("virtiofsd|--shared-dir=/a\xff\xc3|--socket-path|"
                                    "/\xe2\x86\x92/s|-o|source=/a\xff\xc3",
                                    "|", -1);
    g_auto(GStrv) bad = g_strsplit("virtiofsd|--b\xff\x1b", "|", -1);
    struct options o;
    enum options_action action;
    g_autofree char *error = NULL;

    setlocale(LC_ALL, "C");
    g_assert_cmpint(options_parse(6, argv, &o, &action, &error), ==, 0);
    g_assert_cmpstr(o.shared_dir, ==, "/a\xff\xc3");
    g_assert_cmpstr(o.socket_path, ==, "/\xe2\x86\x92/s");
    options_done(&o);

    g_assert_cmpint(options_parse(2, bad, &o, &action, &error), ==, -EINVAL);
    g_assert_true(g_utf8_validate(error, -1, NULL));
}

static void the_environment_may_set_the_level(void)
{
    static const struct {
        const char *value;
        enum log_level level;
    } rows[] = {
        {"ERROR", LOG_LEVEL_ERROR}, {"trace", LOG_LEVEL_TRACE},          {"off", LOG_LEVEL_OFF},
        {"", LOG_LEVEL_DEBUG},      {"virtiofsd=info", LOG_LEVEL_DEBUG},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_setenv("RUST_LOG", rows[i].value, TRUE);
        struct options o = good(SHARE "--log-level=debug");

        g_assert_cmpint(o.log_level, ==, rows[i].level);
        options_done(&o);
    }
    g_unsetenv("RUST_LOG");
}

static void lists_have_a_bound(void)
{
    GString *line = g_string_new(SHARE);
    struct options o;
    enum options_action action;
    g_autofree char *error = NULL;

    for (int i = 0; i <= OPTIONS_MAX_ID_RULES; i++) {
        g_string_append(line, " --translate-uid=map:0:0:1");
    }
    g_assert_cmpint(parse(line->str, &o, &action, &error), ==, -EINVAL);
    g_assert_nonnull(strstr(error, "more than 1024"));
    g_string_free(line, TRUE);
}

static void texts_are_what_callers_look_for(void)
{
    g_autofree char *help = options_help_text();
    g_autofree char *version = options_version_text();
    g_autofree char *capabilities = options_capabilities_text();

    g_assert_nonnull(strstr(help, "--readonly"));
    g_assert_nonnull(strstr(help, "--overlay-upper"));
    g_assert_nonnull(strstr(help, "no_readdirplus"));
    g_assert_nonnull(strstr(help, "--flock"));
    g_assert_true(g_str_has_prefix(version, "virtiofsd "));
    g_assert_true(g_str_has_suffix(version, "\n"));
    g_assert_nonnull(strstr(capabilities, "\"type\": \"fs\""));
    g_assert_nonnull(strstr(capabilities, "\"separate-options\""));
    g_assert_null(strstr(capabilities, "migrate-precopy"));
}

#define ADD(name) g_test_add_func("/options/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_unsetenv("RUST_LOG");
    ADD(lines_of_known_callers_parse);
    ADD(defaults_are_those_of_the_rust_daemon);
    ADD(every_spelling_of_an_option_is_the_same);
    ADD(the_last_one_wins);
    ADD(words_may_hold_commas_and_equal_signs);
    ADD(each_cache_mode_has_its_timeout);
    ADD(what_needs_xattr_turns_it_on);
    ADD(id_lists_keep_their_order);
    ADD(questions_win_over_everything);
    ADD(what_is_wrong_is_said_in_one_sentence);
    ADD(never_is_accepted_of_what_is_not_there_yet);
    ADD(bytes_that_are_no_text_reach_the_path);
    ADD(the_environment_may_set_the_level);
    ADD(lists_have_a_bound);
    ADD(texts_are_what_callers_look_for);
    return g_test_run();
}
