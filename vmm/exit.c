/* SPDX-License-Identifier: MIT */
/*
 * VM exits, by one table in the order of the SDM's appendix 'VMX Basic Exit Reasons'. Handlers of exits that
 * can come while an event is delivered begin with vcpu_requeue_event().
 */
#include "vmm/exit.h"
#include "vmm/apicv.h"
#include "arch/x86/asm.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmm/dev/lapic_quick.h"
#include "vmm/fail.h"
#include "vmm/skip.h"

static bool exit_external_interrupt(struct vcpu *v)
{
    (void)v;
    irq_dispatch(INTR_INFO_VECTOR(vmread(EXIT_INTERRUPTION_INFO)));
    return false;
}

/* The slow path looks at whatever has come due. */
static bool exit_look(struct vcpu *v)
{
    (void)v;
    return false;
}

static bool exit_triple_fault(struct vcpu *v)
{
    vm_crash(v, "triple fault");
    return false;
}

static void put_cpuid(struct vcpu *v, const struct cpuid_leaf *r)
{
    v->gpr[REG_RAX] = r->eax;
    v->gpr[REG_RBX] = r->ebx;
    v->gpr[REG_RCX] = r->ecx;
    v->gpr[REG_RDX] = r->edx;
}

COLD static bool exit_cpuid_computed(struct vcpu *v)
{
    struct cpuid_leaf out;
    struct cpuid_dynamic d = {
        .apic_id = lapic_id(v->lapic),
        .cr4 = vmread(GUEST_CR4),
        .xcr0 = v->cpuid->xcr0_allowed ? xgetbv(0) : 0,
        .xss = v->msrs.xss,
        .apic_enabled = lapic_base_read(v->lapic) & LAPIC_BASE_ENABLE,
    };

    guest_cpuid_query(v->cpuid, &d, (u32)v->gpr[REG_RAX], (u32)v->gpr[REG_RCX], &out);
    put_cpuid(v, &out);
    vcpu_skip_instruction(v);
    return vcpu_in_time(v);
}

HOT static bool exit_cpuid(struct vcpu *v)
{
    u32 leaf = (u32)v->gpr[REG_RAX];

    if (unlikely(leaf >= CPUID_NR_BASIC || !(v->cpuid->plain >> leaf & 1)))
        return exit_cpuid_computed(v);
    put_cpuid(v, &v->cpuid->basic[leaf]);
    skip_instruction();
    return vcpu_in_time(v);
}

static bool exit_hlt(struct vcpu *v)
{
    vcpu_skip_instruction(v);
    v->activity = VCPU_HALTED;
    return false;
}

/* Instructions that do nothing here: no guest owns a device, so its caches need no write-back. */
static bool exit_skip(struct vcpu *v)
{
    vcpu_skip_instruction(v);
    return vcpu_in_time(v);
}

/* A loop waits for another vCPU: one that waits for this CPU may be it. */
static bool exit_pause(struct vcpu *v)
{
    vcpu_skip_instruction(v);
    return !sched_give_way(v, NULL) && vcpu_in_time(v);
}

/* Instructions that this virtual CPU does not have. */
static bool exit_undefined(struct vcpu *v)
{
    vcpu_inject_exception(v, VEC_UD);
    return false;
}

static bool exit_vmx(struct vcpu *v)
{
    return v->nested ? nested_instruction(v) : exit_undefined(v);
}

static bool exit_protection(struct vcpu *v)
{
    vcpu_inject_exception_error(v, VEC_GP, 0);
    return false;
}

static bool exit_rdmsr(struct vcpu *v)
{
    u64 value;

    if (vcpu_msr_read(v, (u32)v->gpr[REG_RCX], &value))
        return exit_protection(v);
    v->gpr[REG_RAX] = (u32)value;
    v->gpr[REG_RDX] = value >> 32;
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}

static NOINLINE bool any_wrmsr(struct vcpu *v)
{
    u64 value = (v->gpr[REG_RDX] << 32) | (u32)v->gpr[REG_RAX];
    u32 msr = (u32)v->gpr[REG_RCX];
    bool is_x2apic = msr - LAPIC_MSR_FIRST <= LAPIC_MSR_LAST - LAPIC_MSR_FIRST;

    /* By the table only to say what is wrong. */
    if (!(is_x2apic && lapic_msr_write(v, msr, value) == OK) && vcpu_msr_write(v, msr, value))
        return exit_protection(v);
    skip_instruction();
    return vcpu_can_resume(v);
}

HOT static bool exit_wrmsr(struct vcpu *v)
{
    struct vcpu *notify;

    if ((u32)v->gpr[REG_RCX] != MSR_IA32_X2APIC_ICR ||
        !lapic_icr_quickly(v->lapic, (u32)v->gpr[REG_RAX], (u32)v->gpr[REG_RDX], &notify))
        return any_wrmsr(v);
    if (notify)
        vcpu_notify_quickly(notify);
    skip_instruction();
    return vcpu_can_resume(v);
}

static bool exit_misconfiguration(struct vcpu *v)
{
    vcpu_requeue_event(v, false);
    fail_dump(v, "EPT misconfiguration");
    return false;
}

/* A failed VM entry, or a reason without a handler. */
COLD static bool exit_unknown(struct vcpu *v, u32 reason)
{
    char text[80];

    if (reason & EXIT_REASON_ENTRY_FAILURE) {
        fail_vm_entry(v);
        return false;
    }
    format(text, sizeof(text), "exit that Nidus does not handle: %u, %s", EXIT_REASON_BASIC(reason),
           vmx_exit_reason_name(EXIT_REASON_BASIC(reason)));
    fail_dump(v, text);
    return false;
}

static bool (*const exits[VMX_NR_EXIT_REASONS])(struct vcpu *v) = {
    [EXIT_REASON_EXCEPTION_OR_NMI] = exit_exception,
    [EXIT_REASON_EXTERNAL_INTERRUPT] = exit_external_interrupt,
    [EXIT_REASON_TRIPLE_FAULT] = exit_triple_fault,
    [EXIT_REASON_INIT] = exit_look,
    [EXIT_REASON_INTERRUPT_WINDOW] = exit_look,
    [EXIT_REASON_NMI_WINDOW] = exit_look,
    [EXIT_REASON_TASK_SWITCH] = exit_task_switch,
    [EXIT_REASON_CPUID] = exit_cpuid,
    [EXIT_REASON_GETSEC] = exit_undefined,
    [EXIT_REASON_HLT] = exit_hlt,
    [EXIT_REASON_INVD] = exit_skip,
    [EXIT_REASON_RDPMC] = exit_protection,
    [EXIT_REASON_RSM] = exit_undefined,
    [EXIT_REASON_VMCALL] = exit_vmcall,
    [EXIT_REASON_VMCLEAR] = exit_vmx,
    [EXIT_REASON_VMLAUNCH] = exit_vmx,
    [EXIT_REASON_VMPTRLD] = exit_vmx,
    [EXIT_REASON_VMPTRST] = exit_vmx,
    [EXIT_REASON_VMREAD] = exit_vmx,
    [EXIT_REASON_VMRESUME] = nested_vmresume,
    [EXIT_REASON_VMWRITE] = exit_vmx,
    [EXIT_REASON_VMXOFF] = exit_vmx,
    [EXIT_REASON_VMXON] = exit_vmx,
    [EXIT_REASON_CR_ACCESS] = exit_cr_access,
    [EXIT_REASON_IO_INSTRUCTION] = exit_io,
    [EXIT_REASON_RDMSR] = exit_rdmsr,
    [EXIT_REASON_WRMSR] = exit_wrmsr,
    [EXIT_REASON_MWAIT] = exit_undefined,
    [EXIT_REASON_MONITOR] = exit_undefined,
    [EXIT_REASON_PAUSE] = exit_pause,
    [EXIT_REASON_APIC_ACCESS] = exit_apic_access,
    [EXIT_REASON_VIRTUALIZED_EOI] = exit_virtualized_eoi,
    [EXIT_REASON_EPT_VIOLATION] = exit_ept_violation,
    [EXIT_REASON_EPT_MISCONFIGURATION] = exit_misconfiguration,
    [EXIT_REASON_INVEPT] = exit_vmx,
    [EXIT_REASON_PREEMPTION_TIMER] = exit_look,
    [EXIT_REASON_INVVPID] = exit_vmx,
    [EXIT_REASON_WBINVD] = exit_skip,
    [EXIT_REASON_APIC_WRITE] = exit_apic_write,
    [EXIT_REASON_XSETBV] = exit_xsetbv,
    [EXIT_REASON_VMFUNC] = exit_undefined,
    [EXIT_REASON_ENCLS] = exit_undefined,
};

bool vmx_exit_handle(struct vcpu *v, u32 reason)
{
    return reason < VMX_NR_EXIT_REASONS && exits[reason] ? exits[reason](v) : exit_unknown(v, reason);
}

/* Called by entry.S with the guest's registers in v->gpr. */
HOT bool vmx_exit(struct vcpu *v)
{
    u32 reason = (u32)vmread(EXIT_REASON);

    if (unlikely(reason >= VMX_NR_EXIT_REASONS || !exits[reason]))
        return exit_unknown(v, reason);
    v->exits[reason]++;
    return exits[reason](v);
}
