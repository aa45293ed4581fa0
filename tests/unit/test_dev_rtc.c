/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/rtc.c vmm/bus.c tests/unit/fake_host.c tests/unit/fake_irq.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <time.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_irq.h"
#include "vmm/dev/rtc.h"

#define IRQ  8
#define BASE 1767225599ull /* 2025-12-31 23:59:59, a Wednesday */

enum {
    SEC,
    SEC_ALARM,
    MIN_,
    MIN_ALARM,
    HOUR,
    HOUR_ALARM,
    WDAY,
    DAY,
    MONTH,
    YEAR,
    A,
    B,
    C,
    D,
    CENTURY = 0x32
};

static struct vm *vm;

static u8 get(u8 reg)
{
    fake_out(vm, 0x70, reg);
    return fake_in(vm, 0x71);
}

static void set(u8 reg, u8 value)
{
    fake_out(vm, 0x70, reg);
    fake_out(vm, 0x71, value);
}

static void create(u64 utc, u64 memory)
{
    fake_irq_clear();
    vm = fake_vm(1, 0);
    assert_non_null(rtc_create(vm, utc, memory));
}

static int setup(void **state)
{
    (void)state;
    create(BASE, MiB(64));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void pass_ms(u64 ms)
{
    fake_run_until(vm, vm->now + ms * (vm->hz / 1000));
}

static void check_time(u32 century, u32 year, u32 month, u32 day, u32 hour, u32 minute, u32 second)
{
    assert_int_equal(get(CENTURY), century);
    assert_int_equal(get(YEAR), year);
    assert_int_equal(get(MONTH), month);
    assert_int_equal(get(DAY), day);
    assert_int_equal(get(HOUR), hour);
    assert_int_equal(get(MIN_), minute);
    assert_int_equal(get(SEC), second);
}

static void test_clock_goes(void **state)
{
    (void)state;
    check_time(0x20, 0x25, 0x12, 0x31, 0x23, 0x59, 0x59);
    assert_int_equal(get(WDAY), 4);
    pass_ms(999);
    check_time(0x20, 0x25, 0x12, 0x31, 0x23, 0x59, 0x59);
    pass_ms(1);
    check_time(0x20, 0x26, 0x01, 0x01, 0x00, 0x00, 0x00);
    assert_int_equal(get(WDAY), 5);
    assert_int_equal(get(D), 0x80);
    assert_int_equal(fake_in(vm, 0x70), 0xff);
}

/* Days from 1970 to 2105, against libc. */
static void test_calendar(void **state)
{
    (void)state;
    set(B, 0x06);
    for (u64 day = 0; day < 136 * 365; day += 13) {
        time_t t = day * 86400 + day % 86400;
        struct tm tm;

        fake_vm_free(vm);
        create(t, MiB(64));
        set(B, 0x06);
        gmtime_r(&t, &tm);
        assert_int_equal(get(WDAY), tm.tm_wday + 1);
        check_time((tm.tm_year + 1900) / 100, tm.tm_year % 100, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                   tm.tm_min, tm.tm_sec);
    }
}

static void test_formats(void **state)
{
    (void)state;
    set(B, 0x06);
    check_time(20, 25, 12, 31, 23, 59, 59);
    set(B, 0x04);
    assert_int_equal(get(HOUR), 0x8b); /* 11 in the afternoon */
    set(B, 0x00);
    assert_int_equal(get(HOUR), 0x91);
    pass_ms(1000);
    assert_int_equal(get(HOUR), 0x12); /* midnight */
    pass_ms(12 * 3600 * 1000);
    assert_int_equal(get(HOUR), 0x92); /* noon */
}

static void set_time(u8 century, u8 year, u8 month, u8 day, u8 hour, u8 minute, u8 second)
{
    set(CENTURY, century);
    set(YEAR, year);
    set(MONTH, month);
    set(DAY, day);
    set(HOUR, hour);
    set(MIN_, minute);
    set(SEC, second);
}

static void test_setting(void **state)
{
    (void)state;
    set(B, 0x82);
    set_time(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58);
    pass_ms(5000); /* it stands still */
    check_time(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58);
    set(B, 0x02);
    pass_ms(2000);
    check_time(0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00);
    pass_ms(86400 * 1000);
    check_time(0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00);
    set(MIN_, 0x30); /* one register of the running clock */
    check_time(0x20, 0x24, 0x03, 0x01, 0x00, 0x30, 0x00);
    set(B, 0x84); /* the other formats, while it stands */
    set_time(20, 24, 2, 28, 0x80 | 12, 1, 2);
    set(B, 0x04);
    set(B, 0x06);
    check_time(20, 24, 2, 28, 12, 1, 2);
}

static void test_nonsense_times(void **state)
{
    (void)state;
    set(B, 0x86);
    set_time(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    set(B, 0x06);
    pass_ms(1500);
    assert_in_range(get(MONTH), 1, 12);
    assert_in_range(get(DAY), 1, 31);
    assert_in_range(get(SEC), 0, 59);
    set(B, 0x86);
    set_time(0, 0, 0, 0, 0, 0, 0);
    set(B, 0x06);
    check_time(19, 70, 1, 1, 0, 0, 0);
}

static void test_update_in_progress(void **state)
{
    (void)state;
    assert_int_equal(get(A), 0x26);
    pass_ms(997);
    assert_int_equal(get(A), 0x26);
    pass_ms(1);
    assert_int_equal(get(A), 0xa6);
    pass_ms(2);
    assert_int_equal(get(A), 0x26);
    set(B, 0x82);
    pass_ms(998);
    assert_int_equal(get(A), 0x26); /* no updates */
    set(A, 0xaf);
    assert_int_equal(get(A), 0x2f);
}

static void test_update_interrupt(void **state)
{
    (void)state;
    set(A, 0x20);          /* no periodic flag */
    set(HOUR_ALARM, 0x25); /* no alarm */
    pass_ms(1500);
    assert_int_equal(get(C), 0x10); /* the flag comes without the interrupt */
    assert_int_equal(get(C), 0);
    assert_int_equal(fake_irq_edges[IRQ], 0);
    set(B, 0x12);
    pass_ms(499);
    assert_false(fake_irq_level[IRQ]);
    pass_ms(1);
    assert_true(fake_irq_level[IRQ]);
    assert_int_equal(get(C), 0x90);
    assert_false(fake_irq_level[IRQ]);
    pass_ms(1000);
    assert_int_equal(fake_irq_edges[IRQ], 2);
    pass_ms(1000); /* not acknowledged: the line stays */
    assert_int_equal(fake_irq_edges[IRQ], 2);
    set(B, 0x92);
    assert_int_equal(get(B), 0x82); /* SET turns it off */
}

static void test_alarm(void **state)
{
    (void)state;
    set(A, 0x20); /* no periodic flag */
    set(B, 0x22);
    set(HOUR_ALARM, 0x00);
    set(MIN_ALARM, 0x01);
    set(SEC_ALARM, 0x30);
    pass_ms(90 * 1000);
    assert_false(fake_irq_level[IRQ]);
    pass_ms(1000);
    assert_true(fake_irq_level[IRQ]);
    assert_int_equal(get(C), 0xb0);
    set(HOUR_ALARM, 0xff); /* any hour */
    pass_ms(3600 * 1000);
    assert_int_equal(get(C), 0xb0);
    set(MIN_ALARM, 0xc0);
    set(SEC_ALARM, 0xff); /* any second */
    pass_ms(1000);
    assert_int_equal(get(C), 0xb0);
    set(HOUR_ALARM, 0x25); /* never */
    pass_ms(1000);
    assert_int_equal(get(C), 0x10);
}

/* Without its interrupt the alarm's flag is found out when it is asked for, however late. */
static void test_alarm_flag_late(void **state)
{
    (void)state;
    set(HOUR_ALARM, 0x05);
    set(MIN_ALARM, 0x00);
    set(SEC_ALARM, 0x00);
    get(C);
    vm->now += vm->hz * 86400 * 400;
    assert_int_equal(get(C), 0x30 | 0x40);
}

static void test_periodic(void **state)
{
    (void)state;
    set(A, 0x2d); /* 8 Hz */
    get(C);
    set(B, 0x42);
    pass_ms(124);
    assert_false(fake_irq_level[IRQ]);
    pass_ms(1);
    assert_true(fake_irq_level[IRQ]);
    assert_int_equal(get(C) & 0xc0, 0xc0);
    for (u32 i = 0; i < 80; i++) {
        pass_ms(125);
        assert_int_equal(get(C) & 0xc0, 0xc0);
    }
    assert_int_equal(fake_irq_edges[IRQ], 81);
    set(A, 0x20); /* off */
    pass_ms(1000);
    assert_int_equal(get(C) & 0xc0, 0);
    set(A, 0x21); /* rates 1 and 2 are those of 8 and 9 */
    get(C);
    pass_ms(4);
    assert_int_equal(get(C) & 0xc0, 0xc0);
    pass_ms(3);
    assert_int_equal(get(C) & 0xc0, 0x00);
}

/* The flag comes without the interrupt, which follows as soon as it is asked for. */
static void test_periodic_flag(void **state)
{
    (void)state;
    set(HOUR_ALARM, 0x25);
    set(A, 0x26);
    get(C);
    fake_run_until(vm, vm->hz / 1024 + 1);
    assert_int_equal(get(C), 0x40);
    assert_int_equal(get(C), 0);
    pass_ms(1);
    assert_false(fake_irq_level[IRQ]);
    set(B, 0x42);
    assert_true(fake_irq_level[IRQ]);
    set(B, 0x02); /* IRQF is what is wanted of what is there */
    assert_false(fake_irq_level[IRQ]);
    assert_int_equal(get(C), 0x40);
}

static void test_alarm_wildcards(void **state)
{
    (void)state;
    set(A, 0x20);
    set(B, 0x22);
    set(HOUR_ALARM, 0xbf); /* C0 to FF are wildcards */
    set(MIN_ALARM, 0xc0);
    set(SEC_ALARM, 0xc7);
    pass_ms(1000);
    assert_int_equal(get(C), 0x10);
    set(HOUR_ALARM, 0xc0);
    pass_ms(1000);
    assert_int_equal(get(C), 0xb0);
    set(SEC_ALARM, 0x10); /* once a minute */
    for (u32 i = 2; i < 200; i++) {
        pass_ms(1000);
        assert_int_equal(get(C), i % 60 == 10 ? 0xb0 : 0x10);
    }
    set(B, 0x82); /* no updates, no alarms */
    pass_ms(120000);
    assert_int_equal(get(C), 0);
}

/* How Linux sets the clock to half a second. */
static void test_divider_reset(void **state)
{
    (void)state;
    set(HOUR_ALARM, 0x25);
    pass_ms(300);
    set(B, 0x92);
    set(A, 0x76);
    set_time(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58);
    set(B, 0x02);
    get(C);
    pass_ms(5000); /* it stands, and so do all of its taps */
    assert_int_equal(get(A), 0x76);
    assert_int_equal(get(C), 0);
    set(SEC, 0x59);
    check_time(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x59);
    set(B, 0x52);
    set(A, 0x2f); /* half a second is one period of it */
    assert_int_equal(get(C), 0);
    pass_ms(497);
    assert_int_equal(get(A), 0x2f);
    pass_ms(1);
    assert_int_equal(get(A), 0xaf);
    check_time(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x59);
    assert_false(fake_irq_level[IRQ]);
    pass_ms(2);
    check_time(0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00);
    assert_int_equal(get(C), 0xd0);
    pass_ms(999);
    assert_int_equal(get(SEC), 0x00);
    pass_ms(1);
    assert_int_equal(get(SEC), 0x01);
    assert_int_equal(fake_irq_edges[IRQ], 2);
}

/* A reset that begins and ends within SET counts as well. */
static void test_divider_reset_while_set(void **state)
{
    (void)state;
    pass_ms(900);
    set(B, 0x82);
    set(A, 0x66);
    set(A, 0x26);
    pass_ms(200);
    set(B, 0x02);
    pass_ms(299);
    assert_int_equal(get(SEC), 0x59);
    pass_ms(1);
    assert_int_equal(get(SEC), 0x00);
}

static void test_no_time_base(void **state)
{
    static const u8 values[] = {0x06, 0x16, 0x36, 0x46, 0x56};

    (void)state;
    set(HOUR_ALARM, 0x25);
    pass_ms(700);
    set(B, 0x52);
    for (u32 i = 0; i < sizeof(values); i++) {
        set(A, values[i]);
        get(C);
        pass_ms(2000);
        assert_int_equal(get(C), 0);
        check_time(0x20, 0x25, 0x12, 0x31, 0x23, 0x59, 0x59);
    }
    set(A, 0x20); /* it goes on where it stood */
    pass_ms(299);
    assert_int_equal(get(SEC), 0x59);
    pass_ms(1);
    assert_int_equal(get(SEC), 0x00);
    assert_int_equal(get(C), 0x90);
}

/* Writing the seconds leaves the divider chain alone. */
static void test_seconds_keep_the_phase(void **state)
{
    (void)state;
    pass_ms(700);
    set(SEC, 0x10);
    pass_ms(299);
    assert_int_equal(get(SEC), 0x10);
    pass_ms(1);
    assert_int_equal(get(SEC), 0x11);
}

static void test_memory_sizes(void **state)
{
    (void)state;
    assert_int_equal(get(0x15) | get(0x16) << 8, 640);
    assert_int_equal(get(0x17) | get(0x18) << 8, 63 * 1024);
    assert_int_equal(get(0x30) | get(0x31) << 8, 63 * 1024);
    assert_int_equal(get(0x34) | get(0x35) << 8, 48 * 16);
    assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0);
    fake_vm_free(vm);
    create(BASE, GiB(5));
    assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
    assert_int_equal(get(0x34) | get(0x35) << 8, (GiB(3) - MiB(16)) / KiB(64));
    assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, GiB(2) / KiB(64));
    fake_vm_free(vm);
    create(BASE, KiB(512));
    assert_int_equal(get(0x15) | get(0x16) << 8, 512);
    assert_int_equal(get(0x17) | get(0x18) << 8, 0);
}

static void test_memory_and_ports(void **state)
{
    (void)state;
    set(0x7f, 0x5a);
    assert_int_equal(get(0xff), 0x5a); /* bit 7 is no part of the index */
    set(C, 0xff);
    set(D, 0x00);
    assert_int_equal(get(C), 0);
    assert_int_equal(get(D), 0x80);
    bus_write(&vm->vcpu[0].pio, 0x70, 2, 0x7740); /* index and data at once */
    assert_int_equal(get(0x40), 0x77);
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(rtc_create(vm, 0, 0));
    vm->allocs_left = 0;
    fake_remove_devices(vm);
    assert_null(rtc_create(vm, 0, 0));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_clock_goes),       T(test_calendar),
        T(test_formats),          T(test_setting),
        T(test_nonsense_times),   T(test_update_in_progress),
        T(test_update_interrupt), T(test_alarm),
        T(test_alarm_flag_late),  T(test_periodic),
        T(test_memory_sizes),     T(test_memory_and_ports),
        T(test_periodic_flag),    T(test_alarm_wildcards),
        T(test_divider_reset),    T(test_divider_reset_while_set),
        T(test_no_time_base),     T(test_seconds_keep_the_phase),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
