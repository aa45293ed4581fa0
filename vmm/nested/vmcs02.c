/* SPDX-License-Identifier: MIT */
/*
 * vmcs02: what L2 runs with, from vmcs12 and from what Nidus itself needs. Controls that make L2 exit are the
 * union of both; the state of L2 is vmcs12's, except for bits of CR0 and CR4 that Nidus keeps for itself.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "vmm/apicv.h"
#include "vmm/nested/nested.h"
#include "vmm/vmcs_setup.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

/* State that is the same in both, in both directions. */
#define SEGMENT(name)                                                            \
    VI_GUEST_##name##_SELECTOR, VI_GUEST_##name##_BASE, VI_GUEST_##name##_LIMIT, \
        VI_GUEST_##name##_ACCESS_RIGHTS

const u16 vmcs02_same[] = {
    SEGMENT(ES),
    SEGMENT(CS),
    SEGMENT(SS),
    SEGMENT(DS),
    SEGMENT(FS),
    SEGMENT(GS),
    SEGMENT(LDTR),
    SEGMENT(TR),
    VI_GUEST_GDTR_BASE,
    VI_GUEST_GDTR_LIMIT,
    VI_GUEST_IDTR_BASE,
    VI_GUEST_IDTR_LIMIT,
    VI_GUEST_CR3,
    VI_GUEST_RSP,
    VI_GUEST_RIP,
    VI_GUEST_RFLAGS,
    VI_GUEST_IA32_SYSENTER_CS,
    VI_GUEST_IA32_SYSENTER_ESP,
    VI_GUEST_IA32_SYSENTER_EIP,
    VI_GUEST_INTERRUPTIBILITY_STATE,
    VI_GUEST_PENDING_DEBUG_EXCEPTIONS,
};

const u32 vmcs02_nr_same = ARRAY_SIZE(vmcs02_same);

/* Controls of L1's that mean the same in vmcs02, whatever Nidus wants. */
static const u16 taken_over[] = {
    VI_PAGE_FAULT_ERROR_MASK, VI_PAGE_FAULT_ERROR_MATCH, VI_CR3_TARGET_COUNT,  VI_CR3_TARGET_0,
    VI_CR3_TARGET_1,          VI_CR3_TARGET_2,           VI_CR3_TARGET_3,      VI_TPR_THRESHOLD,
    VI_TSC_MULTIPLIER,        VI_EOI_EXIT_BITMAP_0,      VI_EOI_EXIT_BITMAP_1, VI_EOI_EXIT_BITMAP_2,
    VI_EOI_EXIT_BITMAP_3,
};

static void put(u32 index, u64 value)
{
    if (vmcs_field_exists(&vmx_caps, index))
        vmwrite(vmcs_field_encoding(index), value);
}

static bool has(struct vcpu *v, enum vmcs_index word, u64 control)
{
    return v->nested->vmcs12.image.f[word] & control;
}

static u64 secondary12(struct vcpu *v)
{
    return has(v, VI_PRIMARY_CONTROLS, PROC_ACTIVATE_SECONDARY) ? V12(v, SECONDARY_CONTROLS) : 0;
}

/* --- controls --- */

/* Pin-based: interrupts and NMIs are Nidus's first, and so is the timer; what L1 wants of them is worked out
 * in software. */

static u64 primary(struct vcpu *v)
{
    const u64 never = PROC_USE_IO_BITMAPS | PROC_UNCONDITIONAL_IO_EXITING | PROC_USE_MSR_BITMAPS |
                      PROC_USE_TSC_OFFSETTING | PROC_ACTIVATE_SECONDARY | PROC_ACTIVATE_TERTIARY;
    const u64 cr8 = PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING;
    u64 own = vmx_features.word[VMX_WORD_PROC], l1 = V12(v, PRIMARY_CONTROLS);

    /* With a TPR shadow CR8 is L2's own. */
    if (l1 & PROC_USE_TPR_SHADOW)
        own &= ~cr8;
    return own | (l1 & ~never) | vmx_allowed0(&vmx_caps, VMX_WORD_PROC);
}

/* SDM, 'Changes to Instruction Behavior in VMX Non-Root Operation', RDTSC: scaling is part of offsetting. */
static bool scales_tsc(struct vcpu *v)
{
    return secondary12(v) & PROC2_USE_TSC_SCALING && has(v, VI_PRIMARY_CONTROLS, PROC_USE_TSC_OFFSETTING);
}

static u64 secondary(struct vcpu *v)
{
    /* Instructions that give #UD unless both allow them. */
    const u64 both =
        PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID | PROC2_ENABLE_XSAVES | PROC2_USER_WAIT_AND_PAUSE;
    const u64 add = PROC2_VIRTUALIZE_APIC_ACCESSES | PROC2_DESCRIPTOR_TABLE_EXITING |
                    PROC2_VIRTUALIZE_X2APIC | PROC2_WBINVD_EXITING | PROC2_PAUSE_LOOP_EXITING |
                    PROC2_RDRAND_EXITING | PROC2_RDSEED_EXITING | PROC2_ENABLE_VM_FUNCTIONS |
                    PROC2_MODE_BASED_EXECUTE | PROC2_APIC_REGISTER_VIRTUALIZATION |
                    PROC2_VIRTUAL_INTERRUPT_DELIVERY;
    u64 own = vmcs_secondary_controls(v), l1 = secondary12(v);

    return (own & ~(both & ~l1)) | (l1 & add) | (scales_tsc(v) ? PROC2_USE_TSC_SCALING : 0);
}

static u64 mul_shift_48(u64 a, u64 multiplier)
{
    return (u64)(((__int128)(s64)a * multiplier) >> 48);
}

/* SDM, 'TSC-Multiplier': what L1 sees is scaled, then L1's offset added. */
u64 vmcs02_tsc_offset(struct vcpu *v)
{
    u64 own = v->tsc_offset;

    if (scales_tsc(v))
        own = mul_shift_48(own, V12(v, TSC_MULTIPLIER));
    return has(v, VI_PRIMARY_CONTROLS, PROC_USE_TSC_OFFSETTING) ? own + V12(v, TSC_OFFSET) : own;
}

/* Whoever makes it: a loop of PAUSEs exits, to L1 if L1 wants that. */
static void fill_pause_loop(struct vcpu *v)
{
    bool l1 = secondary12(v) & PROC2_PAUSE_LOOP_EXITING;

    put(VI_PLE_GAP, l1 ? V12(v, PLE_GAP) : VMCS_PLE_GAP);
    put(VI_PLE_WINDOW, l1 ? V12(v, PLE_WINDOW) : VMCS_PLE_WINDOW);
}

void vmcs02_follow_tsc(struct vcpu *v)
{
    vmwrite(TSC_OFFSET, vmcs02_tsc_offset(v));
    v->nested->tsc_offset01 = v->tsc_offset;
    v->nested->tsc_moved = true;
}

/* Nobody gets at the APIC-access page itself: it need not be RAM, and some hypervisors name the APIC's
 * address. Then another page stands in for it, in the shadow EPT too. */
static void use_access_page(struct vcpu *v)
{
    struct nested *n = v->nested;
    u64 stand_in = 0;
    paddr_t pa;

    if (secondary12(v) & PROC2_VIRTUALIZE_APIC_ACCESSES &&
        nested_page_or_none(v, V12(v, APIC_ACCESS_ADDRESS), &pa)) {
        put(VI_APIC_ACCESS_ADDRESS, pa);
        stand_in = n->none && pa == pool_pa(n->none) ? V12(v, APIC_ACCESS_ADDRESS) | NESTED_STANDS_IN : 0;
    }
    if (stand_in != n->stand_in)
        shadow_ept_invalidate_all(v);
    n->stand_in = stand_in;
}

static void fill_pages(struct vcpu *v)
{
    paddr_t pa;

    if (has(v, VI_PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW) &&
        nested_page_or_none(v, V12(v, VIRTUAL_APIC_ADDRESS), &pa))
        put(VI_VIRTUAL_APIC_ADDRESS, pa);
    use_access_page(v);
}

static inline void use_ept(struct vcpu *v)
{
    u64 secondary = secondary12(v), mode = secondary & PROC2_MODE_BASED_EXECUTE ? SHADOW_MODE_BASED : 0;
    u64 eptp = secondary & PROC2_ENABLE_EPT ? shadow_ept_use(v, V12(v, EPT_POINTER) | mode) : v->vm->eptp;

    /* The APIC-access page would be memory to L2. */
    if (unlikely(eptp == v->vm->eptp && v->vm->access_page_used))
        apicv_stop_access_page(v->vm);
    if (eptp != v->nested->eptp02)
        vmwrite(EPT_POINTER, eptp);
    v->nested->eptp02 = eptp;
}

void vmcs02_use_ept(struct vcpu *v)
{
    use_ept(v);
}

/*
 * SDM, 'Operations that Invalidate Cached Mappings': without a VPID every entry and exit drops combined
 * mappings. Guest-physical ones may stay, and so may all of the shadow EPT; but CPUs then look at dirty flags
 * anew, and an L1 that clears them to have writes logged again may get by without INVEPT.
 */
static void flush_translations(struct vcpu *v, u16 vpid)
{
    if (vmx_has(&vmx_features, VF_VPID))
        invvpid_single(nested_vpid02(v));
    if (!vpid && secondary12(v) & PROC2_ENABLE_PML)
        shadow_ept_invalidate(v, V12(v, EPT_POINTER));
}

static void fill_translation(struct vcpu *v)
{
    struct nested *n = v->nested;
    u16 vpid = secondary12(v) & PROC2_ENABLE_VPID ? (u16)V12(v, VPID) : 0;

    use_ept(v);
    if (n->flush_vpid || !vpid || vpid != n->vpid12)
        flush_translations(v, vpid);
    n->vpid12 = vpid;
    n->flush_vpid = !vpid;
    n->stale_ept = false;
}

static void fill_controls(struct vcpu *v)
{
    u64 proc = primary(v);

    vmwrite(PRIMARY_CONTROLS, proc);
    v->irq_window = proc & PROC_INTERRUPT_WINDOW_EXITING;
    v->nmi_window = proc & PROC_NMI_WINDOW_EXITING;
    vmwrite(SECONDARY_CONTROLS, secondary(v));
    vmwrite(EXCEPTION_BITMAP, VMCS_EXCEPTION_BITMAP | V12(v, EXCEPTION_BITMAP));
    for (u32 i = 0; i < ARRAY_SIZE(taken_over); i++)
        put(taken_over[i], v->nested->vmcs12.image.f[taken_over[i]]);
    vmwrite(TSC_OFFSET, vmcs02_tsc_offset(v));
    v->nested->tsc_offset01 = v->tsc_offset;
    nested_merge_msr_bitmap(v);
    fill_pause_loop(v);
    fill_pages(v);
    fill_translation(v);
}

/* --- state --- */

/* Without unrestricted guest PE and PG are fixed in VMX operation: Nidus sees to that. */
static u64 cr0_own(struct vcpu *v)
{
    u64 fixed = secondary12(v) & PROC2_UNRESTRICTED_GUEST ? 0 : CR0_PE | (u64)CR0_PG;

    return vmcs_cr0_mask(v) | fixed;
}

void vmcs02_set_cr0(struct vcpu *v, u64 cr0)
{
    u64 mask12 = V12(v, CR0_GUEST_HOST_MASK);

    vmwrite(CR0_READ_SHADOW, (V12(v, CR0_READ_SHADOW) & mask12) | (cr0 & ~mask12));
    vmwrite(GUEST_CR0, (cr0 & ~(u64)(CR0_CD | CR0_NW)) | CR0_NE);
}

void vmcs02_set_cr4(struct vcpu *v, u64 cr4)
{
    u64 mask12 = V12(v, CR4_GUEST_HOST_MASK);

    vmwrite(CR4_READ_SHADOW, (V12(v, CR4_READ_SHADOW) & mask12) | (cr4 & ~mask12));
    vmwrite(GUEST_CR4, cr4 | CR4_VMXE);
}

/* The register as vmcs12 has it: bits that L1 owns cannot have changed, and those that only Nidus owns are as
 * L2 reads them. mask: vmcs02's, which has both. What Nidus owns of L1 itself is something else: L1 may run
 * again. */
static u64 value12(u64 real, u64 shadow, u64 before, u64 mask, u64 mask12)
{
    return (real & ~mask) | (before & mask12) | (shadow & mask & ~mask12);
}

u64 vmcs02_cr0(struct vcpu *v)
{
    return value12(vmread(GUEST_CR0), vmread(CR0_READ_SHADOW), V12(v, GUEST_CR0), vmread(CR0_GUEST_HOST_MASK),
                   V12(v, CR0_GUEST_HOST_MASK));
}

u64 vmcs02_cr4(struct vcpu *v)
{
    return value12(vmread(GUEST_CR4), vmread(CR4_READ_SHADOW), V12(v, GUEST_CR4), vmread(CR4_GUEST_HOST_MASK),
                   V12(v, CR4_GUEST_HOST_MASK));
}

/* SDM, 'Loading Guest Control Registers, Debug Registers, and MSRs'. An unrestricted L2 may have changed its
 * mode since vmcs12 was filled. */
static u64 efer(u64 l1)
{
    u64 mode = vmread(ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST ? EFER_LMA : 0;

    l1 = (l1 & ~(u64)EFER_LMA) | mode;
    /* LME follows LMA where paging is on. */
    return vmread(GUEST_CR0) & CR0_PG ? (l1 & ~(u64)EFER_LME) | (mode ? EFER_LME : 0) : l1;
}

static bool pae_paging(struct vcpu *v)
{
    return V12(v, GUEST_CR0) & CR0_PG && V12(v, GUEST_CR4) & CR4_PAE &&
           !has(v, VI_ENTRY_CONTROLS, ENTRYCTL_IA32E_MODE_GUEST);
}

/* vmcs02 always has EPT, so that the CPU takes them from the VMCS. */
static void fill_pdptes(struct vcpu *v)
{
    u64 pdpte[4] = {V12(v, GUEST_PDPTE0), V12(v, GUEST_PDPTE1), V12(v, GUEST_PDPTE2), V12(v, GUEST_PDPTE3)};

    if (!pae_paging(v))
        return;
    if (!(secondary12(v) & PROC2_ENABLE_EPT))
        guest_read(v->vm, V12(v, GUEST_CR3) & 0xffffffe0, pdpte, sizeof(pdpte));
    for (u32 i = 0; i < 4; i++)
        vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
}

/* Registers that L1 does not have loaded are L2's as L1 leaves them; those that it does not have saved may
 * have changed since they were loaded last. */
void vmcs02_inherit(struct vcpu *v, const struct vmcs01_state *l1)
{
    u64 load = V12(v, ENTRY_CONTROLS), save = V12(v, PRIMARY_EXIT_CONTROLS);

    if (!(load & ENTRYCTL_LOAD_EFER))
        vmwrite(GUEST_IA32_EFER, efer(l1->efer));
    else if (!(save & EXITCTL_SAVE_EFER))
        vmwrite(GUEST_IA32_EFER, V12(v, GUEST_IA32_EFER));
    if (!vmx_has(&vmx_features, VF_PAT))
        ;
    else if (!(load & ENTRYCTL_LOAD_PAT))
        vmwrite(GUEST_IA32_PAT, l1->pat);
    else if (!(save & EXITCTL_SAVE_PAT))
        vmwrite(GUEST_IA32_PAT, V12(v, GUEST_IA32_PAT));
    if (!(load & ENTRYCTL_LOAD_DEBUG_CONTROLS)) {
        vmwrite(GUEST_DR7, l1->dr7);
        vmwrite(GUEST_IA32_DEBUGCTL, l1->debugctl);
    } else if (!(save & EXITCTL_SAVE_DEBUG_CONTROLS)) {
        vmwrite(GUEST_DR7, V12(v, GUEST_DR7));
        vmwrite(GUEST_IA32_DEBUGCTL, V12(v, GUEST_IA32_DEBUGCTL));
    }
}

static void fill_state(struct vcpu *v, const struct vmcs01_state *l1)
{
    for (u32 i = 0; i < vmcs02_nr_same; i++)
        vmwrite(vmcs_field_encoding(vmcs02_same[i]), v->nested->vmcs12.image.f[vmcs02_same[i]]);
    vmwrite(CR0_GUEST_HOST_MASK, cr0_own(v) | V12(v, CR0_GUEST_HOST_MASK));
    vmwrite(CR4_GUEST_HOST_MASK, vmcs_cr4_mask(v) | V12(v, CR4_GUEST_HOST_MASK));
    vmcs02_set_cr0(v, V12(v, GUEST_CR0));
    vmcs02_set_cr4(v, V12(v, GUEST_CR4));
    vmwrite(GUEST_IA32_EFER, V12(v, GUEST_IA32_EFER));
    put(VI_GUEST_IA32_PAT, V12(v, GUEST_IA32_PAT));
    put(VI_GUEST_INTERRUPT_STATUS, V12(v, GUEST_INTERRUPT_STATUS));
    vmwrite(GUEST_DR7, V12(v, GUEST_DR7));
    vmwrite(GUEST_IA32_DEBUGCTL, V12(v, GUEST_IA32_DEBUGCTL));
    vmwrite(ENTRY_CONTROLS, (vmx_features.word[VMX_WORD_ENTRY] & ~(u64)ENTRYCTL_IA32E_MODE_GUEST) |
                                (V12(v, ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST));
    vmcs02_inherit(v, l1);
    fill_pdptes(v);
}

void vmcs02_fill(struct vcpu *v, const struct vmcs01_state *l1)
{
    fill_controls(v);
    fill_state(v, l1);
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    vmwrite(ENTRY_INTERRUPTION_INFO, 0);
    put(VI_GUEST_PML_INDEX, V12(v, GUEST_PML_INDEX)); /* for L1 to read */
    /* What L1 reads there after the exit. */
    vmwrite(ENTRY_EXCEPTION_ERROR_CODE, V12(v, ENTRY_EXCEPTION_ERROR_CODE));
    vmwrite(ENTRY_INSTRUCTION_LENGTH, V12(v, ENTRY_INSTRUCTION_LENGTH));
}

HOT void vmcs02_refresh(struct vcpu *v)
{
    if (unlikely(v->nested->tsc_offset01 != v->tsc_offset)) {
        vmwrite(TSC_OFFSET, vmcs02_tsc_offset(v));
        v->nested->tsc_offset01 = v->tsc_offset;
    }
    nested_merge_again(v);
    if (unlikely(v->nested->stale_ept)) {
        use_access_page(v);
        fill_translation(v);
    } else if (v->nested->flush_vpid) {
        v->nested->flush_vpid = !v->nested->vpid12;
        if (vmx_has(&vmx_features, VF_VPID))
            invvpid_single(nested_vpid02(v));
    }
}

/* SDM, 'Saving Guest State'. */
void vmcs02_save(struct vcpu *v)
{
    static const u8 activity[] = {[VCPU_ACTIVE] = ACTIVITY_ACTIVE,
                                  [VCPU_HALTED] = ACTIVITY_HLT,
                                  [VCPU_WAIT_SIPI] = ACTIVITY_WAIT_FOR_SIPI};
    struct vmcs_image *image = &v->nested->vmcs12.image;
    bool ia32e = vmread(ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST;
    u64 cr0 = vmcs02_cr0(v), cr4 = vmcs02_cr4(v);

    for (u32 i = 0; i < vmcs02_nr_same; i++)
        image->f[vmcs02_same[i]] = vmread(vmcs_field_encoding(vmcs02_same[i]));
    VMCS(image, GUEST_CR0) = cr0;
    VMCS(image, GUEST_CR4) = cr4;
    if (secondary12(v) & PROC2_UNRESTRICTED_GUEST || V12(v, ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST)
        VMCS(image, ENTRY_CONTROLS) = (VMCS(image, ENTRY_CONTROLS) & ~(u64)ENTRYCTL_IA32E_MODE_GUEST) |
                                      (ia32e ? ENTRYCTL_IA32E_MODE_GUEST : 0);
    if (has(v, VI_PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_EFER))
        VMCS(image, GUEST_IA32_EFER) = vmread(GUEST_IA32_EFER);
    if (has(v, VI_PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_PAT))
        VMCS(image, GUEST_IA32_PAT) = vmread(GUEST_IA32_PAT);
    if (has(v, VI_PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_DEBUG_CONTROLS)) {
        VMCS(image, GUEST_DR7) = vmread(GUEST_DR7);
        VMCS(image, GUEST_IA32_DEBUGCTL) = vmread(GUEST_IA32_DEBUGCTL);
    }
    if (vmx_has(&vmx_features, VF_VIRTUAL_INTERRUPT_DELIVERY))
        VMCS(image, GUEST_INTERRUPT_STATUS) = vmread(GUEST_INTERRUPT_STATUS);
    if (pae_paging(v) && secondary12(v) & PROC2_ENABLE_EPT)
        for (u32 i = 0; i < 4; i++)
            image->f[VI_GUEST_PDPTE0 + i] = vmread(GUEST_PDPTE0 + 2 * i);
    VMCS(image, GUEST_ACTIVITY_STATE) = activity[v->activity];
}
