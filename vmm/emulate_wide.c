/* SPDX-License-Identifier: MIT */
/* Instructions whose operand is wider than a general register: it goes to memory in pieces of 8 bytes. */
#include "vmm/emulate.h"

#include "arch/x86/regs.h"
#include "arch/x86/vector.h"
#include "vmm/mmio_host.h"

struct emu_access emu_part(const struct emu_access *a, u32 at, u32 n)
{
    struct emu_access part = {{0}, {0}};
    u32 skip = MIN(at, a->size[0]);

    if (at >= a->size[0]) {
        part.gpa[0] = a->gpa[1] + (at - skip);
        part.size[0] = n;
        return part;
    }
    part.gpa[0] = a->gpa[0] + at;
    part.size[0] = MIN(n, a->size[0] - at);
    part.gpa[1] = a->gpa[1];
    part.size[1] = n - part.size[0];
    return part;
}

/* size: 4, or a multiple of 8. */
static void load(struct emu *e, const struct emu_access *a, u32 size, u64 *value)
{
    for (u32 at = 0; at < size; at += 8) {
        struct emu_access part = emu_part(a, at, MIN(size - at, 8u));

        value[at / 8] = e->ops->load(e->ctx, &part);
    }
}

static void store(struct emu *e, const struct emu_access *a, u32 size, const u64 *value)
{
    for (u32 at = 0; at < size; at += 8) {
        struct emu_access part = emu_part(a, at, MIN(size - at, 8u));

        e->ops->store(e->ctx, &part, value[at / 8]);
    }
}

static enum emu_result translate(struct emu *e, const struct insn *insn, bool write, bool align,
                                 struct emu_access *a)
{
    u64 offset = emu_offset(e, insn);
    enum emu_result r = emu_translate(e, insn->segment, offset, insn->mem_size, write, a);

    /* Pages are larger, so the physical address tells as well as the linear one, which is what counts. */
    if (r || !align || !(a->gpa[0] & (insn->mem_size - 1)))
        return r;
    e->fault = (struct emu_fault){.vector = VEC_GP};
    return EMU_FAULT;
}

enum emu_result emu_cmpxchg_pair(struct emu *e, const struct insn *insn)
{
    u64 rflags = vcpu_get_rflags(e->vcpu), value[2] = {0}, expected[2], new[2];
    u32 size = insn->size, shift = 8 * (size % 8);
    struct emu_access a;
    enum emu_result r = translate(e, insn, true, size == 8, &a);

    if (r)
        return r;
    load(e, &a, 2 * size, value);
    expected[0] = emu_get_reg(e, REG_RAX, size);
    expected[1] = emu_get_reg(e, REG_RDX, size);
    new[0] = emu_get_reg(e, REG_RBX, size);
    new[1] = emu_get_reg(e, REG_RCX, size);
    if (size == 4) { /* both halves in one word */
        expected[0] |= expected[1] << shift;
        new[0] |= new[1] << shift;
        expected[1] = value[1] = 0;
    }
    rflags &= ~(u64)RFLAGS_ZF;
    if (value[0] == expected[0] && value[1] == expected[1]) {
        rflags |= RFLAGS_ZF;
        store(e, &a, 2 * size, new);
    } else {
        store(e, &a, 2 * size, value); /* there is a write cycle in any case */
        emu_set_reg(e, REG_RAX, size, value[0]);
        emu_set_reg(e, REG_RDX, size, size == 4 ? value[0] >> shift : value[1]);
    }
    vcpu_set_rflags(e->vcpu, rflags);
    return EMU_OK;
}

static enum emu_vector kind_of(const struct insn *insn)
{
    if (insn->op == OP_MMOV)
        return EMU_MMX;
    return insn->prefixes & INSN_VEX ? EMU_AVX : EMU_SSE;
}

/* What is not loaded of the low 16 bytes (MMX: of the 8) becomes 0, unless it is half of them. */
enum emu_result emu_vector(struct emu *e, const struct insn *insn)
{
    enum emu_vector kind = kind_of(insn);
    bool to_memory = insn->form == FORM_RM_REG;
    u32 size = kind == EMU_MMX ? 8 : MAX(insn->size, 16u);
    u64 value[4] = {0}, *from = insn->prefixes & INSN_HIGH ? value + 1 : value;
    struct emu_access a;
    enum emu_result r = e->ops->vector_usable(e->ctx, kind, &e->fault);

    if (!r)
        r = translate(e, insn, to_memory, insn->prefixes & INSN_ALIGN, &a);
    if (r)
        return r;
    if (to_memory) {
        vector_get(insn->reg, size, value);
        store(e, &a, insn->size, from);
    } else {
        if (insn->prefixes & (INSN_LOW | INSN_HIGH))
            vector_get(insn->reg2, size, value);
        load(e, &a, insn->size, from);
        vector_set(insn->reg, size, kind == EMU_AVX, value);
    }
    return EMU_OK;
}
