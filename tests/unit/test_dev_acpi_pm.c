/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/acpi_pm.c vmm/bus.c tests/unit/fake_host.c tests/unit/fake_irq.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_irq.h"
#include "vmm/dev/acpi_pm.h"

#define STATUS  ACPI_PM1_EVT
#define ENABLE  (ACPI_PM1_EVT + 2)
#define CONTROL ACPI_PM1_CNT

static struct vm *vm;

static u32 get(u16 port, u32 size)
{
    return bus_read(&vm->vcpu[0].pio, port, size);
}

static void set(u16 port, u32 size, u32 value)
{
    bus_write(&vm->vcpu[0].pio, port, size, value);
}

static int setup(void **state)
{
    (void)state;
    fake_irq_clear();
    vm = fake_vm(1, 0);
    vm->hz = 1000ull * ACPI_PM_TMR_HZ; /* a tick of the PM timer is 1000 */
    return !acpi_pm_create(vm);
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void test_timer_counts(void **state)
{
    (void)state;
    assert_int_equal(get(ACPI_PM_TMR, 4), 0);
    vm->now = 12345678 * 1000ull + 999;
    assert_int_equal(get(ACPI_PM_TMR, 4), 12345678);
    assert_int_equal(get(ACPI_PM_TMR, 1), 12345678 & 0xff);
    assert_int_equal(get(ACPI_PM_TMR + 2, 2), 12345678 >> 16);
    set(ACPI_PM_TMR, 4, 0);
    assert_int_equal(get(ACPI_PM_TMR, 4), 12345678);
    vm->now = (BIT(32) + 5) * 1000; /* 32 bits */
    assert_int_equal(get(ACPI_PM_TMR, 4), 5);
}

static void test_timer_rate(void **state)
{
    (void)state;
    vm->hz = 2999999999;
    vm->now = vm->hz * 1000;
    assert_int_equal(get(ACPI_PM_TMR, 4), ACPI_PM_TMR_HZ * 1000ull);
}

static void test_timer_status(void **state)
{
    (void)state;
    vm->now = (BIT(31) - 1) * 1000;
    assert_int_equal(get(STATUS, 2), 0);
    vm->now = BIT(31) * 1000;
    assert_int_equal(get(STATUS, 2), 1);
    set(STATUS, 2, 0); /* only ones clear */
    assert_int_equal(get(STATUS, 2), 1);
    set(STATUS, 2, 1);
    assert_int_equal(get(STATUS, 2), 0);
    assert_false(fake_irq_level[ACPI_SCI_IRQ]);
}

static void test_timer_interrupt(void **state)
{
    (void)state;
    set(ENABLE, 2, 1);
    fake_run_until(vm, BIT(31) * 1000 - 1);
    assert_false(fake_irq_level[ACPI_SCI_IRQ]);
    fake_run_until(vm, BIT(31) * 1000);
    assert_true(fake_irq_level[ACPI_SCI_IRQ]);
    set(STATUS, 1, 1);
    assert_false(fake_irq_level[ACPI_SCI_IRQ]);
    fake_run_until(vm, BIT(32) * 1000);
    assert_true(fake_irq_level[ACPI_SCI_IRQ]);
    set(ENABLE, 2, 0);
    assert_false(fake_irq_level[ACPI_SCI_IRQ]);
    fake_run_until(vm, 3 * BIT(31) * 1000);
    assert_int_equal(fake_irq_edges[ACPI_SCI_IRQ], 2);
}

static void test_enable_register(void **state)
{
    (void)state;
    set(ENABLE, 2, 0xffff);
    assert_int_equal(get(ENABLE, 2), 0x0721);
    set(ENABLE, 1, 0);
    assert_int_equal(get(ENABLE, 2), 0x0700);
    assert_int_equal(get(STATUS, 4), 0x07000000);
    set(STATUS, 4, 0x01200000);
    assert_int_equal(get(ENABLE, 2), 0x0120);
    set(STATUS, 2, 0xffff); /* no part of it */
    assert_int_equal(get(ENABLE, 2), 0x0120);
}

static void test_acpi_mode_is_on(void **state)
{
    (void)state;
    assert_int_equal(get(CONTROL, 2), 1);
    set(CONTROL, 2, 0);
    assert_int_equal(get(CONTROL, 2), 1);
}

static void test_power_off(void **state)
{
    (void)state;
    set(CONTROL, 2, ACPI_SLP_TYP_S5 << 10);
    assert_int_equal(vm->ends, 0);
    set(CONTROL, 2, 1 << 10 | BIT(13)); /* another sleep state */
    assert_int_equal(vm->ends, 0);
    set(CONTROL, 2, ACPI_SLP_TYP_S5 << 10 | BIT(13));
    assert_int_equal(vm->ends, 1);
    assert_int_equal(vm->how, VM_END_POWEROFF);
    assert_string_equal(vm->why, "ACPI soft-off");
    assert_int_equal(get(CONTROL, 2), 1 | ACPI_SLP_TYP_S5 << 10); /* SLP_EN reads 0 */
}

static void test_power_off_by_bytes(void **state)
{
    (void)state;
    set(CONTROL, 1, 0xff);
    assert_int_equal(vm->ends, 0);
    set(CONTROL + 1, 1, (ACPI_SLP_TYP_S5 << 10 | BIT(13)) >> 8);
    assert_int_equal(vm->ends, 1);
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(acpi_pm_create(vm));
    vm->allocs_left = 0;
    fake_remove_devices(vm);
    assert_null(acpi_pm_create(vm));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_timer_counts),    T(test_timer_rate),         T(test_timer_status),
        T(test_timer_interrupt), T(test_enable_register),    T(test_acpi_mode_is_on),
        T(test_power_off),       T(test_power_off_by_bytes), T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
