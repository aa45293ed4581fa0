/* SPDX-License-Identifier: MIT */
/* Most writes of ICR, inline where they must be cheap: fixed, edge-triggered, to one APIC by its id. */
#ifndef VMM_DEV_LAPIC_QUICK_H
#define VMM_DEV_LAPIC_QUICK_H

#include "vmm/dev/lapic_state.h"

#define ICR_ASSERT BIT(14)

static inline struct lapic *lapic_by_id(struct lapic *l, u64 id)
{
    struct lapic *to = *lapic_list(l->ids, (u32)id);

    while (unlikely(to->unique_id != id)) {
        to = to->next;
        if (!to)
            return NULL;
    }
    return to;
}

/* Other bits than those of vector and level mean something else, and so does an illegal vector. */
static inline bool lapic_is_plain(u32 icr)
{
    return (icr & ~(u32)ICR_ASSERT) - 16 < 256 - 16;
}

/* False: nothing has been done. Else the interrupt is posted, and *notify is to be notified unless it is
 * null. */
static inline bool lapic_send_quickly(struct lapic *l, u32 icr, u32 destination, struct vcpu **notify)
{
    u8 vector = (u8)icr;
    struct lapic *to;

    if (unlikely(!lapic_is_plain(icr)))
        return false;
    to = lapic_by_id(l, destination);
    if (unlikely(!to || !to->takes_fixed || lapic_level(to, vector)))
        return false;
    LAPIC_REG(l, ICR) = icr;
    LAPIC_X2_ICR_HIGH(l) = destination; /* in xAPIC mode nobody reads it */
    l->ipis++;
    *notify = pi_post(&to->pid, vector) ? to->vcpu : NULL;
    return true;
}

#define LAPIC_HAS(l, n) (*lapic_reg((l), REG_ISR + (n)) | *lapic_reg((l), REG_IRR + (n)))

/*
 * Would l's vCPU, which runs and has got all that came before, acknowledge an edge-triggered interrupt as
 * soon as l sends it there, and leave the APIC as it is once that has ended? Also false where that takes more
 * than a look.
 */
static inline bool lapic_takes_at_once(const struct lapic *l, u8 vector, u32 destination)
{
    u32 any = LAPIC_HAS(l, 0) | LAPIC_HAS(l, 1) | LAPIC_HAS(l, 2) | LAPIC_HAS(l, 3) | LAPIC_HAS(l, 4) |
              LAPIC_HAS(l, 5) | LAPIC_HAS(l, 6) | LAPIC_HAS(l, 7);

    return !any && l->takes_fixed && destination == l->unique_id && destination != 0xff &&
           vector >> 4 > LAPIC_REG(l, TPR) >> 4 &&
           !(*lapic_reg(l, REG_TMR + vector / 32) >> vector % 32 & 1) && !lapic_has_posted(l);
}

/* WRMSR of the ICR. */
static inline bool lapic_icr_quickly(struct lapic *l, u32 icr, u32 destination, struct vcpu **notify)
{
    return likely(lapic_is_x2(l)) && lapic_send_quickly(l, icr, destination, notify);
}

#endif
