/* SPDX-License-Identifier: MIT */
/* The table behind vmm/msr.c, and the functions that its rows name. */
#ifndef VMM_MSR_TABLE_H
#define VMM_MSR_TABLE_H

#include "vmm/vm.h"

struct msr_row;
typedef int msr_read_fn(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value);
typedef int msr_write_fn(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value);

enum { DIRECT_READ = 1, DIRECT_WRITE = 2, DIRECT = 3 };

struct msr_row {
    u32 first, last;
    const char *name;
    u16 needs;           /* offset of a bool in struct guest_cpuid; 0: every VM has it */
    bool canonical;      /* the value is a linear address */
    u8 direct;           /* what the bitmap lets through... */
    u64 direct_granted;  /* ...if all these are granted (BIT(enum vmx_feature)) */
    u64 valid;           /* bits that may be written as 1; others give #GP */
    msr_read_fn *read;   /* null: #GP */
    msr_write_fn *write; /* null: #GP */
    u64 arg;             /* a value, a VMCS field, or an offset in struct vcpu_msrs */
};

extern const struct msr_row msr_rows[]; /* sorted, without overlaps */
extern const u32 msr_nr_rows;

/* Does this VM have the MSRs of the row? */
bool msr_row_exists(const struct msr_row *row, const struct guest_cpuid *c);

/* --- msr_handlers.c --- */

msr_read_fn msr_fixed_read; /* arg */
msr_write_fn msr_ignore_write;
msr_read_fn msr_stored_read; /* of struct vcpu_msrs */
msr_write_fn msr_stored_write;
msr_read_fn msr_vmcs_read;
msr_write_fn msr_vmcs_write;
msr_read_fn msr_live_read; /* in the CPU, at home in struct vcpu_msrs */
msr_write_fn msr_live_write;
msr_write_fn msr_command_write; /* done by the CPU, nothing is kept */
msr_read_fn msr_tsc_read;
msr_write_fn msr_tsc_write, msr_tsc_adjust_write;
msr_write_fn msr_efer_write, msr_spec_ctrl_write, msr_misc_enable_write, msr_debugctl_write;
msr_read_fn msr_platform_info_read, msr_arch_capabilities_read, msr_feature_control_read, msr_vmx_read;
msr_read_fn msr_apic_base_read, msr_x2apic_read, msr_tsc_deadline_read;
msr_write_fn msr_apic_base_write, msr_x2apic_write, msr_tsc_deadline_write;

/* --- pv/area.c --- */

msr_read_fn msr_pv_page_read, msr_pv_area_read;
msr_write_fn msr_pv_page_write, msr_pv_area_write;

/* --- pv/kvm.c, pv/kvm_steal.c --- */

msr_write_fn msr_kvm_wall_clock_write, msr_kvm_clock_write, msr_kvm_steal_write, msr_kvm_eoi_write;

/* --- msr_memtype.c: memory types --- */

#define MTRR_CAP       (BIT(10) | BIT(8) | MSR_NR_MTRR_VAR) /* WC, fixed ranges */
#define MTRR_DEF_VALID (BIT(11) | BIT(10) | 0xff)
#define PAT_RESET      0x0007040600070406ull

msr_read_fn msr_mtrr_read;
msr_write_fn msr_mtrr_write;
msr_read_fn msr_pat_read;
msr_write_fn msr_pat_write;
void msr_mtrr_reset(struct vcpu_msrs *m, const struct guest_cpuid *c);

#endif
