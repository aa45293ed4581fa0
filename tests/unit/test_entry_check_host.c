/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
#include "tests/unit/entry_case.h"

static void load_cet(struct machine *m)
{
    VMCS(&m->vmcs, PRIMARY_EXIT_CONTROLS) |= EXITCTL_LOAD_CET;
}

static void load_pkrs(struct machine *m)
{
    VMCS(&m->vmcs, PRIMARY_EXIT_CONTROLS) |= EXITCTL_LOAD_PKRS;
}

static void load_perf(struct machine *m)
{
    VMCS(&m->vmcs, PRIMARY_EXIT_CONTROLS) |= EXITCTL_LOAD_PERF_GLOBAL_CTRL;
}

/* Host and guest outside of IA-32e mode. */
static void legacy(struct machine *m)
{
    m->env.long_mode = false;
    legacy_guest(m);
    VMCS(&m->vmcs, PRIMARY_EXIT_CONTROLS) &= ~(u64)EXITCTL_HOST_ADDRESS_SPACE_SIZE;
    VMCS(&m->vmcs, HOST_IA32_EFER) = 0;
    VMCS(&m->vmcs, HOST_RIP) = 0xffffffff;
}

static void masked_cr3(struct machine *m)
{
    m->env.lam = true;
}

#define CANONICAL_TESTS(name, prepare, field)                                                           \
    CASE(name ": canonical", prepare, NONE, GOOD(SET(field, LOW_TOP)), BAD(SET(field, NOT_CANONICAL))), \
        CASE(name ": canonical", prepare, NONE, GOOD(SET(field, HIGH_BOTTOM)),                          \
             BAD(SET(field, HIGH_BOTTOM - 1)))

#define SELECTOR_TESTS(seg)                                                                                 \
    CASE("host " #seg " selector: RPL and TI are 0", NULL, NONE, GOOD(SET(HOST_##seg##_SELECTOR, 0xfff8)),  \
         BAD(SET(HOST_##seg##_SELECTOR, 0x9))),                                                             \
        CASE("host " #seg " selector: RPL and TI are 0", NULL, NONE, GOOD(SET(HOST_##seg##_SELECTOR, 0x8)), \
             BAD(SET(HOST_##seg##_SELECTOR, 0xc)))

static const struct entry_test tests[] = {
    CASE("host CR0: bits that must be 1 in VMX operation", NULL, NONE, GOOD(SET(HOST_CR0, 0x80000021)),
         BAD(SET(HOST_CR0, 0x80000001))),
    CASE("host CR0: bits that must be 1 in VMX operation", NULL, NONE, NONE, BAD(CLEAR(HOST_CR0, CR0_PE))),
    CASE("host CR0: bits that must be 1 in VMX operation", NULL, NONE, NONE,
         BAD(CLEAR(HOST_CR0, (u64)CR0_PG))),
    CASE("host CR0: bits that must be 0 in VMX operation", NULL, NONE, GOOD(SET(HOST_CR0, 0xffffffff)),
         BAD(OR(HOST_CR0, BIT(32)))),
    CASE("host CR4: bits that must be 1 in VMX operation", NULL, NONE, NONE, BAD(CLEAR(HOST_CR4, CR4_VMXE))),
    CASE("host CR4: bits that must be 0 in VMX operation", NULL, NONE, GOOD(OR(HOST_CR4, CR4_PKS)),
         BAD(OR(HOST_CR4, BIT(15)))),
    CASE("host CR4.CET: needs CR0.WP", NULL, COMMON(OR(HOST_CR4, CR4_CET)), GOOD(OR(HOST_CR0, CR0_WP)),
         BAD(CLEAR(HOST_CR0, CR0_WP))),
    CASE("host CR3: within the physical-address width", NULL, NONE, GOOD(SET(HOST_CR3, BEYOND - 1)),
         BAD(SET(HOST_CR3, BEYOND))),
    CASE("host CR3: within the physical-address width", NULL, NONE, NONE, BAD(OR(HOST_CR3, BIT(61)))),
    CASE("host CR3: within the physical-address width", masked_cr3, NONE, GOOD(OR(HOST_CR3, BITS(62, 61))),
         BAD(OR(HOST_CR3, BIT(63)))),
    CANONICAL_TESTS("host IA32_SYSENTER_ESP", NULL, HOST_IA32_SYSENTER_ESP),
    CANONICAL_TESTS("host IA32_SYSENTER_EIP", NULL, HOST_IA32_SYSENTER_EIP),
    CASE("host IA32_PERF_GLOBAL_CTRL: reserved bits are 0", load_perf, NONE,
         GOOD(SET(HOST_IA32_PERF_GLOBAL_CTRL, 0x70000000f)), BAD(SET(HOST_IA32_PERF_GLOBAL_CTRL, 0x10))),
    CASE("host IA32_PAT: each byte is a memory type", NULL, NONE,
         GOOD(SET(HOST_IA32_PAT, 0x0001040506070001)), BAD(SET(HOST_IA32_PAT, 0x0200000000000000))),
    CASE("host IA32_PAT: each byte is a memory type", NULL, NONE, NONE, BAD(SET(HOST_IA32_PAT, 3))),
    CASE("host IA32_PAT: each byte is a memory type", NULL, NONE, NONE, BAD(SET(HOST_IA32_PAT, 0x800))),
    CASE("host IA32_EFER: reserved bits are 0", NULL, NONE, GOOD(OR(HOST_IA32_EFER, EFER_NXE | EFER_SCE)),
         BAD(OR(HOST_IA32_EFER, BIT(1)))),
    CASE("host IA32_EFER: LMA and LME equal host address-space size", NULL, NONE, NONE,
         BAD(CLEAR(HOST_IA32_EFER, EFER_LMA))),
    CASE("host IA32_EFER: LMA and LME equal host address-space size", NULL, NONE, NONE,
         BAD(CLEAR(HOST_IA32_EFER, EFER_LME))),
    CASE("host IA32_EFER: LMA and LME equal host address-space size", legacy, NONE, NONE,
         BAD(SET(HOST_IA32_EFER, EFER_LME | EFER_LMA))),
    CASE("host SSP: canonical", load_cet, NONE, GOOD(SET(HOST_SSP, LOW_TOP & ~3)),
         BAD(SET(HOST_SSP, NOT_CANONICAL))),
    CANONICAL_TESTS("host IA32_INTERRUPT_SSP_TABLE_ADDR", load_cet, HOST_IA32_INTERRUPT_SSP_TABLE_ADDR),
    CASE("host IA32_S_CET: canonical", load_cet, NONE, GOOD(SET(HOST_IA32_S_CET, HIGH_BOTTOM)),
         BAD(SET(HOST_IA32_S_CET, NOT_CANONICAL))),
    CASE("host IA32_S_CET: bits 9:6 are 0", load_cet, NONE, GOOD(SET(HOST_IA32_S_CET, 0x3f)),
         BAD(SET(HOST_IA32_S_CET, 0x40))),
    CASE("host IA32_S_CET: bits 9:6 are 0", load_cet, NONE, GOOD(SET(HOST_IA32_S_CET, 0x400)),
         BAD(SET(HOST_IA32_S_CET, 0x200))),
    CASE("host IA32_S_CET: SUPPRESS and TRACKER are not both 1", load_cet, NONE,
         GOOD(SET(HOST_IA32_S_CET, 0x800)), BAD(SET(HOST_IA32_S_CET, 0xc00))),
    CASE("host SSP: bits 1:0 are 0", load_cet, NONE, GOOD(SET(HOST_SSP, 4)), BAD(SET(HOST_SSP, 2))),
    CASE("host IA32_PKRS: bits 63:32 are 0", load_pkrs, NONE, GOOD(SET(HOST_IA32_PKRS, 0xffffffff)),
         BAD(SET(HOST_IA32_PKRS, BIT(32)))),
    SELECTOR_TESTS(ES),
    SELECTOR_TESTS(CS),
    SELECTOR_TESTS(SS),
    SELECTOR_TESTS(DS),
    SELECTOR_TESTS(FS),
    SELECTOR_TESTS(GS),
    SELECTOR_TESTS(TR),
    CASE("host CS selector: not 0", NULL, NONE, GOOD(SET(HOST_CS_SELECTOR, 8)),
         BAD(SET(HOST_CS_SELECTOR, 0))),
    CASE("host TR selector: not 0", NULL, NONE, GOOD(SET(HOST_TR_SELECTOR, 8)),
         BAD(SET(HOST_TR_SELECTOR, 0))),
    CASE("host SS selector: not 0 without host address-space size", legacy, NONE,
         GOOD(SET(HOST_SS_SELECTOR, 8)), BAD(SET(HOST_SS_SELECTOR, 0))),
    CANONICAL_TESTS("host FS base", NULL, HOST_FS_BASE),
    CANONICAL_TESTS("host GS base", NULL, HOST_GS_BASE),
    CANONICAL_TESTS("host TR base", NULL, HOST_TR_BASE),
    CANONICAL_TESTS("host GDTR base", NULL, HOST_GDTR_BASE),
    CANONICAL_TESTS("host IDTR base", NULL, HOST_IDTR_BASE),
    CASE("host address-space size: 1 in IA-32e mode", NULL, NONE, NONE,
         BAD(CLEAR(PRIMARY_EXIT_CONTROLS, EXITCTL_HOST_ADDRESS_SPACE_SIZE), SET(HOST_IA32_EFER, 0))),
    CASE("host address-space size: 0 outside of IA-32e mode", legacy, NONE, NONE,
         BAD(OR(PRIMARY_EXIT_CONTROLS, EXITCTL_HOST_ADDRESS_SPACE_SIZE),
             SET(HOST_IA32_EFER, EFER_LME | EFER_LMA))),
    CASE("IA-32e mode guest: needs IA-32e mode and host address-space size", legacy, NONE, NONE,
         BAD(OR(ENTRY_CONTROLS, ENTRYCTL_IA32E_MODE_GUEST))),
    CASE("host CR4.PCIDE: 0 without host address-space size", legacy, NONE, NONE,
         BAD(OR(HOST_CR4, CR4_PCIDE))),
    CASE("host RIP: bits 63:32 are 0 without host address-space size", legacy, NONE,
         GOOD(SET(HOST_RIP, 0xffffffff)), BAD(SET(HOST_RIP, BIT(32)))),
    CASE("host CR4.PAE: 1 with host address-space size", NULL, NONE, NONE, BAD(CLEAR(HOST_CR4, CR4_PAE))),
    CASE("host RIP: canonical with host address-space size", NULL, NONE, GOOD(SET(HOST_RIP, LOW_TOP)),
         BAD(SET(HOST_RIP, NOT_CANONICAL))),
};

static void test_rows(void **state)
{
    (void)state;
    run_entry_tests(tests, ARRAY_SIZE(tests), ENTRY_VMFAIL_HOST);
}

static void test_every_row(void **state)
{
    (void)state;
    assert_all_rows_tested(&entry_host_rules, tests, ARRAY_SIZE(tests));
}

static void test_not_looked_at(void **state)
{
    static const struct change cases[][MAX_CHANGES] = {
        {CLEAR(PRIMARY_EXIT_CONTROLS, EXITCTL_LOAD_PAT), SET(HOST_IA32_PAT, ~0ull)},
        {CLEAR(PRIMARY_EXIT_CONTROLS, EXITCTL_LOAD_EFER), SET(HOST_IA32_EFER, ~0ull)},
        {SET(HOST_IA32_S_CET, ~0ull), SET(HOST_SSP, 3), SET(HOST_IA32_PKRS, ~0ull)},
        {SET(HOST_IA32_PERF_GLOBAL_CTRL, ~0ull), SET(HOST_IA32_SYSENTER_CS, ~0ull)},
        {SET(HOST_SS_SELECTOR, 0), SET(HOST_RSP, NOT_CANONICAL)},
        {OR(HOST_CR0, CR0_NW | CR0_CD)},
        {OR(HOST_CR4, CR4_PCIDE)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_passes(NULL, cases[i]);
}

/* Address widths are the processor's, not constants. */
static void test_five_level_paging(void **state)
{
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    good_machine(&m);
    m.env.linear_bits = 57;
    VMCS(&m.vmcs, HOST_RIP) = VMCS(&m.vmcs, HOST_FS_BASE) = BIT(56) - 1;
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_OK);
    VMCS(&m.vmcs, HOST_FS_BASE) = BIT(56);
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_VMFAIL_HOST);
    assert_string_equal(v.row, "host FS base: canonical");
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_not_looked_at),
        cmocka_unit_test(test_five_level_paging),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
