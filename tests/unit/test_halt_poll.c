/* SPDX-License-Identifier: MIT */
/* links: vmm/halt_poll.c */
/* How the window grows and shrinks with the halts that are seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "vmm/halt_poll.h"

#define FIRST 10
#define MAX_  100

static struct halt_poll poll;

static void learn(u64 lasted, u64 window)
{
    halt_poll_learn(&poll, lasted, FIRST, MAX_);
    assert_int_equal(poll.window, window);
}

static void test_grows_while_halts_are_short(void **state)
{
    (void)state;
    poll.window = 0;
    learn(50, FIRST);
    learn(50, 2 * FIRST);
    learn(50, 4 * FIRST);
    learn(50, 8 * FIRST);
    /* Long enough now. */
    learn(50, 8 * FIRST);
    learn(80, 8 * FIRST);
    learn(90, MAX_);
    learn(MAX_, MAX_);
}

static void test_shrinks_when_they_are_long(void **state)
{
    (void)state;
    poll.window = MAX_;
    learn(MAX_ + 1, 50);
    learn(100000, 25);
    learn(100000, 12);
    learn(100000, 0);
    learn(100000, 0);
}

static void test_off(void **state)
{
    (void)state;
    poll.window = 0;
    for (u64 lasted = 0; lasted < 1000; lasted += 7) {
        halt_poll_learn(&poll, lasted, FIRST, 0);
        assert_int_equal(poll.window, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_while_halts_are_short),
        cmocka_unit_test(test_shrinks_when_they_are_long),
        cmocka_unit_test(test_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
