/* SPDX-License-Identifier: MIT */
/* What the tests of the paravirtual interface share. */
#ifndef GUEST_PV_TESTS_H
#define GUEST_PV_TESTS_H

#include "guest/common/cpus.h"
#include "guest/common/test.h"
#include "guest/common/work.h"
#include "guest/pv/nidus.h"

/* Vectors: of the local APIC's timer, whose handler queues too; of a handler that the test sets; of one that
 * counts. */
#define TIMER_VECTOR 0x40
#define TEST_VECTOR  0x41
#define COUNT_VECTOR 0x42

#define WAIT_TICKS 500000000ull

/* Memory for tests: 4 KiB pages, and above TEST_FROM everything is free. */
#define TEST_FROM MiB(8)

extern struct nidus_info info;
extern struct nidus_queue queues[MAX_CPUS]; /* each CPU's; its area is registered */
extern u8 hypercall_page[PAGE_SIZE];

/* In a test: skips it where the operation is not offered. */
bool need(u32 feature);

/* This CPU's timer, whose handler queues an entry and flushes every other time; interrupts are on until
 * timer_stop(), which checks that there were some. */
void timer_start(void);
void timer_stop(void);

/* The handler of COUNT_VECTOR counts for each CPU. */
extern u32 counted[MAX_CPUS];

/* A test's queue is in order again: an area that is new. */
void new_area(void);

static inline s64 call(u32 op, u64 a, u64 b, u64 c, u64 d)
{
    return nidus_call(op, a, b, c, d);
}

/* By the queue, and with its result. */
s64 queued(u32 op, u64 a, u64 b, u64 c, u64 d);

/* A test of an operation is done by both. */
typedef s64 run_fn(u32 op, u64 a, u64 b, u64 c, u64 d);
static run_fn *const both[] = {call, queued};
#define FOR_BOTH(run) for (run_fn *const *run = both; run < both + ARRAY_SIZE(both); run++)

#define expect_result(got, wanted, what)                                                          \
    do {                                                                                          \
        s64 got_ = (got), wanted_ = (wanted);                                                     \
        expect(got_ == wanted_, "%s: %lld, not %lld", what, (long long)got_, (long long)wanted_); \
    } while (0)

extern const struct test queue_tests[], operation_tests[], memory_tests[], channel_tests[], many_tests[],
    bad_tests[];
void figures(void);
/* VM number me, 0 or 1, of two that share channel 0. */
void channel_turns(u32 me);

#endif
