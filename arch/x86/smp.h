/* SPDX-License-Identifier: MIT */
/* Starting the other CPUs by INIT-SIPI. */
#ifndef ARCH_X86_SMP_H
#define ARCH_X86_SMP_H

#include "lib/types.h"

/*
 * Starts each CPU of the list but the one we are on; on their own stack, everything loaded, they call
 * prepare, then fn and wait there for what it waits for. One that prepare() finds of no use (and has said
 * why) is left out, halted. low_page: a free page below 1 MiB, the trampoline. A CPU that does not answer
 * within a second is named and left out; if it is not sure that they exist, within 20 ms and without a word.
 * Returns how many run now, this one included.
 */
u32 smp_start(const u32 *apic_ids, u32 nr, bool sure, paddr_t low_page, bool (*prepare)(void),
              void (*fn)(void));

#endif
