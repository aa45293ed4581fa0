/* SPDX-License-Identifier: MIT */
/*
 * The VMX instructions as L1 executes them, in VMX root operation or outside of VMX operation: SDM 326019,
 * chapter 'VMX Instruction Reference'. Checks stand in the order of its operation sections. The modes that
 * give #UD are known to the CPU before it makes the exit, the privilege level is not.
 *
 * VMCALL is not among them: in VMX root operation too it is a hypercall of Nidus, so that a hypervisor finds
 * the one below it as any other guest does; KVM and Xen serve theirs the same way. The VMfail that the SDM
 * has for it there, number 1, is therefore never given.
 */
#include "vmm/nested/instructions.h"
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/skip.h"

#define STATUS_FLAGS ((u64)(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF))

/* --- 'Conventions' --- */

static inline void set_status(u64 flags)
{
    u64 old = vmread(GUEST_RFLAGS), new = (old & ~STATUS_FLAGS) | flags;

    if (unlikely(old != new))
        vmwrite(GUEST_RFLAGS, new);
}

void nested_vmsucceed(struct vcpu *v)
{
    (void)v;
    set_status(0);
}

void nested_vmfail_invalid(struct vcpu *v)
{
    (void)v;
    set_status(RFLAGS_CF);
}

void nested_vmfail(struct vcpu *v, enum vmx_instruction_error error)
{
    if (v->nested->current == NO_VMCS) {
        nested_vmfail_invalid(v);
        return;
    }
    set_status(RFLAGS_ZF);
    VMCS(&v->nested->vmcs12.image, VM_INSTRUCTION_ERROR) = error;
}

HOT bool nested_succeed(struct vcpu *v)
{
    set_status(0);
    skip_instruction();
    return vcpu_can_resume(v);
}

bool nested_fail(struct vcpu *v, enum vmx_instruction_error error)
{
    nested_vmfail(v, error);
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}

bool nested_fail_invalid(struct vcpu *v)
{
    nested_vmfail_invalid(v);
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}

bool nested_undefined(struct vcpu *v)
{
    vcpu_inject_exception(v, VEC_UD);
    return false;
}

bool nested_protection(struct vcpu *v)
{
    vcpu_inject_exception_error(v, VEC_GP, 0);
    return false;
}

bool nested_stop(struct vcpu *v, int result)
{
    if (result == ERR_UNSUPP)
        vm_crash(v, "operand of a VMX instruction with page tables outside of RAM");
    return vcpu_can_resume(v);
}

/* --- what they begin with --- */

static inline u32 mode(void)
{
    if (likely(vmread(GUEST_IA32_EFER) & EFER_LMA))
        return vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L ? 8 : 0;
    return (vmread(GUEST_CR0) & CR0_PE) && !(vmread(GUEST_RFLAGS) & RFLAGS_VM) ? 4 : 0;
}

u32 nested_mode(void)
{
    return mode();
}

static inline bool privileged(void)
{
    return SEG_AR_DPL(vmread(GUEST_SS_ACCESS_RIGHTS)) == 0;
}

bool nested_privileged(void)
{
    return privileged();
}

HOT u32 nested_permitted(struct vcpu *v)
{
    u32 size = likely(v->nested && v->nested->vmx_on) ? mode() : 0;

    if (unlikely(!size)) {
        nested_undefined(v);
    } else if (unlikely(!privileged())) {
        nested_protection(v);
        return 0;
    }
    return size;
}

/* --- VMLAUNCH, VMRESUME --- */

/* SDM, 'Basic VM-Entry Checks'. wrong: the error of a launch state that is another one. */
static bool enter(struct vcpu *v, bool launched, enum vmx_instruction_error wrong)
{
    struct nested *n = v->nested;

    if (!nested_permitted(v))
        return false;
    if (n->current == NO_VMCS || (n->vmcs12.revision & VMCS12_SHADOW))
        return nested_fail_invalid(v);
    if (vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_MOV_SS)
        return nested_fail(v, VMX_ERROR_EVENTS_BLOCKED_BY_MOV_SS);
    if (!!n->vmcs12.launched != launched)
        return nested_fail(v, wrong);
    return nested_enter(v);
}

static bool vmlaunch(struct vcpu *v)
{
    return enter(v, false, VMX_ERROR_VMLAUNCH_NOT_CLEAR);
}

/* What is checked is current and launched; the mode is right, or there would have been no exit. */
HOT bool nested_vmresume(struct vcpu *v)
{
    if (unlikely(!v->nested || !v->nested->checked || !privileged() ||
                 vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_MOV_SS))
        return enter(v, true, VMX_ERROR_VMRESUME_NOT_LAUNCHED);
    return nested_enter(v);
}

/* VMFUNC is for VMX non-root operation alone. */
static bool (*const handlers[])(struct vcpu *v) = {
    [EXIT_REASON_VMCLEAR] = nested_vmclear, [EXIT_REASON_VMLAUNCH] = vmlaunch,
    [EXIT_REASON_VMPTRLD] = nested_vmptrld, [EXIT_REASON_VMPTRST] = nested_vmptrst,
    [EXIT_REASON_VMREAD] = nested_vmread,   [EXIT_REASON_VMRESUME] = nested_vmresume,
    [EXIT_REASON_VMWRITE] = nested_vmwrite, [EXIT_REASON_VMXOFF] = nested_vmxoff,
    [EXIT_REASON_VMXON] = nested_vmxon,     [EXIT_REASON_INVEPT] = nested_invept,
    [EXIT_REASON_INVVPID] = nested_invvpid, [EXIT_REASON_VMFUNC] = nested_undefined,
};

bool nested_instruction(struct vcpu *v)
{
    u64 reason = vmread(EXIT_REASON);

    if (reason >= ARRAY_SIZE(handlers) || !handlers[reason])
        return nested_undefined(v);
    return handlers[reason](v);
}
