/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
#include "tests/unit/entry_case.h"

static void load_cet(struct machine *m)
{
    VMCS(&m->vmcs, ENTRY_CONTROLS) |= ENTRYCTL_LOAD_CET;
}

static void load_others(struct machine *m)
{
    VMCS(&m->vmcs, ENTRY_CONTROLS) |= ENTRYCTL_LOAD_PERF_GLOBAL_CTRL | ENTRYCTL_LOAD_BNDCFGS |
                                      ENTRYCTL_LOAD_RTIT_CTL | ENTRYCTL_LOAD_LBR_CTL | ENTRYCTL_LOAD_PKRS |
                                      ENTRYCTL_LOAD_UINV;
}

static void masked_cr3(struct machine *m)
{
    m->env.lam = true;
}

static void compatibility_mode(struct machine *m)
{
    VMCS(&m->vmcs, GUEST_CS_ACCESS_RIGHTS) = 0xc09b;
}

#define CANONICAL_TESTS(name, prepare, field)                                                           \
    CASE(name ": canonical", prepare, NONE, GOOD(SET(field, LOW_TOP)), BAD(SET(field, NOT_CANONICAL))), \
        CASE(name ": canonical", prepare, NONE, GOOD(SET(field, HIGH_BOTTOM)),                          \
             BAD(SET(field, HIGH_BOTTOM - 1)))

/* One bit of a field that must be 0, tested beside one that may be 1. */
#define BIT_TEST(row, prepare, field, good, bad) \
    CASE(row, prepare, NONE, GOOD(OR(field, good)), BAD(OR(field, bad)))

#define RFLAGS_ROW "guest RFLAGS: bits 63:22, 15, 5 and 3 are 0"

static const struct entry_test tests[] = {
    CASE("guest CR0: bits that must be 1 in VMX operation", NULL, NONE, GOOD(SET(GUEST_CR0, 0x80000021)),
         BAD(SET(GUEST_CR0, 0x80000001))),
    CASE("guest CR0: bits that must be 1 in VMX operation", restricted_guest, NONE, NONE,
         BAD(CLEAR(GUEST_CR0, CR0_PE))),
    CASE("guest CR0: bits that must be 1 in VMX operation", restricted_guest, NONE, NONE,
         BAD(CLEAR(GUEST_CR0, CR0_PG))),
    CASE("guest CR0: bits that must be 0 in VMX operation", NULL, NONE, GOOD(SET(GUEST_CR0, 0xffffffff)),
         BAD(OR(GUEST_CR0, BIT(32)))),
    CASE("guest CR0.PG: needs CR0.PE", legacy_guest, NONE, NONE, BAD(CLEAR(GUEST_CR0, CR0_PE))),
    CASE("guest CR4: bits that must be 1 in VMX operation", NULL, NONE, NONE,
         BAD(CLEAR(GUEST_CR4, CR4_VMXE))),
    CASE("guest CR4: bits that must be 0 in VMX operation", NULL, NONE, GOOD(OR(GUEST_CR4, CR4_PKS)),
         BAD(OR(GUEST_CR4, BIT(63)))),
    CASE("guest CR4.CET: needs CR0.WP", NULL, COMMON(OR(GUEST_CR4, CR4_CET)), GOOD(OR(GUEST_CR0, CR0_WP)),
         BAD(CLEAR(GUEST_CR0, CR0_WP))),
    BIT_TEST("guest IA32_DEBUGCTL: reserved bits are 0", NULL, GUEST_IA32_DEBUGCTL, BIT(0), BIT(2)),
    CASE("guest CR0.PG: 1 in an IA-32e mode guest", NULL, NONE, NONE, BAD(CLEAR(GUEST_CR0, CR0_PG))),
    CASE("guest CR4.PAE: 1 in an IA-32e mode guest", NULL, NONE, NONE, BAD(CLEAR(GUEST_CR4, CR4_PAE))),
    CASE("guest CR4.PCIDE: 0 unless in an IA-32e mode guest", legacy_guest, NONE, NONE,
         BAD(OR(GUEST_CR4, CR4_PCIDE))),
    BIT_TEST("guest CR3: within the physical-address width", NULL, GUEST_CR3, BEYOND - 1, BEYOND),
    BIT_TEST("guest CR3: within the physical-address width", masked_cr3, GUEST_CR3, BITS(62, 61), BIT(63)),
    BIT_TEST("guest DR7: bits 63:32 are 0", NULL, GUEST_DR7, BIT(31), BIT(32)),
    CANONICAL_TESTS("guest IA32_SYSENTER_ESP", NULL, GUEST_IA32_SYSENTER_ESP),
    CANONICAL_TESTS("guest IA32_SYSENTER_EIP", NULL, GUEST_IA32_SYSENTER_EIP),
    CASE("guest IA32_S_CET: canonical", load_cet, NONE, GOOD(SET(GUEST_IA32_S_CET, HIGH_BOTTOM)),
         BAD(SET(GUEST_IA32_S_CET, NOT_CANONICAL))),
    BIT_TEST("guest IA32_S_CET: bits 9:6 are 0", load_cet, GUEST_IA32_S_CET, BIT(5), BIT(6)),
    BIT_TEST("guest IA32_S_CET: bits 9:6 are 0", load_cet, GUEST_IA32_S_CET, BIT(10), BIT(9)),
    BIT_TEST("guest IA32_S_CET: SUPPRESS and TRACKER are not both 1", load_cet, GUEST_IA32_S_CET, BIT(11),
             BITS(11, 10)),
    CANONICAL_TESTS("guest IA32_INTERRUPT_SSP_TABLE_ADDR", load_cet, GUEST_IA32_INTERRUPT_SSP_TABLE_ADDR),
    BIT_TEST("guest IA32_PERF_GLOBAL_CTRL: reserved bits are 0", load_others, GUEST_IA32_PERF_GLOBAL_CTRL,
             BIT(3), BIT(4)),
    CASE("guest IA32_PAT: each byte is a memory type", NULL, NONE,
         GOOD(SET(GUEST_IA32_PAT, 0x0001040506070001)), BAD(SET(GUEST_IA32_PAT, 0x0002000000000000))),
    CASE("guest IA32_PAT: each byte is a memory type", NULL, NONE, NONE, BAD(SET(GUEST_IA32_PAT, 0x10))),
    BIT_TEST("guest IA32_EFER: reserved bits are 0", NULL, GUEST_IA32_EFER, EFER_NXE, BIT(9)),
    CASE("guest IA32_EFER: LMA equals IA-32e mode guest", NULL, NONE, NONE,
         BAD(CLEAR(GUEST_IA32_EFER, EFER_LMA))),
    CASE("guest IA32_EFER: LMA equals IA-32e mode guest", legacy_guest, NONE, NONE,
         BAD(SET(GUEST_IA32_EFER, EFER_LME | EFER_LMA))),
    CASE("guest IA32_EFER: LME equals LMA while CR0.PG is 1", NULL, NONE, NONE,
         BAD(CLEAR(GUEST_IA32_EFER, EFER_LME))),
    CASE("guest IA32_EFER: LME equals LMA while CR0.PG is 1", legacy_guest,
         COMMON(SET(GUEST_IA32_EFER, EFER_LME)), GOOD(CLEAR(GUEST_CR0, CR0_PG)), BAD(OR(GUEST_CR0, CR0_PG))),
    BIT_TEST("guest IA32_BNDCFGS: bits 11:2 are 0", load_others, GUEST_IA32_BNDCFGS, 3, BIT(2)),
    BIT_TEST("guest IA32_BNDCFGS: bits 11:2 are 0", load_others, GUEST_IA32_BNDCFGS, BIT(12), BIT(11)),
    BIT_TEST("guest IA32_BNDCFGS: its base is canonical", load_others, GUEST_IA32_BNDCFGS, HIGH_BOTTOM,
             NOT_CANONICAL),
    BIT_TEST("guest IA32_RTIT_CTL: reserved bits are 0", load_others, GUEST_IA32_RTIT_CTL, BIT(15), BIT(16)),
    BIT_TEST("guest IA32_LBR_CTL: reserved bits are 0", load_others, GUEST_IA32_LBR_CTL, BIT(3), BIT(4)),
    BIT_TEST("guest IA32_PKRS: bits 63:32 are 0", load_others, GUEST_IA32_PKRS, BIT(31), BIT(32)),
    BIT_TEST("guest UINV: bits 15:8 are 0", load_others, GUEST_UINV, BIT(7), BIT(8)),
    CANONICAL_TESTS("guest GDTR base", NULL, GUEST_GDTR_BASE),
    CANONICAL_TESTS("guest IDTR base", NULL, GUEST_IDTR_BASE),
    BIT_TEST("guest GDTR limit: bits 31:16 are 0", NULL, GUEST_GDTR_LIMIT, 0xffff, 0x10000),
    BIT_TEST("guest IDTR limit: bits 31:16 are 0", NULL, GUEST_IDTR_LIMIT, 0xffff, 0x80000000),
    CASE("guest RIP: bits 63:32 are 0 outside of 64-bit mode", legacy_guest, NONE,
         GOOD(SET(GUEST_RIP, 0xffffffff)), BAD(SET(GUEST_RIP, BIT(32)))),
    CASE("guest RIP: bits 63:32 are 0 outside of 64-bit mode", compatibility_mode, NONE,
         GOOD(SET(GUEST_RIP, 0xffffffff)), BAD(SET(GUEST_RIP, BIT(32)))),
    CASE("guest RIP: bits beyond the linear-address width are all the same", NULL, NONE,
         GOOD(SET(GUEST_RIP, NOT_CANONICAL)), BAD(SET(GUEST_RIP, BIT(LINEAR_BITS)))),
    CASE("guest RIP: bits beyond the linear-address width are all the same", NULL, NONE,
         GOOD(SET(GUEST_RIP, ~0ull << LINEAR_BITS)), BAD(SET(GUEST_RIP, BIT(63)))),
    BIT_TEST(RFLAGS_ROW, NULL, GUEST_RFLAGS, BIT(21), BIT(22)),
    BIT_TEST(RFLAGS_ROW, NULL, GUEST_RFLAGS, BIT(16), BIT(15)),
    BIT_TEST(RFLAGS_ROW, NULL, GUEST_RFLAGS, BIT(4), BIT(5)),
    BIT_TEST(RFLAGS_ROW, NULL, GUEST_RFLAGS, BIT(2), BIT(3)),
    BIT_TEST(RFLAGS_ROW, NULL, GUEST_RFLAGS, BIT(0), BIT(63)),
    CASE("guest RFLAGS: bit 1 is 1", NULL, NONE, GOOD(SET(GUEST_RFLAGS, 2)), BAD(SET(GUEST_RFLAGS, 0))),
    CASE("guest RFLAGS.VM: 0 in an IA-32e mode guest or while CR0.PE is 0", NULL, NONE, NONE,
         BAD(OR(GUEST_RFLAGS, RFLAGS_VM))),
    CASE("guest RFLAGS.VM: 0 in an IA-32e mode guest or while CR0.PE is 0", virtual_8086_guest, NONE, NONE,
         BAD(CLEAR(GUEST_CR0, CR0_PE | (u64)CR0_PG))),
    CASE("guest RFLAGS.IF: 1 when an external interrupt is injected", NULL,
         COMMON(SET(ENTRY_INTERRUPTION_INFO, INTR_INFO(INTR_TYPE_EXTERNAL, 0x20))),
         GOOD(OR(GUEST_RFLAGS, RFLAGS_IF)), BAD(CLEAR(GUEST_RFLAGS, RFLAGS_IF))),
    BIT_TEST("guest SSP: bits 1:0 are 0", load_cet, GUEST_SSP, BIT(2), BIT(1)),
    BIT_TEST("guest SSP: canonical", load_cet, GUEST_SSP, LOW_TOP & ~3, NOT_CANONICAL),
};

static void test_rows(void **state)
{
    (void)state;
    run_entry_tests(tests, ARRAY_SIZE(tests), ENTRY_GUEST_STATE);
}

static void test_every_row(void **state)
{
    (void)state;
    assert_all_rows_tested(&entry_guest_rules, tests, ARRAY_SIZE(tests));
}

static void test_not_looked_at(void **state)
{
    static const struct change cases[][MAX_CHANGES] = {
        {CLEAR(ENTRY_CONTROLS, ENTRYCTL_LOAD_PAT), SET(GUEST_IA32_PAT, ~0ull)},
        {CLEAR(ENTRY_CONTROLS, ENTRYCTL_LOAD_EFER), SET(GUEST_IA32_EFER, ~0ull)},
        {CLEAR(ENTRY_CONTROLS, ENTRYCTL_LOAD_DEBUG_CONTROLS), SET(GUEST_DR7, ~0ull),
         SET(GUEST_IA32_DEBUGCTL, ~0ull)},
        {SET(GUEST_IA32_S_CET, NOT_CANONICAL), SET(GUEST_SSP, 3), SET(GUEST_IA32_PKRS, ~0ull)},
        {SET(GUEST_IA32_PERF_GLOBAL_CTRL, ~0ull), SET(GUEST_IA32_BNDCFGS, ~0ull), SET(GUEST_UINV, 0xffff)},
        {SET(GUEST_IA32_RTIT_CTL, ~0ull), SET(GUEST_IA32_LBR_CTL, ~0ull)},
        {OR(GUEST_CR0, CR0_NW | CR0_CD), OR(GUEST_CR4, CR4_PCIDE), SET(GUEST_RSP, NOT_CANONICAL)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_passes(NULL, cases[i]);
}

/* The guests that the other tests start from. */
static void test_modes(void **state)
{
    static const struct change nothing[MAX_CHANGES];

    (void)state;
    assert_passes(NULL, nothing);
    assert_passes(legacy_guest, nothing);
    assert_passes(compatibility_mode, nothing);
    assert_passes(real_mode_guest, nothing);
    assert_passes(virtual_8086_guest, nothing);
    assert_passes(restricted_guest, nothing);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_not_looked_at),
        cmocka_unit_test(test_modes),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
