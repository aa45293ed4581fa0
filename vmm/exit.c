/* SPDX-License-Identifier: MIT */
/* VM exits, by one table in the order of the SDM's appendix 'VMX Basic Exit Reasons'. */
#include "vmm/exit.h"
#include "arch/x86/asm.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmm/dev/lapic.h"
#include "vmm/fail.h"

#define HYPERCALL_UNKNOWN (~0ull)

#define HOT __attribute__((section(".text.hot")))

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

HOT static void query_cpuid(struct vcpu *v, u32 leaf, u32 subleaf, struct cpuid_leaf *out)
{
    struct cpuid_dynamic d = {
        .apic_id = lapic_id(v->lapic),
        .cr4 = vmread(GUEST_CR4),
        .xcr0 = v->cpuid->xcr0_allowed ? xgetbv(0) : 0,
        .xss = v->msrs.xss,
        .apic_enabled = lapic_base_read(v->lapic) & LAPIC_BASE_ENABLE,
    };

    guest_cpuid_query(v->cpuid, &d, leaf, subleaf, out);
}

HOT static bool exit_cpuid(struct vcpu *v)
{
    u32 leaf = (u32)v->gpr[REG_RAX];
    const struct cpuid_leaf *r;
    struct cpuid_leaf computed;

    if (leaf < CPUID_NR_BASIC && (v->cpuid->plain >> leaf & 1)) {
        r = &v->cpuid->basic[leaf];
    } else {
        query_cpuid(v, leaf, (u32)v->gpr[REG_RCX], &computed);
        r = &computed;
    }
    v->gpr[REG_RAX] = r->eax;
    v->gpr[REG_RBX] = r->ebx;
    v->gpr[REG_RCX] = r->ecx;
    v->gpr[REG_RDX] = r->edx;
    vcpu_skip_instruction(v);
    return true;
}

/* There are no hypercalls yet: every number is unknown. */
HOT static bool exit_vmcall(struct vcpu *v)
{
    v->gpr[REG_RAX] = HYPERCALL_UNKNOWN;
    vcpu_skip_instruction(v);
    return true;
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
    return true;
}

/* Instructions that this virtual CPU does not have. */
static bool exit_undefined(struct vcpu *v)
{
    vcpu_inject_exception(v, VEC_UD);
    return false;
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

static bool exit_wrmsr(struct vcpu *v)
{
    u64 value = (v->gpr[REG_RDX] << 32) | (u32)v->gpr[REG_RAX];

    if (vcpu_msr_write(v, (u32)v->gpr[REG_RCX], value))
        return exit_protection(v);
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}

static bool exit_entry_failure(struct vcpu *v)
{
    fail_vm_entry(v);
    return false;
}

static bool exit_misconfiguration(struct vcpu *v)
{
    fail_dump(v, "EPT misconfiguration");
    return false;
}

static bool exit_task_switch(struct vcpu *v)
{
    fail_dump(v, "hardware task switch: not supported");
    return false;
}

static bool exit_unknown(struct vcpu *v)
{
    char text[80];
    u32 reason = (u32)vmread(EXIT_REASON);

    format(text, sizeof(text), "exit that Nidus does not handle: %u, %s", reason & 0xffff,
           vmx_exit_reason_name(reason & 0xffff));
    fail_dump(v, text);
    return false;
}

struct exit_row {
    bool (*handle)(struct vcpu *v);
    bool vectoring; /* it can happen while an event is delivered */
};

static const struct exit_row exits[VMX_NR_EXIT_REASONS] = {
    [EXIT_REASON_EXCEPTION_OR_NMI] = {exit_exception, true},
    [EXIT_REASON_EXTERNAL_INTERRUPT] = {exit_external_interrupt, false},
    [EXIT_REASON_TRIPLE_FAULT] = {exit_triple_fault, false},
    [EXIT_REASON_INIT] = {exit_look, false},
    [EXIT_REASON_INTERRUPT_WINDOW] = {exit_look, false},
    [EXIT_REASON_NMI_WINDOW] = {exit_look, false},
    [EXIT_REASON_TASK_SWITCH] = {exit_task_switch, false},
    [EXIT_REASON_CPUID] = {exit_cpuid, false},
    [EXIT_REASON_GETSEC] = {exit_undefined, false},
    [EXIT_REASON_HLT] = {exit_hlt, false},
    [EXIT_REASON_INVD] = {exit_skip, false},
    [EXIT_REASON_RDPMC] = {exit_protection, false},
    [EXIT_REASON_RSM] = {exit_undefined, false},
    [EXIT_REASON_VMCALL] = {exit_vmcall, false},
    [EXIT_REASON_VMCLEAR] = {exit_undefined, false},
    [EXIT_REASON_VMLAUNCH] = {exit_undefined, false},
    [EXIT_REASON_VMPTRLD] = {exit_undefined, false},
    [EXIT_REASON_VMPTRST] = {exit_undefined, false},
    [EXIT_REASON_VMREAD] = {exit_undefined, false},
    [EXIT_REASON_VMRESUME] = {exit_undefined, false},
    [EXIT_REASON_VMWRITE] = {exit_undefined, false},
    [EXIT_REASON_VMXOFF] = {exit_undefined, false},
    [EXIT_REASON_VMXON] = {exit_undefined, false},
    [EXIT_REASON_CR_ACCESS] = {exit_cr_access, false},
    [EXIT_REASON_IO_INSTRUCTION] = {exit_io, false},
    [EXIT_REASON_RDMSR] = {exit_rdmsr, false},
    [EXIT_REASON_WRMSR] = {exit_wrmsr, false},
    [EXIT_REASON_MWAIT] = {exit_undefined, false},
    [EXIT_REASON_MONITOR] = {exit_undefined, false},
    [EXIT_REASON_EPT_VIOLATION] = {exit_ept_violation, true},
    [EXIT_REASON_EPT_MISCONFIGURATION] = {exit_misconfiguration, true},
    [EXIT_REASON_INVEPT] = {exit_undefined, false},
    [EXIT_REASON_PREEMPTION_TIMER] = {exit_look, false},
    [EXIT_REASON_INVVPID] = {exit_undefined, false},
    [EXIT_REASON_WBINVD] = {exit_skip, false},
    [EXIT_REASON_XSETBV] = {exit_xsetbv, false},
    [EXIT_REASON_VMFUNC] = {exit_undefined, false},
    [EXIT_REASON_ENCLS] = {exit_undefined, false},
};

/* Called by entry.S with the guest's registers in v->gpr. */
HOT bool vmx_exit(struct vcpu *v)
{
    u32 reason = (u32)vmread(EXIT_REASON);
    const struct exit_row *row = &exits[reason];

    if (unlikely(reason >= VMX_NR_EXIT_REASONS || !row->handle))
        return reason & EXIT_REASON_ENTRY_FAILURE ? exit_entry_failure(v) : exit_unknown(v);
    v->exits[reason]++;
    if (unlikely(row->vectoring))
        vcpu_requeue_event(v);
    return row->handle(v);
}
