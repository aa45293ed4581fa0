/* SPDX-License-Identifier: MIT */
/* Intel 8254 data sheet (231164). Channel 1 (refresh) counts but drives nothing. */
#include "vmm/dev/pit.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/scale.h"

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

struct channel {
    u8 mode; /* 0 to 5 */
    u8 access;
    bool bcd;
    bool gate;
    bool idle;       /* nothing is counted: the count, or its second byte in mode 0, was not written yet */
    bool null_count; /* what was written is not in the counting element yet: unless idle, next is not */
    bool triggered;  /* modes 1 and 5: a rising gate started it */
    u32 count;       /* 1 to 0x10000 (10000 in BCD) */
    u32 next;        /* the count that follows */
    u64 next_at; /* modes 2 and 3: after how many PIT ticks from start it does, unless the gate rises first */
    u64 start;   /* VM time at which the counter held count (while gate is high) */
    u64 frozen;  /* PIT ticks counted before the gate went low */
    u8 low;      /* first byte of a 16-bit count being written */
    bool write_high, read_high;
    bool count_latched, status_latched;
    u16 latch;
    u8 status;
};

struct pit {
    struct vm *vm;
    struct channel channel[3];
    bool speaker;
    u64 refresh_ticks;   /* VM time in which the memory's refresh toggles, 15 us */
    struct vtimer timer; /* channel 0 */
};

/* At most this many periodic edges a second are served: shorter periods are coalesced. A guest that has more
 * to do in each than these 20 us allow gets nowhere, as on a PC. */
#define FASTEST 50000u

static u64 to_pit(struct pit *pit, u64 ticks)
{
    return scale_down(ticks, PIT_HZ, vm_hz(pit->vm));
}

static u64 from_pit(struct pit *pit, u64 pit_ticks)
{
    return scale_up(pit_ticks, vm_hz(pit->vm), PIT_HZ);
}

static bool is_periodic(const struct channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool gate_triggers(const struct channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

/* Whether the gate being low stops the count. */
static bool gate_stops(const struct channel *c)
{
    return !gate_triggers(c);
}

static u64 elapsed(struct pit *pit, const struct channel *c)
{
    if (gate_stops(c) && !c->gate)
        return c->frozen;
    return to_pit(pit, vm_now(pit->vm) - c->start);
}

/* How long mode 3's output is high in a period: odd counts give that half the clock that is over. */
static u32 high_half(u32 count)
{
    return (count + 1) / 2;
}

/* The next count is taken over at next_at, in mode 3 also for the second half of a period. */
static void take_next(struct pit *pit, struct channel *c)
{
    bool middle = c->next_at % c->count;

    c->start += from_pit(pit, c->next_at);
    if (middle)
        c->start -= from_pit(pit, high_half(c->next));
    c->count = c->next;
    c->null_count = false;
}

/* Brings the channel up to date. */
static void settle(struct pit *pit, struct channel *c)
{
    if (c->null_count && !c->idle && is_periodic(c) && c->gate && elapsed(pit, c) >= c->next_at)
        take_next(pit, c);
}

static u32 modulus(const struct channel *c)
{
    return c->bcd ? 10000 : 0x10000;
}

/* The counting element in binary. Mode 3 counts each half of its period down by twos, from an even number. */
static u32 counting_element(struct pit *pit, struct channel *c)
{
    u64 gone;

    settle(pit, c);
    if (c->idle || (gate_triggers(c) && !c->triggered))
        return c->count;
    gone = elapsed(pit, c);
    if (c->mode == 2)
        return c->count - gone % c->count;
    if (c->mode != 3)
        return (c->count + modulus(c) - gone % modulus(c)) % modulus(c);
    gone %= c->count;
    return (c->count & ~1u) - 2 * (gone < high_half(c->count) ? gone : gone - high_half(c->count));
}

/* The same as software reads it. */
static u16 current_count(struct pit *pit, struct channel *c)
{
    u32 value = counting_element(pit, c) % modulus(c);

    if (c->bcd)
        value = value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
    return value;
}

static bool output(struct pit *pit, struct channel *c)
{
    u64 gone;

    if (c->idle)
        return c->mode != 0;
    settle(pit, c);
    gone = elapsed(pit, c);
    switch (c->mode) {
    case 0:
        return gone >= c->count;
    case 1:
        return !c->triggered || gone >= c->count;
    case 2:
        return !c->gate || gone % c->count != c->count - 1;
    case 3:
        return !c->gate || gone % c->count < high_half(c->count);
    case 4:
        return gone != c->count;
    default:
        return !c->triggered || gone != c->count;
    }
}

/* When channel 0's output rises next; false: not at all. */
static bool next_edge(struct pit *pit, u64 *when)
{
    struct channel c = pit->channel[0];
    u64 earliest;

    if (c.idle || gate_triggers(&c)) /* its gate is tied high and never triggers */
        return false;
    if (is_periodic(&c) && c.null_count) {
        take_next(pit, &c);
        /* The middle of a period is no edge: that comes at its end. */
        *when = c.next_at % pit->channel[0].count ? c.start + from_pit(pit, c.count) : c.start;
        return true;
    }
    if (is_periodic(&c)) {
        earliest =
            MAX(elapsed(pit, &c) + 1, to_pit(pit, vm_now(pit->vm) + vm_hz(pit->vm) / FASTEST - c.start));
        *when = c.start + from_pit(pit, (earliest + c.count - 1) / c.count * c.count);
        return true;
    }
    /* Mode 4 rises one clock after the strobe. */
    *when = c.start + from_pit(pit, c.count + (c.mode == 4));
    return true;
}

static void fire(struct vtimer *timer)
{
    struct pit *pit = container_of(timer, struct pit, timer);
    u64 when;

    settle(pit, &pit->channel[0]);
    vm_set_irq(pit->vm, 0, false);
    vm_set_irq(pit->vm, 0, true);
    if (is_periodic(&pit->channel[0]) && next_edge(pit, &when))
        vtimer_set(timer, when);
}

static void schedule(struct pit *pit, struct channel *c)
{
    u64 when;

    if (c != &pit->channel[0])
        return;
    vtimer_cancel(&pit->timer);
    if (c->mode == 0)
        vm_set_irq(pit->vm, 0, false);
    if (next_edge(pit, &when))
        vtimer_set(&pit->timer, when);
}

/* A count written while the last one counts: 'MODE 2: RATE GENERATOR' and its like. */
static bool counts_on(const struct channel *c)
{
    return !c->idle && (is_periodic(c) || (gate_triggers(c) && c->triggered));
}

static void write_next(struct pit *pit, struct channel *c, u32 value)
{
    u64 gone = elapsed(pit, c), into = gone % c->count;

    c->next = value;
    c->null_count = true;
    c->next_at = gone - into + c->count;
    if (c->mode == 3 && into < high_half(c->count))
        c->next_at = gone - into + high_half(c->count);
}

static void load(struct pit *pit, struct channel *c, u32 value)
{
    if (c->bcd)
        value = (value >> 12) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
    if (value == 0)
        value = modulus(c);
    if (is_periodic(c) && value == 1)
        value = 2; /* not allowed by the data sheet */
    settle(pit, c);
    if (counts_on(c)) {
        write_next(pit, c, value);
    } else {
        c->count = c->next = value;
        c->idle = c->triggered = false;
        c->null_count = gate_triggers(c);
        c->start = vm_now(pit->vm);
        c->frozen = 0;
    }
    schedule(pit, c);
}

static void latch_count(struct pit *pit, struct channel *c)
{
    if (c->count_latched)
        return;
    c->latch = current_count(pit, c);
    c->count_latched = true;
}

static void latch_status(struct pit *pit, struct channel *c)
{
    if (c->status_latched)
        return;
    settle(pit, c);
    c->status = output(pit, c) << 7 | c->null_count << 6 | c->access << 4 | c->mode << 1 | c->bcd;
    c->status_latched = true;
}

static void write_control(struct pit *pit, u8 value)
{
    struct channel *c;

    if (value >> 6 == 3) { /* read-back: bits 5 and 4 are active low */
        for (u32 i = 0; i < 3; i++) {
            if (!(value & BIT(i + 1)))
                continue;
            if (!(value & BIT(5)))
                latch_count(pit, &pit->channel[i]);
            if (!(value & BIT(4)))
                latch_status(pit, &pit->channel[i]);
        }
        return;
    }
    c = &pit->channel[value >> 6];
    if ((value >> 4 & 3) == ACCESS_LATCH) {
        latch_count(pit, c);
        return;
    }
    c->access = value >> 4 & 3;
    c->mode = value >> 1 & 7;
    if (c->mode > 5)
        c->mode &= 3; /* bit 2 is don't-care for modes 2 and 3 */
    c->bcd = value & 1;
    c->idle = c->null_count = true;
    c->count = modulus(c);
    c->write_high = c->read_high = c->count_latched = c->status_latched = false;
    schedule(pit, c);
}

static void write_count(struct pit *pit, struct channel *c, u8 value)
{
    if (c->access == ACCESS_LOW) {
        load(pit, c, value);
    } else if (c->access == ACCESS_HIGH) {
        load(pit, c, value << 8);
    } else if (!c->write_high) {
        c->low = value;
        c->write_high = true;
        if (c->mode == 0) { /* the first byte stops the count */
            c->count = counting_element(pit, c);
            c->idle = true;
            schedule(pit, c);
        }
    } else {
        c->write_high = false;
        load(pit, c, value << 8 | c->low);
    }
}

static u8 read_count(struct pit *pit, struct channel *c)
{
    u16 value = c->count_latched ? c->latch : current_count(pit, c);

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->access == ACCESS_BOTH && !c->read_high) {
        c->read_high = true;
        return value;
    }
    c->read_high = false;
    c->count_latched = false;
    return c->access == ACCESS_LOW ? value : value >> 8;
}

static void set_gate(struct pit *pit, struct channel *c, bool gate)
{
    if (gate == c->gate)
        return;
    settle(pit, c);
    if (!gate) {
        c->frozen = elapsed(pit, c);
        c->gate = false;
        return;
    }
    c->gate = true;
    c->triggered = true;
    c->start = vm_now(pit->vm);
    if (c->mode == 0 || c->mode == 4) { /* these go on; the others start anew */
        c->start -= from_pit(pit, c->frozen);
    } else if (!c->idle && c->null_count) {
        c->count = c->next;
        c->null_count = false;
    }
}

static u64 pit_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)vcpu, (void)size;
    return offset < 3 ? read_count(dev, &((struct pit *)dev)->channel[offset]) : 0xff;
}

static void pit_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)vcpu, (void)size;
    if (offset < 3)
        write_count(dev, &((struct pit *)dev)->channel[offset], value);
    else
        write_control(dev, value);
}

static u64 port61_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct pit *pit = dev;
    struct channel *c = &pit->channel[2];
    u64 refresh = vm_now(pit->vm) / pit->refresh_ticks & 1;

    (void)vcpu, (void)offset, (void)size;
    return output(pit, c) << 5 | refresh << 4 | pit->speaker << 1 | c->gate;
}

static void port61_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct pit *pit = dev;

    (void)vcpu, (void)offset, (void)size;
    pit->speaker = value & BIT(1);
    set_gate(pit, &pit->channel[2], value & BIT(0));
}

struct pit *pit_create(struct vm *vm)
{
    static const struct bus_ops pit_ops = {.read = pit_read, .write = pit_write};
    static const struct bus_ops port61_ops = {.read = port61_read, .write = port61_write};
    struct pit *pit = vm_alloc(vm, sizeof(*pit));
    struct bus *bus = vm_pio_bus(vm);

    if (!pit || bus_add(bus, 0x40, 4, &pit_ops, pit) || bus_add(bus, 0x61, 1, &port61_ops, pit))
        return NULL;
    pit->vm = vm;
    pit->refresh_ticks = from_pit(pit, 18);
    vtimer_init(&pit->timer, vm_vcpu(vm, 0), fire);
    for (u32 i = 0; i < 3; i++) {
        struct channel *c = &pit->channel[i];

        c->access = ACCESS_BOTH;
        c->mode = 3;
        c->count = 0x10000;
        c->idle = c->null_count = true; /* nothing counts until software asks for it */
        c->gate = i != 2;
    }
    return pit;
}
