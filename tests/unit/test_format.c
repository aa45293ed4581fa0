/* SPDX-License-Identifier: MIT */
/* links: lib/format.c */
/* Compared with what libc makes of the same arguments; -Wformat is of no use to formats that are put
 * together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/format.h"
#include "lib/packed.h"

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

/* What scripts/pack.py would make of "<%s:%5s>", "one", "" and "two": 1 is "%s", 2 is "o", "n", and 3 is 2,
 * "e". */
asm(".pushsection .rodata\n"
    "packed_texts: .ascii \"<\\001:%5s>\\000\"\n"
    "packed_list: .ascii \"\\003\\000\\000two\\000\"\n"
    "packed_texts_end: .ascii \"\\003\\000\"\n"
    ".popsection");
extern const char packed_list[];
#define CHAR(c) [c] = {c, c}
const u8 packed_pairs[256][2] = {CHAR(0),   CHAR('%'), CHAR('5'),        CHAR(':'),        CHAR('<'),
                                 CHAR('>'), CHAR('e'), CHAR('n'),        CHAR('o'),        CHAR('s'),
                                 CHAR('t'), CHAR('w'), [1] = {'%', 's'}, [2] = {'o', 'n'}, [3] = {2, 'e'}};

static void expect(const char *text, const char *fmt, ...)
{
    char buf[64];
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format_va(buf, sizeof(buf), fmt, args);
    va_end(args);
    assert_string_equal(buf, text);
    assert_int_equal(n, strlen(text));
}

static void test_packed(void **state)
{
    (void)state;
    expect("<one:  two>", packed_texts, packed_list, packed_nth(packed_list, 2));
    expect("<:    \003>", packed_texts, packed_nth(packed_list, 1), packed_texts_end);
    expect("<%s:%5s>/on", "%s/%.2s", packed_texts, packed_nth(packed_list, 0));
    expect("\001 one", "\001 %s", packed_list);
}

static void compare(const char *fmt, ...)
{
    char ours[512], theirs[512];
    va_list args;
    size_t n;
    int want;

    for (size_t size = 0; size <= sizeof(ours); size += size < 40 ? 1 : sizeof(ours) - 40) {
        memset(ours, '!', sizeof(ours));
        memset(theirs, '!', sizeof(theirs));
        va_start(args, fmt);
        n = format_va(ours, size, fmt, args);
        va_end(args);
        va_start(args, fmt);
        want = vsnprintf(theirs, size, fmt, args);
        va_end(args);
        if (n != (size_t)want || memcmp(ours, theirs, sizeof(ours)) != 0)
            fail_msg("'%s' size %zu: %zu '%s', libc %d '%s'", fmt, size, n, ours, want, theirs);
    }
}

static const s64 numbers[] = {0,
                              1,
                              -1,
                              9,
                              10,
                              0x7f,
                              0x80,
                              0xff,
                              0x100,
                              -128,
                              -129,
                              0x7fff,
                              0x8000,
                              0xffff,
                              0x10000,
                              12345678,
                              0x7fffffff,
                              0x80000000,
                              0xffffffff,
                              0x100000000,
                              INT64_MAX,
                              INT64_MIN,
                              -0x12345678abcdef};

/* All flags, widths, precisions, lengths and conversions of numbers. */
static void all_numbers(void **state)
{
    static const char *const flags[] = {"", "-", "0", "#", "-0", "#0", "-#", "-#0"};
    static const char *const widths[] = {"", "1", "8", "20", "41"};
    static const char *const precisions[] = {"", ".", ".0", ".1", ".5", ".24", ".40"};
    static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z"};
    char fmt[32];

    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(flags); f++)
        for (size_t w = 0; w < ARRAY_SIZE(widths); w++)
            for (size_t p = 0; p < ARRAY_SIZE(precisions); p++)
                for (size_t l = 0; l < ARRAY_SIZE(lengths); l++)
                    for (const char *c = "diuxX"; *c; c++) {
                        size_t i = (f + w + p + l) % 2; /* half of the numbers each time */

                        if (strchr(flags[f], '#') && !strchr("xX", *c))
                            continue; /* undefined in C */
                        snprintf(fmt, sizeof(fmt), "<%%%s%s%s%s%c>", flags[f], widths[w], precisions[p],
                                 lengths[l], *c);
                        for (; i < ARRAY_SIZE(numbers); i += 2) {
                            if (l < 3)
                                compare(fmt, (int)numbers[i]);
                            else
                                compare(fmt, numbers[i]);
                        }
                    }
}

static void texts(void **state)
{
    (void)state;
    compare("");
    compare("plain text only");
    compare("100%%");
    compare("%s", "");
    compare("%s|%10s|%-10s|%3s|%.2s|%.0s|%8.3s|%-8.3s|%.9s|%.s", "abc", "abc", "abc", "abcdef", "abcdef",
            "abc", "abcdef", "abcdef", "abc", "abc");
    compare("%.3s", (const char[]){'a', 'b', 'c'}); /* not ended by NUL: nothing behind it is read */
    compare("%c%c|%5c|%-5c|", 'a', 0xe9, 'b', 'c');
    compare("%c", 0);
    compare("%*d|%-*d|%*d|%.*d|%.*d|%*.*s", 5, 1, 5, 2, -5, 3, 4, 4, -1, 5, 6, 2, "xyz");
    compare("%zu %zx %zd %hhu %hd %lld %llx", (size_t)-1, (size_t)1 << 40, (size_t)7, 0x1ff, 0x18000, -1ll,
            1ull << 63);
    compare("mixed %d and %s and %x to the end", 1, "two", 3);
}

static size_t unchecked(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format_va(buf, size, fmt, args);
    va_end(args);
    return n;
}

static void differs_from_libc(void **state)
{
    char buf[64];

    (void)state;
    assert_int_equal(format(buf, sizeof(buf), "%p", (void *)0x1234), 18);
    assert_string_equal(buf, "0x0000000000001234");
    format(buf, sizeof(buf), "%p|%20p|%-20p|", NULL, (void *)-1, (void *)1);
    assert_string_equal(buf, "0x0000000000000000|  0xffffffffffffffff|0x0000000000000001  |");
    unchecked(buf, sizeof(buf), "%5d|%s|%.3s", 1, (char *)NULL, (char *)NULL);
    assert_string_equal(buf, "    1|(null)|(nu");
}

/* What is not understood is shown and takes no argument. */
static void not_understood(void **state)
{
    char buf[64];

    (void)state;
    unchecked(buf, sizeof(buf), "%q %d", 5);
    assert_string_equal(buf, "%q 5");
    unchecked(buf, sizeof(buf), "%-08.3f|%d", 5);
    assert_string_equal(buf, "%-08.3f|5");
    assert_int_equal(unchecked(buf, sizeof(buf), "end %"), 5);
    assert_string_equal(buf, "end %");
    unchecked(buf, sizeof(buf), "end %-5.3ll");
    assert_string_equal(buf, "end %-5.3ll");
}

/* Absurd widths are limited, not followed into an overflow. */
static void absurd_widths(void **state)
{
    char buf[8];

    (void)state;
    assert_int_equal(unchecked(buf, sizeof(buf), "%99999999999999999999d", 1), 65536);
    assert_string_equal(buf, "       ");
    assert_int_equal(unchecked(buf, sizeof(buf), "%*d", INT32_MIN, 1), 65536);
    assert_string_equal(buf, "1      ");
    assert_int_equal(unchecked(buf, sizeof(buf), "%.99999999999999999999d", 1), 65536);
    assert_string_equal(buf, "0000000");
}

struct pieces {
    char text[128];
    size_t n;
};

static void put(void *ctx, const char *text, size_t n)
{
    struct pieces *p = ctx;

    assert_int_not_equal(n, 0);
    memcpy(p->text + p->n, text, n);
    p->n += n;
}

static size_t to_pieces(struct pieces *p, const char *fmt, ...)
{
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format_to(put, p, fmt, args);
    va_end(args);
    return n;
}

static void in_pieces(void **state)
{
    struct pieces p = {.n = 0};

    (void)state;
    assert_int_equal(to_pieces(&p, "a%40sb%-3dc%%", "x", 7), 47);
    assert_int_equal(p.n, 47);
    assert_memory_equal(p.text, "a                                       xb7  c%", 47);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed),    cmocka_unit_test(all_numbers),
        cmocka_unit_test(texts),          cmocka_unit_test(differs_from_libc),
        cmocka_unit_test(not_understood), cmocka_unit_test(absurd_widths),
        cmocka_unit_test(in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
