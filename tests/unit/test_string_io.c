/* SPDX-License-Identifier: MIT */
/* links: vmm/string_io.c vmm/guest_access.c vmm/walk.c vmm/emulate.c vmm/emulate_alu.c */
/* links: vmm/emulate_string.c vmm/emulate_wide.c tests/unit/fake_vcpu.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/string_io.h"

#define CODE   0xffffffff81000000ull
#define DATA   0xffff888000002000ull /* two pages at 0x2000 */
#define DEVICE 0xffffffffff5fc000ull

/* Bits of the exit qualification and of the instruction information. */
#define QUAL(port, size, in, rep) ((u64)(port) << 16 | (rep) << 5 | BIT(4) | (in) << 3 | ((size)-1))
#define INFO(addr_size, seg)      (((addr_size) == 8 ? 2u : (addr_size) == 4 ? 1u : 0u) << 7 | (seg) << 15)

static void start(void)
{
    fake_start();
    fake_map(CODE, 0x1000);
    fake_map(DATA, 0x2000);
    fake_map(DATA + PAGE_SIZE, 0x3000);
    fake_map(DEVICE, FAKE_DEVICE);
    fake.rip = CODE;
}

static int run(u64 qualification, u32 info, u32 length)
{
    struct string_io io;

    string_io_from_exit(&io, qualification, info, length);
    return string_io(&fake, &io);
}

static void test_from_exit(void **state)
{
    struct string_io io;

    (void)state;
    string_io_from_exit(&io, QUAL(0x1f0, 2, 1, 1), INFO(4, SEG_GS), 3);
    assert_int_equal(io.port, 0x1f0);
    assert_int_equal(io.size, 2);
    assert_true(io.in && io.rep);
    assert_int_equal(io.segment, SEG_ES); /* the field is undefined for INS */
    assert_int_equal(io.addr_size, 4);
    assert_int_equal(io.length, 3);
    string_io_from_exit(&io, QUAL(0xffff, 4, 0, 0), INFO(8, SEG_FS), 2);
    assert_int_equal(io.port, 0xffff);
    assert_int_equal(io.size, 4);
    assert_false(io.in || io.rep);
    assert_int_equal(io.segment, SEG_FS);
    assert_int_equal(io.addr_size, 8);
}

static void test_single(void **state)
{
    (void)state;
    start();
    fake.gpr[REG_RSI] = DATA;
    fake.gpr[REG_RCX] = 0;
    memcpy(fake_ram + 0x2000, "\x11\x22\x33\x44", 4);
    assert_int_equal(run(QUAL(0x3f8, 2, 0, 0), INFO(8, SEG_DS), 2), OK);
    assert_int_equal(fake.nr_events, 1);
    fake_expect(0, FAKE_PORT_WRITE, 0x3f8, 2, 0x2211);
    assert_int_equal(fake.gpr[REG_RSI], DATA + 2);
    assert_int_equal(fake.gpr[REG_RCX], 0);
    assert_int_equal(fake.rip, CODE + 2);

    start();
    fake.gpr[REG_RDI] = DATA + 8;
    fake.rflags |= RFLAGS_DF;
    fake.device_value = 0xaabbccdd;
    assert_int_equal(run(QUAL(0x60, 1, 1, 0), INFO(8, 0), 1), OK);
    assert_memory_equal(fake_ram + 0x2008, "\xdd\0", 2);
    assert_int_equal(fake.gpr[REG_RDI], DATA + 7);
    assert_int_equal(fake.rip, CODE + 1);
}

static void test_repeated(void **state)
{
    u32 calls = 0;

    (void)state;
    start();
    fake.gpr[REG_RDI] = DATA + 0xf00; /* goes on in the next page */
    fake.gpr[REG_RCX] = STRING_IO_MAX * 2 + 1;
    do {
        assert_int_equal(run(QUAL(0x1f0, 1, 1, 1), INFO(8, 0), 2), OK);
        calls++;
    } while (fake.rip == CODE);
    assert_int_equal(calls, 3);
    assert_int_equal(fake.rip, CODE + 2);
    assert_int_equal(fake.gpr[REG_RCX], 0);
    assert_int_equal(fake.nr_events, STRING_IO_MAX * 2 + 1);
    for (u32 i = 0; i < STRING_IO_MAX * 2 + 1; i++)
        assert_int_equal(fake_ram[0x2f00 + i], (u8)i);

    start();
    fake.gpr[REG_RCX] = 0; /* rSI is nowhere, and nobody looks */
    assert_int_equal(run(QUAL(0x1f0, 1, 0, 1), INFO(8, SEG_DS), 2), OK);
    assert_int_equal(fake.nr_events, 0);
    assert_int_equal(fake.rip, CODE + 2);

    start();
    fake.gpr[REG_RSI] = DATA;
    fake.gpr[REG_RCX] = 5;
    fake.rflags |= RFLAGS_TF;
    assert_int_equal(run(QUAL(0x1f0, 1, 0, 1), INFO(8, SEG_DS), 2), OK);
    assert_int_equal(fake.nr_events, 1);
    assert_true(fake.advanced);
    assert_int_equal(fake.rip, CODE);
}

/* The port is not read for an item that memory would not take. */
static void test_fault(void **state)
{
    (void)state;
    start();
    fake.gpr[REG_RDI] = DATA + 2 * PAGE_SIZE - 8;
    fake.gpr[REG_RCX] = 4;
    assert_int_equal(run(QUAL(0x1f0, 4, 1, 1), INFO(8, 0), 2), OK);
    assert_int_equal(fake.nr_events, 2);
    assert_int_equal(fake.gpr[REG_RCX], 2);
    assert_int_equal(fake.gpr[REG_RDI], DATA + 2 * PAGE_SIZE);
    assert_int_equal(fake.rip, CODE);
    assert_int_equal(fake.vector, VEC_PF);
    assert_int_equal(fake.error_code, PF_WRITE);
    assert_int_equal(fake.cr2, DATA + 2 * PAGE_SIZE);

    start();
    fake.gpr[REG_RSI] = BIT(60);
    assert_int_equal(run(QUAL(0x1f0, 4, 0, 0), INFO(8, SEG_DS), 2), OK);
    assert_int_equal(fake.vector, VEC_GP);
    assert_int_equal(fake.nr_events, 0);

    start();
    fake.cr3 = 0x7ffff000;
    fake.gpr[REG_RSI] = DATA;
    assert_int_equal(run(QUAL(0x1f0, 4, 0, 0), INFO(8, SEG_DS), 2), ERR_UNSUPP);
    assert_false(fake.advanced);
}

static void test_from_device(void **state)
{
    (void)state;
    start();
    fake.gpr[REG_RSI] = DEVICE + 4;
    fake.device_value = 0x99;
    assert_int_equal(run(QUAL(0x80, 1, 0, 0), INFO(8, SEG_DS), 1), OK);
    fake_expect(0, FAKE_MMIO_READ, FAKE_DEVICE + 4, 1, 0x99);
    fake_expect(1, FAKE_PORT_WRITE, 0x80, 1, 0x99);
}

static void test_16bit(void **state)
{
    (void)state;
    fake_start32();
    fake.cr0 = 0;
    fake.seg[SEG_CS].access = 0x9b;
    fake.seg[SEG_FS] = (struct segment){0x2000, 0xffff, 0x93};
    fake.rip = 0x100;
    fake.gpr[REG_RSI] = 0x1234ffff;
    fake.gpr[REG_RCX] = 0x56780002;
    fake_ram[0x11fff] = 0xaa;
    fake_ram[0x2000] = 0xbb;
    assert_int_equal(run(QUAL(0x80, 1, 0, 1), INFO(2, SEG_FS), 3), OK);
    fake_expect(0, FAKE_PORT_WRITE, 0x80, 1, 0xaa);
    fake_expect(1, FAKE_PORT_WRITE, 0x80, 1, 0xbb);
    assert_int_equal(fake.gpr[REG_RSI], 0x12340001);
    assert_int_equal(fake.gpr[REG_RCX], 0x56780000);
    assert_int_equal(fake.rip, 0x103);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_exit), cmocka_unit_test(test_single),      cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_fault),     cmocka_unit_test(test_from_device), cmocka_unit_test(test_16bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
