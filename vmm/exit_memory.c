/* SPDX-License-Identifier: MIT */
/* Exits for memory and exceptions. */
#include "arch/x86/asm.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/fail.h"
#include "vmm/mmio.h"
#include "vmm/mmio_fast.h"
#include "vmm/mmio_host.h"

/* The delivery of an event met memory that must be filled in first; it goes on where it was. */
bool exit_memory(struct vcpu *v, gpa_t gpa)
{
    int r = vm_populate(v->vm, gpa);

    vcpu_requeue_event(v, vmread(EXIT_QUALIFICATION) & EPT_QUAL_UNBLOCKED_NMI);
    if (r == OK)
        return vcpu_can_resume(v);
    if (r == ERR_NOMEM) {
        vm_crash(v, "no memory for the page tables of guest-physical 0x%lx", gpa);
        return false;
    }
    if (v->events.due) {
        fail_guest(v, "an event's delivery uses guest-physical 0x%lx, where there is no RAM", gpa);
        return false;
    }
    if (mmio_emulate(v, gpa))
        vcpu_inject_exception(v, VEC_UD);
    return vcpu_can_resume(v);
}

HOT bool exit_ept_violation(struct vcpu *v)
{
    gpa_t gpa = vmread(GUEST_PHYSICAL_ADDRESS);

    return mmio_fast(v, gpa) ? vcpu_can_resume(v) : exit_memory(v, gpa);
}

/*
 * #DB and #AC are only intercepted so that a guest cannot keep the CPU in their delivery. For #DB the exit
 * comes before DR6 and DR7 change: SDM, 'Exit Qualification for Debug Exceptions'. INT1 leaves DR6 alone.
 */
static void reflect_debug(struct vcpu *v, u32 info)
{
    if (INTR_INFO_TYPE(info) == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION)
        events_raise(&v->events, &(struct event_exception){.vector = VEC_DB,
                                                           .type = INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION,
                                                           .length = (u8)vmread(EXIT_INSTRUCTION_LENGTH)});
    else
        events_raise_debug(&v->events, vmread(EXIT_QUALIFICATION));
}

bool exit_exception(struct vcpu *v)
{
    u32 info = (u32)vmread(EXIT_INTERRUPTION_INFO);

    if (INTR_INFO_TYPE(info) == INTR_TYPE_NMI) {
        nmi_dispatch();
        return false;
    }
    vcpu_requeue_event(v, info & INTR_INFO_UNBLOCKING_IRET && INTR_INFO_VECTOR(info) != VEC_DF);
    switch (INTR_INFO_VECTOR(info)) {
    case VEC_DB:
        reflect_debug(v, info);
        break;
    case VEC_AC:
        vcpu_inject_exception_error(v, VEC_AC, (u32)vmread(EXIT_INTERRUPTION_ERROR_CODE));
        break;
    case VEC_MC:
        panic("machine check while vCPU %u of %s ran", v->id, v->vm->config->name);
    default:
        vm_crash(v, "exception %u that was not asked for", INTR_INFO_VECTOR(info));
    }
    return false;
}
