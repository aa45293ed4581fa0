/* SPDX-License-Identifier: MIT */
/* Hardware task switches, in 32-bit protected mode: SDM volume 3, 'Task Management'. */
#include "guest/smoke/smoke.h"
#include "guest/smoke/modes.h"
#include "guest/smoke/tables.h"
#include "guest/smoke/tasks.h"
#include "guest/common/apic.h"
#include "guest/common/mode32.h"
#include "guest/common/paging.h"
#include "lib/string.h"

#define CR0_PLAIN ((u32)(CR0_PE | BIT(4) | BIT(5)))
#define CR0_PAGED (CR0_PLAIN | (u32)CR0_PG | (u32)CR0_WP)
#define CR0_TASK  BIT(3) /* TS */
#define FLAGS     2u
#define FLAG_NT   BIT(14)
#define FLAG_RF   BIT(16)
#define FLAG_VM   BIT(17)
#define DR6_BT    BIT(15)
#define DR6_CLEAR 0xffff0ff0u
#define TRAP      1u
#define EAX_B     0x6b736174u

extern void code32_task_jmp(void), code32_task_call(void), code32_task_read(void), code32_task_16(void),
    code32_task_ud(void), code32_task_int3(void), code32_task_gp(void), code32_task_absent(void),
    code32_task_busy(void), code32_task_nmi(void), code32_task_irq(void);
extern u8 task_note[], task_note_error[], task_end_jmp[], task_end_iret[], task_nmi[], task_irq[],
    task_gp_at[];
extern const u8 task16_begin[], task16_end[];
extern const u32 task16_word_offset;
extern u64 gdt[];

/* What TSS B's task has found; tasks.S knows the offsets. */
struct seen {
    u32 eax, esp, eflags, tr, cr0, dr7, access_a, access_b, word, times, error;
};

extern struct seen task_seen;
extern struct tss32 task_tss_a;
struct seen task_seen;
struct tss32 task_tss_a;
static struct tss32 tss_b;
static u16 tss_16[22];
static u8 stack_b[1024] __aligned(16), stack_0[1024] __aligned(16);
static u64 ldt[2];
static u32 page[1024] __aligned(4096), other[1024] __aligned(4096);
static u64 directory[512] __aligned(4096), table[512] __aligned(4096), pointers[4] __aligned(32);

static u32 low(const void *p)
{
    return (u32)(u64)p;
}

/* Both tasks anew; B's goes from `entry` to `end`. */
static void prepare(const void *entry, const void *end)
{
    const u32 top = low(stack_b) + sizeof(stack_b);

    task_seen = (struct seen){0};
    task_tss_a = (struct tss32){.trap_iomap = sizeof(task_tss_a) << 16};
    tss_b = (struct tss32){.eip = low(entry),
                           .eflags = FLAGS,
                           .eax = EAX_B,
                           .ebx = low(page),
                           .esp = top,
                           .edi = low(end),
                           .esp0 = low(stack_0) + sizeof(stack_0),
                           .ss0 = SEL_DATA,
                           .cs = SEL_CODE32,
                           .ss = SEL_DATA,
                           .ds = SEL_DATA,
                           .es = SEL_DATA,
                           .trap_iomap = sizeof(tss_b) << 16};
    mode32_descriptor(SEL_TSS_A, &task_tss_a, sizeof(task_tss_a) - 1, 0x89);
    mode32_descriptor(SEL_TSS_B, &tss_b, sizeof(tss_b) - 1, 0x89);
    mode32_descriptor(SEL_ABSENT, &tss_b, sizeof(tss_b) - 1, 0x09);
}

static u8 access_of(u16 selector)
{
    return gdt[selector >> 3] >> 40 & 0xff;
}

/* Runs fn without paging. */
static struct mode32 run(void (*fn)(void))
{
    struct mode32 m = {.cr0 = CR0_PLAIN, .fn = fn};

    mode32_run(&m);
    trap_init_cpu(0);
    return m;
}

static void expect_none(const struct mode32 *m)
{
    expect(m->vector == X_NONE, "vector %u error 0x%x EIP 0x%x", m->vector, m->error, m->eip);
}

static void expect_vector32(const struct mode32 *m, u32 vector, u32 error, const char *what)
{
    expect(m->vector == vector && m->error == error, "%s: vector %u error 0x%x EIP 0x%x", what, m->vector,
           m->error, m->eip);
}

/* What B found, whichever way it was reached. */
static void expect_seen(u32 eflags, u8 access_a)
{
    expect_equal(task_seen.times, 1, "runs of B");
    expect_equal(task_seen.eax, EAX_B, "EAX");
    expect_equal(task_seen.esp, low(stack_b) + sizeof(stack_b), "ESP");
    expect_equal(task_seen.eflags, eflags, "EFLAGS");
    expect_equal(task_seen.tr, SEL_TSS_B, "TR");
    expect(task_seen.cr0 & CR0_TASK, "CR0.TS is 0");
    expect_equal(task_seen.access_a, access_a, "A's descriptor while B runs");
    expect_equal(task_seen.access_b, 0x8b, "B's descriptor while it runs");
}

static void test_jmp(void)
{
    struct mode32 m;

    if (skip_on_tcg())
        return;
    prepare(task_note, task_end_jmp);
    m = run(code32_task_jmp);
    expect_none(&m);
    expect_seen(FLAGS, 0x89);
    expect_equal(tss_b.link, 0, "link");
    expect_equal(access_of(SEL_TSS_A), 0x8b, "A's descriptor");
    expect_equal(access_of(SEL_TSS_B), 0x89, "B's descriptor");
    expect_equal(task_tss_a.cs, SEL_CODE32, "saved CS");
    expect_equal(task_tss_a.ds, SEL_DATA, "saved DS");
    expect(tss_b.eip > low(task_end_jmp), "saved EIP 0x%x", tss_b.eip);
}

static void test_call(void)
{
    struct mode32 m;

    prepare(task_note, task_end_iret);
    m = run(code32_task_call);
    expect_none(&m);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect_equal(tss_b.link, SEL_TSS_A, "link");
    expect_equal(tss_b.eflags & FLAG_NT, 0, "NT that IRET saves");
    expect_equal(access_of(SEL_TSS_B), 0x89, "B's descriptor");
    expect_equal(task_seen.dr7 & 0x5ff, TASK_DR7 & ~0x155u, "DR7 in B");
    expect_equal(m.result & 0x5ff, TASK_DR7 & ~0x155u, "DR7 after it");
}

static void gate(u8 vector, void (*fn)(void), const void *entry, u32 skip, struct mode32 *m)
{
    prepare(entry, task_end_iret);
    tss_b.esi = skip;
    mode32_task_gate(vector, SEL_TSS_B);
    *m = run(fn);
    mode32_task_gate(vector, 0);
    expect_none(m);
    expect_equal(task_seen.times, 1, "runs of B");
}

/* A fault, a trap, and one with an error code. */
static void test_gate(void)
{
    struct mode32 m;

    if (skip_on_tcg())
        return;
    gate(X_UD, code32_task_ud, task_note, 2, &m);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect(task_tss_a.eflags & FLAG_RF, "#UD: EFLAGS 0x%x has no RF", task_tss_a.eflags);
    gate(X_BP, code32_task_int3, task_note, 0, &m);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect(!(task_tss_a.eflags & FLAG_RF), "INT3: EFLAGS 0x%x has RF", task_tss_a.eflags);
    gate(X_GP, code32_task_gp, task_note_error, 2, &m);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect_equal(task_seen.error, SEL_NONE, "#GP's error code");
    expect_equal(task_tss_a.eip, low(task_gp_at) + 2, "EIP");
}

/* #GP's gate leads to a busy TSS, which is a #GP again. */
static void test_double_fault(void)
{
    struct mode32 m;

    if (skip_on_tcg())
        return;
    mode32_task_gate(X_GP, SEL_TSS_A);
    gate(X_DF, code32_task_gp, task_note_error, 2, &m);
    mode32_task_gate(X_GP, 0);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect_equal(task_seen.error, 0, "#DF's error code");
    expect_equal(task_tss_a.eip, low(task_gp_at) + 2, "EIP");
}

/* In the old task: nothing has been saved. */
static void test_faults_before(void)
{
    struct mode32 m;

    if (skip_on_tcg())
        return;
    prepare(task_note, task_end_iret);
    m = run(code32_task_absent);
    expect_vector32(&m, X_NP, SEL_ABSENT, "absent TSS");
    expect_equal(task_tss_a.eip, 0, "saved EIP");
    prepare(task_note, task_end_iret);
    m = run(code32_task_busy);
    expect_vector32(&m, X_GP, SEL_TSS_A, "busy TSS");
    prepare(task_note, task_end_iret);
    mode32_descriptor(SEL_TSS_B, &tss_b, sizeof(tss_b) - 2, 0x89);
    m = run(code32_task_call);
    expect_vector32(&m, X_TS, SEL_TSS_B, "short TSS");
    expect_equal(access_of(SEL_TSS_B), 0x89, "B's descriptor");
}

/* In the new task: with its EIP. */
static void expect_fault_after(u32 vector, u32 error, const char *what)
{
    struct mode32 m = run(code32_task_call);

    write_dr7(0x400);
    expect_vector32(&m, vector, error, what);
    expect_equal(m.eip, low(task_note), what);
    expect(task_tss_a.eip, "%s: nothing was saved", what);
    expect_equal(access_of(SEL_TSS_B), 0x8b, what);
}

static void test_faults_after(void)
{
    if (skip_on_tcg())
        return;
    prepare(task_note, task_end_iret);
    tss_b.ldt = SEL_TSS_A;
    expect_fault_after(X_TS, SEL_TSS_A, "a TSS for an LDT");
    prepare(task_note, task_end_iret);
    tss_b.gs = SEL_NONE;
    expect_fault_after(X_TS, SEL_NONE, "GS beyond the table");
    prepare(task_note, task_end_iret);
    mode32_descriptor(SEL_LDT, ldt, sizeof(ldt) - 1, 0x82);
    ldt[1] = 0x00cf13000000ffff; /* absent */
    tss_b.ldt = SEL_LDT;
    tss_b.fs = 8 | 4;
    expect_fault_after(X_NP, 8 | 4, "absent FS in the LDT");
}

static void test_ldt(void)
{
    struct mode32 m;

    if (skip_on_tcg())
        return;
    prepare(task_note, task_end_iret);
    mode32_descriptor(SEL_LDT, ldt, sizeof(ldt) - 1, 0x82);
    ldt[1] = 0x00cf92000000ffff;
    tss_b.ldt = SEL_LDT;
    tss_b.ss = tss_b.ds = tss_b.fs = 8 | 4;
    m = run(code32_task_call);
    expect_none(&m);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect_equal(ldt[1] >> 40 & 0xff, 0x93, "accessed");
}

static void test_debug_trap(void)
{
    struct mode32 m;
    u64 dr6;

    if (skip_on_tcg())
        return;
    prepare(task_note, task_end_iret);
    tss_b.trap_iomap |= TRAP;
    write_dr6(DR6_CLEAR);
    m = run(code32_task_jmp);
    dr6 = read_dr6();
    write_dr6(DR6_CLEAR);
    expect_vector32(&m, X_DB, 0, "T flag");
    expect_equal(m.eip, low(task_note), "EIP");
    expect_equal(dr6, DR6_CLEAR | DR6_BT, "DR6");
}

static void test_16(void)
{
    struct mode32 m;
    u32 word;

    if (skip_on_tcg())
        return;
    prepare(task_note, task_end_iret);
    memcpy((void *)LOW_CODE, task16_begin, (size_t)(task16_end - task16_begin));
    memset(tss_16, 0, sizeof(tss_16));
    tss_16[7] = LOW_CODE;
    tss_16[8] = FLAGS;
    tss_16[10] = 0x1234; /* CX */
    tss_16[13] = LOW_STACK;
    tss_16[18] = SEL_CODE16;
    tss_16[19] = tss_16[20] = SEL_DATA16;
    mode32_descriptor(SEL_TSS_16, tss_16, sizeof(tss_16) - 1, 0x81);
    m = run(code32_task_16);
    expect_none(&m);
    memcpy(&word, (const void *)(u64)(LOW_CODE + task16_word_offset), sizeof(word));
    expect_equal(word, TASK16_MAGIC | 0x12340000, "word written");
    expect_equal(tss_16[0], SEL_TSS_A, "link");
    expect_equal(tss_16[8], FLAGS, "saved FLAGS");
    expect_equal(access_of(SEL_TSS_16), 0x81, "its descriptor");
}

/* Virtual-8086 mode: ends with the #GP of its HLT. */
static void test_v86(void)
{
    struct mode32 m;
    u8 *hlt = (u8 *)LOW_CODE;

    prepare(task_note, task_end_iret);
    *hlt = 0xf4;
    tss_b.eip = 0;
    tss_b.eflags = FLAGS | FLAG_VM;
    tss_b.cs = tss_b.ss = tss_b.ds = tss_b.es = LOW_CODE >> 4;
    m = run(code32_task_jmp);
    expect_vector32(&m, X_GP, 0, "HLT");
    expect(m.eflags & FLAG_VM, "EFLAGS 0x%x has no VM", m.eflags);
    expect_equal(m.eip, 0, "EIP");
}

/* B's tables show another page at the same address; afterwards A's are back. */
static void run_paged(struct mode32 *m, u32 cr3_b)
{
    page[0] = 0x11111111;
    other[0] = 0x22222222;
    prepare(task_note, task_end_iret);
    task_tss_a.cr3 = m->cr3;
    tss_b.cr3 = cr3_b;
    tss_b.ebx = m->arg;
    m->cr0 = CR0_PAGED;
    m->fn = code32_task_read;
    mode32_run(m);
    trap_init_cpu(0);
    expect_none(m);
    expect_equal(task_seen.word, other[0], "read by B");
    expect_equal(m->result, page[0], "read by A");
}

static void test_cr3(void)
{
    struct mode32 m = {.cr3 = tables_32(false, (u64)page, PTE_P | PTE_W), .arg = ALIAS};

    memcpy(directory, (const void *)(u64)m.cr3, PAGE_SIZE);
    ((u32 *)directory)[ALIAS >> 22] = low(table) | PTE_P | PTE_W;
    memset(table, 0, sizeof(table));
    ((u32 *)table)[ALIAS_OFFSET >> 12] = low(other) | PTE_P | PTE_W;
    run_paged(&m, low(directory));
}

static void test_cr3_pae(void)
{
    struct mode32 m = {
        .cr3 = tables_pae(false, (u64)page, PTE_P | PTE_W, 0), .cr4 = CR4_PAE, .arg = (u32)ALIAS_64};

    memcpy(directory, (const void *)(*(u64 *)(u64)m.cr3 & ~0xfffull), PAGE_SIZE);
    directory[ALIAS_64 >> 21 & 511] = (u64)table | PTE_P | PTE_W;
    memset(table, 0, sizeof(table));
    table[ALIAS_64 >> 12 & 511] = (u64)other | PTE_P | PTE_W;
    pointers[0] = (u64)directory | PTE_P;
    run_paged(&m, low(pointers));
}

/* Blocked from the delivery to the IRET, task switches both. */
static void test_nmi(void)
{
    struct mode32 m;

    if (!apic_has() || apic_mode() != APIC_X1) {
        smoke_skip("no xAPIC");
        return;
    }
    prepare(task_nmi, task_end_iret);
    apic_write(APIC_ICR_HIGH, apic_id() << 24);
    mode32_task_gate(X_NMI, SEL_TSS_B);
    m = run(code32_task_nmi);
    mode32_task_gate(X_NMI, 0);
    expect_none(&m);
    expect_equal(task_seen.eax, 1, "NMIs while one is handled");
    expect_equal(task_seen.times, 2, "NMIs");
}

static void test_interrupt(void)
{
    struct mode32 m;

    if (!apic_has() || apic_mode() != APIC_X1) {
        smoke_skip("no xAPIC");
        return;
    }
    if (skip_on_tcg())
        return;
    apic_enable(false, true);
    gate(TASK_IRQ, code32_task_irq, task_irq, 0, &m);
    expect_seen(FLAGS | FLAG_NT, 0x8b);
    expect(task_tss_a.eflags & BIT(9), "saved EFLAGS 0x%x has no IF", task_tss_a.eflags);
}

const struct smoke_test task_tests[] = {
    {"task-jmp", test_jmp},
    {"task-call", test_call},
    {"task-gate", test_gate},
    {"task-double-fault", test_double_fault},
    {"task-faults-before", test_faults_before},
    {"task-faults-after", test_faults_after},
    {"task-ldt", test_ldt},
    {"task-debug-trap", test_debug_trap},
    {"task-16", test_16},
    {"task-v86", test_v86},
    {"task-cr3", test_cr3},
    {"task-cr3-pae", test_cr3_pae},
    {"task-nmi", test_nmi},
    {"task-interrupt", test_interrupt},
    {NULL, NULL},
};
