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
    write_io(0x3f, ~0u); /* with the extended destination id */
    assert_int_equal(read_io(0x3f), 0xfffe0000);
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

static u32 nr_served, last_served;

/* As a physical line does: low, and still asking perhaps. */
static void serve_line(struct vm *of, u32 pin)
{
    assert_ptr_equal(of, vm);
    nr_served++;
    last_served = pin;
    ioapic_set_pin(io, pin, false);
    assert_int_equal(pending(1), -1);
}

static void test_told_of_eoi(void **state)
{
    (void)state;
    nr_served = 0;
    ioapic_on_eoi(io, 11, serve_line);
    ioapic_on_eoi(io, 23, serve_line);
    route(11, 0x61 | LEVEL, 1);
    route(10, 0x62 | LEVEL, 1);
    ioapic_set_pin(io, 11, true);
    lapic_ack(vm->vcpu[1].lapic, pending(1));
    set_of(1, EOI, 0);
    assert_int_equal(nr_served, 0); /* the message comes by the VM: */
    ioapic_eoi(io, 0x61);
    assert_int_equal(nr_served, 1);
    assert_int_equal(last_served, 11);
    assert_int_equal(pending(1), -1);
    ioapic_eoi(io, 0x61); /* nothing was in service */
    ioapic_set_pin(io, 10, true);
    lapic_ack(vm->vcpu[1].lapic, pending(1));
    ioapic_set_pin(io, 10, false);
    ioapic_eoi(io, 0x62); /* an input of no interest */
    assert_int_equal(nr_served, 1);
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

/* Whatever the trigger mode says; a level would wait for an EOI that never comes. */
static void test_nmi_and_init_are_edges(void **state)
{
    (void)state;
    route(6, 0x400 | LEVEL, 5);
    route(7, 0x500 | LEVEL, 0xff);
    for (u32 i = 1; i <= 2; i++) {
        ioapic_set_pin(io, 6, true);
        ioapic_set_pin(io, 6, true);
        ioapic_set_pin(io, 7, true);
        assert_int_equal(vm->vcpu[5].nmis, i);
        assert_int_equal(vm->vcpu[0].inits, i);
        assert_int_equal(vm->vcpu[NR - 1].inits, i);
        assert_int_equal(read_io(0x1c) | read_io(0x1e), 0x500 | LEVEL);
        ioapic_set_pin(io, 6, false);
        ioapic_set_pin(io, 7, false);
    }
    assert_int_equal(vm->vcpu[0].nmis, 0);
    ioapic_set_pin(io, 6, true);
    route(6, 0x400, 5); /* unmasked while high: no edge */
    route(6, 0x400 | LEVEL, 5);
    assert_int_equal(vm->vcpu[5].nmis, 3);
    set_of(4, SVR, 0xff); /* software-disabled APICs take them too */
    route(8, 0x400, 4);
    ioapic_set_pin(io, 8, true);
    assert_int_equal(vm->vcpu[4].nmis, 1);
}

static void test_modes_that_do_nothing(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++)
        vm->vcpu[i].kicks = 0;
    for (u32 pin = 0; pin < 3; pin++) { /* SMI and the reserved ones, of which one is a start-up IPI's */
        static const u16 modes[] = {0x200, 0x300, 0x600};

        route(pin, modes[pin], 0xff);
        ioapic_set_pin(io, pin, true);
    }
    for (u32 i = 0; i < NR; i++) {
        assert_int_equal(vm->vcpu[i].kicks + vm->vcpu[i].sipis + vm->vcpu[i].inits, 0);
        assert_int_equal(pending(i), -1);
    }
}

static void test_extint(void **state)
{
    (void)state;
    route(0, 0x700 | LEVEL, 3);
    ioapic_set_pin(io, 0, true);
    assert_true(lapic_wants_extint(vm->vcpu[3].lapic));
    assert_false(lapic_wants_extint(l));
    assert_int_equal(vm->vcpu[3].kicks, 1);
    assert_int_equal(pending(3), -1);
    assert_int_equal(read_io(0x10), 0x700 | LEVEL);
    lapic_ack_extint(vm->vcpu[3].lapic);
    ioapic_set_pin(io, 0, true);
    assert_false(lapic_wants_extint(vm->vcpu[3].lapic));
    ioapic_set_pin(io, 0, false);
    ioapic_set_pin(io, 0, true);
    assert_true(lapic_wants_extint(vm->vcpu[3].lapic));
    lapic_reset(vm->vcpu[3].lapic);
    assert_false(lapic_wants_extint(vm->vcpu[3].lapic));
    ioapic_set_pin(io, 0, false);
    ioapic_set_pin(io, 0, true); /* the APIC is software-disabled now */
    assert_false(lapic_wants_extint(vm->vcpu[3].lapic));
    set(ICR_HIGH, 2 << 24);
    set(ICR, 0x700); /* reserved for IPIs */
    assert_false(lapic_wants_extint(vm->vcpu[2].lapic));
}

/* Bits 55:49 are bits 14:8 of the destination. */
static void test_extended_destination(void **state)
{
    struct vcpu *far = &vm->vcpu[2];

    (void)state;
    bus_remove(&far->own_mmio, LAPIC_BASE);
    far->lapic = lapic_create(far, 0x7f2c);
    assert_int_equal(lapic_msr_write(far, X2(SVR), 0x1ff), 0);
    write_io(0x11, 0x2c << 24);
    write_io(0x10, 0x51);
    ioapic_set_pin(io, 0, true);
    assert_int_equal(pending(2), -1);
    write_io(0x13, 0x2cfe0000);
    write_io(0x12, 0x52);
    ioapic_set_pin(io, 1, true);
    assert_int_equal(pending(2), 0x52);
    write_io(0x15, 0xff000000); /* still all of them */
    write_io(0x14, 0x63);
    ioapic_set_pin(io, 2, true);
    assert_int_equal(pending(2), 0x63);
    assert_int_equal(pending(NR - 1), 0x63);
    write_io(0x17, 0xff020000); /* one that nobody has */
    write_io(0x16, 0x74);
    ioapic_set_pin(io, 3, true);
    assert_int_equal(pending(2), 0x63);
    assert_int_equal(pending(0), 0x63);
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
        T(test_told_of_eoi),
        T(test_level_unmasked_while_high),
        T(test_destinations),
        T(test_nmi_and_init_are_edges),
        T(test_modes_that_do_nothing),
        T(test_extint),
        T(test_extended_destination),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
