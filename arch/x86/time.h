/* SPDX-License-Identifier: MIT */
/* Time is the TSC: its frequency is measured at start against a real timer. */
#ifndef ARCH_X86_TIME_H
#define ARCH_X86_TIME_H

#include "arch/x86/asm.h"

extern u64 tsc_hz;    /* ticks in a second; set once at start */
extern u64 entry_tsc; /* when the boot loader gave the machine to Nidus */

/* a * b / c with a 128-bit product; the result must fit 64 bits. */
static inline u64 mul_div(u64 a, u64 b, u64 c)
{
    u64 lo, hi;

    asm("mulq %3\n\tdivq %4" : "=&a"(lo), "=&d"(hi) : "0"(a), "r"(b), "r"(c) : "cc");
    return lo;
}

static inline u64 us_to_ticks(u64 us)
{
    return us * (tsc_hz / 1000000);
}

static inline void delay_us(u64 us)
{
    u64 from = rdtsc();

    while (rdtsc() - from < us_to_ticks(us))
        cpu_pause();
}

#endif
