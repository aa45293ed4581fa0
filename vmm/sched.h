/* SPDX-License-Identifier: MIT */
/*
 * Which vCPU has a physical CPU. Each CPU has a queue of ready vCPUs and a list of those that sleep at home
 * with it; an idle CPU takes ready vCPUs that are not pinned from others.
 */
#ifndef VMM_SCHED_H
#define VMM_SCHED_H

#include "vmm/vmm.h"

#define SCHED_SLICE_US 10000 /* time that a vCPU has the CPU while others wait for it */

/* The next vCPU for this CPU, made current; null when there is none. */
struct vcpu *sched_pick(struct vmm_cpu *c);
/* The current vCPU leaves the CPU: ready again at the queue's end, */
void sched_yield(struct vmm_cpu *c, struct vcpu *v);
/* asleep until it is kicked or its timer is due (false: it was kicked meanwhile, and stays current), */
bool sched_block(struct vmm_cpu *c, struct vcpu *v);
/* or for ever. */
void sched_retire(struct vmm_cpu *c, struct vcpu *v);
/* Does another vCPU wait for this CPU? */
bool sched_contended(struct vmm_cpu *c);
/* Wakes the sleepers whose timers are due; returns the time of the next timer of those that go on sleeping.
 */
u64 sched_wake_due(struct vmm_cpu *c, u64 now);
/* Halts until an interrupt, unless there is something to do. */
void sched_idle(struct vmm_cpu *c, u64 until);

#endif
