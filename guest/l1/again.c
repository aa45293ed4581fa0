/* SPDX-License-Identifier: MIT */
/* Entries that are not the first: what L1 changes between them counts, and what it leaves is still there. */
#include "guest/common/segments.h"
#include "guest/l1/msr_area.h"
#include "guest/l1/spoil.h"
#include "lib/string.h"

#define MSR_LSTAR  0xc0000082u
#define READ_HIGH  1024 /* quarters of the MSR bitmap */
#define PORT       0x80
#define PDPTE_BASE (~0xfffull)

L2_CODE(again_vmcalls, "1: vmcall\njmp 1b");
L2_CODE(again_count, "1: incq %rax\nvmcall\njmp 1b");
L2_CODE(again_rdmsr, "1: rdmsr\nvmcall\njmp 1b");
L2_CODE(again_in, "1: inb $0x80, %al\nvmcall\njmp 1b");
L2_CODE(again_state, "1: mov %cr3, %rdi\nmov %cr0, %rsi\nmov %ds, %edx\nsgdt (%rbx)\nvmcall\njmp 1b");
L2_CODE(again_load, "1: movq (%rbx), %rax\nvmcall\njmp 1b");

static void go_on(const char *what)
{
    l2_expect(EXIT_REASON_VMCALL, what);
    expect_equal(l2_vector(), -1ull, what);
    l2_skip();
}

/* Makes the other VMCS as the current one was made; what L2's registers are belongs to neither. */
static void copy_to(u32 region)
{
    static const u32 fields[] = {
#define VMCS_FIELD(name, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    };
    static u64 values[ARRAY_SIZE(fields)];
    static bool there[ARRAY_SIZE(fields)];

    for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
        there[i] = VMCS_ENC_TYPE(fields[i]) != 1 && vmx_read(fields[i], &values[i]) == VM_SUCCEED;
    memcpy(vmcs_region[region], vmcs_region[0], sizeof(u32));
    vmx_clear((u64)vmcs_region[region]);
    vmx_load((u64)vmcs_region[region]);
    for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
        if (there[i])
            vmwrite(fields[i], values[i]);
}

static void switch_to(u32 region)
{
    expect(vmx_load((u64)vmcs_region[region]) == VM_SUCCEED, "VMPTRLD fails");
    l2.launched = true;
}

/* Two L2s by turns: each goes on where it was. */
static void test_two(void)
{
    l2_new(again_count);
    vmwrite(TSC_OFFSET, 0x1111);
    go_on("first");
    copy_to(1);
    vmwrite(GUEST_RIP, (u64)again_vmcalls);
    vmwrite(GUEST_RSP, vmread(GUEST_RSP) - 256);
    vmwrite(TSC_OFFSET, 0x2222);
    l2.launched = false;
    go_on("second");
    for (u32 i = 0; i < 3; i++) {
        u64 rax;

        switch_to(0);
        expect_equal(vmread(TSC_OFFSET), 0x1111, "control of the first");
        expect_equal(vmread(EXIT_REASON), EXIT_REASON_VMCALL, "exit of the first");
        rax = l2.gpr[REG_RAX];
        go_on("first again");
        expect_equal(l2.gpr[REG_RAX], rax + 1, "RAX of the first");
        expect(vmread(GUEST_RIP) - (u64)again_count < 16, "RIP of the first: 0x%llx", (ull)vmread(GUEST_RIP));
        switch_to(1);
        expect_equal(vmread(TSC_OFFSET), 0x2222, "control of the second");
        go_on("second again");
        expect_equal(l2.gpr[REG_RAX], rax + 1, "RAX of the second");
        expect(vmread(GUEST_RIP) - (u64)again_vmcalls < 16, "RIP of the second: 0x%llx",
               (ull)vmread(GUEST_RIP));
    }
    vmx_clear((u64)vmcs_region[1]);
}

/* A good VMCS is spoilt behind an exit, and repaired. */
static void test_spoilt(void)
{
    static const struct {
        const char *what;
        u64 field, value;
        u32 result;
    } rows[] = {
        {"RFLAGS", GUEST_RFLAGS, 0, ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE},
        {"interruptibility", GUEST_INTERRUPTIBILITY_STATE, BIT(5),
         ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE},
        {"STI without IF", GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_STI,
         ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE},
        {"injection", ENTRY_INTERRUPTION_INFO, INTR_INFO(INTR_TYPE_EXTERNAL, 0x40),
         ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE},
        {"injection of a reserved type", ENTRY_INTERRUPTION_INFO, INTR_INFO(1, 0x40),
         NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS},
        {"CR4", GUEST_CR4, 0, ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE},
        {"host's CR4", HOST_CR4, 0, NO_ENTRY | VMX_ERROR_ENTRY_HOST_STATE},
    };

    l2_new(again_vmcalls);
    go_on("good");
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        u64 before = vmread(rows[i].field), rip = vmread(GUEST_RIP);

        vmwrite(rows[i].field, rows[i].value);
        expect_equal(l2_run(), rows[i].result, rows[i].what);
        expect_equal(vmread(rows[i].field), rows[i].value, rows[i].what);
        expect_equal(vmread(GUEST_RIP), rip, rows[i].what);
        vmwrite(rows[i].field, before);
        go_on(rows[i].what);
        go_on(rows[i].what);
    }
}

/* No VMWRITE tells of it. */
static void test_bitmaps(void)
{
    u8 *msrs, *ports;

    l2_new(again_rdmsr);
    msrs = (u8 *)vmread(MSR_BITMAPS) + READ_HIGH;
    l2.gpr[REG_RCX] = MSR_LSTAR;
    go_on("RDMSR, bit 0");
    msrs[(MSR_LSTAR & 0x1fff) / 8] |= 1u << MSR_LSTAR % 8;
    l2_expect_and_skip(EXIT_REASON_RDMSR, "RDMSR, bit 1");
    go_on("behind RDMSR");
    msrs[(MSR_LSTAR & 0x1fff) / 8] = 0;
    go_on("RDMSR, bit 0 again");
    l2_new(again_in);
    ports = (u8 *)vmread(IO_BITMAP_A);
    go_on("IN, bit 0");
    ports[PORT / 8] |= 1;
    l2_expect_and_skip(EXIT_REASON_IO_INSTRUCTION, "IN, bit 1");
    go_on("behind IN");
    ports[PORT / 8] = 0;
    go_on("IN, bit 0 again");
}

/* L1 writes fields of the guest's state that it seldom does. */
static void test_state(void)
{
    struct __packed {
        u16 limit;
        u64 base;
    } *gdtr = (void *)TEST_PAGES;
    u64 cr3 = read_cr3(), cr0 = read_cr0();

    l2_new(again_state);
    l2.gpr[REG_RBX] = TEST_PAGES;
    go_on("as it was made");
    expect_equal(l2.gpr[REG_RDI], cr3, "CR3");
    vmwrite(GUEST_CR3, cr3 | BIT(3));
    vmwrite(GUEST_CR0, cr0 ^ CR0_WP);
    vmwrite(GUEST_DS_SELECTOR, SEL_CODE64);
    vmwrite(GUEST_GDTR_LIMIT, 0x1ff);
    go_on("with other registers");
    expect_equal(l2.gpr[REG_RDI], cr3 | BIT(3), "CR3, changed");
    expect_equal(l2.gpr[REG_RSI], cr0 ^ CR0_WP, "CR0, changed");
    expect_equal((u16)l2.gpr[REG_RDX], SEL_CODE64, "DS, changed");
    expect_equal(gdtr->limit, 0x1ff, "GDTR, changed");
    vmwrite(CR0_GUEST_HOST_MASK, CR0_WP);
    vmwrite(CR0_READ_SHADOW, cr0 & CR0_WP);
    go_on("with a mask");
    expect_equal(l2.gpr[REG_RSI], cr0, "CR0 that L2 reads");
    expect_equal(vmread(GUEST_CR0), cr0 ^ CR0_WP, "CR0");
    expect_equal(read_cr3(), cr3, "L1's CR3");
}

/* Another EPT pointer, and back: nothing is to be invalidated for that. */
static void test_ept_pointer(void)
{
    static u64 pml4[512] __aligned(4096), pdpt[512] __aligned(4096), pd[512] __aligned(4096);
    u64 first, second = (u64)pml4 | EPTP_WB | EPTP_WALK_4;

    if (!l2_has_ept()) {
        test_skip("no EPT");
        return;
    }
    MMIO(u64, TEST_PAGES) = 1;
    MMIO(u64, TEST_PAGES - MiB(2)) = 2;
    l2_new(again_load);
    l2.gpr[REG_RBX] = TEST_PAGES;
    first = vmread(EPT_POINTER);
    memcpy(pdpt, (void *)(*ept_entry(4) & PDPTE_BASE), PAGE_SIZE);
    memcpy(pd, (void *)(pdpt[0] & PDPTE_BASE), PAGE_SIZE);
    pml4[0] = (u64)pdpt | EPT_RWX;
    pdpt[0] = (u64)pd | EPT_RWX;
    pd[TEST_PAGES / MiB(2)] = (TEST_PAGES - MiB(2)) | EPT_RWX | EPT_WB | EPT_LARGE;
    ept_flush();
    for (u32 i = 0; i < 6; i++) {
        vmwrite(EPT_POINTER, i & 1 ? second : first);
        go_on("load");
        expect_equal(l2.gpr[REG_RAX], 1 + (i & 1), "load");
    }
}

const struct test again_tests[] = {
    {"again-two", test_two},     {"again-spoilt", test_spoilt},           {"again-bitmaps", test_bitmaps},
    {"again-state", test_state}, {"again-ept-pointer", test_ept_pointer}, {NULL, NULL},
};
