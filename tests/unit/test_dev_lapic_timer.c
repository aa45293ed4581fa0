/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: tests/unit/fake_host.c tests/unit/lapic_test.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/lapic_test.h"

static void test_timer_one_shot(void **state)
{
    (void)state;
    set(DIVIDE, 0xb); /* by 1 */
    set(LVT, 0x40);
    set(INITIAL, 1000);
    fake_run_until(vm, 400);
    assert_int_equal(get(CURRENT), 600);
    fake_run_until(vm, 999);
    assert_int_equal(pending(0), -1);
    fake_run_until(vm, 1000);
    assert_int_equal(pending(0), 0x40);
    assert_int_equal(get(CURRENT), 0);
    assert_int_equal(get(INITIAL), 1000);
    lapic_ack(l, 0x40);
    set(EOI, 0);
    fake_run_until(vm, 100000);
    assert_int_equal(pending(0), -1);
    set(INITIAL, 1000);
    set(INITIAL, 0); /* stops */
    fake_run_until(vm, 200000);
    assert_int_equal(pending(0), -1);
    assert_int_equal(get(CURRENT), 0);
}

static void test_timer_divides(void **state)
{
    static const struct {
        u32 code, by;
    } cases[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

    (void)state;
    set(LVT, 0x40);
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 start = vm->now, whole = 1000ull * cases[i].by;

        set(DIVIDE, cases[i].code);
        set(INITIAL, 1000);
        fake_run_until(vm, start + whole / 4);
        assert_int_equal(get(CURRENT), 750);
        fake_run_until(vm, start + whole - 1);
        assert_int_equal(pending(0), -1);
        fake_run_until(vm, start + whole);
        assert_int_equal(pending(0), 0x40);
        lapic_ack(l, 0x40);
        set(EOI, 0);
    }
}

static void test_timer_divide_changes_underway(void **state)
{
    (void)state;
    set(DIVIDE, 0xb);
    set(LVT, 0x40);
    set(INITIAL, 1000);
    fake_run_until(vm, 500);
    set(DIVIDE, 0); /* the other 500 at half the rate */
    assert_int_equal(get(CURRENT), 500);
    fake_run_until(vm, 1499);
    assert_int_equal(pending(0), -1);
    fake_run_until(vm, 1500);
    assert_int_equal(pending(0), 0x40);
}

static u32 count_ticks(u64 until)
{
    u32 ticks = 0;

    while (vm->now < until) {
        fake_run_until(vm, vm->now + 1000);
        if (pending(0) >= 0) {
            ticks++;
            lapic_ack(l, pending(0));
            set(EOI, 0);
        }
    }
    return ticks;
}

static void test_timer_periodic(void **state)
{
    (void)state;
    set(DIVIDE, 0xb);
    set(LVT, 0x20040);
    set(INITIAL, 30001);
    fake_run_until(vm, 30001 + 10);
    assert_int_equal(get(CURRENT), 30001 - 10);
    assert_int_equal(count_ticks(30001ull * 1000 + 2000), 1000);
    vm->now += 30001 * 10 + 50; /* late: one interrupt, the phase stays */
    assert_int_equal(count_ticks(vm->now + 5000), 1);
    assert_int_equal(get(CURRENT), 30001 - vm->now % 30001);
    set(LVT, 0x30040); /* masked, it counts all the same */
    assert_int_equal(count_ticks(vm->now + 100000), 0);
    assert_int_not_equal(get(CURRENT), 0);
}

static void test_timer_shortest_period(void **state)
{
    (void)state;
    set(DIVIDE, 0xb);
    set(LVT, 0x20040);
    set(INITIAL, 1);
    assert_in_range(count_ticks(vm->hz / 10), 100, 5001);
}

static void test_timer_deadline(void **state)
{
    (void)state;
    lapic_deadline_write(l, 1000); /* another mode: ignored */
    assert_int_equal(lapic_deadline_read(l), 0);
    set(LVT, 0x40040);
    set(INITIAL, 100); /* ignored in this one */
    assert_int_equal(get(INITIAL), 0);
    lapic_deadline_write(l, 1000);
    assert_int_equal(lapic_deadline_read(l), 1000);
    assert_int_equal(get(CURRENT), 0);
    fake_run_until(vm, 999);
    assert_int_equal(pending(0), -1);
    fake_run_until(vm, 1000);
    assert_int_equal(pending(0), 0x40);
    assert_int_equal(lapic_deadline_read(l), 0);
    lapic_ack(l, 0x40);
    set(EOI, 0);
    lapic_deadline_write(l, 500); /* in the past */
    fake_run_until(vm, 1001);
    assert_int_equal(pending(0), 0x40);
    lapic_ack(l, 0x40);
    set(EOI, 0);
    lapic_deadline_write(l, 2000);
    lapic_deadline_write(l, 0); /* disarms */
    lapic_deadline_write(l, 3000);
    set(LVT, 0x40); /* so does leaving the mode */
    assert_int_equal(lapic_deadline_read(l), 0);
    fake_run_until(vm, 5000);
    assert_int_equal(pending(0), -1);
    set(LVT, 0x40040);
    lapic_deadline_write(l, ~0ull);
    fake_run_until(vm, 1000000);
    assert_int_equal(pending(0), -1);
}

static void test_timer_deadline_with_tsc_offset(void **state)
{
    (void)state;
    set(LVT, 0x40040);
    lapic_set_tsc_offset(l, 5000); /* the TSC is ahead of VM time */
    lapic_deadline_write(l, 6000);
    fake_run_until(vm, 999);
    assert_int_equal(pending(0), -1);
    lapic_set_tsc_offset(l, 1000); /* less so now */
    fake_run_until(vm, 4999);
    assert_int_equal(pending(0), -1);
    fake_run_until(vm, 5000);
    assert_int_equal(pending(0), 0x40);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lapic_setup, lapic_teardown)
    const struct CMUnitTest tests[] = {
        T(test_timer_one_shot),
        T(test_timer_divides),
        T(test_timer_divide_changes_underway),
        T(test_timer_periodic),
        T(test_timer_shortest_period),
        T(test_timer_deadline),
        T(test_timer_deadline_with_tsc_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
