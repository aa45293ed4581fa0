/* SPDX-License-Identifier: MIT */
/* Who has the CPU next: slices, and what a vCPU may do for another one of its VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "tests/unit/two_cpus.h"

#include "lib/spinlock.h"
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/sched.c"

#define SLICE 10000u /* ticks */

u64 tsc_hz = 1000000;
u32 pv_poll_cpu = CPU_NONE;
static struct vmm_cpu state, second;
static struct cpu cpu = {.vmm = &state}, second_cpu = {.id = 1, .apic_id = 8, .vmm = &second};
struct cpu *cpus[MAX_CPUS] = {&cpu, &second_cpu};
u32 nr_cpus = 1;
static struct vcpu a, b, other;
static struct pi_desc pid[3];
static u64 now;
static u32 kicked; /* the APIC that was last sent VECTOR_KICK; ~0: none */

static u64 fake_tsc(void)
{
    return now;
}

void apic_send_ipi(u32 apic_id, u8 vector)
{
    assert_int_equal(vector, VECTOR_KICK);
    kicked = apic_id;
}

void apic_timer_set(u64 when)
{
    (void)when;
}

void apic_timer_stop(void) {}

/* vmm/posted.c */
static struct {
    struct vcpu *v;
    enum vcpu_sched state;
    const struct cpu *on;
    u32 n;
    struct pi_desc *post; /* somebody posts to it meanwhile */
} followed;

void posted_follow(struct vcpu *v, enum vcpu_sched s)
{
    assert_true(v->sched == s);
    followed.v = v;
    followed.state = s;
    followed.on = here;
    followed.n++;
    if (followed.post)
        pi_post(followed.post, 0x40);
}

void posted_notify(struct vcpu *v)
{
    assert_true(v->posted);
}

void idle_halt(void) {}

void vcpu_step_back_in(struct vcpu *v)
{
    vcpu_step_in(v);
}

static int start(void **s)
{
    struct vcpu *all[] = {&a, &b, &other};

    (void)s;
    memset(&state, 0, sizeof(state));
    memset(&second, 0, sizeof(second));
    list_init(&state.queue);
    list_init(&state.sleepers);
    list_init(&second.queue);
    list_init(&second.sleepers);
    memset(pid, 0, sizeof(pid));
    memset(&followed, 0, sizeof(followed));
    here = &cpu;
    nr_cpus = 1;
    kicked = ~0u;
    now = 1000;
    for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
        memset(all[i], 0, sizeof(*all[i]));
        all[i]->pin = CONFIG_PIN_ANY;
        all[i]->pid = &pid[i];
        all[i]->deadline = ~0ull;
        list_init(&all[i]->node);
        sched_add(all[i]);
    }
    return 0;
}

static struct vcpu *next(void)
{
    return sched_pick(&state);
}

static void leave(struct vcpu *v)
{
    sched_yield(&state, v);
}

static void test_turns(void **s)
{
    (void)s;
    for (u32 i = 0; i < 3; i++) {
        assert_ptr_equal(next(), &a);
        assert_true(a.slice_end == now + SLICE);
        now += SLICE;
        leave(&a);
        assert_ptr_equal(next(), &b);
        leave(&b);
        assert_ptr_equal(next(), &other);
        leave(&other);
    }
}

static void test_gives_way(void **s)
{
    (void)s;
    assert_ptr_equal(next(), &a);
    assert_true(sched_give_way(&a, &other));
    assert_true(a.slice_end == 0 && a.until == 0);
    leave(&a);
    assert_ptr_equal(next(), &other);
    assert_true(sched_give_way(&other, NULL));
    leave(&other);
    assert_ptr_equal(next(), &b);
}

/* However they do it, a third one has its turn when the slice of the first is over. */
static void test_two_that_prefer_each_other(void **s)
{
    u64 since;

    (void)s;
    for (u32 step = 1; step <= SLICE; step *= 10) {
        struct vcpu *v;

        start(NULL);
        since = now;
        for (v = next(); v != &other; v = next()) {
            assert_true(now - since <= 2 * SLICE);
            now += step;
            sched_give_way(v, v == &a ? &b : &a);
            leave(v);
        }
        assert_true(now - since <= SLICE + step);
        assert_true(other.slice_end == now + SLICE);
    }
}

/* --- Descriptors --- */

static int start_posted(void **s)
{
    start(s);
    a.posted = b.posted = other.posted = true;
    a.activity = b.activity = other.activity = VCPU_HALTED;
    assert_int_equal(followed.n, 3);
    followed.n = 0;
    return 0;
}

static void assert_followed(u32 n, const struct vcpu *v, enum vcpu_sched to, const struct cpu *on)
{
    assert_int_equal(followed.n, n);
    assert_ptr_equal(followed.v, v);
    assert_int_equal(followed.state, to);
    assert_int_equal(v->sched, to);
    assert_ptr_equal(followed.on, on);
}

/* All go to sleep, in their order. */
static void all_sleep(void)
{
    for (struct vcpu *v = next(); v; v = next())
        assert_true(sched_block(&state, v));
    followed.n = 0;
}

static void test_states_are_followed(void **s)
{
    (void)s;
    next();
    assert_followed(1, &a, SCHED_RUNNING, &cpu);
    leave(&a);
    assert_followed(2, &a, SCHED_QUEUED, &cpu);
    next();
    assert_followed(3, &b, SCHED_RUNNING, &cpu);
    assert_true(sched_block(&state, &b));
    assert_followed(4, &b, SCHED_BLOCKED, &cpu);
    vcpu_kick(&b);
    assert_followed(5, &b, SCHED_QUEUED, &cpu);
    next();
    assert_followed(6, &other, SCHED_RUNNING, &cpu);
    sched_retire(&state, &other);
    assert_followed(7, &other, SCHED_DEAD, &cpu);
    next();
    assert_true(sched_block(&state, &a));
    a.deadline = 2000;
    assert_true(sched_wake_due(&state, 1999) == 2000);
    assert_followed(9, &a, SCHED_BLOCKED, &cpu);
    assert_true(sched_wake_due(&state, 2000) == ~0ull);
    assert_followed(10, &a, SCHED_QUEUED, &cpu);
}

/* Its notifications go to the CPU that has taken it, which says so itself. */
static void test_taken_by_another_cpu(void **s)
{
    (void)s;
    nr_cpus = 2;
    assert_ptr_equal(next(), &a);
    here = &second_cpu;
    assert_ptr_equal(sched_pick(&second), &b);
    assert_followed(2, &b, SCHED_RUNNING, &second_cpu);
    assert_int_equal(b.home, 1);
    assert_true(sched_block(&second, &b));
    assert_followed(3, &b, SCHED_BLOCKED, &second_cpu);
    here = &cpu; /* woken from elsewhere */
    vcpu_kick(&b);
    assert_followed(4, &b, SCHED_QUEUED, &cpu);
    assert_int_equal(kicked, 8);
    assert_ptr_equal(container_of(second.queue.next, struct vcpu, node), &b);
}

/* What came before, and what comes in the last moment. */
static void test_does_not_sleep_over_what_is_posted(void **s)
{
    (void)s;
    next();
    pi_post(&pid[0], 0x40);
    assert_false(sched_block(&state, &a));
    assert_followed(3, &a, SCHED_RUNNING, &cpu);
    assert_ptr_equal(state.current, &a);
    assert_true(list_empty(&state.sleepers));
    memset(&pid[0], 0, sizeof(pid[0]));
    followed.post = &pid[0];
    assert_false(sched_block(&state, &a));
    followed.post = NULL;
    assert_followed(5, &a, SCHED_RUNNING, &cpu);
    memset(&pid[0], 0, sizeof(pid[0]));
    assert_true(sched_block(&state, &a));
    assert_null(state.current);
}

/* Without posted interrupts the poster's kick comes after ON. */
static void test_on_without_posted_interrupts(void **s)
{
    (void)s;
    a.activity = VCPU_HALTED;
    next();
    pi_post(&pid[0], 0x40);
    assert_false(sched_block(&state, &a));
    a.requests = REQ_HELD; /* until it is let go */
    assert_true(sched_block(&state, &a));
}

/* No interrupt ends that: it would not sleep at all. */
static void test_waits_for_sipi(void **s)
{
    (void)s;
    a.activity = VCPU_WAIT_SIPI;
    next();
    pi_post(&pid[0], 0x40);
    assert_true(sched_block(&state, &a));
    vcpu_sipi(&a, 8);
    assert_followed(3, &a, SCHED_QUEUED, &cpu);
}

static void test_wake_vector(void **s)
{
    (void)s;
    all_sleep();
    posted_wake(VECTOR_WAKE);
    assert_int_equal(followed.n, 0);
    pi_post(&pid[0], 0x40);
    pi_post(&pid[2], 0x40);
    posted_wake(VECTOR_WAKE);
    assert_followed(2, &other, SCHED_QUEUED, &cpu);
    assert_int_equal(b.sched, SCHED_BLOCKED);
    posted_wake(VECTOR_WAKE); /* spurious */
    assert_int_equal(followed.n, 2);
    assert_ptr_equal(next(), &a);
    assert_ptr_equal(next(), &other);
    assert_null(next());
    assert_ptr_equal(container_of(state.sleepers.next, struct vcpu, node), &b);
    assert_ptr_equal(b.node.next, &state.sleepers);
}

/* Whoever has the CPU is to look who waits for it; one that is idle may take it. */
static void test_wake_vector_on_a_busy_cpu(void **s)
{
    (void)s;
    nr_cpus = 2;
    all_sleep();
    vcpu_kick(&a);
    assert_ptr_equal(next(), &a);
    a.requests = 0;
    posted_wake(VECTOR_WAKE);
    assert_true(!a.requests && kicked == ~0u);
    pi_post(&pid[1], 0x40);
    posted_wake(VECTOR_WAKE);
    assert_int_equal(a.requests, REQ_KICK);
    assert_int_equal(kicked, ~0u);
    pi_post(&pid[2], 0x40);
    second.idle = 1;
    posted_wake(VECTOR_WAKE);
    assert_int_equal(kicked, 8);
}

/* Such a vCPU is kicked by who posts. */
static void test_wake_vector_is_not_for_others(void **s)
{
    (void)s;
    b.posted = false;
    all_sleep();
    pi_post(&pid[1], 0x40);
    posted_wake(VECTOR_WAKE);
    assert_int_equal(b.sched, SCHED_BLOCKED);
    assert_int_equal(followed.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_turns, start),
        cmocka_unit_test_setup(test_gives_way, start),
        cmocka_unit_test_setup(test_two_that_prefer_each_other, start),
        cmocka_unit_test_setup(test_states_are_followed, start_posted),
        cmocka_unit_test_setup(test_taken_by_another_cpu, start_posted),
        cmocka_unit_test_setup(test_does_not_sleep_over_what_is_posted, start_posted),
        cmocka_unit_test_setup(test_on_without_posted_interrupts, start),
        cmocka_unit_test_setup(test_waits_for_sipi, start_posted),
        cmocka_unit_test_setup(test_wake_vector, start_posted),
        cmocka_unit_test_setup(test_wake_vector_on_a_busy_cpu, start_posted),
        cmocka_unit_test_setup(test_wake_vector_is_not_for_others, start_posted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
