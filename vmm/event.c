/* SPDX-License-Identifier: MIT */
/* What a vCPU takes before its next instruction: exceptions, NMIs, interrupts. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/irq.h"
#include "vmm/skip.h"
#include "vmm/vm.h"

static bool has_error_code(u8 vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

/* SDM, 'Interrupt 8: Double Fault Exception': the classes of exceptions. */
static bool is_contributory(u8 vector)
{
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

/* A second exception while the first is delivered: one after the other, or a double fault, or shutdown. */
static bool combines(u8 first, u8 second)
{
    return (is_contributory(first) && is_contributory(second)) ||
           (first == VEC_PF && (is_contributory(second) || second == VEC_PF));
}

static void inject(struct vcpu *v, u8 vector, u32 error_code)
{
    u32 first = v->event.info;

    if (INTR_INFO_TYPE(first) == INTR_TYPE_HARDWARE_EXCEPTION && (first & INTR_INFO_VALID)) {
        u8 old = INTR_INFO_VECTOR(first);

        if (old == VEC_DF) {
            vm_crash(v, "triple fault");
            return;
        }
        if (combines(old, vector)) {
            vector = VEC_DF;
            error_code = 0;
        }
    }
    v->event.info = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, vector);
    if (has_error_code(vector) && (vmread(GUEST_CR0) & CR0_PE))
        v->event.info |= INTR_INFO_DELIVER_ERROR;
    v->event.error_code = error_code;
    v->event.length = 0;
}

void vcpu_inject_exception(struct vcpu *v, u8 vector)
{
    inject(v, vector, 0);
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code)
{
    inject(v, vector, error_code);
}

void vcpu_inject_page_fault(struct vcpu *v, u32 error_code, gva_t address)
{
    inject(v, VEC_PF, error_code);
    write_cr2(address);
}

void vcpu_requeue_event(struct vcpu *v)
{
    u32 info = (u32)vmread(IDT_VECTORING_INFO);

    if (!(info & INTR_INFO_VALID))
        return;
    v->event.info = info & ~(u32)INTR_INFO_UNBLOCKING_IRET;
    v->event.error_code = (u32)vmread(IDT_VECTORING_ERROR_CODE);
    v->event.length = (u32)vmread(EXIT_INSTRUCTION_LENGTH);
    /* An NMI that was not delivered does not block the next one. */
    if (INTR_INFO_TYPE(info) == INTR_TYPE_NMI)
        vmwrite(GUEST_INTERRUPTIBILITY_STATE, vmread(GUEST_INTERRUPTIBILITY_STATE) & ~INTERRUPTIBILITY_NMI);
}

static void set_window(bool *now, bool wanted, u64 control)
{
    if (*now == wanted)
        return;
    *now = wanted;
    vmwrite(PRIMARY_CONTROLS,
            wanted ? vmread(PRIMARY_CONTROLS) | control : vmread(PRIMARY_CONTROLS) & ~control);
}

static void enter_with(u32 info, u32 error_code, u32 length)
{
    vmwrite(ENTRY_INTERRUPTION_INFO, info);
    if (info & INTR_INFO_DELIVER_ERROR)
        vmwrite(ENTRY_EXCEPTION_ERROR_CODE, error_code);
    if (length)
        vmwrite(ENTRY_INSTRUCTION_LENGTH, length);
}

/* One NMI may be latched behind the one that is being taken. */
static void nmi_taken(struct vcpu *v)
{
    u64 requests = __atomic_fetch_and(&v->requests, ~(u64)(REQ_NMI | REQ_NMI2), __ATOMIC_ACQ_REL);

    if (requests & REQ_NMI2)
        __atomic_or_fetch(&v->requests, REQ_NMI, __ATOMIC_ACQ_REL);
}

void vcpu_deliver_events(struct vcpu *v)
{
    bool nmi = v->requests & REQ_NMI, irq = vcpu_irq_pending(v) >= 0, injected = false;

    if (v->event.info) {
        enter_with(v->event.info, v->event.error_code, v->event.length);
        v->event.info = 0;
        injected = true;
    }
    if (!nmi && !irq) {
        set_window(&v->irq_window, false, PROC_INTERRUPT_WINDOW_EXITING);
        return;
    }
    if (!injected) {
        u64 shadow = vmread(GUEST_INTERRUPTIBILITY_STATE);

        if (nmi && !(shadow & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_STI))) {
            enter_with(INTR_INFO(INTR_TYPE_NMI, VEC_NMI), 0, 0);
            nmi_taken(v);
            nmi = v->requests & REQ_NMI;
        } else if (irq && (vmread(GUEST_RFLAGS) & RFLAGS_IF) &&
                   !(shadow & (INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_STI))) {
            int vector = vcpu_irq_ack(v);

            if (vector >= 0)
                enter_with(INTR_INFO(INTR_TYPE_EXTERNAL, (u32)vector), 0, 0);
            irq = vcpu_irq_pending(v) >= 0;
        }
    }
    set_window(&v->irq_window, irq, PROC_INTERRUPT_WINDOW_EXITING);
    set_window(&v->nmi_window, nmi, PROC_NMI_WINDOW_EXITING);
}

void vcpu_skip_instruction(struct vcpu *v)
{
    (void)v;
    skip_instruction();
}
