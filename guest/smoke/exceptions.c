/* SPDX-License-Identifier: MIT */
/* Each exception: that it comes, its error code, the saved RIP (fault or trap), CR2, DR6. */
#include "guest/smoke/smoke.h"
#include "guest/common/paging.h"
#include "guest/common/segments.h"

#define NONCANONICAL 0x8000000000000000ull
#define SEL_SPARE    (SEL_TSS + 16 * (MAX_CPUS - 2))
#define PF_P         1u
#define PF_W         2u
#define PF_U         4u
#define PF_RSVD      8u
#define PF_I         16u
#define DR6_BS       BIT(14)
#define DR6_BD       BIT(13)

extern u64 gdt[];
extern void user_nothing(void), user_into_kernel(void), user_misaligned(void);

static volatile u32 zero, scratch;
static u8 page[PAGE_SIZE] __aligned(4096);

DEFINE_ATTEMPT(divide, asm volatile("divl %0" ::"m"(zero), "a"(1), "d"(0)))
DEFINE_ATTEMPT(undefined, asm volatile("ud2"))
DEFINE_ATTEMPT(breakpoint, asm volatile("int3"))
DEFINE_ATTEMPT(read_noncanonical, asm volatile("movb (%0), %%al" ::"r"(NONCANONICAL) : "rax"))
DEFINE_ATTEMPT(load_ds, asm volatile("movl %0, %%ds" ::"r"((u32)(u64)arg)))
DEFINE_ATTEMPT(
    stack_noncanonical,
    asm volatile("movq %%rsp, %%rcx; movq %0, %%rsp; pushq %%rax; movq %%rcx, %%rsp" ::"r"(NONCANONICAL)
                 : "rcx"))
DEFINE_ATTEMPT(x87, asm volatile("fnop"))
DEFINE_ATTEMPT(software_interrupt, asm volatile("int $0x77"))
DEFINE_ATTEMPT(read_byte, (void)*(volatile u8 *)arg)
DEFINE_ATTEMPT(write_byte, *(volatile u8 *)arg = 1)
DEFINE_ATTEMPT(execute, asm volatile("call *%0" ::"r"(arg) : "memory"))
DEFINE_ATTEMPT(write_scratch, scratch = 1)
DEFINE_ATTEMPT(read_debug_register, (void)read_dr0())

static void test_de(void)
{
    expect_vector(X_DE, divide, NULL, "div by 0");
}

static void test_ud(void)
{
    expect_vector(X_UD, undefined, NULL, "ud2");
    expect(*(const u16 *)last_trap.rip == 0x0b0f, "RIP 0x%llx is not at UD2", (ull)last_trap.rip);
}

static void test_bp(void)
{
    expect_vector(X_BP, breakpoint, NULL, "int3");
    expect(*(const u8 *)(last_trap.rip - 1) == 0xcc, "RIP 0x%llx is not behind INT3", (ull)last_trap.rip);
}

static u32 steps;

static bool count_step(struct trap_frame *f)
{
    if (f->vector != X_DB)
        return false;
    steps += (read_dr6() & DR6_BS) != 0;
    write_dr6(0xffff0ff0);
    return true;
}

static void test_db_step(void)
{
    steps = 0;
    trap_hook = count_step;
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq\n\t"
                 "nop; nop; nop\n\t"
                 "pushfq; andq $~0x100, (%%rsp); popfq\n\t" ::
                     : "memory", "cc");
    trap_hook = NULL;
    expect_equal(steps, 6, "single steps");
}

/* Over an instruction that a hypervisor emulates, the step must come as well. */
static void test_db_step_exit(void)
{
    steps = 0;
    trap_hook = count_step;
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq\n\t"
                 "cpuid; inb $0x61, %%al\n\t"
                 "pushfq; andq $~0x100, (%%rsp); popfq\n\t" ::
                     : "memory", "cc", "rax", "rbx", "rcx", "rdx");
    trap_hook = NULL;
    expect_equal(steps, 5, "single steps");
}

static void test_db_data(void)
{
    asm volatile("mov %0, %%dr0" ::"r"(&scratch));
    write_dr7(0x400 | 0x2 | 0xd0000); /* G0, write, 4 bytes */
    expect_vector(X_DB, write_scratch, NULL, "write to the watched word");
    expect_equal(last_trap.dr6 & 0xf, 1, "DR6");
    write_dr7(0x400);
    write_dr6(0xffff0ff0);
    expect_vector(X_NONE, write_scratch, NULL, "write with DR7 off");
}

static void test_db_general_detect(void)
{
    if (skip_on_tcg())
        return;
    write_dr7(0x400 | BIT(13));
    expect_vector(X_DB, read_debug_register, NULL, "DR access with DR7.GD");
    write_dr7(0x400);
    expect(last_trap.dr6 & DR6_BD, "DR6 0x%llx has no BD", (ull)last_trap.dr6);
    write_dr6(0xffff0ff0);
}

static void test_nm(void)
{
    u64 cr0 = read_cr0();

    write_cr0(cr0 | CR0_TS);
    expect_vector(X_NM, x87, NULL, "x87 with CR0.TS");
    asm volatile("clts");
    expect(!(read_cr0() & CR0_TS), "CLTS left CR0.TS");
    expect_vector(X_NONE, x87, NULL, "x87 after CLTS");
    write_cr0(cr0 | CR0_EM);
    expect_vector(X_NM, x87, NULL, "x87 with CR0.EM");
    write_cr0(cr0);
}

/* An unmasked division by zero, reported at the next waiting instruction (CR0.NE). */
DEFINE_ATTEMPT(x87_divide, u16 control = 0x37b;
               asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(control)))

static void test_mf(void)
{
    expect_vector(X_MF, x87_divide, NULL, "x87 1/0");
    asm volatile("fninit");
}

static void test_gp(void)
{
    expect_vector(X_GP, read_noncanonical, NULL, "non-canonical read");
    expect_equal(last_trap.error, 0, "error code");
    expect_vector(X_GP, load_ds, (void *)0xfff8, "selector beyond the GDT");
    expect_equal(last_trap.error, 0xfff8, "error code");
}

static void test_gp_idt(void)
{
    struct __packed {
        u16 limit;
        u64 base;
    } pointer;

    if (skip_on_tcg())
        return;
    asm volatile("sidt %0" : "=m"(pointer));
    pointer.limit = 0x77 * 16 - 1;
    asm volatile("lidt %0" ::"m"(pointer));
    expect_vector(X_GP, software_interrupt, NULL, "INT beyond the IDT");
    expect_equal(last_trap.error, 0x77 << 3 | 2, "error code");
    trap_load_idt();
}

static void test_ss(void)
{
    if (skip_on_tcg())
        return;
    expect_vector(X_SS, stack_noncanonical, NULL, "push on a non-canonical stack");
    expect_equal(last_trap.error, 0, "error code");
}

static void test_np(void)
{
    gdt[SEL_SPARE >> 3] = 0x00cf13000000ffff; /* data, not present */
    expect_vector(X_NP, load_ds, (void *)SEL_SPARE, "segment not present");
    expect_equal(last_trap.error, SEL_SPARE, "error code");
    gdt[SEL_SPARE >> 3] = 0;
}

static void expect_fault(void (*fn)(void *), u64 address, u64 error, const char *what)
{
    expect_vector(X_PF, fn, (void *)address, what);
    expect(last_trap.cr2 == address && last_trap.error == error,
           "%s: error 0x%llx CR2 0x%llx, not 0x%llx 0x%llx", what, (ull)last_trap.error, (ull)last_trap.cr2,
           (ull)error, (ull)address);
}

static void test_pf(void)
{
    u64 at = (u64)window_map(0, (u64)page, PTE_P);

    expect_fault(read_byte, WINDOW(7), 0, "read of nothing");
    expect_fault(write_byte, WINDOW(7) + 5, PF_W, "write of nothing");
    expect_fault(write_byte, at, PF_P | PF_W, "write of a read-only page");
    expect_vector(X_NONE, read_byte, (void *)at, "read of a read-only page");
    write_cr0(read_cr0() & ~CR0_WP);
    expect_vector(X_NONE, write_byte, (void *)at, "write without CR0.WP");
    write_cr0(read_cr0() | CR0_WP);
}

static void test_pf_reserved(void)
{
    u32 width = cpuid(0x80000008, 0).eax & 0xff;

    if (skip_on_tcg())
        return;
    if (width >= 52) {
        smoke_skip("no reserved address bits");
        return;
    }
    window_map(0, (u64)page, PTE_P | PTE_W | BIT(51));
    expect_fault(read_byte, WINDOW(0), PF_P | PF_RSVD, "reserved bit");
    window_map(0, (u64)page, PTE_P | PTE_W);
}

static void test_pf_nx(void)
{
    u64 efer = rdmsr(MSR_EFER);
    u64 at;

    page[0] = 0xc3; /* RET */
    wrmsr(MSR_EFER, efer | EFER_NXE);
    at = (u64)window_map(0, (u64)page, PTE_P | PTE_W | PTE_NX);
    expect_fault(execute, at, PF_P | PF_I, "execution of an NX page");
    window_map(0, (u64)page, PTE_P | PTE_W);
    expect_vector(X_NONE, execute, (void *)at, "execution without NX");
    wrmsr(MSR_EFER, efer);
}

static void test_pf_user(void)
{
    expect(user_call(user_nothing) == X_BP, "user mode: vector %d", (int)last_trap.vector);
    expect(user_call(user_into_kernel) == X_PF, "user write to kernel: vector %d", (int)last_trap.vector);
    expect_equal(last_trap.error, PF_P | PF_W | PF_U, "error code");
}

/* The gate of #GP is not present: its #NP on top of #GP is a double fault. */
static void test_df(void)
{
    struct __packed {
        u16 limit;
        u64 base;
    } pointer;
    u8 *gate;

    asm volatile("sidt %0" : "=m"(pointer));
    gate = (u8 *)pointer.base + X_GP * 16 + 5;
    *gate &= 0x7f;
    expect_vector(X_DF, read_noncanonical, NULL, "#GP with its gate not present");
    *gate |= 0x80;
    expect_equal(last_trap.error, 0, "error code");
}

static void test_ac(void)
{
    if (skip_on_tcg())
        return;
    write_cr0(read_cr0() | BIT(18));
    expect(user_call(user_misaligned) == X_AC, "vector %d", (int)last_trap.vector);
    write_cr0(read_cr0() & ~BIT(18));
    expect(user_call(user_misaligned) == X_BP, "without CR0.AM: vector %d", (int)last_trap.vector);
}

const struct smoke_test exception_tests[] = {
    {"exception-de", test_de},
    {"exception-ud", test_ud},
    {"exception-bp", test_bp},
    {"exception-db-step", test_db_step},
    {"exception-db-step-over-exits", test_db_step_exit},
    {"exception-db-data", test_db_data},
    {"exception-db-general-detect", test_db_general_detect},
    {"exception-nm", test_nm},
    {"exception-mf", test_mf},
    {"exception-gp", test_gp},
    {"exception-gp-idt", test_gp_idt},
    {"exception-ss", test_ss},
    {"exception-np", test_np},
    {"exception-pf", test_pf},
    {"exception-pf-reserved", test_pf_reserved},
    {"exception-pf-nx", test_pf_nx},
    {"exception-pf-user", test_pf_user},
    {"exception-df", test_df},
    {"exception-ac", test_ac},
    {NULL, NULL},
};
