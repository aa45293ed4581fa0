/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c */
/* INVEPT and INVVPID as L1 executes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l1.h"
#include "vmm/nested/instructions.c"
#include "vmm/nested/invalidate.c"
#include "vmm/nested/vmread.c"
#include "vmm/nested/vmxon.c"

#define EPTP (0x5000ull | EPTP_WB | EPTP_WALK_4)

static void invept(u64 type, u64 low_half)
{
    start(EXIT_REASON_INVEPT);
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RSI);
    vcpu.gpr[REG_RSI] = type;
    low.operand[0] = low_half;
}

static void invvpid(u64 type, u64 vpid, u64 address)
{
    start(EXIT_REASON_INVVPID);
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RSI);
    vcpu.gpr[REG_RSI] = type;
    low.operand[0] = vpid;
    low.operand[1] = address;
}

static void single(void)
{
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RSI);
    vcpu.gpr[REG_RSI] = 1;
    low.operand[0] = low.field[EXIT_REASON] == EXIT_REASON_INVEPT ? EPTP : 3;
}

static void not_offered(void)
{
    vm.nested_caps.ept_vpid &= ~(EPT_CAP_INVEPT | VPID_CAP_INVVPID);
}

static void bad_type(void)
{
    vcpu.gpr[REG_RSI] = 4;
}

static void bad_descriptor(void)
{
    low.operand[0] = 0x800000; /* of either: memory type 0 with one level; reserved bits */
}

static void test_invalidate_order(void **state)
{
    const struct check checks[] = {
        {not_offered, UNDEFINED},  {not_in_vmx, UNDEFINED},
        {cpl3, PROTECTION},        {bad_type, VMX_ERROR_INVEPT_INVVPID_OPERAND},
        {operand_faults, STOPPED}, {bad_descriptor, VMX_ERROR_INVEPT_INVVPID_OPERAND},
    };

    (void)state;
    EXPECT_ORDER(EXIT_REASON_INVEPT, single, checks, SUCCESS);
    EXPECT_ORDER(EXIT_REASON_INVVPID, single, checks, SUCCESS);
    expect_undefined(EXIT_REASON_INVEPT, single);
    expect_undefined(EXIT_REASON_INVVPID, single);
    invept(1, EPTP);
    without(PROC2_ENABLE_EPT);
    assert_int_equal(run(), UNDEFINED);
    invvpid(1, 3, 0);
    without(PROC2_ENABLE_VPID);
    assert_int_equal(run(), UNDEFINED);
}

static void test_invept(void **state)
{
    static const u64 bad[] = {
        0x5000 | 1 | EPTP_WALK_4,
        0x5000 | 7 | EPTP_WALK_4,
        0x5000 | EPTP_WB | 2 << 3,
        0x5000 | EPTP_WB | EPTP_WALK_5,
        EPTP | BIT(8),
        EPTP | BIT(11),
        EPTP | BIT(39),
        EPTP | BIT(63),
    };

    (void)state;
    invept(1, EPTP | EPTP_ACCESSED_DIRTY | EPTP_SHADOW_STACK);
    low.operand[1] = ~0ull; /* nobody looks */
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.operand_size, 16);
    assert_int_equal(low.invalidated, 1);
    assert_int_equal(low.invalidated_all, 0);
    assert_int_equal(low.eptp, EPTP | EPTP_ACCESSED_DIRTY | EPTP_SHADOW_STACK);
    assert_true(nested.flush_vpid);
    invept(2, ~0ull);
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.invalidated, 0);
    assert_int_equal(low.invalidated_all, 1);
    assert_true(nested.flush_vpid);
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        invept(1, bad[i]);
        assert_int_equal(run(), VMX_ERROR_INVEPT_INVVPID_OPERAND);
        assert_int_equal(low.invalidated, 0);
        assert_false(nested.flush_vpid);
    }
    for (u32 bit = 0; bit < 4; bit++) { /* what takes one capability each */
        static const u64 needs[] = {EPT_CAP_WB, EPT_CAP_WALK_4, EPT_CAP_ACCESSED_DIRTY, EPT_CAP_SHADOW_STACK};

        invept(1, EPTP | EPTP_ACCESSED_DIRTY | EPTP_SHADOW_STACK);
        vm.nested_caps.ept_vpid &= ~needs[bit];
        assert_int_equal(run(), VMX_ERROR_INVEPT_INVVPID_OPERAND);
    }
}

static void test_types(void **state)
{
    static const u64 invept_bits[] = {0, EPT_CAP_INVEPT_SINGLE, EPT_CAP_INVEPT_ALL, 0};
    static const u64 invvpid_bits[] = {VPID_CAP_INVVPID_ADDRESS, VPID_CAP_INVVPID_SINGLE,
                                       VPID_CAP_INVVPID_ALL, VPID_CAP_INVVPID_KEEP_GLOBAL, 0};

    (void)state;
    for (u32 type = 0; type < ARRAY_SIZE(invept_bits); type++) {
        invept(type, EPTP);
        assert_int_equal(run(), invept_bits[type] ? SUCCESS : VMX_ERROR_INVEPT_INVVPID_OPERAND);
        invept(type, EPTP);
        vm.nested_caps.ept_vpid &= ~invept_bits[type];
        assert_int_equal(run(), VMX_ERROR_INVEPT_INVVPID_OPERAND);
        assert_int_equal(low.operand_size, 0);
    }
    for (u32 type = 0; type < ARRAY_SIZE(invvpid_bits); type++) {
        invvpid(type, 3, 0);
        assert_int_equal(run(), invvpid_bits[type] ? SUCCESS : VMX_ERROR_INVEPT_INVVPID_OPERAND);
        invvpid(type, 3, 0);
        vm.nested_caps.ept_vpid &= ~invvpid_bits[type];
        assert_int_equal(run(), VMX_ERROR_INVEPT_INVVPID_OPERAND);
    }
    /* The type has 64 bits in 64-bit mode, and 32 otherwise. */
    invept(BIT(32) | 2, 0);
    assert_int_equal(run(), VMX_ERROR_INVEPT_INVVPID_OPERAND);
    invept(BIT(32) | 2, 0);
    mode32();
    assert_int_equal(run(), SUCCESS);
    invvpid(0, 2, 0);
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RSP);
    low.rsp = 4;
    assert_int_equal(run(), VMX_ERROR_INVEPT_INVVPID_OPERAND);
}

static void test_invvpid(void **state)
{
    const u32 wrong = VMX_ERROR_INVEPT_INVVPID_OPERAND;

    (void)state;
    for (u32 type = 0; type < 4; type++) {
        invvpid(type, 0xffff, 0x7fffffffffff);
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(low.operand_size, 16);
        assert_true(nested.flush_vpid);
        assert_int_equal(low.invalidated + low.invalidated_all, 0);
        invvpid(type, 0, 0);
        assert_int_equal(run(), type == 2 ? SUCCESS : wrong);
        assert_int_equal(nested.flush_vpid, type == 2);
        invvpid(type, 0x10001, 0);
        assert_int_equal(run(), wrong);
        invvpid(type, BIT(63) | 1, 0);
        assert_int_equal(run(), wrong);
        invvpid(type, 1, 0x800000000000);
        assert_int_equal(run(), type == 0 ? wrong : SUCCESS);
        invvpid(type, 1, 0xffff7fffffffffff);
        assert_int_equal(run(), type == 0 ? wrong : SUCCESS);
        invvpid(type, 1, 0xffff800000000000);
        assert_int_equal(run(), SUCCESS);
    }
    invvpid(0, 1, 0x800000000000);
    vm.cpuid.linear_bits = 57;
    assert_int_equal(run(), SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invalidate_order),
        cmocka_unit_test(test_invept),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_invvpid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
