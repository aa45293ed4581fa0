/* SPDX-License-Identifier: MIT */
/* Does IPI virtualization work on this machine? A guest sends an IPI to an id that is not in the table, and
 * one to itself. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx_names.h"
#include "lib/log.h"
#include "vmm/apicv.h"
#include "vmm/mini_guest.h"

#define VECTOR 0x41

/* How the guest ends that sends an interrupt to the APIC of this id. */
static u32 send(struct mini_guest *g, u32 id)
{
    u32 reason;

    g->regs = (struct vmx_regs){.rax = VECTOR, .rcx = MSR_IA32_X2APIC_ICR, .rdx = id};
    mini_load(g);
    apicv_before_entry(g->vcpu);
    reason = mini_run(g, MINI_WRMSR);
    mini_unload(g);
    return reason;
}

static bool works(struct mini_guest *g)
{
    const u64 *pir = g->vcpu->pid->pir;
    u32 nobody, self;

    g->vcpu->pid->flags = PID_SN; /* nobody is to be notified */
    nobody = send(g, 1);
    vcpu_takes_ipis(g->vcpu, 0, true);
    self = send(g, 0);
    if (nobody == EXIT_REASON_APIC_WRITE && self == EXIT_REASON_VMCALL &&
        pir[VECTOR / 64] == BIT(VECTOR % 64))
        return true;
    log_warn("IPI virtualization does not work here and is not used (exits 0x%x, 0x%x, posted 0x%lx)", nobody,
             self, pir[VECTOR / 64]);
    return false;
}

void ipiv_check(const struct config_vm *config)
{
    struct mini_guest *g;

    if (!vmx_has(&vmx_features, VF_IPI_VIRTUALIZATION))
        return;
    vmx_features.granted &= ~BIT(VF_IPI_VIRTUALIZATION);
    g = mini_create(config, APIC_POSTED);
    if (!g)
        return;
    if (works(g)) {
        vmx_features.granted |= BIT(VF_IPI_VIRTUALIZATION);
        log_info("IPI virtualization works");
    }
    mini_destroy(g);
}
