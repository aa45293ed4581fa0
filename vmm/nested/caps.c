/* SPDX-License-Identifier: MIT */
/* The VMX that L1 is offered, as one table, and the capability MSRs that say so: SDM 326019, appendix 'VMX
 * Capability Reporting Facility'. */
#include "arch/x86/vmx_names.h"
#include "vmm/cpuid.h"
#include "vmm/nested/nested.h"

enum policy {
    EMULATED, /* offered on every CPU: Nidus carries it out by itself */
    HARDWARE, /* offered where the CPU has it: the bit goes into vmcs02, or what the CPU does shows through */
};

/*
 * The rows of a name stand and fall together. In place of VX_NONE: cannot be hidden. instruction: a feature
 * of vmx_hidden; the row goes with the instructions that need it.
 */
struct cap {
    u8 place, policy; /* place: enum vmx_place */
    u64 bit;
    u8 name, instruction;
} __packed;

#define PIN      VMX_WORD_PIN, HARDWARE
#define PIN_EM   VMX_WORD_PIN, EMULATED
#define PROC     VMX_WORD_PROC, HARDWARE
#define PROC_EM  VMX_WORD_PROC, EMULATED
#define PROC2    VMX_WORD_PROC2, HARDWARE
#define PROC2_EM VMX_WORD_PROC2, EMULATED
#define PROC3_EM VMX_WORD_PROC3, EMULATED
#define EXIT     VMX_WORD_EXIT, HARDWARE
#define EXIT_EM  VMX_WORD_EXIT, EMULATED
#define ENTRY    VMX_WORD_ENTRY, HARDWARE
#define BASIC    VMX_CAP_BASIC, HARDWARE
#define BASIC_EM VMX_CAP_BASIC, EMULATED
#define MISC     VMX_CAP_MISC, HARDWARE
#define MISC_EM  VMX_CAP_MISC, EMULATED
#define EPT      VMX_CAP_EPT_VPID, HARDWARE
#define EPT_EM   VMX_CAP_EPT_VPID, EMULATED

/* Not offered so far: what no row names. */
static const struct cap caps[] = {
    {PIN, PIN_EXTERNAL_INTERRUPT_EXITING, VX_NONE, 0},
    {PIN, PIN_NMI_EXITING, VX_NONE, 0},
    {PIN, PIN_VIRTUAL_NMIS, VX_VIRTUAL_NMIS, 0},
    {PIN_EM, PIN_PREEMPTION_TIMER, VX_PREEMPTION_TIMER, 0},
    {PIN_EM, PIN_POSTED_INTERRUPTS, VX_POSTED_INTERRUPTS, 0},

    {PROC, PROC_INTERRUPT_WINDOW_EXITING, VX_NONE, 0},
    {PROC, PROC_USE_TSC_OFFSETTING, VX_NONE, 0},
    {PROC, PROC_HLT_EXITING, VX_NONE, 0},
    {PROC, PROC_INVLPG_EXITING, VX_NONE, 0},
    {PROC, PROC_MWAIT_EXITING, VX_NONE, 0},
    {PROC, PROC_RDPMC_EXITING, VX_NONE, 0},
    {PROC, PROC_RDTSC_EXITING, VX_NONE, 0},
    {PROC, PROC_CR3_LOAD_EXITING, VX_NONE, 0},
    {PROC, PROC_CR3_STORE_EXITING, VX_NONE, 0},
    {PROC, PROC_CR8_LOAD_EXITING, VX_NONE, 0},
    {PROC, PROC_CR8_STORE_EXITING, VX_NONE, 0},
    {PROC, PROC_USE_TPR_SHADOW, VX_TPR_SHADOW, 0},
    {PROC, PROC_NMI_WINDOW_EXITING, VX_VIRTUAL_NMIS, 0},
    {PROC, PROC_MOV_DR_EXITING, VX_NONE, 0},
    {PROC, PROC_UNCONDITIONAL_IO_EXITING, VX_NONE, 0},
    {PROC_EM, PROC_ACTIVATE_TERTIARY, VX_TERTIARY_CONTROLS, 0},
    {PROC, PROC_USE_IO_BITMAPS, VX_IO_BITMAPS, 0},
    {PROC, PROC_MONITOR_TRAP_FLAG, VX_MONITOR_TRAP_FLAG, 0},
    {PROC, PROC_USE_MSR_BITMAPS, VX_MSR_BITMAPS, 0},
    {PROC, PROC_MONITOR_EXITING, VX_NONE, 0},
    {PROC, PROC_PAUSE_EXITING, VX_NONE, 0},
    {PROC, PROC_ACTIVATE_SECONDARY, VX_SECONDARY_CONTROLS, 0},

    {PROC2, PROC2_VIRTUALIZE_APIC_ACCESSES, VX_VIRTUALIZE_APIC_ACCESSES, 0},
    {PROC2, PROC2_ENABLE_EPT, VX_EPT, 0},
    {PROC2, PROC2_DESCRIPTOR_TABLE_EXITING, VX_DESCRIPTOR_TABLE_EXITING, 0},
    {PROC2, PROC2_ENABLE_RDTSCP, VX_NONE, VF_RDTSCP},
    {PROC2, PROC2_VIRTUALIZE_X2APIC, VX_VIRTUALIZE_X2APIC, 0},
    {PROC2, PROC2_ENABLE_VPID, VX_VPID, 0},
    {PROC2, PROC2_WBINVD_EXITING, VX_WBINVD_EXITING, 0},
    {PROC2, PROC2_UNRESTRICTED_GUEST, VX_UNRESTRICTED_GUEST, 0},
    {PROC2, PROC2_APIC_REGISTER_VIRTUALIZATION, VX_APIC_REGISTER_VIRTUALIZATION, 0},
    {PROC2, PROC2_VIRTUAL_INTERRUPT_DELIVERY, VX_VIRTUAL_INTERRUPT_DELIVERY, 0},
    {PROC2, PROC2_PAUSE_LOOP_EXITING, VX_PAUSE_LOOP_EXITING, 0},
    {PROC2, PROC2_RDRAND_EXITING, VX_RDRAND_EXITING, 0},
    {PROC2, PROC2_ENABLE_INVPCID, VX_NONE, VF_INVPCID},
    {PROC2, PROC2_ENABLE_VM_FUNCTIONS, VX_VMFUNC, 0},
    {PROC2_EM, PROC2_VMCS_SHADOWING, VX_VMCS_SHADOWING, 0},
    {PROC2, PROC2_RDSEED_EXITING, VX_RDSEED_EXITING, 0},
    {PROC2_EM, PROC2_ENABLE_PML, VX_PML, 0},
    {PROC2, PROC2_ENABLE_XSAVES, VX_NONE, VF_XSAVES},
    {PROC2, PROC2_MODE_BASED_EXECUTE, VX_MODE_BASED_EXECUTE, 0},
    {PROC2, PROC2_USE_TSC_SCALING, VX_TSC_SCALING, 0},

    {PROC3_EM, PROC3_IPI_VIRTUALIZATION, VX_IPI_VIRTUALIZATION, 0},

    {EXIT, EXITCTL_SAVE_DEBUG_CONTROLS, VX_NONE, 0},
    {EXIT, EXITCTL_HOST_ADDRESS_SPACE_SIZE, VX_NONE, 0},
    {EXIT, EXITCTL_ACK_INTERRUPT_ON_EXIT, VX_NONE, 0},
    {EXIT, EXITCTL_SAVE_PAT, VX_LOAD_PAT, 0},
    {EXIT, EXITCTL_LOAD_PAT, VX_LOAD_PAT, 0},
    {EXIT, EXITCTL_SAVE_EFER, VX_LOAD_EFER, 0},
    {EXIT, EXITCTL_LOAD_EFER, VX_LOAD_EFER, 0},
    {EXIT_EM, EXITCTL_SAVE_PREEMPTION_TIMER, VX_PREEMPTION_TIMER, 0},

    {ENTRY, ENTRYCTL_LOAD_DEBUG_CONTROLS, VX_NONE, 0},
    {ENTRY, ENTRYCTL_IA32E_MODE_GUEST, VX_NONE, 0},
    {ENTRY, ENTRYCTL_LOAD_PAT, VX_LOAD_PAT, 0},
    {ENTRY, ENTRYCTL_LOAD_EFER, VX_LOAD_EFER, 0},

    {BASIC, VMX_BASIC_INS_OUTS, VX_NONE, 0},
    {BASIC_EM, VMX_BASIC_TRUE_CONTROLS, VX_TRUE_CONTROLS, 0},
    {BASIC, VMX_BASIC_ANY_ERROR_CODE, VX_NONE, 0},

    {MISC_EM, VMX_MISC_STORE_LMA, VX_NONE, 0},
    {MISC_EM, VMX_MISC_ACTIVITY_HLT, VX_HLT_ACTIVITY, 0},
    {MISC_EM, VMX_MISC_ACTIVITY_SIPI, VX_WAIT_FOR_SIPI_ACTIVITY, 0},
    {MISC_EM, VMX_MISC_VMWRITE_ANY, VX_VMWRITE_ANY_FIELD, 0},
    {MISC, VMX_MISC_ZERO_LENGTH, VX_ZERO_LENGTH_INJECTION, 0},

    {EPT, EPT_CAP_EXECUTE_ONLY, VX_EPT_EXECUTE_ONLY, 0},
    {EPT_EM, EPT_CAP_WALK_4, VX_EPT, 0},
    {EPT_EM, EPT_CAP_UC, VX_EPT, 0},
    {EPT_EM, EPT_CAP_WB, VX_EPT, 0},
    {EPT_EM, EPT_CAP_2M, VX_EPT_2M, 0},
    {EPT_EM, EPT_CAP_1G, VX_EPT_1G, 0},
    {EPT_EM, EPT_CAP_INVEPT, VX_INVEPT, 0},
    {EPT_EM, EPT_CAP_ACCESSED_DIRTY, VX_EPT_ACCESSED_DIRTY, 0},
    {EPT, EPT_CAP_ADVANCED_EXIT_INFO, VX_EPT_ADVANCED_EXIT_INFO, 0},
    {EPT_EM, EPT_CAP_INVEPT_SINGLE, VX_INVEPT, 0},
    {EPT_EM, EPT_CAP_INVEPT_ALL, VX_INVEPT, 0},
    {EPT_EM, VPID_CAP_INVVPID, VX_INVVPID, 0},
    {EPT_EM, VPID_CAP_INVVPID_ADDRESS, VX_INVVPID, 0},
    {EPT_EM, VPID_CAP_INVVPID_SINGLE, VX_INVVPID, 0},
    {EPT_EM, VPID_CAP_INVVPID_ALL, VX_INVVPID, 0},
    {EPT_EM, VPID_CAP_INVVPID_KEEP_GLOBAL, VX_INVVPID, 0},

    {VMX_CAP_VMFUNC, EMULATED, VMFUNC_EPTP_SWITCHING, VX_EPTP_SWITCHING, 0},
};

/* What is nothing without another one; those above come first. */
static const struct {
    u8 name, needs;
} needs[] = {
    {VX_EPT, VX_SECONDARY_CONTROLS},
    {VX_VPID, VX_SECONDARY_CONTROLS},
    {VX_UNRESTRICTED_GUEST, VX_EPT},
    {VX_EPT_2M, VX_EPT},
    {VX_EPT_1G, VX_EPT},
    {VX_EPT_ACCESSED_DIRTY, VX_EPT},
    {VX_EPT_EXECUTE_ONLY, VX_EPT},
    {VX_INVEPT, VX_EPT},
    {VX_INVVPID, VX_VPID},
    {VX_VIRTUALIZE_X2APIC, VX_TPR_SHADOW},
    {VX_VMFUNC, VX_SECONDARY_CONTROLS},
    {VX_EPTP_SWITCHING, VX_VMFUNC},
    {VX_EPTP_SWITCHING, VX_EPT},
    {VX_PML, VX_EPT_ACCESSED_DIRTY},
    {VX_EPT_ADVANCED_EXIT_INFO, VX_EPT},
    /* An exit has to say which of the two rights it needs. */
    {VX_MODE_BASED_EXECUTE, VX_EPT_ADVANCED_EXIT_INFO},
    {VX_APIC_REGISTER_VIRTUALIZATION, VX_TPR_SHADOW},
    {VX_VIRTUAL_INTERRUPT_DELIVERY, VX_SECONDARY_CONTROLS},
    {VX_VIRTUAL_INTERRUPT_DELIVERY, VX_TPR_SHADOW},
    {VX_POSTED_INTERRUPTS, VX_VIRTUAL_INTERRUPT_DELIVERY},
    {VX_IPI_VIRTUALIZATION, VX_POSTED_INTERRUPTS},
    {VX_IPI_VIRTUALIZATION, VX_TERTIARY_CONTROLS},
    {VX_TERTIARY_CONTROLS, VX_IPI_VIRTUALIZATION}, /* there is no other one */
};

#define BASIC_FIXED (VMCS12_REVISION | (u64)VMCS12_SIZE << 32 | EPTP_WB << 50)
#define CR3_TARGETS 4u
#define MSR_LISTS   0u /* at most 512 entries: 'Miscellaneous Data' */

static bool works(const struct cap *c, const struct vmx_caps *host, u64 hidden_instructions)
{
    if (c->instruction && hidden_instructions & BIT(c->instruction))
        return false;
    return c->policy == EMULATED || vmx_available(host, c->place) & c->bit;
}

/* BIT(enum vmx_name) of what is not offered. */
static u64 missing_names(const struct vmx_caps *host, u64 hidden)
{
    u64 gone = hidden;

    for (u32 i = 0; i < ARRAY_SIZE(caps); i++)
        if (caps[i].name != VX_NONE && !works(&caps[i], host, 0))
            gone |= BIT(caps[i].name);
    for (u32 i = 0; i < ARRAY_SIZE(needs); i++)
        if (gone & BIT(needs[i].needs))
            gone |= BIT(needs[i].name);
    return gone;
}

/*
 * A control MSR: allowed-0 settings in the low half, allowed-1 in the high. Where the TRUE MSRs exist the
 * plain ones still say of all of the default1 class that it must be 1: 'VM-Execution Controls'.
 */
static u64 control_msr(u64 offered, u64 must)
{
    return (offered | must) << 32 | must;
}

/* Bits of the default1 class that have got a meaning. */
#define PROC_NAMED_DEFAULT1  (PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING)
#define EXIT_NAMED_DEFAULT1  EXITCTL_SAVE_DEBUG_CONTROLS
#define ENTRY_NAMED_DEFAULT1 ENTRYCTL_LOAD_DEBUG_CONTROLS

static void set_controls(struct vmx_caps *out, const u64 offered[VMX_NR_PLACES])
{
    const u64 pin = offered[VMX_WORD_PIN], proc = offered[VMX_WORD_PROC], exit = offered[VMX_WORD_EXIT],
              entry = offered[VMX_WORD_ENTRY];

    out->pin = control_msr(pin, PIN_DEFAULT1);
    out->proc = control_msr(proc, PROC_DEFAULT1 | PROC_NAMED_DEFAULT1);
    out->exit = control_msr(exit, EXITCTL_DEFAULT1 | EXIT_NAMED_DEFAULT1);
    out->entry = control_msr(entry, ENTRYCTL_DEFAULT1 | ENTRY_NAMED_DEFAULT1);
    if (out->basic & VMX_BASIC_TRUE_CONTROLS) {
        out->true_pin = control_msr(pin, PIN_DEFAULT1);
        out->true_proc = control_msr(proc, PROC_DEFAULT1);
        out->true_exit = control_msr(exit, EXITCTL_DEFAULT1);
        out->true_entry = control_msr(entry, ENTRYCTL_DEFAULT1);
    }
    if (proc & PROC_ACTIVATE_SECONDARY)
        out->proc2 = control_msr(offered[VMX_WORD_PROC2], 0);
    out->proc3 = offered[VMX_WORD_PROC3];
    if (out->proc2 >> 32 & (PROC2_ENABLE_EPT | PROC2_ENABLE_VPID))
        out->ept_vpid = offered[VMX_CAP_EPT_VPID];
    if (out->proc2 >> 32 & PROC2_ENABLE_VM_FUNCTIONS)
        out->vmfunc = offered[VMX_CAP_VMFUNC];
}

/* The highest index of a field that there is: 'VMCS Enumeration'. */
static u64 vmcs_enum(const struct vmx_caps *out)
{
    u32 highest = 0;

    for (u32 i = 0; i < VMCS_NR_FIELDS; i++)
        if (vmcs_field_exists(out, i))
            highest = MAX(highest, vmcs_field_encoding(i) & 0x3fe);
    return highest;
}

void nested_caps_build(struct vmx_caps *out, const struct vmx_caps *host, const struct guest_cpuid *cpuid)
{
    u64 gone = missing_names(host, cpuid->nested_hidden), offered[VMX_NR_PLACES] = {0};

    for (u32 i = 0; i < ARRAY_SIZE(caps); i++)
        if (!(gone & BIT(caps[i].name)) && works(&caps[i], host, cpuid->vmx_hidden))
            offered[caps[i].place] |= caps[i].bit;
    *out = (struct vmx_caps){
        .feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX,
        .basic = BASIC_FIXED | offered[VMX_CAP_BASIC],
        .misc = offered[VMX_CAP_MISC] | VMX_MISC_TIMER_SHIFT(host->misc) |
                MIN(CR3_TARGETS, VMX_MISC_CR3_TARGETS(host->misc)) << 16 | MSR_LISTS << 25,
        .cr0_fixed0 = host->cr0_fixed0,
        .cr0_fixed1 = host->cr0_fixed1,
        .cr4_fixed0 = host->cr4_fixed0,
        .cr4_fixed1 = host->cr4_fixed1 & (cpuid->cr4_allowed | host->cr4_fixed0),
    };
    set_controls(out, offered);
    out->vmcs_enum = vmcs_enum(out);
}
