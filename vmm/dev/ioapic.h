/* SPDX-License-Identifier: MIT */
/* The VM's I/O APIC (82093AA with the EOI register of later ones): 24 inputs at 0xfec00000. */
#ifndef VMM_DEV_IOAPIC_H
#define VMM_DEV_IOAPIC_H

#include "lib/types.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24

struct vm;
struct ioapic;

/* Claims its page on the VM's memory bus; null when there is no memory or the page is taken. */
struct ioapic *ioapic_create(struct vm *vm);
/* The state of an input (0 to 23; anything above is ignored). */
void ioapic_set_pin(struct ioapic *io, u32 pin, bool high);
/* served() follows each EOI of a level-triggered interrupt of that input, before the input is looked at anew.
 */
void ioapic_on_eoi(struct ioapic *io, u32 pin, void (*served)(struct vm *vm, u32 pin));
/* A local APIC has ended a level-triggered interrupt: the EOI message to all I/O APICs. */
void ioapic_eoi(struct ioapic *io, u8 vector);

/* The entry of an input (below IOAPIC_PINS), and whether that is high. No side effect. */
u64 ioapic_entry(const struct ioapic *io, u32 pin, bool *high);

#endif
