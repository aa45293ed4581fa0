/* SPDX-License-Identifier: MIT */
/* links: vmm/task_switch.c vmm/guest_access.c vmm/walk.c vmm/emulate.c vmm/emulate_alu.c */
/* links: vmm/emulate_string.c vmm/emulate_wide.c tests/unit/fake_vcpu.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/task_switch.h"

/* In RAM */
#define GDT        0x1000u
#define LDT        0x1800u
#define OLD        0x2000u
#define NEW        0x3000u
#define DIRECTORY  0x4000u
#define DIRECTORY2 0x5000u
#define POINTERS   0x6000u
#define STACK      0x9000u
#define STACK3     0xa000u
#define GDT_LIMIT  0xffu

/* Selectors */
#define CODE      0x08
#define DATA      0x10
#define TSS_OLD   0x18
#define TSS_NEW   0x20
#define SEL_LDT   0x28
#define CODE3     0x33
#define DATA3     0x3b
#define CONFORM   0x40
#define RODATA    0x48
#define ABSENT    0x50
#define EXECUTE   0x58
#define STACK16   0x60
#define SMALL     0x68 /* a stack with a limit */
#define BADCODE   0x70 /* not present */
#define BADLDT    0x78 /* not present */
#define BADSTACK  0x80 /* not present */
#define CONFORM3  0x88 /* conforming, of DPL 3 */
#define SHORTCODE 0x90
#define BEYOND    0x100
#define LDT_DATA  0x0c /* in the LDT */

static struct guest_access g;
static struct task_cpu cpu;

static void descriptor(u32 table, u32 selector, u32 base, u32 limit, u32 access)
{
    u64 d = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(access & 0xf0ff) << 40 |
            (u64)(limit >> 16 & 15) << 48 | (u64)(base >> 24) << 56;

    memcpy(fake_ram + table + (selector & ~7u), &d, 8);
}

static u32 get(u32 address, u32 size)
{
    u32 value = 0;

    memcpy(&value, fake_ram + address, size);
    return value;
}

static void set(u32 address, u32 size, u32 value)
{
    memcpy(fake_ram + address, &value, size);
}

static u32 access_of(u32 selector)
{
    return fake_ram[GDT + (selector & ~7u) + 5];
}

static void fill_tables(void)
{
    static const struct {
        u16 selector;
        u32 limit, access;
    } row[] = {
        {CODE, 0xfffff, 0xc09b},     {DATA, 0xfffff, 0xc093},     {CODE3, 0xfffff, 0xc0fb},
        {DATA3, 0xfffff, 0xc0f3},    {CONFORM, 0xfffff, 0xc09f},  {RODATA, 0xfffff, 0xc091},
        {ABSENT, 0xfffff, 0xc013},   {EXECUTE, 0xfffff, 0xc099},  {STACK16, 0xffff, 0x0093},
        {SMALL, 0x7fff, 0x4093},     {BADCODE, 0xfffff, 0xc01b},  {BADSTACK, 0xfffff, 0xc013},
        {CONFORM3, 0xfffff, 0xc0ff}, {SHORTCODE, 0x1fff, 0x409b},
    };

    for (u32 i = 0; i < ARRAY_SIZE(row); i++)
        descriptor(GDT, row[i].selector, 0, row[i].limit, row[i].access);
    descriptor(GDT, TSS_OLD, OLD, 103, 0x8b);
    descriptor(GDT, TSS_NEW, NEW, 103, 0x89);
    descriptor(GDT, SEL_LDT, LDT, 0x1f, 0x82);
    descriptor(GDT, BADLDT, LDT, 0x1f, 0x02);
    descriptor(LDT, LDT_DATA, 0x500, 0xfff, 0x4092); /* not accessed yet */
}

static const u32 new_gprs[8] = {0xa0, 0xa1, 0xa2, 0xa3, STACK, 0xa5, 0xa6, 0xa7};
static const u16 new_segs[6] = {DATA, CODE, DATA, DATA, RODATA, 0};

static void fill_tss32(u32 tss)
{
    memset(fake_ram + tss, 0, 104);
    set(tss + 28, 4, DIRECTORY2);
    set(tss + 32, 4, 0x7000);
    set(tss + 36, 4, RFLAGS_IF | RFLAGS_CF);
    for (u32 i = 0; i < 8; i++)
        set(tss + 40 + 4 * i, 4, new_gprs[i]);
    for (u32 i = 0; i < 6; i++)
        set(tss + 72 + 4 * i, 2, new_segs[i]);
}

static void start(void)
{
    fake_start32();
    fill_tables();
    fill_tss32(NEW);
    guest_access_init(&g, &fake);
    cpu = (struct task_cpu){.eip = 0x6543,
                            .eflags = RFLAGS_FIXED | RFLAGS_RF | RFLAGS_SF,
                            .cr0 = CR0_PE,
                            .dr7 = 0x7ff,
                            .gdt_base = GDT,
                            .gdt_limit = GDT_LIMIT};
    for (u32 i = 0; i < 8; i++)
        cpu.gpr[i] = 0xb0000 + i;
    for (u32 i = 0; i < NR_SEGS; i++) {
        cpu.selector[i] = i == SEG_CS ? CODE : DATA;
        cpu.seg[i] = (struct segment){0, ~0u, i == SEG_CS ? 0xc09b : 0xc093};
    }
    cpu.seg[SEG_LDTR].access = SEG_AR_UNUSABLE;
    cpu.selector[SEG_TR] = TSS_OLD;
    cpu.seg[SEG_TR] = (struct segment){OLD, 103, 0x8b};
}

static enum task_result go(enum task_source source, u16 selector)
{
    const struct task_switch s = {.source = source, .selector = selector};

    return task_switch(&g, &cpu, &s);
}

static void expect_new_state(void)
{
    assert_int_equal(cpu.eip, 0x7000);
    assert_memory_equal(cpu.gpr, new_gprs, sizeof(new_gprs));
    for (u32 i = 0; i < NR_SEGS; i++)
        assert_int_equal(cpu.selector[i], new_segs[i]);
    assert_int_equal(cpu.seg[SEG_CS].access, 0xc09b);
    assert_int_equal(cpu.seg[SEG_CS].limit, ~0u);
    assert_int_equal(cpu.seg[SEG_SS].access, 0xc093);
    assert_int_equal(cpu.seg[SEG_FS].access, 0xc091);
    assert_int_equal(cpu.seg[SEG_GS].access, SEG_AR_UNUSABLE);
    assert_int_equal(cpu.seg[SEG_LDTR].access, SEG_AR_UNUSABLE);
    assert_int_equal(cpu.selector[SEG_TR], TSS_NEW);
    assert_int_equal(cpu.seg[SEG_TR].base, NEW);
    assert_int_equal(cpu.seg[SEG_TR].access, 0x8b);
    assert_int_equal(cpu.cr0, CR0_PE | CR0_TS);
    assert_int_equal(cpu.dr7, 0x7ff & ~0x155);
    assert_int_equal(cpu.cr3, 0); /* no paging */
    assert_false(cpu.debug_trap);
}

static void expect_saved(u32 eflags)
{
    assert_int_equal(get(OLD + 32, 4), 0x6543);
    assert_int_equal(get(OLD + 36, 4), eflags);
    for (u32 i = 0; i < 8; i++)
        assert_int_equal(get(OLD + 40 + 4 * i, 4), 0xb0000 + i);
    for (u32 i = 0; i < 6; i++)
        assert_int_equal(get(OLD + 72 + 4 * i, 4), 0x77770000 | (i == SEG_CS ? CODE : DATA));
    /* Fields that a switch does not write */
    for (u32 at = 0; at < 32; at += 4)
        assert_int_equal(get(OLD + at, 4), 0x77777777);
    assert_int_equal(get(OLD + 96, 4), 0x77777777);
    assert_int_equal(get(OLD + 100, 4), 0x77777777);
}

/* Table 'Effect of a Task Switch on Busy Flag, NT Flag, Previous Task Link Field, and TS Flag'. */
static void test_effects(void **state)
{
    static const struct {
        enum task_source source;
        u32 old_busy, link, new_nt, saved;
    } row[] = {
        {TASK_CALL, 2, TSS_OLD, RFLAGS_NT, RFLAGS_NT},
        {TASK_GATE, 2, TSS_OLD, RFLAGS_NT, RFLAGS_NT | RFLAGS_RF}, /* RF is as VM exits have it for the TSS */
        {TASK_JMP, 0, 0, 0, RFLAGS_NT},
        {TASK_IRET, 0, 0, 0, 0},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        start();
        memset(fake_ram + OLD, 0x77, 104);
        cpu.eflags |= RFLAGS_NT;
        if (row[i].source == TASK_IRET)
            descriptor(GDT, TSS_NEW, NEW, 103, 0x8b);
        assert_int_equal(go(row[i].source, TSS_NEW), TASK_DONE);
        expect_new_state();
        assert_int_equal(cpu.eflags, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_CF | row[i].new_nt);
        expect_saved(RFLAGS_FIXED | RFLAGS_SF | row[i].saved);
        assert_int_equal(get(NEW, 4), row[i].link);
        assert_int_equal(access_of(TSS_OLD), 0x89 | row[i].old_busy);
        assert_int_equal(access_of(TSS_NEW), 0x8b);
    }
}

static void test_there_and_back(void **state)
{
    const struct task_cpu *now = &cpu;
    struct task_cpu before;

    (void)state;
    start();
    before = cpu;
    assert_int_equal(go(TASK_CALL, TSS_NEW), TASK_DONE);
    assert_int_equal(go(TASK_IRET, (u16)get(NEW, 2)), TASK_DONE);
    before.eflags &= ~(u32)RFLAGS_RF;
    before.cr0 |= CR0_TS;
    before.dr7 &= ~0x155ull;
    before.cr3 = now->cr3;
    assert_int_equal(now->eip, before.eip);
    assert_int_equal(now->eflags, before.eflags);
    assert_memory_equal(now->gpr, before.gpr, sizeof(before.gpr));
    assert_memory_equal(now->selector, before.selector, sizeof(before.selector));
    assert_int_equal(now->seg[SEG_CS].access, before.seg[SEG_CS].access);
    assert_int_equal(access_of(TSS_NEW), 0x89);
    assert_int_equal(access_of(TSS_OLD), 0x8b);
    assert_int_equal(get(NEW + 36, 4) & RFLAGS_NT, 0);
}

static void test_16bit(void **state)
{
    (void)state;
    start();
    descriptor(GDT, TSS_NEW, NEW, 43, 0x81);
    memset(fake_ram + NEW, 0, 104);
    set(NEW + 14, 2, 0x7000);
    set(NEW + 16, 2, RFLAGS_CF);
    for (u32 i = 0; i < 8; i++)
        set(NEW + 18 + 2 * i, 2, i);
    for (u32 i = 0; i < 4; i++)
        set(NEW + 34 + 2 * i, 2, new_segs[i]);
    set(NEW + 42, 2, SEL_LDT);
    set(NEW + 100, 2, 1); /* not its own */
    assert_int_equal(go(TASK_CALL, TSS_NEW), TASK_DONE);
    assert_int_equal(get(OLD + 32, 4), 0x6543);
    assert_int_equal(cpu.eip, 0x7000);
    assert_int_equal(cpu.eflags, RFLAGS_FIXED | RFLAGS_CF | RFLAGS_NT);
    assert_int_equal(cpu.gpr[3], 0xffff0003);
    assert_int_equal(cpu.selector[SEG_DS], DATA);
    assert_int_equal(cpu.selector[SEG_FS], 0);
    assert_int_equal(cpu.seg[SEG_FS].access, SEG_AR_UNUSABLE);
    assert_int_equal(cpu.seg[SEG_LDTR].base, LDT);
    assert_int_equal(cpu.seg[SEG_TR].access, 0x83);
    assert_false(cpu.debug_trap);
    /* And back: what lies behind its fields stays. */
    set(NEW + 42, 4, 0x12345678);
    cpu.gpr[1] = 0xabcd1234;
    cpu.selector[SEG_GS] = 0x5555;
    assert_int_equal(go(TASK_JMP, TSS_OLD), TASK_FAULT_OLD); /* it is busy */
    assert_int_equal(go(TASK_IRET, TSS_OLD), TASK_DONE);
    assert_int_equal(get(NEW + 20, 2), 0x1234);
    assert_int_equal(get(NEW + 16, 2), RFLAGS_FIXED | RFLAGS_CF);
    assert_int_equal(get(NEW + 40, 2), DATA);
    assert_int_equal(get(NEW + 42, 4), 0x12345678);
    assert_int_equal(cpu.gpr[1], 0xb0001);
}

struct before_row {
    enum task_source source;
    u16 selector;
    u32 access, limit; /* of the new TSS's descriptor; 0: none is set */
    u32 old_limit;
    u32 vector, error_code;
};

/* Nothing has changed, neither memory nor registers. */
static void expect_fault_before(const struct before_row *row, bool external)
{
    static u8 ram[FAKE_RAM];
    const struct task_switch s = {.source = row->source, .selector = row->selector, .external = external};
    struct task_cpu before;

    start();
    if (row->access)
        descriptor(GDT, TSS_NEW, NEW, row->limit, row->access);
    cpu.seg[SEG_TR].limit = row->old_limit;
    before = cpu;
    memcpy(ram, fake_ram, sizeof(ram));
    assert_int_equal(task_switch(&g, &cpu, &s), TASK_FAULT_OLD);
    assert_int_equal(g.emu.fault.vector, row->vector);
    assert_int_equal(g.emu.fault.error_code, row->error_code | external);
    assert_memory_equal(&cpu, &before, sizeof(before));
    assert_memory_equal(ram, fake_ram, sizeof(ram));
}

static void test_faults_before(void **state)
{
    static const struct before_row rows[] = {
        {TASK_CALL, BEYOND, 0, 0, 103, VEC_GP, BEYOND},
        {TASK_IRET, BEYOND, 0, 0, 103, VEC_TS, BEYOND},
        {TASK_CALL, TSS_NEW | 4, 0, 0, 103, VEC_GP, TSS_NEW | 4},
        {TASK_IRET, TSS_NEW | 4, 0, 0, 103, VEC_TS, TSS_NEW | 4},
        {TASK_JMP, TSS_NEW | 3, 0x8b, 103, 103, VEC_GP, TSS_NEW}, /* busy */
        {TASK_GATE, TSS_NEW, 0x8b, 103, 103, VEC_GP, TSS_NEW},
        {TASK_IRET, TSS_NEW, 0x89, 103, 103, VEC_TS, TSS_NEW}, /* not busy */
        {TASK_IRET, 0, 0, 0, 103, VEC_TS, 0},
        {TASK_JMP, TSS_NEW, 0x82, 103, 103, VEC_GP, TSS_NEW}, /* an LDT */
        {TASK_JMP, DATA, 0, 0, 103, VEC_GP, DATA},
        {TASK_JMP, TSS_NEW, 0x09, 103, 103, VEC_NP, TSS_NEW},
        {TASK_IRET, TSS_NEW, 0x0b, 103, 103, VEC_NP, TSS_NEW},
        {TASK_JMP, TSS_NEW, 0x89, 102, 103, VEC_TS, TSS_NEW},
        {TASK_JMP, TSS_NEW, 0x81, 42, 103, VEC_TS, TSS_NEW},
        {TASK_JMP, TSS_NEW, 0, 0, 94, VEC_TS, TSS_OLD}, /* the old one */
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 external = 0; external < 2; external++)
            expect_fault_before(&rows[i], external);
    start();
    cpu.seg[SEG_TR].limit = 95;
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
}

/* Table 'Exception Conditions Checked During a Task Switch', from the LDT on. */
static void test_faults_after(void **state)
{
    enum { ES = 72, CS = 76, SS = 80, DS = 84, FS = 88, GS = 92, LD = 96 };
    static const struct {
        u8 at;
        u16 selector;
        u32 vector, error_code;
        u16 cs; /* another one, with a stack for it */
    } row[] = {
        {LD, SEL_LDT | 4, VEC_TS, SEL_LDT | 4, 0},
        {LD, BEYOND, VEC_TS, BEYOND, 0},
        {LD, DATA, VEC_TS, DATA, 0},
        {LD, TSS_OLD, VEC_TS, TSS_OLD, 0},
        {LD, BADLDT, VEC_TS, BADLDT, 0},
        {CS, 0, VEC_TS, 0, 0},
        {CS, 3, VEC_TS, DATA, 0}, /* the stack has another DPL */
        {CS, BEYOND, VEC_TS, BEYOND, 0},
        {CS, DATA, VEC_TS, DATA, 0},
        {CS, CODE3 & ~3, VEC_TS, CODE3 & ~3, 0},
        {CS, CONFORM3, VEC_TS, CONFORM3, 0},
        {CS, TSS_OLD, VEC_TS, TSS_OLD, 0},
        {CS, BADCODE, VEC_NP, BADCODE, 0},
        {CS, CODE | 4, VEC_TS, CODE | 4, 0}, /* there is no LDT */
        {SS, 0, VEC_TS, 0, 0},
        {SS, BEYOND, VEC_TS, BEYOND, 0},
        {SS, CODE, VEC_TS, CODE, 0},
        {SS, RODATA, VEC_TS, RODATA, 0},
        {SS, DATA3, VEC_TS, DATA3 & ~3, 0},
        {SS, DATA | 1, VEC_TS, DATA, 0},
        {SS, BADSTACK, VEC_SS, BADSTACK, 0},
        {SS, DATA, VEC_TS, DATA, CODE3},
        {SS, DATA, VEC_TS, DATA, CONFORM | 3},
        {DS, BEYOND | 1, VEC_TS, BEYOND, 0},
        {ES, EXECUTE, VEC_TS, EXECUTE, 0},
        {FS, TSS_OLD, VEC_TS, TSS_OLD, 0},
        {GS, ABSENT, VEC_NP, ABSENT, 0},
        {DS, DATA | 3, VEC_TS, DATA, 0},
        {DS, DATA, VEC_TS, DATA, 1}, /* CPL 3 */
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        start();
        if (row[i].cs) {
            set(NEW + CS, 2, row[i].cs == 1 ? CODE3 : row[i].cs);
            set(NEW + SS, 2, DATA3);
        }
        set(NEW + row[i].at, 2, row[i].selector);
        assert_int_equal(go(TASK_CALL, TSS_NEW), TASK_FAULT_NEW);
        assert_int_equal(g.emu.fault.vector, row[i].vector);
        assert_int_equal(g.emu.fault.error_code, row[i].error_code);
        assert_int_equal(cpu.selector[SEG_TR], TSS_NEW);
        assert_int_equal(cpu.eip, 0x7000);
        assert_int_equal(get(OLD + 32, 4), 0x6543);
        /* What VM entry asks for whatever the fault is */
        if (!(cpu.seg[SEG_CS].access & SEG_TYPE_DOWN)) /* conforming */
            assert_int_equal(SEG_AR_DPL(cpu.seg[SEG_SS].access), SEG_AR_DPL(cpu.seg[SEG_CS].access));
        if (cpu.seg[SEG_SS].access & SEG_AR_UNUSABLE)
            assert_int_equal(SEG_AR_DPL(cpu.seg[SEG_SS].access), 3);
        assert_int_equal(cpu.seg[SEG_CS].access & (SEG_AR_P | SEG_AR_S | SEG_AR_UNUSABLE),
                         SEG_AR_P | SEG_AR_S);
    }
}

static void test_good_selectors(void **state)
{
    (void)state;
    /* CPL 3, in a conforming segment of DPL 0; an LDT, with a segment that is touched for the first time. */
    start();
    set(NEW + 96, 2, SEL_LDT);
    set(NEW + 76, 2, CONFORM | 3);
    set(NEW + 80, 2, DATA3);
    set(NEW + 84, 2, DATA3);
    set(NEW + 72, 2, CONFORM | 3);
    set(NEW + 88, 2, DATA3);
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
    assert_int_equal(cpu.seg[SEG_CS].access, 0xc09f);
    assert_int_equal(cpu.seg[SEG_ES].access, 0xc09f);
    start();
    set(NEW + 96, 2, SEL_LDT);
    set(NEW + 84, 2, LDT_DATA);
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
    assert_int_equal(cpu.seg[SEG_DS].base, 0x500);
    assert_int_equal(cpu.seg[SEG_DS].limit, 0xfff);
    assert_int_equal(cpu.seg[SEG_DS].access, 0x4093);
    assert_int_equal(fake_ram[LDT + 8 + 5], 0x93);
    assert_int_equal(cpu.seg[SEG_LDTR].access, 0x82);
}

static enum task_result deliver(u32 error_code)
{
    const struct task_switch s = {.source = TASK_GATE,
                                  .selector = TSS_NEW,
                                  .external = true,
                                  .has_error = true,
                                  .error_code = error_code};

    return task_switch(&g, &cpu, &s);
}

static void test_error_codes(void **state)
{
    (void)state;
    start();
    assert_int_equal(deliver(0x12345), TASK_DONE);
    assert_int_equal(cpu.gpr[REG_RSP], STACK - 4);
    assert_int_equal(get(STACK - 4, 4), 0x12345);
    /* A 16-bit stack wraps, and the upper half of ESP stays. */
    start();
    set(NEW + 80, 2, STACK16);
    set(NEW + 56, 4, 0xdead0000);
    assert_int_equal(deliver(0x77), TASK_DONE);
    assert_int_equal(cpu.gpr[REG_RSP], 0xdeadfffc);
    assert_int_equal(get(0xfffc, 4), 0x77);
    /* Beyond the limit: the switch is done. */
    start();
    set(NEW + 80, 2, SMALL);
    assert_int_equal(deliver(0), TASK_FAULT_NEW);
    assert_int_equal(g.emu.fault.vector, VEC_SS);
    assert_int_equal(g.emu.fault.error_code, 1);
    assert_int_equal(cpu.gpr[REG_RSP], STACK);
    /* A 16-bit TSS has 16-bit error codes. */
    start();
    memset(fake_ram + NEW, 0, 104);
    descriptor(GDT, TSS_NEW, NEW, 43, 0x81);
    set(NEW + 26, 2, STACK);
    set(NEW + 36, 2, CODE);
    set(NEW + 38, 2, STACK16);
    set(STACK - 4, 4, 0xffffffff);
    assert_int_equal(deliver(0x1234), TASK_DONE);
    assert_int_equal(cpu.gpr[REG_RSP], 0xffff0000 | (STACK - 2));
    assert_int_equal(get(STACK - 4, 4), 0x1234ffff);
    /* EIP, after the stack */
    start();
    set(NEW + 76, 2, SHORTCODE);
    assert_int_equal(deliver(0x42), TASK_FAULT_NEW);
    assert_int_equal(g.emu.fault.vector, VEC_GP);
    assert_int_equal(g.emu.fault.error_code, 1);
    assert_int_equal(get(STACK - 4, 4), 0x42);
}

static void test_debug_trap(void **state)
{
    (void)state;
    start();
    set(NEW + 100, 2, 1);
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
    assert_true(cpu.debug_trap);
    start();
    set(NEW + 100, 4, 0xfffe);
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
    assert_false(cpu.debug_trap);
}

static void test_v86(void **state)
{
    (void)state;
    for (u32 bad_ldt = 0; bad_ldt < 2; bad_ldt++) {
        start();
        set(NEW + 36, 4, RFLAGS_VM | 0xffc0802a);
        set(NEW + 76, 2, 0x1234);
        set(NEW + 80, 2, 0xffff);
        set(NEW + 92, 2, 3);
        set(NEW + 96, 2, bad_ldt ? DATA : SEL_LDT);
        assert_int_equal(go(TASK_JMP, TSS_NEW), bad_ldt ? TASK_FAULT_NEW : TASK_DONE);
        assert_int_equal(cpu.eflags, RFLAGS_VM | RFLAGS_FIXED);
        assert_int_equal(cpu.seg[SEG_CS].base, 0x12340);
        assert_int_equal(cpu.seg[SEG_SS].base, 0xffff0);
        assert_int_equal(cpu.seg[SEG_GS].base, 0x30);
        for (u32 i = 0; i < NR_SEGS; i++) {
            assert_int_equal(cpu.seg[i].limit, 0xffff);
            assert_int_equal(cpu.seg[i].access, 0xf3);
        }
    }
}

/* Linear 0 and 4 MiB are RAM from 0 in one space; in the other one only 0 is. */
static void start_paging(void)
{
    start();
    set(DIRECTORY, 4, PTE_P | PTE_W | PTE_PS);
    set(DIRECTORY + 4, 4, PTE_P | PTE_W | PTE_PS);
    set(DIRECTORY2, 4, PTE_P | PTE_W | PTE_PS);
    fake.cr0 = cpu.cr0 = CR0_PE | CR0_PG | CR0_WP;
    fake.cr3 = cpu.cr3 = DIRECTORY;
    fake.cr4 = CR4_PSE;
    guest_access_init(&g, &fake);
}

static void expect_page_fault(enum task_result result, u32 error_code, gva_t address)
{
    assert_int_equal(go(TASK_CALL, TSS_NEW), result);
    assert_int_equal(g.emu.fault.vector, VEC_PF);
    assert_int_equal(g.emu.fault.error_code, error_code);
    assert_int_equal(g.emu.fault.cr2, address);
    assert_int_equal(cpu.selector[SEG_TR], result == TASK_FAULT_OLD ? TSS_OLD : TSS_NEW);
}

static void test_paging(void **state)
{
    (void)state;
    start_paging();
    assert_int_equal(go(TASK_CALL, TSS_NEW), TASK_DONE);
    assert_int_equal(cpu.cr3, DIRECTORY2);
    /* Descriptors are read in the new space. */
    start_paging();
    cpu.gdt_base = MiB(4) + GDT;
    expect_page_fault(TASK_FAULT_NEW, 0, MiB(4) + GDT + DATA);
    assert_int_equal(cpu.cr3, DIRECTORY2);
    /* The new TSS: across the end of what there is. */
    start_paging();
    descriptor(GDT, TSS_NEW, MiB(8) - 50, 103, 0x89);
    set(DIRECTORY + 4, 4, 0);
    expect_page_fault(TASK_FAULT_OLD, 0, MiB(8) - 50);
    start_paging();
    descriptor(GDT, TSS_NEW, MiB(4) + NEW, 103, 0x89);
    set(DIRECTORY + 4, 4, PTE_P | PTE_PS);
    expect_page_fault(TASK_FAULT_OLD, PF_PRESENT | PF_WRITE, MiB(4) + NEW); /* for the link */
    assert_int_equal(access_of(TSS_NEW), 0x89);
    assert_int_equal(get(OLD + 32, 4), 0);
    start_paging();
    cpu.seg[SEG_TR].base = MiB(8) + OLD;
    expect_page_fault(TASK_FAULT_OLD, PF_WRITE, MiB(8) + OLD + 32);
    /* No CR3 in a 16-bit TSS */
    start_paging();
    descriptor(GDT, TSS_NEW, NEW, 43, 0x81);
    memset(fake_ram + NEW, 0, 104);
    set(NEW + 36, 2, CODE);
    set(NEW + 38, 2, DATA);
    assert_int_equal(go(TASK_CALL, TSS_NEW), TASK_DONE);
    assert_int_equal(cpu.cr3, DIRECTORY);
}

static void test_pae(void **state)
{
    const u64 good[4] = {DIRECTORY | PTE_P, 0, ~(u64)PTE_P, 0};
    u64 old[4] = {DIRECTORY | PTE_P, 0, 0, 0};

    (void)state;
    for (u32 bad = 0; bad < 3; bad++) {
        start();
        set(DIRECTORY, 4, PTE_P | PTE_W | PTE_PS);
        fake.cr0 = cpu.cr0 = CR0_PE | CR0_PG;
        fake.cr3 = cpu.cr3 = POINTERS;
        fake.cr4 = CR4_PAE;
        guest_access_init(&g, &fake);
        g.walk.pdpte = old;
        set(NEW + 28, 4, POINTERS + 0x20);
        memcpy(fake_ram + POINTERS + 0x20, good, sizeof(good));
        if (bad)
            fake_ram[POINTERS + 0x20 + 8 * bad] = PTE_P | 2;
        if (bad) {
            assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_FAULT_OLD);
            assert_int_equal(g.emu.fault.vector, VEC_GP);
            assert_int_equal(g.emu.fault.error_code, 0);
            continue;
        }
        assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
        assert_int_equal(cpu.cr3, POINTERS + 0x20);
        assert_memory_equal(cpu.pdpte, good, sizeof(good));
    }
}

static void test_outside_of_ram(void **state)
{
    (void)state;
    start();
    cpu.seg[SEG_TR].base = FAKE_RAM - 60;
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_UNSUPP);
    start();
    descriptor(GDT, TSS_NEW, FAKE_DEVICE, 103, 0x89);
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_UNSUPP);
    start();
    cpu.gdt_base = FAKE_DEVICE;
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_UNSUPP);
}

/* Both TSSs across the end of a page, and one in the other. */
static void test_places(void **state)
{
    (void)state;
    start();
    fill_tss32(0x8fd0);
    descriptor(GDT, TSS_NEW, 0x8fd0, 103, 0x89);
    cpu.seg[SEG_TR].base = 0x7fc8;
    assert_int_equal(go(TASK_CALL, TSS_NEW), TASK_DONE);
    assert_memory_equal(cpu.gpr, new_gprs, sizeof(new_gprs));
    assert_int_equal(get(0x7fc8 + 32, 4), 0x6543);
    assert_int_equal(get(0x7fc8 + 92, 2), DATA);
    start();
    descriptor(GDT, TSS_NEW, OLD, 103, 0x89); /* the same TSS by another selector */
    assert_int_equal(go(TASK_JMP, TSS_NEW), TASK_DONE);
    assert_int_equal(cpu.eip, 0x6543);
    assert_int_equal(cpu.gpr[1], 0xb0001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_effects),      cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_16bit),        cmocka_unit_test(test_faults_before),
        cmocka_unit_test(test_faults_after), cmocka_unit_test(test_good_selectors),
        cmocka_unit_test(test_error_codes),  cmocka_unit_test(test_debug_trap),
        cmocka_unit_test(test_v86),          cmocka_unit_test(test_paging),
        cmocka_unit_test(test_pae),          cmocka_unit_test(test_outside_of_ram),
        cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
