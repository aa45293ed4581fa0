/* SPDX-License-Identifier: MIT */
/* What there is to say of exits and entries. In their own vCPU's exit or slow path: its VMCS is loaded. */
#include "vmm/observe.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/entry_check.h"
#include "vmm/vm.h"

#define ICR_OFFSET 0x300

struct observing observing;

/* --- recording --- */

static void record(struct trace_event *e)
{
    struct trace_ring *rings = __atomic_load_n(&observing.rings, __ATOMIC_ACQUIRE);
    u32 cpu = this_cpu()->id;

    if (rings && trace_wants(&observing.filter, e) && cpu < observing.nr_rings)
        trace_put(&rings[cpu], e);
}

/* As the exit was, but of another kind. */
static void record_as(const struct observed *o, enum trace_kind kind, u64 tsc, u64 b)
{
    struct trace_event e = o->exit;

    e.kind = (u8)kind & 15;
    e.tsc = tsc;
    e.b = b;
    record(&e);
}

static void record_state(struct vcpu *v, enum trace_kind kind, u64 tsc, u32 reason, u64 b)
{
    struct trace_event e = {.tsc = tsc,
                            .kind = (u8)kind & 15,
                            .level = vcpu_level(v) & 3,
                            .vm = (u8)v->vm->index,
                            .vcpu = (u8)v->id,
                            .reason = (u8)reason,
                            .a = vmread(GUEST_RIP),
                            .b = b};

    record(&e);
}

/* The VMCS of the level that goes on is loaded. */
static void record_injection(struct vcpu *v, u64 tsc)
{
    u64 info = vmread(ENTRY_INTERRUPTION_INFO);

    if (info & INTR_INFO_VALID)
        record_state(v, TRACE_INJECT, tsc, 0,
                     (u32)info |
                         (info & INTR_INFO_DELIVER_ERROR ? vmread(ENTRY_EXCEPTION_ERROR_CODE) << 32 : 0));
}

/* From L1 to L2, or back. What the exit was is in vmcs12, unless vmcs02 still has it: then it was the CPU's.
 */
static void record_level(struct vcpu *v, struct observed *o, u64 tsc)
{
    u8 level = vcpu_level(v);

    if (level == o->level)
        return;
    o->level = level;
    record_state(v, TRACE_NESTED, tsc,
                 level == 2          ? 0
                 : v->nested->synced ? (u32)VMCS(&v->nested->vmcs12.image, EXIT_REASON)
                                     : o->exit.reason,
                 v->nested->current);
}

/* --- an exit --- */

/* SDM, 'Exit Qualification for I/O Instructions': as trace_kind says. */
static u64 port_of(u64 q)
{
    return (q >> 16 & 0xffff) | ((q & 7) + 1) << 16 | (q >> 3 & 3) << 20;
}

static u64 detail(const struct vcpu *v, u32 reason, u64 q)
{
    switch (reason) {
    case EXIT_REASON_CPUID:
    case EXIT_REASON_VMCALL:
        return v->gpr[REG_RAX];
    case EXIT_REASON_RDMSR:
        return (u32)v->gpr[REG_RCX];
    case EXIT_REASON_WRMSR:
        return (u32)v->gpr[REG_RCX] | v->gpr[REG_RAX] << 32;
    case EXIT_REASON_IO_INSTRUCTION:
        return port_of(q);
    case EXIT_REASON_EPT_VIOLATION:
        return vmread(GUEST_PHYSICAL_ADDRESS) | q << 52;
    case EXIT_REASON_EXCEPTION_OR_NMI:
    case EXIT_REASON_EXTERNAL_INTERRUPT:
        return (u32)vmread(EXIT_INTERRUPTION_INFO);
    default:
        return q;
    }
}

static void begin(struct vcpu *v, struct observed *o)
{
    u64 now = rdtsc();
    u32 reason = EXIT_REASON_BASIC(vmread(EXIT_REASON));

    o->qualification = vmread(EXIT_QUALIFICATION);
    o->value = reason == EXIT_REASON_WRMSR ? v->gpr[REG_RDX] << 32 | (u32)v->gpr[REG_RAX] : v->gpr[REG_RAX];
    o->turn = v->turn;
    o->level = vcpu_level(v);
    o->failed = 0;
    o->exit = (struct trace_event){.tsc = now,
                                   .kind = TRACE_EXIT,
                                   .level = o->level & 3,
                                   .vm = (u8)v->vm->index,
                                   .vcpu = (u8)v->id,
                                   .reason = (u8)MIN(reason, 0xffu),
                                   .a = vmread(GUEST_RIP),
                                   .b = detail(v, reason, o->qualification)};
}

static void record_port(const struct vcpu *v, const struct observed *o, u64 now)
{
    u64 q = o->qualification, value = q & BIT(3) ? v->gpr[REG_RAX] : o->value;

    record_as(o, TRACE_PORT, now,
              port_of(q) | (q & BIT(4) ? 0 : (value & (BIT(8 * ((q & 7) + 1)) - 1)) << 32));
}

/* What its local APIC has sent, whose page or MSRs were written at that offset. */
static void record_icr(const struct vcpu *v, const struct observed *o, u64 now)
{
    const struct lapic *l = v->lapic;

    record_as(o, TRACE_IPI, now,
              LAPIC_REG(l, ICR) | (u64)(lapic_is_x2(l) ? LAPIC_X2_ICR_HIGH(l) : LAPIC_REG(l, ICR_HIGH) >> 24)
                                      << 32);
}

static void record_mmio(const struct vcpu *v, const struct observed *o, u64 now, gpa_t gpa, u32 access)
{
    record_as(o, TRACE_MMIO, now, gpa | (u64)access << 52);
    if (access & EPT_QUAL_WRITE && v->lapic->placed && gpa == v->lapic->page + ICR_OFFSET)
        record_icr(v, o, now);
}

/* What the exit was for, where Nidus has done it: devices and IPIs. */
static void record_purpose(const struct vcpu *v, const struct observed *o, u64 now)
{
    u64 q = o->qualification;
    u32 msr = (u32)o->exit.b;

    switch (o->exit.reason) {
    case EXIT_REASON_IO_INSTRUCTION:
        record_port(v, o, now);
        break;
    case EXIT_REASON_WRMSR:
        if (msr == MSR_IA32_X2APIC_ICR)
            record_as(o, TRACE_IPI, now, o->value);
        break;
    case EXIT_REASON_EPT_VIOLATION:
        if (o->exit.level == 1 && !vm_may_be_ram(v->vm, o->exit.b & BITS(51, 0)))
            record_mmio(v, o, now, o->exit.b & BITS(51, 0), (u32)q & 7);
        break;
    case EXIT_REASON_APIC_ACCESS:
        record_mmio(v, o, now, LAPIC_BASE + q % PAGE_SIZE, q >> 12 & 15 ? EPT_QUAL_WRITE : EPT_QUAL_READ);
        break;
    case EXIT_REASON_APIC_WRITE:
        if (o->exit.level == 1 && q == ICR_OFFSET)
            record_icr(v, o, now);
        break;
    }
}

static void record_check(const struct observed *o, u64 now)
{
    struct trace_event e = o->exit;

    e.tsc = now;
    e.kind = TRACE_CHECK;
    e.reason = o->failed;
    e.b = (u64)o->check;
    record(&e);
}

static void record_exit(struct vcpu *v, struct observed *o, u64 now, bool resume)
{
    record(&o->exit);
    if (o->failed)
        record_check(o, now);
    if (!o->exit.reflected)
        record_purpose(v, o, now);
    record_level(v, o, now);
    if (resume)
        record_injection(v, now);
}

static void count(struct observed *o, u64 cost)
{
    stats_count(&o->stats,
                o->exit.reflected    ? STATS_REFLECTED
                : o->exit.level == 2 ? STATS_L2
                                     : STATS_L1,
                o->exit.reason, cost);
}

/* What an exit_break may name besides the reason. */
static u64 what_of(const struct observed *o)
{
    switch (o->exit.reason) {
    case EXIT_REASON_IO_INSTRUCTION:
        return o->exit.b & 0xffff;
    case EXIT_REASON_RDMSR:
    case EXIT_REASON_WRMSR:
    case EXIT_REASON_CPUID:
        return (u32)o->exit.b;
    case EXIT_REASON_EPT_VIOLATION:
        return o->exit.b & BITS(51, 12);
    default:
        return o->exit.b;
    }
}

static bool breaks(const struct observed *o, const struct exit_break *b, bool check)
{
    const struct trace_event *e = &o->exit;

    return __atomic_load_n(&b->used, __ATOMIC_ACQUIRE) && b->check == check &&
           (b->vm == TRACE_ANY || b->vm == e->vm) && (b->vcpu == TRACE_ANY || b->vcpu == e->vcpu) &&
           (check || (b->reason == e->reason && (!b->level || b->level == e->level) &&
                      (!b->has_what || b->what == what_of(o))));
}

static bool any_breaks(const struct observed *o, bool check)
{
    for (u32 i = 0; observing.nr_breaks && i < OBSERVE_BREAKS; i++) {
        if (breaks(o, &observing.breaks[i], check))
            return true;
    }
    return false;
}

static bool end(struct vcpu *v, struct observed *o, bool resume)
{
    u64 now = rdtsc(), cost = now - o->exit.tsc;

    o->exit.cost = (u32)MIN(cost, 0xffffffffu);
    o->exit.slow = !resume;
    o->exit.reflected = o->level == 2 && vcpu_level(v) == 1;
    if (observing.rings)
        record_exit(v, o, now, resume);
    o->waiting = observing.stats && !resume;
    if (observing.stats && resume)
        count(o, cost);
    if (likely(!any_breaks(o, false)))
        return resume;
    vcpu_stop(v, &(struct vcpu_stop){.kind = STOP_EXIT, .data = {o->exit.reason, o->qualification}});
    return false;
}

bool vmx_exit_observed(struct vcpu *v)
{
    begin(v, v->observed);
    return end(v, v->observed, vmx_exit(v));
}

bool nested_l2_exit_observed(struct vcpu *v)
{
    begin(v, v->observed);
    return end(v, v->observed, nested_l2_exit(v));
}

/* The slow path belongs to the exit's cost unless the vCPU has let go of its CPU in it, as in a halt. */
static void observe_entry(struct vcpu *v)
{
    struct observed *o = v->observed;
    u64 now = rdtsc();

    if (o->waiting)
        count(o, v->turn == o->turn + 2 ? now - o->exit.tsc : o->exit.cost);
    o->waiting = false;
    if (!observing.rings)
        return;
    if (o->level)
        record_level(v, o, now);
    record_injection(v, now);
    record_state(v, TRACE_ENTRY, now, 0, 0);
}

u64 vmx_enter_observed(struct vcpu *v)
{
    observe_entry(v);
    return vmx_enter(v);
}

void observe_check(struct vcpu *v, const struct entry_verdict *why)
{
    v->observed->failed = (u8)why->stage;
    v->observed->check = why->row;
    if (any_breaks(v->observed, true))
        vcpu_stop(v, &(struct vcpu_stop){.kind = STOP_CHECK, .data = {why->stage, (u64)why->row}});
}
