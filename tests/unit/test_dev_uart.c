/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/uart.c vmm/bus.c tests/unit/fake_host.c tests/unit/fake_irq.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_irq.h"
#include "vmm/dev/uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

#define FCR IIR
#define IRQ 4

static struct vm *vm;
static struct uart *uart;

static u8 get(u16 reg)
{
    return fake_in(vm, 0x3f8 + reg);
}

static void set(u16 reg, u8 value)
{
    fake_out(vm, 0x3f8 + reg, value);
}

static int setup(void **state)
{
    (void)state;
    fake_irq_clear();
    vm = fake_vm(1, 0);
    uart = uart_create(vm);
    return !uart;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void test_output(void **state)
{
    (void)state;
    for (const char *p = "Hello\n"; *p; p++) {
        assert_int_equal(get(LSR) & 0x60, 0x60);
        set(DATA, *p);
    }
    assert_string_equal(vm->console, "Hello\n");
    assert_false(fake_irq_level[IRQ]);
}

static void test_divisor(void **state)
{
    (void)state;
    set(LCR, 0x83);
    set(DATA, 0x0c);
    set(IER, 0x34);
    assert_int_equal(get(DATA), 0x0c);
    assert_int_equal(get(IER), 0x34);
    assert_int_equal(get(LCR), 0x83);
    set(LCR, 0x03);
    assert_int_equal(get(IER), 0);
    assert_int_equal(vm->console_size, 0);
}

static void test_registers(void **state)
{
    (void)state;
    set(SCR, 0xa5);
    assert_int_equal(get(SCR), 0xa5);
    set(IER, 0xff);
    assert_int_equal(get(IER), 0x0f);
    set(MCR, 0xff);
    assert_int_equal(get(MCR), 0x1f);
    set(MCR, 0);
    assert_int_equal(get(MSR) & 0xf0, 0xb0); /* carrier, ready, clear to send */
    set(LSR, 0);
    set(MSR, 0xff);
    assert_int_equal(get(LSR), 0x60);
}

/* The steps by which Linux's 8250 driver finds out what it has: this must end as a 16550A without bugs. */
static void test_linux_autoconfig(void **state)
{
    u8 first, second;

    (void)state;
    set(IER, 0);
    assert_int_equal(get(IER), 0);
    set(IER, 0x0f);
    assert_int_equal(get(IER), 0x0f);
    set(IER, 0);
    set(MCR, 0x1a); /* loopback: outputs appear as inputs */
    assert_int_equal(get(MSR) & 0xf0, 0x90);
    set(MCR, 0x08);
    set(FCR, 0x01);
    assert_int_equal(get(IIR) >> 6, 3);
    set(LCR, 0x80); /* an EFR would read 0 here and keep what is written */
    assert_int_not_equal(get(2), 0);
    set(LCR, 0xbf);
    assert_int_not_equal(get(2), 0);
    set(LCR, 0x03);
    set(FCR, 0x21); /* no 64-byte FIFO */
    assert_int_equal(get(IIR) & 0x20, 0);
    /* The transmitter's interrupt must come again each time it is enabled. */
    set(IER, 2);
    first = get(IIR);
    set(IER, 0);
    set(IER, 2);
    second = get(IIR);
    assert_int_equal(first & 0x0f, 2);
    assert_int_equal(second & 0x0f, 2);
    set(IER, 0);
    assert_int_equal(get(IIR) & 0x0f, 1);
}

static void test_transmit_interrupt(void **state)
{
    (void)state;
    set(MCR, 0x08);
    set(IER, 2);
    assert_true(fake_irq_level[IRQ]);
    assert_int_equal(get(IIR), 2); /* reading it is the acknowledgement */
    assert_false(fake_irq_level[IRQ]);
    assert_int_equal(get(IIR), 1);
    set(DATA, 'x');
    assert_true(fake_irq_level[IRQ]);
    assert_int_equal(fake_irq_edges[IRQ], 2);
    get(LSR); /* this is none */
    assert_true(fake_irq_level[IRQ]);
    set(IER, 0);
    assert_false(fake_irq_level[IRQ]);
    set(IER, 2);
    assert_true(fake_irq_level[IRQ]);
}

static void test_out2_gates_interrupt(void **state)
{
    (void)state;
    set(IER, 2);
    assert_false(fake_irq_level[IRQ]);
    set(MCR, 0x08);
    assert_true(fake_irq_level[IRQ]);
    set(MCR, 0x18);
    assert_false(fake_irq_level[IRQ]);
}

static void test_input(void **state)
{
    (void)state;
    assert_int_equal(get(DATA), 0);
    assert_int_equal(uart_receive(uart, "ab", 2), 2);
    assert_int_equal(get(LSR), 0x61);
    assert_int_equal(get(DATA), 'a');
    assert_int_equal(get(DATA), 'b');
    assert_int_equal(get(LSR), 0x60);
}

static void test_input_interrupt(void **state)
{
    (void)state;
    set(MCR, 0x08);
    set(IER, 1);
    uart_receive(uart, "a", 1);
    assert_true(fake_irq_level[IRQ]);
    assert_int_equal(get(IIR), 4);
    assert_true(fake_irq_level[IRQ]);
    get(DATA);
    assert_false(fake_irq_level[IRQ]);
    assert_int_equal(get(IIR), 1);
    set(FCR, 0x81); /* FIFO, 8 bytes */
    uart_receive(uart, "1234567", 7);
    assert_int_equal(get(IIR), 0xcc); /* fewer than wanted: time-out */
    uart_receive(uart, "8", 1);
    assert_int_equal(get(IIR), 0xc4);
    set(IER, 3); /* input goes first */
    assert_int_equal(get(IIR), 0xc4);
    for (u32 i = 0; i < 8; i++)
        get(DATA);
    assert_int_equal(get(IIR), 0xc2);
}

static void test_input_ring(void **state)
{
    char data[1500];

    (void)state;
    for (u32 i = 0; i < sizeof(data); i++)
        data[i] = i * 7;
    for (u32 round = 0; round < 5; round++) {
        assert_int_equal(uart_receive(uart, data, 700), 700);
        assert_int_equal(uart_receive(uart, data + 700, 800), 324); /* 1024 in all */
        for (u32 i = 0; i < 1024; i++)
            assert_int_equal(get(DATA), (u8)(i * 7));
        assert_int_equal(get(LSR), 0x60); /* nothing was overrun */
    }
}

static void test_fifo_clear(void **state)
{
    (void)state;
    set(FCR, 0x01);
    uart_receive(uart, "0123456789abcdefXY", 18);
    set(FCR, 0x03); /* what the FIFO holds goes, what waits behind it stays */
    assert_int_equal(get(DATA), 'X');
    set(FCR, 0x00); /* changing the mode clears, too */
    assert_int_equal(get(LSR), 0x60);
    assert_int_equal(get(IIR), 1);
}

static void test_loopback(void **state)
{
    (void)state;
    set(MCR, 0x18);
    set(DATA, 'z');
    assert_int_equal(vm->console_size, 0);
    assert_int_equal(get(LSR), 0x61);
    assert_int_equal(get(DATA), 'z');
    assert_int_equal(uart_receive(uart, "q", 1), 0);
    for (u32 i = 0; i < 1024; i++)
        set(DATA, i);
    assert_int_equal(get(LSR), 0x61);
    set(DATA, 1);
    set(IER, 4);
    assert_int_equal(get(IIR), 6);
    assert_int_equal(get(LSR), 0x63); /* overrun, told once */
    assert_int_equal(get(LSR), 0x61);
    assert_int_equal(get(IIR), 1);
}

static void test_modem_status(void **state)
{
    (void)state;
    set(IER, 8);
    get(MSR);
    set(MCR, 0x10); /* the three inputs drop */
    assert_int_equal(get(IIR), 0);
    assert_int_equal(get(MSR), 0x0b);
    assert_int_equal(get(MSR), 0x00);
    assert_int_equal(get(IIR), 1);
    set(MCR, 0x1f);
    assert_int_equal(get(MSR), 0xfb);
    set(MCR, 0x1b); /* the ring indicator's end */
    assert_int_equal(get(MSR), 0xb4);
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(uart_create(vm));
    vm->allocs_left = 0;
    fake_remove_devices(vm);
    assert_null(uart_create(vm));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_output),
        T(test_divisor),
        T(test_registers),
        T(test_linux_autoconfig),
        T(test_transmit_interrupt),
        T(test_out2_gates_interrupt),
        T(test_input),
        T(test_input_interrupt),
        T(test_input_ring),
        T(test_fifo_clear),
        T(test_loopback),
        T(test_modem_status),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
