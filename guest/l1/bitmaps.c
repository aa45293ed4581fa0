/* SPDX-License-Identifier: MIT */
/* I/O instructions and RDMSR and WRMSR, with and without bitmaps. */
#include "guest/common/paging.h"
#include "guest/l1/l1.h"
#include "guest/l1/msr_area.h"
#include "lib/string.h"

#define IN            BIT(3)
#define STRING        BIT(4)
#define REP           BIT(5)
#define IMMEDIATE     BIT(6)
#define PORT(n)       ((u64)(n) << 16)
#define BYTES(n)      ((n)-1)
#define MSR_SYSENTER  0x174 /* IA32_SYSENTER_CS */
#define MSR_ELSEWHERE 0x40000000
#define MSR_HIGH      0xc0000000u
#define READ_LOW      0 /* quarters of the MSR bitmap */
#define READ_HIGH     1024
#define WRITE_LOW     2048
#define WRITE_HIGH    3072
#define NOWHERE       GiB(3) /* neither RAM nor a device */
#define COM2_SCRATCH  0x2ff
#define LAST          511ull /* entry of the PML4 */

extern u64 boot_pml4[512];

L2_CODE(out_imm, "outb %al, $0x80");
L2_CODE(out_dx, "outb %al, %dx");
L2_CODE(in_word, "inw %dx, %ax");
L2_CODE(in_dword, "inl %dx, %eax");
L2_CODE(out_string, "rep outsb");
L2_CODE(in_string, "insl");
L2_CODE(exchange, "xchg %eax, (%rsi)");
L2_CODE(code_rdmsr, "rdmsr");
L2_CODE(code_wrmsr, "wrmsr");

static void set_bit(u64 field, u32 bit)
{
    u8 *bitmap = (u8 *)vmread(field);

    bitmap[bit / 8] |= (u8)(1u << bit % 8);
}

static void set_port(u16 port)
{
    set_bit(port < 0x8000 ? IO_BITMAP_A : IO_BITMAP_B, port & 0x7fff);
}

static void check_io(const char *what, const u8 *code, u16 port, bool exits, u64 qualification)
{
    l2.gpr[REG_RDX] = port;
    l2.gpr[REG_RCX] = 2;
    l2.gpr[REG_RSI] = l2.gpr[REG_RDI] = TEST_PAGES;
    if (!exits) {
        l2_expect(EXIT_REASON_VMCALL, what);
        return;
    }
    l2_expect(EXIT_REASON_IO_INSTRUCTION, what);
    expect_equal(vmread(EXIT_QUALIFICATION), qualification | PORT(port), what);
    expect_equal(vmread(GUEST_RIP), (u64)code, what);
    if (qualification & STRING)
        expect_equal(vmread(GUEST_LINEAR_ADDRESS), TEST_PAGES, what);
    l2_skip();
    l2_expect(EXIT_REASON_VMCALL, what);
}

static void test_io_bitmaps(void)
{
    static const struct {
        const char *what;
        const u8 *code;
        u16 port, in_bitmap;
        bool exits;
        u64 qualification;
    } cases[] = {
        {"OUT 80H, AL", out_imm, 0x80, 0x80, true, BYTES(1) | IMMEDIATE},
        {"OUT 80H, AL: the port beside it", out_imm, 0x80, 0x81, false, 0},
        {"OUT DX, AL", out_dx, 0x80, 0x80, true, BYTES(1)},
        {"OUT DX, AL: last port of A", out_dx, 0x7fff, 0x7fff, true, BYTES(1)},
        {"OUT DX, AL: first port of B", out_dx, 0x8000, 0x8000, true, BYTES(1)},
        {"OUT DX, AL: not that of A", out_dx, 0x8080, 0x80, false, 0},
        {"IN AX, DX: the second byte", in_word, 0x7fff, 0x8000, true, BYTES(2) | IN},
        {"IN EAX, DX: the last byte", in_dword, 0x80, 0x83, true, BYTES(4) | IN},
        {"IN EAX, DX: the byte behind", in_dword, 0x80, 0x84, false, 0},
        {"IN AX, DX: beyond the last port", in_word, 0xffff, 0x80, true, BYTES(2) | IN},
        {"REP OUTSB", out_string, 0x80, 0x80, true, BYTES(1) | STRING | REP},
        {"INSD", in_string, 0x80, 0x80, true, BYTES(4) | STRING | IN},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        l2_new(cases[i].code);
        set_port(cases[i].in_bitmap);
        check_io(cases[i].what, cases[i].code, cases[i].port, cases[i].exits, cases[i].qualification);
        l2_new(cases[i].code);
        vmset(PRIMARY_CONTROLS, PROC_UNCONDITIONAL_IO_EXITING); /* bitmaps win */
        set_port(cases[i].in_bitmap);
        check_io(cases[i].what, cases[i].code, cases[i].port, cases[i].exits, cases[i].qualification);
    }
}

/* L2's tables for what it outputs are where no memory is, and reads are all ones: reserved bits. A hypervisor
 * below that cannot walk them may let L2 shut down. */
static void test_io_nowhere(void)
{
    u32 reason;

    boot_pml4[LAST] = NOWHERE | PTE_P | PTE_W | PTE_U;
    l2_new(out_string);
    l2.gpr[REG_RDX] = 0x80;
    l2.gpr[REG_RCX] = 2;
    l2.gpr[REG_RSI] = BITS(63, 48) | LAST << 39;
    reason = l2_run();
    boot_pml4[LAST] = 0;
    expect((reason == EXIT_REASON_VMCALL && l2_vector() == X_PF) || reason == EXIT_REASON_TRIPLE_FAULT,
           "exit %u, vector %d", reason, l2_vector());
}

static void test_io_unconditional(void)
{
    l2_new(out_dx);
    vmunset(PRIMARY_CONTROLS, PROC_USE_IO_BITMAPS);
    check_io("neither", out_dx, 0x80, false, 0);
    l2_new(out_dx);
    vmunset(PRIMARY_CONTROLS, PROC_USE_IO_BITMAPS);
    vmset(PRIMARY_CONTROLS, PROC_UNCONDITIONAL_IO_EXITING);
    check_io("unconditional", out_dx, 0x80, true, BYTES(1));
}

/*
 * With the option 'given': L1 has got physical devices, COM2 and memory from 0xb9000 on. L2 gets at them
 * where L1 lets it, and is not asked otherwise.
 */
static void test_given_device(void)
{
    volatile u32 *memory = (volatile u32 *)0xb9000ul;

    if (!option("given")) {
        test_skip("no physical device");
        return;
    }
    outb(COM2_SCRATCH, 0x11);
    l2_new(out_dx);
    l2.gpr[REG_RAX] = 0x5a;
    check_io("its port", out_dx, COM2_SCRATCH, false, 0);
    expect_equal(inb(COM2_SCRATCH), 0x5a, "what L2 wrote to the port");
    l2_new(out_dx);
    l2.gpr[REG_RAX] = 0xa5;
    set_port(COM2_SCRATCH);
    check_io("its port, not for L2", out_dx, COM2_SCRATCH, true, BYTES(1));
    expect_equal(inb(COM2_SCRATCH), 0x5a, "what L2 may not write to the port");
    *memory = 0x12345678;
    l2_new(exchange);
    l2.gpr[REG_RSI] = (u64)memory;
    l2.gpr[REG_RAX] = 0x9abcdef0;
    l2_expect(EXIT_REASON_VMCALL, "its memory");
    expect_equal(l2.gpr[REG_RAX], 0x12345678, "what L2 read");
    expect_equal(*memory, 0x9abcdef0, "what L2 wrote");
}

static void check_msr(const char *what, bool write, u32 msr, bool exits)
{
    const u8 *code = write ? code_wrmsr : code_rdmsr;
    u64 value = exits ? 0 : rdmsr(msr);

    vmwrite(GUEST_RIP, (u64)code);
    l2.gpr[REG_RCX] = msr;
    l2.gpr[REG_RAX] = (u32)value;
    l2.gpr[REG_RDX] = value >> 32;
    if (exits) {
        l2_expect(write ? EXIT_REASON_WRMSR : EXIT_REASON_RDMSR, what);
        expect_equal(vmread(GUEST_RIP), (u64)code, what);
        expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), 2, what);
        l2_skip();
    }
    l2_expect(EXIT_REASON_VMCALL, what);
    expect_equal(l2_vector(), -1ull, what);
}

static void test_msr_bitmap(void)
{
    static const struct {
        u32 quarter, msr;
        bool write;
    } quarters[] = {
        {READ_LOW, MSR_SYSENTER, false},
        {READ_HIGH, MSR_KERNEL_GS_BASE, false},
        {WRITE_LOW, MSR_SYSENTER, true},
        {WRITE_HIGH, MSR_KERNEL_GS_BASE, true},
    };

    for (u32 i = 0; i < ARRAY_SIZE(quarters); i++) {
        l2_new(code_rdmsr);
        set_bit(MSR_BITMAPS, 8 * quarters[i].quarter + (quarters[i].msr & 0x1fff));
        for (u32 k = 0; k < ARRAY_SIZE(quarters); k++)
            check_msr(k == i ? "the MSR in the bitmap" : "an MSR not in the bitmap", quarters[k].write,
                      quarters[k].msr, k == i);
    }
    l2_new(code_rdmsr);
    check_msr("RDMSR of one that the bitmap does not have", false, MSR_ELSEWHERE, true);
    check_msr("WRMSR of one that the bitmap does not have", true, MSR_ELSEWHERE, true);
    check_msr("RDMSR behind the low range", false, 0x2000, true);
    check_msr("RDMSR below the high range", false, MSR_HIGH - 1, true);
    vmunset(PRIMARY_CONTROLS, PROC_USE_MSR_BITMAPS);
    check_msr("RDMSR without a bitmap", false, MSR_SYSENTER, true);
    check_msr("WRMSR without a bitmap", true, MSR_KERNEL_GS_BASE, true);
}

/* What L2 writes without an exit is there for L1, and the other way round: the CPU switches few MSRs. */
static void test_msr_direct(void)
{
    u64 before = rdmsr(MSR_KERNEL_GS_BASE);

    l2_new(code_wrmsr);
    l2.gpr[REG_RCX] = MSR_KERNEL_GS_BASE;
    l2.gpr[REG_RAX] = 0x1234;
    l2_expect(EXIT_REASON_VMCALL, "WRMSR");
    expect_equal(rdmsr(MSR_KERNEL_GS_BASE), 0x1234, "after L2's WRMSR");
    wrmsr(MSR_KERNEL_GS_BASE, 0x5678);
    vmwrite(GUEST_RIP, (u64)code_rdmsr);
    l2_expect(EXIT_REASON_VMCALL, "RDMSR");
    expect_equal(l2.gpr[REG_RAX], 0x5678, "L2's RDMSR");
    wrmsr(MSR_KERNEL_GS_BASE, before);
    l2_new(code_wrmsr);
    l2.gpr[REG_RCX] = MSR_SYSENTER;
    l2.gpr[REG_RAX] = 0x4321;
    l2_expect(EXIT_REASON_VMCALL, "WRMSR");
    expect_equal(vmread(GUEST_IA32_SYSENTER_CS), 0x4321, "L2's IA32_SYSENTER_CS");
    expect_equal(rdmsr(MSR_SYSENTER), vmread(HOST_IA32_SYSENTER_CS), "L1's IA32_SYSENTER_CS");
}

const struct test bitmap_tests[] = {
    {"exit-io-bitmaps", test_io_bitmaps},
    {"exit-io-unconditional", test_io_unconditional},
    {"exit-io-nowhere", test_io_nowhere},
    {"exit-msr-bitmap", test_msr_bitmap},
    {"exit-msr-direct", test_msr_direct},
    {"exit-io-given", test_given_device},
    {NULL, NULL},
};
