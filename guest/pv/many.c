/* SPDX-License-Identifier: MIT */
/* All CPUs at once, with interrupts, and with slots in each other's queues. */
#include "guest/common/apic.h"
#include "guest/pv/tests.h"

#define ROUNDS 200

static u32 wrong;

static void random_entry(struct nidus_slot *e, s64 *result)
{
    static const struct {
        u32 op;
        u64 arg[4];
        s64 result;
    } kinds[] = {
        {NIDUS_OP_NOP, {0}, 0},
        {NIDUS_OP_FLUSH_LOCAL, {0}, 0},
        {NIDUS_OP_FLUSH_LOCAL, {MiB(1), 3}, 0},
        {NIDUS_OP_FLUSH_TLB, {1, 0, 0, 0}, 0},
        {NIDUS_OP_SEND_IPI, {1, 0, COUNT_VECTOR}, 1},
        {NIDUS_OP_SEND_IPI, {1, 0, 3}, -NIDUS_EINVAL},
        {NIDUS_OP_SET_CR, {9}, -NIDUS_EINVAL},
        {NIDUS_OP_SET_TIMER, {0}, 0},
        {NIDUS_OP_YIELD, {64}, -NIDUS_ENOENT},
        {999, {0}, -NIDUS_ENOSYS},
    };
    u32 i = (u32)(cpu_random() % ARRAY_SIZE(kinds));

    *e = (struct nidus_slot){.op = kinds[i].op};
    for (u32 j = 0; j < 4; j++)
        e->arg[j] = kinds[i].arg[j];
    *result = kinds[i].result;
}

static void use_queue(u32 cpu)
{
    struct nidus_queue *q = &queues[cpu];

    timer_start();
    for (u32 round = 0; round < ROUNDS; round++) {
        struct nidus_slot entries[16];
        s64 results[16], index;
        u32 n = 1 + (u32)(cpu_random() % 16);

        for (u32 i = 0; i < n; i++)
            random_entry(&entries[i], &results[i]);
        index = nidus_put(q, entries, n);
        if (index < 0 || nidus_drain(q) < 0 || nidus_gather(q, (u32)index, entries, n)) {
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
            break;
        }
        for (u32 i = 0; i < n; i++)
            wrong += entries[i].result != results[i];
        wrong += call(NIDUS_OP_SET_CR, 3, read_cr3(), 0, 0) != 0;
    }
    timer_stop();
    if (q->area->head != q->area->tail || q->kept)
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void test_queues(void)
{
    wrong = 0;
    on_all(use_queue);
    expect_equal(wrong, 0, "wrong results");
}

/* --- threads that are moved from CPU to CPU --- */

static s64 moved_slot;

static void publish_moved(u32 cpu)
{
    (void)cpu;
    nidus_publish(nidus_slot(&queues[0], (u32)moved_slot), NIDUS_OP_NOP, 0);
    /* That is another queue. */
    if (nidus_flush() != 0)
        wrong++;
}

/* Reserved here, published there, done here. */
static void test_moved(void)
{
    struct nidus_queue *q = &queues[0];

    if (!need_cpus(2))
        return;
    wrong = 0;
    moved_slot = nidus_reserve(q, 1, 1);
    on_cpu(1, publish_moved);
    expect_equal(wrong, 0, "entries left in the other queue");
    expect(q->area->polled || !nidus_is_done(nidus_slot(q, (u32)moved_slot)), "done without a flush");
    expect_result(nidus_drain(q), 0, "left");
    expect(nidus_is_done(nidus_slot(q, (u32)moved_slot)), "it is not done");
    nidus_release(q, (u32)moved_slot, 1);
}

static u32 nr_results, nr_at_work;

/* Threads that have the queue of CPU 0 in their hands and are on other CPUs. */
static void use_queue_of_0(u32 cpu)
{
    struct nidus_queue *q = &queues[0];

    for (u32 round = 0; round < ROUNDS;) {
        bool good = cpu_random() & 1;
        struct nidus_slot entries[2] = {{.op = NIDUS_OP_NOP}, {.op = good ? NIDUS_OP_NOP : 900 + cpu}};
        s64 index = nidus_put(q, entries, 2);

        if (index < 0) {
            cpu_pause();
            continue;
        }
        while (nidus_gather(q, (u32)index, entries, 2))
            cpu_pause();
        if (entries[0].result || entries[1].result != (good ? 0 : -NIDUS_ENOSYS))
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&nr_results, 2, __ATOMIC_ACQ_REL);
        round++;
    }
    __atomic_fetch_sub(&nr_at_work, 1, __ATOMIC_ACQ_REL);
}

static void test_one_queue(void)
{
    struct nidus_queue *q = &queues[0];
    u64 start = rdtsc();

    if (!need_cpus(2))
        return;
    wrong = nr_results = 0;
    nr_at_work = nr_cpus - 1;
    for (u32 i = 1; i < nr_cpus; i++)
        start_on(i, use_queue_of_0);
    while (__atomic_load_n(&nr_at_work, __ATOMIC_ACQUIRE) && rdtsc() - start < 20 * WAIT_TICKS) {
        expect(nidus_flush() >= 0, "flush");
        cpu_pause();
    }
    for (u32 i = 1; i < nr_cpus; i++)
        finish(i);
    expect_equal(wrong, 0, "wrong results");
    expect_equal(nr_results, 2 * ROUNDS * (nr_cpus - 1), "results");
    expect_result(nidus_drain(q), 0, "left");
    expect_equal(q->kept, 0, "slots that are kept");
}

/* --- everybody does to everybody what is waited for --- */

static void flush_all(u32 cpu)
{
    timer_start();
    for (u32 i = 0; i < 50; i++) {
        if (call(NIDUS_OP_FLUSH_TLB, (nr_cpus < 64 ? BIT(nr_cpus) : 0) - 1, 0, MiB(1), i & 1))
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        if (call(NIDUS_OP_SEND_IPI, 1, (cpu + i) % nr_cpus, COUNT_VECTOR, 0) != 1)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        if (call(NIDUS_OP_YIELD, (cpu + 1) % nr_cpus, 0, 0, 0) < 0)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
    timer_stop();
}

static void test_flushes(void)
{
    wrong = 0;
    on_all(flush_all);
    expect_equal(wrong, 0, "wrong results");
}

/* Areas come and go while others flush. */
static void change_areas(u32 cpu)
{
    for (u32 i = 0; i < 50; i++) {
        new_area();
        if (nidus_do(&queues[cpu], NIDUS_OP_NOP, 0, 0, 0, 0) || nidus_flush() ||
            call(NIDUS_OP_FLUSH_TLB, 1, (cpu + 1) % nr_cpus, 0, 0))
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
}

static void test_areas(void)
{
    wrong = 0;
    on_all(change_areas);
    expect_equal(wrong, 0, "wrong results");
}

const struct test many_tests[] = {
    {"many-queues", test_queues},   {"many-moved", test_moved}, {"many-one-queue", test_one_queue},
    {"many-flushes", test_flushes}, {"many-areas", test_areas}, {NULL, NULL},
};
