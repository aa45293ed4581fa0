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
    struct vm *vm = c->v->vm;
    struct nested *n = c->v->nested;
    struct nidus_area *area = NULL;
    s64 r = 0;

    if (c->arg[0] > 1)
        return -NIDUS_EINVAL;
    if (!vcpu_in_vmx_root(c->v) || n->current == NO_VMCS)
        return -NIDUS_ENOENT;
    if (c->arg[1]) {
        if (!IS_ALIGNED(c->arg[1], PAGE_SIZE))
            return -NIDUS_EINVAL;
        spin_lock(&vm->pv.lock);
        if (pv_pins(vm, c->arg[1], PAGE_SIZE))
            r = -NIDUS_EBUSY;
        else
            area = pv_area_at(vm, c->arg[1], c->v->id);
        spin_unlock(&vm->pv.lock);
        if (!area)
            return r ? r : -NIDUS_EFAULT;
    }
    n->queue = (struct pv_queue){.area = area};
    n->serves_l2 = c->arg[0];
    n->checked = false;
    return 0;
}
