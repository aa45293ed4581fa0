/* SPDX-License-Identifier: MIT */
/* IA-PC HPET (High Precision Event Timers) Specification 1.0a. No FSB (MSI) delivery. */
#include "vmm/dev/hpet.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/scale.h"

enum {
    REG_CAPABILITIES = 0x000,
    REG_CONFIG = 0x010,
    REG_STATUS = 0x020,
    REG_COUNTER = 0x0f0,
    REG_TIMER = 0x100
};
enum { TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08, TIMER_SIZE = 0x20 };

#define PERIOD_FS (1000000000000000ull / HPET_HZ)

#define CONFIG_ENABLE BIT(0)
#define CONFIG_LEGACY BIT(1)

#define T_LEVEL        BIT(1)
#define T_ENABLED      BIT(2)
#define T_PERIODIC     BIT(3)
#define T_PERIODIC_CAP BIT(4)
#define T_SIZE_CAP     BIT(5)
#define T_VALUE_SET    BIT(6)
#define T_32BIT        BIT(8)
#define T_ROUTE(c)     ((u32)(c) >> 9 & 31)
#define T_WRITABLE     (T_LEVEL | T_ENABLED | T_PERIODIC | T_VALUE_SET | T_32BIT | BITS(13, 9))
#define ROUTES         BITS(23, 20) /* inputs of the I/O APIC that no other device has */
#define T_CAPS         (ROUTES << 32 | T_PERIODIC_CAP | T_SIZE_CAP)

/* At most this many periodic interrupts a second are served: shorter periods are coalesced. */
#define FASTEST 50000u
/* A match that is further away (in counts) is looked for again then. */
#define FAR (3600ull * HPET_HZ)

struct hpet_timer {
    struct hpet *hpet;
    u64 config, comparator, period;
    bool far; /* the vtimer is set to before the match */
    struct vtimer vtimer;
};

struct hpet {
    struct vm *vm;
    u64 config, status;
    u64 base; /* the counter, now when it stands, else at VM time base_time */
    u64 base_time;
    struct hpet_timer timer[HPET_TIMERS];
};

bool hpet_is_legacy(const struct hpet *h)
{
    return h->config & CONFIG_LEGACY;
}

static bool runs(const struct hpet *h)
{
    return h->config & CONFIG_ENABLE;
}

static u64 gone(struct hpet *h)
{
    return runs(h) ? scale_down(vm_now(h->vm) - h->base_time, HPET_HZ, vm_hz(h->vm)) : 0;
}

static u64 counter(struct hpet *h)
{
    return h->base + gone(h);
}

static u32 number(const struct hpet_timer *t)
{
    return t - t->hpet->timer;
}

static u64 mask_of(const struct hpet_timer *t)
{
    return t->config & T_32BIT ? 0xffffffff : ~0ull;
}

static void set_line(struct hpet_timer *t, bool high)
{
    struct hpet *h = t->hpet;

    if (hpet_is_legacy(h) && number(t) < 2)
        irq_set_legacy(h->vm, number(t) ? 8 : 0, high);
    else if (ROUTES >> T_ROUTE(t->config) & 1)
        irq_set_input(h->vm, T_ROUTE(t->config), high);
}

static void signal(struct hpet_timer *t)
{
    if (!(t->config & T_ENABLED))
        return;
    if (t->config & T_LEVEL)
        t->hpet->status |= BIT(number(t));
    else
        set_line(t, false);
    set_line(t, true);
}

/* The line is taken back, before the routing changes or because the interrupt is done. */
static void release(struct hpet_timer *t)
{
    t->hpet->status &= ~BIT(number(t));
    set_line(t, false);
}

/* A periodic comparator that the counter has reached moves on, so that it is ahead by at least `ahead`
 * counts. */
static void advance(struct hpet_timer *t, u64 ahead)
{
    u64 mask = mask_of(t), passed = (counter(t->hpet) + ahead - t->comparator) & mask;

    if ((t->config & T_PERIODIC) && t->period && passed <= mask / 2)
        t->comparator = (t->comparator + (passed / t->period + 1) * t->period) & mask;
}

static void arm(struct hpet_timer *t)
{
    struct hpet *h = t->hpet;
    u64 distance;

    vtimer_cancel(&t->vtimer);
    if (!runs(h))
        return;
    advance(t, 0);
    if (!(t->config & T_ENABLED))
        return;
    /* A comparator that is equal to the counter has just matched: next time around. */
    distance = ((t->comparator - counter(h) - 1) & mask_of(t)) + 1;
    t->far = !distance || distance > FAR;
    if (t->far)
        distance = FAR;
    vtimer_set(&t->vtimer, h->base_time + scale_up(gone(h) + distance, vm_hz(h->vm), HPET_HZ));
}

static void fire(struct vtimer *vtimer)
{
    struct hpet_timer *t = container_of(vtimer, struct hpet_timer, vtimer);

    if (!t->far) {
        signal(t);
        advance(t, HPET_HZ / FASTEST);
    }
    arm(t);
}

static void write_config(struct hpet *h, u64 value)
{
    u64 now = counter(h);

    if ((value ^ h->config) & CONFIG_LEGACY)
        for (u32 i = 0; i < HPET_TIMERS; i++)
            release(&h->timer[i]);
    h->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    h->base = now;
    h->base_time = vm_now(h->vm);
    for (u32 i = 0; i < HPET_TIMERS; i++)
        arm(&h->timer[i]);
}

static void write_status(struct hpet *h, u64 value)
{
    for (u32 i = 0; i < HPET_TIMERS; i++)
        if (h->status & value & BIT(i))
            release(&h->timer[i]);
}

/* The counter is to be written while it stands; else it goes on from there at once. */
static void write_counter(struct hpet *h, u64 value)
{
    h->base = value;
    h->base_time = vm_now(h->vm);
    for (u32 i = 0; i < HPET_TIMERS; i++)
        arm(&h->timer[i]);
}

static void write_timer_config(struct hpet_timer *t, u64 value)
{
    advance(t, 0);
    if ((t->config ^ value) & (T_LEVEL | T_ENABLED | BITS(13, 9)))
        release(t);
    t->config = (value & T_WRITABLE) | T_CAPS;
    t->comparator &= mask_of(t);
    t->period &= mask_of(t);
    arm(t);
}

/* A write that leaves out the bytes where keep has ones. 'Timer n Comparator Value Register': while periodic,
 * the period, and the comparator itself only after VAL_SET, which holds for one write of all that the timer
 * has. */
static void write_comparator(struct hpet_timer *t, u64 value, u64 keep)
{
    u64 mask = mask_of(t);

    advance(t, 0);
    if (!(t->config & T_PERIODIC) || (t->config & T_VALUE_SET))
        t->comparator = ((t->comparator & keep) | (value & ~keep)) & mask;
    if (t->config & T_PERIODIC)
        t->period = ((t->period & keep) | (value & ~keep)) & mask;
    if (!(keep >> 32) || !(mask >> 32))
        t->config &= ~T_VALUE_SET;
    arm(t);
}

static struct hpet_timer *timer_at(struct hpet *h, u64 reg)
{
    u64 n = (reg - REG_TIMER) / TIMER_SIZE;

    return reg >= REG_TIMER && n < HPET_TIMERS ? &h->timer[n] : NULL;
}

static u64 read_register(struct hpet *h, u64 reg)
{
    struct hpet_timer *t = timer_at(h, reg);

    if (t && reg % TIMER_SIZE == TIMER_CONFIG)
        return t->config;
    if (t && reg % TIMER_SIZE == TIMER_COMPARATOR) {
        advance(t, 0);
        return t->comparator;
    }
    switch (reg) {
    case REG_CAPABILITIES:
        return PERIOD_FS << 32 | HPET_ID;
    case REG_CONFIG:
        return h->config;
    case REG_STATUS:
        return h->status;
    case REG_COUNTER:
        return counter(h);
    default:
        return 0;
    }
}

static u64 hpet_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)vcpu, (void)size;
    return read_register(dev, offset & ~7ull) >> 8 * (offset & 7);
}

/* 'Register Overview': by 32 or 64 bits, aligned; anything else is ignored. */
static void hpet_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct hpet *h = dev;
    u64 reg = offset & ~7ull, keep;
    struct hpet_timer *t = timer_at(h, reg);

    (void)vcpu;
    if (size < 4 || offset % size)
        return;
    keep = size == 8 ? 0 : offset & 4 ? BITS(31, 0) : BITS(63, 32);
    value <<= 8 * (offset & 7);
    if (t && reg % TIMER_SIZE == TIMER_COMPARATOR) {
        write_comparator(t, value, keep);
        return;
    }
    if (reg != REG_STATUS) /* where zeros change nothing */
        value |= read_register(h, reg) & keep;
    if (t && reg % TIMER_SIZE == TIMER_CONFIG)
        write_timer_config(t, value);
    else if (reg == REG_CONFIG)
        write_config(h, value);
    else if (reg == REG_STATUS)
        write_status(h, value);
    else if (reg == REG_COUNTER)
        write_counter(h, value);
}

struct hpet *hpet_create(struct vm *vm)
{
    static const struct bus_ops ops = {.read = hpet_read, .write = hpet_write};
    struct hpet *h = vm_alloc(vm, sizeof(*h));

    if (!h || bus_add(vm_mmio_bus(vm), HPET_BASE, HPET_SIZE, &ops, h))
        return NULL;
    h->vm = vm;
    for (u32 i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &h->timer[i];

        t->hpet = h;
        t->config = T_CAPS;
        t->comparator = ~0ull;
        vtimer_init(&t->vtimer, vm_vcpu(vm, 0), fire);
    }
    return h;
}
