/* SPDX-License-Identifier: MIT */
/* The capability MSRs and what they say (SDM 326019, appendix 'VMX Capability Reporting Facility'). */
#include "arch/x86/vmx_caps.h"
#include "arch/x86/vmcs_exists.h"
#include "lib/string.h"

/* A control that must be available for a capability MSR to exist: its bit in the allowed-1 half. */
#define ALLOWED1(control) ((u64)(control) << 32)

/* Each MSR, and the one whose bits (any of them) say that it exists; no bits: it always does. */
static const struct {
    u32 msr;
    u16 member, depends; /* offsets in struct vmx_caps */
    u64 bits;
} msrs[] = {
#define AT(member) offsetof(struct vmx_caps, member)
#define ALWAYS(msr, member)   \
    {                         \
        msr, AT(member), 0, 0 \
    }
#define WHERE(msr, member, on, bits)  \
    {                                 \
        msr, AT(member), AT(on), bits \
    }
    ALWAYS(MSR_IA32_FEATURE_CONTROL, feature_control),
    ALWAYS(MSR_IA32_VMX_BASIC, basic),
    ALWAYS(MSR_IA32_VMX_PINBASED_CTLS, pin),
    ALWAYS(MSR_IA32_VMX_PROCBASED_CTLS, proc),
    ALWAYS(MSR_IA32_VMX_EXIT_CTLS, exit),
    ALWAYS(MSR_IA32_VMX_ENTRY_CTLS, entry),
    ALWAYS(MSR_IA32_VMX_MISC, misc),
    ALWAYS(MSR_IA32_VMX_CR0_FIXED0, cr0_fixed0),
    ALWAYS(MSR_IA32_VMX_CR0_FIXED1, cr0_fixed1),
    ALWAYS(MSR_IA32_VMX_CR4_FIXED0, cr4_fixed0),
    ALWAYS(MSR_IA32_VMX_CR4_FIXED1, cr4_fixed1),
    ALWAYS(MSR_IA32_VMX_VMCS_ENUM, vmcs_enum),
    WHERE(MSR_IA32_VMX_PROCBASED_CTLS2, proc2, proc, ALLOWED1(PROC_ACTIVATE_SECONDARY)),
    WHERE(MSR_IA32_VMX_EPT_VPID_CAP, ept_vpid, proc2, ALLOWED1(PROC2_ENABLE_EPT | PROC2_ENABLE_VPID)),
    WHERE(MSR_IA32_VMX_TRUE_PINBASED_CTLS, true_pin, basic, VMX_BASIC_TRUE_CONTROLS),
    WHERE(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, true_proc, basic, VMX_BASIC_TRUE_CONTROLS),
    WHERE(MSR_IA32_VMX_TRUE_EXIT_CTLS, true_exit, basic, VMX_BASIC_TRUE_CONTROLS),
    WHERE(MSR_IA32_VMX_TRUE_ENTRY_CTLS, true_entry, basic, VMX_BASIC_TRUE_CONTROLS),
    WHERE(MSR_IA32_VMX_VMFUNC, vmfunc, proc2, ALLOWED1(PROC2_ENABLE_VM_FUNCTIONS)),
    WHERE(MSR_IA32_VMX_PROCBASED_CTLS3, proc3, proc, ALLOWED1(PROC_ACTIVATE_TERTIARY)),
    WHERE(MSR_IA32_VMX_EXIT_CTLS2, exit2, exit, ALLOWED1(EXITCTL_ACTIVATE_SECONDARY)),
#undef ALWAYS
#undef WHERE
};

static u64 member(const struct vmx_caps *c, u16 at)
{
    return *(const u64 *)((const char *)c + at);
}

static bool exists(const struct vmx_caps *c, u32 row)
{
    return !msrs[row].bits || member(c, msrs[row].depends) & msrs[row].bits;
}

void vmx_caps_read(struct vmx_caps *c, u64 (*rdmsr)(u32 msr))
{
    memset(c, 0, sizeof(*c));
    for (u32 i = 0; i < ARRAY_SIZE(msrs); i++)
        if (exists(c, i))
            *(u64 *)((char *)c + msrs[i].member) = rdmsr(msrs[i].msr);
}

bool vmx_caps_get(const struct vmx_caps *c, u32 msr, u64 *value)
{
    for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
        if (msrs[i].msr != msr)
            continue;
        *value = member(c, msrs[i].member);
        return exists(c, i);
    }
    return false;
}

/* Where the allowed settings of each word are. width 32: allowed-0 low, allowed-1 high; 64: allowed-1 alone.
 */
static const struct {
    u16 plain, precise; /* offsets in struct vmx_caps; precise: of the TRUE MSR, or the same */
    u8 width;
    const char *plain_msr, *precise_msr;
} words[VMX_NR_WORDS] = {
    [VMX_WORD_PIN] = {AT(pin), AT(true_pin), 32, "IA32_VMX_PINBASED_CTLS", "IA32_VMX_TRUE_PINBASED_CTLS"},
    [VMX_WORD_PROC] = {AT(proc), AT(true_proc), 32, "IA32_VMX_PROCBASED_CTLS",
                       "IA32_VMX_TRUE_PROCBASED_CTLS"},
    [VMX_WORD_PROC2] = {AT(proc2), AT(proc2), 32, "IA32_VMX_PROCBASED_CTLS2", "IA32_VMX_PROCBASED_CTLS2"},
    [VMX_WORD_PROC3] = {AT(proc3), AT(proc3), 64, "IA32_VMX_PROCBASED_CTLS3", "IA32_VMX_PROCBASED_CTLS3"},
    [VMX_WORD_EXIT] = {AT(exit), AT(true_exit), 32, "IA32_VMX_EXIT_CTLS", "IA32_VMX_TRUE_EXIT_CTLS"},
    [VMX_WORD_EXIT2] = {AT(exit2), AT(exit2), 64, "IA32_VMX_EXIT_CTLS2", "IA32_VMX_EXIT_CTLS2"},
    [VMX_WORD_ENTRY] = {AT(entry), AT(true_entry), 32, "IA32_VMX_ENTRY_CTLS", "IA32_VMX_TRUE_ENTRY_CTLS"},
#undef AT
};

static u64 word_msr_value(const struct vmx_caps *c, enum vmx_word word)
{
    return member(c, c->basic & VMX_BASIC_TRUE_CONTROLS ? words[word].precise : words[word].plain);
}

u64 vmx_allowed0(const struct vmx_caps *caps, enum vmx_word word)
{
    return words[word].width == 64 ? 0 : (u32)word_msr_value(caps, word);
}

u64 vmx_allowed1(const struct vmx_caps *caps, enum vmx_word word)
{
    u64 value = word_msr_value(caps, word);

    return words[word].width == 64 ? value : value >> 32;
}

u64 vmx_available(const struct vmx_caps *caps, u32 place)
{
    switch (place) {
    case VMX_CAP_BASIC:
        return caps->basic;
    case VMX_CAP_MISC:
        return caps->misc;
    case VMX_CAP_EPT_VPID:
        return caps->ept_vpid;
    case VMX_CAP_VMFUNC:
        return caps->vmfunc;
    default:
        return vmx_allowed1(caps, place);
    }
}

u64 vmx_default1(enum vmx_word word)
{
    static const u32 bits[VMX_NR_WORDS] = {
        [VMX_WORD_PIN] = PIN_DEFAULT1,
        [VMX_WORD_PROC] = PROC_DEFAULT1,
        [VMX_WORD_EXIT] = EXITCTL_DEFAULT1,
        [VMX_WORD_ENTRY] = ENTRYCTL_DEFAULT1,
    };

    return bits[word];
}

const char *vmx_word_msr(const struct vmx_caps *caps, enum vmx_word word)
{
    return caps->basic & VMX_BASIC_TRUE_CONTROLS ? words[word].precise_msr : words[word].plain_msr;
}

/*
 * Fields that exist only where a control can be 1: 'Field Encoding in VMCS', the notes below its tables. Any
 * row of a condition is enough. Not here: E_ALWAYS, the conditions that are no controls, and E_SEAM, which
 * has no VMX capability bit: such a field is taken as absent.
 */
static const struct {
    u8 exists, word;
    u32 control;
} conditions[] = {
    {E_VPID, VMX_WORD_PROC2, PROC2_ENABLE_VPID},
    {E_POSTED_INT, VMX_WORD_PIN, PIN_POSTED_INTERRUPTS},
    {E_EPT_VE, VMX_WORD_PROC2, PROC2_EPT_VIOLATION_VE},
    {E_HLAT, VMX_WORD_PROC3, PROC3_ENABLE_HLAT},
    {E_IPI_VIRT, VMX_WORD_PROC3, PROC3_IPI_VIRTUALIZATION},
    {E_VIRT_INTR_DELIVERY, VMX_WORD_PROC2, PROC2_VIRTUAL_INTERRUPT_DELIVERY},
    {E_PML, VMX_WORD_PROC2, PROC2_ENABLE_PML},
    {E_UINV, VMX_WORD_EXIT, EXITCTL_CLEAR_UINV},
    {E_UINV, VMX_WORD_ENTRY, ENTRYCTL_LOAD_UINV},
    {E_MSR_BITMAPS, VMX_WORD_PROC, PROC_USE_MSR_BITMAPS},
    {E_TPR_SHADOW, VMX_WORD_PROC, PROC_USE_TPR_SHADOW},
    {E_VIRT_APIC_ACCESSES, VMX_WORD_PROC2, PROC2_VIRTUALIZE_APIC_ACCESSES},
    {E_VMFUNC, VMX_WORD_PROC2, PROC2_ENABLE_VM_FUNCTIONS},
    {E_EPT, VMX_WORD_PROC2, PROC2_ENABLE_EPT},
    {E_VMCS_SHADOWING, VMX_WORD_PROC2, PROC2_VMCS_SHADOWING},
    {E_XSAVES, VMX_WORD_PROC2, PROC2_ENABLE_XSAVES},
    {E_ENCLS, VMX_WORD_PROC2, PROC2_ENABLE_ENCLS_EXITING},
    {E_SPP, VMX_WORD_PROC2, PROC2_SUB_PAGE_WRITE},
    {E_TSC_SCALING, VMX_WORD_PROC2, PROC2_USE_TSC_SCALING},
    {E_TERTIARY, VMX_WORD_PROC, PROC_ACTIVATE_TERTIARY},
    {E_ENCLV, VMX_WORD_PROC2, PROC2_ENABLE_ENCLV_EXITING},
    {E_PASID, VMX_WORD_PROC2, PROC2_PASID_TRANSLATION},
    {E_PCONFIG, VMX_WORD_PROC2, PROC2_ENABLE_PCONFIG},
    {E_SECONDARY_EXIT, VMX_WORD_EXIT, EXITCTL_ACTIVATE_SECONDARY},
    {E_VIRT_SPEC_CTRL, VMX_WORD_PROC3, PROC3_VIRTUALIZE_SPEC_CTRL},
    {E_PAT_GUEST, VMX_WORD_ENTRY, ENTRYCTL_LOAD_PAT},
    {E_PAT_GUEST, VMX_WORD_EXIT, EXITCTL_SAVE_PAT},
    {E_EFER_GUEST, VMX_WORD_ENTRY, ENTRYCTL_LOAD_EFER},
    {E_EFER_GUEST, VMX_WORD_EXIT, EXITCTL_SAVE_EFER},
    {E_PERF_GUEST, VMX_WORD_ENTRY, ENTRYCTL_LOAD_PERF_GLOBAL_CTRL},
    {E_PERF_GUEST, VMX_WORD_EXIT, EXITCTL_SAVE_PERF_GLOBAL_CTRL},
    {E_BNDCFGS, VMX_WORD_ENTRY, ENTRYCTL_LOAD_BNDCFGS},
    {E_BNDCFGS, VMX_WORD_EXIT, EXITCTL_CLEAR_BNDCFGS},
    {E_RTIT, VMX_WORD_ENTRY, ENTRYCTL_LOAD_RTIT_CTL},
    {E_RTIT, VMX_WORD_EXIT, EXITCTL_CLEAR_RTIT_CTL},
    {E_LBR, VMX_WORD_ENTRY, ENTRYCTL_LOAD_LBR_CTL},
    {E_LBR, VMX_WORD_EXIT, EXITCTL_CLEAR_LBR_CTL},
    {E_PKRS_GUEST, VMX_WORD_ENTRY, ENTRYCTL_LOAD_PKRS},
    {E_PAT_HOST, VMX_WORD_EXIT, EXITCTL_LOAD_PAT},
    {E_EFER_HOST, VMX_WORD_EXIT, EXITCTL_LOAD_EFER},
    {E_PERF_HOST, VMX_WORD_EXIT, EXITCTL_LOAD_PERF_GLOBAL_CTRL},
    {E_PKRS_HOST, VMX_WORD_EXIT, EXITCTL_LOAD_PKRS},
    {E_SECONDARY, VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY},
    {E_PLE, VMX_WORD_PROC2, PROC2_PAUSE_LOOP_EXITING},
    {E_INSTR_TIMEOUT, VMX_WORD_PROC2, PROC2_INSTRUCTION_TIMEOUT},
    {E_PREEMPTION_TIMER, VMX_WORD_PIN, PIN_PREEMPTION_TIMER},
    {E_CET_GUEST, VMX_WORD_ENTRY, ENTRYCTL_LOAD_CET},
    {E_CET_HOST, VMX_WORD_EXIT, EXITCTL_LOAD_CET},
};

bool vmcs_field_exists(const struct vmx_caps *caps, enum vmcs_index index)
{
    static const u8 exists[VMCS_NR_FIELDS] = {
#define VMCS_FIELD(name, encoding, condition) condition,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    };

    if (exists[index] == E_ALWAYS)
        return true;
    if (exists[index] == E_CR3_TARGETS)
        return (u32)(index - VI_CR3_TARGET_0) < VMX_MISC_CR3_TARGETS(caps->misc);
    if (exists[index] == E_EPTP_SWITCHING)
        return caps->vmfunc & VMFUNC_EPTP_SWITCHING;
    for (size_t i = 0; i < ARRAY_SIZE(conditions); i++)
        if (conditions[i].exists == exists[index] &&
            vmx_allowed1(caps, conditions[i].word) & conditions[i].control)
            return true;
    return false;
}
