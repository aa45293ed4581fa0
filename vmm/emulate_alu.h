/* SPDX-License-Identifier: MIT */
#ifndef VMM_EMULATE_ALU_H
#define VMM_EMULATE_ALU_H

#include "lib/types.h"
#include "arch/x86/decode.h"

/*
 * OP_ADD to OP_DEC on operands of size 1, 2, 4 or 8 bytes: the result, and the status flags in *rflags. b is
 * not looked at by NOT, NEG, INC and DEC; CMP's result is the difference, TEST's the conjunction. SDM 325462
 * volume 1, 'Status Flags'. Where AF is undefined it becomes 0.
 */
u64 alu(u32 op, u32 size, u64 a, u64 b, u64 *rflags);

/*
 * OP_ROL to OP_SAR by count, of which the CPU takes the low 5 bits (6 with size 8). Undefined flags: OF
 * unless it is by 1, AF of shifts, CF of SHL and SHR by more than there are bits.
 */
u64 shift(u32 op, u32 size, u64 a, u32 count, u64 *rflags);

/*
 * SHLD and SHRD: a shifted by count (as above), with bits of b coming in. Undefined: AF, OF unless it is by
 * 1, all with 16 bits and a count above 16, where the bits of a come in behind those of b.
 */
u64 double_shift(u32 op, u32 size, u64 a, u64 b, u32 count, u64 *rflags);

/* MUL and IMUL: the low half of the product, the high half in *high. Only CF and OF are defined. */
u64 multiply(u32 op, u32 size, u64 a, u64 b, u64 *high, u64 *rflags);

/* BSF to POPCNT of a; old: the destination, which BSF and BSR of 0 leave as it is. Undefined flags stay. */
u64 count_bits(u32 op, u32 size, u64 a, u64 old, u64 *rflags);

/* Whether condition (0 to 15, as in opcodes) holds. */
bool condition_holds(u32 condition, u64 rflags);

#endif
