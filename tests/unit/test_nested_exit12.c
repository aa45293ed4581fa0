/* SPDX-License-Identifier: MIT */
/* links: vmm/walk.c */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c vmm/events.c */
/* Exits from L2 to L1: what L1 finds in vmcs12, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_exit.h"

/* --- exit information --- */

static const u32 info_fields[] = {
    EXIT_REASON,          EXIT_QUALIFICATION,       EXIT_INTERRUPTION_INFO,  EXIT_INTERRUPTION_ERROR_CODE,
    IDT_VECTORING_INFO,   IDT_VECTORING_ERROR_CODE, EXIT_INSTRUCTION_LENGTH, EXIT_INSTRUCTION_INFO,
    GUEST_LINEAR_ADDRESS, GUEST_PHYSICAL_ADDRESS,
};

/* As L1 reads it: through the shadow VMCS, or by an exit. */
static u64 l1_reads(u32 encoding, u32 index)
{
    if (nested.shadowing && !(read_bitmap[encoding / 8] >> encoding % 8 & 1))
        return vmcs02[encoding];
    nested_sync(&vcpu);
    return nested.vmcs12.image.f[index];
}

#define L1_READS(field) l1_reads(field, VI_##field)

static void write_information(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(info_fields); i++)
        vmcs02[info_fields[i]] = 0x100 + i;
}

static void expect_information(void)
{
    u32 i = 0;

    assert_int_equal(L1_READS(EXIT_REASON), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_QUALIFICATION), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INTERRUPTION_INFO), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INTERRUPTION_ERROR_CODE), 0x100 + i++);
    assert_int_equal(L1_READS(IDT_VECTORING_INFO), 0x100 + i++);
    assert_int_equal(L1_READS(IDT_VECTORING_ERROR_CODE), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INSTRUCTION_LENGTH), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INSTRUCTION_INFO), 0x100 + i++);
    assert_int_equal(L1_READS(GUEST_LINEAR_ADDRESS), 0x100 + i++);
    assert_int_equal(L1_READS(GUEST_PHYSICAL_ADDRESS), 0x100 + i++);
}

/* The quick way and the whole one, with a shadow VMCS and without. */
static void information_of_the_cpu(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool shadow = i & 1, whole = i & 2, again = i & 4;

        start();
        can_shadow(shadow);
        write_information();
        L1_SAYS(ENTRY_INTERRUPTION_INFO) = INTR_INFO(INTR_TYPE_EXTERNAL, 0x30);
        L1_SAYS(EXIT_MSR_STORE_COUNT) = whole;
        if (again)
            assert_int_equal(nested_reflect_as(&vcpu, 0x101), false);
        else
            assert_int_equal(reflect_now(), !whole);
        assert_int_equal(nested.shadowing, shadow);
        expect_information();
        assert_int_equal(L1_READS(ENTRY_INTERRUPTION_INFO) & INTR_INFO_VALID, 0);
    }
}

static void information_of_nidus(void **state)
{
    const struct nested_exit_info x = {.reason = 0x100,
                                       .qualification = 0x101,
                                       .interruption_info = 0x102,
                                       .interruption_error = 0x103,
                                       .idt_info = 0x104,
                                       .idt_error = 0x105,
                                       .instruction_length = 0x106,
                                       .instruction_info = 0x107,
                                       .guest_linear = 0x108,
                                       .guest_physical = 0x109};

    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++) {
        start();
        can_shadow(shadow);
        /* The entry that was to inject this has not been made. */
        vmcs02[ENTRY_INTERRUPTION_INFO] = L1_SAYS(ENTRY_INTERRUPTION_INFO) =
            INTR_INFO(INTR_TYPE_OTHER_EVENT, 0);
        nested.mtf = nested.injects = nested.exit_soon = true;
        nested_prepare_exit(&vcpu);
        nested_exit_with(&vcpu, &x);
        expect_information();
        assert_int_equal(L1_READS(ENTRY_INTERRUPTION_INFO), INTR_TYPE_OTHER_EVENT << 8);
        assert_false(nested.mtf || nested.injects || nested.exit_soon);
    }
}

/* Events whose delivery an exit of Nidus's own interrupted, and which go to L1 instead of the CPU. */
static void idt_vectoring(void **state)
{
    static const struct {
        u32 info, error, length;
    } rows[] = {
        {INTR_INFO(INTR_TYPE_EXTERNAL, 0x31), 0, 0},
        {INTR_INFO(INTR_TYPE_NMI, 2), 0, 0},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_UD), 0, 0},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_PF) | (u32)INTR_INFO_DELIVER_ERROR, 7, 0},
        {INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80), 0, 2},
        {INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, VEC_BP), 0, 1},
        {INTR_INFO(INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, VEC_DB), 0, 1},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 reflect = 0; reflect < 2; reflect++) {
            start();
            events_after_exit(&vcpu.events, &(struct events_exit){.idt_info = rows[i].info,
                                                                  .idt_error_code = rows[i].error,
                                                                  .instruction_length = rows[i].length});
            if (reflect)
                assert_false(reflect_now());
            else
                leave();
            assert_int_equal(L1_SAYS(IDT_VECTORING_INFO), rows[i].info);
            assert_int_equal(L1_SAYS(IDT_VECTORING_ERROR_CODE), rows[i].error);
            if (rows[i].length)
                assert_int_equal(L1_SAYS(EXIT_INSTRUCTION_LENGTH), rows[i].length);
            assert_int_equal(vcpu.events.due, 0);
        }
    /* An exception that was only pending is met again; an acknowledged interrupt stays. */
    start();
    events_raise_hardware(&vcpu.events, VEC_UD, 0);
    leave();
    assert_int_equal(L1_SAYS(IDT_VECTORING_INFO), 0);
    assert_int_equal(vcpu.events.due, 0);
    start();
    events_acknowledge(&vcpu.events, 0x33);
    leave();
    assert_int_equal(L1_SAYS(IDT_VECTORING_INFO), 0);
    assert_int_equal(vcpu.events.interrupt_stage, EVENT_PENDING);
}

static void preemption_timer(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool saved = i & 1, ended = i & 2, reflect = i & 4;

        start();
        vmx_caps.misc |= 5;
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_SAVE_PREEMPTION_TIMER, saved);
        L1_SAYS(PREEMPTION_TIMER_VALUE) = 1000;
        nested.timer_end = ended ? now - 1 : now + 32 * 70;
        if (reflect)
            reflect_now();
        else
            leave();
        assert_int_equal(L1_SAYS(PREEMPTION_TIMER_VALUE), !saved ? 1000 : ended ? 0 : 70);
        assert_int_equal(nested.timer_end, ~0ull);
    }
}

/* L1 is to look at what L2 was allowed to take and could not. */
static void windows(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool window = i & 1, exiting = i & 2, nmi = i & 4;

        start();
        vcpu.irq_window = window;
        vcpu.events.nmi_pending = nmi;
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_EXTERNAL_INTERRUPT_EXITING, exiting);
        assert_int_equal(reflect_now(), !nmi && !(window && !exiting));
    }
}

/* --- sync.c --- */

static void state_by_and_by(void **state)
{
    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++) {
        start();
        can_shadow(shadow);
        for (u32 i = 0; i < vmcs02_nr_same; i++)
            vmcs02[vmcs_field_encoding(vmcs02_same[i])] = 0x1000 + i;
        reflect_now();
        assert_false(nested.synced);
        assert_int_equal(nested.vmcs12.image.f[VI_GUEST_CR3], 0);
        if (!shadow)
            assert_int_equal(L1_SAYS(GUEST_RIP), vmcs02[GUEST_RIP]);   /* the next entry looks at it */
        assert_int_equal(L1_SAYS(GUEST_RFLAGS), vmcs02[GUEST_RFLAGS]); /* and compares these */
        assert_int_equal(L1_SAYS(GUEST_INTERRUPTIBILITY_STATE), vmcs02[GUEST_INTERRUPTIBILITY_STATE]);
        nested_sync(&vcpu);
        assert_true(nested.synced);
        for (u32 i = 0; i < vmcs02_nr_same; i++)
            assert_int_equal(nested.vmcs12.image.f[vmcs02_same[i]], 0x1000 + i);
        assert_ptr_equal(loaded, vmcs01);
    }
}

/* L1 writes without an exit. */
static void quick_fields_of_the_shadow_win(void **state)
{
    (void)state;
    for (u32 whole = 0; whole < 2; whole++) {
        start();
        can_shadow(true);
        if (whole)
            leave();
        else
            reflect_now();
        for (u32 i = 0; i < NESTED_NR_QUICK; i++) {
            u32 e = vmcs_field_encoding(nested_quick[i]);

            assert_false(read_bitmap[e / 8] >> e % 8 & 1);
            assert_false(write_bitmap[e / 8] >> e % 8 & 1);
            vmcs02[e] = 0x700 + i;
            nested.vmcs12.image.f[nested_quick[i]] = 0x999;
        }
        assert_true(nested.checked);
        nested_sync(&vcpu);
        assert_false(nested.checked); /* RFLAGS and interruptibility must be */
        for (u32 i = 0; i < NESTED_NR_QUICK; i++)
            assert_int_equal(nested.vmcs12.image.f[nested_quick[i]], 0x700 + i);
        vmcs02[GUEST_RIP] = 0x777; /* and again */
        nested_sync(&vcpu);
        assert_int_equal(L1_SAYS(GUEST_RIP), 0x777);
    }
    /* Each alone; RIP is looked at by every entry. */
    for (u32 i = 0; i < 3; i++) {
        static const u32 fields[] = {GUEST_RFLAGS, GUEST_INTERRUPTIBILITY_STATE, GUEST_RIP};

        start();
        can_shadow(true);
        nested_reflect(&vcpu);
        vmcs02[fields[i]] ^= 1;
        nested_sync(&vcpu);
        assert_int_equal(nested.checked, fields[i] == GUEST_RIP);
    }
}

/* Without a shadow VMCS L1's are in vmcs12, whatever Nidus has injected. */
static void injection_without_a_shadow(void **state)
{
    (void)state;
    start();
    vmcs02[ENTRY_EXCEPTION_ERROR_CODE] = vmcs02[ENTRY_INSTRUCTION_LENGTH] = 9;
    reflect_now();
    L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE) = 1;
    L1_SAYS(ENTRY_INSTRUCTION_LENGTH) = 2;
    L1_SAYS(ENTRY_INTERRUPTION_INFO) = INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80);
    nested_sync(&vcpu);
    assert_int_equal(L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE), 1);
    assert_int_equal(L1_SAYS(ENTRY_INSTRUCTION_LENGTH), 2);
    assert_int_equal(L1_SAYS(ENTRY_INTERRUPTION_INFO), INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80));
}

/* An event of Nidus's making leaves no trace in what L1 reads there. */
static void injection_by_nidus(void **state)
{
    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++)
        for (u32 reflect = 0; reflect < 2; reflect++) {
            start();
            can_shadow(shadow);
            nested_prepare_exit(&vcpu);
            /* L1 has written them to the shadow VMCS unseen: vmcs12's are older. */
            L1_SAYS(ENTRY_INTERRUPTION_INFO) = vmcs02[ENTRY_INTERRUPTION_INFO] = 0x30e;
            L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE) = L1_SAYS(ENTRY_INSTRUCTION_LENGTH) = shadow ? 9 : 5;
            vmcs02[ENTRY_EXCEPTION_ERROR_CODE] = vmcs02[ENTRY_INSTRUCTION_LENGTH] = 5;
            for (u32 again = 0; again < 2; again++) {
                nested_before_injection(&vcpu);
                vmcs02[ENTRY_INTERRUPTION_INFO] = 0xb0d;
                vmcs02[ENTRY_EXCEPTION_ERROR_CODE] = vmcs02[ENTRY_INSTRUCTION_LENGTH] = 7;
            }
            reflect ? (void)nested_reflect(&vcpu) : nested_exit_with(&vcpu, &cpuid_exit);
            assert_int_equal(L1_READS(ENTRY_INTERRUPTION_INFO), 0x30e);
            assert_int_equal(L1_READS(ENTRY_EXCEPTION_ERROR_CODE), 5);
            assert_int_equal(L1_READS(ENTRY_INSTRUCTION_LENGTH), 5);
            assert_false(nested.own_event);
            assert_int_equal(nested.plain_exit, shadow);
        }
}

static void written_by_an_exit(void **state)
{
    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++) {
        start();
        can_shadow(shadow);
        leave();
        nested_written(&vcpu, VI_GUEST_RSP);
        assert_int_equal(quick_written, VI_GUEST_RSP);
        nested_written(&vcpu, VI_PREEMPTION_TIMER_VALUE);
        assert_true(nested.checked);
        L1_SAYS(GUEST_CR3) = 0x123000;
        nested_written(&vcpu, VI_GUEST_CR3);
        assert_false(nested.checked);
        assert_int_equal(vmcs02[GUEST_CR3], shadow ? 0x123000 : 0);
        L1_SAYS(EXCEPTION_BITMAP) = 5;
        nested_written(&vcpu, VI_EXCEPTION_BITMAP); /* not to be read there */
        assert_int_equal(vmcs02[EXCEPTION_BITMAP], 0);
        assert_ptr_equal(loaded, vmcs01);
    }
}

/* L1 reads through the shadow VMCS just what vmcs02 has as vmcs12 has it. */
static void shadow_bitmaps(void **state)
{
    (void)state;
    for (u32 delivery = 0; delivery < 2; delivery++) {
        u32 readable = 0, writable = 0;

        start();
        set(&vmx_caps.proc2, (u64)PROC2_VIRTUAL_INTERRUPT_DELIVERY << 32, delivery);
        can_shadow_with(true, delivery);
        for (u32 i = 0; i < 8 * PAGE_SIZE; i++) {
            readable += !(read_bitmap[i / 8] >> i % 8 & 1);
            writable += !(write_bitmap[i / 8] >> i % 8 & 1);
        }
        /* Three of event injection, the PML index, and guest interrupt status. */
        assert_int_equal(readable, ARRAY_SIZE(info_fields) + vmcs02_nr_same + 4 + delivery);
        assert_int_equal(writable, NESTED_NR_QUICK - !delivery);
    }
    leave();
    assert_true(vmcs01[SECONDARY_CONTROLS] & PROC2_VMCS_SHADOWING);
    assert_int_equal(vmcs01[VMCS_LINK_POINTER], pool_pa(region02));
    nested_shadow(&vcpu, false);
    assert_false(vmcs01[SECONDARY_CONTROLS] & PROC2_VMCS_SHADOWING);
    assert_int_equal(vmcs01[VMCS_LINK_POINTER], ~0ull);
}

/* Where the CPU and L1 both have the PML index, and only there. */
static void shadow_of_the_pml_index(void **state)
{
    const u32 byte = GUEST_PML_INDEX / 8, bit = 1u << GUEST_PML_INDEX % 8;

    (void)state;
    for (u32 i = 0; i < 4; i++) {
        const u8 *bitmap;

        start();
        set(&vmx_caps.proc2, (u64)PROC2_ENABLE_PML << 32, i & 1);
        set(&vm.nested_caps.proc2, (u64)PROC2_ENABLE_PML << 32, i & 2);
        can_shadow(true);
        leave();
        bitmap = pool_va(vmcs01[VMREAD_BITMAP_ADDRESS]);
        assert_int_equal(!(bitmap[byte] & bit), i == 3);
        L1_SAYS(GUEST_PML_INDEX) = 511;
        nested_written(&vcpu, VI_GUEST_PML_INDEX);
        assert_int_equal(vmcs02[GUEST_PML_INDEX], i & 1 ? 511 : 0);
        assert_true(nested.checked);
    }
}

/* So it is with guest interrupt status, which L1 also writes there. */
static void shadow_of_the_interrupt_status(void **state)
{
    const u32 byte = GUEST_INTERRUPT_STATUS / 8, bit = 1u << GUEST_INTERRUPT_STATUS % 8;

    (void)state;
    for (u32 i = 0; i < 4; i++) {
        const u8 *reads, *writes;

        start();
        set(&vmx_caps.proc2, (u64)PROC2_VIRTUAL_INTERRUPT_DELIVERY << 32, i & 1);
        set(&vm.nested_caps.proc2, (u64)PROC2_VIRTUAL_INTERRUPT_DELIVERY << 32, i & 2);
        can_shadow_with(true, i & 1);
        leave();
        reads = pool_va(vmcs01[VMREAD_BITMAP_ADDRESS]);
        writes = pool_va(vmcs01[VMWRITE_BITMAP_ADDRESS]);
        assert_int_equal(!(reads[byte] & bit), i == 3);
        assert_int_equal(!(writes[byte] & bit), i == 3);
        assert_int_equal(reads[GUEST_RIP / 8] >> GUEST_RIP % 8 & 1, 0);
        assert_int_equal(writes[GUEST_RIP / 8] >> GUEST_RIP % 8 & 1, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(information_of_the_cpu),
        cmocka_unit_test(information_of_nidus),
        cmocka_unit_test(idt_vectoring),
        cmocka_unit_test(preemption_timer),
        cmocka_unit_test(windows),
        cmocka_unit_test(state_by_and_by),
        cmocka_unit_test(quick_fields_of_the_shadow_win),
        cmocka_unit_test(injection_without_a_shadow),
        cmocka_unit_test(injection_by_nidus),
        cmocka_unit_test(written_by_an_exit),
        cmocka_unit_test(shadow_bitmaps),
        cmocka_unit_test(shadow_of_the_pml_index),
        cmocka_unit_test(shadow_of_the_interrupt_status),
    };

    return cmocka_run_group_tests_name("nested_exit12", tests, NULL, NULL);
}
