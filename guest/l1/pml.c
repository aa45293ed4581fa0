/* SPDX-License-Identifier: MIT */
/* Page-modification logging. */
#include "guest/common/cpu.h"
#include "guest/l1/l1.h"

#define LOG_ENTRIES 512
#define LARGE       (TEST_PAGES + MiB(2)) /* a page of 2 MiB */

static u64 log[LOG_ENTRIES] __aligned(4096);

/* Reads, and writes if AL is not 0. */
L2_CODE(l2_accesses, "1: mov (%rbx), %rcx\ntest %al, %al\njz 2f\nmov %rax, (%rbx)\n2: vmcall\njmp 1b");

static void access(void *at, bool write)
{
    l2.gpr[REG_RBX] = (u64)at;
    l2.gpr[REG_RAX] = write;
    l2_expect_and_skip(EXIT_REASON_VMCALL, write ? "a write" : "a read");
}

static u64 index_now(void)
{
    return vmread(GUEST_PML_INDEX);
}

/* An L2 whose code and page tables are marked in EPT already. */
static bool pml_l2(void)
{
    l2_new(l2_accesses);
    if (!l2_has_ept() || !(caps.ept_vpid & EPT_CAP_ACCESSED_DIRTY)) {
        test_skip("the CPU has not got accessed and dirty flags for EPT");
        return false;
    }
    if (!need(VMX_WORD_PROC2, PROC2_ENABLE_PML))
        return false;
    vmset(EPT_POINTER, EPTP_ACCESSED_DIRTY);
    vmwrite(PML_ADDRESS, (u64)log);
    vmwrite(GUEST_PML_INDEX, LOG_ENTRIES - 1);
    access(page + 5 * PAGE_SIZE, true);
    expect(index_now() < LOG_ENTRIES - 1, "nothing is logged");
    expect_equal(log[index_now() + 1], (u64)page + 5 * PAGE_SIZE, "the newest entry");
    return true;
}

static void expect_logged(void *at)
{
    u64 before = index_now();

    access(at, true);
    expect_equal(index_now(), (u16)(before - 1), "index");
    expect_equal(log[before], ALIGN_DOWN((u64)at, PAGE_SIZE), "entry");
}

static void expect_not_logged(void *at, bool write)
{
    u64 before = index_now();

    access(at, write);
    expect_equal(index_now(), before, "index");
}

static void test_log(void)
{
    if (!pml_l2())
        return;
    expect_not_logged(page, false);
    expect_logged(page + 0x128);
    expect(*ept_entry(1) & EPT_D, "no dirty flag");
    expect_not_logged(page + 8, true);
    *ept_entry(1) &= ~EPT_D;
    ept_flush();
    expect_not_logged(page, false);
    expect_logged(page + 0x200);
    /* The page of the access, not that of EPT. */
    expect_logged((void *)(LARGE + 0x5008));
    expect_not_logged((void *)(LARGE + 0x7000), true);
}

static void expect_full(void *at, bool write, const char *what)
{
    u64 rip;

    vmwrite(GUEST_PML_INDEX, 0xffff);
    l2.gpr[REG_RBX] = (u64)at;
    l2.gpr[REG_RAX] = write;
    l2_expect(EXIT_REASON_PML_FULL, what);
    rip = vmread(GUEST_RIP);
    expect_equal(vmread(EXIT_QUALIFICATION), 0, "qualification");
    expect_equal(index_now(), 0xffff, "index");
    vmwrite(GUEST_PML_INDEX, LOG_ENTRIES);
    l2_expect(EXIT_REASON_PML_FULL, "512 is no index");
    expect_equal(vmread(GUEST_RIP), rip, "RIP");
}

static void test_full(void)
{
    if (!pml_l2())
        return;
    vmwrite(GUEST_PML_INDEX, 0);
    expect_logged(page + PAGE_SIZE);
    expect_equal(index_now(), 0xffff, "index");
    *(u64 *)page = 0x77;
    vmwrite(GUEST_PML_INDEX, LOG_ENTRIES - 1);
    access(page, false);
    expect_full(page, true, "a write, with a full log");
    expect(!(*ept_entry(1) & EPT_D), "the flag is set");
    expect_equal(*(u64 *)page, 0x77, "what was to be written to");
    vmwrite(GUEST_PML_INDEX, 7);
    l2_expect_and_skip(EXIT_REASON_VMCALL, "with an index again");
    expect_equal(log[7], (u64)page, "entry");
    expect_equal(*(u64 *)page, 1, "what was written");
}

/* Accessed flags cannot be set either. */
static void test_full_read(void)
{
    if (!pml_l2())
        return;
    expect_full(page, false, "a read, with a full log");
    expect(!(*ept_entry(1) & EPT_A), "the flag is set");
    vmwrite(GUEST_PML_INDEX, 7);
    l2_expect_and_skip(EXIT_REASON_VMCALL, "with an index again");
    expect_equal(index_now(), 7, "index");
}

/* What has its flags needs no log. */
static void test_full_marked(void)
{
    if (lab_lacks("a full log ends accesses that set no flag too") || !pml_l2())
        return;
    expect_logged(page);
    vmwrite(GUEST_PML_INDEX, 0xffff);
    expect_not_logged(page, true);
}

static void test_no_flags(void)
{
    if (!pml_l2())
        return;
    vmunset(EPT_POINTER, EPTP_ACCESSED_DIRTY);
    vmwrite(GUEST_PML_INDEX, 0xffff);
    expect_not_logged(page, true);
}

static void test_entry(void)
{
    if (!pml_l2())
        return;
    vmwrite(PML_ADDRESS, (u64)log + 8);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "a log that is no page");
    vmwrite(PML_ADDRESS, caps.physical);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "a log beyond the address width");
    vmwrite(PML_ADDRESS, (u64)log);
    vmunset(SECONDARY_CONTROLS, PROC2_ENABLE_EPT);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "PML without EPT");
}

const struct test pml_tests[] = {
    {"pml-log", test_log},
    {"pml-full", test_full},
    {"pml-full-read", test_full_read},
    {"pml-full-marked", test_full_marked},
    {"pml-no-flags", test_no_flags},
    {"pml-entry", test_entry},
    {NULL, NULL},
};
