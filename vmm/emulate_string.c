/* SPDX-License-Identifier: MIT */
/* String instructions, item by item: after each the registers are such that the instruction can go on later.
 */
#include "vmm/emulate.h"

#include "arch/x86/regs.h"
#include "vmm/emulate_alu.h"
#include "vmm/mmio_host.h"

/* What an instruction touches. */
static const struct {
    bool source, dest; /* seg:rSI, ES:rDI */
    bool write;        /* to ES:rDI */
    bool compares;     /* F2 and F3 have a condition */
} kinds[INSN_NR_OPS] = {
    [OP_MOVS] = {.source = true, .dest = true, .write = true},
    [OP_CMPS] = {.source = true, .dest = true, .compares = true},
    [OP_STOS] = {.dest = true, .write = true},
    [OP_LODS] = {.source = true},
    [OP_SCAS] = {.dest = true, .compares = true},
};

static void transfer(struct emu *e, const struct insn *insn, const struct emu_access *from,
                     const struct emu_access *to)
{
    u64 a = kinds[insn->op].source ? e->ops->load(e->ctx, from) : emu_get_reg(e, REG_RAX, insn->size), rflags;

    if (kinds[insn->op].write) {
        e->ops->store(e->ctx, to, a);
    } else if (kinds[insn->op].compares) {
        rflags = vcpu_get_rflags(e->vcpu);
        alu(OP_CMP, insn->size, a, e->ops->load(e->ctx, to), &rflags);
        vcpu_set_rflags(e->vcpu, rflags);
    } else {
        emu_set_reg(e, REG_RAX, insn->size, a);
    }
}

static enum emu_result one_item(struct emu *e, const struct insn *insn, u64 step)
{
    u32 width = insn->addr_size;
    u64 si = emu_get_reg(e, REG_RSI, width), di = emu_get_reg(e, REG_RDI, width);
    struct emu_access from, to;
    enum emu_result r = EMU_OK;

    if (kinds[insn->op].source)
        r = emu_translate(e, insn->segment, si, insn->size, false, &from);
    if (!r && kinds[insn->op].dest)
        r = emu_translate(e, SEG_ES, di, insn->size, kinds[insn->op].write, &to);
    if (r)
        return r;
    transfer(e, insn, &from, &to);
    if (kinds[insn->op].source)
        emu_set_reg(e, REG_RSI, width, si + step);
    if (kinds[insn->op].dest)
        emu_set_reg(e, REG_RDI, width, di + step);
    return EMU_OK;
}

/* Whether REPE or REPNE ends a comparison now. */
static bool condition_ends(struct emu *e, const struct insn *insn)
{
    bool equal;

    if (!kinds[insn->op].compares)
        return false;
    equal = vcpu_get_rflags(e->vcpu) & RFLAGS_ZF;
    return insn->prefixes & INSN_REP ? !equal : equal;
}

enum emu_result emu_string(struct emu *e, const struct insn *insn)
{
    bool repeat = insn->prefixes & (INSN_REP | INSN_REPNE), done = !repeat;
    u64 rflags = vcpu_get_rflags(e->vcpu), count = 0;
    u64 step = rflags & RFLAGS_DF ? -(u64)insn->size : insn->size;
    u32 limit = rflags & RFLAGS_TF ? 1 : EMU_REP_MAX;

    if (repeat)
        count = emu_get_reg(e, REG_RCX, insn->addr_size);
    for (u32 n = 0; n < limit && (count || !repeat); n++) {
        enum emu_result r = one_item(e, insn, step);

        if (r && n && r != EMU_FAULT)
            return EMU_OK; /* what was done counts; the rest is tried anew */
        if (r)
            return r;
        if (repeat)
            emu_set_reg(e, REG_RCX, insn->addr_size, --count);
        if (done || condition_ends(e, insn)) {
            done = true;
            break;
        }
    }
    if (done || !count)
        e->rip = e->mode == 8 ? e->rip + insn->length : (u32)(e->rip + insn->length);
    return EMU_OK;
}
