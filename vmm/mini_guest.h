/* SPDX-License-Identifier: MIT */
/*
 * A guest without a VM, to try the CPU with: real mode, a page of code, set up as vCPUs are. It runs until an
 * exit, and can do so on any CPU in VMX operation, on one at a time.
 */
#ifndef VMM_MINI_GUEST_H
#define VMM_MINI_GUEST_H

#include "arch/x86/vmx.h"
#include "vmm/vm.h"

/* What it executes from there on: addresses in its page. */
enum mini_code {
    MINI_CALL = 0x400,  /* VMCALL; every interrupt leads there, too */
    MINI_WRMSR = 0x403, /* WRMSR, VMCALL */
    MINI_READ = 0x408,  /* reads AX from MINI_DATA (3 bytes of code), VMCALL */
    MINI_LOOP = 0x40e,  /* for ever */
    MINI_TAKE = 0x410,  /* the same, but takes interrupts */
};

#define MINI_DATA  0x1000 /* guest-physical, the second entry of pt */
#define MINI_FIRST 0x0400 /* the first 16 bits of its page */

/* Beside the basic exit reasons, and what else EXIT_REASON may hold. */
#define MINI_VMFAIL (~0u)

struct mini_guest {
    struct vm vm;
    struct vcpu *vcpu;
    struct vmx_regs regs; /* when it starts; then when it ended */
    u8 *page;
    u64 *pt; /* the EPT's last level, for guest-physical 0 on */
};

/* apic: what its CPU does of its local APIC, which is in x2APIC mode with id 0, once apicv_before_entry() was
 * called. any: a VM's configuration. Null: no memory. */
struct mini_guest *mini_create(const struct config_vm *any, enum config_apic apic);
void mini_destroy(struct mini_guest *g);
/* Makes its VMCS current. */
void mini_load(struct mini_guest *g);
void mini_unload(struct mini_guest *g);
/*
 * Runs it from there, and says why it ended: EXIT_REASON, or MINI_VMFAIL. Its VMCS is current, before and
 * after. Nidus's own interrupts are taken, and it starts again; if nothing else ends it, one does after 100
 * ms.
 */
u32 mini_run(struct mini_guest *g, enum mini_code from);

/* An entry of pt. */
static inline u64 mini_pte(const void *page)
{
    return pool_pa(page) | EPT_RWX | EPT_WB << EPT_TYPE_SHIFT;
}

#endif
