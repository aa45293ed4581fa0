/* SPDX-License-Identifier: MIT */
#include "vmm/bus.h"
#include "lib/string.h"

/* Index of the first range that ends above addr; bus->nr if there is none. */
static u32 first_above(const struct bus *bus, u64 addr)
{
    u32 low = 0, high = bus->nr;

    while (low < high) {
        u32 middle = (low + high) / 2;
        const struct bus_range *r = &bus->range[middle];

        if (r->base + (r->size - 1) < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct bus_range *bus_find(const struct bus *bus, u64 addr)
{
    u32 i = first_above(bus, addr);

    return i < bus->nr && bus->range[i].base <= addr ? &bus->range[i] : NULL;
}

int bus_add(struct bus *bus, u64 base, u64 size, const struct bus_ops *ops, void *dev, const char *name)
{
    u32 i = first_above(bus, base);

    if (!size || base + (size - 1) < base)
        return ERR_INVAL;
    if (i < bus->nr && bus->range[i].base <= base + (size - 1))
        return ERR_EXIST;
    if (bus->nr == BUS_MAX_RANGES)
        return ERR_NOMEM;
    memmove(&bus->range[i + 1], &bus->range[i], (bus->nr - i) * sizeof(bus->range[0]));
    bus->range[i] = (struct bus_range){base, size, ops, dev, name};
    bus->nr++;
    return OK;
}

int bus_remove(struct bus *bus, u64 base)
{
    u32 i = first_above(bus, base);

    if (i == bus->nr || bus->range[i].base != base)
        return ERR_NOENT;
    bus->nr--;
    memmove(&bus->range[i], &bus->range[i + 1], (bus->nr - i) * sizeof(bus->range[0]));
    return OK;
}

/* Whether one range, or none at all, serves the whole access; *range is that range or null. */
static bool is_whole(const struct bus *bus, u64 addr, u32 size, const struct bus_range **range)
{
    u32 i = first_above(bus, addr);
    const struct bus_range *r;

    *range = NULL;
    if (i == bus->nr)
        return true;
    r = &bus->range[i];
    if (r->base > addr)
        return r->base - addr >= size;
    *range = r;
    return r->size - (addr - r->base) >= size;
}

u64 bus_read(struct bus *bus, struct vcpu *vcpu, u64 addr, u32 size)
{
    u64 ones = BITS(size * 8 - 1, 0), value = 0;
    const struct bus_range *r;

    if (is_whole(bus, addr, size, &r))
        return r ? r->ops->read(r->dev, vcpu, addr - r->base, size) & ones : ones;
    for (u32 i = 0; i < size; i++)
        value |= bus_read(bus, vcpu, addr + i, 1) << (8 * i);
    return value;
}

void bus_write(struct bus *bus, struct vcpu *vcpu, u64 addr, u32 size, u64 value)
{
    const struct bus_range *r;

    if (is_whole(bus, addr, size, &r)) {
        if (r)
            r->ops->write(r->dev, vcpu, addr - r->base, size, value & BITS(size * 8 - 1, 0));
        return;
    }
    for (u32 i = 0; i < size; i++)
        bus_write(bus, vcpu, addr + i, 1, value >> (8 * i));
}
