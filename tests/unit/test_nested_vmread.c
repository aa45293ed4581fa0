/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c */
/* VMREAD and VMWRITE as L1 executes them. */
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

#define NOTHING (~0u) /* as low.newest_written */

/* The field is named by RDX. */
static void access(u32 reason, u64 encoding, u32 info)
{
    start(reason);
    low.field[EXIT_INSTRUCTION_INFO] = info;
    vcpu.gpr[REG_RDX] = encoding;
}

static void to_field(void)
{
    low.field[EXIT_INSTRUCTION_INFO] = IN_MEMORY(REG_RDX);
    vcpu.gpr[REG_RDX] = GUEST_RIP;
}

static void no_such_field(void)
{
    vcpu.gpr[REG_RDX] = 0x6800 | 0x7e;
}

static void read_only_field(void)
{
    vcpu.gpr[REG_RDX] = EXIT_REASON;
}

static void test_vmread_order(void **state)
{
    const struct check checks[] = {
        {not_in_vmx, UNDEFINED},   {cpl3, PROTECTION},
        {no_current, INVALID},     {no_such_field, VMX_ERROR_UNSUPPORTED_COMPONENT},
        {operand_faults, STOPPED},
    };

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMREAD, to_field, checks, SUCCESS);
    expect_undefined(EXIT_REASON_VMREAD, to_field);
}

static void test_vmwrite_order(void **state)
{
    const struct check checks[] = {
        {not_in_vmx, UNDEFINED},
        {cpl3, PROTECTION},
        {no_current, INVALID},
        {operand_faults, STOPPED},
        {no_such_field, VMX_ERROR_UNSUPPORTED_COMPONENT},
        {read_only_field, VMX_ERROR_VMWRITE_READ_ONLY},
    };

    (void)state;
    EXPECT_ORDER(EXIT_REASON_VMWRITE, to_field, checks, SUCCESS);
    expect_undefined(EXIT_REASON_VMWRITE, to_field);
    start(EXIT_REASON_VMWRITE);
    to_field(), read_only_field();
    vm.nested_caps.misc |= VMX_MISC_VMWRITE_ANY;
    assert_int_equal(run(), SUCCESS);
}

/* Also: what is read right after is what was written, by all encodings that there are and no others. */
static void test_all_encodings(void **state)
{
    const u64 value = 0xfedcba9876543210ull;
    static const u64 masks[] = {0xffff, ~0ull, 0xffffffff, ~0ull};
    u32 fields = 0, halves = 0, wide = 0;

    (void)state;
    access(EXIT_REASON_VMWRITE, 0, FORM(REG_RCX, REG_RDX));
    vm.nested_caps.misc |= VMX_MISC_VMWRITE_ANY;
    for (u32 e = 0; e < 0x20000; e++) {
        if (e == VM_INSTRUCTION_ERROR)
            continue;
        again(EXIT_REASON_VMWRITE);
        vcpu.gpr[REG_RDX] = e;
        vcpu.gpr[REG_RCX] = value;
        if (run() == VMX_ERROR_UNSUPPORTED_COMPONENT) {
            again(EXIT_REASON_VMREAD);
            assert_int_equal(run(), VMX_ERROR_UNSUPPORTED_COMPONENT);
            assert_int_equal(vcpu.gpr[REG_RCX], value);
            continue;
        }
        again(EXIT_REASON_VMREAD);
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(vcpu.gpr[REG_RCX],
                         e & VMCS_ENC_HIGH ? value & 0xffffffff : value & masks[VMCS_ENC_WIDTH(e)]);
        halves += e & VMCS_ENC_HIGH;
        fields += !(e & VMCS_ENC_HIGH);
    }
    /* All but SEAM's, which no capability offers, and the error, by which a run is judged. */
    assert_int_equal(fields, VMCS_NR_FIELDS - 2);
#define VMCS_FIELD(name, encoding, exists) wide += VMCS_ENC_WIDTH(encoding) == 1;
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    assert_int_equal(halves, wide - 1);
}

/* Each encoding means its own field. */
static void test_all_fields(void **state)
{
    static const u32 encodings[] = {
#define VMCS_FIELD(name, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    };

    (void)state;
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++) {
        if (i == VI_SHARED_EPT_POINTER || i == VI_VM_INSTRUCTION_ERROR)
            continue;
        access(EXIT_REASON_VMREAD, encodings[i], FORM(REG_RCX, REG_RDX));
        nested.vmcs12.image.f[i] = 0x1000 + i;
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(vcpu.gpr[REG_RCX], 0x1000 + i);
    }
}

static u64 read_field(u64 encoding, bool wide)
{
    again(EXIT_REASON_VMREAD);
    if (!wide)
        mode32();
    low.field[EXIT_INSTRUCTION_INFO] = FORM(REG_RCX, REG_RDX);
    vcpu.gpr[REG_RDX] = encoding;
    assert_int_equal(run(), SUCCESS);
    return vcpu.gpr[REG_RCX];
}

static void write_field(u64 encoding, u64 value, bool wide)
{
    again(EXIT_REASON_VMWRITE);
    if (!wide)
        mode32();
    low.field[EXIT_INSTRUCTION_INFO] = FORM(REG_RCX, REG_RDX);
    vcpu.gpr[REG_RDX] = encoding;
    vcpu.gpr[REG_RCX] = value;
    assert_int_equal(run(), SUCCESS);
}

static void test_halves(void **state)
{
    (void)state;
    start(EXIT_REASON_VMREAD);
    write_field(TSC_OFFSET, 0x1111111122222222, true);
    assert_int_equal(read_field(TSC_OFFSET, true), 0x1111111122222222);
    assert_int_equal(read_field(TSC_OFFSET | 1, true), 0x11111111);
    write_field(TSC_OFFSET | 1, 0x9999999933333333, true);
    assert_int_equal(VMCS(&nested.vmcs12.image, TSC_OFFSET), 0x3333333322222222);
    /* Outside of 64-bit mode: the low half is read, the high one cleared by a write. */
    assert_int_equal(read_field(0x7700000000 | TSC_OFFSET, false), 0x22222222);
    assert_int_equal(read_field(TSC_OFFSET | 1, false), 0x33333333);
    write_field(TSC_OFFSET | 1, 0x9999999944444444, false);
    assert_int_equal(VMCS(&nested.vmcs12.image, TSC_OFFSET), 0x4444444422222222);
    write_field(TSC_OFFSET, 0x9999999955555555, false);
    assert_int_equal(VMCS(&nested.vmcs12.image, TSC_OFFSET), 0x55555555);
    VMCS(&nested.vmcs12.image, GUEST_RIP) = ~0ull;
    assert_int_equal(read_field(GUEST_RIP, false), 0xffffffff);
    write_field(GUEST_RIP, ~0ull, false);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), 0xffffffff);
}

static void test_no_such_encoding(void **state)
{
    static const u64 bad[] = {
        BIT(32) | GUEST_RIP, BIT(63) | GUEST_RIP,   BIT(12) | GUEST_RIP, BIT(15) | GUEST_RIP, GUEST_RIP | 1,
        GUEST_CS_LIMIT | 1,  GUEST_CS_SELECTOR | 1, BIT(9) | GUEST_RIP,  SHARED_EPT_POINTER,  0x20fe,
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        access(EXIT_REASON_VMREAD, bad[i], FORM(REG_RCX, REG_RDX));
        assert_int_equal(run(), VMX_ERROR_UNSUPPORTED_COMPONENT);
        assert_int_equal(vcpu.gpr[REG_RCX], 0);
        access(EXIT_REASON_VMWRITE, bad[i], FORM(REG_RCX, REG_RDX));
        assert_int_equal(run(), VMX_ERROR_UNSUPPORTED_COMPONENT);
    }
    access(EXIT_REASON_VMREAD, EPT_POINTER, FORM(REG_RCX, REG_RDX));
    without(PROC2_ENABLE_EPT);
    assert_int_equal(run(), VMX_ERROR_UNSUPPORTED_COMPONENT);
}

static void test_operands(void **state)
{
    (void)state;
    /* RSP, in either place. */
    access(EXIT_REASON_VMREAD, 0, FORM(REG_RSP, REG_RSP));
    low.rsp = GUEST_RIP;
    VMCS(&nested.vmcs12.image, GUEST_RIP) = 0x123456789a;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.rsp, 0x123456789a);
    access(EXIT_REASON_VMWRITE, GUEST_RIP, FORM(REG_RSP, REG_RDX));
    low.rsp = 0x99999;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), 0x99999);
    access(EXIT_REASON_VMREAD, 0, FORM(REG_R8, REG_R15));
    vcpu.gpr[REG_R15] = VMCS_LINK_POINTER;
    VMCS(&nested.vmcs12.image, VMCS_LINK_POINTER) = ~0ull;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(vcpu.gpr[REG_R8], ~0ull);

    /* Memory has the size of a register, whatever the field's. */
    for (u32 wide = 0; wide < 2; wide++) {
        access(EXIT_REASON_VMREAD, GUEST_CS_SELECTOR, IN_MEMORY(REG_RDX));
        if (!wide)
            mode32();
        low.operand[0] = ~0ull;
        VMCS(&nested.vmcs12.image, GUEST_CS_SELECTOR) = 0x10;
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(low.operand_size, wide ? 8 : 4);
        assert_int_equal(low.operand[0], wide ? 0x10 : 0xffffffff00000010);
        access(EXIT_REASON_VMWRITE, GUEST_RIP, IN_MEMORY(REG_RDX));
        if (!wide)
            mode32();
        low.operand[0] = 0x1122334455667788;
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(low.operand_size, wide ? 8 : 4);
        assert_int_equal(VMCS(&nested.vmcs12.image, GUEST_RIP), wide ? 0x1122334455667788 : 0x55667788);
    }
}

/* A VMCS of a kind that cannot be entered can be read and written. */
static void test_vmread_of_shadow(void **state)
{
    (void)state;
    access(EXIT_REASON_VMREAD, GUEST_RIP, FORM(REG_RCX, REG_RDX));
    is_shadow();
    assert_int_equal(run(), SUCCESS);
}

/* L1 is to do it again: page tables changed under the walk. */
static void test_retry(void **state)
{
    (void)state;
    access(EXIT_REASON_VMREAD, GUEST_RIP, IN_MEMORY(REG_RDX));
    low.operand_result = ERR_FAULT;
    assert_int_equal(run(), STOPPED);
    start(EXIT_REASON_VMCLEAR);
    assert_true(nested_stop(&vcpu, ERR_FAULT));
    assert_int_equal(low.field[GUEST_RIP], RIP);
}

static void test_slow_path(void **state)
{
    (void)state;
    access(EXIT_REASON_VMREAD, GUEST_RIP, FORM(REG_RCX, REG_RDX));
    vcpu.requests = REQ_KICK;
    assert_false(nested_instruction(&vcpu));
    access(EXIT_REASON_VMREAD, GUEST_RIP, FORM(REG_RCX, REG_RDX));
    vcpu.until = 0;
    assert_false(nested_instruction(&vcpu));
    assert_int_equal(low.field[GUEST_RIP], RIP + LENGTH);
}

/* What the exit has left in vmcs02 only is asked for before it is read, and before anything changes by which
 * it is read: all but what an entry takes. */
static void test_freshness(void **state)
{
    static const u32 encodings[] = {
#define VMCS_FIELD(name, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    };

    (void)state;
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++) {
        u32 e = encodings[i], type = VMCS_ENC_TYPE(e);
        bool event =
            e == ENTRY_INTERRUPTION_INFO || e == ENTRY_EXCEPTION_ERROR_CODE || e == ENTRY_INSTRUCTION_LENGTH;

        if (i == VI_SHARED_EPT_POINTER || i == VI_VM_INSTRUCTION_ERROR)
            continue;
        access(EXIT_REASON_VMREAD, e, FORM(REG_RCX, REG_RDX));
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(low.syncs,
                         type == 1 || type == 2 || e == ENTRY_CONTROLS || e == ENTRY_INTERRUPTION_INFO);
        access(EXIT_REASON_VMWRITE, e, FORM(REG_RCX, REG_RDX));
        vm.nested_caps.misc |= VMX_MISC_VMWRITE_ANY;
        vcpu.gpr[REG_RCX] = 1;
        assert_int_equal(run(), SUCCESS);
        assert_int_equal(low.syncs, !event && e != PREEMPTION_TIMER_VALUE && e != HOST_RSP);
        again(EXIT_REASON_VMWRITE);
        assert_int_equal(run(), SUCCESS);
        assert_true(low.syncs < 2);
    }
}

/* A control or host state that is written as it is: nothing has to be looked at again. */
static void test_same_value(void **state)
{
    (void)state;
    access(EXIT_REASON_VMWRITE, TPR_THRESHOLD, FORM(REG_RCX, REG_RDX));
    VMCS(&nested.vmcs12.image, TPR_THRESHOLD) = 5;
    vcpu.gpr[REG_RCX] = BIT(32) | 5;
    low.newest_written = NOTHING;
    assert_int_equal(run(), SUCCESS);
    assert_int_equal(low.syncs, 0);
    assert_int_equal(low.newest_written, NOTHING);
    write_field(TPR_THRESHOLD, 6, true);
    assert_int_equal(low.newest_written, VI_TPR_THRESHOLD);

    write_field(TSC_OFFSET, 0x1111111122222222, true);
    low.newest_written = NOTHING;
    write_field(TSC_OFFSET | 1, 0x11111111, true);
    assert_int_equal(low.newest_written, NOTHING);
    write_field(TSC_OFFSET, 0x22222222, true);
    assert_int_equal(low.newest_written, VI_TSC_OFFSET);

    /* These an exit may have changed, and here L1 itself in its shadow VMCS. */
    low.newest_written = NOTHING;
    write_field(GUEST_RIP, VMCS(&nested.vmcs12.image, GUEST_RIP), true);
    assert_int_equal(low.newest_written, VI_GUEST_RIP);
    write_field(ENTRY_INSTRUCTION_LENGTH, VMCS(&nested.vmcs12.image, ENTRY_INSTRUCTION_LENGTH), true);
    assert_int_equal(low.newest_written, VI_ENTRY_INSTRUCTION_LENGTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vmread_order),  cmocka_unit_test(test_vmwrite_order),
        cmocka_unit_test(test_all_encodings), cmocka_unit_test(test_all_fields),
        cmocka_unit_test(test_halves),        cmocka_unit_test(test_no_such_encoding),
        cmocka_unit_test(test_operands),      cmocka_unit_test(test_vmread_of_shadow),
        cmocka_unit_test(test_retry),         cmocka_unit_test(test_slow_path),
        cmocka_unit_test(test_freshness),     cmocka_unit_test(test_same_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
