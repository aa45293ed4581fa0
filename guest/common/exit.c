/* SPDX-License-Identifier: MIT */
#include "guest/common/exit.h"
#include "guest/common/acpi.h"
#include "guest/common/console.h"
#include "guest/common/cpu.h"
#include "guest/common/mb.h"

#define DEBUG_EXIT_PORT 0xf4
#define SHUTDOWN_PORT   0x8900
#define KBC_COMMAND     0x64
#define RESET_CONTROL   0xcf9
#define PM1_SLP_EN      BIT(13)

/* Xen's xen/include/public/xen.h and sched.h */
#define XEN_SCHED_OP         29
#define XEN_SCHEDOP_SHUTDOWN 2
enum xen_shutdown { XEN_POWEROFF, XEN_REBOOT, XEN_CRASH = 3 };

static void __noreturn stop(void)
{
    irq_disable();
    for (;;)
        cpu_halt();
}

/* In a guest of Xen's does not return; it has none of what the others have. */
static void xen_shutdown(enum xen_shutdown reason)
{
    u64 result = XEN_SCHED_OP;
    u32 argument = reason;

    if (boot.protocol == BOOT_PVH)
        asm volatile("vmcall" : "+a"(result) : "D"(XEN_SCHEDOP_SHUTDOWN), "S"(&argument) : "memory");
}

void __noreturn power_off(void)
{
    struct acpi_s5 s5;

    irq_disable();
    xen_shutdown(XEN_POWEROFF);
    console_flush();
    for (const char *p = "Shutdown"; *p; p++)
        outb(SHUTDOWN_PORT, (u8)*p);
    if (acpi_find_s5(&s5)) {
        outw(s5.pm1a_cnt, (u16)(s5.slp_typa << 10 | PM1_SLP_EN));
        if (s5.pm1b_cnt)
            outw(s5.pm1b_cnt, (u16)(s5.slp_typb << 10 | PM1_SLP_EN));
    }
    stop();
}

void __noreturn guest_fail(u32 code)
{
    xen_shutdown(XEN_CRASH);
    console_flush();
    outl(DEBUG_EXIT_PORT, code);
    power_off();
}

void __noreturn machine_reset(void)
{
    irq_disable();
    xen_shutdown(XEN_REBOOT);
    for (u32 i = 0; i < 100000 && inb(KBC_COMMAND) & 2; i++)
        cpu_pause();
    outb(KBC_COMMAND, 0xfe);
    for (u32 i = 0; i < 100000; i++)
        cpu_pause();
    outb(RESET_CONTROL, 0x02);
    outb(RESET_CONTROL, 0x06);
    stop();
}
