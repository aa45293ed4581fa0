/* SPDX-License-Identifier: MIT */
#include "arch/x86/vmx.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/pool.h"
#include "lib/log.h"

#define FEATURE_CONTROL_LOCKED BIT(0)
#define FEATURE_CONTROL_VMXON  BIT(2)
#define BASIC_REVISION(basic)  ((u32)(basic)&0x7fffffff)

struct vmx_caps vmx_caps;
struct vmx_features vmx_features;

static u64 read_cap(u32 msr)
{
    return rdmsr(msr);
}

static void report(void *ctx, const char *line)
{
    (void)ctx;
    log_error("%s", line);
}

int vmx_init(void)
{
    if (!(cpuid(1, 0).ecx & BIT(5))) {
        log_error(
            "this CPU has no VT-x (CPUID.01H:ECX.VMX[5]), or it is hidden by firmware or by a hypervisor; "
            "Nidus needs an Intel CPU with VT-x and EPT");
        return ERR_UNSUPP;
    }
    vmx_caps_read(&vmx_caps, read_cap);
    return vmx_negotiate(&vmx_caps, &vmx_features, report, NULL) ? OK : ERR_UNSUPP;
}

/* IA32_FEATURE_CONTROL is each CPU's own. False: VMXON would raise #GP. */
static bool unlock(void)
{
    u64 control = rdmsr(MSR_IA32_FEATURE_CONTROL);

    if (!(control & FEATURE_CONTROL_LOCKED)) {
        control |= FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMXON;
        wrmsr(MSR_IA32_FEATURE_CONTROL, control);
    }
    return control & FEATURE_CONTROL_VMXON;
}

int vmx_init_cpu(void)
{
    u32 *region;

    if (!unlock()) {
        log_error(
            "the CPU with APIC id %u cannot be used: the firmware has locked VT-x off on it, and not on the boot "
            "CPU: IA32_FEATURE_CONTROL[2]; update the firmware, or switch that CPU off in its setup",
            this_cpu()->apic_id);
        return ERR_UNSUPP;
    }
    if (rdmsr(MSR_IA32_VMX_BASIC) != vmx_caps.basic) {
        log_error("cpu %u: its VMX differs from the boot CPU's (IA32_VMX_BASIC)", this_cpu()->id);
        return ERR_UNSUPP;
    }
    region = pool_alloc(&pool_owner, 1);
    if (!region)
        return ERR_NOMEM;
    *region = BASIC_REVISION(vmx_caps.basic);
    write_cr0((read_cr0() | vmx_cr0_required(&vmx_caps)) & vmx_cr0_allowed(&vmx_caps));
    write_cr4((read_cr4() | CR4_VMXE | vmx_cr4_required(&vmx_caps)) & vmx_cr4_allowed(&vmx_caps));
    if (!vmxon(pool_pa(region))) {
        log_error("cpu %u: VMXON failed", this_cpu()->id);
        return ERR_UNSUPP;
    }
    return OK;
}

int vmx_leave_and_enter(void)
{
    asm volatile("vmxoff" : : : "cc", "memory");
    return vmx_init_cpu();
}

/* An exit clears the flags that say VMfail. */
bool vmx_launch(struct vmx_regs *regs)
{
    bool failed;
    u64 at;

    asm volatile("vmwrite %%rsp, %[host_rsp]\n\t"
                 "lea 1f(%%rip), %[at]\n\t"
                 "vmwrite %[at], %[host_rip]\n\t"
                 "vmlaunch\n"
                 "1:"
                 : "=@ccbe"(failed), [at] "=&r"(at), "+a"(regs->rax), "+c"(regs->rcx), "+d"(regs->rdx)
                 : [host_rsp] "r"((u64)HOST_RSP), [host_rip] "r"((u64)HOST_RIP)
                 : "memory");
    return !failed;
}
