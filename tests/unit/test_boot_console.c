/* SPDX-License-Identifier: MIT */
/* links: vmm/config.c vmm/config_options.c vmm/config_serial.c vmm/config_given.c */
/* links: boot/cmdline.c lib/format.c lib/str_copy.c lib/text.c */
/* Which serial port becomes the console, of those that a machine has and those that it is told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "boot/console.c"
#include "lib/format.h"

struct machine machine;
static struct acpi_spcr spcr;
static bool have_spcr;
static u64 there[4]; /* where UARTs answer */
static const struct log_sink *sink;
static char said[256];

int acpi_parse_spcr(const struct acpi *a, struct acpi_spcr *s)
{
    (void)a;
    *s = spcr;
    return have_spcr ? OK : ERR_NOENT;
}

void *vmap(paddr_t pa, u64 size, u64 prot)
{
    assert_int_equal(prot, MAP_WRITE | MAP_UNCACHED);
    assert_true(size >= 8);
    return (void *)(uintptr_t)pa;
}

int uart16550_init(struct uart16550 *u, const struct serial_port *at, volatile void *regs)
{
    assert_true((at->kind == SERIAL_MMIO) == (regs != NULL));
    *u = (struct uart16550){.at = *at};
    for (u32 i = 0; i < ARRAY_SIZE(there); i++)
        if (at->base && there[i] == at->base)
            return OK;
    u->at.kind = SERIAL_NONE;
    return ERR_NOENT;
}

void uart16550_drain(struct uart16550 *u)
{
    (void)u;
}

void log_add_sink(struct log_sink *s)
{
    assert_null(sink);
    sink = s;
}

void log_remove_sink(struct log_sink *s)
{
    if (sink == s)
        sink = NULL;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    (void)level;
    va_start(args, fmt);
    format_va(said, sizeof(said), fmt, args);
    va_end(args);
}

static const char *taken(enum config_given kind, u64 first, u64 last)
{
    return kind == GIVEN_MMIO && last < MiB(64)  ? "the machine has memory there"
           : kind == GIVEN_PORT && first == 0x60 ? "Nidus needs it"
                                                 : NULL;
}

const struct given_machine machine_given = {.taken = taken};

static int setup(void **state)
{
    (void)state;
    memset(uarts, 0, sizeof(uarts));
    memset(&machine, 0, sizeof(machine));
    memset(there, 0, sizeof(there));
    current = &uarts[0];
    asked_for = have_spcr = false;
    machine.have_acpi = true;
    sink = NULL;
    said[0] = 0;
    there[0] = 0x3f8;
    there[1] = 0x2f8;
    return 0;
}

static void firmware(u8 type, struct acpi_gas base, u32 gsi, u32 baud)
{
    have_spcr = true;
    spcr = (struct acpi_spcr){.base = base, .interface = type, .gsi = gsi, .baud = baud};
    console_from_firmware();
}

static void config(const char *text)
{
    char copy[64];
    struct config c = {0};

    strcpy(copy, text);
    if (*text)
        assert_true(config_serial_port(copy, &c.console));
    console_from_config(&c);
}

static void check(u64 base, s32 irq)
{
    assert_ptr_equal(console_uart(), current);
    assert_int_equal(current->at.kind > SERIAL_NONE ? current->at.base : 0, base);
    assert_ptr_equal(sink, base ? &current->sink : NULL);
    if (base)
        assert_int_equal(current->at.irq, irq);
}

static void who_has_more_to_say(void **state)
{
    static const struct acpi_gas com2 = {ACPI_SPACE_IO, 8, 0, 1, 0x2f8};

    (void)state;
    console_begin();
    console_from_cmdline("quiet xconsole=com2 console");
    config("");
    check(0x3f8, 4);
    firmware(0, com2, 3, 0);
    check(0x2f8, 3);
    assert_int_equal(current->at.baud, 0);
    config("com1,9600");
    check(0x3f8, 4);
    assert_int_equal(current->at.baud, 9600);

    setup(NULL);
    console_begin();
    console_from_cmdline("a console=com2,57600 b");
    check(0x2f8, 3);
    firmware(0, (struct acpi_gas){ACPI_SPACE_IO, 8, 0, 1, 0x3f8}, 4, 0);
    config("com1");
    check(0x2f8, 3);

    setup(NULL); /* com1, without its interrupt */
    console_begin();
    firmware(0, (struct acpi_gas){ACPI_SPACE_IO, 8, 0, 1, 0x3f8}, 0, 115200);
    check(0x3f8, 4);

    setup(NULL); /* none at all: messages are on the screen */
    console_begin();
    console_from_cmdline("console=none");
    check(0, 0);
    assert_string_equal(said, "");

    setup(NULL);
    console_begin();
    config("com1,115200,irq7"); /* the same place: the log is not shown twice */
    assert_ptr_equal(current, &uarts[0]);
    check(0x3f8, 7);
}

static void mistakes(void **state)
{
    (void)state;
    console_begin();
    console_from_cmdline("console=com9,9600");
    assert_string_equal(said, "command line: unknown console 'com9,9600'; use " CONFIG_SERIAL_PORTS);
    console_from_cmdline("console=com4");
    assert_string_equal(said,
                        "command line: console: no UART answers at port 0x2e8; staying where the log began");
    check(0x3f8, 4);
    console_from_cmdline("console=mmio:0x100000");
    assert_string_equal(said,
                        "command line: console: the machine has memory there at address 0x100000; staying "
                        "where the log began");
    console_from_cmdline("console=port:0x60");
    check(0x3f8, 4);

    setup(NULL); /* no legacy port, and what was said later is there */
    there[0] = 0;
    console_begin();
    check(0, 0);
    config("com2");
    check(0x2f8, 3);
}

static void what_firmware_says(void **state)
{
    (void)state;
    there[2] = 0xfe030000;
    console_begin();
    firmware(0x12, (struct acpi_gas){ACPI_SPACE_MEMORY, 32, 0, 3, 0xfe030000}, 19, 115200);
    check(0xfe030000, 19);
    assert_true(current->at.wide && current->at.shift == 2);

    setup(NULL);
    there[2] = 0xfe030000;
    console_begin();
    firmware(1, (struct acpi_gas){ACPI_SPACE_MEMORY, 16, 0, 1, 0xfe030000}, 99, 9600);
    check(0xfe030000, SERIAL_NO_IRQ);
    assert_true(!current->at.wide && current->at.shift == 1);

    setup(NULL); /* a PL011, a space that is none, an address that is not aligned, redirection switched off */
    console_begin();
    firmware(3, (struct acpi_gas){ACPI_SPACE_MEMORY, 32, 0, 3, 0xfe030000}, 0, 0);
    assert_string_equal(said,
                        "ACPI SPCR: a serial port that is no 16550 (type 3, at 0xfe030000) is not used");
    firmware(0, (struct acpi_gas){2, 8, 0, 1, 0x2f8}, 0, 0);
    firmware(0, (struct acpi_gas){ACPI_SPACE_MEMORY, 8, 0, 3, 0xfe030002}, 0, 0);
    said[0] = 0;
    firmware(0, (struct acpi_gas){ACPI_SPACE_IO, 8, 0, 1, 0}, 0, 0);
    assert_string_equal(said, "");
    check(0x3f8, 4);
}

static void words(void **state)
{
    char value[4];

    (void)state;
    assert_true(cmdline_has("a self-test b", "self-test"));
    assert_true(cmdline_has("self-test", "self-test"));
    assert_false(cmdline_has("", "self-test"));
    assert_false(cmdline_has("self-tests xself-test self", "self-test"));
    assert_true(cmdline_value("  x=  y=12345\tz=1", "y=", value, sizeof(value)));
    assert_string_equal(value, "123");
    assert_true(cmdline_value("x= y=1", "x=", value, sizeof(value)));
    assert_string_equal(value, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_has_more_to_say, setup),
        cmocka_unit_test_setup(mistakes, setup),
        cmocka_unit_test_setup(what_firmware_says, setup),
        cmocka_unit_test(words),
    };

    return cmocka_run_group_tests_name("boot console", tests, NULL, NULL);
}
