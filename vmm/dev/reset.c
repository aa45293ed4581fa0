/* SPDX-License-Identifier: MIT */
/* 0xcf9 and 0x92 as in Intel's chipset data sheets ('Reset Control Register', 'Port 92 Register'). */
#include "vmm/dev/reset.h"
#include "lib/types.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"

#define RESET_CPU    BIT(2)
#define PORT_A       0x92
#define PORT_A_RESET BIT(0)
#define PORT_A_A20   BIT(1)
#define KBD_DATA     0x60
#define KBD_COMMAND  0x64

struct reset {
    struct vm *vm;
    u8 control;
};

u8 reset_control_read(const struct reset *r)
{
    return r->control;
}

void reset_control_write(struct reset *r, u8 value)
{
    if ((value & RESET_CPU) && !(r->control & RESET_CPU))
        vm_request_end(r->vm, VM_END_RESET, "reset by port 0xcf9");
    r->control = value & ~RESET_CPU;
}

static u64 port_a_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)dev, (void)vcpu, (void)offset, (void)size;
    return PORT_A_A20;
}

static void port_a_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct reset *r = dev;

    (void)vcpu, (void)offset, (void)size;
    if (value & PORT_A_RESET)
        vm_request_end(r->vm, VM_END_RESET, "reset by port 0x92");
}

static u64 kbd_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)dev, (void)vcpu, (void)offset, (void)size;
    return 0;
}

static void kbd_data_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)dev, (void)vcpu, (void)offset, (void)size, (void)value;
}

static void kbd_command_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct reset *r = dev;

    (void)vcpu, (void)offset, (void)size;
    if ((value & 0xf1) == 0xf0) /* pulse output lines; line 0 is the reset */
        vm_request_end(r->vm, VM_END_RESET, "reset by the keyboard controller");
}

struct reset *reset_create(struct vm *vm)
{
    static const struct bus_ops port_a_ops = {.read = port_a_read, .write = port_a_write};
    static const struct bus_ops data_ops = {.read = kbd_read, .write = kbd_data_write};
    static const struct bus_ops command_ops = {.read = kbd_read, .write = kbd_command_write};
    struct reset *r = vm_alloc(vm, sizeof(*r));
    struct bus *bus = vm_pio_bus(vm);

    if (!r || bus_add(bus, PORT_A, 1, &port_a_ops, r) || bus_add(bus, KBD_DATA, 1, &data_ops, r) ||
        bus_add(bus, KBD_COMMAND, 1, &command_ops, r))
        return NULL;
    r->vm = vm;
    return r;
}
