/* SPDX-License-Identifier: MIT */
/*
 * Turning observation on and off. Each vCPU turns itself over, in its slow path: so nobody is about to use
 * what is freed afterwards.
 */
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/observe.h"
#include "vmm/vm.h"

#define OBSERVED_PAGES 2

/* What is asked of a vCPU, and how that went. */
struct turn {
    bool anew; /* its statistics begin */
    int result;
};

static bool is_wanted(void)
{
    return __atomic_load_n(&observing.stats, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&observing.rings, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&observing.nr_breaks, __ATOMIC_ACQUIRE);
}

void observe_free(struct vcpu *v)
{
    pool_free(&v->vm->owner, v->observed, OBSERVED_PAGES);
    v->observed = NULL;
    v->on_exit = vmx_exit;
    v->on_l2_exit = nested_l2_exit;
    v->enter = vmx_enter;
}

static int observe(struct vcpu *v)
{
    v->observed = pool_alloc(&v->vm->owner, OBSERVED_PAGES);
    if (!v->observed)
        return ERR_NOMEM;
    v->observed->stats.since = rdtsc();
    v->on_exit = vmx_exit_observed;
    v->on_l2_exit = nested_l2_exit_observed;
    v->enter = vmx_enter_observed;
    return OK;
}

/* In the vCPU's slow path, or before it has run. */
static void turn_over(struct vcpu *v, void *arg)
{
    struct turn *turn = arg;

    if (!is_wanted()) {
        if (v->observed)
            observe_free(v);
        return;
    }
    if (!v->observed && observe(v))
        turn->result = ERR_NOMEM;
    else if (turn->anew) {
        memset(&v->observed->stats, 0, sizeof(v->observed->stats));
        v->observed->stats.since = rdtsc();
        v->observed->waiting = false;
    }
}

/* A VM that starts meanwhile looks by itself: observe_vm(). */
static int turn_all(struct task *t, bool anew)
{
    struct turn turn = {.anew = anew};

    for (u32 vm = 0; vm < CONFIG_MAX_VMS; vm++) {
        /* Of a VM that is ending the first may be gone, and others not. */
        for (u32 i = 0; i < CONFIG_MAX_VCPUS; i++)
            control_call(t, vm, i, turn_over, &turn);
    }
    return turn.result;
}

void observe_vm(struct vm *vm)
{
    struct turn turn = {0};

    for (u32 i = 0; i < vm->nr_vcpus; i++)
        turn_over(vm->vcpus[i], &turn);
    if (turn.result)
        log_error("%s: no memory to observe it", vm->config->name);
}

int observe_stats(struct task *t, bool on)
{
    __atomic_store_n(&observing.stats, on, __ATOMIC_RELEASE);
    return turn_all(t, on);
}

/* --- the trace --- */

static void free_rings(struct trace_ring *rings)
{
    for (u32 i = 0; i < observing.nr_rings; i++)
        pool_free(&pool_owner, rings[i].events, observing.pages);
    pool_free(&pool_owner, rings, observing.rings_pages);
}

static struct trace_ring *make_rings(u32 pages)
{
    u32 rings_pages = (u32)((nr_cpus * sizeof(struct trace_ring) + PAGE_SIZE - 1) / PAGE_SIZE);
    struct trace_ring *rings = pool_alloc(&pool_owner, rings_pages);

    observing.rings_pages = rings_pages;
    observing.pages = pages;
    observing.nr_rings = rings ? nr_cpus : 0;
    for (u32 i = 0; i < observing.nr_rings; i++) {
        rings[i].mask = pages * PAGE_SIZE / sizeof(struct trace_event) - 1;
        rings[i].events = pool_alloc(&pool_owner, pages);
        if (!rings[i].events) {
            free_rings(rings);
            return NULL;
        }
    }
    return rings;
}

int observe_trace(struct task *t, u32 pages)
{
    struct trace_ring *rings;

    observe_trace_off(t);
    rings = make_rings(pages);
    if (!rings)
        return ERR_NOMEM;
    __atomic_store_n(&observing.rings, rings, __ATOMIC_RELEASE);
    return turn_all(t, false);
}

void observe_trace_off(struct task *t)
{
    struct trace_ring *rings = observing.rings;

    if (!rings)
        return;
    __atomic_store_n(&observing.rings, NULL, __ATOMIC_RELEASE);
    turn_all(t, false);
    free_rings(rings);
}

/* --- where vCPUs stop --- */

int observe_break(struct task *t, const struct exit_break *b)
{
    for (u32 i = 0; i < OBSERVE_BREAKS; i++) {
        struct exit_break *to = &observing.breaks[i];

        if (to->used)
            continue;
        *to = *b;
        __atomic_store_n(&to->used, true, __ATOMIC_RELEASE);
        __atomic_add_fetch(&observing.nr_breaks, 1, __ATOMIC_RELEASE);
        return turn_all(t, false);
    }
    return ERR_NOMEM;
}

void observe_unbreak(struct task *t, u32 n)
{
    if (!observing.breaks[n].used)
        return;
    __atomic_store_n(&observing.breaks[n].used, false, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&observing.nr_breaks, 1, __ATOMIC_RELEASE);
    turn_all(t, false);
}
