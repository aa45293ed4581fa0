/* SPDX-License-Identifier: MIT */
/* links: arch/x86/decode.c arch/x86/decode_table.c */
/* Moves that were emulated once are carried out again only while all that they were decoded from is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_vmx.h"
#include "vmm/mmio_fast.c"

#define CODE   0xffffffff81000000ull
#define DEVICE 0xfee00000ull
#define LINEAR 0xffffffffff5fc000ull

static u64 field[9];
static struct vcpu vcpu;
static bool matches, may_be_ram;
static u32 nr_matches;
static struct {
    u32 reads, writes, size;
    u64 gpa, value;
} device;

/* The fields that there are; any other fails. */
static u64 *field_at(u32 encoding)
{
    static const u32 fields[] = {GUEST_RIP,          GUEST_CR3,          GUEST_CR4,
                                 GUEST_IA32_EFER,    EXIT_QUALIFICATION, GUEST_CS_ACCESS_RIGHTS,
                                 IDT_VECTORING_INFO, GUEST_RFLAGS,       GUEST_DR7};

    for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
        if (fields[i] == encoding)
            return &field[i];
    fail_msg("field %x", encoding);
    return NULL;
}

static u64 vmread(u32 encoding)
{
    return encoding == GUEST_INTERRUPTIBILITY_STATE ? 0 : *field_at(encoding);
}

static void vmwrite(u32 encoding, u64 value)
{
    assert_int_equal(encoding, GUEST_RIP);
    *field_at(encoding) = value;
}

bool vm_may_be_ram(const struct vm *vm, gpa_t gpa)
{
    assert_ptr_equal(vm, vcpu.vm);
    assert_int_equal(gpa, DEVICE);
    return may_be_ram;
}

bool user_matches(const void *base, const struct word_match *words, u32 n)
{
    assert_ptr_equal(base, (void *)VM_BASE);
    assert_int_equal(words[0].offset, 0x1000);
    assert_int_equal(n, 1);
    nr_matches++;
    return matches;
}

u64 bus_read_slow(struct bus_view *v, gpa_t gpa, u32 size)
{
    assert_ptr_equal(v, &vcpu.mmio);
    device.reads++;
    device.gpa = gpa;
    device.size = size;
    return device.value & (~0ull >> (64 - 8 * size));
}

void bus_write_slow(struct bus_view *v, gpa_t gpa, u32 size, u64 value)
{
    assert_ptr_equal(v, &vcpu.mmio);
    device.writes++;
    device.gpa = gpa;
    device.size = size;
    device.value = value & (~0ull >> (64 - 8 * size));
}

static void set(u32 encoding, u64 value)
{
    *field_at(encoding) = value;
}

/* A vCPU that has just made an access to LINEAR + offset, and has emulated it before. */
static void start(const u8 *bytes, u32 n, u32 qualification)
{
    const struct word_match word = {.offset = 0x1000};
    struct insn insn;

    memset(&vcpu, 0, sizeof(vcpu));
    memset(field, 0, sizeof(field));
    memset(&device, 0, sizeof(device));
    for (u32 i = 0; i < NR_REGS; i++)
        vcpu.gpr[i] = 0x1111111111111111ull * i;
    vcpu.gpr[REG_RBX] = LINEAR;
    matches = true;
    nr_matches = 0;
    set(GUEST_RIP, CODE);
    set(GUEST_CR3, 0x5000);
    set(GUEST_IA32_EFER, EFER_LME | EFER_LMA);
    set(GUEST_CS_ACCESS_RIGHTS, SEG_AR_L | 0x9b);
    set(EXIT_QUALIFICATION, BIT(7) | BIT(8) | qualification);
    assert_int_equal(decode(&insn, bytes, n, 8), OK);
    mmio_learn(&vcpu, &insn, CODE, DEVICE, &word, 1);
}

#define START(qualification, ...) \
    start((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), qualification)
#define READ  BIT(0)
#define WRITE BIT(1)

static void test_loads(void **state)
{
    (void)state;
    START(READ, 0x8b, 0x43, 0x30); /* mov eax, [rbx+0x30] */
    device.value = 0x9988776655443322;
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(vcpu.gpr[REG_RAX], 0x55443322);
    assert_int_equal(device.gpa, DEVICE + 0x30);
    assert_int_equal(device.size, 4);
    assert_int_equal(vmread(GUEST_RIP), CODE + 3);
    assert_int_equal(nr_matches, 1);

    START(READ, 0x4c, 0x8b, 0x7b, 0x30); /* mov r15, [rbx+0x30] */
    device.value = 0x9988776655443322;
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(vcpu.gpr[15], 0x9988776655443322);

    START(READ, 0x66, 0x8b, 0x4b, 0x30); /* mov cx, [rbx+0x30] */
    device.value = 0x9988776655443322;
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(vcpu.gpr[REG_RCX], 0x1111111111113322);

    START(READ, 0x8a, 0x73, 0x30); /* mov dh, [rbx+0x30] */
    device.value = 0x77;
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(vcpu.gpr[REG_RDX], 0x2222222222227722);
    assert_int_equal(device.size, 1);

    START(READ, 0x0f, 0xb7, 0x73, 0x30); /* movzx esi, word [rbx+0x30] */
    device.value = 0x88776655;
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(vcpu.gpr[REG_RSI], 0x6655);
    assert_int_equal(device.size, 2);
}

static void test_stores(void **state)
{
    (void)state;
    START(WRITE, 0x89, 0x4b, 0x30); /* mov [rbx+0x30], ecx */
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(device.value, 0x11111111);
    assert_int_equal(device.size, 4);
    assert_int_equal(vcpu.gpr[REG_RCX], 0x1111111111111111);
    assert_int_equal(vmread(GUEST_RIP), CODE + 3);

    START(WRITE, 0x88, 0x73, 0x30); /* mov [rbx+0x30], dh */
    vcpu.gpr[REG_RDX] = 0x123456;
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
    assert_int_equal(device.value, 0x34);

    START(WRITE, 0x48, 0xc7, 0x03, 0xfe, 0xff, 0xff, 0xff); /* mov qword [rbx], -2 */
    assert_true(mmio_fast(&vcpu, DEVICE));
    assert_int_equal(device.value, ~1ull);
    assert_int_equal(device.size, 8);

    START(WRITE, 0xc6, 0x03, 0xfe); /* mov byte [rbx], 0xfe */
    assert_true(mmio_fast(&vcpu, DEVICE));
    assert_int_equal(device.value, 0xfe);
}

/* [rbx + rcx * 4 + 8]; [rip + n] */
static void test_addresses(void **state)
{
    (void)state;
    START(READ, 0x8b, 0x44, 0x8b, 0x08);
    vcpu.gpr[REG_RCX] = 2;
    assert_true(mmio_fast(&vcpu, DEVICE + 16));
    START(READ, 0x8b, 0x05, 0x12, 0, 0, 0);
    assert_true(mmio_fast(&vcpu, DEVICE + 0x18));
    START(READ, 0x8b, 0x04, 0x25, 0x20, 0, 0, 0);
    assert_true(mmio_fast(&vcpu, DEVICE + 0x20));
}

static void expect_slow(gpa_t gpa)
{
    struct vcpu before = vcpu;
    u64 rip = vmread(GUEST_RIP);

    assert_false(mmio_fast(&vcpu, gpa));
    assert_int_equal(device.reads + device.writes, 0);
    assert_memory_equal(&before, &vcpu, sizeof(vcpu));
    assert_int_equal(vmread(GUEST_RIP), rip);
}

/* Everything that must be as it was. */
static void test_changes(void **state)
{
    static const struct {
        u32 field;
        u64 value;
    } row[] = {
        {GUEST_RIP, CODE + 0x10000},
        {GUEST_RIP, CODE + 1},
        {GUEST_CR3, 0x6000},
        {GUEST_CR4, CR4_LA57},
        {GUEST_IA32_EFER, EFER_LME},
        {GUEST_CS_ACCESS_RIGHTS, SEG_AR_DB | 0x9b},
        {IDT_VECTORING_INFO, BIT(31)},
        {GUEST_DR7, DR7_INIT | BIT(7)}, /* a breakpoint is enabled */
        {EXIT_QUALIFICATION, BIT(7) | BIT(8) | WRITE},
        {EXIT_QUALIFICATION, BIT(7) | BIT(8) | READ | WRITE},
        {EXIT_QUALIFICATION, BIT(7) | BIT(8) | BIT(2)},
        {EXIT_QUALIFICATION, BIT(7) | READ},
        {EXIT_QUALIFICATION, READ},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        START(READ, 0x8b, 0x43, 0x30);
        set(row[i].field, row[i].value);
        expect_slow(DEVICE + 0x30);
    }
    START(READ, 0x8b, 0x43, 0x30);
    matches = false;
    expect_slow(DEVICE + 0x30);
    assert_int_equal(nr_matches, 1);
    matches = true;
    expect_slow(DEVICE + 0x34);             /* not this instruction's address */
    expect_slow(DEVICE + PAGE_SIZE + 0x30); /* a page that was not looked at */
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));

    START(READ, 0x8b, 0x43, 0x02); /* unaligned */
    expect_slow(DEVICE + 2);
}

/* Nothing is remembered of others. */
static void test_not_moves(void **state)
{
    static const struct {
        u32 n;
        u8 bytes[8];
    } row[] = {
        {2, {0x03, 0x03}},             /* add eax, [rbx] */
        {2, {0x8b, 0x23}},             /* mov esp, [rbx] */
        {3, {0x8b, 0x04, 0x24}},       /* mov eax, [rsp] */
        {3, {0x67, 0x8b, 0x03}},       /* mov eax, [ebx] */
        {3, {0x65, 0x8b, 0x03}},       /* mov eax, gs:[rbx] */
        {4, {0x66, 0x0f, 0xb6, 0x03}}, /* movzx ax, byte [rbx] */
        {3, {0x0f, 0xbe, 0x03}},       /* movsx eax, byte [rbx] */
        {4, {0x0f, 0x38, 0xf0, 0x03}}, /* movbe eax, [rbx] */
        {1, {0xa4}},
        {2, {0x87, 0x03}}, /* xchg eax, [rbx] */
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        start(row[i].bytes, row[i].n, READ);
        vcpu.gpr[REG_RSP] = LINEAR;
        expect_slow(DEVICE);
    }
}

/* Where the VM has released its RAM. */
static void test_not_for_ever(void **state)
{
    (void)state;
    may_be_ram = true;
    START(READ, 0x8b, 0x43, 0x30); /* mov eax, [rbx+0x30] */
    may_be_ram = false;
    assert_false(mmio_fast(&vcpu, DEVICE + 0x30));
    START(READ, 0x8b, 0x43, 0x30);
    assert_true(mmio_fast(&vcpu, DEVICE + 0x30));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),   cmocka_unit_test(test_stores),    cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_not_moves), cmocka_unit_test(test_not_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
