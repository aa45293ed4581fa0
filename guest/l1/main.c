/* SPDX-License-Identifier: MIT */
/*
 * Checks VMX as a hypervisor finds it. Options: only=PREFIX, skip=PREFIX, ept=off; bare: on the lab's CPU
 * without a hypervisor; bench: only the figures; stay=l2, stay=l1: an L2 that runs, or waits, for ever;
 * debugged: both go round for a debugger; verdicts=N, seed=S, from=I: only what VM entry says of N random
 * VMCSs.
 */
#include "guest/common/legacy.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

bool lab_lacks(const char *how)
{
    if (option("bare"))
        test_skip(how);
    return option("bare");
}

static void run_tests(void)
{
    const struct test *const groups[] = {
        instruction_tests, entry_tests, guest_state_tests, exit_tests, bitmap_tests,     control_tests,
        exception_tests,   event_tests, injection_tests,   msr_tests,  apic_tests,       ept_tests,
        mode_tests,        again_tests, feature_tests,     pml_tests,  mode_based_tests, apicv_tests,
        hypercall_tests,   ipiv_tests /* leaves L1's APIC in x2APIC mode */};

    for (u32 i = 0; i < ARRAY_SIZE(groups); i++)
        tests_run(groups[i]);
    vmx_stop();
    tests_end("l1");
}

void guest_main(void)
{
    const char *why;

    pic_init();
    if (!vmx_available(&why)) {
        printf("l1: no VMX: %s\n", why);
        guest_fail(1);
    }
    if (option("bench"))
        bench_run();
    else if (option("stay"))
        stay(!strcmp(option("stay"), "l2"));
    else if (option("debugged"))
        debugged_run();
    else if (option("verdicts"))
        verdicts_run(option_number("seed", 1), option_number("from", 0), option_number("verdicts", 0));
    else
        run_tests();
}
