/* SPDX-License-Identifier: MIT */
#include "vmm/dev/virtio_rng.h"
#include "vmm/dev/host.h"
#include "vmm/dev/virtio.h"

#define GIVEN_MAX 256 /* bytes for one request; the driver asks again */
#define BUDGET    16  /* requests before the vCPU gets a chance to do something else */

static void notify(struct virtio *v, u32 queue)
{
    u8 bytes[GIVEN_MAX];
    u32 budget = BUDGET;

    while (budget && virtio_pop(v, queue)) {
        u64 n = MIN(v->chain.to_write, sizeof(bytes));

        vm_random(bytes, n);
        virtq_write(&v->queue[queue], &v->chain, 0, bytes, n);
        virtio_push(v, queue, (u32)n);
        budget--;
    }
    if (!budget)
        vm_request_poll(v->vm);
    virtio_done(v, queue);
}

static void poll(struct virtio *v)
{
    notify(v, 0);
}

struct virtio *virtio_rng_create(struct vm *vm, struct pci_bus *bus)
{
    static const struct virtio_class class = {.name = "virtio-rng",
                                              .type = VIRTIO_RNG,
                                              .pci_class = 0xff0000,
                                              .nr_queues = 1,
                                              .notify = notify,
                                              .poll = poll};
    struct virtio *v = vm_alloc(vm, sizeof(*v));

    return !v || virtio_create(v, vm, bus, &class, NULL, 0) ? NULL : v;
}
