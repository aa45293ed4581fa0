/* SPDX-License-Identifier: MIT */
/* Operations on control registers, translations, interrupts and time. */
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/exit.h"
#include "vmm/pv/ops.h"

/* Translations of so many pages are dropped one by one, of more of them all at once. */
#define MAX_PAGES_APART 32
#define MAX_TIME        BIT(56) /* ns; its ticks fit 64 bits */

s64 pv_set_cr(struct pv_call *c)
{
    if (!exit_write_cr(c->v, c->arg[0], c->arg[1]))
        return -NIDUS_EINVAL;
    if (c->v->pv.area)
        pv_area_store_crs(c->v);
    return 0;
}

static bool one_by_one(const struct vcpu *v, u64 address, u64 pages)
{
    u32 bits = v->cpuid->linear_bits;

    return pages && pages <= MAX_PAGES_APART && vmx_caps.ept_vpid & VPID_CAP_INVVPID_ADDRESS &&
           is_canonical(address, bits) && is_canonical(address + (pages - 1) * PAGE_SIZE, bits);
}

/* Of whom its VMCS is current: L1, or L2. Without VPIDs the next entry drops all anyway. */
static void flush_own(struct vcpu *v, u64 address, u64 pages)
{
    u16 vpid = vcpu_in_l2(v) ? nested_vpid02(v) : vcpu_vpid(v, 0);

    if (!vmx_has(&vmx_features, VF_VPID))
        return;
    if (!one_by_one(v, address, pages)) {
        invvpid_single(vpid);
        return;
    }
    for (u64 i = 0; i < pages; i++)
        invvpid_address(vpid, address + i * PAGE_SIZE);
}

s64 pv_flush_local(struct pv_call *c)
{
    flush_own(c->v, c->arg[0], c->arg[1]);
    return 0;
}

/* Bit 0 of mask is vCPU first. false: one of them does not exist. */
static bool targets_exist(const struct vm *vm, u64 mask, u64 first)
{
    return !mask || (first < vm->nr_vcpus && 63 - (u32)__builtin_clzll(mask) < vm->nr_vcpus - first);
}

/* The others flush all that they have before their guests go on: in the range there is nothing to gain once
 * they have been made to exit. */
s64 pv_flush_tlb(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    struct vcpu *self = c->by == PV_BY_POLLER ? NULL : c->v;
    u64 mask = c->arg[0], first = c->arg[1], wanted = 0;

    if (!targets_exist(vm, mask, first))
        return -NIDUS_ENOENT;
    for (u64 i = first; mask; i++, mask >>= 1) {
        if (!(mask & 1))
            continue;
        if (vm->vcpus[i] == self) {
            flush_own(self, c->arg[2], c->arg[3]);
        } else {
            __atomic_or_fetch(&vm->vcpus[i]->requests, REQ_FLUSH, __ATOMIC_ACQ_REL);
            wanted |= BIT(i);
        }
    }
    if (wanted)
        vm_wait_until_seen(vm, self, wanted);
    return 0;
}

s64 pv_send_ipi(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    u64 mask = c->arg[0], first = c->arg[1], icr = c->arg[2];
    s64 sent = 0;

    if (!targets_exist(vm, mask, first))
        return -NIDUS_ENOENT;
    if (!pv_icr_valid(icr))
        return -NIDUS_EINVAL;
    for (u64 i = first; mask; i++, mask >>= 1) {
        if (!(mask & 1))
            continue;
        pv_interrupt(vm->vcpus[i], icr);
        sent++;
    }
    return sent;
}

/* --- the timer --- */

static void timer_fires(struct vtimer *t)
{
    lapic_post(vcpu_lapic(t->vcpu), t->vcpu->pv.timer_vector, false);
}

void pv_timer_init(struct vcpu *v)
{
    vtimer_init(&v->pv.timer, v, timer_fires);
}

s64 pv_set_timer(struct pv_call *c)
{
    struct vcpu *v = c->v;
    u64 when = c->arg[0], vector = c->arg[1];

    if (when > MAX_TIME)
        return -NIDUS_ERANGE;
    if (when && (vector < 16 || vector > 255))
        return -NIDUS_EINVAL;
    spin_lock(&v->vm->dev_lock);
    v->pv.timer_vector = (u8)vector;
    if (when)
        vtimer_set(&v->pv.timer, pv_clock_ticks(when));
    else
        vtimer_cancel(&v->pv.timer);
    spin_unlock(&v->vm->dev_lock);
    return 0;
}

/* 1: another vCPU has this CPU now. */
s64 pv_yield(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    u64 to = c->arg[0];

    if (to != NIDUS_ANY_VCPU && to >= vm->nr_vcpus)
        return -NIDUS_ENOENT;
    return sched_give_way(c->v, to == NIDUS_ANY_VCPU ? NULL : vm->vcpus[to]);
}
