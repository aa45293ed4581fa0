/* SPDX-License-Identifier: MIT */
/* links: vmm/console_keys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "vmm/console_keys.h"

#define P "\x1d"

/* What each key means, by letters: . pass, - none, N next, # number, A alone, ? help. */
static void check(const char *typed, const char *expected)
{
    static const char letter[] = {'.', '-', 'N', '#', 'A', 'M', 'G', '?'};
    struct console_keys k = {0};

    while (*typed) {
        assert_int_equal(letter[console_key(&k, *typed++)], *expected);
        expected++;
    }
    assert_int_equal(*expected, 0);
}

static void test_keys(void **state)
{
    (void)state;
    check("na19 \x01\x1e\xff", "........");
    check(P "n" P "a" P "1" P "9" P "0", "-N-A-#-#-?");
    check(P "mm", "-M.");
    check(P "gg", "-G.");
    check(P P "n", "-..");
    check(P P P "n", "-.-N");
    check(P "xn" P "Nn", "-?.-?.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
