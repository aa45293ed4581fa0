/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/pit.c vmm/bus.c tests/unit/fake_host.c tests/unit/fake_irq.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_irq.h"
#include "vmm/dev/pit.h"

static struct vm *vm;

static int setup(void **state)
{
    (void)state;
    fake_irq_clear();
    vm = fake_vm(1, 0);
    vm->hz = PIT_HZ * 1000ull; /* one PIT tick is 1000 */
    return !pit_create(vm);
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void program(u32 channel, u8 mode, u16 count)
{
    fake_out(vm, 0x43, channel << 6 | 0x30 | mode << 1);
    fake_out(vm, 0x40 + channel, count);
    fake_out(vm, 0x40 + channel, count >> 8);
}

static void pass(u64 pit_ticks)
{
    fake_run_until(vm, vm->now + pit_ticks * 1000);
}

static u16 read16(u32 channel)
{
    u16 low = fake_in(vm, 0x40 + channel);

    return low | fake_in(vm, 0x40 + channel) << 8;
}

static bool out2(void)
{
    return fake_in(vm, 0x61) & 0x20;
}

static void test_silent_until_programmed(void **state)
{
    (void)state;
    pass(1000000);
    assert_int_equal(fake_irq_edges[0], 0);
}

static void test_rate_generator_ticks(void **state)
{
    (void)state;
    program(0, 2, 1000);
    pass(999);
    assert_int_equal(fake_irq_edges[0], 0);
    pass(1);
    assert_int_equal(fake_irq_edges[0], 1);
    pass(9000);
    assert_int_equal(fake_irq_edges[0], 10);
    assert_true(fake_irq_level[0]);
}

/* A clock whose rate is no multiple of the PIT's must not make it drift. */
static void test_no_drift(void **state)
{
    (void)state;
    vm->hz = 2999999999;
    program(0, 2, 1193);
    fake_run_until(vm, vm->hz * 100);
    assert_int_equal(fake_irq_edges[0], 100ull * PIT_HZ / 1193);
}

static void test_late_ticks_coalesce(void **state)
{
    (void)state;
    program(0, 3, 1000);
    vm->now += 5500 * 1000; /* nobody looks after the timer */
    pass(0);
    assert_int_equal(fake_irq_edges[0], 1);
    pass(499);
    assert_int_equal(fake_irq_edges[0], 1);
    pass(1); /* and the phase is kept */
    assert_int_equal(fake_irq_edges[0], 2);
}

static void test_fastest_rate_is_bounded(void **state)
{
    (void)state;
    program(0, 2, 1);
    pass(PIT_HZ);
    assert_in_range(fake_irq_edges[0], 1000, 50001);
}

static void test_one_shot(void **state)
{
    (void)state;
    program(0, 0, 500);
    assert_false(fake_irq_level[0]);
    pass(499);
    assert_int_equal(fake_irq_edges[0], 0);
    pass(1);
    assert_int_equal(fake_irq_edges[0], 1);
    pass(100000);
    assert_int_equal(fake_irq_edges[0], 1);
    program(0, 4, 500);
    pass(502);
    assert_int_equal(fake_irq_edges[0], 2);
    pass(100000);
    assert_int_equal(fake_irq_edges[0], 2);
}

static void test_reprogramming_cancels(void **state)
{
    (void)state;
    program(0, 2, 1000);
    pass(500);
    fake_out(vm, 0x43, 0x30);
    pass(10000);
    assert_int_equal(fake_irq_edges[0], 0);
    fake_out(vm, 0x40, 10); /* the first of two bytes does not start it */
    pass(10000);
    assert_int_equal(fake_irq_edges[0], 0);
    fake_out(vm, 0x40, 0);
    pass(10);
    assert_int_equal(fake_irq_edges[0], 1);
}

static void test_hardware_triggered_modes_never_fire_on_channel_0(void **state)
{
    (void)state;
    program(0, 1, 10);
    pass(100000);
    program(0, 5, 10);
    pass(100000);
    assert_int_equal(fake_irq_edges[0], 0);
}

static void test_counts_down(void **state)
{
    (void)state;
    program(0, 2, 1000);
    assert_int_equal(read16(0), 1000);
    pass(1);
    assert_int_equal(read16(0), 999);
    pass(998);
    assert_int_equal(read16(0), 1);
    pass(1);
    assert_int_equal(read16(0), 1000);
    program(0, 3, 1000); /* by twos */
    pass(100);
    assert_int_equal(read16(0), 800);
    program(1, 0, 3);
    pass(5);
    assert_int_equal(read16(1), 0xfffe); /* goes on below 0 */
    program(0, 2, 0);                    /* 0x10000 */
    pass(1);
    assert_int_equal(read16(0), 0xffff);
}

static void test_latch(void **state)
{
    (void)state;
    program(0, 2, 1000);
    pass(100);
    fake_out(vm, 0x43, 0x00);
    pass(100);
    fake_out(vm, 0x43, 0x00); /* ignored until the first was read */
    pass(100);
    assert_int_equal(read16(0), 900);
    assert_int_equal(read16(0), 700);
}

static void test_single_byte_access(void **state)
{
    (void)state;
    fake_out(vm, 0x43, 0x14); /* low byte, mode 2 */
    fake_out(vm, 0x40, 200);
    pass(50);
    assert_int_equal(fake_in(vm, 0x40), 150);
    assert_int_equal(fake_in(vm, 0x40), 150);
    fake_out(vm, 0x43, 0x24); /* high byte, mode 2 */
    fake_out(vm, 0x40, 2);
    pass(0x80);
    assert_int_equal(fake_in(vm, 0x40), 1);
    pass(0x200);
    assert_true(fake_irq_edges[0] > 0);
}

static void test_read_back(void **state)
{
    (void)state;
    fake_out(vm, 0x43, 0x34);
    fake_out(vm, 0x43, 0xe2);                  /* status of channel 0 */
    assert_int_equal(fake_in(vm, 0x40), 0xf4); /* output high, null count */
    program(0, 0, 1000);
    pass(10);
    fake_out(vm, 0x43, 0xc2); /* status and count */
    pass(10);
    assert_int_equal(fake_in(vm, 0x40), 0x30); /* output low, counting */
    assert_int_equal(read16(0), 990);
    pass(1000);
    fake_out(vm, 0x43, 0xee); /* status of all */
    assert_int_equal(fake_in(vm, 0x40), 0xb0);
    assert_int_equal(fake_in(vm, 0x41) & 0x40, 0x40);
    assert_int_equal(fake_in(vm, 0x43), 0xff);
}

static void test_bcd(void **state)
{
    (void)state;
    fake_out(vm, 0x43, 0x35);
    fake_out(vm, 0x40, 0x00);
    fake_out(vm, 0x40, 0x10); /* 1000 */
    pass(1);
    assert_int_equal(read16(0), 0x0999);
    pass(999);
    assert_int_equal(fake_irq_edges[0], 1);
    fake_out(vm, 0x43, 0x35);
    fake_out(vm, 0x40, 0x00);
    fake_out(vm, 0x40, 0x00); /* 10000 */
    assert_int_equal(read16(0), 0);
    pass(1);
    assert_int_equal(read16(0), 0x9999);
}

/* How Linux calibrates its clock: channel 2 in mode 0, gated by port 0x61, polled there or by its count. */
static void test_calibration(void **state)
{
    (void)state;
    fake_out(vm, 0x61, 0x01);
    program(2, 0, 5000);
    assert_int_equal(fake_in(vm, 0x61) & 0x23, 0x01);
    pass(4999);
    assert_false(out2());
    pass(1);
    assert_true(out2());
    program(2, 0, 0xffff);
    assert_false(out2());
    pass(0x100);
    assert_int_equal(read16(2), 0xfeff);
}

static void test_gate_pauses(void **state)
{
    (void)state;
    program(2, 0, 1000); /* the gate is low */
    pass(5000);
    assert_int_equal(read16(2), 1000);
    fake_out(vm, 0x61, 0x03);
    pass(300);
    fake_out(vm, 0x61, 0x02);
    pass(5000);
    assert_int_equal(read16(2), 700);
    assert_int_equal(fake_in(vm, 0x61) & 0x23, 0x02);
    fake_out(vm, 0x61, 0x01);
    pass(700);
    assert_true(out2());
    program(2, 2, 1000);
    pass(300);
    fake_out(vm, 0x61, 0x00);
    assert_true(out2());
    fake_out(vm, 0x61, 0x01); /* starts anew */
    pass(1);
    assert_int_equal(read16(2), 999);
}

static void test_gate_triggers(void **state)
{
    (void)state;
    program(2, 1, 100);
    assert_true(out2());
    pass(1000);
    assert_int_equal(read16(2), 100);
    fake_out(vm, 0x61, 0x01);
    pass(50);
    assert_false(out2());
    fake_out(vm, 0x61, 0x00);
    fake_out(vm, 0x61, 0x01); /* again, in full */
    pass(99);
    assert_false(out2());
    pass(1);
    assert_true(out2());
    fake_out(vm, 0x61, 0x00);
    program(2, 5, 100);
    fake_out(vm, 0x61, 0x01);
    pass(99);
    assert_true(out2());
    pass(1);
    assert_false(out2());
    pass(1);
    assert_true(out2());
}

static void test_outputs(void **state)
{
    (void)state;
    fake_out(vm, 0x61, 0x01);
    program(2, 3, 10);
    pass(4);
    assert_true(out2());
    pass(1);
    assert_false(out2());
    pass(5);
    assert_true(out2());
    program(2, 2, 10);
    pass(8);
    assert_true(out2());
    pass(1);
    assert_false(out2());
    program(2, 4, 10);
    pass(9);
    assert_true(out2());
    pass(1);
    assert_false(out2());
    pass(1);
    assert_true(out2());
}

static void write_count(u32 channel, u16 count)
{
    fake_out(vm, 0x40 + channel, count);
    fake_out(vm, 0x40 + channel, count >> 8);
}

static bool null_count(u32 channel)
{
    fake_out(vm, 0x43, 0xe0 | 2u << channel);
    return fake_in(vm, 0x40 + channel) & 0x40;
}

static void test_new_rate_after_the_period(void **state)
{
    (void)state;
    program(0, 2, 1000);
    pass(2300);
    write_count(0, 100);
    write_count(0, 400); /* the last one written */
    assert_true(null_count(0));
    assert_int_equal(read16(0), 700);
    pass(699);
    assert_int_equal(fake_irq_edges[0], 2);
    assert_true(null_count(0));
    pass(1);
    assert_int_equal(fake_irq_edges[0], 3);
    assert_false(null_count(0));
    assert_int_equal(read16(0), 400);
    pass(399);
    assert_int_equal(fake_irq_edges[0], 3);
    pass(1);
    assert_int_equal(fake_irq_edges[0], 4);
    write_count(0, 50);     /* in the clock that reloads it */
    vm->now += 1000 * 1000; /* and nobody looks after the timer */
    assert_int_equal(read16(0), 50);
    assert_false(null_count(0));
}

static void test_new_square_wave_after_the_half(void **state)
{
    (void)state;
    program(0, 3, 1000);
    pass(1100); /* high */
    write_count(0, 200);
    pass(399);
    assert_true(null_count(0));
    assert_int_equal(read16(0), 2);
    pass(1);
    assert_false(null_count(0));
    assert_int_equal(read16(0), 200);
    pass(99); /* a low half of the new one, then the edge */
    assert_int_equal(fake_irq_edges[0], 1);
    pass(1);
    assert_int_equal(fake_irq_edges[0], 2);
    pass(150); /* low */
    write_count(0, 1000);
    pass(50);
    assert_int_equal(fake_irq_edges[0], 3);
    pass(999);
    assert_int_equal(fake_irq_edges[0], 3);
    pass(1);
    assert_int_equal(fake_irq_edges[0], 4);
}

/* 'MODE 3: SQUARE WAVE MODE', a count of 5: three clocks high, two low. */
static void test_odd_square_wave(void **state)
{
    static const u8 counts[] = {4, 2, 0, 4, 2};

    (void)state;
    fake_out(vm, 0x61, 0x01);
    program(2, 3, 5);
    for (u32 i = 0; i < 20; i++, pass(1)) {
        assert_int_equal(read16(2), counts[i % 5]);
        assert_int_equal(out2(), i % 5 < 3);
    }
    pass(1);
    write_count(2, 8);
    pass(2);
    for (u32 i = 0; i < 16; i++, pass(1)) {
        assert_int_equal(read16(2), 8 - i % 4 * 2);
        assert_int_equal(out2(), i / 4 & 1);
    }
}

static void test_new_rate_at_a_trigger(void **state)
{
    (void)state;
    fake_out(vm, 0x61, 0x01);
    program(2, 2, 1000);
    pass(300);
    write_count(2, 500);
    fake_out(vm, 0x61, 0x00);
    pass(5000); /* no period ends while it is stopped */
    assert_true(null_count(2));
    assert_int_equal(read16(2), 700);
    fake_out(vm, 0x61, 0x01);
    assert_false(null_count(2));
    assert_int_equal(read16(2), 500);
    pass(501);
    assert_int_equal(read16(2), 499);
}

static void test_new_one_shot_at_the_next_trigger(void **state)
{
    (void)state;
    for (u32 mode = 1; mode <= 5; mode += 4) {
        fake_out(vm, 0x61, 0x00);
        program(2, mode, 100);
        assert_true(null_count(2));
        fake_out(vm, 0x61, 0x01);
        assert_false(null_count(2));
        pass(50);
        write_count(2, 30);
        assert_true(null_count(2));
        assert_int_equal(read16(2), 50);
        pass(50);
        assert_int_equal(out2(), mode == 1);
        assert_true(null_count(2));
        pass(1);
        assert_true(out2());
        fake_out(vm, 0x61, 0x00);
        fake_out(vm, 0x61, 0x01);
        assert_false(null_count(2));
        pass(30);
        assert_int_equal(read16(2), 0);
        assert_int_equal(out2(), mode == 1);
    }
}

/* Modes 0 and 4 take a new count at once; mode 0's first byte stops it where it is. */
static void test_new_count_at_once(void **state)
{
    (void)state;
    fake_out(vm, 0x61, 0x01);
    program(2, 0, 1000);
    pass(300);
    fake_out(vm, 0x42, 0x20);
    pass(300);
    assert_int_equal(read16(2), 700);
    assert_false(null_count(2));
    fake_out(vm, 0x42, 0x00);
    pass(0x1f);
    assert_false(out2());
    pass(1);
    assert_true(out2());
    program(2, 4, 1000);
    pass(300);
    write_count(2, 20);
    assert_false(null_count(2));
    pass(20);
    assert_false(out2());
}

static void test_refresh_toggles(void **state)
{
    u8 before = fake_in(vm, 0x61) & 0x10;

    (void)state;
    pass(18);
    assert_int_not_equal(fake_in(vm, 0x61) & 0x10, before);
    pass(18);
    assert_int_equal(fake_in(vm, 0x61) & 0x10, before);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_silent_until_programmed),
        T(test_rate_generator_ticks),
        T(test_no_drift),
        T(test_late_ticks_coalesce),
        T(test_fastest_rate_is_bounded),
        T(test_one_shot),
        T(test_reprogramming_cancels),
        T(test_hardware_triggered_modes_never_fire_on_channel_0),
        T(test_counts_down),
        T(test_latch),
        T(test_single_byte_access),
        T(test_read_back),
        T(test_bcd),
        T(test_calibration),
        T(test_gate_pauses),
        T(test_gate_triggers),
        T(test_outputs),
        T(test_new_rate_after_the_period),
        T(test_new_square_wave_after_the_half),
        T(test_odd_square_wave),
        T(test_new_rate_at_a_trigger),
        T(test_new_one_shot_at_the_next_trigger),
        T(test_new_count_at_once),
        T(test_refresh_toggles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
