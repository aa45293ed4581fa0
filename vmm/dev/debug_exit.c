/* SPDX-License-Identifier: MIT */
#include "vmm/dev/debug_exit.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"

#define EXIT_PORT     0xf4
#define SHUTDOWN_PORT 0x8900

struct debug_exit {
    struct vm *vm;
    u32 matched; /* characters of the word written so far */
    char why[48];
};

static u64 nothing_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)dev, (void)vcpu, (void)offset, (void)size;
    return ~0ull;
}

static void exit_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct debug_exit *d = dev;

    (void)vcpu, (void)offset, (void)size;
    format(d->why, sizeof(d->why), "wrote %u to port 0xf4", (u32)value);
    vm_request_end(d->vm, value == 0 ? VM_END_POWEROFF : VM_END_CRASH, d->why);
}

static void shutdown_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    static const char word[] = "Shutdown";
    struct debug_exit *d = dev;

    (void)vcpu, (void)offset, (void)size;
    if ((char)value != word[d->matched])
        d->matched = 0;
    if ((char)value == word[d->matched])
        d->matched++;
    if (d->matched == strlen(word)) {
        d->matched = 0;
        vm_request_end(d->vm, VM_END_POWEROFF, "wrote 'Shutdown' to port 0x8900");
    }
}

struct debug_exit *debug_exit_create(struct vm *vm)
{
    static const struct bus_ops exit_ops = {.read = nothing_read, .write = exit_write};
    static const struct bus_ops shutdown_ops = {.read = nothing_read, .write = shutdown_write};
    struct debug_exit *d = vm_alloc(vm, sizeof(*d));
    struct bus *bus = vm_pio_bus(vm);

    if (!d || bus_add(bus, EXIT_PORT, 4, &exit_ops, d) || bus_add(bus, SHUTDOWN_PORT, 1, &shutdown_ops, d))
        return NULL;
    d->vm = vm;
    return d;
}
