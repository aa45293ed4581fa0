/* SPDX-License-Identifier: MIT */
#include "vmm/dev/pci.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/reset.h"

/* Configuration space, header type 0. */
enum {
    CFG_VENDOR = 0x00,
    CFG_DEVICE = 0x02,
    CFG_COMMAND = 0x04,
    CFG_STATUS = 0x06,
    CFG_REVISION = 0x08,
    CFG_CLASS = 0x09,
    CFG_BAR0 = 0x10,
    CFG_SUBVENDOR = 0x2c,
    CFG_SUBDEVICE = 0x2e,
    CFG_CAPABILITIES = 0x34,
    CFG_LINE = 0x3c,
    CFG_PIN = 0x3d,
    CFG_FREE = 0x40, /* capabilities go from here on */
};

#define COMMAND_MEMORY  BIT(1)
#define COMMAND_MASTER  BIT(2)
#define COMMAND_NO_INTX BIT(10)
#define STATUS_INTX     BIT(3)
#define STATUS_CAPS     BIT(4)
#define LINE_UNKNOWN    0xff
#define PIN_INTA        1

#define ADDRESS_ENABLE   BIT(31)
#define ADDRESS_BUS(a)   ((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a) ((a) >> 8 & 0xff)
#define ADDRESS_BITS     0x80fffffcu

#define RESET_CONTROL 1 /* offset of port 0xcf9 */
#define DATA          (PCI_CONFIG_DATA - PCI_CONFIG_ADDRESS)

static const struct pci_id host_bridge = {0x1b36, 0x0008, 0, 0, 0x060000, 0};

struct pci_bus {
    struct vm *vm;
    struct ioapic *ioapic;
    struct reset *reset;
    u32 address;
    u32 next_bar; /* where the next one may go */
    u32 lines[8]; /* by input of the I/O APIC from PCI_GSI(0) on: which slots ask */
    u32 nr_slots;
    struct pci_function *slot[PCI_SLOTS];
    struct pci_function bridge;
};

struct vm *pci_vm(const struct pci_function *f)
{
    return f->bus->vm;
}

/* --- BARs, INTx --- */

static u32 wanted_place(const struct pci_function *f, u32 n)
{
    u32 base = pci_get32(f, CFG_BAR0 + 4 * n), size = f->bar[n].size;

    if (!size || !(pci_get16(f, CFG_COMMAND) & COMMAND_MEMORY) || base < PCI_HOLE_START ||
        base > PCI_HOLE_END - size)
        return 0;
    return base;
}

/* A BAR that overlaps another one, or lies outside of the hole, is not there. */
static void place_bar(struct pci_function *f, u32 n)
{
    struct pci_bar *bar = &f->bar[n];
    struct bus *bus = vm_mmio_bus(f->bus->vm);
    u32 at = wanted_place(f, n);

    if (at == bar->at)
        return;
    if (bar->at)
        bus_remove(bus, bar->at);
    bar->at = at && !bus_add(bus, at, bar->size, bar->ops, bar->dev) ? at : 0;
}

static void update_line(struct pci_function *f)
{
    u32 gsi = PCI_GSI(f->slot), *line = &f->bus->lines[gsi - PCI_GSI(0)];
    bool on = f->intx && !(pci_get16(f, CFG_COMMAND) & COMMAND_NO_INTX) && !pci_msix_enabled(f);

    f->config[CFG_STATUS] = (u8)(f->config[CFG_STATUS] & ~STATUS_INTX) | (f->intx ? STATUS_INTX : 0);
    *line = on ? *line | 1u << f->slot : *line & ~(1u << f->slot);
    ioapic_set_pin(f->bus->ioapic, gsi, *line);
}

void pci_set_intx(struct pci_function *f, bool asserted)
{
    f->intx = asserted;
    update_line(f);
}

int pci_set_bar(struct pci_function *f, u32 n, u32 size, const struct bus_ops *ops, void *dev)
{
    u64 at = ALIGN_UP(f->bus->next_bar, size);

    if (at + size > PCI_HOLE_END)
        return ERR_NOMEM;
    f->bus->next_bar = (u32)at + size;
    f->bar[n] = (struct pci_bar){.size = size, .ops = ops, .dev = dev};
    pci_put(f->config, CFG_BAR0 + 4 * n, 4, (u32)at);
    pci_put(f->writable, CFG_BAR0 + 4 * n, 4, ~(size - 1));
    place_bar(f, n);
    return f->bar[n].at ? OK : ERR_NOMEM;
}

/* --- configuration space --- */

static struct pci_function *selected(const struct pci_bus *bus)
{
    u32 devfn = ADDRESS_DEVFN(bus->address), slot = devfn >> 3;

    if (!(bus->address & ADDRESS_ENABLE) || ADDRESS_BUS(bus->address) || (devfn & 7) || slot >= bus->nr_slots)
        return NULL;
    return bus->slot[slot];
}

static u32 config_read(struct pci_bus *bus, u32 byte, u32 size)
{
    struct pci_function *f = selected(bus);
    u32 offset = (bus->address & 0xfc) + byte, value = 0;

    if (!f)
        return ~0u;
    if (f->accessed)
        f->accessed(f, offset, size, false);
    for (u32 i = 0; i < size; i++)
        value |= (u32)f->config[offset + i] << 8 * i;
    return value;
}

static void config_write(struct pci_bus *bus, u32 byte, u32 size, u32 value)
{
    struct pci_function *f = selected(bus);
    u32 offset = (bus->address & 0xfc) + byte;

    if (!f)
        return;
    for (u32 i = offset; i < offset + size; i++, value >>= 8)
        f->config[i] = (u8)((f->config[i] & ~f->writable[i]) | (value & f->writable[i]));
    if (offset < CFG_BAR0 + 4 * PCI_BARS)
        for (u32 n = 0; n < PCI_BARS; n++)
            place_bar(f, n);
    pci_msix_update(f);
    update_line(f);
    if (f->accessed)
        f->accessed(f, offset, size, true);
}

/* The address register is there for accesses of 32 bits only. */
static u64 port_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct pci_bus *bus = dev;

    (void)vcpu;
    if (offset >= DATA)
        return config_read(bus, offset - DATA, size);
    if (offset == 0 && size == 4)
        return bus->address;
    return offset == RESET_CONTROL && size == 1 ? reset_control_read(bus->reset) : ~0ull;
}

static void port_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct pci_bus *bus = dev;

    (void)vcpu;
    if (offset >= DATA)
        config_write(bus, offset - DATA, size, (u32)value);
    else if (offset == 0 && size == 4)
        bus->address = (u32)value & ADDRESS_BITS;
    else if (offset == RESET_CONTROL && size == 1)
        reset_control_write(bus->reset, (u8)value);
}

/* --- building --- */

int pci_add(struct pci_bus *bus, struct pci_function *f, const struct pci_id *id)
{
    if (bus->nr_slots == PCI_SLOTS)
        return ERR_NOMEM;
    f->bus = bus;
    f->slot = (u8)bus->nr_slots;
    f->free = CFG_FREE;
    pci_put(f->config, CFG_VENDOR, 2, id->vendor);
    pci_put(f->config, CFG_DEVICE, 2, id->device);
    pci_put(f->config, CFG_COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER);
    pci_put(f->writable, CFG_COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
    pci_put(f->config, CFG_REVISION, 1, id->revision);
    pci_put(f->config, CFG_CLASS, 3, id->class);
    pci_put(f->config, CFG_SUBVENDOR, 2, id->subvendor);
    pci_put(f->config, CFG_SUBDEVICE, 2, id->subdevice);
    if (f != &bus->bridge) {
        pci_put(f->config, CFG_LINE, 1, LINE_UNKNOWN);
        pci_put(f->writable, CFG_LINE, 1, 0xff);
        pci_put(f->config, CFG_PIN, 1, PIN_INTA);
    }
    bus->slot[bus->nr_slots++] = f;
    return OK;
}

u8 pci_add_capability(struct pci_function *f, u8 id, u32 size)
{
    u32 at = f->free;

    if (!at || at + size > sizeof(f->config))
        return 0;
    f->config[at] = id;
    f->config[f->last_cap ? f->last_cap + 1 : CFG_CAPABILITIES] = (u8)at;
    f->config[CFG_STATUS] |= STATUS_CAPS;
    f->last_cap = (u8)at;
    f->free = (u8)ALIGN_UP(at + size, 4); /* 0 when all is used */
    return (u8)at;
}

struct pci_bus *pci_create(struct vm *vm, struct ioapic *ioapic, struct reset *reset)
{
    static const struct bus_ops port_ops = {.read = port_read, .write = port_write};
    struct pci_bus *bus = vm_alloc(vm, sizeof(*bus));

    if (!bus || bus_add(vm_pio_bus(vm), PCI_CONFIG_ADDRESS, 8, &port_ops, bus))
        return NULL;
    bus->vm = vm;
    bus->ioapic = ioapic;
    bus->reset = reset;
    bus->next_bar = PCI_HOLE_START;
    return pci_add(bus, &bus->bridge, &host_bridge) ? NULL : bus;
}
