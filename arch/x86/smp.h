/* SPDX-License-Identifier: MIT */
/* Starting the other CPUs by INIT-SIPI. */
#ifndef ARCH_X86_SMP_H
#define ARCH_X86_SMP_H

#include "lib/types.h"

/*
 * Starts each CPU of the list but the one we are on; they run fn (on their own stack, everything loaded) and
 * wait there for what it waits for. low_page: a free page below 1 MiB, the trampoline. A CPU that does not
 * answer within a second is named and left out; if it is not sure that they exist, within 20 ms and without a
 * word. Returns how many run now, this one included.
 */
u32 smp_start(const u32 *apic_ids, u32 nr, bool sure, paddr_t low_page, void (*fn)(void));

#endif
