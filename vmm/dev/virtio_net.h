/* SPDX-License-Identifier: MIT */
/* A network card at a switch inside Nidus. Virtual I/O Device (VIRTIO) 1.2, 'Network Device', without
 * offloads. */
#ifndef VMM_DEV_VIRTIO_NET_H
#define VMM_DEV_VIRTIO_NET_H

#include "lib/types.h"

struct vm;
struct pci_bus;
struct virtio;

/* Its address is 52:4e:44:00:VM:CARD, which is locally administered. Null when there is no memory, slot or
 * switch. */
struct virtio *virtio_net_create(struct vm *vm, struct pci_bus *bus, const char *net, u8 vm_number, u8 card);

#endif
