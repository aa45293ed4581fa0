/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
#include "tests/unit/entry_case.h"

static void no_activities(struct machine *m)
{
    m->caps.misc &= ~(u64)(VMX_MISC_ACTIVITY_HLT | VMX_MISC_ACTIVITY_SHUTDOWN | VMX_MISC_ACTIVITY_SIPI);
}

static void strict_about_sti(struct machine *m)
{
    m->env.nmi_needs_no_sti = true;
}

static void with_sgx(struct machine *m)
{
    m->env.sgx = true;
}

static void with_rtm(struct machine *m)
{
    m->env.rtm = true;
}

static void with_bus_lock_debug(struct machine *m)
{
    m->env.bus_lock_debug = true;
}

static void pae_guest(struct machine *m)
{
    legacy_guest(m);
    VMCS(&m->vmcs, GUEST_PDPTE0) = VMCS(&m->vmcs, GUEST_PDPTE1) = 0x1001;
    VMCS(&m->vmcs, GUEST_PDPTE2) = VMCS(&m->vmcs, GUEST_PDPTE3) = 0x2001;
}

static void pae_guest_in_memory(struct machine *m)
{
    legacy_guest(m);
    VMCS(&m->vmcs, SECONDARY_CONTROLS) = 0;
    VMCS(&m->vmcs, GUEST_CR3) = MEM_PDPT | 0x18;
}

static void linked(struct machine *m)
{
    VMCS(&m->vmcs, VMCS_LINK_POINTER) = MEM_LINK;
    m->memory[MEM_LINK] = REVISION & 0xff;
    m->memory[MEM_LINK + 1] = REVISION >> 8 & 0xff;
    m->memory[MEM_LINK + 2] = REVISION >> 16;
}

static void current_linked(struct machine *m)
{
    linked(m);
    m->env.current_vmcs = MEM_LINK;
}

#define EVENT(type, vector) SET(ENTRY_INTERRUPTION_INFO, INTR_INFO(INTR_TYPE_##type, vector))
#define STATE(bits)         SET(GUEST_INTERRUPTIBILITY_STATE, bits)
#define ACTIVITY(state)     SET(GUEST_ACTIVITY_STATE, ACTIVITY_##state)
#define PENDING(bits)       SET(GUEST_PENDING_DEBUG_EXCEPTIONS, bits)
#define FLAGS(bits)         SET(GUEST_RFLAGS, RFLAGS_FIXED | (bits))

#define HLT_ROW      "guest activity state: HLT allows injection of external interrupt, NMI, #DB, #MC and MTF only"
#define SHUTDOWN_ROW "guest activity state: shutdown allows injection of NMI and #MC only"
#define SIPI_ROW     "guest activity state: wait-for-SIPI allows no injection"
#define SUPPORT_ROW  "guest activity state: one that IA32_VMX_MISC[8:6] allows"
#define BS_ROW       "pending debug exceptions: BS equals a due single step while events are held back"

#define PDPTE_TESTS(n)                                                                                   \
    CASE_QUALIFIED("guest PDPTE" #n ": reserved bits are 0", pae_guest, NONE,                            \
                   GOOD(SET(GUEST_PDPTE##n, (BEYOND - PAGE_SIZE) | 0xe19)), BAD(SET(GUEST_PDPTE##n, 3)), \
                   ENTRY_FAIL_PDPTE),                                                                    \
        CASE_QUALIFIED("guest PDPTE" #n ": reserved bits are 0", pae_guest, NONE,                        \
                       GOOD(SET(GUEST_PDPTE##n, ~1ull)), BAD(SET(GUEST_PDPTE##n, BEYOND | 1)),           \
                       ENTRY_FAIL_PDPTE),                                                                \
        CASE_QUALIFIED("guest PDPTE" #n ": reserved bits are 0", pae_guest, NONE, NONE,                  \
                       BAD(SET(GUEST_PDPTE##n, 0x101)), ENTRY_FAIL_PDPTE)

static const struct entry_test tests[] = {
    CASE(SUPPORT_ROW, NULL, NONE, GOOD(ACTIVITY(WAIT_FOR_SIPI)), BAD(SET(GUEST_ACTIVITY_STATE, 4))),
    CASE(SUPPORT_ROW, no_activities, NONE, GOOD(ACTIVITY(ACTIVE)), BAD(ACTIVITY(HLT))),
    CASE(SUPPORT_ROW, no_activities, NONE, NONE, BAD(ACTIVITY(SHUTDOWN))),
    CASE(SUPPORT_ROW, no_activities, NONE, NONE, BAD(ACTIVITY(WAIT_FOR_SIPI))),
    CASE("guest activity state: HLT needs SS.DPL 0", NULL,
         COMMON(SET(GUEST_SS_ACCESS_RIGHTS, 0xc0f3), SET(GUEST_CS_ACCESS_RIGHTS, 0xa0fb)),
         GOOD(ACTIVITY(ACTIVE)), BAD(ACTIVITY(HLT))),
    CASE("guest activity state: active while STI or MOV SS blocks", NULL,
         COMMON(FLAGS(RFLAGS_IF), STATE(INTERRUPTIBILITY_STI)), GOOD(ACTIVITY(ACTIVE)), BAD(ACTIVITY(HLT))),
    CASE("guest activity state: active while STI or MOV SS blocks", NULL,
         COMMON(STATE(INTERRUPTIBILITY_MOV_SS)), GOOD(ACTIVITY(ACTIVE)), BAD(ACTIVITY(SHUTDOWN))),
    CASE(HLT_ROW, NULL, COMMON(ACTIVITY(HLT), FLAGS(RFLAGS_IF)), GOOD(EVENT(EXTERNAL, 0x20)),
         BAD(EVENT(SOFTWARE_INTERRUPT, 0x20), SET(ENTRY_INSTRUCTION_LENGTH, 2))),
    CASE(HLT_ROW, NULL, COMMON(ACTIVITY(HLT)), GOOD(EVENT(NMI, 2)), BAD(EVENT(HARDWARE_EXCEPTION, 6))),
    CASE(HLT_ROW, NULL, COMMON(ACTIVITY(HLT)), GOOD(EVENT(HARDWARE_EXCEPTION, 1)),
         BAD(EVENT(HARDWARE_EXCEPTION, 0))),
    CASE(HLT_ROW, NULL, COMMON(ACTIVITY(HLT)), GOOD(EVENT(HARDWARE_EXCEPTION, 18)),
         BAD(EVENT(HARDWARE_EXCEPTION, 19))),
    CASE(HLT_ROW, NULL, COMMON(ACTIVITY(HLT)), GOOD(EVENT(OTHER_EVENT, 0)),
         BAD(EVENT(HARDWARE_EXCEPTION, 16))),
    CASE(SHUTDOWN_ROW, NULL, COMMON(ACTIVITY(SHUTDOWN), FLAGS(RFLAGS_IF)), GOOD(EVENT(NMI, 2)),
         BAD(EVENT(EXTERNAL, 0x20))),
    CASE(SHUTDOWN_ROW, NULL, COMMON(ACTIVITY(SHUTDOWN)), GOOD(EVENT(HARDWARE_EXCEPTION, 18)),
         BAD(EVENT(HARDWARE_EXCEPTION, 1))),
    CASE(SIPI_ROW, NULL, COMMON(ACTIVITY(WAIT_FOR_SIPI)), GOOD(SET(ENTRY_INTERRUPTION_INFO, 2 << 8 | 2)),
         BAD(EVENT(NMI, 2))),
    CASE("guest interruptibility: bits 31:5 are 0", with_sgx, NONE, GOOD(STATE(BIT(4))), BAD(STATE(BIT(5)))),
    CASE("guest interruptibility: bits 31:5 are 0", NULL, NONE, GOOD(STATE(BIT(3))), BAD(STATE(BIT(31)))),
    CASE("guest interruptibility: STI and MOV SS do not both block", NULL, COMMON(FLAGS(RFLAGS_IF)),
         GOOD(STATE(2)), BAD(STATE(3))),
    CASE("guest interruptibility: STI does not block while RFLAGS.IF is 0", NULL, COMMON(STATE(1)),
         GOOD(FLAGS(RFLAGS_IF)), BAD(FLAGS(0))),
    CASE("guest interruptibility: nothing blocks an injected external interrupt", NULL,
         COMMON(FLAGS(RFLAGS_IF), EVENT(EXTERNAL, 0x20)), GOOD(STATE(8)), BAD(STATE(1))),
    CASE("guest interruptibility: nothing blocks an injected external interrupt", NULL,
         COMMON(FLAGS(RFLAGS_IF), EVENT(EXTERNAL, 0x20)), GOOD(STATE(0)), BAD(STATE(2))),
    CASE("guest interruptibility: MOV SS does not block an injected NMI", NULL, COMMON(EVENT(NMI, 2)),
         GOOD(STATE(0)), BAD(STATE(2))),
    CASE("guest interruptibility: no blocking by SMI outside of SMM", NULL, NONE, GOOD(STATE(8)),
         BAD(STATE(4))),
    CASE_QUALIFIED("guest interruptibility: STI does not block an injected NMI", strict_about_sti,
                   COMMON(FLAGS(RFLAGS_IF), EVENT(NMI, 2)), GOOD(STATE(0)), BAD(STATE(1)), ENTRY_FAIL_NMI),
    CASE("guest interruptibility: an injected virtual NMI is not blocked by NMI", NULL, COMMON(EVENT(NMI, 2)),
         GOOD(STATE(0)), BAD(STATE(8))),
    CASE("guest interruptibility: enclave interruption needs SGX", NULL, NONE, GOOD(STATE(0)),
         BAD(STATE(16))),
    CASE("guest interruptibility: no enclave interruption while MOV SS blocks", with_sgx, NONE,
         GOOD(STATE(16)), BAD(STATE(18))),
    CASE("pending debug exceptions: reserved bits are 0", NULL, NONE, GOOD(PENDING(0x500f)),
         BAD(PENDING(BIT(4)))),
    CASE("pending debug exceptions: reserved bits are 0", with_bus_lock_debug, NONE, GOOD(PENDING(BIT(11))),
         BAD(PENDING(BIT(10)))),
    CASE("pending debug exceptions: reserved bits are 0", NULL, NONE, NONE, BAD(PENDING(BIT(11)))),
    CASE("pending debug exceptions: reserved bits are 0", NULL, NONE, NONE, BAD(PENDING(BIT(13)))),
    CASE("pending debug exceptions: reserved bits are 0", NULL, NONE, NONE, BAD(PENDING(BIT(15)))),
    CASE("pending debug exceptions: reserved bits are 0", NULL, NONE, NONE, BAD(PENDING(BIT(16) | BIT(12)))),
    CASE("pending debug exceptions: reserved bits are 0", with_rtm, NONE, GOOD(PENDING(BIT(16) | BIT(12))),
         BAD(PENDING(BIT(17)))),
    CASE(BS_ROW, NULL, COMMON(FLAGS(RFLAGS_IF | RFLAGS_TF), STATE(1)), GOOD(PENDING(BIT(14))),
         BAD(PENDING(0))),
    CASE(BS_ROW, NULL, COMMON(FLAGS(RFLAGS_TF), STATE(2)), GOOD(PENDING(BIT(14))), BAD(PENDING(0))),
    CASE(BS_ROW, NULL, COMMON(FLAGS(RFLAGS_TF), ACTIVITY(HLT)), GOOD(PENDING(BIT(14))), BAD(PENDING(0))),
    CASE(BS_ROW, NULL, COMMON(FLAGS(0), STATE(2)), GOOD(PENDING(0)), BAD(PENDING(BIT(14)))),
    CASE(BS_ROW, NULL, COMMON(FLAGS(RFLAGS_TF), STATE(2), SET(GUEST_IA32_DEBUGCTL, BIT(1))), GOOD(PENDING(0)),
         BAD(PENDING(BIT(14)))),
    CASE("pending debug exceptions: RTM goes with bit 12 alone", with_rtm, NONE,
         GOOD(PENDING(BIT(16) | BIT(12))), BAD(PENDING(BIT(16)))),
    CASE("pending debug exceptions: RTM goes with bit 12 alone", with_rtm, NONE, NONE,
         BAD(PENDING(BIT(16) | BIT(12) | BIT(0)))),
    CASE("pending debug exceptions: no RTM while MOV SS blocks", with_rtm, COMMON(PENDING(BIT(16) | BIT(12))),
         GOOD(STATE(0)), BAD(STATE(2))),
    CASE_QUALIFIED("VMCS link pointer: all ones, or multiple of 4096 within the physical-address width", NULL,
                   NONE, GOOD(SET(VMCS_LINK_POINTER, BEYOND - PAGE_SIZE)),
                   BAD(SET(VMCS_LINK_POINTER, BEYOND)), ENTRY_FAIL_LINK_POINTER),
    CASE_QUALIFIED("VMCS link pointer: all ones, or multiple of 4096 within the physical-address width", NULL,
                   NONE, GOOD(SET(VMCS_LINK_POINTER, ~0ull)), BAD(SET(VMCS_LINK_POINTER, 0x800)),
                   ENTRY_FAIL_LINK_POINTER),
    CASE_QUALIFIED("VMCS link pointer: revision identifier of the VMCS it refers to", linked, NONE,
                   GOOD(MEMORY(MEM_LINK, REVISION)), BAD(MEMORY(MEM_LINK, REVISION + 1)),
                   ENTRY_FAIL_LINK_POINTER),
    CASE_QUALIFIED("VMCS link pointer: shadow-VMCS indicator equals VMCS shadowing", linked, NONE,
                   GOOD(MEMORY(MEM_LINK, REVISION)), BAD(MEMORY(MEM_LINK, REVISION | BIT(31))),
                   ENTRY_FAIL_LINK_POINTER),
    CASE_QUALIFIED("VMCS link pointer: shadow-VMCS indicator equals VMCS shadowing", linked,
                   COMMON(OR(SECONDARY_CONTROLS, PROC2_VMCS_SHADOWING)),
                   GOOD(MEMORY(MEM_LINK, REVISION | BIT(31))), BAD(MEMORY(MEM_LINK, REVISION)),
                   ENTRY_FAIL_LINK_POINTER),
    CASE_QUALIFIED("VMCS link pointer: not the current VMCS", current_linked, NONE,
                   GOOD(SET(VMCS_LINK_POINTER, ~0ull)), BAD(SET(VMCS_LINK_POINTER, MEM_LINK)),
                   ENTRY_FAIL_LINK_POINTER),
    PDPTE_TESTS(0),
    PDPTE_TESTS(1),
    PDPTE_TESTS(2),
    PDPTE_TESTS(3),
    CASE_QUALIFIED("guest CR3: reserved bits of the PDPTEs in memory are 0", pae_guest_in_memory, NONE,
                   GOOD(MEMORY(MEM_PDPT, 0x1001), MEMORY(MEM_PDPT + 8, 0xfffffffe)),
                   BAD(MEMORY(MEM_PDPT, 0x1003)), ENTRY_FAIL_PDPTE),
    CASE_QUALIFIED("guest CR3: reserved bits of the PDPTEs in memory are 0", pae_guest_in_memory, NONE, NONE,
                   BAD(MEMORY(MEM_PDPT + 8, 0x21)), ENTRY_FAIL_PDPTE),
    CASE_QUALIFIED("guest CR3: reserved bits of the PDPTEs in memory are 0", pae_guest_in_memory, NONE, NONE,
                   BAD(MEMORY(MEM_PDPT + 16, 0x101)), ENTRY_FAIL_PDPTE),
    CASE_QUALIFIED("guest CR3: reserved bits of the PDPTEs in memory are 0", pae_guest_in_memory,
                   COMMON(MEMORY(MEM_PDPT + 24, 1)), GOOD(MEMORY(MEM_PDPT + 28, 0x7f)),
                   BAD(MEMORY(MEM_PDPT + 28, 0x80)), ENTRY_FAIL_PDPTE),
};

static void test_rows(void **state)
{
    (void)state;
    run_entry_tests(tests, ARRAY_SIZE(tests), ENTRY_GUEST_STATE);
}

static void test_every_row(void **state)
{
    (void)state;
    assert_all_rows_tested(&entry_nonregister_rules, tests, ARRAY_SIZE(tests));
}

static void test_not_looked_at(void **state)
{
    static const struct change nmi_behind_sti[MAX_CHANGES] = {FLAGS(RFLAGS_IF), EVENT(NMI, 2), STATE(1)};
    static const struct change nmi_behind_nmi[MAX_CHANGES] = {CLEAR(PIN_BASED_CONTROLS, PIN_VIRTUAL_NMIS),
                                                              EVENT(NMI, 2), STATE(8)};
    static const struct change pdptes[MAX_CHANGES] = {SET(GUEST_PDPTE0, ~0ull), SET(GUEST_PDPTE3, ~0ull)};
    static const struct change step[MAX_CHANGES] = {FLAGS(RFLAGS_TF), PENDING(0)};

    (void)state;
    assert_passes(NULL, nmi_behind_sti);
    assert_passes(NULL, nmi_behind_nmi);
    assert_passes(NULL, pdptes);
    assert_passes(real_mode_guest, pdptes);
    assert_passes(NULL, step);
}

/* Without memory to look into, what lies there is taken as good. */
static void test_no_memory(void **state)
{
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, VMCS_LINK_POINTER) = MEM_LINK;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_GUEST_STATE);
    m.env.read = NULL;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_OK);
}

static void put_msr(struct machine *m, u32 slot, u32 index, u32 reserved, u64 value)
{
    u8 *at = m->memory + MEM_MSRS + 16 * slot;

    memcpy(at, &index, 4);
    memcpy(at + 4, &reserved, 4);
    memcpy(at + 8, &value, 8);
}

static bool refuse_odd(void *ctx, u32 msr, u64 value)
{
    (void)ctx;
    return msr == MSR_IA32_STAR && value & 1;
}

/* The second of three entries is the one that is wrong. */
static void test_msr_loading(void **state)
{
    static const struct {
        u32 index, reserved;
        u64 value;
        const char *row;
    } cases[] = {
        {MSR_IA32_STAR, 1, 0, "VM-entry MSR-load area: bits 63:32 of an entry are 0"},
        {MSR_IA32_FS_BASE, 0, 0, "VM-entry MSR-load area: not IA32_FS_BASE or IA32_GS_BASE"},
        {MSR_IA32_GS_BASE, 0, 0, "VM-entry MSR-load area: not IA32_FS_BASE or IA32_GS_BASE"},
        {0x800, 0, 0, "VM-entry MSR-load area: no x2APIC register (0x800 to 0x8ff)"},
        {0x8ff, 0, 0, "VM-entry MSR-load area: no x2APIC register (0x800 to 0x8ff)"},
        {0x9b, 0, 0, "VM-entry MSR-load area: not IA32_SMM_MONITOR_CTL"},
        {MSR_IA32_STAR, 0, 1, "VM-entry MSR-load area: MSR and value that WRMSR accepts"},
        {MSR_IA32_STAR, 0, 2, NULL},
        {MSR_IA32_KERNEL_GS_BASE, 0, 1, NULL},
        {0x7ff, 0, 0, NULL},
        {0x900, 0, 0, NULL},
    };
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        good_machine(&m);
        m.env.msr_refused = refuse_odd;
        VMCS(&m.vmcs, ENTRY_MSR_LOAD_ADDR) = MEM_MSRS;
        VMCS(&m.vmcs, ENTRY_MSR_LOAD_COUNT) = 3;
        put_msr(&m, 0, MSR_IA32_LSTAR, 0, 1);
        put_msr(&m, 1, cases[i].index, cases[i].reserved, cases[i].value);
        put_msr(&m, 2, MSR_IA32_CSTAR, 0, 1);
        entry_check(&m.vmcs, &m.env, &v);
        if (!cases[i].row) {
            assert_int_equal(v.stage, ENTRY_OK);
            continue;
        }
        assert_int_equal(v.stage, ENTRY_MSR_LOADING);
        assert_int_equal(v.qualification, 2);
        assert_string_equal(v.row, cases[i].row);
    }
}

static void test_msr_count(void **state)
{
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, ENTRY_MSR_LOAD_ADDR) = BIT(30);
    VMCS(&m.vmcs, ENTRY_MSR_LOAD_COUNT) = 512;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_OK);
    VMCS(&m.vmcs, ENTRY_MSR_LOAD_COUNT) = 513;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_MSR_LOADING);
    assert_int_equal(v.qualification, 513);
    assert_string_equal(v.row, "VM-entry MSR-load count: at most what IA32_VMX_MISC[27:25] recommends");
    m.caps.misc |= 1 << 25;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_OK);
}

/* Whatever is in the fields, there is an answer, and it is one of the rows. */
static void test_random_fields(void **state)
{
    static struct machine m;
    struct entry_verdict v;
    u64 random = 88172645463325252ull;

    (void)state;
    for (u32 i = 0; i < 20000; i++) {
        good_machine(&m);
        for (u32 n = 0; n < 1 + i % 5; n++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            m.vmcs.f[random % VMCS_NR_FIELDS] ^= i & 1 ? BIT(random >> 58) : random;
        }
        entry_check(&m.vmcs, &m.env, &v);
        assert_true((v.stage == ENTRY_OK) == (v.row == NULL));
    }
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_not_looked_at), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_msr_loading),   cmocka_unit_test(test_msr_count),
        cmocka_unit_test(test_random_fields),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
