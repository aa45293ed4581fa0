/* SPDX-License-Identifier: MIT */
/* VMFUNC of L2: which switch the EPT, which are L1's, which are #UD. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"
#include "vmm/nested/vmfunc.c"

#define LIST 0x7000

static u64 list[512];
static u32 reads, used, reflected, undefined, skipped;

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(n, 8);
    reads++;
    if (gpa < LIST || gpa >= LIST + sizeof(list))
        return ERR_RANGE;
    memcpy(to, &list[(gpa - LIST) / 8], 8);
    return OK;
}

bool nested_eptp_ok(const struct vcpu *v, u64 eptp)
{
    assert_ptr_equal(v, &vcpu);
    return eptp & 1;
}

void vmcs02_use_ept(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    used++;
}

bool nested_reflect(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    reflected++;
    return true;
}

bool nested_undefined(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    undefined++;
    return false;
}

void vcpu_skip_instruction(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    skipped++;
}

/* Entries with bit 0 are good. */
static bool run(u64 rax, u64 rcx)
{
    start_l2();
    reads = used = reflected = undefined = skipped = 0;
    L1_SAYS(VM_FUNCTION_CONTROLS) = VMFUNC_EPTP_SWITCHING;
    L1_SAYS(EPTP_LIST_ADDRESS) = LIST;
    L1_SAYS(EPT_POINTER) = 0x5555;
    vcpu.gpr[REG_RAX] = rax;
    vcpu.gpr[REG_RCX] = rcx;
    return nested_vmfunc(&vcpu);
}

static void expect_exit(void)
{
    assert_int_equal(reflected, 1);
    assert_int_equal(used + undefined + skipped, 0);
    assert_int_equal(L1_SAYS(EPT_POINTER), 0x5555);
}

static void switches(void **state)
{
    static const u64 rcx[] = {0, 1, 511, 0xffffffff00000007};

    (void)state;
    for (u32 i = 0; i < 512; i++)
        list[i] = 0x1000 * (i + 1) | 1;
    for (u32 i = 0; i < ARRAY_SIZE(rcx); i++) {
        assert_true(run(BIT(32), rcx[i]));
        assert_int_equal(L1_SAYS(EPT_POINTER), list[(u32)rcx[i]]);
        assert_int_equal(reads, 1); /* L1 can write to it meanwhile */
        assert_int_equal(used, 1);
        assert_int_equal(skipped, 1);
        assert_int_equal(reflected + undefined, 0);
    }
}

static void exits_of_switching(void **state)
{
    (void)state;
    list[3] = 0x3000;
    run(0, 3);
    expect_exit();
    run(0, 512);
    expect_exit();
    assert_int_equal(reads, 0);
    run(0, 0xffffffff);
    expect_exit();
    /* Nothing is there. */
    start_l2();
    reflected = used = undefined = skipped = 0;
    L1_SAYS(EPT_POINTER) = 0x5555;
    L1_SAYS(VM_FUNCTION_CONTROLS) = VMFUNC_EPTP_SWITCHING;
    L1_SAYS(EPTP_LIST_ADDRESS) = 0x123456000;
    nested_vmfunc(&vcpu);
    expect_exit();
}

static void other_functions(void **state)
{
    (void)state;
    for (u32 function = 1; function < 64; function++) {
        run(function, 0);
        expect_exit();
    }
    for (u64 function = 64; function <= 0xffffffff; function = function * 3 + 1) {
        assert_false(run(function, 0));
        assert_int_equal(undefined, 1);
        assert_int_equal(reflected + used + skipped, 0);
    }
}

static void not_enabled(void **state)
{
    (void)state;
    start_l2();
    reflected = used = undefined = skipped = 0;
    L1_SAYS(EPT_POINTER) = 0x5555;
    L1_SAYS(EPTP_LIST_ADDRESS) = LIST;
    nested_vmfunc(&vcpu);
    expect_exit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switches),
        cmocka_unit_test(exits_of_switching),
        cmocka_unit_test(other_functions),
        cmocka_unit_test(not_enabled),
    };

    return cmocka_run_group_tests_name("nested_vmfunc", tests, NULL, NULL);
}
