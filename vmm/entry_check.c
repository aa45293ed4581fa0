/* SPDX-License-Identifier: MIT */
/* Goes through the tables of VM-entry checks. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

static const struct entry_table *const tables[] = {
    &entry_control_rules, &entry_event_rules,  &entry_host_rules,    &entry_guest_rules,
    &entry_rip_rules,     &entry_rflags_rules, &entry_segment_rules, &entry_nonregister_rules,
};

/* By enum entry_part: which of the tables look at such a field, from the first to the last. */
static const struct {
    u8 tables, first, last;
} parts[] = {
    [ENTRY_ALL] = {0xff, 0, 7},
    [ENTRY_RIP] = {BIT(4), 4, 4},
    [ENTRY_EVENTS] = {BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(7), 1, 7},
};

/* Bytes of IA32_PAT that are no memory type, as a mask of those bytes. */
static u64 bad_pat_bytes(u64 pat)
{
    u64 bad = 0;

    for (u32 shift = 0; shift < 64; shift += 8) {
        u32 type = pat >> shift & 0xff;

        if (type > 7 || type == 2 || type == 3)
            bad |= 0xffull << shift;
    }
    return bad;
}

/* CR0 and CR4 in VMX operation: 'Restrictions on VMX Operation'. NW and CD are never checked. */
static u64 bad_fixed_bits(const struct entry_case *c, const struct entry_rule *r)
{
    const struct vmx_caps *caps = c->env->caps;
    bool cr0 = r->field == VI_HOST_CR0 || r->field == VI_GUEST_CR0;
    u64 value = c->v->f[r->field];
    u64 ignored = cr0 ? CR0_NW | (u64)CR0_CD : 0;

    if (r->field == VI_GUEST_CR0 && entry_has(c, VMX_WORD_PROC2, PROC2_UNRESTRICTED_GUEST))
        ignored |= CR0_PE | (u64)CR0_PG;
    if (r->kind == RULE_FIXED0)
        return (cr0 ? vmx_cr0_required(caps) : vmx_cr4_required(caps)) & ~value & ~ignored;
    return value & ~(cr0 ? vmx_cr0_allowed(caps) : vmx_cr4_allowed(caps)) & ~ignored;
}

/* For the kinds that are about single bits: those of the field that are wrong. */
static u64 bad_bits(const struct entry_case *c, const struct entry_rule *r)
{
    const struct entry_env *env = c->env;
    u64 value = c->v->f[r->field];

    switch (r->kind) {
    case RULE_ZERO:
        return value & r->arg;
    case RULE_SET:
        return ~value & r->arg;
    case RULE_ADDRESS:
        return value & ((r->arg - 1) | entry_address_reserved(env));
    case RULE_PAT:
        return bad_pat_bytes(value);
    case RULE_VALID:
        return value & ~*(const u64 *)((const char *)env + r->arg);
    case RULE_CR3:
        return value & ~(BIT(env->physical_bits) - 1) & ~(env->lam ? BITS(62, 61) : 0);
    case RULE_FIXED0:
    case RULE_FIXED1:
        return bad_fixed_bits(c, r);
    case RULE_ALLOWED0:
        return ~value & vmx_allowed0(env->caps, r->arg);
    case RULE_ALLOWED1:
        return value & ~vmx_allowed1(env->caps, r->arg);
    default:
        return 0;
    }
}

/* For the other kinds. */
static bool holds(const struct entry_case *c, const struct entry_rule *r)
{
    u64 value = c->v->f[r->field];

    switch (r->kind) {
    case RULE_NOT_ZERO:
        return value != 0;
    case RULE_AT_MOST:
        return value <= r->arg;
    case RULE_CANONICAL:
        return entry_canonical(c->env, value);
    case RULE_WITH:
        return entry_has(c, r->which, r->arg);
    case RULE_WITHOUT:
        return !(c->word[r->which] & r->arg);
    default:
        return r->test(c, r);
    }
}

static bool check_rule(const struct entry_case *c, const struct entry_rule *r, struct entry_verdict *out)
{
    u64 bits = 0;

    if (!entry_has(c, r->when, r->if_set))
        return true;
    if (r->kind < RULE_NOT_ZERO ? !(bits = bad_bits(c, r)) : holds(c, r))
        return true;
    out->bits = bits;
    out->has_bits = bits != 0;
    out->row = r->name;
    out->field = r->field;
    out->qualification = r->kind > RULE_TEST ? r->kind - RULE_TEST : 0;
    return false;
}

/* A word that its activating control does not activate is as if it were 0. */
static void controls_in_effect(struct entry_case *c)
{
    const struct vmcs_image *v = c->v;

    c->word[VMX_WORD_PIN] = VMCS(v, PIN_BASED_CONTROLS);
    c->word[VMX_WORD_PROC] = VMCS(v, PRIMARY_CONTROLS);
    c->word[VMX_WORD_EXIT] = VMCS(v, PRIMARY_EXIT_CONTROLS);
    c->word[VMX_WORD_ENTRY] = VMCS(v, ENTRY_CONTROLS);
    if (entry_has(c, VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY))
        c->word[VMX_WORD_PROC2] = VMCS(v, SECONDARY_CONTROLS);
    if (entry_has(c, VMX_WORD_PROC, PROC_ACTIVATE_TERTIARY))
        c->word[VMX_WORD_PROC3] = VMCS(v, TERTIARY_CONTROLS);
    if (entry_has(c, VMX_WORD_EXIT, EXITCTL_ACTIVATE_SECONDARY))
        c->word[VMX_WORD_EXIT2] = VMCS(v, SECONDARY_EXIT_CONTROLS);
}

enum entry_stage entry_check_part(const struct vmcs_image *vmcs, const struct entry_env *env,
                                  enum entry_part part, struct entry_verdict *out)
{
    struct entry_case c = {.v = vmcs, .env = env};

    controls_in_effect(&c);
    *out = (struct entry_verdict){.stage = ENTRY_OK, .field = VMCS_NR_FIELDS};
    for (size_t t = parts[part].first; t <= parts[part].last; t++) {
        if (!(parts[part].tables >> t & 1))
            continue;
        for (u32 i = 0; i < tables[t]->nr; i++) {
            if (!check_rule(&c, &tables[t]->rules[i], out)) {
                out->stage = tables[t]->stage;
                return out->stage;
            }
        }
    }
    if (part == ENTRY_ALL)
        entry_check_msrs(&c, out);
    return out->stage;
}

enum entry_stage entry_check(const struct vmcs_image *vmcs, const struct entry_env *env,
                             struct entry_verdict *out)
{
    return entry_check_part(vmcs, env, ENTRY_ALL, out);
}

const char *entry_check_row(u32 number)
{
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        if (number < tables[t]->nr)
            return tables[t]->rules[number].name;
        number -= tables[t]->nr;
    }
    return number < entry_nr_msr_rows ? entry_msr_rows[number] : NULL;
}
