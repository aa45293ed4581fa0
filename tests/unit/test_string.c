/* SPDX-License-Identifier: MIT */
/* links: lib/str_copy.c */
/* The kernel's own string functions, under other names, compared with libc's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define memcpy  our_memcpy
#define memmove our_memmove
#define memset  our_memset
#define memcmp  our_memcmp
#define strlen  our_strlen
#define strnlen our_strnlen
#define strcmp  our_strcmp
#define strncmp our_strncmp
#define strchr  our_strchr
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr

#define MARGIN  16
#define LONGEST 200

/* Larger than what is handled piece by piece, at every alignment. */
static const size_t sizes[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,   9,   10,  11,  12,  13,  14,  15, 16, 17,
                               18, 23, 24, 25, 30, 31, 32, 33, 34,  39,  40,  41,  47,  48,  49,  63, 64, 65,
                               66, 71, 72, 80, 95, 96, 97, 99, 100, 127, 128, 129, 160, 191, 199, 200};

static u8 ours[LONGEST * 2 + MARGIN * 3], theirs[sizeof(ours)];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(ours); i++)
        ours[i] = theirs[i] = (u8)(i * 7 + i / 251);
}

static void copy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (size_t from = 0; from < 9; from++)
            for (size_t to = 0; to < 9; to++) {
                size_t at = LONGEST + MARGIN + to, n = sizes[i];

                fill();
                assert_ptr_equal(our_memcpy(ours + at, ours + from, n), ours + at);
                memcpy(theirs + at, theirs + from, n);
                assert_memory_equal(ours, theirs, sizeof(ours));
            }
}

static void move(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (size_t from = 0; from < 50; from += 1 + from / 20)
            for (size_t to = 0; to < 50; to += 1 + to / 20) {
                fill();
                assert_ptr_equal(our_memmove(ours + to, ours + from, sizes[i]), ours + to);
                memmove(theirs + to, theirs + from, sizes[i]);
                assert_memory_equal(ours, theirs, sizeof(ours));
            }
}

static void set(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (size_t at = 0; at < 9; at++) {
            fill();
            assert_ptr_equal(our_memset(ours + at, (int)(0x1a5 + at), sizes[i]), ours + at);
            memset(theirs + at, (int)(0x1a5 + at), sizes[i]);
            assert_memory_equal(ours, theirs, sizeof(ours));
        }
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* Blocks on the heap that end where the comparison must: reading further is noticed. */
static void compare(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t n = sizes[i];
        u8 *a = malloc(n + 1), *b = malloc(n + 1);

        memset(a, 0x80, n + 1);
        memset(b, 0x80, n + 1);
        a[0] = 1; /* in front of what is compared */
        assert_int_equal(our_memcmp(a + 1, b + 1, n), 0);
        for (size_t at = 1; at <= n; at++) {
            b[at] = 0x7f;
            if (at < n)
                b[at + 1] = 0xff; /* a later difference of the other sign does not count */
            assert_true(our_memcmp(a + 1, b + 1, n) > 0);
            assert_true(our_memcmp(b + 1, a + 1, n) < 0);
            b[at] = 0x80;
            if (at < n)
                b[at + 1] = 0x80;
        }
        free(a);
        free(b);
    }
}

static void lengths(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        char *s = malloc(n + 1);

        memset(s, 0xe9, n);
        s[n] = 0;
        assert_int_equal(our_strlen(s), n);
        for (size_t max = 0; max < 45; max++)
            assert_int_equal(our_strnlen(s, max), MIN(n, max));
        s[n] = 'x'; /* not ended: what is beyond max is not read */
        assert_int_equal(our_strnlen(s, n + 1), n + 1);
        free(s);
    }
}

static void compare_strings(void **state)
{
    static const char *const text[] = {"",     "a",          "b",    "ab",   "abc",  "abd",
                                       "abcd", "abcdefghij", "\xff", "\x7f", "a\xe9"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(text); i++)
        for (size_t j = 0; j < ARRAY_SIZE(text); j++) {
            assert_int_equal(sign(our_strcmp(text[i], text[j])), sign(strcmp(text[i], text[j])));
            for (size_t n = 0; n < 12; n++)
                assert_int_equal(sign(our_strncmp(text[i], text[j], n)), sign(strncmp(text[i], text[j], n)));
        }
    assert_int_equal(our_strncmp((const char[]){'a', 'b'}, (const char[]){'a', 'b'}, 2), 0);
}

static void find_character(void **state)
{
    const char *s = "abcabc\xe9";

    (void)state;
    for (int c = -128; c < 256; c++)
        assert_ptr_equal(our_strchr(s, c), strchr(s, c));
    assert_null(our_strchr("", 'a'));
}

static void bounded_copy(void **state)
{
    char to[8];

    (void)state;
    memset(to, '!', sizeof(to));
    assert_true(str_copy(to, "abc", 4));
    assert_memory_equal(to, "abc\0!!!!", 8);
    assert_false(str_copy(to, "abcd", 4));
    assert_memory_equal(to, "abc\0!!!!", 8);
    assert_true(str_copy(to, "", 1));
    assert_memory_equal(to, "\0bc\0!!!!", 8);
    assert_false(str_copy(to, (const char[]){'x', 'y'}, 2)); /* reads no more than it copies */
    assert_memory_equal(to, "x\0c\0!!!!", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy),           cmocka_unit_test(move),         cmocka_unit_test(set),
        cmocka_unit_test(compare),        cmocka_unit_test(lengths),      cmocka_unit_test(compare_strings),
        cmocka_unit_test(find_character), cmocka_unit_test(bounded_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
