/* SPDX-License-Identifier: MIT */
/* The I/O APIC, and the PIT as a line that tests can raise and lower. */
#ifndef GUEST_APIC_IOAPIC_H
#define GUEST_APIC_IOAPIC_H

#include "guest/common/apic.h"
#include "guest/common/cpus.h"

#define IOAPIC_PINS 24
#define PIN_INTR    0 /* the PIC's output */
#define PIN_PIT     2
#define PIN_RTC     8

#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
#define ENTRY_EXTINT     0x700u

#define PIT_QUIET 0x30 /* mode 0 of channel 0: its output is low until a count is through */

/* An entry to that CPU; ids above 255 by the extended destination id. */
static inline u64 entry_to(u32 cpu, u64 low)
{
    return (u64)(u8)cpu_ids[cpu] << 56 | (u64)(cpu_ids[cpu] >> 8 & 0x7f) << 49 | low;
}

u64 ioapic_read(u32 pin);
void ioapic_write(u32 pin, u64 entry);
void ioapic_mask_all(void);
void ioapic_end(u32 vector); /* the EOI register */
/* The PIT's output; up: once it is. */
void line_up(void);
void line_down(void);

#endif
