/* SPDX-License-Identifier: MIT */
/* What the tests of the local APIC share. */
#ifndef GUEST_APIC_TESTS_H
#define GUEST_APIC_TESTS_H

#include "guest/common/apic.h"
#include "guest/common/cpus.h"
#include "guest/common/test.h"
#include "guest/common/work.h"

#define WAKE_VECTOR 0x3f /* starts a CPU's work */
#define SPURIOUS    0xff

/* How the CPUs are addressed. */
enum model { XAPIC_FLAT, XAPIC_CLUSTER, X2APIC };
extern const char *const model_names[];
extern enum model model;

/* The APIC of this CPU, numbered cpu, as model says; from x2APIC mode by way of a disabled one. */
void set_model(u32 cpu);
/* Whether there is that model here. */
bool has_model(enum model m);
/* All CPUs go over to m. */
void all_to_model(enum model m);

/* The logical destination of the CPUs in a mask of numbers that can have one in common; *reached are those.
 */
u32 logical_destination(u64 mask, u64 *reached);
/* apic_read() and apic_write() of an APIC that is as model says, without a look at its mode. */
static inline u32 reg_read(u32 reg)
{
    return model == X2APIC ? (u32)rdmsr(X2APIC_MSR(reg)) : MMIO(u32, APIC_MMIO + reg);
}

static inline void reg_write(u32 reg, u32 value)
{
    if (model == X2APIC)
        wrmsr(X2APIC_MSR(reg), value);
    else
        MMIO(u32, APIC_MMIO + reg) = value;
}

static inline bool reg_bit(u32 reg, u32 vector)
{
    return reg_read(reg + vector / 32 * 0x10) >> vector % 32 & 1;
}

/* Sends by the ICR; in x2APIC mode behind all stores before it. */
void send(u32 destination, u32 low);

bool under_hypervisor(void);

/* The random IPIs; fails by itself. */
void stress(void);
/* Sees all NMIs while stress() runs; true: that was one of its. */
bool stress_nmi(struct trap_frame *f);

#endif
