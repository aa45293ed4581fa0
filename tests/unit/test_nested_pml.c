/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c */
/* L1's page-modification log: where entries go, and when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"
#include "vmm/nested/pml.c"

#define LOG 0x7000

static gpa_t written_to;
static u64 written;
static u32 writes;
static int result;

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(n, 8);
    written_to = gpa;
    memcpy(&written, from, 8);
    writes++;
    return result;
}

static void start(bool on, u64 index)
{
    start_l2();
    writes = 0;
    result = OK;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_ENABLE_EPT | (on ? PROC2_ENABLE_PML : 0);
    L1_SAYS(PML_ADDRESS) = LOG;
    L1_SAYS(GUEST_PML_INDEX) = index;
}

static void full(void **state)
{
    static const struct {
        u64 index;
        bool full;
    } rows[] = {{0, false}, {1, false}, {511, false}, {512, true}, {0x7fff, true}, {0xffff, true}};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        start(true, rows[i].index);
        assert_int_equal(nested_pml_full(&vcpu), rows[i].full);
        start(false, rows[i].index);
        assert_false(nested_pml_full(&vcpu));
    }
}

static void entries(void **state)
{
    (void)state;
    for (u32 index = 0; index < 512; index++) {
        start(true, index);
        nested_pml_log(&vcpu, 0x123456789abc);
        assert_int_equal(writes, 1);
        assert_int_equal(written_to, LOG + 8 * index);
        assert_int_equal(written, 0x123456789000);
        assert_int_equal(L1_SAYS(GUEST_PML_INDEX), index ? index - 1 : 0xffff);
        assert_int_equal(vmcs02[GUEST_PML_INDEX], L1_SAYS(GUEST_PML_INDEX));
        assert_int_equal(nested_pml_full(&vcpu), index == 0);
    }
}

static void no_log(void **state)
{
    (void)state;
    start(false, 5);
    nested_pml_log(&vcpu, 0x1000);
    assert_int_equal(writes, 0);
    assert_int_equal(L1_SAYS(GUEST_PML_INDEX), 5);
}

/* As on a CPU, nobody learns that no RAM is there. */
static void log_without_ram(void **state)
{
    (void)state;
    start(true, 5);
    result = ERR_RANGE;
    nested_pml_log(&vcpu, 0x1000);
    assert_int_equal(L1_SAYS(GUEST_PML_INDEX), 4);
}

/* The CPU has no such field. */
static void cpu_without_pml(void **state)
{
    (void)state;
    start(true, 5);
    vmx_caps.proc2 &= ~((u64)PROC2_ENABLE_PML << 32);
    nested_pml_log(&vcpu, 0x1000);
    assert_int_equal(L1_SAYS(GUEST_PML_INDEX), 4);
    assert_int_equal(vmcs02[GUEST_PML_INDEX], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full),
        cmocka_unit_test(entries),
        cmocka_unit_test(no_log),
        cmocka_unit_test(log_without_ram),
        cmocka_unit_test(cpu_without_pml),
    };

    return cmocka_run_group_tests_name("nested_pml", tests, NULL, NULL);
}
