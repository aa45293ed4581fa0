/* SPDX-License-Identifier: MIT */
/* Ticket spinlock. In the kernel interrupts are off except in the idle loop, so no irq-saving variants are
 * needed. */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include "lib/types.h"

/* On the host, who is waited for may have no CPU. */
#if __STDC_HOSTED__
#include <sched.h>
#define spin_pause() sched_yield()
#else
#define spin_pause() __builtin_ia32_pause()
#endif

struct spinlock {
    u32 next, owner;
};

static inline void spin_lock(struct spinlock *l)
{
    u32 ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

    while (unlikely(__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != ticket))
        spin_pause();
}

/* False: somebody holds it. */
static inline bool spin_trylock(struct spinlock *l)
{
    u32 owner = __atomic_load_n(&l->owner, __ATOMIC_RELAXED);

    return __atomic_compare_exchange_n(&l->next, &owner, owner + 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* With the lock held: somebody waits for it. */
static inline bool spin_contended(const struct spinlock *l)
{
    return __atomic_load_n(&l->next, __ATOMIC_RELAXED) - l->owner > 1;
}

static inline void spin_unlock(struct spinlock *l)
{
    __atomic_store_n(&l->owner, l->owner + 1, __ATOMIC_RELEASE);
}

#endif
