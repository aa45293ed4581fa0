/* SPDX-License-Identifier: MIT */
/* L2's local APIC as L1 virtualizes it: the APIC-access page, the TPR in it and in x2APIC mode, the
 * threshold. */
#include "guest/common/apic.h"
#include "guest/common/paging.h"
#include "guest/common/segments.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

/* SDM, 'Exit Qualification for APIC-Access VM Exits'. */
enum { LINEAR_READ = 0, LINEAR_WRITE = 1, LINEAR_DELIVERY = 3 };
#define ACCESS(type, offset) ((u64)(type) << 12 | (offset))

#define NO_RAM       0xfee00000ull
#define ACCESS_PAGE  TEST_PAGES
#define VIRTUAL_APIC (TEST_PAGES + PAGE_SIZE)
#define VTPR         (VIRTUAL_APIC + APIC_TPR)
#define OTHER        0x320 /* a register that nobody virtualizes here: the LVT timer's */

L2_CODE(apic_load, "movl (%rbx), %eax");
L2_CODE(apic_store, "movl %eax, (%rbx)");
L2_CODE(apic_none, "nop\nnop");
L2_CODE(apic_rdmsr, "rdmsr");
L2_CODE(apic_wrmsr, "wrmsr\nnop");

/* False: the CPU has not got it, and the test is skipped. */
static bool new_with_page(const u8 *code, u64 address)
{
    memset((void *)TEST_PAGES, 0, 2 * PAGE_SIZE);
    l2_new(code);
    vmwrite(APIC_ACCESS_ADDRESS, ACCESS_PAGE);
    vmwrite(VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC);
    l2.gpr[REG_RBX] = address;
    return need(VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY) &&
           need(VMX_WORD_PROC2, PROC2_VIRTUALIZE_APIC_ACCESSES);
}

static void expect_apic_exit(u64 qualification, const char *what)
{
    l2_expect(EXIT_REASON_APIC_ACCESS, what);
    expect_equal(vmread(EXIT_QUALIFICATION), qualification, what);
}

/* Not by a fetch: Bochs 3.0 stops at that. */
static void test_access(void)
{
    static const struct {
        const char *what;
        const u8 *code;
        u32 offset, type;
    } cases[] = {
        {"load", apic_load, OTHER, LINEAR_READ},
        {"load of the TPR", apic_load, APIC_TPR, LINEAR_READ},
        {"store", apic_store, OTHER, LINEAR_WRITE},
        {"store to the end", apic_store, 0xffc, LINEAR_WRITE},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!new_with_page(cases[i].code, ACCESS_PAGE + cases[i].offset))
            return;
        expect_apic_exit(ACCESS(cases[i].type, cases[i].offset), cases[i].what);
        expect_equal(vmread(GUEST_RIP), (u64)cases[i].code, cases[i].what);
        expect_equal(vmread(IDT_VECTORING_INFO) & INTR_INFO_VALID, 0, cases[i].what);
        /* Elsewhere it is memory. */
        if (new_with_page(cases[i].code, VIRTUAL_APIC))
            l2_expect(EXIT_REASON_VMCALL, cases[i].what);
    }
}

/* By another linear address, it is the physical one that counts. */
static void test_access_mapped(void)
{
    volatile u8 *at = window_map(0, ACCESS_PAGE + OTHER, PTE_P | PTE_W | PTE_U);

    if (new_with_page(apic_load, (u64)at))
        expect_apic_exit(ACCESS(LINEAR_READ, OTHER), "load by another address");
}

/* The page may be where L1 has no RAM, as at its own APIC: L2 does not get there. With EPT only, for without
 * L2's addresses are L1's. */
static void test_access_no_ram(void)
{
    volatile u8 *at = window_map(0, NO_RAM + OTHER, PTE_P | PTE_W | PTE_U);

    if (!l2_has_ept())
        return;
    for (u32 i = 0; i < 2; i++) {
        if (!new_with_page(i ? apic_store : apic_load, (u64)at))
            return;
        vmwrite(APIC_ACCESS_ADDRESS, NO_RAM);
        expect_apic_exit(ACCESS(i ? LINEAR_WRITE : LINEAR_READ, OTHER), "page without RAM");
    }
    /* Another VMCS has another page. */
    if (new_with_page(apic_load, (u64)at))
        l2_expect(EXIT_REASON_VMCALL, "device of L1's");
}

/* L2's stack is the APIC-access page. */
static void test_access_delivery(void)
{
    const u32 event = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, X_UD);

    if (!new_with_page(apic_none, 0))
        return;
    vmwrite(GUEST_RSP, ACCESS_PAGE + 0x800);
    vmwrite(ENTRY_INTERRUPTION_INFO, event);
    expect_apic_exit(ACCESS(LINEAR_DELIVERY, 0x7f8), "delivery");
    expect_equal(vmread(IDT_VECTORING_INFO), event, "delivery");
    expect_equal(vmread(GUEST_RIP), (u64)apic_none, "delivery");
    expect_equal(vmread(GUEST_RSP), ACCESS_PAGE + 0x800, "delivery");
}

/* With a TPR shadow the TPR is the virtual APIC's. */
static void test_tpr(void)
{
    if (!new_with_page(apic_load, ACCESS_PAGE + APIC_TPR) || !need(VMX_WORD_PROC, PROC_USE_TPR_SHADOW))
        return;
    MMIO(u32, VTPR) = 0x5a;
    l2_expect(EXIT_REASON_VMCALL, "load of the TPR");
    expect_equal((u32)l2.gpr[REG_RAX], 0x5a, "the TPR that L2 reads");
    vmwrite(GUEST_RIP, (u64)apic_store);
    vmwrite(TPR_THRESHOLD, 3);
    l2.gpr[REG_RAX] = 0x30;
    l2_expect(EXIT_REASON_VMCALL, "store of the threshold");
    expect_equal(MMIO(u32, VTPR), 0x30, "VTPR");
    vmwrite(GUEST_RIP, (u64)apic_store);
    l2.gpr[REG_RAX] = 0x2f;
    l2_expect(EXIT_REASON_TPR_BELOW_THRESHOLD, "store below the threshold");
    expect_equal(MMIO(u32, VTPR), 0x2f, "VTPR");
    expect_equal(vmread(GUEST_RIP), (u64)apic_store + 2, "RIP of that exit");
    l2.gpr[REG_RBX] = ACCESS_PAGE + OTHER;
    vmwrite(TPR_THRESHOLD, 0);
    vmwrite(GUEST_RIP, (u64)apic_load);
    expect_apic_exit(ACCESS(LINEAR_READ, OTHER), "load of another register");
}

/* SDM, 'VM Exits Induced by the TPR Threshold': before the first instruction. */
static void test_threshold_at_entry(void)
{
    if (!new_with_page(apic_none, 0) || !need(VMX_WORD_PROC, PROC_USE_TPR_SHADOW))
        return;
    MMIO(u32, VTPR) = 0x20;
    vmwrite(TPR_THRESHOLD, 3);
    l2_expect(EXIT_REASON_TPR_BELOW_THRESHOLD, "VTPR below the threshold at entry");
    expect_equal(vmread(GUEST_RIP), (u64)apic_none, "RIP");
    MMIO(u32, VTPR) = 0x30;
    l2_expect(EXIT_REASON_VMCALL, "VTPR at the threshold");
}

static bool new_x2apic(const u8 *code, u32 msr, u64 value)
{
    memset((void *)TEST_PAGES, 0, 2 * PAGE_SIZE);
    l2_new(code);
    vmwrite(VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC);
    l2.gpr[REG_RCX] = msr;
    l2.gpr[REG_RAX] = value;
    return need(VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY) && need(VMX_WORD_PROC2, PROC2_VIRTUALIZE_X2APIC) &&
           need(VMX_WORD_PROC, PROC_USE_TPR_SHADOW);
}

static void test_x2apic_tpr(void)
{
    const u32 tpr = X2APIC_MSR(APIC_TPR);
    u64 before = read_cr8();

    if (!new_x2apic(apic_rdmsr, tpr, 0))
        return;
    MMIO(u32, VTPR) = 0x7b;
    l2_expect(EXIT_REASON_VMCALL, "RDMSR");
    expect_equal(l2_vector(), -1ull, "RDMSR");
    expect_equal(l2.gpr[REG_RAX], 0x7b, "the TPR that L2 reads");
    new_x2apic(apic_wrmsr, tpr, 0x41);
    l2_expect(EXIT_REASON_VMCALL, "WRMSR");
    expect_equal(l2_vector(), -1ull, "WRMSR");
    expect_equal(MMIO(u32, VTPR), 0x41, "VTPR");
    new_x2apic(apic_wrmsr, tpr, 0x141);
    l2_expect_vector(X_GP, "WRMSR of nine bits");
    new_x2apic(apic_wrmsr, tpr, 0x1f);
    vmwrite(TPR_THRESHOLD, 2);
    MMIO(u32, VTPR) = 0x20;
    l2_expect(EXIT_REASON_TPR_BELOW_THRESHOLD, "WRMSR below the threshold");
    expect_equal(vmread(GUEST_RIP), (u64)apic_wrmsr + 2, "RIP of that exit");
    expect_equal(read_cr8(), before, "L1's TPR");
}

/* L1's MSR bitmap comes first. */
static void test_x2apic_bitmap(void)
{
    const u32 tpr = X2APIC_MSR(APIC_TPR);

    if (!new_x2apic(apic_rdmsr, tpr, 0))
        return;
    ((u8 *)vmread(MSR_BITMAPS))[tpr / 8] |= (u8)(1u << tpr % 8);
    l2_expect(EXIT_REASON_RDMSR, "RDMSR of the TPR in the bitmap");
}

const struct test apic_tests[] = {
    {"apic-access", test_access},
    {"apic-access-mapped", test_access_mapped},
    {"apic-access-no-ram", test_access_no_ram},
    {"apic-access-delivery", test_access_delivery},
    {"apic-tpr", test_tpr},
    {"apic-threshold-at-entry", test_threshold_at_entry},
    {"apic-x2apic-tpr", test_x2apic_tpr},
    {"apic-x2apic-bitmap", test_x2apic_bitmap},
    {NULL, NULL},
};
