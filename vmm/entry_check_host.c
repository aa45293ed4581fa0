/* SPDX-License-Identifier: MIT */
/* VM entry's 'Checks on Host State Area'. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

#define ENV(member) offsetof(struct entry_env, member)
#define UPPER_HALF  BITS(63, 32)

static bool host_is_64bit(const struct entry_case *c)
{
    return entry_has(c, VMX_WORD_EXIT, EXITCTL_HOST_ADDRESS_SPACE_SIZE);
}

static bool cet_with_wp(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !(VMCS(c->v, HOST_CR4) & CR4_CET) || VMCS(c->v, HOST_CR0) & CR0_WP;
}

static bool efer_matches_size(const struct entry_case *c, const struct entry_rule *r)
{
    u64 expected = host_is_64bit(c) ? EFER_LME | EFER_LMA : 0;

    return (c->v->f[r->field] & (EFER_LME | EFER_LMA)) == expected;
}

/* SUPPRESS and TRACKER. */
static bool s_cet_tracker_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return (c->v->f[r->field] & BITS(11, 10)) != BITS(11, 10);
}

static bool ss_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return host_is_64bit(c) || c->v->f[r->field] != 0;
}

static bool long_mode_host(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !c->env->long_mode || host_is_64bit(c);
}

static bool legacy_mode_host(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return c->env->long_mode || !host_is_64bit(c);
}

static bool guest_size_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_ia32e(c) || (c->env->long_mode && host_is_64bit(c));
}

static bool pcide_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return host_is_64bit(c) || !(c->v->f[r->field] & CR4_PCIDE);
}

static bool rip_32bit_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return host_is_64bit(c) || !(c->v->f[r->field] & UPPER_HALF);
}

#define SELECTOR "selector: RPL and TI are 0"

static const struct entry_rule rules[] = {
    /* Checks on Host Control Registers, MSRs, and SSP */
    DATA("host CR0: bits that must be 1 in VMX operation", HOST_CR0, FIXED0, ALWAYS, 0),
    DATA("host CR0: bits that must be 0 in VMX operation", HOST_CR0, FIXED1, ALWAYS, 0),
    DATA("host CR4: bits that must be 1 in VMX operation", HOST_CR4, FIXED0, ALWAYS, 0),
    DATA("host CR4: bits that must be 0 in VMX operation", HOST_CR4, FIXED1, ALWAYS, 0),
    TEST("host CR4.CET: needs CR0.WP", HOST_CR4, ALWAYS, cet_with_wp),
    DATA("host CR3: within the physical-address width", HOST_CR3, CR3, ALWAYS, 0),
    DATA("host IA32_SYSENTER_ESP: canonical", HOST_IA32_SYSENTER_ESP, CANONICAL, ALWAYS, 0),
    DATA("host IA32_SYSENTER_EIP: canonical", HOST_IA32_SYSENTER_EIP, CANONICAL, ALWAYS, 0),
    DATA("host IA32_PERF_GLOBAL_CTRL: reserved bits are 0", HOST_IA32_PERF_GLOBAL_CTRL, VALID,
         EXIT(EXITCTL_LOAD_PERF_GLOBAL_CTRL), ENV(perf_global_valid)),
    DATA("host IA32_PAT: each byte is a memory type", HOST_IA32_PAT, PAT, EXIT(EXITCTL_LOAD_PAT), 0),
    DATA("host IA32_EFER: reserved bits are 0", HOST_IA32_EFER, VALID, EXIT(EXITCTL_LOAD_EFER),
         ENV(efer_valid)),
    TEST("host IA32_EFER: LMA and LME equal host address-space size", HOST_IA32_EFER, EXIT(EXITCTL_LOAD_EFER),
         efer_matches_size),
    DATA("host IA32_S_CET: canonical", HOST_IA32_S_CET, CANONICAL, EXIT(EXITCTL_LOAD_CET), 0),
    DATA("host IA32_S_CET: bits 9:6 are 0", HOST_IA32_S_CET, ZERO, EXIT(EXITCTL_LOAD_CET), BITS(9, 6)),
    TEST("host IA32_S_CET: SUPPRESS and TRACKER are not both 1", HOST_IA32_S_CET, EXIT(EXITCTL_LOAD_CET),
         s_cet_tracker_ok),
    DATA("host SSP: bits 1:0 are 0", HOST_SSP, ZERO, EXIT(EXITCTL_LOAD_CET), BITS(1, 0)),
    DATA("host SSP: canonical", HOST_SSP, CANONICAL, EXIT(EXITCTL_LOAD_CET), 0),
    DATA("host IA32_INTERRUPT_SSP_TABLE_ADDR: canonical", HOST_IA32_INTERRUPT_SSP_TABLE_ADDR, CANONICAL,
         EXIT(EXITCTL_LOAD_CET), 0),
    DATA("host IA32_PKRS: bits 63:32 are 0", HOST_IA32_PKRS, ZERO, EXIT(EXITCTL_LOAD_PKRS), UPPER_HALF),

    /* Checks on Host Segment and Descriptor-Table Registers */
    DATA("host ES " SELECTOR, HOST_ES_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host CS " SELECTOR, HOST_CS_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host SS " SELECTOR, HOST_SS_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host DS " SELECTOR, HOST_DS_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host FS " SELECTOR, HOST_FS_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host GS " SELECTOR, HOST_GS_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host TR " SELECTOR, HOST_TR_SELECTOR, ZERO, ALWAYS, 7),
    DATA("host CS selector: not 0", HOST_CS_SELECTOR, NOT_ZERO, ALWAYS, 0),
    DATA("host TR selector: not 0", HOST_TR_SELECTOR, NOT_ZERO, ALWAYS, 0),
    TEST("host SS selector: not 0 without host address-space size", HOST_SS_SELECTOR, ALWAYS, ss_ok),
    DATA("host FS base: canonical", HOST_FS_BASE, CANONICAL, ALWAYS, 0),
    DATA("host GS base: canonical", HOST_GS_BASE, CANONICAL, ALWAYS, 0),
    DATA("host TR base: canonical", HOST_TR_BASE, CANONICAL, ALWAYS, 0),
    DATA("host GDTR base: canonical", HOST_GDTR_BASE, CANONICAL, ALWAYS, 0),
    DATA("host IDTR base: canonical", HOST_IDTR_BASE, CANONICAL, ALWAYS, 0),

    /* Checks Related to Address-Space Size */
    TEST("host address-space size: 1 in IA-32e mode", PRIMARY_EXIT_CONTROLS, ALWAYS, long_mode_host),
    TEST("host address-space size: 0 outside of IA-32e mode", PRIMARY_EXIT_CONTROLS, ALWAYS,
         legacy_mode_host),
    TEST("IA-32e mode guest: needs IA-32e mode and host address-space size", ENTRY_CONTROLS, ALWAYS,
         guest_size_ok),
    TEST("host CR4.PCIDE: 0 without host address-space size", HOST_CR4, ALWAYS, pcide_ok),
    TEST("host RIP: bits 63:32 are 0 without host address-space size", HOST_RIP, ALWAYS, rip_32bit_ok),
    DATA("host CR4.PAE: 1 with host address-space size", HOST_CR4, SET, EXIT(EXITCTL_HOST_ADDRESS_SPACE_SIZE),
         CR4_PAE),
    DATA("host RIP: canonical with host address-space size", HOST_RIP, CANONICAL,
         EXIT(EXITCTL_HOST_ADDRESS_SPACE_SIZE), 0),
};

const struct entry_table entry_host_rules = {ENTRY_VMFAIL_HOST, rules, ARRAY_SIZE(rules)};
