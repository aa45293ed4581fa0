/* SPDX-License-Identifier: MIT */
/* Channels: what they refuse; and two VMs that take turns by one. */
#include "guest/common/apic.h"
#include "guest/pv/tests.h"

#define PLACE  0x80000000u /* for its page: no RAM */
#define ROUNDS 200

static void check_refused(run_fn *run)
{
    static const u64 bad_places[] = {0, TEST_FROM, APIC_MMIO, 0xfec00000, 1ull << 60, ~0xfffull};

    for (u32 i = 0; i < ARRAY_SIZE(bad_places); i++)
        expect(run(NIDUS_OP_CHANNEL_OPEN, 0, bad_places[i], TEST_VECTOR, 0) < 0, "it is at 0x%llx",
               (ull)bad_places[i]);
    expect_result(run(NIDUS_OP_CHANNEL_OPEN, 0, PLACE + 8, TEST_VECTOR, 0), -NIDUS_EINVAL, "misaligned");
    expect_result(run(NIDUS_OP_CHANNEL_OPEN, 0, PLACE, 15, 0), -NIDUS_EINVAL, "vector 15");
    expect_result(run(NIDUS_OP_CHANNEL_OPEN, 0, PLACE, 256, 0), -NIDUS_EINVAL, "vector 256");
    expect_result(run(NIDUS_OP_CHANNEL_OPEN, 16, PLACE, TEST_VECTOR, 0), -NIDUS_ENOENT, "number 16");
    expect_result(run(NIDUS_OP_CHANNEL_OPEN, ~0ull, PLACE, TEST_VECTOR, 0), -NIDUS_ENOENT, "number -1");
    expect_result(run(NIDUS_OP_CHANNEL_SIGNAL, 16, 0, 0, 0), -NIDUS_ENOENT, "signal number 16");
    expect_result(run(NIDUS_OP_CHANNEL_SIGNAL, 0, 0, 0, 0), -NIDUS_ENOENT, "a signal before it is open");
}

static void test_channel(void)
{
    if (!need(NIDUS_HAS_CHANNEL))
        return;
    FOR_BOTH(run)
    check_refused(*run);
    expect_result(call(NIDUS_OP_CHANNEL_OPEN, 0, PLACE, TEST_VECTOR, 0), 0, "open");
    expect_result(call(NIDUS_OP_CHANNEL_OPEN, 0, PLACE, COUNT_VECTOR, 0), 0, "another vector");
    expect_result(call(NIDUS_OP_CHANNEL_OPEN, 0, PLACE + PAGE_SIZE, TEST_VECTOR, 0), -NIDUS_EEXIST,
                  "elsewhere");
    MMIO(u64, PLACE) = 5;
    expect_equal(MMIO(u64, PLACE), 5, "what is in it");
    expect_result(call(NIDUS_OP_CHANNEL_SIGNAL, 0, 0, 0, 0), 0, "a signal that nobody gets");
}

void channel_turns(u32 me)
{
    volatile u32 *turn = (volatile u32 *)(u64)PLACE;
    u64 start = rdtsc();
    s64 told = 0;

    if (call(NIDUS_OP_CHANNEL_OPEN, 0, PLACE, COUNT_VECTOR, 0)) {
        printf("pv: FAIL: the channel does not open\n");
        guest_fail(1);
    }
    irq_enable();
    for (u32 i = 0; i < ROUNDS && told >= 0; i++) {
        while (*turn % 2 != me && rdtsc() - start < 20 * WAIT_TICKS)
            cpu_pause();
        ++*turn;
        told = call(NIDUS_OP_CHANNEL_SIGNAL, 0, 0, 0, 0);
    }
    irq_disable();
    printf("pv: channel: turn %u or more, %s interrupts, last signal to %lld\n",
           *turn < 2 * ROUNDS - 1 ? *turn : 2 * ROUNDS - 1, counted[0] > ROUNDS / 2 ? "enough" : "too few",
           (long long)told);
}

const struct test channel_tests[] = {{"op-channel", test_channel}, {NULL, NULL}};
