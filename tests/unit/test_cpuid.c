/* SPDX-License-Identifier: MIT */
/* links: lib/format.c vmm/cpuid.c vmm/cpuid_leaves.c vmm/cpuid_table.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/asm.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"
#include "guest/pv/nidus.h"
#include "lib/packed.h"
#include "vmm/config.h"
#include "vmm/cpuid.h"
#include "vmm/cpuid_table.h"

#define ALL_GRANTED (BIT(VMX_NR_FEATURES) - 1)
#define HZ          2900000000ull
#define B(n)        ((u32)BIT(n))

/* --- the CPU below: everything set, or as a test wants --- */

enum { FULL, BARE, RANDOM };

static struct {
    int kind;
    u32 max_basic, max_extended, max_sub7, seed;
    u32 component_align; /* bit n: component n of XSAVE is aligned in the compacted format */
    u32 avx_size;
} cpu;

/* Offsets and sizes of XSAVE components on CPUs with AVX-512 and PKRU. */
static const struct {
    u32 component, size, offset;
} components[] = {{2, 256, 576}, {5, 64, 1088}, {6, 512, 1152}, {7, 1024, 1664}, {9, 8, 2688}};

static u32 mix(u32 x)
{
    x = (x ^ x >> 16) * 0x45d9f3b;
    x = (x ^ x >> 16) * 0x45d9f3b;
    return x ^ x >> 16;
}

static struct cpuid_regs component(u32 subleaf)
{
    struct cpuid_regs r = {0};

    for (size_t i = 0; i < ARRAY_SIZE(components); i++)
        if (components[i].component == subleaf) {
            r.eax = subleaf == 2 ? cpu.avx_size : components[i].size;
            r.ebx = components[i].offset;
            r.ecx = cpu.component_align >> subleaf & 1 ? 2 : 0;
        }
    return r;
}

static u32 bits(u32 leaf, u32 subleaf, u32 reg)
{
    if (cpu.kind == RANDOM)
        return mix(cpu.seed ^ mix(leaf * 16 + subleaf * 4 + reg));
    return cpu.kind == FULL ? ~0u : 0;
}

static struct cpuid_regs host(u32 leaf, u32 subleaf)
{
    static const struct cpuid_regs caches[] = {
        {0xfc004121, 0x01c0003f, 63, 0},   /* L1 data, cores and sharing as of a big package */
        {0xfc004122, 0x01c0003f, 63, 0},   /* L1 code */
        {0xfc004143, 0x03c0003f, 1023, 0}, /* L2 */
        {0xfc1fc163, 0x0280003f, 24575, 4} /* L3 */
    };
    u32 max = leaf & 0x80000000u ? cpu.max_extended : cpu.max_basic;

    /* As Intel's do: beyond the maximum there is something, which means nothing. */
    if (leaf > max)
        return (struct cpuid_regs){~0u, ~0u, ~0u, ~0u};
    if (leaf == 0)
        return (struct cpuid_regs){cpu.max_basic, 0x756e6547, 0x6c65746e, 0x49656e69};
    if (leaf == 0x80000000)
        return (struct cpuid_regs){cpu.max_extended, 0, 0, 0};
    if (leaf == 4)
        return subleaf < ARRAY_SIZE(caches) ? caches[subleaf] : (struct cpuid_regs){0};
    if (leaf == 7 && subleaf > cpu.max_sub7)
        return (struct cpuid_regs){0};
    if (leaf == 7 && subleaf == 0)
        return (struct cpuid_regs){cpu.max_sub7, bits(7, 0, 1), bits(7, 0, 2), bits(7, 0, 3)};
    if (leaf == 0xd && subleaf >= 2)
        return component(subleaf);
    if (leaf == 0x80000008)
        return (struct cpuid_regs){0x3934, bits(leaf, 0, 1), bits(leaf, 0, 2), bits(leaf, 0, 3)};
    return (struct cpuid_regs){bits(leaf, subleaf, 0), bits(leaf, subleaf, 1), bits(leaf, subleaf, 2),
                               bits(leaf, subleaf, 3)};
}

static struct cpuid_env env;
static struct config_vm config;
static struct guest_cpuid guest;
static struct cpuid_dynamic now;

static int start(void **state)
{
    (void)state;
    cpu.kind = FULL;
    cpu.max_basic = 0x20;
    cpu.max_extended = 0x80000008;
    cpu.max_sub7 = 2;
    cpu.component_align = 0;
    cpu.avx_size = 256;
    env = (struct cpuid_env){host, HZ, ALL_GRANTED, 2, 1, true};
    memset(&config, 0, sizeof(config));
    now = (struct cpuid_dynamic){.cr4 = CR4_OSXSAVE | CR4_PKE, .xcr0 = 1, .apic_enabled = true};
    return 0;
}

static void hide(const char *name)
{
    strcpy(config.hide[config.nr_hide++], name);
}

static struct cpuid_leaf ask(u32 leaf, u32 subleaf)
{
    struct cpuid_leaf r;

    guest_cpuid_query(&guest, &now, leaf, subleaf, &r);
    return r;
}

static u32 ask_reg(u32 leaf, u32 subleaf, u32 reg)
{
    struct cpuid_leaf r = ask(leaf, subleaf);
    u32 all[] = {r.eax, r.ebx, r.ecx, r.edx};

    return all[reg];
}

static struct cpuid_leaf build_and_ask(u32 leaf, u32 subleaf)
{
    guest_cpuid_build(&guest, &env, &config);
    return ask(leaf, subleaf);
}

static const char *feature_name(enum cpuid_feature f)
{
    return packed_nth(cpuid_feature_names, f);
}

static bool shown(enum cpuid_feature f)
{
    const struct cpuid_feature_row *row = &cpuid_features[f];

    return ask_reg(row->leaf, row->subleaf, row->reg) >> row->bit & 1;
}

static void assert_same(struct cpuid_leaf a, struct cpuid_leaf b)
{
    assert_memory_equal(&a, &b, sizeof(a));
}

/* --- what is shown, written down once more from the SDM --- */

static const struct {
    u32 leaf, subleaf, reg;
    u32 may;      /* shown if the CPU has them */
    u32 emulated; /* shown on any CPU with a TSC */
} expected[] = {
    {1, 0, CPUID_ECX,
     B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(27) |
         B(28) | B(29) | B(30),
     B(21) | B(24) | B(31)},
    {1, 0, CPUID_EDX, (u32)BITS(8, 0) | B(11) | B(13) | (u32)BITS(17, 15) | B(19) | (u32)BITS(27, 23),
     B(7) | B(9) | B(12) | B(14) | B(28)},
    {6, 0, CPUID_EAX, 0, B(2)},
    {6, 0, CPUID_EBX, 0, 0},
    {6, 0, CPUID_ECX, 0, 0},
    {7, 0, CPUID_EBX, ~(B(1) | B(2) | B(4) | B(11) | B(12) | B(14) | B(15) | B(22) | B(25)), B(1)},
    {7, 0, CPUID_ECX, (u32)BITS(6, 0) | (u32)BITS(12, 8) | B(14) | B(22) | B(25) | B(27) | B(28), 0},
    {7, 0, CPUID_EDX, (u32)BITS(4, 2) | B(8) | B(10) | B(14) | B(23) | (u32)BITS(29, 26) | B(31), 0},
    {7, 1, CPUID_EAX, (u32)BITS(5, 0) | B(7) | (u32)BITS(12, 10) | B(23), 0},
    {7, 1, CPUID_EBX, 0, 0},
    {7, 1, CPUID_ECX, 0, 0},
    {7, 1, CPUID_EDX, B(4) | B(5) | B(10) | B(14), 0},
    {7, 2, CPUID_EDX, (u32)BITS(5, 0), 0},
    {0xd, 1, CPUID_EAX, (u32)BITS(3, 0), 0},
    {0xd, 1, CPUID_ECX, 0, 0},
    {0xd, 1, CPUID_EDX, 0, 0},
    {0x80000001, 0, CPUID_EAX, 0, 0},
    {0x80000001, 0, CPUID_ECX, B(0) | B(5) | B(8), 0},
    {0x80000001, 0, CPUID_EDX, B(11) | B(20) | B(26) | B(27) | B(29), 0},
    {0x80000007, 0, CPUID_EDX, B(8), 0},
    {0x80000008, 0, CPUID_EBX, B(9), 0},
};

static void test_policy_on_full_cpu(void **state)
{
    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(ask_reg(expected[i].leaf, expected[i].subleaf, expected[i].reg),
                         expected[i].may | expected[i].emulated);
}

/* No bit is shown that the CPU lacks, unless Nidus provides it. */
static void test_nothing_made_up(void **state)
{
    (void)state;
    cpu.kind = RANDOM;
    for (cpu.seed = 1; cpu.seed <= 500; cpu.seed++) {
        cpu.max_basic = 0xd + cpu.seed % 0x15;
        cpu.max_sub7 = cpu.seed % 4;
        env.vmx_granted = (u64)mix(cpu.seed) << 32 | mix(~cpu.seed);
        guest_cpuid_build(&guest, &env, &config);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
            struct cpuid_regs r = host(expected[i].leaf, expected[i].subleaf);
            u32 all[] = {r.eax, r.ebx, r.ecx, r.edx};
            u32 is = ask_reg(expected[i].leaf, expected[i].subleaf, expected[i].reg);
            u32 run = expected[i].leaf == 1 && expected[i].reg == CPUID_ECX && (all[2] & B(26)) ? B(27) : 0;

            if (expected[i].leaf == 7 && expected[i].reg == CPUID_ECX && all[2] & B(3))
                run = B(4);
            assert_int_equal(is & ~((all[expected[i].reg] & expected[i].may) | expected[i].emulated | run),
                             0);
        }
    }
}

static void test_dependencies_hold(void **state)
{
    (void)state;
    cpu.kind = RANDOM;
    for (cpu.seed = 1; cpu.seed <= 500; cpu.seed++) {
        guest_cpuid_build(&guest, &env, &config);
        for (u32 i = 0; i < cpuid_nr_needs; i++)
            assert_true(!shown(cpuid_needs[i].feature) || shown(cpuid_needs[i].needs));
    }
}

static void test_bare_cpu(void **state)
{
    (void)state;
    cpu.kind = BARE;
    cpu.max_basic = 5;
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(ask(1, 0).ecx, B(31) | B(21));
    assert_int_equal(ask(1, 0).edx, B(7) | B(9) | B(12) | B(14) | B(28));
    assert_same(ask(7, 0), (struct cpuid_leaf){0});
    assert_same(ask(0xd, 0), (struct cpuid_leaf){0});
    assert_same(ask(0xd, 1), (struct cpuid_leaf){0});
    assert_int_equal(guest.xcr0_allowed, 0);
    assert_int_equal(guest.efer_allowed, 0);
    assert_int_equal(guest.cr4_allowed, CR4_PCE | CR4_MCE);
    assert_false(guest.has_spec_ctrl || guest.has_rdtscp || guest.has_xsaves || guest.has_umwait ||
                 guest.cpu_tsc_aux);
    assert_int_equal(guest.max_basic, 0x16);
}

static void test_each_row_alone(void **state)
{
    (void)state;
    config.nr_channels = 1;
    guest_cpuid_build(&guest, &env, &config);
    for (u32 f = 0; f < CPUID_NR_FEATURES; f++) {
        assert_int_equal(shown(f), cpuid_features[f].policy != CPUID_OFF && f != CF_VMX && f != CF_PV_NESTED);
        for (u32 g = 0; g < f; g++) {
            assert_string_not_equal(feature_name(f), feature_name(g));
            assert_false(cpuid_features[f].leaf == cpuid_features[g].leaf &&
                         cpuid_features[f].subleaf == cpuid_features[g].subleaf &&
                         cpuid_features[f].reg == cpuid_features[g].reg &&
                         cpuid_features[f].bit == cpuid_features[g].bit);
        }
    }
}

/* --- hide --- */

static void test_hide_each(void **state)
{
    (void)state;
    for (u32 f = 0; f < CPUID_NR_FEATURES; f++) {
        config.nr_hide = 0;
        hide(feature_name(f));
        guest_cpuid_build(&guest, &env, &config);
        assert_false(shown(f));
        for (u32 i = 0; i < cpuid_nr_needs; i++)
            assert_true(!shown(cpuid_needs[i].feature) || shown(cpuid_needs[i].needs));
        for (u32 i = 0; i < cpuid_nr_effects; i++) {
            const struct cpuid_effect *e = &cpuid_effects[i];

            /* CR4.CET belongs to two features, neither of which is shown anyway. */
            if (e->feature == f)
                assert_int_equal((guest.cr4_allowed & e->cr4) | (guest.xcr0_allowed & e->xcr0) |
                                     (guest.efer_allowed & e->efer) |
                                     (guest.spec_ctrl_allowed & e->spec_ctrl),
                                 0);
        }
    }
}

static void test_hide_avx(void **state)
{
    static const enum cpuid_feature gone[] = {
        CF_AVX,         CF_AVX2,        CF_FMA,           CF_F16C,          CF_VAES,        CF_VPCLMULQDQ,
        CF_AVX512F,     CF_AVX512DQ,    CF_AVX512BW,      CF_AVX512VL,      CF_AVX512CD,    CF_AVX512_VBMI,
        CF_AVX512_VNNI, CF_AVX512_FP16, CF_AVX512_BITALG, CF_AVX512_4FMAPS, CF_AVX512_IFMA, CF_AVX_VNNI,
        CF_AVX_IFMA,    CF_SHA512,      CF_SM4,
    };

    (void)state;
    hide("AVX");
    guest_cpuid_build(&guest, &env, &config);
    for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
        assert_false(shown(gone[i]));
    assert_true(shown(CF_XSAVE) && shown(CF_SSE4_2) && shown(CF_AESNI) && shown(CF_PKU));
    assert_int_equal(guest.xcr0_allowed, BIT(0) | BIT(1) | BIT(9));
    assert_int_equal(ask(0xd, 0).eax, BIT(0) | BIT(1) | BIT(9));
    assert_int_equal(ask(0xd, 0).ecx, 2688 + 8);
    assert_same(ask(0xd, 2), (struct cpuid_leaf){0});
}

static void test_hide_xsave(void **state)
{
    (void)state;
    hide("XSAVE");
    guest_cpuid_build(&guest, &env, &config);
    assert_false(shown(CF_AVX2) || shown(CF_PKU) || shown(CF_XSAVES) || shown(CF_OSXSAVE) || shown(CF_OSPKE));
    assert_int_equal(guest.cr4_allowed & (CR4_OSXSAVE | CR4_PKE), 0);
    assert_int_equal(guest.xcr0_allowed, 0);
    for (u32 sub = 0; sub < 10; sub++)
        assert_same(ask(0xd, sub), (struct cpuid_leaf){0});
    assert_false(guest.has_xsaves);
}

static void test_hide_several_and_any_spelling(void **state)
{
    (void)state;
    hide("tsc-deadline");
    hide("SSE4.1");
    hide("x2apic");
    hide("EPT");
    guest_cpuid_build(&guest, &env, &config);
    assert_false(shown(CF_TSC_DEADLINE) || shown(CF_SSE4_1) || shown(CF_SSE4_2) || shown(CF_X2APIC));
    assert_true(shown(CF_SSSE3) && shown(CF_APIC));
    assert_false(guest.has_tsc_deadline || guest.has_x2apic);
    assert_true(guest.has_tsc_adjust && guest.has_rdtscp);
    assert_int_equal(guest.nested_hidden, BIT(VX_EPT));
    hide("zero length injection");
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(guest.nested_hidden, BIT(VX_EPT) | BIT(VX_ZERO_LENGTH_INJECTION));
}

static void test_names(void **state)
{
    static const char *const known[] = {"SSE3", "AVX2",   "PCLMULQDQ", "X2APIC", "TSC_DEADLINE",       "VMX",
                                        "EPT",  "VPID",   "SGX",       "DS-CPL", "UNRESTRICTED_GUEST", "avx",
                                        "LM",   "RDTSCP", "INVPCID",   "PML"};
    static const char *const unknown[] = {"", "AV", "AVX3", "AVX2 ", "_AVX", "EPTX"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        assert_true(cpuid_feature_known(known[i]));
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        assert_false(cpuid_feature_known(unknown[i]));
    for (u32 f = 0; f < CPUID_NR_FEATURES; f++)
        for (u32 i = 0; i < VX_NONE; i++)
            assert_string_not_equal(feature_name(f), packed_nth(cpuid_vmx_names, i));
}

static void test_nested(void **state)
{
    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    assert_false(shown(CF_VMX) || guest.has_vmx);
    assert_int_equal(guest.cr4_allowed & CR4_VMXE, 0);
    config.nested = true;
    guest_cpuid_build(&guest, &env, &config);
    assert_true(shown(CF_VMX) && guest.has_vmx);
    assert_int_equal(guest.cr4_allowed & CR4_VMXE, CR4_VMXE);
    hide("VMX");
    guest_cpuid_build(&guest, &env, &config);
    assert_false(shown(CF_VMX) || guest.has_vmx);
    assert_int_equal(guest.cr4_allowed & CR4_VMXE, 0);
    config.nr_hide = 0;
    cpu.kind = BARE;
    guest_cpuid_build(&guest, &env, &config);
    assert_false(shown(CF_VMX));
}

/* --- VMX controls --- */

static void test_vmx_controls(void **state)
{
    static const struct {
        enum vmx_feature control;
        enum cpuid_feature feature;
    } rows[] = {{VF_RDTSCP, CF_RDTSCP},
                {VF_RDTSCP, CF_RDPID},
                {VF_INVPCID, CF_INVPCID},
                {VF_XSAVES, CF_XSAVES},
                {VF_USER_WAIT, CF_WAITPKG}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        env.vmx_granted = ALL_GRANTED & ~BIT(rows[i].control);
        guest_cpuid_build(&guest, &env, &config);
        assert_false(shown(rows[i].feature));
        env.vmx_granted = BIT(rows[i].control);
        guest_cpuid_build(&guest, &env, &config);
        assert_true(shown(rows[i].feature));
        assert_int_equal(guest.vmx_granted, BIT(rows[i].control));
    }
    env.vmx_granted = 0;
    guest_cpuid_build(&guest, &env, &config);
    assert_false(guest.has_rdtscp || guest.has_xsaves || guest.has_umwait);
    assert_true(guest.cpu_tsc_aux && guest.cpu_spec_ctrl && guest.cpu_umwait);
}

static void test_hidden_instructions_take_their_control(void **state)
{
    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(guest.vmx_hidden, 0);
    hide("RDTSCP");
    hide("WAITPKG");
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(guest.vmx_hidden, BIT(VF_USER_WAIT));
    hide("RDPID"); /* the other one that the control is for */
    hide("XSAVE");
    hide("PCID");
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(guest.vmx_hidden, BIT(VF_USER_WAIT) | BIT(VF_RDTSCP) | BIT(VF_XSAVES) | BIT(VF_INVPCID));
}

static void test_control_bits(void **state)
{
    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(guest.cr4_allowed, CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE |
                                            CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP |
                                            CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP |
                                            CR4_PKE);
    assert_int_equal(guest.xcr0_allowed, 0x2e7);
    assert_int_equal(guest.efer_allowed, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    assert_int_equal(guest.spec_ctrl_allowed, 0x5ff);
    assert_true(guest.has_spec_ctrl && guest.has_pred_cmd && guest.has_flush_cmd &&
                guest.has_arch_capabilities);
    assert_true(guest.has_mtrr && guest.has_pat && guest.has_mca && guest.has_xsaves && guest.has_umwait);
    hide("IBRS_IBPB");
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(guest.spec_ctrl_allowed, BIT(1) | BIT(2) | BIT(7));
    assert_false(guest.has_pred_cmd);
}

/* --- numbers --- */

static void test_vendor_and_signature(void **state)
{
    struct cpuid_leaf r = build_and_ask(0, 0);

    (void)state;
    assert_same(r, (struct cpuid_leaf){0x1f, 0x756e6547, 0x6c65746e, 0x49656e69});
    r = ask(0x40000000, 0);
    assert_int_equal(r.eax, 0x40000001);
    assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0", 12);
    r = ask(0x40000100, 0);
    assert_int_equal(r.eax, 0x40000102);
    assert_memory_equal(&r.ebx, "NidusNidus\0", 12);
    assert_int_equal(ask(0x40000101, 0).ebx, NIDUS_ABI_VERSION);
    assert_int_equal(ask(0x40000101, 0).ecx, NIDUS_MSR_FIRST);
    assert_same(ask(0x40000102, 0), (struct cpuid_leaf){NIDUS_SLOTS, NIDUS_NR_OPS, HZ / 1000, 0});
    assert_same(ask(0x40000002, 0), (struct cpuid_leaf){0});
    assert_same(ask(0x40000103, 0), (struct cpuid_leaf){0});
    assert_same(ask(0x4fffffff, 0), (struct cpuid_leaf){0});
    assert_int_equal(ask(1, 0).eax, 0x0fff3fff);
    assert_int_equal(ask(0x80000000, 0).eax, 0x80000008);
    assert_int_equal(ask(0x80000003, 0).ebx, ~0u);
    assert_same(ask(0x80000008, 0), (struct cpuid_leaf){0x3034, B(9), 0, 0});
    assert_int_equal(guest.maxphyaddr, 52);
    assert_int_equal(guest.linear_bits, 48);
}

static void test_closed_leaves(void **state)
{
    static const u32 closed[] = {3,    5,    8,    9,    0xa,  0xc,  0xe,  0xf,  0x10, 0x11, 0x12,
                                 0x13, 0x14, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x80000005};

    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        for (u32 sub = 0; sub < 3; sub++)
            assert_same(ask(closed[i], sub), (struct cpuid_leaf){0});
}

/* Where ids have gaps; leaf 4 and leaf 1 say what their fields can hold. */
static void test_sparse_ids(void **state)
{
    static const struct {
        u32 max, shift, of_leaf1, cores, sharing;
    } rows[] = {{7, 3, 8, 7, 7},
                {64, 7, 128, 63, 127},
                {128, 8, 255, 63, 255},
                {300, 9, 255, 63, 511},
                {0x7fff, 15, 255, 63, 0xfff}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        env.nr_vcpus = 3;
        env.max_apic_id = now.apic_id = rows[i].max;
        guest_cpuid_build(&guest, &env, &config);
        assert_int_equal(ask(1, 0).ebx, 0xffff | rows[i].of_leaf1 << 16 | (rows[i].max & 0xff) << 24);
        for (u32 leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
            assert_same(ask(leaf, 0), (struct cpuid_leaf){0, 1, 0x100, rows[i].max});
            assert_same(ask(leaf, 1), (struct cpuid_leaf){rows[i].shift, 3, 0x201, rows[i].max});
        }
        assert_int_equal(ask(4, 3).eax >> 26, rows[i].cores);
        assert_int_equal(ask(4, 3).eax >> 14 & 0xfff, rows[i].sharing);
        assert_int_equal(ask(4, 0).eax >> 14 & 0xfff, 0);
    }
}

static void test_beyond_maximum(void **state)
{
    static const u32 beyond[] = {0x20,       0x21,       0x3fffffff, 0x50000000,
                                 0x7fffffff, 0x80000009, 0x8fffffff, 0xffffffff};

    (void)state;
    now.apic_id = 1;
    guest_cpuid_build(&guest, &env, &config);
    for (size_t i = 0; i < ARRAY_SIZE(beyond); i++)
        for (u32 sub = 0; sub < 3; sub++)
            assert_same(ask(beyond[i], sub), ask(0x1f, sub));
    assert_int_equal(ask(0x20, 1).ebx, 2);

    cpu.max_basic = 0xd;
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(ask(0, 0).eax, 0x16);
    assert_same(ask(0x17, 0), ask(0x16, 0));
    assert_same(ask(0x1f, 1), ask(0x16, 0));
    assert_int_equal(ask(0x1f, 1).eax, HZ / 1000000);

    hide("HYPERVISOR");
    guest_cpuid_build(&guest, &env, &config);
    assert_same(ask(0x40000000, 0), ask(0x16, 0));
    assert_same(ask(0x40000100, 0), ask(0x16, 0));
    assert_int_equal(guest.max_hypervisor, 0);
    assert_false(guest.has_kvm_clock || guest.has_steal_time || guest.has_pv_eoi || guest.has_pv_calls);
}

/* Each paravirtual feature can be hidden, and takes with it what depends on it. */
static void test_paravirtual(void **state)
{
    struct cpuid_leaf r;

    (void)state;
    build_and_ask(0, 0);
    assert_true(guest.has_kvm_clock && guest.has_kvm_clock_old && guest.has_steal_time && guest.has_pv_eoi);
    assert_true(guest.has_pv_calls && guest.has_pv_queue);
    assert_int_equal(ask(0x40000001, 0).eax & 0x0100aaeb, 0x0100aaeb);
    assert_true(ask(0x40000101, 0).eax & NIDUS_HAS_POLL);
    env.polled = false;
    guest_cpuid_build(&guest, &env, &config);
    assert_false(ask(0x40000101, 0).eax & NIDUS_HAS_POLL);
    hide("KVM_CLOCK");
    hide("KVM_STEAL_TIME");
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(ask(0x40000001, 0).eax & 0x0100aaeb, 0x0000a8c2);
    assert_false(guest.has_kvm_clock || guest.has_kvm_clock_old || guest.has_steal_time);
    hide("KVM");
    guest_cpuid_build(&guest, &env, &config);
    r = ask(0x40000000, 0);
    assert_int_equal(r.eax, 0x40000000);
    assert_memory_equal(&r.ebx, "NidusNidus\0", 12);
    assert_same(ask(0x40000001, 0), (struct cpuid_leaf){0});
    assert_int_equal(ask(0x40000101, 0).eax & NIDUS_HAS_KVM, 0);
    hide("PV_CALLS");
    guest_cpuid_build(&guest, &env, &config);
    assert_int_equal(ask(0x40000101, 0).eax, 0);
    assert_int_equal(ask(0x40000101, 0).ecx, 0);
    assert_false(guest.has_pv_calls || guest.has_pv_queue);
}

static void test_topology(void **state)
{
    static const struct {
        u32 vcpus, shift;
    } rows[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {8, 3}, {9, 4}, {33, 6}, {64, 6}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        u32 n = rows[i].vcpus, shift = rows[i].shift, ids = 1u << shift;

        env.nr_vcpus = n;
        env.max_apic_id = now.apic_id = n - 1;
        guest_cpuid_build(&guest, &env, &config);
        assert_int_equal(shown(CF_HTT), n > 1);
        assert_int_equal(ask(1, 0).ebx, 0xffff | ids << 16 | (n - 1) << 24);
        for (u32 leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
            assert_same(ask(leaf, 0), (struct cpuid_leaf){0, 1, 0x100, n - 1});
            assert_same(ask(leaf, 1), (struct cpuid_leaf){shift, n, 0x201, n - 1});
            assert_same(ask(leaf, 2), (struct cpuid_leaf){0, 0, 2, n - 1});
            assert_same(ask(leaf, 0x1ff), (struct cpuid_leaf){0, 0, 0xff, n - 1});
        }
        for (u32 sub = 0; sub < 4; sub++) {
            struct cpuid_leaf r = ask(4, sub);
            struct cpuid_regs h = host(4, sub);

            assert_int_equal(r.eax >> 26, ids - 1);
            assert_int_equal(r.eax >> 14 & 0xfff, sub == 3 ? ids - 1 : 0);
            assert_int_equal(r.eax & 0x3ff, h.eax & 0x3ff);
            assert_int_equal(r.ebx, h.ebx);
            assert_int_equal(r.ecx, h.ecx);
            assert_int_equal(r.edx, h.edx);
        }
        assert_same(ask(4, 4), (struct cpuid_leaf){0});
    }
}

static void test_xsave_sizes(void **state)
{
    static const struct {
        u64 xcr0;
        u32 standard, compacted;
    } rows[] = {{0x1, 576, 576},    {0x3, 576, 576},    {0x7, 832, 832},    {0xe7, 2688, 2432},
                {0x203, 2696, 584}, {0x207, 2696, 840}, {0x2e7, 2696, 2440}};

    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        now.xcr0 = rows[i].xcr0;
        assert_same(ask(0xd, 0), (struct cpuid_leaf){0x2e7, rows[i].standard, 2696, 0});
        assert_same(ask(0xd, 1), (struct cpuid_leaf){0xf, rows[i].compacted, 0, 0});
    }
    assert_same(ask(0xd, 6), (struct cpuid_leaf){512, 1152, 0, 0});
    assert_same(ask(0xd, 3), (struct cpuid_leaf){0});  /* MPX */
    assert_same(ask(0xd, 17), (struct cpuid_leaf){0}); /* AMX */
    assert_same(ask(0xd, 63), (struct cpuid_leaf){0});
}

static void test_xsave_alignment(void **state)
{
    (void)state;
    cpu.avx_size = 250;
    cpu.component_align = BIT(5) | BIT(9);
    guest_cpuid_build(&guest, &env, &config);
    now.xcr0 = 0xe7;
    assert_int_equal(ask(0xd, 1).ebx, 832 + 64 + 512 + 1024);
    now.xcr0 = 0x207;
    assert_int_equal(ask(0xd, 1).ebx, 832 + 8);
    now.xcr0 = 0x7;
    assert_int_equal(ask(0xd, 1).ebx, 826);
    hide("XSAVEC");
    guest_cpuid_build(&guest, &env, &config);
    assert_same(ask(0xd, 1), (struct cpuid_leaf){.eax = B(0) | B(2)});
    assert_false(guest.has_xsaves);
}

static void test_frequencies(void **state)
{
    static const struct {
        u64 hz;
        u32 ratio, crystal;
    } rows[] = {{2900000000, 1, 2900000000u}, {1, 1, 1},
                {0xffffffff, 1, 0xffffffff},  {0x100000000, 2, 0x80000000},
                {5000000000, 2, 2500000000u}, {4500000003, 3, 1500000001}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        env.tsc_hz = rows[i].hz;
        assert_same(build_and_ask(0x15, 0), (struct cpuid_leaf){1, rows[i].ratio, rows[i].crystal, 0});
    }
    env.tsc_hz = 4300000037; /* nothing up to 32 divides it */
    guest_cpuid_build(&guest, &env, &config);
    assert_in_range(env.tsc_hz - (u64)ask(0x15, 0).ecx * ask(0x15, 0).ebx, 0, 1);
    env.tsc_hz = 2893201700;
    assert_same(build_and_ask(0x16, 0), (struct cpuid_leaf){2893, 2893, 2893, 0});
}

/* --- the moment --- */

static void test_dynamic(void **state)
{
    (void)state;
    guest_cpuid_build(&guest, &env, &config);
    now = (struct cpuid_dynamic){.apic_id = 5, .xcr0 = 1};
    assert_false(shown(CF_OSXSAVE) || shown(CF_OSPKE) || shown(CF_APIC));
    assert_int_equal(ask(1, 0).ebx >> 24, 5);
    now.cr4 = CR4_OSXSAVE;
    assert_true(shown(CF_OSXSAVE) && !shown(CF_OSPKE));
    now.cr4 = CR4_PKE;
    assert_true(!shown(CF_OSXSAVE) && shown(CF_OSPKE));
    now.apic_enabled = true;
    assert_true(shown(CF_APIC));
    hide("APIC");
    guest_cpuid_build(&guest, &env, &config);
    assert_false(shown(CF_APIC) || shown(CF_X2APIC) || shown(CF_TSC_DEADLINE) || shown(CF_ARAT));
}

static void test_plain_leaves(void **state)
{
    (void)state;
    for (cpu.max_basic = 0xd; cpu.max_basic <= 0x1f; cpu.max_basic += 0x12) {
        guest_cpuid_build(&guest, &env, &config);
        for (u32 leaf = 0; leaf < CPUID_NR_BASIC; leaf++) {
            bool special = leaf == 1 || leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x1f;

            assert_int_equal(guest.plain >> leaf & 1, leaf <= guest.max_basic && !special);
            if (guest.plain >> leaf & 1)
                for (u32 sub = 0; sub < 4; sub++)
                    assert_same(ask(leaf, sub), guest.basic[leaf]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_policy_on_full_cpu, start),
        cmocka_unit_test_setup(test_nothing_made_up, start),
        cmocka_unit_test_setup(test_dependencies_hold, start),
        cmocka_unit_test_setup(test_bare_cpu, start),
        cmocka_unit_test_setup(test_each_row_alone, start),
        cmocka_unit_test_setup(test_hide_each, start),
        cmocka_unit_test_setup(test_hide_avx, start),
        cmocka_unit_test_setup(test_hide_xsave, start),
        cmocka_unit_test_setup(test_hide_several_and_any_spelling, start),
        cmocka_unit_test_setup(test_names, start),
        cmocka_unit_test_setup(test_nested, start),
        cmocka_unit_test_setup(test_vmx_controls, start),
        cmocka_unit_test_setup(test_hidden_instructions_take_their_control, start),
        cmocka_unit_test_setup(test_control_bits, start),
        cmocka_unit_test_setup(test_vendor_and_signature, start),
        cmocka_unit_test_setup(test_paravirtual, start),
        cmocka_unit_test_setup(test_closed_leaves, start),
        cmocka_unit_test_setup(test_beyond_maximum, start),
        cmocka_unit_test_setup(test_topology, start),
        cmocka_unit_test_setup(test_sparse_ids, start),
        cmocka_unit_test_setup(test_xsave_sizes, start),
        cmocka_unit_test_setup(test_xsave_alignment, start),
        cmocka_unit_test_setup(test_frequencies, start),
        cmocka_unit_test_setup(test_dynamic, start),
        cmocka_unit_test_setup(test_plain_leaves, start),
    };

    return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
