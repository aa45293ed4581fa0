/* SPDX-License-Identifier: MIT */
/* All devices together, and the way of an interrupt from a device to a vCPU. */
/* links: vmm/dev/pci.c vmm/dev/pci_msix.c */
/* links: vmm/dev/platform.c vmm/dev/irq.c vmm/dev/ioapic.c vmm/dev/pic.c vmm/dev/pit.c */
/* links: vmm/dev/hpet.c vmm/dev/uart.c */
/* links: vmm/dev/rtc.c vmm/dev/acpi_pm.c vmm/dev/debug_exit.c vmm/dev/reset.c vmm/dev/lapic.c */
/* links: vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c lib/format.c */
/* links: tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/platform.h"
#include "vmm/dev/uart.h"

static struct vm *vm;
static struct vcpu *boot, *other;

static int setup(void **state)
{
    (void)state;
    vm = fake_vm(2, 0);
    boot = &vm->vcpu[0];
    other = &vm->vcpu[1];
    boot->lapic = lapic_create(boot, 0);
    other->lapic = lapic_create(other, 1);
    vm->platform = platform_create(vm, 0, MiB(64));
    return !vm->platform;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void init_pic(void)
{
    fake_out(vm, 0x20, 0x11);
    fake_out(vm, 0x21, 0x30);
    fake_out(vm, 0x21, 0x04);
    fake_out(vm, 0x21, 0x01);
    fake_out(vm, 0xa0, 0x11);
    fake_out(vm, 0xa1, 0x38);
    fake_out(vm, 0xa1, 0x02);
    fake_out(vm, 0xa1, 0x01);
}

static void lapic_set(u32 offset, u32 value)
{
    bus_write(&boot->mmio, LAPIC_BASE + offset, 4, value);
}

static void test_timer_interrupts_boot_vcpu(void **state)
{
    (void)state;
    init_pic();
    fake_out(vm, 0x43, 0x34);
    fake_out(vm, 0x40, 0xa9);
    fake_out(vm, 0x40, 0x04); /* 1193: a millisecond */
    boot->kicks = 0;
    fake_run_until(vm, vm->hz / 500);
    assert_true(boot->kicks > 0);
    assert_int_equal(other->kicks, 0);
    assert_int_equal(vcpu_irq_pending(other), -1);
    assert_int_equal(vcpu_irq_ack(other), -1);
    assert_int_equal(vcpu_irq_pending(boot), 0x30);
    assert_int_equal(vcpu_irq_ack(boot), 0x30);
    assert_int_equal(vcpu_irq_pending(boot), -1);
}

static void test_serial_input_interrupts(void **state)
{
    (void)state;
    init_pic();
    fake_out(vm, 0x3fc, 0x08);
    fake_out(vm, 0x3f9, 0x01);
    uart_receive(vm->platform->uart, "x", 1);
    assert_int_equal(vcpu_irq_ack(boot), 0x34);
}

static void test_unmasking_kicks(void **state)
{
    (void)state;
    init_pic();
    fake_out(vm, 0x21, 0xff);
    vm_set_irq(vm, 4, true);
    assert_int_equal(vcpu_irq_pending(boot), -1);
    boot->kicks = 0;
    fake_out(vm, 0x21, 0);
    assert_int_equal(boot->kicks, 1);
    assert_int_equal(vcpu_irq_pending(boot), 0x34);
}

static void test_pic_goes_first(void **state)
{
    (void)state;
    init_pic();
    lapic_set(0xf0, 0x1ff);
    lapic_post(boot->lapic, 0x80, false);
    vm_set_irq(vm, 4, true);
    assert_int_equal(vcpu_irq_pending(boot), 0x34);
    assert_int_equal(vcpu_irq_ack(boot), 0x34);
    assert_int_equal(vcpu_irq_ack(boot), 0x80);
    assert_int_equal(vcpu_irq_ack(boot), -1);
}

static void test_lint0_decides(void **state)
{
    (void)state;
    init_pic();
    lapic_set(0xf0, 0x1ff);
    lapic_set(0x350, 0x10700);
    boot->kicks = 0;
    vm_set_irq(vm, 4, true);
    assert_int_equal(vcpu_irq_pending(boot), -1);
    assert_int_equal(boot->kicks, 0);
    lapic_set(0x350, 0x700);
    assert_int_equal(vcpu_irq_pending(boot), 0x34);
    vm_set_irq(vm, 4, false);
    lapic_set(0x350, 0x400); /* an NMI for each rise of the PIC's output */
    vm_set_irq(vm, 4, true);
    vm_set_irq(vm, 5, true);
    assert_int_equal(boot->nmis, 1);
    lapic_set(0x350, 0x45); /* fixed */
    vm_set_irq(vm, 4, false);
    vm_set_irq(vm, 5, false);
    vm_set_irq(vm, 5, true);
    assert_int_equal(vcpu_irq_ack(boot), 0x45);
}

static void ioapic_route(u32 pin, u32 low)
{
    bus_write(&boot->mmio, IOAPIC_BASE, 4, 0x10 + 2 * pin);
    bus_write(&boot->mmio, IOAPIC_BASE + 0x10, 4, low);
}

static void test_lines_reach_the_ioapic(void **state)
{
    (void)state;
    lapic_set(0xf0, 0x1ff);
    ioapic_route(2, 0x50);           /* IRQ 0 */
    ioapic_route(9, 0x60 | BIT(15)); /* SCI, level */
    vm_set_irq(vm, 0, true);
    assert_int_equal(vcpu_irq_ack(boot), 0x50);
    lapic_set(0xb0, 0);
    vm_set_irq(vm, 9, true);
    assert_int_equal(vcpu_irq_ack(boot), 0x60);
    lapic_set(0xb0, 0); /* its end lets it ask again */
    assert_int_equal(vcpu_irq_ack(boot), 0x60);
    vm_set_irq(vm, 9, false);
    lapic_set(0xb0, 0);
    assert_int_equal(vcpu_irq_pending(boot), -1);
}

/* The PIC behind input 0 of the I/O APIC, as ExtINT to the second vCPU. */
static void test_extint_of_the_ioapic(void **state)
{
    (void)state;
    init_pic();
    lapic_set(0xf0, 0x1ff);
    lapic_set(0x350, 0x10700); /* not by LINT0 */
    bus_write(&other->mmio, LAPIC_BASE + 0xf0, 4, 0x1ff);
    ioapic_route(0, 0x700);
    bus_write(&boot->mmio, IOAPIC_BASE, 4, 0x11);
    bus_write(&boot->mmio, IOAPIC_BASE + 0x10, 4, 1u << 24);
    other->kicks = 0;
    vm_set_irq(vm, 4, true);
    assert_int_equal(other->kicks, 1);
    vm_set_irq(vm, 3, true);
    vm_set_irq(vm, 12, true);
    assert_int_equal(vcpu_irq_pending(boot), -1);
    assert_int_equal(vcpu_irq_ack(other), 0x3c); /* the highest of then */
    assert_int_equal(vcpu_irq_pending(other), -1);
    fake_out(vm, 0xa0, 0x20);
    fake_out(vm, 0x20, 0x20); /* its end lets INTR rise again */
    assert_int_equal(vcpu_irq_ack(other), 0x33);
    fake_out(vm, 0x20, 0x20);
    fake_out(vm, 0x21, 0x10); /* masked before it is taken: spurious */
    assert_int_equal(vcpu_irq_pending(other), 0x37);
    assert_int_equal(vcpu_irq_ack(other), 0x37);
    assert_int_equal(vcpu_irq_ack(other), -1);
    fake_out(vm, 0x21, 0);
    lapic_set(0xf0, 0x1ff);
    lapic_post(other->lapic, 0x80, false);
    assert_int_equal(vcpu_irq_ack(other), 0x34);
    assert_int_equal(vcpu_irq_ack(other), 0x80);
}

/* INTR falls in each acknowledge cycle: what waits, of higher priority, is an edge of its own. */
static void test_acknowledging_is_an_edge(void **state)
{
    (void)state;
    init_pic();
    lapic_set(0xf0, 0x1ff);
    lapic_set(0x350, 0x10700);
    ioapic_route(0, 0x700);
    vm_set_irq(vm, 4, true);
    fake_out(vm, 0x20, 0x0c); /* a poll takes it */
    assert_int_equal(fake_in(vm, 0x20), 0x84);
    assert_int_equal(vcpu_irq_ack(boot), 0x37);
    fake_out(vm, 0x20, 0x68); /* special mask mode */
    fake_out(vm, 0x21, 0x10);
    vm_set_irq(vm, 5, true);
    vm_set_irq(vm, 6, true);
    assert_int_equal(vcpu_irq_ack(boot), 0x35);
    fake_out(vm, 0x21, 0x30);
    assert_int_equal(vcpu_irq_ack(boot), 0x36);
}

/* What probes do first of all: no two devices may have the same range, and each port must survive every size.
 */
static void test_all_ports(void **state)
{
    (void)state;
    for (u32 port = 0; port < 0x10000; port++)
        for (u32 size = 1; size <= 4; size *= 2) {
            bus_read(&boot->pio, port, size);
            bus_write(&boot->pio, port, size, ~0u);
            bus_write(&boot->pio, port, size, 0);
            bus_write(&boot->pio, port, size, 0x5a5a5a5a);
        }
    for (u32 offset = 0; offset < PAGE_SIZE; offset++)
        for (u32 size = 1; size <= 8; size *= 2) {
            bus_read(&boot->mmio, LAPIC_BASE + offset, size);
            bus_write(&boot->mmio, LAPIC_BASE + offset, size, ~0ull);
            bus_write(&boot->mmio, LAPIC_BASE + offset, size, 0x1122334455667788);
        }
    fake_run_until(vm, vm->hz);
    assert_true(vm->ends > 0);
}

static void test_creation_fails(void **state)
{
    u32 pieces = 0;

    (void)state;
    assert_null(platform_create(vm, 0, MiB(64)));
    do { /* whichever device there is no memory for */
        fake_remove_devices(vm);
        vm->allocs_left = pieces++;
    } while (!platform_create(vm, 0, MiB(64)));
    assert_int_equal(vm->allocs_left, 0);
    assert_true(pieces > 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_timer_interrupts_boot_vcpu),
        T(test_serial_input_interrupts),
        T(test_unmasking_kicks),
        T(test_pic_goes_first),
        T(test_lint0_decides),
        T(test_lines_reach_the_ioapic),
        T(test_extint_of_the_ioapic),
        T(test_acknowledging_is_an_edge),
        T(test_all_ports),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
