/* SPDX-License-Identifier: MIT */
/* What the tests of the local APIC share: a VM of vCPUs with one each, all enabled in xAPIC mode. */
#ifndef TESTS_UNIT_LAPIC_TEST_H
#define TESTS_UNIT_LAPIC_TEST_H

#include "tests/unit/fake_host.h"
#include "vmm/dev/lapic.h"

#define NR FAKE_MAX_VCPUS

/* Register offsets in memory. */
#define ID       0x20
#define VERSION  0x30
#define TPR      0x80
#define PPR      0xa0
#define EOI      0xb0
#define LDR      0xd0
#define DFR      0xe0
#define SVR      0xf0
#define ISR      0x100
#define TMR      0x180
#define IRR      0x200
#define ESR      0x280
#define ICR      0x300
#define ICR_HIGH 0x310
#define LVT      0x320
#define LINT0    0x350
#define LINT1    0x360
#define LVT_ERR  0x370
#define INITIAL  0x380
#define CURRENT  0x390
#define DIVIDE   0x3e0

#define X2(offset) (0x800u + (offset) / 16)

extern struct vm *vm;
extern struct lapic *l; /* vCPU 0's */

/* What came to irq_eoi(), which they bring: ends of level-triggered interrupts, and the last one's vector. */
extern u32 level_eois;
extern u8 last_level_eoi;

int lapic_setup(void **state);
int lapic_teardown(void **state);

/* A register by memory, of one vCPU or of vCPU 0. */
u32 get_of(u32 cpu, u32 offset);
void set_of(u32 cpu, u32 offset, u32 value);
u32 get(u32 offset);
void set(u32 offset, u32 value);

/* A register of vCPU 0's by MSR; reading must succeed. */
u64 msr(u32 offset);
int msr_set(u32 offset, u64 value);

int pending(u32 cpu);
/* Another APIC in place of this vCPU's. Null: without memory. */
struct lapic *create_anew(u32 cpu, u32 id);
void to_x2(u32 cpu);

#endif
