/* SPDX-License-Identifier: MIT */
/* Which devices a VM has. */
#ifndef VMM_DEV_PLATFORM_H
#define VMM_DEV_PLATFORM_H

#include "lib/types.h"

struct vm;

struct platform {
    struct pic *pic;
    struct ioapic *ioapic;
    struct pit *pit;
    struct hpet *hpet;
    struct uart *uart;
    struct rtc *rtc;
    struct acpi_pm *pm;
    struct debug_exit *debug_exit;
};

/*
 * Creates all devices but the vCPUs' own local APICs (lapic_create), in their power-up state. utc: seconds
 * since 1970 at VM time 0; memory: bytes of guest RAM. The VM's vCPUs must exist. Null when there is no
 * memory or a port is taken. vm_platform() must give the result before any device is used.
 */
struct platform *platform_create(struct vm *vm, u64 utc, u64 memory);

#endif
