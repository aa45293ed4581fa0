/* SPDX-License-Identifier: MIT */
/* VM entries from L1 to L2: SDM, chapter 'VM Entries'. */
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/vmx.h"
#include "lib/log.h"
#include "vmm/entry_check.h"
#include "vmm/exit.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/instructions.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/nested/switch.h"
#include "vmm/observe.h"
#include "vmm/vm.h"
#include "vmm/vmcs_dump.h"

#define DEBUGCTL_VALID (BIT(0) | BIT(1)) /* LBR, BTF */

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

static u64 secondary12(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY ? V12(v, SECONDARY_CONTROLS) : 0;
}

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
        .debugctl_valid = DEBUGCTL_VALID,
        .current_vmcs = v->nested->current,
        .read = read_l1,
        .ctx = v,
    };
}

COLD static void tell(struct vcpu *v, const struct entry_verdict *why)
{
    char text[160];

    if (v->observed)
        observe_check(v, why);
    if (log_get_level() < LOG_DEBUG || !vcpu_may_report(v))
        return;
    entry_verdict_text(text, sizeof(text), why, &v->nested->vmcs12.image);
    log_debug("%s.%u: L1's VM entry fails: %s", v->vm->config->name, v->id, text);
}

/* Without memory for what stands in for pages that are no RAM it is to L1 as if the address were too wide. */
static bool pages_exist(struct vcpu *v)
{
    paddr_t pa;

    return (!(V12(v, PRIMARY_CONTROLS) & PROC_USE_TPR_SHADOW) ||
            nested_page_or_none(v, V12(v, VIRTUAL_APIC_ADDRESS), &pa)) &&
           (!(secondary12(v) & PROC2_VIRTUALIZE_APIC_ACCESSES) ||
            nested_page_or_none(v, V12(v, APIC_ACCESS_ADDRESS), &pa));
}

/* 'VM-Entry Failures During or After Loading Guest State'; now: the registers as far as the entry came. */
static bool late_failure(struct vcpu *v, u32 reason, u64 qualification, const struct vmcs01_state *now)
{
    /* vmcs02 does not have this exit. */
    nested_shadow(v, false);
    V12(v, EXIT_REASON) = reason | EXIT_REASON_ENTRY_FAILURE;
    V12(v, EXIT_QUALIFICATION) = qualification;
    nested_load_host(v, now->efer, now->pat);
    return false;
}

static bool early_failure(struct vcpu *v, enum vmx_instruction_error error)
{
    nested_vmfail(v, error);
    vcpu_skip_instruction(v);
    return false;
}

/* 'Activity State'. In wait-for-SIPI the timer does not count ('VMX-Preemption Timer'), and pending debug
 * exceptions are lost ('Delivery of Pending Debug Exceptions after VM Entry'). */
COLD static void start_inactive(struct vcpu *v)
{
    v->activity = VCPU_HALTED;
    if (V12(v, GUEST_ACTIVITY_STATE) == ACTIVITY_HLT)
        return;
    v->activity = VCPU_WAIT_SIPI;
    v->nested->timer_end = ~0ull;
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
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
    v->activity = VCPU_ACTIVE;
    n->timer_end = ~0ull;
    if (V12(v, PIN_BASED_CONTROLS) & PIN_PREEMPTION_TIMER)
        n->timer_end = rdtsc() + (V12(v, PREEMPTION_TIMER_VALUE) << VMX_MISC_TIMER_SHIFT(vmx_caps.misc));
    if (unlikely(V12(v, GUEST_ACTIVITY_STATE) != ACTIVITY_ACTIVE && !n->injects))
        start_inactive(v);
    n->vmcs12.launched = 1;
}

/* --- an entry with everything that is in vmcs12 --- */

/*
 * Whether the next entry may be a quick one, as long as L1 changes no other fields: nothing depends on L1's
 * memory, but for what every entry looks at, or on registers of L1's; and what L2 leaves in vmcs02 is what
 * vmcs12 would have it enter with. For EFER and PAT, which L1 rarely saves, the exit sees to that. Writes to
 * be logged without a VPID: flush_translations() in vmcs02.c.
 */
static bool may_be_quick(struct vcpu *v)
{
    /* Without EPT a VM entry may have to read PDPTEs. */
    bool no_pdptes = secondary12(v) & PROC2_ENABLE_EPT || V12(v, ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST;
    bool log = (secondary12(v) & (PROC2_ENABLE_PML | PROC2_ENABLE_VPID)) == PROC2_ENABLE_PML;

    return !V12(v, ENTRY_MSR_LOAD_COUNT) && no_pdptes && !log &&
           !(V12(v, PRIMARY_CONTROLS) & PROC_USE_TPR_SHADOW && V12(v, TPR_THRESHOLD)) &&
           V12(v, GUEST_ACTIVITY_STATE) == ACTIVITY_ACTIVE;
}

/* Is there anything to do for vmcs02_inherit()? */
static bool inherits(struct vcpu *v)
{
    const u64 load = ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_DEBUG_CONTROLS;
    const u64 save = EXITCTL_SAVE_EFER | EXITCTL_SAVE_PAT | EXITCTL_SAVE_DEBUG_CONTROLS;

    return (V12(v, ENTRY_CONTROLS) & load) != load || (V12(v, PRIMARY_EXIT_CONTROLS) & save) != save;
}

static inline void read_registers(struct vmcs01_state *now)
{
    *now = (struct vmcs01_state){.efer = vmread(GUEST_IA32_EFER),
                                 .pat = vmread(GUEST_IA32_PAT),
                                 .dr7 = vmread(GUEST_DR7),
                                 .debugctl = vmread(GUEST_IA32_DEBUGCTL)};
}

static bool enter_whole(struct vcpu *v)
{
    struct entry_env *env = &v->nested->cpu;
    struct entry_verdict why;
    struct vmcs01_state l1;
    u32 failed;

    read_registers(&l1);
    v->nested->checked = false;
    nested_sync(v);
    l1_cpu(v, env);
    if (!pages_exist(v))
        return early_failure(v, VMX_ERROR_ENTRY_CONTROLS);
    if (entry_check(&v->nested->vmcs12.image, env, &why) != ENTRY_OK)
        tell(v, &why);
    if (why.stage == ENTRY_VMFAIL_CONTROLS || why.stage == ENTRY_VMFAIL_HOST)
        return early_failure(v, (enum vmx_instruction_error)why.stage);
    if (why.stage != ENTRY_OK && why.stage != ENTRY_MSR_LOADING)
        return late_failure(v, why.stage, why.qualification, &l1);
    nested_switch(v, true);
    vmcs02_fill(v, &l1);
    failed = nested_load_entry_msrs(v);
    if (V12(v, ENTRY_MSR_LOAD_COUNT))
        vmcs02_follow_tsc(v);
    if (failed) {
        read_registers(&l1);
        nested_switch(v, false);
        if (v->observed)
            observe_check(v, &(struct entry_verdict){.stage = ENTRY_MSR_LOADING});
        return late_failure(v, EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, failed, &l1);
    }
    nested_prepare_exit(v);
    nested_prepare_routes(v);
    v->nested->checked = may_be_quick(v);
    v->nested->inherits = inherits(v);
    v->nested->linked = V12(v, VMCS_LINK_POINTER) != NO_VMCS;
    v->nested->quick = 0;
    start(v);
    return false;
}

/* --- a quick one --- */

/* In struct nested.quick: what L1 has written of nested_quick[] by VMWRITEs that made exits. */
#define WROTE_PLACE  BIT(0) /* RIP or RSP */
#define WROTE_EVENT  BIT(1)
#define WROTE_STATUS BIT(2) /* guest interrupt status, for which there is no check */

void nested_quick_written(struct nested *n, u32 index)
{
    if (index == VI_GUEST_INTERRUPT_STATUS)
        n->quick |= WROTE_STATUS;
    else
        n->quick |= index == VI_GUEST_RIP || index == VI_GUEST_RSP ? WROTE_PLACE : WROTE_EVENT;
}

/* L1 has written to vmcs02 itself. Which checks the changes need. */
static enum entry_part take_from_shadow(struct vcpu *v)
{
    u64 flags = vmread(GUEST_RFLAGS), blocking = vmread(GUEST_INTERRUPTIBILITY_STATE),
        info = vmread(ENTRY_INTERRUPTION_INFO);
    bool same = flags == V12(v, GUEST_RFLAGS) && blocking == V12(v, GUEST_INTERRUPTIBILITY_STATE);

    V12(v, GUEST_RIP) = vmread(GUEST_RIP);
    V12(v, ENTRY_INTERRUPTION_INFO) = info;
    if (likely(same && !(info & INTR_INFO_VALID)))
        return ENTRY_RIP;
    V12(v, GUEST_RFLAGS) = flags;
    V12(v, GUEST_INTERRUPTIBILITY_STATE) = blocking;
    V12(v, ENTRY_EXCEPTION_ERROR_CODE) = vmread(ENTRY_EXCEPTION_ERROR_CODE);
    V12(v, ENTRY_INSTRUCTION_LENGTH) = vmread(ENTRY_INSTRUCTION_LENGTH);
    return ENTRY_EVENTS;
}

/* The same where it has written to vmcs12. start() does what is injected. */
static enum entry_part take_from_vmcs12(struct vcpu *v)
{
    u32 wrote = v->nested->quick;

    v->nested->quick = 0;
    if (wrote & WROTE_PLACE) {
        vmwrite(GUEST_RIP, V12(v, GUEST_RIP));
        vmwrite(GUEST_RSP, V12(v, GUEST_RSP));
    }
    if (wrote & WROTE_STATUS)
        vmwrite(GUEST_INTERRUPT_STATUS, V12(v, GUEST_INTERRUPT_STATUS));
    if (!(wrote & WROTE_EVENT))
        return ENTRY_RIP;
    vmwrite(GUEST_RFLAGS, V12(v, GUEST_RFLAGS));
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, V12(v, GUEST_INTERRUPTIBILITY_STATE));
    return ENTRY_EVENTS;
}

/* SDM, 'Checks on Guest RIP, RFLAGS, and SSP'; L2 itself may have changed its mode. */
static inline bool rip_good(struct vcpu *v)
{
    u64 rip = V12(v, GUEST_RIP);
    u32 unused = 64 - v->nested->cpu.linear_bits;

    if (!(rip >> 32))
        return true;
    return vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L && vmread(ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST &&
           (u64)((s64)(rip << unused) >> unused) == rip;
}

static inline bool still_good(struct vcpu *v, enum entry_part part)
{
    struct entry_verdict why;

    if (likely(part == ENTRY_RIP))
        return rip_good(v);
    return entry_check_part(&v->nested->vmcs12.image, &v->nested->cpu, part, &why) == ENTRY_OK;
}

/* With vmcs01. An interrupt that L1's virtual APIC holds for it may be an exit of L2. */
static inline bool anything_waits(const struct vcpu *v)
{
    if (v->lapic->by_cpu && (u8)vmread(GUEST_INTERRUPT_STATUS))
        return true;
    return v->windows || v->events.due || v->events.nmi_pending || v->events.init;
}

/* SDM, 'Checks on Guest Non-Register State': the VMCS that the link pointer refers to is in L1's memory. */
static bool link_good(struct vcpu *v)
{
    u32 wanted = VMCS12_REVISION | (secondary12(v) & PROC2_VMCS_SHADOWING ? (u32)VMCS12_SHADOW : 0), revision;

    return V12(v, VMCS_LINK_POINTER) == NO_VMCS ||
           (!guest_read(v->vm, V12(v, VMCS_LINK_POINTER), &revision, sizeof(revision)) && revision == wanted);
}

/* What is not good after a quick look is looked at as a whole: that finds out what to say of it. */
COLD static bool enter_after_all(struct vcpu *v)
{
    nested_switch(v, false);
    return enter_whole(v);
}

/* What is not checked has not changed: L2 goes on. l1 counts where vmcs12 leaves something to L1. */
static inline __attribute__((always_inline)) bool go_on(struct vcpu *v, const struct vmcs01_state *l1,
                                                        bool waits)
{
    struct nested *n = v->nested;

    if (n->inherits)
        vmcs02_inherit(v, l1);
    vmcs02_refresh(v);
    start(v);
    return !waits && !n->mtf && v->activity == VCPU_ACTIVE && vcpu_continue(v);
}

/* On a CPU without VMCS shadowing, on another CPU than before, behind an exit that left vmcs02 as it was, or
 * with a link pointer. */
COLD static bool enter_carefully(struct vcpu *v)
{
    bool waits = anything_waits(v), shadowing = v->nested->shadowing;
    struct vmcs01_state l1;

    read_registers(&l1);
    nested_switch(v, true);
    if (!still_good(v, shadowing ? take_from_shadow(v) : take_from_vmcs12(v)) || !link_good(v))
        return enter_after_all(v);
    return go_on(v, &l1, waits);
}

HOT static bool enter_quick(struct vcpu *v)
{
    struct nested *n = v->nested;
    bool waits = anything_waits(v);
    struct vmcs01_state l1;

    if (unlikely(!n->shadowing || n->linked || !nested_both_here(v)))
        return enter_carefully(v);
    if (n->inherits)
        read_registers(&l1);
    nested_switch_at_once(v, true);
    if (unlikely(!still_good(v, take_from_shadow(v))))
        return enter_after_all(v);
    return go_on(v, &l1, waits);
}

HOT bool nested_enter(struct vcpu *v)
{
    return likely(v->nested->checked) ? enter_quick(v) : enter_whole(v);
}
