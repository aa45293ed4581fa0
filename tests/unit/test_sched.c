/* SPDX-License-Identifier: MIT */
/* Who has the CPU next: slices, and what a vCPU may do for another one of its VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#define ARCH_X86_CPU_H

#define MAX_CPUS 2

struct cpu {
    u32 id, apic_id;
    void *vmm;
};

extern struct cpu *cpus[MAX_CPUS];
extern u32 nr_cpus;
static struct cpu *this_cpu(void);

#include "lib/spinlock.h"
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/sched.c"

#define SLICE 10000u /* ticks */

u64 tsc_hz = 1000000;
u32 pv_poll_cpu = CPU_NONE;
static struct vmm_cpu state;
static struct cpu cpu = {.vmm = &state};
struct cpu *cpus[MAX_CPUS] = {&cpu};
u32 nr_cpus = 1;
static struct vcpu a, b, other;
static u64 now;

static struct cpu *this_cpu(void)
{
    return &cpu;
}

static u64 fake_tsc(void)
{
    return now;
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

void apic_send_ipi(u32 apic_id, u8 vector)
{
    (void)apic_id, (void)vector;
}

void apic_timer_set(u64 when)
{
    (void)when;
}

void apic_timer_stop(void) {}

/* vmm/posted.c */
static enum vcpu_sched followed;
static u32 nr_followed;

void posted_follow(struct vcpu *v, enum vcpu_sched s)
{
    assert_true(v->sched == s);
    followed = s;
    nr_followed++;
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
    list_init(&state.queue);
    list_init(&state.sleepers);
    now = 1000;
    for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
        memset(all[i], 0, sizeof(*all[i]));
        all[i]->pin = CONFIG_PIN_ANY;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_turns, start),
        cmocka_unit_test_setup(test_gives_way, start),
        cmocka_unit_test_setup(test_two_that_prefer_each_other, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
