/* SPDX-License-Identifier: MIT */
/* VM entry's checks of guest non-register state and of the page-directory-pointer-table entries. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

static u64 blocking(const struct entry_case *c)
{
    return VMCS(c->v, GUEST_INTERRUPTIBILITY_STATE);
}

static bool injects_vector(const struct entry_case *c, enum intr_type type, u32 vector)
{
    return entry_injects_type(c, type) && INTR_INFO_VECTOR(VMCS(c->v, ENTRY_INTERRUPTION_INFO)) == vector;
}

/* Which states exist is in IA32_VMX_MISC[8:6], in the order of their numbers. */
static bool activity_supported(const struct entry_case *c, const struct entry_rule *r)
{
    u64 state = c->v->f[r->field];

    return state == ACTIVITY_ACTIVE ||
           (state <= ACTIVITY_WAIT_FOR_SIPI && c->env->caps->misc & (VMX_MISC_ACTIVITY_HLT << (state - 1)));
}

static bool hlt_dpl_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return c->v->f[r->field] != ACTIVITY_HLT || SEG_AR_DPL(VMCS(c->v, GUEST_SS_ACCESS_RIGHTS)) == 0;
}

static bool blocked_is_active(const struct entry_case *c, const struct entry_rule *r)
{
    return c->v->f[r->field] == ACTIVITY_ACTIVE ||
           !(blocking(c) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

/* External interrupts, NMI, #DB, #MC and a pending MTF VM exit. */
static bool hlt_event_ok(const struct entry_case *c, const struct entry_rule *r)
{
    if (c->v->f[r->field] != ACTIVITY_HLT || !entry_injects(c))
        return true;
    return entry_injects_type(c, INTR_TYPE_EXTERNAL) || entry_injects_type(c, INTR_TYPE_NMI) ||
           injects_vector(c, INTR_TYPE_HARDWARE_EXCEPTION, VEC_DB) ||
           injects_vector(c, INTR_TYPE_HARDWARE_EXCEPTION, VEC_MC) ||
           injects_vector(c, INTR_TYPE_OTHER_EVENT, 0);
}

static bool shutdown_event_ok(const struct entry_case *c, const struct entry_rule *r)
{
    if (c->v->f[r->field] != ACTIVITY_SHUTDOWN || !entry_injects(c))
        return true;
    return entry_injects_type(c, INTR_TYPE_NMI) || injects_vector(c, INTR_TYPE_HARDWARE_EXCEPTION, VEC_MC);
}

static bool sipi_event_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return c->v->f[r->field] != ACTIVITY_WAIT_FOR_SIPI || !entry_injects(c);
}

static bool sti_and_mov_ss(const struct entry_case *c, const struct entry_rule *r)
{
    u64 both = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

    return (c->v->f[r->field] & both) != both;
}

static bool sti_with_if(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & INTERRUPTIBILITY_STI) || VMCS(c->v, GUEST_RFLAGS) & RFLAGS_IF;
}

static bool interrupt_not_blocked(const struct entry_case *c, const struct entry_rule *r)
{
    return !entry_injects_type(c, INTR_TYPE_EXTERNAL) ||
           !(c->v->f[r->field] & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

static bool nmi_not_blocked_by_mov_ss(const struct entry_case *c, const struct entry_rule *r)
{
    return !entry_injects_type(c, INTR_TYPE_NMI) || !(c->v->f[r->field] & INTERRUPTIBILITY_MOV_SS);
}

static bool nmi_not_blocked_by_sti(const struct entry_case *c, const struct entry_rule *r)
{
    return !c->env->nmi_needs_no_sti || !entry_injects_type(c, INTR_TYPE_NMI) ||
           !(c->v->f[r->field] & INTERRUPTIBILITY_STI);
}

static bool virtual_nmi_not_blocked(const struct entry_case *c, const struct entry_rule *r)
{
    return !entry_injects_type(c, INTR_TYPE_NMI) || !(c->v->f[r->field] & INTERRUPTIBILITY_NMI);
}

static bool enclave_supported(const struct entry_case *c, const struct entry_rule *r)
{
    return c->env->sgx || !(c->v->f[r->field] & INTERRUPTIBILITY_ENCLAVE);
}

static bool enclave_without_mov_ss(const struct entry_case *c, const struct entry_rule *r)
{
    u64 both = INTERRUPTIBILITY_ENCLAVE | INTERRUPTIBILITY_MOV_SS;

    return (c->v->f[r->field] & both) != both;
}

static bool pending_reserved_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u64 valid = PENDING_DEBUG_B0_B3 | PENDING_DEBUG_ENABLED | PENDING_DEBUG_BS;

    if (c->env->bus_lock_debug)
        valid |= PENDING_DEBUG_BLD;
    if (c->env->rtm)
        valid |= PENDING_DEBUG_RTM;
    return !(c->v->f[r->field] & ~valid);
}

#define DEBUGCTL_BTF BIT(1)

/* Where events are held back for an instruction, a single step that is due must be pending, and no other. */
static bool pending_bs_ok(const struct entry_case *c, const struct entry_rule *r)
{
    bool steps = VMCS(c->v, GUEST_RFLAGS) & RFLAGS_TF && !(VMCS(c->v, GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF);

    if (!(blocking(c) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) &&
        VMCS(c->v, GUEST_ACTIVITY_STATE) != ACTIVITY_HLT)
        return true;
    return !(c->v->f[r->field] & PENDING_DEBUG_BS) == !steps;
}

static bool pending_rtm_alone(const struct entry_case *c, const struct entry_rule *r)
{
    u64 pending = c->v->f[r->field];

    return !(pending & PENDING_DEBUG_RTM) || pending == (PENDING_DEBUG_RTM | PENDING_DEBUG_ENABLED);
}

static bool pending_rtm_without_mov_ss(const struct entry_case *c, const struct entry_rule *r)
{
    return !(c->v->f[r->field] & PENDING_DEBUG_RTM) || !(blocking(c) & INTERRUPTIBILITY_MOV_SS);
}

#define NO_LINK (~0ull)

static bool link_address_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u64 link = c->v->f[r->field];

    return link == NO_LINK || !(link & ((PAGE_SIZE - 1) | entry_address_reserved(c->env)));
}

/* The first 32 bits of the VMCS that the link pointer refers to; false where they cannot be seen or there is
 * none. */
static bool link_revision(const struct entry_case *c, u32 *revision)
{
    u64 link = VMCS(c->v, VMCS_LINK_POINTER);

    return link != NO_LINK && c->env->read && c->env->read(c->env->ctx, link, revision, sizeof(*revision));
}

static bool link_revision_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u32 revision;

    (void)r;
    return !link_revision(c, &revision) || (revision & 0x7fffffff) == VMX_BASIC_REVISION(c->env->caps->basic);
}

static bool link_shadow_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u32 revision;

    (void)r;
    return !link_revision(c, &revision) ||
           (revision >> 31 != 0) == entry_has(c, VMX_WORD_PROC2, PROC2_VMCS_SHADOWING);
}

static bool link_not_current(const struct entry_case *c, const struct entry_rule *r)
{
    u64 link = c->v->f[r->field];

    return link == NO_LINK || link != c->env->current_vmcs;
}

static bool pae_paging(const struct entry_case *c)
{
    return VMCS(c->v, GUEST_CR0) & CR0_PG && VMCS(c->v, GUEST_CR4) & CR4_PAE && !entry_ia32e(c);
}

static bool pdpte_ok(const struct entry_case *c, u64 pdpte)
{
    return !(pdpte & PTE_P) || !(pdpte & (BITS(2, 1) | BITS(8, 5) | ~(BIT(c->env->physical_bits) - 1)));
}

static bool pdpte_field_ok(const struct entry_case *c, const struct entry_rule *r)
{
    if (!pae_paging(c) || !entry_has(c, VMX_WORD_PROC2, PROC2_ENABLE_EPT))
        return true;
    return pdpte_ok(c, c->v->f[r->field]);
}

/* Without EPT the PDPTEs are loaded from the table at CR3[31:5]. */
static bool pdptes_in_memory_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u64 pdpte[4];

    if (!pae_paging(c) || entry_has(c, VMX_WORD_PROC2, PROC2_ENABLE_EPT) || !c->env->read ||
        !c->env->read(c->env->ctx, c->v->f[r->field] & BITS(31, 5), pdpte, sizeof(pdpte)))
        return true;
    return pdpte_ok(c, pdpte[0]) && pdpte_ok(c, pdpte[1]) && pdpte_ok(c, pdpte[2]) && pdpte_ok(c, pdpte[3]);
}

#define ACTIVITY(text, test) TEST("guest activity state: " text, GUEST_ACTIVITY_STATE, ALWAYS, test)
#define INTERRUPTIBILITY(text, test) \
    TEST("guest interruptibility: " text, GUEST_INTERRUPTIBILITY_STATE, ALWAYS, test)
#define PENDING(text, test) \
    TEST("pending debug exceptions: " text, GUEST_PENDING_DEBUG_EXCEPTIONS, ALWAYS, test)
#define LINK(text, test) \
    TEST_QUALIFIED("VMCS link pointer: " text, VMCS_LINK_POINTER, ALWAYS, test, ENTRY_FAIL_LINK_POINTER)
#define PDPTE(n)                                                                                     \
    TEST_QUALIFIED("guest PDPTE" #n ": reserved bits are 0", GUEST_PDPTE##n, ALWAYS, pdpte_field_ok, \
                   ENTRY_FAIL_PDPTE)

static const struct entry_rule rules[] = {
    /* Checks on Guest Non-Register State */
    ACTIVITY("one that IA32_VMX_MISC[8:6] allows", activity_supported),
    ACTIVITY("HLT needs SS.DPL 0", hlt_dpl_ok),
    ACTIVITY("active while STI or MOV SS blocks", blocked_is_active),
    ACTIVITY("HLT allows injection of external interrupt, NMI, #DB, #MC and MTF only", hlt_event_ok),
    ACTIVITY("shutdown allows injection of NMI and #MC only", shutdown_event_ok),
    ACTIVITY("wait-for-SIPI allows no injection", sipi_event_ok),
    DATA("guest interruptibility: bits 31:5 are 0", GUEST_INTERRUPTIBILITY_STATE, ZERO, ALWAYS, BITS(31, 5)),
    INTERRUPTIBILITY("STI and MOV SS do not both block", sti_and_mov_ss),
    INTERRUPTIBILITY("STI does not block while RFLAGS.IF is 0", sti_with_if),
    INTERRUPTIBILITY("nothing blocks an injected external interrupt", interrupt_not_blocked),
    INTERRUPTIBILITY("MOV SS does not block an injected NMI", nmi_not_blocked_by_mov_ss),
    DATA("guest interruptibility: no blocking by SMI outside of SMM", GUEST_INTERRUPTIBILITY_STATE, ZERO,
         ALWAYS, INTERRUPTIBILITY_SMI),
    TEST_QUALIFIED("guest interruptibility: STI does not block an injected NMI", GUEST_INTERRUPTIBILITY_STATE,
                   ALWAYS, nmi_not_blocked_by_sti, ENTRY_FAIL_NMI),
    TEST("guest interruptibility: an injected virtual NMI is not blocked by NMI",
         GUEST_INTERRUPTIBILITY_STATE, PIN(PIN_VIRTUAL_NMIS), virtual_nmi_not_blocked),
    INTERRUPTIBILITY("enclave interruption needs SGX", enclave_supported),
    INTERRUPTIBILITY("no enclave interruption while MOV SS blocks", enclave_without_mov_ss),
    PENDING("reserved bits are 0", pending_reserved_ok),
    PENDING("BS equals a due single step while events are held back", pending_bs_ok),
    PENDING("RTM goes with bit 12 alone", pending_rtm_alone),
    PENDING("no RTM while MOV SS blocks", pending_rtm_without_mov_ss),
    LINK("all ones, or multiple of 4096 within the physical-address width", link_address_ok),
    LINK("revision identifier of the VMCS it refers to", link_revision_ok),
    LINK("shadow-VMCS indicator equals VMCS shadowing", link_shadow_ok),
    LINK("not the current VMCS", link_not_current),

    /* Checks on Guest Page-Directory-Pointer-Table Entries */
    PDPTE(0),
    PDPTE(1),
    PDPTE(2),
    PDPTE(3),
    TEST_QUALIFIED("guest CR3: reserved bits of the PDPTEs in memory are 0", GUEST_CR3, ALWAYS,
                   pdptes_in_memory_ok, ENTRY_FAIL_PDPTE),
};

const struct entry_table entry_nonregister_rules = {ENTRY_GUEST_STATE, rules, ARRAY_SIZE(rules)};
