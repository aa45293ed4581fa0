/* SPDX-License-Identifier: MIT */
#include "guest/common/test.h"
#include "lib/format.h"
#include "lib/string.h"

static char reason[160];
static bool failed, skipped;
static u32 nr_passed, nr_failed;

void test_fail(const char *fmt, ...)
{
    va_list args;

    if (failed)
        return;
    failed = true;
    va_start(args, fmt);
    format_va(reason, sizeof(reason), fmt, args);
    va_end(args);
}

void test_skip(const char *why)
{
    skipped = true;
    if (!failed)
        str_copy(reason, why, sizeof(reason));
}

bool test_over(void)
{
    return failed || skipped;
}

void expect_vector(int wanted, void (*fn)(void *arg), void *arg, const char *what)
{
    int vector = try_call(fn, arg);

    expect(vector == wanted, "%s: vector %d, not %d (256: none)", what, vector, wanted);
}

/* Does the name begin with one of the prefixes, which commas separate? */
static bool begins(const char *name, const char *prefixes)
{
    for (const char *p = prefixes; *p && *p != ' ';) {
        size_t n = 0;

        while (p[n] && p[n] != ' ' && p[n] != ',')
            n++;
        if (n && !strncmp(name, p, n))
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static bool selected(const char *name)
{
    const char *only = option("only"), *skip = option("skip");

    return !(only && !begins(name, only)) && !(skip && begins(name, skip));
}

static void run(const struct test *t)
{
    if (!selected(t->name))
        return;
    failed = skipped = false;
    t->run();
    irq_disable();
    if (failed) {
        nr_failed++;
        printf("FAIL %s: %s\n", t->name, reason);
    } else if (skipped) {
        printf("skip %s: %s\n", t->name, reason);
    } else {
        nr_passed++;
        printf("ok %s\n", t->name);
    }
}

void tests_run(const struct test *tests)
{
    for (const struct test *t = tests; t->name; t++)
        run(t);
}

void tests_end(const char *name)
{
    printf("%s: %u passed, %u failed\n", name, nr_passed, nr_failed);
    if (nr_failed)
        guest_fail(1);
}
