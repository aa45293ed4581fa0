/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_negotiate.c arch/x86/vmx_names.c lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/good_caps.h"

#define HIGH(control) ((u64)(control) << 32)

/* Lines that the negotiation reports. */
struct lines {
    u32 nr;
    char text[80][160];
};

static void collect(void *ctx, const char *line)
{
    struct lines *l = ctx;

    assert_true(l->nr < ARRAY_SIZE(l->text));
    assert_true(strlen(line) < sizeof(l->text[0]) - 1);
    strcpy(l->text[l->nr++], line);
}

static bool negotiate(const struct vmx_caps *c, struct vmx_features *f, struct lines *l)
{
    l->nr = 0;
    return vmx_negotiate(c, f, collect, l);
}

static void test_everything_granted(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    assert_true(negotiate(&c, &f, &l));
    assert_int_equal(l.nr, 0);
    assert_int_equal(f.granted, BIT(VMX_NR_FEATURES) - 1);
    assert_int_equal(f.word[VMX_WORD_PIN], PIN_DEFAULT1 | PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING |
                                               PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER);
    assert_int_equal(f.word[VMX_WORD_PROC], PROC_DEFAULT1 | PROC_HLT_EXITING | PROC_CR8_LOAD_EXITING |
                                                PROC_CR8_STORE_EXITING | PROC_MWAIT_EXITING |
                                                PROC_MONITOR_EXITING | PROC_RDPMC_EXITING |
                                                PROC_USE_MSR_BITMAPS | PROC_USE_IO_BITMAPS |
                                                PROC_USE_TSC_OFFSETTING | PROC_ACTIVATE_SECONDARY);
    assert_int_equal(f.word[VMX_WORD_PROC2], PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST | PROC2_ENABLE_VPID |
                                                 PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID |
                                                 PROC2_ENABLE_XSAVES | PROC2_WBINVD_EXITING |
                                                 PROC2_PAUSE_LOOP_EXITING | PROC2_USER_WAIT_AND_PAUSE);
    assert_int_equal(f.word[VMX_WORD_PROC3], 0);
    assert_int_equal(f.word[VMX_WORD_EXIT], EXITCTL_DEFAULT1 | EXITCTL_HOST_ADDRESS_SPACE_SIZE |
                                                EXITCTL_ACK_INTERRUPT_ON_EXIT | EXITCTL_SAVE_EFER |
                                                EXITCTL_LOAD_EFER | EXITCTL_SAVE_PAT | EXITCTL_LOAD_PAT |
                                                EXITCTL_SAVE_DEBUG_CONTROLS | EXITCTL_SAVE_PREEMPTION_TIMER);
    assert_int_equal(f.word[VMX_WORD_EXIT2], 0);
    assert_int_equal(f.word[VMX_WORD_ENTRY], ENTRYCTL_DEFAULT1 | ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT |
                                                 ENTRYCTL_LOAD_DEBUG_CONTROLS);
}

/* Takes one control away from the good CPU. */
static void remove_control(struct vmx_caps *c, enum vmx_word word, u64 control)
{
    u64 *msrs[] = {&c->true_pin,  &c->true_proc, &c->proc2,     &c->proc3,
                   &c->true_exit, &c->exit2,     &c->true_entry};

    *msrs[word] &= ~(word == VMX_WORD_PROC3 || word == VMX_WORD_EXIT2 ? control : HIGH(control));
}

static void test_required(void **state)
{
    static const struct {
        enum vmx_word word;
        u64 control;
        const char *line;
    } cases[] = {
        {VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING,
         "needs external-interrupt exiting: IA32_VMX_TRUE_PINBASED_CTLS[32]"},
        {VMX_WORD_PIN, PIN_NMI_EXITING, "needs NMI exiting: IA32_VMX_TRUE_PINBASED_CTLS[35]"},
        {VMX_WORD_PROC, PROC_INTERRUPT_WINDOW_EXITING,
         "needs interrupt-window exiting: IA32_VMX_TRUE_PROCBASED_CTLS[34]"},
        {VMX_WORD_PROC, PROC_HLT_EXITING, "needs HLT exiting: IA32_VMX_TRUE_PROCBASED_CTLS[39]"},
        {VMX_WORD_PROC, PROC_USE_TSC_OFFSETTING,
         "needs use TSC offsetting: IA32_VMX_TRUE_PROCBASED_CTLS[35]"},
        {VMX_WORD_PROC, PROC_CR8_LOAD_EXITING, "needs CR8-load exiting: IA32_VMX_TRUE_PROCBASED_CTLS[51]"},
        {VMX_WORD_PROC, PROC_CR8_STORE_EXITING, "needs CR8-store exiting: IA32_VMX_TRUE_PROCBASED_CTLS[52]"},
        {VMX_WORD_PROC, PROC_MWAIT_EXITING, "needs MWAIT exiting: IA32_VMX_TRUE_PROCBASED_CTLS[42]"},
        {VMX_WORD_PROC, PROC_MONITOR_EXITING, "needs MONITOR exiting: IA32_VMX_TRUE_PROCBASED_CTLS[61]"},
        {VMX_WORD_PROC, PROC_RDPMC_EXITING, "needs RDPMC exiting: IA32_VMX_TRUE_PROCBASED_CTLS[43]"},
        {VMX_WORD_PROC, PROC_USE_MSR_BITMAPS, "needs use MSR bitmaps: IA32_VMX_TRUE_PROCBASED_CTLS[60]"},
        {VMX_WORD_PROC, PROC_USE_IO_BITMAPS, "needs use I/O bitmaps: IA32_VMX_TRUE_PROCBASED_CTLS[57]"},
        {VMX_WORD_PIN, PIN_VIRTUAL_NMIS, "needs virtual NMIs: IA32_VMX_TRUE_PINBASED_CTLS[37]"},
        {VMX_WORD_PROC, PROC_NMI_WINDOW_EXITING,
         "needs NMI-window exiting: IA32_VMX_TRUE_PROCBASED_CTLS[54]"},
        {VMX_WORD_PROC2, PROC2_ENABLE_EPT, "needs enable EPT: IA32_VMX_PROCBASED_CTLS2[33]"},
        {VMX_WORD_PROC2, PROC2_UNRESTRICTED_GUEST, "needs unrestricted guest: IA32_VMX_PROCBASED_CTLS2[39]"},
        {VMX_WORD_EXIT, EXITCTL_HOST_ADDRESS_SPACE_SIZE,
         "needs host address-space size: IA32_VMX_TRUE_EXIT_CTLS[41]"},
        {VMX_WORD_EXIT, EXITCTL_ACK_INTERRUPT_ON_EXIT,
         "needs acknowledge interrupt on exit: IA32_VMX_TRUE_EXIT_CTLS[47]"},
        {VMX_WORD_EXIT, EXITCTL_SAVE_EFER, "needs save IA32_EFER on exit: IA32_VMX_TRUE_EXIT_CTLS[52]"},
        {VMX_WORD_EXIT, EXITCTL_LOAD_EFER, "needs load IA32_EFER on exit: IA32_VMX_TRUE_EXIT_CTLS[53]"},
        {VMX_WORD_ENTRY, ENTRYCTL_LOAD_EFER, "needs load IA32_EFER on entry: IA32_VMX_TRUE_ENTRY_CTLS[47]"},
        {VMX_WORD_ENTRY, ENTRYCTL_IA32E_MODE_GUEST, "needs IA-32e mode guest: IA32_VMX_TRUE_ENTRY_CTLS[41]"},
    };
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        good_caps(&c);
        remove_control(&c, cases[i].word, cases[i].control);
        assert_false(negotiate(&c, &f, &l));
        assert_int_equal(l.nr, 1);
        assert_string_equal(l.text[0], cases[i].line);
        assert_int_equal(f.word[cases[i].word] & cases[i].control, 0);
    }
}

static void test_required_ept(void **state)
{
    static const struct {
        u64 bit;
        const char *line;
    } cases[] = {
        {EPT_CAP_WALK_4, "needs EPT page-walk length of 4: IA32_VMX_EPT_VPID_CAP[6]"},
        {EPT_CAP_WB, "needs write-back EPT paging structures: IA32_VMX_EPT_VPID_CAP[14]"},
        {EPT_CAP_INVEPT, "needs INVEPT: IA32_VMX_EPT_VPID_CAP[20]"},
        {EPT_CAP_INVEPT_ALL, "needs all-context INVEPT: IA32_VMX_EPT_VPID_CAP[26]"},
    };
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        good_caps(&c);
        c.ept_vpid &= ~cases[i].bit;
        assert_false(negotiate(&c, &f, &l));
        assert_int_equal(l.nr, 1);
        assert_string_equal(l.text[0], cases[i].line);
        assert_false(vmx_has(&f, VF_EPT));
    }
}

/* An MSR that does not exist is not asked for bit by bit. */
static void test_no_secondary_controls(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    remove_control(&c, VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY);
    c.proc2 = c.ept_vpid = 0;
    assert_false(negotiate(&c, &f, &l));
    assert_int_equal(l.nr, 1);
    assert_string_equal(l.text[0], "needs activate secondary controls: IA32_VMX_TRUE_PROCBASED_CTLS[63]");
}

/* As KVM shows it with ept=0: the MSR is there, for VPIDs. */
static void test_no_ept(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    remove_control(&c, VMX_WORD_PROC2, PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST);
    c.ept_vpid &= VPID_CAP_INVVPID | VPID_CAP_INVVPID_SINGLE | VPID_CAP_INVVPID_ALL;
    assert_false(negotiate(&c, &f, &l));
    assert_int_equal(l.nr, 1);
    assert_string_equal(l.text[0], "needs enable EPT: IA32_VMX_PROCBASED_CTLS2[33]");
}

static void test_plain_msr_is_named(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    c.basic &= ~VMX_BASIC_TRUE_CONTROLS;
    c.pin &= ~HIGH(PIN_NMI_EXITING);
    assert_false(negotiate(&c, &f, &l));
    assert_int_equal(l.nr, 3);
    assert_string_equal(l.text[0], "needs NMI exiting: IA32_VMX_PINBASED_CTLS[35]");
    assert_string_equal(l.text[1], "cannot leave CR3-load exiting off: IA32_VMX_PROCBASED_CTLS[15]");
    assert_string_equal(l.text[2], "cannot leave CR3-store exiting off: IA32_VMX_PROCBASED_CTLS[16]");
}

/* What is wanted and missing is neither granted nor set, the other half of a pair included. */
static void test_wanted(void **state)
{
    static const struct {
        enum vmx_word word;
        u64 control;
        enum vmx_feature feature;
        u64 others; /* fall with it */
    } cases[] = {
        {VMX_WORD_PIN, PIN_PREEMPTION_TIMER, VF_PREEMPTION_TIMER, 0},
        {VMX_WORD_EXIT, EXITCTL_SAVE_PREEMPTION_TIMER, VF_PREEMPTION_TIMER, 0},
        {VMX_WORD_PROC2, PROC2_ENABLE_RDTSCP, VF_RDTSCP, 0},
        {VMX_WORD_PROC2, PROC2_ENABLE_INVPCID, VF_INVPCID, 0},
        {VMX_WORD_PROC2, PROC2_ENABLE_XSAVES, VF_XSAVES, 0},
        {VMX_WORD_PROC2, PROC2_WBINVD_EXITING, VF_WBINVD_EXITING, 0},
        {VMX_WORD_PROC2, PROC2_USE_TSC_SCALING, VF_TSC_SCALING, 0},
        {VMX_WORD_EXIT, EXITCTL_SAVE_PAT, VF_PAT, 0},
        {VMX_WORD_EXIT, EXITCTL_LOAD_PAT, VF_PAT, 0},
        {VMX_WORD_ENTRY, ENTRYCTL_LOAD_PAT, VF_PAT, 0},
        {VMX_WORD_ENTRY, ENTRYCTL_LOAD_DEBUG_CONTROLS, VF_DEBUG_CONTROLS, 0},
        {VMX_WORD_PROC2, PROC2_USER_WAIT_AND_PAUSE, VF_USER_WAIT, 0},
        {VMX_WORD_PROC, PROC_MONITOR_TRAP_FLAG, VF_MONITOR_TRAP_FLAG, 0},
        {VMX_WORD_PROC2, PROC2_VIRTUALIZE_APIC_ACCESSES, VF_VIRTUALIZE_APIC_ACCESSES, 0},
        {VMX_WORD_PROC2, PROC2_VIRTUAL_INTERRUPT_DELIVERY, VF_VIRTUAL_INTERRUPT_DELIVERY,
         BIT(VF_POSTED_INTERRUPTS) | BIT(VF_IPI_VIRTUALIZATION)},
        {VMX_WORD_PIN, PIN_POSTED_INTERRUPTS, VF_POSTED_INTERRUPTS, BIT(VF_IPI_VIRTUALIZATION)},
        {VMX_WORD_PROC3, PROC3_IPI_VIRTUALIZATION, VF_IPI_VIRTUALIZATION, 0},
        {VMX_WORD_PROC2, PROC2_ENABLE_PML, VF_PML, 0},
        {VMX_WORD_PROC2, PROC2_PAUSE_LOOP_EXITING, VF_PAUSE_LOOP_EXITING, 0},
        {VMX_WORD_PROC2, PROC2_VMCS_SHADOWING, VF_VMCS_SHADOWING, 0},
        {VMX_WORD_PROC2, PROC2_DESCRIPTOR_TABLE_EXITING, VF_DESCRIPTOR_TABLE_EXITING, 0},
        {VMX_WORD_PROC2, PROC2_ENABLE_ENCLS_EXITING, VF_ENCLS_EXITING, 0},
        {VMX_WORD_PROC2, PROC2_MODE_BASED_EXECUTE, VF_MODE_BASED_EXECUTE, 0},
    };
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        good_caps(&c);
        remove_control(&c, cases[i].word, cases[i].control);
        assert_true(negotiate(&c, &f, &l));
        assert_int_equal(l.nr, 0);
        assert_int_equal(f.granted, (BIT(VMX_NR_FEATURES) - 1) & ~(BIT(cases[i].feature) | cases[i].others));
        for (u32 word = 0; word < VMX_NR_WORDS; word++)
            assert_int_equal(f.word[word] & ~vmx_allowed1(&c, word), 0);
    }
}

/* The preemption timer without saving it is left off, VPID without the instruction that flushes it too. */
static void test_halves(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    remove_control(&c, VMX_WORD_EXIT, EXITCTL_SAVE_PREEMPTION_TIMER);
    assert_true(negotiate(&c, &f, &l));
    assert_int_equal(f.word[VMX_WORD_PIN] & PIN_PREEMPTION_TIMER, 0);

    good_caps(&c);
    c.ept_vpid &= ~VPID_CAP_INVVPID_SINGLE;
    assert_true(negotiate(&c, &f, &l));
    assert_false(vmx_has(&f, VF_VPID));
    assert_false(vmx_has(&f, VF_INVVPID_ADDRESS));
    assert_int_equal(f.word[VMX_WORD_PROC2] & PROC2_ENABLE_VPID, 0);

    good_caps(&c);
    remove_control(&c, VMX_WORD_PROC, PROC_USE_TPR_SHADOW);
    assert_true(negotiate(&c, &f, &l));
    assert_false(vmx_has(&f, VF_VIRTUALIZE_X2APIC));
    assert_false(vmx_has(&f, VF_APIC_REGISTER_VIRTUALIZATION));
    assert_false(vmx_has(&f, VF_POSTED_INTERRUPTS));
    assert_true(vmx_has(&f, VF_VIRTUALIZE_APIC_ACCESSES));
}

/* What is set, what is set later, and not what is only known to be there, or of no use here. */
static void test_used(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    c.ept_vpid &= ~VPID_CAP_INVVPID_SINGLE;
    assert_true(negotiate(&c, &f, &l));
    assert_int_equal(vmx_used(&f, VMX_WORD_PIN),
                     (f.word[VMX_WORD_PIN] | PIN_POSTED_INTERRUPTS) & ~(u64)PIN_DEFAULT1);
    assert_true(vmx_used(&f, VMX_WORD_PROC) & PROC_NMI_WINDOW_EXITING);
    assert_false(vmx_used(&f, VMX_WORD_PROC2) & (PROC2_ENABLE_PML | PROC2_ENABLE_VPID));
    assert_int_equal(vmx_used(&f, VMX_CAP_EPT_VPID) & (EPT_CAP_2M | EPT_CAP_EXECUTE_ONLY | VPID_CAP_INVVPID),
                     EPT_CAP_2M);
    assert_int_equal(vmx_used(&f, VMX_CAP_MISC), 0);
    assert_int_equal(vmx_available(&c, VMX_CAP_MISC), c.misc);
    assert_int_equal(vmx_available(&c, VMX_WORD_PROC3), c.proc3);
}

static void test_capability_bits(void **state)
{
    static const struct {
        u64 bit;
        enum vmx_feature feature;
        bool misc;
    } cases[] = {
        {EPT_CAP_2M, VF_EPT_2M, false},
        {EPT_CAP_1G, VF_EPT_1G, false},
        {EPT_CAP_ACCESSED_DIRTY, VF_EPT_ACCESSED_DIRTY, false},
        {EPT_CAP_EXECUTE_ONLY, VF_EPT_EXECUTE_ONLY, false},
        {EPT_CAP_ADVANCED_EXIT_INFO, VF_EPT_ADVANCED_EXIT_INFO, false},
        {EPT_CAP_INVEPT_SINGLE, VF_INVEPT_SINGLE, false},
        {VPID_CAP_INVVPID_ADDRESS, VF_INVVPID_ADDRESS, false},
        {VPID_CAP_INVVPID_KEEP_GLOBAL, VF_INVVPID_KEEP_GLOBAL, false},
        {VMX_MISC_ACTIVITY_HLT, VF_HLT_ACTIVITY, true},
        {VMX_MISC_ACTIVITY_SIPI, VF_WAIT_FOR_SIPI_ACTIVITY, true},
    };
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        good_caps(&c);
        assert_true(negotiate(&c, &f, &l));
        assert_true(vmx_has(&f, cases[i].feature));
        *(cases[i].misc ? &c.misc : &c.ept_vpid) &= ~cases[i].bit;
        assert_true(negotiate(&c, &f, &l));
        assert_false(vmx_has(&f, cases[i].feature));
    }
}

/* Controls that cannot be off are refused unless Nidus sets them anyway; bits without a name too. */
static void test_must_be_1(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    c.true_pin |= PIN_NMI_EXITING;
    c.proc2 |= PROC2_WBINVD_EXITING;
    assert_true(negotiate(&c, &f, &l));

    c.true_proc |= PROC_CR3_LOAD_EXITING;
    c.proc2 |= HIGH(BIT(29)) | BIT(29);
    assert_false(negotiate(&c, &f, &l));
    assert_int_equal(l.nr, 2);
    assert_string_equal(l.text[0], "cannot leave CR3-load exiting off: IA32_VMX_TRUE_PROCBASED_CTLS[15]");
    assert_string_equal(l.text[1], "does not know bit 29, which must be 1: IA32_VMX_PROCBASED_CTLS2[29]");
    assert_true(f.word[VMX_WORD_PROC2] & BIT(29));
}

static void test_feature_control(void **state)
{
    static struct lines l;
    struct vmx_features f;
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    c.feature_control = 0;
    assert_true(negotiate(&c, &f, &l));
    c.feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_INSIDE_SMX;
    assert_false(negotiate(&c, &f, &l));
    assert_int_equal(l.nr, 1);
    assert_string_equal(l.text[0], "needs VT-x, which the firmware has locked off: IA32_FEATURE_CONTROL[2]; "
                                   "enable VT-x (Intel Virtualization Technology) in the firmware's setup");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_granted),
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_required_ept),
        cmocka_unit_test(test_no_secondary_controls),
        cmocka_unit_test(test_no_ept),
        cmocka_unit_test(test_plain_msr_is_named),
        cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_used),
        cmocka_unit_test(test_capability_bits),
        cmocka_unit_test(test_must_be_1),
        cmocka_unit_test(test_feature_control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
