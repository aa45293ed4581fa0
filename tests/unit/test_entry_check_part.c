/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
/* A VMCS that has passed all checks: after changes of a few fields the checks of that part find what all of
 * them find. */
#include "tests/unit/entry_case.h"

static u64 seed = 0x9e3779b97f4a7c15ull;

static u64 pick(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Near what is there, near a border, or anything. */
static u64 other_value(u64 now)
{
    switch (pick() % 4) {
    case 0:
        return now ^ BIT(pick() % 64);
    case 1:
        return pick() & BITS(15, 0);
    case 2:
        return (pick() & 0x7ff) | INTR_INFO_VALID;
    default:
        return pick();
    }
}

static void compare(struct machine *m, enum entry_part part, const u16 *fields, u32 nr)
{
    u32 bad = 0;

    for (u32 round = 0; round < 20000; round++) {
        struct vmcs_image changed = m->vmcs;
        struct entry_verdict all, some;

        for (u32 i = 0; i < nr; i++)
            if (pick() % 2)
                changed.f[fields[i]] = other_value(changed.f[fields[i]]);
        entry_check(&changed, &m->env, &all);
        entry_check_part(&changed, &m->env, part, &some);
        assert_int_equal(all.stage, some.stage);
        assert_ptr_equal(all.row, some.row);
        bad += all.stage != ENTRY_OK;
    }
    assert_in_range(bad, 1, 19999);
}

static const u16 place[] = {VI_GUEST_RIP, VI_GUEST_RSP};
static const u16 events[] = {VI_GUEST_RIP,
                             VI_GUEST_RSP,
                             VI_GUEST_RFLAGS,
                             VI_GUEST_INTERRUPTIBILITY_STATE,
                             VI_ENTRY_INTERRUPTION_INFO,
                             VI_ENTRY_EXCEPTION_ERROR_CODE,
                             VI_ENTRY_INSTRUCTION_LENGTH,
                             VI_PREEMPTION_TIMER_VALUE};

static void test_rip(void **state)
{
    static struct machine m;

    (void)state;
    good_machine(&m);
    compare(&m, ENTRY_RIP, place, ARRAY_SIZE(place));
}

static void test_events(void **state)
{
    static struct machine m;

    (void)state;
    good_machine(&m);
    compare(&m, ENTRY_EVENTS, events, ARRAY_SIZE(events));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rip), cmocka_unit_test(test_events)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
