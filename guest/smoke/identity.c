/* SPDX-License-Identifier: MIT */
/* CPUID: leaves that agree with each other and with the machine. */
#include "guest/smoke/smoke.h"
#include "lib/string.h"

static void test_limits(void)
{
    u32 basic = cpuid(0, 0).eax, extended = cpuid(0x80000000, 0).eax;

    expect(basic >= 1 && basic < 0x100, "highest basic leaf 0x%x", basic);
    expect(extended >= 0x80000008 && extended < 0x80000100, "highest extended leaf 0x%x", extended);
    expect(cpuid(0x80000001, 0).edx & BIT(29), "no long mode in CPUID, but in use");
    expect(cpuid(1, 0).edx & BIT(6), "no PAE");
}

static void test_repeat(void)
{
    for (u32 leaf = 0; leaf <= cpuid(0, 0).eax; leaf++) {
        struct cpuid_regs a = cpuid(leaf, 0), b = cpuid(leaf, 0);

        expect(!memcmp(&a, &b, sizeof(a)), "leaf 0x%x changes", leaf);
    }
}

static void test_addresses(void)
{
    u32 eax = cpuid(0x80000008, 0).eax;

    expect((eax & 0xff) >= 32 && (eax & 0xff) <= 52, "%u physical address bits", eax & 0xff);
    expect((eax >> 8 & 0xff) == 48 || (eax >> 8 & 0xff) == 57, "%u linear address bits", eax >> 8 & 0xff);
}

/* Leaves 40000000H and on are meaningful exactly where CPUID.01H:ECX[31] is set. */
static void test_hypervisor(void)
{
    struct cpuid_regs r = cpuid(0x40000000, 0);
    char name[13] = {0};

    if (!under_hypervisor()) {
        smoke_skip("none");
        return;
    }
    memcpy(name, &r.ebx, 4);
    memcpy(name + 4, &r.ecx, 4);
    memcpy(name + 8, &r.edx, 4);
    printf("smoke: hypervisor '%s', highest leaf 0x%x\n", name, r.eax);
    expect(r.eax == 0 || (r.eax >= 0x40000000 && r.eax < 0x40010000), "highest leaf 0x%x", r.eax);
    expect(name[0] >= ' ' && name[0] < 127, "the vendor is not text");
}

/* Features that need others. */
static void test_dependencies(void)
{
    struct cpuid_regs l1 = cpuid(1, 0);
    u32 basic = cpuid(0, 0).eax;
    bool xsave = l1.ecx & BIT(26), avx = l1.ecx & BIT(28);

    expect(!avx || xsave, "AVX without XSAVE");
    expect(!xsave || basic >= 0xd, "XSAVE without leaf 0DH");
    if (basic >= 7) {
        u32 ebx = cpuid(7, 0).ebx;

        expect(!(ebx & BIT(5)) || avx, "AVX2 without AVX");
        expect(!(ebx & BIT(16)) || avx, "AVX512F without AVX");
    }
    if (xsave) {
        u32 supported = cpuid(0xd, 0).eax;

        expect(!(supported & 4) == !avx, "AVX in leaf 01H is %d, XCR0[2] in leaf 0DH is not", avx);
        expect(cpuid(0xd, 0).ecx >= 576, "area of %u bytes", cpuid(0xd, 0).ecx);
    }
}

static void test_user_features(void)
{
    u32 ecx = cpuid(1, 0).ecx;

    if (ecx & BIT(30)) {
        bool ok = false;

        for (u32 i = 0; i < 100 && !ok; i++)
            asm volatile("rdrand %%rax" : "=@ccc"(ok)::"rax");
        expect(ok, "RDRAND never delivers");
    }
    if (ecx & BIT(23)) {
        u64 n;

        asm volatile("popcnt %1, %0" : "=r"(n) : "r"(0xff00ull));
        expect_equal(n, 8, "POPCNT");
    }
}

const struct smoke_test cpuid_tests[] = {
    {"cpuid-limits", test_limits},
    {"cpuid-repeat", test_repeat},
    {"cpuid-addresses", test_addresses},
    {"cpuid-hypervisor", test_hypervisor},
    {"cpuid-dependencies", test_dependencies},
    {"cpuid-instructions", test_user_features},
    {NULL, NULL},
};
