/* SPDX-License-Identifier: MIT */
/* CR0, CR3, CR4 and CR8 of L2: masks, read shadows, target values, and the exits. */
#include "guest/l1/l1.h"
#include "lib/string.h"

#define MOV_TO(cr, gpr)   ((cr) | 0 << 4 | (gpr) << 8)
#define MOV_FROM(cr, gpr) ((cr) | 1 << 4 | (gpr) << 8)
#define CLTS              (2 << 4)
#define LMSW(value)       (3 << 4 | (u64)(value) << 16)
#define LMSW_MEMORY       BIT(6)
#define VTPR              0x80 /* in the virtual-APIC page */

L2_CODE(read_cr0_rdi, "mov %cr0, %rdi");
L2_CODE(write_cr0_rdi, "mov %rdi, %cr0\nmov %cr0, %rsi");
L2_CODE(code_clts, "clts\nmov %cr0, %rsi");
L2_CODE(code_lmsw, "lmsw %di\nmov %cr0, %rsi");
L2_CODE(code_lmsw_memory, "lmsw (%rbx)");
L2_CODE(read_cr3_rdi, "mov %cr3, %rdi");
L2_CODE(write_cr3_rdi, "mov %rdi, %cr3");
L2_CODE(read_cr4_rdi, "mov %cr4, %rdi");
L2_CODE(write_cr4_rdi, "mov %rdi, %cr4\nmov %cr4, %rsi");
L2_CODE(read_cr8_r9, "mov %cr8, %r9");
L2_CODE(write_cr8_r9, "mov %r9, %cr8\nnop");

static void new_with(const u8 *code, u64 rdi)
{
    l2_new(code);
    l2.gpr[REG_RDI] = rdi;
}

static void expect_access(u64 qualification, const char *what)
{
    l2_expect(EXIT_REASON_CR_ACCESS, what);
    expect_equal(vmread(EXIT_QUALIFICATION), qualification, what);
    l2_skip();
    l2_expect(EXIT_REASON_VMCALL, what);
}

static void expect_no_exit(const char *what)
{
    l2_expect(EXIT_REASON_VMCALL, what);
    expect_equal(l2_vector(), -1ull, what);
}

static void test_cr0(void)
{
    u64 cr0 = read_cr0() & ~CR0_TS;

    new_with(read_cr0_rdi, 0);
    vmwrite(CR0_GUEST_HOST_MASK, CR0_TS);
    vmwrite(CR0_READ_SHADOW, CR0_TS);
    expect_no_exit("read");
    expect_equal(l2.gpr[REG_RDI], cr0 | CR0_TS, "read with the shadow");
    new_with(write_cr0_rdi, (cr0 | CR0_TS) ^ CR0_WP);
    vmwrite(CR0_GUEST_HOST_MASK, CR0_TS);
    vmwrite(CR0_READ_SHADOW, CR0_TS);
    expect_no_exit("write that agrees with the shadow");
    expect_equal(vmread(GUEST_CR0), cr0 ^ CR0_WP, "CR0 after it");
    expect_equal(l2.gpr[REG_RSI], (cr0 | CR0_TS) ^ CR0_WP, "CR0 as L2 reads it");
    new_with(write_cr0_rdi, cr0);
    vmwrite(CR0_GUEST_HOST_MASK, CR0_TS);
    vmwrite(CR0_READ_SHADOW, CR0_TS);
    expect_access(MOV_TO(0, REG_RDI), "write that differs from the shadow");
    expect_equal(vmread(GUEST_CR0), cr0, "CR0 after the exit");
    new_with(write_cr0_rdi, cr0 & ~CR0_NE);
    l2_expect_vector(X_GP, "a bit that VMX operation fixes");
}

static void test_clts(void)
{
    static const struct {
        const char *what;
        u64 mask, shadow;
        bool exits, ts_after;
    } cases[] = {
        {"CLTS, L2's own", 0, 0, false, false},
        {"CLTS, masked, shadow 1", CR0_TS, CR0_TS, true, true},
        {"CLTS, masked, shadow 0", CR0_TS, 0, false, true},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        new_with(code_clts, 0);
        vmset(GUEST_CR0, CR0_TS);
        vmwrite(CR0_GUEST_HOST_MASK, cases[i].mask);
        vmwrite(CR0_READ_SHADOW, cases[i].shadow);
        if (cases[i].exits)
            expect_access(CLTS, cases[i].what);
        else
            expect_no_exit(cases[i].what);
        expect_equal(!!(vmread(GUEST_CR0) & CR0_TS), cases[i].ts_after, cases[i].what);
    }
}

static void test_lmsw(void)
{
    u64 cr0 = read_cr0() & ~(CR0_TS | CR0_MP | CR0_EM);

    new_with(code_lmsw, CR0_PE | CR0_MP);
    vmwrite(GUEST_CR0, cr0);
    expect_no_exit("LMSW");
    expect_equal(vmread(GUEST_CR0), cr0 | CR0_MP, "CR0 after LMSW");
    new_with(code_lmsw, CR0_PE | CR0_MP);
    vmwrite(GUEST_CR0, cr0);
    vmwrite(CR0_GUEST_HOST_MASK, CR0_MP);
    expect_access(LMSW(CR0_PE | CR0_MP), "LMSW of a masked bit");
    l2_new(code_lmsw_memory);
    l2.gpr[REG_RBX] = TEST_PAGES + 8;
    MMIO(u16, TEST_PAGES + 8) = CR0_PE | CR0_TS;
    vmwrite(GUEST_CR0, cr0);
    vmwrite(CR0_GUEST_HOST_MASK, CR0_TS);
    l2_expect(EXIT_REASON_CR_ACCESS, "LMSW from memory");
    expect_equal(vmread(EXIT_QUALIFICATION) & ~BITS(11, 8), LMSW(CR0_PE | CR0_TS) | LMSW_MEMORY,
                 "LMSW from memory");
    expect_equal(vmread(GUEST_LINEAR_ADDRESS), TEST_PAGES + 8, "LMSW from memory");
    /* LMSW cannot clear PE: a masked PE with a shadow of 1 is no reason to exit. */
    new_with(code_lmsw, CR0_MP);
    vmwrite(GUEST_CR0, cr0);
    vmwrite(CR0_GUEST_HOST_MASK, CR0_PE);
    vmwrite(CR0_READ_SHADOW, CR0_PE);
    expect_no_exit("LMSW without PE");
}

static void test_cr3(void)
{
    u64 cr3 = read_cr3();

    new_with(write_cr3_rdi, cr3 | BIT(3));
    expect_no_exit("load without the control");
    expect_equal(vmread(GUEST_CR3), cr3 | BIT(3), "CR3");
    expect_equal(read_cr3(), cr3, "L1's CR3");
    new_with(write_cr3_rdi, cr3);
    if (!need(VMX_WORD_PROC, PROC_CR3_LOAD_EXITING))
        return;
    expect_access(MOV_TO(3, REG_RDI), "load");
    new_with(read_cr3_rdi, 0);
    need(VMX_WORD_PROC, PROC_CR3_LOAD_EXITING);
    expect_no_exit("store without the control");
    expect_equal(l2.gpr[REG_RDI], cr3, "CR3 that L2 reads");
    new_with(read_cr3_rdi, 0);
    if (need(VMX_WORD_PROC, PROC_CR3_STORE_EXITING))
        expect_access(MOV_FROM(3, REG_RDI), "store");
}

static void test_cr3_targets(void)
{
    u64 cr3 = read_cr3();

    if (!VMX_MISC_CR3_TARGETS(caps.misc)) {
        test_skip("no CR3-target values");
        return;
    }
    for (u32 count = 0; count <= 2; count++) {
        new_with(write_cr3_rdi, cr3);
        if (!need(VMX_WORD_PROC, PROC_CR3_LOAD_EXITING))
            return;
        vmwrite(CR3_TARGET_1, cr3);
        vmwrite(CR3_TARGET_COUNT, count);
        if (count == 2)
            expect_no_exit("load of a target value");
        else
            expect_access(MOV_TO(3, REG_RDI), "load of what is not among the targets");
    }
}

static void test_cr4(void)
{
    u64 cr4 = read_cr4();

    new_with(read_cr4_rdi, 0);
    vmwrite(CR4_GUEST_HOST_MASK, CR4_VMXE | CR4_PGE);
    vmwrite(CR4_READ_SHADOW, CR4_PGE);
    expect_no_exit("read");
    expect_equal(l2.gpr[REG_RDI], (cr4 & ~CR4_VMXE) | CR4_PGE, "read with the shadow");
    new_with(write_cr4_rdi, (cr4 & ~CR4_VMXE) | CR4_TSD);
    vmwrite(CR4_GUEST_HOST_MASK, CR4_VMXE);
    expect_no_exit("write that agrees with the shadow");
    expect_equal(vmread(GUEST_CR4), cr4 | CR4_TSD, "CR4 after it");
    expect_equal(l2.gpr[REG_RSI], (cr4 & ~CR4_VMXE) | CR4_TSD, "CR4 as L2 reads it");
    expect_equal(read_cr4(), cr4, "L1's CR4");
    new_with(write_cr4_rdi, cr4);
    vmwrite(CR4_GUEST_HOST_MASK, CR4_VMXE);
    expect_access(MOV_TO(4, REG_RDI), "write of VMXE");
    new_with(write_cr4_rdi, cr4 & ~CR4_VMXE);
    l2_expect_vector(X_GP, "a bit that VMX operation fixes");
    new_with(write_cr4_rdi, cr4 | BIT(31));
    l2_expect_vector(X_GP, "a reserved bit");
}

static void test_cr8(void)
{
    u64 before = read_cr8();

    l2_new(write_cr8_r9);
    if (!need(VMX_WORD_PROC, PROC_CR8_LOAD_EXITING))
        return;
    expect_access(MOV_TO(8, 9), "load");
    l2_new(read_cr8_r9);
    if (!need(VMX_WORD_PROC, PROC_CR8_STORE_EXITING))
        return;
    expect_access(MOV_FROM(8, 9), "store");
    l2_new(write_cr8_r9);
    l2.gpr[9] = 16;
    need(VMX_WORD_PROC, PROC_CR8_STORE_EXITING);
    l2_expect_vector(X_GP, "CR8 = 16");
    expect_equal(read_cr8(), before, "L1's CR8");
}

/* CR8 is the virtual APIC's TPR; a write that takes it below the threshold exits behind the instruction. */
static void test_tpr_shadow(void)
{
    u64 before = read_cr8();

    memset((void *)TEST_PAGES, 0, 4096);
    l2_new(write_cr8_r9);
    if (!need(VMX_WORD_PROC, PROC_USE_TPR_SHADOW))
        return;
    vmwrite(VIRTUAL_APIC_ADDRESS, TEST_PAGES);
    l2.gpr[9] = 5;
    expect_no_exit("write");
    expect_equal(MMIO(u32, TEST_PAGES + VTPR), 0x50, "VTPR");
    expect_equal(read_cr8(), before, "L1's CR8");
    vmwrite(GUEST_RIP, (u64)read_cr8_r9);
    l2.gpr[9] = 0;
    expect_no_exit("read");
    expect_equal(l2.gpr[9], 5, "CR8 that L2 reads");
    vmwrite(TPR_THRESHOLD, 4);
    vmwrite(GUEST_RIP, (u64)write_cr8_r9);
    l2.gpr[9] = 4;
    expect_no_exit("write of the threshold");
    vmwrite(GUEST_RIP, (u64)write_cr8_r9);
    l2.gpr[9] = 3;
    l2_expect(EXIT_REASON_TPR_BELOW_THRESHOLD, "write below the threshold");
    expect_equal(vmread(GUEST_RIP), (u64)write_cr8_r9 + 4, "RIP of that exit");
    vmwrite(TPR_THRESHOLD, 0);
    expect_no_exit("behind it");
}

const struct test control_tests[] = {
    {"exit-cr0", test_cr0},
    {"exit-clts", test_clts},
    {"exit-lmsw", test_lmsw},
    {"exit-cr3", test_cr3},
    {"exit-cr3-targets", test_cr3_targets},
    {"exit-cr4", test_cr4},
    {"exit-cr8", test_cr8},
    {"exit-tpr-shadow", test_tpr_shadow},
    {NULL, NULL},
};
