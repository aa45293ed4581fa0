/* SPDX-License-Identifier: MIT */
/* A VM entry that passes all checks, and how tests spoil it. Included by the test_entry_check*.c. */
#ifndef TESTS_UNIT_ENTRY_CASE_H
#define TESTS_UNIT_ENTRY_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/gpr.h"
#include "arch/x86/regs.h"
#include "tests/unit/good_caps.h"
#include "vmm/entry_rules.h"

#define PHYSICAL_BITS 39
#define LINEAR_BITS   48
#define BEYOND        BIT(PHYSICAL_BITS) /* the first address that does not exist */
#define LOW_TOP       (BIT(LINEAR_BITS - 1) - 1)
#define HIGH_BOTTOM   (~0ull << (LINEAR_BITS - 1))
#define NOT_CANONICAL BIT(LINEAR_BITS - 1)

/* Addresses in the machine's memory. */
enum {
    MEM_APIC = 0x1000,
    MEM_LINK = 0x2000,
    MEM_MSRS = 0x3000,
    MEM_PDPT = 0x4000,
    MEM_CURRENT = 0x5000,
    MEM_SIZE = 0x6000
};
#define MEM_VTPR (MEM_APIC + 0x80)

struct machine {
    struct vmx_caps caps;
    struct entry_env env;
    struct vmcs_image vmcs;
    u8 memory[MEM_SIZE];
};

static bool machine_read(void *ctx, paddr_t address, void *to, size_t size)
{
    struct machine *m = ctx;

    if (address >= MEM_SIZE || size > MEM_SIZE - address)
        return false;
    memcpy(to, m->memory + address, size);
    return true;
}

static void good_controls(struct vmcs_image *v)
{
    VMCS(v, PIN_BASED_CONTROLS) =
        PIN_DEFAULT1 | PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS;
    VMCS(v, PRIMARY_CONTROLS) = PROC_DEFAULT1 | PROC_HLT_EXITING | PROC_USE_IO_BITMAPS |
                                PROC_USE_MSR_BITMAPS | (u64)PROC_ACTIVATE_SECONDARY;
    VMCS(v, SECONDARY_CONTROLS) = PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST | PROC2_ENABLE_VPID;
    VMCS(v, PRIMARY_EXIT_CONTROLS) = EXITCTL_DEFAULT1 | EXITCTL_HOST_ADDRESS_SPACE_SIZE |
                                     EXITCTL_ACK_INTERRUPT_ON_EXIT | EXITCTL_LOAD_EFER | EXITCTL_LOAD_PAT;
    VMCS(v, ENTRY_CONTROLS) = ENTRYCTL_DEFAULT1 | ENTRYCTL_IA32E_MODE_GUEST | ENTRYCTL_LOAD_EFER |
                              ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_DEBUG_CONTROLS;
    VMCS(v, VPID) = 1;
    VMCS(v, EPT_POINTER) = 0x7000 | EPTP_WALK_4 | EPTP_WB;
    VMCS(v, IO_BITMAP_A) = 0x8000;
    VMCS(v, IO_BITMAP_B) = 0x9000;
    VMCS(v, MSR_BITMAPS) = 0xa000;
    VMCS(v, VIRTUAL_APIC_ADDRESS) = MEM_APIC;
    VMCS(v, VMCS_LINK_POINTER) = ~0ull;
}

#define GOOD_PAT 0x0007040600070406ull

static void good_host(struct vmcs_image *v)
{
    VMCS(v, HOST_CR0) = 0x80050033;
    VMCS(v, HOST_CR3) = 0x1000;
    VMCS(v, HOST_CR4) = CR4_VMXE | CR4_PAE | CR4_PGE;
    VMCS(v, HOST_IA32_EFER) = EFER_LME | EFER_LMA | EFER_NXE;
    VMCS(v, HOST_IA32_PAT) = GOOD_PAT;
    VMCS(v, HOST_CS_SELECTOR) = SEL_CODE;
    VMCS(v, HOST_SS_SELECTOR) = SEL_DATA;
    VMCS(v, HOST_TR_SELECTOR) = SEL_TSS;
    VMCS(v, HOST_RIP) = 0xffffffff80000000;
    VMCS(v, HOST_RSP) = 0xffffffff80004000;
}

static void set_segment(struct vmcs_image *v, u32 seg, u16 selector, u64 base, u32 limit, u32 rights)
{
    v->f[VI_GUEST_ES_SELECTOR + seg] = selector;
    v->f[VI_GUEST_ES_BASE + seg] = base;
    v->f[VI_GUEST_ES_LIMIT + seg] = limit;
    v->f[VI_GUEST_ES_ACCESS_RIGHTS + seg] = rights;
}

/* A guest in 64-bit mode. */
static void good_guest(struct vmcs_image *v)
{
    VMCS(v, GUEST_CR0) = 0x80050033;
    VMCS(v, GUEST_CR3) = 0x1000;
    VMCS(v, GUEST_CR4) = CR4_VMXE | CR4_PAE;
    VMCS(v, GUEST_IA32_EFER) = EFER_LME | EFER_LMA;
    VMCS(v, GUEST_IA32_PAT) = GOOD_PAT;
    VMCS(v, GUEST_DR7) = DR7_INIT;
    VMCS(v, GUEST_RFLAGS) = RFLAGS_FIXED;
    VMCS(v, GUEST_RIP) = 0x100000;
    for (u32 seg = SEG_ES; seg <= SEG_GS; seg++)
        set_segment(v, seg, 0x10, 0, 0xffffffff, 0xc093);
    set_segment(v, SEG_CS, 0x8, 0, 0xffffffff, 0xa09b);
    set_segment(v, SEG_LDTR, 0, 0, 0, SEG_AR_UNUSABLE);
    set_segment(v, SEG_TR, 0x18, 0, 0x67, 0x8b);
}

static void good_machine(struct machine *m)
{
    memset(m, 0, sizeof(*m));
    good_caps(&m->caps);
    m->env = (struct entry_env){
        .caps = &m->caps,
        .physical_bits = PHYSICAL_BITS,
        .linear_bits = LINEAR_BITS,
        .long_mode = true,
        .efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
        .debugctl_valid = 0x1dfc3,
        .perf_global_valid = 0x70000000f,
        .rtit_valid = 0xffff,
        .lbr_valid = 0x7f000f,
        .current_vmcs = MEM_CURRENT,
        .read = machine_read,
        .ctx = m,
    };
    good_controls(&m->vmcs);
    good_host(&m->vmcs);
    good_guest(&m->vmcs);
    m->memory[MEM_VTPR] = 0x50;
}

/* Variants of the machine, for the prepare column. */
static inline void legacy_guest(struct machine *m)
{
    VMCS(&m->vmcs, ENTRY_CONTROLS) &= ~(u64)ENTRYCTL_IA32E_MODE_GUEST;
    VMCS(&m->vmcs, GUEST_IA32_EFER) = 0;
    VMCS(&m->vmcs, GUEST_CS_ACCESS_RIGHTS) = 0xc09b;
}

static inline void real_mode_guest(struct machine *m)
{
    legacy_guest(m);
    VMCS(&m->vmcs, GUEST_CR0) = CR0_ET | CR0_NE;
    for (u32 seg = SEG_ES; seg <= SEG_GS; seg++)
        set_segment(&m->vmcs, seg, 0x1000, 0x10000, 0xffff, 0x93);
}

static inline void virtual_8086_guest(struct machine *m)
{
    legacy_guest(m);
    VMCS(&m->vmcs, GUEST_RFLAGS) |= RFLAGS_VM;
    for (u32 seg = SEG_ES; seg <= SEG_GS; seg++)
        set_segment(&m->vmcs, seg, 0x1000, 0x10000, 0xffff, 0xf3);
}

static inline void restricted_guest(struct machine *m)
{
    VMCS(&m->vmcs, SECONDARY_CONTROLS) &= ~(u64)PROC2_UNRESTRICTED_GUEST;
}

/* A change to the machine. */
enum change_op { CHANGE_END, CHANGE_SET, CHANGE_OR, CHANGE_CLEAR, CHANGE_MEMORY };

struct change {
    u8 op;
    u32 index; /* of the field; or the address of 32 bits of memory */
    u64 value;
};

/* clang-format off */
#define SET(field, value)      {CHANGE_SET, VI_##field, value}
#define OR(field, bits)        {CHANGE_OR, VI_##field, bits}
#define CLEAR(field, bits)     {CHANGE_CLEAR, VI_##field, bits}
#define MEMORY(address, value) {CHANGE_MEMORY, address, value}
/* clang-format on */

#define MAX_CHANGES 8

/* On the machine as prepared and with the common changes, good passes and bad fails with exactly this row. */
struct entry_test {
    const char *row;
    void (*prepare)(struct machine *m);
    struct change common[MAX_CHANGES], good[MAX_CHANGES], bad[MAX_CHANGES];
    u32 qualification;
};

/* CASE(row, prepare, COMMON(...), GOOD(...), BAD(...)); NONE stands for a list without changes.
 * CASE_QUALIFIED has the exit qualification besides. */
/* clang-format off */
#define CASE(...)           {__VA_ARGS__, 0}
#define CASE_QUALIFIED(...) {__VA_ARGS__}
#define COMMON(...)         {__VA_ARGS__}
#define GOOD(...)           {__VA_ARGS__}
#define BAD(...)            {__VA_ARGS__}
#define NONE                {{0}}
/* clang-format on */

static inline void apply(struct machine *m, const struct change *changes)
{
    for (u32 i = 0; i < MAX_CHANGES && changes[i].op != CHANGE_END; i++) {
        u64 *field = &m->vmcs.f[changes[i].op == CHANGE_MEMORY ? 0 : changes[i].index];
        u32 word = changes[i].value;

        switch (changes[i].op) {
        case CHANGE_SET:
            *field = changes[i].value;
            break;
        case CHANGE_OR:
            *field |= changes[i].value;
            break;
        case CHANGE_CLEAR:
            *field &= ~changes[i].value;
            break;
        case CHANGE_MEMORY:
            memcpy(m->memory + changes[i].index, &word, sizeof(word));
            break;
        }
    }
}

static inline void run(struct machine *m, const struct entry_test *t, const struct change *changes,
                       struct entry_verdict *out)
{
    good_machine(m);
    if (t->prepare)
        t->prepare(m);
    apply(m, t->common);
    apply(m, changes);
    entry_check(&m->vmcs, &m->env, out);
}

/* Runs all tests, whose failures must belong to stage. */
static inline void run_entry_tests(const struct entry_test *tests, size_t nr, enum entry_stage stage)
{
    static struct machine m;
    struct entry_verdict v;

    for (size_t i = 0; i < nr; i++) {
        const struct entry_test *t = &tests[i];

        run(&m, t, t->good, &v);
        if (v.stage != ENTRY_OK)
            fail_msg("test %zu, '%s': the good one fails with '%s'", i, t->row, v.row);
        run(&m, t, t->bad, &v);
        if (v.stage == ENTRY_OK)
            fail_msg("test %zu: '%s' did not fail", i, t->row);
        if (strcmp(v.row, t->row))
            fail_msg("test %zu: '%s' wanted, but '%s' failed", i, t->row, v.row);
        assert_int_equal(v.stage, stage);
        assert_int_equal(v.qualification, t->qualification);
        assert_true(v.field < VMCS_NR_FIELDS);
    }
}

/* Each row of a table has at least one test. */
static inline void assert_all_rows_tested(const struct entry_table *table, const struct entry_test *tests,
                                          size_t nr)
{
    u32 missing = 0;

    for (u32 r = 0; r < table->nr; r++) {
        size_t i = 0;

        while (i < nr && strcmp(tests[i].row, table->rules[r].name))
            i++;
        if (i == nr) {
            fprintf(stderr, "no test for '%s'\n", table->rules[r].name);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

/* The good machine with these changes passes. */
static inline void assert_passes(void (*prepare)(struct machine *m), const struct change *changes)
{
    static struct machine m;
    struct entry_test t = {.prepare = prepare};
    struct entry_verdict v;

    run(&m, &t, changes, &v);
    if (v.stage != ENTRY_OK)
        fail_msg("fails with '%s'", v.row);
    assert_null(v.row);
}

#endif
