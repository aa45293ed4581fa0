/* SPDX-License-Identifier: MIT */
/* Calls into vCPUs, holding them, stops: whoever asks gets an answer, whatever becomes of the vCPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "vmm/control.c"

u64 tsc_hz = 1000000;
static struct vm vm = {.nr_vcpus = 2};
static struct vcpu v[2] = {{.vm = &vm}, {.vm = &vm, .id = 1}};
static struct task task, other;
static bool runs, busy;
static u32 woken, kicks;
static void (*while_waiting)(void);

static u64 fake_tsc(void)
{
    return 0;
}

bool vmm_runs(u32 index)
{
    return index == 3 && runs;
}

struct vm *vmm_hold(u32 index)
{
    return vmm_runs(index) && !busy ? &vm : NULL;
}

void vmm_let_go(struct vm *of)
{
    assert_ptr_equal(of, &vm);
}

void vcpu_request(struct vcpu *of, u64 bits)
{
    of->requests |= bits;
}

void vcpu_kick(struct vcpu *of)
{
    (void)of;
    kicks++;
}

void task_wake(struct task *t)
{
    (void)t;
    woken++;
}

void task_wait(struct task *t)
{
    assert_ptr_equal(t, &task);
    assert_non_null(while_waiting);
    while_waiting();
}

void task_give_way(struct task *t)
{
    task_wait(t);
}

void __noreturn(panic)(const char *fmt, ...)
{
    (void)fmt;
    abort();
}

static void add(struct vcpu *of, void *arg)
{
    *(u32 *)arg += 10 + of->id;
}

static void count_vcpus(struct vm *of, void *arg)
{
    *(u32 *)arg = of->nr_vcpus;
}

static void serve_second(void)
{
    static u32 waits;

    if (++waits % 2)
        return; /* woken for nothing */
    assert_int_equal(v[1].requests & (REQ_CALL | REQ_KICK), REQ_CALL | REQ_KICK);
    control_serve(&v[1]);
}

static void end_first(void)
{
    control_vcpu_gone(&v[0]);
}

static void come_free(void)
{
    busy = false;
    while_waiting = serve_second;
}

static void serve_the_other_first(void)
{
    control_serve(&v[1]);
    while_waiting = serve_second;
}

static int setup(void **s)
{
    (void)s;
    vm.vcpus[0] = &v[0];
    vm.vcpus[1] = &v[1];
    v[0].call = v[1].call = NULL;
    v[0].requests = v[1].requests = 0;
    runs = true;
    busy = false;
    woken = kicks = 0;
    while_waiting = NULL;
    memset(listeners, 0, sizeof(listeners));
    return 0;
}

static void a_call_is_served(void **s)
{
    u32 sum = 0;

    (void)s;
    while_waiting = serve_second;
    assert_int_equal(control_call(&task, 3, 1, add, &sum), OK);
    assert_int_equal(sum, 11);
    assert_int_equal(woken, 1);
    assert_null(v[1].call);
    control_serve(&v[1]); /* nothing is there */
    assert_int_equal(sum, 11);
}

static void no_such_vcpu(void **s)
{
    u32 sum = 0;

    (void)s;
    assert_int_equal(control_call(&task, 3, 2, add, &sum), ERR_NOENT);
    assert_int_equal(control_call(&task, 4, 0, add, &sum), ERR_NOENT);
    runs = false;
    assert_int_equal(control_call(&task, 3, 0, add, &sum), ERR_NOENT);
    assert_int_equal(control_vm(&task, 3, count_vcpus, &sum), ERR_NOENT);
    assert_int_equal(sum, 0);
}

static void the_vcpu_ends_instead(void **s)
{
    u32 sum = 0;

    (void)s;
    while_waiting = end_first;
    assert_int_equal(control_call(&task, 3, 0, add, &sum), ERR_NOENT);
    assert_int_equal(sum, 0);
    /* and after that */
    while_waiting = NULL;
    assert_int_equal(control_call(&task, 3, 0, add, &sum), ERR_NOENT);
}

static void a_vm_that_is_held_elsewhere(void **s)
{
    u32 sum = 0;

    (void)s;
    busy = true;
    while_waiting = come_free;
    assert_int_equal(control_call(&task, 3, 1, add, &sum), OK);
    assert_int_equal(sum, 11);
    busy = true;
    while_waiting = come_free;
    assert_int_equal(control_vm(&task, 3, count_vcpus, &sum), OK);
    assert_int_equal(sum, 2);
}

static void two_ask_the_same(void **s)
{
    u32 sum = 0, sum2 = 0;
    struct vcpu_call first = {.fn = add, .arg = &sum2, .task = &other};

    (void)s;
    v[1].call = &first;
    while_waiting = serve_the_other_first;
    assert_int_equal(control_call(&task, 3, 1, add, &sum), OK);
    assert_int_equal(first.done, 1);
    assert_int_equal(sum, 11);
    assert_int_equal(sum2, 11);
}

static void holding(void **s)
{
    (void)s;
    vm_hold_all(&vm, REQ_HELD);
    vcpu_hold(&v[1], REQ_STOPPED);
    assert_true(vcpu_is_held(&v[0]));
    vm_release_all(&vm, REQ_HELD);
    assert_false(vcpu_is_held(&v[0]));
    assert_true(vcpu_is_held(&v[1])); /* the one does not undo the other */
    vcpu_release(&v[1], REQ_STOPPED);
    assert_false(vcpu_is_held(&v[1]));
    assert_int_equal(kicks, 3);
}

static void who_listens_is_told(void **s)
{
    (void)s;
    control_listen(&task);
    control_listen(&other);
    vcpu_stop(&v[0], &(struct vcpu_stop){.kind = STOP_EXIT, .data = {30, 5}});
    assert_int_equal(woken, 2);
    assert_true(vcpu_is_held(&v[0]));
    assert_int_equal(v[0].stop.kind, STOP_EXIT);
    assert_int_equal(v[0].stop.data[1], 5);
    control_changed();
    assert_int_equal(woken, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_is_served, setup),
        cmocka_unit_test_setup(no_such_vcpu, setup),
        cmocka_unit_test_setup(the_vcpu_ends_instead, setup),
        cmocka_unit_test_setup(a_vm_that_is_held_elsewhere, setup),
        cmocka_unit_test_setup(two_ask_the_same, setup),
        cmocka_unit_test_setup(holding, setup),
        cmocka_unit_test_setup(who_listens_is_told, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
