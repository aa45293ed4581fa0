/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/operand.c vmm/guest_access.c vmm/walk.c vmm/emulate.c vmm/emulate_alu.c */
/* links: vmm/emulate_string.c vmm/emulate_wide.c tests/unit/fake_vcpu.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "arch/x86/vmcs.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/msr.h"
#include "vmm/nested/operand.h"

#define DATA   0xffff888000002000ull /* two pages, at 0x3000 and 0x2000 */
#define DEVICE 0xffffffffff5fc000ull
#define VALUE  0x1122334455667788ull

/* The instruction information. */
#define SIZE16   (0u << 7)
#define SIZE32   (1u << 7)
#define SIZE64   (2u << 7)
#define SEG(n)   ((u32)(n) << 15)
#define INDEX(n) ((u32)(n) << 18)
#define NO_INDEX (1u << 22 | INDEX(REG_RDI) | 3) /* with what is undefined then */
#define BASE(n)  ((u32)(n) << 23)
#define NO_BASE  (1u << 27 | BASE(REG_RDI))
#define NEITHER  (NO_INDEX | NO_BASE)
/* What is undefined in it. */
#define NOISE (0xfu << 11 | 1u << 2)

static u64 displacement;
static u32 info;

u64 vcpu_vmread(struct vcpu *v, u32 field)
{
    assert_ptr_equal(v, &fake);
    assert_true(field == EXIT_QUALIFICATION || field == EXIT_INSTRUCTION_INFO);
    return field == EXIT_QUALIFICATION ? displacement : info;
}

static void start(void)
{
    fake_start();
    fake.gpr[REG_RDI] = 0x1234567;
    fake_map(DATA, 0x3000);
    fake_map(DATA + PAGE_SIZE, 0x2000);
    fake_map(DEVICE, FAKE_DEVICE);
    memcpy(fake_ram + 0x3010, &(u64){VALUE}, 8);
    displacement = 0;
}

/* In 32-bit protected mode, segments flat but for FS: 0x100 bytes at 0x2000. */
static void start32(void)
{
    fake_start32();
    fake.gpr[REG_RDI] = 0x1234567;
    fake.seg[SEG_FS] = (struct segment){0x2000, 0xff, SEG_AR_DB | 0x93};
    displacement = 0;
}

static int read_at(u32 with, u64 disp, void *to, u32 size)
{
    info = with | NOISE;
    displacement = disp;
    return nested_operand_read(&fake, to, size);
}

static u64 read8(u32 with, u64 disp)
{
    u64 value = 0;

    fake.vector = -1;
    assert_int_equal(read_at(with, disp, &value, 8), OK);
    assert_int_equal(fake.vector, -1);
    return value;
}

static void expect_fault(u32 with, u64 disp, u32 size, u8 vector, u32 error_code)
{
    u8 data[16];

    fake.vector = -1;
    assert_int_equal(read_at(with, disp, data, size), ERR_FAULT);
    assert_int_equal(fake.vector, vector);
    assert_int_equal(fake.error_code, error_code);
    assert_false(fake.advanced);
}

static void test_addressing64(void **state)
{
    (void)state;
    start();
    assert_int_equal(read8(SIZE64 | NEITHER | SEG(SEG_DS), DATA + 0x10), VALUE);
    fake.gpr[REG_RBX] = DATA;
    assert_int_equal(read8(SIZE64 | NO_INDEX | BASE(REG_RBX) | SEG(SEG_DS), 0x10), VALUE);
    fake.gpr[REG_RSP] = DATA + 0x20;
    assert_int_equal(read8(SIZE64 | NO_INDEX | BASE(REG_RSP) | SEG(SEG_SS), -0x10ull), VALUE);
    for (u32 scale = 0; scale < 4; scale++) {
        fake.gpr[15] = 0x8ull >> scale;
        assert_int_equal(read8(SIZE64 | scale | INDEX(15) | BASE(REG_RBX) | SEG(SEG_DS), 8), VALUE);
    }
    fake.gpr[15] = (DATA + 0x10) >> 3;
    assert_int_equal(read8(SIZE64 | 3 | INDEX(15) | NO_BASE | SEG(SEG_DS), 0), VALUE);
    /* Bits of the registers and of the displacement beyond the address size do not count. */
    fake_map(0x5000, 0x3000);
    fake.gpr[REG_RBX] = 0xabcdef0000005000ull;
    assert_int_equal(read8(SIZE32 | NO_INDEX | BASE(REG_RBX) | SEG(SEG_DS), 0x7700000010ull), VALUE);
}

/* In 64-bit mode only FS and GS have a base, and none has a limit. */
static void test_segments64(void **state)
{
    (void)state;
    start();
    for (u32 seg = 0; seg < NR_SEGS; seg++)
        fake.seg[seg] = (struct segment){0x1000, 0, seg == SEG_CS ? SEG_AR_L | 0x99 : (u32)SEG_AR_UNUSABLE};
    for (u32 seg = 0; seg < NR_SEGS; seg++)
        assert_int_equal(read8(SIZE64 | NEITHER | SEG(seg), DATA + 0x10 - (seg >= SEG_FS ? 0x1000 : 0)),
                         VALUE);
    /* The base is added to an offset of 32 bits. */
    fake.seg[SEG_GS].base = DATA;
    assert_int_equal(read8(SIZE32 | NEITHER | SEG(SEG_GS), 0xff00000010ull), VALUE);
}

static void test_canonical(void **state)
{
    const u32 ds = SIZE64 | NEITHER | SEG(SEG_DS), ss = SIZE64 | NEITHER | SEG(SEG_SS);

    (void)state;
    start();
    expect_fault(ds, 0x800000000000, 8, VEC_GP, 0);
    expect_fault(ss, 0x800000000000, 8, VEC_SS, 0);
    expect_fault(ds, 0xffff7ffffffffff8, 8, VEC_GP, 0);
    expect_fault(ds, 0x7ffffffffff9, 8, VEC_GP, 0); /* its last byte */
    expect_fault(ds, 0x7ffffffffff1, 16, VEC_GP, 0);
    expect_fault(ds, 0x7ffffffffff8, 8, VEC_PF, 0);
    fake.seg[SEG_FS].base = 0x7ffffffff000;
    expect_fault(SIZE64 | NEITHER | SEG(SEG_FS), 0x1000, 8, VEC_GP, 0);
}

static void test_pages(void **state)
{
    u64 pair[2];
    const u32 ds = SIZE64 | NEITHER | SEG(SEG_DS);

    (void)state;
    start();
    expect_fault(ds, DATA - 8, 8, VEC_PF, 0);
    assert_int_equal(fake.cr2, DATA - 8);
    expect_fault(ds, DATA - 4, 8, VEC_PF, 0);
    assert_int_equal(fake.cr2, DATA - 4);
    expect_fault(ds, DATA + 2 * PAGE_SIZE - 4, 8, VEC_PF, 0);
    assert_int_equal(fake.cr2, DATA + 2 * PAGE_SIZE);
    for (u32 i = 0; i < 16; i++)
        fake_ram[i < 5 ? 0x3ffb + i : 0x2000 + i - 5] = (u8)i;
    fake.vector = -1;
    assert_int_equal(read_at(ds, DATA + PAGE_SIZE - 5, pair, 16), OK);
    assert_int_equal(pair[0], 0x0706050403020100ull);
    assert_int_equal(pair[1], 0x0f0e0d0c0b0a0908ull);
    expect_fault(ds, DATA + 2 * PAGE_SIZE - 8, 16, VEC_PF, 0);
    assert_int_equal(fake.cr2, DATA + 2 * PAGE_SIZE);
}

static void test_write(void **state)
{
    u64 value = VALUE;
    u32 part;

    (void)state;
    start();
    info = SIZE64 | NEITHER | SEG(SEG_DS);
    displacement = DATA + PAGE_SIZE - 4;
    assert_int_equal(nested_operand_write(&fake, &value, 8), OK);
    assert_memory_equal(fake_ram + 0x3ffc, &value, 4);
    assert_memory_equal(fake_ram + 0x2000, (u8 *)&value + 4, 4);
    assert_true(*fake_pte(DATA) & PTE_D);
    displacement = DATA + 0x20;
    assert_int_equal(nested_operand_write(&fake, &value, 4), OK);
    assert_memory_equal(fake_ram + 0x3020, &value, 4);
    memcpy(&part, fake_ram + 0x3024, 4);
    assert_int_equal(part, 0);

    /* Nothing is written when the second page refuses. */
    *fake_pte(DATA + PAGE_SIZE) &= ~(u64)PTE_W;
    displacement = DATA + PAGE_SIZE - 2;
    memset(fake_ram + 0x3ff0, 0, 16);
    assert_int_equal(nested_operand_write(&fake, &value, 8), ERR_FAULT);
    assert_int_equal(fake.vector, VEC_PF);
    assert_int_equal(fake.error_code, PF_PRESENT | PF_WRITE);
    assert_int_equal(fake.cr2, DATA + PAGE_SIZE);
    assert_int_equal(fake_ram[0x3ffe], 0);
    assert_false(fake.advanced);
}

static void test_segments32(void **state)
{
    const u32 fs = SIZE32 | NEITHER | SEG(SEG_FS), ds = SIZE32 | NEITHER | SEG(SEG_DS),
              ss = SIZE32 | NEITHER | SEG(SEG_SS);
    u64 value = VALUE;

    (void)state;
    start32();
    memcpy(fake_ram + 0x20f8, &value, 8);
    assert_int_equal(read8(fs, 0xf8), VALUE);
    assert_int_equal(read8(fs, 0x123400000000f8ull), VALUE);
    expect_fault(fs, 0xf9, 8, VEC_GP, 0);
    expect_fault(fs, 0xf1, 16, VEC_GP, 0);
    expect_fault(fs, 0xffffffff, 8, VEC_GP, 0);
    fake.seg[SEG_SS].limit = 0x20fe;
    expect_fault(ss, 0x20f8, 8, VEC_SS, 0);

    fake.seg[SEG_SS].access = SEG_AR_UNUSABLE;
    expect_fault(ss, 0x20f0, 8, VEC_SS, 0);
    fake.seg[SEG_DS].access = SEG_AR_UNUSABLE; /* a null selector */
    expect_fault(ds, 0x20f0, 8, VEC_GP, 0);
    fake.seg[SEG_DS].access = SEG_AR_DB | 0x99; /* execute-only code */
    expect_fault(ds, 0x20f0, 8, VEC_GP, 0);
    fake.seg[SEG_DS].access = SEG_AR_DB | 0x9b;
    assert_int_equal(read8(ds, 0x20f8), VALUE);
    assert_int_equal(nested_operand_write(&fake, &value, 8), ERR_FAULT);
    assert_int_equal(fake.vector, VEC_GP);
    fake.seg[SEG_DS].access = SEG_AR_DB | 0x91; /* read-only data */
    assert_int_equal(read8(ds, 0x20f8), VALUE);
    assert_int_equal(nested_operand_write(&fake, &value, 8), ERR_FAULT);
    assert_int_equal(fake.vector, VEC_GP);
}

static void test_expand_down(void **state)
{
    const u32 fs = SIZE32 | NEITHER | SEG(SEG_FS);

    (void)state;
    start32();
    memcpy(fake_ram + 0x2100, &(u64){VALUE}, 8);
    fake.seg[SEG_FS].access = SEG_AR_DB | 0x97;
    assert_int_equal(read8(fs, 0x100), VALUE);
    expect_fault(fs, 0xff, 8, VEC_GP, 0);
    expect_fault(fs, 0xfffffff9, 8, VEC_GP, 0);
    fake.seg[SEG_FS].access = 0x97;
    assert_int_equal(read8(fs, 0x100), VALUE);
    expect_fault(fs, 0xfff9, 8, VEC_GP, 0);
    read8(fs, 0xfff8);
}

static void test_addressing16(void **state)
{
    (void)state;
    start32();
    memcpy(fake_ram + 0x2080, &(u64){VALUE}, 8);
    fake.gpr[REG_RBX] = 0x5555ff00;
    fake.gpr[REG_RSI] = 0x66660170;
    assert_int_equal(read8(SIZE16 | BASE(REG_RBX) | INDEX(REG_RSI) | SEG(SEG_FS), 0x10), VALUE);
    expect_fault(SIZE16 | BASE(REG_RBX) | NO_INDEX | SEG(SEG_FS), 0xff, 8, VEC_GP, 0);
    /* Bases and linear addresses wrap at 4 GiB. */
    fake.seg[SEG_ES].base = 0xfffff000;
    assert_int_equal(read8(SIZE32 | NEITHER | SEG(SEG_ES), 0x3080), VALUE);
}

static void test_device(void **state)
{
    (void)state;
    start();
    fake.device_value = 0x55;
    assert_int_equal(read8(SIZE64 | NEITHER | SEG(SEG_DS), DEVICE + 8), 0x55);
    fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE + 8, 8, 0x55);
}

static void test_no_tables(void **state)
{
    u64 value;

    (void)state;
    start();
    fake.cr3 = 0x7ffff000;
    assert_int_equal(read_at(SIZE64 | NEITHER | SEG(SEG_DS), DATA, &value, 8), ERR_UNSUPP);
    assert_int_equal(fake.vector, -1);
}

static void test_breakpoint(void **state)
{
    (void)state;
    start();
    fake.watched = DATA + 0x14;
    read8(SIZE64 | NEITHER | SEG(SEG_DS), DATA + 0x18);
    assert_int_equal(fake.debug_trap, 0);
    read8(SIZE64 | NEITHER | SEG(SEG_DS), DATA + 0x10);
    assert_int_equal(fake.debug_trap, BIT(12) | BIT(0));
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(OPERAND_REG1(0xffffff87), 0);
    assert_int_equal(OPERAND_REG1(0x78), 15);
    assert_int_equal(OPERAND_REG2(0x0fffffff), 0);
    assert_int_equal(OPERAND_REG2(0xf0000000), 15);
    assert_int_equal(OPERAND_REGISTER, 0x400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addressing64), cmocka_unit_test(test_segments64),
        cmocka_unit_test(test_canonical),    cmocka_unit_test(test_pages),
        cmocka_unit_test(test_write),        cmocka_unit_test(test_segments32),
        cmocka_unit_test(test_expand_down),  cmocka_unit_test(test_addressing16),
        cmocka_unit_test(test_device),       cmocka_unit_test(test_no_tables),
        cmocka_unit_test(test_breakpoint),   cmocka_unit_test(test_registers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
