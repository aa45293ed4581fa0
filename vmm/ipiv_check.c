/* SPDX-License-Identifier: MIT */
/*
 * Does IPI virtualization work on this machine? A guest without memory of its own, set up as vCPUs are, sends
 * an IPI to an id that is not in the table, and one to itself.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/apicv.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/vmcs_setup.h"
#include "vmm/vmm.h"

#define VM_PAGES ((sizeof(struct vm) + PAGE_SIZE - 1) / PAGE_SIZE)
#define VECTOR   0x41
#define TRIES    1000
#define VMFAIL   (~0u)

/* Its CPU is in x2APIC mode, and its memory is Nidus's address space. */
static void set_up(struct vcpu *v)
{
    const struct start_state start = {
        .mode = START_LONG64, .cs = SEL_CODE, .ds = SEL_DATA, .cr3 = read_cr3()};
    struct lapic *l = v->apic_pages;

    v->lapic = l;
    l->regs = (u32 *)((u8 *)l + PAGE_SIZE);
    l->base = LAPIC_BASE | LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD;
    l->takes_fixed = true;
    l->pid.flags = PID_SN; /* nobody is to be notified */
    vcpu_load(v);
    vmcs_setup(v);
    vmcs_set_cpu();
    vcpu_set_start(v, &start);
    apicv_before_entry(v);
    vmwrite(GUEST_CR0, read_cr0());
    vmwrite(GUEST_CR4, read_cr4());
    vmwrite(GUEST_IA32_EFER, rdmsr(MSR_IA32_EFER));
    vmwrite(SECONDARY_CONTROLS, vmread(SECONDARY_CONTROLS) &
                                    ~(u64)(PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST | PROC2_ENABLE_VPID));
    vmwrite(PREEMPTION_TIMER_VALUE, ~0u);
    vcpu_unload(v);
}

/* How the guest ends that sends an interrupt to the APIC of this id. */
static u32 send(struct vcpu *v, u32 id)
{
    u32 reason = VMFAIL;

    for (u32 i = 0; i < TRIES; i++) {
        vcpu_load(v); /* it is launched anew each time */
        if (vmx_launch_wrmsr(MSR_IA32_X2APIC_ICR, (u64)id << 32 | VECTOR))
            reason = (u32)vmread(EXIT_REASON);
        if (reason == EXIT_REASON_EXTERNAL_INTERRUPT)
            irq_dispatch(INTR_INFO_VECTOR(vmread(EXIT_INTERRUPTION_INFO)));
        vcpu_unload(v);
        if (reason != EXIT_REASON_EXTERNAL_INTERRUPT)
            break;
    }
    return reason;
}

static bool works(struct vcpu *v)
{
    const u64 *pir = v->pid->pir;
    u32 nobody, self;

    set_up(v);
    nobody = send(v, 1);
    vcpu_takes_ipis(v, 0, true);
    self = send(v, 0);
    if (nobody == EXIT_REASON_APIC_WRITE && self == EXIT_REASON_VMCALL &&
        pir[VECTOR / 64] == BIT(VECTOR % 64))
        return true;
    log_warn("IPI virtualization does not work here and is not used (exits 0x%x, 0x%x, posted 0x%lx)", nobody,
             self, pir[VECTOR / 64]);
    return false;
}

void ipiv_check(const struct config_vm *config)
{
    struct vm *vm;
    struct vcpu *v = NULL;

    if (!vmx_has(&vmx_features, VF_IPI_VIRTUALIZATION))
        return;
    vmx_features.granted &= ~BIT(VF_IPI_VIRTUALIZATION);
    vm = pool_alloc(&pool_owner, VM_PAGES);
    if (!vm)
        return;
    vm->config = config;
    vm->owner.name = "IPI virtualization";
    vm->vpid_base = 1;
    vm->space = read_cr3();
    vm->apic = APIC_POSTED;
    vm->pid_pointers = pool_alloc(&vm->owner, 1);
    vm->msr_bitmap = vm->msr_bitmap_x2 = pool_alloc(&vm->owner, 1); /* lets through all */
    if (vm->pid_pointers && vm->msr_bitmap)
        v = vcpu_create(vm, 0);
    if (v && works(v)) {
        vmx_features.granted |= BIT(VF_IPI_VIRTUALIZATION);
        log_info("IPI virtualization works");
    }
    vm_use_space(NULL);
    if (v)
        vcpu_destroy(v);
    pool_free(&vm->owner, vm->msr_bitmap, 1);
    pool_free(&vm->owner, vm->pid_pointers, 1);
    frames_forget_owner(&vm->owner);
    pool_free(&pool_owner, vm, VM_PAGES);
}
