/* SPDX-License-Identifier: MIT */
/* RAM where the memory map says so; nothing where it says nothing. */
#include "guest/smoke/smoke.h"
#include "guest/common/paging.h"
#include "lib/string.h"

#define UNCLAIMED 0xfeb00000u

static bool holds(u64 address)
{
    volatile u64 *p = (volatile u64 *)window_map(0, address, PTE_P | PTE_W);
    u64 old = *p;
    bool ok;

    *p = address ^ 0x5a5a5a5a5a5a5a5a;
    ok = *p == (address ^ 0x5a5a5a5a5a5a5a5a);
    *p = old;
    return ok;
}

static void test_map(void)
{
    u64 previous_end = 0;

    expect(boot.nr_map > 0, "no memory map");
    for (u32 i = 0; i < boot.nr_map; i++) {
        const struct boot_range *r = &boot.map[i];

        expect(r->size > 0 && r->base + r->size > r->base, "range %u is empty or wraps", i);
        expect(r->base >= previous_end, "range %u overlaps the one before", i);
        previous_end = r->base + r->size;
    }
}

/* First and last page of each range, and some between. */
static void test_ram(void)
{
    u32 pages = 0;

    for (u32 i = 0; i < boot.nr_map; i++) {
        const struct boot_range *r = &boot.map[i];
        u64 last = ALIGN_DOWN(r->base + r->size, PAGE_SIZE) - PAGE_SIZE;
        u64 step = MAX(ALIGN_DOWN(r->size / 16, PAGE_SIZE), PAGE_SIZE);

        for (u64 a = ALIGN_UP(r->base, PAGE_SIZE); r->type == MEMORY_RAM && a <= last; a += step) {
            expect(!boot_page_is_free(a) || holds(a), "RAM at 0x%llx does not hold", (ull)a);
            pages++;
        }
        expect(!boot_page_is_free(last) || holds(last), "RAM at 0x%llx does not hold", (ull)last);
    }
    expect(pages > 16, "%u pages of RAM", pages);
}

static void test_unclaimed(void)
{
    if (skip_on_tcg())
        return;
    expect_equal(MMIO(u8, UNCLAIMED), 0xff, "8 bits");
    expect_equal(MMIO(u16, UNCLAIMED), 0xffff, "16 bits");
    expect_equal(MMIO(u32, UNCLAIMED), 0xffffffff, "32 bits");
    expect_equal(MMIO(u64, UNCLAIMED), ~0ull, "64 bits");
    MMIO(u8, UNCLAIMED) = 0;
    MMIO(u16, UNCLAIMED) = 0;
    MMIO(u32, UNCLAIMED) = 0;
    MMIO(u64, UNCLAIMED) = 0;
    expect_equal(MMIO(u64, UNCLAIMED), ~0ull, "after writes");
    expect_equal(MMIO(u32, UNCLAIMED + 3), 0xffffffff, "misaligned");
    expect_equal(MMIO(u32, UNCLAIMED + 0xffe), 0xffffffff, "across two pages");
}

/* Each register, and each way to write one, through the decoder of whoever emulates the access. */
static void test_unclaimed_instructions(void)
{
    u64 a = 0x1122334455667788, b = UNCLAIMED;
    u8 buffer[8] = {0};
    u8 *to = buffer;
    const u8 *from = (const u8 *)(u64)UNCLAIMED;
    u64 n = sizeof(buffer);

    if (skip_on_tcg())
        return;
    asm volatile("movb (%1), %b0" : "+r"(a) : "r"(b));
    expect_equal(a, 0x11223344556677ff, "MOV to an 8-bit register");
    asm volatile("movw (%1), %w0" : "+r"(a) : "r"(b));
    expect_equal(a, 0x112233445566ffff, "MOV to a 16-bit register");
    asm volatile("movl (%1), %k0" : "+r"(a) : "r"(b));
    expect_equal(a, 0xffffffff, "MOV to a 32-bit register");
    asm volatile("movl 0x10(%1, %2, 4), %k0" : "=r"(a) : "r"(b), "r"(3ull));
    expect_equal(a, 0xffffffff, "MOV with SIB and displacement");
    asm volatile("movl (%1), %%r15d; movl %%r15d, %k0" : "=r"(a) : "r"(b) : "r15");
    expect_equal(a, 0xffffffff, "MOV to R15D");
    asm volatile("movzbl (%1), %k0" : "=r"(a) : "r"(b));
    expect_equal(a, 0xff, "MOVZX of 8 bits");
    asm volatile("movzwl (%1), %k0" : "=r"(a) : "r"(b));
    expect_equal(a, 0xffff, "MOVZX of 16 bits");
    asm volatile("movsbq (%1), %0" : "=r"(a) : "r"(b));
    expect_equal(a, ~0ull, "MOVSX of 8 bits");
    asm volatile("movb $0, (%0); movl $0, (%0); movq $0, (%0)" ::"r"(b) : "memory");
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    expect(n == 0 && buffer[0] == 0xff && buffer[7] == 0xff, "REP MOVS from there");
    to = (u8 *)(u64)UNCLAIMED;
    n = 16;
    asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
    expect(n == 0 && (u64)to == UNCLAIMED + 16, "REP STOS to there");
}

static void test_unclaimed_modify(void)
{
    u64 a = 0x12345678, b = UNCLAIMED;
    bool zero;

    if (skip_on_tcg())
        return;
    asm volatile("testl $1, (%1)" : "=@ccz"(zero) : "r"(b));
    expect(!zero, "TEST reads 0");
    asm volatile("cmpl $-1, (%1)" : "=@ccz"(zero) : "r"(b));
    expect(zero, "CMP does not read ones");
    asm volatile("andl $0, (%0); orl $1, (%0); xorl %%eax, (%0)" ::"r"(b) : "memory", "cc");
    asm volatile("xchgl (%1), %k0" : "+r"(a) : "r"(b) : "memory");
    expect_equal(a, 0xffffffff, "XCHG");
}

static void test_a20(void)
{
    volatile u32 *low = (volatile u32 *)window_map(0, 0x10000, PTE_P | PTE_W);
    volatile u32 *high = (volatile u32 *)window_map(2, 0x110000, PTE_P | PTE_W);
    u32 old = *low;

    *low = ~*high;
    expect(*low != *high, "address bit 20 is ignored");
    *low = old;
}

const struct smoke_test memory_tests[] = {
    {"memory-map", test_map},
    {"memory-ram", test_ram},
    {"memory-a20", test_a20},
    {"mmio-unclaimed", test_unclaimed},
    {"mmio-instructions", test_unclaimed_instructions},
    {"mmio-modify", test_unclaimed_modify},
    {NULL, NULL},
};
