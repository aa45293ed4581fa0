/* SPDX-License-Identifier: MIT */
/* SDM 325462 volume 2, appendix 'Opcode Map'. What is not here is OP_NONE: not supported. */
#include "arch/x86/decode_table.h"

#define B OPF_BYTE
#define L OPF_LOCK

/* The eight arithmetic opcodes between xx0 and xx3: r/m,reg and reg,r/m in bytes and words. */
#define ARITHMETIC(first, op, lock)                                                           \
    [(first) + 0] = {op, FORM_RM_REG, B | (lock)}, [(first) + 1] = {op, FORM_RM_REG, (lock)}, \
               [(first) + 2] = {op, FORM_REG_RM, B}, [(first) + 3] = {op, FORM_REG_RM, 0}

#define STRING(first, op) [(first)] = {op, FORM_STRING, B}, [(first) + 1] = {op, FORM_STRING, 0}

const struct opcode opcodes_1[256] = {
    ARITHMETIC(0x00, OP_ADD, L),
    ARITHMETIC(0x08, OP_OR, L),
    ARITHMETIC(0x10, OP_ADC, L),
    ARITHMETIC(0x18, OP_SBB, L),
    ARITHMETIC(0x20, OP_AND, L),
    ARITHMETIC(0x28, OP_SUB, L),
    ARITHMETIC(0x30, OP_XOR, L),
    ARITHMETIC(0x38, OP_CMP, 0),
    [0x63] = {OP_MOVSX, FORM_REG_RM, OPF_SRC32 | OPF_ONLY64},
    [0x69] = {OP_IMUL, FORM_REG_RM_IMM, OPF_IMMZ},
    [0x6b] = {OP_IMUL, FORM_REG_RM_IMM, OPF_IMM8},
    [0x6c] = {OP_INS, FORM_STRING, B},
    [0x6d] = {OP_INS, FORM_STRING, OPF_MAX32},
    [0x6e] = {OP_OUTS, FORM_STRING, B},
    [0x6f] = {OP_OUTS, FORM_STRING, OPF_MAX32},
    [0x80] = {GROUP_1, FORM_RM_IMM, OPF_GROUP | OPF_IMM8 | B | L},
    [0x81] = {GROUP_1, FORM_RM_IMM, OPF_GROUP | OPF_IMMZ | L},
    [0x82] = {GROUP_1, FORM_RM_IMM, OPF_GROUP | OPF_IMM8 | B | L | OPF_NOT64},
    [0x83] = {GROUP_1, FORM_RM_IMM, OPF_GROUP | OPF_IMM8 | L},
    [0x84] = {OP_TEST, FORM_RM_REG, B},
    [0x85] = {OP_TEST, FORM_RM_REG, 0},
    [0x86] = {OP_XCHG, FORM_RM_REG, B | L},
    [0x87] = {OP_XCHG, FORM_RM_REG, L},
    [0x88] = {OP_MOV, FORM_RM_REG, B},
    [0x89] = {OP_MOV, FORM_RM_REG, 0},
    [0x8a] = {OP_MOV, FORM_REG_RM, B},
    [0x8b] = {OP_MOV, FORM_REG_RM, 0},
    [0x8f] = {GROUP_1A, FORM_RM, OPF_GROUP | OPF_D64},
    [0xa0] = {OP_MOV, FORM_ACC_MEM, B},
    [0xa1] = {OP_MOV, FORM_ACC_MEM, 0},
    [0xa2] = {OP_MOV, FORM_MEM_ACC, B},
    [0xa3] = {OP_MOV, FORM_MEM_ACC, 0},
    STRING(0xa4, OP_MOVS),
    STRING(0xa6, OP_CMPS),
    STRING(0xaa, OP_STOS),
    STRING(0xac, OP_LODS),
    STRING(0xae, OP_SCAS),
    [0xc0] = {GROUP_2, FORM_RM_IMM, OPF_GROUP | OPF_IMM8 | B},
    [0xc1] = {GROUP_2, FORM_RM_IMM, OPF_GROUP | OPF_IMM8},
    [0xc6] = {GROUP_11, FORM_RM_IMM, OPF_GROUP | OPF_IMM8 | B},
    [0xc7] = {GROUP_11, FORM_RM_IMM, OPF_GROUP | OPF_IMMZ},
    [0xd0] = {GROUP_2, FORM_RM_1, OPF_GROUP | B},
    [0xd1] = {GROUP_2, FORM_RM_1, OPF_GROUP},
    [0xd2] = {GROUP_2, FORM_RM_CL, OPF_GROUP | B},
    [0xd3] = {GROUP_2, FORM_RM_CL, OPF_GROUP},
    [0xf6] = {GROUP_3, FORM_RM, OPF_GROUP | B | L},
    [0xf7] = {GROUP_3, FORM_RM, OPF_GROUP | L},
    [0xfe] = {GROUP_4, FORM_RM, OPF_GROUP | B | L},
    [0xff] = {GROUP_5, FORM_RM, OPF_GROUP | L},
};

const struct opcode opcodes_0f[256] = {
    [0x40 ... 0x4f] = {OP_CMOVCC, FORM_REG_RM, 0},
    [0x90 ... 0x9f] = {OP_SETCC, FORM_RM, B},
    [0xa3] = {OP_BT, FORM_RM_REG, 0},
    [0xa4] = {OP_SHLD, FORM_RM_REG_IMM, OPF_IMM8},
    [0xa5] = {OP_SHLD, FORM_RM_REG_CL, 0},
    [0xab] = {OP_BTS, FORM_RM_REG, L},
    [0xac] = {OP_SHRD, FORM_RM_REG_IMM, OPF_IMM8},
    [0xad] = {OP_SHRD, FORM_RM_REG_CL, 0},
    [0xae] = {GROUP_15, FORM_RM, OPF_GROUP | B | OPF_REG_OTHER | OPF_NO_REP},
    [0xaf] = {OP_IMUL, FORM_REG_RM, 0},
    [0xb0] = {OP_CMPXCHG, FORM_RM_REG, B | L},
    [0xb1] = {OP_CMPXCHG, FORM_RM_REG, L},
    [0xb3] = {OP_BTR, FORM_RM_REG, L},
    [0xb6] = {OP_MOVZX, FORM_REG_RM, OPF_SRC8},
    [0xb7] = {OP_MOVZX, FORM_REG_RM, OPF_SRC16},
    [0xb8] = {OP_POPCNT, FORM_REG_RM, OPF_F3_ONLY},
    [0xba] = {GROUP_8, FORM_RM_IMM, OPF_GROUP | OPF_IMM8 | L},
    [0xbb] = {OP_BTC, FORM_RM_REG, L},
    [0xbc] = {OP_BSF, FORM_REG_RM, OPF_F3_NEXT},
    [0xbd] = {OP_BSR, FORM_REG_RM, OPF_F3_NEXT},
    [0xbe] = {OP_MOVSX, FORM_REG_RM, OPF_SRC8},
    [0xbf] = {OP_MOVSX, FORM_REG_RM, OPF_SRC16},
    [0xc0] = {OP_XADD, FORM_RM_REG, B | L},
    [0xc1] = {OP_XADD, FORM_RM_REG, L},
    [0xc3] = {OP_MOV, FORM_RM_REG, OPF_MEM | OPF_NO_REP | OPF_NO_66 | OPF_MIN32}, /* MOVNTI */
    [0xc7] = {GROUP_9, FORM_RM, OPF_GROUP | L},
};

const struct opcode opcodes_0f38[16] = {
    [0xf0 - FIRST_0F38] = {OP_MOVBE, FORM_REG_RM, OPF_MEM | OPF_NO_REP},
    [0xf1 - FIRST_0F38] = {OP_MOVBE, FORM_RM_REG, OPF_MEM | OPF_NO_REP},
    [0xf9 - FIRST_0F38] = {OP_MOV, FORM_RM_REG, OPF_MEM | OPF_NO_REP | OPF_NO_66 | OPF_MIN32}, /* MOVDIRI */
};

#define MEM   OPF_MEM
#define ALIGN OPF_ALIGN
#define LIG   OPF_VEX_LIG
#define OTHER OPF_REG_OTHER
#define MMX   OPF_MMX
#define LOW   OPF_LOW
#define HIGH  OPF_HIGH

/* What there is with VEX there is without, and the other way round, but for MMX. */
const struct vector_opcode vector_opcodes[NR_VECTOR_OPCODES] = {
    {1, 0x10, 0, FORM_REG_RM, 16, 0},           /* MOVUPS */
    {1, 0x10, 1, FORM_REG_RM, 16, 0},           /* MOVUPD */
    {1, 0x10, 2, FORM_REG_RM, 4, OTHER | LIG},  /* MOVSS */
    {1, 0x10, 3, FORM_REG_RM, 8, OTHER | LIG},  /* MOVSD */
    {1, 0x11, 0, FORM_RM_REG, 16, 0},           /* MOVUPS */
    {1, 0x11, 1, FORM_RM_REG, 16, 0},           /* MOVUPD */
    {1, 0x11, 2, FORM_RM_REG, 4, OTHER | LIG},  /* MOVSS */
    {1, 0x11, 3, FORM_RM_REG, 8, OTHER | LIG},  /* MOVSD */
    {1, 0x12, 0, FORM_REG_RM, 8, OTHER | LOW},  /* MOVLPS */
    {1, 0x12, 1, FORM_REG_RM, 8, MEM | LOW},    /* MOVLPD */
    {1, 0x13, 0, FORM_RM_REG, 8, MEM | LOW},    /* MOVLPS */
    {1, 0x13, 1, FORM_RM_REG, 8, MEM | LOW},    /* MOVLPD */
    {1, 0x16, 0, FORM_REG_RM, 8, OTHER | HIGH}, /* MOVHPS */
    {1, 0x16, 1, FORM_REG_RM, 8, MEM | HIGH},   /* MOVHPD */
    {1, 0x17, 0, FORM_RM_REG, 8, MEM | HIGH},   /* MOVHPS */
    {1, 0x17, 1, FORM_RM_REG, 8, MEM | HIGH},   /* MOVHPD */
    {1, 0x28, 0, FORM_REG_RM, 16, ALIGN},       /* MOVAPS */
    {1, 0x28, 1, FORM_REG_RM, 16, ALIGN},       /* MOVAPD */
    {1, 0x29, 0, FORM_RM_REG, 16, ALIGN},       /* MOVAPS */
    {1, 0x29, 1, FORM_RM_REG, 16, ALIGN},       /* MOVAPD */
    {1, 0x2b, 0, FORM_RM_REG, 16, MEM | ALIGN}, /* MOVNTPS */
    {1, 0x2b, 1, FORM_RM_REG, 16, MEM | ALIGN}, /* MOVNTPD */
    {1, 0x6e, 0, FORM_REG_RM, 0, MMX},          /* MOVD, MOVQ from r/m */
    {1, 0x6e, 1, FORM_REG_RM, 0, 0},            /* MOVD, MOVQ from r/m */
    {1, 0x6f, 0, FORM_REG_RM, 8, MMX},          /* MOVQ */
    {1, 0x6f, 1, FORM_REG_RM, 16, ALIGN},       /* MOVDQA */
    {1, 0x6f, 2, FORM_REG_RM, 16, 0},           /* MOVDQU */
    {1, 0x7e, 0, FORM_RM_REG, 0, MMX},          /* MOVD, MOVQ to r/m */
    {1, 0x7e, 1, FORM_RM_REG, 0, 0},            /* MOVD, MOVQ to r/m */
    {1, 0x7e, 2, FORM_REG_RM, 8, 0},            /* MOVQ */
    {1, 0x7f, 0, FORM_RM_REG, 8, MMX},          /* MOVQ */
    {1, 0x7f, 1, FORM_RM_REG, 16, ALIGN},       /* MOVDQA */
    {1, 0x7f, 2, FORM_RM_REG, 16, 0},           /* MOVDQU */
    {1, 0xd6, 1, FORM_RM_REG, 8, 0},            /* MOVQ */
    {1, 0xe7, 0, FORM_RM_REG, 8, MMX | MEM},    /* MOVNTQ */
    {1, 0xe7, 1, FORM_RM_REG, 16, MEM | ALIGN}, /* MOVNTDQ */
    {1, 0xf0, 3, FORM_REG_RM, 16, MEM},         /* LDDQU */
    {2, 0x2a, 1, FORM_REG_RM, 16, MEM | ALIGN}, /* MOVNTDQA */
};

#define MEMBER(op, form) \
    {                    \
        op, form, 0, 0   \
    }
#define UNLOCKED(op, form) \
    {                      \
        op, form, 0, L     \
    } /* does not write, or not to its memory operand */
#define F6_TEST                           \
    {                                     \
        OP_TEST, FORM_RM_IMM, OPF_IMMZ, L \
    } /* F6, F7: it alone has an immediate */

const struct group_member opcode_groups[NR_GROUPS][8] =
    {
        [GROUP_1] =
            {
                MEMBER(OP_ADD, FORM_RM_IMM),
                MEMBER(OP_OR, FORM_RM_IMM),
                MEMBER(OP_ADC, FORM_RM_IMM),
                MEMBER(OP_SBB, FORM_RM_IMM),
                MEMBER(OP_AND, FORM_RM_IMM),
                MEMBER(OP_SUB, FORM_RM_IMM),
                MEMBER(OP_XOR, FORM_RM_IMM),
                UNLOCKED(OP_CMP, FORM_RM_IMM),
            },
        [GROUP_1A] = {[0] = MEMBER(OP_POP, FORM_RM)},
        /* The opcode's form: an immediate, 1 or CL. */
        [GROUP_2] =
            {
                MEMBER(OP_ROL, FORM_OPCODE),
                MEMBER(OP_ROR, FORM_OPCODE),
                MEMBER(OP_RCL, FORM_OPCODE),
                MEMBER(OP_RCR, FORM_OPCODE),
                MEMBER(OP_SHL, FORM_OPCODE),
                MEMBER(OP_SHR, FORM_OPCODE),
                MEMBER(OP_SHL, FORM_OPCODE),
                MEMBER(OP_SAR, FORM_OPCODE),
            },
        [GROUP_3] =
            {
                F6_TEST,
                F6_TEST,
                MEMBER(OP_NOT, FORM_RM),
                MEMBER(OP_NEG, FORM_RM),
                UNLOCKED(OP_MUL, FORM_RM),
                UNLOCKED(OP_IMUL, FORM_RM),
            },
        [GROUP_4] = {[0] = MEMBER(OP_INC, FORM_RM), [1] = MEMBER(OP_DEC, FORM_RM)},
        [GROUP_5] =
            {
                [0] = MEMBER(OP_INC, FORM_RM),
                [1] = MEMBER(OP_DEC, FORM_RM),
                [6] = {OP_PUSH, FORM_RM, OPF_D64, L},
            },
        [GROUP_8] =
            {
                [4] = UNLOCKED(OP_BT, FORM_RM_IMM),
                [5] = MEMBER(OP_BTS, FORM_RM_IMM),
                [6] = MEMBER(OP_BTR, FORM_RM_IMM),
                [7] = MEMBER(OP_BTC, FORM_RM_IMM),
            },
        [GROUP_9] = {[1] = {OP_CMPXCHG8B, FORM_RM, OPF_MEM | OPF_MIN32 | OPF_PAIR, 0}},
        [GROUP_11] = {[0] = MEMBER(OP_MOV, FORM_RM_IMM)},
        [GROUP_15] = {[6] = {OP_CLFLUSH, FORM_RM, OPF_66_ONLY, 0}, [7] = MEMBER(OP_CLFLUSH, FORM_RM)},
};

static const char *const names[INSN_NR_OPS] = {
    [OP_NONE] = "?",        [OP_MOV] = "mov",         [OP_MOVZX] = "movzx",
    [OP_MOVSX] = "movsx",   [OP_MOVBE] = "movbe",     [OP_XCHG] = "xchg",
    [OP_ADD] = "add",       [OP_OR] = "or",           [OP_ADC] = "adc",
    [OP_SBB] = "sbb",       [OP_AND] = "and",         [OP_SUB] = "sub",
    [OP_XOR] = "xor",       [OP_CMP] = "cmp",         [OP_TEST] = "test",
    [OP_NOT] = "not",       [OP_NEG] = "neg",         [OP_INC] = "inc",
    [OP_DEC] = "dec",       [OP_BT] = "bt",           [OP_BTS] = "bts",
    [OP_BTR] = "btr",       [OP_BTC] = "btc",         [OP_CMPXCHG] = "cmpxchg",
    [OP_XADD] = "xadd",     [OP_ROL] = "rol",         [OP_ROR] = "ror",
    [OP_RCL] = "rcl",       [OP_RCR] = "rcr",         [OP_SHL] = "shl",
    [OP_SHR] = "shr",       [OP_SAR] = "sar",         [OP_SHLD] = "shld",
    [OP_SHRD] = "shrd",     [OP_SETCC] = "set",       [OP_CMOVCC] = "cmov",
    [OP_MUL] = "mul",       [OP_IMUL] = "imul",       [OP_BSF] = "bsf",
    [OP_TZCNT] = "tzcnt",   [OP_BSR] = "bsr",         [OP_LZCNT] = "lzcnt",
    [OP_POPCNT] = "popcnt", [OP_CLFLUSH] = "clflush", [OP_CMPXCHG8B] = "cmpxchg8b",
    [OP_MMOV] = "mmov",     [OP_VMOV] = "vmov",       [OP_PUSH] = "push",
    [OP_POP] = "pop",       [OP_MOVS] = "movs",       [OP_CMPS] = "cmps",
    [OP_STOS] = "stos",     [OP_LODS] = "lods",       [OP_SCAS] = "scas",
    [OP_INS] = "ins",       [OP_OUTS] = "outs",
};

const char *insn_op_name(u32 op)
{
    return names[op < INSN_NR_OPS ? op : OP_NONE];
}
