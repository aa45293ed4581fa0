/* SPDX-License-Identifier: MIT */
/* What a hypervisor in a VM asks for its own guests. */
#include "vmm/pv/ops.h"

/*
 * From the next entry on Nidus answers the hypercalls that the L2 of the current VMCS makes and that the
 * table has for L2; the others are L1's as before. It lasts until VMCLEAR. The area, in L1's memory, has L2's
 * queue.
 */
s64 pv_nested(struct pv_call *c)
{
    struct nested *n = c->v->nested;
    struct nidus_area *area = NULL;

    if (c->arg[0] > 1)
        return -NIDUS_EINVAL;
    if (!vcpu_in_vmx_root(c->v) || n->current == NO_VMCS)
        return -NIDUS_ENOENT;
    if (c->arg[1]) {
        if (!IS_ALIGNED(c->arg[1], PAGE_SIZE))
            return -NIDUS_EINVAL;
        if (pv_pins(c->v->vm, c->arg[1], PAGE_SIZE))
            return -NIDUS_EBUSY;
        area = pv_area_at(c->v->vm, c->arg[1], c->v->id);
        if (!area)
            return -NIDUS_EFAULT;
    }
    n->queue = (struct pv_queue){.area = area};
    n->serves_l2 = c->arg[0];
    n->checked = false;
    return 0;
}
