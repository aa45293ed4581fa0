/* SPDX-License-Identifier: MIT */
/* links: arch/x86/decode.c arch/x86/decode_table.c */
/* libs: -lZydis */
/* The decoder against Zydis, for generated encodings in the three modes; and what the two cannot be compared
 * in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "arch/x86/decode.h"

#define ENCODINGS 400000

static u64 seed = 1;

static u32 next_random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

/* The opcodes that must be supported in their forms with memory; map 0: one byte, 1: 0F, 2: 0F 38. */
static const struct {
    u8 map, first, last;
} required[] = {
    {0, 0x00, 0x03}, {0, 0x08, 0x0b}, {0, 0x10, 0x13}, {0, 0x18, 0x1b}, {0, 0x20, 0x23}, {0, 0x28, 0x2b},
    {0, 0x30, 0x33}, {0, 0x38, 0x3b}, {0, 0x63, 0x63}, {0, 0x6c, 0x6f}, {0, 0x80, 0x8b}, {0, 0x8f, 0x8f},
    {0, 0xa0, 0xa7}, {0, 0xaa, 0xaf}, {0, 0xc6, 0xc7}, {0, 0xf6, 0xf7}, {0, 0xfe, 0xff}, {1, 0xa3, 0xa3},
    {1, 0xab, 0xab}, {1, 0xb0, 0xb1}, {1, 0xb3, 0xb3}, {1, 0xb6, 0xb7}, {1, 0xba, 0xbb}, {1, 0xbe, 0xc1},
    {1, 0xc3, 0xc3}, {2, 0xf0, 0xf1}, {0, 0xc0, 0xc1}, {0, 0xd0, 0xd3}, {1, 0x40, 0x4f}, {1, 0x90, 0x9f},
    {1, 0xc7, 0xc7}, {1, 0x10, 0x11}, {1, 0x28, 0x29}, {1, 0x2b, 0x2b}, {1, 0x6e, 0x6f}, {1, 0x7e, 0x7f},
    {1, 0xd6, 0xd6}, {1, 0xe7, 0xe7}, {1, 0xf0, 0xf0}, {2, 0x2a, 0x2a}, {0, 0x69, 0x69}, {0, 0x6b, 0x6b},
    {1, 0xa4, 0xa5}, {1, 0xac, 0xaf}, {1, 0xb8, 0xb8}, {1, 0xbc, 0xbd}, {1, 0x12, 0x13}, {1, 0x16, 0x17},
    {2, 0xf9, 0xf9},
};

/* Mnemonics that share an opcode with others, through ModRM or a prefix, and are not supported. */
static const char *const unsupported[] = {
    "div",     "idiv",      "call",     "jmp",      "call far", "jmp far", "crc32",   "xbegin",  "xabort",
    "arpl",    "ud0",       "ud1",      "ud2",      "rdrand",   "rdseed",  "rdpid",   "xrstors", "xsavec",
    "xsaves",  "xrstors64", "xsavec64", "xsaves64", "vmptrld",  "vmptrst", "vmclear", "vmxon",   "senduipi",
    "movntss", "movntsd",   "movddup",  "movsldup", "movshdup", "movhlps", "movlhps", "movdq2q", "movq2dq",
};

/* What OP_VMOV is, and its size in bytes; 0: 4 or 8. With VEX they are called vmov. */
static const struct {
    const char *name;
    u32 size;
    bool aligned;
} vector_moves[] = {
    {"movups", 16, false}, {"movupd", 16, false}, {"movaps", 16, true},   {"movapd", 16, true},
    {"movdqa", 16, true},  {"movdqu", 16, false}, {"lddqu", 16, false},   {"movntdq", 16, true},
    {"movntps", 16, true}, {"movntpd", 16, true}, {"movntdqa", 16, true}, {"movss", 4, false},
    {"movsd", 8, false},   {"movd", 4, false},    {"movq", 8, false},     {"movlps", 8, false},
    {"movlpd", 8, false},  {"movhps", 8, false},  {"movhpd", 8, false},   {"movntq", 8, false},
};

struct context {
    u32 mode;
    const u8 *bytes;
    struct insn insn;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static void disagree(const struct context *c, const char *what)
{
    char text[64] = "";

    for (u32 i = 0; i < INSN_MAX_LENGTH; i++)
        sprintf(text + 3 * i, "%02x ", c->bytes[i]);
    fail_msg("%s: mode %u: %s(%s)", what, c->mode, text, ZydisMnemonicGetString(c->z.mnemonic));
}

#define agree(c, condition)          \
    do {                             \
        if (!(condition))            \
            disagree(c, #condition); \
    } while (0)

static u8 register_number(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE || reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return REG_NONE;
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
        return REG_HIGH + reg - ZYDIS_REGISTER_AH;
    return ZydisRegisterGetId(reg) - (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B ? 4 : 0);
}

static void compare_register(const struct context *c, const ZydisDecodedOperand *op, u8 number, u32 size)
{
    agree(c, op->type == ZYDIS_OPERAND_TYPE_REGISTER);
    agree(c, register_number(op->reg.value) == number);
    agree(c, op->size == size * 8);
}

static bool is_vector(const struct insn *insn)
{
    return insn->op == OP_VMOV || insn->op == OP_MMOV;
}

static void compare_rm(const struct context *c, const ZydisDecodedOperand *op)
{
    const struct insn *insn = &c->insn;
    u64 mask = ~0ull >> (64 - 8 * insn->addr_size);
    bool rip = op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP;

    if (!insn->mem && is_vector(insn)) { /* how much of the register is used, the memory forms show */
        agree(c, ZydisRegisterGetId(op->reg.value) == insn->rm);
        return;
    }
    if (!insn->mem) {
        compare_register(c, op, insn->rm, insn->mem_size);
        return;
    }
    agree(c, op->type == ZYDIS_OPERAND_TYPE_MEMORY);
    /* CLFLUSH: what counts is the address of a byte. MOVSXD r16, r/m16 has 16 bits in the SDM; Zydis
     * reads 32. */
    agree(c, insn->op == OP_CLFLUSH ||
                 op->size == (insn->op == OP_MOVSX && c->z.opcode == 0x63 ? 32 : insn->mem_size * 8));
    agree(c, register_number(op->mem.base) == insn->base);
    agree(c, register_number(op->mem.index) == insn->index);
    agree(c, insn->index == REG_NONE || op->mem.scale == 1 << insn->scale);
    agree(c, insn->rip_relative == rip);
    agree(c, ((u64)op->mem.disp.value & mask) == (insn->disp & mask));
    agree(c, ZydisRegisterGetId(op->mem.segment) == insn->segment);
}

static void compare_immediate(const struct context *c, const ZydisDecodedOperand *op)
{
    u64 mask = ~0ull >> (64 - 8 * c->insn.size);

    agree(c, op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE);
    if (!op->imm.is_signed) /* group 8: a bit number, of which the low bits count */
        mask &= ~0ull >> (64 - op->size);
    agree(c, (op->imm.value.u & mask) == (c->insn.imm & mask));
}

static void compare_string(const struct context *c)
{
    for (u32 i = 0; i < c->z.operand_count; i++) {
        const ZydisDecodedOperand *op = &c->op[i];

        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        agree(c, op->size == c->insn.size * 8);
        if (register_number(op->mem.base) == REG_RSI)
            agree(c, ZydisRegisterGetId(op->mem.segment) == c->insn.segment);
        else
            agree(c, op->mem.segment == ZYDIS_REGISTER_ES);
    }
}

static void compare_half(const struct context *c, const char *name)
{
    u32 half = c->insn.prefixes & (INSN_LOW | INSN_HIGH);

    if (strncmp(name, "movlp", 5) && strncmp(name, "movhp", 5)) {
        agree(c, !half);
        return;
    }
    agree(c, half == (name[3] == 'l' ? INSN_LOW : INSN_HIGH));
    if (c->insn.form == FORM_REG_RM)
        agree(c, ZydisRegisterGetId(c->op[c->insn.prefixes & INSN_VEX ? 1 : 0].reg.value) == c->insn.reg2);
}

static ZydisRegisterClass register_class(const struct insn *insn)
{
    if (insn->op == OP_MMOV)
        return ZYDIS_REGCLASS_MMX;
    return insn->size == 32 ? ZYDIS_REGCLASS_YMM : ZYDIS_REGCLASS_XMM;
}

static void compare_vector(const struct context *c)
{
    const char *theirs = ZydisMnemonicGetString(c->z.mnemonic);
    bool vex = c->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    const ZydisDecodedOperand *reg = &c->op[c->insn.form == FORM_RM_REG];
    u32 i = 0;

    agree(c, vex == !!(c->insn.prefixes & INSN_VEX) && vex == (*theirs == 'v'));
    while (i < ARRAY_SIZE(vector_moves) && strcmp(vector_moves[i].name, theirs + vex))
        i++;
    agree(c, i < ARRAY_SIZE(vector_moves));
    agree(c, c->insn.size == vector_moves[i].size << (vex && c->z.raw.vex.L && vector_moves[i].size == 16));
    agree(c, c->insn.mem_size == c->insn.size);
    agree(c, vector_moves[i].aligned == !!(c->insn.prefixes & INSN_ALIGN));
    agree(c, reg->type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetId(reg->reg.value) == c->insn.reg);
    agree(c, ZydisRegisterGetClass(reg->reg.value) == register_class(&c->insn));
    compare_half(c, theirs + vex);
}

static void compare_name(const struct context *c)
{
    static const char *const conditions[] = {"o", "no", "b", "nb", "z", "nz", "be", "nbe",
                                             "s", "ns", "p", "np", "l", "nl", "le", "nle"};
    const char *theirs = ZydisMnemonicGetString(c->z.mnemonic), *ours = insn_op_name(c->insn.op);

    if (c->insn.op == OP_SETCC || c->insn.op == OP_CMOVCC)
        agree(c, !strncmp(theirs, ours, strlen(ours)) &&
                     !strcmp(theirs + strlen(ours), conditions[c->insn.condition]));
    else if (c->insn.op == OP_CMPXCHG8B)
        agree(c, !strcmp(theirs, c->insn.size == 8 ? "cmpxchg16b" : "cmpxchg8b"));
    else if (is_vector(&c->insn))
        compare_vector(c);
    else if (c->insn.form == FORM_STRING)
        agree(c, strlen(theirs) == strlen(ours) + 1 && !strncmp(theirs, ours, strlen(ours)));
    else if (c->insn.op == OP_CLFLUSH)
        agree(c, !strcmp(theirs, ours) || !strcmp(theirs, "clflushopt") || !strcmp(theirs, "clwb"));
    else if (strcmp(theirs, "movnti") && strcmp(theirs, "movdiri") && strcmp(theirs, "movsxd"))
        agree(c, !strcmp(theirs, ours));
    else
        agree(c, !strncmp(theirs, ours, strlen(ours)));
}

static void compare(const struct context *c)
{
    const struct insn *insn = &c->insn;

    agree(c, c->z.length == insn->length);
    agree(c, c->z.address_width == insn->addr_size * 8);
    compare_name(c);
    switch (insn->form) {
    case FORM_RM_REG:
        compare_rm(c, &c->op[0]);
        if (!is_vector(insn))
            compare_register(c, &c->op[1], insn->reg, insn->size);
        break;
    case FORM_RM_REG_IMM:
    case FORM_RM_REG_CL:
        compare_rm(c, &c->op[0]);
        compare_register(c, &c->op[1], insn->reg, insn->size);
        if (insn->form == FORM_RM_REG_IMM)
            compare_immediate(c, &c->op[2]);
        else
            compare_register(c, &c->op[2], REG_RCX, 1);
        break;
    case FORM_REG_RM_IMM:
        compare_register(c, &c->op[0], insn->reg, insn->size);
        compare_rm(c, &c->op[1]);
        compare_immediate(c, &c->op[2]);
        break;
    case FORM_REG_RM:
        if (!is_vector(insn))
            compare_register(c, &c->op[0], insn->reg, insn->size);
        compare_rm(c, &c->op[(insn->prefixes & INSN_VEX) && insn->reg2 != REG_NONE ? 2 : 1]);
        break;
    case FORM_RM_IMM:
    case FORM_RM_1:
        compare_rm(c, &c->op[0]);
        compare_immediate(c, &c->op[1]);
        break;
    case FORM_RM_CL:
        compare_register(c, &c->op[1], REG_RCX, 1);
        compare_rm(c, &c->op[0]);
        break;
    case FORM_RM:
        compare_rm(c, &c->op[0]);
        break;
    case FORM_ACC_MEM:
        compare_register(c, &c->op[0], REG_RAX, insn->size);
        compare_rm(c, &c->op[1]);
        break;
    case FORM_MEM_ACC:
        compare_rm(c, &c->op[0]);
        compare_register(c, &c->op[1], REG_RAX, insn->size);
        break;
    default:
        compare_string(c);
        break;
    }
    agree(c, !!(insn->prefixes & INSN_LOCK) == !!(c->z.attributes & ZYDIS_ATTRIB_HAS_LOCK));
}

static bool is_vector_move(const char *name)
{
    for (u32 i = 0; i < ARRAY_SIZE(vector_moves); i++)
        if (!strcmp(vector_moves[i].name, name))
            return true;
    return false;
}

static bool is_required(const struct context *c)
{
    static const ZydisOpcodeMap maps[] = {ZYDIS_OPCODE_MAP_DEFAULT, ZYDIS_OPCODE_MAP_0F,
                                          ZYDIS_OPCODE_MAP_0F38};

    const char *name = ZydisMnemonicGetString(c->z.mnemonic);
    bool vex = c->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;

    if (c->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && !vex)
        return false;
    if ((!strcmp(name + vex, "movss") || !strcmp(name + vex, "movsd")) && c->z.raw.modrm.mod == 3)
        return false;
    if (c->z.opcode_map == ZYDIS_OPCODE_MAP_0F && c->z.opcode == 0xae)
        return !strncmp(name, "clflush", 7) || !strcmp(name, "clwb");
    if (vex)
        return *name == 'v' && is_vector_move(name + 1);
    for (u32 i = 0; i < ARRAY_SIZE(unsupported); i++)
        if (!strcmp(name, unsupported[i]))
            return false;
    for (u32 i = 0; i < ARRAY_SIZE(required); i++)
        if (maps[required[i].map] == c->z.opcode_map && c->z.opcode >= required[i].first &&
            c->z.opcode <= required[i].last)
            return true;
    return false;
}

/* An encoding: prefixes, REX, an opcode (mostly a required one), and random bytes. */
static void generate(u8 bytes[16], u32 mode)
{
    static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    u32 n = 0, r = next_random() % ARRAY_SIZE(required), map = required[r].map;
    u32 opcode = required[r].first + next_random() % (required[r].last - required[r].first + 1u);

    if (next_random() % 16 == 0) {
        map = next_random() % 3;
        opcode = next_random();
    }
    while (n < 12 && next_random() % 2)
        bytes[n++] = prefixes[next_random() % ARRAY_SIZE(prefixes)];
    if (mode == 8 && next_random() % 2)
        bytes[n++] = 0x40 | next_random() % 16;
    if (map && next_random() % 8 == 0) { /* VEX */
        bool three = map == 2 || next_random() % 2;

        if (next_random() % 4)
            n = 0;
        bytes[n++] = three ? 0xc4 : 0xc5;
        if (three)
            bytes[n++] = (next_random() % 8 << 5 | (mode == 8 ? 0 : 0xc0)) |
                         (next_random() % 16 ? map : next_random() % 32);
        bytes[n] = next_random();
        if (next_random() % 4)
            bytes[n] |= three ? 0x78 : mode == 8 ? 0x78 : 0xf8;
        n++;
        map = 0;
    }
    if (map)
        bytes[n++] = 0x0f;
    if (map == 2)
        bytes[n++] = 0x38;
    bytes[n++] = opcode;
    while (n < 16)
        bytes[n++] = next_random() % 8 ? next_random() : next_random() % 2 * 0xff;
}

/* Every beginning of a good instruction is asked to go on. */
static void check_truncated(const struct context *c)
{
    struct insn insn;

    for (u32 n = 0; n < c->insn.length; n++)
        agree(c, decode(&insn, c->bytes, n, c->mode) == ERR_RANGE);
    agree(c, decode(&insn, c->bytes, c->insn.length, c->mode) == OK);
}

/* [disp32 + index] with 67 and REX.B, which Zydis 4.0 takes for [r13d + index]. */
static bool zydis_is_wrong(const struct context *c)
{
    return c->mode == 8 && c->z.address_width == 32 && c->z.raw.rex.B && c->z.raw.modrm.mod == 0 &&
           c->z.raw.modrm.rm == 4 && c->z.raw.sib.base == 5;
}

static void compare_mode(u32 mode, ZydisMachineMode machine, ZydisStackWidth width)
{
    ZydisDecoder decoder;
    u32 good = 0, bad = 0, count[INSN_NR_OPS] = {0};

    assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine, width)));
    for (u32 i = 0; i < ENCODINGS; i++) {
        u8 bytes[16];
        struct context c = {.mode = mode, .bytes = bytes};
        bool valid;
        int r;

        generate(bytes, mode);
        valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, INSN_MAX_LENGTH, &c.z, c.op));
        if (valid && zydis_is_wrong(&c))
            continue;
        r = decode(&c.insn, bytes, INSN_MAX_LENGTH, mode);
        agree(&c, r == OK || r == ERR_UNSUPP || r == ERR_INVAL || r == ERR_FAULT);
        if (r == OK) {
            agree(&c, valid);
            compare(&c);
            check_truncated(&c);
            good++;
            count[c.insn.op]++;
        } else if (r == ERR_UNSUPP) {
            agree(&c, !valid || !is_required(&c));
        } else {
            agree(&c, !valid);
            bad++;
        }
    }
    /* Enough of each, or this compares nothing. */
    assert_in_range(good, ENCODINGS / 3, ENCODINGS);
    assert_in_range(bad, ENCODINGS / 50, ENCODINGS);
    for (u32 op = OP_NONE + 1; op < INSN_NR_OPS; op++)
        assert_in_range(count[op], 100, ENCODINGS);
}

static void test_16bit(void **state)
{
    (void)state;
    compare_mode(2, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

static void test_32bit(void **state)
{
    (void)state;
    compare_mode(4, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
}

static void test_64bit(void **state)
{
    (void)state;
    compare_mode(8, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static void test_results(void **state)
{
    static const struct {
        int result;
        u32 n;
        u8 bytes[16];
    } row[] = {
        {OK, 2, {0x89, 0x08}},
        {ERR_RANGE, 1, {0x89, 0x08}},
        {ERR_RANGE, 0, {0}},
        {OK, 4, {0xc5, 0xf8, 0x29, 0x00}}, /* vmovaps */
        {OK, 3, {0x0f, 0x29, 0x00}},       /* movaps */
        {ERR_RANGE, 3, {0xc5, 0xf8, 0x29}},
        {ERR_RANGE, 2, {0xc4, 0xe1}},
        {ERR_INVAL, 4, {0xc5, 0xf0, 0x29, 0x00}}, /* vmovaps with a third register */
        {ERR_INVAL, 5, {0x66, 0xc5, 0xf8, 0x29, 0x00}},
        {ERR_INVAL, 5, {0x48, 0xc5, 0xf8, 0x29, 0x00}},
        {ERR_INVAL, 5, {0xf0, 0xc5, 0xf8, 0x29, 0x00}},
        {ERR_INVAL, 4, {0xf0, 0x0f, 0x29, 0x00}},              /* lock movaps */
        {ERR_INVAL, 4, {0xc5, 0xfd, 0xd6, 0x00}},              /* vmovq of 256 bits */
        {OK, 3, {0x0f, 0x6f, 0x00}},                           /* movq mm0, [rax] */
        {ERR_UNSUPP, 4, {0xc5, 0xf8, 0x6f, 0x00}},             /* no VEX form of it */
        {ERR_UNSUPP, 3, {0x0f, 0x12, 0xc1}},                   /* movhlps */
        {ERR_INVAL, 4, {0x66, 0x0f, 0x12, 0xc1}},              /* movlpd xmm, xmm */
        {OK, 4, {0xc5, 0xf0, 0x12, 0x00}},                     /* vmovlps xmm0, xmm1, [rax] */
        {ERR_INVAL, 4, {0xc5, 0xf0, 0x13, 0x00}},              /* vmovlps [rax], with a third register */
        {ERR_INVAL, 4, {0xc5, 0xf4, 0x12, 0x00}},              /* vmovlps of 256 bits */
        {ERR_UNSUPP, 4, {0xc5, 0xf8, 0x77, 0x00}},             /* vzeroupper */
        {ERR_UNSUPP, 6, {0x62, 0xf1, 0x7c, 0x48, 0x28, 0x00}}, /* EVEX */
        {OK, 4, {0xf0, 0x0f, 0xc7, 0x08}},                     /* lock cmpxchg8b */
        {ERR_INVAL, 3, {0x0f, 0xc7, 0xc8}},
        {ERR_UNSUPP, 2, {0x0f, 0x0b}},                   /* ud2 */
        {ERR_UNSUPP, 4, {0xf7, 0x30, 0, 0}},             /* div */
        {ERR_UNSUPP, 3, {0x0f, 0xae, 0x30}},             /* xsaveopt */
        {OK, 4, {0x66, 0x0f, 0xae, 0x30}},               /* clwb */
        {ERR_UNSUPP, 3, {0x0f, 0xae, 0xf8}},             /* sfence */
        {ERR_INVAL, 4, {0xf0, 0x0f, 0xae, 0x38}},        /* lock clflush */
        {ERR_UNSUPP, 3, {0x0f, 0xb8, 0x00}},             /* jmpe: popcnt without F3 */
        {ERR_INVAL, 5, {0xf0, 0x0f, 0xa4, 0x00, 0x01}},  /* lock shld */
        {ERR_UNSUPP, 5, {0xf2, 0x0f, 0x38, 0xf0, 0x00}}, /* crc32 */
        {ERR_INVAL, 3, {0xf0, 0x89, 0x08}},              /* lock mov */
        {ERR_INVAL, 3, {0xf0, 0x03, 0x08}},              /* lock add reg, mem */
        {ERR_INVAL, 3, {0xf0, 0x01, 0xc8}},              /* lock add reg, reg */
        {OK, 3, {0xf0, 0x01, 0x08}},                     /* lock add mem, reg */
        {ERR_INVAL, 4, {0xf0, 0x83, 0x38, 0x01}},        /* lock cmp mem, imm */
        {ERR_INVAL, 4, {0xf0, 0x0f, 0xa3, 0x08}},        /* lock bt mem, reg */
        {OK, 4, {0xf0, 0x0f, 0xab, 0x08}},               /* lock bts mem, reg */
        {ERR_INVAL, 3, {0x0f, 0xc3, 0xc8}},              /* movnti reg, reg */
        {ERR_INVAL, 3, {0x82, 0x08, 0x01}},
        {OK, 15, {[0 ... 12] = 0x66, 0x89, 0x08}},
        {ERR_FAULT, 16, {[0 ... 13] = 0x66, 0x89, 0x08}},
        {ERR_FAULT, 15, {[0 ... 14] = 0x66}},
        {ERR_RANGE, 14, {[0 ... 13] = 0x66}},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        struct insn insn;

        assert_int_equal(decode(&insn, row[i].bytes, row[i].n, 8), row[i].result);
    }
}

/* add r10b, [edi + 0xc74df600]: a base of 5 with mod 0 is none, whatever REX.B says. */
static void test_no_base(void **state)
{
    struct insn insn;

    (void)state;
    assert_int_equal(decode(&insn, (const u8[]){0x67, 0x45, 0x02, 0x14, 0x3d, 0x00, 0xf6, 0x4d, 0xc7}, 9, 8),
                     OK);
    assert_int_equal(insn.length, 9);
    assert_int_equal(insn.base, REG_NONE);
    assert_int_equal(insn.index, REG_RDI);
    assert_int_equal((u32)insn.disp, 0xc74df600);
}

static void test_repeat_prefix(void **state)
{
    struct insn insn;

    (void)state;
    assert_int_equal(decode(&insn, (const u8[]){0xf2, 0xf3, 0xa4}, 3, 8), OK);
    assert_int_equal(insn.prefixes, INSN_REP);
    assert_int_equal(decode(&insn, (const u8[]){0xf3, 0xf2, 0xa6}, 3, 8), OK);
    assert_int_equal(insn.prefixes, INSN_REPNE);
    assert_string_equal(insn_op_name(OP_MOV), "mov");
    assert_string_equal(insn_op_name(999), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_16bit),   cmocka_unit_test(test_32bit),   cmocka_unit_test(test_64bit),
        cmocka_unit_test(test_results), cmocka_unit_test(test_no_base), cmocka_unit_test(test_repeat_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
