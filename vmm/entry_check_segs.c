/* SPDX-License-Identifier: MIT */
/* VM entry's 'Checks on Guest Segment Registers'. which of each row: the number of the segment register. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

/* In the order of the VMCS's fields. */
enum seg { ES, CS, SS, DS, FS, GS, LDTR, TR };

#define UPPER_HALF BITS(63, 32)

static u64 selector(const struct entry_case *c, u32 seg)
{
    return c->v->f[VI_GUEST_ES_SELECTOR + seg];
}

static u64 base(const struct entry_case *c, u32 seg)
{
    return c->v->f[VI_GUEST_ES_BASE + seg];
}

static u64 limit(const struct entry_case *c, u32 seg)
{
    return c->v->f[VI_GUEST_ES_LIMIT + seg];
}

static u64 rights(const struct entry_case *c, u32 seg)
{
    return c->v->f[VI_GUEST_ES_ACCESS_RIGHTS + seg];
}

static u32 type(const struct entry_case *c, u32 seg)
{
    return SEG_AR_TYPE(rights(c, seg));
}

static u32 dpl(const struct entry_case *c, u32 seg)
{
    return SEG_AR_DPL(rights(c, seg));
}

static bool virtual_8086(const struct entry_case *c)
{
    return VMCS(c->v, GUEST_RFLAGS) & RFLAGS_VM;
}

static bool unrestricted(const struct entry_case *c)
{
    return entry_has(c, VMX_WORD_PROC2, PROC2_UNRESTRICTED_GUEST);
}

/* The unusable bit means nothing for CS and TR. */
static bool usable(const struct entry_case *c, u32 seg)
{
    return seg == CS || seg == TR || !(rights(c, seg) & SEG_AR_UNUSABLE);
}

/* Is this register's access-rights field subject to the rules outside of virtual-8086 mode? LDTR and TR
 * always are. */
static bool checked(const struct entry_case *c, u32 seg)
{
    return usable(c, seg) && (seg >= LDTR || !virtual_8086(c));
}

static bool ti_clear(const struct entry_case *c, const struct entry_rule *r)
{
    return !usable(c, r->which) || !(selector(c, r->which) & 4);
}

static bool ss_rpl_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || unrestricted(c) || !((selector(c, SS) ^ selector(c, CS)) & 3);
}

static bool v86_base_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !virtual_8086(c) || base(c, r->which) == selector(c, r->which) << 4;
}

static bool v86_limit_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !virtual_8086(c) || limit(c, r->which) == 0xffff;
}

static bool v86_rights_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !virtual_8086(c) || rights(c, r->which) == 0xf3;
}

/* FS, GS and TR always, LDTR while it is usable. */
static bool base_canonical(const struct entry_case *c, const struct entry_rule *r)
{
    return (r->which == LDTR && !usable(c, LDTR)) || entry_canonical(c->env, base(c, r->which));
}

static bool base_32bit_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !usable(c, r->which) || !(base(c, r->which) & UPPER_HALF);
}

/* Accessed code; with unrestricted guest also read/write accessed data, expand-up. */
static bool cs_type_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || (type(c, CS) & 9) == 9 || (unrestricted(c) && type(c, CS) == 3);
}

static bool ss_type_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || type(c, SS) == 3 || type(c, SS) == 7;
}

static bool accessed(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || type(c, r->which) & 1;
}

static bool code_readable(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || (type(c, r->which) & 0xa) != 8;
}

static bool s_set(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || rights(c, r->which) & SEG_AR_S;
}

static bool s_clear(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || !(rights(c, r->which) & SEG_AR_S);
}

static bool present(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || rights(c, r->which) & SEG_AR_P;
}

static bool rights_reserved_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || !(rights(c, r->which) & SEG_AR_RESERVED);
}

static bool g_clear_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || (limit(c, r->which) & 0xfff) == 0xfff ||
           !(rights(c, r->which) & SEG_AR_G);
}

static bool g_set_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !checked(c, r->which) || !(limit(c, r->which) & 0xfff00000) || rights(c, r->which) & SEG_AR_G;
}

static bool cs_data_dpl_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || type(c, CS) != 3 || dpl(c, CS) == 0;
}

static bool cs_nonconforming_dpl_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || (type(c, CS) & 0xd) != 9 || dpl(c, CS) == dpl(c, SS);
}

static bool cs_conforming_dpl_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || (type(c, CS) & 0xd) != 0xd || dpl(c, CS) <= dpl(c, SS);
}

static bool ss_dpl_is_rpl(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || unrestricted(c) || dpl(c, SS) == (selector(c, SS) & 3);
}

static bool ss_dpl_zero_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    if (virtual_8086(c) || (type(c, CS) != 3 && VMCS(c->v, GUEST_CR0) & CR0_PE))
        return true;
    return dpl(c, SS) == 0;
}

/* Data and non-conforming code. */
static bool dpl_not_below_rpl(const struct entry_case *c, const struct entry_rule *r)
{
    if (!checked(c, r->which) || unrestricted(c) || type(c, r->which) > 11)
        return true;
    return dpl(c, r->which) >= (selector(c, r->which) & 3);
}

static bool cs_db_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return virtual_8086(c) || !entry_ia32e(c) ||
           (rights(c, CS) & (SEG_AR_L | SEG_AR_DB)) != (SEG_AR_L | SEG_AR_DB);
}

static bool tr_type_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return type(c, TR) == 11 || (type(c, TR) == 3 && !entry_ia32e(c));
}

static bool tr_usable(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !(rights(c, TR) & SEG_AR_UNUSABLE);
}

static bool ldtr_type_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !usable(c, LDTR) || type(c, LDTR) == 2;
}

#define SEG_ROW(seg, text, what, test) \
    TEST_ARG("guest " #seg " " text, GUEST_##seg##_##what, ALWAYS, seg, test)
#define RIGHTS(seg, text, test) SEG_ROW(seg, text, ACCESS_RIGHTS, test)

/* Rows that are the same for several registers. */
#define V86_ROWS(seg)                                                            \
    SEG_ROW(seg, "base: selector * 16 in virtual-8086 mode", BASE, v86_base_ok), \
        SEG_ROW(seg, "limit: 0xffff in virtual-8086 mode", LIMIT, v86_limit_ok), \
        RIGHTS(seg, "access rights: 0xf3 in virtual-8086 mode", v86_rights_ok)
#define COMMON_ROWS(seg)                                                              \
    RIGHTS(seg, "access rights: present", present),                                   \
        RIGHTS(seg, "access rights: bits 31:17 and 11:8 are 0", rights_reserved_ok),  \
        RIGHTS(seg, "access rights: G is 0 unless limit[11:0] is 0xfff", g_clear_ok), \
        RIGHTS(seg, "access rights: G is 1 unless limit[31:20] is 0", g_set_ok)
#define CODE_DATA_ROWS(seg) RIGHTS(seg, "access rights: S is 1", s_set), COMMON_ROWS(seg)
#define DATA_TYPE_ROWS(seg)                                                                        \
    RIGHTS(seg, "type: accessed", accessed), RIGHTS(seg, "type: code is readable", code_readable), \
        RIGHTS(seg, "DPL: not below RPL", dpl_not_below_rpl)
#define SYSTEM_ROWS(seg) RIGHTS(seg, "access rights: S is 0", s_clear), COMMON_ROWS(seg)

static const struct entry_rule rules[] = {
    SEG_ROW(TR, "selector: TI is 0", SELECTOR, ti_clear),
    SEG_ROW(LDTR, "selector: TI is 0", SELECTOR, ti_clear),
    SEG_ROW(SS, "selector: RPL equals that of CS", SELECTOR, ss_rpl_ok),

    V86_ROWS(CS),
    V86_ROWS(SS),
    V86_ROWS(DS),
    V86_ROWS(ES),
    V86_ROWS(FS),
    V86_ROWS(GS),

    SEG_ROW(TR, "base: canonical", BASE, base_canonical),
    SEG_ROW(FS, "base: canonical", BASE, base_canonical),
    SEG_ROW(GS, "base: canonical", BASE, base_canonical),
    SEG_ROW(LDTR, "base: canonical", BASE, base_canonical),
    SEG_ROW(CS, "base: bits 63:32 are 0", BASE, base_32bit_ok),
    SEG_ROW(SS, "base: bits 63:32 are 0", BASE, base_32bit_ok),
    SEG_ROW(DS, "base: bits 63:32 are 0", BASE, base_32bit_ok),
    SEG_ROW(ES, "base: bits 63:32 are 0", BASE, base_32bit_ok),

    RIGHTS(CS, "type: accessed code (or 3 in an unrestricted guest)", cs_type_ok),
    CODE_DATA_ROWS(CS),
    RIGHTS(CS, "DPL: 0 for a data segment", cs_data_dpl_ok),
    RIGHTS(CS, "DPL: equals that of SS for non-conforming code", cs_nonconforming_dpl_ok),
    RIGHTS(CS, "DPL: not above that of SS for conforming code", cs_conforming_dpl_ok),
    RIGHTS(CS, "access rights: L and D/B are not both 1 in an IA-32e mode guest", cs_db_ok),

    RIGHTS(SS, "type: 3 or 7", ss_type_ok),
    CODE_DATA_ROWS(SS),
    RIGHTS(SS, "DPL: equals RPL", ss_dpl_is_rpl),
    RIGHTS(SS, "DPL: 0 while CS has type 3 or CR0.PE is 0", ss_dpl_zero_ok),

    DATA_TYPE_ROWS(DS),
    CODE_DATA_ROWS(DS),
    DATA_TYPE_ROWS(ES),
    CODE_DATA_ROWS(ES),
    DATA_TYPE_ROWS(FS),
    CODE_DATA_ROWS(FS),
    DATA_TYPE_ROWS(GS),
    CODE_DATA_ROWS(GS),

    RIGHTS(TR, "type: busy TSS (32-bit or 64-bit; 16-bit outside of IA-32e mode)", tr_type_ok),
    SYSTEM_ROWS(TR),
    RIGHTS(TR, "access rights: usable", tr_usable),

    RIGHTS(LDTR, "type: LDT", ldtr_type_ok),
    SYSTEM_ROWS(LDTR),
};

const struct entry_table entry_segment_rules = {ENTRY_GUEST_STATE, rules, ARRAY_SIZE(rules)};
