/* SPDX-License-Identifier: MIT */
/* For a debugger: L1 and L2 go round until it sets 'enough'. */
#include "guest/l1/l1.h"

#define WORK 2000

volatile u64 enough;
volatile u64 l1_rounds, l2_rounds, l2_total;

static __attribute__((noinline)) void l1_round(u64 round)
{
    l1_rounds = round;
    for (volatile u32 i = 0; i < WORK; i++)
        ;
}

static __attribute__((noinline)) u64 l2_add(u64 total, u64 round)
{
    return total + round;
}

static void l2_main(void)
{
    for (;;) {
        l2_rounds++;
        l2_total = l2_add(l2_total, l2_rounds);
        asm volatile("vmcall" : : : "memory");
    }
}

void debugged_run(void)
{
    u32 reason = EXIT_REASON_VMCALL;

    vmx_start();
    l2_new((const void *)l2_main);
    printf("l1: to be debugged\n");
    for (u64 round = 1; !enough && reason == EXIT_REASON_VMCALL; round++) {
        l1_round(round);
        reason = l2_run();
        l2_skip();
    }
    printf("l1: enough is %llu, L2's last exit %u, its total %llu\n", (ull)enough, reason, (ull)l2_total);
    vmx_stop();
}
