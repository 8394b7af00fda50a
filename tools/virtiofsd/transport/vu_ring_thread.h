/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the thread of a ring does; only vu_ring.c starts it.
 */
#ifndef TRANSPORT_VU_RING_THREAD_H
#define TRANSPORT_VU_RING_THREAD_H

#include "transport/vu_ring.h"

/* The thread's function; takes the struct vu_ring. */
void *vu_ring_thread(void *arg);

/* Tells the driver about what was pushed, if it wants to know. The ring's lock is held. */
void vu_ring_signal_locked(struct vu_ring *ring);

#endif
