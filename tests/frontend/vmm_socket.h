/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the front end only: how vmm.c and vmm_socket.c report a failure.
 */
#ifndef FRONTEND_VMM_SOCKET_H
#define FRONTEND_VMM_SOCKET_H

struct vmm;

/* Notes the sentence in vmm->error and returns rc. */
int vmm_fail(struct vmm *vmm, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
