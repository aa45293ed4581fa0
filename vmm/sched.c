/* SPDX-License-Identifier: MIT */
#include "vmm/sched.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "vmm/apicv.h"

static struct vmm_cpu *cpu_state(u32 id)
{
    return cpus[id]->vmm;
}

static void notify(u32 id)
{
    if (id != this_cpu()->id)
        apic_send_ipi(cpus[id]->apic_id, VECTOR_KICK);
}

/* An idle CPU other than id, which may come and take a vCPU from id's queue. */
static void notify_some_idle(u32 id)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        if (i != id && __atomic_load_n(&cpu_state(i)->idle, __ATOMIC_ACQUIRE)) {
            notify(i);
            return;
        }
    }
}

/* Locks the home of v, which may change until the lock is held. */
static struct vmm_cpu *lock_home(struct vcpu *v)
{
    for (;;) {
        u32 home = __atomic_load_n(&v->home, __ATOMIC_ACQUIRE);
        struct vmm_cpu *c = cpu_state(home);

        spin_lock(&c->lock);
        if (__atomic_load_n(&v->home, __ATOMIC_ACQUIRE) == home)
            return c;
        spin_unlock(&c->lock);
    }
}

/* Read without the lock by sched_tell(). */
static void set_state(struct vcpu *v, enum vcpu_sched state)
{
    __atomic_store_n(&v->sched, state, __ATOMIC_RELEASE);
    posted_follow(v, state);
}

static void enqueue(struct vmm_cpu *c, struct vcpu *v)
{
    set_state(v, SCHED_QUEUED);
    v->ready_since = rdtsc();
    v->slice_end = 0;
    list_del(&v->node);
    list_push_back(&c->queue, &v->node);
}

/* v was put in its home's queue: whoever should know. Without any lock. */
static void tell_queued(struct vcpu *v, u32 home, bool home_busy)
{
    /* The queue must be seen before we look who is idle: sched_idle() does it the other way round. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (home != this_cpu()->id)
        notify(home);
    else if (this_vmm_cpu()->current)
        __atomic_or_fetch(&this_vmm_cpu()->current->requests, REQ_KICK, __ATOMIC_ACQ_REL);
    if (home_busy && v->pin == CONFIG_PIN_ANY)
        notify_some_idle(home);
}

void posted_wake(u8 vector)
{
    struct vmm_cpu *c = this_vmm_cpu();
    bool busy = c->current != NULL;
    struct vcpu *woken = NULL;

    (void)vector;
    spin_lock(&c->lock);
    for (struct list *it = c->sleepers.next, *after; it != &c->sleepers; it = after) {
        struct vcpu *v = container_of(it, struct vcpu, node);

        after = it->next;
        if (!v->posted || !pi_is_on(v->pid))
            continue;
        enqueue(c, v);
        woken = v;
    }
    spin_unlock(&c->lock);
    if (woken)
        tell_queued(woken, this_cpu()->id, busy);
}

static void wake(struct vcpu *v)
{
    struct vmm_cpu *c = lock_home(v);
    bool blocked = v->sched == SCHED_BLOCKED, busy = c->current != NULL;
    u32 home = v->home;

    if (blocked)
        enqueue(c, v);
    spin_unlock(&c->lock);
    if (blocked)
        tell_queued(v, home, busy);
}

/*
 * REQ_KICK has just been set, by a locked instruction. Without its home's lock, since whatever state is seen
 * here was v's state after that:
 * - RUNNING: if its guest runs, it does so on its home, which is told. Else take_requests() comes before its
 *   guest does, on whichever CPU; and sched_block() says BLOCKED before it looks at REQ_KICK for the last
 * time.
 * - QUEUED: whoever put it there has told its home, and take_requests() comes first.
 * - BLOCKED: may have changed; that is found out under the lock.
 */
void sched_tell(struct vcpu *v)
{
    enum vcpu_sched state = __atomic_load_n(&v->sched, __ATOMIC_ACQUIRE);

    if (this_vmm_cpu()->current == v)
        return;
    if (state == SCHED_BLOCKED)
        wake(v);
    else if (state == SCHED_RUNNING && !__atomic_load_n(&v->polling, __ATOMIC_SEQ_CST))
        notify(__atomic_load_n(&v->home, __ATOMIC_ACQUIRE));
}

/*
 * Who finds REQ_KICK set leaves the rest to the one who has set it: its guest does not run with REQ_KICK set,
 * but for the time that this one needs to tell (or it is on v's own CPU: then not at all).
 */
void vcpu_request(struct vcpu *v, u64 bits)
{
    if (!(__atomic_fetch_or(&v->requests, bits, __ATOMIC_SEQ_CST) & REQ_KICK))
        sched_tell(v);
}

void vcpu_kick(struct vcpu *v)
{
    vcpu_kick_quickly(v);
}

void vcpu_notify(struct vcpu *v)
{
    vcpu_notify_quickly(v);
}

void vm_request_poll(struct vm *vm)
{
    vcpu_request(vm->vcpus[0], REQ_POLL | REQ_KICK);
}

void vcpu_init_signal(struct vcpu *v)
{
    vcpu_request(v, REQ_INIT | REQ_KICK);
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
    __atomic_store_n(&v->sipi_vector, vector, __ATOMIC_RELEASE);
    vcpu_request(v, REQ_SIPI | REQ_KICK);
}

void vcpu_nmi(struct vcpu *v)
{
    vcpu_request(v, (v->requests & REQ_NMI ? REQ_NMI2 : REQ_NMI) | REQ_KICK);
}

/* Shared vCPUs start on the CPU that has the fewest. */
static u32 choose_home(const struct vcpu *v)
{
    u32 best = 0, best_load = ~0u;

    if (v->pin != CONFIG_PIN_ANY)
        return (u32)v->pin;
    for (u32 i = 0; i < nr_cpus; i++) {
        u32 load = __atomic_load_n(&cpu_state(i)->nr_home, __ATOMIC_RELAXED);

        if (i != pv_poll_cpu && load < best_load) {
            best_load = load;
            best = i;
        }
    }
    return best;
}

void sched_add(struct vcpu *v)
{
    struct vmm_cpu *c;
    bool busy;

    v->home = choose_home(v);
    c = cpu_state(v->home);
    __atomic_add_fetch(&c->nr_home, 1, __ATOMIC_RELAXED);
    spin_lock(&c->lock);
    busy = c->current != NULL;
    enqueue(c, v);
    spin_unlock(&c->lock);
    tell_queued(v, v->home, busy);
}

static struct vcpu *take_first(struct vmm_cpu *c, bool any)
{
    list_for_each (it, &c->queue) {
        struct vcpu *v = container_of(it, struct vcpu, node);

        if (any || v->pin == CONFIG_PIN_ANY) {
            list_del(&v->node);
            return v;
        }
    }
    return NULL;
}

/* A ready vCPU from another CPU's queue becomes ours. Both locks are never held at once. */
static struct vcpu *steal(struct vmm_cpu *c)
{
    u32 self = this_cpu()->id;

    for (u32 n = 1; n < nr_cpus; n++) {
        struct vmm_cpu *from = cpu_state((self + n) % nr_cpus);
        struct vcpu *v;

        if (list_empty(&from->queue))
            continue;
        spin_lock(&from->lock);
        v = from->current ? take_first(from, false) : NULL;
        if (v) {
            set_state(v, SCHED_RUNNING);
            __atomic_store_n(&v->home, self, __ATOMIC_RELEASE);
            __atomic_sub_fetch(&from->nr_home, 1, __ATOMIC_RELAXED);
            __atomic_add_fetch(&c->nr_home, 1, __ATOMIC_RELAXED);
        }
        spin_unlock(&from->lock);
        if (v)
            return v;
    }
    return NULL;
}

struct vcpu *sched_pick(struct vmm_cpu *c)
{
    struct vcpu *v;

    spin_lock(&c->lock);
    v = take_first(c, true);
    if (v)
        set_state(v, SCHED_RUNNING);
    spin_unlock(&c->lock);
    if (!v && nr_cpus > 1)
        v = steal(c);
    c->current = v;
    if (v) {
        u64 now = rdtsc();

        v->waited += now - v->ready_since;
        if (!v->slice_end)
            v->slice_end = now + us_to_ticks(SCHED_SLICE_US);
    }
    return v;
}

void sched_yield(struct vmm_cpu *c, struct vcpu *v)
{
    spin_lock(&c->lock);
    c->current = NULL;
    enqueue(c, v);
    spin_unlock(&c->lock);
}

bool sched_block(struct vmm_cpu *c, struct vcpu *v)
{
    bool blocked;

    spin_lock(&c->lock);
    set_state(v, SCHED_BLOCKED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* sched_tell() does it the other way round */
    blocked = !(__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & (REQ_KICK | REQ_QUEUE)) &&
              (vcpu_is_held(v) || !(v->activity == VCPU_HALTED && pi_is_on(v->pid)));
    if (blocked) {
        c->current = NULL;
        list_push_back(&c->sleepers, &v->node);
    } else {
        set_state(v, SCHED_RUNNING);
    }
    spin_unlock(&c->lock);
    return blocked;
}

void sched_retire(struct vmm_cpu *c, struct vcpu *v)
{
    spin_lock(&c->lock);
    set_state(v, SCHED_DEAD);
    c->current = NULL;
    spin_unlock(&c->lock);
    __atomic_sub_fetch(&c->nr_home, 1, __ATOMIC_RELAXED);
}

/* If v waits for this CPU, it is the next to have it: for what is left of a slice, or two that prefer each
 * other would keep it from all others. */
static void prefer(struct vmm_cpu *c, struct vcpu *v, u64 slice_end)
{
    spin_lock(&c->lock);
    if (v->sched == SCHED_QUEUED && cpu_state(v->home) == c && rdtsc() < slice_end) {
        v->slice_end = slice_end;
        list_del(&v->node);
        list_push_front(&c->queue, &v->node);
    }
    spin_unlock(&c->lock);
}

bool sched_give_way(struct vcpu *v, struct vcpu *to)
{
    struct vmm_cpu *c = this_vmm_cpu();

    if (to)
        prefer(c, to, v->slice_end);
    if (!sched_contended(c))
        return false;
    v->slice_end = v->until = 0;
    return true;
}

/* Two that wait for each other have both stepped out; what they were asked meanwhile is why each has to look
 * before it goes on. */
void vm_wait_until_seen(struct vm *vm, struct vcpu *self, u64 mask)
{
    if (self)
        vcpu_step_out(self);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *v = vm->vcpus[i];
        u64 turn = __atomic_load_n(&v->turn, __ATOMIC_ACQUIRE);

        if (v == self || !(mask >> i & 1) || !(turn & 1))
            continue;
        /* In any case, since REQ_KICK may be of before it was in its turn. */
        __atomic_fetch_or(&v->requests, REQ_KICK, __ATOMIC_SEQ_CST);
        sched_tell(v);
        while (__atomic_load_n(&v->turn, __ATOMIC_ACQUIRE) == turn)
            cpu_pause();
    }
    if (self)
        vcpu_step_back_in(self);
}

bool sched_contended(struct vmm_cpu *c)
{
    return !list_empty(&c->queue);
}

u64 sched_wake_due(struct vmm_cpu *c, u64 now)
{
    u64 next = ~0ull;

    if (list_empty(&c->sleepers))
        return next;
    spin_lock(&c->lock);
    for (struct list *it = c->sleepers.next, *after; it != &c->sleepers; it = after) {
        struct vcpu *v = container_of(it, struct vcpu, node);
        u64 deadline = __atomic_load_n(&v->deadline, __ATOMIC_ACQUIRE);

        after = it->next;
        if (deadline <= now)
            enqueue(c, v);
        else
            next = MIN(next, deadline);
    }
    spin_unlock(&c->lock);
    return next;
}

/* Something may have been queued before our 'idle' was seen. */
static bool steal_possible(void)
{
    u32 self = this_cpu()->id;

    for (u32 i = 0; i < nr_cpus; i++) {
        if (i != self && cpu_state(i)->current && !list_empty(&cpu_state(i)->queue))
            return true;
    }
    return false;
}

void sched_idle(struct vmm_cpu *c, u64 until)
{
    c->idle_since = rdtsc();
    __atomic_store_n(&c->idle, 1, __ATOMIC_SEQ_CST);
    if (until != ~0ull)
        apic_timer_set(until);
    /* Interrupts are off until the halt: an IPI sent since 'idle' was set, or the timer, ends it at once. */
    if (list_empty(&c->queue) && !steal_possible())
        idle_halt();
    __atomic_store_n(&c->idle, 0, __ATOMIC_SEQ_CST);
    if (until != ~0ull)
        apic_timer_stop();
    c->idle_ticks += rdtsc() - c->idle_since;
    c->idle_since = 0;
}
