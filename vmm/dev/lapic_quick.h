/* SPDX-License-Identifier: MIT */
/* Most writes of ICR, inline where they must be cheap: fixed, edge-triggered, to one APIC by its id. */
#ifndef VMM_DEV_LAPIC_QUICK_H
#define VMM_DEV_LAPIC_QUICK_H

#include "vmm/dev/lapic_state.h"

#define ICR_ASSERT BIT(14)

static inline struct lapic *lapic_by_id(struct lapic *l, u32 id)
{
    struct lapic *to = *lapic_list(l->ids, id);

    while (likely(to) && unlikely(to->id != id))
        to = to->next;
    return to;
}

/* False: nothing has been done. Other bits than those of vector and level mean something else, and so does an
 * illegal vector. */
static inline bool lapic_send_quickly(struct lapic *l, u32 icr, u32 icr_high, u32 destination)
{
    u8 vector = (u8)icr;
    struct lapic *to;

    if (unlikely((icr & ~(u32)ICR_ASSERT) - 16 >= 256 - 16))
        return false;
    to = lapic_by_id(l, destination);
    if (unlikely(!to || !to->takes_fixed || lapic_test(to->tmr, vector)))
        return false;
    l->icr = icr;
    l->icr_high = icr_high;
    lapic_request(to, vector);
    return true;
}

/* WRMSR of the ICR. */
static inline bool lapic_icr_quickly(struct lapic *l, u32 icr, u32 destination)
{
    return likely(lapic_is_x2(l)) && lapic_send_quickly(l, icr, destination, destination);
}

#endif
