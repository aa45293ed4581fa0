/* SPDX-License-Identifier: MIT */
/* What PCI devices are connected with: the I/O APIC's inputs, messages to local APICs, port 0xcf9; and
 * configuration accesses as software makes them. */
#ifndef TESTS_UNIT_FAKE_PCI_H
#define TESTS_UNIT_FAKE_PCI_H

#include "vmm/dev/pci.h"

extern bool fake_pin[24];
extern u32 fake_messages, fake_message_low;
extern u32 fake_message_destination;
extern u8 fake_reset_control;

void fake_pci_clear(void);
void fake_pci_address(struct vm *vm, u32 address);
u32 fake_pci_data(struct vm *vm, u32 size);
u32 fake_pci_get(struct vm *vm, u32 slot, u32 offset, u32 size);
void fake_pci_set(struct vm *vm, u32 slot, u32 offset, u32 size, u32 value);

#endif
