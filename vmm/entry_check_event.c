/* SPDX-License-Identifier: MIT */
/* VM entry's 'Checks on VMX Controls' of event injection. All of them apply only to a valid event. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

static u32 type_of(const struct entry_case *c)
{
    return INTR_INFO_TYPE(VMCS(c->v, ENTRY_INTERRUPTION_INFO));
}

static u32 vector_of(const struct entry_case *c)
{
    return INTR_INFO_VECTOR(VMCS(c->v, ENTRY_INTERRUPTION_INFO));
}

static bool delivers_error(const struct entry_case *c)
{
    return VMCS(c->v, ENTRY_INTERRUPTION_INFO) & INTR_INFO_DELIVER_ERROR;
}

/* #DF, #TS, #NP, #SS, #GP, #PF, #AC */
static bool vector_has_error(u32 vector)
{
    return vector < 32 && (BIT(vector) & (BIT(8) | BITS(14, 10) | BIT(17)));
}

/* Without 'unrestricted guest' CR0.PE counts as 1; that it is 0 is then found by the checks of guest state.
 */
static bool in_protected_mode(const struct entry_case *c)
{
    return !entry_has(c, VMX_WORD_PROC2, PROC2_UNRESTRICTED_GUEST) || VMCS(c->v, GUEST_CR0) & CR0_PE;
}

static bool type_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects_type(c, INTR_TYPE_RESERVED);
}

static bool other_event_supported(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects_type(c, INTR_TYPE_OTHER_EVENT) ||
           vmx_allowed1(c->env->caps, VMX_WORD_PROC) & PROC_MONITOR_TRAP_FLAG;
}

static bool nmi_vector_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects_type(c, INTR_TYPE_NMI) || vector_of(c) == 2;
}

static bool exception_vector_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects_type(c, INTR_TYPE_HARDWARE_EXCEPTION) || vector_of(c) <= 31;
}

static bool other_event_vector_ok(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects_type(c, INTR_TYPE_OTHER_EVENT) || vector_of(c) == 0;
}

static bool error_with_exception(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects(c) || !delivers_error(c) || type_of(c) == INTR_TYPE_HARDWARE_EXCEPTION;
}

static bool error_with_protection(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects(c) || !delivers_error(c) || in_protected_mode(c);
}

static bool error_with_vector(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects(c) || !delivers_error(c) || c->env->caps->basic & VMX_BASIC_ANY_ERROR_CODE ||
           vector_has_error(vector_of(c));
}

static bool error_not_missing(const struct entry_case *c, const struct entry_rule *r)
{
    (void)r;
    return !entry_injects_type(c, INTR_TYPE_HARDWARE_EXCEPTION) || delivers_error(c) ||
           !in_protected_mode(c) || c->env->caps->basic & VMX_BASIC_ANY_ERROR_CODE ||
           !vector_has_error(vector_of(c));
}

static bool info_reserved_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !entry_injects(c) || !(c->v->f[r->field] & BITS(30, 12));
}

static bool error_code_ok(const struct entry_case *c, const struct entry_rule *r)
{
    return !entry_injects(c) || !delivers_error(c) || c->v->f[r->field] <= 0xffff;
}

static bool length_ok(const struct entry_case *c, const struct entry_rule *r)
{
    u64 length = c->v->f[r->field];

    if (!entry_injects(c) || type_of(c) < INTR_TYPE_SOFTWARE_INTERRUPT ||
        type_of(c) > INTR_TYPE_SOFTWARE_EXCEPTION)
        return true;
    return length <= 15 && (length || c->env->caps->misc & VMX_MISC_ZERO_LENGTH);
}

static const struct entry_rule rules[] = {
    TEST("event injection: type 1 is reserved", ENTRY_INTERRUPTION_INFO, ALWAYS, type_ok),
    TEST("event injection: type 7 needs support of monitor trap flag", ENTRY_INTERRUPTION_INFO, ALWAYS,
         other_event_supported),
    TEST("event injection: an NMI has vector 2", ENTRY_INTERRUPTION_INFO, ALWAYS, nmi_vector_ok),
    TEST("event injection: a hardware exception has a vector of at most 31", ENTRY_INTERRUPTION_INFO, ALWAYS,
         exception_vector_ok),
    TEST("event injection: a pending MTF VM exit has vector 0", ENTRY_INTERRUPTION_INFO, ALWAYS,
         other_event_vector_ok),
    TEST("event injection: only a hardware exception delivers an error code", ENTRY_INTERRUPTION_INFO, ALWAYS,
         error_with_exception),
    TEST("event injection: no error code while CR0.PE is 0", ENTRY_INTERRUPTION_INFO, ALWAYS,
         error_with_protection),
    TEST("event injection: this vector delivers no error code", ENTRY_INTERRUPTION_INFO, ALWAYS,
         error_with_vector),
    TEST("event injection: this vector delivers an error code", ENTRY_INTERRUPTION_INFO, ALWAYS,
         error_not_missing),
    TEST("event injection: bits 30:12 are 0", ENTRY_INTERRUPTION_INFO, ALWAYS, info_reserved_ok),
    TEST("event injection: bits 31:16 of the error code are 0", ENTRY_EXCEPTION_ERROR_CODE, ALWAYS,
         error_code_ok),
    TEST("event injection: the instruction length is 1 to 15 (0 with IA32_VMX_MISC[30])",
         ENTRY_INSTRUCTION_LENGTH, ALWAYS, length_ok),
};

const struct entry_table entry_event_rules = {ENTRY_VMFAIL_CONTROLS, rules, ARRAY_SIZE(rules)};
