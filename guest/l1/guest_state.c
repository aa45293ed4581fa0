/* SPDX-License-Identifier: MIT */
/* VM entries that fail when the guest's state or MSRs are loaded: exits of reasons 33 and 34 with bit 31. */
#include "guest/l1/msr_area.h"
#include "guest/l1/spoil.h"

#define CAN(word, control) vmx_can(VMX_WORD_##word, control)
#define RFLAGS_VM          BIT(17)
#define AR_CODE32          0xc09b
#define AR_LDT             0x82
#define TOO_WIDE           caps.physical
#define LOAD_EFER          SET(ENTRY_CONTROLS, ENTRYCTL_LOAD_EFER)
#define LOAD_DEBUG         SET(ENTRY_CONTROLS, ENTRYCTL_LOAD_DEBUG_CONTROLS)
#define INJECT(info)       PUT(ENTRY_INTERRUPTION_INFO, info)
#define INTERRUPT          INTR_INFO(INTR_TYPE_EXTERNAL, 0x40)
#define NMI                INTR_INFO(INTR_TYPE_NMI, X_NMI)
#define BLOCKED(by)        PUT(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_##by)
#define DEBUGCTL_BTF       BIT(1)
#define GUEST_STATE        (ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE)

static void test_registers(void)
{
    u64 efer = rdmsr(MSR_EFER);
    bool can_efer = CAN(ENTRY, ENTRYCTL_LOAD_EFER);
    const struct spoil rows[] = {
        {"CR0 without NE", true, {CLEAR(GUEST_CR0, CR0_NE)}, 0},
        {"CR0 without PE", true, {CLEAR(GUEST_CR0, CR0_PE)}, 0},
        {"CR0 without PG in IA-32e mode", true, {CLEAR(GUEST_CR0, CR0_PG)}, 0},
        {"CR0 bit 32", true, {SET(GUEST_CR0, BIT(32))}, 0},
        {"CR4 without VMXE", true, {CLEAR(GUEST_CR4, CR4_VMXE)}, 0},
        {"CR4 without PAE in IA-32e mode", true, {CLEAR(GUEST_CR4, CR4_PAE)}, 0},
        {"CR4 bit 31", true, {SET(GUEST_CR4, BIT(31))}, 0},
        {"CR3 too wide", true, {SET(GUEST_CR3, TOO_WIDE)}, 0},
        {"DR7 bit 32", CAN(ENTRY, ENTRYCTL_LOAD_DEBUG_CONTROLS), {LOAD_DEBUG, SET(GUEST_DR7, BIT(32))}, 0},
        {"SYSENTER_ESP", true, {PUT(GUEST_IA32_SYSENTER_ESP, NON_CANONICAL)}, 0},
        {"SYSENTER_EIP", true, {PUT(GUEST_IA32_SYSENTER_EIP, NON_CANONICAL)}, 0},
        {"EFER without LMA", can_efer, {LOAD_EFER, PUT(GUEST_IA32_EFER, efer & ~EFER_LMA)}, 0},
        {"EFER without LME", can_efer, {LOAD_EFER, PUT(GUEST_IA32_EFER, efer & ~EFER_LME)}, 0},
        {"EFER bit 1", can_efer, {LOAD_EFER, PUT(GUEST_IA32_EFER, efer | BIT(1))}, 0},
        {"PAT with a type 2",
         CAN(ENTRY, ENTRYCTL_LOAD_PAT),
         {SET(ENTRY_CONTROLS, ENTRYCTL_LOAD_PAT), PUT(GUEST_IA32_PAT, 2)},
         0},
        {"RFLAGS without bit 1", true, {PUT(GUEST_RFLAGS, 0)}, 0},
        {"RFLAGS bit 3", true, {SET(GUEST_RFLAGS, BIT(3))}, 0},
        {"RFLAGS bit 63", true, {SET(GUEST_RFLAGS, BIT(63))}, 0},
        {"RFLAGS.VM in IA-32e mode", true, {SET(GUEST_RFLAGS, RFLAGS_VM)}, 0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

static void test_segments(void)
{
    const struct spoil rows[] = {
        {"TR in the LDT", true, {SET(GUEST_TR_SELECTOR, 4)}, 0},
        {"TR not usable", true, {SET(GUEST_TR_ACCESS_RIGHTS, SEG_AR_UNUSABLE)}, 0},
        {"TR not busy", true, {PUT(GUEST_TR_ACCESS_RIGHTS, 0x89)}, 0},
        {"TR not present", true, {CLEAR(GUEST_TR_ACCESS_RIGHTS, SEG_AR_P)}, 0},
        {"TR base", true, {PUT(GUEST_TR_BASE, NON_CANONICAL)}, 0},
        {"TR limit and granularity", true, {SET(GUEST_TR_ACCESS_RIGHTS, SEG_AR_G)}, 0},
        {"CS base of 33 bits", true, {PUT(GUEST_CS_BASE, BIT(32))}, 0},
        {"CS is data", true, {PUT(GUEST_CS_ACCESS_RIGHTS, 0xa093)}, 0},
        {"CS not present", true, {CLEAR(GUEST_CS_ACCESS_RIGHTS, SEG_AR_P)}, 0},
        {"CS with L and D", true, {SET(GUEST_CS_ACCESS_RIGHTS, SEG_AR_DB)}, 0},
        {"CS reserved bit 8", true, {SET(GUEST_CS_ACCESS_RIGHTS, BIT(8))}, 0},
        {"CS limit and granularity", true, {PUT(GUEST_CS_LIMIT, 0x12345)}, 0},
        {"CS of another ring than SS", true, {SET(GUEST_CS_ACCESS_RIGHTS, 0x20)}, 0},
        {"SS is code", true, {PUT(GUEST_SS_ACCESS_RIGHTS, 0xc09b)}, 0},
        {"SS of another ring", true, {SET(GUEST_SS_ACCESS_RIGHTS, 0x20)}, 0},
        {"DS not accessed", true, {CLEAR(GUEST_DS_ACCESS_RIGHTS, 1)}, 0},
        {"ES base of 33 bits", true, {PUT(GUEST_ES_BASE, BIT(32))}, 0},
        {"FS base",
         true,
         {PUT(GUEST_FS_ACCESS_RIGHTS, 0xc093), PUT(GUEST_FS_BASE, NON_CANONICAL), PUT(GUEST_FS_LIMIT, ~0u)},
         0},
        {"LDTR is a TSS", true, {PUT(GUEST_LDTR_ACCESS_RIGHTS, 0x8b)}, 0},
        {"LDTR base", true, {PUT(GUEST_LDTR_ACCESS_RIGHTS, AR_LDT), PUT(GUEST_LDTR_BASE, NON_CANONICAL)}, 0},
        {"LDTR in the LDT", true, {PUT(GUEST_LDTR_ACCESS_RIGHTS, AR_LDT), PUT(GUEST_LDTR_SELECTOR, 4)}, 0},
        {"GDTR base", true, {PUT(GUEST_GDTR_BASE, NON_CANONICAL)}, 0},
        {"GDTR limit of 17 bits", true, {PUT(GUEST_GDTR_LIMIT, BIT(16))}, 0},
        {"IDTR base", true, {PUT(GUEST_IDTR_BASE, NON_CANONICAL)}, 0},
        {"IDTR limit of 17 bits", true, {PUT(GUEST_IDTR_LIMIT, BIT(16))}, 0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

static void test_activity(void)
{
    const struct spoil rows[] = {
        {"activity 4", true, {PUT(GUEST_ACTIVITY_STATE, 4)}, 0},
        {"halted in the shadow of STI",
         caps.misc & VMX_MISC_ACTIVITY_HLT,
         {PUT(GUEST_ACTIVITY_STATE, ACTIVITY_HLT), BLOCKED(STI), SET(GUEST_RFLAGS, RFLAGS_IF)},
         0},
        {"shut down, and an interrupt injected",
         caps.misc & VMX_MISC_ACTIVITY_SHUTDOWN,
         {PUT(GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN), SET(GUEST_RFLAGS, RFLAGS_IF), INJECT(INTERRUPT)},
         0},
        {"reserved bit of interruptibility", true, {PUT(GUEST_INTERRUPTIBILITY_STATE, BIT(5))}, 0},
        {"blocking by STI and MOV SS",
         true,
         {PUT(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS),
          SET(GUEST_RFLAGS, RFLAGS_IF)},
         0},
        {"blocking by STI without IF", true, {BLOCKED(STI)}, 0},
        {"blocking by SMI outside of SMM", true, {BLOCKED(SMI)}, 0},
        {"an interrupt injected without IF", true, {INJECT(INTERRUPT)}, 0},
        {"an interrupt injected in the shadow of STI",
         true,
         {INJECT(INTERRUPT), BLOCKED(STI), SET(GUEST_RFLAGS, RFLAGS_IF)},
         0},
        {"an interrupt injected in the shadow of MOV SS",
         true,
         {INJECT(INTERRUPT), BLOCKED(MOV_SS), SET(GUEST_RFLAGS, RFLAGS_IF)},
         0},
        {"an NMI injected in the shadow of MOV SS", true, {INJECT(NMI), BLOCKED(MOV_SS)}, 0},
        {"pending debug exceptions: reserved bit", true, {PUT(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(4))}, 0},
    };

    spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

static void test_rip(void)
{
    const struct spoil rows[] = {{"RIP not canonical", true, {PUT(GUEST_RIP, BIT(62))}, 0}};

    if (!lab_lacks("Bochs 3.0 enters, and then raises #GP"))
        spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

static void test_blocked_nmi(void)
{
    const struct spoil rows[] = {
        {"a virtual NMI injected while they are blocked",
         CAN(PIN, PIN_VIRTUAL_NMIS),
         {INJECT(NMI), BLOCKED(NMI), SET(PIN_BASED_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS)},
         0}};

    if (!lab_lacks("Bochs 3.0 enters, and delivers the NMI"))
        spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

static void test_pending_step(void)
{
    const struct spoil rows[] = {
        {"no pending single step in a shadow with TF",
         true,
         {BLOCKED(MOV_SS), SET(GUEST_RFLAGS, RFLAGS_TF)},
         0},
        {"pending single step in a shadow without TF",
         true,
         {BLOCKED(MOV_SS), PUT(GUEST_PENDING_DEBUG_EXCEPTIONS, PENDING_DEBUG_BS)},
         0},
        {"pending single step in a shadow with TF and BTF",
         CAN(ENTRY, ENTRYCTL_LOAD_DEBUG_CONTROLS),
         {BLOCKED(MOV_SS), SET(GUEST_RFLAGS, RFLAGS_TF),
          PUT(GUEST_PENDING_DEBUG_EXCEPTIONS, PENDING_DEBUG_BS), PUT(GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF)},
         0},
        {"no pending single step, halted, with TF",
         caps.misc & VMX_MISC_ACTIVITY_HLT,
         {PUT(GUEST_ACTIVITY_STATE, ACTIVITY_HLT), SET(GUEST_RFLAGS, RFLAGS_TF)},
         0},
    };

    if (!lab_lacks("Bochs 3.0 does not look at the pending single step"))
        spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

static void test_link_pointer(void)
{
    const struct spoil rows[] = {
        {"misaligned", true, {PUT(VMCS_LINK_POINTER, TEST_PAGES + 1)}, ENTRY_FAIL_LINK_POINTER},
        {"too wide", true, {PUT(VMCS_LINK_POINTER, TOO_WIDE)}, ENTRY_FAIL_LINK_POINTER},
        {"no VMCS revision there", true, {PUT(VMCS_LINK_POINTER, TEST_PAGES)}, ENTRY_FAIL_LINK_POINTER},
    };

    MMIO(u32, TEST_PAGES) = VMX_BASIC_REVISION(caps.basic) ^ 1;
    spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

/* L2 in 32-bit mode with PAE paging. */
static void test_pdptes(void)
{
    const struct change to_pae[] = {CLEAR(ENTRY_CONTROLS, ENTRYCTL_IA32E_MODE_GUEST),
                                    PUT(GUEST_CS_ACCESS_RIGHTS, AR_CODE32)};
    const struct spoil rows[] = {
        {"reserved bits of a PDPTE",
         l2_has_ept(),
         {to_pae[0], to_pae[1], PUT(GUEST_PDPTE2, 3)},
         ENTRY_FAIL_PDPTE},
        {"a PDPTE too wide",
         l2_has_ept(),
         {to_pae[0], to_pae[1], PUT(GUEST_PDPTE0, TOO_WIDE | 1)},
         ENTRY_FAIL_PDPTE},
        {"reserved bits of a PDPTE in memory",
         !l2_has_ept(),
         {to_pae[0], to_pae[1], PUT(GUEST_CR3, TEST_PAGES)},
         ENTRY_FAIL_PDPTE},
    };

    MMIO(u64, TEST_PAGES) = TEST_PAGES | 3;
    spoil_all(rows, ARRAY_SIZE(rows), GUEST_STATE);
}

L2_CODE(l2_none, "");

/* The qualification is the number of the bad one, from 1; those before it have been loaded. */
static void load_bad_msr(const char *what, struct msr_entry bad)
{
    struct msr_entry *area = (struct msr_entry *)TEST_PAGES;
    u64 before = rdmsr(MSR_KERNEL_GS_BASE);
    u32 got;

    l2_new(l2_none);
    area[0] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, before + 0x1000};
    area[1] = bad;
    area[2] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, 1};
    vmwrite(ENTRY_MSR_LOAD_ADDR, (u64)area);
    vmwrite(ENTRY_MSR_LOAD_COUNT, 3);
    got = l2_run();
    expect(got == (ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_MSR_LOADING), "%s: 0x%x", what, got);
    expect_equal(vmread(EXIT_QUALIFICATION), 2, what);
    expect_equal(rdmsr(MSR_KERNEL_GS_BASE), before + 0x1000, what);
    wrmsr(MSR_KERNEL_GS_BASE, before);
}

static void test_msrs(void)
{
    static const struct {
        const char *what;
        struct msr_entry bad;
    } cases[] = {
        {"FS base", {MSR_FS_BASE, 0, 0}},
        {"GS base", {MSR_GS_BASE, 0, 0}},
        {"x2APIC", {0x802, 0, 0}},
        {"reserved bits", {0x174, 1, 0}},
        {"a value that WRMSR refuses", {0x175, 0, NON_CANONICAL}},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
        load_bad_msr(cases[i].what, cases[i].bad);
}

/* Reason 34 comes when L2's EFER and PAT have been loaded: the exit loads L1's only where its controls say
 * so.
 */
static void test_msrs_and_state(void)
{
    const u64 l2_pat = 0x0007040600070404ull;
    u64 efer = rdmsr(MSR_EFER), pat = rdmsr(MSR_PAT);

    for (u32 load = 0; load < 2; load++) {
        struct msr_entry *area = (struct msr_entry *)TEST_PAGES;
        u64 exit = load ? EXITCTL_LOAD_EFER | EXITCTL_LOAD_PAT : 0;

        l2_new(l2_none);
        if (!need(VMX_WORD_ENTRY, ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT) || !need(VMX_WORD_EXIT, exit))
            return;
        vmwrite(GUEST_IA32_EFER, efer ^ EFER_SCE);
        vmwrite(GUEST_IA32_PAT, l2_pat);
        vmwrite(HOST_IA32_EFER, efer);
        vmwrite(HOST_IA32_PAT, pat);
        area[0] = (struct msr_entry){MSR_FS_BASE, 0, 0};
        vmwrite(ENTRY_MSR_LOAD_ADDR, (u64)area);
        vmwrite(ENTRY_MSR_LOAD_COUNT, 1);
        expect_equal(l2_run(), ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, "bad MSR");
        expect_equal(rdmsr(MSR_EFER), load ? efer : efer ^ EFER_SCE,
                     load ? "EFER, loaded" : "EFER, not loaded");
        expect_equal(rdmsr(MSR_PAT), load ? pat : l2_pat, load ? "PAT, loaded" : "PAT, not loaded");
        wrmsr(MSR_EFER, efer);
        wrmsr(MSR_PAT, pat);
    }
}

static void test_unknown_msr(void)
{
    if (!lab_lacks("Bochs 3.0 as it is configured ignores unknown MSRs"))
        load_bad_msr("an MSR that is not there", (struct msr_entry){0x12345, 0, 0});
}

const struct test guest_state_tests[] = {
    {"guest-registers", test_registers},
    {"guest-segments", test_segments},
    {"guest-activity", test_activity},
    {"guest-rip", test_rip},
    {"guest-nmi-blocked", test_blocked_nmi},
    {"guest-pending-step", test_pending_step},
    {"guest-link", test_link_pointer},
    {"guest-pdptes", test_pdptes},
    {"guest-msrs", test_msrs},
    {"guest-msrs-state", test_msrs_and_state},
    {"guest-msr-unknown", test_unknown_msr},
    {NULL, NULL},
};
