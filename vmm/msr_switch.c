/* SPDX-License-Identifier: MIT */
/* The MSRs that neither Nidus nor a VM exit touches: they stay in the CPU until another vCPU comes. */
#include "arch/x86/asm.h"
#include "arch/x86/regs.h"
#include "vmm/vm.h"

#define ROW(msr, member, needs)                        \
    {                                                  \
        msr, offsetof(struct vcpu_msrs, member), needs \
    }
#define IF(member) offsetof(struct guest_cpuid, member)

static const struct {
    u32 msr;
    u16 offset; /* in struct vcpu_msrs */
    u16 needs;  /* offset of a bool in struct guest_cpuid; 0: every CPU has it */
} live[] = {
    ROW(MSR_IA32_STAR, star, 0),
    ROW(MSR_IA32_LSTAR, lstar, 0),
    ROW(MSR_IA32_CSTAR, cstar, 0),
    ROW(MSR_IA32_FMASK, fmask, 0),
    ROW(MSR_IA32_KERNEL_GS_BASE, kernel_gs_base, 0),
    ROW(MSR_IA32_TSC_AUX, tsc_aux, IF(cpu_tsc_aux)),
    ROW(MSR_IA32_SPEC_CTRL, spec_ctrl, IF(cpu_spec_ctrl)),
    ROW(MSR_IA32_UMWAIT_CONTROL, umwait_control, IF(cpu_umwait)),
};

static u64 *place(struct vcpu *v, u32 i)
{
    return (u64 *)((u8 *)&v->msrs + live[i].offset);
}

static bool exists(const struct vcpu *v, u32 i)
{
    return !live[i].needs || *((const u8 *)v->cpuid + live[i].needs);
}

/* RDMSR is much cheaper than WRMSR, and the values of two vCPUs are often the same. */
void vcpu_msrs_load(struct vcpu *v)
{
    for (u32 i = 0; i < ARRAY_SIZE(live); i++)
        if (exists(v, i) && rdmsr(live[i].msr) != *place(v, i))
            wrmsr(live[i].msr, *place(v, i));
}

void vcpu_msrs_save(struct vcpu *v)
{
    for (u32 i = 0; i < ARRAY_SIZE(live); i++)
        if (exists(v, i))
            *place(v, i) = rdmsr(live[i].msr);
}

u64 msr_host_arch_capabilities(void)
{
    return rdmsr(MSR_IA32_ARCH_CAPABILITIES);
}

void msr_host_command(u32 msr, u64 value)
{
    wrmsr(msr, value);
}
