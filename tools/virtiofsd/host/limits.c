/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that opens files without end must hit our limit before the host's (CVE-2020-10717), and
 * a limit that cannot be had must not keep a daemon from starting unless it was asked for.
 */
#include "host/limits.h"

#include "base/util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define NOFILE_WANTED   1000000
#define NOFILE_FOR_HOST 16384 /* of the host-wide limit, for everything that is not us */
#define NOFILE_AT_LEAST 1024

static uint64_t read_number(const char *path, uint64_t fallback)
{
    g_autofree char *text = NULL;

    /* /proc may be missing or masked in a container: not worth failing for */
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return fallback;
    }
    return g_ascii_strtoull(text, NULL, 10);
}

static uint64_t automatic_nofile(void)
{
    uint64_t host = read_number("/proc/sys/fs/file-max", NOFILE_WANTED + NOFILE_FOR_HOST);
    uint64_t most = read_number("/proc/sys/fs/nr_open", NOFILE_WANTED);
    uint64_t spare = host > NOFILE_FOR_HOST ? host - NOFILE_FOR_HOST : 0;

    return MAX(MIN(MIN(spare, most), NOFILE_WANTED), NOFILE_AT_LEAST);
}

static int set_nofile(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

int limits_set_nofile(int64_t nofile, uint64_t *ret_nofile, char **ret_error)
{
    uint64_t wanted = nofile < 0 ? automatic_nofile() : (uint64_t)nofile;
    struct rlimit now;
    int res = 0;

    if (getrlimit(RLIMIT_NOFILE, &now) < 0) {
        res = -errno;
        *ret_error = g_strdup_printf("cannot read the limit of open files: %s", g_strerror(-res));
        return res;
    }
    if (nofile == LIMITS_NOFILE_KEEP) {
        *ret_nofile = now.rlim_cur;
        return 0;
    }
    res = set_nofile(wanted, wanted);
    if (res < 0 && nofile < 0) {
        /* Raising the hard limit takes CAP_SYS_RESOURCE: settle for all that is allowed. */
        wanted = MIN(wanted, now.rlim_max);
        res = set_nofile(wanted, now.rlim_max);
    }
    if (res < 0) {
        *ret_error = g_strdup_printf("--rlimit-nofile=%" G_GUINT64_FORMAT
                                     " cannot be set (%s): the hard limit is %" G_GUINT64_FORMAT,
                                     wanted, g_strerror(-res), (uint64_t)now.rlim_max);
        return res;
    }
    *ret_nofile = wanted;
    return 0;
}

int limits_forbid_core_dumps(void)
{
    struct rlimit none = {0, 0};

    /* the limit alone does not stop a helper named in core_pattern, the flag does */
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return -errno;
    }
    return 0;
}

static void close_range_or_each(unsigned from, unsigned to)
{
    unsigned end = (unsigned)sysconf(_SC_OPEN_MAX);

    if (from > to || syscall(SYS_close_range, from, to, 0) == 0) {
        return;
    }
    /* before Linux 5.9: one by one, over what can have been opened */
    for (unsigned fd = from; fd <= to && fd < end; fd++) {
        (void)close((int)fd); /* most are not open */
    }
}

void limits_close_others(int keep, int other)
{
    unsigned low = (unsigned)MAX(MIN(keep, other), 2);
    unsigned high = (unsigned)MAX(MAX(keep, other), 2);

    close_range_or_each(3, low - 1);
    close_range_or_each(low + 1, high - 1);
    close_range_or_each(high + 1, ~0U);
}

int limits_clean_fds(int keep)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* the lowest free number is the one that is missing */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) {
            return -EBADF;
        }
    }
    limits_close_others(keep, -1);
    return 0;
}
