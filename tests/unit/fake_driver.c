/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_driver.h"
#include <string.h>

void driver_find(struct fake_driver *d, struct vm *vm, u32 slot)
{
    u64 *const parts[] = {NULL, &d->common, &d->notify, &d->isr, &d->device};

    *d = (struct fake_driver){.vm = vm, .slot = slot};
    for (u32 at = fake_pci_get(vm, slot, 0x34, 1); at; at = fake_pci_get(vm, slot, at + 1, 1)) {
        u32 type = fake_pci_get(vm, slot, at + 3, 1);

        if (fake_pci_get(vm, slot, at, 1) == 9 && type < ARRAY_SIZE(parts))
            *parts[type] = fake_pci_get(vm, slot, 0x10 + 4 * fake_pci_get(vm, slot, at + 4, 1), 4) +
                           fake_pci_get(vm, slot, at + 8, 4);
    }
}

u32 driver_get(struct fake_driver *d, u32 offset, u32 size)
{
    return (u32)fake_read(d->vm, d->common + offset, size);
}

void driver_set(struct fake_driver *d, u32 offset, u32 size, u32 value)
{
    fake_write(d->vm, d->common + offset, size, value);
}

u8 driver_negotiate(struct fake_driver *d, u64 features)
{
    driver_set(d, 0x14, 1, 0);
    driver_set(d, 0x14, 1, 3);
    for (u32 i = 0; i < 2; i++) {
        driver_set(d, 0x08, 4, i);
        driver_set(d, 0x0c, 4, (u32)(features >> 32 * i));
    }
    driver_set(d, 0x14, 1, 0xb);
    return (u8)driver_get(d, 0x14, 1);
}

void driver_set_queue(struct fake_driver *d, u32 queue)
{
    memset(d->vm->ram + DRIVER_RING(queue), 0, 0x1000);
    d->avail[queue] = 0;
    driver_set(d, 0x16, 2, queue);
    driver_set(d, 0x18, 2, DRIVER_QUEUE);
    fake_write(d->vm, d->common + 0x20, 8, DRIVER_RING(queue));
    fake_write(d->vm, d->common + 0x28, 8, DRIVER_AVAIL(queue));
    fake_write(d->vm, d->common + 0x30, 8, DRIVER_USED(queue));
    driver_set(d, 0x1c, 2, 1);
}

void driver_start(struct fake_driver *d, u64 features, u32 queues)
{
    driver_negotiate(d, features);
    for (u32 i = 0; i < queues; i++)
        driver_set_queue(d, i);
    driver_set(d, 0x14, 1, 0xf);
}

void driver_desc(struct fake_driver *d, u32 queue, u32 n, u64 addr, u32 len, u16 flags, u16 next)
{
    const struct {
        u64 addr;
        u32 len;
        u16 flags, next;
    } desc = {addr, len, flags, next};

    memcpy(d->vm->ram + DRIVER_RING(queue) + n * sizeof(desc), &desc, sizeof(desc));
}

void driver_offer(struct fake_driver *d, u32 queue, u16 head)
{
    u8 *ring = d->vm->ram + DRIVER_AVAIL(queue);

    memcpy(ring + 4 + 2 * (d->avail[queue]++ % DRIVER_QUEUE), &head, 2);
    memcpy(ring + 2, &d->avail[queue], 2);
}

void driver_notify(struct fake_driver *d, u32 queue)
{
    fake_write(d->vm, d->notify + 4 * queue, 2, queue);
}

static u32 used_ring(struct fake_driver *d, u32 queue, u32 offset, u32 size)
{
    u32 value = 0;

    memcpy(&value, d->vm->ram + DRIVER_USED(queue) + offset, size);
    return value;
}

u16 driver_used(struct fake_driver *d, u32 queue)
{
    return (u16)used_ring(d, queue, 2, 2);
}

u32 driver_used_id(struct fake_driver *d, u32 queue, u32 n)
{
    return used_ring(d, queue, 4 + 8 * (n % DRIVER_QUEUE), 4);
}

u32 driver_used_len(struct fake_driver *d, u32 queue, u32 n)
{
    return used_ring(d, queue, 8 + 8 * (n % DRIVER_QUEUE), 4);
}
