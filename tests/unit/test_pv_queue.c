/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/queue.c */
/* A vCPU's queue: order, results, errors, what an interrupted guest leaves, and what a hostile one does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/vm.h"

bool have_smap;

#define OP NIDUS_OP_SEND_IPI /* one that does something */

static struct vm vm;
static struct vcpu vcpu = {.vm = &vm};
static struct nidus_area area;
static struct pv_queue queue;
static struct {
    u32 runs, may_go_on /* runs until something is more urgent */, notified, vector;
    struct pv_call last;
    s64 result;
    u32 again; /* so many times PV_AGAIN first */
    bool own;  /* not for the CPU that polls */
    void (*meanwhile)(void);
    u32 written; /* by guest_write_quickly() */
    bool not_there;
    gpa_t last_gpa;
    u64 last_value;
} fake;

s64 pv_call_run(struct pv_call *c)
{
    assert_ptr_equal(c->v, &vcpu);
    fake.last = *c;
    fake.runs++;
    if (fake.runs == fake.may_go_on)
        vcpu.requests = REQ_KICK;
    if (fake.meanwhile)
        fake.meanwhile();
    if (fake.again) {
        fake.again--;
        c->arg[0]++;
        return PV_AGAIN;
    }
    return fake.result;
}

bool pv_call_anywhere(u32 op)
{
    (void)op;
    return !fake.own;
}

void pv_queue_notify(struct vcpu *v, u32 vector)
{
    assert_ptr_equal(v, &vcpu);
    fake.notified++;
    fake.vector = vector;
}

bool guest_write_quickly(gpa_t gpa, u64 value)
{
    fake.written++;
    fake.last_gpa = gpa;
    fake.last_value = value;
    return !fake.not_there;
}

/* The ring begins at an index about to wrap around. */
static int start(void **state)
{
    (void)state;
    memset(&area, 0, sizeof(area));
    memset(&fake, 0, sizeof(fake));
    queue = (struct pv_queue){.area = &area, .head = ~0u - 2};
    area.head = area.tail = queue.head;
    vcpu.requests = 0;
    vcpu.until = ~0ull;
    return 0;
}

static struct nidus_slot *put(u32 op, u32 flags)
{
    struct nidus_slot *s = &area.slot[area.tail++ % NIDUS_SLOTS];

    *s = (struct nidus_slot){.op = op, .flags = flags, .arg = {1, 2, 3, 4}, .result = 77};
    return s;
}

static enum pv_queue_end serve(void)
{
    return pv_queue_serve(&queue, &vcpu, PV_BY_SELF);
}

static void expect_done(const struct nidus_slot *s, s64 result)
{
    assert_int_equal(s->result, result);
    assert_int_equal(s->flags & (NIDUS_READY | NIDUS_DONE), NIDUS_DONE);
}

static void expect_head(u32 head)
{
    assert_int_equal(queue.head, head);
    assert_int_equal(area.head, head);
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    expect_head(area.tail);
}

/* A full ring of no-ops, past its end. */
static void test_no_ops(void **state)
{
    (void)state;
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        put(NIDUS_OP_NOP, NIDUS_READY | (i & 1 ? NIDUS_STOP_ON_ERROR : 0));
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.runs, 0);
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        expect_done(&area.slot[i], 0);
    expect_head(area.tail);
}

/* Entries of paging structures go without a detour, if nothing is wrong with them. */
static void test_writes(void **state)
{
    struct nidus_slot *s = put(NIDUS_OP_WRITE_ENTRY, NIDUS_READY);

    (void)state;
    put(NIDUS_OP_WRITE_ENTRY, NIDUS_READY | NIDUS_STOP_ON_ERROR);
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.written, 2);
    assert_int_equal(fake.last_gpa, 1);
    assert_int_equal(fake.last_value, 2);
    assert_int_equal(fake.runs, 0);
    expect_done(s, 0);
    s = put(NIDUS_OP_WRITE_ENTRY, NIDUS_READY);
    fake.not_there = true;
    fake.result = -NIDUS_EFAULT;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.runs, 1);
    assert_int_equal(fake.last.op, NIDUS_OP_WRITE_ENTRY);
    expect_done(s, -NIDUS_EFAULT);
    /* L2 has no memory of L1's to write to: what the table says. */
    fake.not_there = false;
    s = put(NIDUS_OP_WRITE_ENTRY, NIDUS_READY);
    fake.result = -NIDUS_EPERM;
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_L2), PV_QUEUE_EMPTY);
    assert_int_equal(fake.written, 3);
    expect_done(s, -NIDUS_EPERM);
}

static void test_arguments_and_results(void **state)
{
    struct nidus_slot *a = put(OP, NIDUS_READY), *nop, *b;

    (void)state;
    fake.result = -NIDUS_EINVAL;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.last.op, OP);
    assert_int_equal(fake.last.by, PV_BY_SELF);
    for (u32 i = 0; i < 4; i++)
        assert_int_equal(fake.last.arg[i], i + 1);
    expect_done(a, -NIDUS_EINVAL);
    nop = put(NIDUS_OP_NOP, NIDUS_READY);
    b = put(0xffffffff, NIDUS_READY);
    fake.result = 5;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.last.op, 0xffffffff);
    expect_done(nop, 0);
    expect_done(b, 5);
    expect_head(area.tail);
}

/* Who was interrupted between taking a slot and filling it holds up what is behind, and nothing else. */
static void test_not_ready(void **state)
{
    struct nidus_slot *first = put(OP, NIDUS_READY), *hole = put(OP, 0),
                      *behind = put(NIDUS_OP_NOP, NIDUS_READY);
    u32 head = queue.head;

    (void)state;
    assert_int_equal(serve(), PV_QUEUE_BLOCKED);
    expect_done(first, 0);
    expect_head(head + 1);
    assert_int_equal(behind->flags, NIDUS_READY);
    assert_int_equal(serve(), PV_QUEUE_BLOCKED);
    hole->flags = NIDUS_READY;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    expect_done(hole, 0);
    expect_done(behind, 0);
    expect_head(area.tail);
}

static void test_errors(void **state)
{
    struct nidus_slot *goes_on = put(OP, NIDUS_READY), *stops = put(OP, NIDUS_READY | NIDUS_STOP_ON_ERROR),
                      *behind = put(OP, NIDUS_READY);
    u32 head = queue.head;

    (void)state;
    fake.result = -NIDUS_EFAULT;
    assert_int_equal(serve(), PV_QUEUE_STOPPED);
    expect_done(goes_on, -NIDUS_EFAULT);
    expect_done(stops, -NIDUS_EFAULT);
    assert_int_equal(behind->flags, NIDUS_READY);
    expect_head(head + 2);
    fake.result = 0;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    expect_done(behind, 0);
}

static void test_notification(void **state)
{
    (void)state;
    area.notify_vector = 0x155;
    put(OP, NIDUS_READY | NIDUS_NOTIFY);
    put(NIDUS_OP_NOP, NIDUS_READY | NIDUS_NOTIFY);
    put(NIDUS_OP_NOP, NIDUS_READY);
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.notified, 2);
    assert_int_equal(fake.vector, 0x155);
}

/* Something more urgent comes: after one entry at the earliest. */
static void test_preemption(void **state)
{
    u32 head = queue.head;

    (void)state;
    for (u32 i = 0; i < 5; i++)
        put(OP, NIDUS_READY);
    fake.may_go_on = 3;
    assert_int_equal(serve(), PV_QUEUE_AGAIN);
    expect_head(head + 3);
    assert_int_equal(serve(), PV_QUEUE_AGAIN);
    expect_head(head + 4);
    vcpu.requests = 0;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.runs, 5);
}

static void spoil(void)
{
    memset(area.slot, 0xff, sizeof(area.slot));
}

/* One that is not done at once goes on as it was read, whatever is in the slot then. */
static void test_begun(void **state)
{
    struct nidus_slot *s = put(OP, NIDUS_READY);

    (void)state;
    fake.again = 2;
    assert_int_equal(serve(), PV_QUEUE_AGAIN);
    s->op = 99;
    s->arg[1] = 99;
    assert_int_equal(serve(), PV_QUEUE_AGAIN);
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.last.op, OP);
    assert_int_equal(fake.last.arg[0], 3);
    assert_int_equal(fake.last.arg[1], 2);
    expect_done(s, 0);
    expect_head(area.tail);
}

/* Another CPU writes while an entry runs. */
static void test_spoiled_meanwhile(void **state)
{
    u32 head = queue.head;

    (void)state;
    put(OP, NIDUS_READY);
    fake.meanwhile = spoil;
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    expect_head(head + 1);
    assert_int_equal(fake.runs, 1);
}

static void test_bad_indices(void **state)
{
    static const u32 ahead[] = {NIDUS_SLOTS + 1, 0x80000000, ~0u};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(ahead); i++) {
        u32 head = queue.head;

        memset(area.slot, 0xff, sizeof(area.slot));
        area.tail = head + ahead[i];
        assert_int_equal(serve(), PV_QUEUE_BAD);
        assert_int_equal(queue.head, head);
        assert_int_equal(fake.runs, 0);
    }
    /* The guest's copy of the other index is not looked at. */
    start(NULL);
    area.head += 17;
    put(OP, NIDUS_READY);
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    expect_head(area.tail);
}

static void test_poller(void **state)
{
    struct nidus_slot *s = put(OP, NIDUS_READY);
    u32 head = queue.head;

    (void)state;
    fake.own = true;
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_POLLER), PV_QUEUE_OWN);
    assert_int_equal(fake.runs, 0);
    expect_head(head);
    fake.own = false;
    fake.again = 1;
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_POLLER), PV_QUEUE_OWN);
    assert_int_equal(fake.last.by, PV_BY_POLLER);
    /* Begun: the vCPU's own from now on. */
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_POLLER), PV_QUEUE_OWN);
    assert_int_equal(fake.runs, 1);
    assert_int_equal(serve(), PV_QUEUE_EMPTY);
    assert_int_equal(fake.last.by, PV_BY_SELF);
    expect_done(s, 0);
}

/* Whoever waits for the VM has it after this entry. */
static void test_poller_gives_way(void **state)
{
    (void)state;
    put(OP, NIDUS_READY);
    put(OP, NIDUS_READY);
    spin_lock(&vm.held);
    vm.held.next++;
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_POLLER), PV_QUEUE_AGAIN);
    assert_int_equal(fake.runs, 1);
    vm.held.next--;
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_POLLER), PV_QUEUE_EMPTY);
    assert_int_equal(fake.runs, 2);
    spin_unlock(&vm.held);
}

/* The vCPU's interrupts are L1's: L2 cannot make one. */
static void test_l2_notifies_nobody(void **state)
{
    struct nidus_slot *s = put(NIDUS_OP_NOP, NIDUS_READY | NIDUS_NOTIFY);

    (void)state;
    area.notify_vector = 0x55;
    assert_int_equal(pv_queue_serve(&queue, &vcpu, PV_BY_L2), PV_QUEUE_EMPTY);
    expect_done(s, 0);
    assert_int_equal(fake.notified, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_to_do, start),
        cmocka_unit_test_setup(test_no_ops, start),
        cmocka_unit_test_setup(test_writes, start),
        cmocka_unit_test_setup(test_arguments_and_results, start),
        cmocka_unit_test_setup(test_not_ready, start),
        cmocka_unit_test_setup(test_errors, start),
        cmocka_unit_test_setup(test_notification, start),
        cmocka_unit_test_setup(test_preemption, start),
        cmocka_unit_test_setup(test_begun, start),
        cmocka_unit_test_setup(test_spoiled_meanwhile, start),
        cmocka_unit_test_setup(test_bad_indices, start),
        cmocka_unit_test_setup(test_poller, start),
        cmocka_unit_test_setup(test_poller_gives_way, start),
        cmocka_unit_test_setup(test_l2_notifies_nobody, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
