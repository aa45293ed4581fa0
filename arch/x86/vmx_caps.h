/* SPDX-License-Identifier: MIT */
/* What this CPU's VMX can do, and what Nidus takes of it. Pure logic over the capability MSRs. */
#ifndef ARCH_X86_VMX_CAPS_H
#define ARCH_X86_VMX_CAPS_H

#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_bits.h"

/* Raw values of the capability MSRs; one that does not exist is 0. */
struct vmx_caps {
    u64 feature_control;
    u64 basic;
    u64 pin, proc, exit, entry; /* IA32_VMX_PINBASED_CTLS and so on */
    u64 misc;
    u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    u64 vmcs_enum;
    u64 proc2;
    u64 ept_vpid;
    u64 true_pin, true_proc, true_exit, true_entry;
    u64 vmfunc;
    u64 proc3; /* allowed-1 settings only */
    u64 exit2; /* allowed-1 settings only */
};

/* Reads only the MSRs that exist (SDM appendix 'VMX Capability Reporting Facility'). CPUID must report VMX.
 */
void vmx_caps_read(struct vmx_caps *caps, u64 (*rdmsr)(u32 msr));
/* What RDMSR of a capability MSR, or of IA32_FEATURE_CONTROL, gives; false: it does not exist. */
bool vmx_caps_get(const struct vmx_caps *caps, u32 msr, u64 *value);

/* Allowed-0 settings: the bits of a control word that must be 1. Taken from the TRUE MSRs where they exist.
 */
u64 vmx_allowed0(const struct vmx_caps *caps, enum vmx_word word);
/* Allowed-1 settings: the bits that may be 1. */
u64 vmx_allowed1(const struct vmx_caps *caps, enum vmx_word word);
/* The same of every enum vmx_place: what there is. */
u64 vmx_available(const struct vmx_caps *caps, u32 place);
/* Reserved bits of a word that must be 1 and that mean nothing (the default1 class, but for bits with a
 * name). */
u64 vmx_default1(enum vmx_word word);
/* The MSR that the allowed settings were taken from, e.g. "IA32_VMX_TRUE_PINBASED_CTLS". */
const char *vmx_word_msr(const struct vmx_caps *caps, enum vmx_word word);

/* Bits that must be 1, and bits that may be 1, of CR0 and CR4 in VMX operation. */
static inline u64 vmx_cr0_required(const struct vmx_caps *caps)
{
    return caps->cr0_fixed0;
}

static inline u64 vmx_cr0_allowed(const struct vmx_caps *caps)
{
    return caps->cr0_fixed1;
}

static inline u64 vmx_cr4_required(const struct vmx_caps *caps)
{
    return caps->cr4_fixed0;
}

static inline u64 vmx_cr4_allowed(const struct vmx_caps *caps)
{
    return caps->cr4_fixed1;
}

/* Does VMREAD of this field work on this CPU (third column of vmcs_fields.def)? */
bool vmcs_field_exists(const struct vmx_caps *caps, enum vmcs_index index);

/* What Nidus can make use of. A feature is granted when all rows of the table in vmx_negotiate.c that name it
 * are.
 */
enum vmx_feature {
    /* required */
    VF_EXTERNAL_INTERRUPT_EXITING,
    VF_NMI_EXITING,
    VF_VIRTUAL_NMIS, /* with NMI-window exiting */
    VF_INTERRUPT_WINDOW_EXITING,
    VF_HLT_EXITING,
    VF_CR8_EXITING,
    VF_MWAIT_EXITING, /* and MONITOR */
    VF_RDPMC_EXITING,
    VF_MSR_BITMAPS,
    VF_IO_BITMAPS,
    VF_SECONDARY_CONTROLS,
    VF_EPT, /* 4 levels, write-back, INVEPT */
    VF_UNRESTRICTED_GUEST,
    VF_HOST_64BIT,
    VF_ACK_INTERRUPT_ON_EXIT,
    VF_EFER, /* saved and loaded on exit, loaded on entry */
    VF_IA32E_MODE_GUEST,
    /* wanted */
    VF_PREEMPTION_TIMER, /* its value saved on exit */
    VF_VPID,             /* with the INVVPID types for one context and for all */
    VF_RDTSCP,
    VF_INVPCID,
    VF_XSAVES,
    VF_WBINVD_EXITING,
    VF_TSC_OFFSETTING,
    VF_TSC_SCALING,
    VF_PAT, /* saved and loaded on exit, loaded on entry */
    VF_DEBUG_CONTROLS,
    VF_USER_WAIT,
    /* known, not in the control words to start from */
    VF_TPR_SHADOW,
    VF_VIRTUALIZE_APIC_ACCESSES,
    VF_VIRTUALIZE_X2APIC,
    VF_APIC_REGISTER_VIRTUALIZATION,
    VF_VIRTUAL_INTERRUPT_DELIVERY,
    VF_POSTED_INTERRUPTS,
    VF_IPI_VIRTUALIZATION,
    VF_PML,
    VF_PAUSE_LOOP_EXITING,
    VF_MONITOR_TRAP_FLAG,
    VF_VMCS_SHADOWING,
    VF_DESCRIPTOR_TABLE_EXITING,
    VF_ENCLS_EXITING,
    VF_MODE_BASED_EXECUTE,
    VF_EPT_2M,
    VF_EPT_1G,
    VF_EPT_ACCESSED_DIRTY,
    VF_EPT_EXECUTE_ONLY,
    VF_EPT_ADVANCED_EXIT_INFO,
    VF_INVEPT_SINGLE,
    VF_INVVPID_ADDRESS,
    VF_INVVPID_KEEP_GLOBAL,
    VF_HLT_ACTIVITY,
    VF_WAIT_FOR_SIPI_ACTIVITY,
    VMX_NR_FEATURES
};

/* The outcome: control words to start from, and what is there to use. */
struct vmx_features {
    u64 word[VMX_NR_WORDS];
    u64 granted; /* BIT(enum vmx_feature) */
};

static inline bool vmx_has(const struct vmx_features *f, enum vmx_feature feature)
{
    return f->granted >> feature & 1;
}

/* Of what there is in this place, what Nidus makes use of. */
u64 vmx_used(const struct vmx_features *f, u32 place);
/* E.g. "unrestricted guest"; for messages about what was granted. Never null. */
const char *vmx_feature_name(enum vmx_feature feature);

/*
 * Intersects what Nidus wants with caps. Each thing that is required and missing, and each bit that must be 1
 * and that Nidus does not know how to live with, is one line to report(ctx, line), e.g. "needs unrestricted
 * guest: IA32_VMX_PROCBASED_CTLS2[39]". Returns true when Nidus can run; *out is filled anyway. An
 * IA32_FEATURE_CONTROL that is unlocked is fine: the caller sets bits 0 and 2 before VMXON.
 */
bool vmx_negotiate(const struct vmx_caps *caps, struct vmx_features *out,
                   void (*report)(void *ctx, const char *line), void *ctx);

#endif
