/* SPDX-License-Identifier: MIT */
/* Random numbers for the guest, from vm_random(). Virtual I/O Device (VIRTIO) 1.2, 'Entropy Device'. */
#ifndef VMM_DEV_VIRTIO_RNG_H
#define VMM_DEV_VIRTIO_RNG_H

struct vm;
struct pci_bus;
struct virtio;

/* Null when there is no memory or no slot. */
struct virtio *virtio_rng_create(struct vm *vm, struct pci_bus *bus);

#endif
