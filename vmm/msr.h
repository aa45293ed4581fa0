/* SPDX-License-Identifier: MIT */
/* MSRs: a table with a policy per row. What no row names gets #GP; each #GP is logged once per VM and MSR. */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include "lib/types.h"

struct vcpu;
struct guest_cpuid;

#define MSR_NR_MTRR_VAR 8
#define MSR_MAX_REFUSED 32

/* Values that exist for the guest only. */
struct vcpu_msrs {
    u64 tsc_adjust;
    u64 misc_enable;
    u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[2 * MSR_NR_MTRR_VAR];
    u64 pat; /* where the VMCS has none */
    u64 mcg_status;
    u64 xss;
    u64 kvm_wall_clock, kvm_clock, kvm_steal, kvm_eoi; /* vmm/pv/kvm.h */
    /* While another vCPU is on the CPU: */
    u64 spec_ctrl, umwait_control;
    u64 star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
};

/* MSRs that gave a VM #GP, in its struct vm; guarded by its dev_lock. */
struct msr_refused {
    u32 nr;
    u32 msr[MSR_MAX_REFUSED];
};

/*
 * 0, or ERR_INVAL: the guest gets #GP. For RDMSR and WRMSR exits and whatever else accesses MSRs in the
 * guest's place; the vCPU is loaded on this CPU, the device lock is not held.
 */
int vcpu_msr_read(struct vcpu *v, u32 msr, u64 *value);
int vcpu_msr_write(struct vcpu *v, u32 msr, u64 value);
/*
 * Values after RESET#, but for MTRRs: as firmware leaves them, all memory write-back except for the VGA
 * window and the PCI hole. The MSRs kept in the VMCS are vcpu.c's.
 */
void vcpu_msrs_reset(struct vcpu_msrs *m, const struct guest_cpuid *c);
/*
 * Fills a VM's 4 KiB MSR bitmap: everything exits, but for the rows that say 'direct' and whose feature the
 * VM has. SDM 326019, 'MSR-Bitmap Address'.
 */
void msr_bitmap_fill(u8 *bitmap, const struct guest_cpuid *c);

/* No exit for this MSR. */
void msr_bitmap_let_through(u8 *bitmap, u32 msr, bool write);

/* --- msr_switch.c --- */

/* Registers that stay in the CPU while the vCPU has it. */
void vcpu_msrs_load(struct vcpu *v);
void vcpu_msrs_save(struct vcpu *v);
/* IA32_ARCH_CAPABILITIES of the CPU; it must exist. */
u64 msr_host_arch_capabilities(void);
/* Writes IA32_PRED_CMD or IA32_FLUSH_CMD of the CPU; it must exist, and value be one that it takes. */
void msr_host_command(u32 msr, u64 value);

/* --- vcpu.c: fields (enum vmcs_encoding) of v's VMCS, which is current --- */

u64 vcpu_vmread(struct vcpu *v, u32 field);
void vcpu_vmwrite(struct vcpu *v, u32 field, u64 value);

#endif
