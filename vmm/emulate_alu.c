/* SPDX-License-Identifier: MIT */
#include "vmm/emulate_alu.h"

#include "arch/x86/regs.h"

#define STATUS (u64)(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* PF, ZF and SF follow from the result alone. */
static u64 result_flags(u64 r, u64 sign)
{
    u64 flags = 0;

    if (!(__builtin_popcount((u8)r) & 1))
        flags |= RFLAGS_PF;
    if (!(r & (sign | (sign - 1))))
        flags |= RFLAGS_ZF;
    if (r & sign)
        flags |= RFLAGS_SF;
    return flags;
}

static u64 add(u64 a, u64 b, bool carry, u64 sign, u64 *flags)
{
    u64 r = (a + b + carry) & (sign | (sign - 1));

    *flags = result_flags(r, sign);
    if (r < a || (carry && r == a))
        *flags |= RFLAGS_CF;
    if ((a ^ r) & (b ^ r) & sign)
        *flags |= RFLAGS_OF;
    *flags |= (a ^ b ^ r) & RFLAGS_AF;
    return r;
}

static u64 sub(u64 a, u64 b, bool borrow, u64 sign, u64 *flags)
{
    u64 r = (a - b - borrow) & (sign | (sign - 1));

    *flags = result_flags(r, sign);
    if (a < b || (borrow && a == b))
        *flags |= RFLAGS_CF;
    if ((a ^ b) & (a ^ r) & sign)
        *flags |= RFLAGS_OF;
    *flags |= (a ^ b ^ r) & RFLAGS_AF;
    return r;
}

static u64 logic(u64 r, u64 sign, u64 *flags)
{
    *flags = result_flags(r, sign);
    return r;
}

u64 alu(u32 op, u32 size, u64 a, u64 b, u64 *rflags)
{
    u64 sign = BIT(8 * size - 1), mask = sign | (sign - 1), flags = 0, changed = STATUS, r = 0;
    bool carry = *rflags & RFLAGS_CF;

    a &= mask;
    b &= mask;
    switch (op) {
    case OP_ADD:
    case OP_ADC:
        r = add(a, b, op == OP_ADC && carry, sign, &flags);
        break;
    case OP_SUB:
    case OP_CMP:
    case OP_SBB:
        r = sub(a, b, op == OP_SBB && carry, sign, &flags);
        break;
    case OP_AND:
    case OP_TEST:
        r = logic(a & b, sign, &flags);
        break;
    case OP_OR:
        r = logic(a | b, sign, &flags);
        break;
    case OP_XOR:
        r = logic(a ^ b, sign, &flags);
        break;
    case OP_NEG:
        r = sub(0, a, false, sign, &flags);
        break;
    case OP_NOT:
        changed = 0;
        r = ~a & mask;
        break;
    case OP_INC:
        changed &= ~(u64)RFLAGS_CF;
        r = add(a, 1, false, sign, &flags);
        break;
    case OP_DEC:
        changed &= ~(u64)RFLAGS_CF;
        r = sub(a, 1, false, sign, &flags);
        break;
    }
    *rflags = (*rflags & ~changed) | (flags & changed);
    return r;
}
