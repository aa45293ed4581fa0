/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
#include "tests/unit/entry_case.h"

static void no_eptp_flags(struct machine *m)
{
    m->caps.ept_vpid &= ~(EPT_CAP_ACCESSED_DIRTY | EPT_CAP_SHADOW_STACK);
}

static void no_uncacheable_ept(struct machine *m)
{
    m->caps.ept_vpid &= ~EPT_CAP_UC;
}

static void five_level_ept(struct machine *m)
{
    m->caps.ept_vpid |= EPT_CAP_WALK_5;
}

static void no_ept(struct machine *m)
{
    VMCS(&m->vmcs, SECONDARY_CONTROLS) = 0;
}

static void tertiary(struct machine *m)
{
    VMCS(&m->vmcs, PRIMARY_CONTROLS) |= PROC_ACTIVATE_TERTIARY;
}

static void tertiary_no_ept(struct machine *m)
{
    tertiary(m);
    no_ept(m);
}

static void tpr_shadow(struct machine *m)
{
    VMCS(&m->vmcs, PRIMARY_CONTROLS) |= PROC_USE_TPR_SHADOW;
}

static void interrupt_delivery(struct machine *m)
{
    tpr_shadow(m);
    VMCS(&m->vmcs, SECONDARY_CONTROLS) |= PROC2_VIRTUAL_INTERRUPT_DELIVERY;
}

static void posted_interrupts(struct machine *m)
{
    interrupt_delivery(m);
    VMCS(&m->vmcs, PIN_BASED_CONTROLS) |= PIN_POSTED_INTERRUPTS;
}

static void ipi_virtualization(struct machine *m)
{
    tpr_shadow(m);
    tertiary(m);
    VMCS(&m->vmcs, TERTIARY_CONTROLS) = PROC3_IPI_VIRTUALIZATION;
}

static void guest_physical_pt(struct machine *m)
{
    VMCS(&m->vmcs, SECONDARY_CONTROLS) |= PROC2_PT_USES_GUEST_PHYSICAL;
    VMCS(&m->vmcs, ENTRY_CONTROLS) |= ENTRYCTL_LOAD_RTIT_CTL;
    VMCS(&m->vmcs, PRIMARY_EXIT_CONTROLS) |= EXITCTL_CLEAR_RTIT_CTL;
}

static void tracing(struct machine *m)
{
    m->env.pt_tracing = true;
}

static void addresses_of_32_bits(struct machine *m)
{
    m->caps.basic |= VMX_BASIC_32BIT_ADDRESSES;
}

/* The highest address passes; one that is not aligned and one beyond the width fail. */
#define ADDRESS_TESTS(row, prepare, control_field, control, field, align)                      \
    CASE(row, prepare, COMMON(OR(control_field, control)), GOOD(SET(field, BEYOND - (align))), \
         BAD(SET(field, (align) / 2))),                                                        \
        CASE(row, prepare, COMMON(OR(control_field, control)), GOOD(SET(field, align)),        \
             BAD(SET(field, BEYOND))),                                                         \
        CASE(row, prepare, COMMON(OR(control_field, control)), GOOD(SET(field, 0)),            \
             BAD(SET(field, BIT(63))))

#define PAGE_TESTS(name, prepare, control_field, control, field)                                       \
    ADDRESS_TESTS(name ": multiple of 4096 within the physical-address width", prepare, control_field, \
                  control, field, 4096)

/* A secondary control that is of no use without EPT. */
#define NEEDS_EPT(name, control)                                                     \
    CASE(name ": needs enable EPT", no_ept, COMMON(OR(SECONDARY_CONTROLS, control)), \
         GOOD(OR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT)), BAD(CLEAR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT)))
#define TERTIARY_NEEDS_EPT(name, control)                                                     \
    CASE(name ": needs enable EPT", tertiary_no_ept, COMMON(SET(TERTIARY_CONTROLS, control)), \
         GOOD(OR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT)), BAD(CLEAR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT)))

#define NEEDS_TPR_SHADOW(name, control)                                                \
    CASE(name ": needs use TPR shadow", NULL, COMMON(OR(SECONDARY_CONTROLS, control)), \
         GOOD(OR(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW)), BAD(CLEAR(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW)))

/* Reserved bits of a control word: low is one that must be 1, high one that must be 0. */
#define WORD_TESTS(name, field, low, high)                                                        \
    CASE(name ": bits that must be 1", NULL, NONE, GOOD(OR(field, low)), BAD(CLEAR(field, low))), \
        CASE(name ": bits that must be 0", NULL, NONE, GOOD(CLEAR(field, high)), BAD(OR(field, high)))

/* A list of MSRs: the last slot below the width, then one entry too many. */
#define AREA_TESTS(name, address, count)                                                                    \
    CASE(name " address: multiple of 16 within the physical-address width", NULL, COMMON(SET(count, 1)),    \
         GOOD(SET(address, BEYOND - 16)), BAD(SET(address, BEYOND - 8))),                                   \
        CASE(name " address: multiple of 16 within the physical-address width", NULL,                       \
             COMMON(SET(address, BEYOND)), GOOD(SET(count, 0)), BAD(SET(count, 1))),                        \
        CASE(name " area: ends within the physical-address width", NULL, COMMON(SET(address, BEYOND - 32)), \
             GOOD(SET(count, 2)), BAD(SET(count, 3)))

static void secondary_must_be_1(struct machine *m)
{
    m->caps.proc2 |= PROC2_WBINVD_EXITING;
}

static void no_uinv(struct machine *m)
{
    m->caps.true_exit &= ~((u64)EXITCTL_CLEAR_UINV << 32);
}

static const struct entry_test tests[] = {
    WORD_TESTS("pin-based controls", PIN_BASED_CONTROLS, BIT(1), BIT(8)),
    WORD_TESTS("pin-based controls", PIN_BASED_CONTROLS, BIT(4), BIT(31)),
    WORD_TESTS("primary controls", PRIMARY_CONTROLS, BIT(1), BIT(0)),
    WORD_TESTS("primary controls", PRIMARY_CONTROLS, BIT(26), BIT(18)),
    CASE("secondary controls: bits that must be 1", secondary_must_be_1, NONE,
         GOOD(OR(SECONDARY_CONTROLS, PROC2_WBINVD_EXITING)),
         BAD(CLEAR(SECONDARY_CONTROLS, PROC2_WBINVD_EXITING))),
    CASE("secondary controls: bits that must be 0", NULL, NONE, GOOD(CLEAR(SECONDARY_CONTROLS, BIT(29))),
         BAD(OR(SECONDARY_CONTROLS, BIT(29)))),
    CASE("tertiary controls: bits that must be 0", tertiary, NONE,
         GOOD(SET(TERTIARY_CONTROLS, PROC3_VIRTUALIZE_SPEC_CTRL)), BAD(SET(TERTIARY_CONTROLS, BIT(63)))),
    CASE("tertiary controls: bits that must be 0", NULL, COMMON(SET(TERTIARY_CONTROLS, BIT(63))), NONE,
         BAD(OR(PRIMARY_CONTROLS, PROC_ACTIVATE_TERTIARY))),
    CASE("CR3-target count: at most IA32_VMX_MISC[24:16]", NULL, NONE, GOOD(SET(CR3_TARGET_COUNT, 4)),
         BAD(SET(CR3_TARGET_COUNT, 5))),
    PAGE_TESTS("I/O-bitmap A address", NULL, PRIMARY_CONTROLS, PROC_USE_IO_BITMAPS, IO_BITMAP_A),
    PAGE_TESTS("I/O-bitmap B address", NULL, PRIMARY_CONTROLS, PROC_USE_IO_BITMAPS, IO_BITMAP_B),
    PAGE_TESTS("MSR-bitmap address", NULL, PRIMARY_CONTROLS, PROC_USE_MSR_BITMAPS, MSR_BITMAPS),
    CASE("MSR-bitmap address: multiple of 4096 within the physical-address width", addresses_of_32_bits, NONE,
         GOOD(SET(MSR_BITMAPS, 0xfffff000)), BAD(SET(MSR_BITMAPS, BIT(32)))),
    PAGE_TESTS("virtual-APIC address", NULL, PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW, VIRTUAL_APIC_ADDRESS),
    CASE("TPR threshold: bits 31:4 are 0", tpr_shadow, COMMON(MEMORY(MEM_VTPR, 0xf0)),
         GOOD(SET(TPR_THRESHOLD, 15)), BAD(SET(TPR_THRESHOLD, 16))),
    CASE("TPR threshold: not above VTPR[7:4]", tpr_shadow, NONE, GOOD(SET(TPR_THRESHOLD, 5)),
         BAD(SET(TPR_THRESHOLD, 6))),
    NEEDS_TPR_SHADOW("virtualize x2APIC mode", PROC2_VIRTUALIZE_X2APIC),
    NEEDS_TPR_SHADOW("APIC-register virtualization", PROC2_APIC_REGISTER_VIRTUALIZATION),
    NEEDS_TPR_SHADOW("virtual-interrupt delivery", PROC2_VIRTUAL_INTERRUPT_DELIVERY),
    CASE("IPI virtualization: needs use TPR shadow", tertiary,
         COMMON(SET(TERTIARY_CONTROLS, PROC3_IPI_VIRTUALIZATION)),
         GOOD(OR(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW)), BAD(CLEAR(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW))),
    CASE("virtual NMIs: needs NMI exiting", NULL, NONE, GOOD(OR(PIN_BASED_CONTROLS, PIN_NMI_EXITING)),
         BAD(CLEAR(PIN_BASED_CONTROLS, PIN_NMI_EXITING))),
    CASE("NMI-window exiting: needs virtual NMIs", NULL,
         COMMON(OR(PRIMARY_CONTROLS, PROC_NMI_WINDOW_EXITING)),
         GOOD(OR(PIN_BASED_CONTROLS, PIN_VIRTUAL_NMIS)), BAD(CLEAR(PIN_BASED_CONTROLS, PIN_VIRTUAL_NMIS))),
    PAGE_TESTS("APIC-access address", NULL, SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES,
               APIC_ACCESS_ADDRESS),
    CASE("virtualize x2APIC mode: excludes virtualize APIC accesses", tpr_shadow,
         COMMON(OR(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_X2APIC)),
         GOOD(CLEAR(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES)),
         BAD(OR(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES))),
    CASE("virtual-interrupt delivery: needs external-interrupt exiting", interrupt_delivery, NONE,
         GOOD(OR(PIN_BASED_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING)),
         BAD(CLEAR(PIN_BASED_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING))),
    CASE("process posted interrupts: needs virtual-interrupt delivery", posted_interrupts, NONE,
         GOOD(OR(SECONDARY_CONTROLS, PROC2_VIRTUAL_INTERRUPT_DELIVERY)),
         BAD(CLEAR(SECONDARY_CONTROLS, PROC2_VIRTUAL_INTERRUPT_DELIVERY))),
    CASE("process posted interrupts: needs acknowledge interrupt on exit", posted_interrupts, NONE,
         GOOD(OR(PRIMARY_EXIT_CONTROLS, EXITCTL_ACK_INTERRUPT_ON_EXIT)),
         BAD(CLEAR(PRIMARY_EXIT_CONTROLS, EXITCTL_ACK_INTERRUPT_ON_EXIT))),
    CASE("posted-interrupt notification vector: at most 255", posted_interrupts, NONE,
         GOOD(SET(POSTED_INT_VECTOR, 255)), BAD(SET(POSTED_INT_VECTOR, 256))),
    ADDRESS_TESTS("posted-interrupt descriptor address: multiple of 64 within the physical-address width",
                  interrupt_delivery, PIN_BASED_CONTROLS, PIN_POSTED_INTERRUPTS, POSTED_INT_DESC_ADDRESS, 64),
    CASE("VPID: not 0", NULL, NONE, GOOD(SET(VPID, 0xffff)), BAD(SET(VPID, 0))),
    CASE("EPT pointer: memory type that IA32_VMX_EPT_VPID_CAP allows", NULL, NONE,
         GOOD(SET(EPT_POINTER, EPTP_WALK_4)), BAD(SET(EPT_POINTER, EPTP_WALK_4 | 1))),
    CASE("EPT pointer: memory type that IA32_VMX_EPT_VPID_CAP allows", no_uncacheable_ept, NONE,
         GOOD(SET(EPT_POINTER, EPTP_WALK_4 | EPTP_WB)), BAD(SET(EPT_POINTER, EPTP_WALK_4))),
    CASE("EPT pointer: page-walk length that IA32_VMX_EPT_VPID_CAP allows", NULL, NONE,
         GOOD(SET(EPT_POINTER, EPTP_WALK_4 | EPTP_WB)), BAD(SET(EPT_POINTER, EPTP_WALK_5 | EPTP_WB))),
    CASE("EPT pointer: page-walk length that IA32_VMX_EPT_VPID_CAP allows", five_level_ept, NONE,
         GOOD(SET(EPT_POINTER, EPTP_WALK_5 | EPTP_WB)), BAD(SET(EPT_POINTER, 2 << 3 | EPTP_WB))),
    CASE("EPT pointer: bit 6 needs accessed and dirty flags for EPT", no_eptp_flags, NONE, NONE,
         BAD(OR(EPT_POINTER, EPTP_ACCESSED_DIRTY))),
    CASE("EPT pointer: bit 7 needs supervisor shadow-stack control", no_eptp_flags, NONE, NONE,
         BAD(OR(EPT_POINTER, EPTP_SHADOW_STACK))),
    CASE("EPT pointer: reserved bits are 0, within the physical-address width", NULL, NONE,
         GOOD(OR(EPT_POINTER, (BEYOND - PAGE_SIZE) | EPTP_ACCESSED_DIRTY | EPTP_SHADOW_STACK)),
         BAD(OR(EPT_POINTER, BEYOND))),
    CASE("EPT pointer: reserved bits are 0, within the physical-address width", NULL, NONE, NONE,
         BAD(OR(EPT_POINTER, BIT(8)))),
    CASE("EPT pointer: reserved bits are 0, within the physical-address width", NULL, NONE, NONE,
         BAD(OR(EPT_POINTER, BIT(11)))),
    NEEDS_EPT("enable PML", PROC2_ENABLE_PML),
    PAGE_TESTS("PML address", NULL, SECONDARY_CONTROLS, PROC2_ENABLE_PML, PML_ADDRESS),
    NEEDS_EPT("unrestricted guest", PROC2_UNRESTRICTED_GUEST),
    NEEDS_EPT("mode-based execute control for EPT", PROC2_MODE_BASED_EXECUTE),
    NEEDS_EPT("sub-page write permissions for EPT", PROC2_SUB_PAGE_WRITE),
    PAGE_TESTS("SPP-table pointer", NULL, SECONDARY_CONTROLS, PROC2_SUB_PAGE_WRITE, SPP_TABLE_POINTER),
    CASE("VM-function controls: bits that IA32_VMX_VMFUNC does not allow are 0", NULL,
         COMMON(OR(SECONDARY_CONTROLS, PROC2_ENABLE_VM_FUNCTIONS)),
         GOOD(SET(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING)), BAD(SET(VM_FUNCTION_CONTROLS, BIT(1)))),
    CASE("EPTP switching: needs enable EPT", no_ept,
         COMMON(OR(SECONDARY_CONTROLS, PROC2_ENABLE_VM_FUNCTIONS),
                SET(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING)),
         GOOD(OR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT)), BAD(CLEAR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT))),
    CASE("EPTP-list address: multiple of 4096 within the physical-address width", NULL,
         COMMON(OR(SECONDARY_CONTROLS, PROC2_ENABLE_VM_FUNCTIONS),
                SET(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING)),
         GOOD(SET(EPTP_LIST_ADDRESS, BEYOND - PAGE_SIZE)), BAD(SET(EPTP_LIST_ADDRESS, BEYOND))),
    CASE("EPTP-list address: multiple of 4096 within the physical-address width", NULL,
         COMMON(OR(SECONDARY_CONTROLS, PROC2_ENABLE_VM_FUNCTIONS), SET(EPTP_LIST_ADDRESS, 0x800)),
         GOOD(SET(VM_FUNCTION_CONTROLS, 0)), BAD(SET(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING))),
    PAGE_TESTS("VMREAD-bitmap address", NULL, SECONDARY_CONTROLS, PROC2_VMCS_SHADOWING,
               VMREAD_BITMAP_ADDRESS),
    PAGE_TESTS("VMWRITE-bitmap address", NULL, SECONDARY_CONTROLS, PROC2_VMCS_SHADOWING,
               VMWRITE_BITMAP_ADDRESS),
    PAGE_TESTS("virtualization-exception information address", NULL, SECONDARY_CONTROLS,
               PROC2_EPT_VIOLATION_VE, VIRT_EXCEPTION_INFO_ADDRESS),
    CASE("Intel PT uses guest physical addresses: needs enable EPT", guest_physical_pt,
         COMMON(CLEAR(SECONDARY_CONTROLS, PROC2_UNRESTRICTED_GUEST)), NONE,
         BAD(CLEAR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT))),
    CASE("Intel PT uses guest physical addresses: needs load IA32_RTIT_CTL", guest_physical_pt, NONE, NONE,
         BAD(CLEAR(ENTRY_CONTROLS, ENTRYCTL_LOAD_RTIT_CTL))),
    CASE("Intel PT uses guest physical addresses: needs clear IA32_RTIT_CTL", guest_physical_pt, NONE, NONE,
         BAD(CLEAR(PRIMARY_EXIT_CONTROLS, EXITCTL_CLEAR_RTIT_CTL))),
    CASE("TSC multiplier: not 0", NULL, COMMON(OR(SECONDARY_CONTROLS, PROC2_USE_TSC_SCALING)),
         GOOD(SET(TSC_MULTIPLIER, 1)), BAD(SET(TSC_MULTIPLIER, 0))),
    TERTIARY_NEEDS_EPT("enable HLAT", PROC3_ENABLE_HLAT),
    CASE("HLAT pointer: reserved bits are 0, within the physical-address width", tertiary,
         COMMON(SET(TERTIARY_CONTROLS, PROC3_ENABLE_HLAT)),
         GOOD(SET(HLAT_POINTER, (BEYOND - PAGE_SIZE) | 0x18)), BAD(SET(HLAT_POINTER, BEYOND))),
    CASE("HLAT pointer: reserved bits are 0, within the physical-address width", tertiary,
         COMMON(SET(TERTIARY_CONTROLS, PROC3_ENABLE_HLAT)), NONE, BAD(SET(HLAT_POINTER, BIT(5)))),
    TERTIARY_NEEDS_EPT("EPT paging-write control", PROC3_EPT_PAGING_WRITE),
    TERTIARY_NEEDS_EPT("guest-paging verification", PROC3_GUEST_PAGING_VERIFICATION),
    ADDRESS_TESTS("PID-pointer table address: multiple of 8 within the physical-address width",
                  ipi_virtualization, PRIMARY_CONTROLS, PROC_ACTIVATE_TERTIARY, PID_POINTER_TABLE, 8),
    CASE("PID-pointer table: its last entry is within the physical-address width", ipi_virtualization,
         COMMON(SET(PID_POINTER_TABLE, BEYOND - 16)), GOOD(SET(LAST_PID_POINTER_INDEX, 1)),
         BAD(SET(LAST_PID_POINTER_INDEX, 2))),
    CASE("VM-exit controls: bits that must be 1", NULL, NONE, NONE,
         BAD(CLEAR(PRIMARY_EXIT_CONTROLS, BIT(0)))),
    CASE("VM-exit controls: bits that must be 1", NULL, NONE, NONE,
         BAD(CLEAR(PRIMARY_EXIT_CONTROLS, BIT(17)))),
    CASE("VM-exit controls: bits that must be 0", no_uinv, NONE,
         GOOD(OR(PRIMARY_EXIT_CONTROLS, EXITCTL_CLEAR_LBR_CTL)),
         BAD(OR(PRIMARY_EXIT_CONTROLS, EXITCTL_CLEAR_UINV))),
    CASE("secondary VM-exit controls: bits that must be 0", NULL,
         COMMON(OR(PRIMARY_EXIT_CONTROLS, EXITCTL_ACTIVATE_SECONDARY)),
         GOOD(SET(SECONDARY_EXIT_CONTROLS, EXITCTL2_PREMATURELY_BUSY_SHADOW_STACK)),
         BAD(SET(SECONDARY_EXIT_CONTROLS, BIT(4)))),
    CASE("save VMX-preemption timer value: needs activate VMX-preemption timer", NULL,
         COMMON(OR(PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_PREEMPTION_TIMER)),
         GOOD(OR(PIN_BASED_CONTROLS, PIN_PREEMPTION_TIMER)),
         BAD(CLEAR(PIN_BASED_CONTROLS, PIN_PREEMPTION_TIMER))),
    AREA_TESTS("VM-exit MSR-store", EXIT_MSR_STORE_ADDR, EXIT_MSR_STORE_COUNT),
    AREA_TESTS("VM-exit MSR-load", EXIT_MSR_LOAD_ADDR, EXIT_MSR_LOAD_COUNT),
    WORD_TESTS("VM-entry controls", ENTRY_CONTROLS, BIT(0), BIT(25)),
    WORD_TESTS("VM-entry controls", ENTRY_CONTROLS, BIT(12), BIT(31)),
    AREA_TESTS("VM-entry MSR-load", ENTRY_MSR_LOAD_ADDR, ENTRY_MSR_LOAD_COUNT),
    CASE("entry to SMM: 0 outside of SMM", NULL, NONE, NONE, BAD(OR(ENTRY_CONTROLS, ENTRYCTL_ENTRY_TO_SMM))),
    CASE("deactivate dual-monitor treatment: 0 outside of SMM", NULL, NONE, NONE,
         BAD(OR(ENTRY_CONTROLS, ENTRYCTL_DEACTIVATE_DUAL_MONITOR))),
    CASE("load IA32_RTIT_CTL: 0 while Intel PT is tracing", tracing, NONE, NONE,
         BAD(OR(ENTRY_CONTROLS, ENTRYCTL_LOAD_RTIT_CTL))),
};

static void test_rows(void **state)
{
    (void)state;
    run_entry_tests(tests, ARRAY_SIZE(tests), ENTRY_VMFAIL_CONTROLS);
}

static void test_every_row(void **state)
{
    (void)state;
    assert_all_rows_tested(&entry_control_rules, tests, ARRAY_SIZE(tests));
}

/* What is not activated or not in use is not looked at. */
static void test_not_looked_at(void **state)
{
    static const struct change cases[][MAX_CHANGES] = {
        {CLEAR(PRIMARY_CONTROLS, PROC_ACTIVATE_SECONDARY), SET(SECONDARY_CONTROLS, ~0ull), SET(VPID, 0)},
        {SET(TERTIARY_CONTROLS, ~0ull), SET(HLAT_POINTER, ~0ull)},
        {SET(SECONDARY_EXIT_CONTROLS, ~0ull)},
        {CLEAR(PRIMARY_CONTROLS, PROC_USE_IO_BITMAPS), SET(IO_BITMAP_A, ~0ull), SET(IO_BITMAP_B, 1)},
        {CLEAR(PRIMARY_CONTROLS, PROC_USE_MSR_BITMAPS), SET(MSR_BITMAPS, ~0ull)},
        {SET(VIRTUAL_APIC_ADDRESS, ~0ull), SET(TPR_THRESHOLD, ~0ull)},
        {SET(APIC_ACCESS_ADDRESS, ~0ull), SET(POSTED_INT_DESC_ADDRESS, ~0ull),
         SET(POSTED_INT_VECTOR, 0xffff)},
        {CLEAR(SECONDARY_CONTROLS, PROC2_ENABLE_VPID), SET(VPID, 0)},
        {CLEAR(SECONDARY_CONTROLS, PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST), SET(EPT_POINTER, ~0ull)},
        {SET(VM_FUNCTION_CONTROLS, ~0ull), SET(EPTP_LIST_ADDRESS, ~0ull), SET(PML_ADDRESS, ~0ull)},
        {SET(EXIT_MSR_STORE_ADDR, ~0ull), SET(EXIT_MSR_LOAD_ADDR, ~0ull), SET(ENTRY_MSR_LOAD_ADDR, ~0ull)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_passes(NULL, cases[i]);
}

/* The threshold is compared with VTPR only where the guest's writes of it can exit, and where memory can be
 * read. */
static void test_tpr_threshold(void **state)
{
    static const struct change delivered[MAX_CHANGES] = {SET(TPR_THRESHOLD, 100)};
    static const struct change accesses[MAX_CHANGES] = {
        SET(TPR_THRESHOLD, 15), OR(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES)};
    static const struct change elsewhere[MAX_CHANGES] = {SET(TPR_THRESHOLD, 15),
                                                         SET(VIRTUAL_APIC_ADDRESS, BEYOND - PAGE_SIZE)};
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    assert_passes(interrupt_delivery, delivered);
    assert_passes(tpr_shadow, accesses);
    assert_passes(tpr_shadow, elsewhere);
    good_machine(&m);
    tpr_shadow(&m);
    VMCS(&m.vmcs, TPR_THRESHOLD) = 15;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_VMFAIL_CONTROLS);
    m.env.read = NULL;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_OK);
}

/* Reserved control bits are told bit by bit. */
static void test_wrong_bits(void **state)
{
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, PIN_BASED_CONTROLS) |= BIT(8) | BIT(30);
    entry_check(&m.vmcs, &m.env, &v);
    assert_true(v.has_bits);
    assert_int_equal(v.bits, BIT(8) | BIT(30));
    assert_int_equal(v.field, VI_PIN_BASED_CONTROLS);
}

/* Without the TRUE MSRs the default1 class is what must be 1. */
static void test_plain_capabilities(void **state)
{
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    good_machine(&m);
    m.caps.basic &= ~VMX_BASIC_TRUE_CONTROLS;
    entry_check(&m.vmcs, &m.env, &v);
    assert_string_equal(v.row, "primary controls: bits that must be 1");
    assert_int_equal(v.bits, PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING);
}

/* No two rows have the same text, and the list of them ends. */
static void test_row_names(void **state)
{
    u32 nr = 0;

    (void)state;
    for (; entry_check_row(nr); nr++)
        for (u32 i = 0; i < nr; i++)
            assert_string_not_equal(entry_check_row(i), entry_check_row(nr));
    assert_int_equal(nr, entry_control_rules.nr + entry_event_rules.nr + entry_host_rules.nr +
                             entry_guest_rules.nr + entry_rip_rules.nr + entry_rflags_rules.nr +
                             entry_segment_rules.nr + entry_nonregister_rules.nr + entry_nr_msr_rows);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_not_looked_at), cmocka_unit_test(test_tpr_threshold),
        cmocka_unit_test(test_wrong_bits),    cmocka_unit_test(test_plain_capabilities),
        cmocka_unit_test(test_row_names),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
