/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/msr_lists.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "vmm/vm.h"

#define LIST      0x1000u
#define RAM       0x8000u
#define MOST      512u
#define BAD_VALUE 0xbadull /* a value that the fake WRMSR refuses */

/* --- what lies below --- */

static u8 ram[RAM];
static bool read_only;
static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static struct {
    u32 msr;
    u64 value;
} written[2 * MOST];
static u32 nr_written, nr_read;

int guest_read(struct vm *m, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(m, &vm);
    if (gpa >= RAM || n > RAM - gpa)
        return ERR_RANGE;
    memcpy(to, ram + gpa, n);
    return OK;
}

int guest_write(struct vm *m, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(m, &vm);
    if (read_only || gpa >= RAM || n > RAM - gpa)
        return ERR_RANGE;
    memcpy(ram + gpa, from, n);
    return OK;
}

/* MSRs up to 0xdfff exist. */
int vcpu_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    assert_ptr_equal(v, &vcpu);
    nr_read++;
    *value = msr * 3ull;
    return msr < 0xe000 || msr >= 0xc0000000 ? OK : ERR_INVAL;
}

int vcpu_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    assert_ptr_equal(v, &vcpu);
    if (value == BAD_VALUE || (msr >= 0xe000 && msr < 0xc0000000))
        return ERR_INVAL;
    written[nr_written].msr = msr;
    written[nr_written++].value = value;
    return OK;
}

static struct vmx_msr_entry *list(void)
{
    return (struct vmx_msr_entry *)(void *)(ram + LIST);
}

/* n good entries: MSR 0x100 and so on, values 1 and so on. */
static void fill(u32 n)
{
    for (u32 i = 0; i < n; i++)
        list()[i] = (struct vmx_msr_entry){.index = 0x100 + i, .value = i + 1};
}

static int start(void **state)
{
    struct vmcs_image *vmcs12 = &nested.vmcs12.image;

    (void)state;
    memset(ram, 0xee, sizeof(ram));
    memset(&nested, 0, sizeof(nested));
    nr_written = nr_read = 0;
    read_only = false;
    vcpu.vm = &vm;
    vcpu.nested = &nested;
    fill(4);
    VMCS(vmcs12, ENTRY_MSR_LOAD_ADDR) = VMCS(vmcs12, EXIT_MSR_LOAD_ADDR) = VMCS(vmcs12, EXIT_MSR_STORE_ADDR) =
        LIST;
    return 0;
}

static u32 entry_load(u32 count)
{
    VMCS(&nested.vmcs12.image, ENTRY_MSR_LOAD_COUNT) = count;
    return nested_load_entry_msrs(&vcpu);
}

static bool exit_load(u32 count)
{
    VMCS(&nested.vmcs12.image, EXIT_MSR_LOAD_COUNT) = count;
    return nested_load_exit_msrs(&vcpu);
}

static bool exit_store(u32 count)
{
    VMCS(&nested.vmcs12.image, EXIT_MSR_STORE_COUNT) = count;
    return nested_store_exit_msrs(&vcpu);
}

/* --- tests --- */

static void test_empty(void **state)
{
    (void)state;
    VMCS(&nested.vmcs12.image, ENTRY_MSR_LOAD_ADDR) = ~0ull;
    assert_int_equal(entry_load(0), 0);
    assert_true(exit_load(0) && exit_store(0));
    assert_int_equal(nr_written + nr_read, 0);
}

static void test_load_in_order(void **state)
{
    (void)state;
    assert_int_equal(entry_load(4), 0);
    assert_true(exit_load(3));
    assert_int_equal(nr_written, 7);
    for (u32 i = 0; i < 7; i++) {
        assert_int_equal(written[i].msr, 0x100 + i % 4);
        assert_int_equal(written[i].value, i % 4 + 1);
    }
}

static void test_store(void **state)
{
    (void)state;
    assert_true(exit_store(3));
    for (u32 i = 0; i < 4; i++) {
        assert_int_equal(list()[i].index, 0x100 + i);
        assert_int_equal(list()[i].reserved, 0);
        assert_int_equal(list()[i].value, i < 3 ? (0x100 + i) * 3 : i + 1);
    }
    assert_int_equal(nr_written, 0);
}

/* The entries before the one that fails are loaded, those behind it are not. */
static void fails_at(u32 number)
{
    nr_written = 0;
    assert_int_equal(entry_load(4), number);
    assert_int_equal(nr_written, number - 1);
    assert_false(exit_load(4));
    assert_int_equal(nr_written, 2 * (number - 1));
}

static void test_load_refusals(void **state)
{
    static const struct {
        u32 index;
        bool load, store; /* refused */
    } rows[] = {
        {MSR_IA32_FS_BASE - 1, false, false},
        {MSR_IA32_FS_BASE, true, false},
        {MSR_IA32_GS_BASE, true, false},
        {MSR_IA32_KERNEL_GS_BASE, false, false},
        {0x7ff, false, false},
        {0x800, true, true},
        {0x8ff, true, true},
        {0x900, false, false},
        {MSR_IA32_SMM_MONITOR_CTL, true, false},
        {MSR_IA32_SMBASE, false, true},
        {0xe000, true, true}, /* there is no such MSR */
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        list()[2].index = rows[i].index;
        if (rows[i].load)
            fails_at(3);
        else
            assert_true(entry_load(4) == 0 && exit_load(4));
        assert_int_equal(exit_store(4), !rows[i].store);
        nr_written = 0;
    }
}

static void test_reserved_bits(void **state)
{
    (void)state;
    for (u32 bit = 0; bit < 32; bit++) {
        list()[1].reserved = (u32)BIT(bit);
        fails_at(2);
        assert_false(exit_store(4));
        assert_int_equal(list()[1].value, 2);
    }
}

static void test_bad_value(void **state)
{
    (void)state;
    list()[3].value = BAD_VALUE;
    fails_at(4);
    assert_true(exit_store(4));
}

static void test_memory(void **state)
{
    struct vmcs_image *vmcs12 = &nested.vmcs12.image;

    (void)state;
    list()[0].reserved = 1; /* elsewhere */
    VMCS(vmcs12, ENTRY_MSR_LOAD_ADDR) = VMCS(vmcs12, EXIT_MSR_LOAD_ADDR) = VMCS(vmcs12, EXIT_MSR_STORE_ADDR) =
        RAM - 32;
    memset(ram + RAM - 32, 0, 32);
    assert_int_equal(entry_load(2), 0);
    assert_int_equal(entry_load(3), 3);
    assert_true(exit_load(2) && exit_store(2));
    assert_false(exit_load(3) || exit_store(3));
    read_only = true;
    assert_false(exit_store(1));
}

/* IA32_VMX_MISC[27:25]: at most 512, 1024... entries. */
static void test_count(void **state)
{
    (void)state;
    fill(2 * MOST + 1);
    for (u32 code = 0; code < 2; code++) {
        u32 most = MOST * (code + 1);

        vm.nested_caps.misc = (u64)code << 25;
        nr_written = 0;
        assert_int_equal(entry_load(most), 0);
        nr_written = 0;
        assert_int_equal(entry_load(most + 1), most + 1);
        nr_written = 0;
        assert_false(exit_load(~0u));
        assert_int_equal(nr_written, most);
        assert_true(exit_store(most));
        assert_false(exit_store(most + 1));
    }
    vm.nested_caps.misc = 0;
}

/* That of the exit, whenever it is stored. */
static void test_store_tsc(void **state)
{
    (void)state;
    list()[0].index = MSR_IA32_TSC;
    nested.exit_tsc = 1000;
    vcpu.tsc_offset = 234;
    assert_true(exit_store(1));
    assert_int_equal(list()[0].value, 1234);
    assert_int_equal(nr_read, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, start),         cmocka_unit_test_setup(test_load_in_order, start),
        cmocka_unit_test_setup(test_store, start),         cmocka_unit_test_setup(test_load_refusals, start),
        cmocka_unit_test_setup(test_reserved_bits, start), cmocka_unit_test_setup(test_bad_value, start),
        cmocka_unit_test_setup(test_memory, start),        cmocka_unit_test_setup(test_count, start),
        cmocka_unit_test_setup(test_store_tsc, start),
    };

    return cmocka_run_group_tests_name("nested_msr_lists", tests, NULL, NULL);
}
