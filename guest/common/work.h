/* SPDX-License-Identifier: MIT */
/* Work for all CPUs: the others wait for it, halted. And each CPU's random numbers. */
#ifndef GUEST_WORK_H
#define GUEST_WORK_H

#include "lib/types.h"

/* Starts all other CPUs. vector wakes them; its handler has to do no more than an EOI. setup(i), which may be
 * null, runs first on each, the boot CPU too. False: one does not start. */
bool work_start(bool x2apic, u8 vector, void (*setup)(u32 cpu));

/* A CPU that an INIT has stopped works again; what it was at is forgotten. */
bool work_release(u32 cpu, bool x2apic);

/* fn(i) on all CPUs i at once, or on one other; interrupts are off there. They return when it has. */
void on_all(void (*fn)(u32 cpu));
void on_cpu(u32 cpu, void (*fn)(u32 cpu));
/* The same, which does not wait; finish() does. */
void start_on(u32 cpu, void (*fn)(u32 cpu));
void finish(u32 cpu);

/* In a test: skips it where there are fewer CPUs. */
bool need_cpus(u32 n);

/* xorshift; each CPU's own. The option seed= begins it. */
u64 cpu_random(void);

#endif
