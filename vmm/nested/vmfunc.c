/* SPDX-License-Identifier: MIT */
/* VM functions of L2: SDM, 'VM Functions'. vmcs02 enables none, so that the CPU raises #UD by itself where
 * L1's control is 0, and makes an exit of all others. */
#include "vmm/exit.h"
#include "vmm/nested/instructions.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define NR_FUNCTIONS 64
#define LIST_ENTRIES 512

/* 'EPTP Switching'; false: a VM exit. The entry is as L1 has it now, and as good as VM entry would ask. */
static bool switch_eptp(struct vcpu *v)
{
    u32 n = (u32)v->gpr[REG_RCX];
    u64 eptp;

    if (n >= LIST_ENTRIES ||
        guest_read(v->vm, V12(v, EPTP_LIST_ADDRESS) + n * sizeof(eptp), &eptp, sizeof(eptp)) ||
        !nested_eptp_ok(v, eptp))
        return false;
    V12(v, EPT_POINTER) = eptp;
    vmcs02_use_ept(v);
    return true;
}

bool nested_vmfunc(struct vcpu *v)
{
    u32 function = (u32)v->gpr[REG_RAX];

    if (function >= NR_FUNCTIONS)
        return nested_undefined(v);
    /* The only one that there is. */
    if (!(V12(v, VM_FUNCTION_CONTROLS) & BIT(function)) || !switch_eptp(v))
        return nested_reflect(v);
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}
