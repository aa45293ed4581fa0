/* SPDX-License-Identifier: MIT */
/* L2 for tests of its exits to L1: exit12.c, sync.c and vmcs02.c on two VMCSs, and what lies below them. */
#ifndef TESTS_UNIT_NESTED_EXIT_H
#define TESTS_UNIT_NESTED_EXIT_H

#include "tests/unit/nested_l2.h"

static u32 flushed;

static inline void invvpid_single(u16 vpid)
{
    flushed = vpid;
}

#include "vmm/nested/exit12.c"
#include "vmm/nested/sync.c"
#include "vmm/nested/vmcs02.c"

/* --- what lies below --- */

#define CURRENT 0x3000ull
#define PDPT    0x5020ull

struct frame_owner pool_owner;
static u8 bitmaps[4][PAGE_SIZE];
static u32 nr_bitmaps, abort_indicator, crashes, quick_written, continued;
static bool store_fails, load_fails, pdpt_missing;
static u64 pdptes[4];

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    assert_ptr_equal(owner, &pool_owner);
    assert_int_equal(pages, 1);
    return bitmaps[nr_bitmaps++];
}

void nested_switch(struct vcpu *v, bool l2)
{
    bool window = v->irq_window;

    assert_int_equal(l2, !v->nested->in_l2);
    v->irq_window = v->nested->other.irq_window;
    v->nested->other.irq_window = window;
    v->vmcs = l2 ? region02 : region01;
    v->nested->other.region = l2 ? region01 : region02;
    in_l2(l2);
}

bool nested_store_exit_msrs(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    return !store_fails;
}

bool nested_load_exit_msrs(struct vcpu *v)
{
    assert_false(v->nested->in_l2);
    return !load_fails;
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa, CURRENT + 4);
    assert_int_equal(n, 4);
    memcpy(&abort_indicator, from, 4);
    return OK;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa, PDPT);
    memcpy(to, pdptes, n);
    return pdpt_missing ? ERR_RANGE : OK;
}

void(vm_crash)(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    assert_non_null(fmt);
    crashes++;
}

bool vcpu_continue(struct vcpu *v)
{
    assert_false(v->nested->in_l2);
    continued++;
    return true;
}

void nested_quick_written(struct nested *n, u32 index)
{
    (void)n;
    quick_written = index;
}

u64 vmcs_cr0_mask(struct vcpu *v)
{
    (void)v;
    return ~(u64)(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM | CR0_PG);
}

u64 vmcs_cr4_mask(struct vcpu *v)
{
    (void)v;
    return CR4_VMXE;
}

u64 vmcs_secondary_controls(struct vcpu *v)
{
    (void)v;
    return 0;
}

void apicv_stop_access_page(struct vm *of)
{
    of->access_page_used = false;
}

u64 shadow_ept_use(struct vcpu *v, u64 eptp12)
{
    (void)v;
    return eptp12;
}

void shadow_ept_invalidate(struct vcpu *v, u64 eptp12_now)
{
    (void)v, (void)eptp12_now;
}

void shadow_ept_invalidate_all(struct vcpu *v)
{
    (void)v;
}

bool nested_page(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    (void)v;
    *pa = gpa1;
    return true;
}

bool nested_page_or_none(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    return nested_page(v, gpa1, pa);
}

void nested_merge_msr_bitmap(struct vcpu *v)
{
    (void)v;
}

void nested_merge_again(struct vcpu *v)
{
    nested_merge_msr_bitmap(v);
}

/* delivery: the CPU has virtual-interrupt delivery. */
static inline void can_shadow_with(bool on, bool delivery)
{
    read_bitmap = write_bitmap = NULL;
    nested_shadows = false;
    nr_bitmaps = 0;
    vmx_features.granted = BIT(VF_VPID) | BIT(VF_PAT) | (on ? BIT(VF_VMCS_SHADOWING) : 0) |
                           (delivery ? BIT(VF_VIRTUAL_INTERRUPT_DELIVERY) : 0);
    vmx_caps.misc |= VMX_MISC_VMWRITE_ANY;
    assert_int_equal(nested_shadow_init(), OK);
    assert_int_equal(nested_can_shadow(), on);
}

static inline void can_shadow(bool on)
{
    can_shadow_with(on, true);
}

/* A 64-bit L2 that was entered from a 64-bit L1 just now. */
static inline void start(void)
{
    start_l2();
    can_shadow(false);
    vmx_features.word[VMX_WORD_ENTRY] = ENTRYCTL_DEFAULT1;
    nested.current = CURRENT;
    nested.synced = nested.checked = true;
    nested.vpid12 = 1;
    vm.vpid_base = 0x40;
    abort_indicator = crashes = flushed = continued = 0;
    quick_written = ~0u;
    store_fails = load_fails = pdpt_missing = false;
    memset(pdptes, 0, sizeof(pdptes));
    L1_SAYS(PRIMARY_EXIT_CONTROLS) = EXITCTL_DEFAULT1 | EXITCTL_HOST_ADDRESS_SPACE_SIZE;
    L1_SAYS(GUEST_CR0) = vmcs02[GUEST_CR0] = vmcs02[CR0_READ_SHADOW] = CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG;
    L1_SAYS(GUEST_CR4) = vmcs02[GUEST_CR4] = vmcs02[CR4_READ_SHADOW] = CR4_PAE | CR4_VMXE;
    vmcs02[CR0_GUEST_HOST_MASK] = vmcs_cr0_mask(&vcpu);
    vmcs02[CR4_GUEST_HOST_MASK] = vmcs_cr4_mask(&vcpu);
    L1_SAYS(ENTRY_CONTROLS) = vmcs02[ENTRY_CONTROLS] = ENTRYCTL_DEFAULT1 | ENTRYCTL_IA32E_MODE_GUEST;
    vmcs02[GUEST_IA32_EFER] = L1_SAYS(GUEST_IA32_EFER) = EFER_LMA | EFER_LME | EFER_SCE;
    vmcs02[GUEST_IA32_PAT] = L1_SAYS(GUEST_IA32_PAT) = 0x606;
    L1_SAYS(HOST_CR0) = CR0_PE | CR0_ET | CR0_NE | CR0_WP | (u64)CR0_PG;
    L1_SAYS(HOST_CR4) = CR4_PAE | CR4_VMXE | CR4_PCIDE;
    L1_SAYS(HOST_CR3) = PDPT | 0x1f;
    L1_SAYS(HOST_CS_SELECTOR) = 0x10;
    L1_SAYS(HOST_TR_SELECTOR) = 0x40;
}

/* From a 32-bit L2 to a 32-bit L1. */
static inline void start_32(void)
{
    start();
    L1_SAYS(PRIMARY_EXIT_CONTROLS) &= ~(u64)EXITCTL_HOST_ADDRESS_SPACE_SIZE;
    vmcs02[ENTRY_CONTROLS] = L1_SAYS(ENTRY_CONTROLS) = ENTRYCTL_DEFAULT1;
    vmcs02[GUEST_IA32_EFER] = L1_SAYS(GUEST_IA32_EFER) = EFER_SCE;
    L1_SAYS(HOST_CR4) = CR4_VMXE;
}

static const struct nested_exit_info cpuid_exit = {.reason = EXIT_REASON_CPUID, .instruction_length = 2};

static inline void leave(void)
{
    nested_prepare_exit(&vcpu);
    nested_exit_with(&vcpu, &cpuid_exit);
    assert_false(nested.in_l2);
}

/* The CPU's own. */
static inline bool reflect_now(void)
{
    nested_prepare_exit(&vcpu);
    return nested_reflect(&vcpu);
}

#endif
