/* SPDX-License-Identifier: MIT */
/* links: vmm/task_switch.c vmm/guest_access.c vmm/walk.c vmm/emulate.c vmm/emulate_alu.c */
/* links: vmm/emulate_string.c vmm/emulate_wide.c tests/unit/fake_vcpu.c */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
/* Whatever a guest's tables say, VM entry must take what a task switch makes of it. */
#include "tests/unit/entry_case.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/task_switch.h"

#define GDT         0x1000u
#define LDT         0x2000u
#define OLD         0x3000u
#define NEW         0x4000u
#define DESCRIPTORS 32u
#define TSS_OLD     0x18
#define TSS_NEW     0x20
#define CODE0       0x28 /* with a good access byte, as the next three */
#define DATA0       0x30
#define CODE3       0x3b
#define DATA3       0x43
#define ROUNDS      30000

static u64 seed = 7;

static u32 next_random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(seed >> 32);
}

/* Good kinds most of the time, so that it goes beyond the first check. */
static u8 random_access(void)
{
    static const u8 likely_ones[] = {0x9b, 0x93, 0x93, 0x91, 0x92, 0x9a, 0xfb, 0xf3, 0xf2, 0x9f, 0x82, 0x97};
    u32 r = next_random();

    return r % 8 ? likely_ones[r / 8 % ARRAY_SIZE(likely_ones)] : (u8)(r / 8);
}

static void random_table(u32 table)
{
    for (u32 i = 0; i < DESCRIPTORS; i++) {
        u8 *d = fake_ram + table + 8 * i;

        for (u32 n = 0; n < 8; n++)
            d[n] = (u8)next_random();
        d[5] = random_access();
    }
}

static void set_tss(u32 selector, u32 base, u8 access)
{
    u64 d = 0x67 | (u64)base << 16 | (u64)access << 40;

    memcpy(fake_ram + GDT + selector, &d, 8);
}

static u16 random_selector(void)
{
    u32 r = next_random();

    return (u16)(r % 8 ? 8 * (r / 8 % DESCRIPTORS) | (r / 512 % 8 ? 0 : r / 4096 & 7) : r / 8 & 0x1ff);
}

/* Mostly what fits together. */
static void random_selectors(u8 *at, u32 size)
{
    static const u16 good[2][6] = {{DATA0, CODE0, DATA0, DATA0, 0, DATA3},
                                   {DATA3, CODE3, DATA3, 0, DATA3, DATA3}};
    const u16 *row = good[next_random() % 2];

    for (u32 i = 0; i < 6; i++)
        memcpy(at + i * size, (const u16[]){next_random() % 16 ? row[i] : random_selector()}, 2);
}

static void random_tss(bool small)
{
    u8 *tss = fake_ram + NEW;

    for (u32 i = 0; i < 104; i++)
        tss[i] = (u8)next_random();
    if (next_random() % 4)
        tss[38] &= ~2; /* EFLAGS.VM */
    memset(tss + 33, 0, 3);
    random_selectors(tss + (small ? 34 : 72), small ? 2 : 4);
    memcpy(tss + (small ? 42 : 96), (const u16[]){next_random() % 8 ? 0 : random_selector()}, 2);
}

static void start(struct guest_access *g, struct task_cpu *cpu, bool iret, bool small)
{
    static const u8 good[] = {0x9b, 0x93, 0xfb, 0xf3};

    fake_start32();
    random_table(GDT);
    random_table(LDT);
    set_tss(TSS_OLD, OLD, 0x8b);
    set_tss(TSS_NEW, NEW, (u8)(0x81 | (iret ? 2 : 0) | (small ? 0 : 8)));
    random_tss(small);
    for (u32 i = 0; i < ARRAY_SIZE(good); i++)
        fake_ram[GDT + CODE0 + 8 * i + 5] = good[i];
    guest_access_init(g, &fake);
    *cpu = (struct task_cpu){.eip = 0x1234,
                             .eflags = RFLAGS_FIXED,
                             .cr0 = CR0_PE | CR0_ET | CR0_NE,
                             .dr7 = DR7_INIT,
                             .gdt_base = GDT,
                             .gdt_limit = 8 * DESCRIPTORS - 1};
    cpu->selector[SEG_TR] = TSS_OLD;
    cpu->seg[SEG_TR] = (struct segment){OLD, 103, 0x8b};
}

static void expect_entry(const struct task_cpu *cpu)
{
    static struct machine m;
    struct entry_verdict v;

    good_machine(&m);
    legacy_guest(&m);
    VMCS(&m.vmcs, GUEST_CR0) = cpu->cr0;
    VMCS(&m.vmcs, GUEST_RIP) = cpu->eip;
    VMCS(&m.vmcs, GUEST_RFLAGS) = cpu->eflags;
    VMCS(&m.vmcs, GUEST_DR7) = cpu->dr7;
    for (u32 i = 0; i < NR_ALL_SEGS; i++)
        set_segment(&m.vmcs, i, cpu->selector[i], cpu->seg[i].base, cpu->seg[i].limit, cpu->seg[i].access);
    entry_check(&m.vmcs, &m.env, &v);
    if (v.stage != ENTRY_OK)
        fail_msg("'%s' fails", v.row);
}

static void test_random_tasks(void **state)
{
    u32 count[TASK_UNSUPP + 1] = {0}, v86 = 0;

    (void)state;
    for (u32 i = 0; i < ROUNDS; i++) {
        struct task_switch s = {
            .source = next_random() % 4, .selector = TSS_NEW, .external = next_random() & 1};
        struct guest_access g;
        struct task_cpu cpu;
        enum task_result r;

        s.has_error = s.source == TASK_GATE && next_random() % 4 == 0;
        start(&g, &cpu, s.source == TASK_IRET, next_random() % 4 == 0);
        r = task_switch(&g, &cpu, &s);
        count[r]++;
        if (r != TASK_DONE && r != TASK_FAULT_NEW)
            continue;
        expect_entry(&cpu);
        v86 += !!(cpu.eflags & RFLAGS_VM);
    }
    assert_in_range(count[TASK_DONE], 1000, ROUNDS);
    assert_in_range(count[TASK_FAULT_NEW], 1000, ROUNDS);
    assert_in_range(v86, 1000, ROUNDS);
    assert_int_equal(count[TASK_FAULT_OLD], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_tasks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
