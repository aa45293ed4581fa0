/* SPDX-License-Identifier: MIT */
/* Checks the local APICs and the I/O APIC with all CPUs. Options: only=PREFIX, skip=PREFIX; stress: random
 * IPIs instead, see stress.c. */
#include "guest/apic/tests.h"
#include "guest/common/legacy.h"

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
    trap_hook = stress_nmi;
    if (!work_start(x2apic, WAKE_VECTOR, NULL))
        fail("a CPU does not start");
}

void guest_main(void)
{
    pic_init();
    start();
    if (option("stress"))
        stress();
}
