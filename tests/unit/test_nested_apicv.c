/* SPDX-License-Identifier: MIT */
/* The virtual APIC of a halted L2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

#define PAGE 0x5000

static u8 vtpr;
static bool unreadable;

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa, PAGE + 0x80);
    assert_int_equal(n, 1);
    memcpy(to, &vtpr, 1);
    return unreadable ? ERR_RANGE : OK;
}

#include "vmm/nested/apicv.c"

static int start(void **state)
{
    (void)state;
    start_l2();
    unreadable = false;
    vcpu.activity = VCPU_HALTED;
    L1_SAYS(VIRTUAL_APIC_ADDRESS) = PAGE;
    L1_SAYS(PRIMARY_CONTROLS) = PROC_USE_TPR_SHADOW | (u64)PROC_ACTIVATE_SECONDARY;
    vmcs02[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    return 0;
}

static void tpr_threshold(void **state)
{
    for (u32 i = 0; i < 32; i++)
        for (u32 threshold = 0; threshold < 16; threshold++) {
            bool on = (i & 31) == 15;

            start(state);
            vcpu.activity = i & 1 ? VCPU_HALTED : VCPU_ACTIVE;
            set(&L1_SAYS(PRIMARY_CONTROLS), PROC_USE_TPR_SHADOW, i & 2);
            set(&L1_SAYS(PRIMARY_CONTROLS), PROC_ACTIVATE_SECONDARY, i & 4);
            set(&L1_SAYS(SECONDARY_CONTROLS), PROC2_VIRTUALIZE_APIC_ACCESSES, i & 8);
            set(&L1_SAYS(SECONDARY_CONTROLS), PROC2_VIRTUAL_INTERRUPT_DELIVERY, i & 16);
            L1_SAYS(TPR_THRESHOLD) = threshold;
            vtpr = 0x5f;
            assert_int_equal(nested_tpr_below_threshold(&vcpu), on && threshold > 5);
            unreadable = true;
            assert_false(nested_tpr_below_threshold(&vcpu));
        }
}

static void each_priority(void **state)
{
    static const u8 sub[] = {0x00, 0x0f};

    (void)state;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_VIRTUAL_INTERRUPT_DELIVERY;
    for (u32 rvi = 0; rvi < 16; rvi++)
        for (u32 svi = 0; svi < 16; svi++)
            for (u32 tpr = 0; tpr < 16; tpr++)
                for (u32 i = 0; i < 8; i++) {
                    u32 request = rvi << 4 | sub[i & 1], service = svi << 4 | sub[i >> 1 & 1];

                    vtpr = (u8)(tpr << 4 | sub[i >> 2]);
                    vmcs02[GUEST_INTERRUPT_STATUS] = service << 8 | request;
                    assert_int_equal(nested_virtual_interrupt(&vcpu), rvi > svi && rvi > tpr);
                }
}

/* What holds it back, alone. */
static void conditions(void **state)
{
    for (u32 i = 0; i < 6; i++) {
        start(state);
        vtpr = 0x20;
        L1_SAYS(SECONDARY_CONTROLS) = PROC2_VIRTUAL_INTERRUPT_DELIVERY;
        vmcs02[GUEST_INTERRUPT_STATUS] = 0x1030;
        set(&L1_SAYS(SECONDARY_CONTROLS), PROC2_VIRTUAL_INTERRUPT_DELIVERY, i != 1);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_ACTIVATE_SECONDARY, i != 2);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_INTERRUPT_WINDOW_EXITING, i == 3);
        set(&vmcs02[GUEST_RFLAGS], RFLAGS_IF, i != 4);
        unreadable = i == 5;
        assert_int_equal(nested_virtual_interrupt(&vcpu), i == 0);
    }
}

#define IDT 0xfffffe0000000000ull

/* What the CPU says stays unless it cannot be true; vector 0x51 is in service. */
static void vectoring(void **state)
{
    const u32 external = INTR_INFO(INTR_TYPE_EXTERNAL, 0xec), right = INTR_INFO(INTR_TYPE_EXTERNAL, 0x51),
              fault = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_PF);
    const struct {
        u32 info, injected;
        u64 linear; /* 0: not valid */
        u32 wanted;
    } rows[] = {
        {external, 0, 0, right},
        {external, external & 0x7ff, 0, external},
        {external, (external & 0x7ff) + 1, 0, right},
        {external, external & 0x7ff, IDT + 0x51 * 16, right},
        {right, 0, IDT + 0x51 * 16, right},
        {fault, 0, 0, fault},
        {fault, 0, IDT + 0x51 * 16, right},
        {fault, 0, IDT + 0x51 * 16 + 15, right},
        {fault, 0, IDT + 0x52 * 16, fault},
        {fault, 0, IDT + 0x51 * 16 - 1, fault},
        {fault, 0, IDT - 8, fault},
        {external & 0x7ff, 0, IDT + 0x51 * 16, external & 0x7ff}, /* nothing was under way */
    };

    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 off = 0; off < 4; off++) {
            start(state);
            set(&L1_SAYS(SECONDARY_CONTROLS), PROC2_VIRTUAL_INTERRUPT_DELIVERY, off != 1);
            set(&vmcs02[GUEST_RFLAGS], RFLAGS_IF, off != 2);
            vmcs02[GUEST_INTERRUPT_STATUS] = off == 3 ? 0x41 : 0x5141;
            vmcs02[GUEST_IA32_EFER] = EFER_LMA;
            vmcs02[GUEST_CR0] = CR0_PE;
            vmcs02[GUEST_IDTR_BASE] = IDT;
            vmcs02[GUEST_LINEAR_ADDRESS] = rows[i].linear;
            vmcs02[EXIT_QUALIFICATION] = rows[i].linear ? EPT_QUAL_LINEAR_VALID : 0;
            vmcs02[ENTRY_INTERRUPTION_INFO] = rows[i].injected;
            vmcs02[IDT_VECTORING_INFO] = rows[i].info;
            nested_correct_vectoring(&vcpu);
            assert_int_equal(vmcs02[IDT_VECTORING_INFO], off ? rows[i].info : rows[i].wanted);
        }
}

/* In each mode. */
static void gates(void **state)
{
    static const u32 size[] = {4, 8, 16};

    for (u32 i = 0; i < 3; i++) {
        start(state);
        L1_SAYS(SECONDARY_CONTROLS) = PROC2_VIRTUAL_INTERRUPT_DELIVERY;
        vmcs02[GUEST_INTERRUPT_STATUS] = 0x5100;
        vmcs02[GUEST_CR0] = i ? CR0_PE : 0;
        vmcs02[GUEST_IA32_EFER] = i == 2 ? EFER_LMA : 0;
        vmcs02[GUEST_LINEAR_ADDRESS] = 0x51 * size[i];
        vmcs02[EXIT_QUALIFICATION] = EPT_QUAL_LINEAR_VALID;
        vmcs02[IDT_VECTORING_INFO] = INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, VEC_BP);
        nested_correct_vectoring(&vcpu);
        assert_int_equal(vmcs02[IDT_VECTORING_INFO], INTR_INFO(INTR_TYPE_EXTERNAL, 0x51));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tpr_threshold, start), cmocka_unit_test_setup(each_priority, start),
        cmocka_unit_test_setup(conditions, start),    cmocka_unit_test_setup(vectoring, start),
        cmocka_unit_test_setup(gates, start),
    };

    return cmocka_run_group_tests_name("nested_apicv", tests, NULL, NULL);
}
