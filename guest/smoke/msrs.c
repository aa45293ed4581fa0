/* SPDX-License-Identifier: MIT */
/* MSRs that every 64-bit guest uses keep what is written; bad values and unknown MSRs raise #GP. */
#include "guest/smoke/smoke.h"

#define MSR_TSC            0x10u
#define MSR_SYSENTER_CS    0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_MISC_ENABLE    0x1a0u
#define MSR_MTRRCAP        0xfeu
#define MSR_MTRR_DEF_TYPE  0x2ffu
#define MSR_PAT            0x277u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_FMASK          0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u
#define NONCANONICAL       0x8000000000000000ull

struct access {
    u32 msr;
    u64 value;
};

DEFINE_ATTEMPT(read_msr, struct access *a = arg; a->value = rdmsr(a->msr))
DEFINE_ATTEMPT(write_msr, const struct access *a = arg; wrmsr(a->msr, a->value))

static int try_write(u32 msr, u64 value)
{
    struct access a = {msr, value};

    return try_call(write_msr, &a);
}

static int try_read(u32 msr, u64 *value)
{
    struct access a = {msr, 0};
    int vector = try_call(read_msr, &a);

    *value = a.value;
    return vector;
}

static void test_kept(void)
{
    static const struct access list[] = {
        {MSR_FS_BASE, 0x123456789000},
        {MSR_GS_BASE, 0xffff800012345678},
        {MSR_KERNEL_GS_BASE, 0xffffffff81000000},
        {MSR_STAR, 0x0023001000000000},
        {MSR_LSTAR, 0xffffffff81234567},
        {MSR_CSTAR, 0xffffffff81234560},
        {MSR_FMASK, 0x47700},
        {MSR_SYSENTER_CS, 0x10},
        {MSR_SYSENTER_ESP, 0xffff880000001000},
        {MSR_SYSENTER_EIP, 0xffffffff81654321},
        {MSR_PAT, 0x0007010600070106},
    };

    for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
        u64 old, now;
        int vector = try_read(list[i].msr, &old);

        expect(vector == X_NONE, "RDMSR 0x%x: vector %d", list[i].msr, vector);
        if (vector != X_NONE)
            continue;
        vector = try_write(list[i].msr, list[i].value);
        now = rdmsr(list[i].msr);
        wrmsr(list[i].msr, old);
        expect(vector == X_NONE, "WRMSR 0x%x: vector %d", list[i].msr, vector);
        expect(now == list[i].value, "MSR 0x%x: 0x%llx, not 0x%llx", list[i].msr, (ull)now,
               (ull)list[i].value);
    }
}

static void test_bad(void)
{
    static const struct access list[] = {
        {MSR_FS_BASE, NONCANONICAL},      {MSR_GS_BASE, NONCANONICAL},   {MSR_KERNEL_GS_BASE, NONCANONICAL},
        {MSR_LSTAR, NONCANONICAL},        {MSR_CSTAR, NONCANONICAL},     {MSR_SYSENTER_ESP, NONCANONICAL},
        {MSR_SYSENTER_EIP, NONCANONICAL}, {MSR_PAT, 0x0007040600070102}, {MSR_APIC_BASE, ~0ull},
    };

    if (skip_on_tcg())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
        u64 old = rdmsr(list[i].msr);
        int vector = try_write(list[i].msr, list[i].value);

        expect(vector == X_GP, "WRMSR 0x%x of 0x%llx: vector %d", list[i].msr, (ull)list[i].value, vector);
        expect(rdmsr(list[i].msr) == old, "MSR 0x%x changed", list[i].msr);
    }
}

static void test_unknown(void)
{
    static const u32 list[] = {0x12345, 0x2000, 0x1fff, 0xbfffffff, 0xc0002000, 0xffffffff};
    u64 value;

    if (!under_hypervisor() || under_tcg()) {
        smoke_skip("up to the emulator");
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
        int vector = try_read(list[i], &value);

        expect(vector == X_GP, "RDMSR 0x%x: vector %d", list[i], vector);
        expect_equal(last_trap.error, 0, "error code");
        vector = try_write(list[i], 0);
        expect(vector == X_GP, "WRMSR 0x%x: vector %d", list[i], vector);
    }
}

static void test_segments(void)
{
    static u64 there = 0x1122334455667788;
    u64 old = rdmsr(MSR_GS_BASE), old_kernel = rdmsr(MSR_KERNEL_GS_BASE), value;

    wrmsr(MSR_GS_BASE, 0);
    wrmsr(MSR_KERNEL_GS_BASE, (u64)&there);
    asm volatile("swapgs; movq %%gs:0, %0" : "=r"(value));
    expect_equal(value, there, "memory through GS after SWAPGS");
    expect_equal(rdmsr(MSR_KERNEL_GS_BASE), 0, "KERNEL_GS_BASE after SWAPGS");
    asm volatile("swapgs");
    wrmsr(MSR_GS_BASE, old);
    wrmsr(MSR_KERNEL_GS_BASE, old_kernel);
    wrmsr(MSR_FS_BASE, (u64)&there - 8);
    asm volatile("movq %%fs:8, %0" : "=r"(value));
    expect_equal(value, there, "memory through FS");
    wrmsr(MSR_FS_BASE, 0);
}

/* Written forwards, then put back: some timers count from the TSC as it was. */
static void test_tsc(void)
{
    bool adjustable = cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & BIT(1);
    u64 adjust = adjustable ? rdmsr(MSR_TSC_ADJUST) : 0, step = 100000000000, before = rdtsc(), now;

    if (skip_on_tcg())
        return;
    expect(try_write(MSR_TSC, before + step) == X_NONE, "WRMSR: vector %u", (u32)last_trap.vector);
    now = rdtsc();
    expect(now - before >= step && now - before < step + step / 10, "TSC 0x%llx after writing 0x%llx",
           (ull)now, (ull)(before + step));
    now = rdmsr(MSR_TSC);
    expect(rdtsc() - now < step / 10, "RDMSR and RDTSC differ");
    if (adjustable)
        wrmsr(MSR_TSC_ADJUST, adjust);
    else
        wrmsr(MSR_TSC, rdtsc() - step);
}

static void test_tsc_adjust(void)
{
    u64 old, before, after;

    if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ebx & BIT(1))) {
        smoke_skip("no IA32_TSC_ADJUST");
        return;
    }
    old = rdmsr(MSR_TSC_ADJUST);
    before = rdtsc();
    wrmsr(MSR_TSC_ADJUST, old + 1000000000000);
    after = rdtsc();
    expect_equal(rdmsr(MSR_TSC_ADJUST), old + 1000000000000, "IA32_TSC_ADJUST");
    wrmsr(MSR_TSC_ADJUST, old);
    if (!under_tcg())
        expect(after - before >= 1000000000000 && after - before < 1010000000000, "TSC moved by %llu",
               (ull)(after - before));
}

static void test_tsc_aux(void)
{
    u32 aux;

    if (!(cpuid(0x80000001, 0).edx & BIT(27))) {
        smoke_skip("no RDTSCP");
        return;
    }
    wrmsr(MSR_TSC_AUX, 0x1234567);
    asm volatile("rdtscp" : "=c"(aux)::"rax", "rdx");
    expect_equal(aux, 0x1234567, "RDTSCP's ECX");
    wrmsr(MSR_TSC_AUX, 0);
}

static void test_apic_base(void)
{
    u64 base;

    if (!(cpuid(1, 0).edx & BIT(9))) {
        smoke_skip("no APIC");
        return;
    }
    expect(try_read(MSR_APIC_BASE, &base) == X_NONE, "RDMSR: vector %u", (u32)last_trap.vector);
    expect((base & ~0xfffull) == 0xfee00000, "base 0x%llx", (ull)base);
    expect(base & BIT(8), "not the bootstrap processor");
}

static void test_mtrr(void)
{
    u64 cap, type;

    if (!(cpuid(1, 0).edx & BIT(12))) {
        smoke_skip("no MTRRs");
        return;
    }
    expect(try_read(MSR_MTRRCAP, &cap) == X_NONE, "MTRRCAP: vector %u", (u32)last_trap.vector);
    expect(try_read(MSR_MTRR_DEF_TYPE, &type) == X_NONE, "default type: vector %u", (u32)last_trap.vector);
    for (u32 i = 0; i < (cap & 0xff); i++) {
        u64 v;

        expect(try_read(0x200 + 2 * i, &v) == X_NONE && try_read(0x201 + 2 * i, &v) == X_NONE,
               "variable MTRR %u", i);
    }
}

static void test_misc_enable(void)
{
    u64 v;

    expect(try_read(MSR_MISC_ENABLE, &v) == X_NONE, "RDMSR: vector %u", (u32)last_trap.vector);
}

const struct smoke_test msr_tests[] = {
    {"msr-kept", test_kept},
    {"msr-bad", test_bad},
    {"msr-unknown", test_unknown},
    {"msr-segments", test_segments},
    {"msr-tsc", test_tsc},
    {"msr-tsc-adjust", test_tsc_adjust},
    {"msr-tsc-aux", test_tsc_aux},
    {"msr-apic-base", test_apic_base},
    {"msr-mtrr", test_mtrr},
    {"msr-misc-enable", test_misc_enable},
    {NULL, NULL},
};
