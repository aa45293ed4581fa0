/* SPDX-License-Identifier: MIT */
/* Checks that the machine behaves like the one in the manuals. Options: only=PREFIX, skip=PREFIX. */
#include "guest/smoke/smoke.h"
#include "guest/common/legacy.h"

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

void guest_main(void)
{
    const struct smoke_test *const groups[] = {exception_tests, privileged_tests, control_tests, cpuid_tests,
                                               msr_tests,       port_tests,       memory_tests,  mmio_tests,
                                               paging_tests,    mode_tests,       task_tests,    time_tests,
                                               interrupt_tests, apic_tests,       event_tests};

    pic_init();
    for (u32 i = 0; i < ARRAY_SIZE(groups); i++)
        tests_run(groups[i]);
    tests_end("smoke");
}
