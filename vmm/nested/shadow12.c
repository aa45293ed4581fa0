/* SPDX-License-Identifier: MIT */
/*
 * VMCS shadowing as L1 has it for L2: SDM, 'Virtual-Machine Control Structure Shadowing' and the operation
 * sections of VMREAD and VMWRITE. Carried out by Nidus, which spares L2 (the hypervisor of an L3) an exit to
 * L1: the shadow VMCS stays in L1's memory, where its format is Nidus's own, and each access is one field.
 */
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/instructions.h"
#include "vmm/nested/operand.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define BITMAP_BITS 15 /* of the encoding: what has others set always exits */

/* L2 is in 64-bit mode or in protected mode: else there would have been no exit. */
static u32 operand_size(void)
{
    return nested_mode();
}

static u64 encoding_of(struct vcpu *v)
{
    u64 value = vcpu_get_reg(v, OPERAND_REG2((u32)vmread(EXIT_INSTRUCTION_INFO)));

    return operand_size() == 8 ? value : (u32)value;
}

static bool shadow_exits(struct vcpu *v, gpa_t bitmap)
{
    u64 encoding = encoding_of(v);
    u8 byte;

    if (!(V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY) ||
        !(V12(v, SECONDARY_CONTROLS) & PROC2_VMCS_SHADOWING) || encoding >> BITMAP_BITS)
        return true;
    return guest_read(v->vm, bitmap + encoding / 8, &byte, 1) || byte >> encoding % 8 & 1;
}

bool nested_wants_vmread(struct vcpu *v)
{
    return shadow_exits(v, V12(v, VMREAD_BITMAP_ADDRESS));
}

bool nested_wants_vmwrite(struct vcpu *v)
{
    return shadow_exits(v, V12(v, VMWRITE_BITMAP_ADDRESS));
}

/* What both begin with. False: the instruction is over, *resume is for the caller to return. */
static bool may_access(struct vcpu *v, bool *resume)
{
    if (!nested_privileged())
        *resume = nested_protection(v);
    else if (V12(v, VMCS_LINK_POINTER) == NO_VMCS)
        *resume = nested_fail_invalid(v);
    else
        return true;
    return false;
}

/* Where the field is in L1's memory; 0: there is no such field. */
static gpa_t place_of(struct vcpu *v, u64 encoding)
{
    struct vmcs_image *image = &v->nested->vmcs12.image;
    const u64 *field = nested_field(v->nested, image, encoding);

    if (!field)
        return 0;
    return V12(v, VMCS_LINK_POINTER) + offsetof(struct vmcs12, image) +
           (u64)((const u8 *)field - (u8 *)image);
}

/* As L1's memory has it, where L1 may have written anything. The page was there at the VM entry. */
static u64 shadow_load(struct vcpu *v, gpa_t at, u64 encoding)
{
    u64 field;

    if (guest_read(v->vm, at, &field, sizeof(field)))
        field = ~0ull;
    return nested_field_with(0, encoding & ~VMCS_ENC_HIGH, field);
}

bool nested_shadow_vmread(struct vcpu *v)
{
    u32 info = (u32)vmread(EXIT_INSTRUCTION_INFO), size = operand_size();
    u64 encoding = encoding_of(v), value;
    gpa_t at = place_of(v, encoding);
    bool resume;
    int r;

    if (!may_access(v, &resume))
        return resume;
    if (!at)
        return nested_fail(v, VMX_ERROR_UNSUPPORTED_COMPONENT);
    value = shadow_load(v, at, encoding);
    value = encoding & VMCS_ENC_HIGH ? value >> 32 : value;
    if (info & OPERAND_REGISTER) {
        vcpu_set_reg(v, OPERAND_REG1(info), size == 8 ? value : (u32)value);
    } else {
        r = nested_operand_write(v, &value, size);
        if (r)
            return nested_stop(v, r);
    }
    return nested_succeed(v);
}

bool nested_shadow_vmwrite(struct vcpu *v)
{
    u32 info = (u32)vmread(EXIT_INSTRUCTION_INFO), size = operand_size();
    u64 encoding = encoding_of(v), value = 0, field;
    gpa_t at = place_of(v, encoding);
    bool resume;
    int r;

    if (!may_access(v, &resume))
        return resume;
    if (info & OPERAND_REGISTER) {
        value = vcpu_get_reg(v, OPERAND_REG1(info));
        value = size == 8 ? value : (u32)value;
    } else {
        r = nested_operand_read(v, &value, size);
        if (r)
            return nested_stop(v, r);
    }
    if (!at)
        return nested_fail(v, VMX_ERROR_UNSUPPORTED_COMPONENT);
    if (!nested_field_writable(v, encoding))
        return nested_fail(v, VMX_ERROR_VMWRITE_READ_ONLY);
    field = nested_field_with(shadow_load(v, at, encoding), encoding, value);
    guest_write(v->vm, at, &field, sizeof(field));
    return nested_succeed(v);
}
