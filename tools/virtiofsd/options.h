/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line as one struct.
 *
 * Both older daemons' dialects are understood on one line, mixed as callers mix them: long options,
 * short ones and `-o` words. A repeated option is legal and the last one wins, but two different
 * shared directories are refused: appending `-o source=/` to somebody else's line is a known way to
 * widen a share. Nothing here opens a file, writes a line or ends the process; main.c does.
 *
 * The struct is filled once and never changed after start.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

enum options_action {
    OPTIONS_RUN,                /* serve (or mount): the ordinary case */
    OPTIONS_HELP,               /* print options_help_text(), exit 0; also for an empty line */
    OPTIONS_VERSION,            /* print options_version_text(), exit 0 */
    OPTIONS_PRINT_CAPABILITIES, /* print options_capabilities_text(), exit 0 */
    OPTIONS_CHECK,              /* say what the shared directory can do, exit */
};

/* How a FUSE feature that the guest may or may not offer is negotiated. */
enum option_mode { OPTION_NEVER, OPTION_AUTO, OPTION_ALWAYS };

enum sandbox_mode { SANDBOX_NAMESPACE, SANDBOX_CHROOT, SANDBOX_NONE };
enum seccomp_mode { SECCOMP_KILL, SECCOMP_LOG, SECCOMP_TRAP, SECCOMP_NONE };
enum file_handles_mode { FILE_HANDLES_NEVER, FILE_HANDLES_PREFER, FILE_HANDLES_MANDATORY };
enum cache_mode { CACHE_NEVER, CACHE_METADATA, CACHE_AUTO, CACHE_ALWAYS };
enum whiteout_mode { WHITEOUT_AUTO, WHITEOUT_NATIVE, WHITEOUT_EMULATE };
enum tmpfile_mode { TMPFILE_AUTO, TMPFILE_ON, TMPFILE_OFF };

/* One line of a user namespace's uid_map: `:inside:outside:count:`. */
struct id_map {
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};

enum id_translation_type {
    TRANSLATE_GUEST,        /* guest:from:to:count   guest ids become host ids, one way */
    TRANSLATE_HOST,         /* host:from:to:count    host ids become guest ids, one way */
    TRANSLATE_SQUASH_GUEST, /* squash-guest:from:to:count  many guest ids become one host id */
    TRANSLATE_SQUASH_HOST,  /* squash-host:from:to:count   many host ids become one guest id */
    TRANSLATE_FORBID_GUEST, /* forbid-guest:from:count     the guest may not use these ids */
    TRANSLATE_MAP,          /* map:guest:host:count   both ways */
};

struct id_translation {
    enum id_translation_type type;
    uint32_t from;
    uint32_t to;    /* 0 for TRANSLATE_FORBID_GUEST */
    uint32_t count; /* 0 is legal and matches nothing: Incus passes it */
};

/* What each repeated list may hold: a bound, so that a line cannot make tables without end. */
#define OPTIONS_MAX_ID_RULES 1024

/* Numbers that stand for "the daemon decides". */
#define OPTIONS_THREADS_AUTO (-1)
#define OPTIONS_NOFILE_AUTO  (-1)
#define OPTIONS_TIMEOUT_AUTO (-1.0)
#define OPTIONS_FD_NONE      (-1)

/* Polling longer than a wake-up costs more than it saves (docs/performance.rst). */
#define OPTIONS_POLL_US_DEFAULT 20
#define OPTIONS_POLL_US_MAX     1000000

#define OPTIONS_THREADS_MAX 1024
#define OPTIONS_TAG_MAX     36 /* virtio-fs config space: tag[36], not NUL-terminated */

struct options {
    /* What is shared, and where it is offered. Strings are owned; NULL: not given. */
    char *shared_dir;
    char *socket_path;
    char *socket_group;
    char *tag;
    char *mount_dir;
    char *mount_options; /* with mount_dir: for mount(8), separated by commas */
    int fd;              /* a listening socket, or OPTIONS_FD_NONE */
    bool keep_listening; /* one front end after the other */

    /* What the guest sees. */
    enum cache_mode cache;
    double entry_timeout, attr_timeout, negative_timeout; /* seconds, already resolved, >= 0 */
    bool readonly;
    bool xattr;     /* also true when something that needs it was asked for */
    char *xattrmap; /* text; main.c hands it to xattrmap_parse() */
    bool overlay_upper;
    enum whiteout_mode whiteout;
    enum tmpfile_mode tmpfile;
    enum option_mode posix_acl;
    enum option_mode security_label;
    bool readdirplus;
    bool writeback;
    bool allow_direct_io;
    bool allow_mmap;
    bool announce_submounts;
    bool killpriv_v2;
    bool flock;
    bool posix_lock;
    bool preserve_noatime;
    enum file_handles_mode inode_file_handles;

    /* Confinement and identity. */
    enum sandbox_mode sandbox;
    enum seccomp_mode seccomp;
    char *modcaps;         /* `+x:-y`, or NULL */
    int64_t rlimit_nofile; /* OPTIONS_NOFILE_AUTO; 0: leave the limit alone */
    struct id_map *uid_map, *gid_map;
    size_t n_uid_map, n_gid_map;
    struct id_translation *translate_uid, *translate_gid;
    size_t n_translate_uid, n_translate_gid;

    /* How it runs. */
    int thread_pool_size; /* OPTIONS_THREADS_AUTO; 0: everything inline on the queue thread */
    unsigned poll_us;
    enum log_level log_level;
    bool syslog;
    bool json;      /* with OPTIONS_CHECK */
    bool exclusive; /* nobody else changes the shared directory */
    char *metrics;  /* path */
    char *trace;    /* path */
};

/*
 * Parses argv[0..argc). Returns 0 and fills *ret (options_done() frees it) and *ret_action; on
 * -EINVAL *ret_error is one sentence for the person who wrote the line, to be freed with g_free().
 * For help, version and capabilities the rest of the line is not judged. Reads RUST_LOG.
 */
int options_parse(int argc, char *const *argv, struct options *ret, enum options_action *ret_action,
                  char **ret_error);
void options_done(struct options *options);

/* What is printed to stdout for the three actions above; owned by the caller, ends in newline. */
char *options_help_text(void);
char *options_version_text(void);
char *options_capabilities_text(void);

#endif
