/* SPDX-License-Identifier: MIT */
/* Memory that is given back and taken again while all CPUs use it. */
#include "guest/pv/tests.h"

#define HOLE MiB(10) /* what is released: with RAM before and behind it */
#define SIZE MiB(4)

static volatile u64 *at(u64 physical)
{
    return (volatile u64 *)physical;
}

static u32 stop_using, wrong;
static volatile u64 rounds[MAX_CPUS], last[MAX_CPUS];

/* On the other CPUs: what is there is what was written, zero, or nothing. */
static void use(u32 cpu)
{
    volatile u64 *mine = at(HOLE + 64 * (u64)cpu);

    while (!__atomic_load_n(&stop_using, __ATOMIC_ACQUIRE)) {
        u64 value = *mine;

        if (value && value != ~0ull && value != cpu)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        last[cpu] = value;
        *mine = cpu;
        rounds[cpu]++;
    }
}

/* In a round that the others begin from now on. */
static void others_find_nothing(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        u64 until = rounds[i] + 2;

        for (u64 start = rdtsc(); rounds[i] < until && rdtsc() - start < WAIT_TICKS;)
            cpu_pause();
        expect_equal(last[i], ~0ull, "what another CPU finds");
    }
}

static void test_balloon_in_use(void)
{
    if (!need(NIDUS_HAS_MEMORY) || !need_cpus(2))
        return;
    stop_using = wrong = 0;
    *(volatile u64 *)HOLE = 0;
    for (u32 i = 1; i < nr_cpus; i++) {
        *at(HOLE + 64 * i) = 0;
        start_on(i, use);
    }
    for (u32 i = 0; i < 50 && !test_over(); i++) {
        expect_result(call(NIDUS_OP_RELEASE, HOLE, SIZE, 0, 0), 0, "release");
        *at(HOLE) = 1;
        expect_equal(*at(HOLE), ~0ull, "what is gone");
        others_find_nothing();
        expect_result(call(NIDUS_OP_POPULATE, HOLE, SIZE, 0, 0), 0, "populate");
        expect_equal(*at(HOLE), 0, "new memory");
    }
    stop_using = 1;
    for (u32 i = 1; i < nr_cpus; i++)
        finish(i);
    expect_equal(wrong, 0, "foreign values");
}

/* All at once, each with a piece of its own. */
static void come_and_go(u32 cpu)
{
    u64 piece = HOLE + cpu * MiB(2);

    for (u32 i = 0; i < 20; i++) {
        *at(piece) = cpu + 1;
        expect_result(call(NIDUS_OP_RELEASE, piece, MiB(2), 0, 0), 0, "release");
        expect_equal(*at(piece), ~0ull, "what is gone");
        expect_result(call(NIDUS_OP_POPULATE, piece, MiB(2), 0, 0), 0, "populate");
        expect_equal(*at(piece), 0, "new memory");
    }
}

static void test_balloon_by_all(void)
{
    if (need(NIDUS_HAS_MEMORY))
        on_all(come_and_go);
}

const struct test balloon_tests[] = {
    {"balloon-in-use", test_balloon_in_use},
    {"balloon-by-all", test_balloon_by_all},
    {NULL, NULL},
};
