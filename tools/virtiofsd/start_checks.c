/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that can be wrong with a command line or a host, each in one sentence that says what
 * to do; nothing outlives the answer but what the checks have parsed.
 */
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/xattrmap.h"
#include "host/caps.h"
#include "host/idmap.h"
#include "host/pidfile.h"
#include "host/probe.h"
#include "transport/vu_listen.h"

int check_shared_dir(struct daemon *daemon, char **ret_error)
{
    const char *dir = daemon->options.shared_dir;
    struct stat st;

    if (lstat(dir, &st) < 0) {
        int err = -errno;

        return fail(
            err, ret_error,
            g_strdup_printf("the shared directory '%s' cannot be used: %s", dir, strerror(-err)));
    }
    if (!S_ISDIR(st.st_mode)) {
        return fail(-ENOTDIR, ret_error,
                    g_strdup_printf("'%s' is not a directory; --shared-dir takes one%s", dir,
                                    S_ISLNK(st.st_mode) ? ", not a symbolic link to it" : ""));
    }
    if (access(dir, R_OK | X_OK) < 0) {
        int err = -errno;

        return fail(err, ret_error,
                    g_strdup_printf("the shared directory '%s' cannot be read by this user: %s",
                                    dir, strerror(-err)));
    }
    return 0;
}

/* In a user namespace of its own the worker may: the kernel ties what it sets to that namespace. */
static bool may_set_capabilities(const struct daemon *daemon)
{
    return caps_have(CAP_SETFCAP) || daemon->options.sandbox == SANDBOX_NAMESPACE;
}

/* The map that was asked for, or the one an overlay upper needs: trusted.* where anybody may. */
int check_xattrmap(struct daemon *daemon, char **ret_error)
{
    const char *text = daemon->options.xattrmap;
    g_autofree char *reason = NULL;
    char buf[XATTRMAP_NAME_SIZE];
    const char *host_name = NULL;

    if (!text && daemon->options.overlay_upper) {
        text = may_set_capabilities(daemon) ? XATTRMAP_TRUSTED_TO_USER
                                            : XATTRMAP_TRUSTED_AND_CAPS_TO_USER;
    }
    if (!text) {
        return 0;
    }
    daemon->xattrmap = xattrmap_parse(text, &reason);
    if (!daemon->xattrmap) {
        return fail(-EINVAL, ret_error, g_strdup_printf("--xattrmap: %s", reason));
    }
    if (daemon->options.overlay_upper && xattrmap_client(daemon->xattrmap, "trusted.overlay.opaque",
                                                         buf, sizeof(buf), &host_name) < 0) {
        return fail(-EINVAL, ret_error,
                    g_strdup("--xattrmap keeps trusted.overlay.* from the guest, which "
                             "--overlay-upper needs; leave it out or map trusted. too"));
    }
    return 0;
}

bool will_have_userns(const struct daemon *daemon)
{
    return daemon->options.sandbox == SANDBOX_NAMESPACE && !caps_have(CAP_SYS_ADMIN);
}

int probe_overlay(struct daemon *daemon, char **ret_error)
{
    const char *dir = daemon->options.shared_dir;
    enum whiteout_mode form = daemon->options.whiteout;
    struct share_probe probe;

    if (!daemon->options.overlay_upper) {
        return 0;
    }
    probe_share(dir, will_have_userns(daemon), &probe);
    if (!probe.serves) {
        return fail(-EOPNOTSUPP, ret_error, probe_refusal(&probe, dir));
    }
    if (form == WHITEOUT_NATIVE && !probe.native_whiteouts) {
        return fail(-EOPNOTSUPP, ret_error,
                    g_strdup_printf("'%s' (%s) does not take whiteouts as they are; use "
                                    "--whiteout=auto",
                                    dir, probe.fs_type));
    }
    daemon->overlay = (struct pt_overlay){
        .on = true,
        .try_native = probe.native_whiteouts && form != WHITEOUT_EMULATE,
        .unstable_ids = probe.unstable_ids,
        .breaks_links = probe.is_overlay,
    };
    log_info("'%s' (%s) serves as an overlay upper; whiteouts are %s", dir, probe.fs_type,
             daemon->overlay.try_native ? "stored as they are" : "emulated");
    return 0;
}

/* The two lists have the same types in the same order, which this table states. */
static int make_idmap(const struct id_translation *rules, size_t n, const char *option,
                      struct idmap **ret, char **ret_error)
{
    static const enum idmap_type types[] = {
        [TRANSLATE_GUEST] = IDMAP_GUEST,
        [TRANSLATE_HOST] = IDMAP_HOST,
        [TRANSLATE_SQUASH_GUEST] = IDMAP_SQUASH_GUEST,
        [TRANSLATE_SQUASH_HOST] = IDMAP_SQUASH_HOST,
        [TRANSLATE_FORBID_GUEST] = IDMAP_FORBID_GUEST,
        [TRANSLATE_MAP] = IDMAP_MAP,
    };
    g_autofree struct idmap_rule *map = g_new0(struct idmap_rule, n + 1);
    g_autofree char *reason = NULL;
    int err = 0;

    for (size_t i = 0; i < n; i++) {
        map[i] = (struct idmap_rule){.type = types[rules[i].type],
                                     .from = rules[i].from,
                                     .to = rules[i].to,
                                     .count = rules[i].count};
    }
    err = idmap_new(map, n, ret, &reason);
    return err < 0 ? fail(err, ret_error, g_strdup_printf("%s: %s", option, reason)) : 0;
}

int make_idmaps(struct daemon *daemon, char **ret_error)
{
    const struct options *options = &daemon->options;
    int err = 0;

    if (options->posix_acl == OPTION_ALWAYS &&
        (options->n_translate_uid > 0 || options->n_translate_gid > 0)) {
        return fail(-EINVAL, ret_error,
                    g_strdup("--posix-acl=always cannot go with --translate-uid or "
                             "--translate-gid: ids inside an ACL are not translated; use "
                             "--posix-acl=auto, which leaves ACLs out then"));
    }
    err = make_idmap(options->translate_uid, options->n_translate_uid, "--translate-uid",
                     &daemon->uids, ret_error);

    return err < 0 ? err
                   : make_idmap(options->translate_gid, options->n_translate_gid, "--translate-gid",
                                &daemon->gids, ret_error);
}

int check_modcaps(struct daemon *daemon, char **ret_error)
{
    return caps_check_modcaps(daemon->options.modcaps, ret_error);
}

int check_socket(struct daemon *daemon, char **ret_error)
{
    if (daemon->options.mount_dir) {
        return 0;
    }
    if (daemon->options.socket_path) {
        daemon->pid_path = g_strconcat(daemon->options.socket_path, ".pid", NULL);
        return pidfile_check_free(daemon->pid_path, ret_error);
    }
    return vu_listen_check_fd(daemon->options.fd, ret_error);
}
