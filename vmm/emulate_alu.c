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

/* Rotates a of so many bits to the left by less than that. */
static u64 rotate(u64 a, u32 bits, u32 count)
{
    u64 mask = ~0ull >> (64 - bits);

    return count ? ((a << count) | (a >> (bits - count))) & mask : a;
}

static u64 rotate_only(u32 op, u32 bits, u64 a, u32 count, u64 *flags)
{
    u64 top = BIT(bits - 1), r;

    count %= bits;
    r = rotate(a, bits, op == OP_ROL ? count : (bits - count) % bits);
    if (op == OP_ROL) {
        *flags = r & 1 ? RFLAGS_CF : 0;
        if (!(r & top) != !(r & 1))
            *flags |= RFLAGS_OF;
    } else {
        *flags = r & top ? RFLAGS_CF : 0;
        if (!(r & top) != !(r & top >> 1))
            *flags |= RFLAGS_OF;
    }
    return r;
}

/* CF is one bit more, above the others. */
static u64 rotate_with_carry(u32 op, u32 bits, u64 a, u32 count, bool carry, u64 *flags)
{
    u64 top = BIT(bits - 1);

    for (count %= bits + 1; count; count--) {
        if (op == OP_RCL) {
            bool out = a & top;

            a = (a << 1 | carry) & (top | (top - 1));
            carry = out;
        } else {
            bool out = a & 1;

            a = a >> 1 | (carry ? top : 0);
            carry = out;
        }
    }
    *flags = carry ? RFLAGS_CF : 0;
    if (op == OP_RCL ? !(a & top) != !carry : !(a & top) != !(a & top >> 1))
        *flags |= RFLAGS_OF;
    return a;
}

static u64 shift_only(u32 op, u32 bits, u64 a, u32 count, u64 *flags)
{
    u64 top = BIT(bits - 1), mask = top | (top - 1), r;
    s64 wide = (s64)(a << (64 - bits)) >> (64 - bits);
    bool carry;

    if (op == OP_SHL) {
        r = a << count & mask;
        carry = count <= bits && (a >> (bits - count) & 1);
    } else if (op == OP_SHR) {
        r = a >> count;
        carry = a >> (count - 1) & 1;
    } else {
        r = (u64)(wide >> count) & mask;
        carry = wide >> (count - 1) & 1;
    }
    *flags = result_flags(r, top) | (carry ? RFLAGS_CF : 0);
    if (op == OP_SHL ? !(r & top) != !carry : op == OP_SHR && (a & top))
        *flags |= RFLAGS_OF;
    return r;
}

u64 shift(u32 op, u32 size, u64 a, u32 count, u64 *rflags)
{
    u64 flags = 0, changed = RFLAGS_CF | RFLAGS_OF, r;
    u32 bits = 8 * size;

    a &= ~0ull >> (64 - bits);
    count &= size == 8 ? 63 : 31;
    if (!count)
        return a;
    if (op <= OP_ROR) {
        r = rotate_only(op, bits, a, count, &flags);
    } else if (op <= OP_RCR) {
        r = rotate_with_carry(op, bits, a, count, *rflags & RFLAGS_CF, &flags);
    } else {
        changed = STATUS & ~(u64)RFLAGS_AF;
        r = shift_only(op, bits, a, count, &flags);
    }
    *rflags = (*rflags & ~changed) | (flags & changed);
    return r;
}

u64 double_shift(u32 op, u32 size, u64 a, u64 b, u32 count, u64 *rflags)
{
    const u64 changed = STATUS & ~(u64)RFLAGS_AF;
    u32 bits = 8 * size, width = size == 2 ? 48 : 2 * bits;
    u64 top = BIT(bits - 1), mask = top | (top - 1), r, carry, flags;
    unsigned __int128 x;

    a &= mask;
    b &= mask;
    count &= size == 8 ? 63 : 31;
    if (!count)
        return a;
    if (size == 2)
        x = a << 32 | b << 16 | a;
    else
        x = op == OP_SHLD ? (unsigned __int128)a << bits | b : (unsigned __int128)b << bits | a;
    if (op == OP_SHLD) {
        r = (u64)(x << count >> (width - bits)) & mask;
        carry = (u64)(x >> (width - count)) & 1;
    } else {
        r = (u64)(x >> count) & mask;
        carry = (u64)(x >> (count - 1)) & 1;
    }
    flags = result_flags(r, top) | (carry ? RFLAGS_CF : 0) | ((a ^ r) & top ? RFLAGS_OF : 0);
    *rflags = (*rflags & ~changed) | flags;
    return r;
}

u64 multiply(u32 op, u32 size, u64 a, u64 b, u64 *high, u64 *rflags)
{
    const u64 changed = RFLAGS_CF | RFLAGS_OF;
    u32 bits = 8 * size, unused = 64 - bits;
    u64 mask = ~0ull >> unused, low;
    bool overflow;

    if (op == OP_MUL) {
        unsigned __int128 r = (unsigned __int128)(a & mask) * (b & mask);

        low = (u64)r & mask;
        *high = (u64)(r >> bits) & mask;
        overflow = *high;
    } else {
        __int128 r = (__int128)((s64)(a << unused) >> unused) * ((s64)(b << unused) >> unused);

        low = (u64)r & mask;
        *high = (u64)(r >> bits) & mask;
        overflow = r != (s64)(low << unused) >> unused;
    }
    *rflags = (*rflags & ~changed) | (overflow ? changed : 0);
    return low;
}

u64 count_bits(u32 op, u32 size, u64 a, u64 old, u64 *rflags)
{
    u32 bits = 8 * size;
    u64 changed = RFLAGS_ZF, r;
    bool zero, carry = false;

    a &= ~0ull >> (64 - bits);
    zero = !a;
    if (op == OP_POPCNT) {
        changed = STATUS;
        for (r = 0; a; a &= a - 1)
            r++;
    } else if (op == OP_BSF || op == OP_BSR) {
        r = zero ? old : (u32)(op == OP_BSF ? __builtin_ctzll(a) : 63 - __builtin_clzll(a));
    } else {
        changed |= RFLAGS_CF;
        carry = zero;
        if (zero)
            r = bits;
        else
            r = (u32)(op == OP_TZCNT ? __builtin_ctzll(a) : __builtin_clzll(a) - (64 - (int)bits));
        zero = !r;
    }
    *rflags = (*rflags & ~changed) | (zero ? RFLAGS_ZF : 0) | (carry ? RFLAGS_CF : 0);
    return r;
}

bool condition_holds(u32 condition, u64 rflags)
{
    bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF), r;

    switch (condition >> 1) {
    case 0:
        r = rflags & RFLAGS_OF;
        break;
    case 1:
        r = rflags & RFLAGS_CF;
        break;
    case 2:
        r = rflags & RFLAGS_ZF;
        break;
    case 3:
        r = rflags & (RFLAGS_CF | RFLAGS_ZF);
        break;
    case 4:
        r = rflags & RFLAGS_SF;
        break;
    case 5:
        r = rflags & RFLAGS_PF;
        break;
    case 6:
        r = less;
        break;
    default:
        r = less || (rflags & RFLAGS_ZF);
    }
    return r != (condition & 1);
}
