/* SPDX-License-Identifier: MIT */
/* A spare CPU that looks at the queues of all VMs in turn, so that they need not make exits for them. */
#include "arch/x86/asm.h"
#include "vmm/pv/ops.h"
#include "vmm/vmm.h"

u32 pv_poll_cpu = CPU_NONE;

/* With the queue's lock held. */
static void serve(struct pv_queue *q, struct vcpu *v)
{
    switch (pv_queue_serve(q, v, PV_BY_POLLER)) {
    case PV_QUEUE_OWN:
        if (!q->asked)
            vcpu_kick(v);
        q->asked = true;
        break;
    case PV_QUEUE_STOPPED:
    case PV_QUEUE_BAD:
        pv_queue_stop(q, true);
        break;
    default:
        break;
    }
}

static void look_at(struct vcpu *v)
{
    struct pv_queue *q = &v->pv.queue;

    if (!__atomic_load_n(&q->area, __ATOMIC_RELAXED) || !spin_trylock(&q->lock))
        return;
    if (q->area && !q->stopped && pv_queue_left(q))
        serve(q, v);
    spin_unlock(&q->lock);
}

static void look_at_vm(struct vm *vm)
{
    vm_use_space(vm);
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        look_at(vm->vcpus[i]);
    /* The VM may end on another CPU. */
    vm_use_space(NULL);
}

static void look_at_number(u32 i)
{
    struct vm *vm = vmm_hold(i);

    if (!vm)
        return;
    vmm_flush_if_wanted();
    if (vm->cpuid.nidus[1].eax & NIDUS_HAS_POLL)
        look_at_vm(vm);
    vmm_let_go(vm);
    irq_take_pending();
}

void __noreturn pv_poll_main(void)
{
    for (;;) {
        for (u32 i = 0; i < CONFIG_MAX_VMS; i++)
            look_at_number(i);
        irq_take_pending();
        cpu_pause();
    }
}

/* All that waits, since v may not come by here again for long. */
void pv_queue_asked(struct vcpu *v)
{
    struct pv_queue *q = &v->pv.queue;
    enum pv_queue_end end = PV_QUEUE_AGAIN;

    if (!spin_trylock(&q->lock)) {
        __atomic_or_fetch(&v->requests, REQ_KICK, __ATOMIC_ACQ_REL);
        return;
    }
    for (u32 i = 0; q->area && end == PV_QUEUE_AGAIN && i < NIDUS_SLOTS; i++)
        end = pv_queue_serve(q, v, PV_BY_SELF);
    q->asked = end == PV_QUEUE_AGAIN && q->area;
    if (q->area)
        pv_queue_stop(q, end == PV_QUEUE_STOPPED || end == PV_QUEUE_BAD);
    spin_unlock(&q->lock);
}
