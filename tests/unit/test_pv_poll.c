/* SPDX-License-Identifier: MIT */
/* The CPU that polls, and the vCPU that it leaves something to: who is told what, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"

static inline void irq_take_pending(void) {}
static inline void stac(void) {}
static inline void clac(void) {}

#include "vmm/pv/poll.c"

bool have_smap;

static struct vm vm;
static struct vcpu vcpu, second;
static struct nidus_area area, second_area;
static u64 now;
static struct {
    enum pv_queue_end end;
    enum pv_by by;
    u32 serves, kicks;
    u32 takes;   /* time of each */
    bool wanted; /* somebody waits for the VM meanwhile */
} fake;

static u64 fake_tsc(void)
{
    return now;
}

enum pv_queue_end pv_queue_serve(struct pv_queue *q, struct vcpu *v, enum pv_by by)
{
    assert_ptr_equal(q, &v->pv.queue);
    assert_false(spin_trylock(&q->lock));
    fake.by = by;
    fake.serves++;
    now += fake.takes;
    if (fake.wanted)
        vm.held.next++;
    return fake.end;
}

/* Whoever is told finds what it is told of. */
void vcpu_kick(struct vcpu *v)
{
    struct pv_queue *q = &v->pv.queue;

    assert_true(q->asked);
    assert_true(spin_trylock(&q->lock));
    spin_unlock(&q->lock);
    fake.kicks++;
}

void vm_use_space(struct vm *m)
{
    assert_true(!m || m == &vm);
}

struct vm *vmm_hold(u32 index)
{
    if (index)
        return NULL;
    assert_true(spin_trylock(&vm.held));
    return &vm;
}

void vmm_let_go(struct vm *m)
{
    spin_unlock(&m->held);
}

void vmm_flush_if_wanted(void) {}

static int start(void **state)
{
    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&second, 0, sizeof(second));
    memset(&fake, 0, sizeof(fake));
    vm.cpuid.nidus[1].eax = NIDUS_HAS_POLL;
    vm.nr_vcpus = 2;
    vm.vcpus[0] = &vcpu;
    vm.vcpus[1] = &second;
    vcpu.vm = second.vm = &vm;
    vcpu.pv.queue.area = &area;
    second.pv.queue.area = &second_area;
    area.tail = 1;
    second_area.tail = 0;
    now = 100;
    vcpu.slice_end = 200;
    return 0;
}

static void test_looks(void **state)
{
    (void)state;
    look_at_number(0);
    assert_int_equal(fake.serves, 1);
    assert_int_equal(fake.by, PV_BY_POLLER);
    assert_int_equal(fake.kicks, 0);
    assert_true(spin_trylock(&vm.held));
}

/* The vCPU is told once, when it cannot miss it; the CPU then leaves the queue to it. */
static void test_asks(void **state)
{
    (void)state;
    fake.end = PV_QUEUE_OWN;
    look_at_number(0);
    look_at_number(0);
    assert_int_equal(fake.kicks, 1);
    assert_true(vcpu.pv.queue.asked);
    fake.end = PV_QUEUE_EMPTY;
    pv_queue_asked(&vcpu);
    assert_int_equal(fake.by, PV_BY_SELF);
    assert_false(vcpu.pv.queue.asked);
    assert_int_equal(vcpu.requests, 0);
    fake.end = PV_QUEUE_OWN;
    look_at_number(0);
    assert_int_equal(fake.kicks, 2);
}

static void test_stopped(void **state)
{
    static const enum pv_queue_end ends[] = {PV_QUEUE_STOPPED, PV_QUEUE_BAD};

    for (u32 i = 0; i < ARRAY_SIZE(ends); i++) {
        start(state);
        fake.end = ends[i];
        look_at_number(0);
        look_at_number(0);
        assert_int_equal(fake.serves, 1);
        start(state);
        vcpu.pv.queue.asked = true;
        fake.end = ends[i];
        pv_queue_asked(&vcpu);
        assert_true(vcpu.pv.queue.stopped && !vcpu.pv.queue.asked);
    }
}

/* What is left must not wait for an exit that never comes: a vCPU that halts does not halt. */
static void test_left(void **state)
{
    (void)state;
    vcpu.pv.queue.asked = true;
    fake.end = PV_QUEUE_AGAIN;
    pv_queue_asked(&vcpu);
    assert_int_equal(fake.serves, NIDUS_SLOTS);
    assert_true(vcpu.pv.queue.asked);
    assert_int_equal(vcpu.requests, REQ_QUEUE);
}

/* Not longer than the vCPU has the CPU; something is done in any case. */
static void test_slice(void **state)
{
    (void)state;
    fake.end = PV_QUEUE_AGAIN;
    fake.takes = 50;
    pv_queue_asked(&vcpu);
    assert_int_equal(fake.serves, 2);
    pv_queue_asked(&vcpu);
    assert_int_equal(fake.serves, 3);
}

static void test_locked(void **state)
{
    (void)state;
    vcpu.pv.queue.asked = true;
    spin_lock(&vcpu.pv.queue.lock);
    pv_queue_asked(&vcpu);
    assert_int_equal(fake.serves, 0);
    assert_true(vcpu.pv.queue.asked);
    assert_int_equal(vcpu.requests, REQ_QUEUE);
}

/* Who wants to destroy the VM does not wait for all of its queues. */
static void test_wanted(void **state)
{
    (void)state;
    second_area.tail = 1;
    look_at_number(0);
    assert_int_equal(fake.serves, 2);
    fake.wanted = true;
    look_at_number(0);
    assert_int_equal(fake.serves, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_looks, start),   cmocka_unit_test_setup(test_asks, start),
        cmocka_unit_test_setup(test_stopped, start), cmocka_unit_test_setup(test_left, start),
        cmocka_unit_test_setup(test_slice, start),   cmocka_unit_test_setup(test_locked, start),
        cmocka_unit_test_setup(test_wanted, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
