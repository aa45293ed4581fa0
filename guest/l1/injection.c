/* SPDX-License-Identifier: MIT */
/* Events that VM entry injects, and events whose delivery exits: IDT-vectoring information. */
#include "guest/common/paging.h"
#include "guest/common/segments.h"
#include "guest/l1/l1.h"
#include "guest/l1/msr_area.h"
#include "lib/string.h"

#define INFO(type, v) INTR_INFO(INTR_TYPE_##type, v)
#define ERROR         INTR_INFO_DELIVER_ERROR
#define UNMAPPED      GiB(511)
#define STACK         (TEST_PAGES + 0x800) /* of L2, in the tests' page */
#define VECTOR        0x41
#define NOWHERE       GiB(3) /* neither RAM nor a device */

struct frame { /* what delivery pushes in 64-bit mode, besides an error code */
    u64 rip, cs, rflags, rsp, ss;
};

L2_CODE(code_none, "nop\nnop\nnop");
L2_CODE(code_undefined, "ud2");
L2_CODE(code_int41, "int $0x41");
L2_CODE(code_fault, "movq (%rbx), %rax");

static const struct injection {
    const char *what;
    u32 info, error, length; /* length: how far behind RIP the pushed one is */
} injections[] = {
    {"external interrupt", INFO(EXTERNAL, VECTOR), 0, 0},
    {"NMI", INFO(NMI, X_NMI), 0, 0},
    {"#UD", INFO(HARDWARE_EXCEPTION, X_UD), 0, 0},
    {"#GP", INFO(HARDWARE_EXCEPTION, X_GP) | ERROR, 0x18, 0},
    {"#PF", INFO(HARDWARE_EXCEPTION, X_PF) | ERROR, 2, 0},
    {"#DF", INFO(HARDWARE_EXCEPTION, X_DF) | ERROR, 0, 0},
    {"INT n", INFO(SOFTWARE_INTERRUPT, VECTOR), 0, 2},
    {"INT3", INFO(SOFTWARE_EXCEPTION, X_BP), 0, 1},
    {"INTO", INFO(SOFTWARE_EXCEPTION, X_OF), 0, 1},
    {"INT1", INFO(PRIVILEGED_SOFTWARE_EXCEPTION, X_DB), 0, 1},
};

static void inject(const struct injection *i)
{
    vmwrite(ENTRY_INTERRUPTION_INFO, i->info);
    vmwrite(ENTRY_EXCEPTION_ERROR_CODE, i->error);
    vmwrite(ENTRY_INSTRUCTION_LENGTH, i->length);
}

static void new_with_stack(const u8 *code)
{
    l2_new(code);
    memset((void *)TEST_PAGES, 0, PAGE_SIZE);
    vmwrite(GUEST_RSP, STACK);
    vmset(GUEST_RFLAGS, RFLAGS_IF);
}

static void check_frame(const struct injection *i, const u8 *code)
{
    u64 *at = (u64 *)vmread(GUEST_RSP);
    struct frame *f;

    if (i->info & ERROR)
        expect_equal(*at++, i->error, i->what);
    f = (struct frame *)at;
    expect_equal(f->rip, (u64)code + i->length, i->what);
    expect_equal(f->cs, SEL_CODE64, i->what);
    expect_equal(f->rflags & ~BIT(16), RFLAGS_IF | 2, i->what);
    expect_equal(f->rsp, STACK, i->what);
    expect_equal(f->ss, SEL_DATA, i->what);
    expect_equal((u64)f + sizeof(*f), STACK, i->what);
    expect_equal(vmread(GUEST_RFLAGS) & RFLAGS_IF, 0, i->what);
}

static void test_each(void)
{
    for (u32 k = 0; k < ARRAY_SIZE(injections); k++) {
        const struct injection *i = &injections[k];

        new_with_stack(code_none);
        inject(i);
        vmwrite(EXCEPTION_BITMAP, ~0u); /* what is injected does not exit */
        l2_expect_vector((int)INTR_INFO_VECTOR(i->info), i->what);
        expect_equal(vmread(ENTRY_INTERRUPTION_INFO), i->info & ~(u32)INTR_INFO_VALID, i->what);
        check_frame(i, code_none);
    }
}

/* A pending MTF VM exit: before the first instruction, also without the control. */
static void test_monitor_trap(void)
{
    const u32 info = INFO(OTHER_EVENT, 0);

    if (!vmx_can(VMX_WORD_PROC, PROC_MONITOR_TRAP_FLAG)) {
        test_skip("the CPU has not got the controls");
        return;
    }
    new_with_stack(code_none);
    vmwrite(ENTRY_INTERRUPTION_INFO, info);
    l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "pending MTF VM exit");
    expect_equal(vmread(GUEST_RIP), (u64)code_none, "RIP");
    expect_equal(vmread(ENTRY_INTERRUPTION_INFO), info & ~(u32)INTR_INFO_VALID, "information");
    l2_expect(EXIT_REASON_VMCALL, "afterwards");
}

/* Software interrupts of no bytes, where IA32_VMX_MISC says so: RIP is pushed as it is. */
static void test_zero_length(void)
{
    static const struct injection cases[] = {{"INT n", INFO(SOFTWARE_INTERRUPT, VECTOR), 0, 0},
                                             {"INT3", INFO(SOFTWARE_EXCEPTION, X_BP), 0, 0},
                                             {"INT1", INFO(PRIVILEGED_SOFTWARE_EXCEPTION, X_DB), 0, 0}};

    if (!(caps.misc & VMX_MISC_ZERO_LENGTH)) {
        test_skip("no injection of zero length");
        return;
    }
    for (u32 k = 0; k < ARRAY_SIZE(cases); k++) {
        new_with_stack(code_none);
        inject(&cases[k]);
        l2_expect_vector((int)INTR_INFO_VECTOR(cases[k].info), cases[k].what);
        check_frame(&cases[k], code_none);
    }
}

L2_CODE(code_bad_mtrr, "wrmsr");

/* An exception of L2's own leaves the fields for injection as L1 wrote them, also if a hypervisor below has
 * raised it. */
static void test_fields_kept(void)
{
    const struct {
        u64 field, value;
    } fields[] = {{ENTRY_INTERRUPTION_INFO, 0x30e},
                  {ENTRY_EXCEPTION_ERROR_CODE, 0x1234},
                  {ENTRY_INSTRUCTION_LENGTH, 7}};

    for (u32 written = 0; written < 2; written++) {
        new_with_stack(code_bad_mtrr);
        if (written) { /* behind a first exit, when L1 may write them unseen */
            vmwrite(GUEST_RIP, (u64)code_none);
            l2_expect(EXIT_REASON_VMCALL, "first");
            vmwrite(GUEST_RIP, (u64)code_bad_mtrr);
        }
        for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
            vmwrite(fields[i].field, fields[i].value);
        l2.gpr[REG_RCX] = MSR_MTRR_DEF_TYPE;
        l2.gpr[REG_RAX] = l2.gpr[REG_RDX] = ~0u;
        l2_expect_vector(X_GP, "WRMSR of reserved bits");
        for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
            expect_equal(vmread(fields[i].field), fields[i].value, "a field for injection");
    }
}

/* The stack is not in the EPT: delivery exits, with the event as it was injected; injected again it arrives.
 */
static void test_vectoring_ept(void)
{
    if (!l2_has_ept()) {
        test_skip("no EPT");
        return;
    }
    for (u32 k = 0; k < ARRAY_SIZE(injections); k++) {
        const struct injection *i = &injections[k];

        new_with_stack(code_none);
        inject(i);
        *ept_entry(1) = 0;
        ept_flush();
        l2_expect(EXIT_REASON_EPT_VIOLATION, i->what);
        expect_equal(vmread(IDT_VECTORING_INFO), i->info, i->what);
        if (i->info & ERROR)
            expect_equal(vmread(IDT_VECTORING_ERROR_CODE), i->error, i->what);
        if (i->length)
            expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), i->length, i->what);
        expect(vmread(GUEST_PHYSICAL_ADDRESS) >= STACK - 64 && vmread(GUEST_PHYSICAL_ADDRESS) < STACK,
               "%s: at 0x%llx", i->what, (ull)vmread(GUEST_PHYSICAL_ADDRESS));
        expect_equal(vmread(GUEST_RIP), (u64)code_none, i->what);
        expect_equal(vmread(GUEST_RSP), STACK, i->what);
        expect_equal(vmread(EXIT_INTERRUPTION_INFO) & INTR_INFO_VALID, 0, i->what);
        *ept_entry(1) = TEST_PAGES | EPT_RWX | EPT_WB;
        ept_flush();
        inject(i);
        l2_expect_vector((int)INTR_INFO_VECTOR(i->info), i->what);
        check_frame(i, code_none);
    }
}

/* The same of what L2 does itself. */
static void test_vectoring_own(void)
{
    static const struct {
        const char *what;
        const u8 *code;
        u32 info, length;
    } cases[] = {
        {"#UD", code_undefined, INFO(HARDWARE_EXCEPTION, X_UD), 0},
        {"INT 41H", code_int41, INFO(SOFTWARE_INTERRUPT, VECTOR), 2},
        {"#PF", code_fault, INFO(HARDWARE_EXCEPTION, X_PF) | ERROR, 0},
    };

    if (!l2_has_ept()) {
        test_skip("no EPT");
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        new_with_stack(cases[i].code);
        l2.gpr[REG_RBX] = UNMAPPED;
        *ept_entry(1) = 0;
        ept_flush();
        l2_expect(EXIT_REASON_EPT_VIOLATION, cases[i].what);
        expect_equal(vmread(IDT_VECTORING_INFO), cases[i].info, cases[i].what);
        expect_equal(vmread(GUEST_RIP), (u64)cases[i].code, cases[i].what);
        if (cases[i].length)
            expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), cases[i].length, cases[i].what);
        if (INTR_INFO_VECTOR(cases[i].info) == X_PF)
            expect_equal(read_cr2(), UNMAPPED, "CR2");
    }
}

/* L2's stack is not mapped: the #PF of a delivery exits by the exception bitmap, or becomes a double fault.
 */
static void test_vectoring_exception(void)
{
    new_with_stack(code_undefined);
    vmwrite(GUEST_RSP, UNMAPPED + 64);
    vmwrite(EXCEPTION_BITMAP, BIT(X_PF));
    l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, "#PF of a delivery");
    expect_equal(vmread(EXIT_INTERRUPTION_INFO), INFO(HARDWARE_EXCEPTION, X_PF) | ERROR, "#PF of a delivery");
    expect_equal(vmread(IDT_VECTORING_INFO), INFO(HARDWARE_EXCEPTION, X_UD), "#UD that was delivered");
    new_with_stack(code_fault);
    l2.gpr[REG_RBX] = UNMAPPED;
    vmwrite(GUEST_RSP, UNMAPPED + 64);
    vmwrite(EXCEPTION_BITMAP, BIT(X_DF));
    l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, "double fault");
    expect_equal(vmread(EXIT_INTERRUPTION_INFO), INFO(HARDWARE_EXCEPTION, X_DF) | ERROR, "double fault");
    new_with_stack(code_fault);
    l2.gpr[REG_RBX] = UNMAPPED;
    vmwrite(GUEST_RSP, UNMAPPED + 64);
    l2_expect(EXIT_REASON_TRIPLE_FAULT, "no stack for the double fault either");
}

/* L2's stack is where no memory is: a CPU pushes into nothing. A hypervisor below that cannot do so may let
 * L2 shut down, but not L1. */
static void test_vectoring_nowhere(void)
{
    static const struct injection none = {"#UD of L2's own", 0, 0, 0}, own = {"INT 41H", 0, 0, 0};
    const struct {
        const struct injection *i;
        const u8 *code;
    } cases[] = {{&injections[0], code_none},
                 {&injections[3], code_none},
                 {&none, code_undefined},
                 {&own, code_int41}};

    for (u32 k = 0; k < ARRAY_SIZE(cases); k++) {
        u32 reason;

        new_with_stack(cases[k].code);
        vmwrite(GUEST_RSP, (u64)window_map(0, NOWHERE + 0x800, PTE_P | PTE_W | PTE_U));
        inject(cases[k].i);
        reason = l2_run();
        expect(reason == EXIT_REASON_VMCALL || reason == EXIT_REASON_TRIPLE_FAULT, "%s: exit %u",
               cases[k].i->what, reason);
        new_with_stack(code_none);
        l2_expect(EXIT_REASON_VMCALL, "another L2 afterwards");
    }
}

/* A virtual interrupt in the shadow that it may not have is refused; in that of an injected exception it
 * waits. */
static void test_pending_window(void)
{
    new_with_stack(code_none);
    if (!need(VMX_WORD_PROC, PROC_INTERRUPT_WINDOW_EXITING))
        return;
    vmwrite(ENTRY_INTERRUPTION_INFO, INFO(HARDWARE_EXCEPTION, X_UD));
    l2_expect_vector(X_UD, "the handler has its IF off");
    l2_skip();
    l2_expect(EXIT_REASON_INTERRUPT_WINDOW, "IRET opens the window");
    expect_equal(vmread(GUEST_RIP), (u64)code_none, "behind IRET");
}

const struct test injection_tests[] = {
    {"inject-each", test_each},
    {"inject-window", test_pending_window},
    {"inject-monitor-trap", test_monitor_trap},
    {"inject-zero-length", test_zero_length},
    {"inject-fields", test_fields_kept},
    {"vectoring-ept", test_vectoring_ept},
    {"vectoring-own", test_vectoring_own},
    {"vectoring-exception", test_vectoring_exception},
    {"vectoring-nowhere", test_vectoring_nowhere},
    {NULL, NULL},
};
