/* SPDX-License-Identifier: MIT */
/* Page-modification logging for L1: SDM, 'Page-Modification Logging'. vmcs02 does without: the first write to
 * a page is a violation of the shadow EPT, where L1's dirty flag is set too. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define LOG_ENTRIES 512

/* L2 has EPT, and with it secondary controls. */
static bool is_on(struct vcpu *v)
{
    return V12(v, SECONDARY_CONTROLS) & PROC2_ENABLE_PML;
}

bool nested_pml_full(struct vcpu *v)
{
    return is_on(v) && V12(v, GUEST_PML_INDEX) >= LOG_ENTRIES;
}

void nested_pml_log(struct vcpu *v, gpa_t gpa2)
{
    u64 index = V12(v, GUEST_PML_INDEX), entry = ALIGN_DOWN(gpa2, PAGE_SIZE);

    if (!is_on(v))
        return;
    guest_write(v->vm, V12(v, PML_ADDRESS) + index * sizeof(entry), &entry, sizeof(entry));
    V12(v, GUEST_PML_INDEX) = (u16)(index - 1);
    /* L1 reads it there: sync.c. */
    if (vmcs_field_exists(&vmx_caps, VI_GUEST_PML_INDEX))
        vmwrite(GUEST_PML_INDEX, V12(v, GUEST_PML_INDEX));
}
