/* SPDX-License-Identifier: MIT */
/* The posted-interrupt descriptor: SDM, 'Posted-Interrupt Processing'. It is in L1's memory and changes at
 * any time. */
#ifndef VMM_NESTED_POSTED_H
#define VMM_NESTED_POSTED_H

#include "vmm/nested/nested.h"

/* A bit for each vector (PIR), and then the word of the notification. */
#define POSTED_NOTIFY  32
#define POSTED_ON      BIT(0)
#define POSTED_SN      BIT(1)
#define POSTED_NV(w)   ((u8)((w) >> 16))
#define POSTED_NDST(w) ((u32)((w) >> 32))

/* Each time that another CPU was first, at least one of 64 bits has changed. More often than this L1 only
 * plays with it. */
#define POSTED_TRIES 64

/* A word of L1's memory, atomically: (old & keep) | set, and what it was. size: 4 or 8. */
u64 nested_exchange(struct vcpu *v, gpa_t at, u32 size, u64 keep, u64 set);

#endif
