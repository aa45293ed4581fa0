/* SPDX-License-Identifier: MIT */
/* A driver for virtio devices: finds a device's parts as a guest does, sets queues up in the fake VM's RAM.
 */
#ifndef TESTS_UNIT_FAKE_DRIVER_H
#define TESTS_UNIT_FAKE_DRIVER_H

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_pci.h"

#define DRIVER_QUEUE 8 /* entries */
#define DRIVER_RING(q) \
    (0x10000ull + (q)*0x1000) /* descriptors; available ring at 0x400, used ring at 0x800 */
#define DRIVER_AVAIL(q) (DRIVER_RING(q) + 0x400)
#define DRIVER_USED(q)  (DRIVER_RING(q) + 0x800)
#define DRIVER_DATA     0x20000ull

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

#define F_INDIRECT  BIT(28)
#define F_EVENT_IDX BIT(29)
#define F_VERSION_1 BIT(32)

struct fake_driver {
    struct vm *vm;
    u32 slot;
    u64 common, isr, device, notify; /* addresses */
    u16 avail[4];                    /* indexes */
};

/* Finds the capabilities of the device in a slot. */
void driver_find(struct fake_driver *d, struct vm *vm, u32 slot);
u32 driver_get(struct fake_driver *d, u32 offset, u32 size);
void driver_set(struct fake_driver *d, u32 offset, u32 size, u32 value);
/* Reset, features, queues, DRIVER_OK. */
void driver_start(struct fake_driver *d, u64 features, u32 queues);
/* Reset to FEATURES_OK, and the device's status then. */
u8 driver_negotiate(struct fake_driver *d, u64 features);
void driver_set_queue(struct fake_driver *d, u32 queue);
void driver_desc(struct fake_driver *d, u32 queue, u32 n, u64 addr, u32 len, u16 flags, u16 next);
/* Makes a chain available, without a notification. */
void driver_offer(struct fake_driver *d, u32 queue, u16 head);
void driver_notify(struct fake_driver *d, u32 queue);
u16 driver_used(struct fake_driver *d, u32 queue); /* index */
/* Element n of the used ring. */
u32 driver_used_id(struct fake_driver *d, u32 queue, u32 n);
u32 driver_used_len(struct fake_driver *d, u32 queue, u32 n);

#endif
