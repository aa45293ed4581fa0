/* SPDX-License-Identifier: MIT */
/*
 * One IPI at a time, from CPU to CPU: the others sleep without a timer, so that nothing else wakes who should
 * have been woken by it. Among many IPIs a wake-up that is lost would not be missed.
 */
#include "guest/apic/stress.h"

static u32 holder, nr_links, links;
static bool over;

/* The delay may hit the next one anywhere on its way to sleep. */
static void pass_on(u32 me)
{
    u32 next = (me + 1 + below(nr_cpus - 1)) % nr_cpus;

    for (u32 spin = below(2) ? below(4000) : 0; spin; spin--)
        asm volatile("");
    links++;
    __atomic_store_n(&holder, next, __ATOMIC_SEQ_CST);
    post_and_send(next, FIRST_VECTOR + me * per_cpu + below(per_cpu / 2));
    pause_until_taken(me);
}

static void wake_all(u32 me)
{
    __atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < nr_cpus; i++)
        post_and_send(i, FIRST_VECTOR + me * per_cpu);
    pause_until_taken(me);
}

/* With interrupts off, and off when it returns. */
static void sleep_until_held(u32 me)
{
    struct stressed *s = &stressed[me];

    while (__atomic_load_n(&holder, __ATOMIC_ACQUIRE) != me && !__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&s->doing, SLEEPS, __ATOMIC_RELEASE);
        idle_halt();
        __atomic_store_n(&s->doing, WORKS, __ATOMIC_RELEASE);
        s->halts++;
    }
}

static void chain_of(u32 me)
{
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        irq_disable();
        sleep_until_held(me);
        irq_enable();
        if (__atomic_load_n(&holder, __ATOMIC_ACQUIRE) != me)
            continue;
        if (links < nr_links)
            pass_on(me);
        else
            wake_all(me);
    }
    leave(me);
}

void chain(u32 n)
{
    if (nr_cpus < 2)
        return;
    holder = links = 0;
    nr_links = n;
    over = false;
    on_all(chain_of);
}
