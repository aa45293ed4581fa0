/* SPDX-License-Identifier: MIT */
/*
 * Ports are taken out of the VM's I/O bitmap and pages put into its EPT, so that the CPU alone serves them.
 * Both are on the VM's buses too: nothing else can be put there, and what has to be emulated all the same (an
 * L2's port, an access across the end of a range) finds them.
 */
#include "vmm/given.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/acpi_pm.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/pci.h"
#include "vmm/dev/platform.h"
#include "vmm/vmcs_setup.h"

const struct given_machine *given_machine;

/* A line's interrupts go to vm; null: to nobody. */
static struct line {
    struct vm *vm;
    bool level;
} lines[CONFIG_IRQ_MAX + 1];

/* Around each look at a line, so that its VM stays as long; before any device lock. */
static struct spinlock lines_lock;

/* --- ports and memory --- */

static u64 port_read(void *dev, struct vcpu *v, u64 offset, u32 size)
{
    u16 port = (u16)(((const struct config_range *)dev)->first + offset);

    (void)v;
    return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

static void port_write(void *dev, struct vcpu *v, u64 offset, u32 size, u64 value)
{
    u16 port = (u16)(((const struct config_range *)dev)->first + offset);

    (void)v;
    if (size == 1)
        outb(port, (u8)value);
    else if (size == 2)
        outw(port, (u16)value);
    else
        outl(port, (u32)value);
}

/* Nidus has no mapping of it. */
static u64 mmio_read(void *dev, struct vcpu *v, u64 offset, u32 size)
{
    (void)dev;
    (void)v;
    (void)offset;
    (void)size;
    return ~0ull;
}

static void mmio_write(void *dev, struct vcpu *v, u64 offset, u32 size, u64 value)
{
    (void)dev;
    (void)v;
    (void)offset;
    (void)size;
    (void)value;
}

static const struct bus_ops port_ops = {.read = port_read, .write = port_write};
static const struct bus_ops mmio_ops = {.read = mmio_read, .write = mmio_write};

static const char *claim(struct bus *bus, const struct config_range *r, const struct bus_ops *ops)
{
    int e = bus_add_lock(bus, r->first, r->last - r->first + 1, ops, (void *)r, NULL);

    return e == OK ? NULL : e == ERR_EXIST ? "a virtual device of the VM's is there" : "no memory";
}

static const char *give_port(struct vm *vm, const struct config_range *r)
{
    if (!vm->io_bitmaps) {
        vm->io_bitmaps = pool_alloc(&vm->owner, IO_BITMAP_PAGES);
        if (!vm->io_bitmaps)
            return "no memory";
        memset(vm->io_bitmaps, 0xff, IO_BITMAP_PAGES * PAGE_SIZE);
    }
    for (u64 port = r->first; port <= r->last; port++)
        vm->io_bitmaps[port / 8] &= (u8)~BIT(port % 8);
    return claim(&vm->pio, r, &port_ops);
}

static const char *give_mmio(struct vm *vm, const struct config_range *r)
{
    const char *why = claim(&vm->mmio, r, &mmio_ops);

    return why ? why : vm_map_device(vm, r->first, r->last - r->first + 1);
}

/* --- interrupts --- */

/* The virtual I/O APIC's input has been served, with the device lock held: a device that still asks comes
 * again. */
static void line_served(struct vm *vm, u32 irq)
{
    irq_set_input(vm, irq, false);
    given_machine->mask(irq, false);
}

/* An edge is made by the rising alone: to the PIC a request has to stay until it is acknowledged. */
static void raise(struct vm *vm, u32 irq, bool level)
{
    spin_lock(&vm->dev_lock);
    if (level) {
        irq_set_input(vm, irq, true);
    } else {
        vm_set_irq(vm, irq, false);
        vm_set_irq(vm, irq, true);
    }
    spin_unlock(&vm->dev_lock);
}

static void interrupt(u8 vector)
{
    u32 irq = vector - VECTOR_DEVICES;
    const struct line *line = &lines[irq];

    spin_lock(&lines_lock);
    if (line->vm) {
        if (line->level)
            given_machine->mask(irq, true);
        raise(line->vm, irq, line->level);
    }
    spin_unlock(&lines_lock);
}

/* Inputs that the VM's own devices drive. */
static bool is_virtual(const struct config_vm *c, u32 irq)
{
    const u32 always = BIT(0) | BIT(2) | BIT(4) | BIT(8) | BIT(ACPI_SCI_IRQ);
    bool virtio = c->nr_disks || c->nr_nets || c->rng || c->vconsole;

    return always >> irq & 1 || (virtio && irq >= PCI_GSI(0) && irq <= PCI_GSI(3));
}

static const char *give_irq(struct vm *vm, const struct config_range *r)
{
    u32 irq = (u32)r->first, vector = VECTOR_DEVICES + irq;
    s32 pin = vm->config->pin[0];
    struct line *line = &lines[irq];
    int e;

    if (is_virtual(vm->config, irq))
        return "a virtual device of the VM's uses it";
    irq_set_handler((u8)vector, interrupt);
    spin_lock(&lines_lock);
    e = given_machine->route(irq, (u8)vector, cpus[MAX(pin, 0)]->apic_id, &line->level);
    if (e == OK)
        line->vm = vm;
    spin_unlock(&lines_lock);
    if (e)
        return "no I/O APIC of the machine takes it to its CPU";
    if (line->level)
        ioapic_on_eoi(vm->platform->ioapic, irq, line_served);
    return NULL;
}

void given_leave(struct vm *vm)
{
    spin_lock(&lines_lock);
    for (u32 irq = 0; irq < ARRAY_SIZE(lines); irq++) {
        if (lines[irq].vm == vm) {
            given_machine->mask(irq, true);
            lines[irq].vm = NULL;
        }
    }
    spin_unlock(&lines_lock);
}

/* --- all of them --- */

static const struct {
    const char *name;
    const char *(*give)(struct vm *vm, const struct config_range *r); /* null, or why not */
} kinds[NR_GIVEN] = {
    [GIVEN_PORT] = {"port", give_port},
    [GIVEN_MMIO] = {"mmio", give_mmio},
    [GIVEN_IRQ] = {"irq", give_irq},
};

static bool give(struct vm *vm, enum config_given kind, const struct config_range *r)
{
    const char *why = given_machine->taken(kind, r->first, r->last);

    if (!why)
        why = kinds[kind].give(vm, r);
    if (why)
        log_error("nidus.conf:%u: %s: %s cannot be given: %s", r->line, vm->config->name, kinds[kind].name,
                  why);
    return !why;
}

bool given_start(struct vm *vm)
{
    const struct config_vm *c = vm->config;

    for (u32 kind = 0; kind < NR_GIVEN; kind++) {
        for (u32 i = 0; i < c->nr_given[kind]; i++) {
            if (!give(vm, kind, &c->given[kind][i]))
                return false;
        }
    }
    return true;
}
