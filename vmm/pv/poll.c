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
    bool asks = false;

    if (!__atomic_load_n(&q->area, __ATOMIC_RELAXED) || !spin_trylock(&q->lock))
        return;
    if (q->area && !q->stopped && !q->asked && pv_queue_left(q)) {
        serve(q, v);
        asks = q->asked;
    }
    spin_unlock(&q->lock);
    /* What it is told of must be there for it to see when it comes. */
    if (asks)
        vcpu_kick(v);
}

static void look_at_vm(struct vm *vm)
{
    vm_use_space(vm);
    for (u32 i = 0; i < vm->nr_vcpus && !spin_contended(&vm->held); i++)
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

/* All that waits, since v may not come by here again for long: not even if it halts. What is left when its
 * time is over is next when it comes back, which is soon. */
void pv_queue_asked(struct vcpu *v)
{
    struct pv_queue *q = &v->pv.queue;
    enum pv_queue_end end = PV_QUEUE_AGAIN;

    if (spin_trylock(&q->lock)) {
        u32 turns = NIDUS_SLOTS;

        do {
            end = pv_queue_serve(q, v, PV_BY_SELF);
        } while (end == PV_QUEUE_AGAIN && --turns && rdtsc() < v->slice_end);
        q->asked = end == PV_QUEUE_AGAIN;
        pv_queue_stop(q, end == PV_QUEUE_STOPPED || end == PV_QUEUE_BAD);
        spin_unlock(&q->lock);
    }
    if (end == PV_QUEUE_AGAIN)
        __atomic_or_fetch(&v->requests, REQ_QUEUE, __ATOMIC_ACQ_REL);
}
