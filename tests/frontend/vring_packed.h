/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the front end only: the packed half of vring_driver.h.
 */
#ifndef FRONTEND_VRING_PACKED_H
#define FRONTEND_VRING_PACKED_H

#include "vring_driver.h"

void packed_reset(struct vqueue *vq);
uint32_t packed_base(const struct vqueue *vq);
int packed_add(struct vqueue *vq, const struct vq_seg *segs, unsigned n_out, unsigned n_in,
               void *token);
bool packed_wants_kick(struct vqueue *vq);
int packed_reap(struct vqueue *vq, void **ret_token, uint32_t *ret_len);
bool packed_has_used(const struct vqueue *vq);
/* States the wish to be called for the next completion, or for none. */
void packed_arm(struct vqueue *vq, bool wants_calls);

#endif
