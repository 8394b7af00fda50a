/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rooms are joined here, and only here: the transport's chains go to the FUSE dispatcher, whose
 * file system stands on what the sandbox left open.
 */
#include "serve.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "base/syscall_rule.h"
#include "fs/pt.h"
#include "fuse/session.h"
#include "host/caps.h"
#include "host/limits.h"
#include "host/seccomp.h"
#include "local/mount.h"
#include "request/request.h"
#include "request/worker.h"
#include "transport/vhost_user.h"
#include "transport/vu_listen.h"

/* Enough that 64 reads which each wait for a disk are done in two rounds. */
enum { DEFAULT_WORKERS = 32 };

static void on_chain(void *opaque, struct chain *chain)
{
    fuse_serve(opaque, chain);
}

static int on_thread_init(void *opaque)
{
    struct fuse_session *session = opaque;
    int err = pt_thread_init(session->fs);

    if (err < 0) {
        log_error("a thread cannot start: %s", strerror(-err));
    }
    return err;
}

static void on_keep(void *opaque, void *memory, size_t size)
{
    fuse_keep(opaque, memory, size);
}

static void on_cancel_waiting(void *opaque)
{
    fuse_cancel_locks(opaque);
}

/* Capabilities, dumps: what can be given up before the file system is looked at. */
static int confine(const struct options *options)
{
    g_autofree char *error = NULL;
    int err = caps_apply(options->modcaps, &error);

    if (err < 0) {
        log_error("%s", error);
        return err;
    }
    return limits_forbid_core_dumps();
}

static int close_filter(const struct options *options, bool has_mount)
{
    static const enum filter_action actions[] = {
        [SECCOMP_KILL] = FILTER_KILL,
        [SECCOMP_LOG] = FILTER_LOG,
        [SECCOMP_TRAP] = FILTER_TRAP,
        [SECCOMP_NONE] = FILTER_NONE,
    };
    const struct syscall_rule *const tables[] = {
        pt_syscalls, has_mount ? local_syscalls : transport_syscalls,
        options->keep_listening ? transport_accept_syscalls : NULL, NULL};
    g_autofree char *error = NULL;
    int err = seccomp_install(actions[options->seccomp], tables, &error);

    if (err < 0) {
        log_error("%s", error);
    }
    return err;
}

/*
 * An overlay upper must take the ACLs of what is copied up. Ids inside an ACL are not translated,
 * so it is not shown to a guest whose ids are.
 */
static bool wants_acl(const struct options *options)
{
    bool translates = options->n_translate_uid > 0 || options->n_translate_gid > 0;

    return !translates && (options->posix_acl != OPTION_NEVER || options->overlay_upper);
}

static struct fuse_config fuse_config_of(const struct options *options)
{
    return (struct fuse_config){
        .entry_timeout = options->entry_timeout,
        .attr_timeout = options->attr_timeout,
        .negative_timeout = options->negative_timeout,
        .direct_io = options->cache == CACHE_NEVER || options->cache == CACHE_METADATA,
        .allow_mmap = options->allow_mmap,
        .keep_cache = options->cache == CACHE_ALWAYS,
        .readdirplus = options->readdirplus,
        .writeback = options->writeback,
        .flock = options->flock,
        .posix_lock = options->posix_lock,
        .readonly = options->readonly,
        .posix_acl = wants_acl(options),
        .posix_acl_required = options->posix_acl == OPTION_ALWAYS,
        .killpriv_v2 = options->killpriv_v2,
        .announce_submounts = options->announce_submounts,
        .tmpfile = options->tmpfile == TMPFILE_ON,
        .tmpfile_if_sound = options->tmpfile == TMPFILE_AUTO,
    };
}

/*
 * What is left is for open files, queues and the daemon's own. A guest that opens more than that
 * has inodes parked for it.
 */
static size_t path_fds(uint64_t nofile)
{
    return nofile - MIN(nofile / 2, 4096);
}

/* What cannot be read is old. */
static bool kernel_is_older_than(unsigned major, unsigned minor)
{
    struct utsname name;
    unsigned has_major = 0, has_minor = 0;

    if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &has_major, &has_minor) != 2) {
        return true;
    }
    return has_major < major || (has_major == major && has_minor < minor);
}

static int make_fs(const struct serve_config *config, struct pt_fs **ret_fs)
{
    const struct options *options = config->options;
    struct pt_config pt = {
        .root_fd = config->sandbox.root_fd,
        .proc_self_fd = config->sandbox.proc_self_fd,
        .readonly = options->readonly,
        .xattr = options->xattr,
        .xattrmap = config->xattrmap,
        .writeback = options->writeback,
        .allow_direct_io = options->allow_direct_io,
        .preserve_noatime = options->preserve_noatime,
        .kills_priv = options->killpriv_v2,
        .uids = config->uids,
        .gids = config->gids,
        .overlay = config->overlay,
        .append_by_flag = kernel_is_older_than(6, 8),
        .partial_ids = !config->sandbox.has_all_ids,
        .max_path_fds = path_fds(config->nofile),
        .file_handles = options->inode_file_handles != FILE_HANDLES_NEVER,
        .handle_key = config->handle_key,
    };
    int err = pt_fs_new(&pt, ret_fs);

    if (err < 0) {
        log_error("cannot read the shared directory '%s': %s", options->shared_dir, strerror(-err));
    }
    return err;
}

static struct worker_pool *make_workers(const struct options *options, struct fuse_session *session)
{
    int threads = options->thread_pool_size;

    if (threads == OPTIONS_THREADS_AUTO) {
        threads = DEFAULT_WORKERS;
    }
    return threads > 0 ? worker_pool_new((unsigned)threads, on_thread_init, session) : NULL;
}

static enum vu_end serve_front_end(const struct serve_config *serving, int conn_fd,
                                   struct fuse_session *session)
{
    const struct options *options = serving->options;
    struct vu_config config = {
        .tag = options->tag,
        .request_queues = CLAMP(serving->processors, 1, VU_MAX_QUEUES - 1),
        .chain_user_size = REQUEST_SIZE,
        .poll_us = options->poll_us,
    };
    struct vu_device device = {
        .thread_init = on_thread_init,
        .serve = on_chain,
        .cancel_waiting = on_cancel_waiting,
        .keep = on_keep,
        .opaque = session,
    };

    return vu_serve(conn_fd, serving->stop_fd, &config, &device);
}

/* The next front end finds the share as the first one did. False when it is time to end. */
static bool accept_next(const struct serve_config *config, struct fuse_session *session,
                        int *ret_fd)
{
    int err = 0;

    if (config->listen_fd < 0) {
        return false;
    }
    fuse_session_reset(session);
    err = vu_accept(config->listen_fd, config->stop_fd, ret_fd);
    if (err < 0 && err != -ECANCELED) {
        log_error("no further front end can connect: %s", strerror(-err));
    }
    return err == 0;
}

static enum vu_end run_front_end(const struct serve_config *config, struct fuse_session *session)
{
    enum vu_end end = VU_END_ERROR;
    int conn_fd = config->conn_fd;

    do {
        log_info("a front end has connected");
        end = serve_front_end(config, conn_fd, session);
        if (end == VU_END_DISCONNECT) {
            log_info("the front end has disconnected");
        }
    } while ((end == VU_END_DISCONNECT || end == VU_END_ERROR) &&
             accept_next(config, session, &conn_fd));
    return end;
}

/* Requests that read or write may wait for the disk here, so there are more threads than cores. */
static int run_mount(const struct serve_config *config, struct fuse_session *session)
{
    struct local_device device = {
        .thread_init = on_thread_init,
        .serve = on_chain,
        .cancel_waiting = on_cancel_waiting,
        .opaque = session,
        .threads = CLAMP(config->processors * 2, 4, 32),
        .chain_user_size = REQUEST_SIZE,
    };
    enum local_end end = local_serve(config->mount, config->stop_fd, &device);

    if (end == LOCAL_END_UNMOUNTED) {
        log_info("'%s' was unmounted", config->options->mount_dir);
    }
    return end == LOCAL_END_ERROR ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void free_session(struct fuse_session *session)
{
    worker_pool_free(session->workers);
    fuse_stop_locks(session);
    fuse_session_reset(session);
    pt_fs_free(session->fs);
    g_free(session);
}

int serve(const struct serve_config *config)
{
    const struct options *options = config->options;
    struct fuse_session *session = g_new0(struct fuse_session, 1);
    enum vu_end end = VU_END_STOP;
    int status = EXIT_SUCCESS;

    session->config = fuse_config_of(options);
    umask(0); /* the guest's kernel has applied the caller's */
    if (confine(options) < 0 || make_fs(config, &session->fs) < 0 ||
        close_filter(options, config->mount != NULL) < 0) {
        return EXIT_FAILURE;
    }
    session->config.export_handles = pt_can_export(session->fs);
    fuse_start_locks(session, on_thread_init);
    session->workers = make_workers(options, session);
    if (config->mount) {
        status = run_mount(config, session);
    } else {
        end = run_front_end(config, session);
        status = end == VU_END_ERROR ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    if (end == VU_END_HUNG) {
        /* its requests are still in there: whoever waits for them, waits for the host */
        log_error("the host does not answer some requests; ending without them");
        return status;
    }
    free_session(session);
    return status;
}
