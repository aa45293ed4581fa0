/* SPDX-License-Identifier: MIT */
/*
 * The short way for plain moves from and to devices in 64-bit code: each vCPU remembers some instructions
 * that it has emulated, with all that their fetch depended on. What is remembered counts only if all of that
 * is still so.
 */
#ifndef VMM_MMIO_FAST_H
#define VMM_MMIO_FAST_H

#include "arch/x86/trap.h"
#include "lib/types.h"

struct insn;
struct vcpu;

/* A paging-structure entry for each of five levels, and an unaligned instruction of 15 bytes. */
#define MMIO_MAX_MATCHES 8

/* A move between a register, or an immediate, and memory. */
struct mmio_move {
    u64 rip, cr3;      /* with these it was decoded */
    u64 page;          /* guest-physical, without its offset: there is no RAM */
    u64 address;       /* displacement, RIP-relative ones with what they are relative to */
    u64 keep;          /* bits of the register that stay; all: the value to store is imm */
    u64 imm;           /* of a store; 0 if it is a register's */
    u32 qualification; /* what an exit for this access tells */
    u8 length;         /* of the instruction; 0: nothing is remembered here */
    u8 size;           /* of the access */
    u8 base, index;    /* register numbers or REG_NONE */
    u8 scale;          /* shift */
    u8 reg, shift;     /* register, and where in it the value is */
    bool write, la57;
    u8 nr_matches;
    struct word_match match[MMIO_MAX_MATCHES];
};

#define MMIO_MOVES 16 /* remembered by a vCPU */

/*
 * After an exit for an access to gpa, before anything else is done about it: true if the instruction was a
 * move that is remembered, and has been carried out.
 */
bool mmio_fast(struct vcpu *v, gpa_t gpa);
/*
 * insn, 64-bit code at rip, was emulated for an access to gpa, where there is no RAM. It was fetched from
 * what the n matches tell. Remembers it if it is a move.
 */
void mmio_learn(struct vcpu *v, const struct insn *insn, u64 rip, gpa_t gpa, const struct word_match *matches,
                u32 n);

#endif
