/* SPDX-License-Identifier: MIT */
#include "guest/apic/ioapic.h"
#include "guest/common/cpu.h"
#include "guest/common/legacy.h"

#define IOAPIC      0xfec00000u
#define IOAPIC_DATA (IOAPIC + 0x10)
#define IOAPIC_EOI  (IOAPIC + 0x40)
#define REG_ENTRY0  0x10
#define PIT_STATUS  0xe2 /* read back the status of channel 0 */
#define PIT_OUT     0x80

static u32 reg_read(u32 reg)
{
    MMIO(u32, IOAPIC) = reg;
    return MMIO(u32, IOAPIC_DATA);
}

static void reg_write(u32 reg, u32 value)
{
    MMIO(u32, IOAPIC) = reg;
    MMIO(u32, IOAPIC_DATA) = value;
}

u64 ioapic_read(u32 pin)
{
    return reg_read(REG_ENTRY0 + 2 * pin) | (u64)reg_read(REG_ENTRY0 + 2 * pin + 1) << 32;
}

/* Masked while its halves do not fit. */
void ioapic_write(u32 pin, u64 entry)
{
    reg_write(REG_ENTRY0 + 2 * pin, reg_read(REG_ENTRY0 + 2 * pin) | ENTRY_MASKED);
    reg_write(REG_ENTRY0 + 2 * pin + 1, (u32)(entry >> 32));
    reg_write(REG_ENTRY0 + 2 * pin, (u32)entry);
}

/* As edge-triggered ones, which waits for no EOI. */
void ioapic_mask_all(void)
{
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
        reg_write(REG_ENTRY0 + 2 * pin, ENTRY_MASKED);
}

void ioapic_end(u32 vector)
{
    MMIO(u32, IOAPIC_EOI) = vector;
}

void line_down(void)
{
    outb(PIT_COMMAND, PIT_QUIET);
}

void line_up(void)
{
    pit_one_shot(50);
    for (;;) {
        outb(PIT_COMMAND, PIT_STATUS);
        if (inb(PIT_CHANNEL0) & PIT_OUT)
            return;
        cpu_pause();
    }
}
