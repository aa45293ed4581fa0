/* SPDX-License-Identifier: MIT */
/*
 * Exits of L2: whose they are. A table in the order of the SDM's appendix 'VMX Basic Exit Reasons'; what L1
 * has not asked for goes to the handlers that L1's own exits have, which find vmcs02 loaded.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "lib/log.h"
#include "vmm/exit.h"
#include "vmm/fail.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/ept12.h"
#include "vmm/nested/instructions.h"
#include "vmm/nested/nested.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

/* --- exits that depend on more than a control --- */

static u64 secondary12(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY ? V12(v, SECONDARY_CONTROLS) : 0;
}

/* Page faults make exits for L1 alone: by its mask and match, which the CPU has applied, also with 0 in the
 * bitmap. */
static bool wants_exception(struct vcpu *v)
{
    u32 info = (u32)vmread(EXIT_INTERRUPTION_INFO), vector = INTR_INFO_VECTOR(info);

    return INTR_INFO_TYPE(info) != INTR_TYPE_NMI && vector != VEC_MC &&
           (vector == VEC_PF || V12(v, EXCEPTION_BITMAP) >> (vector & 31) & 1);
}

static bool wants_msr(struct vcpu *v)
{
    return nested_msr_exits(v, (u32)v->gpr[REG_RCX], vmread(EXIT_REASON) == EXIT_REASON_WRMSR);
}

static bool wants_port(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION);

    return nested_port_exits(v, (u16)(q >> 16), (u32)(q & 7) + 1);
}

static bool wants_wbinvd(struct vcpu *v)
{
    return secondary12(v) & PROC2_WBINVD_EXITING;
}

/* The CPU checks the CPL before it exits, but an emulated one may leave that to Nidus. */
static bool wants_xsetbv(struct vcpu *v)
{
    (void)v;
    return !SEG_AR_DPL(vmread(GUEST_SS_ACCESS_RIGHTS));
}

static bool wants_vmcall(struct vcpu *v)
{
    return !v->nested->serves_l2 || !pv_serves_l2(v);
}

static bool wants_pause(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_PAUSE_EXITING || secondary12(v) & PROC2_PAUSE_LOOP_EXITING;
}

static bool wants_apic_write(struct vcpu *v)
{
    return !nested_ipi_written(v);
}

/* --- exits that Nidus makes something else of --- */

/* What it was asked for is done. */
static bool own_done(struct vcpu *v)
{
    return vcpu_can_resume(v);
}

static bool own_wrmsr(struct vcpu *v)
{
    u32 msr = (u32)v->gpr[REG_RCX];
    bool resume;

    if (msr == MSR_IA32_X2APIC_ICR && nested_has_own_icr(v)) {
        nested_ipi_msr(v, true);
        return own_done(v);
    }
    resume = vmx_exit_handle(v, EXIT_REASON_WRMSR);

    if (msr == MSR_IA32_TSC || msr == MSR_IA32_TSC_ADJUST)
        vmcs02_follow_tsc(v);
    return resume;
}

/* pending.c has asked for it: an instruction ends a shadow. */
static bool own_trap(struct vcpu *v)
{
    (void)v;
    vmwrite(PRIMARY_CONTROLS, vmread(PRIMARY_CONTROLS) & ~(u64)PROC_MONITOR_TRAP_FLAG);
    return false;
}

_Static_assert((WALK_PAGE_USER | WALK_PAGE_WRITE | WALK_PAGE_NX) == EPT_QUAL_ADVANCED, "they are the same");

/* In place of vmcs02's EPT violation. */
static bool reflect_other(struct vcpu *v, u32 reason, u64 qualification, gpa_t gpa2)
{
    struct nested_exit_info x = {.reason = reason,
                                 .qualification = qualification,
                                 .guest_physical = gpa2,
                                 .idt_info = (u32)vmread(IDT_VECTORING_INFO),
                                 .idt_error = (u32)vmread(IDT_VECTORING_ERROR_CODE),
                                 .instruction_length = (u32)vmread(EXIT_INSTRUCTION_LENGTH)};

    nested_exit_with(v, &x);
    return false;
}

static bool own_ept_violation(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION), reflect = 0;
    gpa_t gpa2 = vmread(GUEST_PHYSICAL_ADDRESS), gpa1;

    nested_correct_vectoring(v);
    if (!(secondary12(v) & PROC2_ENABLE_EPT))
        return exit_memory(v, gpa2);
    switch (shadow_ept_fill(v, gpa2, q, &gpa1, &reflect)) {
    case SHADOW_OK:
        vcpu_requeue_event(v, q & EPT_QUAL_UNBLOCKED_NMI);
        return vcpu_can_resume(v);
    case SHADOW_VIOLATION:
        return nested_reflect_as(v, reflect);
    case SHADOW_MISCONFIG:
        return reflect_other(v, EXIT_REASON_EPT_MISCONFIGURATION, 0, gpa2);
    case SHADOW_LOG_FULL:
        return reflect_other(v, EXIT_REASON_PML_FULL, q & EPT_QUAL_UNBLOCKED_NMI, 0);
    case SHADOW_DEVICE:
        return exit_memory(v, gpa1);
    case SHADOW_NO_MEMORY:
        break;
    }
    vm_crash(v, "no memory for the shadow page tables of L2's guest-physical 0x%lx", gpa2);
    return false;
}

int nested_physical(struct vcpu *v, gpa_t *gpa, u32 access)
{
    const u64 kind = (access & WALK_FETCH   ? EPT_EXEC
                      : access & WALK_WRITE ? EPT_WRITE
                                            : EPT_READ) |
                     (access & WALK_TABLE ? EPT12_PAGING : 0) | (access & WALK_PAGE_USER ? EPT12_USER : 0);
    struct nested_exit_info x = {.reason = EXIT_REASON_EPT_VIOLATION, .guest_physical = *gpa};
    gpa_t gpa2 = *gpa;

    if (!(secondary12(v) & PROC2_ENABLE_EPT))
        return OK;
    switch (shadow_ept_translate(v, gpa2, kind, gpa, &x.qualification)) {
    case SHADOW_MISCONFIG:
        x.reason = EXIT_REASON_EPT_MISCONFIGURATION;
        break;
    case SHADOW_LOG_FULL:
        x = (struct nested_exit_info){.reason = EXIT_REASON_PML_FULL};
        break;
    case SHADOW_VIOLATION:
        if (v->vm->nested_caps.ept_vpid & EPT_CAP_ADVANCED_EXIT_INFO)
            x.qualification |= access & EPT_QUAL_ADVANCED;
        break;
    default:
        return OK;
    }
    v->nested->due = x;
    v->nested->is_due = true;
    __atomic_fetch_or(&v->requests, REQ_KICK, __ATOMIC_RELAXED);
    return ERR_BUSY;
}

/* --- the table --- */

/* L1 has it if wants() says so or, without that, if the primary control is 1 in vmcs12; without both
 * always. */
struct route {
    bool (*wants)(struct vcpu *v);
    bool (*own)(struct vcpu *v); /* null: as if L1 had made it */
    u32 control;
    bool known;
};

#define L1            \
    {                 \
        .known = true \
    }
#define NIDUS                         \
    {                                 \
        .known = true, .wants = never \
    }
#define IF(bit)                              \
    {                                        \
        .known = true, .control = (u32)(bit) \
    }
#define IF_OWN(bit, mine)                                 \
    {                                                     \
        .known = true, .control = (u32)(bit), .own = mine \
    }
#define ASK(fn)                    \
    {                              \
        .known = true, .wants = fn \
    }
#define ASK_OWN(fn, mine)                       \
    {                                           \
        .known = true, .wants = fn, .own = mine \
    }

static bool never(struct vcpu *v)
{
    (void)v;
    return false;
}

/* clang-format off */
static const struct route routes[VMX_NR_EXIT_REASONS] = {
    [EXIT_REASON_EXCEPTION_OR_NMI] = ASK(wants_exception),
    [EXIT_REASON_EXTERNAL_INTERRUPT] = NIDUS,
    [EXIT_REASON_TRIPLE_FAULT] = L1,
    [EXIT_REASON_INIT] = NIDUS,
    [EXIT_REASON_INTERRUPT_WINDOW] = IF(PROC_INTERRUPT_WINDOW_EXITING),
    [EXIT_REASON_NMI_WINDOW] = IF(PROC_NMI_WINDOW_EXITING),
    [EXIT_REASON_TASK_SWITCH] = L1,
    [EXIT_REASON_CPUID] = L1,
    [EXIT_REASON_GETSEC] = L1,
    [EXIT_REASON_HLT] = IF(PROC_HLT_EXITING),
    [EXIT_REASON_INVD] = L1,
    [EXIT_REASON_INVLPG] = L1,
    [EXIT_REASON_RDPMC] = IF(PROC_RDPMC_EXITING),
    [EXIT_REASON_RDTSC] = L1,
    [EXIT_REASON_VMCALL] = ASK_OWN(wants_vmcall, pv_l2_vmcall),
    [EXIT_REASON_VMCLEAR] = L1,
    [EXIT_REASON_VMLAUNCH] = L1,
    [EXIT_REASON_VMPTRLD] = L1,
    [EXIT_REASON_VMPTRST] = L1,
    [EXIT_REASON_VMREAD] = ASK_OWN(nested_wants_vmread, nested_shadow_vmread),
    [EXIT_REASON_VMRESUME] = L1,
    [EXIT_REASON_VMWRITE] = ASK_OWN(nested_wants_vmwrite, nested_shadow_vmwrite),
    [EXIT_REASON_VMXOFF] = L1,
    [EXIT_REASON_VMXON] = L1,
    [EXIT_REASON_CR_ACCESS] = ASK_OWN(nested_wants_cr, nested_own_cr),
    [EXIT_REASON_MOV_DR] = L1,
    [EXIT_REASON_IO_INSTRUCTION] = ASK(wants_port),
    [EXIT_REASON_RDMSR] = ASK(wants_msr),
    [EXIT_REASON_WRMSR] = ASK_OWN(wants_msr, own_wrmsr),
    [EXIT_REASON_MWAIT] = IF(PROC_MWAIT_EXITING),
    [EXIT_REASON_MONITOR_TRAP_FLAG] = IF_OWN(PROC_MONITOR_TRAP_FLAG, own_trap),
    [EXIT_REASON_MONITOR] = IF(PROC_MONITOR_EXITING),
    [EXIT_REASON_PAUSE] = ASK(wants_pause),
    [EXIT_REASON_TPR_BELOW_THRESHOLD] = L1,
    [EXIT_REASON_APIC_ACCESS] = L1,
    [EXIT_REASON_VIRTUALIZED_EOI] = L1,
    [EXIT_REASON_GDTR_IDTR_ACCESS] = L1,
    [EXIT_REASON_LDTR_TR_ACCESS] = L1,
    [EXIT_REASON_EPT_VIOLATION] = ASK_OWN(never, own_ept_violation),
    [EXIT_REASON_EPT_MISCONFIGURATION] = NIDUS,
    [EXIT_REASON_INVEPT] = L1,
    [EXIT_REASON_RDTSCP] = L1,
    [EXIT_REASON_PREEMPTION_TIMER] = NIDUS,
    [EXIT_REASON_INVVPID] = L1,
    [EXIT_REASON_WBINVD] = ASK(wants_wbinvd),
    [EXIT_REASON_XSETBV] = ASK(wants_xsetbv),
    [EXIT_REASON_APIC_WRITE] = ASK_OWN(wants_apic_write, own_done),
    [EXIT_REASON_RDRAND] = L1,
    [EXIT_REASON_INVPCID] = L1,
    [EXIT_REASON_VMFUNC] = ASK_OWN(never, nested_vmfunc),
    [EXIT_REASON_RDSEED] = L1,
    [EXIT_REASON_XSAVES] = L1,
    [EXIT_REASON_XRSTORS] = L1,
};
/* clang-format on */

static bool wanted(struct vcpu *v, const struct route *r)
{
    if (r->wants)
        return r->wants(v);
    return !r->control || V12(v, PRIMARY_CONTROLS) & r->control;
}

/* The CPU refuses what the checks in software let through: L1 gets it as its own failure. */
COLD static bool refused(struct vcpu *v, u32 reason)
{
    struct nested_exit_info x = {.reason = reason, .qualification = vmread(EXIT_QUALIFICATION)};

    fail_report_entry(v);
    nested_sync(v);
    V12(v, EXIT_REASON) = x.reason;
    V12(v, EXIT_QUALIFICATION) = x.qualification;
    v->nested->injects = v->nested->exit_soon = v->nested->mtf = false;
    v->nested->checked = v->nested->own_event = false;
    nested_switch(v, false);
    nested_shadow(v, false);
    nested_load_host(v, vmread(GUEST_IA32_EFER), vmread(GUEST_IA32_PAT));
    return false;
}

static bool own(struct vcpu *v, const struct route *r, u32 reason)
{
    return r->own ? r->own(v) : vmx_exit_handle(v, reason);
}

/* An instruction that Nidus has carried out, or the CPU before the exit, is one that L1's monitor trap flag
 * counts. */
COLD static bool own_stepped(struct vcpu *v, const struct route *r, u32 reason)
{
    u64 rip = vmread(GUEST_RIP);
    bool resume = own(v, r, reason);

    v->nested->mtf = vmread(GUEST_RIP) != rip || reason == EXIT_REASON_APIC_WRITE;
    return resume && !v->nested->mtf;
}

void nested_prepare_routes(struct vcpu *v)
{
    u64 all = 0;

    for (u32 reason = 0; reason < 64; reason++) {
        const struct route *r = &routes[reason];

        if (r->known && !r->wants && wanted(v, r))
            all |= BIT(reason);
    }
    if (!v->nested->serves_l2)
        all |= BIT(EXIT_REASON_VMCALL);
    if (!nested_virtualizes_ipis(v))
        all |= BIT(EXIT_REASON_APIC_WRITE);
    v->nested->always_l1 = all;
    v->nested->quick_icr =
        nested_has_own_icr(v) &&
        (V12(v, PRIMARY_CONTROLS) & (PROC_USE_MSR_BITMAPS | PROC_MONITOR_TRAP_FLAG)) == PROC_USE_MSR_BITMAPS;
}

static NOINLINE HOT bool find_route(struct vcpu *v, u32 reason)
{
    const struct route *r;

    if (unlikely(reason >= VMX_NR_EXIT_REASONS || !routes[reason].known))
        return reason & EXIT_REASON_ENTRY_FAILURE ? refused(v, reason) : vmx_exit_handle(v, reason);
    v->exits[reason]++;
    if (reason == EXIT_REASON_WRMSR && v->nested->quick_icr && (u32)v->gpr[REG_RCX] == MSR_IA32_X2APIC_ICR &&
        nested_ipi_msr(v, false))
        return vcpu_can_resume(v);
    r = &routes[reason];
    if (wanted(v, r))
        return nested_reflect(v);
    return V12(v, PRIMARY_CONTROLS) & PROC_MONITOR_TRAP_FLAG ? own_stepped(v, r, reason) : own(v, r, reason);
}

HOT bool nested_l2_exit(struct vcpu *v)
{
    struct nested *n = v->nested;
    u32 reason = (u32)vmread(EXIT_REASON);

    n->injects = n->exit_soon = false;
    if (unlikely(reason >= 64 || !(n->always_l1 >> reason & 1)))
        return find_route(v, reason);
    v->exits[reason]++;
    return nested_reflect(v);
}
