/* SPDX-License-Identifier: MIT */
/* links: lib/symbols.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/symbols.h"

/* A table as scripts/symbols.py makes it. */
const u64 symbol_base = 0xffffffff80000100;
const u32 symbol_count = 4;
const u32 symbol_offsets[] = {0, 0x20, 0x21, 0x1000};
const char symbol_names[] = "start\0f\0a_longer_name.part.0\0";

static void expect(u64 addr, const char *name, u64 offset)
{
    u64 found = 12345;
    const char *got = symbol_name(addr, &found);

    if (!name) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, name);
    assert_int_equal(found, offset);
}

static void test_lookup(void **state)
{
    (void)state;
    expect(0xffffffff80000100, "start", 0);
    expect(0xffffffff8000011f, "start", 0x1f);
    expect(0xffffffff80000120, "f", 0);
    expect(0xffffffff80000121, "a_longer_name.part.0", 0);
    expect(0xffffffff800010ff, "a_longer_name.part.0", 0xfde);
}

static void test_outside(void **state)
{
    (void)state;
    expect(0xffffffff800000ff, NULL, 0);
    expect(0, NULL, 0);
    expect(0xffffffff80001100, NULL, 0);
    expect(~0ull, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
