/* SPDX-License-Identifier: MIT */
#include "vmm/mmio_fast.h"
#include "arch/x86/decode.h"
#include "arch/x86/layout.h"
#include "arch/x86/vmx.h"
#include "lib/string.h"
#include "vmm/mmio_host.h"
#include "vmm/skip.h"
#include "vmm/vm.h"

/* What tells an access to the translation of a known linear address from other reasons of an EPT violation.
 */
#define QUALIFICATION_MASK \
    (u32)(EPT_QUAL_READ | EPT_QUAL_WRITE | EPT_QUAL_FETCH | EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION)

static struct mmio_move *move_at(struct vcpu *v, u64 rip)
{
    return &v->moves[(rip ^ rip >> 4) % MMIO_MOVES];
}

/* The CPU has found the access allowed; its address is only to tell that it was this instruction's. */
static inline bool same_address(const struct vcpu *v, const struct mmio_move *m, gpa_t gpa)
{
    u64 address = m->address;

    if (m->base != REG_NONE)
        address += v->gpr[m->base];
    if (m->index != REG_NONE)
        address += v->gpr[m->index] << m->scale;
    return !((address ^ gpa) % PAGE_SIZE) && !(gpa & (m->size - 1));
}

/* Nothing that the decoding depended on has changed. That the fetch was allowed, the CPU has just shown. */
static inline bool still_so(const struct mmio_move *m)
{
    if (vmread(GUEST_CR3) != m->cr3 || !(vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L))
        return false;
    if (!(vmread(GUEST_IA32_EFER) & EFER_LMA) || !!(vmread(GUEST_CR4) & CR4_LA57) != m->la57)
        return false;
    return user_matches((const void *)VM_BASE, m->match, m->nr_matches);
}

HOT bool mmio_fast(struct vcpu *v, gpa_t gpa)
{
    u64 rip = vmread(GUEST_RIP);
    const struct mmio_move *m = move_at(v, rip);

    if (unlikely(m->rip != rip || m->page != gpa >> PAGE_SHIFT || !m->length))
        return false;
    if (unlikely((vmread(EXIT_QUALIFICATION) & QUALIFICATION_MASK) != m->qualification))
        return false;
    if (unlikely((vmread(IDT_VECTORING_INFO) & INTR_INFO_VALID) || !same_address(v, m, gpa) || !still_so(m)))
        return false;
    if (has_breakpoints())
        return false;
    if (m->write)
        bus_write(&v->mmio, gpa, m->size, (v->gpr[m->reg] >> m->shift & ~m->keep) | m->imm);
    else
        v->gpr[m->reg] = (v->gpr[m->reg] & m->keep) | bus_read(&v->mmio, gpa, m->size) << m->shift;
    vmwrite(GUEST_RIP, rip + m->length);
    instruction_done();
    return true;
}

/* Plain moves whose operands are where mmio_fast() looks for them. RSP is not. */
static bool is_move(const struct insn *insn)
{
    bool load =
        insn->form == FORM_REG_RM && (insn->op == OP_MOV || (insn->op == OP_MOVZX && insn->size >= 4));
    bool store = insn->op == OP_MOV && (insn->form == FORM_RM_REG || insn->form == FORM_RM_IMM);

    return (load || store) && insn->mem && insn->addr_size == 8 && insn->segment < SEG_FS &&
           insn->base != REG_RSP && insn->index != REG_RSP &&
           (insn->form == FORM_RM_IMM || insn->reg != REG_RSP);
}

/* How the register and the value go together. */
static void set_operand(struct mmio_move *m, const struct insn *insn)
{
    u64 mask = ~0ull >> (64 - 8 * insn->mem_size);
    bool high = insn->reg >= REG_HIGH && insn->reg != REG_NONE;

    m->write = insn->form != FORM_REG_RM;
    if (insn->form == FORM_RM_IMM) {
        m->keep = ~0ull;
        m->imm = insn->imm & mask;
        return;
    }
    m->reg = high ? insn->reg - REG_HIGH : insn->reg;
    m->shift = high ? 8 : 0;
    if (m->write)
        m->keep = ~mask; /* of the value shifted down */
    else
        m->keep = insn->size >= 4 ? 0 : ~(mask << m->shift);
}

void mmio_learn(struct vcpu *v, const struct insn *insn, u64 rip, gpa_t gpa, const struct word_match *matches,
                u32 n)
{
    struct mmio_move *m = move_at(v, rip);

    /* Where RAM may come again there will be no exits. */
    if (!is_move(insn) || n > MMIO_MAX_MATCHES || vm_may_be_ram(v->vm, gpa))
        return;
    *m = (struct mmio_move){
        .rip = rip,
        .cr3 = vmread(GUEST_CR3),
        .page = gpa >> PAGE_SHIFT,
        .address = insn->disp + (insn->rip_relative ? rip + insn->length : 0),
        .length = insn->length,
        .size = insn->mem_size,
        .base = insn->base,
        .index = insn->index,
        .scale = insn->scale,
        .la57 = vmread(GUEST_CR4) & CR4_LA57,
        .nr_matches = n,
    };
    set_operand(m, insn);
    m->qualification = (u32)(EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION) |
                       (u32)(m->write ? EPT_QUAL_WRITE : EPT_QUAL_READ);
    memcpy(m->match, matches, n * sizeof(matches[0]));
}
