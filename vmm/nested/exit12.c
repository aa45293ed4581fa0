/* SPDX-License-Identifier: MIT */
/* VM exits from L2 to L1: SDM, chapter 'VM Exits'. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/irq.h"
#include "vmm/exit.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define AR_CODE64 0xa09b
#define AR_CODE32 0xc09b
#define AR_DATA32 0xc093
#define AR_TSS    0x8b
#define AR_NONE   0x10000
#define TSS_LIMIT 0x67

/* 'VMX Aborts' */
enum { ABORT_SAVING_MSRS = 1, ABORT_HOST_PDPTES = 2, ABORT_LOADING_MSRS = 4 };

/* --- loading host state --- */

/* 'Loading Host Control Registers, Debug Registers, MSRs': bits that the exit does not change. */
#define CR0_KEPT (CR0_ET | CR0_NW | (u64)CR0_CD | BITS(63, 32) | BITS(28, 19) | BIT(17) | BITS(15, 6))

static bool host_is_64(struct vcpu *v)
{
    return V12(v, PRIMARY_EXIT_CONTROLS) & EXITCTL_HOST_ADDRESS_SPACE_SIZE;
}

static void load_control_registers(struct vcpu *v, u64 cr0_now)
{
    u64 cr0 = (V12(v, HOST_CR0) & ~CR0_KEPT) | (cr0_now & CR0_KEPT), cr4 = V12(v, HOST_CR4);

    cr4 = host_is_64(v) ? cr4 | CR4_PAE : cr4 & ~(u64)CR4_PCIDE;
    vmwrite(CR0_READ_SHADOW, cr0);
    vmwrite(GUEST_CR0, (cr0 & ~(u64)(CR0_CD | CR0_NW)) | CR0_NE);
    vmwrite(CR4_READ_SHADOW, cr4);
    vmwrite(GUEST_CR4, cr4 | CR4_VMXE);
    vmwrite(GUEST_CR3, V12(v, HOST_CR3));
    vmwrite(GUEST_DR7, DR7_INIT);
    vmwrite(GUEST_IA32_DEBUGCTL, 0);
}

static void load_efer(struct vcpu *v, u64 l2)
{
    u64 efer = V12(v, PRIMARY_EXIT_CONTROLS) & EXITCTL_LOAD_EFER ? V12(v, HOST_IA32_EFER) : l2;
    u64 mode = ENTRYCTL_IA32E_MODE_GUEST, entry = vmx_features.word[VMX_WORD_ENTRY];

    efer = host_is_64(v) ? efer | EFER_LMA | EFER_LME : efer & ~(u64)(EFER_LMA | EFER_LME);
    vmwrite(GUEST_IA32_EFER, efer);
    vmwrite(ENTRY_CONTROLS, host_is_64(v) ? entry | mode : entry & ~mode);
}

/* selector: 0 makes it unusable. */
static void load_data_segment(u32 seg, u64 selector, u64 base)
{
    vmwrite(GUEST_ES_SELECTOR + 2 * seg, selector);
    vmwrite(GUEST_ES_BASE + 2 * seg, base);
    vmwrite(GUEST_ES_LIMIT + 2 * seg, 0xffffffff);
    vmwrite(GUEST_ES_ACCESS_RIGHTS + 2 * seg, selector ? AR_DATA32 : AR_NONE);
}

/* 'Loading Host Segment and Descriptor-Table Registers' */
static void load_segments(struct vcpu *v)
{
    vmwrite(GUEST_CS_SELECTOR, V12(v, HOST_CS_SELECTOR));
    vmwrite(GUEST_CS_BASE, 0);
    vmwrite(GUEST_CS_LIMIT, 0xffffffff);
    vmwrite(GUEST_CS_ACCESS_RIGHTS, host_is_64(v) ? AR_CODE64 : AR_CODE32);
    load_data_segment(SEG_ES, V12(v, HOST_ES_SELECTOR), 0);
    load_data_segment(SEG_SS, V12(v, HOST_SS_SELECTOR), 0);
    load_data_segment(SEG_DS, V12(v, HOST_DS_SELECTOR), 0);
    load_data_segment(SEG_FS, V12(v, HOST_FS_SELECTOR), V12(v, HOST_FS_BASE));
    load_data_segment(SEG_GS, V12(v, HOST_GS_SELECTOR), V12(v, HOST_GS_BASE));
    vmwrite(GUEST_LDTR_SELECTOR, 0);
    vmwrite(GUEST_LDTR_ACCESS_RIGHTS, AR_NONE);
    vmwrite(GUEST_TR_SELECTOR, V12(v, HOST_TR_SELECTOR));
    vmwrite(GUEST_TR_BASE, V12(v, HOST_TR_BASE));
    vmwrite(GUEST_TR_LIMIT, TSS_LIMIT);
    vmwrite(GUEST_TR_ACCESS_RIGHTS, AR_TSS);
    vmwrite(GUEST_GDTR_BASE, V12(v, HOST_GDTR_BASE));
    vmwrite(GUEST_GDTR_LIMIT, 0xffff);
    vmwrite(GUEST_IDTR_BASE, V12(v, HOST_IDTR_BASE));
    vmwrite(GUEST_IDTR_LIMIT, 0xffff);
}

/* 'Checking and Loading Host Page-Directory-Pointer-Table Entries' */
static bool load_pdptes(struct vcpu *v)
{
    const u64 reserved = BITS(63, v->cpuid->maxphyaddr) | BITS(8, 5) | BITS(2, 1);
    u64 pdpte[4];

    if (host_is_64(v) || !(V12(v, HOST_CR4) & CR4_PAE))
        return true;
    if (guest_read(v->vm, V12(v, HOST_CR3) & 0xffffffe0, pdpte, sizeof(pdpte)))
        return false;
    for (u32 i = 0; i < 4; i++) {
        if (pdpte[i] & PTE_P && pdpte[i] & reserved)
            return false;
        vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
    }
    return true;
}

/* What L1 goes on with is not in vmcs12: registers that the exit leaves as L2 had them. */
struct kept {
    u64 cr0, efer, pat;
    u32 blocking;
};

static void load_host_from(struct vcpu *v, const struct kept *l2)
{
    load_control_registers(v, l2->cr0);
    load_efer(v, l2->efer);
    vmwrite(GUEST_IA32_PAT,
            V12(v, PRIMARY_EXIT_CONTROLS) & EXITCTL_LOAD_PAT ? V12(v, HOST_IA32_PAT) : l2->pat);
    vmwrite(GUEST_IA32_SYSENTER_CS, V12(v, HOST_IA32_SYSENTER_CS));
    vmwrite(GUEST_IA32_SYSENTER_ESP, V12(v, HOST_IA32_SYSENTER_ESP));
    vmwrite(GUEST_IA32_SYSENTER_EIP, V12(v, HOST_IA32_SYSENTER_EIP));
    load_segments(v);
    vmwrite(GUEST_RIP, V12(v, HOST_RIP));
    vmwrite(GUEST_RSP, V12(v, HOST_RSP));
    vmwrite(GUEST_RFLAGS, RFLAGS_FIXED);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, l2->blocking);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    v->activity = VCPU_ACTIVE;
    if (vmx_has(&vmx_features, VF_VPID) && !v->nested->vpid12)
        invvpid_single(vcpu_vpid(v, false));
    if (!load_pdptes(v))
        nested_abort(v, ABORT_HOST_PDPTES);
    else if (!nested_load_exit_msrs(v))
        nested_abort(v, ABORT_LOADING_MSRS);
}

void nested_load_host(struct vcpu *v)
{
    struct kept l1 = {.cr0 = vmread(CR0_READ_SHADOW),
                      .efer = vmread(GUEST_IA32_EFER),
                      .pat = vmread(GUEST_IA32_PAT),
                      .blocking = (u32)vmread(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_NMI};

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

void nested_exit_with(struct vcpu *v, const struct nested_exit_info *x)
{
    struct kept l2;
    bool stored;

    vmcs02_save(v);
    save_timer(v);
    save_information(v, x);
    stored = nested_store_exit_msrs(v);
    l2 = (struct kept){.cr0 = V12(v, GUEST_CR0),
                       .efer = vmread(GUEST_IA32_EFER),
                       .pat = vmread(GUEST_IA32_PAT),
                       .blocking = nmi_blocking(v, x)};
    v->nested->injects = v->nested->exit_soon = v->nested->mtf = false;
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

/* Of the state, what the next entry is compared with; all else stays in vmcs02. */
static void keep(struct vcpu *v, struct kept *l2)
{
    u64 blocking = vmread(GUEST_INTERRUPTIBILITY_STATE);
    bool virtual_nmis = V12(v, PIN_BASED_CONTROLS) & PIN_VIRTUAL_NMIS;

    V12(v, GUEST_RIP) = vmread(GUEST_RIP);
    V12(v, GUEST_RFLAGS) = vmread(GUEST_RFLAGS);
    V12(v, GUEST_INTERRUPTIBILITY_STATE) = blocking;
    V12(v, GUEST_ACTIVITY_STATE) = v->activity == VCPU_HALTED ? ACTIVITY_HLT : ACTIVITY_ACTIVE;
    V12(v, ENTRY_INTERRUPTION_INFO) &= ~INTR_INFO_VALID;
    *l2 = (struct kept){.cr0 = vmcs02_cr0(v),
                        .efer = vmread(GUEST_IA32_EFER),
                        .pat = vmread(GUEST_IA32_PAT),
                        .blocking = virtual_nmis ? 0 : (u32)blocking & INTERRUPTIBILITY_NMI};
}

bool nested_reflect(struct vcpu *v)
{
    struct kept l2;

    if (unlikely(v->events.due || V12(v, EXIT_MSR_STORE_COUNT)))
        return reflect_whole(v, vmread(EXIT_QUALIFICATION));
    keep(v, &l2);
    save_timer(v);
    v->nested->synced = false;
    nested_switch(v, false);
    nested_shadow(v, true);
    load_host_from(v, &l2);
    return vcpu_continue(v);
}

bool nested_reflect_as(struct vcpu *v, u64 qualification)
{
    return reflect_whole(v, qualification);
}
