/* SPDX-License-Identifier: MIT */
/* VM exits from L2 to L1: SDM, chapter 'VM Exits'. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/irq.h"
#include "vmm/exit.h"
#include "vmm/nested/switch.h"
#include "vmm/vm.h"
#include "vmm/walk.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define AR_CODE64 0xa09b
#define AR_CODE32 0xc09b
#define AR_DATA32 0xc093
#define AR_TSS    0x8b
#define AR_NONE   0x10000
#define TSS_LIMIT 0x67

/* 'VMX Aborts' */
enum { ABORT_SAVING_MSRS = 1, ABORT_HOST_PDPTES = 2, ABORT_LOADING_MSRS = 4, ABORT_IA32E_TO_32 = 6 };

/* --- loading host state --- */

/* 'Loading Host Control Registers, Debug Registers, MSRs': bits that the exit does not change. */
#define CR0_KEPT (CR0_ET | CR0_NW | (u64)CR0_CD | BITS(63, 32) | BITS(28, 19) | BIT(17) | BITS(15, 6))

static inline bool host_is_64(const struct vmcs_image *image)
{
    return VMCS(image, PRIMARY_EXIT_CONTROLS) & EXITCTL_HOST_ADDRESS_SPACE_SIZE;
}

/* An unusable segment has a limit and a G that fit all the same, which the SDM leaves open: the lab's SYSRET
 * makes SS usable without setting them (docs/testing.md), and VM entry would refuse it. */
static u64 data_rights(u64 selector)
{
    return AR_DATA32 | (selector ? 0 : AR_NONE);
}

void nested_prepare_host(struct vcpu *v)
{
    const struct vmcs_image *image = &v->nested->vmcs12.image;
    struct nested_host *h = &v->nested->host;
    u64 exit = VMCS(image, PRIMARY_EXIT_CONTROLS), entry = vmx_features.word[VMX_WORD_ENTRY];
    u64 lm = EFER_LMA | EFER_LME, efer = exit & EXITCTL_LOAD_EFER ? VMCS(image, HOST_IA32_EFER) & ~lm : 0;
    bool is_64 = host_is_64(image);

    h->cr0 = VMCS(image, HOST_CR0) & ~CR0_KEPT;
    h->cr4 = is_64 ? VMCS(image, HOST_CR4) | CR4_PAE : VMCS(image, HOST_CR4) & ~(u64)CR4_PCIDE;
    h->real_cr4 = h->cr4 | CR4_VMXE;
    h->efer = efer | (is_64 ? lm : 0);
    h->efer_kept = exit & EXITCTL_LOAD_EFER ? 0 : ~lm;
    h->pat = exit & EXITCTL_LOAD_PAT ? VMCS(image, HOST_IA32_PAT) : 0;
    h->pat_kept = exit & EXITCTL_LOAD_PAT ? 0 : ~0ull;
    h->entry_controls = is_64 ? entry | ENTRYCTL_IA32E_MODE_GUEST : entry & ~(u64)ENTRYCTL_IA32E_MODE_GUEST;
    h->cs_rights = is_64 ? AR_CODE64 : AR_CODE32;
    h->es_rights = data_rights(VMCS(image, HOST_ES_SELECTOR));
    h->ss_rights = data_rights(VMCS(image, HOST_SS_SELECTOR));
    h->ds_rights = data_rights(VMCS(image, HOST_DS_SELECTOR));
    h->fs_rights = data_rights(VMCS(image, HOST_FS_SELECTOR));
    h->gs_rights = data_rights(VMCS(image, HOST_GS_SELECTOR));
}

#define LOAD_DATA_SEGMENT(name, rights)                                              \
    do {                                                                             \
        vmwrite_from(GUEST_##name##_SELECTOR, &VMCS(image, HOST_##name##_SELECTOR)); \
        vmwrite(GUEST_##name##_LIMIT, 0xffffffff);                                   \
        vmwrite_from(GUEST_##name##_ACCESS_RIGHTS, rights);                          \
    } while (0)

/* 'Loading Host Segment and Descriptor-Table Registers' */
static inline __attribute__((always_inline)) void load_segments(const struct vmcs_image *image,
                                                                const struct nested_host *h)
{
    vmwrite_from(GUEST_CS_SELECTOR, &VMCS(image, HOST_CS_SELECTOR));
    vmwrite(GUEST_CS_BASE, 0);
    vmwrite(GUEST_CS_LIMIT, 0xffffffff);
    vmwrite_from(GUEST_CS_ACCESS_RIGHTS, &h->cs_rights);
    LOAD_DATA_SEGMENT(ES, &h->es_rights);
    LOAD_DATA_SEGMENT(SS, &h->ss_rights);
    LOAD_DATA_SEGMENT(DS, &h->ds_rights);
    LOAD_DATA_SEGMENT(FS, &h->fs_rights);
    LOAD_DATA_SEGMENT(GS, &h->gs_rights);
    vmwrite(GUEST_ES_BASE, 0);
    vmwrite(GUEST_SS_BASE, 0);
    vmwrite(GUEST_DS_BASE, 0);
    vmwrite_from(GUEST_FS_BASE, &VMCS(image, HOST_FS_BASE));
    vmwrite_from(GUEST_GS_BASE, &VMCS(image, HOST_GS_BASE));
    vmwrite(GUEST_LDTR_SELECTOR, 0);
    vmwrite(GUEST_LDTR_ACCESS_RIGHTS, AR_NONE);
    vmwrite_from(GUEST_TR_SELECTOR, &VMCS(image, HOST_TR_SELECTOR));
    vmwrite_from(GUEST_TR_BASE, &VMCS(image, HOST_TR_BASE));
    vmwrite(GUEST_TR_LIMIT, TSS_LIMIT);
    vmwrite(GUEST_TR_ACCESS_RIGHTS, AR_TSS);
    vmwrite_from(GUEST_GDTR_BASE, &VMCS(image, HOST_GDTR_BASE));
    vmwrite(GUEST_GDTR_LIMIT, 0xffff);
    vmwrite_from(GUEST_IDTR_BASE, &VMCS(image, HOST_IDTR_BASE));
    vmwrite(GUEST_IDTR_LIMIT, 0xffff);
}

/* What L1 goes on with is not all in vmcs12: bits that the exit leaves as L2 had them. */
struct kept {
    u64 cr0, efer, pat;
    u32 blocking;
};

static inline __attribute__((always_inline)) void load_registers(const struct nested *n,
                                                                 const struct kept *l2)
{
    const struct vmcs_image *image = &n->vmcs12.image;
    const struct nested_host *h = &n->host;
    u64 cr0 = h->cr0 | (l2->cr0 & CR0_KEPT);

    vmwrite(CR0_READ_SHADOW, cr0);
    vmwrite(GUEST_CR0, (cr0 & ~(u64)(CR0_CD | CR0_NW)) | CR0_NE);
    vmwrite_from(CR4_READ_SHADOW, &h->cr4);
    vmwrite_from(GUEST_CR4, &h->real_cr4);
    vmwrite_from(GUEST_CR3, &VMCS(image, HOST_CR3));
    vmwrite(GUEST_DR7, DR7_INIT);
    vmwrite(GUEST_IA32_DEBUGCTL, 0);
    vmwrite(GUEST_IA32_EFER, h->efer | (l2->efer & h->efer_kept));
    vmwrite_from(ENTRY_CONTROLS, &h->entry_controls);
    vmwrite(GUEST_IA32_PAT, h->pat | (l2->pat & h->pat_kept));
    vmwrite_from(GUEST_IA32_SYSENTER_CS, &VMCS(image, HOST_IA32_SYSENTER_CS));
    vmwrite_from(GUEST_IA32_SYSENTER_ESP, &VMCS(image, HOST_IA32_SYSENTER_ESP));
    vmwrite_from(GUEST_IA32_SYSENTER_EIP, &VMCS(image, HOST_IA32_SYSENTER_EIP));
    load_segments(image, h);
    vmwrite_from(GUEST_RIP, &VMCS(image, HOST_RIP));
    vmwrite_from(GUEST_RSP, &VMCS(image, HOST_RSP));
    vmwrite(GUEST_RFLAGS, RFLAGS_FIXED);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, l2->blocking);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
}

/* 'Checking and Loading Host Page-Directory-Pointer-Table Entries' */
static bool load_pdptes(struct vcpu *v)
{
    u64 pdpte[4];

    if (guest_read(v->vm, V12(v, HOST_CR3) & 0xffffffe0, pdpte, sizeof(pdpte)) ||
        !walk_pdptes_good(pdpte, v->cpuid->maxphyaddr))
        return false;
    for (u32 i = 0; i < 4; i++)
        vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
    return true;
}

/* SDM, 'Invalidation of Cached Translations': without a VPID every entry and exit drops them. */
static inline void flush_l1(struct vcpu *v)
{
    if (!v->nested->vpid12 && vmx_has(&vmx_features, VF_VPID))
        invvpid_single(vcpu_vpid(v, 0));
}

static void load_host_from(struct vcpu *v, const struct kept *l2)
{
    const struct vmcs_image *image = &v->nested->vmcs12.image;

    /* An unrestricted L2 can have entered IA-32e mode by itself. */
    if (unlikely(l2->efer & EFER_LMA && !host_is_64(image))) {
        nested_abort(v, ABORT_IA32E_TO_32);
        return;
    }
    load_registers(v->nested, l2);
    v->activity = VCPU_ACTIVE;
    flush_l1(v);
    if (unlikely(!host_is_64(image) && VMCS(image, HOST_CR4) & CR4_PAE && !load_pdptes(v)))
        nested_abort(v, ABORT_HOST_PDPTES);
    else if (unlikely(VMCS(image, EXIT_MSR_LOAD_COUNT) && !nested_load_exit_msrs(v)))
        nested_abort(v, ABORT_LOADING_MSRS);
}

/* 'VM-Entry Failures During or After Loading Guest State': blocking by NMI is as before the entry, and an
 * entry does not change the bits of CR0 that an exit keeps. */
void nested_load_host(struct vcpu *v, u64 efer, u64 pat)
{
    struct kept l1 = {.cr0 = vmread(CR0_READ_SHADOW),
                      .efer = efer,
                      .pat = pat,
                      .blocking = (u32)vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_NMI};

    nested_prepare_host(v);
    load_host_from(v, &l1);
}

void nested_abort(struct vcpu *v, u32 indicator)
{
    gpa_t at = v->nested->current + offsetof(struct vmcs12, abort);

    guest_write(v->vm, at, &indicator, sizeof(indicator));
    vm_crash(v, "VMX abort %u of its own hypervisor's VM exit", indicator);
}

/* --- the exit --- */

static void save_timer(struct vcpu *v)
{
    struct nested *n = v->nested;
    u64 now = rdtsc();

    if (n->timer_end == ~0ull)
        return;
    if (V12(v, PRIMARY_EXIT_CONTROLS) & EXITCTL_SAVE_PREEMPTION_TIMER)
        V12(v, PREEMPTION_TIMER_VALUE) =
            n->timer_end > now ? (n->timer_end - now) >> VMX_MISC_TIMER_SHIFT(vmx_caps.misc) : 0;
    n->timer_end = ~0ull;
}

/* 'Updating Non-Register State': NMIs. */
static u32 nmi_blocking(struct vcpu *v, const struct nested_exit_info *x)
{
    if (x->reason == EXIT_REASON_EXCEPTION_OR_NMI && INTR_INFO_TYPE(x->interruption_info) == INTR_TYPE_NMI)
        return INTERRUPTIBILITY_NMI;
    if (V12(v, PIN_BASED_CONTROLS) & PIN_VIRTUAL_NMIS)
        return 0;
    return (u32)V12(v, GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_NMI;
}

/* An event whose delivery was interrupted, and which Nidus has not given to the CPU again, is L1's to see. */
static void save_event(struct vcpu *v, u32 idt_info, u32 idt_error)
{
    struct events_entry again = {0};

    events_surrender(&v->events, &again);
    V12(v, IDT_VECTORING_INFO) = again.info ? again.info : idt_info;
    V12(v, IDT_VECTORING_ERROR_CODE) = again.info ? again.error_code : idt_error;
    if (again.length)
        V12(v, EXIT_INSTRUCTION_LENGTH) = again.length;
}

static void save_information(struct vcpu *v, const struct nested_exit_info *x)
{
    V12(v, EXIT_REASON) = x->reason;
    V12(v, EXIT_QUALIFICATION) = x->qualification;
    V12(v, EXIT_INTERRUPTION_INFO) = x->interruption_info;
    V12(v, EXIT_INTERRUPTION_ERROR_CODE) = x->interruption_error;
    V12(v, GUEST_PHYSICAL_ADDRESS) = x->guest_physical;
    V12(v, GUEST_LINEAR_ADDRESS) = x->guest_linear;
    V12(v, EXIT_INSTRUCTION_LENGTH) = x->instruction_length;
    V12(v, EXIT_INSTRUCTION_INFO) = x->instruction_info;
    save_event(v, x->idt_info, x->idt_error);
    V12(v, ENTRY_INTERRUPTION_INFO) &= ~INTR_INFO_VALID;
    nested_publish(v);
}

static bool is_plain(struct vcpu *v)
{
    return nested_can_shadow() && host_is_64(&v->nested->vmcs12.image) && !V12(v, EXIT_MSR_STORE_COUNT) &&
           !V12(v, EXIT_MSR_LOAD_COUNT);
}

void nested_exit_with(struct vcpu *v, const struct nested_exit_info *x)
{
    struct kept l2;
    bool stored;

    v->nested->exit_tsc = rdtsc();
    vmcs02_save(v);
    save_timer(v);
    save_information(v, x);
    stored = nested_store_exit_msrs(v);
    l2 = (struct kept){.cr0 = V12(v, GUEST_CR0),
                       .efer = vmread(GUEST_IA32_EFER),
                       .pat = vmread(GUEST_IA32_PAT),
                       .blocking = nmi_blocking(v, x)};
    v->nested->injects = v->nested->exit_soon = v->nested->mtf = false;
    v->nested->plain_exit = is_plain(v);
    nested_switch(v, false);
    nested_shadow(v, true);
    if (stored)
        load_host_from(v, &l2);
    else
        nested_abort(v, ABORT_SAVING_MSRS);
}

/* With everything that vmcs02 says of the exit. */
static bool reflect_whole(struct vcpu *v, u64 qualification)
{
    struct nested_exit_info x = {
        .reason = (u32)vmread(EXIT_REASON),
        .qualification = qualification,
        .interruption_info = (u32)vmread(EXIT_INTERRUPTION_INFO),
        .interruption_error = (u32)vmread(EXIT_INTERRUPTION_ERROR_CODE),
        .idt_info = (u32)vmread(IDT_VECTORING_INFO),
        .idt_error = (u32)vmread(IDT_VECTORING_ERROR_CODE),
        .guest_physical = vmread(GUEST_PHYSICAL_ADDRESS),
        .guest_linear = vmread(GUEST_LINEAR_ADDRESS),
        .instruction_length = (u32)vmread(EXIT_INSTRUCTION_LENGTH),
        .instruction_info = (u32)vmread(EXIT_INSTRUCTION_INFO),
    };

    nested_exit_with(v, &x);
    return false;
}

/* Of CR0, the bits of CR0_KEPT that can be 1. */
static inline u64 kept_cr0(const struct vmcs_image *image)
{
    u64 mask12 = VMCS(image, CR0_GUEST_HOST_MASK);

    return (((VMCS(image, GUEST_CR0) & mask12) | (vmread(CR0_READ_SHADOW) & ~mask12)) & (CR0_CD | CR0_NW)) |
           CR0_ET;
}

/* Of the state, what the next entry is compared with; all else stays in vmcs02. */
static inline __attribute__((always_inline)) void keep(struct nested *n, struct kept *l2)
{
    struct vmcs_image *image = &n->vmcs12.image;
    u64 blocking = vmread(GUEST_INTERRUPTIBILITY_STATE);
    bool virtual_nmis = VMCS(image, PIN_BASED_CONTROLS) & PIN_VIRTUAL_NMIS;

    VMCS(image, GUEST_RFLAGS) = vmread(GUEST_RFLAGS);
    VMCS(image, GUEST_INTERRUPTIBILITY_STATE) = blocking;
    VMCS(image, GUEST_ACTIVITY_STATE) = ACTIVITY_ACTIVE; /* while a halt is waited for the CPU has no exit */
    VMCS(image, ENTRY_INTERRUPTION_INFO) &= ~INTR_INFO_VALID;
    l2->cr0 = kept_cr0(image);
    l2->efer = vmread(GUEST_IA32_EFER);
    l2->pat = vmread(GUEST_IA32_PAT);
    l2->blocking = virtual_nmis ? 0 : (u32)blocking & INTERRUPTIBILITY_NMI;
    n->synced = false;
}

/* What L1 lets L2 take without an exit, L2 has not taken: L1 may. vmcs01's windows do not know of it. */
static inline bool waits_for_l1(const struct vcpu *v)
{
    return v->events.nmi_pending ||
           (v->irq_window && !(V12(v, PIN_BASED_CONTROLS) & PIN_EXTERNAL_INTERRUPT_EXITING));
}

/* With MSR areas, a 32-bit L1, behind an event of Nidus's, or on a CPU without VMCS shadowing. */
COLD static bool reflect_slowly(struct vcpu *v)
{
    bool waits = waits_for_l1(v);
    struct kept l2;

    if (v->events.due || V12(v, EXIT_MSR_STORE_COUNT) || v->nested->own_event)
        return reflect_whole(v, vmread(EXIT_QUALIFICATION));
    keep(v->nested, &l2);
    V12(v, GUEST_RIP) = vmread(GUEST_RIP);
    save_timer(v);
    nested_switch(v, false);
    nested_shadow(v, true);
    load_host_from(v, &l2);
    return !waits && vcpu_continue(v);
}

void nested_prepare_exit(struct vcpu *v)
{
    nested_prepare_host(v);
    v->nested->own_event = false;
    v->nested->plain_exit = is_plain(v);
}

HOT bool nested_reflect(struct vcpu *v)
{
    struct nested *n = v->nested;
    struct kept l2;
    bool waits;

    if (unlikely(!n->plain_exit || v->events.due || !nested_both_here(v)))
        return reflect_slowly(v);
    waits = waits_for_l1(v);
    keep(n, &l2);
    if (unlikely(n->timer_end != ~0ull))
        save_timer(v);
    nested_switch_at_once(v, false);
    if (unlikely(!n->shadowing))
        nested_shadow(v, true);
    load_registers(n, &l2);
    flush_l1(v);
    return likely(!waits) && vcpu_continue(v);
}

bool nested_reflect_as(struct vcpu *v, u64 qualification)
{
    return reflect_whole(v, qualification);
}
