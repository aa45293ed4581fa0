/* SPDX-License-Identifier: MIT */
/* links: drivers/ioapic.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "drivers/ioapic.h"

/*
 * The driver writes a register number to one word and its value to another, in plain memory: what is behind
 * the window cannot be seen. So each test looks at the last write of all, and init() at what one register
 * reads as.
 */
static u32 window[8];
static struct ioapic io;

/* All registers read as value: version and number of entries come from one of them. */
static int init(u32 value, u32 gsi_base)
{
    memset(window, 0, sizeof(window));
    window[4] = value;
    return ioapic_init(&io, window, gsi_base);
}

static void identity(void **state)
{
    (void)state;
    assert_int_equal(init(0x05170011, 24), 0);
    assert_int_equal(io.version, 0x11);
    assert_int_equal(io.entries, 24);
    assert_int_equal(io.id, 5);
    assert_int_equal(io.gsi_base, 24);
    assert_int_equal(window[0], 0x10 + 2 * 23); /* masked up to the last entry */
    assert_int_equal(window[4], 0x10000);
    assert_int_equal(init(0xffffffff, 0), ERR_NOENT);
    assert_int_equal(init(0, 0), ERR_NOENT);
}

static void routes(void **state)
{
    (void)state;
    init(0x05170011, 24);
    assert_int_equal(ioapic_route(&io, 24, 0x30, 3, false, false), 0);
    assert_int_equal(window[0], 0x10);
    assert_int_equal(window[4], 0x30);
    assert_int_equal(ioapic_route(&io, 47, 0xfe, 254, true, true), 0);
    assert_int_equal(window[0], 0x10 + 2 * 23);
    assert_int_equal(window[4], 0xa0fe);
    assert_int_equal(ioapic_route(&io, 30, 0x40, 0, true, false), 0);
    assert_int_equal(window[4], 0x8040);
    assert_int_equal(ioapic_route(&io, 30, 0x40, 0, false, true), 0);
    assert_int_equal(window[4], 0x2040);
    assert_int_equal(ioapic_mask(&io, 30, true), 0);
    assert_int_equal(window[0], 0x10 + 2 * 6);
    assert_int_equal(window[4], 0x12040);
    assert_int_equal(ioapic_mask(&io, 30, false), 0);
    assert_int_equal(window[4], 0x2040);
}

static void refusals(void **state)
{
    u32 before[8];

    (void)state;
    init(0x05170011, 24);
    memcpy(before, window, sizeof(before));
    assert_int_equal(ioapic_route(&io, 23, 0x30, 0, false, false), ERR_RANGE);
    assert_int_equal(ioapic_route(&io, 48, 0x30, 0, false, false), ERR_RANGE);
    assert_int_equal(ioapic_route(&io, 24, 15, 0, false, false), ERR_INVAL);
    assert_int_equal(ioapic_route(&io, 24, 255, 0, false, false), ERR_INVAL);
    assert_int_equal(ioapic_route(&io, 24, 0x30, 255, false, false), ERR_UNSUPP);
    assert_int_equal(ioapic_mask(&io, 48, true), ERR_RANGE);
    assert_int_equal(ioapic_mask(&io, 23, false), ERR_RANGE);
    assert_memory_equal(before, window, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(identity), cmocka_unit_test(routes),
                                       cmocka_unit_test(refusals)};

    return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
