/* SPDX-License-Identifier: MIT */
/* Tests with names, that say 'ok', 'skip' or 'FAIL', each on a line, and a summary. */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include "guest/common/guest.h"

struct test {
    const char *name; /* null ends a table */
    void (*run)(void);
};

/* In a test: says what is wrong (the first time counts). */
void test_fail(const char *fmt, ...) __printf(1, 2);
/* In a test: it does not apply to this machine. */
void test_skip(const char *why);
/* In a test: one of these has been called. */
bool test_over(void);

#define expect(condition, ...)      \
    do {                            \
        if (!(condition))           \
            test_fail(__VA_ARGS__); \
    } while (0)

#define expect_equal(got, wanted, what)                                                   \
    do {                                                                                  \
        u64 got_ = (got), wanted_ = (wanted);                                             \
        expect(got_ == wanted_, "%s: 0x%llx, not 0x%llx", what, (ull)got_, (ull)wanted_); \
    } while (0)

/* A function for try_call(). */
#define DEFINE_ATTEMPT(name, ...) \
    static void name(void *arg)   \
    {                             \
        (void)arg;                \
        __VA_ARGS__;              \
    }

/* expect() that fn(arg) raises that vector (X_NONE: nothing). */
void expect_vector(int wanted, void (*fn)(void *arg), void *arg, const char *what);

/* Runs the tests that the options only=PREFIX,... and skip=PREFIX,... choose. */
void tests_run(const struct test *tests);
/* 'NAME: N passed, M failed'; does not return when one has failed. */
void tests_end(const char *name);

#endif
