/* SPDX-License-Identifier: MIT */
/* All breakpoints, between debug.c, which keeps them, and debug_run.c, which runs guests with them. */
#ifndef VMM_DEBUG_POINTS_H
#define VMM_DEBUG_POINTS_H

#include "lib/spinlock.h"
#include "vmm/debug.h"
#include "vmm/vm.h"

#define DEBUG_SLOTS 4
#define INT3        0xcc

struct point {
    struct debug_point p; /* a watchpoint of part of what was asked for: what one debug register can watch */
    bool used, written;
    u8 owner, vm, slot;
    u8 original; /* what INT3 stands in place of */
    u64 born;    /* start_tsc of its VM: another VM of that number is not it */
    gpa_t at;    /* of INT3, in L1 */
};

extern struct spinlock debug_lock;
extern struct point debug_points[DEBUG_MAX_POINTS];

static inline bool debug_is_of(const struct point *p, const struct vm *vm)
{
    return p->used && p->vm == vm->index && p->born == vm->start_tsc;
}

/* Before an instruction that is stepped. */
void debug_begin_step(struct vcpu *v);
/* v does not step any more. Its instruction was not executed. */
void debug_end_step(struct vcpu *v);
/* MOV to and from debug registers, which has exited; the guest's own are in the CPU and in the VMCS. */
void debug_mov_dr(struct vcpu *v);

#endif
