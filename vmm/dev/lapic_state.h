/* SPDX-License-Identifier: MIT */
/* What the parts of the local APIC share: lapic.c (interrupts), lapic_ipi.c, lapic_timer.c, lapic_regs.c. */
#ifndef VMM_DEV_LAPIC_STATE_H
#define VMM_DEV_LAPIC_STATE_H

#include "vmm/dev/host.h"
#include "vmm/dev/lapic.h"

enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

enum delivery_mode {
    MODE_FIXED = 0,
    MODE_LOWEST = 1,
    MODE_SMI = 2,
    MODE_NMI = 4,
    MODE_INIT = 5,
    MODE_STARTUP = 6,
    MODE_EXTINT = 7,
};

/* Delivery mode of an LVT entry or of the ICR. */
#define DELIVERY_MODE(r) ((enum delivery_mode)((r) >> 8 & 7))

#define LVT_MASKED           BIT(16)
#define LVT_LEVEL            BIT(15)
#define LVT_TIMER_MODE(r)    ((r) >> 17 & 3)
#define SVR_ENABLED          BIT(8)
#define SVR_NO_EOI_BROADCAST BIT(12)
#define ESR_SEND_VECTOR      BIT(5)
#define ESR_RECV_VECTOR      BIT(6)
#define ESR_REGISTER         BIT(7)

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

/* The APICs of a VM by their ids; each list ends with vCPU 0's. */
#define LAPIC_LISTS_SHIFT 7

struct lapic_ids {
    struct lapic *list[1 << LAPIC_LISTS_SHIFT];
};

struct lapic {
    struct vcpu *vcpu;
    u32 id;
    u64 base; /* IA32_APIC_BASE */
    u64 page; /* where the registers are on the vCPU's bus, if they are */
    bool placed;
    bool takes_fixed; /* fixed interrupts arrive: it is enabled by hardware and software */
    u64 irr[4], isr[4], tmr[4];
    bool extint;      /* a message asks for an acknowledge cycle of the PIC */
    bool eoi_offered; /* the byte at eoi_at says that the next EOI may be left out; the vCPU's CPU only */
    u64 eoi_at;       /* as lapic_set_pv_eoi() was given it */
    u64 eois_saved;
    u32 tpr, ldr, dfr, svr, esr;
    u32 errors; /* seen since ESR was last written */
    u32 icr, icr_high;
    u32 lvt[LVT_COUNT];
    u32 timer_initial, timer_divide; /* the registers */
    u64 timer_start;                 /* VM time at which the count was timer_initial */
    u64 deadline;                    /* IA32_TSC_DEADLINE; 0: not armed */
    u64 tsc_offset;
    struct vtimer timer;
    struct lapic_ids *ids;
    struct lapic *next; /* in the same list */
    /* The id, where it says who is meant in both modes: none does, ~0, once one above 255 has been in xAPIC
     * mode, where it has the low byte of it. */
    u64 unique_id;
};

static inline bool lapic_enabled(const struct lapic *l)
{
    return l->base & LAPIC_BASE_ENABLE;
}

static inline bool lapic_is_x2(const struct lapic *l)
{
    return l->base & LAPIC_BASE_EXTD;
}

static inline void lapic_set_takes(struct lapic *l)
{
    l->takes_fixed = lapic_enabled(l) && (l->svr & SVR_ENABLED);
}

/* Consecutive ids, of up to 64 vCPUs, have lists of their own: multiples of the golden ratio are far apart.
 */
static inline struct lapic **lapic_list(struct lapic_ids *ids, u32 id)
{
    return &ids->list[id * 0x9e3779b9u >> (32 - LAPIC_LISTS_SHIFT)];
}

static inline bool lapic_test(const u64 bits[4], u8 vector)
{
    asm goto("btq %1, %0; jc %l[yes]" : : "m"(*(const u64(*)[4])bits), "r"((u64)vector) : "cc" : yes);
    return false;
yes:
    return true;
}

static inline void lapic_clear(u64 *bits, u8 vector)
{
    __atomic_and_fetch(&bits[vector / 64], ~BIT(vector % 64), __ATOMIC_SEQ_CST);
}

static inline void lapic_set(u64 bits[4], u8 vector)
{
    asm volatile("lock btsq %1, %0" : "+m"(*(u64(*)[4])bits) : "r"((u64)vector) : "memory", "cc");
}

u32 lapic_ppr(const struct lapic *l);
/* Before the vCPU's CPU looks at ISR: an EOI that the guest has left out is made good. end: the offer ends in
 * any case; else if something waits behind it. */
void lapic_settle_eoi(struct lapic *l, bool end);
/* An I/O APIC's ExtINT arrives. */
void lapic_request_extint(struct lapic *l);
/* Remembers an error for ESR and raises the error interrupt. */
void lapic_error(struct lapic *l, u32 bit);
/* Puts the registers where IA32_APIC_BASE says. Fails only the first time, for lack of memory. */
int lapic_place(struct lapic *l);
/* Does what an LVT entry says, unless it is masked. */
void lapic_deliver_lvt(struct lapic *l, enum lvt entry);

void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
u32 lapic_timer_current(struct lapic *l);
void lapic_timer_set_initial(struct lapic *l, u32 value);
void lapic_timer_set_divide(struct lapic *l, u32 value);
/* The timer's LVT entry is about to become value. */
void lapic_timer_set_lvt(struct lapic *l, u32 value);

#endif
