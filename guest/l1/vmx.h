/* SPDX-License-Identifier: MIT */
/* The VMX instructions as L1 uses them: each says how it ended. */
#ifndef GUEST_L1_VMX_H
#define GUEST_L1_VMX_H

#include "arch/x86/gpr.h"
#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_bits.h"
#include "guest/common/guest.h"

/* SDM, 'Conventions' of the VMX instruction reference: RFLAGS.CF, and RFLAGS.ZF. */
enum vm_end { VM_SUCCEED, VM_FAIL_INVALID, VM_FAIL_VALID };

struct invalidate {
    u64 first, second; /* EPT pointer and 0, or VPID and linear address */
};

/* HOST_RSP of the current VMCS; 0: unknown. enter.S writes it when it is another one. */
extern u64 l2_host_rsp;

#define DEFINE_VMX(name, instruction, type)                                                  \
    static inline enum vm_end name(type operand)                                             \
    {                                                                                        \
        bool carry, zero;                                                                    \
        l2_host_rsp = 0;                                                                     \
        asm volatile(instruction : "=@ccc"(carry), "=@ccz"(zero) : "m"(operand) : "memory"); \
        return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_SUCCEED;                  \
    }
DEFINE_VMX(vmx_on, "vmxon %2", u64)
DEFINE_VMX(vmx_clear, "vmclear %2", u64)
DEFINE_VMX(vmx_load, "vmptrld %2", u64)
#undef DEFINE_VMX

#define DEFINE_VMX(name, instruction)                                                             \
    static inline enum vm_end name(u64 type, struct invalidate d)                                 \
    {                                                                                             \
        bool carry, zero;                                                                         \
        asm volatile(instruction : "=@ccc"(carry), "=@ccz"(zero) : "m"(d), "r"(type) : "memory"); \
        return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_SUCCEED;                       \
    }
DEFINE_VMX(vmx_invept, "invept %2, %3")
DEFINE_VMX(vmx_invvpid, "invvpid %2, %3")
#undef DEFINE_VMX

static inline enum vm_end vmx_off(void)
{
    bool carry, zero;

    asm volatile("vmxoff" : "=@ccc"(carry), "=@ccz"(zero)::"memory");
    return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_SUCCEED;
}

/* The current-VMCS pointer. */
static inline u64 vmx_current(void)
{
    u64 pointer;

    asm volatile("vmptrst %0" : "=m"(pointer)::"memory");
    return pointer;
}

static inline enum vm_end vmx_read(u64 field, u64 *value)
{
    bool carry, zero;

    asm volatile("vmread %3, %0" : "+r"(*value), "=@ccc"(carry), "=@ccz"(zero) : "r"(field));
    return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_SUCCEED;
}

static inline enum vm_end vmx_write(u64 field, u64 value)
{
    bool carry, zero;

    asm volatile("vmwrite %2, %3" : "=@ccc"(carry), "=@ccz"(zero) : "r"(value), "r"(field) : "memory");
    return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_SUCCEED;
}

static inline u64 vmread(u64 field)
{
    u64 value = 0;

    vmx_read(field, &value);
    return value;
}

static inline void vmwrite(u64 field, u64 value)
{
    vmx_write(field, value);
}

/* Sets and clears bits of a field. */
static inline void vmset(u64 field, u64 bits)
{
    vmwrite(field, vmread(field) | bits);
}

static inline void vmunset(u64 field, u64 bits)
{
    vmwrite(field, vmread(field) & ~bits);
}

/* VMLAUNCH or VMRESUME with those general registers (RSP is the VMCS's), which hold L2's afterwards if it
 * exited or failed to start (VM_SUCCEED). */
enum vm_end vmx_enter(u64 gpr[NR_REGS], bool resume);
extern u8 vmx_exit_entry[];

#endif
