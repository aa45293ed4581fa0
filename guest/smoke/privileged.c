/* SPDX-License-Identifier: MIT */
/* Privileged instructions: refused in user mode, done in kernel mode. */
#include "guest/smoke/smoke.h"
#include "guest/common/paging.h"
#include "guest/common/segments.h"

#define USER_STACK_SIZE 4096
#define MSR_IA32_STAR   0xc0000081u
#define MSR_IA32_LSTAR  0xc0000082u
#define MSR_IA32_FMASK  0xc0000084u

#define USER_CODES(X) \
    X(cli)            \
    X(hlt)            \
    X(rdmsr)          \
    X(wrmsr)          \
    X(cr0)            \
    X(cr3)            \
    X(dr7)            \
    X(lgdt)           \
    X(ltr)            \
    X(invlpg)         \
    X(wbinvd)         \
    X(clts)           \
    X(lmsw)           \
    X(in)             \
    X(out)            \
    X(swapgs)         \
    X(int80)
#define DECLARE(name) extern void user_##name(void);
USER_CODES(DECLARE)
extern void user_rdtsc(void), user_sgdt(void), user_cpuid(void), user_sysret(void), user_vmcall(void);
extern void user_xsetbv(void);

static u8 user_stack[USER_STACK_SIZE] __aligned(16);

/* The first 2 MiB, where this image is, appear again at WINDOW(1) for user mode. */
static void enter_user(void *code)
{
    u64 rip = (u64)code + WINDOW(1), rsp = (u64)user_stack + USER_STACK_SIZE + WINDOW(1);

    asm volatile("movl %k2, %%ds; movl %k2, %%es\n\t"
                 "pushq %q2; pushq %1; pushq $2; pushq %3; pushq %0\n\t"
                 "movl $0x100000, %%eax; xorl %%ecx, %%ecx; xorl %%edx, %%edx\n\t"
                 "iretq" ::"r"(rip),
                 "r"(rsp), "r"((u64)SEL_USER_DATA | 3), "r"((u64)SEL_USER_CODE64 | 3)
                 : "rax", "rcx", "rdx", "memory");
}

int user_call(void (*code)(void))
{
    int vector;

    window_map(1, 0, PTE_P | PTE_W | PTE_U);
    vector = try_call(enter_user, (void *)code);
    asm volatile("movl %0, %%ds; movl %0, %%es" ::"r"(SEL_DATA));
    return vector;
}

static void test_user(void)
{
    static const struct {
        const char *name;
        void (*code)(void);
    } codes[] = {
#define ROW(name) {#name, user_##name},
        USER_CODES(ROW)};

    for (u32 i = 0; i < ARRAY_SIZE(codes); i++)
        expect(user_call(codes[i].code) == X_GP, "%s in user mode: vector %d, not #GP", codes[i].name,
               (int)last_trap.vector);
}

static void test_user_cpuid(void)
{
    expect(user_call(user_cpuid) == X_BP, "vector %d", (int)last_trap.vector);
}

static void test_user_rdtsc(void)
{
    expect(user_call(user_rdtsc) == X_BP, "RDTSC: vector %d", (int)last_trap.vector);
    write_cr4(read_cr4() | CR4_TSD);
    expect(user_call(user_rdtsc) == X_GP, "RDTSC with CR4.TSD: vector %d", (int)last_trap.vector);
    write_cr4(read_cr4() & ~CR4_TSD);
}

static void test_user_xsetbv(void)
{
    u64 cr4 = read_cr4(), xcr0;

    if (!(cpuid(1, 0).ecx & BIT(26))) {
        smoke_skip("no XSAVE");
        return;
    }
    write_cr4(cr4 | CR4_OSXSAVE);
    xcr0 = xgetbv(0);
    xsetbv(0, 1);
    expect(user_call(user_xsetbv) == X_GP, "XSETBV: vector %d", (int)last_trap.vector);
    expect_equal(xgetbv(0), 1, "XCR0");
    xsetbv(0, xcr0);
    write_cr4(cr4);
}

static void test_user_umip(void)
{
    expect(user_call(user_sgdt) == X_BP, "SGDT: vector %d", (int)last_trap.vector);
    if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ecx & BIT(2))) {
        smoke_skip("no UMIP");
        return;
    }
    write_cr4(read_cr4() | BIT(11));
    expect(user_call(user_sgdt) == X_GP, "SGDT with CR4.UMIP: vector %d", (int)last_trap.vector);
    write_cr4(read_cr4() & ~BIT(11));
}

DEFINE_ATTEMPT(do_invlpg, asm volatile("invlpg (%0)" ::"r"(MiB(1))))
DEFINE_ATTEMPT(do_wbinvd, asm volatile("wbinvd"))
DEFINE_ATTEMPT(do_clts, asm volatile("clts"))
DEFINE_ATTEMPT(do_lmsw, asm volatile("lmsw %w0" ::"r"(read_cr0())))
DEFINE_ATTEMPT(do_smsw, u64 v; asm volatile("smsw %0" : "=r"(v)))
DEFINE_ATTEMPT(do_pause, asm volatile("pause"))
DEFINE_ATTEMPT(do_cpuid, cpuid(0, 0))
DEFINE_ATTEMPT(do_rdtsc, rdtsc())
DEFINE_ATTEMPT(do_rdtscp, asm volatile("rdtscp" ::: "rax", "rcx", "rdx"))
DEFINE_ATTEMPT(do_rdrand, asm volatile("rdrand %%rax" ::: "rax", "cc"))
DEFINE_ATTEMPT(do_rdseed, asm volatile("rdseed %%rax" ::: "rax", "cc"))
DEFINE_ATTEMPT(do_monitor, asm volatile("monitor" ::"a"(user_stack), "c"(0), "d"(0)))
DEFINE_ATTEMPT(do_invpcid, u64 d[2] = {0}; asm volatile("invpcid %0, %1" ::"m"(d), "r"(2ull)))
DEFINE_ATTEMPT(do_xgetbv, asm volatile("xgetbv" ::"c"(0) : "rax", "rdx"))
DEFINE_ATTEMPT(do_rsm, asm volatile("rsm"))
DEFINE_ATTEMPT(do_getsec, asm volatile(".byte 0x0f, 0x37" ::"a"(0) : "rbx", "rcx", "rdx"))
DEFINE_ATTEMPT(do_vmxoff, asm volatile("vmxoff"))
DEFINE_ATTEMPT(do_sidt, u8 d[10]; asm volatile("sidt %0" : "=m"(d)))
DEFINE_ATTEMPT(do_str, u16 v; asm volatile("str %0" : "=r"(v)))
DEFINE_ATTEMPT(do_lldt, asm volatile("lldt %w0" ::"r"(0)))
DEFINE_ATTEMPT(do_prefetchw, asm volatile("prefetchw %0" ::"m"(user_stack)))

static void test_kernel(void)
{
    static const struct {
        const char *name;
        void (*fn)(void *);
        int vector;
    } list[] = {
        {"invlpg", do_invlpg, X_NONE}, {"wbinvd", do_wbinvd, X_NONE}, {"clts", do_clts, X_NONE},
        {"lmsw", do_lmsw, X_NONE},     {"smsw", do_smsw, X_NONE},     {"pause", do_pause, X_NONE},
        {"cpuid", do_cpuid, X_NONE},   {"rdtsc", do_rdtsc, X_NONE},   {"sidt", do_sidt, X_NONE},
        {"str", do_str, X_NONE},       {"lldt", do_lldt, X_NONE},     {"prefetchw", do_prefetchw, X_NONE},
        {"rsm", do_rsm, X_UD},         {"getsec", do_getsec, X_UD},   {"vmxoff", do_vmxoff, X_UD},
        {"xgetbv", do_xgetbv, X_UD},
    };

    for (u32 i = 0; i < ARRAY_SIZE(list); i++)
        expect_vector(list[i].vector, list[i].fn, NULL, list[i].name);
}

/* An instruction exists where CPUID says so, and only there. */
static void test_enumerated(void)
{
    struct cpuid_regs l1 = cpuid(1, 0), l7 = {0}, ext = cpuid(0x80000001, 0);

    if (cpuid(0, 0).eax >= 7)
        l7 = cpuid(7, 0);
    expect_vector(ext.edx & BIT(27) ? X_NONE : X_UD, do_rdtscp, NULL, "rdtscp");
    expect_vector(l1.ecx & BIT(30) ? X_NONE : X_UD, do_rdrand, NULL, "rdrand");
    if (!under_tcg())
        expect_vector(l7.ebx & BIT(18) ? X_NONE : X_UD, do_rdseed, NULL, "rdseed");
    expect_vector(l1.ecx & BIT(3) ? X_NONE : X_UD, do_monitor, NULL, "monitor");
    expect_vector(l7.ebx & BIT(10) ? X_NONE : X_UD, do_invpcid, NULL, "invpcid");
}

DEFINE_ATTEMPT(do_syscall, asm volatile("syscall" ::: "rcx", "r11", "memory"))
extern u8 syscall_target[];
asm(".text\n.code64\nsyscall_target: jmp *%rcx\n");

static void test_syscall(void)
{
    u64 efer = rdmsr(MSR_EFER);

    wrmsr(MSR_EFER, efer & ~EFER_SCE);
    expect_vector(X_UD, do_syscall, NULL, "SYSCALL without EFER.SCE");
    wrmsr(MSR_EFER, efer | EFER_SCE);
    wrmsr(MSR_IA32_STAR, (u64)SEL_CODE64 << 32);
    wrmsr(MSR_IA32_LSTAR, (u64)syscall_target);
    wrmsr(MSR_IA32_FMASK, 0);
    expect_vector(X_NONE, do_syscall, NULL, "SYSCALL");
    expect(user_call(user_sysret) == X_GP, "SYSRET in user mode: vector %d", (int)last_trap.vector);
    wrmsr(MSR_EFER, efer);
}

#define MSR_FEATURE_CONTROL 0x3au
#define MSR_VMX_BASIC       0x480u
#define MSR_VMX_PROC        0x482u
#define MSR_VMX_EXIT        0x483u
#define MSR_VMX_PROC2       0x48bu
#define MSR_VMX_LAST        0x493u

DEFINE_ATTEMPT(do_rdmsr, rdmsr(*(const u32 *)arg))
DEFINE_ATTEMPT(do_wrmsr, wrmsr(*(const u32 *)arg, 0))

/* SDM, 'VMX Capability Reporting Facility': which of the MSRs there are. */
static bool vmx_msr_exists(u32 msr)
{
    u64 proc = rdmsr(MSR_VMX_PROC), proc2 = proc >> 63 ? rdmsr(MSR_VMX_PROC2) >> 32 : 0;

    if (msr < MSR_VMX_PROC2)
        return true;
    switch (msr) {
    case MSR_VMX_PROC2:
        return proc >> 63;
    case 0x48c: /* EPT, VPID */
        return proc2 & (BIT(1) | BIT(5));
    case 0x491: /* VM functions */
        return proc2 & BIT(13);
    case 0x492: /* tertiary controls */
        return proc & BIT(32 + 17);
    case MSR_VMX_LAST: /* secondary VM-exit controls */
        return rdmsr(MSR_VMX_EXIT) >> 63;
    default: /* TRUE controls */
        return rdmsr(MSR_VMX_BASIC) & BIT(55);
    }
}

/* nested=on or off on the command line says what the hypervisor was told. */
static bool told_nested(void)
{
    if (!option("nested"))
        smoke_skip("no nested= on the command line");
    return option("nested");
}

static void test_vmx(void)
{
    bool vmx = cpuid(1, 0).ecx & BIT(5);

    if (!told_nested())
        return;
    expect(vmx == option_is("nested", "on"), "VMX in CPUID is %d", vmx);
    for (u32 msr = MSR_VMX_BASIC; msr <= MSR_VMX_LAST; msr++) {
        int vector = try_call(do_rdmsr, &msr);

        expect(vector == (vmx && vmx_msr_exists(msr) ? X_NONE : X_GP), "RDMSR of 0x%x: vector %d", msr,
               vector);
        expect_vector(X_GP, do_wrmsr, &msr, "WRMSR to a VMX capability MSR");
    }
}

/* IA32_FEATURE_CONTROL is locked; where there is VMX, it is on outside of SMX. */
static void test_vmx_feature_control(void)
{
    u32 msr = MSR_FEATURE_CONTROL;

    if (!told_nested())
        return;
    expect_equal(rdmsr(msr), option_is("nested", "on") ? 5 : 1, "IA32_FEATURE_CONTROL");
    expect_vector(X_GP, do_wrmsr, &msr, "WRMSR to IA32_FEATURE_CONTROL");
}

const struct smoke_test privileged_tests[] = {
    {"privileged-user", test_user},
    {"privileged-user-cpuid", test_user_cpuid},
    {"privileged-user-rdtsc", test_user_rdtsc},
    {"privileged-user-xsetbv", test_user_xsetbv},
    {"privileged-user-umip", test_user_umip},
    {"privileged-kernel", test_kernel},
    {"privileged-enumerated", test_enumerated},
    {"privileged-syscall", test_syscall},
    {"privileged-vmx", test_vmx},
    {"privileged-vmx-lock", test_vmx_feature_control},
    {NULL, NULL},
};
