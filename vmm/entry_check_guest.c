/* SPDX-License-Identifier: MIT */
/* VM entry's checks of guest registers: control and debug registers, MSRs, descriptor tables, RIP, RFLAGS,
 * SSP. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

#define ENV(member) offsetof(struct entry_env, member)
#define UPPER_HALF  BITS(63, 32)

static bool pg_with_pe(const struct entry_case *c, const struct entry_rule *r)
{
    return (c->v->f[r->field] & (CR0_PG | (u64)CR0_PE)) != (u64)CR0_PG;
}

static bool cet_with_wp(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !(VMCS(c->v, GUEST_CR4) & CR4_CET) || VMCS(c->v, GUEST_CR0) & CR0_WP;
}

static bool pcide_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return entry_ia32e(c) || !(c->v->f[r->field] & CR4_PCIDE);
}

static bool efer_lma_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & EFER_LMA) == !entry_ia32e(c);
}

static bool efer_lme_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u64 efer = c->v->f[r->field];

    return !(VMCS(c->v, GUEST_CR0) & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME);
}

/* SUPPRESS and TRACKER. */
static bool s_cet_tracker_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return (c->v->f[r->field] & BITS(11, 10)) != BITS(11, 10);
}

static bool bndcfgs_base_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return entry_canonical(c->env, c->v->f[r->field] & ~(PAGE_SIZE - 1));
}

static bool guest_is_64bit(const struct entry_case *c)
{
    return entry_ia32e(c) && VMCS(c->v, GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L;
}

static bool rip_32bit_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return guest_is_64bit(c) || !(c->v->f[r->field] & UPPER_HALF);
}

/* Not quite canonical: bit linear_bits - 1 may differ from those above it. */
static bool rip_64bit_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u32 width = c->env->linear_bits;
    u64 top = c->v->f[r->field] >> width;

    return !guest_is_64bit(c) || top == 0 || top == ~0ull >> width;
}

static bool vm_flag_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & RFLAGS_VM) || (!entry_ia32e(c) && VMCS(c->v, GUEST_CR0) & CR0_PE);
}

static bool if_flag_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !entry_injects_type(c, INTR_TYPE_EXTERNAL) || c->v->f[r->field] & RFLAGS_IF;
}

static const struct entry_rule rules[] = {
    /* Checks on Guest Control Registers, Debug Registers, and MSRs */
    DATA("guest CR0: bits that must be 1 in VMX operation", GUEST_CR0, FIXED0, ALWAYS, 0),
    DATA("guest CR0: bits that must be 0 in VMX operation", GUEST_CR0, FIXED1, ALWAYS, 0),
    TEST("guest CR0.PG: needs CR0.PE", GUEST_CR0, ALWAYS, pg_with_pe),
    DATA("guest CR4: bits that must be 1 in VMX operation", GUEST_CR4, FIXED0, ALWAYS, 0),
    DATA("guest CR4: bits that must be 0 in VMX operation", GUEST_CR4, FIXED1, ALWAYS, 0),
    TEST("guest CR4.CET: needs CR0.WP", GUEST_CR4, ALWAYS, cet_with_wp),
    DATA("guest IA32_DEBUGCTL: reserved bits are 0", GUEST_IA32_DEBUGCTL, VALID,
         ENTRY(ENTRYCTL_LOAD_DEBUG_CONTROLS), ENV(debugctl_valid)),
    DATA("guest CR0.PG: 1 in an IA-32e mode guest", GUEST_CR0, SET, ENTRY(ENTRYCTL_IA32E_MODE_GUEST), CR0_PG),
    DATA("guest CR4.PAE: 1 in an IA-32e mode guest", GUEST_CR4, SET, ENTRY(ENTRYCTL_IA32E_MODE_GUEST),
         CR4_PAE),
    TEST("guest CR4.PCIDE: 0 unless in an IA-32e mode guest", GUEST_CR4, ALWAYS, pcide_ok),
    DATA("guest CR3: within the physical-address width", GUEST_CR3, CR3, ALWAYS, 0),
    DATA("guest DR7: bits 63:32 are 0", GUEST_DR7, ZERO, ENTRY(ENTRYCTL_LOAD_DEBUG_CONTROLS), UPPER_HALF),
    DATA("guest IA32_SYSENTER_ESP: canonical", GUEST_IA32_SYSENTER_ESP, CANONICAL, ALWAYS, 0),
    DATA("guest IA32_SYSENTER_EIP: canonical", GUEST_IA32_SYSENTER_EIP, CANONICAL, ALWAYS, 0),
    DATA("guest IA32_S_CET: canonical", GUEST_IA32_S_CET, CANONICAL, ENTRY(ENTRYCTL_LOAD_CET), 0),
    DATA("guest IA32_S_CET: bits 9:6 are 0", GUEST_IA32_S_CET, ZERO, ENTRY(ENTRYCTL_LOAD_CET), BITS(9, 6)),
    TEST("guest IA32_S_CET: SUPPRESS and TRACKER are not both 1", GUEST_IA32_S_CET, ENTRY(ENTRYCTL_LOAD_CET),
         s_cet_tracker_ok),
    DATA("guest IA32_INTERRUPT_SSP_TABLE_ADDR: canonical", GUEST_IA32_INTERRUPT_SSP_TABLE_ADDR, CANONICAL,
         ENTRY(ENTRYCTL_LOAD_CET), 0),
    DATA("guest IA32_PERF_GLOBAL_CTRL: reserved bits are 0", GUEST_IA32_PERF_GLOBAL_CTRL, VALID,
         ENTRY(ENTRYCTL_LOAD_PERF_GLOBAL_CTRL), ENV(perf_global_valid)),
    DATA("guest IA32_PAT: each byte is a memory type", GUEST_IA32_PAT, PAT, ENTRY(ENTRYCTL_LOAD_PAT), 0),
    DATA("guest IA32_EFER: reserved bits are 0", GUEST_IA32_EFER, VALID, ENTRY(ENTRYCTL_LOAD_EFER),
         ENV(efer_valid)),
    TEST("guest IA32_EFER: LMA equals IA-32e mode guest", GUEST_IA32_EFER, ENTRY(ENTRYCTL_LOAD_EFER),
         efer_lma_ok),
    TEST("guest IA32_EFER: LME equals LMA while CR0.PG is 1", GUEST_IA32_EFER, ENTRY(ENTRYCTL_LOAD_EFER),
         efer_lme_ok),
    DATA("guest IA32_BNDCFGS: bits 11:2 are 0", GUEST_IA32_BNDCFGS, ZERO, ENTRY(ENTRYCTL_LOAD_BNDCFGS),
         BITS(11, 2)),
    TEST("guest IA32_BNDCFGS: its base is canonical", GUEST_IA32_BNDCFGS, ENTRY(ENTRYCTL_LOAD_BNDCFGS),
         bndcfgs_base_ok),
    DATA("guest IA32_RTIT_CTL: reserved bits are 0", GUEST_IA32_RTIT_CTL, VALID,
         ENTRY(ENTRYCTL_LOAD_RTIT_CTL), ENV(rtit_valid)),
    DATA("guest IA32_LBR_CTL: reserved bits are 0", GUEST_IA32_LBR_CTL, VALID, ENTRY(ENTRYCTL_LOAD_LBR_CTL),
         ENV(lbr_valid)),
    DATA("guest IA32_PKRS: bits 63:32 are 0", GUEST_IA32_PKRS, ZERO, ENTRY(ENTRYCTL_LOAD_PKRS), UPPER_HALF),
    DATA("guest UINV: bits 15:8 are 0", GUEST_UINV, ZERO, ENTRY(ENTRYCTL_LOAD_UINV), BITS(15, 8)),

    /* Checks on Guest Descriptor-Table Registers */
    DATA("guest GDTR base: canonical", GUEST_GDTR_BASE, CANONICAL, ALWAYS, 0),
    DATA("guest IDTR base: canonical", GUEST_IDTR_BASE, CANONICAL, ALWAYS, 0),
    DATA("guest GDTR limit: bits 31:16 are 0", GUEST_GDTR_LIMIT, ZERO, ALWAYS, BITS(31, 16)),
    DATA("guest IDTR limit: bits 31:16 are 0", GUEST_IDTR_LIMIT, ZERO, ALWAYS, BITS(31, 16)),

    /* Checks on Guest RIP, RFLAGS, and SSP */
};

static const struct entry_rule rip_rules[] = {
    TEST("guest RIP: bits 63:32 are 0 outside of 64-bit mode", GUEST_RIP, ALWAYS, rip_32bit_ok),
    TEST("guest RIP: bits beyond the linear-address width are all the same", GUEST_RIP, ALWAYS, rip_64bit_ok),
};

static const struct entry_rule rflags_rules[] = {
    DATA("guest RFLAGS: bits 63:22, 15, 5 and 3 are 0", GUEST_RFLAGS, ZERO, ALWAYS,
         BITS(63, 22) | BIT(15) | BIT(5) | BIT(3)),
    DATA("guest RFLAGS: bit 1 is 1", GUEST_RFLAGS, SET, ALWAYS, RFLAGS_FIXED),
    TEST("guest RFLAGS.VM: 0 in an IA-32e mode guest or while CR0.PE is 0", GUEST_RFLAGS, ALWAYS, vm_flag_ok),
    TEST("guest RFLAGS.IF: 1 when an external interrupt is injected", GUEST_RFLAGS, ALWAYS, if_flag_ok),
    DATA("guest SSP: bits 1:0 are 0", GUEST_SSP, ZERO, ENTRY(ENTRYCTL_LOAD_CET), BITS(1, 0)),
    DATA("guest SSP: canonical", GUEST_SSP, CANONICAL, ENTRY(ENTRYCTL_LOAD_CET), 0),
};

const struct entry_table entry_guest_rules = {ENTRY_GUEST_STATE, rules, ARRAY_SIZE(rules)};
const struct entry_table entry_rip_rules = {ENTRY_GUEST_STATE, rip_rules, ARRAY_SIZE(rip_rules)};
const struct entry_table entry_rflags_rules = {ENTRY_GUEST_STATE, rflags_rules, ARRAY_SIZE(rflags_rules)};
