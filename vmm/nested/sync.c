/* SPDX-License-Identifier: MIT */
/*
 * One VMCS is vmcs02 while L2 runs and L1's shadow VMCS while L1 runs, so that an exit to L1 copies next to
 * nothing: L1 reads what the CPU has left there. Whatever else wants to know L2's state calls nested_sync()
 * first.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/string.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"

const u16 nested_quick[NESTED_NR_QUICK] = {
    VI_GUEST_RIP,
    VI_GUEST_RSP,
    VI_GUEST_RFLAGS,
    VI_GUEST_INTERRUPTIBILITY_STATE,
    VI_ENTRY_INTERRUPTION_INFO,
    VI_ENTRY_EXCEPTION_ERROR_CODE,
    VI_ENTRY_INSTRUCTION_LENGTH,
    VI_GUEST_INTERRUPT_STATUS,
};

/* Exit information: the same in vmcs02 and vmcs12. */
static const u16 information[] = {
    VI_EXIT_REASON,
    VI_EXIT_QUALIFICATION,
    VI_EXIT_INTERRUPTION_INFO,
    VI_EXIT_INTERRUPTION_ERROR_CODE,
    VI_IDT_VECTORING_INFO,
    VI_IDT_VECTORING_ERROR_CODE,
    VI_EXIT_INSTRUCTION_LENGTH,
    VI_EXIT_INSTRUCTION_INFO,
    VI_GUEST_LINEAR_ADDRESS,
    VI_GUEST_PHYSICAL_ADDRESS,
};

static const u16 event_operands[] = {VI_ENTRY_EXCEPTION_ERROR_CODE, VI_ENTRY_INSTRUCTION_LENGTH};

bool nested_shadows;
static u8 *read_bitmap, *write_bitmap; /* of VMREAD and VMWRITE: what is 1 makes an exit */
/* For an L1 that lacks one of may_lack[]: it is to fail. */
static u8 *read_bitmap_less, *write_bitmap_less;
static const u16 may_lack[] = {VI_GUEST_PML_INDEX, VI_GUEST_INTERRUPT_STATUS};

/* Those that every CPU has; the last exists with virtual-interrupt delivery only. */
#define NR_QUICK_ALWAYS (NESTED_NR_QUICK - 1)

static u32 nr_quick(void)
{
    return vmx_has(&vmx_features, VF_VIRTUAL_INTERRUPT_DELIVERY) ? NESTED_NR_QUICK : NR_QUICK_ALWAYS;
}

bool nested_is_quick(u32 index)
{
    for (u32 i = 0; i < NESTED_NR_QUICK; i++)
        if (nested_quick[i] == index)
            return true;
    return false;
}

static void let_through(u8 *bitmap, u32 index)
{
    u32 encoding = vmcs_field_encoding(index);

    bitmap[encoding / 8] &= ~(1u << encoding % 8);
}

static bool alloc_bitmaps(void)
{
    u8 **const all[] = {&read_bitmap, &write_bitmap, &read_bitmap_less, &write_bitmap_less};

    for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
        *all[i] = pool_alloc(&pool_owner, 1);
        if (!*all[i])
            return false;
        memset(*all[i], 0xff, PAGE_SIZE);
    }
    return true;
}

COLD int nested_shadow_init(void)
{
    /* Exits that Nidus makes up write to fields that are read-only. */
    if (!vmx_has(&vmx_features, VF_VMCS_SHADOWING) || !(vmx_caps.misc & VMX_MISC_VMWRITE_ANY))
        return OK;
    if (!alloc_bitmaps())
        return ERR_NOMEM;
    nested_shadows = true;
    for (u32 i = 0; i < ARRAY_SIZE(information); i++)
        let_through(read_bitmap_less, information[i]);
    for (u32 i = 0; i < vmcs02_nr_same; i++)
        let_through(read_bitmap_less, vmcs02_same[i]);
    for (u32 i = 0; i < NR_QUICK_ALWAYS; i++) {
        let_through(read_bitmap_less, nested_quick[i]);
        let_through(write_bitmap_less, nested_quick[i]);
    }
    memcpy(read_bitmap, read_bitmap_less, PAGE_SIZE);
    memcpy(write_bitmap, write_bitmap_less, PAGE_SIZE);
    /* KVM looks at them on each exit, and writes to the second. */
    for (u32 i = 0; i < ARRAY_SIZE(may_lack); i++)
        if (vmcs_field_exists(&vmx_caps, may_lack[i]))
            let_through(read_bitmap, may_lack[i]);
    if (nr_quick() > NR_QUICK_ALWAYS)
        let_through(write_bitmap, VI_GUEST_INTERRUPT_STATUS);
    return OK;
}

static bool lacks_fields(const struct vcpu *v)
{
    for (u32 i = 0; i < ARRAY_SIZE(may_lack); i++)
        if (vmcs_field_exists(&vmx_caps, may_lack[i]) && !vmcs_field_exists(&v->vm->nested_caps, may_lack[i]))
            return true;
    return false;
}

void nested_shadow(struct vcpu *v, bool on)
{
    struct nested *n = v->nested;
    u64 controls;
    bool less;

    if (n->shadowing == on || !nested_can_shadow())
        return;
    n->shadowing = on;
    less = lacks_fields(v);
    controls = vmread(SECONDARY_CONTROLS);
    vmwrite(SECONDARY_CONTROLS, on ? controls | PROC2_VMCS_SHADOWING : controls & ~PROC2_VMCS_SHADOWING);
    vmwrite(VMCS_LINK_POINTER, on ? pool_pa(n->other.region) : ~0ull);
    vmwrite(VMREAD_BITMAP_ADDRESS, pool_pa(less ? read_bitmap_less : read_bitmap));
    vmwrite(VMWRITE_BITMAP_ADDRESS, pool_pa(less ? write_bitmap_less : write_bitmap));
}

static void read_fields(struct vcpu *v, const u16 *index, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        v->nested->vmcs12.image.f[index[i]] = vmread(vmcs_field_encoding(index[i]));
}

/* Controls for event injection are newer in vmcs02 only if L1 writes them there. */
static void read_all(struct vcpu *v)
{
    vmcs02_save(v);
    read_fields(v, information, ARRAY_SIZE(information));
    if (v->nested->shadowing)
        read_fields(v, nested_quick, nr_quick());
}

void nested_sync(struct vcpu *v)
{
    struct nested *n = v->nested;
    const struct vmcs_image *image = &n->vmcs12.image;
    u64 flags = VMCS(image, GUEST_RFLAGS), blocking = VMCS(image, GUEST_INTERRUPTIBILITY_STATE);
    bool other = !n->in_l2;

    if (n->synced && !n->shadowing)
        return;
    if (other)
        vmptrld(pool_pa(n->other.region));
    if (n->synced)
        read_fields(v, nested_quick, nr_quick());
    else
        read_all(v);
    n->synced = true;
    /* A quick entry compares vmcs02 with vmcs12, and would find what L1 has changed equal. */
    if (n->shadowing &&
        (VMCS(image, GUEST_RFLAGS) != flags || VMCS(image, GUEST_INTERRUPTIBILITY_STATE) != blocking))
        n->checked = false;
    if (other)
        vmptrld(pool_pa(v->vmcs));
}

/* Without a shadow VMCS they are in vmcs12 anyway. ENTRY_INTERRUPTION_INFO is as of the entry. */
void nested_before_injection(struct vcpu *v)
{
    struct nested *n = v->nested;

    if (n->own_event || !nested_can_shadow())
        return;
    n->own_event = true;
    n->plain_exit = false;
    read_fields(v, event_operands, ARRAY_SIZE(event_operands));
}

static void write_fields(struct vcpu *v, const u16 *index, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        vmwrite(vmcs_field_encoding(index[i]), v->nested->vmcs12.image.f[index[i]]);
}

void nested_publish(struct vcpu *v)
{
    struct nested *n = v->nested;

    n->synced = true;
    if (!nested_can_shadow())
        return;
    write_fields(v, information, ARRAY_SIZE(information));
    vmwrite(ENTRY_INTERRUPTION_INFO, VMCS(&n->vmcs12.image, ENTRY_INTERRUPTION_INFO));
    if (n->own_event)
        write_fields(v, event_operands, ARRAY_SIZE(event_operands));
    n->own_event = false;
}

static bool is_readable(u32 index)
{
    u32 encoding = vmcs_field_encoding(index);

    return !(read_bitmap[encoding / 8] >> encoding % 8 & 1);
}

/* No check is for it, and the next entry takes it from vmcs12, or has no use for it. */
static bool is_unchecked(u32 index)
{
    return index == VI_PREEMPTION_TIMER_VALUE || index == VI_HOST_RSP || index == VI_GUEST_PML_INDEX;
}

void nested_written(struct vcpu *v, u32 index)
{
    struct nested *n = v->nested;

    if (nested_is_quick(index))
        nested_quick_written(n, index);
    else if (!is_unchecked(index))
        n->checked = false;
    if (!n->shadowing || !is_readable(index))
        return;
    vmptrld(pool_pa(n->other.region));
    vmwrite(vmcs_field_encoding(index), n->vmcs12.image.f[index]);
    vmptrld(pool_pa(v->vmcs));
}
