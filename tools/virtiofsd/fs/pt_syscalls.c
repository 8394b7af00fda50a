/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of this room: what a guest's request may become on the host. Old and new names
 * of one call stand side by side; glibc chooses by architecture and version.
 */
#include "fs/pt.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>

#include "base/syscall_rule.h"

const struct syscall_rule pt_syscalls[] = {
    /* a thread's own working directory and umask (pt_thread_init) */
    {"fchdir"},
    {"umask"},
    {"unshare", 0, UINT64_MAX, CLONE_FS},

    /* acting as the guest's user (creds.c) */
    {"capget"},
    {"capset"},
    {"setfsgid"},
    {"setfsgid32"},
    {"setfsuid"},
    {"setfsuid32"},
    {"setgroups"},
    {"setgroups32"},

    /* names and attributes */
    {"chmod"},
    {"chown"},
    {"fchmod"},
    {"fchmodat"},
    {"fchown"},
    {"fchownat"},
    {"fstatat64"},
    {"fstatfs"},
    {"fstatfs64"},
    {"linkat"},
    {"mkdirat"},
    {"mknodat"},
    {"name_to_handle_at"},
    {"newfstatat"},
    {"open"},
    {"open_by_handle_at"},
    {"openat"},
    {"readlinkat"},
    {"renameat"},
    {"renameat2"},
    {"statx"},
    {"symlinkat"},
    {"truncate"},
    {"truncate64"},
    {"unlink"}, /* without a sandbox: our own socket and pid file */
    {"unlinkat"},
    {"utimensat"},
    {"utimensat_time64"},

    /* extended attributes */
    {"getxattr"},
    {"listxattr"},
    {"removexattr"},
    {"setxattr"},

    /* inode flags and project ids */
    {"ioctl", 1, SYSCALL_INT_ARG, (uint32_t)FS_IOC_GETFLAGS},
    {"ioctl", 1, SYSCALL_INT_ARG, (uint32_t)FS_IOC_SETFLAGS},
    {"ioctl", 1, SYSCALL_INT_ARG, (uint32_t)FS_IOC_FSGETXATTR},
    {"ioctl", 1, SYSCALL_INT_ARG, (uint32_t)FS_IOC_FSSETXATTR},

    /* open files */
    {"copy_file_range"},
    {"fallocate"},
    {"fcntl", 1, SYSCALL_INT_ARG, F_SETFL},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_SETFL},
    {"fcntl", 1, SYSCALL_INT_ARG, F_DUPFD_CLOEXEC},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_DUPFD_CLOEXEC},
    {"fcntl", 1, SYSCALL_INT_ARG, F_OFD_GETLK},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_OFD_GETLK},
    {"fcntl", 1, SYSCALL_INT_ARG, F_OFD_SETLK},
    {"fcntl64", 1, SYSCALL_INT_ARG, F_OFD_SETLK},
    {"flock"},
    {"fdatasync"},
    {"fsync"},
    {"ftruncate"},
    {"ftruncate64"},
    {"getdents64"},
    {"preadv"},
    {"preadv2"},
    {"pwritev"},
    {"pwritev2"},
    {"syncfs"},
    {0},
};
