/* SPDX-License-Identifier: MIT */
/* links: lib/text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/text.h"

static char buf[64];

static char *put(const char *text)
{
    assert_true(strlen(text) < sizeof(buf));
    return strcpy(buf, text);
}

static void blanks(void **state)
{
    (void)state;
    assert_string_equal(text_trim(put("")), "");
    assert_string_equal(text_trim(put(" \t ")), "");
    assert_string_equal(text_trim(put("a b")), "a b");
    assert_string_equal(text_trim(put("\t a \t b\t ")), "a \t b");
    assert_false(text_has_blank(""));
    assert_false(text_has_blank("a\n"));
    assert_true(text_has_blank("a b"));
    assert_true(text_has_blank("ab\t"));
}

static void splitting(void **state)
{
    (void)state;
    assert_string_equal(text_split_word(put("one")), "");
    assert_string_equal(text_split_word(put("one  two three ")), "two three");
    assert_string_equal(buf, "one");
    assert_string_equal(text_split_word(put("")), "");
    assert_null(text_split(put("one"), ','));
    assert_string_equal(buf, "one");
    assert_string_equal(text_split(put("one, two,three"), ','), " two,three");
    assert_string_equal(buf, "one");
    assert_string_equal(text_split(put(","), ','), "");
    assert_string_equal(buf, "");
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        bool good;
        u64 value;
        size_t used;
    } cases[] = {
        {"0", true, 0, 1},
        {"7x", true, 7, 1},
        {"007,8", true, 7, 3},
        {"18446744073709551615", true, ~0ull, 20},
        {"18446744073709551616", false, 0, 0},
        {"18446744073709551620", false, 0, 0},
        {"99999999999999999999999", false, 0, 0},
        {"", false, 0, 0},
        {"x", false, 0, 0},
        {"-1", false, 0, 0},
        {" 1", false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *at = cases[i].text;
        u64 value;

        assert_int_equal(text_take_number(&at, &value), cases[i].good);
        assert_int_equal(at - cases[i].text, cases[i].used);
        if (cases[i].good)
            assert_int_equal(value, cases[i].value);
    }
}

static void choosing(void **state)
{
    static const char *const names[] = {"off", "on"};

    (void)state;
    assert_int_equal(text_choose("off", names, 2), 0);
    assert_int_equal(text_choose("on", names, 2), 1);
    assert_int_equal(text_choose("on", names, 1), -1);
    assert_int_equal(text_choose("o", names, 2), -1);
    assert_int_equal(text_choose("ON", names, 2), -1);
    assert_int_equal(text_choose("", names, 2), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks),
        cmocka_unit_test(splitting),
        cmocka_unit_test(numbers),
        cmocka_unit_test(choosing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
