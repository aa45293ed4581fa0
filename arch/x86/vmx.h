/* SPDX-License-Identifier: MIT */
/* The VMX instructions, and VMX operation on this CPU. */
#ifndef ARCH_X86_VMX_H
#define ARCH_X86_VMX_H

#include "arch/x86/regs.h"
#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_caps.h"

extern struct vmx_caps vmx_caps;         /* of the boot CPU; the others must not differ */
extern struct vmx_features vmx_features; /* what Nidus makes use of */

/* Field of the current VMCS; one that does not exist reads as it was left (no fault). */
static inline u64 vmread(u32 field)
{
    u64 v;
    asm volatile("vmread %1, %0" : "=r"(v) : "r"((u64)field) : "cc");
    return v;
}

static inline void vmwrite(u32 field, u64 v)
{
    asm volatile("vmwrite %0, %1" : : "r"(v), "r"((u64)field) : "cc");
}

/* The same, without a register for the value. */
static inline void vmwrite_from(u32 field, const u64 *v)
{
    asm volatile("vmwrite %0, %1" : : "m"(*v), "r"((u64)field) : "cc");
}

static inline bool vmclear(paddr_t vmcs)
{
    bool failed;
    asm volatile("vmclear %1" : "=@ccbe"(failed) : "m"(vmcs) : "memory");
    return !failed;
}

static inline bool vmptrld(paddr_t vmcs)
{
    bool failed;
    asm volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(vmcs) : "memory");
    return !failed;
}

static inline bool vmxon(paddr_t region)
{
    bool failed;
    asm volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
    return !failed;
}

/* What the guest of vmx_launch() has of registers, and changes at most. */
struct vmx_regs {
    u64 rax, rcx, rdx;
};

/* Launches the current VMCS, but for HOST_RSP and HOST_RIP; any exit ends it. False: VMfail. */
bool vmx_launch(struct vmx_regs *regs);

/* Everything that this CPU has cached of EPT and of VPIDs. */
static inline void invept_all(void)
{
    struct {
        u64 eptp, reserved;
    } d = {0, 0};
    asm volatile("invept %0, %1" : : "m"(d), "r"(2ull) : "cc", "memory");
}

/* What this CPU has cached of the tables of one EPT pointer; all, if it cannot tell. */
static inline void invept_single(u64 eptp)
{
    struct {
        u64 eptp, reserved;
    } d = {eptp, 0};
    if (vmx_has(&vmx_features, VF_INVEPT_SINGLE))
        asm volatile("invept %0, %1" : : "m"(d), "r"(1ull) : "cc", "memory");
    else
        invept_all();
}

/* Forgets what this CPU has cached of one VPID's translations. */
static inline void invvpid_single(u16 vpid)
{
    struct {
        u64 vpid, linear;
    } d = {vpid, 0};
    asm volatile("invvpid %0, %1" : : "m"(d), "r"(1ull) : "cc", "memory");
}

/* Of one linear address, with VPID_CAP_INVVPID_ADDRESS; it must be canonical. */
static inline void invvpid_address(u16 vpid, u64 address)
{
    struct {
        u64 vpid, linear;
    } d = {vpid, address};
    asm volatile("invvpid %0, %1" : : "m"(d), "r"(0ull) : "cc", "memory");
}

/* Of that type, for what it takes of a VPID and address 0. False: it fails. */
static inline bool invvpid(u64 type, u16 vpid)
{
    struct {
        u64 vpid, linear;
    } d = {vpid, 0};
    bool failed;
    asm volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
    return !failed;
}

static inline void invvpid_all(void)
{
    struct {
        u64 vpid, linear;
    } d = {0, 0};
    asm volatile("invvpid %0, %1" : : "m"(d), "r"(2ull) : "cc", "memory");
}

/* Reads the capabilities and negotiates; what is missing is named on the log. ERR_UNSUPP: Nidus cannot run
 * here. */
int vmx_init(void);
/* Leaves VMX operation on this CPU, with no VMCS current, and enters it again; as vmx_init_cpu(). */
int vmx_leave_and_enter(void);
/* Enters VMX operation on this CPU. ERR_UNSUPP (named on the log), ERR_NOMEM. */
int vmx_init_cpu(void);

#endif
