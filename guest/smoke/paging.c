/* SPDX-License-Identifier: MIT */
/* 4-level paging, seen from 64-bit mode. */
#include "guest/smoke/smoke.h"
#include "guest/smoke/tables.h"
#include "guest/common/paging.h"

static u32 page_a[1024] __aligned(4096), page_b[1024] __aligned(4096);

DEFINE_ATTEMPT(read_word, (void)*(volatile u32 *)arg)
DEFINE_ATTEMPT(write_word, *(volatile u32 *)arg = 7)

/* Through the alias the page's own word is seen and changed; accessed and dirty bits follow. */
static void check_alias(u64 size, u64 alias)
{
    u64 old = read_cr3(), target = (u64)page_a, cr3 = tables_4level(size, target, PTE_P | PTE_W);
    u64 linear = alias + (target & (size - 1));
    volatile u64 *entry = tables_entry_64(cr3, alias);

    page_a[0] = 0x12345678;
    write_cr3(cr3);
    expect(!(*entry & (PTE_A | PTE_D)), "A or D before any access");
    expect_equal(MMIO(u32, linear), 0x12345678, "read");
    expect((*entry & PTE_A) && !(*entry & PTE_D), "after a read: entry 0x%llx", (ull)*entry);
    MMIO(u32, linear) = 0x9abcdef0;
    expect_equal(page_a[0], 0x9abcdef0, "written");
    expect(*entry & PTE_D, "after a write: entry 0x%llx", (ull)*entry);
    write_cr3(old);
}

static void test_4k(void)
{
    check_alias(PAGE_SIZE, ALIAS_64);
}

static void test_2m(void)
{
    check_alias(MiB(2), ALIAS_64);
}

static void test_1g(void)
{
    if (!(cpuid(0x80000001, 0).edx & BIT(26))) {
        smoke_skip("no 1 GiB pages");
        return;
    }
    check_alias(GiB(1), ALIAS_1G);
}

static void test_invlpg(void)
{
    u64 old = read_cr3(), cr3 = tables_4level(PAGE_SIZE, (u64)page_a, PTE_P | PTE_W);
    volatile u64 *entry = tables_entry_64(cr3, ALIAS_64);

    page_a[0] = 1;
    page_b[0] = 2;
    write_cr3(cr3);
    expect_equal(MMIO(u32, ALIAS_64), 1, "first page");
    *entry = (u64)page_b | PTE_P | PTE_W;
    asm volatile("invlpg (%0)" ::"r"(ALIAS_64) : "memory");
    expect_equal(MMIO(u32, ALIAS_64), 2, "after INVLPG");
    *entry = (u64)page_a | PTE_P | PTE_W;
    write_cr3(cr3);
    expect_equal(MMIO(u32, ALIAS_64), 1, "after a write of CR3");
    *entry = 0;
    asm volatile("invlpg (%0)" ::"r"(ALIAS_64) : "memory");
    expect_vector(X_PF, read_word, (void *)ALIAS_64, "after the mapping went");
    write_cr3(old);
}

/* A global page's translation outlives CR3 at most until CR4.PGE changes. */
static void test_global(void)
{
    u64 old = read_cr3(), cr4 = read_cr4(),
        cr3 = tables_4level(PAGE_SIZE, (u64)page_a, PTE_P | PTE_W | PTE_G);
    volatile u64 *entry = tables_entry_64(cr3, ALIAS_64);

    page_a[0] = 1;
    page_b[0] = 2;
    write_cr3(cr3);
    write_cr4(cr4 | CR4_PGE);
    expect_equal(MMIO(u32, ALIAS_64), 1, "first page");
    *entry = (u64)page_b | PTE_P | PTE_W | PTE_G;
    write_cr4(cr4);
    expect_equal(MMIO(u32, ALIAS_64), 2, "after CR4.PGE changed");
    write_cr3(old);
}

static void test_protection(void)
{
    u64 old = read_cr3();

    write_cr3(tables_4level(PAGE_SIZE, (u64)page_a, PTE_P));
    expect_vector(X_NONE, read_word, (void *)ALIAS_64, "read of a read-only page");
    expect_vector(X_PF, write_word, (void *)ALIAS_64, "write of a read-only page");
    expect_equal(last_trap.error, 3, "error code");
    write_cr3(old);
}

static void set_smep(u64 bit, bool on)
{
    write_cr4(on ? read_cr4() | BIT(bit) : read_cr4() & ~BIT(bit));
}

DEFINE_ATTEMPT(call_page, asm volatile("call *%0" ::"r"(arg) : "memory"))

static void test_smep(void)
{
    u64 at;

    if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ebx & BIT(7))) {
        smoke_skip("no SMEP");
        return;
    }
    page_a[0] = 0xc3;
    at = (u64)window_map(3, (u64)page_a, PTE_P | PTE_W | PTE_U);
    expect_vector(X_NONE, call_page, (void *)at, "execution of a user page");
    set_smep(20, true);
    expect_vector(X_PF, call_page, (void *)at, "the same with SMEP");
    expect_equal(last_trap.error, 0x11, "error code");
    set_smep(20, false);
}

static void test_smap(void)
{
    u64 at;

    if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ebx & BIT(20))) {
        smoke_skip("no SMAP");
        return;
    }
    at = (u64)window_map(3, (u64)page_a, PTE_P | PTE_W | PTE_U);
    set_smep(21, true);
    expect_vector(X_PF, read_word, (void *)at, "read of a user page with SMAP");
    expect_equal(last_trap.error, 1, "error code");
    asm volatile("stac");
    (void)MMIO(u32, at);
    asm volatile("clac");
    set_smep(21, false);
}

const struct smoke_test paging_tests[] = {
    {"paging-4level-4k", test_4k},  {"paging-4level-2m", test_2m},  {"paging-4level-1g", test_1g},
    {"paging-invlpg", test_invlpg}, {"paging-global", test_global}, {"paging-protection", test_protection},
    {"paging-smep", test_smep},     {"paging-smap", test_smap},     {NULL, NULL},
};
