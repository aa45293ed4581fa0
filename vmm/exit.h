/* SPDX-License-Identifier: MIT */
/* Handlers of VM exits. Each returns true when the guest can go on at once, false for the slow path in run.c.
 */
#ifndef VMM_EXIT_H
#define VMM_EXIT_H

#include "arch/x86/asm.h"
#include "vmm/vm.h"

bool exit_cr_access(struct vcpu *v);
bool exit_vmcall(struct vcpu *v); /* vmm/pv/hypercall.c */
/* What MOV to CR0, CR3 or CR4 does. False: #GP, or another register. */
bool exit_write_cr(struct vcpu *v, u64 cr, u64 value);
bool exit_xsetbv(struct vcpu *v);
bool exit_io(struct vcpu *v);
bool exit_task_switch(struct vcpu *v);
bool exit_exception(struct vcpu *v);
bool exit_ept_violation(struct vcpu *v);
/* An EPT violation at gpa without a look at moves that are remembered. */
bool exit_memory(struct vcpu *v, gpa_t gpa);
/* CR0.PG changes: long mode follows EFER.LME. False: #GP. */
bool exit_change_paging(struct vcpu *v, bool on);
/* The handler of an exit, as if L1 had made it. */
bool vmx_exit_handle(struct vcpu *v, u32 reason);

/*
 * Exits that are resumed at once look at the clock all the same: the preemption timer stands still while
 * Nidus handles them, so a guest could otherwise put off its timers, and keep the CPU from others, by exiting
 * all the time.
 */
static inline bool vcpu_in_time(const struct vcpu *v)
{
    return rdtsc() < v->until;
}

/* True when nothing waits to be looked at before the next entry. */
static inline bool vcpu_can_resume(const struct vcpu *v)
{
    return likely(!__atomic_load_n(&v->requests, __ATOMIC_RELAXED)) && !v->events.due && vcpu_in_time(v);
}

/* The vCPU goes on with another VMCS, whose preemption timer is to end when it did. False: the slow path has
 * to look. */
bool vcpu_continue(struct vcpu *v);

#endif
