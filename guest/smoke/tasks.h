/* SPDX-License-Identifier: MIT */
/* Shared by C and assembly: hardware task switches. */
#ifndef GUEST_SMOKE_TASKS_H
#define GUEST_SMOKE_TASKS_H

#include "guest/common/segments.h"

/* In the GDT's room for the last CPUs: 8 bytes each. TSS A is of the task that mode32_run() calls. */
#define SEL_TSS_A  (SEL_TSS + 16 * (MAX_CPUS - 1))
#define SEL_TSS_B  (SEL_TSS_A - 8)
#define SEL_TSS_16 (SEL_TSS_A - 16)
#define SEL_ABSENT (SEL_TSS_A - 24)
#define SEL_LDT    (SEL_TSS_A - 32)
#define SEL_NONE   0xfff8

#define TASK_DR7     0x407 /* L0, G0 and L1, at address 0 */
#define TASK_IRQ     31
#define TASK16_MAGIC 0x3631

#endif
