/* SPDX-License-Identifier: MIT */
#ifndef VMM_SEGMENT_H
#define VMM_SEGMENT_H

#include "lib/types.h"
#include "arch/x86/vmx_bits.h"

/* The hidden part of a segment register, as the VMCS has it: SDM 326019, 'Guest Register State'. */
struct segment {
    u64 base;
    u32 limit;
    u32 access; /* SEG_AR_* and SEG_TYPE_* */
};

/* Bits of the type that are not numbers. */
#define SEG_TYPE_CODE  BIT(3)
#define SEG_TYPE_DOWN  BIT(2) /* data: expands down */
#define SEG_TYPE_WRITE BIT(1) /* data: writable; code: readable */

#endif
