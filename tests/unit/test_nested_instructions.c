/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c */
/* L1's VMX instructions: each check, in order, and what is done after the last. Here all but VMREAD, VMWRITE,
 * INVEPT and INVVPID. */
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

static void use_vmxon_region(void)
{
    low.operand[0] = VMXON_REGION;
}

static void use_b(void)
{
    low.operand[0] = VMCS_B;
}

static void misaligned(void)
{
    low.operand[0] |= 0x800;
}

static void too_wide(void)
{
    low.operand[0] |= BIT(39);
}

static void only_32_bits(void)
{
    vm.nested_caps.basic |= VMX_BASIC_32BIT_ADDRESSES;
    low.operand[0] |= BIT(32);
}

static void wrong_revision(void)
{
    region(low.operand[0])->revision ^= 1;
}

/* --- VMXON --- */

static void before_vmxon(void)
{
    nested.vmx_on = false;
    nested.vmxon_pointer = nested.current = NO_VMCS;
    memset(nested.fields, 0, sizeof(nested.fields));
    low.operand[0] = VMXON_REGION;
}

static void no_vmxe(void)
{
    low.field[CR4_READ_SHADOW] = 0;
}

static void cr0_without_ne(void)
{
    low.field[CR0_READ_SHADOW] = 0;
}

static void cr0_forbidden(void)
{
    vm.nested_caps.cr0_fixed1 &= ~(u64)CR0_WP;
    low.field[GUEST_CR0] |= CR0_WP;
}

static void cr4_missing(void)
{
    vm.nested_caps.cr4_fixed0 |= CR4_MCE;
}

static void cr4_forbidden(void)
{
    low.field[GUEST_CR4] |= BIT(31);
}

static void no_feature_control(void)
{
    low.has_feature_control = false;
}

static void unlocked(void)
{
    low.feature_control &= ~FEATURE_CONTROL_LOCKED;
}

static void disabled(void)
{
    low.feature_control &= ~FEATURE_CONTROL_VMX_OUTSIDE_SMX;
}

static void test_vmxon_order(void **state)
{
    const struct check checks[] = {
        {compatibility_mode, UNDEFINED},
        {no_vmxe, UNDEFINED},
        {cpl3, PROTECTION},
        {cr0_without_ne, PROTECTION},
        {cr0_forbidden, PROTECTION},
        {cr4_missing, PROTECTION},
        {cr4_forbidden, PROTECTION},
        {no_feature_control, PROTECTION},
        {unlocked, PROTECTION},
        {disabled, PROTECTION},
        {operand_faults, STOPPED},
        {misaligned, INVALID},
    };
    void (*const bad[])(void) = {misaligned, too_wide, only_32_bits, wrong_revision};

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMXON, before_vmxon, checks, SUCCESS);
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        start(EXIT_REASON_VMXON);
        before_vmxon();
        bad[i]();
        assert_int_equal(run(), INVALID);
        assert_false(nested.vmx_on);
    }
    expect_undefined(EXIT_REASON_VMXON, before_vmxon);
}

static void test_vmxon(void **state)
{
    (void)state;
    start(EXIT_REASON_VMXON);
    before_vmxon();
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.operand_size, 8);
    assert_true(nested.vmx_on);
    assert_int_equal(nested.vmxon_pointer, VMXON_REGION);
    assert_int_equal(nested.current, NO_VMCS);
    assert_true(nested.fields[0] & 1);
    /* No memory there, or the indicator of a shadow VMCS. */
    start(EXIT_REASON_VMXON);
    before_vmxon();
    low.operand[0] = NOWHERE;
    assert_int_equal(run(), INVALID);
    start(EXIT_REASON_VMXON);
    before_vmxon();
    region(VMXON_REGION)->revision |= BIT(31);
    assert_int_equal(run(), INVALID);
    assert_false(nested.vmx_on);
}

/* The operand is not looked at. */
static void test_vmxon_in_root(void **state)
{
    const struct check checks[] = {{no_vmxe, UNDEFINED}, {cpl3, PROTECTION}};

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMXON, operand_faults, checks, VMX_ERROR_VMXON_IN_ROOT);
    start(EXIT_REASON_VMXON);
    cr0_without_ne();
    assert_int_equal(run(), VMX_ERROR_VMXON_IN_ROOT);
    start(EXIT_REASON_VMXON);
    no_current();
    assert_int_equal(run(), INVALID);
}

static void test_vmxoff(void **state)
{
    const struct check checks[] = {{not_in_vmx, UNDEFINED}, {cpl3, PROTECTION}};

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMXOFF, NULL, checks, SUCCESS);
    expect_undefined(EXIT_REASON_VMXOFF, NULL);
    start(EXIT_REASON_VMXOFF);
    VMCS(&nested.vmcs12.image, GUEST_RIP) = 0x77;
    nested.vmcs12.launched = 1;
    nested.shadow = (struct shadow_ept *)&nested;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.invalidated_all, 1);
    assert_false(nested.vmx_on);
    assert_int_equal(nested.vmxon_pointer, NO_VMCS);
    assert_int_equal(nested.current, NO_VMCS);
    assert_int_equal(VMCS(&region(VMCS_A)->image, GUEST_RIP), 0x77);
    assert_int_equal(region(VMCS_A)->launched, 1);
    again(EXIT_REASON_VMXOFF);
    assert_int_equal(run(), UNDEFINED);
}

/* --- VMCLEAR, VMPTRLD, VMPTRST --- */

static void test_vmclear_order(void **state)
{
    const struct check checks[] = {
        {not_in_vmx, UNDEFINED},
        {cpl3, PROTECTION},
        {operand_faults, STOPPED},
        {misaligned, VMX_ERROR_VMCLEAR_ADDRESS},
        {use_vmxon_region, VMX_ERROR_VMCLEAR_VMXON_POINTER},
    };

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMCLEAR, use_b, checks, SUCCESS);
    expect_undefined(EXIT_REASON_VMCLEAR, use_b);
    start(EXIT_REASON_VMCLEAR);
    use_b(), too_wide();
    assert_int_equal(run(), VMX_ERROR_VMCLEAR_ADDRESS);
    start(EXIT_REASON_VMCLEAR);
    use_b(), only_32_bits();
    assert_int_equal(run(), VMX_ERROR_VMCLEAR_ADDRESS);
    start(EXIT_REASON_VMCLEAR);
    misaligned(), no_current();
    assert_int_equal(run(), INVALID);
}

static void test_vmclear_current(void **state)
{
    (void)state;
    start(EXIT_REASON_VMCLEAR);
    low.operand[0] = VMCS_A;
    nested.vmcs12.launched = 1;
    nested.vmcs12.abort = 4;
    VMCS(&nested.vmcs12.image, GUEST_RIP) = 0x77;
    VMCS(&nested.vmcs12.image, HOST_GS_BASE) = ~0ull;
    region(VMCS_A)->launched = 1;
    memset(ram + VMCS_A + sizeof(struct vmcs12), 0xcc, 8);
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(nested.current, NO_VMCS);
    assert_int_equal(region(VMCS_A)->revision, VMCS12_REVISION);
    assert_int_equal(region(VMCS_A)->abort, 4);
    assert_int_equal(region(VMCS_A)->launched, 0);
    assert_int_equal(VMCS(&region(VMCS_A)->image, GUEST_RIP), 0x77);
    assert_int_equal(VMCS(&region(VMCS_A)->image, HOST_GS_BASE), ~0ull);
    assert_int_equal(ram[VMCS_A + sizeof(struct vmcs12)], 0xcc);
}

/* Of another one only the launch state changes; the current one stays. */
static void test_vmclear_other(void **state)
{
    struct vmcs12 before;

    (void)state;
    start(EXIT_REASON_VMCLEAR);
    use_b();
    memset(region(VMCS_B), 0x5a, sizeof(struct vmcs12));
    before = *region(VMCS_B);
    before.launched = 0;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(nested.current, VMCS_A);
    assert_memory_equal(region(VMCS_B), &before, sizeof(before));
    /* Where there is no memory, nothing happens. */
    start(EXIT_REASON_VMCLEAR);
    low.operand[0] = NOWHERE;
    assert_int_equal(run(), SUCCESS);
    start(EXIT_REASON_VMCLEAR);
    no_current(), use_b();
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(nested.current, NO_VMCS);
}

static void test_vmptrld_order(void **state)
{
    const struct check checks[] = {
        {not_in_vmx, UNDEFINED},
        {cpl3, PROTECTION},
        {operand_faults, STOPPED},
        {misaligned, VMX_ERROR_VMPTRLD_ADDRESS},
        {use_vmxon_region, VMX_ERROR_VMPTRLD_VMXON_POINTER},
        {wrong_revision, VMX_ERROR_VMPTRLD_REVISION},
    };

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMPTRLD, use_b, checks, SUCCESS);
    expect_undefined(EXIT_REASON_VMPTRLD, use_b);
    start(EXIT_REASON_VMPTRLD);
    use_b(), too_wide();
    assert_int_equal(run(), VMX_ERROR_VMPTRLD_ADDRESS);
    start(EXIT_REASON_VMPTRLD);
    misaligned(), no_current();
    assert_int_equal(run(), INVALID);
    start(EXIT_REASON_VMPTRLD);
    low.operand[0] = PLAIN;
    assert_int_equal(run(), VMX_ERROR_VMPTRLD_REVISION);
    assert_int_equal(nested.current, VMCS_A);
    start(EXIT_REASON_VMPTRLD);
    low.operand[0] = NOWHERE;
    assert_int_equal(run(), VMX_ERROR_VMPTRLD_REVISION);
    assert_int_equal(nested.current, VMCS_A);
}

static void test_vmptrld(void **state)
{
    (void)state;
    start(EXIT_REASON_VMPTRLD);
    use_b();
    VMCS(&nested.vmcs12.image, GUEST_RIP) = 0xa;
    nested.vmcs12.launched = 1;
    VMCS(&region(VMCS_B)->image, GUEST_RIP) = 0xb;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(nested.current, VMCS_B);
    assert_int_equal(nested.vmcs12.launched, 0);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), 0xb);
    assert_int_equal(VMCS(&region(VMCS_A)->image, GUEST_RIP), 0xa);
    assert_int_equal(region(VMCS_A)->launched, 1);
    /* The same again: what is in memory is older. */
    again(EXIT_REASON_VMPTRLD);
    VMCS(&nested.vmcs12.image, GUEST_RIP) = 0xc;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), 0xc);
    assert_int_equal(VMCS(&region(VMCS_B)->image, GUEST_RIP), 0xb);
    again(EXIT_REASON_VMPTRLD);
    low.operand[0] = VMCS_A;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), 0xa);
    assert_int_equal(nested.vmcs12.launched, 1);
    assert_int_equal(VMCS(&region(VMCS_B)->image, GUEST_RIP), 0xc);
}

static void test_vmptrld_shadow(void **state)
{
    (void)state;
    start(EXIT_REASON_VMPTRLD);
    use_b();
    region(VMCS_B)->revision |= BIT(31);
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(nested.vmcs12.revision, VMCS12_REVISION | BIT(31));
    start(EXIT_REASON_VMPTRLD);
    use_b();
    region(VMCS_B)->revision |= BIT(31);
    without(PROC2_VMCS_SHADOWING);
    assert_int_equal(run(), VMX_ERROR_VMPTRLD_REVISION);
}

/* Whatever L1 wrote there: fields have their width, and what L1 lacks is 0. */
static void test_vmptrld_scribbled(void **state)
{
    (void)state;
    start(EXIT_REASON_VMPTRLD);
    use_b();
    without(PROC2_ENABLE_PML);
    memset(&region(VMCS_B)->launched, 0xff, sizeof(struct vmcs12) - 8);
    VMCS(&region(VMCS_B)->image, VM_INSTRUCTION_ERROR) = 0;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_CS_SELECTOR), 0xffff);
    assert_int_equal(VMCS(&nested.vmcs12.image, PRIMARY_CONTROLS), 0xffffffff);
    assert_int_equal(VMCS(&nested.vmcs12.image, TSC_OFFSET), ~0ull);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), ~0ull);
    assert_int_equal(VMCS(&nested.vmcs12.image, PML_ADDRESS), 0);
    assert_int_equal(VMCS(&nested.vmcs12.image, SHARED_EPT_POINTER), 0);
}

static void test_vmptrst(void **state)
{
    const struct check checks[] = {{not_in_vmx, UNDEFINED}, {cpl3, PROTECTION}, {operand_faults, STOPPED}};

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMPTRST, NULL, checks, SUCCESS);
    expect_undefined(EXIT_REASON_VMPTRST, NULL);
    start(EXIT_REASON_VMPTRST);
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.operand_size, 8);
    assert_int_equal(low.operand[0], VMCS_A);
    start(EXIT_REASON_VMPTRST);
    no_current();
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.operand[0], NO_VMCS);
}

/* --- VMLAUNCH, VMRESUME, VMFUNC --- */

static void mov_ss(void)
{
    low.field[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_MOV_SS;
}

static void is_launched(void)
{
    nested.vmcs12.launched = 1;
}

static void is_clear(void)
{
    nested.vmcs12.launched = 0;
}

static void test_launch(void **state)
{
    const struct check launch[] = {
        {not_in_vmx, UNDEFINED},
        {cpl3, PROTECTION},
        {no_current, INVALID},
        {is_shadow, INVALID},
        {mov_ss, VMX_ERROR_EVENTS_BLOCKED_BY_MOV_SS},
        {is_launched, VMX_ERROR_VMLAUNCH_NOT_CLEAR},
    };
    struct check resume[ARRAY_SIZE(launch)];

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMLAUNCH, NULL, launch, ENTERED);
    expect_undefined(EXIT_REASON_VMLAUNCH, NULL);
    memcpy(resume, launch, sizeof(resume));
    resume[5] = (struct check){is_clear, VMX_ERROR_VMRESUME_NOT_LAUNCHED};
    EXPECT_ORDER(EXIT_REASON_VMRESUME, is_launched, resume, ENTERED);
    expect_undefined(EXIT_REASON_VMRESUME, is_launched);
    /* STI does not block, and any launch state but 0 is 'launched'. */
    start(EXIT_REASON_VMRESUME);
    low.field[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_STI;
    nested.vmcs12.launched = 0x80000000;
    assert_int_equal(run(), ENTERED);
}

static void test_undefined(void **state)
{
    (void)state;
    start(EXIT_REASON_VMFUNC);
    assert_int_equal(run(), UNDEFINED);
    start(EXIT_REASON_VMCALL); /* not routed here */
    assert_int_equal(run(), UNDEFINED);
    start(79);
    assert_int_equal(run(), UNDEFINED);
}

/* --- what they have in common --- */

static void test_no_tables(void **state)
{
    static const u32 reasons[] = {EXIT_REASON_VMCLEAR, EXIT_REASON_VMPTRLD, EXIT_REASON_VMPTRST,
                                  EXIT_REASON_VMREAD, EXIT_REASON_VMWRITE};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(reasons); i++) {
        start(reasons[i]);
        low.operand_result = ERR_UNSUPP;
        assert_int_equal(run(), CRASHED);
    }
}

static void test_flags(void **state)
{
    (void)state;
    start(EXIT_REASON_VMREAD);
    nested_vmsucceed(&vcpu);
    assert_int_equal(status(), 0);
    nested_vmfail_invalid(&vcpu);
    assert_int_equal(status(), RFLAGS_CF);
    nested_vmfail(&vcpu, VMX_ERROR_ENTRY_CONTROLS);
    assert_int_equal(status(), RFLAGS_ZF);
    assert_int_equal(VMCS(&nested.vmcs12.image, VM_INSTRUCTION_ERROR), 7);
    no_current();
    nested_vmfail(&vcpu, VMX_ERROR_ENTRY_HOST_STATE);
    assert_int_equal(status(), RFLAGS_CF);
    assert_int_equal(VMCS(&nested.vmcs12.image, VM_INSTRUCTION_ERROR), 7);
    assert_int_equal(low.field[GUEST_RIP], RIP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vmxon_order),
        cmocka_unit_test(test_vmxon),
        cmocka_unit_test(test_vmxon_in_root),
        cmocka_unit_test(test_vmxoff),
        cmocka_unit_test(test_vmclear_order),
        cmocka_unit_test(test_vmclear_current),
        cmocka_unit_test(test_vmclear_other),
        cmocka_unit_test(test_vmptrld_order),
        cmocka_unit_test(test_vmptrld),
        cmocka_unit_test(test_vmptrld_shadow),
        cmocka_unit_test(test_vmptrld_scribbled),
        cmocka_unit_test(test_vmptrst),
        cmocka_unit_test(test_launch),
        cmocka_unit_test(test_undefined),
        cmocka_unit_test(test_no_tables),
        cmocka_unit_test(test_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
