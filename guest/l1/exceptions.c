/* SPDX-License-Identifier: MIT */
/* Exits by exceptions of L2: bitmap, page-fault mask and match, debug exceptions, triple faults. */
#include "guest/l1/l1.h"
#include "lib/string.h"

#define INFO(type, v) INTR_INFO(INTR_TYPE_##type, v)
#define UNMAPPED      GiB(511)
#define DR6_BS        BIT(14)

L2_CODE(code_ud2, "ud2");
L2_CODE(code_int3, "int3");
L2_CODE(code_int, "int $0x40");
L2_CODE(code_into_gp, "movl $0x12345678, %ecx\nmovq $0x800000000000, %rax\nmovq (%rax), %rax");
L2_CODE(code_read, "movq (%rbx), %rax");
L2_CODE(code_write, "movq %rax, (%rbx)");
L2_CODE(code_step, "pushfq; orq $0x100, (%rsp); popfq\n nop\n step_end: nop");
L2_CODE(code_nop, "nop\nnop\nnop");
L2_CODE(code_triple, "lidt (%rbx)\nud2");
extern u8 step_end[];

static void expect_exception(u32 info, u64 error, u64 qualification, const char *what)
{
    u64 rip = vmread(GUEST_RIP);

    l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, what);
    expect_equal(vmread(EXIT_INTERRUPTION_INFO), info, what);
    if (info & INTR_INFO_DELIVER_ERROR)
        expect_equal(vmread(EXIT_INTERRUPTION_ERROR_CODE), error, what);
    expect_equal(vmread(EXIT_QUALIFICATION), qualification, what);
    if (INTR_INFO_VECTOR(info) == X_UD || INTR_INFO_VECTOR(info) == X_PF)
        expect_equal(vmread(GUEST_RIP), rip, what);
    expect_equal(vmread(IDT_VECTORING_INFO) & INTR_INFO_VALID, 0, what);
}

static void test_exception_bitmap(void)
{
    u64 cr2;

    l2_new(code_ud2);
    l2_expect_vector(X_UD, "#UD not in the bitmap");
    l2_new(code_ud2);
    vmwrite(EXCEPTION_BITMAP, BIT(X_UD));
    expect_exception(INFO(HARDWARE_EXCEPTION, X_UD), 0, 0, "#UD");
    l2_new(code_int3);
    vmwrite(EXCEPTION_BITMAP, BIT(X_BP));
    expect_exception(INFO(SOFTWARE_EXCEPTION, X_BP), 0, 0, "INT3");
    expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), 1, "INT3's length");
    expect_equal(vmread(GUEST_RIP), (u64)code_int3, "INT3's RIP");
    l2_new(code_into_gp);
    vmwrite(EXCEPTION_BITMAP, BIT(X_GP));
    expect_exception(INFO(HARDWARE_EXCEPTION, X_GP) | INTR_INFO_DELIVER_ERROR, 0, 0, "#GP");
    l2_new(code_read);
    l2.gpr[REG_RBX] = UNMAPPED;
    vmwrite(EXCEPTION_BITMAP, BIT(X_PF));
    cr2 = read_cr2();
    expect_exception(INFO(HARDWARE_EXCEPTION, X_PF) | INTR_INFO_DELIVER_ERROR, 0, UNMAPPED, "#PF");
    expect_equal(read_cr2(), cr2, "CR2 after an exit of #PF");
    l2_new(code_int);
    vmwrite(EXCEPTION_BITMAP, ~0u);
    l2_expect_vector(0x40, "INT 40H with all exceptions in the bitmap");
}

/* SDM, 'Exception Bitmap': the bit counts where (error & mask) == match, its opposite elsewhere. */
static void test_page_fault_mask(void)
{
    static const struct {
        u32 bit, mask, match;
        bool write, exits;
    } cases[] = {
        {1, 0, 0, false, true},  {1, 2, 2, false, false}, {1, 2, 2, true, true},  {1, 2, 0, true, false},
        {0, 0, 0, false, false}, {0, 2, 2, false, true},  {0, 2, 2, true, false}, {0, 2, 0, true, true},
        {1, 0, 1, true, false},  {0, 0, 1, true, true},   {1, 1, 0, false, true}, {1, 1, 1, false, false},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        u32 reason, wanted = cases[i].exits ? EXIT_REASON_EXCEPTION_OR_NMI : EXIT_REASON_VMCALL;

        l2_new(cases[i].write ? code_write : code_read);
        l2.gpr[REG_RBX] = UNMAPPED;
        vmwrite(EXCEPTION_BITMAP, cases[i].bit << X_PF);
        vmwrite(PAGE_FAULT_ERROR_MASK, cases[i].mask);
        vmwrite(PAGE_FAULT_ERROR_MATCH, cases[i].match);
        reason = l2_run();
        expect(reason == wanted, "case %u: exit %u, not %u", i, reason, wanted);
        if (!cases[i].exits)
            expect_equal((u64)l2_vector(), X_PF, "L2's own #PF");
    }
}

/* #DB of single steps: DR6's bits are the qualification, and DR6 is as it was. */
static void test_debug_exception(void)
{
    u64 dr6 = 0xffff0ff0;

    l2_new(code_step);
    vmwrite(EXCEPTION_BITMAP, BIT(X_DB));
    write_dr6(dr6);
    expect_exception(INFO(HARDWARE_EXCEPTION, X_DB), 0, DR6_BS, "single step");
    expect_equal(vmread(GUEST_RIP), (u64)step_end, "RIP");
    expect_equal(read_dr6(), dr6, "DR6");
}

static void test_triple_fault(void)
{
    memset((void *)TEST_PAGES, 0, 16);
    l2_new(code_triple);
    l2.gpr[REG_RBX] = TEST_PAGES;
    l2_expect(EXIT_REASON_TRIPLE_FAULT, "#UD without an IDT");
    expect_equal(vmread(EXIT_QUALIFICATION), 0, "qualification");
    l2_new(code_nop);
    l2_expect(EXIT_REASON_VMCALL, "another L2 afterwards");
}

const struct test exception_tests[] = {
    {"event-exception-bitmap", test_exception_bitmap},
    {"event-page-fault-mask", test_page_fault_mask},
    {"event-debug", test_debug_exception},
    {"event-triple-fault", test_triple_fault},
    {NULL, NULL},
};
