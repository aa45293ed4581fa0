/* SPDX-License-Identifier: MIT */
/* The other CPUs: found in the MADT, started one after another. The boot CPU is number 0. */
#ifndef GUEST_CPUS_H
#define GUEST_CPUS_H

#define TRAMPOLINE 0x8000 /* a SIPI's vector is its page number */

#ifndef __ASSEMBLER__
#include "guest/common/segments.h"
#include "lib/types.h"

extern u32 cpu_ids[MAX_CPUS]; /* APIC ids */
extern u32 nr_cpus;

/* wanted: how many there must be; 0: as many as the MADT has. Without a MADT wanted, with ids from 0 on.
 * False, having said why: it is not so. The APIC is on. */
bool cpus_find(u32 wanted);
/* Starts CPU i, which runs fn on a stack of its own, with a TSS and IDT and its APIC on, and halts when that
 * returns. True once it is there. */
bool cpus_start(u32 i, bool x2apic, void (*fn)(u32 i));
/* The second half of that, for one that waits for its start-up IPI. */
bool cpus_release(u32 i, bool x2apic, void (*fn)(u32 i));
/* This CPU's number. */
u32 this_cpu(void);

/* Waits until *value is at least wanted. False: ticks have passed. */
bool wait_for(const u32 *value, u32 wanted, u64 ticks);
#endif

#endif
