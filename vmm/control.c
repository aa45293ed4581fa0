/* SPDX-License-Identifier: MIT */
#include "vmm/control.h"
#include "arch/x86/asm.h"
#include "lib/string.h"
#include "vmm/task.h"
#include "vmm/vmm.h"

#define MAX_LISTENERS 4

static struct task *listeners[MAX_LISTENERS];
static struct vcpu_call gone; /* in place of a call: none is served any more */

void control_listen(struct task *t)
{
    for (u32 i = 0; i < MAX_LISTENERS; i++) {
        struct task *none = NULL;

        if (__atomic_compare_exchange_n(&listeners[i], &none, t, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            return;
    }
    panic("too many tasks listen");
}

void control_changed(void)
{
    for (u32 i = 0; i < MAX_LISTENERS; i++) {
        struct task *t = __atomic_load_n(&listeners[i], __ATOMIC_ACQUIRE);

        if (t)
            task_wake(t);
    }
}

/* vmm_hold() of any number. */
static struct vm *hold(u32 vm)
{
    return vmm_runs(vm) ? vmm_hold(vm) : NULL;
}

/* ERR_BUSY: somebody else asks it something just now. */
static int post(u32 vm, u32 vcpu, struct vcpu_call *call)
{
    struct vm *of = hold(vm);
    struct vcpu_call *there = NULL;
    int r = OK;

    if (!of)
        return vmm_runs(vm) ? ERR_BUSY : ERR_NOENT;
    if (vcpu >= of->nr_vcpus)
        r = ERR_NOENT;
    else if (!__atomic_compare_exchange_n(&of->vcpus[vcpu]->call, &there, call, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST))
        r = there == &gone ? ERR_NOENT : ERR_BUSY;
    else
        vcpu_request(of->vcpus[vcpu], REQ_CALL | REQ_KICK);
    vmm_let_go(of);
    return r;
}

int control_call(struct task *t, u32 vm, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    struct vcpu_call call = {.fn = fn, .arg = arg, .task = t};
    int r;

    while ((r = post(vm, vcpu, &call)) == ERR_BUSY)
        task_give_way(t);
    if (r)
        return r;
    while (!__atomic_load_n(&call.done, __ATOMIC_ACQUIRE))
        task_wait(t);
    return call.result;
}

/* As soon as it is done the call itself is no more. */
static void answer(struct vcpu_call *call, int result)
{
    struct task *t = call->task;

    call->result = result;
    __atomic_store_n(&call->done, 1, __ATOMIC_RELEASE);
    task_wake(t);
}

void control_serve(struct vcpu *v)
{
    struct vcpu_call *call = __atomic_exchange_n(&v->call, NULL, __ATOMIC_SEQ_CST);

    if (!call)
        return;
    call->fn(v, call->arg);
    answer(call, OK);
}

void control_vcpu_gone(struct vcpu *v)
{
    struct vcpu_call *call = __atomic_exchange_n(&v->call, &gone, __ATOMIC_SEQ_CST);

    if (call)
        answer(call, ERR_NOENT);
}

int control_vm(struct task *t, u32 vm, void (*fn)(struct vm *vm, void *arg), void *arg)
{
    struct vm *of;

    while (!(of = hold(vm))) {
        if (!vmm_runs(vm))
            return ERR_NOENT;
        task_give_way(t);
    }
    fn(of, arg);
    vmm_let_go(of);
    return OK;
}

void vcpu_hold(struct vcpu *v, u64 why)
{
    vcpu_request(v, why | REQ_KICK);
}

void vcpu_release(struct vcpu *v, u64 why)
{
    __atomic_and_fetch(&v->requests, ~why, __ATOMIC_SEQ_CST);
    vcpu_kick(v);
}

void vm_hold_all(struct vm *vm, u64 why)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        vcpu_hold(vm->vcpus[i], why);
}

void vm_release_all(struct vm *vm, u64 why)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        vcpu_release(vm->vcpus[i], why);
}

void vcpu_stop(struct vcpu *v, const struct vcpu_stop *why)
{
    /* Whoever finds the kind finds the rest: it may be held already, and looked at. */
    memcpy(v->stop.data, why->data, sizeof(v->stop.data));
    __atomic_store_n(&v->stop.kind, why->kind, __ATOMIC_RELEASE);
    __atomic_or_fetch(&v->requests, REQ_STOPPED | REQ_KICK, __ATOMIC_SEQ_CST);
    control_changed();
}
