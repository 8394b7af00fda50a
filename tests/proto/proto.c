/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the black-box tests: share, daemon, VMM, session; and their end.
 */
#include "proto.h"

#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct proto *proto_new(void)
{
    struct proto *p = g_new0(struct proto, 1);
    GError *error = NULL;

    p->d.pidfd = p->d.err_fd = p->vmm.sock = p->vmm.ram.memfd = -1;
    p->strings = g_string_chunk_new(256);
    p->base = g_dir_make_tmp("virtiofsd-proto-XXXXXX", &error);
    g_assert_no_error(error);
    p->dir = g_build_filename(p->base, "share", NULL);
    p->sock = g_build_filename(p->base, "vhost.sock", NULL);
    g_assert_cmpint(mkdir(p->dir, 0755), ==, 0);
    return p;
}

const char *proto_program(void)
{
    const char *program = g_getenv("VIRTIOFSD");

    return program ? program : PROTO_DEFAULT_DAEMON;
}

/* The options both older daemons and this one understand, so that tests run against any. */
char **proto_command(const struct proto *p, const char *const *args)
{
    const char *more = g_getenv("VIRTIOFSD_OPTS");
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_auto(GStrv) extra = g_strsplit_set(more ? more : "", " ", -1);

    g_ptr_array_add(words, (void *)(uintptr_t)proto_program());
    g_ptr_array_add(words, (void *)(uintptr_t) "--socket-path={sock}");
    g_ptr_array_add(words, (void *)(uintptr_t) "-o");
    g_ptr_array_add(words, (void *)(uintptr_t) "source={dir}");
    for (char **w = extra; *w; w++) {
        if (**w) {
            g_ptr_array_add(words, *w);
        }
    }
    for (; args && *args; args++) {
        g_ptr_array_add(words, (void *)(uintptr_t)*args);
    }
    g_ptr_array_add(words, NULL);
    return daemon_command((const char *const *)words->pdata, p->sock, p->dir, -1);
}

void proto_connect(struct proto *p, const struct proto_opts *opts)
{
    OK(p, vmm_start(&p->vmm, p->sock, &opts->vmm));
    OK(p, fc_init_client(&p->fc, &p->vmm, &opts->fc));
    p->q = fc_rq(&p->fc, 0);
    if (!opts->no_init) {
        OK(p, fc_init(p->q, &opts->init, NULL));
    }
    proto_log_mark(p);
}

struct proto *proto_start(const struct proto_opts *opts)
{
    static const struct proto_opts defaults;
    struct daemon_setup setup = {.keep_fd = -1};
    struct proto *p = proto_new();

    opts = opts ? opts : &defaults;
    g_auto(GStrv) argv = proto_command(p, opts->args);
    OK(p, daemon_start(&p->d, argv, &setup));
    OK(p, daemon_wait_log(&p->d, DAEMON_READY_TEXT, frontend_timeout_ms()));
    if (!opts->no_connect) {
        proto_connect(p, opts);
    }
    return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void proto_free(struct proto *p)
{
    fc_done(&p->fc);
    vmm_stop(&p->vmm);
    daemon_done(&p->d);
    (void)nftw(p->base, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    g_string_chunk_free(p->strings);
    g_free(p->base);
    g_free(p->dir);
    g_free(p->sock);
    g_free(p);
}

/* What a sanitizer or a supervisor says about a crash is no end by itself. */
static void check_no_crash(struct proto *p)
{
    static const char *const signs[] = {"Sanitizer", "runtime error:", "ended by signal"};

    for (unsigned i = 0; i < G_N_ELEMENTS(signs); i++) {
        if (daemon_log_lines(&p->d, signs[i])) {
            proto_check(p, __FILE__, __LINE__, "the daemon crashed", -1, 0);
        }
    }
}

static void wait_exit(struct proto *p, int code, int other_code)
{
    OK(p, daemon_wait_exit(&p->d, frontend_timeout_ms()));
    check_no_crash(p);
    if (!WIFEXITED(p->d.status) ||
        (WEXITSTATUS(p->d.status) != code && WEXITSTATUS(p->d.status) != other_code)) {
        g_autofree char *text = g_strdup_printf("exit status %#x", (unsigned)p->d.status);

        proto_check(p, __FILE__, __LINE__, text, -1, code);
    }
}

void proto_stop_exit(struct proto *p, int code)
{
    wait_exit(p, code, code);
    proto_free(p);
}

void proto_stop_alive(struct proto *p)
{
    vmm_disconnect(&p->vmm);
    wait_exit(p, 0, 1);
    proto_free(p);
}

void proto_stop(struct proto *p)
{
    vmm_disconnect(&p->vmm);
    proto_stop_exit(p, 0);
}

const char *proto_path(struct proto *p, const char *name)
{
    g_autofree char *path = g_build_filename(p->dir, name, NULL);

    return g_string_chunk_insert(p->strings, path);
}

void proto_write_file(struct proto *p, const char *name, const char *text)
{
    FILE *f = fopen(proto_path(p, name), "w");

    g_assert_nonnull(f);
    g_assert_cmpint(fputs(text, f), >=, 0);
    g_assert_cmpint(fclose(f), ==, 0);
}

char *proto_read_file(struct proto *p, const char *name)
{
    char *text = NULL;
    GError *error = NULL;

    g_file_get_contents(proto_path(p, name), &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

uint64_t proto_lookup(struct proto *p, uint64_t dir, const char *name)
{
    struct fuse_entry_out entry;

    OK(p, fc_lookup(p->q, dir, name, &entry));
    g_assert_cmpuint(entry.nodeid, >, FUSE_ROOT_ID);
    return entry.nodeid;
}

uint64_t proto_make(struct proto *p, const char *name, const char *text)
{
    proto_write_file(p, name, text);
    return proto_lookup(p, FUSE_ROOT_ID, name);
}

void proto_log_mark(struct proto *p)
{
    p->log_mark = daemon_log_lines(&p->d, NULL);
}

void proto_expect_lines_at_most(struct proto *p, unsigned n)
{
    unsigned lines = daemon_log_lines(&p->d, NULL) - p->log_mark;

    if (lines > n) {
        proto_check(p, __FILE__, __LINE__, "number of new log lines", (int)lines, (int)n);
    }
}

void proto_expect_one_line(struct proto *p)
{
    OK(p, daemon_wait_lines(&p->d, p->log_mark + 1, frontend_timeout_ms()));
    proto_expect_lines_at_most(p, 1);
}

static const char *describe(int rc)
{
    return rc == FC_BROKEN ? "broken reply" : rc < 0 ? g_strerror(-rc) : "success";
}

static G_GNUC_NORETURN void fail(struct proto *p, const char *file, int line, const char *message)
{
    g_autofree char *log = p->d.log ? daemon_log(&p->d) : g_strdup("");

    fprintf(stderr, "%s:%d: %s\n", file, line, message);
    if (p->fc.error[0]) {
        fprintf(stderr, "  broken rule: %s\n", p->fc.error);
    }
    if (p->vmm.error[0]) {
        fprintf(stderr, "  front end: %s\n", p->vmm.error);
    }
    fprintf(stderr, "  daemon's stderr: <<\n%s>>\n", log);
    fflush(stderr);
    _exit(1);
}

void proto_check(struct proto *p, const char *file, int line, const char *call, int got, int want)
{
    if (got != want) {
        g_autofree char *message = g_strdup_printf("%s is %d (%s), want %d (%s)", call, got,
                                                   describe(got), want, describe(want));

        fail(p, file, line, message);
    }
}

void proto_check_any(struct proto *p, const char *file, int line, const char *call, int got,
                     const int *wants)
{
    g_autofree char *message = NULL;

    if (!wants && got < 0 && got > -512 && got != -ETIMEDOUT) {
        return;
    }
    for (; wants && *wants; wants++) {
        if (got == *wants) {
            return;
        }
    }
    message = g_strdup_printf("%s is %d (%s)", call, got, describe(got));
    fail(p, file, line, message);
}
