/* SPDX-License-Identifier: MIT */
/* The devices that a VM's configuration asks for. */
#include "vmm/dev/host.h"
#include "vmm/dev/platform.h"
#include "vmm/dev/uart.h"
#include "vmm/dev/virtio.h"
#include "vmm/dev/virtio_blk.h"
#include "vmm/dev/virtio_console.h"
#include "vmm/dev/virtio_net.h"
#include "vmm/dev/virtio_rng.h"

static bool add(struct platform *p, struct virtio *v)
{
    if (v) {
        v->next = p->virtio;
        p->virtio = v;
    }
    return v;
}

int platform_add(struct vm *vm, const struct platform_options *o)
{
    struct platform *p = vm_platform(vm);

    for (u32 i = 0; i < o->nr_disks; i++) {
        const struct platform_disk *d = &o->disks[i];

        if (!add(p, virtio_blk_create(vm, p->pci, d->name, d->data, d->size)))
            return ERR_NOMEM;
    }
    for (u32 i = 0; i < o->nr_nets; i++) {
        if (!add(p, virtio_net_create(vm, p->pci, o->nets[i], (u8)o->index, (u8)i)))
            return ERR_NOMEM;
    }
    if (o->rng && !add(p, virtio_rng_create(vm, p->pci)))
        return ERR_NOMEM;
    if (o->vconsole) {
        p->vconsole = virtio_console_create(vm, p->pci);
        if (!add(p, p->vconsole))
            return ERR_NOMEM;
    }
    return OK;
}

void platform_leave(struct platform *p)
{
    for (struct virtio *v = p->virtio; v; v = v->next) {
        if (v->class->leave)
            v->class->leave(v);
    }
}

void platform_poll(struct platform *p)
{
    for (struct virtio *v = p->virtio; v; v = v->next) {
        if (v->class->poll)
            v->class->poll(v);
    }
}

void platform_input(struct platform *p, const char *data, size_t n)
{
    if (p->vconsole && virtio_running(p->vconsole))
        virtio_console_receive(p->vconsole, data, n);
    else
        uart_receive(p->uart, data, n);
}
