/* SPDX-License-Identifier: MIT */
#include "vmm/dev/platform.h"
#include "vmm/dev/acpi_pm.h"
#include "vmm/dev/debug_exit.h"
#include "vmm/dev/host.h"
#include "vmm/dev/hpet.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pci.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/pit.h"
#include "vmm/dev/reset.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/uart.h"

struct platform *platform_create(struct vm *vm, u64 utc, u64 memory)
{
    struct platform *p = vm_alloc(vm, sizeof(*p));

    if (!p)
        return NULL;
    p->pic = pic_create(vm);
    p->ioapic = ioapic_create(vm);
    p->pit = pit_create(vm);
    p->hpet = hpet_create(vm);
    p->uart = uart_create(vm);
    p->rtc = rtc_create(vm, utc, memory);
    p->pm = acpi_pm_create(vm);
    p->debug_exit = debug_exit_create(vm);
    p->reset = reset_create(vm);
    if (!p->pic || !p->ioapic || !p->pit || !p->hpet || !p->uart || !p->rtc || !p->pm || !p->debug_exit ||
        !p->reset)
        return NULL;
    p->pci = pci_create(vm, p->ioapic, p->reset);
    return p->pci ? p : NULL;
}
