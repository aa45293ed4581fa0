/* SPDX-License-Identifier: MIT */
/*
 * Buses: address ranges, each served by a device. A VM has one for ports and one for memory, and so has each
 * of its vCPUs: the vCPU's own is asked first and eclipses the VM's. Devices may come, go and move while
 * vCPUs make accesses: look-ups take no lock, changes of a VM's buses take turns.
 *
 * An access of a power of two of bytes that one device serves whole, or nobody does, is made at once; any
 * other (across the end of a range, partly in a hole, of 3, 5, 6 or 7 bytes) byte by byte, lowest address
 * first, wrapping around after the highest. Unclaimed: reads give all ones, writes vanish.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include "lib/spinlock.h"
#include "lib/types.h"

struct vm;
struct vcpu;

/* offset: from the start of the range; size: 1, 2, 4 or 8 bytes, all within the range. Called with the
 * range's lock held. vcpu: the one that makes the access. */
struct bus_ops {
    u64 (*read)(void *dev, struct vcpu *vcpu, u64 offset, u32 size);
    void (*write)(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value);
    /* Null: the device has all of its range. Else whether it has the byte at offset; where not, the access
     * goes on as though the range were not there. */
    bool (*claims)(void *dev, struct vcpu *vcpu, u64 offset);
};

/* What all buses of a VM share. */
struct bus_domain {
    struct vm *vm;             /* gives the memory, by vm_alloc() */
    struct spinlock *dev_lock; /* the lock of ranges that ask for no other */
    struct spinlock change;
    u64 seq; /* odd during a change */
};

struct bus_table;

struct bus {
    struct bus_domain *domain;
    struct bus_table *table; /* null: empty */
};

/* What a look-up found: everything from first to first + span is served by the same range, or by none (ops
 * null). */
struct bus_slot {
    u64 seq; /* of the domain at that time */
    u64 first, span;
    u64 base; /* of the range */
    const struct bus_ops *ops;
    void *dev;
    struct spinlock *lock;
    bool own; /* on the vCPU's bus */
};

#define BUS_SLOTS 4
/* Which slot an address uses: so that a PC's ports, and its APICs, use different ones. */
#define BUS_PIO_SHIFT  3
#define BUS_MMIO_SHIFT 20

/* An access that was made, and can be made again in the same way: one device, without holes, or nobody,
 * serves it. */
struct bus_hot {
    u64 key; /* BUS_KEY() of address and size */
    u64 seq; /* of the domain; 0: nothing is remembered here */
    const struct bus_ops *ops;
    void *dev;
    struct spinlock *lock;
    u64 offset; /* from the start of the range */
    u64 mask;   /* of the size's bits */
    u64 unused; /* makes it a power of two */
};

#define BUS_HOT          16
#define BUS_KEY(addr, n) ((addr) << 4 | (n))

/* A vCPU's accesses to its bus and its VM's; remembers what it has looked up. */
struct bus_view {
    struct bus_domain *domain;
    struct bus *own, *shared;
    struct vcpu *vcpu;
    u32 shift;
    struct bus_slot slot[BUS_SLOTS];
    struct bus_hot hot[BUS_HOT];
};

void bus_domain_init(struct bus_domain *d, struct vm *vm, struct spinlock *dev_lock);
/* own may be null. */
void bus_view_init(struct bus_view *v, struct bus *own, struct bus *shared, struct vcpu *vcpu, u32 shift);

/*
 * ERR_INVAL: empty or wraps around; ERR_EXIST: overlaps; ERR_NOMEM. These allocate: with the VM's device lock
 * held, once there are several users of the VM. An access made under the same lock sees either all of the
 * change or nothing of it: after bus_remove() none of the range's reaches the device.
 */
int bus_add(struct bus *bus, u64 base, u64 size, const struct bus_ops *ops, void *dev);
/* The same; the device is called with this lock held, or none: then it may still be called for a moment after
 * bus_remove() on another CPU. */
int bus_add_lock(struct bus *bus, u64 base, u64 size, const struct bus_ops *ops, void *dev,
                 struct spinlock *lock);
/* ERR_NOENT: no range starts there. */
int bus_remove(struct bus *bus, u64 base);
/* At no time is the range missing. Errors as above; then it stays where it was. */
int bus_move(struct bus *bus, u64 base, u64 to);

/* Looks up who serves addr for this vCPU. False: nobody does, from first to first + span. */
bool bus_find(struct bus_view *v, u64 addr, struct bus_slot *out);

/* For the two functions below, when there is more to it. */
u64 bus_read_slow(struct bus_view *v, u64 addr, u32 size);
void bus_write_slow(struct bus_view *v, u64 addr, u32 size, u64 value);

static inline struct bus_hot *bus_hot_at(struct bus_view *v, u64 addr)
{
    return &v->hot[(addr ^ addr >> 4) % BUS_HOT];
}

/* Bumped by every change of the domain's buses; asked with the range's lock held. */
static inline u64 bus_seq(const struct bus_view *v)
{
    return __atomic_load_n(&v->domain->seq, __ATOMIC_ACQUIRE);
}

static inline void bus_leave(struct spinlock *lock)
{
    if (lock)
        spin_unlock(lock);
}

/* With true the lock is held. A lock that is no longer the range's is still there, as the VM is. */
static inline bool bus_enter(const struct bus_view *v, const struct bus_hot *h, u64 addr, u32 size)
{
    struct spinlock *lock = h->lock;

    if (unlikely(h->key != BUS_KEY(addr, size)))
        return false;
    if (lock)
        spin_lock(lock);
    if (likely(bus_seq(v) == h->seq))
        return true;
    bus_leave(lock);
    return false;
}

/* addr: below 2^60; size: 1 to 8 bytes. Inline is what most accesses need. */
static inline u64 bus_read(struct bus_view *v, u64 addr, u32 size)
{
    const struct bus_hot *h = bus_hot_at(v, addr);
    struct spinlock *lock = h->lock; /* the device may cause accesses that are remembered here */
    u64 value;

    if (unlikely(!bus_enter(v, h, addr, size)))
        return bus_read_slow(v, addr, size);
    value = h->ops->read(h->dev, v->vcpu, h->offset, size) & h->mask;
    bus_leave(lock);
    return value;
}

static inline void bus_write(struct bus_view *v, u64 addr, u32 size, u64 value)
{
    const struct bus_hot *h = bus_hot_at(v, addr);
    struct spinlock *lock = h->lock; /* the device may cause accesses that are remembered here */

    if (unlikely(!bus_enter(v, h, addr, size))) {
        bus_write_slow(v, addr, size, value);
        return;
    }
    h->ops->write(h->dev, v->vcpu, h->offset, size, value & h->mask);
    bus_leave(lock);
}

#endif
