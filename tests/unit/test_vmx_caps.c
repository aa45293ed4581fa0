/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_negotiate.c arch/x86/vmx_names.c lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/vmx_names.h"
#include "tests/unit/good_caps.h"

/* MSRs of the CPU that vmx_caps_read() looks at; reading one that is not there is an error. */
struct msr {
    u32 index;
    u64 value;
};

static const struct msr *cpu_msrs;
static u32 cpu_nr_msrs, cpu_reads;

static u64 fake_rdmsr(u32 index)
{
    cpu_reads++;
    for (u32 i = 0; i < cpu_nr_msrs; i++)
        if (cpu_msrs[i].index == index)
            return cpu_msrs[i].value;
    fail_msg("MSR 0x%x does not exist", index);
    return 0;
}

static void read_caps(struct vmx_caps *caps, const struct msr *msrs, u32 nr)
{
    cpu_msrs = msrs;
    cpu_nr_msrs = nr;
    cpu_reads = 0;
    vmx_caps_read(caps, fake_rdmsr);
    assert_int_equal(cpu_reads, nr); /* each that exists, once */
}

#define OLD_MSRS(proc, exit, basic)                                                                        \
    {MSR_IA32_FEATURE_CONTROL, 5}, {MSR_IA32_VMX_BASIC, basic}, {MSR_IA32_VMX_PINBASED_CTLS, 0x11},        \
        {MSR_IA32_VMX_PROCBASED_CTLS, proc}, {MSR_IA32_VMX_EXIT_CTLS, exit},                               \
        {MSR_IA32_VMX_ENTRY_CTLS, 0x12}, {MSR_IA32_VMX_MISC, 0x13}, {MSR_IA32_VMX_CR0_FIXED0, 0x14},       \
        {MSR_IA32_VMX_CR0_FIXED1, 0x15}, {MSR_IA32_VMX_CR4_FIXED0, 0x16}, {MSR_IA32_VMX_CR4_FIXED1, 0x17}, \
    {                                                                                                      \
        MSR_IA32_VMX_VMCS_ENUM, 0x18                                                                       \
    }

#define HIGH(control) ((u64)(control) << 32)

static void test_read_first_cpu(void **state)
{
    static const struct msr msrs[] = {OLD_MSRS(HIGH(PROC_HLT_EXITING), 0, 1)};
    struct vmx_caps c;

    (void)state;
    memset(&c, 0xff, sizeof(c));
    read_caps(&c, msrs, ARRAY_SIZE(msrs));
    assert_int_equal(c.feature_control, 5);
    assert_int_equal(c.basic, 1);
    assert_int_equal(c.pin, 0x11);
    assert_int_equal(c.entry, 0x12);
    assert_int_equal(c.misc, 0x13);
    assert_int_equal(c.cr0_fixed0, 0x14);
    assert_int_equal(c.cr0_fixed1, 0x15);
    assert_int_equal(c.cr4_fixed0, 0x16);
    assert_int_equal(c.cr4_fixed1, 0x17);
    assert_int_equal(c.vmcs_enum, 0x18);
    assert_int_equal(c.proc2, 0);
    assert_int_equal(c.ept_vpid, 0);
    assert_int_equal(c.true_pin, 0);
    assert_int_equal(c.vmfunc, 0);
    assert_int_equal(c.proc3, 0);
    assert_int_equal(c.exit2, 0);
}

static void test_read_secondary_only(void **state)
{
    static const struct msr none[] = {OLD_MSRS(HIGH(PROC_ACTIVATE_SECONDARY), 0, 1),
                                      {MSR_IA32_VMX_PROCBASED_CTLS2, HIGH(PROC2_ENABLE_RDTSCP)}};
    static const struct msr vpid[] = {OLD_MSRS(HIGH(PROC_ACTIVATE_SECONDARY), 0, 1),
                                      {MSR_IA32_VMX_PROCBASED_CTLS2, HIGH(PROC2_ENABLE_VPID)},
                                      {MSR_IA32_VMX_EPT_VPID_CAP, 0x21}};
    struct vmx_caps c;

    (void)state;
    read_caps(&c, none, ARRAY_SIZE(none));
    assert_int_equal(c.proc2, HIGH(PROC2_ENABLE_RDTSCP));
    read_caps(&c, vpid, ARRAY_SIZE(vpid));
    assert_int_equal(c.ept_vpid, 0x21);
}

static void test_read_newest_cpu(void **state)
{
    static const struct msr msrs[] = {
        OLD_MSRS(HIGH(PROC_ACTIVATE_SECONDARY | PROC_ACTIVATE_TERTIARY), HIGH(EXITCTL_ACTIVATE_SECONDARY),
                 VMX_BASIC_TRUE_CONTROLS),
        {MSR_IA32_VMX_PROCBASED_CTLS2, HIGH(PROC2_ENABLE_EPT | PROC2_ENABLE_VM_FUNCTIONS)},
        {MSR_IA32_VMX_EPT_VPID_CAP, 0x21},
        {MSR_IA32_VMX_TRUE_PINBASED_CTLS, 0x22},
        {MSR_IA32_VMX_TRUE_PROCBASED_CTLS, 0x23},
        {MSR_IA32_VMX_TRUE_EXIT_CTLS, 0x24},
        {MSR_IA32_VMX_TRUE_ENTRY_CTLS, 0x25},
        {MSR_IA32_VMX_VMFUNC, 0x26},
        {MSR_IA32_VMX_PROCBASED_CTLS3, 0x27},
        {MSR_IA32_VMX_EXIT_CTLS2, 0x28},
    };
    struct vmx_caps c;

    (void)state;
    read_caps(&c, msrs, ARRAY_SIZE(msrs));
    assert_int_equal(c.true_pin, 0x22);
    assert_int_equal(c.true_proc, 0x23);
    assert_int_equal(c.true_exit, 0x24);
    assert_int_equal(c.true_entry, 0x25);
    assert_int_equal(c.vmfunc, 0x26);
    assert_int_equal(c.proc3, 0x27);
    assert_int_equal(c.exit2, 0x28);
}

/* RDMSR gives what was read, and what is not there does not exist. */
static void test_get(void **state)
{
    static const struct msr msrs[] = {OLD_MSRS(HIGH(PROC_ACTIVATE_SECONDARY), 0, VMX_BASIC_TRUE_CONTROLS),
                                      {MSR_IA32_VMX_PROCBASED_CTLS2, HIGH(PROC2_ENABLE_RDTSCP)},
                                      {MSR_IA32_VMX_TRUE_PINBASED_CTLS, 0x22},
                                      {MSR_IA32_VMX_TRUE_PROCBASED_CTLS, 0x23},
                                      {MSR_IA32_VMX_TRUE_EXIT_CTLS, 0x24},
                                      {MSR_IA32_VMX_TRUE_ENTRY_CTLS, 0x25}};
    struct vmx_caps c;
    u32 found = 0;

    (void)state;
    read_caps(&c, msrs, ARRAY_SIZE(msrs));
    for (u32 index = 0; index < 0x600; index++) {
        u64 value;

        if (!vmx_caps_get(&c, index, &value))
            continue;
        assert_int_equal(fake_rdmsr(index), value);
        found++;
    }
    assert_int_equal(found, ARRAY_SIZE(msrs));
}

static void test_allowed_settings(void **state)
{
    struct vmx_caps c = {
        .proc = 0x200000001, .true_proc = 0x400000003, .proc3 = 0x8000000000000001, .exit2 = 9};

    (void)state;
    assert_int_equal(vmx_allowed0(&c, VMX_WORD_PROC), 1);
    assert_int_equal(vmx_allowed1(&c, VMX_WORD_PROC), 2);
    assert_string_equal(vmx_word_msr(&c, VMX_WORD_PROC), "IA32_VMX_PROCBASED_CTLS");
    c.basic = VMX_BASIC_TRUE_CONTROLS;
    assert_int_equal(vmx_allowed0(&c, VMX_WORD_PROC), 3);
    assert_int_equal(vmx_allowed1(&c, VMX_WORD_PROC), 4);
    assert_string_equal(vmx_word_msr(&c, VMX_WORD_PROC), "IA32_VMX_TRUE_PROCBASED_CTLS");
    assert_int_equal(vmx_allowed0(&c, VMX_WORD_PROC3), 0);
    assert_int_equal(vmx_allowed1(&c, VMX_WORD_PROC3), 0x8000000000000001);
    assert_int_equal(vmx_allowed0(&c, VMX_WORD_EXIT2), 0);
    assert_int_equal(vmx_allowed1(&c, VMX_WORD_EXIT2), 9);
}

/* Fields and the control that brings each of them: without any control they do not exist, with that one they
 * do. */
static void test_field_exists(void **state)
{
    static const struct {
        enum vmcs_index index;
        enum vmx_word word;
        u64 control;
    } cases[] = {
        {VI_VPID, VMX_WORD_PROC2, PROC2_ENABLE_VPID},
        {VI_POSTED_INT_VECTOR, VMX_WORD_PIN, PIN_POSTED_INTERRUPTS},
        {VI_EPTP_INDEX, VMX_WORD_PROC2, PROC2_EPT_VIOLATION_VE},
        {VI_HLAT_PREFIX_SIZE, VMX_WORD_PROC3, PROC3_ENABLE_HLAT},
        {VI_LAST_PID_POINTER_INDEX, VMX_WORD_PROC3, PROC3_IPI_VIRTUALIZATION},
        {VI_GUEST_INTERRUPT_STATUS, VMX_WORD_PROC2, PROC2_VIRTUAL_INTERRUPT_DELIVERY},
        {VI_GUEST_PML_INDEX, VMX_WORD_PROC2, PROC2_ENABLE_PML},
        {VI_GUEST_UINV, VMX_WORD_ENTRY, ENTRYCTL_LOAD_UINV},
        {VI_GUEST_UINV, VMX_WORD_EXIT, EXITCTL_CLEAR_UINV},
        {VI_MSR_BITMAPS, VMX_WORD_PROC, PROC_USE_MSR_BITMAPS},
        {VI_VIRTUAL_APIC_ADDRESS, VMX_WORD_PROC, PROC_USE_TPR_SHADOW},
        {VI_APIC_ACCESS_ADDRESS, VMX_WORD_PROC2, PROC2_VIRTUALIZE_APIC_ACCESSES},
        {VI_VM_FUNCTION_CONTROLS, VMX_WORD_PROC2, PROC2_ENABLE_VM_FUNCTIONS},
        {VI_EPT_POINTER, VMX_WORD_PROC2, PROC2_ENABLE_EPT},
        {VI_VMREAD_BITMAP_ADDRESS, VMX_WORD_PROC2, PROC2_VMCS_SHADOWING},
        {VI_XSS_EXITING_BITMAP, VMX_WORD_PROC2, PROC2_ENABLE_XSAVES},
        {VI_ENCLS_EXITING_BITMAP, VMX_WORD_PROC2, PROC2_ENABLE_ENCLS_EXITING},
        {VI_SPP_TABLE_POINTER, VMX_WORD_PROC2, PROC2_SUB_PAGE_WRITE},
        {VI_TSC_MULTIPLIER, VMX_WORD_PROC2, PROC2_USE_TSC_SCALING},
        {VI_TERTIARY_CONTROLS, VMX_WORD_PROC, PROC_ACTIVATE_TERTIARY},
        {VI_ENCLV_EXITING_BITMAP, VMX_WORD_PROC2, PROC2_ENABLE_ENCLV_EXITING},
        {VI_LOW_PASID_DIRECTORY, VMX_WORD_PROC2, PROC2_PASID_TRANSLATION},
        {VI_PCONFIG_EXITING_BITMAP, VMX_WORD_PROC2, PROC2_ENABLE_PCONFIG},
        {VI_SECONDARY_EXIT_CONTROLS, VMX_WORD_EXIT, EXITCTL_ACTIVATE_SECONDARY},
        {VI_SPEC_CTRL_MASK, VMX_WORD_PROC3, PROC3_VIRTUALIZE_SPEC_CTRL},
        {VI_GUEST_IA32_PAT, VMX_WORD_ENTRY, ENTRYCTL_LOAD_PAT},
        {VI_GUEST_IA32_PAT, VMX_WORD_EXIT, EXITCTL_SAVE_PAT},
        {VI_GUEST_IA32_EFER, VMX_WORD_ENTRY, ENTRYCTL_LOAD_EFER},
        {VI_GUEST_IA32_EFER, VMX_WORD_EXIT, EXITCTL_SAVE_EFER},
        {VI_GUEST_IA32_PERF_GLOBAL_CTRL, VMX_WORD_ENTRY, ENTRYCTL_LOAD_PERF_GLOBAL_CTRL},
        {VI_GUEST_IA32_PERF_GLOBAL_CTRL, VMX_WORD_EXIT, EXITCTL_SAVE_PERF_GLOBAL_CTRL},
        {VI_GUEST_IA32_BNDCFGS, VMX_WORD_ENTRY, ENTRYCTL_LOAD_BNDCFGS},
        {VI_GUEST_IA32_BNDCFGS, VMX_WORD_EXIT, EXITCTL_CLEAR_BNDCFGS},
        {VI_GUEST_IA32_RTIT_CTL, VMX_WORD_ENTRY, ENTRYCTL_LOAD_RTIT_CTL},
        {VI_GUEST_IA32_RTIT_CTL, VMX_WORD_EXIT, EXITCTL_CLEAR_RTIT_CTL},
        {VI_GUEST_IA32_LBR_CTL, VMX_WORD_ENTRY, ENTRYCTL_LOAD_LBR_CTL},
        {VI_GUEST_IA32_LBR_CTL, VMX_WORD_EXIT, EXITCTL_CLEAR_LBR_CTL},
        {VI_GUEST_IA32_PKRS, VMX_WORD_ENTRY, ENTRYCTL_LOAD_PKRS},
        {VI_HOST_IA32_PAT, VMX_WORD_EXIT, EXITCTL_LOAD_PAT},
        {VI_HOST_IA32_EFER, VMX_WORD_EXIT, EXITCTL_LOAD_EFER},
        {VI_HOST_IA32_PERF_GLOBAL_CTRL, VMX_WORD_EXIT, EXITCTL_LOAD_PERF_GLOBAL_CTRL},
        {VI_HOST_IA32_PKRS, VMX_WORD_EXIT, EXITCTL_LOAD_PKRS},
        {VI_SECONDARY_CONTROLS, VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY},
        {VI_PLE_GAP, VMX_WORD_PROC2, PROC2_PAUSE_LOOP_EXITING},
        {VI_INSTRUCTION_TIMEOUT_CONTROL, VMX_WORD_PROC2, PROC2_INSTRUCTION_TIMEOUT},
        {VI_PREEMPTION_TIMER_VALUE, VMX_WORD_PIN, PIN_PREEMPTION_TIMER},
        {VI_GUEST_SSP, VMX_WORD_ENTRY, ENTRYCTL_LOAD_CET},
        {VI_HOST_SSP, VMX_WORD_EXIT, EXITCTL_LOAD_CET},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vmx_caps c = {0};
        u64 *msrs[] = {&c.pin, &c.proc, &c.proc2, &c.proc3, &c.exit, &c.exit2, &c.entry};

        assert_false(vmcs_field_exists(&c, cases[i].index));
        *msrs[cases[i].word] = cases[i].word == VMX_WORD_PROC3 ? cases[i].control : HIGH(cases[i].control);
        assert_true(vmcs_field_exists(&c, cases[i].index));
    }
}

static void test_field_exists_otherwise(void **state)
{
    struct vmx_caps c = {.misc = 2 << 16};

    (void)state;
    assert_true(vmcs_field_exists(&c, VI_GUEST_RIP));
    assert_true(vmcs_field_exists(&c, VI_CR3_TARGET_1));
    assert_false(vmcs_field_exists(&c, VI_CR3_TARGET_2));
    assert_false(vmcs_field_exists(&c, VI_EPTP_LIST_ADDRESS));
    c.vmfunc = VMFUNC_EPTP_SWITCHING;
    assert_true(vmcs_field_exists(&c, VI_EPTP_LIST_ADDRESS));
    good_caps(&c);
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++)
        assert_int_equal(vmcs_field_exists(&c, i), i != VI_SHARED_EPT_POINTER);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(vmx_exit_reason_name(EXIT_REASON_EPT_VIOLATION), "EPT violation");
    assert_string_equal(vmx_exit_reason_name(0), "exception or NMI");
    assert_string_equal(vmx_exit_reason_name(35), "unknown exit reason");
    assert_string_equal(vmx_exit_reason_name(80), "unknown exit reason");
    assert_string_equal(vmx_exit_reason_name(0xffffffff), "unknown exit reason");
    assert_string_equal(vmx_instruction_error_text(7), "VM entry with invalid control field(s)");
    assert_string_equal(vmx_instruction_error_text(14), "unknown VM-instruction error");
    assert_string_equal(vmx_instruction_error_text(29), "unknown VM-instruction error");
    assert_string_equal(vmx_control_bit_name(VMX_WORD_PROC2, 7), "unrestricted guest");
    assert_null(vmx_control_bit_name(VMX_WORD_PROC2, 29));
    assert_null(vmx_control_bit_name(VMX_WORD_PROC3, 63));
    assert_null(vmx_control_bit_name(VMX_NR_WORDS, 0));
    assert_string_equal(vmx_capability_name(VMX_WORD_PIN, 0), "external-interrupt exiting");
    assert_string_equal(vmx_capability_name(VMX_CAP_EPT_VPID, 26), "all-context INVEPT");
    assert_string_equal(vmx_capability_name(VMX_CAP_VMFUNC, 0), "EPTP switching");
    assert_null(vmx_capability_name(VMX_CAP_EPT_VPID, 63));
    assert_null(vmx_capability_name(VMX_NR_PLACES, 0));
    assert_string_equal(vmx_exception_name(14), "#PF");
    assert_string_equal(vmx_exception_name(15), "vector");
    assert_string_equal(vmx_exception_name(255), "vector");
    assert_string_equal(vmcs_field_name(VI_GUEST_RIP), "GUEST_RIP");
    assert_int_equal(vmcs_field_encoding(VI_GUEST_RIP), 0x681e);
    for (u32 i = 0; i < VMX_NR_FEATURES; i++)
        assert_string_not_equal(vmx_feature_name(i), "unknown feature");
    assert_string_equal(vmx_feature_name(VMX_NR_FEATURES), "unknown feature");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_first_cpu),  cmocka_unit_test(test_read_secondary_only),
        cmocka_unit_test(test_read_newest_cpu), cmocka_unit_test(test_allowed_settings),
        cmocka_unit_test(test_field_exists),    cmocka_unit_test(test_field_exists_otherwise),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_get),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
