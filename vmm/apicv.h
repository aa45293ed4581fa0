/* SPDX-License-Identifier: MIT */
/*
 * How the CPU helps with a vCPU's local APIC: SDM 325462 volume 3, 'APIC Virtualization and Virtual
 * Interrupts'. The APIC's registers are a virtual-APIC page in any case, so that to begin or to stop using it
 * loses nothing.
 */
#ifndef VMM_APICV_H
#define VMM_APICV_H

#include "vmm/config.h"
#include "vmm/vm.h"

/* The best that this CPU has, up to what the configuration allows. */
enum config_apic apicv_level(const struct config_vm *config);
/* The MSR bitmap for vCPUs in x2APIC mode: other, and what the CPU then virtualizes. */
void apicv_fill_msr_bitmap(u8 *bitmap, const u8 *other);
/* The VM's APICs may be used by the CPU, and vmcs01 is current: it learns what software has changed. Last
 * before an entry of L1. */
void apicv_before_entry(struct vcpu *v);
/* Where xAPIC registers are accesses are virtualized, from the VM's start until one of its APICs is elsewhere
 * or in another mode. ERR_NOMEM. */
int apicv_start_access_page(struct vm *vm);
void apicv_stop_access_page(struct vm *vm);

/* Handlers of VM exits */
bool exit_virtualized_eoi(struct vcpu *v);
bool exit_apic_write(struct vcpu *v);
bool exit_apic_access(struct vcpu *v);

/* --- posted.c: the posted-interrupt descriptor of a vCPU, as the vCPU goes through the scheduler --- */

/* v->sched has become state, on the CPU where it is at home. */
void posted_follow(struct vcpu *v, enum vcpu_sched state);
/* VECTOR_WAKE: has those run again that sleep here and have got something. In sched.c. */
void posted_wake(u8 vector);

/* --- ipiv.c: where the CPU has IPI virtualization --- */

/* Before the VM has vCPUs, which are let write the ICR in x2APIC mode then. ERR_NOMEM. */
int ipiv_start(struct vm *vm);

/* --- ipiv_check.c --- */

/* Before any VM, on a CPU in VMX operation: tries it, says so in the log, and does without it where it does
 * not work. config: any VM's. */
void ipiv_check(const struct config_vm *config);

#endif
