/* SPDX-License-Identifier: MIT */
/* What the parts of the local APIC share: lapic.c (interrupts), lapic_ipi.c, lapic_timer.c, lapic_regs.c. */
#ifndef VMM_DEV_LAPIC_STATE_H
#define VMM_DEV_LAPIC_STATE_H

#include "vmm/dev/host.h"
#include "vmm/dev/lapic.h"
#include "vmm/pi_desc.h"

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

/* Register numbers: memory offset / 16, MSR - LAPIC_MSR_FIRST. */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
    LAPIC_NR_REGS = 0x40,
};

/* What others send goes to the descriptor; IRR, ISR and TMR are the vCPU's own: its CPU's, by software or, in
 * the virtual-APIC page, by hardware. */
struct lapic {
    struct pi_desc pid; /* first: a page is aligned */
    u32 *regs;          /* the virtual-APIC page: a register in every 16 bytes */
    /* As PIR, of level-triggered ones: from there the CPU would take them before the EOI-exit bitmap has
     * them.
     */
    u64 level_pir[PIR_WORDS];
    bool level_posted; /* there are some, and the vCPU is being kicked */
    bool by_cpu;       /* the CPU delivers */
    bool changed;      /* software has changed IRR or ISR: the CPU does not know */
    struct vcpu *vcpu;
    u32 id;
    u64 base; /* IA32_APIC_BASE */
    u64 page; /* where the registers are on the vCPU's bus, if they are */
    bool placed;
    bool takes_fixed; /* fixed interrupts arrive: it is enabled by hardware and software */
    bool extint;      /* a message asks for an acknowledge cycle of the PIC */
    bool eoi_offered; /* the byte at eoi_at says that the next EOI may be left out; the vCPU's CPU only */
    u64 eoi_at;       /* as lapic_set_pv_eoi() was given it */
    u64 eois_saved;
    u64 ipis;   /* sent; the vCPU's CPU only */
    u32 errors; /* seen since ESR was last written */
    /* Registers as they were before the guest's last write, which the CPU may have put into the page already.
     */
    u32 timer_initial, timer_divide, timer_lvt;
    u64 timer_start; /* VM time at which the count was TIMER_INITIAL */
    u64 deadline;    /* IA32_TSC_DEADLINE; 0: not armed */
    u64 tsc_offset;
    struct vtimer timer;
    struct lapic_ids *ids;
    struct lapic *next; /* in the same list */
    /* The id, where it says who is meant in both modes: none does, ~0, once one above 255 has been in xAPIC
     * mode, where it has the low byte of it. */
    u64 unique_id;
};

/* A register by its number, and by its name. */
static inline u32 *lapic_reg(const struct lapic *l, u32 reg)
{
    return &l->regs[4 * reg];
}

#define LAPIC_REG(l, name) (*lapic_reg(l, REG_##name))
/* In x2APIC mode ICR is 64 bits, also to the CPU. */
#define LAPIC_X2_ICR_HIGH(l) (lapic_reg(l, REG_ICR)[1])

static inline u32 *lapic_lvt(const struct lapic *l, enum lvt entry)
{
    return lapic_reg(l, REG_LVT + entry);
}

static inline bool lapic_enabled(const struct lapic *l)
{
    return l->base & LAPIC_BASE_ENABLE;
}

static inline bool lapic_is_x2(const struct lapic *l)
{
    return l->base & LAPIC_BASE_EXTD;
}

/* Consecutive ids, of up to 64 vCPUs, have lists of their own: multiples of the golden ratio are far apart.
 */
static inline struct lapic **lapic_list(struct lapic_ids *ids, u32 id)
{
    return &ids->list[id * 0x9e3779b9u >> (32 - LAPIC_LISTS_SHIFT)];
}

/* Does a level-triggered one of this vector wait in level_pir? */
static inline bool lapic_level(const struct lapic *l, u8 vector)
{
    asm goto("btq %1, %0; jc %l[yes]" : : "m"(l->level_pir), "r"((u64)vector) : "cc" : yes);
    return false;
yes:
    return true;
}

/* takes_fixed becomes what IA32_APIC_BASE and SVR say. */
void lapic_set_takes(struct lapic *l);
u32 lapic_ppr(const struct lapic *l);
/* Has anything been posted that is not in IRR yet? */
static inline bool lapic_has_posted(const struct lapic *l)
{
    return pi_is_on(&l->pid) || __atomic_load_n(&l->level_posted, __ATOMIC_ACQUIRE);
}

/* What has been posted comes to IRR. */
void lapic_take_posted(struct lapic *l);

static inline void lapic_take_new(struct lapic *l)
{
    if (lapic_has_posted(l))
        lapic_take_posted(l);
}

/* 'Guest Non-Register State': the guest interrupt status of IRR and ISR. */
u16 lapic_status(const struct lapic *l);
/* Word n of 0 to 3 of TMR. */
u64 lapic_level_triggered(const struct lapic *l, u32 n);
/* 'APIC-Write Emulation': the CPU has written to the page what the guest wrote at this offset, and no more.
 */
void lapic_written(struct lapic *l, u32 offset);
/* Does APICv do this access to an x2APIC MSR alone, with a virtual-APIC page that is like this one? */
bool lapic_is_virtual(u32 msr, bool write);
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
