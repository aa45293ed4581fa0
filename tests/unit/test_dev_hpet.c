/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/hpet.c vmm/bus.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/fake_host.h"
#include "vmm/dev/hpet.h"
#include "vmm/dev/irq.h"

#define CONFIG      0x10
#define STATUS      0x20
#define COUNTER     0xf0
#define T_CONFIG(n) (0x100 + 0x20 * (n))
#define T_COMP(n)   (0x108 + 0x20 * (n))
#define LEVEL       BIT(1)
#define ON          BIT(2)
#define PERIODIC    BIT(3)
#define VALUE_SET   BIT(6)
#define ONLY32      BIT(8)
#define ROUTE(pin)  ((u64)(pin) << 9)
#define TICK        100 /* ns, which the fake VM's time is in */

static struct vm *vm;
static struct hpet *hpet;
static bool line[32]; /* inputs of the I/O APIC; legacy IRQ 0 is 0, IRQ 8 is 8 */
static u32 edges[32];

static void set_line(u32 pin, bool level)
{
    assert_in_range(pin, 0, 23);
    edges[pin] += level && !line[pin];
    line[pin] = level;
}

void irq_set_legacy(struct vm *of, u32 irq, bool level)
{
    (void)of;
    assert_true(irq == 0 || irq == 8);
    set_line(irq, level);
}

void irq_set_input(struct vm *of, u32 pin, bool level)
{
    (void)of;
    assert_true(pin >= 20);
    set_line(pin, level);
}

static u64 get(u32 reg)
{
    return bus_read(&vm->vcpu[0].mmio, HPET_BASE + reg, 8);
}

static void set(u32 reg, u64 value)
{
    bus_write(&vm->vcpu[0].mmio, HPET_BASE + reg, 8, value);
}

static void set32(u32 reg, u32 value)
{
    bus_write(&vm->vcpu[0].mmio, HPET_BASE + reg, 4, value);
}

static void at(u64 ticks)
{
    fake_run_until(vm, ticks * TICK);
}

static int setup(void **state)
{
    (void)state;
    memset(line, 0, sizeof(line));
    memset(edges, 0, sizeof(edges));
    vm = fake_vm(1, 0);
    hpet = hpet_create(vm);
    return !hpet;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void test_capabilities(void **state)
{
    (void)state;
    assert_int_equal(get(0), 0x05f5e1008086a201); /* 100 ns, Intel, legacy, 64 bits, 3 timers, revision 1 */
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, HPET_BASE + 4, 4), 0x05f5e100);
    set(0, 0);
    assert_int_equal(get(0), 0x05f5e1008086a201);
    assert_int_equal(get(T_CONFIG(2)), 0x00f0000000000030);
    set(T_CONFIG(2), ~0ull & ~ON);
    assert_int_equal(get(T_CONFIG(2)), 0x00f000000000317a | 0xe00);
    assert_int_equal(get(T_CONFIG(3)), 0);
    set(T_CONFIG(3), 4);
    set(0x3f8, 4);
}

static void test_counter(void **state)
{
    (void)state;
    at(1000);
    assert_int_equal(get(COUNTER), 0); /* stands */
    set(COUNTER, 0x1fffffff0);
    set(CONFIG, 1);
    assert_int_equal(get(COUNTER), 0x1fffffff0);
    at(1016);
    assert_int_equal(get(COUNTER), 0x200000000);
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, HPET_BASE + COUNTER + 4, 4), 2);
    set(CONFIG, 0);
    at(5000);
    assert_int_equal(get(COUNTER), 0x200000000);
    set32(COUNTER, 7);
    assert_int_equal(get(COUNTER), 0x200000007);
    set32(COUNTER + 4, 1);
    assert_int_equal(get(COUNTER), 0x100000007);
    bus_write(&vm->vcpu[0].mmio, HPET_BASE + COUNTER, 2, 0xffff); /* too small, and unaligned: ignored */
    bus_write(&vm->vcpu[0].mmio, HPET_BASE + COUNTER + 2, 4, 0xffff);
    assert_int_equal(get(COUNTER), 0x100000007);
}

static void test_one_shot(void **state)
{
    (void)state;
    set(T_COMP(0), 100);
    set(T_CONFIG(0), ON | ROUTE(20));
    set(T_COMP(1), 200);
    set(T_CONFIG(1), ON | ROUTE(23));
    set(T_COMP(2), 100);
    set(T_CONFIG(2), ROUTE(21)); /* not on */
    at(50);
    set(CONFIG, 1);
    at(149);
    assert_int_equal(edges[20], 0);
    at(150);
    assert_int_equal(edges[20], 1);
    assert_int_equal(get(STATUS), 0); /* edge */
    at(1000000);
    assert_int_equal(edges[20], 1);
    assert_int_equal(edges[23], 1);
    assert_int_equal(edges[21], 0);
    set(T_COMP(0), 1000000); /* again; the line is still high */
    at(2000000);
    assert_int_equal(edges[20], 2);
    set(T_COMP(1), 10); /* in the past */
    at(3000000);
    assert_int_equal(edges[23], 1);
}

static void test_periodic(void **state)
{
    (void)state;
    set(CONFIG, 1);
    set(T_CONFIG(0), ON | PERIODIC | VALUE_SET | ROUTE(20));
    set(T_COMP(0), 1500);
    assert_int_equal(get(T_CONFIG(0)) & VALUE_SET, 0);
    set(T_COMP(0), 1000);
    assert_int_equal(get(T_COMP(0)), 1500);
    for (u32 i = 0; i < 10; i++) {
        at(1499 + 1000 * i);
        assert_int_equal(edges[20], i);
        at(1500 + 1000 * i);
        assert_int_equal(edges[20], i + 1);
        assert_int_equal(get(T_COMP(0)), 2500 + 1000 * i);
    }
    set(T_CONFIG(0), PERIODIC | ROUTE(20)); /* off: it goes on, silently */
    at(100000);
    assert_int_equal(edges[20], 10);
    assert_int_equal(get(T_COMP(0)), 100500);
    vm->now = 200000 * TICK; /* late: one for all */
    set(T_CONFIG(0), ON | PERIODIC | ROUTE(20));
    at(200501);
    assert_int_equal(edges[20], 11);
}

static void test_short_period(void **state)
{
    (void)state;
    set(CONFIG, 1);
    set(T_CONFIG(0), ON | PERIODIC | VALUE_SET | ROUTE(20));
    set(T_COMP(0), 1);
    at(10000);
    assert_true(edges[20] >= 45 && edges[20] <= 51); /* 50,000 in a second */
}

static void test_32_bits(void **state)
{
    (void)state;
    set(COUNTER, 0x3fffffff0);
    set(T_CONFIG(0), ON | ONLY32 | ROUTE(20));
    set(T_COMP(0), 0x70000000a);
    assert_int_equal(get(T_COMP(0)), 0xa);
    set(CONFIG, 1);
    at(25);
    assert_int_equal(edges[20], 0);
    at(26);
    assert_int_equal(edges[20], 1);
    set(T_CONFIG(1), ON | ONLY32 | PERIODIC | VALUE_SET | ROUTE(21));
    set32(T_COMP(1), 1000);
    set32(T_COMP(1), 500);
    at(16 + 1000);
    assert_int_equal(edges[21], 1);
    at(16 + 2500);
    assert_int_equal(edges[21], 4);
    at(26 + 0xffffffffull); /* once around, which takes 429 s */
    assert_int_equal(edges[20], 1);
    at(26 + 0x100000000ull);
    assert_int_equal(edges[20], 2);
}

static void test_far_away(void **state)
{
    (void)state;
    set(CONFIG, 1);
    set(T_CONFIG(0), ON | ROUTE(20));
    set(T_COMP(0), 100ull * 3600 * HPET_HZ + 5);
    at(100ull * 3600 * HPET_HZ + 4);
    assert_int_equal(edges[20], 0);
    at(100ull * 3600 * HPET_HZ + 5);
    assert_int_equal(edges[20], 1);
}

static void test_level(void **state)
{
    (void)state;
    set(CONFIG, 1);
    set(T_CONFIG(2), ON | LEVEL | ROUTE(22));
    set(T_COMP(2), 10);
    at(20);
    assert_true(line[22]);
    assert_int_equal(get(STATUS), 4);
    set(STATUS, 3);
    assert_true(line[22]);
    set(STATUS, 4);
    assert_false(line[22]);
    assert_int_equal(get(STATUS), 0);
    set(T_COMP(2), 30);
    at(30);
    assert_true(line[22]);
    set(T_CONFIG(2), LEVEL | ROUTE(22)); /* switched off */
    assert_false(line[22]);
    assert_int_equal(get(STATUS), 0);
}

static void test_legacy(void **state)
{
    (void)state;
    assert_false(hpet_is_legacy(hpet));
    for (u32 i = 0; i < 3; i++) {
        set(T_COMP(i), 10);
        set(T_CONFIG(i), ON | ROUTE(i == 2 ? 22 : 0));
    }
    set(CONFIG, 3);
    assert_true(hpet_is_legacy(hpet));
    at(10);
    assert_int_equal(edges[0], 1);
    assert_int_equal(edges[8], 1);
    assert_int_equal(edges[22], 1);
    set(CONFIG, 1);
    assert_false(hpet_is_legacy(hpet));
    assert_false(line[0] || line[8]);
    set(T_COMP(0), 20); /* its route is none that it may have */
    at(30);
    assert_int_equal(edges[0], 1);
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(hpet_create(vm));
    fake_remove_devices(vm);
    vm->allocs_left = 0;
    assert_null(hpet_create(vm));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_capabilities), T(test_counter),  T(test_one_shot), T(test_periodic), T(test_short_period),
        T(test_32_bits),      T(test_far_away), T(test_level),    T(test_legacy),   T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
