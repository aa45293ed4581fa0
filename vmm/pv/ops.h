/* SPDX-License-Identifier: MIT */
/* The operations that the table in hypercall.c names. Each returns its result, or PV_AGAIN. */
#ifndef VMM_PV_OPS_H
#define VMM_PV_OPS_H

#include "arch/x86/user.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"

/* An error number of Nidus's as one of the interface's; OK: 0. */
s64 pv_result(int r);

/* --- ops_cpu.c --- */

s64 pv_set_cr(struct pv_call *c);
s64 pv_flush_local(struct pv_call *c);
s64 pv_flush_tlb(struct pv_call *c);
s64 pv_send_ipi(struct pv_call *c);
s64 pv_set_timer(struct pv_call *c);
s64 pv_yield(struct pv_call *c);

/* --- ops_nested.c --- */

s64 pv_nested(struct pv_call *c);

/* --- ops_memory.c --- */

s64 pv_write_entry(struct pv_call *c);
s64 pv_write_entries(struct pv_call *c);
s64 pv_console(struct pv_call *c);

/* --- balloon.c --- */

s64 pv_populate(struct pv_call *c);
s64 pv_release(struct pv_call *c);

/* --- channel.c --- */

s64 pv_channel_open(struct pv_call *c);
s64 pv_channel_signal(struct pv_call *c);

/* The low half of an ICR, as hypercalls take it: fixed, from vector 16 on, or NMI. */
#define PV_ICR_MODE(icr) ((icr) >> 8 & 7)
enum { PV_ICR_FIXED = 0, PV_ICR_NMI = 4 };

static inline bool pv_icr_valid(u64 icr)
{
    return PV_ICR_MODE(icr) == PV_ICR_NMI || (PV_ICR_MODE(icr) == PV_ICR_FIXED && (u8)icr >= 16);
}

static inline void pv_interrupt(struct vcpu *to, u64 icr)
{
    if (PV_ICR_MODE(icr) == PV_ICR_NMI)
        vcpu_nmi(to);
    else
        lapic_post(to->lapic, (u8)icr, false);
}

/* The CPU that polls leaves the queue alone, or no longer. The queue's lock is held. */
static inline void pv_queue_stop(struct pv_queue *q, bool stop)
{
    if (q->stopped == stop)
        return;
    q->stopped = stop;
    user_begin();
    __atomic_store_n(&q->area->polled, stop ? NIDUS_STOPPED : NIDUS_POLLED, __ATOMIC_RELEASE);
    user_end();
}

/* Entries that are queued and not done. The queue's lock is held. */
static inline u32 pv_queue_left(const struct pv_queue *q)
{
    struct nidus_area *a = q->area;
    u32 tail;

    user_begin();
    tail = __atomic_load_n(&a->tail, __ATOMIC_ACQUIRE);
    user_end();
    return tail - q->head;
}

#endif
