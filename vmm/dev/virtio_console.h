/* SPDX-License-Identifier: MIT */
/* One console port to the VM's console. Virtual I/O Device (VIRTIO) 1.2, 'Console Device'. */
#ifndef VMM_DEV_VIRTIO_CONSOLE_H
#define VMM_DEV_VIRTIO_CONSOLE_H

#include "lib/types.h"

struct vm;
struct pci_bus;
struct virtio;

/* Null when there is no memory or no slot. */
struct virtio *virtio_console_create(struct vm *vm, struct pci_bus *bus);
/* Input for the guest, from any CPU, with the device lock held. Returns how many of the n bytes were taken:
 * the rest did not fit. */
size_t virtio_console_receive(struct virtio *v, const void *data, size_t n);

#endif
