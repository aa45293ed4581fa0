/* SPDX-License-Identifier: MIT */
/* In place of arch/x86/cpu.h, before all that includes it: two CPUs, and the test says on which it is. */
#ifndef TESTS_UNIT_TWO_CPUS_H
#define TESTS_UNIT_TWO_CPUS_H

#define ARCH_X86_CPU_H

#include "lib/types.h"

#define MAX_CPUS 2

struct cpu {
    u32 id, apic_id;
    void *vmm;
};

extern struct cpu *cpus[MAX_CPUS];
extern u32 nr_cpus;
static struct cpu *here;

static inline struct cpu *this_cpu(void)
{
    return here;
}

#endif
