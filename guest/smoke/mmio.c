/* SPDX-License-Identifier: MIT */
/* Accesses to memory that is not there, for whoever emulates them: wide ones, and code that changes. */
#include "guest/common/paging.h"
#include "guest/smoke/smoke.h"
#include "lib/string.h"

#define UNCLAIMED  0xfeb00000u
#define CR4_OSFXSR BIT(9)
#define CODE_A     MiB(16)
#define CODE_B     MiB(18)
#define OFFSET     0x100u /* of the code in its page */

static const u64 pattern[4] = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333,
                               0x4444444444444444};

static void expect_words(const u64 *got, u64 first, u64 second, const char *what)
{
    expect_equal(got[0], first, what);
    expect_equal(got[1], second, what);
}

static void test_sse(void)
{
    u64 cr4 = read_cr4(), value[2];

    if (skip_on_tcg())
        return;
    write_cr4(cr4 | CR4_OSFXSR);
    asm volatile("movups (%1), %%xmm9; movdqu (%2), %%xmm9; movups %%xmm9, (%0)" ::"r"(value), "r"(pattern),
                 "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, ~0ull, ~0ull, "MOVDQU");
    asm volatile(
        "movaps (%2), %%xmm1; movups (%1), %%xmm1; movntdq %%xmm1, (%2); movups %%xmm1, (%0)" ::"r"(value),
        "r"(pattern), "r"((u64)UNCLAIMED)
        : "memory");
    expect_words(value, pattern[0], pattern[1], "MOVNTDQ leaves its register");
    asm volatile("movups (%1), %%xmm0; movq (%2), %%xmm0; movups %%xmm0, (%0)" ::"r"(value), "r"(pattern),
                 "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, ~0ull, 0, "MOVQ");
    asm volatile("movups (%1), %%xmm0; movd (%2), %%xmm0; movups %%xmm0, (%0)" ::"r"(value), "r"(pattern),
                 "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, 0xffffffff, 0, "MOVD");
    asm volatile(
        "movups (%1), %%xmm0; movlps (%2), %%xmm0; movhps %%xmm0, (%2); movups %%xmm0, (%0)" ::"r"(value),
        "r"(pattern), "r"((u64)UNCLAIMED)
        : "memory");
    expect_words(value, ~0ull, pattern[1], "MOVLPS");
    asm volatile(
        "movups (%1), %%xmm0; movhpd (%2), %%xmm0; movlpd %%xmm0, (%2); movups %%xmm0, (%0)" ::"r"(value),
        "r"(pattern), "r"((u64)UNCLAIMED)
        : "memory");
    expect_words(value, pattern[0], ~0ull, "MOVHPD");
    write_cr4(cr4);
}

static void test_mmx(void)
{
    u64 value[2];

    if (skip_on_tcg())
        return;
    asm volatile("movq (%1), %%mm3; movq %%mm3, (%1); movntq %%mm3, (%1); movq %%mm3, (%0)\n"
                 "movd (%1), %%mm3; movd %%mm3, (%1); movq %%mm3, 8(%0); emms" ::"r"(value),
                 "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, ~0ull, 0xffffffff, "MOVQ, MOVD");
}

static void test_avx(void)
{
    u64 cr4 = read_cr4(), xcr0, value[4];

    if (skip_on_tcg())
        return;
    if (!(cpuid(1, 0).ecx & BIT(28))) {
        smoke_skip("no AVX");
        return;
    }
    write_cr4(cr4 | CR4_OSFXSR | CR4_OSXSAVE);
    xcr0 = xgetbv(0);
    xsetbv(0, xcr0 | 7);
    asm volatile("vmovups (%1), %%ymm9; movdqu (%2), %%xmm9; vmovups %%ymm9, (%0)" ::"r"(value), "r"(pattern),
                 "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, ~0ull, ~0ull, "MOVDQU");
    expect_words(value + 2, pattern[2], pattern[3], "MOVDQU: the upper half stays");
    asm volatile("vmovups (%1), %%ymm9; vmovdqu (%2), %%xmm9; vmovups %%ymm9, (%0)" ::"r"(value),
                 "r"(pattern), "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, ~0ull, ~0ull, "VMOVDQU");
    expect_words(value + 2, 0, 0, "VMOVDQU: the upper half is cleared");
    asm volatile("vmovdqa (%1), %%ymm2; vmovntdq %%ymm2, (%1); vmovups %%ymm2, (%0)" ::"r"(value),
                 "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, ~0ull, ~0ull, "VMOVDQA of 32 bytes");
    expect_words(value + 2, ~0ull, ~0ull, "VMOVDQA of 32 bytes, upper half");
    asm volatile("vmovups (%1), %%ymm2; vmovhps (%2), %%xmm2, %%xmm9; vmovups %%ymm9, (%0)" ::"r"(value),
                 "r"(pattern), "r"((u64)UNCLAIMED)
                 : "memory");
    expect_words(value, pattern[0], ~0ull, "VMOVHPS");
    expect_words(value + 2, 0, 0, "VMOVHPS: the upper half is cleared");
    asm volatile("vzeroupper");
    xsetbv(0, xcr0);
    write_cr4(cr4);
}

static void test_more_instructions(void)
{
    u64 low = 1, high = 2, a = 0;
    bool zero;

    if (skip_on_tcg())
        return;
    asm volatile("lock cmpxchg8b (%3)"
                 : "+a"(low), "+d"(high), "=@ccz"(zero)
                 : "r"((u64)UNCLAIMED), "b"(3), "c"(4)
                 : "memory");
    expect(!zero && low == 0xffffffff && high == 0xffffffff, "CMPXCHG8B: 0x%llx 0x%llx", (ull)low, (ull)high);
    asm volatile("shll $4, (%1); cmovcl (%1), %k0" : "+r"(a) : "r"((u64)UNCLAIMED) : "memory", "cc");
    expect_equal(a, 0xffffffff, "SHL, CMOVC");
    asm volatile("shldl $4, %k0, (%1); imull $3, (%1), %k0; clflush (%1)"
                 : "+r"(a)
                 : "r"((u64)UNCLAIMED)
                 : "memory", "cc");
    expect_equal(a, 0xfffffffd, "SHLD, IMUL");
    asm volatile("mull (%2)" : "+a"(low), "+d"(high) : "r"((u64)UNCLAIMED) : "cc");
    expect(low == 1 && high == 0xfffffffe, "MUL: 0x%llx 0x%llx", (ull)low, (ull)high);
    asm volatile("bsrl (%1), %k0" : "+r"(a) : "r"((u64)UNCLAIMED) : "cc");
    expect_equal(a, 31, "BSR");
    asm volatile("stc; setc (%0); rorb (%0); incw (%0); negq (%0)" ::"r"((u64)UNCLAIMED) : "memory", "cc");
}

/* Loads from UNCLAIMED into EAX or EDX, as the code says. */
static void expect_load(volatile u8 *code, bool to_edx, const char *what)
{
    u64 eax = 0, edx = 0;

    cpuid(0, 0); /* what was written as data is fetched */
    asm volatile("call *%2" : "+a"(eax), "+d"(edx) : "r"(code), "D"((u64)UNCLAIMED) : "memory");
    expect((to_edx ? edx : eax) == 0xffffffff && (to_edx ? eax : edx) == 0, "%s: EAX 0x%llx, EDX 0x%llx",
           what, (ull)eax, (ull)edx);
}

/* The same address with other code behind it: by other page tables, or written. */
static void test_code_changes(void)
{
    static const u8 load_eax[] = {0x8b, 0x07, 0xc3}, load_edx[] = {0x8b, 0x17, 0xc3};
    volatile u8 *a, *b, *code;

    if (skip_on_tcg())
        return;
    if (!boot_page_is_free(CODE_A) || !boot_page_is_free(CODE_B)) {
        smoke_skip("not enough memory");
        return;
    }
    a = window_map(1, CODE_A + OFFSET, PTE_P | PTE_W);
    b = window_map(2, CODE_B + OFFSET, PTE_P | PTE_W);
    memcpy((void *)a, load_eax, sizeof(load_eax));
    memcpy((void *)b, load_edx, sizeof(load_edx));
    for (u32 i = 0; i < 3; i++) {
        code = window_map(3, CODE_A + OFFSET, PTE_P | PTE_W);
        expect_load(code, false, "first");
        expect_load(code, false, "again");
        code = window_map(3, CODE_B + OFFSET, PTE_P | PTE_W);
        expect_load(code, true, "mapped anew");
        expect_load(code, true, "mapped anew, again");
    }
    b[1] = load_eax[1];
    expect_load(code, false, "written");
    b[1] = load_edx[1];
    expect_load(code, true, "written again");
}

const struct smoke_test mmio_tests[] = {
    {"mmio-sse", test_sse},           {"mmio-mmx", test_mmx},
    {"mmio-avx", test_avx},           {"mmio-more", test_more_instructions},
    {"mmio-code", test_code_changes}, {NULL, NULL},
};
