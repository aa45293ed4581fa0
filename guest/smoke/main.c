/* SPDX-License-Identifier: MIT */
/* Checks that the machine behaves like the one in the manuals. Options: only=PREFIX, skip=PREFIX. */
#include "guest/smoke/smoke.h"
#include "guest/common/legacy.h"
#include "lib/format.h"
#include "lib/string.h"

static char reason[160];
static bool failed, skipped;
static u32 nr_passed, nr_failed;

void smoke_fail(const char *fmt, ...)
{
    va_list args;

    if (failed)
        return;
    failed = true;
    va_start(args, fmt);
    format_va(reason, sizeof(reason), fmt, args);
    va_end(args);
}

void smoke_skip(const char *why)
{
    skipped = true;
    str_copy(reason, why, sizeof(reason));
}

void expect_vector(int wanted, void (*fn)(void *arg), void *arg, const char *what)
{
    int vector = try_call(fn, arg);

    expect(vector == wanted, "%s: vector %d, not %d (256: none)", what, vector, wanted);
}

bool under_hypervisor(void)
{
    return cpuid(1, 0).ecx & BIT(31);
}

bool under_tcg(void)
{
    return under_hypervisor() && cpuid(0x40000000, 0).ebx == 0x54474354; /* TCGT */
}

bool skip_on_tcg(void)
{
    if (under_tcg())
        smoke_skip("QEMU's TCG does this differently");
    return under_tcg();
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

static void run(const struct smoke_test *t)
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

void guest_main(void)
{
    const struct smoke_test *const groups[] = {exception_tests, privileged_tests, control_tests, cpuid_tests,
                                               msr_tests,       port_tests,       memory_tests,  mmio_tests,
                                               paging_tests,    mode_tests,       task_tests,    time_tests,
                                               interrupt_tests, apic_tests,       event_tests};

    pic_init();
    for (u32 i = 0; i < ARRAY_SIZE(groups); i++) {
        for (const struct smoke_test *t = groups[i]; t->name; t++)
            run(t);
    }
    printf("smoke: %u passed, %u failed\n", nr_passed, nr_failed);
    if (nr_failed)
        guest_fail(1);
}
