/* SPDX-License-Identifier: MIT */
/* The operations that the table in hypercall.c names. Each returns its result, or PV_AGAIN. */
#ifndef VMM_PV_OPS_H
#define VMM_PV_OPS_H

#include "arch/x86/user.h"
#include "vmm/vm.h"

static inline u32 pv_queue_left(const struct pv_queue *q)
{
    struct nidus_area *a = q->area;
    u32 tail;

    user_begin();
    tail = __atomic_load_n(&a->tail, __ATOMIC_ACQUIRE);
    user_end();
    return tail - q->head;
}

#endif
