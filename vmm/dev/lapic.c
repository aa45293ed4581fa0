/* SPDX-License-Identifier: MIT */
#include "vmm/dev/lapic.h"
#include "lib/string.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/lapic_state.h"

#define XAPIC_BASE (LAPIC_BASE | LAPIC_BASE_ENABLE)

/* Six LVT entries, version of integrated APICs; EOI broadcasts can be suppressed. */
#define VERSION_VALUE (BIT(24) | (LVT_COUNT - 1) << 16 | 0x14)

void lapic_set_takes(struct lapic *l)
{
    l->takes_fixed = lapic_enabled(l) && (LAPIC_REG(l, SVR) & SVR_ENABLED);
    vcpu_takes_ipis(l->vcpu, l->id, l->takes_fixed && l->unique_id == l->id);
}

/* In x2APIC mode LDR follows from the ID. */
static void set_ids(struct lapic *l)
{
    bool x2 = lapic_is_x2(l);

    LAPIC_REG(l, ID) = x2 ? l->id : l->id << 24;
    LAPIC_REG(l, LDR) = x2 ? l->id >> 4 << 16 | 1u << (l->id & 15) : 0;
    LAPIC_X2_ICR_HIGH(l) = LAPIC_REG(l, ICR_HIGH);
}

/* ISR, TMR and IRR are eight registers each. */
static u32 *word_of(const struct lapic *l, u32 reg, u8 vector)
{
    return lapic_reg(l, reg + vector / 32);
}

static bool has_bit(const struct lapic *l, u32 reg, u8 vector)
{
    return *word_of(l, reg, vector) >> vector % 32 & 1;
}

static void set_bit(struct lapic *l, u32 reg, u8 vector)
{
    *word_of(l, reg, vector) |= 1u << vector % 32;
    l->changed = l->by_cpu;
}

static void clear_bit(struct lapic *l, u32 reg, u8 vector)
{
    *word_of(l, reg, vector) &= ~(1u << vector % 32);
    l->changed = l->by_cpu;
}

static int highest_bit(const struct lapic *l, u32 reg)
{
    for (int i = 7; i >= 0; i--) {
        u32 word = *lapic_reg(l, reg + (u32)i);

        if (word)
            return i * 32 + 31 - __builtin_clz(word);
    }
    return -1;
}

static inline u64 take_word(u64 *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED) ? __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) : 0;
}

void lapic_take_posted(struct lapic *l)
{
    bool level_too = __atomic_load_n(&l->level_posted, __ATOMIC_ACQUIRE);

    __atomic_and_fetch(&l->pid.control, ~PID_ON, __ATOMIC_SEQ_CST);
    if (unlikely(level_too))
        __atomic_store_n(&l->level_posted, false, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < PIR_WORDS; i++) {
        u64 posted = take_word(&l->pid.pir[i]), level = 0;

        if (unlikely(level_too))
            posted |= level = take_word(&l->level_pir[i]);
        if (!posted)
            continue;
        for (u32 reg = 2 * i; reg < 2 * i + 2; reg++, posted >>= 32, level >>= 32) {
            u32 *tmr = lapic_reg(l, REG_TMR + reg);

            *lapic_reg(l, REG_IRR + reg) |= (u32)posted;
            *tmr = (*tmr & ~(u32)posted) | (u32)level;
        }
        l->changed = l->by_cpu;
    }
}

u16 lapic_status(const struct lapic *l)
{
    return (u16)(MAX(highest_bit(l, REG_ISR), 0) << 8 | MAX(highest_bit(l, REG_IRR), 0));
}

u64 lapic_level_triggered(const struct lapic *l, u32 n)
{
    return *lapic_reg(l, REG_TMR + 2 * n) | (u64)*lapic_reg(l, REG_TMR + 2 * n + 1) << 32;
}

/* 'Interrupt, Task, and Processor Priority'. */
u32 lapic_ppr(const struct lapic *l)
{
    int in_service = highest_bit(l, REG_ISR);
    u32 class = in_service < 0 ? 0 : in_service & 0xf0, tpr = lapic_tpr(l);

    return (tpr & 0xf0) >= class ? tpr : class;
}

int lapic_pending(struct lapic *l)
{
    int vector;

    lapic_take_new(l);
    vector = highest_bit(l, REG_IRR);
    return vector >= 0 && (u32)vector >> 4 > lapic_ppr(l) >> 4 ? vector : -1;
}

/* --- EOIs that are left out --- */

static bool tell_guest(struct lapic *l, u8 value)
{
    return guest_write(vcpu_vm(l->vcpu), l->eoi_at & ~1ull, &value, 1) == OK;
}

/* Level-triggered interrupts need one, and so does what waits for this one's end. An offer for an interrupt
 * that this one has come upon would be taken for this one's. */
COLD static void offer_eoi(struct lapic *l, u8 vector)
{
    bool offer = !has_bit(l, REG_TMR, vector) && highest_bit(l, REG_IRR) < 0;

    if (offer || l->eoi_offered)
        l->eoi_offered = tell_guest(l, offer) && offer;
}

COLD void lapic_settle_eoi(struct lapic *l, bool end)
{
    u8 word = 1;
    int vector;

    (void)guest_read(vcpu_vm(l->vcpu), l->eoi_at & ~1ull, &word, 1);
    if (word & 1) {
        if (end || highest_bit(l, REG_IRR) >= 0) {
            tell_guest(l, 0);
            l->eoi_offered = false;
        }
        return;
    }
    l->eoi_offered = false;
    l->eois_saved++;
    vector = highest_bit(l, REG_ISR);
    if (vector >= 0)
        clear_bit(l, REG_ISR, (u8)vector);
}

void lapic_before_look(struct lapic *l)
{
    lapic_take_new(l);
    if (unlikely(l->eoi_offered))
        lapic_settle_eoi(l, false);
}

int lapic_set_pv_eoi(struct lapic *l, u64 at)
{
    u8 word;

    if (l->eoi_offered) {
        lapic_settle_eoi(l, true);
        vcpu_kick(l->vcpu);
    }
    if (at & 1 && guest_read(vcpu_vm(l->vcpu), at & ~1ull, &word, 1))
        return ERR_INVAL;
    l->eoi_at = at;
    return OK;
}

u64 lapic_eois_saved(const struct lapic *l)
{
    return l->eois_saved;
}

u64 lapic_ipis(const struct lapic *l)
{
    return l->ipis;
}

void lapic_ack(struct lapic *l, u8 vector)
{
    clear_bit(l, REG_IRR, vector);
    set_bit(l, REG_ISR, vector);
    if (l->eoi_at & 1 && !l->by_cpu)
        offer_eoi(l, vector);
}

/* The priority has come down: what waited below it may be taken now. */
static void priority_lowered(struct lapic *l)
{
    if (l->by_cpu || lapic_pending(l) >= 0)
        vcpu_kick(l->vcpu);
}

/* The I/O APIC is told, unless the guest wants to do that. */
static void level_ended(struct lapic *l, u8 vector)
{
    struct vm *vm = vcpu_vm(l->vcpu);

    if (LAPIC_REG(l, SVR) & SVR_NO_EOI_BROADCAST)
        return;
    vm_lock(vm);
    irq_eoi(vm, vector);
    vm_unlock(vm);
}

/* What the CPU sends to itself is edge-triggered, but it leaves TMR alone. Another one may wait already. */
void lapic_ended_by_cpu(struct lapic *l, u8 vector)
{
    if (!has_bit(l, REG_IRR, vector)) {
        clear_bit(l, REG_TMR, vector);
        vcpu_kick(l->vcpu);
    }
    level_ended(l, vector);
}

void lapic_eoi(struct lapic *l)
{
    int vector;

    if (unlikely(l->eoi_offered))
        lapic_settle_eoi(l, true);
    vector = highest_bit(l, REG_ISR);
    if (vector < 0)
        return;
    clear_bit(l, REG_ISR, (u8)vector);
    if (unlikely(has_bit(l, REG_TMR, (u8)vector)))
        level_ended(l, (u8)vector);
    priority_lowered(l);
}

/* Its CPU must not take it by itself: the end has to exit. */
static void post_level(struct lapic *l, u8 vector)
{
    __atomic_or_fetch(&l->level_pir[vector / 64], BIT(vector % 64), __ATOMIC_SEQ_CST);
    __atomic_store_n(&l->level_posted, true, __ATOMIC_SEQ_CST);
    vcpu_kick(l->vcpu);
}

void lapic_post(struct lapic *l, u8 vector, bool level)
{
    if (!l->takes_fixed)
        return;
    if (vector < 16) {
        lapic_error(l, ESR_RECV_VECTOR);
        return;
    }
    if (level) {
        post_level(l, vector);
        return;
    }
    if (unlikely(lapic_level(l, vector))) /* what comes last says how it is triggered */
        __atomic_and_fetch(&l->level_pir[vector / 64], ~BIT(vector % 64), __ATOMIC_SEQ_CST);
    if (pi_post(&l->pid, vector))
        vcpu_notify(l->vcpu);
}

/* The interrupt comes only when the error was not there yet: an error vector that is itself illegal ends
 * here. */
void lapic_error(struct lapic *l, u32 bit)
{
    if (!(__atomic_fetch_or(&l->errors, bit, __ATOMIC_SEQ_CST) & bit))
        lapic_deliver_lvt(l, LVT_ERROR);
}

void lapic_deliver_lvt(struct lapic *l, enum lvt entry)
{
    u32 value = *lapic_lvt(l, entry);
    bool lint = entry == LVT_LINT0 || entry == LVT_LINT1;

    if (value & LVT_MASKED)
        return;
    switch (DELIVERY_MODE(value)) {
    case MODE_FIXED:
        lapic_post(l, value, lint && (value & LVT_LEVEL));
        break;
    case MODE_NMI:
        vcpu_nmi(l->vcpu);
        break;
    case MODE_INIT:
        vcpu_init_signal(l->vcpu);
        break;
    default: /* SMI: there is no SMM. ExtINT: see lapic_accepts_extint() */
        break;
    }
}

void lapic_lint(struct lapic *l, u32 pin)
{
    if (lapic_enabled(l))
        lapic_deliver_lvt(l, pin ? LVT_LINT1 : LVT_LINT0);
}

bool lapic_accepts_extint(const struct lapic *l)
{
    u32 lint0 = *lapic_lvt(l, LVT_LINT0);

    if (vcpu_id(l->vcpu))
        return false;
    return !l->takes_fixed || (!(lint0 & LVT_MASKED) && DELIVERY_MODE(lint0) == MODE_EXTINT);
}

/* 'Local APIC State After It Has Been Software Disabled' lets INIT, NMI, SMI and SIPI through, no more. */
void lapic_request_extint(struct lapic *l)
{
    if (!(LAPIC_REG(l, SVR) & SVR_ENABLED))
        return;
    l->extint = true;
    vcpu_kick(l->vcpu);
}

bool lapic_wants_extint(const struct lapic *l)
{
    return l->extint;
}

void lapic_ack_extint(struct lapic *l)
{
    l->extint = false;
}

u32 lapic_id(const struct lapic *l)
{
    return l->id;
}

u8 lapic_tpr(const struct lapic *l)
{
    return (u8)LAPIC_REG(l, TPR);
}

void lapic_set_tpr(struct lapic *l, u8 tpr)
{
    LAPIC_REG(l, TPR) = tpr;
    priority_lowered(l);
}

/* 'Local APIC State After Power-Up or Reset'. */
void lapic_reset(struct lapic *l)
{
    lapic_timer_stop(l);
    if (l->eoi_offered)
        lapic_settle_eoi(l, true);
    LAPIC_REG(l, SVR) = 0xff;
    lapic_set_takes(l);
    lapic_take_posted(l); /* it is lost with the rest */
    memset(l->regs, 0, PAGE_SIZE);
    l->changed = l->by_cpu;
    l->extint = false;
    l->errors = 0;
    LAPIC_REG(l, VERSION) = VERSION_VALUE;
    LAPIC_REG(l, DFR) = ~0u;
    LAPIC_REG(l, SVR) = 0xff;
    set_ids(l);
    for (u32 i = 0; i < LVT_COUNT; i++)
        *lapic_lvt(l, i) = LVT_MASKED;
    l->timer_lvt = LVT_MASKED;
    l->timer_divide = 0;
}

void lapic_power_up(struct lapic *l)
{
    l->base = XAPIC_BASE | (vcpu_id(l->vcpu) ? 0 : LAPIC_BASE_BSP) |
              (l->id > LAPIC_XAPIC_ID_MAX ? LAPIC_BASE_EXTD : 0);
    lapic_place(l);
    lapic_reset(l);
    if (vcpu_id(l->vcpu))
        return;
    *lapic_lvt(l, LVT_LINT0) = MODE_EXTINT << 8;
    *lapic_lvt(l, LVT_LINT1) = MODE_NMI << 8;
}

/* vCPU 0's comes first. */
static bool list_by_id(struct lapic *l)
{
    struct lapic *first = vcpu_lapic(vm_vcpu(vcpu_vm(l->vcpu), 0)), **list;

    l->ids = first ? first->ids : vm_alloc(vcpu_vm(l->vcpu), sizeof(*l->ids));
    if (!l->ids)
        return false;
    if (!first) {
        for (u32 i = 0; i < ARRAY_SIZE(l->ids->list); i++)
            l->ids->list[i] = l;
        return true;
    }
    list = lapic_list(l->ids, l->id);
    l->next = *list;
    *list = l;
    return true;
}

static void forget_ids(struct vm *vm)
{
    for (u32 i = 0; i < vm_nr_vcpus(vm); i++) {
        struct lapic *l = vcpu_lapic(vm_vcpu(vm, i));

        l->unique_id = ~0ull;
        vcpu_takes_ipis(l->vcpu, l->id, false);
    }
}

struct lapic *lapic_create(struct vcpu *vcpu, u32 id)
{
    struct lapic *l = vcpu_apic_pages(vcpu);

    l->regs = (u32 *)((u8 *)l + PAGE_SIZE);
    l->vcpu = vcpu;
    l->id = id;
    l->unique_id = id;
    l->base = XAPIC_BASE; /* in which mode it takes its place on the bus, for later too */
    if (lapic_place(l) || !list_by_id(l))
        return NULL;
    lapic_timer_init(l);
    lapic_power_up(l);
    return l;
}

u64 lapic_base_read(const struct lapic *l)
{
    return l->base;
}

/* RAM is the same for all vCPUs: the registers of one cannot stand before it. */
static bool is_ram(struct lapic *l, gpa_t page)
{
    u8 byte;

    return guest_read(vcpu_vm(l->vcpu), page, &byte, 1) == OK;
}

/* 'x2APIC State Transitions': the mode bits that may follow each. */
int lapic_base_write(struct lapic *l, u64 value)
{
    const u64 mode_bits = LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD;
    u64 from = l->base & mode_bits, to = value & mode_bits, page = value & ~(PAGE_SIZE - 1);

    if ((value & (PAGE_SIZE - 1) & ~(mode_bits | LAPIC_BASE_BSP)) ||
        (page != (l->base & ~(PAGE_SIZE - 1)) && is_ram(l, page)))
        return ERR_INVAL;
    if (to == LAPIC_BASE_EXTD || (from == mode_bits && to == LAPIC_BASE_ENABLE) || (!from && to == mode_bits))
        return ERR_INVAL;
    if (to == LAPIC_BASE_ENABLE && l->id > 0xff)
        forget_ids(vcpu_vm(l->vcpu));
    l->base = value;
    l->changed = l->by_cpu;
    lapic_set_takes(l);
    lapic_place(l);
    vcpu_kick(l->vcpu); /* the PIC's interrupts come past a disabled APIC */
    if (from && !to)
        lapic_reset(l);
    else if (from != to && to == mode_bits)
        set_ids(l);
    return OK;
}
