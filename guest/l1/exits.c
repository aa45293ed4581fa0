/* SPDX-License-Identifier: MIT */
/* Instructions that exit: always, or by a control; what the exit says of them, and that L2 goes on behind
 * them. */
#include "guest/common/paging.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

#define INFO_MEMORY      (u32)(BIT(22) | REG_RBX << 23 | SEG_DS << 15 | 2u << 7) /* no index; 64-bit address */
#define INFO_MEMORY_BITS (u32)(BIT(27) | 0xfu << 23 | BIT(22) | 7u << 15 | BIT(10) | 7u << 7)
#define IDENTITY(n)      ((u32)(n) << 28)
#define IDENTITY_BITS    IDENTITY(3)
#define REG2(n)          IDENTITY(n)
#define REG2_BITS        IDENTITY(15)
#define DISP             0x48 /* displacement in the snippets */
#define AR_DPL3          0x60

struct insn {
    const char *what;
    const u8 *code;
    struct {
        enum vmx_word word;
        u64 bits;
    } exits, enables; /* the control that makes it exit, and another that it takes; 0: none */
    u32 reason, length;
    u64 qualification;
    u32 info_bits, info;
    bool ends_without; /* it may be tried without the control that makes it exit */
};

#define CODES(X)                            \
    X(cpuid, "cpuid")                       \
    X(hlt, "hlt")                           \
    X(invd, "invd")                         \
    X(invlpg, "invlpg (%rbx)")              \
    X(rdpmc, "rdpmc")                       \
    X(rdtsc, "rdtsc")                       \
    X(rdtscp, "rdtscp")                     \
    X(wbinvd, "wbinvd")                     \
    X(pause, "pause")                       \
    X(monitor, "movq %rbx, %rax\n monitor") \
    X(mwait, "mwait")                       \
    X(xsetbv, "xsetbv")                     \
    X(rdrand, "rdrand %rdx")                \
    X(rdseed, "rdseed %rdx")                \
    X(invpcid, "invpcid 0x48(%rbx), %rdi")  \
    X(sgdt, "sgdt 0x48(%rbx)")              \
    X(sidt, "sidt 0x48(%rbx)")              \
    X(lgdt, "lgdt 0x48(%rbx)")              \
    X(lidt, "lidt 0x48(%rbx)")              \
    X(sldt, "sldt 0x48(%rbx)")              \
    X(str, "str 0x48(%rbx)")                \
    X(lldt, "lldt 0x48(%rbx)")              \
    X(ltr, "ltr 0x48(%rbx)")                \
    X(to_dr3, "mov %rdx, %dr3")             \
    X(from_dr7, "mov %dr7, %rdx")           \
    X(vmclear, "vmclear 0x48(%rbx)")        \
    X(vmptrld, "vmptrld 0x48(%rbx)")        \
    X(vmptrst, "vmptrst 0x48(%rbx)")        \
    X(vmxon, "vmxon 0x48(%rbx)")            \
    X(vmxoff, "vmxoff")                     \
    X(vmlaunch, "vmlaunch")                 \
    X(vmresume, "vmresume")                 \
    X(vmread, "vmread %rdi, 0x48(%rbx)")    \
    X(vmwrite, "vmwrite 0x48(%rbx), %rdi")  \
    X(invept, "invept 0x48(%rbx), %rdi")    \
    X(invvpid, "invvpid 0x48(%rbx), %rdi")
#define DEFINE(name, text) L2_CODE(code_##name, text);
CODES(DEFINE)

#define BY(word, bits)                 \
    {                                  \
        VMX_WORD_##word, word##_##bits \
    }
#define ALWAYS \
    {          \
        0, 0   \
    }
#define MEMORY(extra_bits, extra) DISP, INFO_MEMORY_BITS | (extra_bits), INFO_MEMORY | (extra)

static const struct insn plain[] = {
    {"CPUID", code_cpuid, ALWAYS, ALWAYS, EXIT_REASON_CPUID, 2, 0, 0, 0, false},
    {"INVD", code_invd, ALWAYS, ALWAYS, EXIT_REASON_INVD, 2, 0, 0, 0, false},
    {"HLT", code_hlt, BY(PROC, HLT_EXITING), ALWAYS, EXIT_REASON_HLT, 1, 0, 0, 0, false},
    {"INVLPG", code_invlpg, BY(PROC, INVLPG_EXITING), ALWAYS, EXIT_REASON_INVLPG, 3, TEST_PAGES, 0, 0, true},
    {"RDPMC", code_rdpmc, BY(PROC, RDPMC_EXITING), ALWAYS, EXIT_REASON_RDPMC, 2, 0, 0, 0, false},
    {"RDTSC", code_rdtsc, BY(PROC, RDTSC_EXITING), ALWAYS, EXIT_REASON_RDTSC, 2, 0, 0, 0, true},
    {"RDTSCP", code_rdtscp, BY(PROC, RDTSC_EXITING), BY(PROC2, ENABLE_RDTSCP), EXIT_REASON_RDTSCP, 3, 0, 0, 0,
     true},
    {"WBINVD", code_wbinvd, BY(PROC2, WBINVD_EXITING), ALWAYS, EXIT_REASON_WBINVD, 2, 0, 0, 0, true},
    {"PAUSE", code_pause, BY(PROC, PAUSE_EXITING), ALWAYS, EXIT_REASON_PAUSE, 2, 0, 0, 0, true},
    {"MWAIT", code_mwait, BY(PROC, MWAIT_EXITING), ALWAYS, EXIT_REASON_MWAIT, 3, 0, 0, 0, false},
    {"RDRAND", code_rdrand, BY(PROC2, RDRAND_EXITING), ALWAYS, EXIT_REASON_RDRAND, 4, 0, 0xf << 3,
     REG_RDX << 3, true},
    {"RDSEED", code_rdseed, BY(PROC2, RDSEED_EXITING), ALWAYS, EXIT_REASON_RDSEED, 4, 0, 0xf << 3,
     REG_RDX << 3, true},
    {"INVPCID", code_invpcid, BY(PROC, INVLPG_EXITING), BY(PROC2, ENABLE_INVPCID), EXIT_REASON_INVPCID, 6,
     MEMORY(REG2_BITS, REG2(REG_RDI)), false},
};

static const struct insn tables[] = {
    {"SGDT", code_sgdt, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_GDTR_IDTR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(0)), true},
    {"SIDT", code_sidt, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_GDTR_IDTR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(1)), true},
    {"LGDT", code_lgdt, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_GDTR_IDTR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(2)), false},
    {"LIDT", code_lidt, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_GDTR_IDTR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(3)), false},
    {"SLDT", code_sldt, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_LDTR_TR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(0)), true},
    {"STR", code_str, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_LDTR_TR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(1)), true},
    {"LLDT", code_lldt, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_LDTR_TR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(2)), true},
    {"LTR", code_ltr, BY(PROC2, DESCRIPTOR_TABLE_EXITING), ALWAYS, EXIT_REASON_LDTR_TR_ACCESS, 4,
     MEMORY(IDENTITY_BITS, IDENTITY(3)), false},
};

static const struct insn vmx[] = {
    {"VMCLEAR", code_vmclear, ALWAYS, ALWAYS, EXIT_REASON_VMCLEAR, 5, MEMORY(0, 0), false},
    {"VMPTRLD", code_vmptrld, ALWAYS, ALWAYS, EXIT_REASON_VMPTRLD, 4, MEMORY(0, 0), false},
    {"VMPTRST", code_vmptrst, ALWAYS, ALWAYS, EXIT_REASON_VMPTRST, 4, MEMORY(0, 0), false},
    {"VMXON", code_vmxon, ALWAYS, ALWAYS, EXIT_REASON_VMXON, 5, MEMORY(0, 0), false},
    {"VMXOFF", code_vmxoff, ALWAYS, ALWAYS, EXIT_REASON_VMXOFF, 3, 0, 0, 0, false},
    {"VMLAUNCH", code_vmlaunch, ALWAYS, ALWAYS, EXIT_REASON_VMLAUNCH, 3, 0, 0, 0, false},
    {"VMRESUME", code_vmresume, ALWAYS, ALWAYS, EXIT_REASON_VMRESUME, 3, 0, 0, 0, false},
    {"VMREAD", code_vmread, ALWAYS, ALWAYS, EXIT_REASON_VMREAD, 4, MEMORY(REG2_BITS, REG2(REG_RDI)), false},
    {"VMWRITE", code_vmwrite, ALWAYS, ALWAYS, EXIT_REASON_VMWRITE, 4, MEMORY(REG2_BITS, REG2(REG_RDI)),
     false},
    {"INVEPT", code_invept, ALWAYS, ALWAYS, EXIT_REASON_INVEPT, 6, MEMORY(REG2_BITS, REG2(REG_RDI)), false},
    {"INVVPID", code_invvpid, ALWAYS, ALWAYS, EXIT_REASON_INVVPID, 6, MEMORY(REG2_BITS, REG2(REG_RDI)),
     false},
};

#define DR_QUAL(dr, in, gpr) ((dr) | (in) << 4 | (gpr) << 8)
static const struct insn debug_registers[] = {
    {"MOV to DR3", code_to_dr3, BY(PROC, MOV_DR_EXITING), ALWAYS, EXIT_REASON_MOV_DR, 3,
     DR_QUAL(3, 0, REG_RDX), 0, 0, true},
    {"MOV from DR7", code_from_dr7, BY(PROC, MOV_DR_EXITING), ALWAYS, EXIT_REASON_MOV_DR, 3,
     DR_QUAL(7, 1, REG_RDX), 0, 0, true},
};

static void prepare(const struct insn *insn, bool exits)
{
    l2_new(insn->code);
    l2.gpr[REG_RBX] = TEST_PAGES;
    memset((void *)TEST_PAGES, 0, 256);
    if (insn->exits.bits && exits)
        need(insn->exits.word, insn->exits.bits);
    if (insn->enables.bits)
        need(insn->enables.word, insn->enables.bits);
}

static bool available(const struct insn *insn)
{
    return (!insn->exits.bits || vmx_can(insn->exits.word, insn->exits.bits)) &&
           (!insn->enables.bits || vmx_can(insn->enables.word, insn->enables.bits));
}

static void check(const struct insn *insn)
{
    if (!available(insn))
        return;
    prepare(insn, true);
    l2_expect(insn->reason, insn->what);
    expect_equal(vmread(GUEST_RIP), (u64)insn->code, insn->what);
    expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), insn->length, insn->what);
    expect_equal(vmread(EXIT_QUALIFICATION), insn->qualification, insn->what);
    expect_equal(vmread(EXIT_INSTRUCTION_INFO) & insn->info_bits, insn->info, insn->what);
    expect_equal(vmread(IDT_VECTORING_INFO) & INTR_INFO_VALID, 0, insn->what);
    l2_skip();
    l2_expect(EXIT_REASON_VMCALL, insn->what);
    if (!insn->ends_without)
        return;
    prepare(insn, false);
    l2_expect(EXIT_REASON_VMCALL, insn->what);
    expect_equal(l2_vector(), -1ull, insn->what);
}

static void check_all(const struct insn *insns, u32 n)
{
    for (u32 i = 0; i < n; i++)
        check(&insns[i]);
}

static void test_plain(void)
{
    check_all(plain, ARRAY_SIZE(plain));
}

static void test_tables(void)
{
    if (vmx_can(VMX_WORD_PROC2, PROC2_DESCRIPTOR_TABLE_EXITING))
        check_all(tables, ARRAY_SIZE(tables));
    else
        test_skip("no descriptor-table exiting");
}

static void test_vmx(void)
{
    check_all(vmx, ARRAY_SIZE(vmx));
}

static void test_debug_registers(void)
{
    check_all(debug_registers, ARRAY_SIZE(debug_registers));
}

static void test_monitor(void)
{
    l2_new(code_monitor);
    if (!need(VMX_WORD_PROC, PROC_MONITOR_EXITING))
        return;
    l2.gpr[REG_RBX] = TEST_PAGES;
    l2_expect_and_skip(EXIT_REASON_MONITOR, "MONITOR");
    l2_expect(EXIT_REASON_VMCALL, "behind MONITOR");
}

/* RDTSCP and INVPCID need their controls; without, they are unknown instructions. */
static void test_disabled(void)
{
    static const struct {
        const char *what;
        const u8 *code;
    } codes[] = {{"RDTSCP", code_rdtscp}, {"INVPCID", code_invpcid}};

    for (u32 i = 0; i < ARRAY_SIZE(codes); i++) {
        l2_new(codes[i].code);
        l2_expect_vector(X_UD, codes[i].what);
    }
}

static void test_xsetbv(void)
{
    if (!(cpuid(1, 0).ecx & BIT(26))) {
        test_skip("no XSAVE");
        return;
    }
    l2_new(code_xsetbv);
    vmset(GUEST_CR4, CR4_OSXSAVE);
    l2_expect(EXIT_REASON_XSETBV, "XSETBV");
    expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), 3, "XSETBV");
    l2_new(code_xsetbv);
    l2_expect_vector(X_UD, "XSETBV without CR4.OSXSAVE");
}

/* Its CPL is checked before it exits. */
static void test_xsetbv_user(void)
{
    u64 at;

    if (!(cpuid(1, 0).ecx & BIT(26))) {
        test_skip("no XSAVE");
        return;
    }
    if (lab_lacks("Bochs 3.0 exits before it checks the CPL"))
        return;
    l2_new(code_xsetbv);
    at = (u64)window_map(0, (u64)code_xsetbv, PTE_P | PTE_U);
    vmwrite(GUEST_RIP, at);
    vmset(GUEST_CR4, CR4_OSXSAVE);
    vmset(GUEST_CS_SELECTOR, 3);
    vmset(GUEST_SS_SELECTOR, 3);
    vmset(GUEST_CS_ACCESS_RIGHTS, AR_DPL3);
    vmset(GUEST_SS_ACCESS_RIGHTS, AR_DPL3);
    vmwrite(EXCEPTION_BITMAP, BIT(X_GP));
    l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, "XSETBV of ring 3");
    expect_equal(vmread(EXIT_INTERRUPTION_INFO),
                 INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, X_GP) | INTR_INFO_DELIVER_ERROR, "XSETBV of ring 3");
    expect_equal(vmread(EXIT_INTERRUPTION_ERROR_CODE), 0, "error code");
    expect_equal(vmread(GUEST_RIP), at, "RIP");
}

L2_CODE(code_tsc, "rdtsc");
L2_CODE(code_tscp, "rdtscp");

/* The TSC of L2 is L1's and the offset. */
static void test_tsc_offset(void)
{
    const u64 offset = 0x123400000000;
    u64 before, after, tsc;

    for (u32 i = 0; i < 2; i++) {
        l2_new(i ? code_tscp : code_tsc);
        if (!need(VMX_WORD_PROC, PROC_USE_TSC_OFFSETTING) ||
            (i && !need(VMX_WORD_PROC2, PROC2_ENABLE_RDTSCP)))
            return;
        vmwrite(TSC_OFFSET, offset);
        before = rdtsc();
        l2_expect(EXIT_REASON_VMCALL, "RDTSC");
        after = rdtsc();
        tsc = (u32)l2.gpr[REG_RAX] | l2.gpr[REG_RDX] << 32;
        expect(tsc >= before + offset && tsc <= after + offset, "RDTSC: 0x%llx, not 0x%llx to 0x%llx",
               (ull)tsc, (ull)(before + offset), (ull)(after + offset));
    }
}

/* It is scaled before the offset is added. */
static void test_tsc_scaling(void)
{
    static const struct {
        u64 multiplier;
        u32 up, down; /* what it comes to */
    } cases[] = {{BIT(48), 1, 1}, {BIT(49), 2, 1}, {BIT(46), 1, 4}};
    const u64 offset = 0x123400000000;
    u64 before, after, tsc;

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        l2_new(code_tsc);
        if (!need(VMX_WORD_PROC, PROC_USE_TSC_OFFSETTING | PROC_ACTIVATE_SECONDARY) ||
            !need(VMX_WORD_PROC2, PROC2_USE_TSC_SCALING))
            return;
        vmwrite(TSC_OFFSET, offset);
        vmwrite(TSC_MULTIPLIER, cases[i].multiplier);
        before = rdtsc() * cases[i].up / cases[i].down + offset;
        l2_expect(EXIT_REASON_VMCALL, "RDTSC");
        after = rdtsc() * cases[i].up / cases[i].down + offset;
        tsc = (u32)l2.gpr[REG_RAX] | l2.gpr[REG_RDX] << 32;
        expect(tsc >= before - 1 && tsc <= after + 1, "case %u: 0x%llx, not 0x%llx to 0x%llx", i, (ull)tsc,
               (ull)before, (ull)after);
    }
}

L2_CODE(code_pauses, "1: pause\njmp 1b");
L2_CODE(code_some_pauses, "pause\npause\npause");

static void test_pause_loop(void)
{
    for (u32 loops = 0; loops < 2; loops++) {
        l2_new(loops ? code_pauses : code_some_pauses);
        if (!need(VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY) || !need(VMX_WORD_PROC2, PROC2_PAUSE_LOOP_EXITING))
            return;
        vmwrite(PLE_GAP, 100);
        vmwrite(PLE_WINDOW, 10000);
        l2_expect(loops ? EXIT_REASON_PAUSE : EXIT_REASON_VMCALL, loops ? "a loop of PAUSEs" : "some PAUSEs");
    }
    expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), 2, "a loop of PAUSEs");
    l2_skip();
    l2_expect(EXIT_REASON_PAUSE, "it goes on");
}

/* What L2 finds in its registers, and what L1 finds in its own after the exit. */
L2_CODE(code_registers,
        "addq $1, %rax; addq $2, %rcx; addq $3, %rdx; addq $4, %rbx; addq $5, %rbp; addq $6, %rsi\n"
        "addq $7, %rdi; addq $8, %r8; addq $15, %r15; subq $64, %rsp");

static void test_registers(void)
{
    u64 rsp;

    l2_new(code_registers);
    rsp = vmread(GUEST_RSP);
    for (u32 i = 0; i < NR_REGS; i++)
        l2.gpr[i] = 0x1111111111111111ull * i;
    l2_expect(EXIT_REASON_VMCALL, "registers");
    for (u32 i = 0; i < NR_REGS; i++) {
        static const u8 added[NR_REGS] = {1, 2, 3, 4, 0, 5, 6, 7, 8, [15] = 15};

        if (i != REG_RSP)
            expect(l2.gpr[i] == 0x1111111111111111ull * i + added[i], "register %u: 0x%llx", i,
                   (ull)l2.gpr[i]);
    }
    expect_equal(vmread(GUEST_RSP), rsp - 64, "RSP");
}

const struct test exit_tests[] = {
    {"exit-registers", test_registers},
    {"exit-instructions", test_plain},
    {"exit-monitor", test_monitor},
    {"exit-disabled", test_disabled},
    {"exit-xsetbv", test_xsetbv},
    {"exit-xsetbv-user", test_xsetbv_user},
    {"exit-tables", test_tables},
    {"exit-vmx", test_vmx},
    {"exit-dr", test_debug_registers},
    {"exit-tsc-offset", test_tsc_offset},
    {"exit-tsc-scaling", test_tsc_scaling},
    {"exit-pause-loop", test_pause_loop},
    {NULL, NULL},
};
