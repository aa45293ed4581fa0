/* SPDX-License-Identifier: MIT */
/* links: lib/symbols.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/symbols.h"

#define CHAR(c) [c] = {c, c}

/* A table as scripts/symbols.py makes it: start, f, a_longer_name.part.0 and last. */
const u64 symbol_base = 0xffffffff80000100;
const u32 symbol_count = 4;
const u8 symbol_sizes[] = {0x20, 1, 0xdf, 0x1f, 0x80, 0x80, 1};
const u8 symbol_pairs[256][2] = {
    CHAR(0),   CHAR('.'), CHAR('0'),        CHAR('_'),      CHAR('a'),         CHAR('e'),           CHAR('f'),
    CHAR('g'), CHAR('l'), CHAR('m'),        CHAR('n'),      CHAR('o'),         CHAR('p'),           CHAR('r'),
    CHAR('s'), CHAR('t'), [1] = {'a', 'r'}, [2] = {1, 't'}, [0xff] = {'t', 0}, [0x80] = {'s', 0xff}};
const u8 symbol_names[] = {'s', 't', 2,   0,   'f', 0,   'a', '_', 'l', 'o', 'n', 'g', 'e', 'r',
                           '_', 'n', 'a', 'm', 'e', '.', 'p', 2,   '.', '0', 0,   'l', 'a', 0x80};

static void expect(u64 addr, const char *name, u64 offset)
{
    char got[SYMBOL_NAME_SIZE];
    u64 found = 12345;

    assert_int_equal(symbol_name(addr, got, &found), name != NULL);
    if (name) {
        assert_string_equal(got, name);
        assert_int_equal(found, offset);
    }
}

static void test_lookup(void **state)
{
    (void)state;
    expect(0xffffffff80000100, "start", 0);
    expect(0xffffffff8000011f, "start", 0x1f);
    expect(0xffffffff80000120, "f", 0);
    expect(0xffffffff80000121, "a_longer_name.part.0", 0);
    expect(0xffffffff800010ff, "a_longer_name.part.0", 0xfde);
    expect(0xffffffff80001100, "last", 0);
    expect(0xffffffff800050ff, "last", 0x3fff);
}

static void test_outside(void **state)
{
    (void)state;
    expect(0xffffffff800000ff, NULL, 0);
    expect(0, NULL, 0);
    expect(0xffffffff80005100, NULL, 0);
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
