/* SPDX-License-Identifier: MIT */
/* VM entries from L1 to L2: SDM, chapter 'VM Entries'. */
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/vmx.h"
#include "lib/log.h"
#include "vmm/entry_check.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"
#include "vmm/vmcs_dump.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

static bool read_l1(void *ctx, paddr_t address, void *to, size_t size)
{
    return guest_read(((struct vcpu *)ctx)->vm, address, to, size) == OK;
}

/* The CPU that L1 believes to run on. */
static void l1_cpu(struct vcpu *v, struct entry_env *env)
{
    *env = (struct entry_env){
        .caps = &v->vm->nested_caps,
        .physical_bits = (u8)v->cpuid->maxphyaddr,
        .linear_bits = (u8)v->cpuid->linear_bits,
        .long_mode = vmread(GUEST_IA32_EFER) & EFER_LMA,
        .efer_valid = v->cpuid->efer_allowed | EFER_LMA,
        .debugctl_valid = BIT(0) | BIT(1),
        .current_vmcs = v->nested->current,
        .read = read_l1,
        .ctx = v,
    };
}

static void trace(struct vcpu *v, const struct entry_verdict *why)
{
    char text[160];

    if (log_get_level() < LOG_DEBUG || !vcpu_may_report(v))
        return;
    entry_verdict_text(text, sizeof(text), why, &v->nested->vmcs12.image);
    log_debug("%s.%u: L1's VM entry fails: %s", v->vm->config->name, v->id, text);
}

/* A page that vmcs02 would be given must be RAM of L1's. To L1 it is as if the address were too wide. */
static bool pages_exist(struct vcpu *v)
{
    u64 proc2 = V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY ? V12(v, SECONDARY_CONTROLS) : 0;
    paddr_t pa;

    return (!(V12(v, PRIMARY_CONTROLS) & PROC_USE_TPR_SHADOW) ||
            nested_page(v, V12(v, VIRTUAL_APIC_ADDRESS), &pa)) &&
           (!(proc2 & PROC2_VIRTUALIZE_APIC_ACCESSES) || nested_page(v, V12(v, APIC_ACCESS_ADDRESS), &pa));
}

/* 'VM-Entry Failures During or After Loading Guest State' */
static bool late_failure(struct vcpu *v, u32 reason, u64 qualification)
{
    V12(v, EXIT_REASON) = reason | EXIT_REASON_ENTRY_FAILURE;
    V12(v, EXIT_QUALIFICATION) = qualification;
    nested_load_host(v);
    return false;
}

static bool early_failure(struct vcpu *v, enum vmx_instruction_error error)
{
    nested_vmfail(v, error);
    vcpu_skip_instruction(v);
    return false;
}

/* 'Activity State', 'VMX-Preemption Timer', 'Event Injection' */
static void start(struct vcpu *v)
{
    struct nested *n = v->nested;
    u32 info = (u32)V12(v, ENTRY_INTERRUPTION_INFO);
    bool injects = info & INTR_INFO_VALID;

    n->mtf = injects && INTR_INFO_TYPE(info) == INTR_TYPE_OTHER_EVENT;
    n->injects = injects && !n->mtf;
    if (n->injects) {
        vmwrite(ENTRY_INTERRUPTION_INFO, info);
        vmwrite(ENTRY_EXCEPTION_ERROR_CODE, V12(v, ENTRY_EXCEPTION_ERROR_CODE));
        vmwrite(ENTRY_INSTRUCTION_LENGTH, V12(v, ENTRY_INSTRUCTION_LENGTH));
    }
    v->activity = V12(v, GUEST_ACTIVITY_STATE) == ACTIVITY_HLT && !injects ? VCPU_HALTED : VCPU_ACTIVE;
    n->timer_end = ~0ull;
    if (V12(v, PIN_BASED_CONTROLS) & PIN_PREEMPTION_TIMER)
        n->timer_end = rdtsc() + (V12(v, PREEMPTION_TIMER_VALUE) << VMX_MISC_TIMER_SHIFT(vmx_caps.misc));
    n->vmcs12.launched = 1;
}

bool nested_enter(struct vcpu *v)
{
    struct entry_env env;
    struct entry_verdict why;
    struct vmcs01_state l1 = {.efer = vmread(GUEST_IA32_EFER),
                              .pat = vmread(GUEST_IA32_PAT),
                              .dr7 = vmread(GUEST_DR7),
                              .debugctl = vmread(GUEST_IA32_DEBUGCTL)};
    u32 failed;

    l1_cpu(v, &env);
    if (entry_check(&v->nested->vmcs12.image, &env, &why) != ENTRY_OK)
        trace(v, &why);
    if (why.stage == ENTRY_VMFAIL_CONTROLS || why.stage == ENTRY_VMFAIL_HOST)
        return early_failure(v, (enum vmx_instruction_error)why.stage);
    if (why.stage != ENTRY_OK && why.stage != ENTRY_MSR_LOADING)
        return late_failure(v, why.stage, why.qualification);
    if (!pages_exist(v))
        return early_failure(v, VMX_ERROR_ENTRY_CONTROLS);
    nested_switch(v, true);
    vmcs02_fill(v, &l1);
    failed = nested_load_entry_msrs(v);
    if (failed) {
        nested_switch(v, false);
        return late_failure(v, EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, failed);
    }
    start(v);
    return false;
}
