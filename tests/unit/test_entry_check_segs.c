/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
#include "tests/unit/entry_case.h"

static void usable_ldtr(struct machine *m)
{
    set_segment(&m->vmcs, SEG_LDTR, 0x20, 0, 0xffff, 0x82);
}

static void restricted_v86_guest(struct machine *m)
{
    restricted_guest(m);
    virtual_8086_guest(m);
}

#define AR(seg, rights)   SET(GUEST_##seg##_ACCESS_RIGHTS, rights)
#define SEL(seg, value)   SET(GUEST_##seg##_SELECTOR, value)
#define BASE(seg, value)  SET(GUEST_##seg##_BASE, value)
#define LIMIT(seg, value) SET(GUEST_##seg##_LIMIT, value)

/* Rules that are the same for several registers. The names of the rows start with "guest CS " and so on. */
#define V86_TESTS(seg)                                                                            \
    CASE("guest " #seg " base: selector * 16 in virtual-8086 mode", virtual_8086_guest, NONE,     \
         GOOD(SEL(seg, 0xffff), BASE(seg, 0xffff0)), BAD(BASE(seg, 0x10001))),                    \
        CASE("guest " #seg " limit: 0xffff in virtual-8086 mode", virtual_8086_guest, NONE,       \
             GOOD(LIMIT(seg, 0xffff)), BAD(LIMIT(seg, 0xfffe))),                                  \
        CASE("guest " #seg " access rights: 0xf3 in virtual-8086 mode", virtual_8086_guest, NONE, \
             GOOD(AR(seg, 0xf3)), BAD(AR(seg, 0x93)))
#define CANONICAL_TESTS(seg, prepare)                                                       \
    CASE("guest " #seg " base: canonical", prepare, NONE, GOOD(BASE(seg, LOW_TOP)),         \
         BAD(BASE(seg, NOT_CANONICAL))),                                                    \
        CASE("guest " #seg " base: canonical", prepare, NONE, GOOD(BASE(seg, HIGH_BOTTOM)), \
             BAD(BASE(seg, BIT(63))))
#define LOW_BASE_TESTS(seg)                                                                \
    CASE("guest " #seg " base: bits 63:32 are 0", NULL, NONE, GOOD(BASE(seg, 0xffffffff)), \
         BAD(BASE(seg, BIT(32))))
#define COMMON_TESTS(seg, prepare, rights)                                                \
    CASE("guest " #seg " access rights: present", prepare, NONE, GOOD(AR(seg, rights)),   \
         BAD(AR(seg, (rights) & ~0x80))),                                                 \
        CASE("guest " #seg " access rights: bits 31:17 and 11:8 are 0", prepare, NONE,    \
             GOOD(AR(seg, (rights) | 0x1000)), BAD(AR(seg, (rights) | BIT(11)))),         \
        CASE("guest " #seg " access rights: bits 31:17 and 11:8 are 0", prepare, NONE,    \
             GOOD(AR(seg, rights)), BAD(AR(seg, (rights) | BIT(17)))),                    \
        CASE("guest " #seg " access rights: G is 0 unless limit[11:0] is 0xfff", prepare, \
             COMMON(LIMIT(seg, 0xfffe)), GOOD(AR(seg, (rights) & ~0x8000)),               \
             BAD(AR(seg, (rights) | 0x8000))),                                            \
        CASE("guest " #seg " access rights: G is 1 unless limit[31:20] is 0", prepare,    \
             COMMON(LIMIT(seg, 0x100fff)), GOOD(AR(seg, (rights) | 0x8000)),              \
             BAD(AR(seg, (rights) & ~0x8000))),                                           \
        CASE("guest " #seg " access rights: G is 1 unless limit[31:20] is 0", prepare,    \
             COMMON(AR(seg, (rights) & ~0x8000)), GOOD(LIMIT(seg, 0xfffff)), BAD(LIMIT(seg, 0x100000)))
#define CODE_DATA_TESTS(seg, rights)                                                \
    CASE("guest " #seg " access rights: S is 1", NULL, NONE, GOOD(AR(seg, rights)), \
         BAD(AR(seg, (rights) & ~0x10))),                                           \
        COMMON_TESTS(seg, NULL, rights)
#define DATA_TYPE_TESTS(seg)                                                                            \
    CASE("guest " #seg " type: accessed", NULL, NONE, GOOD(AR(seg, 0xc091)), BAD(AR(seg, 0xc092))),     \
        CASE("guest " #seg " type: accessed", NULL, NONE, GOOD(AR(seg, 0xc09b)), BAD(AR(seg, 0xc09a))), \
        CASE("guest " #seg " type: code is readable", NULL, NONE, GOOD(AR(seg, 0xc09b)),                \
             BAD(AR(seg, 0xc099))),                                                                     \
        CASE("guest " #seg " DPL: not below RPL", restricted_guest, COMMON(SEL(seg, 0x13)),             \
             GOOD(AR(seg, 0xc0f3)), BAD(AR(seg, 0xc0d3))),                                              \
        CASE("guest " #seg " DPL: not below RPL", restricted_guest, COMMON(SEL(seg, 0x13)),             \
             GOOD(AR(seg, 0xc09f)), BAD(AR(seg, 0xc09b))),                                              \
        CODE_DATA_TESTS(seg, 0xc093)
#define SYSTEM_TESTS(seg, prepare, rights)                                             \
    CASE("guest " #seg " access rights: S is 0", prepare, NONE, GOOD(AR(seg, rights)), \
         BAD(AR(seg, (rights) | 0x10))),                                               \
        COMMON_TESTS(seg, prepare, rights)

#define CS_TYPE "guest CS type: accessed code (or 3 in an unrestricted guest)"

static const struct entry_test tests[] = {
    CASE("guest TR selector: TI is 0", NULL, NONE, GOOD(SEL(TR, 0x1b)), BAD(SEL(TR, 0x1c))),
    CASE("guest LDTR selector: TI is 0", usable_ldtr, NONE, GOOD(SEL(LDTR, 0x1b)), BAD(SEL(LDTR, 0x1c))),
    CASE("guest SS selector: RPL equals that of CS", restricted_guest, NONE, GOOD(SEL(SS, 0x14)),
         BAD(SEL(SS, 0x13))),
    V86_TESTS(ES),
    V86_TESTS(CS),
    V86_TESTS(SS),
    V86_TESTS(DS),
    V86_TESTS(FS),
    V86_TESTS(GS),
    CANONICAL_TESTS(TR, NULL),
    CANONICAL_TESTS(FS, NULL),
    CANONICAL_TESTS(GS, NULL),
    CANONICAL_TESTS(LDTR, usable_ldtr),
    LOW_BASE_TESTS(CS),
    LOW_BASE_TESTS(SS),
    LOW_BASE_TESTS(DS),
    LOW_BASE_TESTS(ES),
    CASE(CS_TYPE, NULL, NONE, GOOD(AR(CS, 0xa099)), BAD(AR(CS, 0xa098))),
    CASE(CS_TYPE, NULL, NONE, GOOD(AR(CS, 0xa09d)), BAD(AR(CS, 0xa09e))),
    CASE(CS_TYPE, NULL, NONE, GOOD(AR(CS, 0xa09f)), BAD(AR(CS, 0xa097))),
    CASE(CS_TYPE, NULL, NONE, GOOD(AR(CS, 0xa093)), BAD(AR(CS, 0xa092))),
    CASE(CS_TYPE, restricted_guest, NONE, GOOD(AR(CS, 0xa09b)), BAD(AR(CS, 0xa093))),
    CODE_DATA_TESTS(CS, 0xa09b),
    CASE("guest CS DPL: 0 for a data segment", NULL, NONE, GOOD(AR(CS, 0xa093)), BAD(AR(CS, 0xa0f3))),
    CASE("guest CS DPL: equals that of SS for non-conforming code", NULL, NONE,
         GOOD(AR(CS, 0xa0fb), AR(SS, 0xc0f3)), BAD(AR(CS, 0xa0fb))),
    CASE("guest CS DPL: equals that of SS for non-conforming code", NULL, COMMON(AR(SS, 0xc0f3)),
         GOOD(AR(CS, 0xa0f9)), BAD(AR(CS, 0xa099))),
    CASE("guest CS DPL: not above that of SS for conforming code", NULL, COMMON(AR(SS, 0xc0b3)),
         GOOD(AR(CS, 0xa0bf)), BAD(AR(CS, 0xa0df))),
    CASE("guest CS DPL: not above that of SS for conforming code", NULL, COMMON(AR(SS, 0xc0b3)),
         GOOD(AR(CS, 0xa09d)), BAD(AR(CS, 0xa0fd))),
    CASE("guest CS access rights: L and D/B are not both 1 in an IA-32e mode guest", NULL, NONE,
         GOOD(AR(CS, 0xc09b)), BAD(AR(CS, 0xe09b))),
    CASE("guest SS type: 3 or 7", NULL, NONE, GOOD(AR(SS, 0xc097)), BAD(AR(SS, 0xc091))),
    CASE("guest SS type: 3 or 7", NULL, NONE, GOOD(AR(SS, 0xc093)), BAD(AR(SS, 0xc09b))),
    CODE_DATA_TESTS(SS, 0xc093),
    CASE("guest SS DPL: equals RPL", restricted_guest, COMMON(SEL(CS, 0xb), SEL(SS, 0x13), AR(CS, 0xa0ff)),
         GOOD(AR(SS, 0xc0f3)), BAD(AR(SS, 0xc0f3), SEL(CS, 0xa), SEL(SS, 0x12))),
    CASE("guest SS DPL: 0 while CS has type 3 or CR0.PE is 0", NULL, COMMON(AR(CS, 0xa093)),
         GOOD(AR(SS, 0xc093)), BAD(AR(SS, 0xc0f3))),
    CASE("guest SS DPL: 0 while CS has type 3 or CR0.PE is 0", real_mode_guest, COMMON(AR(CS, 0x9f)),
         GOOD(AR(SS, 0x93)), BAD(AR(SS, 0xf3))),
    DATA_TYPE_TESTS(DS),
    DATA_TYPE_TESTS(ES),
    DATA_TYPE_TESTS(FS),
    DATA_TYPE_TESTS(GS),
    CASE("guest TR type: busy TSS (32-bit or 64-bit; 16-bit outside of IA-32e mode)", NULL, NONE,
         GOOD(AR(TR, 0x8b)), BAD(AR(TR, 0x83))),
    CASE("guest TR type: busy TSS (32-bit or 64-bit; 16-bit outside of IA-32e mode)", legacy_guest, NONE,
         GOOD(AR(TR, 0x83)), BAD(AR(TR, 0x89))),
    SYSTEM_TESTS(TR, NULL, 0x8b),
    CASE("guest TR access rights: usable", NULL, NONE, GOOD(AR(TR, 0x8b)), BAD(AR(TR, 0x1008b))),
    CASE("guest LDTR type: LDT", usable_ldtr, NONE, GOOD(AR(LDTR, 0x82)), BAD(AR(LDTR, 0x8b))),
    SYSTEM_TESTS(LDTR, usable_ldtr, 0x82),
};

static void test_rows(void **state)
{
    (void)state;
    run_entry_tests(tests, ARRAY_SIZE(tests), ENTRY_GUEST_STATE);
}

static void test_every_row(void **state)
{
    (void)state;
    assert_all_rows_tested(&entry_segment_rules, tests, ARRAY_SIZE(tests));
}

#define UNUSABLE(seg) SEL(seg, 0xffff), BASE(seg, ~0ull), LIMIT(seg, ~0u), AR(seg, 0xffff0fff)

/* A register that is unusable may hold anything; FS and GS must have a canonical base even so. */
static void test_unusable(void **state)
{
    static const struct change cases[][MAX_CHANGES] = {
        {UNUSABLE(DS)}, {UNUSABLE(ES)},   {UNUSABLE(FS)},
        {UNUSABLE(GS)}, {UNUSABLE(LDTR)}, {UNUSABLE(SS), AR(SS, 0xffff0f9f)},
    };
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_passes(NULL, cases[i]);
    good_machine(&m);
    set_segment(&m.vmcs, SEG_FS, 0, NOT_CANONICAL, 0, SEG_AR_UNUSABLE);
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_GUEST_STATE);
    assert_string_equal(v.row, "guest FS base: canonical");
}

/* Virtual-8086 mode has its own rules in place of those of protected mode, with and without unrestricted
 * guest. */
static void test_virtual_8086(void **state)
{
    static const struct change cases[][MAX_CHANGES] = {
        {SEL(CS, 0xffff), BASE(CS, 0xffff0)},
        {SEL(SS, 3), BASE(SS, 0x30)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_passes(restricted_v86_guest, cases[i]);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_unusable),
        cmocka_unit_test(test_virtual_8086),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
