/* SPDX-License-Identifier: MIT */
/* links: drivers/ioapic.c drivers/acpi.c drivers/acpi_madt.c drivers/acpi_tables.c lib/format.c */
/* What nobody may be given of a machine, and where its lines arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "boot/given.c"

struct machine machine;
static struct uart16550 uart;
static struct boot_info info;
static u32 window[2][8];

static int setup(void **state)
{
    static struct {
        struct acpi_header h;
        u32 block;
        struct acpi_gas base;
    } __packed hpet = {{.signature = "HPET", .length = sizeof(hpet)}, 0, {0, 0, 0, 0, 0xfed00000}};

    (void)state;
    memset(&machine, 0, sizeof(machine));
    machine.boot = &info;
    info = (struct boot_info){.nr_ranges = 4};
    info.ranges[0] = (struct boot_range){0, 0x9f000, BOOT_RANGE_RAM, 0};
    info.ranges[1] = (struct boot_range){0xf0000, 0x10000, BOOT_RANGE_RESERVED, 0};
    info.ranges[2] = (struct boot_range){MiB(1), MiB(63), BOOT_RANGE_RAM, 0};
    info.ranges[3] = (struct boot_range){MiB(64), 0x10000, BOOT_RANGE_ACPI, 0};
    info.fb =
        (struct boot_framebuffer){.base = 0xb8000, .type = BOOT_FB_EGA_TEXT, .pitch = 160, .height = 25};
    uart.at = SERIAL_COM1;
    machine.console = &uart;
    machine.have_acpi = machine.have_madt = machine.have_fadt = true;
    machine.acpi.nr_tables = 1;
    machine.acpi.tables[0] = &hpet.h;
    machine.fadt.sci_irq = 9;
    machine.fadt.smi_command = 0xb2;
    machine.fadt.pm1a_control = (struct acpi_gas){ACPI_SPACE_IO, 16, 0, 0, 0xb004};
    machine.fadt.pm_timer = (struct acpi_gas){ACPI_SPACE_IO, 32, 0, 0, 0xb008};
    machine.madt.nr_ioapics = 2;
    machine.madt.ioapics[0].address = 0xfec00000;
    machine.madt.ioapics[1].address = 0xfec01000;
    machine.madt.nr_overrides = 3;
    machine.madt.overrides[0] = (struct acpi_override){2, 0, 0};
    machine.madt.overrides[1] = (struct acpi_override){5, 0xf, 5};
    machine.madt.overrides[2] = (struct acpi_override){20, 0xd, 11};
    for (u32 i = 0; i < 2; i++) {
        memset(window[i], 0, sizeof(window[i]));
        window[i][4] = 15 << 16 | 0x20;
        assert_int_equal(ioapic_init(&machine.ioapics[i], window[i], 16 * i), OK);
    }
    return 0;
}

static void test_taken(void **state)
{
    static const struct {
        enum config_given kind;
        u64 first, last;
        const char *what;
    } row[] = {
        {GIVEN_PORT, 0x2f8, 0x2ff, NULL},
        {GIVEN_PORT, 0, 0x1f, NULL},
        {GIVEN_PORT, 0, 0x20, "Nidus needs it"},
        {GIVEN_PORT, 0xa1, 0xb1, "Nidus needs it"},
        {GIVEN_PORT, 0x4d1, 0x4d1, "Nidus needs it"},
        {GIVEN_PORT, 0x43, 0x43, "Nidus needs it"},
        {GIVEN_PORT, 0x61, 0x61, "Nidus needs it"},
        {GIVEN_PORT, 0x65, 0x6f, NULL},
        {GIVEN_PORT, 0x71, 0x7f, "Nidus needs it"},
        {GIVEN_PORT, 0x80, 0x80, "Nidus needs it"},
        {GIVEN_PORT, 0x92, 0x92, "Nidus needs it"},
        {GIVEN_PORT, 0xcf9, 0xcf9, "it configures PCI devices"},
        {GIVEN_PORT, 0xd00, 0xd00, NULL},
        {GIVEN_PORT, 0x3f0, 0x3f8, "Nidus's serial port has it"},
        {GIVEN_PORT, 0x3ff, 0x3ff, "Nidus's serial port has it"},
        {GIVEN_PORT, 0x3f0, 0x3f7, NULL},
        {GIVEN_PORT, 0xb005, 0xb005, "Nidus needs it"},
        {GIVEN_PORT, 0xb006, 0xb007, NULL},
        {GIVEN_PORT, 0xb00b, 0xffff, "Nidus needs it"},
        {GIVEN_PORT, 0xb2, 0xb2, "Nidus needs it"},
        {GIVEN_PORT, 0, 0xffff, "Nidus needs it"},
        {GIVEN_PORT, 0x8900, 0x8900, "Nidus needs it"},
        {GIVEN_MMIO, 0xb9000, 0xbffff, NULL},
        {GIVEN_MMIO, 0xb8000, 0xbffff, "Nidus's screen is there"},
        {GIVEN_MMIO, 0xf0000, 0xfffff, NULL},
        {GIVEN_MMIO, 0x9e000, 0xbffff, "the machine has memory there"},
        {GIVEN_MMIO, MiB(64), MiB(65) - 1, "the machine has memory there"},
        {GIVEN_MMIO, 0xfec00000, 0xfec00fff, "Nidus needs it"},
        {GIVEN_MMIO, 0xfec01000, 0xfecfffff, "Nidus needs it"},
        {GIVEN_MMIO, 0xfec02000, 0xfecfffff, NULL},
        {GIVEN_MMIO, 0xfed00000, 0xfed00fff, "Nidus needs it"},
        {GIVEN_MMIO, 0xfeeff000, 0xfeffffff, "Nidus needs it"},
        {GIVEN_MMIO, 0xfef00000, 0xfeffffff, NULL},
        {GIVEN_IRQ, 3, 3, NULL},
        {GIVEN_IRQ, 4, 4, "Nidus's serial port has it"},
        {GIVEN_IRQ, 9, 9, "Nidus needs it"},
        {GIVEN_IRQ, 11, 11, NULL},
        {GIVEN_IRQ, 20, 20, "an ISA line arrives there"},
        {GIVEN_IRQ, 21, 21, NULL},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        const char *what = machine_given.taken(row[i].kind, row[i].first, row[i].last);

        if (row[i].what)
            assert_string_equal(what ? what : "nothing", row[i].what);
        else
            assert_null(what);
    }
    machine.gdb = &(struct uart16550){.at = {.kind = SERIAL_PORT, .base = 0x2f8, .irq = 3}};
    assert_string_equal(machine_given.taken(GIVEN_PORT, 0x2ff, 0x2ff), "GDB's serial port has it");
    assert_string_equal(machine_given.taken(GIVEN_IRQ, 3, 3), "GDB's serial port has it");
    machine.gdb->at = (struct serial_port){.kind = SERIAL_MMIO, .base = 0xfe000000, .irq = SERIAL_NO_IRQ};
    assert_string_equal(machine_given.taken(GIVEN_MMIO, 0xfe000000, 0xfe000fff), "GDB's serial port has it");
    assert_null(machine_given.taken(GIVEN_IRQ, 3, 3));
    machine.gdb = NULL;
    machine.have_acpi = machine.have_fadt = false;
    machine.console = NULL;
    info.fb.type = BOOT_FB_NONE;
    assert_null(machine_given.taken(GIVEN_PORT, 0x3f8, 0x3ff));
    assert_null(machine_given.taken(GIVEN_PORT, 0xb000, 0xb0ff));
    assert_null(machine_given.taken(GIVEN_MMIO, 0xb8000, 0xbffff));
    assert_null(machine_given.taken(GIVEN_IRQ, 4, 4));
}

static void test_console_in_memory(void **state)
{
    (void)state;
    uart.at = (struct serial_port){.base = 0xfe030000, .kind = SERIAL_MMIO, .irq = SERIAL_NO_IRQ};
    assert_string_equal(machine_given.taken(GIVEN_MMIO, 0xfe030000, 0xfe030fff),
                        "Nidus's serial port has it");
    assert_null(machine_given.taken(GIVEN_MMIO, 0xfe031000, 0xfe031fff));
    assert_null(machine_given.taken(GIVEN_PORT, 0x3f8, 0x3ff));
    assert_null(machine_given.taken(GIVEN_IRQ, 4, 4));
}

static void test_routes(void **state)
{
    bool level = true;

    (void)state;
    assert_int_equal(machine_route(3, 0x33, 1, &level), OK); /* edge, active high */
    assert_false(level);
    assert_int_equal(window[0][0], 0x10 + 2 * 3);
    assert_int_equal(window[0][4], 0x33);
    assert_int_equal(machine_route(5, 0x35, 1, &level), OK); /* its override: level, active low */
    assert_true(level);
    assert_int_equal(window[0][4], 0xa035);
    machine_given.mask(5, true);
    assert_int_equal(window[0][4], 0x1a035);
    machine_given.mask(5, false);
    assert_int_equal(window[0][4], 0xa035);
    assert_int_equal(machine_route(11, 0x3b, 1, &level), OK); /* at input 4 of the second */
    assert_int_equal(window[1][0], 0x10 + 2 * 4);
    assert_int_equal(window[1][4], 0x803b);
    assert_int_equal(machine_route(23, 0x47, 1, &level), OK);
    assert_true(level);
    assert_int_equal(window[1][4], 0xa047);
    machine_given.mask(23, true);
    assert_int_equal(window[1][4], 0x1a047);
    assert_int_equal(window[0][0], 0x10 + 2 * 5); /* the first has not been touched */
    assert_int_equal(machine_route(3, 0x33, 255, &level), ERR_UNSUPP);
    machine.ioapics[1].regs = NULL;
    assert_int_equal(machine_route(23, 0x47, 1, &level), ERR_RANGE);
    machine.have_madt = false;
    assert_int_equal(machine_route(3, 0x33, 1, &level), ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_taken, setup),
                                       cmocka_unit_test_setup(test_routes, setup),
                                       cmocka_unit_test_setup(test_console_in_memory, setup)};

    return cmocka_run_group_tests_name("boot/given", tests, NULL, NULL);
}
