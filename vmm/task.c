/* SPDX-License-Identifier: MIT */
#include "vmm/task.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/paging.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "vmm/vmm.h"

#define STACK_SIZE   KiB(16)
#define GIVE_WAY_US  1000
#define SAVED_BY_NOW 6 /* registers that stack_switch() takes from a stack */

void stack_switch(u64 *save, u64 rsp);

struct task *vmm_tasks;
static u64 main_rsp;
static struct task *running;

/* The boot CPU, unless that one has no time. */
static u32 home(void)
{
    return pv_poll_cpu == 0 ? 1 : 0;
}

static void __noreturn enter(void)
{
    running->main(running);
    panic("the task %s has returned", running->name);
}

int task_start(struct task *t, const char *name, void (*main)(struct task *t))
{
    u64 top = stack_alloc(STACK_SIZE), *frame;

    if (!top)
        return ERR_NOMEM;
    /* As if enter() had been called: the ABI wants the stack 8 off a multiple of 16 there. */
    frame = (u64 *)top - 2;
    *frame = (u64)enter;
    t->rsp = (u64)(frame - SAVED_BY_NOW);
    t->name = name;
    t->main = main;
    t->due = ~0ull;
    t->next = __atomic_load_n(&vmm_tasks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&vmm_tasks, &t->next, t, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
    task_wake(t);
    return OK;
}

void tasks_poke(u8 vector)
{
    struct vcpu *v = this_vmm_cpu()->current;

    (void)vector;
    if (!v)
        return;
    v->slice_end = v->until = 0;
    if (v->nested)
        v->nested->until01 = 0;
}

void task_wake(struct task *t)
{
    if (__atomic_exchange_n(&t->ready, 1, __ATOMIC_SEQ_CST))
        return;
    if (this_cpu()->id == home())
        tasks_poke(0);
    else
        apic_send_ipi(cpus[home()]->apic_id, VECTOR_TASK);
}

void task_wait(struct task *t)
{
    stack_switch(&t->rsp, main_rsp);
}

bool task_wait_until(struct task *t, u64 tsc)
{
    t->due = tsc;
    task_wait(t);
    t->due = ~0ull;
    return rdtsc() < tsc;
}

void task_give_way(struct task *t)
{
    task_wait_until(t, rdtsc() + us_to_ticks(GIVE_WAY_US));
}

static bool wants(const struct task *t, u64 now)
{
    return __atomic_load_n(&t->ready, __ATOMIC_ACQUIRE) || t->due <= now;
}

bool tasks_wait(u64 now)
{
    if (this_cpu()->id != home())
        return false;
    for (const struct task *t = __atomic_load_n(&vmm_tasks, __ATOMIC_ACQUIRE); t; t = t->next) {
        if (wants(t, now))
            return true;
    }
    return false;
}

u64 tasks_run(void)
{
    u64 next = ~0ull;

    if (this_cpu()->id != home())
        return next;
    for (struct task *t = __atomic_load_n(&vmm_tasks, __ATOMIC_ACQUIRE); t; t = t->next) {
        if (wants(t, rdtsc())) {
            __atomic_store_n(&t->ready, 0, __ATOMIC_SEQ_CST);
            running = t;
            stack_switch(&main_rsp, t->rsp);
        }
        next = MIN(next, t->due);
    }
    return next;
}
