/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/bitmaps.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/vm.h"

#define PAGE_IO_A 0x1000u
#define PAGE_IO_B 0x3000u
#define PAGE_MSR  0x5000u
#define RAM       0x6000u

/* --- L1's memory --- */

static u8 ram[RAM];
static u32 reads;
static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static u64 own[512], merged[512];

int guest_read(struct vm *m, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(m, &vm);
    reads++;
    if (gpa >= RAM || n > RAM - gpa) {
        memset(to, 0, n / 2); /* nothing is promised about a part copied before */
        return ERR_RANGE;
    }
    memcpy(to, ram + gpa, n);
    return OK;
}

int guest_or_words(struct vm *m, gpa_t gpa, const struct or_word *words, u32 n, void *to)
{
    assert_true(n && n % OR_WORDS_STEP == 0);
    for (u32 i = 0; i < n; i++) {
        u64 word;

        if (guest_read(m, gpa + words[i].offset, &word, 8))
            return ERR_RANGE;
        *(u64 *)((u8 *)to + words[i].offset) = word | words[i].bits;
    }
    return OK;
}

static int start(void **state)
{
    struct vmcs_image *vmcs12 = &nested.vmcs12.image;

    (void)state;
    memset(ram, 0, sizeof(ram));
    memset(&nested, 0, sizeof(nested));
    memset(own, 0xff, sizeof(own));
    own[3] = own[300] = 0;
    memset(merged, 0xff, sizeof(merged));
    reads = 0;
    vm.msr_bitmap = (u8 *)own;
    nested_bitmaps_init(&vm);
    vcpu.vm = &vm;
    vcpu.nested = &nested;
    nested.msr_bitmap = merged;
    VMCS(vmcs12, PRIMARY_CONTROLS) = PROC_USE_MSR_BITMAPS | PROC_USE_IO_BITMAPS;
    VMCS(vmcs12, IO_BITMAP_A) = PAGE_IO_A;
    VMCS(vmcs12, IO_BITMAP_B) = PAGE_IO_B;
    VMCS(vmcs12, MSR_BITMAPS) = PAGE_MSR;
    return 0;
}

static void controls(u64 primary)
{
    VMCS(&nested.vmcs12.image, PRIMARY_CONTROLS) = primary;
}

/* --- MSRs --- */

/* Each bit of the page alone, and what it stands for: 'MSR-Bitmap Address'. */
static void test_each_msr_bit(void **state)
{
    static const struct {
        u32 first;
        bool write;
    } quarters[] = {{0, false}, {0xc0000000, false}, {0, true}, {0xc0000000, true}};

    (void)state;
    for (u32 bit = 0; bit < 4 * 0x2000; bit++) {
        u32 msr = quarters[bit / 0x2000].first + bit % 0x2000;
        bool write = quarters[bit / 0x2000].write;

        assert_false(nested_msr_exits(&vcpu, msr, write));
        ram[PAGE_MSR + bit / 8] = (u8)(1 << bit % 8);
        assert_true(nested_msr_exits(&vcpu, msr, write));
        assert_false(nested_msr_exits(&vcpu, msr, !write));
        assert_false(nested_msr_exits(&vcpu, msr ^ 1, write));
        assert_false(nested_msr_exits(&vcpu, msr ^ 0xc0000000, write));
        ram[PAGE_MSR + bit / 8] = 0;
    }
}

static void test_msrs_without_bit(void **state)
{
    static const u32 outside[] = {0x2000, 0x40000000, 0xbfffffff, 0xc0002000, 0xffffffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(outside); i++)
        assert_true(nested_msr_exits(&vcpu, outside[i], false) && nested_msr_exits(&vcpu, outside[i], true));
    assert_int_equal(reads, 0);
}

static void test_msrs_without_bitmap(void **state)
{
    (void)state;
    controls(PROC_USE_IO_BITMAPS);
    assert_true(nested_msr_exits(&vcpu, 0x10, false));
    assert_int_equal(reads, 0);
    controls(PROC_USE_MSR_BITMAPS);
    VMCS(&nested.vmcs12.image, MSR_BITMAPS) = RAM;
    assert_true(nested_msr_exits(&vcpu, 0x10, false));
}

/* --- ports --- */

static void set_port(u32 port)
{
    ram[(port < 0x8000 ? PAGE_IO_A : PAGE_IO_B) + port % 0x8000 / 8] |= (u8)(1 << port % 8);
}

static void test_each_port(void **state)
{
    (void)state;
    for (u32 port = 0; port < 0x10000; port++) {
        set_port(port);
        for (u32 size = 1; size <= 4; size *= 2) {
            for (u32 from = port < 4 ? 0 : port - 4; from <= port + 1 && from <= 0xffff; from++) {
                bool touches = from <= port && port<from + size, wraps = from + size> 0x10000;

                assert_int_equal(nested_port_exits(&vcpu, (u16)from, size), touches || wraps);
            }
        }
        ram[PAGE_IO_A + port % 0x8000 / 8] = ram[PAGE_IO_B + port % 0x8000 / 8] = 0;
    }
}

static void test_port_controls(void **state)
{
    (void)state;
    assert_false(nested_port_exits(&vcpu, 0x60, 1));
    controls(PROC_USE_IO_BITMAPS | PROC_UNCONDITIONAL_IO_EXITING); /* which is then ignored */
    assert_false(nested_port_exits(&vcpu, 0x60, 1));
    assert_true(nested_port_exits(&vcpu, 0xffff, 2));
    assert_true(nested_port_exits(&vcpu, 0xfffd, 4));
    assert_false(nested_port_exits(&vcpu, 0xfffc, 4));
    controls(PROC_UNCONDITIONAL_IO_EXITING);
    assert_true(nested_port_exits(&vcpu, 0x60, 1));
    controls(0);
    set_port(0x60);
    assert_false(nested_port_exits(&vcpu, 0x60, 1));
    assert_false(nested_port_exits(&vcpu, 0xffff, 4));
}

static void test_port_pages_unreadable(void **state)
{
    (void)state;
    VMCS(&nested.vmcs12.image, IO_BITMAP_B) = RAM;
    assert_false(nested_port_exits(&vcpu, 0x7ffc, 4));
    assert_true(nested_port_exits(&vcpu, 0x7ffd, 4));
    assert_true(nested_port_exits(&vcpu, 0x8000, 1));
    VMCS(&nested.vmcs12.image, IO_BITMAP_A) = ~0xfffull;
    assert_true(nested_port_exits(&vcpu, 0, 1));
}

/* --- vmcs02's bitmap --- */

static void fill(u64 *words, u32 seed)
{
    for (u32 i = 0; i < 512; i++)
        words[i] = (seed = seed * 1664525 + 1013904223) * 0x9e3779b97f4a7c15ull;
}

static void test_merge(void **state)
{
    u64 theirs[512];

    (void)state;
    fill(theirs, 1);
    fill(own, 2);
    for (u32 i = 0; i < 512; i++)
        if (i % 17)
            own[i] = ~0ull;
    nested_bitmaps_init(&vm);
    assert_int_equal(vm.nr_msr_words, 31 + 2); /* a multiple of OR_WORDS_STEP */
    memcpy(ram + PAGE_MSR, theirs, sizeof(theirs));
    nested_merge_msr_bitmap(&vcpu);
    for (u32 i = 0; i < 512; i++)
        assert_int_equal(merged[i], theirs[i] | own[i]);
    assert_int_equal(reads, 31 + 2);
    assert_memory_equal(ram + PAGE_MSR, theirs, sizeof(theirs));
    /* Before the next entries. */
    fill(theirs, 3);
    memcpy(ram + PAGE_MSR, theirs, sizeof(theirs));
    nested_merge_again(&vcpu);
    for (u32 i = 0; i < 512; i++)
        assert_int_equal(merged[i], theirs[i] | own[i]);
}

static void all_exit(void)
{
    for (u32 i = 0; i < 512; i++)
        assert_int_equal(merged[i], ~0ull);
}

static void test_merge_without_bitmap(void **state)
{
    (void)state;
    controls(0);
    nested_merge_msr_bitmap(&vcpu);
    all_exit();
    start(NULL);
    VMCS(&nested.vmcs12.image, MSR_BITMAPS) = RAM;
    nested_merge_msr_bitmap(&vcpu);
    all_exit();
    nested_merge_again(&vcpu);
    all_exit();
    start(NULL);
    nested_merge_msr_bitmap(&vcpu);
    assert_int_equal(merged[3], 0);
    VMCS(&nested.vmcs12.image, MSR_BITMAPS) = RAM;
    nested_merge_again(&vcpu);
    all_exit();
}

static bool merged_bit(u32 msr, bool write)
{
    return merged[(write ? 256 : 0) + msr / 64] >> msr % 64 & 1;
}

static void test_merge_x2apic(void **state)
{
    (void)state;
    memset(own, 0xff, sizeof(own));
    nested_bitmaps_init(&vm);
    controls(PROC_USE_MSR_BITMAPS);
    VMCS(&nested.vmcs12.image, SECONDARY_CONTROLS) = PROC2_VIRTUALIZE_X2APIC;
    nested_merge_msr_bitmap(&vcpu); /* the secondary controls are not activated */
    all_exit();
    controls(PROC_USE_MSR_BITMAPS | PROC_ACTIVATE_SECONDARY);
    nested_merge_msr_bitmap(&vcpu);
    for (u32 msr = 0x7c0; msr < 0x900; msr++) {
        assert_int_equal(merged_bit(msr, false), msr != 0x808);
        assert_int_equal(merged_bit(msr, true), msr != 0x808);
    }
    ram[PAGE_MSR + 2048 + 0x808 / 8] = 1;
    nested_merge_msr_bitmap(&vcpu);
    assert_true(!merged_bit(0x808, false) && merged_bit(0x808, true));
    /* The high quarters have no such MSR. */
    assert_int_equal(merged[128 + 0x808 / 64], ~0ull);
    assert_int_equal(merged[384 + 0x808 / 64], ~0ull);
}

/* 'Virtualizing MSR-Based APIC Accesses', control by control; L1's bitmap is all zeros, then all ones. */
static void test_merge_x2apic_controls(void **state)
{
    (void)state;
    memset(own, 0xff, sizeof(own));
    nested_bitmaps_init(&vm);
    controls(PROC_USE_MSR_BITMAPS | PROC_ACTIVATE_SECONDARY);
    for (u32 i = 0; i < 16; i++) {
        bool x2apic = i & 1, registers = i & 2, delivery = i & 4, ones = i & 8;

        VMCS(&nested.vmcs12.image, SECONDARY_CONTROLS) =
            (x2apic ? PROC2_VIRTUALIZE_X2APIC : 0) | (registers ? PROC2_APIC_REGISTER_VIRTUALIZATION : 0) |
            (delivery ? PROC2_VIRTUAL_INTERRUPT_DELIVERY : 0);
        memset(ram + PAGE_MSR, ones ? 0xff : 0, PAGE_SIZE);
        nested_merge_msr_bitmap(&vcpu);
        for (u32 msr = 0; msr < 0x2000; msr++) {
            bool is_x2apic = x2apic && msr >= 0x800 && msr <= 0x8ff, tpr = msr == 0x808;
            bool read = is_x2apic && (registers || tpr);
            bool write = is_x2apic && (tpr || (delivery && (msr == 0x80b || msr == 0x83f)));

            assert_int_equal(merged_bit(msr, false), ones || !read);
            assert_int_equal(merged_bit(msr, true), ones || !write);
        }
    }
    VMCS(&nested.vmcs12.image, SECONDARY_CONTROLS) = ~0u;
    memset(ram + PAGE_MSR, 0, PAGE_SIZE);
    nested_merge_msr_bitmap(&vcpu);
    controls(PROC_USE_MSR_BITMAPS);
    nested_merge_msr_bitmap(&vcpu);
    all_exit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_msr_bit, start),
        cmocka_unit_test_setup(test_msrs_without_bit, start),
        cmocka_unit_test_setup(test_msrs_without_bitmap, start),
        cmocka_unit_test_setup(test_each_port, start),
        cmocka_unit_test_setup(test_port_controls, start),
        cmocka_unit_test_setup(test_port_pages_unreadable, start),
        cmocka_unit_test_setup(test_merge, start),
        cmocka_unit_test_setup(test_merge_without_bitmap, start),
        cmocka_unit_test_setup(test_merge_x2apic, start),
        cmocka_unit_test_setup(test_merge_x2apic_controls, start),
    };

    return cmocka_run_group_tests_name("nested_bitmaps", tests, NULL, NULL);
}
