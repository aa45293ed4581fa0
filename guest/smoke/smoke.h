/* SPDX-License-Identifier: MIT */
#ifndef GUEST_SMOKE_H
#define GUEST_SMOKE_H

#include "guest/common/test.h"

#define smoke_test test
#define smoke_skip test_skip
#define smoke_fail test_fail

bool under_hypervisor(void);
/* QEMU's TCG leaves out some checks that processors do, and on some bad writes it goes round in circles. */
bool under_tcg(void);
/* Skips the test there. */
bool skip_on_tcg(void);

/* The vector with which code ended in user mode; X_BP when it got to its end. */
int user_call(void (*code)(void));

extern const struct smoke_test exception_tests[], privileged_tests[], control_tests[], cpuid_tests[],
    msr_tests[], port_tests[], memory_tests[], time_tests[], interrupt_tests[], apic_tests[], paging_tests[],
    mode_tests[], task_tests[], mmio_tests[], event_tests[];

#endif
