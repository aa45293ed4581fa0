/* SPDX-License-Identifier: MIT */
/* The opcode tables of the decoder. */
#ifndef ARCH_X86_DECODE_TABLE_H
#define ARCH_X86_DECODE_TABLE_H

#include "arch/x86/decode.h"

/* How an opcode's operands are encoded, with the letters of the SDM's opcode map where it has some. */
enum opcode_flag {
    OPF_BYTE = 0x01,         /* operand size is one byte; else 2, 4 or 8 by prefixes ('v') */
    OPF_IMM8 = 0x02,         /* immediate byte ('Ib'), sign-extended */
    OPF_IMMZ = 0x04,         /* immediate of the operand size, at most 4 bytes ('Iz'), sign-extended */
    OPF_LOCK = 0x08,         /* LOCK is allowed when the destination is memory */
    OPF_D64 = 0x10,          /* 64-bit operands by default in 64-bit mode, and no 32-bit ones */
    OPF_SRC8 = 0x20,         /* the r/m operand has 8 bits */
    OPF_SRC16 = 0x40,        /* the r/m operand has 16 bits */
    OPF_SRC32 = 0x80,        /* the r/m operand has 32 bits at most */
    OPF_MEM = 0x100,         /* only with a memory operand */
    OPF_NO_REP = 0x200,      /* F2 or F3 make another instruction of it */
    OPF_NO_66 = 0x400,       /* so does 66 */
    OPF_ONLY64 = 0x800,      /* another instruction outside of 64-bit mode */
    OPF_NOT64 = 0x1000,      /* #UD in 64-bit mode */
    OPF_MAX32 = 0x2000,      /* there are no 64-bit operands */
    OPF_MIN32 = 0x4000,      /* there are no 16-bit operands */
    OPF_GROUP = 0x8000,      /* op is an enum opcode_group: the reg field of ModRM chooses */
    OPF_PAIR = 0x10000,      /* the r/m operand is twice the operation's size */
    OPF_ALIGN = 0x20000,     /* vector moves: memory must be aligned to the access's size */
    OPF_VEX_LIG = 0x40000,   /* VEX.L is ignored */
    OPF_REG_OTHER = 0x80000, /* with a register for the memory operand it is another instruction */
    OPF_MMX = 0x100000,      /* the registers are MMX's; there is no VEX form */
    OPF_LOW = 0x200000,      /* vector moves: the low half of the register */
    OPF_HIGH = 0x400000,     /* the high half */
    OPF_F3_NEXT = 0x800000,  /* F3 makes the next operation (enum insn_op) of it */
    OPF_F3_ONLY = 0x1000000, /* without F3 it is another instruction */
    OPF_66_ONLY = 0x2000000, /* likewise 66 */
};

/* Those that say what makes another instruction, or none, of it. */
#define OPF_CHECKED \
    (OPF_MEM | OPF_NO_REP | OPF_NO_66 | OPF_ONLY64 | OPF_NOT64 | OPF_REG_OTHER | OPF_F3_ONLY | OPF_66_ONLY)

enum opcode_group {
    GROUP_1,
    GROUP_1A,
    GROUP_2,
    GROUP_3,
    GROUP_4,
    GROUP_5,
    GROUP_8,
    GROUP_9,
    GROUP_11,
    GROUP_15,
    NR_GROUPS
};

/* In a group: the form is the opcode's own. */
#define FORM_OPCODE 0xff

struct opcode {
    u8 op;     /* enum insn_op, or enum opcode_group */
    u8 form;   /* enum insn_form */
    u32 flags; /* OPF_* */
} __packed;

/* What a member of a group adds to its opcode. */
struct group_member {
    u8 op;
    u8 form;
    u32 add, remove; /* OPF_* */
} __packed;

/* A vector move. With 66, F3 and F2 an opcode is a different instruction: 'mandatory prefixes'. */
struct vector_opcode {
    u8 map;    /* 1: 0F, 2: 0F 38 */
    u8 opcode; /* behind the map's bytes */
    u8 prefix; /* 0: none, 1: 66, 2: F3, 3: F2, as VEX.pp has them */
    u8 form;   /* FORM_REG_RM or FORM_RM_REG */
    u8 size;   /* bytes; 16: 32 with VEX.L; 0: 4, with REX.W or VEX.W 8 */
    u32 flags; /* OPF_MEM, OPF_ALIGN, OPF_VEX_LIG, OPF_REG_OTHER, OPF_MMX, OPF_LOW, OPF_HIGH */
} __packed;

#define NR_VECTOR_OPCODES 38

extern const struct vector_opcode vector_opcodes[NR_VECTOR_OPCODES];

#define FIRST_0F38 0xf0

extern const struct opcode opcodes_1[256];   /* one byte */
extern const struct opcode opcodes_0f[256];  /* 0F xx */
extern const struct opcode opcodes_0f38[16]; /* 0F 38 xx from FIRST_0F38 on; before it nothing is supported */
extern const struct group_member opcode_groups[NR_GROUPS][8];

#endif
