/* SPDX-License-Identifier: MIT */
/* What machine.c has found, for the others that bring the machine and the VMM together. */
#ifndef BOOT_MACHINE_PARTS_H
#define BOOT_MACHINE_PARTS_H

#include "boot/boot_info.h"
#include "drivers/acpi.h"
#include "drivers/ioapic.h"
#include "drivers/uart16550.h"

#define KEYBOARD_IRQ 1 /* ISA */

struct machine {
    const struct boot_info *boot;
    struct acpi acpi;
    struct acpi_madt madt;
    struct acpi_fadt fadt;
    bool have_acpi, have_madt, have_fadt, has_keyboard;
    struct ioapic ioapics[ACPI_MAX_IOAPICS]; /* without regs: does not answer */
    struct uart16550 *console;               /* null until there are interrupts */
    struct uart16550 *gdb;                   /* null: GDB has no port */
};

extern struct machine machine;

/* Where an ISA line (0 to 15) or an input of the I/O APICs arrives. */
struct acpi_irq machine_irq(u32 irq);
/* It interrupts that CPU, unmasked. An error of ioapic_route(), ERR_RANGE where no I/O APIC has it. */
int machine_route(u32 irq, u8 vector, u32 apic_id, bool *level);
extern const struct given_machine machine_given;

#endif
