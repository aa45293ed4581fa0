/* SPDX-License-Identifier: MIT */
/*
 * A disk whose first content is a file from the boot image. What the guest writes stays in memory, charged to
 * the VM, by pages of 4 KiB from the first write on, and is gone when the VM ends. Virtual I/O Device
 * (VIRTIO) 1.2, 'Block Device'.
 */
#ifndef VMM_DEV_VIRTIO_BLK_H
#define VMM_DEV_VIRTIO_BLK_H

#include "lib/types.h"

struct vm;
struct pci_bus;
struct virtio;

/* data stays as it is while the VM lives; what the last sector lacks is zeroes. name: told to the guest as
 * the disk's id, cut to 20 characters. Null when there is no memory or no slot. */
struct virtio *virtio_blk_create(struct vm *vm, struct pci_bus *bus, const char *name, const void *data,
                                 u64 size);

#endif
