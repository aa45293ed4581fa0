/* SPDX-License-Identifier: MIT */
/* Who ends a VM: its devices, what it did, a person. What follows is in vm.c. */
#include "arch/x86/vmx.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/vmm.h"

void vm_request_end(struct vm *vm, enum vm_end how, const char *why)
{
    u32 expected = 0;

    if (!__atomic_compare_exchange_n(&vm->ending, &expected, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return;
    vm->how = how;
    str_copy(vm->why, why, sizeof(vm->why));
    __atomic_store_n(&vm->ending, 2, __ATOMIC_RELEASE);
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        vcpu_kick(vm->vcpus[i]);
}

/* Nothing of it goes on, until somebody ends it or makes it go on. */
static void keep(struct vcpu *v, const char *why)
{
    struct vm *vm = v->vm;

    if (!__atomic_exchange_n(&vm->crashed, 1, __ATOMIC_ACQ_REL)) {
        str_copy(vm->why, why, sizeof(vm->why));
        log_info("%s: kept as it is; Ctrl-] and m opens the monitor", vm->config->name);
    }
    vm_hold_all(vm, REQ_STOPPED);
    vcpu_stop(v, &(struct vcpu_stop){.kind = STOP_CRASH});
}

void(vm_crash)(struct vcpu *v, const char *fmt, ...)
{
    char why[96];
    va_list args;

    va_start(args, fmt);
    format_va(why, sizeof(why), fmt, args);
    va_end(args);
    log_error("%s: vCPU %u at 0x%lx: %s", v->vm->config->name, v->id, vmread(GUEST_RIP), why);
    if (vmm_keep_crashed)
        keep(v, why);
    else
        vm_request_end(v->vm, VM_END_CRASH, why);
}

void vm_stop(struct vm *vm, bool again, const char *why)
{
    vm->again = again;
    vm_request_end(vm, vm->crashed ? VM_END_CRASH : again ? VM_END_RESET : VM_END_POWEROFF, why);
}
