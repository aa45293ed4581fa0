/* SPDX-License-Identifier: MIT */
/*
 * The VM gives back pieces of its RAM, and has new memory there later. While they are gone accesses there are
 * those of an address without anything.
 *
 * Nobody else may have a frame before all that CPUs have cached of it is gone. In this order: the piece is
 * taken out of what vm_populate() finds, the EPT and the VM's host space; vmm_flush_wanted is raised; each
 * vCPU of the VM is seen out of its guest and out of Nidus, and flushes before it does anything again
 * (vcpu_load(), vcpu_step_back_in()); the CPU that polls has let go of the VM, and loads CR3 when it comes
 * back. Other CPUs do not have the VM's space, and flush before they enter any guest. Nidus itself has no
 * address of such memory in hand then: guest_read() and its like fail, areas and hypercall pages are pinned,
 * and the pages of L1's that VMCSs and shadow EPTs refer to are looked up in VMX operation only.
 */
#include "vmm/pv/ops.h"
#include "vmm/sched.h"

#define PIECE MiB(2)
#define STEP  GiB(1) /* in one go */

static bool in_vmx(const struct vm *vm)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        if (vcpu_in_vmx(vm->vcpus[i]))
            return true;
    }
    return false;
}

static void forget_everywhere(struct vcpu *v)
{
    struct vm *vm = v->vm;

    __atomic_add_fetch(&vmm_flush_wanted, 1, __ATOMIC_ACQ_REL);
    vm_wait_until_seen(vm, v, ~0ull);
    /* The CPU that polls may be waiting for v. */
    vcpu_step_out(v);
    spin_lock(&vm->held);
    spin_unlock(&vm->held);
    vcpu_step_back_in(v);
}

/* A vCPU that has just executed VMXON may have looked up pages before they were taken. */
static int release(struct vcpu *v, struct vm_extent *piece)
{
    struct vm *vm = v->vm;
    paddr_t tables = 0;
    bool busy;
    int r = ERR_BUSY;

    spin_lock(&vm->pv.lock);
    if (!in_vmx(vm) && !pv_pins(vm, piece->gpa, piece->size))
        r = vm_memory_take(vm, piece, &tables);
    spin_unlock(&vm->pv.lock);
    if (r)
        return r;
    forget_everywhere(v);
    busy = in_vmx(vm);
    vm_memory_settle(vm, piece, tables, busy);
    return busy ? ERR_BUSY : OK;
}

static int populate(struct vcpu *v, struct vm_extent *piece)
{
    return vm_memory_add(v->vm, piece->gpa, piece->size);
}

static s64 check(const struct vm *vm, gpa_t gpa, u64 size)
{
    gpa_t last = gpa + size - 1;

    if (!size || !IS_ALIGNED(gpa | size, PIECE) || gpa < PIECE)
        return -NIDUS_EINVAL;
    /* With both ends in the same of two parts, all of it is in that. */
    if (last < gpa || (gpa < GiB(4)) != (last < GiB(4)) || !vm_may_be_ram(vm, gpa) ||
        !vm_may_be_ram(vm, last))
        return -NIDUS_EFAULT;
    return 0;
}

/* One step, which ends at a multiple of its size. */
static s64 balloon(struct pv_call *c, int (*step)(struct vcpu *v, struct vm_extent *piece))
{
    struct vm_extent piece = {.gpa = c->arg[0], .size = MIN(c->arg[1], STEP - c->arg[0] % STEP)};
    struct vm *vm = c->v->vm;
    s64 r = check(vm, c->arg[0], c->arg[1]);

    if (r)
        return r;
    if (!spin_trylock(&vm->pv.balloon))
        return PV_AGAIN;
    r = pv_result(step(c->v, &piece));
    spin_unlock(&vm->pv.balloon);
    if (r)
        return r;
    c->arg[0] += piece.size;
    c->arg[1] -= piece.size;
    return c->arg[1] ? PV_AGAIN : 0;
}

s64 pv_release(struct pv_call *c)
{
    return balloon(c, release);
}

s64 pv_populate(struct pv_call *c)
{
    return balloon(c, populate);
}
