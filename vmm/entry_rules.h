/* SPDX-License-Identifier: MIT */
/* How the tables of VM-entry checks are written. Only for vmm/entry_check*.c. */
#ifndef VMM_ENTRY_RULES_H
#define VMM_ENTRY_RULES_H

#include "lib/packed.h"
#include "vmm/entry_check.h"

/* One VM entry under examination. */
struct entry_case {
    const struct vmcs_image *v;
    const struct entry_env *env;
    u64 word[VMX_NR_WORDS]; /* control words in effect: one that is not activated is 0 */
};

enum rule_kind {
    /* about single bits */
    RULE_ZERO,     /* field & arg is 0 */
    RULE_SET,      /* field & arg is arg */
    RULE_ADDRESS,  /* a multiple of arg, within the physical-address width */
    RULE_PAT,      /* each byte a memory type: 0, 1, 4, 5, 6 or 7 */
    RULE_VALID,    /* no bit outside of the u64 at offset arg of struct entry_env */
    RULE_CR3,      /* no bit beyond the physical-address width (but for LAM's, where that exists) */
    RULE_FIXED0,   /* CR0 or CR4: the bits that must be 1 in VMX operation are */
    RULE_FIXED1,   /* CR0 or CR4: the bits that must be 0 in VMX operation are */
    RULE_ALLOWED0, /* the field has the bits that must be 1 of control word arg */
    RULE_ALLOWED1, /* the field has no bit that must be 0 of control word arg */
    /* about the whole */
    RULE_NOT_ZERO,  /* the field is not 0 */
    RULE_AT_MOST,   /* field <= arg */
    RULE_CANONICAL, /* bits from the linear-address width up are all the same */
    RULE_WITH,      /* the controls arg of word are all 1 */
    RULE_WITHOUT,   /* the controls arg of word are all 0 */
    RULE_TEST,      /* test(case, rule); RULE_TEST + n: the exit qualification is n besides */
};

struct entry_rule {
    const char *name;
    union {
        bool (*test)(const struct entry_case *c, const struct entry_rule *rule); /* of TEST */
        u64 arg;                                                                 /* of the others */
    };
    u32 if_set; /* the rule applies while all these controls are 1; 0: always */
    u8 field;   /* enum vmcs_index: what it is about */
    u8 kind;    /* enum rule_kind */
    u8 when;    /* enum vmx_word, of if_set */
    u8 which;   /* of WITH and WITHOUT: enum vmx_word, of arg; of TEST: what the test wants */
};

_Static_assert(VMCS_NR_FIELDS <= 256, "entry_rule.field");

struct entry_table {
    enum entry_stage stage;
    const struct entry_rule *rules;
    u32 nr;
};

extern const struct entry_table entry_control_rules, entry_event_rules, entry_host_rules, entry_guest_rules,
    entry_rip_rules, entry_rflags_rules, entry_segment_rules, entry_nonregister_rules;

/* The VM-entry MSR-load area: fills *out and returns false when an entry is bad. */
bool entry_check_msrs(const struct entry_case *c, struct entry_verdict *out);
extern const char *const entry_msr_rows[];
extern const u32 entry_nr_msr_rows;

/* A word and bits of it, for 'when' and for 'control' of a row. */
#define ALWAYS      (0, 0)
#define PIN(bits)   (VMX_WORD_PIN, (bits))
#define PROC(bits)  (VMX_WORD_PROC, (bits))
#define PROC2(bits) (VMX_WORD_PROC2, (bits))
#define PROC3(bits) (VMX_WORD_PROC3, (bits))
#define EXIT(bits)  (VMX_WORD_EXIT, (bits))
#define ENTRY(bits) (VMX_WORD_ENTRY, (bits))

#define RULE_FIRST(a, b)  a
#define RULE_SECOND(a, b) b
#define RULE_WORD(pair)   RULE_FIRST pair
#define RULE_BITS(pair)   RULE_SECOND pair

/* Rows of the tables. */
/* clang-format off */
#define RULE(text, vmcs_field, rule_kind, condition, ...) \
    {.name = PACK text, .field = VI_##vmcs_field, .kind = RULE_##rule_kind, \
     .when = RULE_WORD(condition), .if_set = RULE_BITS(condition), __VA_ARGS__}
/* clang-format on */
#define DATA(name, field, kind, when, value) RULE(name, field, kind, when, .arg = value)
#define CTLS(name, field, kind, when, control) \
    RULE(name, field, kind, when, .which = RULE_WORD(control), .arg = RULE_BITS(control))
#define TEST(name, field, when, fn)                  RULE(name, field, TEST, when, .test = fn)
#define TEST_ARG(name, field, when, value, fn)       RULE(name, field, TEST, when, .which = value, .test = fn)
#define TEST_QUALIFIED(name, field, when, fn, value) RULE(name, field, TEST + (value), when, .test = fn)

static inline bool entry_has(const struct entry_case *c, enum vmx_word word, u64 bits)
{
    return (c->word[word] & bits) == bits;
}

static inline bool entry_ia32e(const struct entry_case *c)
{
    return entry_has(c, VMX_WORD_ENTRY, ENTRYCTL_IA32E_MODE_GUEST);
}

/* The event to inject: "VM-entry interruption-information field". */
static inline bool entry_injects(const struct entry_case *c)
{
    return VMCS(c->v, ENTRY_INTERRUPTION_INFO) & INTR_INFO_VALID;
}

static inline bool entry_injects_type(const struct entry_case *c, enum intr_type type)
{
    return entry_injects(c) && INTR_INFO_TYPE(VMCS(c->v, ENTRY_INTERRUPTION_INFO)) == (u32)type;
}

/* Bits that no physical address in the VMCS has. */
static inline u64 entry_address_reserved(const struct entry_env *env)
{
    u32 width = env->caps->basic & VMX_BASIC_32BIT_ADDRESSES ? 32 : env->physical_bits;

    return ~(BIT(width) - 1);
}

static inline bool entry_canonical(const struct entry_env *env, u64 address)
{
    u64 top = address >> (env->linear_bits - 1);

    return top == 0 || top == ~0ull >> (env->linear_bits - 1);
}

#endif
