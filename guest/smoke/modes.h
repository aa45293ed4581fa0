/* SPDX-License-Identifier: MIT */
/* Shared by C and assembly: code for low memory. */
#ifndef GUEST_SMOKE_MODES_H
#define GUEST_SMOKE_MODES_H

#define LOW_CODE  0x9000 /* where real_begin..real_end is copied; its stack grows down from LOW_STACK */
#define LOW_STACK 0x9ff0
#define REAL_INT  0x60
#define SEL_TSS32 (SEL_TSS + 16 * (MAX_CPUS - 1))

/* What the low code leaves at `real_result` */
#define REAL_MAGIC 0x7265616c

#endif
