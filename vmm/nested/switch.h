/* SPDX-License-Identifier: MIT */
/* From one VMCS to the other, inline: SDM, 'Shadow VMCS'. */
#ifndef VMM_NESTED_SWITCH_H
#define VMM_NESTED_SWITCH_H

#include "arch/x86/vmx.h"
#include "vmm/nested/nested.h"
#include "vmm/vm.h"

/* What vmcs02 is may change while it is clear. */
static inline void nested_make_shadow(const struct nested *n, bool shadow)
{
    vmclear(n->pa02);
    *n->region02 = VMX_BASIC_REVISION(vmx_caps.basic) | (u32)shadow << 31;
}

/* Has the VMCS that is not loaded been in this CPU, and does it know of this stack? */
static inline bool nested_both_here(const struct vcpu *v)
{
    return v->nested->other.cpu == v->vmcs_cpu && v->nested->other.host_rsp == v->host_rsp;
}

/* With vmcs01 loaded. */
static inline void nested_settle_tsc(struct vcpu *v)
{
    if (likely(!v->nested->tsc_moved))
        return;
    vmwrite(TSC_OFFSET, v->tsc_offset);
    v->nested->tsc_moved = false;
}

/* nested_switch() to the other one where nested_both_here(), with VMCS shadowing: vmcs02 begins anew each
 * time. */
static inline __attribute__((always_inline)) void nested_switch_at_once(struct vcpu *v, bool l2)
{
    struct nested *n = v->nested;
    u16 windows = v->windows;

    nested_make_shadow(n, !l2);
    n->in_l2 = l2;
    v->vmcs = l2 ? n->region02 : n->region01;
    n->other.region = l2 ? n->region01 : n->region02;
    v->windows = n->other.windows;
    n->other.windows = windows;
    if (l2) {
        n->other.launched = v->launched;
        v->launched = 0;
    } else {
        v->launched = n->other.launched;
        n->other.launched = 0;
    }
    vmptrld(l2 ? n->pa02 : n->pa01);
    if (!l2)
        nested_settle_tsc(v);
}

#endif
