/* SPDX-License-Identifier: MIT */
/* 32-bit modes with each kind of paging, real mode and virtual-8086 mode, and the ways between them. */
#include "guest/smoke/smoke.h"
#include "guest/smoke/modes.h"
#include "guest/smoke/tables.h"
#include "guest/common/mode32.h"
#include "guest/common/paging.h"
#include "guest/common/segments.h"
#include "lib/string.h"

#define CR0_PLAIN ((u32)(CR0_PE | BIT(4) | BIT(5)))
#define CR0_PAGED (CR0_PLAIN | (u32)CR0_PG | (u32)CR0_WP)

/* Sum of what the code in real mode adds when all is well: INT, #DE, CPUID, IN, CR0.PE and the word behind
 * FS. */
#define REAL_GOOD 0x11010111

extern void code32_exchange(void), code32_read(void), code32_write(void), code32_return(void),
    code32_into(void), code32_bound(void), code32_divide(void), code32_segment_limit(void), code32_real(void),
    code32_v86(void);
extern const u8 real_begin[], real_end[];
extern const u32 v86_word_offset;
extern u8 tss32[104];

static u32 page[1024] __aligned(4096);
static u32 work[2];

static u32 alias_of(u32 base, u64 size)
{
    return base + (u32)((u64)page & (size - 1));
}

static void check_exchange(struct mode32 m)
{
    page[0] = 0x12345678;
    m.fn = code32_exchange;
    mode32_run(&m);
    expect(m.vector == X_NONE, "vector %u error 0x%x CR2 0x%x EIP 0x%x", m.vector, m.error, m.cr2, m.eip);
    expect_equal(m.result, 0x12345678, "read through the alias");
    expect_equal(page[0], ~0x12345678u, "written through the alias");
}

static void test_none(void)
{
    check_exchange((struct mode32){.cr0 = CR0_PLAIN, .arg = (u32)(u64)page});
}

static void test_32(void)
{
    check_exchange((struct mode32){.cr0 = CR0_PAGED,
                                   .cr3 = tables_32(false, (u64)page, PTE_P | PTE_W),
                                   .arg = alias_of(ALIAS, PAGE_SIZE)});
}

static void test_32_pse(void)
{
    check_exchange((struct mode32){.cr0 = CR0_PAGED,
                                   .cr4 = CR4_PSE,
                                   .cr3 = tables_32(true, (u64)page, PTE_P | PTE_W),
                                   .arg = alias_of(ALIAS, MiB(4))});
}

static void test_pae_4k(void)
{
    check_exchange((struct mode32){.cr0 = CR0_PAGED,
                                   .cr4 = CR4_PAE,
                                   .cr3 = tables_pae(false, (u64)page, PTE_P | PTE_W, 0),
                                   .arg = alias_of(ALIAS_64, PAGE_SIZE)});
}

static void test_pae_2m(void)
{
    check_exchange((struct mode32){.cr0 = CR0_PAGED,
                                   .cr4 = CR4_PAE,
                                   .cr3 = tables_pae(true, (u64)page, PTE_P | PTE_W, 0),
                                   .arg = alias_of(ALIAS_64, MiB(2))});
}

static void expect_fault(struct mode32 m, void (*fn)(void), u32 error, const char *what)
{
    m.fn = fn;
    mode32_run(&m);
    expect(m.vector == X_PF && m.error == error && m.cr2 == m.arg, "%s: vector %u error 0x%x CR2 0x%x", what,
           m.vector, m.error, m.cr2);
}

static void test_32_fault(void)
{
    struct mode32 m = {.cr0 = CR0_PAGED, .cr3 = tables_32(false, (u64)page, PTE_P), .arg = 0x50000000};

    expect_fault(m, code32_read, 0, "read of nothing");
    expect_fault(m, code32_write, 2, "write of nothing");
    m.arg = ALIAS;
    expect_fault(m, code32_write, 3, "write of a read-only page");
    m.cr0 &= ~(u32)CR0_WP;
    m.fn = code32_write;
    mode32_run(&m);
    expect(m.vector == X_NONE, "write without CR0.WP: vector %u", m.vector);
}

static void test_pae_fault(void)
{
    struct mode32 m = {.cr0 = CR0_PAGED,
                       .cr4 = CR4_PAE,
                       .cr3 = tables_pae(false, (u64)page, PTE_P | PTE_W | BIT(62), 0),
                       .arg = alias_of(ALIAS_64, PAGE_SIZE)};

    if (skip_on_tcg())
        return;
    expect_fault(m, code32_read, 9, "reserved bit");
    m.cr3 = tables_pae(false, (u64)page, 0, 0);
    expect_fault(m, code32_write, 2, "write of nothing");
}

/* With PAE the four pointers are loaded, and checked, when paging is switched on. */
static void test_pae_pdpte(void)
{
    struct mode32 m = {.cr0 = CR0_PAGED, .cr4 = CR4_PAE, .fn = code32_return};

    if (skip_on_tcg())
        return;
    m.cr3 = tables_pae(false, (u64)page, PTE_P, BIT(1));
    mode32_run(&m);
    expect(m.vector == X_GP, "reserved bit in a PDPTE: vector %u", m.vector);
}

static void test_exceptions(void)
{
    static const struct {
        void (*fn)(void);
        u32 vector;
        const char *name;
    } list[] = {
        {code32_into, X_OF, "INTO"},
        {code32_bound, X_BR, "BOUND"},
        {code32_divide, X_DE, "DIV"},
        {code32_segment_limit, X_GP, "read beyond the segment's limit"},
    };

    if (skip_on_tcg())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
        struct mode32 m = {.cr0 = CR0_PLAIN, .fn = list[i].fn};

        mode32_run(&m);
        expect(m.vector == list[i].vector, "%s: vector %u, not %u", list[i].name, m.vector, list[i].vector);
    }
}

static void copy_low_code(void)
{
    memcpy((void *)LOW_CODE, real_begin, (size_t)(real_end - real_begin));
}

static void test_real(void)
{
    struct mode32 m = {.cr0 = CR0_PLAIN, .fn = code32_real};

    copy_low_code();
    mode32_run(&m);
    expect(m.vector == X_NONE, "vector %u EIP 0x%x", m.vector, m.eip);
    expect_equal(m.result, REAL_GOOD, "sum");
}

static void test_v86(void)
{
    struct mode32 m = {.cr0 = CR0_PLAIN, .fn = code32_v86, .arg = LOW_CODE >> 4};
    u32 word;

    copy_low_code();
    mode32_descriptor(SEL_TSS32, tss32, sizeof(tss32) - 1, 0x89);
    mode32_run(&m);
    trap_init_cpu(0);
    memcpy(&word, (const void *)(u64)(LOW_CODE + v86_word_offset), sizeof(word));
    expect(m.vector == X_GP && m.error == 0, "HLT: vector %u error 0x%x EIP 0x%x", m.vector, m.error, m.eip);
    expect(m.eflags & BIT(17), "EFLAGS 0x%x has no VM", m.eflags);
    expect_equal(word, REAL_MAGIC, "word written");
}

/* All modes one after the other, again and again, with some state kept across. */
static void test_switches(void)
{
    copy_low_code();
    for (u32 round = 0; round < 50; round++) {
        struct mode32 m = {.cr0 = CR0_PLAIN, .fn = code32_exchange};

        work[0] = round;
        m.arg = (u32)(u64)work;
        switch (round % 5) {
        case 0:
            m.cr0 = CR0_PAGED;
            m.cr3 = tables_32(false, (u64)page, PTE_P | PTE_W);
            break;
        case 1:
            m.cr0 = CR0_PAGED;
            m.cr4 = CR4_PAE;
            m.cr3 = tables_pae(true, (u64)page, PTE_P | PTE_W, 0);
            break;
        case 2:
            m.cr0 = CR0_PAGED;
            m.cr4 = CR4_PSE;
            m.cr3 = tables_32(true, (u64)page, PTE_P | PTE_W);
            break;
        case 3:
            m.fn = code32_real;
            break;
        }
        mode32_run(&m);
        expect(m.vector == X_NONE, "round %u: vector %u EIP 0x%x", round, m.vector, m.eip);
        if (round % 5 != 3)
            expect(m.result == round && work[0] == ~round, "round %u: 0x%x and 0x%x", round, m.result,
                   work[0]);
    }
}

const struct smoke_test mode_tests[] = {
    {"mode-32-no-paging", test_none},
    {"mode-32-paging", test_32},
    {"mode-32-pse", test_32_pse},
    {"mode-pae-4k", test_pae_4k},
    {"mode-pae-2m", test_pae_2m},
    {"mode-32-faults", test_32_fault},
    {"mode-pae-faults", test_pae_fault},
    {"mode-pae-pdpte", test_pae_pdpte},
    {"mode-32-exceptions", test_exceptions},
    {"mode-real", test_real},
    {"mode-v86", test_v86},
    {"mode-switches", test_switches},
    {NULL, NULL},
};
