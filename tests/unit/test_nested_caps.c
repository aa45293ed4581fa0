/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/caps.c arch/x86/vmx_caps.c arch/x86/vmx_names.c arch/x86/vmx_negotiate.c lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/good_caps.h"
#include "vmm/cpuid.h"
#include "vmm/nested/nested.h"

static struct vmx_caps host, caps;
static struct guest_cpuid cpuid;

static int start(void **state)
{
    (void)state;
    good_caps(&host);
    host.misc |= 5 | VMX_MISC_ZERO_LENGTH;
    host.basic |= VMX_BASIC_ANY_ERROR_CODE;
    memset(&cpuid, 0, sizeof(cpuid));
    cpuid.cr4_allowed = CR4_PAE | CR4_PGE | CR4_VMXE | CR4_SMEP;
    return 0;
}

static void build(void)
{
    nested_caps_build(&caps, &host, &cpuid);
}

static u64 low(u64 msr)
{
    return (u32)msr;
}

static u64 high(u64 msr)
{
    return msr >> 32;
}

/* What is offered on a CPU that has everything, written down once more. */
#define OFFERED_PIN                                                                               \
    (PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER | \
     PIN_POSTED_INTERRUPTS)
#define OFFERED_PROC (0xfffb9e8cu & ~BIT(26)) /* all but reserved bits */
#define OFFERED_PROC2                                                                            \
    (BITS(10, 0) | PROC2_ENABLE_VM_FUNCTIONS | PROC2_VMCS_SHADOWING | PROC2_PAUSE_LOOP_EXITING | \
     PROC2_RDRAND_EXITING | PROC2_ENABLE_INVPCID | PROC2_RDSEED_EXITING | PROC2_ENABLE_PML |     \
     PROC2_ENABLE_XSAVES | PROC2_MODE_BASED_EXECUTE | PROC2_USE_TSC_SCALING)
#define OFFERED_EXIT  (BIT(2) | BIT(9) | BIT(15) | BITS(22, 18))
#define OFFERED_ENTRY (BIT(2) | BIT(9) | BIT(14) | BIT(15))
#define OFFERED_EPT \
    (BIT(0) | BIT(6) | BIT(8) | BIT(14) | BIT(16) | BIT(17) | BIT(20) | BIT(21) | BIT(22) | BIT(25) | BIT(26))
#define OFFERED_VPID (BIT(32) | BITS(43, 40))

static void test_full_cpu(void **state)
{
    (void)state;
    build();
    assert_int_equal(caps.feature_control, 5);
    assert_int_equal(caps.basic, VMCS12_REVISION | 4096ull << 32 | 6ull << 50 | BIT(54) | BIT(55) | BIT(56));
    assert_int_equal(high(caps.true_pin), OFFERED_PIN | PIN_DEFAULT1);
    assert_int_equal(high(caps.true_proc), OFFERED_PROC | PROC_DEFAULT1);
    assert_int_equal(high(caps.true_exit), OFFERED_EXIT | EXITCTL_DEFAULT1);
    assert_int_equal(high(caps.true_entry), OFFERED_ENTRY | ENTRYCTL_DEFAULT1);
    assert_int_equal(caps.proc2, OFFERED_PROC2 << 32);
    assert_int_equal(caps.ept_vpid, OFFERED_EPT | OFFERED_VPID);
    assert_int_equal(caps.misc, 5 | BIT(5) | BIT(6) | BIT(8) | 4 << 16 | BIT(29) | BIT(30));
    assert_int_equal(caps.vmfunc, VMFUNC_EPTP_SWITCHING);
    assert_int_equal(caps.proc3, PROC3_IPI_VIRTUALIZATION);
    assert_int_equal(caps.exit2, 0);
    assert_int_equal(caps.vmcs_enum, 0x42); /* PID-pointer table address */
}

/* 'VM-Execution Controls' and so on in the appendix: what each MSR says of the default1 class. */
static void test_default1(void **state)
{
    (void)state;
    build();
    assert_int_equal(low(caps.pin), 0x16);
    assert_int_equal(low(caps.proc), 0x0401e172);
    assert_int_equal(low(caps.exit), 0x00036dff);
    assert_int_equal(low(caps.entry), 0x000011ff);
    assert_int_equal(low(caps.true_pin), 0x16);
    assert_int_equal(low(caps.true_proc), 0x04006172);
    assert_int_equal(low(caps.true_exit), 0x00036dfb);
    assert_int_equal(low(caps.true_entry), 0x000011fb);
    assert_int_equal(high(caps.pin), high(caps.true_pin));
    assert_int_equal(high(caps.proc), high(caps.true_proc));
    assert_int_equal(high(caps.exit), high(caps.true_exit));
    assert_int_equal(high(caps.entry), high(caps.true_entry));
}

static void test_control_registers(void **state)
{
    (void)state;
    build();
    assert_int_equal(caps.cr0_fixed0, CR0_PE | CR0_NE | (u64)CR0_PG);
    assert_int_equal(caps.cr0_fixed1, 0xffffffff);
    assert_int_equal(caps.cr4_fixed0, CR4_VMXE);
    assert_int_equal(caps.cr4_fixed1, cpuid.cr4_allowed);
    host.cr4_fixed1 &= ~(u64)CR4_SMEP;
    build();
    assert_int_equal(caps.cr4_fixed1, CR4_PAE | CR4_PGE | CR4_VMXE);
}

/* What Nidus does by itself is offered on any CPU, and nothing else. */
static void test_emulated(void **state)
{
    (void)state;
    host.basic &= BITS(31, 0) | VMX_BASIC_TRUE_CONTROLS;
    host.true_pin = host.true_exit = host.true_entry = host.misc = 0;
    host.true_proc = (u64)PROC_ACTIVATE_SECONDARY << 32;
    host.proc2 = (u64)(PROC2_ENABLE_EPT | PROC2_ENABLE_VPID) << 32;
    host.ept_vpid = 0;
    build();
    assert_int_equal(high(caps.pin), PIN_PREEMPTION_TIMER | PIN_DEFAULT1);
    assert_int_equal(high(caps.proc), PROC_ACTIVATE_SECONDARY | low(caps.proc));
    assert_int_equal(high(caps.exit), EXITCTL_SAVE_PREEMPTION_TIMER | low(caps.exit));
    assert_int_equal(high(caps.entry), low(caps.entry));
    assert_int_equal(high(caps.proc2),
                     PROC2_ENABLE_EPT | PROC2_ENABLE_VPID | PROC2_ENABLE_PML | PROC2_VMCS_SHADOWING);
    assert_int_equal(caps.ept_vpid, (OFFERED_EPT & ~(BIT(0) | BIT(22))) | OFFERED_VPID);
    assert_int_equal(caps.misc, BIT(5) | BIT(6) | BIT(8) | BIT(29));
    assert_int_equal(caps.basic, VMCS12_REVISION | 4096ull << 32 | 6ull << 50 | BIT(55));
}

/* Each control that the CPU lacks is not offered, but for the emulated ones, and no other comes for it. */
static void test_each_control_missing(void **state)
{
    static const struct {
        size_t host, offered;
        u64 emulated;
    } words[] = {
        {offsetof(struct vmx_caps, true_pin), offsetof(struct vmx_caps, pin),
         PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS},
        {offsetof(struct vmx_caps, true_proc), offsetof(struct vmx_caps, proc), PROC_ACTIVATE_TERTIARY},
        {offsetof(struct vmx_caps, proc2), offsetof(struct vmx_caps, proc2),
         PROC2_ENABLE_PML | PROC2_VMCS_SHADOWING},
        {offsetof(struct vmx_caps, true_exit), offsetof(struct vmx_caps, exit),
         EXITCTL_SAVE_PREEMPTION_TIMER},
        {offsetof(struct vmx_caps, true_entry), offsetof(struct vmx_caps, entry), 0},
    };

    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
        u64 *has = (u64 *)((char *)&host + words[w].host), *msr = (u64 *)((char *)&caps + words[w].offered);

        for (u32 bit = 0; bit < 32; bit++) {
            u64 before;

            start(NULL);
            build();
            before = *msr;
            *has &= ~BIT(32 + bit);
            build();
            assert_int_equal(high(*msr) & ~high(before), 0);
            if (!((words[w].emulated | low(before)) & BIT(bit)))
                assert_int_equal(high(*msr) & BIT(bit), 0);
            else
                assert_int_equal(*msr, before);
        }
    }
}

/* A name's rows go together: PAT is loaded at both, and saved, or not at all. */
static void test_names_are_whole(void **state)
{
    (void)state;
    host.true_exit &= ~((u64)EXITCTL_SAVE_PAT << 32);
    build();
    assert_int_equal(high(caps.exit) & (EXITCTL_SAVE_PAT | EXITCTL_LOAD_PAT), 0);
    assert_int_equal(high(caps.entry) & ENTRYCTL_LOAD_PAT, 0);
    assert_true(high(caps.exit) & EXITCTL_LOAD_EFER);
}

static u64 hide(enum vmx_name name)
{
    start(NULL);
    cpuid.nested_hidden = BIT(name);
    build();
    return caps.ept_vpid;
}

static void test_hide(void **state)
{
    (void)state;
    hide(VX_EPT);
    assert_int_equal(high(caps.proc2) & (PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST), 0);
    assert_int_equal(caps.ept_vpid, OFFERED_VPID);
    assert_false(vmcs_field_exists(&caps, VI_EPT_POINTER));
    hide(VX_VPID);
    assert_int_equal(high(caps.proc2) & PROC2_ENABLE_VPID, 0);
    assert_int_equal(caps.ept_vpid, OFFERED_EPT);
    assert_int_equal(hide(VX_INVEPT), (OFFERED_EPT & ~(BIT(20) | BIT(25) | BIT(26))) | OFFERED_VPID);
    assert_int_equal(hide(VX_INVVPID), OFFERED_EPT);
    assert_int_equal(hide(VX_EPT_1G), (OFFERED_EPT & ~BIT(17)) | OFFERED_VPID);
    hide(VX_SECONDARY_CONTROLS);
    assert_int_equal(high(caps.proc) & PROC_ACTIVATE_SECONDARY, 0);
    assert_int_equal(caps.proc2 | caps.ept_vpid, 0);
    assert_int_equal(high(caps.pin) & PIN_POSTED_INTERRUPTS, 0);
    hide(VX_TPR_SHADOW);
    assert_int_equal(high(caps.proc) & PROC_USE_TPR_SHADOW, 0);
    assert_int_equal(high(caps.proc2) & PROC2_VIRTUALIZE_X2APIC, 0);
    assert_int_equal(
        high(caps.proc2) & (PROC2_APIC_REGISTER_VIRTUALIZATION | PROC2_VIRTUAL_INTERRUPT_DELIVERY), 0);
    assert_int_equal(high(caps.pin) & PIN_POSTED_INTERRUPTS, 0);
    assert_true(high(caps.proc2) & PROC2_VIRTUALIZE_APIC_ACCESSES);
    hide(VX_VMFUNC);
    assert_int_equal((high(caps.proc2) & PROC2_ENABLE_VM_FUNCTIONS) | caps.vmfunc, 0);
    hide(VX_EPTP_SWITCHING);
    assert_true(high(caps.proc2) & PROC2_ENABLE_VM_FUNCTIONS);
    assert_int_equal(caps.vmfunc, 0);
    assert_false(vmcs_field_exists(&caps, VI_EPTP_LIST_ADDRESS));
    hide(VX_EPT);
    assert_int_equal((high(caps.proc2) & PROC2_ENABLE_PML) | caps.vmfunc, 0);
    hide(VX_EPT_ACCESSED_DIRTY);
    assert_int_equal(high(caps.proc2) & PROC2_ENABLE_PML, 0);
    hide(VX_EPT_ADVANCED_EXIT_INFO);
    assert_int_equal(high(caps.proc2) & PROC2_MODE_BASED_EXECUTE, 0);
    assert_int_equal(hide(VX_MODE_BASED_EXECUTE), OFFERED_EPT | OFFERED_VPID);
    assert_int_equal(high(caps.proc2) & PROC2_MODE_BASED_EXECUTE, 0);
    hide(VX_VMCS_SHADOWING);
    assert_int_equal(high(caps.proc2) & PROC2_VMCS_SHADOWING, 0);
    assert_false(vmcs_field_exists(&caps, VI_VMREAD_BITMAP_ADDRESS));
    hide(VX_PML);
    assert_int_equal(high(caps.proc2) & PROC2_ENABLE_PML, 0);
    assert_false(vmcs_field_exists(&caps, VI_GUEST_PML_INDEX) || vmcs_field_exists(&caps, VI_PML_ADDRESS));
    hide(VX_VIRTUAL_INTERRUPT_DELIVERY);
    assert_int_equal(high(caps.pin) & PIN_POSTED_INTERRUPTS, 0);
    assert_true(high(caps.proc2) & PROC2_APIC_REGISTER_VIRTUALIZATION);
    assert_false(vmcs_field_exists(&caps, VI_GUEST_INTERRUPT_STATUS));
    hide(VX_POSTED_INTERRUPTS);
    assert_int_equal(high(caps.pin) & PIN_POSTED_INTERRUPTS, 0);
    assert_true(high(caps.proc2) & PROC2_VIRTUAL_INTERRUPT_DELIVERY);
    hide(VX_VIRTUAL_NMIS);
    assert_int_equal(high(caps.pin) & PIN_VIRTUAL_NMIS, 0);
    assert_int_equal(high(caps.proc) & PROC_NMI_WINDOW_EXITING, 0);
    hide(VX_PREEMPTION_TIMER);
    assert_int_equal(high(caps.pin) & PIN_PREEMPTION_TIMER, 0);
    assert_int_equal(high(caps.exit) & EXITCTL_SAVE_PREEMPTION_TIMER, 0);
    cpuid.nested_hidden = BIT(VX_TSC_SCALING) | BIT(VX_IPI_VIRTUALIZATION);
    build();
    assert_int_equal(caps.vmcs_enum, 0x2e); /* VMX-preemption timer value */
    hide(VX_HLT_ACTIVITY);
    assert_int_equal(caps.misc & VMX_MISC_ACTIVITY_HLT, 0);
    hide(VX_WAIT_FOR_SIPI_ACTIVITY);
    assert_int_equal(caps.misc & VMX_MISC_ACTIVITY_SIPI, 0);
}

/* IPI virtualization and the tertiary controls: neither comes without the other, or without posted
 * interrupts.
 */
static void test_ipi_virtualization(void **state)
{
    static const u8 names[] = {VX_IPI_VIRTUALIZATION,         VX_TERTIARY_CONTROLS, VX_POSTED_INTERRUPTS,
                               VX_VIRTUAL_INTERRUPT_DELIVERY, VX_TPR_SHADOW,        VX_SECONDARY_CONTROLS};

    (void)state;
    host.true_proc &= ~((u64)PROC_ACTIVATE_TERTIARY << 32);
    host.proc3 = 0;
    build();
    assert_true(high(caps.proc) & PROC_ACTIVATE_TERTIARY);
    assert_int_equal(caps.proc3, PROC3_IPI_VIRTUALIZATION);
    assert_true(vmcs_field_exists(&caps, VI_PID_POINTER_TABLE) &&
                vmcs_field_exists(&caps, VI_LAST_PID_POINTER_INDEX) &&
                vmcs_field_exists(&caps, VI_TERTIARY_CONTROLS));
    for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
        hide(names[i]);
        assert_int_equal(high(caps.proc) & PROC_ACTIVATE_TERTIARY, 0);
        assert_int_equal(caps.proc3, 0);
        assert_false(vmcs_field_exists(&caps, VI_PID_POINTER_TABLE) ||
                     vmcs_field_exists(&caps, VI_LAST_PID_POINTER_INDEX) ||
                     vmcs_field_exists(&caps, VI_TERTIARY_CONTROLS));
    }
}

static void test_hide_true_controls(void **state)
{
    (void)state;
    hide(VX_TRUE_CONTROLS);
    assert_int_equal(caps.basic & VMX_BASIC_TRUE_CONTROLS, 0);
    assert_int_equal(caps.true_pin | caps.true_proc | caps.true_exit | caps.true_entry, 0);
    assert_int_equal(vmx_allowed0(&caps, VMX_WORD_PROC), 0x0401e172);
}

/* Exits must say whether an address is one of user mode. */
static void test_mode_based_without_advanced_information(void **state)
{
    (void)state;
    host.ept_vpid &= ~(u64)EPT_CAP_ADVANCED_EXIT_INFO;
    build();
    assert_int_equal(high(caps.proc2) & PROC2_MODE_BASED_EXECUTE, 0);
    assert_int_equal(caps.ept_vpid & EPT_CAP_ADVANCED_EXIT_INFO, 0);
}

/* What is not offered cannot be hidden any more than that, and hiding never brings something. */
static void test_hide_each(void **state)
{
    (void)state;
    for (u32 name = 0; name < VX_NONE; name++) {
        struct vmx_caps all;

        start(NULL);
        build();
        all = caps;
        hide(name);
        assert_int_equal(caps.basic & ~all.basic, 0);
        assert_int_equal(caps.misc & ~all.misc, 0);
        assert_int_equal(caps.ept_vpid & ~all.ept_vpid, 0);
        assert_int_equal(caps.vmfunc & ~all.vmfunc, 0);
        for (u32 word = 0; word < VMX_NR_WORDS; word++) {
            assert_int_equal(vmx_allowed1(&caps, word) & ~vmx_allowed1(&all, word), 0);
            assert_int_equal(vmx_allowed0(&caps, word) & ~vmx_allowed1(&caps, word), 0);
        }
    }
}

static void test_hidden_instructions(void **state)
{
    (void)state;
    cpuid.vmx_hidden = BIT(VF_RDTSCP) | BIT(VF_XSAVES);
    build();
    assert_int_equal(high(caps.proc2) & (PROC2_ENABLE_RDTSCP | PROC2_ENABLE_XSAVES), 0);
    assert_true(high(caps.proc2) & PROC2_ENABLE_INVPCID);
    assert_false(vmcs_field_exists(&caps, VI_XSS_EXITING_BITMAP));
}

static void report(void *ctx, const char *line)
{
    (void)ctx;
    fail_msg("%s", line);
}

/* Nidus itself can be L1. */
static void test_nidus_runs_on_it(void **state)
{
    struct vmx_features f;

    (void)state;
    build();
    assert_true(vmx_negotiate(&caps, &f, report, NULL));
    assert_true(vmx_has(&f, VF_VPID) && vmx_has(&f, VF_PREEMPTION_TIMER) && vmx_has(&f, VF_PAT));
    nested_caps_build(&host, &caps, &cpuid);
    assert_memory_equal(&host, &caps, sizeof(caps)); /* and so on, any number of times */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_full_cpu, start),
        cmocka_unit_test_setup(test_default1, start),
        cmocka_unit_test_setup(test_control_registers, start),
        cmocka_unit_test_setup(test_emulated, start),
        cmocka_unit_test_setup(test_each_control_missing, start),
        cmocka_unit_test_setup(test_names_are_whole, start),
        cmocka_unit_test_setup(test_hide, start),
        cmocka_unit_test_setup(test_ipi_virtualization, start),
        cmocka_unit_test_setup(test_hide_true_controls, start),
        cmocka_unit_test_setup(test_mode_based_without_advanced_information, start),
        cmocka_unit_test_setup(test_hide_each, start),
        cmocka_unit_test_setup(test_hidden_instructions, start),
        cmocka_unit_test_setup(test_nidus_runs_on_it, start),
    };

    return cmocka_run_group_tests_name("nested_caps", tests, NULL, NULL);
}
