/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of this room: messages, guest memory, kicks and calls.
 */
#include "transport/vhost_user.h"

#include "base/syscall_rule.h"

const struct syscall_rule transport_syscalls[] = {
    {"epoll_create1"}, {"epoll_ctl"},   {"epoll_pwait"}, {"epoll_wait"},
    {"fstatfs"},                        /* is a region made of huge pages? */
    {"getsockopt"},    {"newfstatat"},  /* how glibc says fstat */
    {"ftruncate"},     {"ftruncate64"}, /* of a memory file with inflight regions */
    {"memfd_create"},  {"recvmsg"},     {"sendmsg"},     {0},
};

const struct syscall_rule transport_accept_syscalls[] = {{"accept4"}, {0}};
