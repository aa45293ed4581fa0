/* SPDX-License-Identifier: MIT */
/*
 * 'APIC Timer'. Expiries are counted from the write of the initial count, so that they do not drift. Periods
 * that pass while the timer could not be looked after are coalesced into one interrupt.
 */
#include "vmm/dev/lapic_state.h"

/* At most this many periodic interrupts a second are served: shorter periods are coalesced. */
#define FASTEST 50000u

static struct vm *vm_of(const struct lapic *l)
{
    return vcpu_vm(l->vcpu);
}

static enum timer_mode mode(const struct lapic *l)
{
    return (enum timer_mode)LVT_TIMER_MODE(l->timer_lvt);
}

/* 'Divide Configuration Register': 000 divides by 2, ... 110 by 128, 111 by 1. */
static u32 divide_shift(const struct lapic *l)
{
    u32 code = (l->timer_divide >> 1 & 4) | (l->timer_divide & 3);

    return (code + 1) & 7;
}

static u64 elapsed(const struct lapic *l)
{
    return (vm_now(vm_of(l)) - l->timer_start) >> divide_shift(l);
}

static void set_initial(struct lapic *l, u32 value)
{
    l->timer_initial = LAPIC_REG(l, TIMER_INITIAL) = value;
}

static void arm_count(struct lapic *l)
{
    u64 periods = 1, next;

    if (!l->timer_initial)
        return;
    if (mode(l) == TIMER_PERIODIC) {
        next = elapsed(l) + (vm_hz(vm_of(l)) / FASTEST >> divide_shift(l)) + 1;
        periods = (next + l->timer_initial - 1) / l->timer_initial;
    }
    vtimer_set(&l->timer, l->timer_start + (periods * l->timer_initial << divide_shift(l)));
}

static void arm_deadline(struct lapic *l)
{
    u64 now = vm_now(vm_of(l)), tsc = now + l->tsc_offset, wait = l->deadline > tsc ? l->deadline - tsc : 0;

    if (!l->deadline)
        vtimer_cancel(&l->timer);
    else
        vtimer_set(&l->timer, wait > ~now ? ~0ull : now + wait);
}

static void fire(struct vtimer *timer)
{
    struct lapic *l = container_of(timer, struct lapic, timer);

    if (mode(l) == TIMER_DEADLINE)
        l->deadline = 0;
    else if (mode(l) == TIMER_PERIODIC)
        arm_count(l);
    lapic_deliver_lvt(l, LVT_TIMER);
}

void lapic_timer_init(struct lapic *l)
{
    vtimer_init(&l->timer, l->vcpu, fire);
}

void lapic_timer_stop(struct lapic *l)
{
    vtimer_cancel(&l->timer);
    l->deadline = 0;
    set_initial(l, 0);
}

u32 lapic_timer_current(struct lapic *l)
{
    u64 gone = elapsed(l);

    if (mode(l) == TIMER_DEADLINE || !l->timer_initial || !l->timer.armed)
        return 0;
    if (mode(l) == TIMER_PERIODIC)
        return l->timer_initial - gone % l->timer_initial;
    return gone < l->timer_initial ? l->timer_initial - gone : 0;
}

void lapic_timer_set_initial(struct lapic *l, u32 value)
{
    if (mode(l) == TIMER_DEADLINE) {
        set_initial(l, 0);
        return;
    }
    set_initial(l, value);
    l->timer_start = vm_now(vm_of(l));
    vtimer_cancel(&l->timer);
    arm_count(l);
}

/* A running count goes on from where it is, at the new rate. */
void lapic_timer_set_divide(struct lapic *l, u32 value)
{
    u32 current = lapic_timer_current(l);

    l->timer_divide = LAPIC_REG(l, TIMER_DIVIDE) = value;
    if (!current)
        return;
    l->timer_start = vm_now(vm_of(l)) - ((u64)(l->timer_initial - current) << divide_shift(l));
    arm_count(l);
}

/* To or from TSC-deadline mode the timer is disarmed. */
void lapic_timer_set_lvt(struct lapic *l, u32 value)
{
    if ((mode(l) == TIMER_DEADLINE) != (LVT_TIMER_MODE(value) == TIMER_DEADLINE))
        lapic_timer_stop(l);
    l->timer_lvt = *lapic_lvt(l, LVT_TIMER) = value;
}

u64 lapic_deadline_read(const struct lapic *l)
{
    return l->deadline;
}

void lapic_deadline_write(struct lapic *l, u64 value)
{
    if (mode(l) != TIMER_DEADLINE || !lapic_enabled(l))
        return;
    l->deadline = value;
    arm_deadline(l);
}

void lapic_set_tsc_offset(struct lapic *l, u64 offset)
{
    l->tsc_offset = offset;
    if (l->deadline)
        arm_deadline(l);
}
