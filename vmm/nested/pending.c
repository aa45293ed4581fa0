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
    v->events.exception_stage = EVENT_NONE;
}

static bool interrupt_waits(struct vcpu *v)
{
    bool waits;

    if (!pin12(v, PIN_EXTERNAL_INTERRUPT_EXITING))
        return false;
    spin_lock(&v->vm->dev_lock);
    waits = vcpu_irq_pending(v) >= 0;
    spin_unlock(&v->vm->dev_lock);
    return waits;
}

/* 'Acknowledge interrupt on exit'; false: the controller has thought better of it. */
static bool interrupt_exit(struct vcpu *v, struct nested_exit_info *x)
{
    int vector;

    x->reason = EXIT_REASON_EXTERNAL_INTERRUPT;
    if (!(V12(v, PRIMARY_EXIT_CONTROLS) & EXITCTL_ACK_INTERRUPT_ON_EXIT))
        return true;
    spin_lock(&v->vm->dev_lock);
    vector = vcpu_irq_ack(v);
    spin_unlock(&v->vm->dev_lock);
    x->interruption_info = INTR_INFO(INTR_TYPE_EXTERNAL, (u32)vector & 0xff);
    return vector >= 0;
}

/* With virtual NMIs it is NMIs of L1's making that bit 3 blocks. */
static bool nmi_waits(struct vcpu *v)
{
    return v->events.nmi_pending && pin12(v, PIN_NMI_EXITING) &&
           (pin12(v, PIN_VIRTUAL_NMIS) || !(vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_NMI));
}

static bool timer_ended(struct vcpu *v)
{
    return rdtsc() >= v->nested->timer_end;
}

static bool event_under_way(const struct vcpu *v)
{
    return v->nested->injects || v->events.due;
}

static bool next_exit(struct vcpu *v, struct nested_exit_info *x)
{
    struct events *ev = &v->events;

    if (ev->triple_fault) {
        ev->triple_fault = false;
        x->reason = EXIT_REASON_TRIPLE_FAULT;
        return true;
    }
    if (ev->init) {
        ev->init = false;
        x->reason = EXIT_REASON_INIT;
        return true;
    }
    if (!v->nested->injects && ev->exception_stage == EVENT_PENDING && intercepts(v, &ev->exception)) {
        exception_exit(v, x);
        return true;
    }
    if (v->nested->is_due) {
        v->nested->is_due = false;
        *x = v->nested->due;
        return true;
    }
    if (event_under_way(v))
        return false;
    if (v->nested->mtf) {
        x->reason = EXIT_REASON_MONITOR_TRAP_FLAG;
        return true;
    }
    if (timer_ended(v)) {
        x->reason = EXIT_REASON_PREEMPTION_TIMER;
        return true;
    }
    if (nmi_waits(v)) {
        ev->nmi_pending--;
        x->reason = EXIT_REASON_EXCEPTION_OR_NMI;
        x->interruption_info = INTR_INFO(INTR_TYPE_NMI, VEC_NMI);
        return true;
    }
    return interrupt_waits(v) && interrupt_exit(v, x);
}

void nested_before_entry(struct vcpu *v)
{
    struct nested_exit_info x = {0};

    if (next_exit(v, &x))
        nested_exit_with(v, &x);
    else
        v->nested->exit_soon = event_under_way(v) && (nmi_waits(v) || interrupt_waits(v));
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
