/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c */
/* VMREAD and VMWRITE of L2 to a shadow VMCS in L1's memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l1.h"
#include "vmm/nested/instructions.c"
#include "vmm/nested/invalidate.c"
#include "vmm/nested/shadow12.c"
#include "vmm/nested/vmread.c"
#include "vmm/nested/vmxon.c"

#define READ_BITMAP  PLAIN
#define WRITE_BITMAP 0x5000ull
#define L1_SAYS(f)   VMCS(&nested.vmcs12.image, f)
#define IN_SHADOW(f) VMCS(&region(VMCS_B)->image, f)

/* L2 at the instruction, with the field named by RDX and the value in RCX; VMCS_B is the shadow. */
static void start_l2(u32 reason, u64 encoding)
{
    start(reason);
    nested.in_l2 = true;
    L1_SAYS(PRIMARY_CONTROLS) = PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_VMCS_SHADOWING;
    L1_SAYS(VMREAD_BITMAP_ADDRESS) = READ_BITMAP;
    L1_SAYS(VMWRITE_BITMAP_ADDRESS) = WRITE_BITMAP;
    L1_SAYS(VMCS_LINK_POINTER) = VMCS_B;
    region(VMCS_B)->revision |= VMCS12_SHADOW;
    low.field[EXIT_INSTRUCTION_INFO] = FORM(REG_RCX, REG_RDX);
    vcpu.gpr[REG_RDX] = encoding;
}

static u32 done(bool resumed)
{
    if (low.vector >= 0)
        return low.vector == VEC_GP ? PROTECTION : STOPPED;
    if (low.operand_result)
        return STOPPED;
    assert_true(resumed);
    assert_int_equal(low.field[GUEST_RIP], RIP + LENGTH);
    if (low.field[GUEST_RFLAGS] & RFLAGS_CF)
        return INVALID;
    return low.field[GUEST_RFLAGS] & RFLAGS_ZF ? (u32)L1_SAYS(VM_INSTRUCTION_ERROR) : SUCCESS;
}

static u32 read_it(void)
{
    return done(nested_shadow_vmread(&vcpu));
}

static u32 write_it(void)
{
    return done(nested_shadow_vmwrite(&vcpu));
}

static void test_who_wants_it(void **state)
{
    (void)state;
    for (u32 encoding = 0; encoding < 0x10000; encoding += encoding < 0x100 ? 1 : 0x3b) {
        for (u32 bits = 0; bits < 4; bits++) {
            start_l2(EXIT_REASON_VMREAD, encoding);
            if (encoding < 0x8000) {
                ram[READ_BITMAP + encoding / 8] = (u8)((bits & 1) << encoding % 8);
                ram[WRITE_BITMAP + encoding / 8] = (u8)((bits >> 1) << encoding % 8);
            }
            assert_int_equal(nested_wants_vmread(&vcpu), encoding >= 0x8000 || bits & 1);
            assert_int_equal(nested_wants_vmwrite(&vcpu), encoding >= 0x8000 || bits & 2);
        }
    }
    start_l2(EXIT_REASON_VMREAD, BIT(40));
    assert_true(nested_wants_vmread(&vcpu));
    mode32(); /* bits 63:32 of the register do not count */
    assert_false(nested_wants_vmread(&vcpu));
    start_l2(EXIT_REASON_VMREAD, 0);
    L1_SAYS(SECONDARY_CONTROLS) = 0;
    assert_true(nested_wants_vmread(&vcpu) && nested_wants_vmwrite(&vcpu));
    start_l2(EXIT_REASON_VMREAD, 0);
    L1_SAYS(PRIMARY_CONTROLS) = 0;
    assert_true(nested_wants_vmread(&vcpu) && nested_wants_vmwrite(&vcpu));
    start_l2(EXIT_REASON_VMREAD, 0);
    L1_SAYS(VMREAD_BITMAP_ADDRESS) = NOWHERE;
    assert_true(nested_wants_vmread(&vcpu));
}

/* In the order of the operation sections. */
static void test_order(void **state)
{
    (void)state;
    for (u32 write = 0; write < 2; write++) {
        start_l2(EXIT_REASON_VMREAD, 0x6800 | 0x7e);
        low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RDX);
        low.field[GUEST_SS_ACCESS_RIGHTS] = 0xf3;
        L1_SAYS(VMCS_LINK_POINTER) = NO_VMCS;
        assert_int_equal(write ? write_it() : read_it(), PROTECTION);
        low.vector = -1;
        vcpu.events.exception_stage = 0;
        low.field[GUEST_SS_ACCESS_RIGHTS] = 0x93;
        assert_int_equal(write ? write_it() : read_it(), INVALID);
        low.field[GUEST_RIP] = RIP;
        L1_SAYS(VMCS_LINK_POINTER) = VMCS_B;
        assert_int_equal(write ? write_it() : read_it(), VMX_ERROR_UNSUPPORTED_COMPONENT);
    }
    start_l2(EXIT_REASON_VMWRITE, EXIT_REASON);
    assert_int_equal(write_it(), VMX_ERROR_VMWRITE_READ_ONLY);
    low.field[GUEST_RIP] = RIP;
    vm.nested_caps.misc |= VMX_MISC_VMWRITE_ANY;
    assert_int_equal(write_it(), SUCCESS);
}

/* Each field that there is, by both halves; nothing else in L1's memory changes. */
static void test_all_fields(void **state)
{
    static u8 before[RAM];
    u32 fields = 0;

    (void)state;
    for (u32 encoding = 0; encoding < 0x7000; encoding++) {
        u64 *field, was, is;

        start_l2(EXIT_REASON_VMWRITE, encoding);
        vm.nested_caps.misc |= VMX_MISC_VMWRITE_ANY;
        memset(&region(VMCS_B)->image, 0xa5, sizeof(struct vmcs_image));
        field = nested_field(&nested, &region(VMCS_B)->image, encoding);
        if (!field) {
            assert_int_equal(read_it(), VMX_ERROR_UNSUPPORTED_COMPONENT);
            continue;
        }
        fields++;
        was = nested_field_with(0, encoding & ~1u, *field);
        memcpy(before, ram, sizeof(ram));
        assert_int_equal(read_it(), SUCCESS);
        assert_int_equal(vcpu.gpr[REG_RCX], encoding & 1 ? was >> 32 : was);
        assert_memory_equal(before, ram, sizeof(ram));
        low.field[GUEST_RIP] = RIP;
        vcpu.gpr[REG_RCX] = 0x1122334455667788;
        is = nested_field_with(was, encoding, 0x1122334455667788);
        assert_int_equal(write_it(), SUCCESS);
        assert_int_equal(*field, is);
        *field = *(u64 *)(before + ((u8 *)field - ram));
        assert_memory_equal(before, ram, sizeof(ram));
    }
    assert_in_range(fields, 100, 400);
    assert_int_equal(L1_SAYS(GUEST_RIP), 0); /* the current one is another */
}

static void test_operands(void **state)
{
    (void)state;
    for (u32 wide = 0; wide < 2; wide++) {
        start_l2(EXIT_REASON_VMREAD, GUEST_RIP | (wide ? 0 : BIT(33)));
        if (!wide)
            mode32();
        low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RDX);
        IN_SHADOW(GUEST_RIP) = 0x1122334455667788;
        assert_int_equal(read_it(), SUCCESS);
        assert_int_equal(low.operand_size, wide ? 8 : 4);
        assert_int_equal(low.operand[0], wide ? 0x1122334455667788 : 0x55667788);
        low.operand_size = 0;
        low.operand[0] = 0x99aabbccddeeff00;
        low.field[GUEST_RIP] = RIP;
        assert_int_equal(write_it(), SUCCESS);
        assert_int_equal(IN_SHADOW(GUEST_RIP), wide ? 0x99aabbccddeeff00 : 0xddeeff00);
    }
    start_l2(EXIT_REASON_VMREAD, GUEST_RIP);
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RDX);
    low.operand_result = ERR_FAULT;
    assert_int_equal(read_it(), STOPPED);
    assert_int_equal(low.field[GUEST_RIP], RIP);
    start_l2(EXIT_REASON_VMWRITE, GUEST_RIP);
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RDX);
    low.operand_result = ERR_FAULT;
    assert_int_equal(write_it(), STOPPED);
    assert_int_equal(IN_SHADOW(GUEST_RIP), 0);
}

/* A page of L1's that has gone since the entry: nothing happens but that. */
static void test_no_page(void **state)
{
    (void)state;
    start_l2(EXIT_REASON_VMREAD, GUEST_ES_SELECTOR);
    L1_SAYS(VMCS_LINK_POINTER) = NOWHERE;
    assert_int_equal(read_it(), SUCCESS);
    assert_int_equal(vcpu.gpr[REG_RCX], 0xffff);
    low.field[GUEST_RIP] = RIP;
    assert_int_equal(write_it(), SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_wants_it), cmocka_unit_test(test_order),
        cmocka_unit_test(test_all_fields),   cmocka_unit_test(test_operands),
        cmocka_unit_test(test_no_page),
    };

    return cmocka_run_group_tests_name("nested_shadow12", tests, NULL, NULL);
}
