/* SPDX-License-Identifier: MIT */
/* VM entry's 'Checks on VMX Controls' but for event injection. */
#include "vmm/entry_rules.h"

static bool cr3_targets_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return c->v->f[r->field] <= VMX_MISC_CR3_TARGETS(c->env->caps->misc);
}

/* Bits 31:4 of the threshold must be 0, but with virtual-interrupt delivery the field is not used. */
static bool tpr_threshold_small(const struct entry_case *c, const struct entry_rule *r)
{
    return entry_has(c, VMX_WORD_PROC2, PROC2_VIRTUAL_INTERRUPT_DELIVERY) || c->v->f[r->field] <= 15;
}

#define VTPR_OFFSET 0x80

/* VTPR lies in the virtual-APIC page. */
static bool tpr_threshold_not_above_vtpr(const struct entry_case *c, const struct entry_rule *r)
{
    paddr_t vtpr_address = VMCS(c->v, VIRTUAL_APIC_ADDRESS) + VTPR_OFFSET;
    u8 vtpr;

    if (c->word[VMX_WORD_PROC2] & (PROC2_VIRTUAL_INTERRUPT_DELIVERY | PROC2_VIRTUALIZE_APIC_ACCESSES))
        return true;
    if (!c->env->read || !c->env->read(c->env->ctx, vtpr_address, &vtpr, sizeof(vtpr)))
        return true;
    return c->v->f[r->field] <= vtpr >> 4;
}

static bool eptp_type_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u32 type = EPTP_MEMORY_TYPE(c->v->f[r->field]);

    return (type == 0 && c->env->caps->ept_vpid & EPT_CAP_UC) ||
           (type == EPTP_WB && c->env->caps->ept_vpid & EPT_CAP_WB);
}

static bool eptp_walk_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u32 levels = EPTP_WALK_LENGTH(c->v->f[r->field]);

    return (levels == 4 && c->env->caps->ept_vpid & EPT_CAP_WALK_4) ||
           (levels == 5 && c->env->caps->ept_vpid & EPT_CAP_WALK_5);
}

/* which: a bit of EPTP that needs a capability; the capability follows from it. */
static bool eptp_flag_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u64 needed = r->which == EPTP_ACCESSED_DIRTY ? EPT_CAP_ACCESSED_DIRTY : EPT_CAP_SHADOW_STACK;

    return !(c->v->f[r->field] & r->which) || c->env->caps->ept_vpid & needed;
}

static bool eptp_reserved_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & (BITS(11, 8) | entry_address_reserved(c->env)));
}

static bool vmfunc_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & ~c->env->caps->vmfunc);
}

static bool switches_eptp(const struct entry_case *c)
{
    return VMCS(c->v, VM_FUNCTION_CONTROLS) & VMFUNC_EPTP_SWITCHING;
}

static bool eptp_switching_with_ept(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !switches_eptp(c) || entry_has(c, VMX_WORD_PROC2, PROC2_ENABLE_EPT);
}

static bool eptp_list_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !switches_eptp(c) || !(c->v->f[r->field] & ((PAGE_SIZE - 1) | entry_address_reserved(c->env)));
}

static bool hlatp_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & (BITS(2, 0) | BITS(11, 5) | entry_address_reserved(c->env)));
}

/* Address of the last byte of nr entries of size bytes; the sum may take more than 64 bits, then it is bad
 * too. */
static bool area_ends_within_width(const struct entry_case *c, paddr_t base, u64 nr, u64 size)
{
    u64 end;

    return !__builtin_add_overflow(base, nr * size - 1, &end) && !(end & entry_address_reserved(c->env));
}

static bool pid_table_ends_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return area_ends_within_width(c, c->v->f[r->field], VMCS(c->v, LAST_PID_POINTER_INDEX) + 1, 8);
}

/* which: the index of the count; an area without entries is not checked. */
static bool msr_area_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !c->v->f[r->which] || !(c->v->f[r->field] & (15 | entry_address_reserved(c->env)));
}

static bool msr_area_ends_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !c->v->f[r->which] || area_ends_within_width(c, c->v->f[r->field], c->v->f[r->which], 16);
}

static bool not_tracing(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !c->env->pt_tracing;
}

#define PAGE_RULE ": multiple of 4096 within the physical-address width"

static const struct entry_rule rules[] = {
    /* VM-Execution Control Fields */
    DATA("pin-based controls: bits that must be 1", PIN_BASED_CONTROLS, ALLOWED0, ALWAYS, VMX_WORD_PIN),
    DATA("pin-based controls: bits that must be 0", PIN_BASED_CONTROLS, ALLOWED1, ALWAYS, VMX_WORD_PIN),
    DATA("primary controls: bits that must be 1", PRIMARY_CONTROLS, ALLOWED0, ALWAYS, VMX_WORD_PROC),
    DATA("primary controls: bits that must be 0", PRIMARY_CONTROLS, ALLOWED1, ALWAYS, VMX_WORD_PROC),
    DATA("secondary controls: bits that must be 1", SECONDARY_CONTROLS, ALLOWED0,
         PROC(PROC_ACTIVATE_SECONDARY), VMX_WORD_PROC2),
    DATA("secondary controls: bits that must be 0", SECONDARY_CONTROLS, ALLOWED1,
         PROC(PROC_ACTIVATE_SECONDARY), VMX_WORD_PROC2),
    DATA("tertiary controls: bits that must be 0", TERTIARY_CONTROLS, ALLOWED1, PROC(PROC_ACTIVATE_TERTIARY),
         VMX_WORD_PROC3),
    TEST("CR3-target count: at most IA32_VMX_MISC[24:16]", CR3_TARGET_COUNT, ALWAYS, cr3_targets_ok),
    DATA("I/O-bitmap A address" PAGE_RULE, IO_BITMAP_A, ADDRESS, PROC(PROC_USE_IO_BITMAPS), PAGE_SIZE),
    DATA("I/O-bitmap B address" PAGE_RULE, IO_BITMAP_B, ADDRESS, PROC(PROC_USE_IO_BITMAPS), PAGE_SIZE),
    DATA("MSR-bitmap address" PAGE_RULE, MSR_BITMAPS, ADDRESS, PROC(PROC_USE_MSR_BITMAPS), PAGE_SIZE),
    DATA("virtual-APIC address" PAGE_RULE, VIRTUAL_APIC_ADDRESS, ADDRESS, PROC(PROC_USE_TPR_SHADOW),
         PAGE_SIZE),
    TEST("TPR threshold: bits 31:4 are 0", TPR_THRESHOLD, PROC(PROC_USE_TPR_SHADOW), tpr_threshold_small),
    TEST("TPR threshold: not above VTPR[7:4]", TPR_THRESHOLD, PROC(PROC_USE_TPR_SHADOW),
         tpr_threshold_not_above_vtpr),
    CTLS("virtualize x2APIC mode: needs use TPR shadow", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_VIRTUALIZE_X2APIC), PROC(PROC_USE_TPR_SHADOW)),
    CTLS("APIC-register virtualization: needs use TPR shadow", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_APIC_REGISTER_VIRTUALIZATION), PROC(PROC_USE_TPR_SHADOW)),
    CTLS("virtual-interrupt delivery: needs use TPR shadow", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_VIRTUAL_INTERRUPT_DELIVERY), PROC(PROC_USE_TPR_SHADOW)),
    CTLS("IPI virtualization: needs use TPR shadow", TERTIARY_CONTROLS, WITH, PROC3(PROC3_IPI_VIRTUALIZATION),
         PROC(PROC_USE_TPR_SHADOW)),
    CTLS("virtual NMIs: needs NMI exiting", PIN_BASED_CONTROLS, WITH, PIN(PIN_VIRTUAL_NMIS),
         PIN(PIN_NMI_EXITING)),
    CTLS("NMI-window exiting: needs virtual NMIs", PRIMARY_CONTROLS, WITH, PROC(PROC_NMI_WINDOW_EXITING),
         PIN(PIN_VIRTUAL_NMIS)),
    DATA("APIC-access address" PAGE_RULE, APIC_ACCESS_ADDRESS, ADDRESS, PROC2(PROC2_VIRTUALIZE_APIC_ACCESSES),
         PAGE_SIZE),
    CTLS("virtualize x2APIC mode: excludes virtualize APIC accesses", SECONDARY_CONTROLS, WITHOUT,
         PROC2(PROC2_VIRTUALIZE_X2APIC), PROC2(PROC2_VIRTUALIZE_APIC_ACCESSES)),
    CTLS("virtual-interrupt delivery: needs external-interrupt exiting", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_VIRTUAL_INTERRUPT_DELIVERY), PIN(PIN_EXTERNAL_INTERRUPT_EXITING)),
    CTLS("process posted interrupts: needs virtual-interrupt delivery", PIN_BASED_CONTROLS, WITH,
         PIN(PIN_POSTED_INTERRUPTS), PROC2(PROC2_VIRTUAL_INTERRUPT_DELIVERY)),
    CTLS("process posted interrupts: needs acknowledge interrupt on exit", PIN_BASED_CONTROLS, WITH,
         PIN(PIN_POSTED_INTERRUPTS), EXIT(EXITCTL_ACK_INTERRUPT_ON_EXIT)),
    DATA("posted-interrupt notification vector: at most 255", POSTED_INT_VECTOR, AT_MOST,
         PIN(PIN_POSTED_INTERRUPTS), 255),
    DATA("posted-interrupt descriptor address: multiple of 64 within the physical-address width",
         POSTED_INT_DESC_ADDRESS, ADDRESS, PIN(PIN_POSTED_INTERRUPTS), 64),
    DATA("VPID: not 0", VPID, NOT_ZERO, PROC2(PROC2_ENABLE_VPID), 0),
    TEST("EPT pointer: memory type that IA32_VMX_EPT_VPID_CAP allows", EPT_POINTER, PROC2(PROC2_ENABLE_EPT),
         eptp_type_ok),
    TEST("EPT pointer: page-walk length that IA32_VMX_EPT_VPID_CAP allows", EPT_POINTER,
         PROC2(PROC2_ENABLE_EPT), eptp_walk_ok),
    TEST_ARG("EPT pointer: bit 6 needs accessed and dirty flags for EPT", EPT_POINTER,
             PROC2(PROC2_ENABLE_EPT), EPTP_ACCESSED_DIRTY, eptp_flag_ok),
    TEST_ARG("EPT pointer: bit 7 needs supervisor shadow-stack control", EPT_POINTER, PROC2(PROC2_ENABLE_EPT),
             EPTP_SHADOW_STACK, eptp_flag_ok),
    TEST("EPT pointer: reserved bits are 0, within the physical-address width", EPT_POINTER,
         PROC2(PROC2_ENABLE_EPT), eptp_reserved_ok),
    CTLS("enable PML: needs enable EPT", SECONDARY_CONTROLS, WITH, PROC2(PROC2_ENABLE_PML),
         PROC2(PROC2_ENABLE_EPT)),
    DATA("PML address" PAGE_RULE, PML_ADDRESS, ADDRESS, PROC2(PROC2_ENABLE_PML), PAGE_SIZE),
    CTLS("unrestricted guest: needs enable EPT", SECONDARY_CONTROLS, WITH, PROC2(PROC2_UNRESTRICTED_GUEST),
         PROC2(PROC2_ENABLE_EPT)),
    CTLS("mode-based execute control for EPT: needs enable EPT", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_MODE_BASED_EXECUTE), PROC2(PROC2_ENABLE_EPT)),
    CTLS("sub-page write permissions for EPT: needs enable EPT", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_SUB_PAGE_WRITE), PROC2(PROC2_ENABLE_EPT)),
    DATA("SPP-table pointer" PAGE_RULE, SPP_TABLE_POINTER, ADDRESS, PROC2(PROC2_SUB_PAGE_WRITE), PAGE_SIZE),
    TEST("VM-function controls: bits that IA32_VMX_VMFUNC does not allow are 0", VM_FUNCTION_CONTROLS,
         PROC2(PROC2_ENABLE_VM_FUNCTIONS), vmfunc_ok),
    TEST("EPTP switching: needs enable EPT", VM_FUNCTION_CONTROLS, PROC2(PROC2_ENABLE_VM_FUNCTIONS),
         eptp_switching_with_ept),
    TEST("EPTP-list address" PAGE_RULE, EPTP_LIST_ADDRESS, PROC2(PROC2_ENABLE_VM_FUNCTIONS), eptp_list_ok),
    DATA("VMREAD-bitmap address" PAGE_RULE, VMREAD_BITMAP_ADDRESS, ADDRESS, PROC2(PROC2_VMCS_SHADOWING),
         PAGE_SIZE),
    DATA("VMWRITE-bitmap address" PAGE_RULE, VMWRITE_BITMAP_ADDRESS, ADDRESS, PROC2(PROC2_VMCS_SHADOWING),
         PAGE_SIZE),
    DATA("virtualization-exception information address" PAGE_RULE, VIRT_EXCEPTION_INFO_ADDRESS, ADDRESS,
         PROC2(PROC2_EPT_VIOLATION_VE), PAGE_SIZE),
    CTLS("Intel PT uses guest physical addresses: needs enable EPT", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_PT_USES_GUEST_PHYSICAL), PROC2(PROC2_ENABLE_EPT)),
    CTLS("Intel PT uses guest physical addresses: needs load IA32_RTIT_CTL", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_PT_USES_GUEST_PHYSICAL), ENTRY(ENTRYCTL_LOAD_RTIT_CTL)),
    CTLS("Intel PT uses guest physical addresses: needs clear IA32_RTIT_CTL", SECONDARY_CONTROLS, WITH,
         PROC2(PROC2_PT_USES_GUEST_PHYSICAL), EXIT(EXITCTL_CLEAR_RTIT_CTL)),
    DATA("TSC multiplier: not 0", TSC_MULTIPLIER, NOT_ZERO, PROC2(PROC2_USE_TSC_SCALING), 0),
    CTLS("enable HLAT: needs enable EPT", TERTIARY_CONTROLS, WITH, PROC3(PROC3_ENABLE_HLAT),
         PROC2(PROC2_ENABLE_EPT)),
    TEST("HLAT pointer: reserved bits are 0, within the physical-address width", HLAT_POINTER,
         PROC3(PROC3_ENABLE_HLAT), hlatp_ok),
    CTLS("EPT paging-write control: needs enable EPT", TERTIARY_CONTROLS, WITH, PROC3(PROC3_EPT_PAGING_WRITE),
         PROC2(PROC2_ENABLE_EPT)),
    CTLS("guest-paging verification: needs enable EPT", TERTIARY_CONTROLS, WITH,
         PROC3(PROC3_GUEST_PAGING_VERIFICATION), PROC2(PROC2_ENABLE_EPT)),
    DATA("PID-pointer table address: multiple of 8 within the physical-address width", PID_POINTER_TABLE,
         ADDRESS, PROC3(PROC3_IPI_VIRTUALIZATION), 8),
    TEST("PID-pointer table: its last entry is within the physical-address width", PID_POINTER_TABLE,
         PROC3(PROC3_IPI_VIRTUALIZATION), pid_table_ends_ok),

    /* VM-Exit Control Fields */
    DATA("VM-exit controls: bits that must be 1", PRIMARY_EXIT_CONTROLS, ALLOWED0, ALWAYS, VMX_WORD_EXIT),
    DATA("VM-exit controls: bits that must be 0", PRIMARY_EXIT_CONTROLS, ALLOWED1, ALWAYS, VMX_WORD_EXIT),
    DATA("secondary VM-exit controls: bits that must be 0", SECONDARY_EXIT_CONTROLS, ALLOWED1,
         EXIT(EXITCTL_ACTIVATE_SECONDARY), VMX_WORD_EXIT2),
    CTLS("save VMX-preemption timer value: needs activate VMX-preemption timer", PRIMARY_EXIT_CONTROLS, WITH,
         EXIT(EXITCTL_SAVE_PREEMPTION_TIMER), PIN(PIN_PREEMPTION_TIMER)),
    TEST_ARG("VM-exit MSR-store address: multiple of 16 within the physical-address width",
             EXIT_MSR_STORE_ADDR, ALWAYS, VI_EXIT_MSR_STORE_COUNT, msr_area_ok),
    TEST_ARG("VM-exit MSR-store area: ends within the physical-address width", EXIT_MSR_STORE_ADDR, ALWAYS,
             VI_EXIT_MSR_STORE_COUNT, msr_area_ends_ok),
    TEST_ARG("VM-exit MSR-load address: multiple of 16 within the physical-address width", EXIT_MSR_LOAD_ADDR,
             ALWAYS, VI_EXIT_MSR_LOAD_COUNT, msr_area_ok),
    TEST_ARG("VM-exit MSR-load area: ends within the physical-address width", EXIT_MSR_LOAD_ADDR, ALWAYS,
             VI_EXIT_MSR_LOAD_COUNT, msr_area_ends_ok),

    /* VM-Entry Control Fields */
    DATA("VM-entry controls: bits that must be 1", ENTRY_CONTROLS, ALLOWED0, ALWAYS, VMX_WORD_ENTRY),
    DATA("VM-entry controls: bits that must be 0", ENTRY_CONTROLS, ALLOWED1, ALWAYS, VMX_WORD_ENTRY),
    TEST_ARG("VM-entry MSR-load address: multiple of 16 within the physical-address width",
             ENTRY_MSR_LOAD_ADDR, ALWAYS, VI_ENTRY_MSR_LOAD_COUNT, msr_area_ok),
    TEST_ARG("VM-entry MSR-load area: ends within the physical-address width", ENTRY_MSR_LOAD_ADDR, ALWAYS,
             VI_ENTRY_MSR_LOAD_COUNT, msr_area_ends_ok),
    DATA("entry to SMM: 0 outside of SMM", ENTRY_CONTROLS, ZERO, ALWAYS, ENTRYCTL_ENTRY_TO_SMM),
    DATA("deactivate dual-monitor treatment: 0 outside of SMM", ENTRY_CONTROLS, ZERO, ALWAYS,
         ENTRYCTL_DEACTIVATE_DUAL_MONITOR),
    TEST("load IA32_RTIT_CTL: 0 while Intel PT is tracing", ENTRY_CONTROLS, ENTRY(ENTRYCTL_LOAD_RTIT_CTL),
         not_tracing),
};

const struct entry_table entry_control_rules = {ENTRY_VMFAIL_CONTROLS, rules, ARRAY_SIZE(rules)};
