/* SPDX-License-Identifier: MIT */
/*
 * A bus is a sorted array. It is changed in place between two increments of the domain's sequence number; who
 * looks something up does so again when the number was odd or has changed. The fields are read by acquire and
 * written by release operations, which orders them with the number. An array that has become too small is
 * replaced by one of twice the size and kept until the VM ends: together the old ones are smaller than the
 * new one.
 */
#include "vmm/bus.h"
#include "vmm/dev/host.h"

#define FIRST_CAPACITY 8

#define LOAD(x)         __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELEASE)

struct bus_range {
    u64 base, last;
    const struct bus_ops *ops;
    void *dev;
    struct spinlock *lock;
};

struct bus_table {
    u32 nr, capacity;
    struct bus_range range[]; /* sorted */
};

void bus_domain_init(struct bus_domain *d, struct vm *vm, struct spinlock *dev_lock)
{
    *d = (struct bus_domain){.vm = vm, .dev_lock = dev_lock, .seq = 2}; /* an empty slot has 0 */
}

void bus_view_init(struct bus_view *v, struct bus *own, struct bus *shared, struct vcpu *vcpu, u32 shift)
{
    *v = (struct bus_view){
        .domain = shared->domain, .own = own, .shared = shared, .vcpu = vcpu, .shift = shift};
}

static u32 nr_ranges(const struct bus_table *t)
{
    return t ? LOAD(t->nr) : 0;
}

/* Index of the first of nr ranges that ends at addr or above; nr if there is none. */
static u32 first_above(const struct bus_table *t, u32 nr, u64 addr)
{
    u32 low = 0, high = nr;

    while (low < high) {
        u32 middle = (low + high) / 2;

        if (LOAD(t->range[middle].last) < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* --- changes --- */

static void copy_range(struct bus_range *to, const struct bus_range *from)
{
    STORE(to->base, from->base);
    STORE(to->last, from->last);
    STORE(to->ops, from->ops);
    STORE(to->dev, from->dev);
    STORE(to->lock, from->lock);
}

static void begin_change(struct bus_domain *d)
{
    spin_lock(&d->change);
    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELAXED);
}

static void end_change(struct bus_domain *d)
{
    STORE(d->seq, d->seq + 1);
    spin_unlock(&d->change);
}

/* Makes room for one more range. */
static int grow(struct bus *bus)
{
    struct bus_table *old = bus->table, *new;
    u32 nr = nr_ranges(old), capacity = old ? 2 * old->capacity : FIRST_CAPACITY;

    if (old && nr < old->capacity)
        return OK;
    new = vm_alloc(bus->domain->vm, sizeof(*new) + capacity * sizeof(new->range[0]));
    if (!new)
        return ERR_NOMEM;
    new->nr = nr;
    new->capacity = capacity;
    for (u32 i = 0; i < nr; i++)
        new->range[i] = old->range[i];
    STORE(bus->table, new);
    return OK;
}

static int insert(struct bus *bus, const struct bus_range *r)
{
    u32 nr = nr_ranges(bus->table), at = first_above(bus->table, nr, r->base);
    struct bus_table *t;

    if (r->last < r->base)
        return ERR_INVAL;
    if (at < nr && bus->table->range[at].base <= r->last)
        return ERR_EXIST;
    if (grow(bus))
        return ERR_NOMEM;
    t = bus->table;
    for (u32 i = nr; i > at; i--)
        copy_range(&t->range[i], &t->range[i - 1]);
    copy_range(&t->range[at], r);
    STORE(t->nr, nr + 1);
    return OK;
}

static int take_out(struct bus *bus, u64 base, struct bus_range *taken)
{
    struct bus_table *t = bus->table;
    u32 nr = nr_ranges(t), at = first_above(t, nr, base);

    if (at == nr || t->range[at].base != base)
        return ERR_NOENT;
    *taken = t->range[at];
    for (u32 i = at; i + 1 < nr; i++)
        copy_range(&t->range[i], &t->range[i + 1]);
    STORE(t->nr, nr - 1);
    return OK;
}

int bus_add_lock(struct bus *bus, u64 base, u64 size, const struct bus_ops *ops, void *dev,
                 struct spinlock *lock)
{
    const struct bus_range r = {base, base + (size - 1), ops, dev, lock};
    int rc;

    if (!size)
        return ERR_INVAL;
    begin_change(bus->domain);
    rc = insert(bus, &r);
    end_change(bus->domain);
    return rc;
}

int bus_add(struct bus *bus, u64 base, u64 size, const struct bus_ops *ops, void *dev)
{
    return bus_add_lock(bus, base, size, ops, dev, bus->domain->dev_lock);
}

int bus_remove(struct bus *bus, u64 base)
{
    struct bus_range r;
    int rc;

    begin_change(bus->domain);
    rc = take_out(bus, base, &r);
    end_change(bus->domain);
    return rc;
}

int bus_move(struct bus *bus, u64 base, u64 to)
{
    struct bus_range r, moved;
    int rc;

    begin_change(bus->domain);
    rc = take_out(bus, base, &r);
    if (!rc) {
        moved = r;
        moved.base = to;
        moved.last = to + (r.last - r.base);
        rc = insert(bus, &moved);
        if (rc)
            insert(bus, &r); /* there is room where it was */
    }
    end_change(bus->domain);
    return rc;
}

/* --- look-up --- */

/* Narrows s, which is unclaimed around addr, to what this bus says. */
static void look_at(const struct bus *bus, u64 addr, struct bus_slot *s)
{
    const struct bus_table *t = LOAD(bus->table);
    u32 nr = nr_ranges(t), i = first_above(t, nr, addr);
    u64 first = i ? LOAD(t->range[i - 1].last) + 1 : 0, last = ~0ull;

    if (i < nr) {
        const struct bus_range *r = &t->range[i];
        u64 base = LOAD(r->base);

        if (base <= addr) {
            first = s->base = base;
            last = LOAD(r->last);
            s->ops = LOAD(r->ops);
            s->dev = LOAD(r->dev);
            s->lock = LOAD(r->lock);
        } else {
            last = base - 1;
        }
    }
    last = MIN(last, s->first + s->span);
    s->first = MAX(first, s->first);
    s->span = last - s->first;
}

static void fill(struct bus_view *v, bool with_own, u64 addr, struct bus_slot *s)
{
    struct bus_domain *d = v->domain;
    u64 seq;

    do {
        while ((seq = LOAD(d->seq)) & 1)
            spin_pause();
        *s = (struct bus_slot){.seq = seq, .span = ~0ull};
        if (with_own && v->own)
            look_at(v->own, addr, s);
        s->own = s->ops;
        if (!s->ops)
            look_at(v->shared, addr, s);
    } while (LOAD(d->seq) != seq);
}

bool bus_find(struct bus_view *v, u64 addr, struct bus_slot *out)
{
    fill(v, true, addr, out);
    return out->ops;
}

/* --- accesses --- */

static u64 mask_of(u32 size)
{
    return size < 8 ? BIT(8 * size) - 1 : ~0ull;
}

static bool is_fresh(const struct bus_view *v, const struct bus_slot *s)
{
    return LOAD(v->domain->seq) == s->seq;
}

static bool covers(const struct bus_slot *s, u64 addr, u32 size)
{
    u64 offset = addr - s->first;

    return offset <= s->span && s->span - offset >= size - 1;
}

static struct bus_slot *slot_of(struct bus_view *v, u64 addr)
{
    return &v->slot[addr >> v->shift & (BUS_SLOTS - 1)];
}

/* Makes s say who serves the whole access, and takes its lock. False: it must be split. */
static bool prepare(struct bus_view *v, struct bus_slot *s, bool with_own, u64 addr, u32 size)
{
    for (;;) {
        if (unlikely(!is_fresh(v, s) || !covers(s, addr, size))) {
            fill(v, with_own, addr, s);
            if (!covers(s, addr, size))
                return false;
        }
        if (!s->lock)
            return true;
        spin_lock(s->lock);
        if (likely(is_fresh(v, s)))
            return true;
        spin_unlock(s->lock);
    }
}

static void access(struct bus_view *v, struct bus_slot *s, bool with_own, u64 addr, u32 size, bool write,
                   u64 *value);

/* *value is 0 for a read. */
static void access_bytes(struct bus_view *v, struct bus_slot *s, bool with_own, u64 addr, u32 size,
                         bool write, u64 *value)
{
    for (u32 i = 0; i < size; i++) {
        u64 byte = *value >> (8 * i) & 0xff;

        access(v, with_own ? slot_of(v, addr + i) : s, with_own, addr + i, 1, write, &byte);
        if (!write)
            *value |= byte << (8 * i);
    }
}

/* How many of the bytes the device has, which may have holes. */
static u32 claimed(struct bus_view *v, const struct bus_slot *s, u64 addr, u32 size)
{
    u32 n = 0;

    for (u32 i = 0; i < size; i++)
        n += s->ops->claims(s->dev, v->vcpu, addr + i - s->base);
    return n;
}

/* The device has none or some of the bytes. */
static void access_hole(struct bus_view *v, struct bus_slot *s, bool with_own, bool some, u64 addr, u32 size,
                        bool write, u64 *value)
{
    struct bus_slot below = {0};

    if (some)
        access_bytes(v, s, with_own, addr, size, write, value);
    else if (s->own)
        access(v, &below, false, addr, size, write, value);
    else if (!write)
        *value = mask_of(size);
}

static u64 call_read(struct bus_view *v, const struct bus_slot *s, u64 addr, u32 size)
{
    return s->ops->read(s->dev, v->vcpu, addr - s->base, size) & mask_of(size);
}

static void call_write(struct bus_view *v, const struct bus_slot *s, u64 addr, u32 size, u64 value)
{
    s->ops->write(s->dev, v->vcpu, addr - s->base, size, value & mask_of(size));
}

/* s: a slot to use, with whatever it holds. with_own: the vCPU's bus is asked. */
static void access(struct bus_view *v, struct bus_slot *s, bool with_own, u64 addr, u32 size, bool write,
                   u64 *value)
{
    struct spinlock *lock;
    u32 n = size;

    if (unlikely(size & (size - 1)) || unlikely(!prepare(v, s, with_own, addr, size))) {
        access_bytes(v, s, with_own, addr, size, write, value);
        return;
    }
    if (!s->ops) {
        *value = mask_of(size); /* what a write leaves there is not used */
        return;
    }
    lock = s->lock;
    if (unlikely(s->ops->claims))
        n = claimed(v, s, addr, size);
    if (n == size && write)
        call_write(v, s, addr, size, *value);
    else if (n == size)
        *value = call_read(v, s, addr, size);
    if (lock)
        spin_unlock(lock);
    if (unlikely(n != size))
        access_hole(v, s, with_own, n, addr, size, write, value);
}

static u64 nobody_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)dev, (void)vcpu, (void)offset, (void)size;
    return ~0ull;
}

static void nobody_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)dev, (void)vcpu, (void)offset, (void)size, (void)value;
}

static const struct bus_ops nobody = {.read = nobody_read, .write = nobody_write};

/* After an access; keys are unique below 2^60. */
static void remember(struct bus_view *v, u64 addr, u32 size)
{
    const struct bus_slot *s = slot_of(v, addr);

    if (addr >> 60 || (size & (size - 1)) || !covers(s, addr, size) || (s->ops && s->ops->claims))
        return;
    *bus_hot_at(v, addr) = (struct bus_hot){
        .key = BUS_KEY(addr, size),
        .seq = s->seq,
        .ops = s->ops ? s->ops : &nobody,
        .dev = s->dev,
        .lock = s->lock,
        .offset = addr - s->base,
        .mask = mask_of(size),
    };
}

u64 bus_read_slow(struct bus_view *v, u64 addr, u32 size)
{
    u64 value = 0;

    access(v, slot_of(v, addr), true, addr, size, false, &value);
    remember(v, addr, size);
    return value;
}

void bus_write_slow(struct bus_view *v, u64 addr, u32 size, u64 value)
{
    access(v, slot_of(v, addr), true, addr, size, true, &value);
    remember(v, addr, size);
}
