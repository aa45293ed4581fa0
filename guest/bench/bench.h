/* SPDX-License-Identifier: MIT */
#ifndef GUEST_BENCH_BENCH_H
#define GUEST_BENCH_BENCH_H

#include "lib/types.h"

#define IPI_VECTOR 0x40

struct sample_regs {
    u64 rax, rcx, rdx, rdi;
    u64 toggle; /* RAX is exclusive-ored with it before each operation */
};

typedef u64 sample(const struct sample_regs *in);

extern volatile u64 ipi_tsc; /* when ipi_entry last ran; set to 0 to wait for it */
extern bool ipi_x2apic;      /* how it ends the interrupt */

/* --- other.c: interrupts to a second CPU --- */

/* Whether there is one; it is started, in the mode that ipi_x2apic says. This CPU's APIC is on. */
bool other_start(void);
/* Rows without figures if it is not there. Both are in that mode, IPI_VECTOR has ipi_entry. */
void other_bench(bool there);
/* While this CPU is still in xAPIC mode: the other goes first. */
void other_to_x2apic(void);

#endif
