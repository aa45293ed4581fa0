/* SPDX-License-Identifier: MIT */
/*
 * High precision event timer at 0xfed00000: a 64-bit counter at 10 MHz and three comparators, each one-shot
 * or periodic, edge- or level-triggered, at inputs 20 to 23 of the I/O APIC or, by legacy replacement, in the
 * place of the 8254 and the clock. Periods that pass while the timer could not be looked after are coalesced
 * into one interrupt.
 */
#ifndef VMM_DEV_HPET_H
#define VMM_DEV_HPET_H

#include "lib/types.h"

#define HPET_BASE   0xfed00000ull
#define HPET_SIZE   0x400
#define HPET_HZ     10000000u
#define HPET_TIMERS 3
/* Low half of the capabilities: Intel, legacy replacement, 64 bits, number of timers, revision 1. */
#define HPET_ID (0x8086u << 16 | 1u << 15 | 1u << 13 | (HPET_TIMERS - 1) << 8 | 1)

struct vm;
struct hpet;

struct hpet *hpet_create(struct vm *vm);
/* Whether IRQ 0 and 8 are the HPET's: neither the 8254 nor the clock reaches them then. */
bool hpet_is_legacy(const struct hpet *h);

#endif
