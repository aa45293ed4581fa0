/* SPDX-License-Identifier: MIT */
/*
 * VM entry's checks in software (SDM 326019, chapter 'VM Entries'): why a VM entry failed, or whether a VMCS
 * that somebody else wrote could be entered. What is checked against is all in struct entry_env; there are no
 * globals. Entry into SMM's executive VMCS and FRED are left out.
 */
#ifndef VMM_ENTRY_CHECK_H
#define VMM_ENTRY_CHECK_H

#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_caps.h"

/* The processor that would enter. */
struct entry_env {
    const struct vmx_caps *caps;
    u8 physical_bits;      /* physical-address width (CPUID.80000008H:EAX[7:0]) */
    u8 linear_bits;        /* linear-address width (CPUID.80000008H:EAX[15:8]) */
    bool long_mode;        /* IA32_EFER.LMA now */
    bool lam;              /* CR3[62:61] exist (linear-address masking) */
    bool rtm;              /* restricted transactional memory: pending debug exceptions[16] exists */
    bool bus_lock_debug;   /* bus-lock debug exceptions: pending debug exceptions[11] exists */
    bool sgx;              /* interruptibility state[4] exists */
    bool pt_tracing;       /* IA32_RTIT_CTL.TraceEn now */
    bool nmi_needs_no_sti; /* this processor refuses to inject an NMI while STI blocks */
    u64 efer_valid;        /* bits that may be 1 of IA32_EFER, and so on */
    u64 debugctl_valid;
    u64 perf_global_valid;
    u64 rtit_valid;
    u64 lbr_valid;
    paddr_t current_vmcs; /* what the link pointer must not be */
    /*
     * Reads size bytes of the physical memory that addresses in the VMCS speak of; false where there is none.
     * Null: rows that look into memory are passed over.
     */
    bool (*read)(void *ctx, paddr_t address, void *to, size_t size);
    /* Would WRMSR fault, or is the MSR not for a VM-entry MSR-load area on this model? Null: all is well. */
    bool (*msr_refused)(void *ctx, u32 msr, u64 value);
    void *ctx;
};

enum entry_stage {
    ENTRY_OK,
    ENTRY_VMFAIL_CONTROLS = VMX_ERROR_ENTRY_CONTROLS,
    ENTRY_VMFAIL_HOST = VMX_ERROR_ENTRY_HOST_STATE,
    ENTRY_GUEST_STATE = EXIT_REASON_ENTRY_FAILURE_GUEST_STATE,
    ENTRY_MSR_LOADING = EXIT_REASON_ENTRY_FAILURE_MSR_LOADING,
};

/* The first row that fails. */
struct entry_verdict {
    enum entry_stage stage;
    u32 qualification; /* exit qualification of the two exits; for MSR loading the number of the entry, from 1
                        */
    const char *row;   /* field and rule in words; null when all is well */
    enum vmcs_index field;
    bool has_bits;
    u64 bits; /* the bits of the field that are wrong, if has_bits */
};

/* All checks in the order of the SDM: controls, host state, guest state, MSR loading. Returns out->stage. */
enum entry_stage entry_check(const struct vmcs_image *vmcs, const struct entry_env *env,
                             struct entry_verdict *out);

/* Fields that may have changed since a VMCS passed entry_check(): any, RIP, or besides RIP RFLAGS,
 * interruptibility and event injection. */
enum entry_part { ENTRY_ALL, ENTRY_RIP, ENTRY_EVENTS };

/* Only the checks that these fields can fail, but for those of memory: the rest is as it was. */
enum entry_stage entry_check_part(const struct vmcs_image *vmcs, const struct entry_env *env,
                                  enum entry_part part, struct entry_verdict *out);

/* The text of each row, in order, for tests and documentation; null beyond the last. */
const char *entry_check_row(u32 number);

#endif
