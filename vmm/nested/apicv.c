/* SPDX-License-Identifier: MIT */
/*
 * L2's virtual APIC: SDM, chapter 'APIC Virtualization and Virtual Interrupts'. It is a page of L1's memory,
 * which vmcs02 names too, so that the CPU virtualizes accesses and delivers interrupts by itself; but not
 * while L2 is halted, since then Nidus has its CPU.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define VTPR 0x80

/* Guest interrupt status */
#define RVI(status) ((u8)(status))
#define SVI(status) ((u8)((status) >> 8))

static u64 secondary12(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY ? V12(v, SECONDARY_CONTROLS) : 0;
}

static bool read_vtpr(struct vcpu *v, u8 *vtpr)
{
    return !guest_read(v->vm, V12(v, VIRTUAL_APIC_ADDRESS) + VTPR, vtpr, sizeof(*vtpr));
}

/* Right after an entry, also into HLT. While L2 is active the CPU sees to it. */
bool nested_tpr_below_threshold(struct vcpu *v)
{
    const u64 both = PROC2_VIRTUALIZE_APIC_ACCESSES | PROC2_VIRTUAL_INTERRUPT_DELIVERY;
    u8 vtpr;

    if (likely(v->activity != VCPU_HALTED) || !(V12(v, PRIMARY_CONTROLS) & PROC_USE_TPR_SHADOW) ||
        (secondary12(v) & both) != PROC2_VIRTUALIZE_APIC_ACCESSES)
        return false;
    return read_vtpr(v, &vtpr) && V12(v, TPR_THRESHOLD) > vtpr >> 4;
}

/* 'PPR Virtualization'; only classes count here. */
static u8 priority_class(u8 vtpr, u8 svi)
{
    return MAX(vtpr >> 4, svi >> 4);
}

/* 'Evaluation of Pending Virtual Interrupts'. The entry that follows delivers it. */
bool nested_virtual_interrupt(struct vcpu *v)
{
    u64 status;
    u8 vtpr;

    if (!(secondary12(v) & PROC2_VIRTUAL_INTERRUPT_DELIVERY) ||
        V12(v, PRIMARY_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING || !(vmread(GUEST_RFLAGS) & RFLAGS_IF) ||
        !read_vtpr(v, &vtpr))
        return false;
    status = vmread(GUEST_INTERRUPT_STATUS);
    return RVI(status) >> 4 > priority_class(vtpr, SVI(status));
}

/* --- what an interrupted delivery was of --- */

static u32 gate_size(void)
{
    if (vmread(GUEST_IA32_EFER) & EFER_LMA)
        return 16;
    return vmread(GUEST_CR0) & CR0_PE ? 8 : 4;
}

/* Was the access that exited the one to that vector's gate? */
static bool reads_gate(u32 vector)
{
    u64 at = vmread(GUEST_LINEAR_ADDRESS) - vmread(GUEST_IDTR_BASE);

    return vmread(EXIT_QUALIFICATION) & EPT_QUAL_LINEAR_VALID && at / gate_size() == vector;
}

/* Not by L1 and not by Nidus: the exit has only made the field invalid. */
static bool not_injected(u32 info)
{
    const u32 what = 0x7ff; /* vector and type */

    return INTR_INFO_TYPE(info) == INTR_TYPE_EXTERNAL &&
           (info & what) != (vmread(ENTRY_INTERRUPTION_INFO) & what);
}

/*
 * Bochs 3.0 does not note that it delivers a virtual interrupt: the IDT-vectoring information is that of the
 * last event before it, L1's or L2's. It is corrected where it cannot be true: since the vector is SVI, where
 * it names an interrupt that nobody has injected, or another vector than that of the gate that is read.
 */
void nested_correct_vectoring(struct vcpu *v)
{
    u32 info, vector;

    if (likely(!(secondary12(v) & PROC2_VIRTUAL_INTERRUPT_DELIVERY)))
        return;
    info = (u32)vmread(IDT_VECTORING_INFO);
    vector = SVI(vmread(GUEST_INTERRUPT_STATUS));
    if (!(info & INTR_INFO_VALID) || INTR_INFO_VECTOR(info) == vector || !vector ||
        !(vmread(GUEST_RFLAGS) & RFLAGS_IF))
        return;
    if (not_injected(info) || reads_gate(vector))
        vmwrite(IDT_VECTORING_INFO, INTR_INFO(INTR_TYPE_EXTERNAL, vector));
}
