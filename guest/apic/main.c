/* SPDX-License-Identifier: MIT */
/* Checks the local APICs and the I/O APIC with all CPUs. Options: only=PREFIX, skip=PREFIX; stress: random
 * IPIs instead, see stress.c. */
#include "guest/apic/tests.h"
#include "guest/common/legacy.h"
#include "lib/format.h"

bool under_hypervisor(void)
{
    return cpuid(1, 0).ecx & BIT(31);
}

static void on_spurious(struct trap_frame *f)
{
    (void)f;
}

static void on_wake(struct trap_frame *f)
{
    (void)f;
    apic_eoi();
}

static void __noreturn fail(const char *what)
{
    printf("apic: FAIL: %s\n", what);
    guest_fail(1);
}

static void start(void)
{
    bool x2apic = option("x2apic") || apic_mode() == APIC_X2;

    if (apic_mode() == APIC_OFF)
        fail("no local APIC");
    apic_enable(x2apic, false);
    if (!cpus_find((u32)option_number("cpus", 0)))
        fail("CPUs");
    trap_set_handler(SPURIOUS, on_spurious);
    trap_set_handler(WAKE_VECTOR, on_wake);
    if (!work_start(x2apic, WAKE_VECTOR, NULL))
        fail("a CPU does not start");
}

/* Each test as one of a table by itself, between which all is set up anew; its name says the model. */
static void run_all(const struct test *tests, const char *prefix)
{
    for (const struct test *t = tests; t->name; t++) {
        char name[64];
        struct test one[] = {{name, t->run}, {NULL, NULL}};

        format(name, sizeof(name), "%s%s", prefix, t->name);
        fresh();
        tests_run(one);
    }
}

static void run_in_model(enum model m)
{
    const struct test *const groups[] = {ipi_tests,  priority_tests, disable_tests, timer_tests,
                                         line_tests, pic_tests,      start_tests};
    char prefix[32];

    model = m;
    format(prefix, sizeof(prefix), "%s-", model_names[m]);
    for (u32 i = 0; i < ARRAY_SIZE(groups); i++)
        run_all(groups[i], prefix);
}

static void run_tests(void)
{
    for (enum model m = XAPIC_FLAT; m <= X2APIC; m++) {
        if (has_model(m))
            run_in_model(m);
    }
    run_all(transition_tests, "");
    tests_end("apic");
}

void guest_main(void)
{
    pic_init();
    start();
    if (option("stress"))
        stress();
    else
        run_tests();
}
