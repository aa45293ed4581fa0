/* SPDX-License-Identifier: MIT */
/* The local APIC, as xAPIC or x2APIC; registers are named by their xAPIC offset. */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "lib/types.h"

#define APIC_MMIO          0xfee00000u
#define APIC_ID            0x20
#define APIC_VERSION       0x30
#define APIC_TPR           0x80
#define APIC_PPR           0xa0
#define APIC_EOI           0xb0
#define APIC_LDR           0xd0
#define APIC_DFR           0xe0 /* xAPIC only */
#define APIC_SVR           0xf0
#define APIC_ISR           0x100
#define APIC_TMR           0x180
#define APIC_IRR           0x200
#define APIC_ESR           0x280
#define APIC_ICR           0x300
#define APIC_ICR_HIGH      0x310
#define APIC_LVT_TIMER     0x320
#define APIC_LVT_LINT0     0x350
#define APIC_LVT_LINT1     0x360
#define APIC_LVT_ERROR     0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3e0
#define APIC_SELF_IPI      0x3f0 /* x2APIC only */

#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_X2     BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define LVT_MASKED       BIT(16)
#define LVT_DEADLINE     BIT(18)
#define LVT_EXTINT       0x700u
#define LVT_NMI          0x400u
#define ICR_PENDING      BIT(12)
#define ICR_ASSERT       0x4000u
#define ICR_INIT         0x500u
#define ICR_STARTUP      0x600u
#define ICR_SELF         0x40000u
#define ICR_ALL          0x80000u
#define ICR_OTHERS       0xc0000u
#define ICR_LOGICAL      0x800u
#define ICR_LOWEST       0x100u
#define ICR_NMI          0x400u

#define X2APIC_MSR(reg) (0x800u + ((reg) >> 4))

enum apic_mode { APIC_OFF, APIC_X1, APIC_X2 };

bool apic_has(void);    /* CPUID.01H:EDX[9] */
bool apic_has_x2(void); /* CPUID.01H:ECX[21] */
enum apic_mode apic_mode(void);

/* Enables this CPU's APIC by software (spurious vector 0xff); the PIC's interrupts still come through LINT0
 * if extint. There is no way back from x2APIC mode. */
void apic_enable(bool x2, bool extint);
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 value);
u32 apic_id(void);
void apic_eoi(void);
/* low: the ICR's low half; waits until it is sent. */
void apic_send(u32 destination, u32 low);

#endif
