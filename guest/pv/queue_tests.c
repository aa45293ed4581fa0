/* SPDX-License-Identifier: MIT */
/* The queue: its order, its ends, and who interrupts whom. */
#include "guest/common/apic.h"
#include "guest/pv/tests.h"
#include "lib/string.h"

#define UNKNOWN_OP 999
#define NOP(...)                        \
    {                                   \
        .op = NIDUS_OP_NOP, __VA_ARGS__ \
    }

static struct nidus_queue *queue(void)
{
    return &queues[this_cpu()];
}

static void publish_nop(s64 index)
{
    nidus_publish(nidus_slot(queue(), (u32)index), NIDUS_OP_NOP, 0);
}

/* Queues, flushes and compares what comes of them. */
static void expect_run(struct nidus_slot *entries, const s64 *results, u32 n, s64 left)
{
    struct nidus_queue *q = queue();
    s64 index = nidus_put(q, entries, n);

    expect(index >= 0, "no room: %lld", (long long)index);
    if (test_over())
        return;
    expect_result(nidus_flush(), left, "left in the queue");
    expect_equal(nidus_gather(q, (u32)index, entries, n), 0, "entries not done");
    for (u32 i = 0; i < n && !test_over(); i++) {
        expect_result(entries[i].result, results[i], "an entry's result");
        expect_equal(entries[i].flags & (NIDUS_READY | NIDUS_DONE), NIDUS_DONE, "an entry's flags");
    }
}

static void test_order(void)
{
    struct nidus_slot entries[] = {NOP(), {.op = UNKNOWN_OP}, {.op = NIDUS_OP_FLUSH_QUEUE},
                                   NOP(), {.op = ~0u},        {.op = NIDUS_OP_NESTED},
                                   NOP()};
    const s64 results[] = {
        0, -NIDUS_ENOSYS, -NIDUS_ECANCELED,
        0, -NIDUS_ENOSYS, info.features & NIDUS_HAS_NESTED ? -NIDUS_ECANCELED : -NIDUS_ENOSYS,
        0};

    expect_run(entries, results, ARRAY_SIZE(entries), 0);
    expect_equal(queue()->area->head, queue()->area->tail, "head");
}

/* All sizes, all places in the ring. */
static void test_wrap(void)
{
    static struct nidus_slot entries[NIDUS_SLOTS];
    static s64 results[NIDUS_SLOTS];

    for (u32 n = 1; n <= NIDUS_SLOTS && !test_over(); n++) {
        for (u32 i = 0; i < n; i++) {
            u32 op = i % 5 == 4 ? UNKNOWN_OP : NIDUS_OP_NOP;

            entries[i] = (struct nidus_slot){.op = op};
            results[i] = op == UNKNOWN_OP ? -NIDUS_ENOSYS : 0;
        }
        expect_run(entries, results, n, 0);
    }
}

static void test_full(void)
{
    struct nidus_queue *q = queue();
    s64 first = nidus_reserve(q, NIDUS_SLOTS - 1, 0);

    expect(first >= 0, "reserve 63: %lld", (long long)first);
    expect_result(nidus_reserve(q, 2, 0), -NIDUS_EBUSY, "2 more");
    expect_result(nidus_reserve(q, 1, 0), first + NIDUS_SLOTS - 1, "the last one");
    expect_result(nidus_reserve(q, 1, 0), -NIDUS_EBUSY, "one more");
    expect_result(nidus_flush(), NIDUS_SLOTS, "nothing is published");
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        publish_nop(first + i);
    expect_result(nidus_drain(q), 0, "all are published");
    expect_result(nidus_reserve(q, 1, 0), first + NIDUS_SLOTS, "room again");
    publish_nop(first + NIDUS_SLOTS);
    expect_result(nidus_drain(q), 0, "the last");
}

static void test_stop(void)
{
    struct nidus_queue *q = queue();
    struct nidus_slot entries[] = {NOP(), {.op = UNKNOWN_OP, .flags = NIDUS_STOP_ON_ERROR}, NOP(), NOP()};
    s64 index;

    index = nidus_put(q, entries, ARRAY_SIZE(entries));
    expect_result(nidus_drain(q), 2, "behind the one that fails");
    expect_equal(nidus_gather(q, (u32)index, entries, 4), 2, "not done");
    expect_result(nidus_slot(q, (u32)index + 1)->result, -NIDUS_ENOSYS, "its result");
    expect_result(nidus_flush(), 0, "the next flush goes on");
    expect_equal(nidus_gather(q, (u32)index, entries, 4), 0, "not done");
    /* An entry that succeeds stops nothing. */
    entries[1] = (struct nidus_slot)NOP(.flags = NIDUS_STOP_ON_ERROR);
    index = nidus_put(q, entries, 4);
    expect_result(nidus_flush(), 0, "none fails");
    expect_equal(nidus_gather(q, (u32)index, entries, 4), 0, "not done");
}

/* Two reserve, the second publishes first. */
static void test_blocked(void)
{
    struct nidus_queue *q = queue();
    s64 first = nidus_reserve(q, 1, 1), second = nidus_reserve(q, 2, 1);

    publish_nop(second);
    publish_nop(second + 1);
    expect_result(nidus_flush(), 3, "the first is not ready");
    expect(!nidus_is_done(nidus_slot(q, (u32)second)), "an entry was done out of order");
    publish_nop(first);
    expect_result(nidus_drain(q), 0, "it is");
    expect(nidus_is_done(nidus_slot(q, (u32)second + 1)), "the last one is not done");
    nidus_release(q, (u32)first, 3);
}

/* What a handler finds that interrupts between reserving and publishing. */
static struct {
    u32 count;
    s64 reserved, left, called;
} handler;

static void on_test(struct trap_frame *f)
{
    (void)f;
    handler.reserved = nidus_reserve(queue(), 1, 0);
    if (handler.reserved >= 0)
        publish_nop(handler.reserved);
    handler.left = nidus_flush();
    handler.called = call(NIDUS_OP_NOP, 0, 0, 0, 0);
    handler.count++;
    apic_eoi();
}

static void interrupt_self(void)
{
    u32 before = handler.count;

    trap_set_handler(TEST_VECTOR, on_test);
    irq_enable();
    apic_send(0, ICR_SELF | ICR_ASSERT | TEST_VECTOR);
    wait_for(&handler.count, before + 1, WAIT_TICKS);
    irq_disable();
    expect_equal(handler.count, before + 1, "interrupts");
}

static void test_handler(void)
{
    struct nidus_queue *q = queue();
    s64 mine = nidus_reserve(q, 1, 0);

    interrupt_self();
    expect_result(handler.reserved, mine + 1, "the handler's slot");
    expect_result(handler.left, 2, "left in the handler");
    expect_result(handler.called, 0, "the handler's call");
    publish_nop(mine);
    expect_result(nidus_drain(q), 0, "left behind the handler");
}

static void test_handler_full(void)
{
    struct nidus_queue *q = queue();
    s64 mine = nidus_reserve(q, NIDUS_SLOTS, 0);

    interrupt_self();
    expect_result(handler.reserved, -NIDUS_EBUSY, "the handler's slot");
    expect_result(handler.left, NIDUS_SLOTS, "left in the handler");
    expect_result(handler.called, 0, "the handler's call");
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        publish_nop(mine + i);
    expect_result(nidus_drain(q), 0, "left behind the handler");
    interrupt_self();
    expect_result(handler.left, 0, "left in the second handler");
}

/* Results stay until they have been read. */
static void test_kept(void)
{
    struct nidus_queue *q = queue();
    static struct nidus_slot entries[NIDUS_SLOTS];
    s64 index;

    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        entries[i] = (struct nidus_slot){.op = UNKNOWN_OP};
    index = nidus_put(q, entries, NIDUS_SLOTS);
    expect_result(nidus_flush(), 0, "left");
    interrupt_self();
    expect_result(handler.reserved, -NIDUS_EBUSY, "the handler's slot");
    expect_equal(nidus_gather(q, (u32)index, entries, NIDUS_SLOTS), 0, "not done");
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        expect_result(entries[i].result, -NIDUS_ENOSYS, "a result");
    interrupt_self();
    expect_result(handler.reserved, index + NIDUS_SLOTS, "the handler's slot afterwards");
}

static void test_notify(void)
{
    struct nidus_queue *q = queue();
    struct nidus_slot entries[] = {NOP(), NOP(.flags = NIDUS_NOTIFY), NOP()};
    const s64 results[3] = {0};
    u32 before = counted[this_cpu()];

    q->area->notify_vector = COUNT_VECTOR;
    irq_enable();
    expect_run(entries, results, 3, 0);
    wait_for(&counted[this_cpu()], before + 1, WAIT_TICKS);
    irq_disable();
    expect_equal(counted[this_cpu()], before + 1, "notifications");
    /* A vector that no interrupt may have. */
    for (u32 vector = 0; vector < 16; vector++) {
        q->area->notify_vector = vector | 0xffffff00;
        entries[1] = (struct nidus_slot)NOP(.flags = NIDUS_NOTIFY);
        irq_enable();
        expect_run(entries, results, 3, 0);
        irq_disable();
    }
    expect_equal(counted[this_cpu()], before + 1, "notifications by vectors below 16");
}

static void test_batch(void)
{
    struct nidus_queue *q = queue();
    u32 tail = q->area->tail;

    nidus_batch_begin(q);
    for (u32 i = 0; i < 10; i++)
        expect_result(nidus_do(q, NIDUS_OP_NOP, 0, 0, 0, 0), 0, "in a batch");
    expect_equal(q->area->tail, tail + 10, "tail");
    if (!q->area->polled)
        expect_equal(q->area->head, tail, "head");
    nidus_batch_begin(q);
    for (u32 i = 0; i < 1000; i++) /* more than fit: flushed in between */
        expect_result(nidus_do(q, NIDUS_OP_NOP, 0, 0, 0, 0), 0, "in a batch in a batch");
    expect_result(nidus_batch_end(q), 0, "the inner end");
    expect(q->area->polled || q->area->head != tail + 1010, "flushed at the inner end");
    expect_result(nidus_batch_end(q), 0, "the end");
    expect_equal(q->area->head, tail + 1010, "head at the end");
    expect_result(nidus_do(q, UNKNOWN_OP, 0, 0, 0, 0), -NIDUS_ENOSYS, "outside");
    expect_equal(q->area->tail, tail + 1010, "tail outside");
}

/* The interrupt handler queues and flushes wherever it comes. */
static void test_timer(void)
{
    struct nidus_queue *q = queue();
    u64 end = rdtsc() + 1000000;

    timer_start();
    while (rdtsc() < end && !test_over()) {
        struct nidus_slot entries[] = {NOP(), {.op = UNKNOWN_OP}, NOP()};
        s64 index = nidus_put(q, entries, 3);

        expect(index >= 0, "no room");
        expect(nidus_flush() >= 0, "flush");
        expect_equal(nidus_gather(q, (u32)index, entries, 3), 0, "not done");
        expect_result(entries[1].result, -NIDUS_ENOSYS, "result");
    }
    timer_stop();
    expect_equal(q->area->head, q->area->tail, "head");
    expect_equal(q->kept, 0, "slots that are kept");
}

static void test_area(void)
{
    struct nidus_queue *q = queue();
    struct nidus_area *a = q->area;
    u32 msr = info.first_msr + 1;

    expect_equal(rdmsr(msr), (u64)a | NIDUS_MSR_ENABLE, "its MSR");
    expect_equal(a->vcpu, this_cpu(), "vCPU");
    wrmsr(msr, (u64)a | NIDUS_MSR_ENABLE); /* the same again changes nothing */
    publish_nop(nidus_reserve(q, 1, 0));
    nidus_unregister_area(&info, q);
    expect_equal(rdmsr(msr), 0, "its MSR without one");
    expect_result(nidus_flush(), -NIDUS_ENOENT, "a flush without one");
    memset(a, 0xff, sizeof(*a));
    nidus_register_area(&info, q, a, (u64)a);
    expect_equal(a->head, 0, "a new one's head");
    expect_equal(a->tail, 0, "a new one's tail");
    expect_equal(a->cr3, read_cr3(), "a new one's CR3");
    expect_result(nidus_flush(), 0, "a flush of a new one");
    publish_nop(nidus_reserve(q, 1, 0));
    expect_result(nidus_drain(q), 0, "its first entry");
}

static void call_page(void *past)
{
    s64 result = nidus_call_page((u8 *)hypercall_page + *(u32 *)past, NIDUS_OP_NOP, 0, 0, 0, 0);

    expect_result(result, 0, "a call by the page");
}

static void test_page(void)
{
    u32 start = 0, past = 4;

    expect_equal(rdmsr(info.first_msr), 0, "its MSR before");
    nidus_register_page(&info, (u64)hypercall_page);
    expect_equal(rdmsr(info.first_msr), (u64)hypercall_page | NIDUS_MSR_ENABLE, "its MSR");
    expect_vector(X_NONE, call_page, &start, "a call");
    expect_vector(X_BP, call_page, &past, "behind the code");
    wrmsr(info.first_msr, 0);
    expect_equal(rdmsr(info.first_msr), 0, "its MSR afterwards");
}

const struct test queue_tests[] = {
    {"queue-area", test_area},
    {"queue-page", test_page},
    {"queue-order", test_order},
    {"queue-wrap", test_wrap},
    {"queue-full", test_full},
    {"queue-stop", test_stop},
    {"queue-blocked", test_blocked},
    {"queue-handler", test_handler},
    {"queue-handler-full", test_handler_full},
    {"queue-kept", test_kept},
    {"queue-notify", test_notify},
    {"queue-batch", test_batch},
    {"queue-timer", test_timer},
    {NULL, NULL},
};
