/* SPDX-License-Identifier: MIT */
/* A physical CPU's main loop, and the slow path around VM entries. */
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "lib/log.h"
#include "vmm/console.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/dev/platform.h"
#include "vmm/apicv.h"
#include "vmm/exit.h"
#include "vmm/fail.h"
#include "vmm/sched.h"
#include "vmm/task.h"
#include "vmm/timer.h"

#define MIN_RUN_US 10

/* INIT puts a vCPU to wait for a start-up IPI; the boot vCPU starts at the reset vector. */
static void take_init(struct vcpu *v)
{
    spin_lock(&v->vm->dev_lock);
    lapic_reset(v->lapic);
    spin_unlock(&v->vm->dev_lock);
    vcpu_reset(v);
    pv_vcpu_reset(v);
    v->activity = v->id ? VCPU_WAIT_SIPI : VCPU_ACTIVE;
}

static void start_at(struct vcpu *v, u8 vector)
{
    vmwrite(GUEST_CS_SELECTOR, (u64)vector << 8);
    vmwrite(GUEST_CS_BASE, (u64)vector << 12);
    vmwrite(GUEST_RIP, 0);
    v->activity = VCPU_ACTIVE;
}

static NOINLINE bool take_these(struct vcpu *v, u64 requests)
{
    int vector;

    if (requests & REQ_FLUSH)
        vcpu_flush_own_tlb(v);
    if (requests & (REQ_NMI | REQ_NMI2))
        vcpu_nmi_arrived(v, requests & REQ_NMI2 ? 2 : 1);
    if (requests & REQ_INIT)
        v->events.init = true;
    if (requests & REQ_SIPI) {
        v->events.sipi = true;
        v->events.sipi_vector = __atomic_load_n(&v->sipi_vector, __ATOMIC_ACQUIRE);
    }
    /* SDM, 'Restrictions on VMX Operation': blocked in VMX root operation; else it is a VM exit there. */
    if (!vcpu_in_vmx(v) && events_take_init(&v->events))
        take_init(v);
    /* To an L2 that waits for one it is a VM exit: nested_before_entry(). */
    if (!vcpu_in_l2(v) || v->activity != VCPU_WAIT_SIPI) {
        vector = events_take_sipi(&v->events, v->activity == VCPU_WAIT_SIPI);
        if (vector >= 0)
            start_at(v, (u8)vector);
    }
    if (requests & REQ_POLL) {
        spin_lock(&v->vm->dev_lock);
        platform_poll(v->vm->platform);
        spin_unlock(&v->vm->dev_lock);
    }
    if (requests & REQ_CALL)
        control_serve(v);
    return !vcpu_is_held(v);
}

/* False: it is held, and all but what was asked of it has to wait. */
static bool take_requests(struct vcpu *v)
{
    const u64 all =
        REQ_KICK | REQ_INIT | REQ_SIPI | REQ_NMI | REQ_NMI2 | REQ_POLL | REQ_FLUSH | REQ_QUEUE | REQ_CALL;
    u64 requests = __atomic_fetch_and(&v->requests, ~all, __ATOMIC_SEQ_CST);

    return likely(!(requests & ~(u64)(REQ_KICK | REQ_QUEUE)) && !v->events.init) || take_these(v, requests);
}

#define HALT_POLL_FIRST_US 10

static void halt_ended(struct vcpu *v)
{
    v->activity = VCPU_ACTIVE;
    if (!v->halted_since)
        return;
    halt_poll_learn(&v->halt, rdtsc() - v->halted_since, us_to_ticks(HALT_POLL_FIRST_US),
                    us_to_ticks(vmm_halt_poll_us));
    v->halted_since = 0;
}

/* With the device lock held: is there anything that ends a halt? */
static bool is_ready(struct vcpu *v)
{
    if (v->activity == VCPU_ACTIVE)
        return true;
    if (v->activity == VCPU_HALTED && (vcpu_wakes(v) || pv_kvm_kicked(v))) {
        halt_ended(v);
        return true;
    }
    return false;
}

static u64 timer_value(u64 until, u64 now)
{
    u64 ticks = until > now ? (until - now) >> VMX_MISC_TIMER_SHIFT(vmx_caps.misc) : 0;

    return MIN(ticks, 0xffffffffu);
}

/*
 * When the CPU must come back by itself: the vCPU's own timers, those of sleepers, the end of the slice. That
 * too without a rival: Bochs 3.0 does not make a VM exit for an interrupt (another CPU's IPI, a key) while
 * the guest that was entered with RFLAGS.IF = 0 keeps it so.
 */
static void arm(struct vmm_cpu *c, struct vcpu *v, u64 now)
{
    u64 wake = sched_wake_due(c, now), until = MIN(MIN(v->deadline, wake), v->slice_end);

    if (unlikely(v->pv.queue.asked) && !vcpu_in_l2(v))
        until = now;
    /* A timer that is always due already must leave the guest some instructions. */
    until = MAX(until, now + us_to_ticks(MIN_RUN_US));
    if (vcpu_in_l2(v)) {
        v->nested->until01 = until;
        until = v->nested->exit_soon ? now : MIN(until, v->nested->timer_end);
    }
    v->until = until;
    if (vmx_has(&vmx_features, VF_PREEMPTION_TIMER))
        vmwrite(PREEMPTION_TIMER_VALUE, timer_value(until, now));
    else if (until != ~0ull)
        apic_timer_set(until);
    else
        apic_timer_stop();
}

/* The entry is made all the same: what prepare() has given the CPU to deliver would be lost without it. */
COLD static void exit_at_once(void)
{
    if (vmx_has(&vmx_features, VF_PREEMPTION_TIMER))
        vmwrite(PREEMPTION_TIMER_VALUE, 0);
    else
        apic_send_ipi(this_cpu()->apic_id, VECTOR_KICK);
}

bool vcpu_sooner(struct vcpu *v)
{
    struct vmm_cpu *c = this_vmm_cpu();
    u64 now = rdtsc(), until = MAX(v->deadline, now + us_to_ticks(MIN_RUN_US));

    if (c->current != v || c->loaded != v || v->nested || v->deadline <= now ||
        !vmx_has(&vmx_features, VF_PREEMPTION_TIMER))
        return false;
    if (until < v->until) {
        v->until = until;
        vmwrite(PREEMPTION_TIMER_VALUE, timer_value(until, now));
    }
    return true;
}

HOT bool vcpu_continue(struct vcpu *v)
{
    struct nested *n = v->nested;
    u64 until = n->until01, now = rdtsc();

    if (n->in_l2) {
        until = v->until;
        n->until01 = until;
        until = MIN(until, n->timer_end);
    } else if (unlikely(v->lapic->changed)) {
        return false;
    }
    v->until = until;
    if (unlikely(now >= until || !vmx_has(&vmx_features, VF_PREEMPTION_TIMER)))
        return false;
    /* A slice fits into the field. */
    vmwrite(PREEMPTION_TIMER_VALUE, (until - now) >> VMX_MISC_TIMER_SHIFT(vmx_caps.misc));
    return likely(!__atomic_load_n(&v->requests, __ATOMIC_RELAXED)) && !v->events.due;
}

#define KEYS_US 10000

static bool looks_at_keys(void)
{
    return vmm_look_at_keys && !this_cpu()->id;
}

/* At the end of a slice: see arm(). */
COLD static void look_outside(void)
{
    irq_take_pending();
    if (looks_at_keys())
        vmm_look_at_keys();
}

COLD static void idle(struct vmm_cpu *c, u64 until)
{
    if (looks_at_keys())
        until = MIN(until, rdtsc() + us_to_ticks(KEYS_US));
    sched_idle(c, until);
    if (looks_at_keys())
        vmm_look_at_keys();
}

enum outcome { GO_ON, BLOCK, YIELD, END };

/* All that is between two entries; with GO_ON the VMCS is ready for the next. */
static enum outcome prepare(struct vmm_cpu *c, struct vcpu *v)
{
    struct vm *vm = v->vm;
    u64 now = rdtsc();
    bool ready;

    if (now >= v->slice_end)
        look_outside();
    if (v->deadline <= now) {
        spin_lock(&vm->dev_lock);
        vtimers_run(v); /* they kick it: before that is looked at */
        spin_unlock(&vm->dev_lock);
    }
    if (!take_requests(v))
        return __atomic_load_n(&vm->ending, __ATOMIC_ACQUIRE) == 2 ? END : BLOCK;
    /* Whoever posts more while ON is set notifies nobody. */
    lapic_take_new(v->lapic);
    if (unlikely(v->pv.queue.asked) && !vcpu_in_l2(v))
        pv_queue_asked(v);
    if (now >= v->slice_end) {
        if (sched_contended(c) || unlikely(vmm_tasks && tasks_wait(now)))
            return YIELD;
        v->slice_end = now + us_to_ticks(SCHED_SLICE_US);
    }
    spin_lock(&vm->dev_lock);
    if (unlikely(vcpu_in_l2(v))) {
        spin_unlock(&vm->dev_lock);
        nested_before_entry(v);
        spin_lock(&vm->dev_lock);
    }
    ready = is_ready(v);
    if (ready)
        vcpu_deliver_events(v);
    else if (vcpu_in_l2(v))
        nested_before_halt(v);
    spin_unlock(&vm->dev_lock);
    if (__atomic_load_n(&vm->ending, __ATOMIC_ACQUIRE) == 2)
        return END;
    if (!ready)
        return BLOCK;
    if (vm->apic != APIC_EMULATED && !vcpu_in_l2(v))
        apicv_before_entry(v);
    arm(c, v, now);
    return GO_ON;
}

/* May another CPU run it next? Then nothing of it may stay in this one. */
static bool moves(const struct vcpu *v)
{
    return v->pin == CONFIG_PIN_ANY && nr_cpus > 1;
}

/* Looks for a while, if that has paid before and nobody else wants the CPU. True: there is something for v.
 */
static bool halt_ends_soon(struct vmm_cpu *c, struct vcpu *v)
{
    u64 now = rdtsc(), wake = sched_wake_due(c, now), end = MIN(now + v->halt.window, wake);
    bool ends = false;

    if (!v->halted_since)
        v->halted_since = now;
    __atomic_store_n(&v->polling, true, __ATOMIC_SEQ_CST); /* no IPI is needed: sched_tell() */
    for (; !ends && now < end && !sched_contended(c); now = rdtsc()) {
        ends = __atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & REQ_KICK || pi_is_on(v->pid) ||
               v->deadline <= now;
        cpu_pause();
    }
    __atomic_store_n(&v->polling, false, __ATOMIC_SEQ_CST); /* before requests are looked at again */
    v->polled += ends;
    return ends;
}

/* Whoever has it next may be the last of the VM, whose tables must not be in use here then. */
static void unload(struct vcpu *v)
{
    vcpu_unload(v);
    vm_use_space(NULL);
}

static bool block(struct vmm_cpu *c, struct vcpu *v)
{
    pv_kvm_leaves(v);
    vcpu_step_out(v);
    if (v->activity == VCPU_HALTED && !vcpu_is_held(v) && halt_ends_soon(c, v))
        return false;
    vm_console_idle(v->vm, v);
    if (moves(v))
        unload(v);
    return sched_block(c, v);
}

static void end(struct vmm_cpu *c, struct vcpu *v)
{
    vcpu_step_out(v);
    unload(v);
    control_vcpu_gone(v);
    sched_retire(c, v);
    vm_vcpu_left(v->vm);
}

static void log_first_entry(void)
{
    static u32 done;

    if (!__atomic_exchange_n(&done, 1, __ATOMIC_RELAXED))
        log_debug("first VM entry %lu TSC ticks after the boot loader", rdtsc() - entry_tsc);
}

/* There was nothing to give the CPU but a shutdown: vm_crash(), with crash = keep. */
static bool kept_shut_down(const struct vcpu *v)
{
    return v->events.triple_fault && vcpu_is_held(v);
}

/* Runs the vCPU until it leaves the CPU. */
static void run(struct vmm_cpu *c, struct vcpu *v)
{
    for (;;) {
        u64 flags, requests;

        vcpu_step_in(v);
        vcpu_load(v);
        if (unlikely(v->pv.kvm.away))
            pv_kvm_returns(v);
        switch (prepare(c, v)) {
        case GO_ON:
            /* Others tell nobody of what they ask once it is set. */
            requests = __atomic_load_n(&v->requests, __ATOMIC_RELAXED);
            if (unlikely(requests & (REQ_KICK | REQ_DEBUG))) {
                if (kept_shut_down(v)) {
                    if (block(c, v))
                        return;
                    break;
                }
                if (requests & REQ_KICK)
                    exit_at_once();
                if (requests & REQ_DEBUG)
                    debug_before_entry(v);
            }
            if (unlikely(!v->launched))
                log_first_entry();
            flags = v->enter(v);
            if (unlikely(flags))
                fail_vm_entry_instruction(v, flags);
            vcpu_step_out(v);
            break;
        case BLOCK:
            if (block(c, v))
                return;
            break;
        case YIELD:
            pv_kvm_leaves(v);
            vcpu_step_out(v);
            if (moves(v))
                unload(v);
            sched_yield(c, v);
            return;
        case END:
            end(c, v);
            return;
        }
    }
}

void __noreturn vmm_cpu_main(void)
{
    struct vmm_cpu *c = this_vmm_cpu();

    for (;;) {
        struct vcpu *v;
        u64 due, wake;

        if (unlikely(this_cpu()->id == pv_poll_cpu))
            pv_poll_main();
        due = unlikely(vmm_tasks) ? tasks_run() : ~0ull;
        wake = sched_wake_due(c, rdtsc());
        v = sched_pick(c);
        if (v) {
            if (unlikely(due < v->slice_end))
                v->slice_end = due;
            run(c, v);
            /* The VM may end on another CPU: its tables must not stay in use here. */
            vm_use_space(NULL);
        } else if (likely(!vmm_tasks) || !tasks_wait(rdtsc())) {
            idle(c, MIN(due, wake));
        }
    }
}
