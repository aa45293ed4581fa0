/* SPDX-License-Identifier: MIT */
/* PCI Local Bus Specification 3.0, 'MSI-X Capability and Table Structure'; the messages: SDM volume 3
 * (325384), 'Message Signalled Interrupts'. */
#include "lib/string.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pci.h"

#define MSIX_SIZE         12
#define MSIX_CONTROL      2
#define MSIX_TABLE        4
#define MSIX_PBA          8
#define CONTROL_ENABLE    BIT(15)
#define CONTROL_MASK_ALL  BIT(14)
#define ENTRY_MASKED      BIT(0)
#define BAR_SIZE          0x1000
#define PBA_OFFSET        0x800
#define MESSAGE_AREA(a)   ((a) >> 20)
#define MESSAGE_LAPICS    0xfee
#define MESSAGE_DEST(a)   (((a) >> 12 & 0xff) | ((a) >> 5 & 0x7f) << 8) /* with the extended destination id */
#define MESSAGE_LOGICAL   BIT(2)
#define ICR_LOGICAL       BIT(11)
#define MESSAGE_DATA_BITS 0x87ff /* trigger mode, delivery mode, vector: as in the ICR */

static u16 control(const struct pci_function *f)
{
    return f->msix ? pci_get16(f, f->msix + MSIX_CONTROL) : 0;
}

bool pci_msix_enabled(const struct pci_function *f)
{
    return control(f) & CONTROL_ENABLE;
}

/* An address outside of the local APICs' area is memory. */
static void send(struct pci_function *f, const struct pci_msix_entry *e)
{
    u32 low = e->data & MESSAGE_DATA_BITS;

    if (e->address_high || MESSAGE_AREA(e->address) != MESSAGE_LAPICS) {
        guest_write(pci_vm(f), (u64)e->address_high << 32 | e->address, &e->data, sizeof(e->data));
        return;
    }
    if (e->address & MESSAGE_LOGICAL)
        low |= ICR_LOGICAL;
    lapic_message(pci_vm(f), low, MESSAGE_DEST(e->address));
}

void pci_msix_update(struct pci_function *f)
{
    u16 c = control(f);

    if (!f->pending || !(c & CONTROL_ENABLE) || (c & CONTROL_MASK_ALL))
        return;
    for (u32 i = 0; i < f->nr_vectors; i++) {
        if ((f->pending & BIT(i)) && !(f->vector[i].control & ENTRY_MASKED)) {
            f->pending &= ~BIT(i);
            send(f, &f->vector[i]);
        }
    }
}

void pci_msix_fire(struct pci_function *f, u32 vector)
{
    if (vector >= f->nr_vectors || !pci_msix_enabled(f))
        return;
    f->pending |= BIT(vector);
    pci_msix_update(f);
}

static u64 bar_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    const struct pci_function *f = dev;
    u64 value = 0;

    (void)vcpu;
    if (offset + size <= f->nr_vectors * sizeof(f->vector[0]))
        memcpy(&value, (const u8 *)f->vector + offset, size);
    else if (offset >= PBA_OFFSET && offset + size <= PBA_OFFSET + sizeof(f->pending))
        memcpy(&value, (const u8 *)&f->pending + (offset - PBA_OFFSET), size);
    return value;
}

/* The table is for accesses of 32 and 64 bits; the pending bits are read-only. */
static void bar_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct pci_function *f = dev;

    (void)vcpu;
    if (size < 4 || !IS_ALIGNED(offset, size) || offset + size > f->nr_vectors * sizeof(f->vector[0]))
        return;
    memcpy((u8 *)f->vector + offset, &value, size);
    f->vector[offset / sizeof(f->vector[0])].address &= ~3u;
    f->vector[offset / sizeof(f->vector[0])].control &= ENTRY_MASKED;
    pci_msix_update(f);
}

int pci_add_msix(struct pci_function *f, u32 n, u32 vectors)
{
    static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write};

    f->msix = pci_add_capability(f, PCI_CAP_MSIX, MSIX_SIZE);
    if (!f->msix)
        return ERR_NOMEM;
    f->nr_vectors = vectors;
    for (u32 i = 0; i < vectors; i++)
        f->vector[i].control = ENTRY_MASKED;
    pci_put(f->config, f->msix + MSIX_CONTROL, 2, vectors - 1);
    pci_put(f->writable, f->msix + MSIX_CONTROL, 2, CONTROL_ENABLE | CONTROL_MASK_ALL);
    pci_put(f->config, f->msix + MSIX_TABLE, 4, n);
    pci_put(f->config, f->msix + MSIX_PBA, 4, PBA_OFFSET | n);
    return pci_set_bar(f, n, BAR_SIZE, &bar_ops, f);
}
