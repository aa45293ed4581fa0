/* SPDX-License-Identifier: MIT */
/* The I/O APIC with the local APICs that take its messages. */
/* links: vmm/dev/ioapic.c vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c */
/* links: vmm/bus.c tests/unit/fake_host.c tests/unit/lapic_test.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/lapic_test.h"
#include "vmm/dev/ioapic.h"

#define LEVEL  BIT(15)
#define MASKED BIT(16)
#define REMOTE BIT(14)

static struct ioapic *io;

static int setup(void **state)
{
    if (lapic_setup(state))
        return -1;
    io = ioapic_create(vm);
    return !io;
}

static u32 read_io(u32 reg)
{
    bus_write(&vm->vcpu[0].mmio, IOAPIC_BASE, 4, reg);
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, IOAPIC_BASE, 4), reg);
    return bus_read(&vm->vcpu[0].mmio, IOAPIC_BASE + 0x10, 4);
}

static void write_io(u32 reg, u32 value)
{
    bus_write(&vm->vcpu[0].mmio, IOAPIC_BASE, 4, reg);
    bus_write(&vm->vcpu[0].mmio, IOAPIC_BASE + 0x10, 4, value);
}

static void route(u32 pin, u32 low, u32 destination)
{
    write_io(0x10 + 2 * pin + 1, destination << 24);
    write_io(0x10 + 2 * pin, low);
}

/* The vCPU takes what is pending and ends it; -1 if there is nothing. */
static int serve(u32 cpu)
{
    int vector = pending(cpu);

    if (vector >= 0) {
        lapic_ack(vm->vcpu[cpu].lapic, vector);
        set_of(cpu, EOI, 0);
    }
    return vector;
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(read_io(1), 0x00170020);
    write_io(0, ~0u);
    assert_int_equal(read_io(0), 0x0f000000);
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
        assert_int_equal(read_io(0x10 + 2 * pin), MASKED);
    route(23, ~0u, 0xff);
    assert_int_equal(read_io(0x3e), 0x1afff); /* delivery status and remote IRR are not written */
    assert_int_equal(read_io(0x3f), 0xff000000);
    assert_int_equal(read_io(0x40), ~0u);
    write_io(0x40, 0);
    assert_int_equal(bus_read(&vm->vcpu[0].mmio, IOAPIC_BASE + 0x20, 4), 0);
}

static void test_edge(void **state)
{
    (void)state;
    ioapic_set_pin(io, 4, true); /* masked */
    ioapic_set_pin(io, 4, false);
    route(4, 0x51, 3);
    assert_int_equal(pending(3), -1);
    ioapic_set_pin(io, 4, true);
    ioapic_set_pin(io, 4, true); /* no second edge */
    assert_int_equal(serve(3), 0x51);
    assert_int_equal(serve(3), -1);
    ioapic_set_pin(io, 4, false);
    ioapic_set_pin(io, 4, true);
    assert_int_equal(serve(3), 0x51);
    assert_int_equal(pending(0), -1);
    ioapic_set_pin(io, 24, true); /* there is none */
    ioapic_set_pin(io, ~0u, true);
}

static void test_level(void **state)
{
    (void)state;
    route(9, 0x61 | LEVEL, 1);
    ioapic_set_pin(io, 9, true);
    assert_int_equal(read_io(0x22), 0x61 | LEVEL | REMOTE);
    lapic_ack(vm->vcpu[1].lapic, pending(1));
    ioapic_set_pin(io, 9, true);
    assert_int_equal(pending(1), -1); /* not again before its end */
    ioapic_eoi(io, 0x62);             /* another's */
    assert_int_equal(read_io(0x22), 0x61 | LEVEL | REMOTE);
    set_of(1, EOI, 0);
    assert_int_equal(level_eois, 1);
    assert_int_equal(last_level_eoi, 0x61);
    ioapic_eoi(io, 0x61);
    assert_int_equal(pending(1), 0x61); /* it is still high */
    ioapic_set_pin(io, 9, false);
    lapic_ack(vm->vcpu[1].lapic, 0x61);
    set_of(1, EOI, 0);
    bus_write(&vm->vcpu[1].mmio, IOAPIC_BASE + 0x40, 4, 0x61); /* the EOI register does the same */
    assert_int_equal(pending(1), -1);
    assert_int_equal(read_io(0x22), 0x61 | LEVEL);
}

static void test_edge_sends_no_eoi(void **state)
{
    (void)state;
    route(5, 0x71, 0);
    ioapic_set_pin(io, 5, true);
    assert_int_equal(serve(0), 0x71);
    assert_int_equal(level_eois, 0);
}

static void test_level_unmasked_while_high(void **state)
{
    (void)state;
    route(9, 0x61 | LEVEL | MASKED, 1);
    ioapic_set_pin(io, 9, true);
    assert_int_equal(pending(1), -1);
    route(9, 0x61 | LEVEL, 1);
    assert_int_equal(pending(1), 0x61);
    assert_int_equal(read_io(0x22) & REMOTE, REMOTE);
    route(9, 0x61, 1); /* edge now: no end is waited for */
    assert_int_equal(read_io(0x22) & REMOTE, 0);
}

static void test_destinations(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++)
        set_of(i, LDR, 1u << (24 + i));
    route(1, 0x852, 0x0c); /* logical */
    ioapic_set_pin(io, 1, true);
    assert_int_equal(pending(1), -1);
    assert_int_equal(serve(2), 0x52);
    assert_int_equal(serve(3), 0x52);
    set_of(2, TPR, 0x80);
    route(2, 0x953, 0x0c); /* lowest priority */
    ioapic_set_pin(io, 2, true);
    assert_int_equal(pending(2), -1);
    assert_int_equal(serve(3), 0x53);
    route(3, 0x54, 0xff); /* all */
    ioapic_set_pin(io, 3, true);
    assert_int_equal(serve(0), 0x54);
    assert_int_equal(serve(NR - 1), 0x54);
    route(6, 0x400, 5); /* NMI */
    ioapic_set_pin(io, 6, true);
    assert_int_equal(vm->vcpu[5].nmis, 1);
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(ioapic_create(vm));
    vm->allocs_left = 0;
    fake_remove_devices(vm);
    assert_null(ioapic_create(vm));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, lapic_teardown)
    const struct CMUnitTest tests[] = {
        T(test_registers),
        T(test_edge),
        T(test_level),
        T(test_edge_sends_no_eoi),
        T(test_level_unmasked_while_high),
        T(test_destinations),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
