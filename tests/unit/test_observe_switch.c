/* SPDX-License-Identifier: MIT */
/* links: vmm/stats.c */
/* Observation turned on and off: who is observed then, and that all memory comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/types.h"
#define ARCH_X86_CPU_H

static u32 nr_cpus = 3;

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "vmm/observe_switch.c"

#define NR_VMS 2

struct observing observing;
struct frame_owner pool_owner;
static struct vm vms[NR_VMS];
static struct vcpu vcpus[NR_VMS][2];
static u32 held, left; /* pieces of memory, and how many more there are */
static u64 ticks;

static u64 fake_tsc(void)
{
    return ++ticks;
}

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    (void)owner;
    if (!left)
        return NULL;
    left--;
    held++;
    return calloc(pages, PAGE_SIZE);
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    (void)owner;
    if (p)
        memset(p, 0xee, pages * PAGE_SIZE);
    held -= !!p;
    free(p);
}

int control_call(struct task *t, u32 vm, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    (void)t;
    if (vm >= NR_VMS || vcpu >= vms[vm].nr_vcpus)
        return ERR_NOENT;
    fn(vms[vm].vcpus[vcpu], arg);
    return OK;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

bool vmx_exit(struct vcpu *v)
{
    (void)v;
    return true;
}

bool nested_l2_exit(struct vcpu *v)
{
    (void)v;
    return true;
}

u64 vmx_enter(struct vcpu *v)
{
    (void)v;
    return 0;
}

u64 vmx_enter_observed(struct vcpu *v)
{
    (void)v;
    return 0;
}

bool vmx_exit_observed(struct vcpu *v)
{
    (void)v;
    return true;
}

bool nested_l2_exit_observed(struct vcpu *v)
{
    (void)v;
    return true;
}

static int reset(void **state)
{
    (void)state;
    memset(&observing, 0, sizeof(observing));
    memset(vcpus, 0, sizeof(vcpus));
    held = 0;
    left = 100;
    for (u32 i = 0; i < NR_VMS; i++) {
        vms[i] = (struct vm){.nr_vcpus = 2, .vcpus = {&vcpus[i][0], &vcpus[i][1]}};
        for (u32 k = 0; k < 2; k++)
            vcpus[i][k] = (struct vcpu){.vm = &vms[i],
                                        .id = k,
                                        .on_exit = vmx_exit,
                                        .on_l2_exit = nested_l2_exit,
                                        .enter = vmx_enter};
    }
    return 0;
}

static bool is_observed(const struct vcpu *v)
{
    assert_int_equal(!!v->observed, v->on_exit == vmx_exit_observed);
    assert_int_equal(!!v->observed, v->on_l2_exit == nested_l2_exit_observed);
    assert_int_equal(!!v->observed, v->enter == vmx_enter_observed);
    return v->observed;
}

static u32 nr_observed(void)
{
    u32 n = 0;

    for (u32 i = 0; i < NR_VMS; i++)
        n += is_observed(&vcpus[i][0]) + (u32)is_observed(&vcpus[i][1]);
    return n;
}

static void the_last_use_turns_it_off(void **state)
{
    struct exit_break b = {.reason = 1};

    (void)state;
    assert_int_equal(nr_observed(), 0);
    assert_int_equal(observe_stats(NULL, true), OK);
    assert_int_equal(nr_observed(), 4);
    assert_int_equal(observe_trace(NULL, 2), OK);
    assert_int_equal(observe_break(NULL, &b), OK);
    assert_int_equal(held, 4 + 1 + 3);
    assert_int_equal(observing.rings[2].mask, 2 * PAGE_SIZE / 32 - 1);
    observe_stats(NULL, false);
    observe_trace_off(NULL);
    assert_int_equal(held, 4);
    assert_int_equal(nr_observed(), 4);
    observe_unbreak(NULL, 0);
    assert_int_equal(nr_observed(), 0);
    assert_int_equal(held, 0);
    observe_unbreak(NULL, 0);
    observe_trace_off(NULL);
    observe_stats(NULL, false);
    assert_int_equal(observing.nr_breaks, 0);
}

static void statistics_begin_anew(void **state)
{
    struct stats *s;
    u64 since;

    (void)state;
    observe_stats(NULL, true);
    s = &vcpus[1][1].observed->stats;
    since = s->since;
    assert_true(since);
    stats_count(s, STATS_L1, 1, 1);
    observe_trace(NULL, 1);
    assert_int_equal(s->nr, 1);
    observe_stats(NULL, true);
    assert_int_equal(s->nr, 0);
    assert_true(s->since > since);
    observe_trace_off(NULL);
    observe_stats(NULL, false);
    assert_int_equal(held, 0);
}

static void rings_are_made_anew(void **state)
{
    (void)state;
    observe_trace(NULL, 1);
    observing.rings[0].head = 5;
    observe_trace(NULL, 4);
    assert_int_equal(observing.rings[0].head, 0);
    assert_int_equal(held, 4 + 1 + 3);
    observe_trace_off(NULL);
    assert_int_equal(held, 0);
}

static void a_vm_that_starts_follows(void **state)
{
    (void)state;
    observe_vm(&vms[0]);
    assert_int_equal(nr_observed(), 0);
    vms[0].nr_vcpus = 0;
    observe_stats(NULL, true);
    assert_int_equal(nr_observed(), 2);
    vms[0].nr_vcpus = 2;
    observe_vm(&vms[0]);
    assert_int_equal(nr_observed(), 4);
    observe_free(&vcpus[0][0]); /* it ends */
    vms[0].nr_vcpus = 0;
    observe_free(&vcpus[0][1]);
    observe_stats(NULL, false);
    assert_int_equal(held, 0);
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (left = 0; left < 4; left++) {
        u32 have = left;

        assert_int_equal(observe_trace(NULL, 1), ERR_NOMEM);
        assert_null(observing.rings);
        assert_int_equal(held, 0);
        left = have;
    }
    for (u32 n = 4; n < 8; n++) {
        left = n;
        assert_int_equal(observe_trace(NULL, 1), ERR_NOMEM); /* for some of the vCPUs */
        assert_int_equal(nr_observed(), n - 4);
        left = 0;
        observe_trace_off(NULL);
        assert_int_equal(held, 0);
    }
}

static void there_are_so_many_breaks(void **state)
{
    struct exit_break b = {.reason = 1};

    (void)state;
    for (u32 i = 0; i < OBSERVE_BREAKS; i++)
        assert_int_equal(observe_break(NULL, &b), OK);
    assert_int_equal(observe_break(NULL, &b), ERR_NOMEM);
    observe_unbreak(NULL, 3);
    b.reason = 2;
    assert_int_equal(observe_break(NULL, &b), OK);
    assert_int_equal(observing.breaks[3].reason, 2);
    for (u32 i = 0; i < OBSERVE_BREAKS; i++)
        observe_unbreak(NULL, i);
    assert_int_equal(held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_last_use_turns_it_off, reset),
        cmocka_unit_test_setup(statistics_begin_anew, reset),
        cmocka_unit_test_setup(rings_are_made_anew, reset),
        cmocka_unit_test_setup(a_vm_that_starts_follows, reset),
        cmocka_unit_test_setup(memory_runs_out, reset),
        cmocka_unit_test_setup(there_are_so_many_breaks, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
