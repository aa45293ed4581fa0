/* SPDX-License-Identifier: MIT */
/* L2's accesses to control registers: SDM, 'Changes to Instruction Behavior in VMX Non-Root Operation'. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/nested.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define QUAL_CR(q)  ((q)&0xf)
#define QUAL_OP(q)  ((q) >> 4 & 3)
#define QUAL_REG(q) ((q) >> 8 & 0xf)
enum { OP_MOV_TO, OP_MOV_FROM, OP_CLTS, OP_LMSW };

/* Outside of 64-bit mode it has 32 bits, and what the CPU keeps above them is not L2's. */
static u64 operand(struct vcpu *v, u64 q)
{
    u64 value = vcpu_get_reg(v, QUAL_REG(q));
    bool wide = vmread(GUEST_IA32_EFER) & EFER_LMA && vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L;

    return wide ? value : (u32)value;
}

/* CR3 accesses, CLTS and LMSW only exit because L1 has asked. */
bool nested_wants_cr(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION), proc = V12(v, PRIMARY_CONTROLS);

    if (QUAL_OP(q) == OP_MOV_TO && QUAL_CR(q) == 0)
        return (operand(v, q) ^ V12(v, CR0_READ_SHADOW)) & V12(v, CR0_GUEST_HOST_MASK);
    if (QUAL_OP(q) == OP_MOV_TO && QUAL_CR(q) == 4)
        return (operand(v, q) ^ V12(v, CR4_READ_SHADOW)) & V12(v, CR4_GUEST_HOST_MASK);
    if (QUAL_CR(q) == 8)
        return proc & (QUAL_OP(q) == OP_MOV_TO ? PROC_CR8_LOAD_EXITING : PROC_CR8_STORE_EXITING);
    return true;
}

static bool unrestricted(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY &&
           V12(v, SECONDARY_CONTROLS) & PROC2_UNRESTRICTED_GUEST;
}

/* Reserved bits whose values are ignored: SDM, 'Control Registers'. */
#define CR0_IGNORED (BITS(28, 19) | BIT(17) | BITS(15, 6))

/* value: what L2 writes to the bits that are not L1's. False: #GP. */
static bool write_l2_cr0(struct vcpu *v, u64 value)
{
    u64 mask12 = V12(v, CR0_GUEST_HOST_MASK), old = vmcs02_cr0(v),
        new = (value & ~mask12 & ~CR0_IGNORED) | (old & mask12);
    u64 required = vmx_cr0_required(&v->vm->nested_caps);

    if (unrestricted(v))
        required &= ~(CR0_PE | (u64)CR0_PG);
    if (new >> 32 || (new &CR0_PG && !(new &CR0_PE)) || (new &CR0_NW && !(new &CR0_CD)) || required & ~new)
        return false;
    if ((new ^ vmread(GUEST_CR0)) & CR0_PG) {
        if (!exit_change_paging(v, new &CR0_PG))
            return false;
        vcpu_flush_tlb(v);
    }
    vmcs02_set_cr0(v, new | CR0_ET);
    return true;
}

/* Bits that the VM's CPU lacks, or VMXE: neither can be written in VMX operation. */
static bool write_l2_cr4(struct vcpu *v, u64 value)
{
    u64 mask12 = V12(v, CR4_GUEST_HOST_MASK), old = vmcs02_cr4(v), new = (value & ~mask12) | (old & mask12);

    if (new & ~vmx_cr4_allowed(&v->vm->nested_caps) || vmx_cr4_required(&v->vm->nested_caps) & ~new)
        return false;
    vmcs02_set_cr4(v, new);
    return true;
}

bool nested_own_cr(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION);
    bool done;

    if (QUAL_CR(q) == 8)
        return vmx_exit_handle(v, EXIT_REASON_CR_ACCESS);
    done = QUAL_CR(q) == 0 ? write_l2_cr0(v, operand(v, q)) : write_l2_cr4(v, operand(v, q));
    if (done)
        vcpu_skip_instruction(v);
    else
        vcpu_inject_exception_error(v, VEC_GP, 0);
    return vcpu_can_resume(v);
}
