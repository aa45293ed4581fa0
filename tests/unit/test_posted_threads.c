/* SPDX-License-Identifier: MIT */
/* libs: -lpthread */
/*
 * vCPUs that run, wait, sleep and move while others post to them: vmm/sched.c and vmm/posted.c as they are,
 * on threads that stand in for CPUs. Interrupts arrive as on a CPU that has them off but in its guest and in
 * its halt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#define ARCH_X86_CPU_H

#define MAX_CPUS   2
#define NR_VCPUS   2
#define NR_POSTERS 3
#define NR_BURSTS  20000
#define PATIENCE_S 20

struct cpu {
    u32 id, apic_id;
    void *vmm;
    u32 pending; /* vectors, from VECTOR_KICK on */
    u64 random;
};

extern struct cpu *cpus[MAX_CPUS];
extern u32 nr_cpus;
static struct cpu *this_cpu(void);

#include "lib/spinlock.h"
#include "vmm/vm.h"
static void others_go_on(void)
{
    sched_yield();
}
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/posted.c"
#include "vmm/sched.c"

u64 tsc_hz = 1000000000;
u32 pv_poll_cpu = CPU_NONE;
u32 nr_cpus = MAX_CPUS;
static struct vmm_cpu state[MAX_CPUS + NR_POSTERS];
static struct cpu machine[MAX_CPUS + NR_POSTERS];
struct cpu *cpus[MAX_CPUS] = {&machine[0], &machine[1]};
static __thread struct cpu *self;
static u32 wrong, stop;

/* One of a vCPU's vectors is each poster's, and each CPU's. */
static struct guest {
    struct vcpu v;
    struct pi_desc pid;
    u32 taking;
    u64 taken[256];
    u64 asked, looked; /* kicks */
    u32 runs_on;
} guest[NR_VCPUS];

static struct cpu *this_cpu(void)
{
    return self;
}

static u32 draw(u32 below)
{
    self->random = self->random * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(self->random >> 33) % below;
}

/* Others have their turn in the midst of what is tested. */
static void interlude(void)
{
    if (draw(4) == 0)
        others_go_on();
}

static u64 fake_tsc(void)
{
    interlude();
    return __builtin_ia32_rdtsc();
}

static u32 fake_in(u16 port, u32 size)
{
    (void)port, (void)size;
    return 0;
}

static void fake_out(u16 port, u32 size, u32 value)
{
    (void)port, (void)size, (void)value;
}

void apic_timer_set(u64 when)
{
    (void)when;
}

void apic_timer_stop(void) {}

bool apic_is_x2apic(void)
{
    interlude();
    return true;
}

void vcpu_step_back_in(struct vcpu *v)
{
    vcpu_step_in(v);
}

static void check(bool ok)
{
    if (!ok)
        __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static bool stopping(void)
{
    return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* To a poster: it has queued the vCPU whose descriptor was read late. */
void apic_send_ipi(u32 apic_id, u8 vector)
{
    bool there = apic_id - 0x10 < ARRAY_SIZE(machine);

    interlude();
    check(there && vector >= VECTOR_KICK && vector <= VECTOR_WAKE);
    if (there)
        __atomic_or_fetch(&machine[apic_id - 0x10].pending, 1u << (vector - VECTOR_KICK), __ATOMIC_SEQ_CST);
}

static bool arrives(u8 vector)
{
    u32 bit = 1u << (vector - VECTOR_KICK);

    return __atomic_load_n(&self->pending, __ATOMIC_RELAXED) & bit &&
           __atomic_fetch_and(&self->pending, ~bit, __ATOMIC_SEQ_CST) & bit;
}

/* As in a guest without posted interrupts: handlers run, or there is none. */
static bool interrupts(void)
{
    if (arrives(VECTOR_WAKE)) {
        posted_wake(VECTOR_WAKE);
        return true;
    }
    return arrives(VECTOR_POSTED) || arrives(VECTOR_KICK);
}

void idle_halt(void)
{
    while (!interrupts() && !stopping())
        others_go_on();
}

/* By the CPU in the guest or by Nidus. */
static bool take(struct guest *g)
{
    bool any = false;

    __atomic_store_n(&g->taking, 1, __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&g->pid.control, ~PID_ON, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < PIR_WORDS; i++) {
        u64 bits = __atomic_exchange_n(&g->pid.pir[i], 0, __ATOMIC_SEQ_CST);

        for (; bits; bits &= bits - 1, any = true)
            __atomic_add_fetch(&g->taken[64 * i + (u32)__builtin_ctzll(bits)], 1, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&g->taking, 0, __ATOMIC_SEQ_CST);
    return any;
}

static void post(struct guest *g, u8 vector)
{
    if (!pi_post(&g->pid, vector))
        return;
    interlude();
    vcpu_notify_quickly(&g->v);
}

static u8 own_vector(void)
{
    return (u8)(0x31 + 0x33 * self->id);
}

/* Some exit after some time, others only for an interrupt, or when their slice is over. */
static void run_guest(struct vmm_cpu *c, struct guest *g)
{
    u32 patience = draw(3) ? draw(20) : ~0u;

    check(__atomic_exchange_n(&g->runs_on, self->id + 1, __ATOMIC_SEQ_CST) == 0);
    while (patience-- && !stopping() && !sched_contended(c)) {
        if (arrives(VECTOR_POSTED))
            take(g);
        if (interrupts())
            break;
        others_go_on();
    }
    check(__atomic_exchange_n(&g->runs_on, 0, __ATOMIC_SEQ_CST) == self->id + 1);
}

/* What it does in an exit. */
static void handle(struct guest *g)
{
    if (draw(4) == 0)
        post(&guest[draw(NR_VCPUS)], own_vector());
    if (draw(2))
        g->v.activity = VCPU_HALTED;
}

static void poll(struct vcpu *v)
{
    __atomic_store_n(&v->polling, true, __ATOMIC_SEQ_CST);
    for (u32 n = draw(5); n && !(v->requests & REQ_KICK) && !pi_is_on(v->pid); n--)
        others_go_on();
    __atomic_store_n(&v->polling, false, __ATOMIC_SEQ_CST);
}

/* run() and prepare() of vmm/run.c. */
static void run(struct vmm_cpu *c, struct vcpu *v)
{
    struct guest *g = container_of(v, struct guest, v);

    while (!stopping()) {
        vcpu_step_in(v);
        if (__atomic_fetch_and(&v->requests, 0, __ATOMIC_SEQ_CST) & REQ_KICK)
            __atomic_store_n(&g->looked, __atomic_load_n(&g->asked, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
        if (sched_contended(c) || draw(8) == 0) {
            vcpu_step_out(v);
            vmm_sched_yield(c, v);
            return;
        }
        if (pi_is_on(v->pid) && take(g))
            v->activity = VCPU_ACTIVE;
        if (v->activity == VCPU_HALTED) {
            vcpu_step_out(v);
            poll(v);
            if (sched_block(c, v))
                return;
            continue;
        }
        if (!(__atomic_load_n(&v->requests, __ATOMIC_RELAXED) & REQ_KICK))
            run_guest(c, g);
        vcpu_step_out(v);
        handle(g);
    }
}

static void *cpu_main(void *arg)
{
    struct vmm_cpu *c;

    self = arg;
    c = this_vmm_cpu();
    while (!stopping()) {
        struct vcpu *v = sched_pick(c);

        if (v)
            run(c, v);
        else
            sched_idle(c, ~0ull);
    }
    return NULL;
}

static bool is_posted(const struct guest *g, u8 vector)
{
    return __atomic_load_n(&g->pid.pir[vector / 64], __ATOMIC_SEQ_CST) >> vector % 64 & 1;
}

static u64 seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec;
}

/* False: it has been forgotten. */
static bool wait_for(bool (*over)(struct guest *g, u64 value), struct guest *g, u64 value)
{
    u64 until = seconds() + PATIENCE_S;

    while (!over(g, value)) {
        others_go_on();
        if (seconds() > until || stopping()) {
            check(false);
            __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
            return false;
        }
    }
    return true;
}

static bool is_taken(struct guest *g, u64 vector)
{
    return !is_posted(g, (u8)vector) && !__atomic_load_n(&g->taking, __ATOMIC_SEQ_CST);
}

static bool has_looked(struct guest *g, u64 asked)
{
    return __atomic_load_n(&g->looked, __ATOMIC_SEQ_CST) >= asked;
}

/* n requests become one at least; a single one stays one. */
static bool burst(struct guest *g)
{
    u8 vector = own_vector();
    u32 n = 1 + draw(3);
    u64 before = g->taken[vector], taken;

    for (u32 i = 0; i < n; i++) {
        post(g, vector);
        if (draw(2))
            others_go_on();
    }
    if (!wait_for(is_taken, g, vector))
        return false;
    taken = __atomic_load_n(&g->taken[vector], __ATOMIC_SEQ_CST) - before;
    check(taken >= 1 && taken <= n);
    return true;
}

static bool kick(struct guest *g)
{
    u64 asked = __atomic_add_fetch(&g->asked, 1, __ATOMIC_SEQ_CST);

    vcpu_kick(&g->v);
    return wait_for(has_looked, g, asked);
}

static void *poster(void *arg)
{
    self = arg;
    for (u32 n = 0; n < NR_BURSTS; n++) {
        struct guest *g = &guest[draw(NR_VCPUS)];

        for (u32 pause = draw(4) ? 0 : draw(20); pause; pause--)
            others_go_on();
        if (!(draw(6) ? burst(g) : kick(g)))
            break;
    }
    return NULL;
}

static void prepare_machine(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(machine); i++) {
        machine[i] = (struct cpu){.id = i, .apic_id = 0x10 + i, .vmm = &state[i], .random = i};
        list_init(&state[i].queue);
        list_init(&state[i].sleepers);
    }
    self = &machine[MAX_CPUS];
    for (u32 i = 0; i < NR_VCPUS; i++) {
        struct vcpu *v = &guest[i].v;

        v->pin = CONFIG_PIN_ANY;
        v->posted = true;
        v->pid = &guest[i].pid;
        v->deadline = ~0ull;
        list_init(&v->node);
        sched_add(v);
    }
}

static void test_nothing_is_lost(void **s)
{
    pthread_t thread[ARRAY_SIZE(machine)];

    (void)s;
    prepare_machine();
    for (u32 i = 0; i < ARRAY_SIZE(machine); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, i < MAX_CPUS ? cpu_main : poster, &machine[i]), 0);
    for (u32 i = MAX_CPUS; i < ARRAY_SIZE(machine); i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    /* What the CPUs themselves have posted. */
    for (u32 i = 0; i < MAX_CPUS * NR_VCPUS && !wrong; i++)
        wait_for(is_taken, &guest[i / MAX_CPUS], (u8)(0x31 + 0x33 * (i % MAX_CPUS)));
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (u32 i = 0; i < MAX_CPUS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_is_lost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
