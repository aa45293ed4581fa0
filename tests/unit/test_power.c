/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "drivers/power.c"

/* Every write but those that only pass time. */
static struct {
    u16 port;
    u32 size, value;
} log_of[64];
static u32 nr;
static u16 pm1[2];    /* 0x604 and 0x704 */
static u32 sci_after; /* reads until firmware has switched to ACPI mode */
static bool keyboard_full;

static u32 fake_in(u16 port, u32 size)
{
    if (port == 0x604 || port == 0x704) {
        assert_int_equal(size, 2);
        if (port == 0x604 && sci_after && !--sci_after)
            pm1[0] |= 1;
        return pm1[port == 0x704];
    }
    assert_int_equal(port, 0x64);
    return keyboard_full ? 2 : 0;
}

static void fake_out(u16 port, u32 size, u32 value)
{
    if (port == IO_DELAY_PORT)
        return;
    assert_true(nr < ARRAY_SIZE(log_of));
    log_of[nr].port = port;
    log_of[nr].size = size;
    log_of[nr++].value = value;
    if (port == 0x604 || port == 0x704)
        pm1[port == 0x704] = value;
}

static u64 fake_tsc(void)
{
    return 0;
}

static void start(void)
{
    nr = sci_after = 0;
    pm1[0] = pm1[1] = 0;
    keyboard_full = false;
}

static void expect(u32 i, u16 port, u32 size, u32 value)
{
    assert_true(i < nr);
    assert_int_equal(log_of[i].port, port);
    assert_int_equal(log_of[i].size, size);
    assert_int_equal(log_of[i].value, value);
}

static void expect_shutdown(u32 from)
{
    assert_int_equal(nr, from + 8);
    for (u32 i = 0; i < 8; i++)
        expect(from + i, 0x8900, 1, "Shutdown"[i]);
}

static const struct acpi_s5 s5 = {.slp_typ_a = 5, .slp_typ_b = 3};

static struct acpi_gas io(u64 port)
{
    return (struct acpi_gas){.space = ACPI_SPACE_IO, .address = port};
}

static void soft_off(void **state)
{
    struct acpi_fadt f = {.pm1a_control = io(0x604), .pm1b_control = io(0x704)};
    struct power p = {.fadt = &f, .s5 = &s5};

    (void)state;
    start();
    pm1[0] = 0x3c03; /* other bits stay, old sleep bits do not */
    power_off(&p);
    expect(0, 0x604, 2, 0x0003 | 5 << 10);
    expect(1, 0x704, 2, 3 << 10);
    expect(2, 0x604, 2, 0x0003 | 5 << 10 | 0x2000);
    expect(3, 0x704, 2, 3 << 10 | 0x2000);
    expect_shutdown(4);

    start(); /* most machines have one block only */
    f.pm1b_control.address = 0;
    power_off(&p);
    expect(0, 0x604, 2, 5 << 10);
    expect(1, 0x604, 2, 5 << 10 | 0x2000);
    expect_shutdown(2);
}

static void acpi_mode(void **state)
{
    struct acpi_fadt f = {.pm1a_control = io(0x604), .smi_command = 0xb2, .acpi_enable = 0xf1};
    struct power p = {.fadt = &f, .s5 = &s5};

    (void)state;
    start();
    sci_after = 20;
    power_off(&p);
    expect(0, 0xb2, 1, 0xf1);
    expect(1, 0x604, 2, 5 << 10 | 1);
    start(); /* there already */
    pm1[0] = 1;
    power_off(&p);
    expect(0, 0x604, 2, 5 << 10 | 1);
    start(); /* firmware that never answers does not hold us up */
    power_off(&p);
    expect(0, 0xb2, 1, 0xf1);
    expect_shutdown(3);
}

static void without_acpi(void **state)
{
    struct acpi_fadt f = {.pm1a_control = {.space = ACPI_SPACE_MEMORY, .address = 0x604}};
    struct power p = {0};

    (void)state;
    start();
    power_off(&p);
    expect_shutdown(0);
    p.fadt = &f;
    start();
    power_off(&p); /* no \_S5_ */
    expect_shutdown(0);
    p.s5 = &s5;
    start();
    power_off(&p); /* no ports */
    expect_shutdown(0);
    f = (struct acpi_fadt){.pm1a_control = io(0x12345)};
    start();
    power_off(&p);
    expect_shutdown(0);
}

static void reset(void **state)
{
    struct acpi_fadt f = {.reset_supported = true, .reset = io(0xb0), .reset_value = 0x42};
    struct power p = {.fadt = &f};
    u8 reg = 0;

    (void)state;
    start();
    power_reset(&p);
    expect(0, 0xb0, 1, 0x42);
    expect(1, 0xcf9, 1, 0x0a);
    expect(2, 0xcf9, 1, 0x0e);
    expect(3, 0x64, 1, 0xfe);
    assert_int_equal(nr, 4);

    start(); /* in memory */
    f.reset.space = ACPI_SPACE_MEMORY;
    power_reset(&p);
    assert_int_equal(nr, 3);
    p.reset_mapped = &reg;
    power_reset(&p);
    assert_int_equal(reg, 0x42);

    for (u32 without = 0; without < 3; without++) {
        start();
        keyboard_full = true; /* never ready: written to all the same */
        f = (struct acpi_fadt){.reset_supported = without, .reset = io(without == 1 ? 0 : 0x10000)};
        p.fadt = without ? &f : NULL;
        power_reset(&p);
        expect(0, 0xcf9, 1, 0x0a);
        expect(2, 0x64, 1, 0xfe);
        assert_int_equal(nr, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soft_off),
        cmocka_unit_test(acpi_mode),
        cmocka_unit_test(without_acpi),
        cmocka_unit_test(reset),
    };

    return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
