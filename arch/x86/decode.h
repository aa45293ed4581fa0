/* SPDX-License-Identifier: MIT */
/*
 * Instruction decoder for what software does to memory-mapped devices. SDM 325462 volume 2, 'Instruction
 * Format' and 'Opcode Map'. Driven by the tables in decode_table.c.
 */
#ifndef ARCH_X86_DECODE_H
#define ARCH_X86_DECODE_H

#include "lib/types.h"
#include "arch/x86/gpr.h"

#define INSN_MAX_LENGTH 15

enum insn_op {
    OP_NONE, /* not in the tables */
    OP_MOV,
    OP_MOVZX,
    OP_MOVSX, /* MOVSXD too */
    OP_MOVBE,
    OP_XCHG,
    /* In the order of the opcode map: 00-3B, and the reg field of group 1. */
    OP_ADD,
    OP_OR,
    OP_ADC,
    OP_SBB,
    OP_AND,
    OP_SUB,
    OP_XOR,
    OP_CMP,
    OP_TEST,
    OP_NOT,
    OP_NEG,
    OP_INC,
    OP_DEC,
    OP_BT,
    OP_BTS,
    OP_BTR,
    OP_BTC,
    OP_CMPXCHG,
    OP_XADD,
    /* In the order of the reg field of group 2. */
    OP_ROL,
    OP_ROR,
    OP_RCL,
    OP_RCR,
    OP_SHL,
    OP_SHR,
    OP_SAR,
    OP_SHLD,
    OP_SHRD,
    OP_SETCC,
    OP_CMOVCC,
    OP_MUL,
    OP_IMUL,
    OP_BSF,
    OP_TZCNT, /* BSF with F3 */
    OP_BSR,
    OP_LZCNT, /* BSR with F3 */
    OP_POPCNT,
    OP_CLFLUSH,   /* CLFLUSHOPT and CLWB too */
    OP_CMPXCHG8B, /* size 8: CMPXCHG16B */
    OP_MMOV,      /* likewise of MMX registers: MOVD, MOVQ, MOVNTQ */
    OP_VMOV,      /* moves of vector registers; reg (and rm) is one, except where rm is a general register */
    OP_PUSH,
    OP_POP,
    OP_MOVS,
    OP_CMPS,
    OP_STOS,
    OP_LODS,
    OP_SCAS,
    OP_INS,
    OP_OUTS,
    INSN_NR_OPS
};

/* Operands, destination first. */
enum insn_form {
    FORM_RM_REG,
    FORM_REG_RM,
    FORM_RM_IMM,
    FORM_RM,   /* the r/m operand alone */
    FORM_RM_1, /* imm is 1 */
    FORM_RM_CL,
    FORM_RM_REG_IMM,
    FORM_RM_REG_CL,
    FORM_REG_RM_IMM,
    FORM_ACC_MEM, /* accumulator from a direct address (moffs) */
    FORM_MEM_ACC,
    FORM_STRING, /* implied: rSI with the segment, ES:rDI, accumulator, DX */
};

#define REG_HIGH 16 /* AH, CH, DH, BH are 16 to 19: bits 15:8 of registers 0 to 3 */
#define REG_NONE 0xff

#define INSN_LOCK  BIT(0)
#define INSN_REPNE BIT(1) /* F2; the last of F2 and F3 counts */
#define INSN_REP   BIT(2) /* F3 */
#define INSN_VEX   BIT(3) /* OP_VMOV: what of the register is not written becomes 0 */
#define INSN_ALIGN BIT(4) /* OP_VMOV: the memory operand must be aligned to its size */
#define INSN_LOW   BIT(5) /* OP_VMOV: moves the low half of the 16 bytes; a load takes the other from reg2 */
#define INSN_HIGH  BIT(6) /* likewise the high half */

struct insn {
    u8 op;       /* enum insn_op */
    u8 form;     /* enum insn_form */
    u8 length;   /* in bytes */
    u8 size;     /* of the operation (MOVZX, MOVSX: of the destination): 1, 2, 4 or 8 bytes; OP_VMOV: 4 to 32;
                    OP_MMOV: 4, 8 */
    u8 mem_size; /* of the r/m operand, in bytes; differs for MOVZX, MOVSX and CMPXCHG8B */
    u8 addr_size;      /* 2, 4 or 8 bytes */
    u8 prefixes;       /* INSN_* */
    bool mem;          /* the r/m operand is memory: described by the next six; else it is the register rm */
    u8 rm;             /* register number, or REG_HIGH + n */
    u8 segment;        /* of the memory operand or the string's source; override or default */
    u8 base, index;    /* register numbers or REG_NONE */
    u8 scale;          /* shift: 0 to 3 */
    bool rip_relative; /* add the address of the next instruction */
    u8 reg;            /* register operand, or REG_HIGH + n */
    u8 reg2;           /* with INSN_LOW and INSN_HIGH */
    u8 condition;      /* of SETcc and CMOVcc: 0 to 15 as in the opcode */
    u64 disp;          /* sign-extended; addresses are computed modulo addr_size */
    u64 imm;           /* sign-extended to the operation's size and beyond */
};

/*
 * Decodes the instruction in bytes[0..n). mode: default size of addresses in bytes: 2 (CS.D = 0), 4 (CS.D =
 * 1) or 8 (64-bit mode). OK; ERR_RANGE: it goes on beyond n bytes; ERR_FAULT: longer than 15 bytes, which
 * raises #GP(0); ERR_INVAL: raises #UD (LOCK where it may not be); ERR_UNSUPP: not in the tables.
 */
int decode(struct insn *insn, const u8 *bytes, u32 n, u32 mode);

/* For messages. */
const char *insn_op_name(u32 op);

#endif
