/* SPDX-License-Identifier: MIT */
/* What of the machine a VM can have as its own, and how its interrupts get there: vmm/given.h's machine. */
#include "boot/machine_parts.h"
#include "lib/spinlock.h"
#include "vmm/given.h"

#define LOCAL_APICS     0xfee00000ull /* and messages that interrupt */
#define LOCAL_APICS_END 0xfeefffffull
#define ISA_LINES       16
#define ECAM_BUS        MiB(1)

/* The two windows of an I/O APIC belong together. */
static struct spinlock ioapics_lock;

static bool overlap(u64 first, u64 last, u64 at, u64 size)
{
    return size && first < at + size && at <= last;
}

/* --- interrupts --- */

struct acpi_irq machine_irq(u32 irq)
{
    if (irq < ISA_LINES)
        return acpi_gsi_of_irq(&machine.madt, (u8)irq);
    return (struct acpi_irq){.gsi = irq, .level = true, .active_low = true};
}

int machine_route(u32 irq, u8 vector, u32 apic_id, bool *level)
{
    struct acpi_irq at = machine_irq(irq);
    int e = ERR_RANGE;

    *level = at.level;
    spin_lock(&ioapics_lock);
    for (u32 i = 0; machine.have_madt && e == ERR_RANGE && i < machine.madt.nr_ioapics; i++) {
        if (machine.ioapics[i].regs)
            e = ioapic_route(&machine.ioapics[i], at.gsi, vector, apic_id, at.level, at.active_low);
    }
    spin_unlock(&ioapics_lock);
    return e;
}

static void mask(u32 irq, bool masked)
{
    u32 gsi = machine_irq(irq).gsi;

    spin_lock(&ioapics_lock);
    for (u32 i = 0; i < machine.madt.nr_ioapics; i++) {
        if (machine.ioapics[i].regs)
            ioapic_mask(&machine.ioapics[i], gsi, masked); /* the one that has it */
    }
    spin_unlock(&ioapics_lock);
}

static const char needed[] = "Nidus needs it";
static const char console_has_it[] = "Nidus's serial port has it";
static const char gdb_has_it[] = "GDB's serial port has it";
static const char configures_pci[] = "it configures PCI devices";

static bool is_uart(const struct uart16550 *u, u8 kind, u64 first, u64 last)
{
    return u && u->at.kind == kind && overlap(first, last, u->at.base, serial_port_size(&u->at));
}

static const char *uart_taken(u8 kind, u64 first, u64 last)
{
    return is_uart(machine.console, kind, first, last) ? console_has_it
           : is_uart(machine.gdb, kind, first, last)   ? gdb_has_it
                                                       : NULL;
}

static const char *irq_taken(u32 irq)
{
    if (machine.has_keyboard && irq == KEYBOARD_IRQ)
        return needed;
    if (machine.console && (s32)irq == machine.console->at.irq)
        return console_has_it;
    if (machine.gdb && (s32)irq == machine.gdb->at.irq)
        return gdb_has_it;
    if (irq < ISA_LINES)
        return machine.have_fadt && irq == machine.fadt.sci_irq ? needed : NULL;
    for (u32 i = 0; i < machine.madt.nr_overrides; i++) {
        if (machine.madt.overrides[i].gsi == irq)
            return "an ISA line arrives there";
    }
    return NULL;
}

/* --- ports --- */

static bool has_register(u64 first, u64 last, const struct acpi_gas *g)
{
    return g->space == ACPI_SPACE_IO && g->address && overlap(first, last, g->address, MAX(g->width / 8, 1));
}

static bool is_acpi(u64 first, u64 last)
{
    const struct acpi_fadt *f = &machine.fadt;

    return has_register(first, last, &f->pm1a_control) || has_register(first, last, &f->pm1b_control) ||
           has_register(first, last, &f->pm_timer) || has_register(first, last, &f->reset) ||
           (f->smi_command && overlap(first, last, f->smi_command, 1));
}

static const char *port_taken(u64 first, u64 last)
{
    static const struct {
        u16 at, size;
    } own[] = {
        {0x20, 2},   {0xa0, 2}, {0x4d0, 2}, /* PICs */
        {0x40, 4},                          /* PIT */
        {0x60, 5},                          /* keyboard controller, and what belongs to the PIT */
        {0x70, 2},                          /* clock */
        {0x80, 1},                          /* waiting */
        {0x92, 1},                          /* reset */
        {0x8900, 1},                        /* power off */
    };

    for (u32 i = 0; i < ARRAY_SIZE(own); i++) {
        if (overlap(first, last, own[i].at, own[i].size))
            return needed;
    }
    if (overlap(first, last, 0xcf8, 8))
        return configures_pci;
    if (uart_taken(SERIAL_PORT, first, last))
        return uart_taken(SERIAL_PORT, first, last);
    return machine.have_fadt && is_acpi(first, last) ? needed : NULL;
}

/* --- memory --- */

static bool is_ecam(u64 first, u64 last)
{
    struct acpi_mcfg_entry mcfg[4];
    u32 n = acpi_parse_mcfg(&machine.acpi, mcfg, ARRAY_SIZE(mcfg));

    for (u32 i = 0; i < n; i++) {
        if (overlap(first, last, mcfg[i].base + mcfg[i].first_bus * ECAM_BUS,
                    (mcfg[i].last_bus - mcfg[i].first_bus + 1) * ECAM_BUS))
            return true;
    }
    return false;
}

static const char *mmio_taken(u64 first, u64 last)
{
    const struct boot_info *b = machine.boot;
    const struct boot_framebuffer *fb = &b->fb;
    paddr_t hpet = machine.have_acpi ? acpi_hpet(&machine.acpi) : 0;

    for (u32 i = 0; i < b->nr_ranges; i++) {
        if (b->ranges[i].type != BOOT_RANGE_RESERVED &&
            overlap(first, last, b->ranges[i].base, b->ranges[i].size))
            return "the machine has memory there";
    }
    for (u32 i = 0; i < machine.madt.nr_ioapics; i++) {
        if (overlap(first, last, machine.madt.ioapics[i].address, PAGE_SIZE))
            return needed;
    }
    if (uart_taken(SERIAL_MMIO, first, last))
        return uart_taken(SERIAL_MMIO, first, last);
    if (overlap(first, last, LOCAL_APICS, LOCAL_APICS_END - LOCAL_APICS + 1))
        return needed;
    if (hpet && overlap(first, last, hpet, PAGE_SIZE))
        return needed;
    if (fb->type != BOOT_FB_NONE && overlap(first, last, fb->base, (u64)fb->pitch * fb->height))
        return "Nidus's screen is there";
    return machine.have_acpi && is_ecam(first, last) ? configures_pci : NULL;
}

static const char *taken(enum config_given kind, u64 first, u64 last)
{
    return kind == GIVEN_PORT   ? port_taken(first, last)
           : kind == GIVEN_MMIO ? mmio_taken(first, last)
                                : irq_taken((u32)first);
}

const struct given_machine machine_given = {.taken = taken, .route = machine_route, .mask = mask};
