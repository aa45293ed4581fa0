/* SPDX-License-Identifier: MIT */
/* MSRs: a table with a policy per row. What no row names gets #GP, logged once per VM and MSR range. */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include "lib/types.h"

struct vcpu;

#define MSR_NR_MTRR_VAR 8

/* Values that exist for the guest only. */
struct vcpu_msrs {
    u64 tsc_adjust;
    u64 misc_enable;
    u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[2 * MSR_NR_MTRR_VAR];
    u64 mcg_status;
    u64 bios_sign_id;
    u64 spec_ctrl; /* while another vCPU is on the CPU */
    u64 star, lstar, cstar, fmask, kernel_gs_base, tsc_aux; /* the same */
    u64 xss;
};

/* 0, or ERR_INVAL: the guest gets #GP. Called for RDMSR and WRMSR exits and by vCPU reset. */
int vcpu_msr_read(struct vcpu *v, u32 msr, u64 *value);
int vcpu_msr_write(struct vcpu *v, u32 msr, u64 value);
/* Values after RESET#; the ones kept in the VMCS and in the CPU are vcpu.c's. */
void vcpu_msrs_reset(struct vcpu_msrs *m);
/* Fills the 4 KiB MSR bitmap: everything exits, but for the rows that say 'direct'. SDM, 'MSR-Bitmap Address'. */
void msr_bitmap_fill(u8 *bitmap);
/* Registers that stay in the CPU while the vCPU has it. */
void vcpu_msrs_load(struct vcpu *v);
void vcpu_msrs_save(struct vcpu *v);

#endif
