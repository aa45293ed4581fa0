/* SPDX-License-Identifier: MIT */
/* The descriptor of a vCPU: what those who post find in each state, and whom they notify. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/types.h"
#define ARCH_X86_CPU_H

struct cpu {
    u32 id, apic_id;
    void *vmm;
};

static struct cpu *this_cpu(void);

#include "lib/spinlock.h"
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/posted.c"

static struct cpu cpu;
static bool x2apic;
static struct pi_desc pid;
static struct vcpu vcpu = {.pid = &pid, .posted = true};

static struct {
    u32 ipis, to, kicks;
    u8 vector;
} sent;

static struct cpu *this_cpu(void)
{
    return &cpu;
}

bool apic_is_x2apic(void)
{
    return x2apic;
}

void apic_send_ipi(u32 to, u8 vector)
{
    sent.ipis++;
    sent.to = to;
    sent.vector = vector;
}

void vcpu_kick(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    sent.kicks++;
}

static int start(void **s)
{
    (void)s;
    memset(&pid, 0, sizeof(pid));
    memset(&sent, 0, sizeof(sent));
    x2apic = true;
    cpu.apic_id = 0x12345;
    return 0;
}

static void assert_control(u64 bits, u8 vector, u32 destination)
{
    assert_int_equal(pid.control & 0xffff, bits);
    assert_int_equal(PID_NV(pid.control), vector);
    assert_int_equal(PID_NDST(pid.control), destination);
    assert_int_equal(pid.control >> 24 & 0xff, 0); /* reserved */
}

static void test_layout(void **s)
{
    (void)s;
    assert_int_equal(sizeof(struct pi_desc), 64);
    assert_int_equal(offsetof(struct pi_desc, control), 32);
    for (u32 vector = 0; vector < 256; vector++) {
        start(NULL);
        assert_true(pi_post(&pid, (u8)vector));
        assert_true(((u8 *)&pid)[vector / 8] == 1u << vector % 8);
        assert_int_equal(((u8 *)&pid)[32], 1);
    }
}

static void test_states(void **s)
{
    (void)s;
    posted_follow(&vcpu, SCHED_QUEUED); /* as it begins */
    assert_int_equal(pid.flags, PID_SN);
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_control(0, VECTOR_POSTED, 0x12345);
    posted_follow(&vcpu, SCHED_BLOCKED);
    assert_control(0, VECTOR_WAKE, 0x12345);
    posted_follow(&vcpu, SCHED_RUNNING); /* it has not slept after all */
    assert_control(0, VECTOR_POSTED, 0x12345);
    posted_follow(&vcpu, SCHED_BLOCKED);
    posted_follow(&vcpu, SCHED_QUEUED);
    assert_int_equal(pid.flags, PID_SN);
    cpu.apic_id = 7; /* it has moved */
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_control(0, VECTOR_POSTED, 7);
    posted_follow(&vcpu, SCHED_DEAD);
    assert_int_equal(pid.flags, PID_SN);
}

/* 'Posted-Interrupt Processing': bits 15:8 of NDST in xAPIC mode. */
static void test_xapic_destination(void **s)
{
    (void)s;
    x2apic = false;
    cpu.apic_id = 0xa5;
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_control(0, VECTOR_POSTED, 0xa500);
    posted_follow(&vcpu, SCHED_BLOCKED);
    assert_control(0, VECTOR_WAKE, 0xa500);
}

/* ON and requests are the posters'. */
static void test_on_is_kept(void **s)
{
    static const enum vcpu_sched all[] = {SCHED_QUEUED, SCHED_RUNNING, SCHED_BLOCKED, SCHED_DEAD};

    (void)s;
    for (u32 from = 0; from < ARRAY_SIZE(all); from++) {
        for (u32 to = 0; to < ARRAY_SIZE(all); to++) {
            start(NULL);
            posted_follow(&vcpu, all[from]);
            posted_follow(&vcpu, all[to]);
            assert_false(pi_is_on(&pid));
            posted_follow(&vcpu, all[from]);
            pid.flags |= PID_ON;
            posted_follow(&vcpu, all[to]);
            assert_true(pi_is_on(&pid));
            assert_int_equal(pid.pir[0] | pid.pir[1] | pid.pir[2] | pid.pir[3], 0);
        }
    }
}

/* Who finds SN set, or ON, leaves both as they are and tells nobody. */
static void test_who_notifies(void **s)
{
    (void)s;
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_true(pi_post(&pid, 0x31));
    assert_false(pi_post(&pid, 0x32));
    assert_int_equal(pid.pir[0], BIT(0x31) | BIT(0x32));
    pid.flags = 0;
    posted_follow(&vcpu, SCHED_QUEUED);
    assert_false(pi_post(&pid, 0x33));
    assert_false(pi_is_on(&pid));
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_true(pi_is_on(&pid));
    pid.flags = 0;
    posted_follow(&vcpu, SCHED_BLOCKED);
    assert_true(pi_post(&pid, 0x34));
}

/* What was posted meanwhile is found when it runs again, whichever word it is in. */
static void test_resume(void **s)
{
    (void)s;
    for (u32 i = 0; i < PIR_WORDS; i++) {
        start(NULL);
        posted_follow(&vcpu, SCHED_QUEUED);
        pi_post(&pid, (u8)(64 * i + 17));
        posted_follow(&vcpu, SCHED_RUNNING);
        assert_control(PID_ON, VECTOR_POSTED, 0x12345);
        assert_int_equal(pid.pir[i], BIT(17));
        assert_false(pi_post(&pid, 0x55)); /* it is about to look */
    }
}

static void test_notify(void **s)
{
    static const struct {
        enum vcpu_sched state;
        u8 vector;
    } on[] = {{SCHED_RUNNING, VECTOR_POSTED}, {SCHED_BLOCKED, VECTOR_WAKE}};

    (void)s;
    for (u32 x2 = 0; x2 < 2; x2++) {
        for (u32 i = 0; i < ARRAY_SIZE(on); i++) {
            start(NULL);
            x2apic = x2;
            cpu.apic_id = x2 ? 0x12345 : 0x45;
            posted_follow(&vcpu, SCHED_RUNNING);
            posted_follow(&vcpu, on[i].state);
            assert_true(pi_post(&pid, 0x40));
            posted_notify(&vcpu); /* at its own CPU: its request is seen before its guest goes on */
            assert_int_equal(sent.ipis, 0);
            assert_int_equal(sent.kicks, 1);
            cpu.apic_id = 0;
            posted_notify(&vcpu);
            assert_int_equal(sent.ipis, 1);
            assert_int_equal(sent.to, x2 ? 0x12345 : 0x45);
            assert_int_equal(sent.vector, on[i].vector);
            assert_int_equal(sent.kicks, 1);
        }
    }
}

/* Between setting ON and the notification the vCPU has been queued: what is sent then is for nobody, but it
 * is no error of the APIC's, as vectors below 16 are. */
static void test_notify_late(void **s)
{
    (void)s;
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_true(pi_post(&pid, 0x40));
    posted_follow(&vcpu, SCHED_QUEUED);
    cpu.apic_id = 3;
    posted_notify(&vcpu);
    assert_int_equal(sent.ipis, 1);
    assert_int_equal(sent.vector, VECTOR_POSTED);
    posted_follow(&vcpu, SCHED_RUNNING);
    assert_true(pi_is_on(&pid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_layout, start),
        cmocka_unit_test_setup(test_states, start),
        cmocka_unit_test_setup(test_xapic_destination, start),
        cmocka_unit_test_setup(test_on_is_kept, start),
        cmocka_unit_test_setup(test_who_notifies, start),
        cmocka_unit_test_setup(test_resume, start),
        cmocka_unit_test_setup(test_notify, start),
        cmocka_unit_test_setup(test_notify_late, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
