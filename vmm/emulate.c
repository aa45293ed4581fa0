/* SPDX-License-Identifier: MIT */
#include "vmm/emulate.h"

#include "arch/x86/regs.h"
#include "vmm/emulate_alu.h"
#include "vmm/mmio_host.h"

u64 emu_size_mask(u32 size)
{
    return ~0ull >> (64 - 8 * size);
}

u64 emu_get_reg(struct emu *e, u32 n, u32 size)
{
    if (n >= REG_HIGH)
        return vcpu_get_reg(e->vcpu, n - REG_HIGH) >> 8 & 0xff;
    return vcpu_get_reg(e->vcpu, n) & emu_size_mask(size);
}

void emu_set_reg(struct emu *e, u32 n, u32 size, u64 value)
{
    u64 mask = emu_size_mask(size);

    if (n >= REG_HIGH) {
        n -= REG_HIGH;
        value = (vcpu_get_reg(e->vcpu, n) & ~0xff00ull) | (value & 0xff) << 8;
    } else if (size < 4) {
        value = (vcpu_get_reg(e->vcpu, n) & ~mask) | (value & mask);
    } else {
        value &= mask;
    }
    vcpu_set_reg(e->vcpu, n, value);
}

static enum emu_result segment_fault(struct emu *e, u32 seg)
{
    e->fault = (struct emu_fault){.vector = seg == SEG_SS ? VEC_SS : VEC_GP};
    return EMU_FAULT;
}

/* SDM 325462 volume 3, 'Limit Checking' and 'Type Checking'. The access is [offset, offset + size). */
bool emu_segment_allows(bool real, const struct segment *s, u64 offset, u32 size, bool write)
{
    u64 last = offset + size - 1;

    if (s->access & SEG_AR_UNUSABLE)
        return false;
    if (!real && (s->access & SEG_TYPE_CODE) && (write || !(s->access & SEG_TYPE_WRITE)))
        return false;
    if (!real && !(s->access & SEG_TYPE_CODE) && write && !(s->access & SEG_TYPE_WRITE))
        return false;
    if (!(s->access & SEG_TYPE_CODE) && (s->access & SEG_TYPE_DOWN))
        return offset > s->limit && last <= (s->access & SEG_AR_DB ? 0xffffffff : 0xffff);
    return last <= s->limit;
}

static bool canonical(const struct emu *e, gva_t gva)
{
    s64 top = (s64)gva >> (e->gva_bits - 1);

    return top == 0 || top == -1;
}

enum emu_result emu_translate(struct emu *e, u32 seg, u64 offset, u32 size, bool write,
                              struct emu_access *out)
{
    struct segment s;
    gva_t gva = offset;

    if (e->mode == 8) {
        if (seg >= SEG_FS) {
            vcpu_segment(e->vcpu, seg, &s);
            gva += s.base;
        }
        if (!canonical(e, gva) || !canonical(e, gva + size - 1))
            return segment_fault(e, seg);
    } else {
        vcpu_segment(e->vcpu, seg, &s);
        if (!emu_segment_allows(e->real, &s, offset, size, write))
            return segment_fault(e, seg);
        gva = (u32)(s.base + offset);
    }
    return e->ops->translate(e->ctx, gva, size, write, out, &e->fault);
}

u64 emu_offset(struct emu *e, const struct insn *insn)
{
    u64 offset = insn->disp;

    if (insn->base != REG_NONE)
        offset += vcpu_get_reg(e->vcpu, insn->base);
    if (insn->index != REG_NONE)
        offset += vcpu_get_reg(e->vcpu, insn->index) << insn->scale;
    if (insn->rip_relative)
        offset += e->rip + insn->length;
    return offset & emu_size_mask(insn->addr_size);
}

static enum emu_result translate_rm(struct emu *e, const struct insn *insn, bool write,
                                    struct emu_access *out)
{
    return emu_translate(e, insn->segment, emu_offset(e, insn), insn->mem_size, write, out);
}

static u64 load(struct emu *e, const struct emu_access *a)
{
    return e->ops->load(e->ctx, a);
}

static void store(struct emu *e, const struct emu_access *a, u64 value)
{
    e->ops->store(e->ctx, a, value);
}

/* The operand that is not r/m. */
static u64 other_operand(struct emu *e, const struct insn *insn)
{
    return insn->form == FORM_RM_IMM || insn->form == FORM_RM_1 ? insn->imm
                                                                : emu_get_reg(e, insn->reg, insn->size);
}

static u64 swap_bytes(u64 value, u32 size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

static u64 sign_extend(u64 value, u32 size)
{
    return (s64)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

/* MOV, MOVZX, MOVSX, MOVBE, MOVNTI. */
static enum emu_result run_mov(struct emu *e, const struct insn *insn)
{
    bool to_register = insn->form == FORM_REG_RM || insn->form == FORM_ACC_MEM;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, !to_register, &a);
    u64 value;

    if (unlikely(r))
        return r;
    value = to_register ? load(e, &a) : other_operand(e, insn);
    if (insn->op == OP_MOVSX)
        value = sign_extend(value, insn->mem_size);
    else if (insn->op == OP_MOVBE)
        value = swap_bytes(value, insn->size);
    if (to_register)
        emu_set_reg(e, insn->reg, insn->size, value);
    else
        store(e, &a, value);
    return EMU_OK;
}

/* ADD to TEST with two operands, NOT to DEC with one. */
static enum emu_result run_arithmetic(struct emu *e, const struct insn *insn)
{
    bool to_register = insn->form == FORM_REG_RM, keep = insn->op == OP_CMP || insn->op == OP_TEST;
    u64 rflags = vcpu_get_rflags(e->vcpu), other, result;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, !to_register && !keep, &a);

    if (r)
        return r;
    other = insn->form == FORM_RM ? 0 : other_operand(e, insn);
    if (to_register)
        result = alu(insn->op, insn->size, other, load(e, &a), &rflags);
    else
        result = alu(insn->op, insn->size, load(e, &a), other, &rflags);
    if (to_register && !keep)
        emu_set_reg(e, insn->reg, insn->size, result);
    else if (!keep)
        store(e, &a, result);
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

static enum emu_result run_xchg(struct emu *e, const struct insn *insn)
{
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, true, &a);
    u64 old;

    if (r)
        return r;
    old = load(e, &a);
    store(e, &a, emu_get_reg(e, insn->reg, insn->size));
    emu_set_reg(e, insn->reg, insn->size, old);
    return EMU_OK;
}

static enum emu_result run_xadd(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu), old;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, true, &a);

    if (r)
        return r;
    old = load(e, &a);
    store(e, &a, alu(OP_ADD, insn->size, old, emu_get_reg(e, insn->reg, insn->size), &rflags));
    emu_set_reg(e, insn->reg, insn->size, old);
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

static enum emu_result run_cmpxchg(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu), old;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, true, &a);

    if (r)
        return r;
    old = load(e, &a);
    alu(OP_CMP, insn->size, emu_get_reg(e, REG_RAX, insn->size), old, &rflags);
    if (rflags & RFLAGS_ZF) {
        store(e, &a, emu_get_reg(e, insn->reg, insn->size));
    } else {
        store(e, &a, old); /* there is a write cycle in any case */
        emu_set_reg(e, REG_RAX, insn->size, old);
    }
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

/* BT, BTS, BTR, BTC. With a register for the bit number, the bit may lie anywhere around the operand. */
static enum emu_result run_bit(struct emu *e, const struct insn *insn)
{
    u32 bits = 8 * insn->size;
    u64 number = insn->imm, offset = emu_offset(e, insn), rflags = vcpu_get_rflags(e->vcpu), value, bit;
    struct emu_access a;
    enum emu_result r;

    if (insn->form == FORM_RM_REG) {
        number = sign_extend(emu_get_reg(e, insn->reg, insn->size), insn->size);
        offset += ((s64)number >> __builtin_ctz(bits)) * insn->size;
        offset &= emu_size_mask(insn->addr_size);
    }
    r = emu_translate(e, insn->segment, offset, insn->size, insn->op != OP_BT, &a);
    if (r)
        return r;
    value = load(e, &a);
    bit = BIT(number % bits);
    rflags = value & bit ? rflags | RFLAGS_CF : rflags & ~(u64)RFLAGS_CF;
    if (insn->op == OP_BTS)
        store(e, &a, value | bit);
    else if (insn->op == OP_BTR)
        store(e, &a, value & ~bit);
    else if (insn->op == OP_BTC)
        store(e, &a, value ^ bit);
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

static enum emu_result run_shift(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu);
    u32 count = insn->form == FORM_RM_CL ? emu_get_reg(e, REG_RCX, 1) : insn->imm;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, true, &a);

    if (r)
        return r;
    store(e, &a, shift(insn->op, insn->size, load(e, &a), count, &rflags));
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

/* SHLD, SHRD. */
static enum emu_result run_double_shift(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu), b = emu_get_reg(e, insn->reg, insn->size);
    u32 count = insn->form == FORM_RM_REG_CL ? emu_get_reg(e, REG_RCX, 1) : insn->imm;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, true, &a);

    if (r)
        return r;
    store(e, &a, double_shift(insn->op, insn->size, load(e, &a), b, count, &rflags));
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

/* MUL and IMUL: of the accumulator to twice its size, of a register, or to a register by an immediate. */
static enum emu_result run_multiply(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu), other = insn->imm, low, high;
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, false, &a);

    if (r)
        return r;
    if (insn->form != FORM_REG_RM_IMM)
        other = emu_get_reg(e, insn->form == FORM_RM ? REG_RAX : insn->reg, insn->size);
    low = multiply(insn->op, insn->size, load(e, &a), other, &high, &rflags);
    if (insn->form != FORM_RM) {
        emu_set_reg(e, insn->reg, insn->size, low);
    } else if (insn->size == 1) {
        emu_set_reg(e, REG_RAX, 2, high << 8 | low);
    } else {
        emu_set_reg(e, REG_RAX, insn->size, low);
        emu_set_reg(e, REG_RDX, insn->size, high);
    }
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

/* BSF, BSR, TZCNT, LZCNT, POPCNT. */
static enum emu_result run_count(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu), old = emu_get_reg(e, insn->reg, insn->size);
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, false, &a);

    if (r)
        return r;
    emu_set_reg(e, insn->reg, insn->size, count_bits(insn->op, insn->size, load(e, &a), old, &rflags));
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

/* A device has no cache line to write back; the address must be good all the same. */
static enum emu_result run_clflush(struct emu *e, const struct insn *insn)
{
    struct emu_access a;

    return translate_rm(e, insn, false, &a);
}

static enum emu_result run_setcc(struct emu *e, const struct insn *insn)
{
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, true, &a);

    if (!r)
        store(e, &a, condition_holds(insn->condition, vcpu_get_rflags(e->vcpu)));
    return r;
}

/* Memory is read in any case, and 32-bit registers lose their upper half. */
static enum emu_result run_cmovcc(struct emu *e, const struct insn *insn)
{
    struct emu_access a;
    enum emu_result r = translate_rm(e, insn, false, &a);
    u64 value;

    if (r)
        return r;
    value = load(e, &a);
    if (!condition_holds(insn->condition, vcpu_get_rflags(e->vcpu)))
        value = emu_get_reg(e, insn->reg, insn->size);
    emu_set_reg(e, insn->reg, insn->size, value);
    return EMU_OK;
}

/* SDM 325462 volume 1, 'Address-Size Attributes for Stack Accesses'. */
static u32 stack_size(struct emu *e)
{
    struct segment ss;

    if (e->mode == 8)
        return 8;
    vcpu_segment(e->vcpu, SEG_SS, &ss);
    return ss.access & SEG_AR_DB ? 4 : 2;
}

static enum emu_result run_push(struct emu *e, const struct insn *insn)
{
    u32 width = stack_size(e);
    u64 sp = (emu_get_reg(e, REG_RSP, width) - insn->size) & emu_size_mask(width);
    struct emu_access from, to;
    enum emu_result r = translate_rm(e, insn, false, &from);

    if (!r)
        r = emu_translate(e, SEG_SS, sp, insn->size, true, &to);
    if (r)
        return r;
    store(e, &to, load(e, &from));
    emu_set_reg(e, REG_RSP, width, sp);
    return EMU_OK;
}

static enum emu_result run_pop(struct emu *e, const struct insn *insn)
{
    u32 width = stack_size(e);
    u64 sp = emu_get_reg(e, REG_RSP, width), offset = emu_offset(e, insn);
    struct emu_access from, to;
    enum emu_result r = emu_translate(e, SEG_SS, sp, insn->size, false, &from);

    if (insn->base == REG_RSP) /* the address is computed with what RSP is afterwards */
        offset = (offset + insn->size) & emu_size_mask(insn->addr_size);
    if (!r)
        r = emu_translate(e, insn->segment, offset, insn->size, true, &to);
    if (r)
        return r;
    store(e, &to, load(e, &from));
    emu_set_reg(e, REG_RSP, width, sp + insn->size);
    return EMU_OK;
}

typedef enum emu_result (*handler)(struct emu *e, const struct insn *insn);

static const handler handlers[INSN_NR_OPS] = {
    [OP_MOV] = run_mov,
    [OP_MOVZX] = run_mov,
    [OP_MOVSX] = run_mov,
    [OP_MOVBE] = run_mov,
    [OP_XCHG] = run_xchg,
    [OP_ADD] = run_arithmetic,
    [OP_OR] = run_arithmetic,
    [OP_ADC] = run_arithmetic,
    [OP_SBB] = run_arithmetic,
    [OP_AND] = run_arithmetic,
    [OP_SUB] = run_arithmetic,
    [OP_XOR] = run_arithmetic,
    [OP_CMP] = run_arithmetic,
    [OP_TEST] = run_arithmetic,
    [OP_NOT] = run_arithmetic,
    [OP_NEG] = run_arithmetic,
    [OP_INC] = run_arithmetic,
    [OP_DEC] = run_arithmetic,
    [OP_BT] = run_bit,
    [OP_BTS] = run_bit,
    [OP_BTR] = run_bit,
    [OP_BTC] = run_bit,
    [OP_CMPXCHG] = run_cmpxchg,
    [OP_XADD] = run_xadd,
    [OP_PUSH] = run_push,
    [OP_POP] = run_pop,
    [OP_MOVS] = emu_string,
    [OP_CMPS] = emu_string,
    [OP_STOS] = emu_string,
    [OP_LODS] = emu_string,
    [OP_SCAS] = emu_string,
    [OP_ROL... OP_SAR] = run_shift,
    [OP_SHLD] = run_double_shift,
    [OP_SHRD] = run_double_shift,
    [OP_SETCC] = run_setcc,
    [OP_CMOVCC] = run_cmovcc,
    [OP_MUL] = run_multiply,
    [OP_IMUL] = run_multiply,
    [OP_BSF... OP_POPCNT] = run_count,
    [OP_CLFLUSH] = run_clflush,
    [OP_CMPXCHG8B] = emu_cmpxchg_pair,
    [OP_MMOV] = emu_vector,
    [OP_VMOV] = emu_vector,
};

enum emu_result emu_run(struct emu *e, const struct insn *insn)
{
    u64 next = e->rip + insn->length;
    enum emu_result r;

    if (!handlers[insn->op] || (!insn->mem && insn->form != FORM_STRING))
        return EMU_UNSUPP;
    r = handlers[insn->op](e, insn);
    if (r == EMU_OK && insn->form != FORM_STRING)
        e->rip = e->mode == 8 ? next : (u32)next;
    return r;
}
