/* SPDX-License-Identifier: MIT */
/* Events that meet each other, or instructions that a hypervisor carries out. */
#include "guest/common/apic.h"
#include "guest/smoke/smoke.h"

#define UNCLAIMED        0xfeb00000u
#define DR6_CLEAR        0xffff0ff0u
#define DR6_BS           BIT(14)
#define DR7_OFF          0x400u
#define DR7_G0_RW_4BYTES (DR7_OFF | 0x2 | 0xf0000)
#define DR7_G0_IO        (DR7_OFF | 0x2 | 0x20000)
#define CR4_DE           BIT(3)
#define MSR_APIC_BASE    0x1b
#define MSR_UNKNOWN      0x1234
#define ICR_NMI          0x400u

static u32 hits;
static u64 hit_rip, hit_dr6;

/* Keeps the first #DB and goes on. */
static bool keep_debug(struct trap_frame *f)
{
    if (f->vector != X_DB)
        return false;
    if (!hits++) {
        hit_rip = f->rip;
        hit_dr6 = read_dr6();
    }
    write_dr6(DR6_CLEAR);
    return true;
}

static void watch(u64 address, u64 dr7)
{
    hits = 0;
    hit_rip = hit_dr6 = 0;
    write_dr6(DR6_CLEAR);
    asm volatile("mov %0, %%dr0" ::"r"(address));
    write_dr7(dr7);
    trap_hook = keep_debug;
}

static void unwatch(void)
{
    trap_hook = NULL;
    write_dr7(DR7_OFF);
    write_dr6(DR6_CLEAR);
}

static void expect_hit(u64 dr6, u64 rip, const char *what)
{
    unwatch();
    expect_equal(hits, 1, what);
    expect_equal(hit_dr6 & (DR6_BS | 0xf), dr6, what);
    expect_equal(hit_rip, rip, what);
}

static void test_step(void)
{
    watch(0, DR7_OFF);
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq\n\t"
                 "rdmsr; wrmsr; movl (%%rbx), %%eax; outb %%al, $0x80\n\t"
                 "pushfq; andq $~0x100, (%%rsp); popfq\n\t"
                 :
                 : "c"(MSR_APIC_BASE), "b"((u64)UNCLAIMED)
                 : "memory", "cc", "rax", "rdx");
    unwatch();
    expect_equal(hits, 7, "single steps");
    expect_equal(hit_dr6 & (DR6_BS | 0xf), DR6_BS, "DR6");
}

static void test_breakpoint_device(void)
{
    u64 end;

    watch(UNCLAIMED, DR7_G0_RW_4BYTES);
    asm volatile("movl %%eax, (%1); 1: lea 1b(%%rip), %0" : "=&r"(end) : "r"((u64)UNCLAIMED) : "memory");
    expect_hit(1, end, "write of a watched device");
    watch(UNCLAIMED, DR7_G0_RW_4BYTES);
    asm volatile("movl (%1), %%eax; 1: lea 1b(%%rip), %0"
                 : "=&r"(end)
                 : "r"((u64)UNCLAIMED)
                 : "memory", "rax");
    expect_hit(1, end, "read of a watched device");
    watch(UNCLAIMED, DR7_G0_RW_4BYTES);
    asm volatile("movl 4(%0), %%eax" ::"r"((u64)UNCLAIMED) : "memory", "rax");
    unwatch();
    expect_equal(hits, 0, "read beside a watched device");
}

static void test_breakpoint_port(void)
{
    u64 end, cr4 = read_cr4();

    write_cr4(cr4 | CR4_DE);
    watch(0x80, DR7_G0_IO);
    asm volatile("outb %%al, $0x80; 1: lea 1b(%%rip), %0" : "=&r"(end));
    expect_hit(1, end, "watched port");
    write_cr4(cr4);
}

/* The trap of MOV SS waits for the end of the next instruction, also of one that a hypervisor carries out. */
static void test_mov_ss(void)
{
    static u16 selector;
    u64 end;

    asm volatile("movw %%ss, %0" : "=r"(selector));
    watch((u64)&selector, DR7_G0_RW_4BYTES);
    asm volatile("movw %1, %%ss; nop; 1: lea 1b(%%rip), %0" : "=&r"(end) : "m"(selector));
    expect_hit(1, end, "MOV SS, NOP");
    watch((u64)&selector, DR7_G0_RW_4BYTES);
    asm volatile("movw %1, %%ss; cpuid; 1: lea 1b(%%rip), %0"
                 : "=&S"(end)
                 : "m"(selector), "a"(0)
                 : "rbx", "rcx", "rdx");
    expect_hit(1, end, "MOV SS, CPUID");
}

static void test_int1(void)
{
    u64 end;

    watch(0, DR7_OFF);
    asm volatile(".byte 0xf1; 1: lea 1b(%%rip), %0" : "=&r"(end));
    expect_hit(0, end, "INT1");
}

static volatile u32 nmis, deepest;

static void send_nmi(void)
{
    apic_send(apic_id(), ICR_NMI | ICR_ASSERT);
}

static bool count_nmi(struct trap_frame *f)
{
    if (f->vector != X_NMI)
        return false;
    if (++nmis == 1) {
        send_nmi();
        for (u32 i = 0; i < 10; i++)
            asm volatile("cpuid" : : "a"(0) : "ebx", "ecx", "edx", "memory");
        deepest = nmis;
    }
    return true;
}

/* Another NMI waits for the IRET. */
static void test_nmi_masked(void)
{
    if (!apic_has()) {
        smoke_skip("no local APIC");
        return;
    }
    if (apic_mode() == APIC_X1)
        apic_enable(false, true);
    nmis = deepest = 0;
    trap_hook = count_nmi;
    send_nmi();
    for (u32 i = 0; nmis < 2 && i < 1000; i++)
        asm volatile("cpuid" : : "a"(0) : "ebx", "ecx", "edx", "memory");
    trap_hook = NULL;
    expect_equal(deepest, 1, "NMIs before IRET");
    expect_equal(nmis, 2, "NMIs");
}

DEFINE_ATTEMPT(read_unknown_msr, asm volatile("rdmsr" ::"c"(MSR_UNKNOWN) : "rax", "rdx"))
DEFINE_ATTEMPT(read_nothing, (void)*(volatile u8 *)GiB(300))
DEFINE_ATTEMPT(undefined, asm volatile("ud2"))

/* Without a gate for vector the delivery ends in #NP. */
static void expect_without_gate(u32 vector, int wanted, void (*fn)(void *), const char *what)
{
    struct __packed {
        u16 limit;
        u64 base;
    } pointer;
    u8 *gate;

    asm volatile("sidt %0" : "=m"(pointer));
    gate = (u8 *)pointer.base + vector * 16 + 5;
    *gate &= 0x7f;
    expect_vector(wanted, fn, NULL, what);
    *gate |= 0x80;
}

static void test_double_fault(void)
{
    if (under_hypervisor())
        expect_without_gate(X_GP, X_DF, read_unknown_msr, "#GP of RDMSR, #NP");
    expect_without_gate(X_PF, X_DF, read_nothing, "#PF, #NP");
    expect_without_gate(X_UD, X_NP, undefined, "#UD, #NP");
    expect_equal(last_trap.error & ~1ull, X_UD << 3 | 2, "error code");
}

DEFINE_ATTEMPT(write_bad_cr4, asm volatile("mov %0, %%cr4" ::"r"(~0ull << 32)))

/* What a fault pushes: SDM 325384, 'Instruction-Breakpoint Exception Condition'. */
static void expect_resume_flag(int wanted, void (*fn)(void *), const char *what)
{
    expect_vector(wanted, fn, NULL, what);
    expect_equal(last_trap.rflags & BIT(16), BIT(16), what);
}

static void test_resume_flag(void)
{
    expect_resume_flag(X_UD, undefined, "RF after #UD");
    expect_resume_flag(X_PF, read_nothing, "RF after #PF");
    expect_resume_flag(X_GP, write_bad_cr4, "RF after #GP of MOV CR4");
    if (under_hypervisor())
        expect_resume_flag(X_GP, read_unknown_msr, "RF after #GP of RDMSR");
}

const struct smoke_test event_tests[] = {
    {"event-step-over-exits", test_step},
    {"event-breakpoint-device", test_breakpoint_device},
    {"event-breakpoint-port", test_breakpoint_port},
    {"event-mov-ss", test_mov_ss},
    {"event-int1", test_int1},
    {"event-nmi-masked", test_nmi_masked},
    {"event-double-fault", test_double_fault},
    {"event-resume-flag", test_resume_flag},
    {NULL, NULL},
};
