/* SPDX-License-Identifier: MIT */
/* MSRs that VM entry and VM exit switch: by lists, and by controls. */
#include "guest/l1/l1.h"
#include "guest/l1/msr_area.h"
#include "lib/string.h"

#define MSR_SYSENTER_EIP 0x176
#define MSR_TSC          0x10
#define MSR_STAR         0xc0000081u
#define MSR_LSTAR        0xc0000082u
#define MSR_CSTAR        0xc0000083u
#define MSR_FMASK        0xc0000084u
#define DR7_INIT         0x400u
#define DR7_OF_L1        (DR7_INIT | 0x10000) /* no breakpoint is on */
#define DR7_OF_L2        (DR7_INIT | 0x20000)
#define DR7_NEXT         (DR7_INIT | 0x30000)
#define PAT_OF_L2        0x0007040600070404ull

#define ENTRY_LIST ((struct msr_entry *)TEST_PAGES)
#define STORE_LIST (ENTRY_LIST + 32)
#define LOAD_LIST  (ENTRY_LIST + 64)

static const u32 switched[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS_BASE};
#define N ARRAY_SIZE(switched)

L2_CODE(code_rdmsrs, "rdmsr\nmovl %eax, %edi\nmovl $1, %eax\nxorl %edx, %edx\nwrmsr");

static void set_lists(u32 entry, u32 store, u32 load)
{
    memset((void *)TEST_PAGES, 0, PAGE_SIZE);
    vmwrite(ENTRY_MSR_LOAD_ADDR, (u64)ENTRY_LIST);
    vmwrite(EXIT_MSR_STORE_ADDR, (u64)STORE_LIST);
    vmwrite(EXIT_MSR_LOAD_ADDR, (u64)LOAD_LIST);
    vmwrite(ENTRY_MSR_LOAD_COUNT, entry);
    vmwrite(EXIT_MSR_STORE_COUNT, store);
    vmwrite(EXIT_MSR_LOAD_COUNT, load);
}

static void test_lists(void)
{
    u64 before[N];

    for (u32 i = 0; i < N; i++)
        before[i] = rdmsr(switched[i]);
    l2_new(code_rdmsrs);
    set_lists(N, N + 1, N);
    for (u32 i = 0; i < N; i++) {
        ENTRY_LIST[i] = (struct msr_entry){switched[i], 0, 0x1000 + i};
        STORE_LIST[i] = (struct msr_entry){switched[i], 0, 0};
        LOAD_LIST[i] = (struct msr_entry){switched[i], 0, 0x2000 + i};
    }
    STORE_LIST[N].index = MSR_TSC;
    l2.gpr[REG_RCX] = MSR_LSTAR;
    l2_expect(EXIT_REASON_VMCALL, "lists");
    expect_equal(l2.gpr[REG_RDI], 0x1001, "LSTAR that L2 finds");
    for (u32 i = 0; i < N; i++) {
        expect_equal(STORE_LIST[i].value, switched[i] == MSR_LSTAR ? 1 : 0x1000 + i, "stored");
        expect_equal(rdmsr(switched[i]), 0x2000 + i, "loaded by the exit");
        wrmsr(switched[i], before[i]);
    }
    expect(STORE_LIST[N].value && STORE_LIST[N].value <= rdtsc(), "TSC stored: 0x%llx",
           (ull)STORE_LIST[N].value);
}

/* In the order of the list; and after the fields of the VMCS. */
static void test_order(void)
{
    u64 before = rdmsr(MSR_KERNEL_GS_BASE);

    l2_new(code_rdmsrs);
    set_lists(3, 1, 1);
    vmwrite(GUEST_IA32_SYSENTER_EIP, 0x1111);
    ENTRY_LIST[0] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, 0x1111};
    ENTRY_LIST[1] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, 0x2222};
    ENTRY_LIST[2] = (struct msr_entry){MSR_SYSENTER_EIP, 0, 0x3333};
    STORE_LIST[0].index = MSR_KERNEL_GS_BASE;
    LOAD_LIST[0] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, before};
    l2.gpr[REG_RCX] = MSR_SYSENTER_EIP;
    l2_expect(EXIT_REASON_VMCALL, "order");
    expect_equal(STORE_LIST[0].value, 0x2222, "the last of two counts");
    expect_equal(l2.gpr[REG_RDI], 0x3333, "the list wins over the field");
    expect_equal(vmread(GUEST_IA32_SYSENTER_EIP), 1, "the field that the exit saves");
    expect_equal(rdmsr(MSR_KERNEL_GS_BASE), before, "loaded by the exit");
}

/* A list of a whole page. */
static void test_long_list(void)
{
    u64 before = rdmsr(MSR_KERNEL_GS_BASE);

    l2_new(code_rdmsrs);
    set_lists(256, 0, 0);
    for (u32 i = 0; i < 256; i++)
        ENTRY_LIST[i] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, i};
    l2.gpr[REG_RCX] = MSR_KERNEL_GS_BASE;
    l2_expect(EXIT_REASON_VMCALL, "256 of them");
    expect_equal(l2.gpr[REG_RDI], 255, "the last");
    wrmsr(MSR_KERNEL_GS_BASE, before);
}

static void test_pat(void)
{
    u64 before = rdmsr(MSR_PAT);

    l2_new(code_rdmsrs);
    if (!need(VMX_WORD_ENTRY, ENTRYCTL_LOAD_PAT) || !need(VMX_WORD_EXIT, EXITCTL_SAVE_PAT | EXITCTL_LOAD_PAT))
        return;
    vmwrite(GUEST_IA32_PAT, PAT_OF_L2);
    vmwrite(HOST_IA32_PAT, before);
    l2.gpr[REG_RCX] = MSR_PAT;
    l2_expect(EXIT_REASON_VMCALL, "PAT");
    expect_equal(l2.gpr[REG_RDI], (u32)PAT_OF_L2, "PAT that L2 finds");
    expect_equal(vmread(GUEST_IA32_PAT), 1, "PAT that L2 leaves");
    expect_equal(rdmsr(MSR_PAT), before, "L1's PAT");
}

static void test_efer(void)
{
    u64 before = rdmsr(MSR_EFER);

    l2_new(code_rdmsrs);
    if (!need(VMX_WORD_ENTRY, ENTRYCTL_LOAD_EFER) ||
        !need(VMX_WORD_EXIT, EXITCTL_SAVE_EFER | EXITCTL_LOAD_EFER))
        return;
    vmwrite(GUEST_IA32_EFER, before ^ EFER_SCE);
    vmwrite(HOST_IA32_EFER, before);
    l2.gpr[REG_RCX] = MSR_EFER;
    l2_expect_vector(X_GP, "L2 clears EFER.LME");
    expect_equal(l2.gpr[REG_RDI], before ^ EFER_SCE, "EFER that L2 finds");
    expect_equal(vmread(GUEST_IA32_EFER), before ^ EFER_SCE, "EFER that L2 leaves");
    expect_equal(rdmsr(MSR_EFER), before, "L1's EFER");
}

L2_CODE(code_dr7, "mov %dr7, %rdi\nmov %rsi, %dr7");

/* DR7 and IA32_DEBUGCTL: loaded and saved by controls, and fixed for L1. */
static void test_debug_controls(void)
{
    for (u32 i = 0; i < 4; i++) {
        bool load = i & 1, save = i & 2;

        l2_new(code_dr7);
        if (!need(VMX_WORD_ENTRY, load ? ENTRYCTL_LOAD_DEBUG_CONTROLS : 0) ||
            !need(VMX_WORD_EXIT, save ? EXITCTL_SAVE_DEBUG_CONTROLS : 0))
            return;
        if ((!load && vmread(ENTRY_CONTROLS) & ENTRYCTL_LOAD_DEBUG_CONTROLS) ||
            (!save && vmread(PRIMARY_EXIT_CONTROLS) & EXITCTL_SAVE_DEBUG_CONTROLS))
            continue; /* an old CPU has them always */
        vmwrite(GUEST_DR7, DR7_OF_L2);
        vmwrite(GUEST_IA32_DEBUGCTL, 0);
        write_dr7(DR7_OF_L1);
        l2.gpr[REG_RSI] = DR7_NEXT;
        l2_expect(EXIT_REASON_VMCALL, "DR7");
        expect_equal(l2.gpr[REG_RDI], load ? DR7_OF_L2 : DR7_OF_L1, "DR7 that L2 finds");
        expect_equal(vmread(GUEST_DR7), save ? DR7_NEXT : DR7_OF_L2, "DR7 in the VMCS");
        expect_equal(read_dr7(), DR7_INIT, "L1's DR7");
    }
}

const struct test msr_tests[] = {
    {"msr-lists", test_lists},
    {"msr-order", test_order},
    {"msr-long-list", test_long_list},
    {"msr-pat", test_pat},
    {"msr-efer", test_efer},
    {"msr-debug-controls", test_debug_controls},
    {NULL, NULL},
};
