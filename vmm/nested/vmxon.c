/* SPDX-License-Identifier: MIT */
/*
 * VMXON, VMXOFF, VMCLEAR, VMPTRLD, VMPTRST, and the current VMCS. Where L1 names memory that it does not
 * have, it meets what a machine has there: reads give ones, so that the revision is wrong, and writes go
 * nowhere.
 */
#include "arch/x86/vmx.h"
#include "vmm/nested/instructions.h"
#include "vmm/nested/operand.h"
#include "vmm/vm.h"

#define ALL_ONES (~0u)

/* Fit for a VMXON region or a VMCS: aligned, within the physical-address width. */
static bool region_ok(const struct vcpu *v, u64 address)
{
    u32 width = v->vm->nested_caps.basic & VMX_BASIC_32BIT_ADDRESSES ? 32 : v->cpuid->maxphyaddr;

    return IS_ALIGNED(address, PAGE_SIZE) && !(address >> width);
}

static u32 read_revision(struct vcpu *v, u64 address)
{
    u32 revision;

    return guest_read(v->vm, address, &revision, sizeof(revision)) ? ALL_ONES : revision;
}

/* --- VMX operation --- */

/* CR0 or CR4 as L1 sees it. */
static u64 seen(u64 value, u64 mask, u64 shadow)
{
    return (value & ~mask) | (shadow & mask);
}

static u64 seen_cr4(void)
{
    return seen(vmread(GUEST_CR4), vmread(CR4_GUEST_HOST_MASK), vmread(CR4_READ_SHADOW));
}

static bool fixed_bits_ok(u64 value, u64 required, u64 allowed)
{
    return !(required & ~value) && !(value & ~allowed);
}

/* There is no SMX and no A20M mode. */
static bool vmxon_allowed(struct vcpu *v)
{
    const struct vmx_caps *c = &v->vm->nested_caps;
    u64 cr0 = seen(vmread(GUEST_CR0), vmread(CR0_GUEST_HOST_MASK), vmread(CR0_READ_SHADOW)), control;
    const u64 enabled = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX;

    return nested_privileged() && fixed_bits_ok(cr0, vmx_cr0_required(c), vmx_cr0_allowed(c)) &&
           fixed_bits_ok(seen_cr4(), vmx_cr4_required(c), vmx_cr4_allowed(c)) &&
           vcpu_msr_read(v, MSR_IA32_FEATURE_CONTROL, &control) == OK && (control & enabled) == enabled;
}

bool nested_vmxon(struct vcpu *v)
{
    struct nested *n = v->nested;
    u64 address;
    int r;

    if (!n || !nested_mode() || !(seen_cr4() & CR4_VMXE))
        return nested_undefined(v);
    if (n->vmx_on)
        return nested_privileged() ? nested_fail(v, VMX_ERROR_VMXON_IN_ROOT) : nested_protection(v);
    if (!vmxon_allowed(v))
        return nested_protection(v);
    r = nested_operand_read(v, &address, sizeof(address));
    if (r)
        return nested_stop(v, r);
    if (!region_ok(v, address) || read_revision(v, address) != VMCS12_REVISION)
        return nested_fail_invalid(v);
    nested_fields_build(n, &v->vm->nested_caps);
    n->vmxon_pointer = address;
    n->current = NO_VMCS;
    n->vmx_on = true;
    vcpu_vmx_operation_changed(v);
    return nested_succeed(v);
}

bool nested_vmxoff(struct vcpu *v)
{
    struct nested *n = v->nested;

    if (!nested_permitted(v))
        return false;
    nested_release_all(v);
    if (n->shadow)
        shadow_ept_invalidate_all(v); /* the VM may release memory now */
    n->vmxon_pointer = NO_VMCS;
    n->vmx_on = false;
    vcpu_vmx_operation_changed(v);
    nested_succeed(v);
    return false; /* an INIT may have been blocked */
}

/* --- the current VMCS --- */

/* The revision in memory stays L1's. */
void nested_vmcs12_release(struct vcpu *v)
{
    struct nested *n = v->nested;
    const u64 skip = offsetof(struct vmcs12, abort);

    if (n->current == NO_VMCS)
        return;
    nested_sync(v);
    nested_shadow(v, false);
    guest_write(v->vm, n->current + skip, (u8 *)&n->vmcs12 + skip, sizeof(n->vmcs12) - skip);
    n->current = NO_VMCS;
    n->checked = false;
}

/* The operand of VMCLEAR or VMPTRLD after its checks, or NO_VMCS: the instruction is over, *resume is for the
 * caller to return. */
static u64 vmcs_operand(struct vcpu *v, enum vmx_instruction_error bad, enum vmx_instruction_error vmxon,
                        bool *resume)
{
    u64 address;
    int r;

    *resume = false;
    if (!nested_permitted(v))
        return NO_VMCS;
    r = nested_operand_read(v, &address, sizeof(address));
    if (r)
        *resume = nested_stop(v, r);
    else if (!region_ok(v, address))
        *resume = nested_fail(v, bad);
    else if (address == v->nested->vmxon_pointer)
        *resume = nested_fail(v, vmxon);
    else
        return address;
    return NO_VMCS;
}

bool nested_vmclear(struct vcpu *v)
{
    struct nested *n = v->nested;
    const u32 clear = 0;
    bool resume;
    u64 address = vmcs_operand(v, VMX_ERROR_VMCLEAR_ADDRESS, VMX_ERROR_VMCLEAR_VMXON_POINTER, &resume);

    if (address == NO_VMCS)
        return resume;
    if (address == n->current) {
        n->vmcs12.launched = clear;
        nested_vmcs12_release(v);
    } else if (!nested_clear_aside(v, address)) {
        guest_write(v->vm, address + offsetof(struct vmcs12, launched), &clear, sizeof(clear));
    }
    return nested_succeed(v);
}

static bool revision_ok(const struct vcpu *v, u32 revision)
{
    bool shadowing = vmx_allowed1(&v->vm->nested_caps, VMX_WORD_PROC2) & PROC2_VMCS_SHADOWING;

    return (revision & ~VMCS12_SHADOW) == VMCS12_REVISION && (shadowing || !(revision & VMCS12_SHADOW));
}

/* The revision is the one that was checked, whatever L1 has written since. */
static bool load(struct vcpu *v, u64 address, u32 revision)
{
    struct nested *n = v->nested;

    if (nested_recall(v, address)) {
        n->vmcs12.revision = revision;
        n->checked = n->checked && !(revision & VMCS12_SHADOW);
        return true;
    }
    nested_put_aside(v);
    if (guest_read(v->vm, address, &n->vmcs12, sizeof(n->vmcs12)))
        return false;
    nested_fields_clean(n);
    n->vmcs12.revision = revision;
    n->current = address;
    n->checked = n->serves_l2 = false;
    return true;
}

bool nested_vmptrld(struct vcpu *v)
{
    bool resume;
    u64 address = vmcs_operand(v, VMX_ERROR_VMPTRLD_ADDRESS, VMX_ERROR_VMPTRLD_VMXON_POINTER, &resume);
    u32 revision;

    if (address == NO_VMCS)
        return resume;
    revision = read_revision(v, address);
    if (!revision_ok(v, revision) || (address != v->nested->current && !load(v, address, revision)))
        return nested_fail(v, VMX_ERROR_VMPTRLD_REVISION);
    return nested_succeed(v);
}

bool nested_vmptrst(struct vcpu *v)
{
    int r;

    if (!nested_permitted(v))
        return false;
    r = nested_operand_write(v, &v->nested->current, sizeof(v->nested->current));
    return r ? nested_stop(v, r) : nested_succeed(v);
}
