/* SPDX-License-Identifier: MIT */
/* links: vmm/mmio.c vmm/guest_access.c vmm/walk.c vmm/emulate.c vmm/emulate_alu.c vmm/emulate_string.c */
/* links: vmm/emulate_wide.c arch/x86/decode.c arch/x86/decode_table.c lib/format.c tests/unit/fake_vcpu.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "lib/log.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/mmio.h"

#define CODE   0xffffffff81000000ull /* at 0x1000 */
#define DATA   0xffff888000002000ull /* at 0x2000 */
#define DEVICE 0xffffffffff5fc000ull /* the device's page */

static char logged[256];
static u32 nr_logged;

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    assert_int_equal(level, LOG_ERROR);
    va_start(args, fmt);
    vsnprintf(logged, sizeof(logged), fmt, args);
    va_end(args);
    nr_logged++;
}

static void start(const void *code, u32 n)
{
    fake_start();
    fake_map(CODE, 0x1000);
    fake_map(CODE + PAGE_SIZE, 0x4000);
    fake_map(DATA, 0x2000);
    fake_map(DEVICE, FAKE_DEVICE);
    fake.rip = CODE;
    memcpy(fake_ram + 0x1000, code, n);
    logged[0] = 0;
}

#define START(...) start((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void test_read_and_write(void **state)
{
    (void)state;
    for (u32 known = 0; known < 2; known++) {
        START(0x8b, 0x83, 0x30, 0, 0, 0); /* mov eax, [rbx+0x30] */
        fake.gpr[REG_RBX] = DEVICE;
        fake.gpr[REG_RAX] = ~0ull;
        fake.device_value = 0x50014;
        fake.linear_known = known;
        fake.linear = DEVICE + 0x30;
        assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x30), OK);
        assert_int_equal(fake.nr_events, 1);
        fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE + 0x30, 4, 0x50014);
        assert_int_equal(fake.gpr[REG_RAX], 0x50014);
        assert_int_equal(fake.rip, CODE + 6);
        assert_true(fake.advanced);
        assert_int_equal(fake.vector, -1);
        /* An address that the exit has told is not translated again. */
        assert_int_equal(*fake_pte(DEVICE) & PTE_A, known ? 0 : PTE_A);

        START(0x89, 0x83, 0xb0, 0, 0, 0); /* mov [rbx+0xb0], eax */
        fake.gpr[REG_RBX] = DEVICE;
        fake.gpr[REG_RAX] = 0x1122334455667788;
        fake.linear_known = known;
        fake.linear_write = true;
        fake.linear = DEVICE + 0xb0;
        assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0xb0), OK);
        assert_int_equal(fake.nr_events, 1);
        fake_expect(0, FAKE_MMIO_WRITE, FAKE_DEVICE + 0xb0, 4, 0x55667788);
    }
}

static void test_short_path(void **state)
{
    (void)state;
    START(0x8b, 0x03);
    fake.gpr[REG_RBX] = DEVICE;
    fake.linear_known = true;
    fake.linear = DEVICE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    fake.nr_reads = 0;
    fake.rip = CODE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.nr_reads, 5); /* four entries and the code */
}

/* The exit told of a read; the instruction also writes, so that it has to be checked. */
static void test_write_needs_its_own_check(void **state)
{
    (void)state;
    START(0x09, 0x03); /* or [rbx], eax */
    fake.gpr[REG_RBX] = DEVICE;
    fake.gpr[REG_RAX] = 0x0f;
    fake.device_value = 0xf0;
    fake.linear_known = true;
    fake.linear = DEVICE;
    *fake_pte(DEVICE) &= ~(u64)PTE_W;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_PF);
    assert_int_equal(fake.error_code, PF_PRESENT | PF_WRITE);
    assert_int_equal(fake.cr2, DEVICE);
    assert_int_equal(fake.nr_events, 0);
    assert_false(fake.advanced);
    *fake_pte(DEVICE) |= PTE_W;
    fake.vector = -1;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.nr_events, 2);
    fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE, 4, 0xf0);
    fake_expect(1, FAKE_MMIO_WRITE, FAKE_DEVICE, 4, 0xff);
    assert_int_equal(*fake_pte(DEVICE) & (PTE_A | PTE_D), PTE_A | PTE_D);
}

/* The instruction lies across a page boundary; each page is read once. */
static void test_code_across_pages(void **state)
{
    (void)state;
    START(0x90);
    fake.rip = CODE + PAGE_SIZE - 3;
    memcpy(fake_ram + 0x1ffd, "\xc7\x83\x80", 3); /* mov dword [rbx+0x80], 0x44332211 */
    memcpy(fake_ram + 0x4000, "\x00\x00\x00\x11\x22\x33\x44", 7);
    fake.gpr[REG_RBX] = DEVICE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x80), OK);
    fake_expect(0, FAKE_MMIO_WRITE, FAKE_DEVICE + 0x80, 4, 0x44332211);
    assert_int_equal(fake.rip, CODE + PAGE_SIZE + 7);

    /* Not needed, not fetched: the next page may be absent. */
    START(0x90);
    fake.rip = CODE + PAGE_SIZE - 2;
    memcpy(fake_ram + 0x1ffe, "\x8b\x03", 2);
    *fake_pte(CODE + PAGE_SIZE) = 0;
    fake.gpr[REG_RBX] = DEVICE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.rip, CODE + PAGE_SIZE);

    /* Needed and absent. */
    fake.rip = CODE + PAGE_SIZE - 1;
    fake.advanced = false;
    fake_ram[0x1fff] = 0x8b;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_PF);
    assert_int_equal(fake.error_code, PF_FETCH);
    assert_int_equal(fake.cr2, CODE + PAGE_SIZE);
    assert_false(fake.advanced);
}

static void test_between_ram_and_device(void **state)
{
    (void)state;
    START(0xf3, 0xa4); /* rep movsb from the device to RAM */
    fake.gpr[REG_RSI] = DEVICE + 0x10;
    fake.gpr[REG_RDI] = DATA;
    fake.gpr[REG_RCX] = 3;
    fake.device_value = 0x5a;
    fake.linear_known = true;
    fake.linear = DEVICE + 0x10;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x10), OK);
    assert_int_equal(fake.nr_events, 3);
    fake_expect(2, FAKE_MMIO_READ, FAKE_DEVICE + 0x12, 1, 0x5a);
    assert_memory_equal(fake_ram + 0x2000, "\x5a\x5a\x5a\0", 4);
    assert_int_equal(fake.rip, CODE + 2);

    START(0xff, 0x33); /* push qword [rbx] */
    fake.gpr[REG_RBX] = DEVICE;
    fake.gpr[REG_RSP] = DATA + 0x100;
    fake.device_value = 0x0102030405060708;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_memory_equal(fake_ram + 0x20f8, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_int_equal(fake.gpr[REG_RSP], DATA + 0xf8);
}

/* An operand half in RAM and half in the device, which gets aligned parts. */
static void test_data_across_pages(void **state)
{
    (void)state;
    START(0x48, 0x89, 0x03); /* mov [rbx], rax */
    fake_map(DATA + PAGE_SIZE, FAKE_DEVICE);
    fake.gpr[REG_RBX] = DATA + PAGE_SIZE - 5;
    fake.gpr[REG_RAX] = 0x8877665544332211;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_memory_equal(fake_ram + 0x2ffb, "\x11\x22\x33\x44\x55", 5);
    assert_int_equal(fake.nr_events, 2);
    fake_expect(0, FAKE_MMIO_WRITE, FAKE_DEVICE, 2, 0x7766);
    fake_expect(1, FAKE_MMIO_WRITE, FAKE_DEVICE + 2, 1, 0x88);

    START(0x48, 0x8b, 0x03); /* mov rax, [rbx] */
    fake_map(DATA + PAGE_SIZE, FAKE_DEVICE);
    fake.gpr[REG_RBX] = DATA + PAGE_SIZE - 4;
    fake.device_value = 0xabcdef01;
    memcpy(fake_ram + 0x2ffc, "\x01\x02\x03\x04", 4);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE, 4, 0xabcdef01);
    assert_int_equal(fake.gpr[REG_RAX], 0xabcdef0104030201);

    /* The second page is absent: nothing reaches the first. */
    START(0x48, 0x89, 0x03);
    fake.gpr[REG_RBX] = DATA + PAGE_SIZE - 5;
    fake.gpr[REG_RAX] = ~0ull;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_PF);
    assert_int_equal(fake.cr2, DATA + PAGE_SIZE);
    assert_memory_equal(fake_ram + 0x2ffb, "\0\0\0\0\0", 5);
}

/* Unaligned in the device, and vector registers: aligned parts of at most 8 bytes, the lowest first. */
static void test_parts(void **state)
{
    (void)state;
    START(0x48, 0x89, 0x03); /* mov [rbx], rax */
    fake.gpr[REG_RBX] = DEVICE + 3;
    fake.gpr[REG_RAX] = 0x8877665544332211;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 3), OK);
    assert_int_equal(fake.nr_events, 4);
    fake_expect(0, FAKE_MMIO_WRITE, FAKE_DEVICE + 3, 1, 0x11);
    fake_expect(1, FAKE_MMIO_WRITE, FAKE_DEVICE + 4, 4, 0x55443322);
    fake_expect(2, FAKE_MMIO_WRITE, FAKE_DEVICE + 8, 2, 0x7766);
    fake_expect(3, FAKE_MMIO_WRITE, FAKE_DEVICE + 10, 1, 0x88);

    START(0xf3, 0x44, 0x0f, 0x7f, 0x0b); /* movdqu [rbx], xmm9 */
    fake.cr4 |= CR4_OSFXSR;
    fake.gpr[REG_RBX] = DEVICE;
    memcpy(fake.vector_reg[9], (const u64[]){1, 2, 3, 4}, 32);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.nr_events, 2);
    fake_expect(0, FAKE_MMIO_WRITE, FAKE_DEVICE, 8, 1);
    fake_expect(1, FAKE_MMIO_WRITE, FAKE_DEVICE + 8, 8, 2);

    START(0xc5, 0x7c, 0x10, 0x0b); /* vmovups ymm9, [rbx], the second half in RAM */
    fake.cr4 |= CR4_OSXSAVE;
    fake.xcr0 = 7;
    fake_map(DEVICE + PAGE_SIZE, 0x2000);
    fake.gpr[REG_RBX] = DEVICE + PAGE_SIZE - 12;
    fake.device_value = 0x1111111111111111;
    memset(fake_ram + 0x2000, 0x22, 20);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + PAGE_SIZE - 12), OK);
    assert_int_equal(fake.nr_events, 3);
    fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE + PAGE_SIZE - 12, 4, 0x1111111111111111);
    assert_int_equal(fake.vector_reg[9][0], 0x1111111111111111);
    assert_int_equal(fake.vector_reg[9][1], 0x2222222211111111);
    assert_int_equal(fake.vector_reg[9][3], 0x2222222222222222);
}

static void test_vectors_not_usable(void **state)
{
    static const struct {
        u64 cr0, cr4, xcr0;
        s32 sse, avx; /* exceptions */
    } row[] = {
        {0, CR4_OSFXSR | CR4_OSXSAVE, 7, -1, -1},
        {0, CR4_OSXSAVE, 7, VEC_UD, -1},
        {0, CR4_OSFXSR, 7, -1, VEC_UD},
        {0, CR4_OSFXSR | CR4_OSXSAVE, 3, -1, VEC_UD},
        {0, CR4_OSFXSR | CR4_OSXSAVE, 5, -1, VEC_UD},
        {CR0_EM, CR4_OSFXSR | CR4_OSXSAVE, 7, VEC_UD, -1},
        {CR0_TS, CR4_OSFXSR | CR4_OSXSAVE, 7, VEC_NM, VEC_NM},
        {CR0_EM | CR0_TS, CR4_OSFXSR, 7, VEC_UD, VEC_UD},
    };

    (void)state;
    for (u32 i = 0; i < 2 * ARRAY_SIZE(row); i++) {
        s32 vector = i % 2 ? row[i / 2].avx : row[i / 2].sse;

        if (i % 2)
            START(0xc5, 0xf8, 0x28, 0x03); /* vmovaps xmm0, [rbx] */
        else
            START(0x0f, 0x28, 0x03); /* movaps xmm0, [rbx] */
        fake.cr0 |= row[i / 2].cr0;
        fake.cr4 |= row[i / 2].cr4;
        fake.xcr0 = row[i / 2].xcr0;
        fake.gpr[REG_RBX] = DEVICE;
        assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
        assert_int_equal(fake.vector, vector);
        assert_int_equal(fake.nr_events, vector < 0 ? 2 : 0);
        assert_int_equal(fake.advanced, vector < 0);
    }
    /* MMX has neither CR4 bits nor VEX, but exceptions of the x87. */
    for (u32 i = 0; i < 8; i++) {
        bool em = i & 1, ts = i & 2, error = i & 4;

        START(0x0f, 0x6f, 0x0b); /* movq mm1, [rbx] */
        fake.cr0 |= (em ? CR0_EM : 0) | (ts ? CR0_TS : 0);
        fake.x87_error = error;
        fake.gpr[REG_RBX] = DEVICE;
        fake.device_value = 0x1122334455667788;
        assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
        assert_int_equal(fake.vector, em ? VEC_UD : ts ? VEC_NM : error ? VEC_MF : -1);
        assert_int_equal(fake.nr_events, i ? 0 : 1);
        assert_int_equal(fake.mmx_reg[1], i ? 0 : 0x1122334455667788);
    }
    /* Aligned moves */
    START(0x0f, 0x28, 0x03);
    fake.cr4 |= CR4_OSFXSR;
    fake.gpr[REG_RBX] = DEVICE + 8;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_GP);
    assert_int_equal(fake.nr_events, 0);
    /* There is no VEX in virtual-8086 mode. */
    fake_start32();
    fake.seg[SEG_CS].access = 0x9b;
    fake.rflags |= RFLAGS_VM;
    fake.cr4 |= CR4_OSXSAVE;
    fake.xcr0 = 7;
    memcpy(fake_ram, "\xc5\xf8\x10\x07", 4);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_UD);
}

static void expect_match(u32 n, u64 offset, u64 value, u64 mask)
{
    assert_int_equal(fake.learned[n].offset, offset);
    assert_int_equal(fake.learned[n].value, value);
    assert_int_equal(fake.learned[n].mask, mask);
}

/* What the instruction was fetched from is told: entries of all levels, then its bytes. */
static void test_learning(void **state)
{
    (void)state;
    START(0x90);
    fake.rip = CODE + 6;
    memcpy(fake_ram + 0x1006, "\x8b\x43\x30", 3); /* mov eax, [rbx+0x30] */
    fake.gpr[REG_RBX] = DEVICE;
    fake.linear_known = true;
    fake.linear = DEVICE + 0x30;
    *fake_pte(CODE) |= PTE_A;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x30), OK);
    assert_int_equal(fake.nr_calls, 1);
    assert_int_equal(fake.learned_rip, CODE + 6);
    assert_int_equal(fake.learned_gpa, FAKE_DEVICE + 0x30);
    assert_int_equal(fake.nr_learned, 6);
    expect_match(3, (u8 *)fake_pte(CODE) - fake_ram, *fake_pte(CODE), ~0ull);
    expect_match(4, 0x1000, 0x438bull << 48, 0xffffull << 48);
    expect_match(5, 0x1008, 0x30, 0xff);

    /* Not when it lies in two pages, nor when the exit does not tell the address, nor outside of 64-bit mode.
     */
    fake.nr_calls = 0;
    fake.rip = CODE + PAGE_SIZE - 2;
    memcpy(fake_ram + 0x1ffe, "\x8b\x43", 2);
    memcpy(fake_ram + 0x4000, "\x30", 1);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x30), OK);
    fake.rip = CODE + 6;
    fake.linear_known = false;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x30), OK);
    fake_start32();
    fake.linear_known = true;
    memcpy(fake_ram, "\x8b\x03", 2);
    fake.gpr[REG_RBX] = fake.linear = FAKE_DEVICE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.nr_calls, 0);
}

/* A breakpoint on what is accessed is a trap, if the instruction comes to its end. */
static void test_breakpoint(void **state)
{
    (void)state;
    START(0x89, 0x83, 0xb0, 0, 0, 0); /* mov [rbx+0xb0], eax */
    fake.gpr[REG_RBX] = DEVICE;
    fake.watched = DEVICE + 0xb4;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0xb0), OK);
    assert_int_equal(fake.debug_trap, 0);
    fake.rip = CODE;
    fake.watched = DEVICE + 0xb3;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0xb0), OK);
    assert_int_equal(fake.debug_trap, BIT(12) | 1);

    START(0x48, 0xa5); /* movsq, to where it faults */
    fake.gpr[REG_RSI] = DEVICE;
    fake.gpr[REG_RDI] = DEVICE + 16 * PAGE_SIZE;
    fake.watched = DEVICE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_PF);
    assert_int_equal(fake.debug_trap, 0);
}

static void test_exceptions(void **state)
{
    (void)state;
    START(0xf0, 0x89, 0x03); /* lock mov */
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_UD);
    START(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x89, 0x03);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_GP);
    START(0x8b, 0x03);
    fake.gpr[REG_RBX] = BIT(50);
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), OK);
    assert_int_equal(fake.vector, VEC_GP);
    assert_false(fake.advanced);
}

static void test_unsupported_is_named(void **state)
{
    (void)state;
    START(0xc5, 0xf8, 0x58, 0x03); /* vaddps xmm0, xmm0, [rbx] */
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x20), ERR_UNSUPP);
    assert_non_null(strstr(logged, "one.3: cannot emulate the instruction at 0xffffffff81000000"));
    assert_non_null(strstr(logged, "0xfee00020 (64-bit code): c5 f8 58 03 00"));
    assert_false(fake.advanced);
    assert_int_equal(fake.vector, -1);

    START(0x90);
    fake.rip = DEVICE;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), ERR_UNSUPP);
    assert_non_null(strstr(logged, "not in RAM"));

    /* Page tables that are nowhere. */
    START(0x8b, 0x03);
    fake.cr3 = 0x7ffff000;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), ERR_UNSUPP);
}

/* A guest cannot fill the log. */
static void test_reports_end(void **state)
{
    (void)state;
    START(0x0f, 0x58, 0x03);
    for (u32 i = 0; i < 1000; i++)
        assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE), ERR_UNSUPP);
    assert_in_range(nr_logged, 2, 20);
}

static void test_protected_mode(void **state)
{
    (void)state;
    fake_start32();
    fake.seg[SEG_CS].base = 0x1000;
    fake.rip = 0x10;
    memcpy(fake_ram + 0x1010, "\xa1\x20\x00\xe0\xfe", 5); /* mov eax, [0xfee00020] */
    fake.device_value = 0x12345678;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0x20), OK);
    fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE + 0x20, 4, 0x12345678);
    assert_int_equal(fake.gpr[REG_RAX], 0x12345678);
    assert_int_equal(fake.rip, 0x15);

    /* 16-bit code with a large data segment ('unreal mode') */
    fake_start32();
    fake.cr0 = 0;
    fake.seg[SEG_CS].access = 0x9b;
    memcpy(fake_ram, "\x67\x66\xa3\xb0\x00\xe0\xfe", 7); /* mov [0xfee000b0], eax */
    fake.gpr[REG_RAX] = 7;
    assert_int_equal(mmio_emulate(&fake, FAKE_DEVICE + 0xb0), OK);
    fake_expect(0, FAKE_MMIO_WRITE, FAKE_DEVICE + 0xb0, 4, 7);
    assert_int_equal(fake.rip, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_write),
        cmocka_unit_test(test_short_path),
        cmocka_unit_test(test_write_needs_its_own_check),
        cmocka_unit_test(test_code_across_pages),
        cmocka_unit_test(test_between_ram_and_device),
        cmocka_unit_test(test_data_across_pages),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_vectors_not_usable),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_breakpoint),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_unsupported_is_named),
        cmocka_unit_test(test_protected_mode),
        cmocka_unit_test(test_reports_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
