/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "drivers/uart16550.c"

/* A UART that sends one byte each time its status was read `slow` times; slow 0: at once. */
static struct {
    bool present, scratch, loopback, fifo_chip, moves;
    u32 slow, reads, depth, overflows, status_reads;
    u8 regs[8], divisor[2], sent[4096], received;
    u32 nr_sent;
    bool has_received;
} hw;

static void drain(void)
{
    if (hw.moves && hw.depth && ++hw.reads > hw.slow) {
        hw.depth--;
        hw.reads = 0;
    }
}

static u32 fake_in(u16 port, u32 size)
{
    u16 reg = port - 0x3f8;

    assert_int_equal(size, 1);
    if (!hw.present || reg > 7)
        return 0xff;
    switch (reg) {
    case REG_DATA:
        hw.has_received = false;
        return hw.received;
    case REG_IIR:
        return hw.fifo_chip && hw.regs[REG_FCR] & 1 ? 0xc1 : 0x01;
    case REG_LSR:
        hw.status_reads++;
        drain();
        return (hw.depth ? 0 : 0x60) | hw.has_received;
    case REG_MSR:
        return hw.loopback && hw.regs[REG_MCR] & 0x10
                   ? (hw.regs[REG_MCR] & 2) << 3 | (hw.regs[REG_MCR] & 8) << 4
                   : 0;
    case REG_SCR:
        return hw.scratch ? hw.regs[reg] : 0;
    default:
        return hw.regs[reg];
    }
}

static void fake_out(u16 port, u32 size, u32 value)
{
    u16 reg = port - 0x3f8;

    assert_int_equal(size, 1);
    if (!hw.present || reg > 7)
        return;
    if (reg <= 1 && hw.regs[REG_LCR] & 0x80) {
        hw.divisor[reg] = value;
    } else if (reg == REG_DATA) {
        if (hw.depth >= (hw.fifo_chip ? 16 : 1))
            hw.overflows++;
        hw.depth++;
        if (hw.nr_sent < sizeof(hw.sent))
            hw.sent[hw.nr_sent++] = value;
    } else {
        hw.regs[reg] = value;
    }
}

static u64 fake_tsc(void)
{
    return 0;
}

static struct uart16550 uart;

static void start(void)
{
    memset(&hw, 0, sizeof(hw));
    hw.present = hw.scratch = hw.loopback = hw.fifo_chip = hw.moves = true;
}

static int init(u32 baud)
{
    struct serial_port at = SERIAL_COM1;

    at.baud = baud;
    return uart16550_init(&uart, &at, NULL);
}

static void set_up(void **state)
{
    (void)state;
    start();
    assert_int_equal(init(115200), 0);
    assert_int_equal(hw.divisor[0], 1);
    assert_int_equal(hw.divisor[1], 0);
    assert_int_equal(hw.regs[REG_LCR], 3);
    assert_int_equal(hw.regs[REG_IER], 0);
    assert_int_equal(hw.regs[REG_MCR], 0x0b);
    assert_int_equal(hw.regs[REG_FCR] & 7, 7);
    uart16550_enable_rx_interrupt(&uart);
    assert_int_equal(hw.regs[REG_IER], 1);
    start();
    assert_int_equal(init(300), 0);
    assert_int_equal(hw.divisor[0], 384 & 0xff);
    assert_int_equal(hw.divisor[1], 384 >> 8);
    start(); /* as it was */
    hw.divisor[0] = 12;
    assert_int_equal(init(0), 0);
    assert_int_equal(hw.divisor[0], 12);
    assert_int_equal(hw.regs[REG_LCR], 3);
}

static void as_much_as_there_is_room_for(void **state)
{
    (void)state;
    start();
    assert_int_equal(init(115200), 0);
    hw.moves = false;
    assert_int_equal(uart16550_send(&uart, "0123456789abcdefgh", 18), 16);
    assert_int_equal(uart16550_send(&uart, "gh", 2), 0);
    hw.depth = 0;
    assert_int_equal(uart16550_send(&uart, "gh", 2), 2);
    assert_int_equal(hw.nr_sent, 18);
    assert_memory_equal(hw.sent, "0123456789abcdefgh", 18);
    assert_int_equal(hw.overflows, 0);
}

static void bad_arguments(void **state)
{
    static const u32 bauds[] = {1, 7, 110000, 230400};

    (void)state;
    start();
    for (u32 i = 0; i < ARRAY_SIZE(bauds); i++) {
        assert_int_equal(init(bauds[i]), ERR_INVAL);
        uart16550_write(&uart, "x", 1);
    }
    assert_int_equal(uart16550_init(&uart, &(struct serial_port){.kind = SERIAL_NONE}, NULL), ERR_NOENT);
    assert_int_equal(hw.nr_sent, 0);
}

static void absent(void **state)
{
    (void)state;
    start();
    hw.present = false;
    assert_int_equal(init(115200), ERR_NOENT);
    uart.sink.write(&uart.sink, "lost\n", 5);
    assert_int_equal(uart16550_read(&uart), -1);
    hw.present = true;
    uart.sink.write(&uart.sink, "lost\n", 5);
    assert_int_equal(hw.nr_sent, 0);

    start(); /* one of the two signs of life is enough */
    hw.scratch = false;
    assert_int_equal(init(115200), 0);
    start();
    hw.loopback = false;
    assert_int_equal(init(115200), 0);
    start();
    hw.scratch = hw.loopback = false;
    assert_int_equal(init(115200), ERR_NOENT);
}

static void output(void **state)
{
    char text[100];

    (void)state;
    for (u32 chip = 0; chip < 2; chip++) {
        start();
        hw.fifo_chip = chip;
        hw.slow = 3;
        assert_int_equal(init(115200), 0);
        for (u32 i = 0; i < sizeof(text); i++)
            text[i] = 'A' + i % 26;
        uart16550_write(&uart, text, sizeof(text));
        assert_int_equal(hw.nr_sent, sizeof(text));
        assert_memory_equal(hw.sent, text, sizeof(text));
        assert_int_equal(hw.overflows, 0);
    }
    /* raw output is not touched; the sink's gets its CRs, but never two of them, not even over two writes */
    start();
    assert_int_equal(init(115200), 0);
    uart16550_write(&uart, "a\n", 2);
    uart.sink.write(&uart.sink, "b\n\nc\r\nd\r", 8);
    uart.sink.write(&uart.sink, "\n", 1);
    assert_int_equal(hw.nr_sent, strlen("a\nb\r\n\r\nc\r\nd\r\n"));
    assert_memory_equal(hw.sent, "a\nb\r\n\r\nc\r\nd\r\n", hw.nr_sent);
}

/* Registers in memory: the last value written to each is what it reads. */
static void in_memory(void **state)
{
    struct serial_port at = {.base = 0xfe030000, .baud = 9600, .kind = SERIAL_MMIO};
    u8 bytes[8] = {0};
    u32 words[8] = {0};

    (void)state;
    bytes[REG_LSR] = LSR_THR_EMPTY | LSR_DATA;
    assert_int_equal(uart16550_init(&uart, &at, bytes), 0);
    assert_int_equal(bytes[REG_DATA], 12);
    assert_int_equal(bytes[REG_LCR], 3);
    uart16550_write(&uart, "x", 1);
    assert_int_equal(bytes[REG_DATA], 'x');
    assert_int_equal(uart16550_read(&uart), 'x');

    at.shift = 2;
    at.wide = true;
    words[REG_LSR] = LSR_THR_EMPTY;
    assert_int_equal(uart16550_init(&uart, &at, words), 0);
    assert_int_equal(words[REG_DATA], 12);
    uart16550_write(&uart, "y", 1);
    assert_int_equal(words[REG_DATA], 'y');
    assert_int_equal(uart16550_read(&uart), -1);
    words[REG_LSR] = 0xff; /* the card is gone: all reads are ones, and nothing waits */
    assert_int_equal(uart16550_read(&uart), -1);
    assert_int_equal(uart16550_init(&uart, &at, words), ERR_NOENT);
    uart16550_write(&uart, "z", 1);
    assert_int_equal(words[REG_DATA], 'y');
}

static void stuck(void **state)
{
    u32 first;

    (void)state;
    start();
    assert_int_equal(init(115200), 0);
    hw.moves = false;
    uart16550_write(&uart, "0123456789abcdefXYZ", 19); /* 16 fit, the rest is given up */
    assert_int_equal(hw.nr_sent, 16);
    first = hw.status_reads;
    uart16550_write(&uart, "more", 4); /* no long wait a second time */
    assert_int_equal(hw.status_reads, first + 1);
    assert_int_equal(hw.nr_sent, 16);
    hw.moves = true;
    hw.depth = 0;
    uart16550_write(&uart, "again", 5);
    assert_int_equal(hw.nr_sent, 21);
    assert_memory_equal(hw.sent + 16, "again", 5);
}

static void input(void **state)
{
    (void)state;
    start();
    assert_int_equal(init(115200), 0);
    assert_int_equal(uart16550_read(&uart), -1);
    hw.received = 0xff;
    hw.has_received = true;
    assert_int_equal(uart16550_read(&uart), 0xff);
    assert_int_equal(uart16550_read(&uart), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory),
        cmocka_unit_test(set_up),
        cmocka_unit_test(as_much_as_there_is_room_for),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(absent),
        cmocka_unit_test(output),
        cmocka_unit_test(stuck),
        cmocka_unit_test(input),
    };

    return cmocka_run_group_tests_name("uart16550", tests, NULL, NULL);
}
