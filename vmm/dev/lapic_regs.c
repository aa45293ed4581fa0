/* SPDX-License-Identifier: MIT */
/* The registers, by memory ('The Local APIC Block Diagram') and by MSR ('x2APIC Register Address Space'). */
#include "vmm/bus.h"
#include "vmm/dev/lapic_quick.h"

#define XR BIT(0) /* readable in xAPIC mode */
#define XW BIT(1) /* writable in xAPIC mode */
#define MR BIT(2) /* readable by MSR in x2APIC mode */
#define MW BIT(3) /* writable by MSR */
#define RO (XR | MR)
#define RW (XR | XW | MR | MW)

/* By MSR: the CPU reads these in the virtual-APIC page, and does what these writes do ('Virtualizing
 * MSR-Based APIC Accesses'). */
#define VR BIT(4)
#define VW BIT(5)

static const struct reg {
    u8 access;
    u32 writable; /* bits; by MSR the others must be 0 */
} regs[LAPIC_NR_REGS] = {
    [REG_ID] = {RO | VR, 0},
    [REG_VERSION] = {RO | VR, 0},
    [REG_TPR] = {RW | VR | VW, 0xff},
    [REG_APR] = {XR, 0},
    [REG_PPR] = {RO | VR, 0},
    [REG_EOI] = {XW | MW | VW, 0},
    [REG_RRD] = {XR, 0},
    [REG_LDR] = {XR | XW | MR | VR, 0xff000000},
    [REG_DFR] = {XR | XW, 0xf0000000},
    [REG_SVR] = {RW | VR, 0x13ff},
    [REG_ISR... REG_ISR + 7] = {RO | VR, 0},
    [REG_TMR... REG_TMR + 7] = {RO | VR, 0},
    [REG_IRR... REG_IRR + 7] = {RO | VR, 0},
    [REG_ESR] = {RW | VR, 0},
    [REG_ICR] = {RW, 0x000ccfff},
    [REG_ICR_HIGH] = {XR | XW, 0xff000000},
    [REG_LVT + LVT_TIMER] = {RW | VR, 0x000700ff},
    [REG_LVT + LVT_THERMAL] = {RW | VR, 0x000107ff},
    [REG_LVT + LVT_PERF] = {RW | VR, 0x000107ff},
    [REG_LVT + LVT_LINT0] = {RW | VR, 0x0001a7ff},
    [REG_LVT + LVT_LINT1] = {RW | VR, 0x0001a7ff},
    [REG_LVT + LVT_ERROR] = {RW | VR, 0x000100ff},
    [REG_TIMER_INITIAL] = {RW | VR, 0xffffffff},
    [REG_TIMER_CURRENT] = {RO, 0},
    [REG_TIMER_DIVIDE] = {RW | VR, 0x0000000b},
    [REG_SELF_IPI] = {MW | VW, 0xff},
};

bool lapic_is_virtual(u32 msr, bool write)
{
    u32 reg = msr - LAPIC_MSR_FIRST;

    return reg < LAPIC_NR_REGS && regs[reg].access & (write ? VW : VR);
}

static void look(struct lapic *l)
{
    lapic_before_look(l);
    if (l->changed)
        vcpu_kick(l->vcpu);
}

static u32 read_reg(struct lapic *l, u32 reg)
{
    if (reg >= REG_ISR && reg < REG_IRR + 8)
        look(l);
    switch (reg) {
    case REG_PPR:
        look(l);
        return lapic_ppr(l);
    case REG_TIMER_CURRENT:
        return lapic_timer_current(l);
    default: /* APR and RRD: processors since the Pentium 4 have none */
        return *lapic_reg(l, reg);
    }
}

static void write_lvt(struct lapic *l, u32 entry, u32 value)
{
    if (!(LAPIC_REG(l, SVR) & SVR_ENABLED))
        value |= LVT_MASKED;
    if (entry == LVT_TIMER)
        lapic_timer_set_lvt(l, value);
    else
        *lapic_lvt(l, entry) = value;
    if (entry == LVT_LINT0)
        vcpu_kick(l->vcpu); /* the PIC's interrupts may come through now; likewise below */
}

/* 'Local APIC State After It Has Been Software Disabled': all entries become masked. */
static void write_svr(struct lapic *l, u32 value)
{
    LAPIC_REG(l, SVR) = value;
    l->changed = l->by_cpu;
    lapic_set_takes(l);
    if (!(value & SVR_ENABLED))
        for (u32 i = 0; i < LVT_COUNT; i++)
            *lapic_lvt(l, i) |= LVT_MASKED;
    vcpu_kick(l->vcpu);
}

static void write_reg(struct lapic *l, u32 reg, u32 value)
{
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT) {
        write_lvt(l, reg - REG_LVT, value);
        return;
    }
    switch (reg) {
    case REG_TPR:
        lapic_set_tpr(l, value);
        break;
    case REG_EOI:
        lapic_eoi(l);
        break;
    case REG_LDR:
        LAPIC_REG(l, LDR) = value;
        break;
    case REG_DFR:
        LAPIC_REG(l, DFR) = value | 0x0fffffff;
        break;
    case REG_SVR:
        write_svr(l, value);
        break;
    case REG_ESR:
        LAPIC_REG(l, ESR) = __atomic_exchange_n(&l->errors, 0, __ATOMIC_SEQ_CST);
        break;
    case REG_ICR:
        LAPIC_REG(l, ICR) = value;
        lapic_send(l, value, lapic_is_x2(l) ? LAPIC_X2_ICR_HIGH(l) : LAPIC_REG(l, ICR_HIGH) >> 24);
        break;
    case REG_ICR_HIGH:
        LAPIC_REG(l, ICR_HIGH) = value;
        break;
    case REG_TIMER_INITIAL:
        lapic_timer_set_initial(l, value);
        break;
    case REG_TIMER_DIVIDE:
        lapic_timer_set_divide(l, value);
        break;
    }
}

/* Writes to registers whose effects others look at under the VM's lock: the timer's and the local
 * interrupts'. */
static bool wants_lock(u32 reg)
{
    return reg == REG_SVR || (reg >= REG_LVT && reg < REG_SELF_IPI);
}

static void write_locked(struct lapic *l, u32 reg, u32 value)
{
    struct vm *vm = vcpu_vm(l->vcpu);

    if (!wants_lock(reg)) {
        write_reg(l, reg, value);
        return;
    }
    vm_lock(vm);
    write_reg(l, reg, value);
    vm_unlock(vm);
}

/* Registers are 32 bits at multiples of 16; what lies between reads 0. Smaller reads give their part. */
static u64 memory_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct lapic *l = dev;
    u32 reg = offset >> 4;

    (void)vcpu, (void)size;
    if (reg >= LAPIC_NR_REGS || !(regs[reg].access & (XR | XW))) {
        lapic_error(l, ESR_REGISTER);
        return 0;
    }
    if ((offset & 15) > 3 || !(regs[reg].access & XR))
        return 0;
    return read_reg(l, reg) >> 8 * (offset & 3);
}

static void write_memory(struct lapic *l, u32 reg, u32 value)
{
    u32 to = LAPIC_REG(l, ICR_HIGH) >> 24;
    struct vcpu *notify;

    if (reg == REG_ICR && to != 0xff && lapic_send_quickly(l, value, to, &notify)) {
        if (notify)
            vcpu_notify(notify);
        return;
    }
    if (reg >= LAPIC_NR_REGS || !(regs[reg].access & (XR | XW)))
        lapic_error(l, ESR_REGISTER);
    else if (regs[reg].access & XW)
        write_locked(l, reg, value & regs[reg].writable);
}

static void memory_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)vcpu;
    if (!(offset & 15) && size >= 4)
        write_memory(dev, offset >> 4, (u32)value);
}

static void send_to_self(struct lapic *l, u32 vector)
{
    lapic_send(l, vector | 1u << 18, 0); /* fixed, edge */
}

/* All that APICv lets the guest write is written back as it shall be, but for the ID. In x2APIC mode only a
 * self-IPI with an illegal vector and, with IPI virtualization, the ICR come here. */
void lapic_written(struct lapic *l, u32 offset)
{
    u32 reg = offset >> 4 & (LAPIC_NR_REGS - 1);

    if (reg == REG_SELF_IPI)
        send_to_self(l, (u8)*lapic_reg(l, reg));
    else if (reg == REG_ID)
        LAPIC_REG(l, ID) = l->id << 24;
    else if (lapic_is_x2(l))
        write_reg(l, reg, *lapic_reg(l, reg) & regs[reg].writable);
    else
        write_memory(l, reg, *lapic_reg(l, reg));
}

int lapic_place(struct lapic *l)
{
    static const struct bus_ops ops = {.read = memory_read, .write = memory_write};
    struct bus *bus = vcpu_mmio_bus(l->vcpu);
    u64 to = l->base & ~(PAGE_SIZE - 1);
    bool wanted = lapic_enabled(l) && !lapic_is_x2(l), was_placed = l->placed;
    u64 from = l->page;

    l->placed = wanted;
    l->page = to;
    if (!wanted)
        return was_placed ? bus_remove(bus, from) : OK;
    if (!was_placed)
        return bus_add_lock(bus, to, PAGE_SIZE, &ops, l, NULL);
    return from == to ? OK : bus_move(bus, from, to);
}

static bool msr_is(const struct lapic *l, u32 msr, u8 access)
{
    u32 reg = msr - LAPIC_MSR_FIRST;

    return lapic_is_x2(l) && reg < LAPIC_NR_REGS && (regs[reg].access & access);
}

int lapic_msr_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
    struct lapic *l = vcpu_lapic(vcpu);
    u32 reg = msr - LAPIC_MSR_FIRST;

    if (!msr_is(l, msr, MR))
        return ERR_INVAL;
    *value = read_reg(l, reg);
    if (reg == REG_ICR)
        *value |= (u64)LAPIC_X2_ICR_HIGH(l) << 32;
    return OK;
}

/* Delivery status and remote IRR: not reserved, so that a write of them does nothing. Linux makes one when it
 * powers off. */
COLD static u64 read_only(u32 reg)
{
    if (reg < REG_LVT || reg >= REG_LVT + LVT_COUNT)
        return 0;
    return reg == REG_LVT + LVT_LINT0 || reg == REG_LVT + LVT_LINT1 ? BIT(12) | BIT(14) : BIT(12);
}

COLD static int write_without(struct vcpu *vcpu, u32 msr, u64 value, u64 ignored)
{
    return value & ignored ? lapic_msr_write(vcpu, msr, value & ~ignored) : ERR_INVAL;
}

HOT int lapic_msr_write(struct vcpu *vcpu, u32 msr, u64 value)
{
    struct lapic *l = vcpu_lapic(vcpu);
    u32 reg = msr - LAPIC_MSR_FIRST;
    u64 writable;

    if (!msr_is(l, msr, MW))
        return ERR_INVAL;
    writable = regs[reg].writable | (reg == REG_ICR ? BITS(63, 32) : 0);
    if (unlikely(value & ~writable))
        return write_without(vcpu, msr, value, read_only(reg));
    if (reg == REG_SELF_IPI) {
        send_to_self(l, (u32)value);
        return OK;
    }
    if (reg == REG_ICR)
        LAPIC_X2_ICR_HIGH(l) = value >> 32;
    write_locked(l, reg, value);
    return OK;
}
