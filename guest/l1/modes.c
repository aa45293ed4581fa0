/* SPDX-License-Identifier: MIT */
/* L2 in every mode of the CPU, its change from one to another, and its task switches. */
#include "guest/common/segments.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

#define AR_CODE16     0x9b
#define AR_DATA16     0x93
#define AR_CODE32     0xc09b
#define TABLES        (TEST_PAGES + PAGE_SIZE)
#define DATA          (TEST_PAGES + 0x40)
#define SEL_NEW_TSS   0x60
#define TSS_AVAILABLE 0x0000890000000067ull
#define TASK_JMP      (2ull << 30)
#define TASK_CALL     0ull
#define MODE_CODE     "movl $0x12345678, %eax\ncpuid\naddl $1, %eax\nmovl %eax, %ds:0x800040\n"

_Static_assert(DATA == 0x800040, "MODE_CODE");
extern u64 boot_pdpt[512], gdt[];

L2_CODE(code_nothing, "");
L2_CODE(code16, ".code16\nmovl $0x12345678, %eax\ncpuid\naddl $1, %eax\nmovl %eax, %ds:0x40");
L2_CODE(code32, ".code32\n" MODE_CODE);
L2_CODE(code32_reload, ".code32\nmov %cr3, %eax\nmov %eax, %cr3\n" MODE_CODE);
L2_CODE(code_to_64,
        ".code32\nmov %cr4, %eax\norl $0x20, %eax\nmov %eax, %cr4\nmov %ebx, %cr3\nmovl $0xc0000080, %ecx\n"
        "rdmsr\norl $0x100, %eax\nwrmsr\nmov %cr0, %eax\norl $0x80000000, %eax\nmov %eax, %cr0\n"
        "ljmp $8, $1f\n.code64\n1: movabs $0x123456789abcdef0, %rdx\n");
L2_CODE(code_jmp_task, ".code32\nljmp $0x60, $0");
L2_CODE(code_call_task, ".code32\nlcall $0x60, $0");

enum paging { PAGING_NONE, PAGING_32, PAGING_PAE, PAGING_64 };

static const struct mode {
    const char *name;
    const u8 *code;
    bool unrestricted, real;
    enum paging paging;
} modes[] = {
    {"real mode", code16, true, true, PAGING_NONE},
    {"protected mode", code32, true, false, PAGING_NONE},
    {"32-bit paging", code32, false, false, PAGING_32},
    {"PAE paging", code32, false, false, PAGING_PAE},
    {"PAE paging, CR3 loaded", code32_reload, false, false, PAGING_PAE},
    {"compatibility mode", code32, false, false, PAGING_64},
};

static void set_paging(enum paging paging)
{
    u32 *directory = (u32 *)TABLES;
    u64 *pdptes = (u64 *)TABLES;

    memset((void *)TABLES, 0, PAGE_SIZE);
    if (paging != PAGING_64)
        vmunset(ENTRY_CONTROLS, ENTRYCTL_IA32E_MODE_GUEST);
    if (paging == PAGING_NONE)
        vmunset(GUEST_CR0, CR0_PG);
    if (paging == PAGING_NONE || paging == PAGING_32)
        vmunset(GUEST_CR4, CR4_PAE);
    if (paging == PAGING_32) { /* pages of 4 MiB */
        vmset(GUEST_CR4, CR4_PSE);
        vmwrite(GUEST_CR3, TABLES);
        for (u32 i = 0; i < 1024; i++)
            directory[i] = i << 22 | 0x87;
    }
    if (paging == PAGING_PAE) {
        vmwrite(GUEST_CR3, TABLES);
        for (u32 i = 0; i < 4; i++) {
            pdptes[i] = (boot_pdpt[i] & ~(PAGE_SIZE - 1)) | 1;
            if (l2_has_ept())
                vmwrite(GUEST_PDPTE0 + 2 * i, pdptes[i]);
        }
    }
}

/* Bases above 1 MiB, which real mode itself could not load: below, there may be nothing of ours. */
static void set_real(const struct mode *m)
{
    static const u64 selectors[] = {GUEST_ES_SELECTOR, GUEST_CS_SELECTOR, GUEST_SS_SELECTOR,
                                    GUEST_DS_SELECTOR, GUEST_FS_SELECTOR, GUEST_GS_SELECTOR};

    for (u32 i = 0; i < ARRAY_SIZE(selectors); i++) {
        u64 base = i == SEG_CS ? (u64)m->code : TEST_PAGES;

        vmwrite(selectors[i], 0);
        vmwrite(GUEST_ES_BASE + 2 * i, base);
        vmwrite(GUEST_ES_LIMIT + 2 * i, 0xffff);
        vmwrite(GUEST_ES_ACCESS_RIGHTS + 2 * i, i == SEG_CS ? AR_CODE16 : AR_DATA16);
    }
    vmwrite(GUEST_RIP, 0);
    vmwrite(GUEST_RSP, 0x800);
}

static bool new_in_mode(const struct mode *m)
{
    l2_new(m->code);
    if (m->unrestricted) {
        if (!l2_has_ept() || !vmx_can(VMX_WORD_PROC2, PROC2_UNRESTRICTED_GUEST))
            return false;
        vmset(SECONDARY_CONTROLS, PROC2_UNRESTRICTED_GUEST);
    }
    set_paging(m->paging);
    vmwrite(GUEST_CS_ACCESS_RIGHTS, AR_CODE32);
    if (m->real) {
        vmunset(GUEST_CR0, CR0_PE);
        set_real(m);
    }
    return true;
}

static void test_modes(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
        const struct mode *m = &modes[i];

        if (!new_in_mode(m))
            continue;
        MMIO(u32, DATA) = 0;
        l2_expect(EXIT_REASON_CPUID, m->name);
        expect_equal(l2.gpr[REG_RAX], 0x12345678, m->name);
        l2_skip();
        l2_expect(EXIT_REASON_VMCALL, m->name);
        expect_equal(MMIO(u32, DATA), 0x12345679, m->name);
        expect_equal(vmread(GUEST_CR0) & (CR0_PE | CR0_PG),
                     (m->real ? 0 : CR0_PE) | (m->paging == PAGING_NONE ? 0 : CR0_PG), m->name);
        expect_equal(!!(vmread(ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST), m->paging == PAGING_64, m->name);
    }
}

/* From 32-bit mode without paging to 64-bit mode: the exit says so in the VM-entry controls. */
static void test_to_64(void)
{
    static const struct mode start = {"protected mode", code_to_64, true, false, PAGING_NONE};

    if (!new_in_mode(&start) || !need(VMX_WORD_ENTRY, ENTRYCTL_LOAD_EFER) ||
        !need(VMX_WORD_EXIT, EXITCTL_SAVE_EFER | EXITCTL_LOAD_EFER)) {
        test_skip("no unrestricted guest");
        return;
    }
    vmwrite(HOST_IA32_EFER, rdmsr(MSR_EFER));
    vmwrite(GUEST_IA32_EFER, 0);
    l2.gpr[REG_RBX] = read_cr3();
    l2_expect(EXIT_REASON_VMCALL, "to 64-bit mode");
    expect_equal(l2.gpr[REG_RDX], 0x123456789abcdef0, "RDX");
    expect_equal(vmread(GUEST_IA32_EFER), EFER_LMA | EFER_LME, "EFER");
    expect(vmread(ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST, "IA-32e mode guest is 0");
    expect_equal(vmread(GUEST_CS_SELECTOR), SEL_CODE64, "CS");
    vmwrite(GUEST_RIP, (u64)code_nothing);
    l2_expect(EXIT_REASON_VMCALL, "goes on");
}

/* Task switches exit before anything is changed. */
static void test_task_switch(void)
{
    static const struct {
        struct mode mode;
        u64 qualification;
        u32 length;
    } cases[] = {
        {{"JMP to a TSS", code_jmp_task, false, false, PAGING_PAE}, TASK_JMP, 7},
        {{"CALL of a TSS", code_call_task, false, false, PAGING_PAE}, TASK_CALL, 7},
    };
    u64 *descriptors = (u64 *)TEST_PAGES;

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *what = cases[i].mode.name;

        new_in_mode(&cases[i].mode);
        memcpy(descriptors, gdt, SEL_NEW_TSS);
        descriptors[SEL_NEW_TSS >> 3] = TSS_AVAILABLE | (TEST_PAGES + 0x400) << 16;
        vmwrite(GUEST_GDTR_BASE, (u64)descriptors);
        l2_expect(EXIT_REASON_TASK_SWITCH, what);
        expect_equal(vmread(EXIT_QUALIFICATION), cases[i].qualification | SEL_NEW_TSS, what);
        expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), cases[i].length, what);
        expect_equal(vmread(GUEST_RIP), (u64)cases[i].mode.code, what);
        expect_equal(vmread(GUEST_TR_SELECTOR), SEL_TSS, what);
        l2_skip();
        l2_expect(EXIT_REASON_VMCALL, what);
    }
}

const struct test mode_tests[] = {{"mode-each", test_modes},
                                  {"mode-to-64", test_to_64},
                                  {"mode-task-switch", test_task_switch},
                                  {NULL, NULL}};
