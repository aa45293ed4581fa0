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

/*
 * Null: nothing has been done. Else the interrupt is requested, and this vCPU is to be kicked. Other bits
 * than those of vector and level mean something else, and so does an illegal vector.
 */
static inline struct vcpu *lapic_send_quickly(struct lapic *l, u32 icr, u32 icr_high, u32 destination)
{
    u8 vector = (u8)icr;
    struct lapic *to;

    if (unlikely((icr & ~(u32)ICR_ASSERT) - 16 >= 256 - 16))
        return NULL;
    to = lapic_by_id(l, destination);
    if (unlikely(!to || !to->takes_fixed || lapic_test(to->tmr, vector)))
        return NULL;
    l->icr = icr;
    l->icr_high = icr_high;
    lapic_set(to->irr, vector);
    return to->vcpu;
}

/* WRMSR of the ICR. */
static inline struct vcpu *lapic_icr_quickly(struct lapic *l, u32 icr, u32 destination)
{
    return likely(lapic_is_x2(l)) ? lapic_send_quickly(l, icr, destination, destination) : NULL;
}

#endif
