/* SPDX-License-Identifier: MIT */
#include "guest/common/apic.h"
#include "guest/common/cpu.h"

bool apic_has(void)
{
    return cpuid(1, 0).edx & BIT(9);
}

bool apic_has_x2(void)
{
    return cpuid(1, 0).ecx & BIT(21);
}

enum apic_mode apic_mode(void)
{
    u64 base;

    if (!apic_has())
        return APIC_OFF;
    base = rdmsr(MSR_APIC_BASE);
    if (!(base & APIC_BASE_ENABLE))
        return APIC_OFF;
    return base & APIC_BASE_X2 ? APIC_X2 : APIC_X1;
}

u32 apic_read(u32 reg)
{
    if (apic_mode() == APIC_X2)
        return (u32)rdmsr(X2APIC_MSR(reg));
    return MMIO(u32, APIC_MMIO + reg);
}

void apic_write(u32 reg, u32 value)
{
    if (apic_mode() == APIC_X2)
        wrmsr(X2APIC_MSR(reg), value);
    else
        MMIO(u32, APIC_MMIO + reg) = value;
}

void apic_enable(bool x2, bool extint)
{
    u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

    wrmsr(MSR_APIC_BASE, base);
    if (x2)
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_LVT_LINT0, extint ? LVT_EXTINT : LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

u32 apic_id(void)
{
    u32 id = apic_read(APIC_ID);

    return apic_mode() == APIC_X2 ? id : id >> 24;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

void apic_send(u32 destination, u32 low)
{
    if (apic_mode() == APIC_X2) {
        wrmsr(X2APIC_MSR(APIC_ICR), (u64)destination << 32 | low);
        return;
    }
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, low);
    while (apic_read(APIC_ICR) & ICR_PENDING)
        cpu_pause();
}
