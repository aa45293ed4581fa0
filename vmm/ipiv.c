/* SPDX-License-Identifier: MIT */
/*
 * SDM, 'IPI Virtualization': what a guest sends to one APIC by its id, its CPU posts alone, by the VM's table
 * of descriptors. An id whose entry is not valid, or that is beyond the table, makes an APIC-write exit, and
 * software finds out who is meant: so do all ids for which a fixed interrupt does not simply arrive.
 */
#include "arch/x86/vmx.h"
#include "vmm/apicv.h"
#include "vmm/dev/lapic.h"

int ipiv_start(struct vm *vm)
{
    if (vm->apic != APIC_POSTED || !vmx_has(&vmx_features, VF_IPI_VIRTUALIZATION))
        return OK;
    vm->pid_pointers = pool_alloc(&vm->owner, 1);
    if (!vm->pid_pointers)
        return ERR_NOMEM;
    msr_bitmap_let_through(vm->msr_bitmap_x2, MSR_IA32_X2APIC_ICR, true);
    return OK;
}

/* CPUs read it at any time. No APIC has id 255, which addresses all in xAPIC mode. */
void vcpu_takes_ipis(struct vcpu *v, u32 id, bool takes)
{
    u64 *table = v->vm->pid_pointers;

    if (table && id < PID_POINTERS)
        __atomic_store_n(&table[id], takes ? pool_pa(v->pid) | PID_POINTER_VALID : 0, __ATOMIC_SEQ_CST);
}
