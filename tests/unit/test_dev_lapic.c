/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: tests/unit/fake_host.c tests/unit/lapic_test.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/lapic_test.h"

static void test_power_up(void **state)
{
    (void)state;
    lapic_power_up(l);
    assert_int_equal(lapic_base_read(l), 0xfee00900);
    assert_int_equal(lapic_base_read(vm->vcpu[1].lapic), 0xfee00800);
    assert_int_equal(get(ID), 0);
    assert_int_equal(get_of(3, ID), 3 << 24);
    assert_int_equal(get(VERSION), 0x01050014);
    assert_int_equal(get(SVR), 0xff);
    assert_int_equal(get(DFR), 0xffffffff);
    assert_int_equal(get(LVT), 0x10000);
    assert_int_equal(get(LINT0), 0x700);
    assert_int_equal(get(LINT1), 0x400);
    lapic_power_up(vm->vcpu[1].lapic);
    assert_int_equal(get_of(1, LINT0), 0x10000);
    assert_true(lapic_accepts_extint(l));
    assert_false(lapic_accepts_extint(vm->vcpu[1].lapic));
}

static void test_priorities(void **state)
{
    (void)state;
    assert_int_equal(pending(0), -1);
    lapic_post(l, 0x31, false);
    lapic_post(l, 0x45, false);
    assert_int_equal(vm->vcpu[0].notified, 1); /* one is enough for both */
    assert_int_equal(pending(0), 0x45);
    lapic_ack(l, 0x45);
    assert_int_equal(get(PPR), 0x40);
    assert_int_equal(get(ISR + 0x20), BIT(5));
    assert_int_equal(get(IRR + 0x20), 0);
    assert_int_equal(pending(0), -1);
    lapic_post(l, 0x4f, false); /* the same class does not interrupt */
    assert_int_equal(pending(0), -1);
    lapic_post(l, 0x50, false);
    assert_int_equal(pending(0), 0x50);
    lapic_ack(l, 0x50);
    set(EOI, 0); /* ends 0x50, then 0x45 */
    assert_int_equal(get(PPR), 0x40);
    set(EOI, 0);
    assert_int_equal(get(PPR), 0);
    assert_int_equal(pending(0), 0x4f);
    lapic_ack(l, 0x4f);
    set(EOI, 0);
    assert_int_equal(pending(0), 0x31);
    lapic_ack(l, 0x31);
    set(EOI, 0);
    set(EOI, 0); /* nothing in service */
    assert_int_equal(pending(0), -1);
}

static void test_task_priority(void **state)
{
    (void)state;
    lapic_post(l, 0x4f, false);
    set(TPR, 0x40);
    assert_int_equal(pending(0), -1);
    assert_int_equal(get(PPR), 0x40);
    set(TPR, 0x3f);
    assert_int_equal(pending(0), 0x4f);
    assert_int_equal(get(PPR), 0x3f);
    lapic_set_tpr(l, 0x50);
    assert_int_equal(get(TPR), 0x50);
    assert_int_equal(lapic_tpr(l), 0x50);
    assert_int_equal(pending(0), -1);
    lapic_set_tpr(l, 0);
    lapic_ack(l, 0x4f);
    assert_int_equal(get(PPR), 0x40);
    set(TPR, 0x45); /* the same class: TPR's lower bits show */
    assert_int_equal(get(PPR), 0x45);
}

static void test_extreme_vectors(void **state)
{
    (void)state;
    lapic_post(l, 0xff, true);
    lapic_post(l, 0x10, false);
    assert_int_equal(get(TMR + 0x70), BIT(31));
    assert_int_equal(get(IRR + 0x70), BIT(31));
    assert_int_equal(get(IRR), BIT(16));
    lapic_ack(l, 0xff);
    set(EOI, 0);
    lapic_post(l, 0xff, false); /* edge now */
    assert_int_equal(get(TMR + 0x70), 0);
    lapic_ack(l, 0xff);
    set(EOI, 0);
    assert_int_equal(pending(0), 0x10);
}

static void test_illegal_received_vector(void **state)
{
    (void)state;
    set(LVT_ERR, 0x70);
    lapic_post(l, 0x0f, false);
    assert_int_equal(pending(0), 0x70);
    assert_int_equal(get(ESR), 0); /* it shows once ESR was written */
    set(ESR, 0);
    assert_int_equal(get(ESR), BIT(6));
    set(ESR, 0);
    assert_int_equal(get(ESR), 0);
    set(LVT_ERR, 0x0f); /* an error interrupt that is an error itself */
    lapic_post(l, 0x0f, false);
    set(ESR, 0);
    assert_int_equal(get(ESR), BIT(6));
}

static void test_reserved_registers(void **state)
{
    (void)state;
    assert_int_equal(get(0x00), 0);
    set(ESR, 0);
    assert_int_equal(get(ESR), BIT(7));
    set(0x2f0, 1);
    set(ESR, 0);
    assert_int_equal(get(ESR), BIT(7));
    assert_int_equal(get(0xff0), 0);
    set(ESR, 0);
    assert_int_equal(get(ESR), BIT(7));
    assert_int_equal(get(EOI), 0); /* write-only, not reserved */
    set(VERSION, 0);
    set(ID, 0x05000000);
    set(ESR, 0);
    assert_int_equal(get(ESR), 0);
    assert_int_equal(get(ID), 0);
}

static void test_access_sizes(void **state)
{
    (void)state;
    assert_int_equal(bus_read(&vm->vcpu[3].mmio, LAPIC_BASE + ID + 3, 1), 3);
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, LAPIC_BASE + VERSION, 8), 0x1050014);
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, LAPIC_BASE + VERSION + 4, 4), 0);
    bus_write(&vm->vcpu[0].mmio, LAPIC_BASE + TPR, 1, 0x10);
    bus_write(&vm->vcpu[0].mmio, LAPIC_BASE + TPR + 4, 4, 0x20);
    assert_int_equal(get(TPR), 0);
}

static void test_writable_bits(void **state)
{
    (void)state;
    for (u32 offset = LVT; offset <= LVT_ERR; offset += 0x10)
        set(offset, ~0u);
    assert_int_equal(get(LVT), 0x000700ff);
    assert_int_equal(get(LVT + 0x10), 0x000107ff);
    assert_int_equal(get(LINT0), 0x0001a7ff);
    assert_int_equal(get(LINT1), 0x0001a7ff);
    assert_int_equal(get(LVT_ERR), 0x000100ff);
    set(LDR, ~0u);
    assert_int_equal(get(LDR), 0xff000000);
    set(DFR, 0);
    assert_int_equal(get(DFR), 0x0fffffff);
    set(DIVIDE, ~0u);
    assert_int_equal(get(DIVIDE), 0xb);
    set(TPR, ~0u);
    assert_int_equal(get(TPR), 0xff);
}

static void test_software_disabled(void **state)
{
    (void)state;
    lapic_post(l, 0x60, false);
    set(LVT, 0x40);
    set(SVR, 0xff);
    assert_int_equal(get(LVT), 0x10040);
    set(LVT, 0x41); /* stays masked */
    assert_int_equal(get(LVT), 0x10041);
    lapic_post(l, 0x70, false); /* not accepted; what was there stays */
    assert_int_equal(pending(0), 0x60);
    assert_true(lapic_accepts_extint(l));
    set(SVR, 0x1ff);
    assert_int_equal(get(LVT), 0x10041);
    assert_false(lapic_accepts_extint(l));
}

static void test_extint(void **state)
{
    (void)state;
    set(LINT0, 0x700);
    assert_true(lapic_accepts_extint(l));
    assert_int_equal(vm->vcpu[0].kicks, 1); /* to have a look at the PIC */
    set(LINT0, 0x10700);
    assert_false(lapic_accepts_extint(l));
    set(LINT0, 0x030);
    assert_false(lapic_accepts_extint(l));
    set_of(1, LINT0, 0x700); /* only vCPU 0 is wired to the PIC */
    assert_false(lapic_accepts_extint(vm->vcpu[1].lapic));
}

static void test_local_pins(void **state)
{
    (void)state;
    set(LINT1, 0x400);
    lapic_lint(l, 1);
    assert_int_equal(vm->vcpu[0].nmis, 1);
    set(LINT1, 0x10400);
    lapic_lint(l, 1);
    assert_int_equal(vm->vcpu[0].nmis, 1);
    set(LINT0, 0x8042); /* fixed, level */
    lapic_lint(l, 0);
    assert_int_equal(pending(0), 0x42);
    assert_int_equal(get(TMR + 0x20), BIT(2));
    set(LINT0, 0x700); /* ExtINT is the PIC's affair, SMI nobody's */
    lapic_lint(l, 0);
    set(LINT0, 0x200);
    lapic_lint(l, 0);
    set(LINT0, 0x500);
    lapic_lint(l, 0);
    assert_int_equal(vm->vcpu[0].inits, 1);
    assert_int_equal(vm->vcpu[0].nmis, 1);
    set(LINT1, 0x400);
    assert_int_equal(lapic_base_write(l, LAPIC_BASE | LAPIC_BASE_BSP), 0);
    lapic_lint(l, 1);
    assert_int_equal(vm->vcpu[0].nmis, 1);
}

static void test_base_transitions(void **state)
{
    const u64 off = LAPIC_BASE | LAPIC_BASE_BSP, xapic = off | LAPIC_BASE_ENABLE,
              x2 = xapic | LAPIC_BASE_EXTD;
    static const u64 bad[] = {BIT(0), BIT(7), BIT(9)};

    (void)state;
    assert_int_equal(lapic_base_write(l, off | LAPIC_BASE_EXTD), ERR_INVAL);
    assert_int_equal(lapic_base_write(l, xapic), 0);
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(lapic_base_write(l, xapic ^ bad[i]), ERR_INVAL);
    assert_int_equal(lapic_base_write(l, x2), 0);
    assert_int_equal(lapic_base_read(l), x2);
    assert_int_equal(lapic_base_write(l, x2), 0);
    assert_int_equal(lapic_base_write(l, xapic), ERR_INVAL);
    assert_int_equal(lapic_base_write(l, off | LAPIC_BASE_EXTD), ERR_INVAL);
    assert_int_equal(lapic_base_read(l), x2);
    assert_int_equal(lapic_base_write(l, off), 0);
    assert_int_equal(lapic_base_write(l, x2), ERR_INVAL);
    assert_int_equal(lapic_base_write(l, xapic), 0);
}

static u64 version_at(u32 cpu, gpa_t page)
{
    return bus_read(&vm->vcpu[cpu].mmio, page + VERSION, 4);
}

/* Each vCPU's registers are where its own IA32_APIC_BASE says. */
static void test_base_moves(void **state)
{
    const gpa_t there = 0x1234567000;

    (void)state;
    set(TPR, 0x20);
    assert_int_equal(lapic_base_write(l, there | LAPIC_BASE_ENABLE | LAPIC_BASE_BSP), 0);
    assert_int_equal(lapic_base_read(l), there | LAPIC_BASE_ENABLE | LAPIC_BASE_BSP);
    assert_int_equal(version_at(0, there), 0x1050014);
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, there + TPR, 4), 0x20);
    assert_int_equal(version_at(0, LAPIC_BASE), 0xffffffff);
    assert_int_equal(version_at(1, LAPIC_BASE), 0x1050014);
    assert_int_equal(version_at(1, there), 0xffffffff);
    assert_int_equal(lapic_base_write(l, there | LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD), 0);
    assert_int_equal(version_at(0, there), 0xffffffff);
    assert_int_equal(lapic_base_write(l, there), 0);
    assert_int_equal(lapic_base_write(l, LAPIC_BASE - PAGE_SIZE), 0); /* while it is off */
    assert_int_equal(version_at(0, LAPIC_BASE - PAGE_SIZE), 0xffffffff);
    assert_int_equal(lapic_base_write(l, (LAPIC_BASE - PAGE_SIZE) | LAPIC_BASE_ENABLE), 0);
    assert_int_equal(version_at(0, LAPIC_BASE - PAGE_SIZE), 0x1050014);
    lapic_power_up(l);
    assert_int_equal(version_at(0, LAPIC_BASE - PAGE_SIZE), 0xffffffff);
    assert_int_equal(version_at(0, LAPIC_BASE), 0x1050014);
}

static void test_base_in_ram(void **state)
{
    (void)state;
    vm->ram_size = MiB(1);
    vm->ram = calloc(1, MiB(1));
    assert_non_null(vm->ram);
    assert_int_equal(lapic_base_write(l, 0x5000 | LAPIC_BASE_ENABLE), ERR_INVAL);
    assert_int_equal(version_at(0, LAPIC_BASE), 0x1050014);
    assert_int_equal(lapic_base_write(l, 0xa0000 | LAPIC_BASE_ENABLE), 0);
    assert_int_equal(version_at(0, 0xa0000), 0x1050014);
}

static void level_interrupt(void)
{
    lapic_post(l, 0x51, true);
    assert_int_equal(pending(0), 0x51);
    lapic_ack(l, 0x51);
    set(EOI, 0);
}

static void test_eoi_broadcast(void **state)
{
    (void)state;
    level_interrupt();
    assert_int_equal(level_eois, 1);
    assert_int_equal(last_level_eoi, 0x51);
    set(SVR, 0x11ff);
    assert_int_equal(get(SVR), 0x11ff);
    level_interrupt();
    assert_int_equal(level_eois, 1);
    assert_int_equal(get(ISR + 0x20), 0);
    set(SVR, 0x1ff);
    level_interrupt();
    assert_int_equal(level_eois, 2);
}

static void test_globally_disabled(void **state)
{
    (void)state;
    set(LVT, 0x40);
    set(INITIAL, 1000);
    lapic_post(l, 0x50, false);
    vm->vcpu[0].kicks = 0;
    assert_int_equal(lapic_base_write(l, LAPIC_BASE | LAPIC_BASE_BSP), 0);
    assert_int_equal(vm->vcpu[0].kicks, 1);
    assert_int_equal(get(ID), 0xffffffff);
    set(TPR, 0x20);
    lapic_post(l, 0x51, false);
    assert_int_equal(pending(0), -1);
    assert_true(lapic_accepts_extint(l));
    assert_int_equal(lapic_base_write(l, LAPIC_BASE | LAPIC_BASE_BSP | LAPIC_BASE_ENABLE), 0);
    assert_int_equal(get(SVR), 0xff); /* as after a reset */
    assert_int_equal(get(TPR), 0);
    assert_int_equal(get(LINT0), 0x10000);
    fake_run_until(vm, 1000000);
    assert_int_equal(pending(0), -1);
}

static void test_init_keeps_mode(void **state)
{
    (void)state;
    set(TPR, 0x50);
    lapic_post(l, 0x60, false);
    set(LVT, 0x20040);
    set(INITIAL, 100000);
    to_x2(17);
    lapic_reset(l);
    lapic_reset(vm->vcpu[17].lapic);
    assert_int_equal(get(TPR), 0);
    assert_int_equal(get(SVR), 0xff);
    assert_int_equal(get(LVT), 0x10000);
    assert_int_equal(get(INITIAL), 0);
    assert_int_equal(pending(0), -1);
    assert_int_equal(lapic_base_read(l), 0xfee00900);
    assert_int_equal(lapic_base_read(vm->vcpu[17].lapic), 0xfee00c00);
    lapic_power_up(vm->vcpu[17].lapic);
    assert_int_equal(lapic_base_read(vm->vcpu[17].lapic), 0xfee00800);
}

static void test_x2_registers(void **state)
{
    u64 value;

    (void)state;
    assert_int_equal(lapic_msr_read(&vm->vcpu[0], X2(ID), &value), ERR_INVAL); /* not in this mode yet */
    assert_int_equal(msr_set(TPR, 0), ERR_INVAL);
    set(TPR, 0x30);
    to_x2(0);
    assert_int_equal(get(TPR), 0xffffffff); /* no more by memory */
    set(TPR, 0);
    assert_int_equal(msr(TPR), 0x30);
    assert_int_equal(msr(VERSION), 0x1050014);
    assert_int_equal(msr(LDR), 1);
    to_x2(17);
    assert_int_equal(lapic_msr_read(&vm->vcpu[17], X2(LDR), &value), 0);
    assert_int_equal(value, 0x10002);
    assert_int_equal(lapic_msr_read(&vm->vcpu[17], X2(ID), &value), 0);
    assert_int_equal(value, 17);
    assert_int_equal(msr_set(TPR, 0x40), 0);
    assert_int_equal(lapic_tpr(l), 0x40);
    assert_int_equal(msr_set(EOI, 0), 0);
    assert_int_equal(msr_set(INITIAL, 0xffffffff), 0);
    assert_int_equal(msr(INITIAL), 0xffffffff);
}

static void test_x2_faults(void **state)
{
    static const u32 unreadable[] = {0x00,  0x10,  0x40,     0x90,  EOI,   0xc0, DFR,
                                     0x290, 0x2f0, ICR_HIGH, 0x3a0, 0x3f0, 0x400};
    static const u32 unwritable[] = {ID,  VERSION, 0x90, PPR,   0xc0,     LDR,     DFR,
                                     ISR, TMR,     IRR,  0x2f0, ICR_HIGH, CURRENT, 0xff0};
    static const struct {
        u32 offset;
        u64 value;
    } reserved[] = {
        {TPR, 0x100},     {TPR, BIT(32)},     {EOI, 1},       {SVR, 0x400},
        {ESR, 1},         {ICR, BIT(12)},     {ICR, BIT(13)}, {ICR, BIT(16)},
        {ICR, BIT(20)},   {LVT, BIT(8)},      {LVT, BIT(19)}, {LINT0, BIT(17)},
        {LVT_ERR, 0x100}, {INITIAL, BIT(32)}, {DIVIDE, 4},    {0x3f0, 0x100},
    };
    u64 value;

    (void)state;
    to_x2(0);
    for (u32 i = 0; i < ARRAY_SIZE(unreadable); i++)
        assert_int_equal(lapic_msr_read(&vm->vcpu[0], X2(unreadable[i]), &value), ERR_INVAL);
    for (u32 i = 0; i < ARRAY_SIZE(unwritable); i++)
        assert_int_equal(msr_set(unwritable[i], 0), ERR_INVAL);
    for (u32 i = 0; i < ARRAY_SIZE(reserved); i++)
        assert_int_equal(msr_set(reserved[i].offset, reserved[i].value), ERR_INVAL);
    /* Not reserved, but read-only: they do nothing. */
    assert_int_equal(msr_set(LINT0, 0x15700), OK);
    assert_int_equal(lapic_msr_read(&vm->vcpu[0], X2(LINT0), &value), OK);
    assert_int_equal(value, 0x10700);
    assert_int_equal(msr_set(LVT_ERR, 0x11041), OK);
    assert_int_equal(msr_set(LVT_ERR, BIT(14)), ERR_INVAL);
}

/* The first id that xAPIC mode does not have, and the last one that it has. */
static void test_wide_ids(void **state)
{
    const u32 wide[] = {255, 300, 0x7fff};
    struct vcpu *v = &vm->vcpu[1];
    u64 value;

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(wide); i++) {
        create_anew(1, wide[i]);
        for (u32 again = 0; again < 2; again++, lapic_power_up(v->lapic)) {
            assert_int_equal(lapic_base_read(v->lapic), 0xfee00c00);
            assert_int_equal(version_at(1, LAPIC_BASE), 0xffffffff);
            assert_int_equal(lapic_msr_read(v, X2(ID), &value), 0);
            assert_int_equal(value, wide[i]);
            assert_int_equal(lapic_msr_read(v, X2(LDR), &value), 0);
            assert_int_equal(value, wide[i] >> 4 << 16 | BIT(wide[i] & 15));
        }
    }
    assert_int_equal(lapic_id(v->lapic), 0x7fff);
    assert_int_equal(lapic_base_write(v->lapic, LAPIC_BASE), 0); /* what is left of it in xAPIC mode */
    assert_int_equal(lapic_base_write(v->lapic, LAPIC_BASE | LAPIC_BASE_ENABLE), 0);
    assert_int_equal(get_of(1, ID), 0xff000000);
    v = &vm->vcpu[2];
    create_anew(2, 254);
    assert_int_equal(lapic_base_read(v->lapic), 0xfee00800);
    assert_int_equal(get_of(2, ID), 254u << 24);
}

static void test_creation_fails(void **state)
{
    (void)state;
    vm->allocs_left = 0;
    assert_null(create_anew(0, 0));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lapic_setup, lapic_teardown)
    const struct CMUnitTest tests[] = {
        T(test_power_up),
        T(test_priorities),
        T(test_task_priority),
        T(test_extreme_vectors),
        T(test_illegal_received_vector),
        T(test_reserved_registers),
        T(test_access_sizes),
        T(test_writable_bits),
        T(test_software_disabled),
        T(test_extint),
        T(test_local_pins),
        T(test_base_transitions),
        T(test_base_moves),
        T(test_base_in_ram),
        T(test_eoi_broadcast),
        T(test_globally_disabled),
        T(test_init_keeps_mode),
        T(test_x2_registers),
        T(test_x2_faults),
        T(test_wide_ids),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
