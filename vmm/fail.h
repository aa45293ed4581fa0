/* SPDX-License-Identifier: MIT */
/* When a vCPU cannot go on: what the VMCS holds and why, in words. The VM stops, the others go on. */
#ifndef VMM_FAIL_H
#define VMM_FAIL_H

#include "lib/packed.h"
#include "vmm/vm.h"

/* Prints the VMCS and the general registers, and stops the VM. */
void fail_dump(struct vcpu *v, const char *what);
/* VMLAUNCH or VMRESUME itself failed; flags: RFLAGS after it. */
void fail_vm_entry_instruction(struct vcpu *v, u64 flags);
/* The exit says that the entry failed (EXIT_REASON_ENTRY_FAILURE). */
void fail_vm_entry(struct vcpu *v);
/* The same of vmcs02: one line, and nothing stops. */
void fail_report_entry(struct vcpu *v);
/* Which row of VM entry's checks the CPU has found broken in vmcs, as far as Nidus can tell. */
void fail_explain(const struct vmcs_image *vmcs, struct entry_verdict *why);
/* Nidus cannot do what would come next in the guest's place. An L2 shuts down, and its hypervisor sees that;
 * else the VM stops. */
void fail_guest(struct vcpu *v, const char *fmt, ...) __printf(2, 3);
#define fail_guest(v, ...) fail_guest(v, PACK __VA_ARGS__)

#endif
