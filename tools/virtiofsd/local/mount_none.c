/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The room in a build without libfuse3. The option table refuses --mount there, so that nothing of
 * this runs.
 */
#include <errno.h>
#include <glib.h>

#include "base/syscall_rule.h"
#include "local/mount.h"

const struct syscall_rule local_syscalls[] = {{0}};

int local_mount_new(const struct local_mount_config *config, struct local_mount **ret,
                    char **ret_error)
{
    (void)config;
    (void)ret;
    *ret_error = g_strdup("--mount: built without libfuse3");
    return -EOPNOTSUPP;
}

void local_mount_free(struct local_mount *mount)
{
    (void)mount;
}

enum local_end local_serve(struct local_mount *mount, int stop_fd,
                           const struct local_device *device)
{
    (void)mount;
    (void)stop_fd;
    (void)device;
    return LOCAL_END_ERROR;
}
