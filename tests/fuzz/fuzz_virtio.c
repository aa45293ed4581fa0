/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/virtio_blk.c vmm/dev/virtio_net.c vmm/dev/virtio_rng.c vmm/dev/virtio_console.c */
/* links: vmm/dev/net_switch.c vmm/dev/cow.c vmm/dev/virtio.c vmm/dev/virtq.c vmm/dev/pci.c */
/* links: vmm/dev/pci_msix.c vmm/bus.c lib/log.c lib/format.c lib/str_copy.c */
/* links: tests/unit/fake_host.c tests/unit/fake_pci.c tests/unit/fake_driver.c */
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/virtio.h"
#include "vmm/dev/virtio_blk.h"
#include "vmm/dev/virtio_console.h"
#include "vmm/dev/virtio_net.h"
#include "vmm/dev/virtio_rng.h"

#define DEVICES 5 /* two of them network cards at one switch */
#define RAM     KiB(256)

/* A guest with all kinds of device, that does what the input says, in steps of eight bytes. */
struct step {
    u8 what, device;
    u16 where;
    u32 value;
};

static struct fake_driver drivers[DEVICES];

static void run(struct vm *vm, struct virtio *const devices[], const struct step *s)
{
    u32 i = s->device % DEVICES, queue = s->device / DEVICES % 2;
    struct fake_driver *d = &drivers[i];

    switch (s->what % 10) {
    case 0: /* anywhere in its memory */
        memcpy(vm->ram + s->where * 4 % (RAM - 4), &s->value, 4);
        break;
    case 1:
        memcpy(vm->ram + DRIVER_RING(queue) + s->where % 0xffc, &s->value, 4);
        break;
    case 2:
        fake_write(vm, d->common + s->where % 0x4000, 1u << (s->what >> 6), s->value);
        break;
    case 3:
        fake_read(vm, d->common + s->where % 0x4000, 1u << (s->what >> 6));
        break;
    case 4:
        driver_start(d, F_VERSION_1 | (s->value & 1 ? F_INDIRECT : 0) | (s->value & 2 ? F_EVENT_IDX : 0),
                     devices[i]->class->nr_queues);
        break;
    case 5: /* likely descriptors */
        driver_desc(d, queue, s->where % DRIVER_QUEUE, DRIVER_DATA + (s->value & 0xffff),
                    s->value >> 16 & 0xfff, (s->where >> 8 & 7), s->where >> 4 & 7);
        break;
    case 6:
        driver_offer(d, queue, s->where % (DRIVER_QUEUE + 1));
        driver_notify(d, queue);
        break;
    case 7:
        if (devices[i]->class->poll)
            devices[i]->class->poll(devices[i]);
        break;
    case 8:
        fake_pci_set(vm, i + 1, s->where & 0xfc, 4, s->value);
        break;
    default:
        virtio_console_receive(devices[3], s, sizeof(*s));
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const u8 file[9000];
    struct vm *vm = fake_vm(1, RAM);
    struct pci_bus *bus = pci_create(vm, NULL, NULL);
    struct virtio *const devices[DEVICES] = {
        virtio_blk_create(vm, bus, "disk", file, sizeof(file)),
        virtio_net_create(vm, bus, "lan", 0, 0),
        virtio_net_create(vm, bus, "lan", 0, 1),
        virtio_console_create(vm, bus),
        virtio_rng_create(vm, bus),
    };
    struct step step;

    for (u32 i = 0; i < DEVICES; i++)
        driver_find(&drivers[i], vm, i + 1);
    for (size_t at = 0; at + sizeof(step) <= size; at += sizeof(step)) {
        memcpy(&step, data + at, sizeof(step));
        run(vm, devices, &step);
    }
    for (u32 i = 0; i < DEVICES; i++) {
        if (devices[i]->class->leave)
            devices[i]->class->leave(devices[i]);
    }
    fake_vm_free(vm);
    return 0;
}
