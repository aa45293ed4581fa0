/* SPDX-License-Identifier: MIT */
/*
 * The PCI host bridge in ACPI machine language: what follows, by hand. ACPI Specification 6.5, 'ACPI Machine
 * Language (AML) Specification', 'Resource Data Types for ACPI'.
 *
 *     Scope (\_SB) { Device (PCI0) {
 *         Name (_HID, EisaId ("PNP0A03"))
 *         Name (_UID, 0)
 *         Name (_CRS, ResourceTemplate () {
 *             WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
 *             IO (Decode16, 0x0cf8, 0x0cf8, 1, 8)
 *             WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0cf7, 0,
 * 0x0cf8) WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0d00, 0xffff, 0, 0xf300)
 *             DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0,
 *                          PCI_HOLE_START, PCI_HOLE_END - 1, 0, PCI_HOLE_END - PCI_HOLE_START) })
 *         Name (_PRT, Package () { Package () { slot << 16 | 0xffff, 0, 0, PCI_GSI(slot) }, for slots 1 to 15
 * }) } }
 */
#ifndef VMM_GUEST_AML_PCI_H
#define VMM_GUEST_AML_PCI_H

#include "vmm/dev/pci.h"

#define AML_WORD(x)  (x) & 0xff, (x) >> 8 & 0xff
#define AML_DWORD(x) AML_WORD(x), AML_WORD((x) >> 16)
/* A length of two bytes, which count themselves. */
#define AML_LENGTH(x)   0x40 | ((x)&0xf), (x) >> 4
#define AML_ROUTE(slot) 0x12, 11, 4, 0x0c, 0xff, 0xff, (slot), 0, 0, 0, 0x0a, PCI_GSI(slot)
#define AML_ROUTE_SIZE  12

#define PCI_CRS_SIZE   84 /* of the resources */
#define PCI_PRT_SIZE   (15 * AML_ROUTE_SIZE)
#define PCI_PRT_LENGTH (2 + 1 + PCI_PRT_SIZE)
#define PCI_CRS_LENGTH (2 + 2 + PCI_CRS_SIZE)
#define PCI_DEV_LENGTH (2 + 4 + 10 + 6 + (5 + 1 + PCI_CRS_LENGTH) + (5 + 1 + PCI_PRT_LENGTH))
#define PCI_SB_LENGTH  (2 + 5 + 2 + PCI_DEV_LENGTH)

/* clang-format off */
static const u8 pci_aml[] = {
    0x10, AML_LENGTH(PCI_SB_LENGTH), '\\', '_', 'S', 'B', '_',        /* Scope */
    0x5b, 0x82, AML_LENGTH(PCI_DEV_LENGTH), 'P', 'C', 'I', '0',       /* Device */
    0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0a, 0x03,
    0x08, '_', 'U', 'I', 'D', 0x00,
    0x08, '_', 'C', 'R', 'S', 0x11, AML_LENGTH(PCI_CRS_LENGTH), 0x0a, PCI_CRS_SIZE, /* Buffer */
    0x88, AML_WORD(13), 2, 0x0c, 0, AML_WORD(0), AML_WORD(0), AML_WORD(0), AML_WORD(0), AML_WORD(1),
    0x47, 1, AML_WORD(0xcf8), AML_WORD(0xcf8), 1, 8,
    0x88, AML_WORD(13), 1, 0x0c, 3, AML_WORD(0), AML_WORD(0), AML_WORD(0xcf7), AML_WORD(0), AML_WORD(0xcf8),
    0x88, AML_WORD(13), 1, 0x0c, 3, AML_WORD(0), AML_WORD(0xd00), AML_WORD(0xffff), AML_WORD(0), AML_WORD(0xf300),
    0x87, AML_WORD(23), 0, 0x0c, 1, AML_DWORD(0), AML_DWORD(PCI_HOLE_START), AML_DWORD(PCI_HOLE_END - 1),
    AML_DWORD(0), AML_DWORD(PCI_HOLE_END - PCI_HOLE_START),
    0x79, 0,                                                          /* end of resources, no checksum */
    0x08, '_', 'P', 'R', 'T', 0x12, AML_LENGTH(PCI_PRT_LENGTH), 15,   /* Package */
    AML_ROUTE(1), AML_ROUTE(2), AML_ROUTE(3), AML_ROUTE(4), AML_ROUTE(5), AML_ROUTE(6), AML_ROUTE(7), AML_ROUTE(8),
    AML_ROUTE(9), AML_ROUTE(10), AML_ROUTE(11), AML_ROUTE(12), AML_ROUTE(13), AML_ROUTE(14), AML_ROUTE(15),
};
/* clang-format on */

#endif
