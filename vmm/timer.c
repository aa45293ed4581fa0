/* SPDX-License-Identifier: MIT */
#include "vmm/timer.h"
#include "arch/x86/asm.h"
#include "arch/x86/time.h"

u64 vm_now(struct vm *vm)
{
    return rdtsc() - vm->start_tsc;
}

u64 vm_hz(struct vm *vm)
{
    (void)vm;
    return tsc_hz;
}

static void update_deadline(struct vcpu *v)
{
    u64 deadline = ~0ull;

    if (!list_empty(&v->timers)) {
        u64 when = container_of(v->timers.next, struct vtimer, node)->when;

        deadline = when > ~0ull - v->vm->start_tsc ? ~0ull : when + v->vm->start_tsc;
    }
    __atomic_store_n(&v->deadline, deadline, __ATOMIC_RELEASE);
}

void vtimer_init(struct vtimer *t, struct vcpu *vcpu, void (*fire)(struct vtimer *))
{
    list_init(&t->node);
    t->armed = false;
    t->fire = fire;
    t->vcpu = vcpu;
}

void vtimer_set(struct vtimer *t, u64 when)
{
    struct vcpu *v = t->vcpu;
    struct list *pos;
    u64 before = v->deadline;

    list_del(&t->node);
    t->when = when;
    t->armed = true;
    for (pos = v->timers.next; pos != &v->timers; pos = pos->next) {
        if (container_of(pos, struct vtimer, node)->when > when)
            break;
    }
    list_add_before(pos, &t->node);
    update_deadline(v);
    if (v->deadline < before && !vcpu_sooner(v))
        vcpu_kick(v);
}

void vtimer_cancel(struct vtimer *t)
{
    list_del(&t->node);
    t->armed = false;
    update_deadline(t->vcpu);
}

void vtimers_run(struct vcpu *v)
{
    u64 now = vm_now(v->vm);

    while (!list_empty(&v->timers)) {
        struct vtimer *t = container_of(v->timers.next, struct vtimer, node);

        if (t->when > now)
            break;
        vtimer_cancel(t);
        t->fire(t);
    }
}
