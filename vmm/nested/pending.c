/* SPDX-License-Identifier: MIT */
/* What waits while L2 runs, and whether it is an exit to L1: between two entries, in the order of events.c's
 * table. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/irq.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

static bool pin12(struct vcpu *v, u64 control)
{
    return V12(v, PIN_BASED_CONTROLS) & control;
}

/* SDM, 'Exception Bitmap', and for page faults the mask and match. */
static bool intercepts(struct vcpu *v, const struct event_exception *e)
{
    bool bit = V12(v, EXCEPTION_BITMAP) >> e->vector & 1;

    if (e->vector != VEC_PF)
        return bit;
    return bit == ((e->error_code & V12(v, PAGE_FAULT_ERROR_MASK)) == V12(v, PAGE_FAULT_ERROR_MATCH));
}

/* An exception that Nidus has met in L2's place: its payload is not in CR2 or DR6 yet, and is the
 * qualification. */
static void exception_exit(struct vcpu *v, struct nested_exit_info *x)
{
    const struct event_exception *e = &v->events.exception;

    x->reason = EXIT_REASON_EXCEPTION_OR_NMI;
    x->interruption_info = INTR_INFO(e->type, e->vector);
    if (e->has_error && vmread(GUEST_CR0) & CR0_PE) {
        x->interruption_info |= (u32)INTR_INFO_DELIVER_ERROR;
        x->interruption_error = e->error_code;
    }
    x->qualification = e->has_payload ? e->payload : 0;
    x->instruction_length = e->length;
    vcpu_set_resume_flag(x->interruption_info);
    v->events.exception_stage = EVENT_NONE;
}

/* SDM, 'Debug Exceptions': pending debug traps are an exception that L1 may intercept, and come before all
 * that is asked after this. */
static void raise_debug_trap(struct vcpu *v)
{
    u64 pending = vmread(GUEST_PENDING_DEBUG_EXCEPTIONS);

    if (likely(!(pending & (PENDING_DEBUG_BS | PENDING_DEBUG_ENABLED))) ||
        vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_MOV_SS)
        return;
    events_raise_debug(&v->events, pending);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
}

/* One that was acknowledged while L1 ran waits here, others with the controller. */
static bool interrupt_waits(struct vcpu *v)
{
    bool waits;

    if (!pin12(v, PIN_EXTERNAL_INTERRUPT_EXITING))
        return false;
    if (v->events.interrupt_stage == EVENT_PENDING)
        return true;
    spin_lock(&v->vm->dev_lock);
    waits = vcpu_irq_pending(v) >= 0;
    spin_unlock(&v->vm->dev_lock);
    return waits;
}

static int acknowledge(struct vcpu *v)
{
    int vector;

    if (v->events.interrupt_stage == EVENT_PENDING) {
        v->events.interrupt_stage = EVENT_NONE;
        return v->events.interrupt_vector;
    }
    spin_lock(&v->vm->dev_lock);
    vector = vcpu_irq_ack(v);
    spin_unlock(&v->vm->dev_lock);
    return vector;
}

/* 'Acknowledge interrupt on exit'; false: the controller has thought better of it, or it was a notification.
 */
static bool interrupt_exit(struct vcpu *v, struct nested_exit_info *x)
{
    int vector;

    x->reason = EXIT_REASON_EXTERNAL_INTERRUPT;
    if (!(V12(v, PRIMARY_EXIT_CONTROLS) & EXITCTL_ACK_INTERRUPT_ON_EXIT))
        return true;
    vector = acknowledge(v);
    if (vector < 0 || nested_posted_interrupt(v, (u32)vector))
        return false;
    x->interruption_info = INTR_INFO(INTR_TYPE_EXTERNAL, (u32)vector);
    return true;
}

/* SDM, 'Guest Non-Register State': the shadow of STI or MOV SS holds interrupts and NMIs back, whoever they
 * are for, until the next instruction is done. */
static bool held_back(void)
{
    if (likely(!(vmread(GUEST_INTERRUPTIBILITY_STATE) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))) ||
        !vmx_has(&vmx_features, VF_MONITOR_TRAP_FLAG))
        return false;
    vmwrite(PRIMARY_CONTROLS, vmread(PRIMARY_CONTROLS) | PROC_MONITOR_TRAP_FLAG);
    return true;
}

/* Another interrupt may wait behind a notification. If that is a new one, its kick brings us here again. */
static bool exit_for_interrupt(struct vcpu *v, struct nested_exit_info *x)
{
    for (u32 i = 0; i < 2 && interrupt_waits(v) && !held_back(); i++)
        if (interrupt_exit(v, x))
            return true;
    return false;
}

/* With virtual NMIs it is NMIs of L1's making that bit 3 blocks. */
static bool nmi_waits(struct vcpu *v)
{
    return v->events.nmi_pending && pin12(v, PIN_NMI_EXITING) &&
           (pin12(v, PIN_VIRTUAL_NMIS) || !(vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_NMI));
}

/* SDM, 'Other Causes of VM Exits': an open window ends a halt too. While L2 is active the CPU sees to it. */
static bool window_open(struct vcpu *v, u64 control)
{
    u64 blocking;

    if (likely(v->activity != VCPU_HALTED) || !(V12(v, PRIMARY_CONTROLS) & control))
        return false;
    blocking = vmread(GUEST_INTERRUPTIBILITY_STATE);
    if (control == PROC_NMI_WINDOW_EXITING)
        return !(blocking & INTERRUPTIBILITY_NMI);
    return vmread(GUEST_RFLAGS) & RFLAGS_IF;
}

static bool timer_ended(struct vcpu *v)
{
    return rdtsc() >= v->nested->timer_end;
}

/* The entry begins with its delivery. */
static bool event_under_way(const struct vcpu *v)
{
    const struct events *ev = &v->events;

    return v->nested->injects || ev->exception_stage != EVENT_NONE || ev->nmi_injected ||
           ev->interrupt_stage == EVENT_INJECTED;
}

/* What the instruction before, or its emulation, has left. */
static bool exit_for_instruction(struct vcpu *v, struct nested_exit_info *x)
{
    struct events *ev = &v->events;

    if (v->nested->is_due) {
        v->nested->is_due = false;
        *x = v->nested->due;
        return true;
    }
    if (ev->triple_fault) {
        ev->triple_fault = false;
        x->reason = EXIT_REASON_TRIPLE_FAULT;
        return true;
    }
    if (!v->nested->injects && ev->exception_stage == EVENT_PENDING && intercepts(v, &ev->exception)) {
        exception_exit(v, x);
        return true;
    }
    return false;
}

/* Before debug traps: SDM, 'Monitor Trap Flag'. */
static bool exit_before_traps(struct vcpu *v, struct nested_exit_info *x)
{
    if (v->events.init) {
        v->events.init = false;
        x->reason = EXIT_REASON_INIT;
        return true;
    }
    x->reason = v->nested->mtf ? EXIT_REASON_MONITOR_TRAP_FLAG : EXIT_REASON_TPR_BELOW_THRESHOLD;
    return v->nested->mtf || nested_tpr_below_threshold(v);
}

static bool exit_after_traps(struct vcpu *v, struct nested_exit_info *x)
{
    if (timer_ended(v)) {
        x->reason = EXIT_REASON_PREEMPTION_TIMER;
        return true;
    }
    if (window_open(v, PROC_NMI_WINDOW_EXITING)) {
        x->reason = EXIT_REASON_NMI_WINDOW;
        return true;
    }
    if (nmi_waits(v)) {
        if (held_back())
            return false;
        v->events.nmi_pending--;
        x->reason = EXIT_REASON_EXCEPTION_OR_NMI;
        x->interruption_info = INTR_INFO(INTR_TYPE_NMI, VEC_NMI);
        return true;
    }
    if (window_open(v, PROC_INTERRUPT_WINDOW_EXITING)) {
        x->reason = EXIT_REASON_INTERRUPT_WINDOW;
        return true;
    }
    return exit_for_interrupt(v, x);
}

/* SDM, 'Activity State': wait-for-SIPI blocks all else. What a start-up IPI does to a CPU is L1's to do. */
static bool sipi_exit(struct vcpu *v, struct nested_exit_info *x)
{
    int vector = events_take_sipi(&v->events, true);

    x->reason = EXIT_REASON_SIPI;
    x->qualification = (u8)vector;
    return vector >= 0;
}

static bool next_exit(struct vcpu *v, struct nested_exit_info *x)
{
    if (unlikely(v->activity == VCPU_WAIT_SIPI))
        return sipi_exit(v, x);
    if (exit_for_instruction(v, x))
        return true;
    if (event_under_way(v))
        return false;
    if (exit_before_traps(v, x))
        return true;
    raise_debug_trap(v);
    return exit_for_instruction(v, x) || (!event_under_way(v) && exit_after_traps(v, x));
}

void nested_before_entry(struct vcpu *v)
{
    struct nested_exit_info x = {0};

    if (next_exit(v, &x))
        nested_exit_with(v, &x);
    else
        v->nested->exit_soon = event_under_way(v) && (v->events.init || nmi_waits(v) || interrupt_waits(v));
}

/* It is only to wake the vCPU: then the end is seen. */
static void halt_timer_fired(struct vtimer *timer)
{
    (void)timer;
}

void nested_before_halt(struct vcpu *v)
{
    struct nested *n = v->nested;

    if (n->timer_end == ~0ull)
        return;
    if (!n->halt_timer.fire)
        vtimer_init(&n->halt_timer, v, halt_timer_fired);
    vtimer_set(&n->halt_timer, n->timer_end - v->vm->start_tsc);
}
