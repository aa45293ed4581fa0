/* SPDX-License-Identifier: MIT */
/* CR0, CR3, CR4, CR8, EFER, XCR0 and the debug registers: good writes are kept, bad ones raise #GP and change
 * nothing. */
#include "guest/smoke/smoke.h"

struct feature {
    const char *name;
    u32 bit; /* of CR4 */
    u32 leaf;
    char reg; /* of CPUID: b, c or d */
    u8 cpuid_bit;
};

static const struct feature features[] = {
    {"DE", 3, 1, 'd', 2},      {"PSE", 4, 1, 'd', 3},       {"MCE", 6, 1, 'd', 7},
    {"PGE", 7, 1, 'd', 13},    {"OSFXSR", 9, 1, 'd', 24},   {"UMIP", 11, 7, 'c', 2},
    {"VMXE", 13, 1, 'c', 5},   {"SMXE", 14, 1, 'c', 6},     {"FSGSBASE", 16, 7, 'b', 0},
    {"PCIDE", 17, 1, 'c', 17}, {"OSXSAVE", 18, 1, 'c', 26}, {"SMEP", 20, 7, 'b', 7},
    {"SMAP", 21, 7, 'b', 20},  {"PKE", 22, 7, 'c', 3},      {"PKS", 24, 7, 'c', 31},
};

DEFINE_ATTEMPT(set_cr0, write_cr0(*(u64 *)arg))
DEFINE_ATTEMPT(set_cr3, write_cr3(*(u64 *)arg))
DEFINE_ATTEMPT(set_cr4, write_cr4(*(u64 *)arg))
DEFINE_ATTEMPT(set_cr8, write_cr8(*(u64 *)arg))
DEFINE_ATTEMPT(set_dr6, write_dr6(*(u64 *)arg))
DEFINE_ATTEMPT(set_dr7, write_dr7(*(u64 *)arg))
DEFINE_ATTEMPT(set_efer, wrmsr(MSR_EFER, *(u64 *)arg))
DEFINE_ATTEMPT(set_xcr0, xsetbv(0, *(u64 *)arg))
DEFINE_ATTEMPT(set_xcr1, xsetbv(1, *(u64 *)arg))
DEFINE_ATTEMPT(read_dr4, asm volatile(".byte 0x0f, 0x21, 0xe0" ::: "rax"))

static bool feature_present(const struct feature *f)
{
    struct cpuid_regs r;

    if (f->leaf > cpuid(0, 0).eax)
        return false;
    r = cpuid(f->leaf, 0);
    return (f->reg == 'b' ? r.ebx : f->reg == 'c' ? r.ecx : r.edx) & BIT(f->cpuid_bit);
}

static void expect_refused(void (*set)(void *), u64 value, const char *what)
{
    expect_vector(X_GP, set, &value, what);
}

static void test_cr0(void)
{
    static const u64 free_bits[] = {CR0_MP, CR0_EM, CR0_TS, CR0_WP, BIT(18), CR0_CD, CR0_CD | CR0_NW};
    u64 cr0 = read_cr0();

    expect(cr0 & BIT(4), "ET reads 0");
    for (u32 i = 0; i < ARRAY_SIZE(free_bits); i++) {
        u64 value = cr0 ^ free_bits[i];

        expect_vector(X_NONE, set_cr0, &value, "good write");
        expect_equal(read_cr0(), value, "CR0");
    }
    write_cr0(cr0);
}

static void test_cr0_bad(void)
{
    u64 cr0 = read_cr0();

    if (skip_on_tcg())
        return;
    expect_refused(set_cr0, cr0 & ~CR0_PE, "PG without PE");
    expect_refused(set_cr0, cr0 & ~CR0_PG, "PG cleared in 64-bit code");
    expect_refused(set_cr0, (cr0 | CR0_NW) & ~CR0_CD, "NW without CD");
    expect_refused(set_cr0, cr0 | BIT(32), "bit 32");
    expect_equal(read_cr0(), cr0, "CR0 after bad writes");
}

/* LMSW writes the low four bits and cannot clear PE. */
static void test_lmsw(void)
{
    u64 cr0 = read_cr0();

    asm volatile("lmsw %w0" ::"r"((cr0 | CR0_TS | CR0_MP) & ~CR0_PE));
    expect_equal(read_cr0(), cr0 | CR0_TS | CR0_MP, "CR0 after LMSW");
    asm volatile("clts");
    write_cr0(cr0);
}

static void test_cr4(void)
{
    u64 cr4 = read_cr4();

    for (u32 i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        u64 value = cr4 | BIT(f->bit);
        int vector;

        if (!feature_present(f))
            continue;
        vector = try_call(set_cr4, &value);
        expect(vector == X_NONE, "%s: vector %d", f->name, vector);
        expect(read_cr4() == value, "%s: CR4 0x%llx", f->name, (ull)read_cr4());
        write_cr4(cr4);
    }
    expect_equal(read_cr4(), cr4, "CR4");
}

static void test_cr4_bad(void)
{
    u64 cr4 = read_cr4();

    if (skip_on_tcg())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(features); i++) {
        bool smxe = features[i].bit == 14; /* Bochs' Arrandale accepts it without showing it */

        if (!feature_present(&features[i]) && (!smxe || under_hypervisor()))
            expect_refused(set_cr4, cr4 | BIT(features[i].bit), features[i].name);
    }
    expect_refused(set_cr4, cr4 & ~CR4_PAE, "PAE cleared in long mode");
    expect_refused(set_cr4, cr4 ^ BIT(12), "LA57 changed in long mode");
    expect_refused(set_cr4, cr4 | BIT(15), "bit 15");
    expect_refused(set_cr4, cr4 | BIT(31), "bit 31");
    expect_refused(set_cr4, cr4 | BIT(63), "bit 63");
    expect_equal(read_cr4(), cr4, "CR4 after bad writes");
}

static void test_osxsave(void)
{
    u64 cr4 = read_cr4();

    if (!(cpuid(1, 0).ecx & BIT(26))) {
        smoke_skip("no XSAVE");
        return;
    }
    expect(!(cpuid(1, 0).ecx & BIT(27)), "CPUID shows OSXSAVE without CR4.OSXSAVE");
    write_cr4(cr4 | CR4_OSXSAVE);
    expect(cpuid(1, 0).ecx & BIT(27), "CPUID does not show CR4.OSXSAVE");
    write_cr4(cr4);
}

static void test_cr3(void)
{
    u64 cr3 = read_cr3(), value = cr3 | BIT(3) | BIT(4);

    expect_vector(X_NONE, set_cr3, &value, "PWT and PCD");
    expect_equal(read_cr3(), value, "CR3");
    write_cr3(cr3);
    if (under_tcg())
        return;
    expect_refused(set_cr3, cr3 | BIT(63), "bit 63 without PCIDs");
    if ((cpuid(0x80000008, 0).eax & 0xff) < 51)
        expect_refused(set_cr3, cr3 | BIT(51), "bit 51");
    expect_equal(read_cr3(), cr3, "CR3 after bad writes");
}

static void test_pcid(void)
{
    u64 cr3 = read_cr3(), cr4 = read_cr4(), value;

    if (skip_on_tcg())
        return;
    if (!(cpuid(1, 0).ecx & BIT(17))) {
        smoke_skip("no PCIDs");
        return;
    }
    write_cr4(cr4 | CR4_PCIDE);
    value = cr3 | 5;
    expect_vector(X_NONE, set_cr3, &value, "PCID 5");
    value = cr3 | 5 | BIT(63);
    expect_vector(X_NONE, set_cr3, &value, "PCID 5, TLB kept");
    expect_equal(read_cr3(), cr3 | 5, "CR3");
    expect_refused(set_cr0, read_cr0() & ~CR0_PG, "PG cleared with PCIDE");
    write_cr3(cr3);
    write_cr4(cr4);
    write_cr3(cr3 | 0x18);
    value = cr4 | CR4_PCIDE;
    expect_vector(X_GP, set_cr4, &value, "PCIDE with CR3[11:0] not 0");
    write_cr3(cr3);
}

static void test_cr8(void)
{
    for (u64 v = 0; v < 16; v++) {
        expect_vector(X_NONE, set_cr8, &v, "good write");
        expect_equal(read_cr8(), v, "CR8");
    }
    write_cr8(0);
    if (!under_tcg())
        expect_refused(set_cr8, 16, "CR8 = 16");
}

static void test_efer(void)
{
    u64 efer = rdmsr(MSR_EFER);
    u64 bits[] = {EFER_SCE, EFER_NXE};

    expect(efer & EFER_LMA, "LMA reads 0 in 64-bit mode");
    for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
        u64 value = efer ^ bits[i];

        expect_vector(X_NONE, set_efer, &value, "good write");
        expect_equal(rdmsr(MSR_EFER), value, "EFER");
    }
    wrmsr(MSR_EFER, efer);
}

static void test_efer_bad(void)
{
    u64 efer = rdmsr(MSR_EFER);

    if (skip_on_tcg())
        return;
    expect_refused(set_efer, efer & ~EFER_LME, "LME cleared with PG");
    expect_refused(set_efer, efer | BIT(1), "bit 1");
    expect_refused(set_efer, efer | BIT(9), "bit 9");
    expect_refused(set_efer, efer | BIT(63), "bit 63");
    expect_equal(rdmsr(MSR_EFER), efer, "EFER after bad writes");
}

static void test_xcr0(void)
{
    u64 cr4 = read_cr4(), supported;

    if (!(cpuid(1, 0).ecx & BIT(26))) {
        smoke_skip("no XSAVE");
        return;
    }
    write_cr4(cr4 | CR4_OSXSAVE);
    supported = cpuid(0xd, 0).eax | (u64)cpuid(0xd, 0).edx << 32;
    expect((supported & 3) == 3, "CPUID.0DH says 0x%llx", (ull)supported);
    for (u64 value = 1; value <= 7; value += 2) {
        bool good = !(value & ~supported) && value != 5;

        expect_vector(good ? X_NONE : X_GP, set_xcr0, &value, "x87, SSE, AVX");
        if (good) {
            expect_equal(xgetbv(0), value, "XCR0");
            expect_equal(cpuid(0xd, 0).ebx, value & 4 ? 832 : 576, "CPUID.0DH:EBX");
        }
    }
    xsetbv(0, 1);
    expect_refused(set_xcr0, 0, "no x87");
    expect_refused(set_xcr0, 2, "SSE without x87");
    expect_refused(set_xcr0, 1 | BIT(62), "bit 62");
    expect_refused(set_xcr1, 1, "XCR1");
    expect_equal(xgetbv(0), 1, "XCR0 after bad writes");
    write_cr4(cr4);
    expect_vector(X_UD, set_xcr0, &supported, "XSETBV without CR4.OSXSAVE");
}

static void test_dr(void)
{
    u64 cr4 = read_cr4();

    asm volatile("mov %0, %%dr0; mov %0, %%dr3" ::"r"(0x123456789abcull));
    expect_equal(read_dr0(), 0x123456789abc, "DR0");
    asm volatile("mov %0, %%dr0; mov %0, %%dr3" ::"r"(0ull));
    expect_refused(set_dr7, BIT(32), "DR7 bit 32");
    expect_refused(set_dr6, BIT(32), "DR6 bit 32");
    write_dr7(0);
    expect_equal(read_dr7(), 0x400, "DR7");
    expect_vector(X_NONE, read_dr4, NULL, "DR4 without CR4.DE");
    write_cr4(cr4 | CR4_DE);
    expect_vector(X_UD, read_dr4, NULL, "DR4 with CR4.DE");
    write_cr4(cr4);
}

const struct smoke_test control_tests[] = {
    {"cr0", test_cr0},
    {"cr0-bad", test_cr0_bad},
    {"cr0-lmsw", test_lmsw},
    {"cr3", test_cr3},
    {"cr3-pcid", test_pcid},
    {"cr4", test_cr4},
    {"cr4-bad", test_cr4_bad},
    {"cr4-osxsave", test_osxsave},
    {"cr8", test_cr8},
    {"efer", test_efer},
    {"efer-bad", test_efer_bad},
    {"xcr0", test_xcr0},
    {"dr", test_dr},
    {NULL, NULL},
};
