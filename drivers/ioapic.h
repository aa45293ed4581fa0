/* SPDX-License-Identifier: MIT */
/* A physical I/O APIC. Source: Intel 82093AA I/O Advanced Programmable Interrupt Controller, order number
 * 290566. */
#ifndef DRIVERS_IOAPIC_H
#define DRIVERS_IOAPIC_H

#include "lib/types.h"

struct ioapic {
    volatile u32 *regs; /* mapped uncached, 32 bytes at least */
    u32 gsi_base, entries;
    u8 id, version;
};

/* Reads what it is and masks all of its inputs. ERR_NOENT: nothing answers there. */
int ioapic_init(struct ioapic *io, volatile void *mapped, u32 gsi_base);
void ioapic_mask_all(struct ioapic *io);

/*
 * Fixed delivery of an input to one CPU, unmasked. vector: 16 to 254. ERR_RANGE: the GSI is not this I/O
 * APIC's; ERR_INVAL: vector; ERR_UNSUPP: apic_id above 254, which needs interrupt remapping.
 */
int ioapic_route(struct ioapic *io, u32 gsi, u8 vector, u32 apic_id, bool level, bool active_low);
int ioapic_mask(struct ioapic *io, u32 gsi, bool masked);

#endif
