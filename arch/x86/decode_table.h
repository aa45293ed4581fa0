/* SPDX-License-Identifier: MIT */
/* The opcode tables of the decoder. */
#ifndef ARCH_X86_DECODE_TABLE_H
#define ARCH_X86_DECODE_TABLE_H

#include "arch/x86/decode.h"

/* How an opcode's operands are encoded, with the letters of the SDM's opcode map where it has some. */
enum opcode_flag {
    OPF_BYTE = 0x01,    /* operand size is one byte; else 2, 4 or 8 by prefixes ('v') */
    OPF_IMM8 = 0x02,    /* immediate byte ('Ib'), sign-extended */
    OPF_IMMZ = 0x04,    /* immediate of the operand size, at most 4 bytes ('Iz'), sign-extended */
    OPF_LOCK = 0x08,    /* LOCK is allowed when the destination is memory */
    OPF_D64 = 0x10,     /* 64-bit operands by default in 64-bit mode, and no 32-bit ones */
    OPF_SRC8 = 0x20,    /* the r/m operand has 8 bits */
    OPF_SRC16 = 0x40,   /* the r/m operand has 16 bits */
    OPF_SRC32 = 0x80,   /* the r/m operand has 32 bits at most */
    OPF_MEM = 0x100,    /* only with a memory operand */
    OPF_NO_REP = 0x200, /* F2 or F3 make another instruction of it */
    OPF_NO_66 = 0x400,  /* so does 66 */
    OPF_ONLY64 = 0x800, /* another instruction outside of 64-bit mode */
    OPF_NOT64 = 0x1000, /* #UD in 64-bit mode */
    OPF_MAX32 = 0x2000, /* there are no 64-bit operands */
    OPF_MIN32 = 0x4000, /* there are no 16-bit operands */
    OPF_GROUP = 0x8000, /* op is an enum opcode_group: the reg field of ModRM chooses */
};

/* Those that say what makes another instruction, or none, of it. */
#define OPF_CHECKED (OPF_MEM | OPF_NO_REP | OPF_NO_66 | OPF_ONLY64 | OPF_NOT64)

enum opcode_group { GROUP_1, GROUP_1A, GROUP_3, GROUP_4, GROUP_5, GROUP_8, GROUP_11, NR_GROUPS };

struct opcode {
    u8 op;     /* enum insn_op, or enum opcode_group */
    u8 form;   /* enum insn_form */
    u16 flags; /* OPF_* */
};

/* What a member of a group adds to its opcode. */
struct group_member {
    u8 op;
    u8 form;
    u16 add, remove; /* OPF_* */
};

extern const struct opcode opcodes_1[256];    /* one byte */
extern const struct opcode opcodes_0f[256];   /* 0F xx */
extern const struct opcode opcodes_0f38[256]; /* 0F 38 xx */
extern const struct group_member opcode_groups[NR_GROUPS][8];

#endif
