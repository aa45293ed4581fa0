/* SPDX-License-Identifier: MIT */
/* VM entries that fail before the guest's state counts: controls, and the host's state. */
#include "guest/common/segments.h"
#include "guest/l1/spoil.h"

#define INFO(type, vector) INTR_INFO(INTR_TYPE_##type, vector)
#define ERROR_CODE         INTR_INFO_DELIVER_ERROR
#define CAN(word, control) vmx_can(VMX_WORD_##word, control)
#define TOO_WIDE           caps.physical
#define ODD                1

L2_CODE(l2_spoilt, "");

void spoil_all(const struct spoil *rows, u32 n, u32 wanted)
{
    for (u32 i = 0; i < n; i++) {
        const struct spoil *r = &rows[i];
        u32 got;

        if (!r->applies)
            continue;
        l2_new(l2_spoilt);
        for (u32 k = 0; k < ARRAY_SIZE(r->changes); k++) {
            const struct change *c = &r->changes[k];

            if (c->field || c->keep || c->set)
                vmwrite(c->field, (vmread(c->field) & c->keep) | c->set);
        }
        got = l2_run();
        expect(got == wanted, "%s: 0x%x, not 0x%x", r->what, got, wanted);
        if (got == wanted && wanted & ENTRY_FAILURE)
            expect_equal(vmread(EXIT_QUALIFICATION), r->qualification, r->what);
    }
}

/* The lowest bit of a control word that must be 1, or that must be 0. */
static u64 must_be_1(enum vmx_word word)
{
    return caps.must[word] & -caps.must[word];
}

static u64 must_be_0(enum vmx_word word)
{
    u32 bits = ~caps.may[word];

    return bits & -bits;
}

static void test_controls(void)
{
    bool ept = l2_has_ept();
    const struct spoil rows[] = {
        {"pin: a bit that must be 1", true, {CLEAR(PIN_BASED_CONTROLS, must_be_1(VMX_WORD_PIN))}, 0},
        {"pin: a bit that must be 0", true, {SET(PIN_BASED_CONTROLS, must_be_0(VMX_WORD_PIN))}, 0},
        {"primary: a bit that must be 1", true, {CLEAR(PRIMARY_CONTROLS, must_be_1(VMX_WORD_PROC))}, 0},
        {"primary: a bit that must be 0", true, {SET(PRIMARY_CONTROLS, must_be_0(VMX_WORD_PROC))}, 0},
        {"secondary: a bit that must be 0",
         CAN(PROC, PROC_ACTIVATE_SECONDARY),
         {SET(SECONDARY_CONTROLS, must_be_0(VMX_WORD_PROC2))},
         0},
        {"exit: a bit that must be 1", true, {CLEAR(PRIMARY_EXIT_CONTROLS, must_be_1(VMX_WORD_EXIT))}, 0},
        {"exit: a bit that must be 0", true, {SET(PRIMARY_EXIT_CONTROLS, must_be_0(VMX_WORD_EXIT))}, 0},
        {"entry: a bit that must be 1", true, {CLEAR(ENTRY_CONTROLS, must_be_1(VMX_WORD_ENTRY))}, 0},
        {"entry: a bit that must be 0", true, {SET(ENTRY_CONTROLS, must_be_0(VMX_WORD_ENTRY))}, 0},
        {"CR3-target count", true, {PUT(CR3_TARGET_COUNT, VMX_MISC_CR3_TARGETS(caps.misc) + 1)}, 0},
        {"I/O bitmap A misaligned", true, {SET(IO_BITMAP_A, ODD)}, 0},
        {"I/O bitmap B too wide", true, {SET(IO_BITMAP_B, TOO_WIDE)}, 0},
        {"MSR bitmap misaligned", true, {SET(MSR_BITMAPS, ODD)}, 0},
        {"MSR bitmap too wide", true, {SET(MSR_BITMAPS, TOO_WIDE)}, 0},
        {"virtual NMIs without NMI exiting",
         CAN(PIN, PIN_VIRTUAL_NMIS),
         {SET(PIN_BASED_CONTROLS, PIN_VIRTUAL_NMIS)},
         0},
        {"NMI-window exiting without virtual NMIs",
         CAN(PROC, PROC_NMI_WINDOW_EXITING),
         {SET(PIN_BASED_CONTROLS, PIN_NMI_EXITING), SET(PRIMARY_CONTROLS, PROC_NMI_WINDOW_EXITING)},
         0},
        {"virtual APIC misaligned",
         CAN(PROC, PROC_USE_TPR_SHADOW),
         {SET(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW), PUT(VIRTUAL_APIC_ADDRESS, TEST_PAGES + ODD)},
         0},
        {"TPR threshold of 5 bits",
         CAN(PROC, PROC_USE_TPR_SHADOW),
         {SET(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW), PUT(VIRTUAL_APIC_ADDRESS, TEST_PAGES),
          PUT(TPR_THRESHOLD, 16)},
         0},
        {"EPT memory type 2", ept, {PUT(EPT_POINTER, TEST_PAGES | 2 | EPTP_WALK_4)}, 0},
        {"EPT walk of 3 levels", ept, {PUT(EPT_POINTER, TEST_PAGES | EPTP_WB | 2 << 3)}, 0},
        {"EPT pointer's reserved bits", ept, {SET(EPT_POINTER, BIT(8))}, 0},
        {"EPT pointer too wide", ept, {SET(EPT_POINTER, TOO_WIDE)}, 0},
        {"EPT accessed and dirty",
         ept && !(caps.ept_vpid & EPT_CAP_ACCESSED_DIRTY),
         {SET(EPT_POINTER, EPTP_ACCESSED_DIRTY)},
         0},
        {"VPID 0", CAN(PROC2, PROC2_ENABLE_VPID), {SET(SECONDARY_CONTROLS, PROC2_ENABLE_VPID)}, 0},
        {"unrestricted guest without EPT",
         CAN(PROC2, PROC2_UNRESTRICTED_GUEST),
         {PUT(SECONDARY_CONTROLS, PROC2_UNRESTRICTED_GUEST)},
         0},
        {"saves a preemption timer that is off",
         CAN(EXIT, EXITCTL_SAVE_PREEMPTION_TIMER),
         {SET(PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_PREEMPTION_TIMER)},
         0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS);
}

static void test_msr_areas(void)
{
    const struct spoil rows[] = {
        {"entry's MSRs misaligned",
         true,
         {PUT(ENTRY_MSR_LOAD_COUNT, 1), PUT(ENTRY_MSR_LOAD_ADDR, TEST_PAGES + 8)},
         0},
        {"entry's MSRs too wide",
         true,
         {PUT(ENTRY_MSR_LOAD_COUNT, 1), PUT(ENTRY_MSR_LOAD_ADDR, TOO_WIDE)},
         0},
        {"entry's MSRs end too high",
         true,
         {PUT(ENTRY_MSR_LOAD_COUNT, 2), PUT(ENTRY_MSR_LOAD_ADDR, TOO_WIDE - 16)},
         0},
        {"exit's MSR-store misaligned",
         true,
         {PUT(EXIT_MSR_STORE_COUNT, 1), PUT(EXIT_MSR_STORE_ADDR, TEST_PAGES + 8)},
         0},
        {"exit's MSR-load misaligned",
         true,
         {PUT(EXIT_MSR_LOAD_COUNT, 1), PUT(EXIT_MSR_LOAD_ADDR, TEST_PAGES + 8)},
         0},
        {"exit's MSR-load too wide",
         true,
         {PUT(EXIT_MSR_LOAD_COUNT, 1), PUT(EXIT_MSR_LOAD_ADDR, TOO_WIDE)},
         0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS);
}

static void test_injection(void)
{
    const struct spoil rows[] = {
        {"type 1", true, {PUT(ENTRY_INTERRUPTION_INFO, INFO(RESERVED, 3))}, 0},
        {"reserved bit 12", true, {PUT(ENTRY_INTERRUPTION_INFO, INFO(EXTERNAL, 0x40) | BIT(12))}, 0},
        {"NMI of vector 3", true, {PUT(ENTRY_INTERRUPTION_INFO, INFO(NMI, 3))}, 0},
        {"exception of vector 32", true, {PUT(ENTRY_INTERRUPTION_INFO, INFO(HARDWARE_EXCEPTION, 32))}, 0},
        {"error code for an interrupt",
         !(caps.basic & VMX_BASIC_ANY_ERROR_CODE), /* else Bochs 3.0 lets interrupts have one too */
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(EXTERNAL, 0x40) | ERROR_CODE)},
         0},
        {"#GP without an error code",
         !(caps.basic & VMX_BASIC_ANY_ERROR_CODE),
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(HARDWARE_EXCEPTION, X_GP))},
         0},
        {"#UD with an error code",
         !(caps.basic & VMX_BASIC_ANY_ERROR_CODE),
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(HARDWARE_EXCEPTION, X_UD) | ERROR_CODE)},
         0},
        {"error code of 17 bits",
         true,
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(HARDWARE_EXCEPTION, X_GP) | ERROR_CODE),
          PUT(ENTRY_EXCEPTION_ERROR_CODE, BIT(16))},
         0},
        {"INT of 16 bytes",
         true,
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(SOFTWARE_INTERRUPT, 0x40)), PUT(ENTRY_INSTRUCTION_LENGTH, 16)},
         0},
        {"INT3 of no bytes",
         !(caps.misc & VMX_MISC_ZERO_LENGTH),
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(SOFTWARE_EXCEPTION, X_BP)), PUT(ENTRY_INSTRUCTION_LENGTH, 0)},
         0},
        {"other event of vector 1",
         CAN(PROC, PROC_MONITOR_TRAP_FLAG),
         {PUT(ENTRY_INTERRUPTION_INFO, INFO(OTHER_EVENT, 1))},
         0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS);
}

static void test_host_state(void)
{
    u64 efer = rdmsr(MSR_EFER);
    bool can_efer = CAN(EXIT, EXITCTL_LOAD_EFER), can_pat = CAN(EXIT, EXITCTL_LOAD_PAT);
    const struct spoil rows[] = {
        {"CR0 without NE", true, {CLEAR(HOST_CR0, CR0_NE)}, 0},
        {"CR0 without PG", true, {CLEAR(HOST_CR0, CR0_PG)}, 0},
        {"CR0 bit 32", true, {SET(HOST_CR0, BIT(32))}, 0},
        {"CR4 without VMXE", true, {CLEAR(HOST_CR4, CR4_VMXE)}, 0},
        {"CR4 without PAE", true, {CLEAR(HOST_CR4, CR4_PAE)}, 0},
        {"CR4 bit 31", true, {SET(HOST_CR4, BIT(31))}, 0},
        {"CR3 too wide", true, {SET(HOST_CR3, TOO_WIDE)}, 0},
        {"SYSENTER_ESP", true, {PUT(HOST_IA32_SYSENTER_ESP, NON_CANONICAL)}, 0},
        {"SYSENTER_EIP", true, {PUT(HOST_IA32_SYSENTER_EIP, NON_CANONICAL)}, 0},
        {"CS of ring 3", true, {SET(HOST_CS_SELECTOR, 3)}, 0},
        {"CS in the LDT", true, {SET(HOST_CS_SELECTOR, 4)}, 0},
        {"CS is null", true, {PUT(HOST_CS_SELECTOR, 0)}, 0},
        {"TR is null", true, {PUT(HOST_TR_SELECTOR, 0)}, 0},
        {"DS of ring 1", true, {SET(HOST_DS_SELECTOR, 1)}, 0},
        {"FS base", true, {PUT(HOST_FS_BASE, NON_CANONICAL)}, 0},
        {"GS base", true, {PUT(HOST_GS_BASE, NON_CANONICAL)}, 0},
        {"TR base", true, {PUT(HOST_TR_BASE, NON_CANONICAL)}, 0},
        {"GDTR base", true, {PUT(HOST_GDTR_BASE, NON_CANONICAL)}, 0},
        {"IDTR base", true, {PUT(HOST_IDTR_BASE, NON_CANONICAL)}, 0},
        {"RIP", true, {PUT(HOST_RIP, NON_CANONICAL)}, 0},
        {"EFER without LMA",
         can_efer,
         {SET(PRIMARY_EXIT_CONTROLS, EXITCTL_LOAD_EFER), PUT(HOST_IA32_EFER, efer & ~EFER_LMA)},
         0},
        {"EFER without LME",
         can_efer,
         {SET(PRIMARY_EXIT_CONTROLS, EXITCTL_LOAD_EFER), PUT(HOST_IA32_EFER, efer & ~EFER_LME)},
         0},
        {"EFER bit 1",
         can_efer,
         {SET(PRIMARY_EXIT_CONTROLS, EXITCTL_LOAD_EFER), PUT(HOST_IA32_EFER, efer | BIT(1))},
         0},
        {"PAT with a type 2",
         can_pat,
         {SET(PRIMARY_EXIT_CONTROLS, EXITCTL_LOAD_PAT), PUT(HOST_IA32_PAT, 2)},
         0},
        {"not 64 bits", true, {CLEAR(PRIMARY_EXIT_CONTROLS, EXITCTL_HOST_ADDRESS_SPACE_SIZE)}, 0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), NO_ENTRY | VMX_ERROR_ENTRY_HOST_STATE);
}

/* A failure leaves the VMCS clear and as it was, and controls are looked at before the host's state. */
static void test_order(void)
{
    l2_new(l2_spoilt);
    vmwrite(HOST_RIP, NON_CANONICAL);
    vmwrite(GUEST_RFLAGS, 0);
    vmset(IO_BITMAP_A, ODD);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "all wrong");
    vmunset(IO_BITMAP_A, ODD);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_HOST_STATE, "host and guest wrong");
    vmwrite(HOST_RIP, (u64)vmx_exit_entry);
    expect_equal(l2_run(), ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE, "guest wrong");
    vmwrite(GUEST_RFLAGS, 2);
    expect_equal(vmread(GUEST_RIP), (u64)l2_spoilt, "RIP");
    expect(vmx_enter(l2.gpr, true) == VM_FAIL_VALID, "VMRESUME after failed VMLAUNCHes");
    expect_equal(vmread(VM_INSTRUCTION_ERROR), VMX_ERROR_VMRESUME_NOT_LAUNCHED, "VMRESUME");
    l2_expect(EXIT_REASON_VMCALL, "all good");
}

const struct test entry_tests[] = {
    {"entry-controls", test_controls},   {"entry-msr-areas", test_msr_areas},
    {"entry-injection", test_injection}, {"entry-host-state", test_host_state},
    {"entry-order", test_order},         {NULL, NULL},
};
