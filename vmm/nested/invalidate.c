/* SPDX-License-Identifier: MIT */
/* INVEPT and INVVPID. */
#include "vmm/mmio_host.h"
#include "vmm/nested/instructions.h"
#include "vmm/nested/operand.h"
#include "arch/x86/vmx.h"
#include "vmm/vm.h"

enum { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum { INVVPID_ADDRESS, INVVPID_SINGLE, INVVPID_ALL, INVVPID_KEEP_GLOBAL };

/* The bit of IA32_VMX_EPT_VPID_CAP that each type needs. */
static const u64 invept_types[] = {
    [INVEPT_SINGLE] = EPT_CAP_INVEPT_SINGLE,
    [INVEPT_ALL] = EPT_CAP_INVEPT_ALL,
};
static const u64 invvpid_types[] = {
    [INVVPID_ADDRESS] = VPID_CAP_INVVPID_ADDRESS,
    [INVVPID_SINGLE] = VPID_CAP_INVVPID_SINGLE,
    [INVVPID_ALL] = VPID_CAP_INVVPID_ALL,
    [INVVPID_KEEP_GLOBAL] = VPID_CAP_INVVPID_KEEP_GLOBAL,
};

/* #UD: the instruction, or what it is about, does not exist. */
static bool offered(const struct vcpu *v, u64 control, u64 capability)
{
    const struct vmx_caps *c = &v->vm->nested_caps;

    return vmx_allowed1(c, VMX_WORD_PROC2) & control && c->ept_vpid & capability;
}

static bool type_ok(const struct vcpu *v, const u64 *types, u32 nr, u64 type)
{
    return type < nr && types[type] & v->vm->nested_caps.ept_vpid;
}

/*
 * What both have in common: privilege, type, descriptor. false: the instruction is over, *resume is for the
 * caller to return.
 */
static bool operands(struct vcpu *v, const u64 *types, u32 nr, u64 *type, u64 descriptor[2], bool *resume)
{
    u32 size = nested_permitted(v);
    int r;

    *resume = false;
    if (!size)
        return false;
    *type = vcpu_get_reg(v, OPERAND_REG2(vmread(EXIT_INSTRUCTION_INFO)));
    if (size == 4)
        *type = (u32)*type;
    if (!type_ok(v, types, nr, *type)) {
        *resume = nested_fail(v, VMX_ERROR_INVEPT_INVVPID_OPERAND);
        return false;
    }
    r = nested_operand_read(v, descriptor, 2 * sizeof(u64));
    if (r)
        *resume = nested_stop(v, r);
    return r == OK;
}

bool nested_eptp_ok(const struct vcpu *v, u64 eptp)
{
    u64 cap = v->vm->nested_caps.ept_vpid, reserved = BITS(11, 8) | ~(BIT(v->cpuid->maxphyaddr) - 1);

    return ((EPTP_MEMORY_TYPE(eptp) == EPTP_WB && cap & EPT_CAP_WB) ||
            (EPTP_MEMORY_TYPE(eptp) == 0 && cap & EPT_CAP_UC)) &&
           ((EPTP_WALK_LENGTH(eptp) == 4 && cap & EPT_CAP_WALK_4) ||
            (EPTP_WALK_LENGTH(eptp) == 5 && cap & EPT_CAP_WALK_5)) &&
           (!(eptp & EPTP_ACCESSED_DIRTY) || cap & EPT_CAP_ACCESSED_DIRTY) &&
           (!(eptp & EPTP_SHADOW_STACK) || cap & EPT_CAP_SHADOW_STACK) && !(eptp & reserved);
}

/* The descriptor's second half must be 0, but nothing is said to check it. */
bool nested_invept(struct vcpu *v)
{
    u64 type, descriptor[2];
    bool resume;

    if (!offered(v, PROC2_ENABLE_EPT, EPT_CAP_INVEPT))
        return nested_undefined(v);
    if (!operands(v, invept_types, ARRAY_SIZE(invept_types), &type, descriptor, &resume))
        return resume;
    if (type == INVEPT_SINGLE && !nested_eptp_ok(v, descriptor[0]))
        return nested_fail(v, VMX_ERROR_INVEPT_INVVPID_OPERAND);
    if (type == INVEPT_SINGLE)
        shadow_ept_invalidate(v, descriptor[0]);
    else
        shadow_ept_invalidate_all(v);
    nested_flush_all(v->nested);
    return nested_succeed(v);
}

/* More than what was asked for goes: all of the VPIDs that L2 runs with. */
bool nested_invvpid(struct vcpu *v)
{
    u64 type, descriptor[2];
    bool resume;

    if (!offered(v, PROC2_ENABLE_VPID, VPID_CAP_INVVPID))
        return nested_undefined(v);
    if (!operands(v, invvpid_types, ARRAY_SIZE(invvpid_types), &type, descriptor, &resume))
        return resume;
    if (descriptor[0] >> 16 || (type != INVVPID_ALL && !descriptor[0]) ||
        (type == INVVPID_ADDRESS && !is_canonical(descriptor[1], v->cpuid->linear_bits)))
        return nested_fail(v, VMX_ERROR_INVEPT_INVVPID_OPERAND);
    nested_flush_all(v->nested);
    return nested_succeed(v);
}
