/* SPDX-License-Identifier: MIT */
/*
 * A VM's PCI bus 0: configuration mechanism #1 (ports 0xcf8 to 0xcff), a host bridge at slot 0, and functions
 * with memory BARs between PCI_HOLE_START and PCI_HOLE_END, MSI-X, and INTA through an input of the I/O APIC.
 * As firmware would, it gives each BAR an address and switches the function on. PCI Local Bus
 * Specification 3.0, chapter 6. All is called with the VM's device lock held.
 */
#ifndef VMM_DEV_PCI_H
#define VMM_DEV_PCI_H

#include "lib/types.h"

#define PCI_HOLE_START 0xe0000000u
#define PCI_HOLE_END   0xfec00000u /* the I/O APIC is there */
#define PCI_SLOTS      16
#define PCI_GSI(slot)                                                                     \
    (16 + ((slot)&7)) /* the I/O APIC's input that a slot's INTA uses; _PRT says the same \
                       */
#define PCI_BARS           6
#define PCI_MSIX_MAX       8
#define PCI_CAP_VENDOR     0x09
#define PCI_CAP_MSIX       0x11
#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA    0xcfc

struct vm;
struct ioapic;
struct reset;
struct bus_ops;
struct pci_bus;

struct pci_id {
    u16 vendor, device, subvendor, subdevice;
    u32 class; /* 24 bits: class, subclass, programming interface */
    u8 revision;
};

struct pci_bar {
    u32 size; /* 0: there is none */
    u32 at;   /* where it is on the memory bus; 0: not there */
    const struct bus_ops *ops;
    void *dev;
};

struct pci_msix_entry {
    u32 address, address_high, data, control;
};

/* Belongs to the device whose function it is. */
struct pci_function {
    struct pci_bus *bus;
    u8 slot;
    u8 config[256], writable[256]; /* the bits that software may change */
    u8 last_cap, free;             /* offsets: the last capability, where the next one goes */
    struct pci_bar bar[PCI_BARS];
    bool intx;
    u8 msix; /* offset of the capability; 0: none */
    u32 nr_vectors;
    u64 pending; /* vectors */
    struct pci_msix_entry vector[PCI_MSIX_MAX];
    /* Null, or: configuration space is about to be read, or was written, at offset. */
    void (*accessed)(struct pci_function *f, u32 offset, u32 size, bool write);
};

/* Claims the ports; null when there is no memory or a port is taken. reset has port 0xcf9 for accesses of one
 * byte. */
struct pci_bus *pci_create(struct vm *vm, struct ioapic *ioapic, struct reset *reset);
/* Puts f, all zeroes, into the next slot. ERR_NOMEM: there is none. */
int pci_add(struct pci_bus *bus, struct pci_function *f, const struct pci_id *id);
/* A 32-bit memory BAR: size is a power of two from 16. ERR_NOMEM: the hole is full. */
int pci_set_bar(struct pci_function *f, u32 n, u32 size, const struct bus_ops *ops, void *dev);
/* A capability of size bytes, with its header; returns its offset in configuration space, 0 when there is no
 * room. */
u8 pci_add_capability(struct pci_function *f, u8 id, u32 size);
/* MSI-X with 1 to PCI_MSIX_MAX vectors, whose table and pending bits become BAR n. */
int pci_add_msix(struct pci_function *f, u32 n, u32 vectors);

bool pci_msix_enabled(const struct pci_function *f);
/* Sends the vector's message, or keeps it pending while it is masked. */
void pci_msix_fire(struct pci_function *f, u32 vector);
/* Drives INTA. */
void pci_set_intx(struct pci_function *f, bool asserted);

/* --- pci_msix.c, for pci.c --- */

/* MSI-X's control word may have changed: what is pending and may be sent now is. */
void pci_msix_update(struct pci_function *f);

struct vm *pci_vm(const struct pci_function *f);

static inline u16 pci_get16(const struct pci_function *f, u32 offset)
{
    return (u16)(f->config[offset] | f->config[offset + 1] << 8);
}

static inline u32 pci_get32(const struct pci_function *f, u32 offset)
{
    return pci_get16(f, offset) | (u32)pci_get16(f, offset + 2) << 16;
}

static inline void pci_put(u8 *bytes, u32 offset, u32 size, u32 value)
{
    for (u32 i = 0; i < size; i++)
        bytes[offset + i] = (u8)(value >> 8 * i);
}

#endif
