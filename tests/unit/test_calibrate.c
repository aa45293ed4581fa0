/* SPDX-License-Identifier: MIT */
/* links: lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "drivers/calibrate.c"

/* Time passes as the driver looks at it: a nanosecond count from which every clock is derived. */
static struct {
    u64 ns, tsc_hz, read_ns;
    bool pm_stuck, pit_stuck;
    double pm_factor; /* the PM timer's speed against its true one */
    u8 gate, pit_command;
    u32 pit_writes, pit_reads;
    u16 pit_latch;
} hw;

static u64 ticks(u64 period_fs)
{
    return (unsigned __int128)hw.ns * 1000000 / period_fs;
}

static u32 fake_in(u16 port, u32 size)
{
    hw.ns += hw.read_ns;
    switch (port) {
    case 0x608:
        assert_int_equal(size, 4);
        return (hw.pm_stuck ? 77 : (u64)(ticks(PM_TIMER_PERIOD) * hw.pm_factor)) & 0xffffff;
    case 0x61:
        return hw.gate;
    case 0x42:
        return hw.pit_reads++ % 2 ? hw.pit_latch >> 8 : hw.pit_latch & 0xff;
    }
    fail_msg("read of port %#x", port);
    return 0;
}

static void fake_out(u16 port, u32 size, u32 value)
{
    assert_int_equal(size, 1);
    switch (port) {
    case 0x61:
        hw.gate = value;
        return;
    case 0x43:
        hw.pit_command = value;
        if (value == 0x80)
            hw.pit_latch = hw.pit_stuck || hw.pit_writes < 2 || !(hw.gate & 1)
                               ? 5
                               : 0xffff - ticks(PIT_PERIOD) % 0x10000;
        return;
    case 0x42:
        assert_int_equal(value, 0);
        hw.pit_writes++;
        return;
    }
    fail_msg("write to port %#x", port);
}

static u64 fake_tsc(void)
{
    hw.ns += 7;
    return (unsigned __int128)hw.ns * hw.tsc_hz / 1000000000;
}

static char warnings[1024];
static u32 nr_warnings;

static void warn(const char *text)
{
    size_t n = strlen(warnings);

    nr_warnings++;
    snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

static void start(u64 hz)
{
    memset(&hw, 0, sizeof(hw));
    hw.ns = 123456789;
    hw.tsc_hz = hz;
    hw.read_ns = 600;
    hw.pm_factor = 1;
    hw.gate = 0xfe;
    warnings[0] = 0;
    nr_warnings = 0;
}

static struct calibration result;

static void near_to(u64 hz, const char *source)
{
    assert_string_equal(result.source, source);
    if (result.hz < hz - hz / 500 || result.hz > hz + hz / 500)
        fail_msg("%lu Hz instead of %lu", result.hz, hz);
}

static const u64 speeds[] = {50000000, 1000000000, 2893202000, 6000000000};

static void pm_timer(void **state)
{
    struct calibrate_sources s = {.pm_timer = 0x608};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(speeds); i++) {
        start(speeds[i]);
        assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
        near_to(speeds[i], "ACPI PM timer");
        assert_int_equal(nr_warnings, 0);
        assert_true(hw.ns - 123456789 < 20000000);
    }
    /* 24 bits that wrap around in the middle */
    start(2000000000);
    hw.ns = 0xffffffull * PM_TIMER_PERIOD / 1000000 - 1000000;
    assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
    near_to(2000000000, "ACPI PM timer");
}

static void pit(void **state)
{
    struct calibrate_sources s = {.pit = true};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(speeds); i++) {
        start(speeds[i]);
        assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
        near_to(speeds[i], "PIT");
        assert_int_equal(nr_warnings, 0);
        assert_int_equal(hw.gate & 3, 1); /* counting, and silent */
    }
}

/* Memory does not move while it is read, so an HPET in plain memory is one that stands still. */
static void broken_timers(void **state)
{
    static u64 hpet[128];
    struct calibrate_sources s = {.hpet = hpet, .pm_timer = 0x608, .pit = true};

    (void)state;
    start(1000000000);
    hpet[0] = 10000000ull << 32;
    assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
    near_to(1000000000, "ACPI PM timer");
    assert_non_null(strstr(warnings, "HPET stands still"));
    assert_int_equal(nr_warnings, 1);
    assert_int_equal(hpet[2], 1); /* it was switched on */

    for (u32 bad = 0; bad < 2; bad++) {
        start(1000000000);
        hpet[0] = bad ? 100000001ull << 32 : 0;
        assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
        near_to(1000000000, "ACPI PM timer");
        assert_non_null(strstr(warnings, bad ? "HPET: a period of 100000001 fs" : "HPET: a period of 0 fs"));
    }

    s.hpet = NULL;
    start(1000000000);
    hw.pm_stuck = true;
    assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
    near_to(1000000000, "PIT");
    assert_non_null(strstr(warnings, "ACPI PM timer stands still"));

    start(1000000000);
    hw.pm_stuck = hw.pit_stuck = true;
    assert_int_equal(calibrate_tsc(&s, &result, warn), ERR_NOENT);
    assert_non_null(strstr(warnings, "PIT stands still"));
    assert_int_equal(result.hz, 0);
    s = (struct calibrate_sources){0};
    assert_int_equal(calibrate_tsc(&s, &result, warn), ERR_NOENT);
}

static void disagreement(void **state)
{
    struct calibrate_sources s = {.pm_timer = 0x608, .pit = true};

    (void)state;
    start(1000000000);
    hw.pm_factor = 1.2;
    assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
    assert_int_equal(nr_warnings, 1);
    assert_non_null(strstr(warnings, "by the ACPI PM timer, but at"));
    start(1000000000);
    hw.pm_factor = 1.01; /* as good as such timers are */
    assert_int_equal(calibrate_tsc(&s, &result, warn), 0);
    assert_int_equal(nr_warnings, 0);
}

static void each_by_itself(void **state)
{
    struct calibrate_sources s = {.pm_timer = 0x608, .pit = true};
    const char *name;

    (void)state;
    start(1000000000);
    assert_int_equal(calibrate_against(&s, 0, &name), 0); /* no HPET */
    assert_string_equal(name, "HPET");
    for (u32 n = 1; n < 3; n++) {
        result = (struct calibration){calibrate_against(&s, n, &name), name};
        near_to(1000000000, n == 1 ? "ACPI PM timer" : "PIT");
    }
    assert_int_equal(calibrate_against(&s, 3, &name), 0);
    assert_null(name);
}

static void medians(void **state)
{
    (void)state;
    for (u32 a = 1; a <= 3; a++)
        for (u32 b = 1; b <= 3; b++)
            if (a != b)
                assert_int_equal(median3((u64[]){a, b, 6 - a - b}), 2);
    assert_int_equal(median3((u64[]){5, 9, 5}), 5);
    assert_true(near(100, 101, 100) && near(101, 100, 100) && !near(100, 102, 100) && !near(0, 100, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pm_timer),       cmocka_unit_test(pit),
        cmocka_unit_test(broken_timers),  cmocka_unit_test(disagreement),
        cmocka_unit_test(each_by_itself), cmocka_unit_test(medians),
    };

    return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
