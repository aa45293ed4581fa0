/* SPDX-License-Identifier: MIT */
#include "arch/x86/decode.h"

#include "arch/x86/decode_table.h"

#define REX_B 1
#define REX_X 2
#define REX_R 4
#define REX_W 8

/* What is being decoded. pos never passes end. */
struct cursor {
    const u8 *start, *pos, *end;
    struct insn *insn;
    u32 mode;
    u8 rex, segment; /* segment: override, or REG_NONE */
    bool size_prefix, addr_prefix;
    bool vex256;                        /* VEX.L */
    u8 vex_reg;                         /* VEX.vvvv: a second register */
    bool bad_vex;                       /* an operand or a size that there is not */
    const struct vector_opcode *vector; /* null: no vector move */
};

/* 16-bit addressing forms, by ModRM's r/m field. */
static const struct {
    u8 base, index;
} forms16[8] = {
    {REG_RBX, REG_RSI},  {REG_RBX, REG_RDI},  {REG_RBP, REG_RSI},  {REG_RBP, REG_RDI},
    {REG_RSI, REG_NONE}, {REG_RDI, REG_NONE}, {REG_RBP, REG_NONE}, {REG_RBX, REG_NONE},
};

static u32 read32(const u8 *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
}

/* The next n (1, 2, 4 or 8) bytes, sign-extended. False: they are not there. */
static bool take_signed(struct cursor *c, u32 n, u64 *value)
{
    const u8 *p = c->pos;

    if ((size_t)(c->end - p) < n)
        return false;
    c->pos += n;
    switch (n) {
    case 1:
        *value = (s64)(s8)*p;
        break;
    case 2:
        *value = (s64)(s16)(p[0] | p[1] << 8);
        break;
    case 4:
        *value = (s64)(s32)read32(p);
        break;
    default:
        *value = read32(p) | (u64)read32(p + 4) << 32;
    }
    return true;
}

/* Prefixes and the first byte of the opcode. SDM 325462, 'Instruction Prefixes' and 'REX Prefixes'. */
static bool take_prefixes(struct cursor *c, u8 *opcode)
{
    struct insn *insn = c->insn;

    while (c->pos < c->end) {
        u8 byte = *c->pos++;

        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (c->mode != 8) /* ignored there */
                c->segment = (byte - 0x26) >> 3;
            break;
        case 0x64:
        case 0x65:
            c->segment = byte - 0x64 + SEG_FS;
            break;
        case 0x66:
            c->size_prefix = true;
            break;
        case 0x67:
            c->addr_prefix = true;
            break;
        case 0xf0:
            insn->prefixes |= INSN_LOCK;
            break;
        case 0xf2:
        case 0xf3:
            insn->prefixes = (insn->prefixes & INSN_LOCK) | (byte == 0xf2 ? INSN_REPNE : INSN_REP);
            break;
        default:
            if (c->mode == 8 && (byte & 0xf0) == 0x40) {
                c->rex = byte;
                continue;
            }
            *opcode = byte;
            return true;
        }
        c->rex = 0; /* it counts only right before the opcode */
    }
    return false;
}

static int find_vector(struct cursor *c, u32 map, u8 opcode, u32 prefix, struct opcode *out)
{
    for (u32 i = 0; i < NR_VECTOR_OPCODES; i++) {
        const struct vector_opcode *v = &vector_opcodes[i];

        if ((v->flags & OPF_MMX) && (c->insn->prefixes & INSN_VEX))
            continue;
        if (v->map == map && v->opcode == opcode && v->prefix == prefix) {
            c->vector = v;
            *out = (struct opcode){v->flags & OPF_MMX ? OP_MMOV : OP_VMOV, v->form, v->flags};
            return OK;
        }
    }
    return ERR_UNSUPP;
}

/*
 * 'The VEX Prefix': it has the bits of REX, those of 66, F2 and F3 and the opcode's map in two or three
 * bytes. Of the instructions that are supported, only loads of half a register have one operand more.
 */
static int take_vex(struct cursor *c, bool three, struct opcode *out)
{
    u32 first, last, map = 1;

    if ((size_t)(c->end - c->pos) < 2u + three)
        return ERR_RANGE;
    if (c->rex || c->size_prefix || c->insn->prefixes)
        return ERR_INVAL;
    first = last = *c->pos++;
    if (three) {
        map = first & 31;
        last = *c->pos++;
    }
    if (c->mode == 8) /* REX bits R, X, B are inverted */
        c->rex = (~first >> 5 & (three ? 7 : REX_R)) | (three && (last & 0x80) ? REX_W : 0);
    c->insn->prefixes |= INSN_VEX;
    c->vex256 = last & 4;
    if (find_vector(c, map, *c->pos++, last & 3, out))
        return ERR_UNSUPP;
    if ((out->flags & (OPF_LOW | OPF_HIGH)) && out->form == FORM_REG_RM)
        c->vex_reg = (~last >> 3 & 15) & (c->mode == 8 ? 15 : 7);
    else
        c->bad_vex = (last & 0x78) != 0x78;
    c->bad_vex |= (c->vex256 && c->vector->size != 16 && !(out->flags & OPF_VEX_LIG));
    return OK;
}

/* Outside of 64-bit mode C4 and C5 are LES and LDS, whose operand cannot be a register. */
static bool is_vex(const struct cursor *c, u8 byte)
{
    return (byte == 0xc4 || byte == 0xc5) && (c->mode == 8 || *c->pos >= 0xc0);
}

static u32 mandatory_prefix(const struct cursor *c)
{
    if (c->insn->prefixes & INSN_REPNE)
        return 3;
    if (c->insn->prefixes & INSN_REP)
        return 2;
    return c->size_prefix;
}

static struct opcode in_map(u32 map, u8 byte)
{
    if (map == 0)
        return opcodes_1[byte];
    if (map == 1)
        return opcodes_0f[byte];
    return byte >= FIRST_0F38 ? opcodes_0f38[byte - FIRST_0F38] : (struct opcode){.op = OP_NONE};
}

/* Finds the opcode in its map. OK, ERR_RANGE, ERR_INVAL or ERR_UNSUPP. */
static int take_opcode(struct cursor *c, struct opcode *out)
{
    u32 map = 0;
    u8 byte;

    if (!take_prefixes(c, &byte))
        return ERR_RANGE;
    if (c->pos == c->end && (byte == 0x0f || byte == 0xc4 || byte == 0xc5))
        return ERR_RANGE;
    if (is_vex(c, byte))
        return take_vex(c, byte == 0xc4, out);
    if (byte == 0x0f) {
        map = 1;
        byte = *c->pos++;
        if (byte == 0x38) {
            map = 2;
            if (c->pos == c->end)
                return ERR_RANGE;
            byte = *c->pos++;
        }
    }
    *out = in_map(map, byte);
    c->insn->condition = byte & 15;
    if ((out->flags & OPF_F3_NEXT) && (c->insn->prefixes & INSN_REP))
        out->op++;
    if (out->op == OP_NONE && !(out->flags & OPF_GROUP))
        return find_vector(c, map, byte, mandatory_prefix(c), out);
    return OK;
}

static u8 byte_register(const struct cursor *c, u8 n)
{
    return !c->rex && n >= 4 && n < 8 ? REG_HIGH + n - 4 : n;
}

static void set_sizes(struct cursor *c, u32 flags)
{
    struct insn *insn = c->insn;

    if (flags & OPF_BYTE)
        insn->size = 1;
    else if (c->rex & REX_W)
        insn->size = 8;
    else if (c->size_prefix)
        insn->size = c->mode == 2 ? 4 : 2;
    else if (c->mode == 8)
        insn->size = flags & OPF_D64 ? 8 : 4;
    else
        insn->size = c->mode;
    if ((flags & OPF_MAX32) && insn->size == 8)
        insn->size = 4;
    if ((flags & OPF_MIN32) && insn->size == 2)
        insn->size = 4;
    insn->mem_size = insn->size;
    if (flags & OPF_SRC8)
        insn->mem_size = 1;
    else if (flags & OPF_SRC16)
        insn->mem_size = 2;
    else if (flags & OPF_SRC32)
        insn->mem_size = MIN(insn->size, 4);
    else if (flags & OPF_PAIR)
        insn->mem_size = 2 * insn->size;
    if (!c->addr_prefix)
        insn->addr_size = c->mode;
    else
        insn->addr_size = c->mode == 4 ? 2 : 4;
}

static void set_vector_sizes(struct cursor *c)
{
    struct insn *insn = c->insn;

    insn->size = c->vector->size;
    if (!insn->size)
        insn->size = c->rex & REX_W ? 8 : 4;
    else if (insn->size == 16 && c->vex256)
        insn->size = 32;
    insn->mem_size = insn->size;
    if (c->vector->flags & OPF_ALIGN)
        insn->prefixes |= INSN_ALIGN;
    if (c->vector->flags & OPF_LOW)
        insn->prefixes |= INSN_LOW;
    if (c->vector->flags & OPF_HIGH)
        insn->prefixes |= INSN_HIGH;
}

static bool take_sib(struct cursor *c, u32 mod)
{
    struct insn *insn = c->insn;
    u8 sib;

    if (c->pos == c->end)
        return false;
    sib = *c->pos++;
    insn->scale = sib >> 6;
    insn->index = (sib >> 3 & 7) | (c->rex & REX_X ? 8 : 0);
    if (insn->index == REG_RSP)
        insn->index = REG_NONE;
    if ((sib & 7) == REG_RBP && mod == 0) {
        insn->base = REG_NONE;
        return take_signed(c, 4, &insn->disp);
    }
    insn->base = (sib & 7) | (c->rex & REX_B ? 8 : 0);
    return true;
}

/* Memory operand of 32-bit and 64-bit addressing, without the displacement that mod asks for. */
static bool take_mem(struct cursor *c, u32 mod, u32 rm)
{
    struct insn *insn = c->insn;

    if (rm == 4)
        return take_sib(c, mod);
    if (rm == 5 && mod == 0) {
        insn->rip_relative = c->mode == 8;
        return take_signed(c, 4, &insn->disp);
    }
    insn->base = rm | (c->rex & REX_B ? 8 : 0);
    return true;
}

static bool take_mem16(struct cursor *c, u32 mod, u32 rm)
{
    struct insn *insn = c->insn;

    if (rm == 6 && mod == 0)
        return take_signed(c, 2, &insn->disp);
    insn->base = forms16[rm].base;
    insn->index = forms16[rm].index;
    return true;
}

/* The r/m operand. SDM 325462, 'Addressing-Mode Encoding of ModR/M and SIB Bytes'. */
static bool take_rm(struct cursor *c, u8 modrm)
{
    struct insn *insn = c->insn;
    u32 mod = modrm >> 6, rm = modrm & 7;

    if (mod == 3) {
        insn->rm = rm | (c->rex & REX_B ? 8 : 0);
        if (insn->mem_size == 1)
            insn->rm = byte_register(c, insn->rm);
        return true;
    }
    insn->mem = true;
    if (!(insn->addr_size == 2 ? take_mem16(c, mod, rm) : take_mem(c, mod, rm)))
        return false;
    if (mod == 1 && !take_signed(c, 1, &insn->disp))
        return false;
    if (mod == 2 && !take_signed(c, insn->addr_size == 2 ? 2 : 4, &insn->disp))
        return false;
    if (insn->base == REG_RSP || insn->base == REG_RBP)
        insn->segment = SEG_SS;
    return true;
}

/* Direct addresses and string instructions have no ModRM byte. */
static bool take_implied(struct cursor *c)
{
    struct insn *insn = c->insn;

    insn->reg = REG_RAX;
    if (insn->form == FORM_STRING)
        return true;
    insn->mem = true;
    return take_signed(c, insn->addr_size, &insn->disp);
}

/* Of the registers of a vector move: REX does not count for MMX, of which there are 8. */
static void set_vector_registers(struct cursor *c)
{
    struct insn *insn = c->insn;

    if (insn->prefixes & (INSN_LOW | INSN_HIGH))
        insn->reg2 = insn->prefixes & INSN_VEX ? c->vex_reg : insn->reg;
    if (!(c->vector->flags & OPF_MMX))
        return;
    insn->reg &= 7;
    if (!insn->mem && c->vector->size)
        insn->rm &= 7;
}

static int take_modrm(struct cursor *c, struct opcode *o)
{
    struct insn *insn = c->insn;
    u8 modrm, reg;

    if (c->pos == c->end)
        return ERR_RANGE;
    modrm = *c->pos++;
    reg = modrm >> 3 & 7;
    if (o->flags & OPF_GROUP) {
        const struct group_member *m = &opcode_groups[o->op][reg];

        if (m->op == OP_NONE)
            return ERR_UNSUPP;
        o->op = m->op;
        if (m->form != FORM_OPCODE)
            insn->form = m->form;
        o->flags = (o->flags & ~m->remove) | m->add;
    }
    set_sizes(c, o->flags);
    if (c->vector)
        set_vector_sizes(c);
    reg |= c->rex & REX_R ? 8 : 0;
    insn->reg = insn->size == 1 ? byte_register(c, reg) : reg;
    if (!take_rm(c, modrm))
        return ERR_RANGE;
    if (c->vector)
        set_vector_registers(c);
    return OK;
}

static int take_operands(struct cursor *c, struct opcode *o)
{
    struct insn *insn = c->insn;
    u32 imm_size = 0;

    insn->form = o->form;
    if (o->form >= FORM_ACC_MEM) {
        set_sizes(c, o->flags);
        if (!take_implied(c))
            return ERR_RANGE;
    } else {
        int r = take_modrm(c, o);

        if (r)
            return r;
    }
    if (insn->form == FORM_RM_1)
        insn->imm = 1;
    if (o->flags & OPF_IMM8)
        imm_size = 1;
    else if (o->flags & OPF_IMMZ)
        imm_size = MIN(insn->size, 4);
    return !imm_size || take_signed(c, imm_size, &insn->imm) ? OK : ERR_RANGE;
}

/* Encodings that look like the instruction but are none, or another. */
static int check(const struct cursor *c, const struct opcode *o)
{
    const struct insn *insn = c->insn;
    bool to_memory = insn->mem && insn->form != FORM_REG_RM && insn->form != FORM_ACC_MEM;

    if (likely(!(o->flags & OPF_CHECKED) && !(insn->prefixes & INSN_LOCK) && !c->bad_vex))
        return OK;
    if ((o->flags & OPF_REG_OTHER) && !insn->mem)
        return ERR_UNSUPP;
    if ((o->flags & OPF_ONLY64) && c->mode != 8)
        return ERR_UNSUPP;
    if ((o->flags & OPF_NO_REP) && (insn->prefixes & (INSN_REP | INSN_REPNE)))
        return ERR_UNSUPP;
    if ((o->flags & OPF_NO_66) && c->size_prefix)
        return ERR_UNSUPP;
    if ((o->flags & OPF_66_ONLY) && !c->size_prefix)
        return ERR_UNSUPP;
    if ((o->flags & OPF_F3_ONLY) && !(insn->prefixes & INSN_REP))
        return ERR_UNSUPP;
    if ((o->flags & OPF_NOT64) && c->mode == 8)
        return ERR_INVAL;
    if (c->bad_vex || ((o->flags & OPF_MEM) && !insn->mem))
        return ERR_INVAL;
    if ((insn->prefixes & INSN_LOCK) && !((o->flags & OPF_LOCK) && to_memory))
        return ERR_INVAL;
    return OK;
}

int decode(struct insn *insn, const u8 *bytes, u32 n, u32 mode)
{
    struct cursor c = {
        .start = bytes,
        .pos = bytes,
        .end = bytes + MIN(n, INSN_MAX_LENGTH),
        .insn = insn,
        .mode = mode,
        .segment = REG_NONE,
    };
    struct opcode o;
    int r;

    *insn = (struct insn){.segment = SEG_DS,
                          .base = REG_NONE,
                          .index = REG_NONE,
                          .rm = REG_NONE,
                          .reg = REG_NONE,
                          .reg2 = REG_NONE};
    r = take_opcode(&c, &o);
    if (!r)
        r = take_operands(&c, &o);
    if (!r)
        r = check(&c, &o);
    if (r)
        return r == ERR_RANGE && n >= INSN_MAX_LENGTH ? ERR_FAULT : r;
    insn->op = o.op;
    insn->length = c.pos - c.start;
    if (c.segment != REG_NONE)
        insn->segment = c.segment;
    return OK;
}
