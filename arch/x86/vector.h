/* SPDX-License-Identifier: MIT */
/* The vector registers, and MMX's, as they are in this CPU: while a vCPU is loaded, the guest's. */
#ifndef ARCH_X86_VECTOR_H
#define ARCH_X86_VECTOR_H

#include "lib/types.h"

/* Register n (0 to 15). size: 16 bytes, or 32 where XCR0 enables AVX. vex: what lies above becomes 0. size 8:
 * MMX register n (0 to 7); the x87 state becomes MMX's, as by any MMX instruction, and no x87 exception may
 * be pending. */
void vector_get(u32 n, u32 size, u64 value[4]);
void vector_set(u32 n, u32 size, bool vex, const u64 value[4]);
/* Is an unmasked x87 exception pending? */
bool vector_x87_error(void);

/* x87, MMX and SSE state: 512 bytes, aligned to 16, as FXSAVE64 has them. */
void vector_save(void *area);
void vector_load(const void *area);

#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)

/* XCR0; only with CR4.OSXSAVE. */
u64 vector_xcr0(void);

#endif
