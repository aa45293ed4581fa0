/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices on the PCI bus: the transport. Virtual I/O Device (VIRTIO) 1.2, 'Virtio Over PCI Bus',
 * modern interface only. Called with the VM's device lock held. What a driver does wrong in its queues only
 * makes this device ask for a reset.
 */
#ifndef VMM_DEV_VIRTIO_H
#define VMM_DEV_VIRTIO_H

#include "vmm/dev/pci.h"
#include "vmm/dev/virtq.h"

#define VIRTIO_MAX_QUEUES 2

enum virtio_type { VIRTIO_NET = 1, VIRTIO_BLK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4 };

struct virtio;

struct virtio_class {
    const char *name;
    enum virtio_type type;
    u32 pci_class;
    u32 nr_queues;
    u64 features; /* of the device type */
    /* The queue may have something new. */
    void (*notify)(struct virtio *v, u32 queue);
    /* Null, or: called some time after vm_request_poll(). */
    void (*poll)(struct virtio *v);
    /* Null, or: the driver has reset the device. */
    void (*reset)(struct virtio *v);
    /* Null, or: the VM ends. Without the device lock. */
    void (*leave)(struct virtio *v);
};

struct virtio {
    struct pci_function pci;
    struct vm *vm;
    const struct virtio_class *class;
    const void *config; /* of the device type, read-only */
    u32 config_size;
    struct virtio *next; /* of the VM's */
    u64 features;        /* that the driver took */
    u32 feature_select, driver_feature_select;
    u16 queue_select, config_vector;
    u8 status, isr;
    u8 window; /* where the capability for access by configuration space is */
    bool told; /* a broken queue has been logged */
    u16 vector[VIRTIO_MAX_QUEUES];
    struct virtq queue[VIRTIO_MAX_QUEUES];
    struct virtq_chain chain; /* the one being worked on */
};

/* v: all zeroes. Puts it on the bus. */
int virtio_create(struct virtio *v, struct vm *vm, struct pci_bus *bus, const struct virtio_class *class,
                  const void *config, u32 config_size);

/* Whether the driver is ready and the device has not failed. */
bool virtio_running(const struct virtio *v);
/* virtq_pop() into v->chain. A broken queue makes the device ask for a reset. */
bool virtio_pop(struct virtio *v, u32 queue);
/* virtq_push() of v->chain. */
void virtio_push(struct virtio *v, u32 queue, u32 written);
/* After some pushes: interrupts the driver if it wants that. */
void virtio_done(struct virtio *v, u32 queue);

#endif
