/* SPDX-License-Identifier: MIT */
/* What vcpu_skip_instruction() does, inline for the exits that are to be cheapest. */
#ifndef VMM_SKIP_H
#define VMM_SKIP_H

#include "arch/x86/vmx.h"

/* Outside of 64-bit mode the instruction pointer wraps around at 4 GiB. */
static inline u64 wrap_rip(u64 rip, u64 next)
{
    if (likely(!((rip ^ next) >> 32)) || (vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L))
        return next;
    return (u32)next;
}

#define DEBUGCTL_BTF BIT(1)

/* RFLAGS.TF, and single steps are not those of branches only. */
static inline bool steps_singly(void)
{
    return unlikely(vmread(GUEST_RFLAGS) & RFLAGS_TF) && !(vmread(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF);
}

/* Is any breakpoint of DR7 enabled? */
static inline bool has_breakpoints(void)
{
    return unlikely(vmread(GUEST_DR7) & 0xff);
}

/* SDM, 'Interruptibility State' and 'Pending Debug Exceptions': what the CPU would do after the instruction.
 */
static inline __attribute__((always_inline)) void instruction_done(void)
{
    u64 shadow = vmread(GUEST_INTERRUPTIBILITY_STATE);

    if (unlikely(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
        vmwrite(GUEST_INTERRUPTIBILITY_STATE, shadow & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
    if (steps_singly())
        vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, vmread(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

static inline __attribute__((always_inline)) void skip_instruction(void)
{
    u64 rip = vmread(GUEST_RIP);

    vmwrite(GUEST_RIP, wrap_rip(rip, rip + vmread(EXIT_INSTRUCTION_LENGTH)));
    instruction_done();
}

#endif
