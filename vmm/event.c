/* SPDX-License-Identifier: MIT */
/* Between vmm/events.c and the VMCS. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/skip.h"
#include "vmm/vm.h"

/* The bits that struct events has; the others (SMI, enclave) stay as they are. */
#define OWN_BITS ((u32)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_NMI))

void vcpu_inject_exception(struct vcpu *v, u8 vector)
{
    events_raise_hardware(&v->events, vector, 0);
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code)
{
    events_raise_hardware(&v->events, vector, error_code);
}

void vcpu_inject_page_fault(struct vcpu *v, u32 error_code, gva_t address)
{
    events_raise_page_fault(&v->events, error_code, address);
}

static void load_shadow(struct vcpu *v)
{
    v->events.interruptibility = (u32)vmread(GUEST_INTERRUPTIBILITY_STATE) & OWN_BITS;
}

static void store_shadow(struct vcpu *v)
{
    u32 now = (u32)vmread(GUEST_INTERRUPTIBILITY_STATE),
        wanted = (now & ~OWN_BITS) | v->events.interruptibility;

    if (now != wanted)
        vmwrite(GUEST_INTERRUPTIBILITY_STATE, wanted);
}

static void load(struct vcpu *v)
{
    load_shadow(v);
    v->events.pending_debug = vmread(GUEST_PENDING_DEBUG_EXCEPTIONS);
}

/* SDM, 'Checks on Guest Non-Register State': in a shadow a due single step must be pending, even when what is
 * injected makes an end of it. before: what the VMCS has. */
static void store_pending_debug(struct vcpu *v, u64 before)
{
    struct events *ev = &v->events;
    u64 pending = ev->pending_debug;

    if (unlikely(ev->interruptibility & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) && steps_singly())
        pending |= PENDING_DEBUG_BS;
    if (unlikely(before != pending))
        vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, pending);
}

void vcpu_requeue_event(struct vcpu *v, bool unblocked_nmi)
{
    struct events_exit x = {.idt_info = (u32)vmread(IDT_VECTORING_INFO), .unblocked_nmi = unblocked_nmi};

    if (likely(!(x.idt_info & INTR_INFO_VALID) && !unblocked_nmi))
        return;
    x.idt_error_code = (u32)vmread(IDT_VECTORING_ERROR_CODE);
    x.instruction_length = (u32)vmread(EXIT_INSTRUCTION_LENGTH);
    load_shadow(v);
    events_after_exit(&v->events, &x);
    store_shadow(v);
}

void vcpu_nmi_arrived(struct vcpu *v, u32 count)
{
    load_shadow(v);
    events_request_nmi(&v->events, count);
}

static bool in_l2(const struct vcpu *v)
{
    return unlikely(v->nested) && v->nested->in_l2;
}

/* What L1 asks of its guest. */
static bool l1_wants(const struct vcpu *v, enum vmcs_index word, u64 control)
{
    return in_l2(v) && v->nested->vmcs12.image.f[word] & control;
}

static void set_window(bool *now, bool wanted, u64 control)
{
    if (*now == wanted)
        return;
    *now = wanted;
    vmwrite(PRIMARY_CONTROLS,
            wanted ? vmread(PRIMARY_CONTROLS) | control : vmread(PRIMARY_CONTROLS) & ~control);
}

static void set_windows(struct vcpu *v, const struct events_cpu *cpu)
{
    set_window(&v->irq_window,
               events_wants_interrupt_window(&v->events, cpu) ||
                   l1_wants(v, VI_PRIMARY_CONTROLS, PROC_INTERRUPT_WINDOW_EXITING),
               PROC_INTERRUPT_WINDOW_EXITING);
    set_window(&v->nmi_window,
               events_wants_nmi_window(&v->events) ||
                   l1_wants(v, VI_PRIMARY_CONTROLS, PROC_NMI_WINDOW_EXITING),
               PROC_NMI_WINDOW_EXITING);
}

/* One that makes L2 exit is not L2's to take: nested_before_entry() sees to it. */
static bool makes_exit(const struct vcpu *v)
{
    return l1_wants(v, VI_PIN_BASED_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING);
}

/* For Nidus to inject. What L1's APIC has may be the CPU's to deliver. */
static bool irq_waits(struct vcpu *v)
{
    return !makes_exit(v) &&
           (v->lapic->by_cpu && !in_l2(v) ? vcpu_extint_pending(v) : vcpu_irq_pending(v)) >= 0;
}

static void load_cpu(const struct vcpu *v, struct events_cpu *cpu)
{
    cpu->init_blocked = vcpu_in_vmx_root(v);
    cpu->interrupts_enabled = vmread(GUEST_RFLAGS) & RFLAGS_IF;
    cpu->protected_mode = vmread(GUEST_CR0) & CR0_PE;
}

static void enter_with(const struct events_entry *e)
{
    vmwrite(ENTRY_INTERRUPTION_INFO, e->info);
    if (e->info & INTR_INFO_DELIVER_ERROR)
        vmwrite(ENTRY_EXCEPTION_ERROR_CODE, e->error_code);
    if (e->length)
        vmwrite(ENTRY_INSTRUCTION_LENGTH, e->length);
}

/*
 * The CPU pushes what RFLAGS is; for faults, other than debug exceptions, it would have set RF in that
 * itself. SDM 325384, 'Debug Registers', 'Instruction-Breakpoint Exception Condition'. One whose delivery was
 * interrupted has had that: 'Saving RIP, RSP, RFLAGS, and SSP'.
 */
void vcpu_set_resume_flag(u32 info)
{
    const u32 not_faults = BIT(VEC_DB) | BIT(VEC_DF) | BIT(VEC_MC);

    if (INTR_INFO_TYPE(info) == INTR_TYPE_HARDWARE_EXCEPTION && !(not_faults >> INTR_INFO_VECTOR(info) & 1))
        vmwrite(GUEST_RFLAGS, vmread(GUEST_RFLAGS) | RFLAGS_RF);
}

/* With the registers that exceptions change. */
static void commit_exception(struct vcpu *v, enum event_kind kind, const struct events_cpu *cpu,
                             struct events_entry *entry)
{
    const struct events_regs before = {.cr2 = read_cr2(),
                                       .dr6 = read_dr6(),
                                       .dr7 = vmread(GUEST_DR7),
                                       .debugctl = vmread(GUEST_IA32_DEBUGCTL)};
    struct events_regs regs = before;
    bool begun = v->events.exception_stage == EVENT_INJECTED;

    events_commit(&v->events, kind, cpu, &regs, entry);
    if (!begun)
        vcpu_set_resume_flag(entry->info);
    if (regs.cr2 != before.cr2)
        write_cr2(regs.cr2);
    if (regs.dr6 != before.dr6)
        write_dr6(regs.dr6);
    if (regs.dr7 != before.dr7)
        vmwrite(GUEST_DR7, regs.dr7);
    if (regs.debugctl != before.debugctl)
        vmwrite(GUEST_IA32_DEBUGCTL, regs.debugctl);
}

static void commit(struct vcpu *v, enum event_kind kind, const struct events_cpu *cpu)
{
    u64 before = v->events.pending_debug;
    struct events_entry entry;

    if (kind == EVENT_EXCEPTION || kind == EVENT_DEBUG_TRAP)
        commit_exception(v, kind, cpu, &entry);
    else
        events_commit(&v->events, kind, cpu, NULL, &entry);
    enter_with(&entry);
    store_pending_debug(v, before);
}

/* The interrupt that events_next() asked for is here, or is got; false: the controller has thought better of
 * it. */
static bool have_interrupt(struct vcpu *v, struct events_cpu *cpu)
{
    int vector;

    if (v->events.interrupt_stage != EVENT_NONE)
        return true;
    vector = vcpu_irq_ack(v);
    if (vector >= 0)
        events_acknowledge(&v->events, (u8)vector);
    cpu->interrupt = irq_waits(v);
    return vector >= 0;
}

static void deliver(struct vcpu *v, struct events_cpu *cpu)
{
    enum event_kind kind = events_next(&v->events, cpu);

    if (kind == EVENT_TRIPLE_FAULT) {
        vm_crash(v, "triple fault");
    } else if (kind != EVENT_NOTHING && (kind != EVENT_INTERRUPT || have_interrupt(v, cpu))) {
        commit(v, kind, cpu);
    }
}

/* What L1 injects into L2 comes before all else; else L2 may get something of Nidus's. */
COLD static bool l1_injects(struct vcpu *v, bool interrupt)
{
    if (!v->nested->injects && (v->events.due || v->events.nmi_pending || interrupt))
        nested_before_injection(v);
    return v->nested->injects;
}

void vcpu_deliver_events(struct vcpu *v)
{
    struct events_cpu cpu = {.interrupt = irq_waits(v)};
    bool is_l1s = in_l2(v) && l1_injects(v, cpu.interrupt);

    if (!is_l1s && (v->events.due || v->events.nmi_pending || cpu.interrupt)) {
        load(v);
        load_cpu(v, &cpu);
        deliver(v, &cpu);
    }
    set_windows(v, &cpu);
}

bool vcpu_wakes(struct vcpu *v)
{
    struct events_cpu cpu = {.interrupt = !makes_exit(v) && vcpu_irq_pending(v) >= 0};

    load(v);
    load_cpu(v, &cpu);
    return events_wake(&v->events, &cpu) || (in_l2(v) && nested_virtual_interrupt(v));
}

void vcpu_skip_instruction(struct vcpu *v)
{
    (void)v;
    skip_instruction();
}

u64 vcpu_breakpoints(struct vcpu *v, u64 address, u32 size, enum debug_access access)
{
    const u64 dr[4] = {read_dr0(), read_dr1(), read_dr2(), read_dr3()};

    (void)v;
    return events_breakpoints(dr, vmread(GUEST_DR7), address, size, access);
}

void vcpu_debug_trap(struct vcpu *v, u64 breakpoints)
{
    v->events.pending_debug = vmread(GUEST_PENDING_DEBUG_EXCEPTIONS);
    events_debug_trap(&v->events, breakpoints);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, v->events.pending_debug);
}

void vcpu_watch_port(struct vcpu *v, u16 port, u32 size)
{
    if (vmread(GUEST_CR4) & CR4_DE)
        vcpu_debug_trap(v, vcpu_breakpoints(v, port, size, DEBUG_IO));
}
