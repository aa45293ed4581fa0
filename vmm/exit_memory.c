/* SPDX-License-Identifier: MIT */
/* Exits for memory, ports and exceptions. */
#include "arch/x86/asm.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/mmio.h"
#include "vmm/mmio_fast.h"
#include "vmm/mmio_host.h"
#include "vmm/skip.h"
#include "vmm/string_io.h"

/* Exit qualification (SDM, 'Exit Qualification for I/O Instructions'). */
#define IO_SIZE(q) (((q)&7) + 1)
#define IO_IN      BIT(3)
#define IO_STRING  BIT(4)
#define IO_PORT(q) ((u16)((q) >> 16))

/* The port that was accessed; out of the way of the usual case. */
static __attribute__((noinline, cold)) void watch_port(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION);

    vcpu_watch_port(v, IO_PORT(q), IO_SIZE(q));
}

static bool string_exit(struct vcpu *v, u64 q)
{
    struct string_io io;

    string_io_from_exit(&io, q, (u32)vmread(EXIT_INSTRUCTION_INFO), (u32)vmread(EXIT_INSTRUCTION_LENGTH));
    if (string_io(v, &io))
        vm_crash(v, "string I/O with page tables outside of RAM");
    else if (has_breakpoints())
        watch_port(v);
    return vcpu_can_resume(v);
}

HOT bool exit_io(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION);
    u32 size = IO_SIZE(q);

    if (unlikely(q & IO_STRING))
        return string_exit(v, q);
    if (q & IO_IN) {
        u64 value = bus_read(&v->pio, IO_PORT(q), size);

        if (size == 4)
            v->gpr[REG_RAX] = value;
        else if (size == 2)
            *(u16 *)&v->gpr[REG_RAX] = (u16)value;
        else
            *(u8 *)&v->gpr[REG_RAX] = (u8)value;
    } else {
        bus_write(&v->pio, IO_PORT(q), size, v->gpr[REG_RAX]);
    }
    skip_instruction();
    if (has_breakpoints())
        watch_port(v);
    return vcpu_can_resume(v);
}

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
        vm_crash(v, "an event's delivery uses guest-physical 0x%lx, where there is no RAM", gpa);
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
