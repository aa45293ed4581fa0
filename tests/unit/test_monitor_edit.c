/* SPDX-License-Identifier: MIT */
/* links: vmm/monitor/edit.c lib/text.c lib/str_copy.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/monitor/edit.h"

#define UP    "\x1b[A"
#define DOWN  "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT  "\x1b[D"

static enum edit_event type(struct edit *e, const char *keys)
{
    enum edit_event event = EDIT_NONE;

    while (*keys) {
        event = edit_key(e, *keys++);
        if (event == EDIT_LINE)
            edit_begin(e);
    }
    return event;
}

/* What keys make of a line: the cursor is a '|' in it. */
static void becomes(const char *keys, const char *expected)
{
    struct edit e = {0};
    char seen[EDIT_SIZE + 1];

    type(&e, keys);
    assert_int_equal(e.n, strlen(e.line));
    memcpy(seen, e.line, e.at);
    seen[e.at] = '|';
    strcpy(seen + e.at + 1, e.line + e.at);
    assert_string_equal(seen, expected);
}

static void test_keys(void **state)
{
    (void)state;
    becomes("regs rip", "regs rip|");
    becomes("abc\x01", "|abc");
    becomes("abc\x01\x05", "abc|");
    becomes("abc\x02\x02\x06", "ab|c");
    becomes("abc\x02X", "abX|c");
    becomes("abc\x7f", "ab|");
    becomes("abc\x02\x08", "a|c");
    becomes("\x7f\x08\x02\x06\x0b\x15\x17", "|");
    becomes("abc\x01\x04", "|bc");
    becomes("abc\x04", "abc|");
    becomes("abcd\x02\x02\x0b", "ab|");
    becomes("abcd\x02\x02\x15", "|cd");
    becomes("one two  three\x17", "one two  |");
    becomes("one two  \x17", "one |");
    becomes("one\x17\x17", "|");
    becomes("one two\x02\x17", "one |o");
    becomes("\xc3\xa4"
            "a\xff\x80\x7f"
            "b",
            "b|");
}

static void test_escape_sequences(void **state)
{
    (void)state;
    becomes("abc" LEFT LEFT "X" RIGHT "Y", "aXbY|c");
    becomes("abc\x1b[HX\x1b[FY", "XabcY|");
    becomes("abc\x1bOHX\x1bOFY", "XabcY|");
    becomes("abc\x1b[1~X\x1b[4~Y", "XabcY|");
    becomes("abc\x1b[7~X\x1b[8~Y", "XabcY|");
    becomes("abc\x1b[H\x1b[3~", "|bc");
    becomes("\x1b[3~a", "a|");                     /* nothing to delete, and no end of the monitor */
    becomes("a\x1b[1;5Cb\x1b[99999999~c", "abc|"); /* Ctrl-Right is Right; unknown */
    becomes("a\x1bxb\x1b[Zc\x1bOPd", "abcd|");     /* Alt-x, Shift-Tab, F1 */
    becomes("ab\x1b\x01X", "X|ab");                /* cut off by a control character */
    becomes("ab\x1b[\x1b[DX", "aX|b");
    becomes("ab\x1b[12\x7f", "a|");
    becomes("ab\x1b\x1b[DX", "aX|b");
}

static void test_events(void **state)
{
    struct edit e = {0};

    (void)state;
    assert_int_equal(type(&e, "a"), EDIT_CHANGED);
    assert_int_equal(type(&e, "\x06"), EDIT_NONE);
    assert_int_equal(type(&e, "\t"), EDIT_COMPLETE);
    assert_int_equal(type(&e, "\x03"), EDIT_CANCEL);
    assert_int_equal(type(&e, "\x0c"), EDIT_CHANGED);
    assert_int_equal(type(&e, "\x1d"), EDIT_CLOSE);
    assert_int_equal(type(&e, "\r"), EDIT_LINE);
    assert_int_equal(type(&e, "\n"), EDIT_NONE); /* of the same Enter */
    assert_int_equal(type(&e, "\n"), EDIT_LINE);
    assert_int_equal(type(&e, "\r"), EDIT_LINE);
    assert_int_equal(type(&e, "\r"), EDIT_LINE);
    assert_int_equal(type(&e, "\x04"), EDIT_CLOSE);
}

static void test_history(void **state)
{
    (void)state;
    becomes(UP DOWN, "|");
    becomes("one\rtwo\r\r" UP, "two|");
    becomes("one\rtwo\r" UP UP UP, "one|");
    becomes("one\rtwo\rhalf" UP UP DOWN DOWN DOWN, "half|");
    becomes("one\rone\rone\r" UP UP, "one|");
    becomes("one\rtwo\r" UP "X\r" UP, "twoX|");
    becomes("one\rtwo\r" UP "X\r" UP UP, "two|");
    becomes("one\rtwo\r" UP UP "\r" UP UP, "two|");
    becomes("\x10\x0e", "|");
}

static void test_history_forgets_the_oldest(void **state)
{
    struct edit e = {0};

    (void)state;
    for (u32 i = 0; i < 3 * EDIT_HISTORY; i++) {
        char line[] = {(char)('0' + i), '\r', 0};

        type(&e, line);
    }
    for (u32 i = 0; i < 2 * EDIT_HISTORY; i++)
        type(&e, UP);
    assert_int_equal(e.line[0], '0' + 2 * EDIT_HISTORY);
}

static void test_a_full_line_takes_no_more(void **state)
{
    struct edit e = {0};

    (void)state;
    for (u32 i = 0; i < 2 * EDIT_SIZE; i++)
        type(&e, "x");
    assert_int_equal(e.n, EDIT_SIZE - 1);
    assert_int_equal(type(&e, "\x01y"), EDIT_NONE);
    type(&e, "\x04");
    edit_insert(&e, "abc", 3);
    assert_int_equal(e.n, EDIT_SIZE - 1);
    assert_memory_equal(e.line, "ax", 2);
    assert_int_equal(e.line[EDIT_SIZE - 1], 0);
}

static void test_view_follows_the_cursor(void **state)
{
    struct edit e = {0};
    const char *text;
    u32 n;

    (void)state;
    type(&e, "0123456789");
    assert_int_equal(edit_view(&e, 20, &text, &n), 10);
    assert_int_equal(n, 10);
    assert_int_equal(edit_view(&e, 6, &text, &n), 5);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "56789", 5);
    type(&e, LEFT LEFT LEFT);
    assert_int_equal(edit_view(&e, 6, &text, &n), 2);
    type(&e, "\x01");
    assert_int_equal(edit_view(&e, 6, &text, &n), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(text, "012345", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_escape_sequences),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_history_forgets_the_oldest),
        cmocka_unit_test(test_a_full_line_takes_no_more),
        cmocka_unit_test(test_view_follows_the_cursor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
