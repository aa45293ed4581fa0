/* SPDX-License-Identifier: MIT */
/*
 * KVM's paravirtual interface, for guests that know it: Linux, Documentation/virt/kvm/x86: msr.rst,
 * hypercalls.rst, cpuid.rst. Clock, steal time with its flag for TLB flushes, EOIs that are left out, and
 * hypercalls.
 */
#ifndef VMM_PV_KVM_H
#define VMM_PV_KVM_H

#include "lib/types.h"

struct vm;
struct vcpu;

#define MSR_KVM_WALL_CLOCK      0x11u
#define MSR_KVM_SYSTEM_TIME     0x12u
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u
#define MSR_KVM_STEAL_TIME      0x4b564d03u
#define MSR_KVM_PV_EOI_EN       0x4b564d04u
#define KVM_ENABLED             1u /* in all but the first two */

#define KVM_NR_CALLS 12u /* a number that is not below is none of KVM's here */

struct pv_kvm {
    bool away;         /* its guest was told so */
    bool kicked;       /* the halt of KVM_HC_KICK_CPU ends; written by other CPUs */
    u64 shown;         /* struct vcpu's waited, as the guest has it as steal time */
    u32 version;       /* of that */
    u64 ipis, flushes; /* sent by hypercall; made because of the flag */
};

/* INIT: nothing is registered any more. */
void pv_kvm_reset(struct vcpu *v);
/* The hypercall of CPL 0 in RAX; its result. bits: of a register, 32 or 64. */
s64 pv_kvm_call(struct vcpu *v, u32 bits);
/* Of a vCPU that is halted: is that over? */
bool pv_kvm_kicked(struct vcpu *v);
/* It leaves its CPU, and has not stepped out yet: its VM's memory stays where it is. */
void pv_kvm_leaves(struct vcpu *v);
/* v->pv.kvm.away: it is loaded, before its guest runs. */
void pv_kvm_returns(struct vcpu *v);
/* What came of it. */
void pv_kvm_log(const struct vm *vm);

#endif
