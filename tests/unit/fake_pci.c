/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_pci.h"
#include <string.h>
#include "tests/unit/fake_host.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/reset.h"

bool fake_pin[24];
u32 fake_messages, fake_message_low, fake_message_destination;
u8 fake_reset_control;

void fake_pci_clear(void)
{
    memset(fake_pin, 0, sizeof(fake_pin));
    fake_messages = fake_message_low = fake_message_destination = 0;
    fake_reset_control = 0;
}

void ioapic_set_pin(struct ioapic *io, u32 pin, bool high)
{
    (void)io;
    fake_pin[pin] = high;
}

void lapic_message(struct vm *vm, u32 low, u32 destination)
{
    (void)vm;
    fake_messages++;
    fake_message_low = low;
    fake_message_destination = destination;
}

u8 reset_control_read(const struct reset *r)
{
    (void)r;
    return fake_reset_control;
}

void reset_control_write(struct reset *r, u8 value)
{
    (void)r;
    fake_reset_control = value;
}

void fake_pci_address(struct vm *vm, u32 address)
{
    bus_write(&vm->vcpu[0].pio, PCI_CONFIG_ADDRESS, 4, address);
}

u32 fake_pci_data(struct vm *vm, u32 size)
{
    return (u32)bus_read(&vm->vcpu[0].pio, PCI_CONFIG_DATA, size);
}

u32 fake_pci_get(struct vm *vm, u32 slot, u32 offset, u32 size)
{
    fake_pci_address(vm, 0x80000000 | slot << 11 | (offset & 0xfc));
    return (u32)bus_read(&vm->vcpu[0].pio, PCI_CONFIG_DATA + (offset & 3), size);
}

void fake_pci_set(struct vm *vm, u32 slot, u32 offset, u32 size, u32 value)
{
    fake_pci_address(vm, 0x80000000 | slot << 11 | (offset & 0xfc));
    bus_write(&vm->vcpu[0].pio, PCI_CONFIG_DATA + (offset & 3), size, value);
}
