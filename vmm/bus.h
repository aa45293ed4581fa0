/* SPDX-License-Identifier: MIT */
/* A bus: sorted address ranges, each served by a device. One for ports and one for memory per VM. */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include "lib/types.h"

struct vcpu;

/* offset: from the start of the range; size: 1, 2, 4 or 8 bytes. Called with the VM's device lock held.
 * vcpu: the one that makes the access; may be null in unit tests. */
struct bus_ops {
    u64 (*read)(void *dev, struct vcpu *vcpu, u64 offset, u32 size);
    void (*write)(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value);
};

struct bus_range {
    u64 base, size;
    const struct bus_ops *ops;
    void *dev;
    const char *name;
};

#define BUS_MAX_RANGES 64

struct bus {
    u32 nr;
    struct bus_range range[BUS_MAX_RANGES]; /* sorted by base */
};

/* ERR_INVAL: empty or wraps around; ERR_EXIST: overlaps; ERR_NOMEM: table full. */
int bus_add(struct bus *bus, u64 base, u64 size, const struct bus_ops *ops, void *dev, const char *name);
int bus_remove(struct bus *bus, u64 base);
const struct bus_range *bus_find(const struct bus *bus, u64 addr);
/* Unclaimed: reads give all ones, writes vanish. An access that crosses the end of a range is split into
 * bytes. */
u64 bus_read(struct bus *bus, struct vcpu *vcpu, u64 addr, u32 size);
void bus_write(struct bus *bus, struct vcpu *vcpu, u64 addr, u32 size, u64 value);

#endif
