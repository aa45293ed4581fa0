/* SPDX-License-Identifier: MIT */
/* L1's EPT: violations and what they say, misconfigurations, sizes of pages, accessed and dirty bits, INVEPT,
 * INVVPID. */
#include "guest/common/paging.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

#define QUAL_PERMISSIONS(p) ((u64)(p) << 3)
#define QUAL_LINEAR         (EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION)
#define QUAL_BITS           0x1bfull /* but for what advanced information adds, and execute for user mode */
#define AT                  (TEST_PAGES + 0x123)
#define BEYOND              GiB(6) /* no EPT entry */
#define INVEPT_SINGLE       1
#define INVVPID_SINGLE      1

extern u64 boot_pml4[512];

L2_CODE(code_load, "movb (%rbx), %al");
L2_CODE(code_store, "movb %al, (%rbx)");
L2_CODE(code_modify, "addb $1, (%rbx)");
L2_CODE(code_fetch, "call *%rbx");
L2_CODE(code_load_twice, "movb (%rbx), %al\nvmcall\nmovb (%rbx), %dl");

static bool have_ept(void)
{
    if (!l2_has_ept())
        test_skip("no EPT");
    return l2_has_ept();
}

static void new_at(const u8 *code, u64 address)
{
    l2_new(code);
    MMIO(u8, AT) = 0xc3; /* RET, for code_fetch */
    l2.gpr[REG_RBX] = address;
}

static void set_entry(u32 level, u64 value)
{
    *ept_entry(level) = value;
    ept_flush();
}

static void expect_violation(u64 qualification, u64 physical, u64 linear, const char *what)
{
    l2_expect(EXIT_REASON_EPT_VIOLATION, what);
    expect_equal(vmread(EXIT_QUALIFICATION) & QUAL_BITS, qualification, what);
    expect_equal(vmread(GUEST_PHYSICAL_ADDRESS), physical, what);
    if (qualification & EPT_QUAL_LINEAR_VALID)
        expect_equal(vmread(GUEST_LINEAR_ADDRESS), linear, what);
}

static void test_violation(void)
{
    static const struct {
        const char *what;
        const u8 *code;
        u64 permissions, access; /* access: 0 if it is allowed */
    } cases[] = {
        {"load, not present", code_load, 0, EPT_QUAL_READ},
        {"store, not present", code_store, 0, EPT_QUAL_WRITE},
        {"fetch, not present", code_fetch, 0, EPT_QUAL_FETCH},
        {"store, read-only", code_store, EPT_R, EPT_QUAL_WRITE},
        {"load, read-only", code_load, EPT_R, 0},
        {"fetch, read-only", code_fetch, EPT_R, EPT_QUAL_FETCH},
        {"fetch, not executable", code_fetch, EPT_R | EPT_W, EPT_QUAL_FETCH},
        {"store, not executable", code_store, EPT_R | EPT_W, 0},
        {"store, not writable", code_store, EPT_R | EPT_X, EPT_QUAL_WRITE},
        {"fetch, not writable", code_fetch, EPT_R | EPT_X, 0},
    };

    if (!have_ept())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 qualification = cases[i].access | QUAL_PERMISSIONS(cases[i].permissions) | QUAL_LINEAR;

        new_at(cases[i].code, AT);
        set_entry(1, cases[i].permissions ? TEST_PAGES | EPT_WB | cases[i].permissions : 0);
        if (cases[i].access) {
            expect_violation(qualification, AT, AT, cases[i].what);
            expect_equal(vmread(GUEST_RIP), cases[i].code == code_fetch ? AT : (u64)cases[i].code,
                         cases[i].what);
            set_entry(1, TEST_PAGES | EPT_WB | EPT_RWX);
        }
        l2_expect(EXIT_REASON_VMCALL, cases[i].what);
        expect_equal(l2_vector(), -1ull, cases[i].what);
    }
}

/* Reading and writing at once, as one access. */
static void test_violation_modify(void)
{
    if (!have_ept())
        return;
    new_at(code_modify, AT);
    set_entry(1, TEST_PAGES | EPT_WB | EPT_R);
    l2_expect(EXIT_REASON_EPT_VIOLATION, "ADD to memory");
    expect(vmread(EXIT_QUALIFICATION) & EPT_QUAL_WRITE, "ADD to memory: qualification 0x%llx",
           (ull)vmread(EXIT_QUALIFICATION));
    expect_equal(MMIO(u8, AT), 0xc3, "memory");
}

/* What all levels allow. */
static void test_violation_levels(void)
{
    static const u64 permissions[] = {0, EPT_R, EPT_R | EPT_X};

    if (!have_ept())
        return;
    for (u32 level = 2; level <= 3; level++) {
        for (u32 i = 0; i < ARRAY_SIZE(permissions); i++) {
            u64 before;

            if (level == 3 && !(permissions[i] & EPT_X))
                continue; /* L2's code is there too */
            new_at(code_store, AT);
            before = *ept_entry(level);
            set_entry(level, (before & ~EPT_RWX) | permissions[i]);
            if (level == 3) { /* nor can its page tables be marked as accessed there */
                u32 reason = l2_run();

                expect(reason == EXIT_REASON_EPT_VIOLATION, "level 3: exit %u", reason);
                expect(vmread(EXIT_QUALIFICATION) & EPT_QUAL_WRITE, "level 3: qualification");
            } else {
                expect_violation(EPT_QUAL_WRITE | QUAL_PERMISSIONS(permissions[i]) | QUAL_LINEAR, AT, AT,
                                 "level 2");
            }
            set_entry(level, before);
            l2_expect(EXIT_REASON_VMCALL, "mapped again");
        }
    }
}

/* Where no entry is, far away. */
static void test_violation_beyond(void)
{
    u64 at;

    if (!have_ept())
        return;
    at = (u64)window_map(0, BEYOND + 0x456, PTE_P | PTE_W | PTE_U);
    new_at(code_load, at);
    expect_violation(EPT_QUAL_READ | QUAL_LINEAR, BEYOND + 0x456, at, "load");
}

/* L2's own page tables are reached by the EPT as well. */
static void test_violation_walk(void)
{
    if (!have_ept())
        return;
    new_at(code_load, AT);
    memcpy((void *)TEST_PAGES, boot_pml4, PAGE_SIZE);
    vmwrite(GUEST_CR3, TEST_PAGES);
    set_entry(1, 0);
    l2_expect(EXIT_REASON_EPT_VIOLATION, "PML4");
    expect_equal(vmread(EXIT_QUALIFICATION) & (EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION),
                 EPT_QUAL_LINEAR_VALID, "PML4");
    expect_equal(vmread(GUEST_PHYSICAL_ADDRESS), TEST_PAGES, "PML4");
    expect_equal(vmread(GUEST_LINEAR_ADDRESS), (u64)code_load, "PML4");
    /* With all of it one to one again, L2 goes on. */
    set_entry(1, TEST_PAGES | EPT_WB | EPT_RWX);
    l2_expect(EXIT_REASON_VMCALL, "afterwards");
}

static void test_misconfiguration(void)
{
    const struct {
        const char *what;
        bool applies;
        u32 level;
        u64 keep, set;
    } cases[] = {
        {"writable, not readable", true, 1, 0, TEST_PAGES | EPT_WB | EPT_W},
        {"writable and executable, not readable", true, 1, 0, TEST_PAGES | EPT_WB | EPT_W | EPT_X},
        {"execute-only", !(caps.ept_vpid & EPT_CAP_EXECUTE_ONLY), 1, 0, TEST_PAGES | EPT_WB | EPT_X},
        {"memory type 2", true, 1, 0, TEST_PAGES | 2 << 3 | EPT_RWX},
        {"memory type 3", true, 1, 0, TEST_PAGES | 3 << 3 | EPT_RWX},
        {"memory type 7", true, 1, 0, TEST_PAGES | 7 << 3 | EPT_RWX},
        {"too wide", true, 1, 0, TEST_PAGES | EPT_WB | EPT_RWX | caps.physical},
        {"large page not aligned", true, 2, 0, TEST_PAGES | 2 * PAGE_SIZE | EPT_WB | EPT_LARGE | EPT_RWX},
        {"reserved bits of a table's entry", true, 2, ~0ull, 1 << 3},
        {"level 2: writable, not readable", true, 2, ~EPT_RWX, EPT_W},
    };

    if (!have_ept())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!cases[i].applies)
            continue;
        new_at(code_load, AT);
        set_entry(cases[i].level, (*ept_entry(cases[i].level) & cases[i].keep) | cases[i].set);
        l2_expect(EXIT_REASON_EPT_MISCONFIGURATION, cases[i].what);
        expect_equal(vmread(GUEST_PHYSICAL_ADDRESS), AT, cases[i].what);
        expect_equal(vmread(GUEST_RIP), (u64)code_load, cases[i].what);
        ept_build();
        l2_expect(EXIT_REASON_VMCALL, cases[i].what);
    }
}

static void test_execute_only(void)
{
    if (!have_ept())
        return;
    if (!(caps.ept_vpid & EPT_CAP_EXECUTE_ONLY)) {
        test_skip("no execute-only pages");
        return;
    }
    new_at(code_fetch, AT);
    set_entry(1, TEST_PAGES | EPT_WB | EPT_X);
    l2_expect(EXIT_REASON_VMCALL, "fetch");
    expect_equal(l2_vector(), -1ull, "fetch");
    vmwrite(GUEST_RIP, (u64)code_load);
    expect_violation(EPT_QUAL_READ | QUAL_PERMISSIONS(EPT_X) | QUAL_LINEAR, AT, AT, "load");
}

/* Each size of page, to another place than one to one. */
static void test_sizes(void)
{
    if (!have_ept())
        return;
    MMIO(u8, TEST_PAGES + 0x10) = 1;
    MMIO(u8, TEST_PAGES + PAGE_SIZE + 0x10) = 2;
    MMIO(u8, TEST_PAGES - MiB(2) + 0x10) = 3;
    new_at(code_load, TEST_PAGES + 0x10);
    set_entry(1, (TEST_PAGES + PAGE_SIZE) | EPT_WB | EPT_RWX);
    l2_expect(EXIT_REASON_VMCALL, "4 KiB");
    expect_equal(l2.gpr[REG_RAX] & 0xff, 2, "4 KiB");
    new_at(code_load, TEST_PAGES + 0x10);
    set_entry(2, (TEST_PAGES - MiB(2)) | EPT_WB | EPT_LARGE | EPT_RWX);
    l2_expect(EXIT_REASON_VMCALL, "2 MiB");
    expect_equal(l2.gpr[REG_RAX] & 0xff, 3, "2 MiB");
    if (!(caps.ept_vpid & EPT_CAP_1G))
        return;
    new_at(code_load, (u64)window_map(0, GiB(3) + TEST_PAGES + 0x10, PTE_P | PTE_W | PTE_U));
    ept_entry(3)[3] = 0 | EPT_WB | EPT_LARGE | EPT_RWX;
    ept_flush();
    l2_expect(EXIT_REASON_VMCALL, "1 GiB");
    expect_equal(l2.gpr[REG_RAX] & 0xff, 1, "1 GiB");
}

/* A page that L1 takes away between two accesses, and gives back elsewhere: seen after INVEPT. */
static void test_invept(void)
{
    for (u32 type = 1; type <= 2; type++) {
        u64 eptp;

        if (!have_ept())
            return;
        new_at(code_load_twice, TEST_PAGES + 0x10);
        eptp = vmread(EPT_POINTER);
        MMIO(u8, TEST_PAGES + 0x10) = 1;
        MMIO(u8, TEST_PAGES + PAGE_SIZE + 0x10) = 2;
        l2_expect_and_skip(EXIT_REASON_VMCALL, "first");
        expect_equal(l2.gpr[REG_RAX] & 0xff, 1, "first load");
        *ept_entry(1) = 0;
        vmx_invept(type, (struct invalidate){type == INVEPT_SINGLE ? eptp : 0, 0});
        l2_expect(EXIT_REASON_EPT_VIOLATION, "taken away");
        *ept_entry(1) = (TEST_PAGES + PAGE_SIZE) | EPT_WB | EPT_RWX; /* not present: no INVEPT */
        l2_expect(EXIT_REASON_VMCALL, "second");
        expect_equal(l2.gpr[REG_RDX] & 0xff, 2, "second load");
    }
}

static void test_accessed_dirty(void)
{
    const u64 flags = EPT_A | EPT_D;

    if (!have_ept())
        return;
    if (!(caps.ept_vpid & EPT_CAP_ACCESSED_DIRTY)) {
        test_skip("no accessed and dirty flags");
        return;
    }
    new_at(code_load, AT);
    l2_expect(EXIT_REASON_VMCALL, "flags off");
    expect_equal(*ept_entry(1) & flags, 0, "flags off");
    new_at(code_load, AT);
    vmset(EPT_POINTER, EPTP_ACCESSED_DIRTY);
    l2_expect(EXIT_REASON_VMCALL, "load");
    expect_equal(*ept_entry(1) & flags, EPT_A, "load");
    expect_equal(*ept_entry(2) & EPT_A, EPT_A, "load, level 2");
    expect_equal(*ept_entry(3) & EPT_A, EPT_A, "load, level 3");
    expect_equal(*ept_entry(4) & EPT_A, EPT_A, "load, level 4");
    expect_equal(ept_entry(1)[1] & flags, 0, "the page beside it");
    vmwrite(GUEST_RIP, (u64)code_store);
    l2_expect(EXIT_REASON_VMCALL, "store");
    expect_equal(*ept_entry(1) & flags, flags, "store");
    *ept_entry(1) &= ~flags;
    ept_flush();
    vmwrite(GUEST_RIP, (u64)code_load);
    l2_expect(EXIT_REASON_VMCALL, "load after they were cleared");
    expect_equal(*ept_entry(1) & flags, EPT_A, "load after they were cleared");
}

/* With a VPID, what L2's page tables said may be kept; INVVPID ends that, as does a VPID that is new. */
static void test_vpid(void)
{
    volatile u8 *at;

    l2_new(code_load_twice);
    if (!need(VMX_WORD_PROC2, PROC2_ENABLE_VPID))
        return;
    MMIO(u8, TEST_PAGES + 0x10) = 1;
    MMIO(u8, TEST_PAGES - MiB(2) + 0x10) = 3;
    at = window_map(0, TEST_PAGES + 0x10, PTE_P | PTE_W | PTE_U);
    vmwrite(VPID, 7);
    vmx_invvpid(INVVPID_SINGLE, (struct invalidate){7, 0});
    l2.gpr[REG_RBX] = (u64)at;
    l2_expect_and_skip(EXIT_REASON_VMCALL, "first");
    expect_equal(l2.gpr[REG_RAX] & 0xff, 1, "first load");
    window_map(0, TEST_PAGES - MiB(2), PTE_P | PTE_W | PTE_U);
    vmx_invvpid(INVVPID_SINGLE, (struct invalidate){7, 0});
    l2_expect(EXIT_REASON_VMCALL, "second");
    expect_equal(l2.gpr[REG_RDX] & 0xff, 3, "second load");
    vmwrite(GUEST_RIP, (u64)code_load);
    window_map(0, TEST_PAGES, PTE_P | PTE_W | PTE_U);
    vmwrite(VPID, 8);
    vmx_invvpid(INVVPID_SINGLE, (struct invalidate){8, 0});
    l2_expect(EXIT_REASON_VMCALL, "another VPID");
    expect_equal(l2.gpr[REG_RAX] & 0xff, 1, "load of another VPID");
}

/* Without VPIDs each entry and each exit forgets translations. */
static void test_no_vpid(void)
{
    l2_new(code_load_twice);
    MMIO(u8, TEST_PAGES + 0x10) = 1;
    MMIO(u8, TEST_PAGES - MiB(2) + 0x10) = 3;
    l2.gpr[REG_RBX] = (u64)window_map(0, TEST_PAGES + 0x10, PTE_P | PTE_W | PTE_U);
    l2_expect_and_skip(EXIT_REASON_VMCALL, "first");
    expect_equal(l2.gpr[REG_RAX] & 0xff, 1, "first load");
    *window_entry(0) = (TEST_PAGES - MiB(2)) | PTE_P | PTE_W | PTE_U | PTE_PS;
    l2_expect(EXIT_REASON_VMCALL, "second");
    expect_equal(l2.gpr[REG_RDX] & 0xff, 3, "second load");
}

const struct test ept_tests[] = {
    {"ept-violation", test_violation},
    {"ept-violation-modify", test_violation_modify},
    {"ept-violation-levels", test_violation_levels},
    {"ept-violation-beyond", test_violation_beyond},
    {"ept-violation-walk", test_violation_walk},
    {"ept-misconfiguration", test_misconfiguration},
    {"ept-execute-only", test_execute_only},
    {"ept-sizes", test_sizes},
    {"ept-invept", test_invept},
    {"ept-accessed-dirty", test_accessed_dirty},
    {"vpid", test_vpid},
    {"vpid-off", test_no_vpid},
    {NULL, NULL},
};
