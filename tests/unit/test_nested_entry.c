/* SPDX-License-Identifier: MIT */
/* VM entries from L1 to L2: how they fail, what starts with them, and when the next may be a quick one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

#include "vmm/nested/entry.c"

static struct {
    u32 stage, part_stage, part, qualification; /* of the checks */
    u32 failed_msr, filled, inherited, refreshed, synced, skipped, loaded_host, followed, prepared;
    u32 vmfail;
    bool no_page, continues;
    u64 efer, pat; /* that an exit would leave alone */
    u64 tsc;       /* what the MSR-load area makes of the offset */
} low;

#define LINKED 0x1000u

static u32 link_revision;

enum entry_stage entry_check(const struct vmcs_image *vmcs, const struct entry_env *env,
                             struct entry_verdict *out)
{
    assert_ptr_equal(vmcs, &nested.vmcs12.image);
    assert_int_equal(env->long_mode, 1);
    assert_int_equal(low.synced, 1); /* not before */
    *out = (struct entry_verdict){.stage = (enum entry_stage)low.stage, .qualification = low.qualification};
    return out->stage;
}

enum entry_stage entry_check_part(const struct vmcs_image *vmcs, const struct entry_env *env,
                                  enum entry_part part, struct entry_verdict *out)
{
    assert_ptr_equal(vmcs, &nested.vmcs12.image);
    assert_int_equal(env->linear_bits, 48);
    low.part = part;
    out->stage = (enum entry_stage)low.part_stage;
    return out->stage;
}

char *entry_verdict_text(char *text, size_t size, const struct entry_verdict *why,
                         const struct vmcs_image *vmcs)
{
    (void)why, (void)vmcs, (void)size;
    return text;
}

enum log_level log_get_level(void)
{
    return LOG_INFO;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level;
    fail_msg("%s", fmt);
}

const char *vcpu_may_report(struct vcpu *v)
{
    (void)v;
    return NULL;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    (void)of;
    assert_int_equal(n, sizeof(link_revision));
    if (gpa != LINKED)
        return ERR_RANGE;
    memcpy(to, &link_revision, n);
    return OK;
}

void observe_check(struct vcpu *v, const struct entry_verdict *why)
{
    (void)v, (void)why;
    fail();
}

bool nested_page(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    (void)v;
    *pa = gpa1;
    return !low.no_page;
}

bool nested_page_or_none(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    return nested_page(v, gpa1, pa);
}

void nested_switch(struct vcpu *v, bool l2)
{
    (void)v;
    in_l2(l2);
}

void nested_sync(struct vcpu *v)
{
    v->nested->synced = true;
    low.synced++;
}

void nested_shadow(struct vcpu *v, bool on)
{
    assert_false(on);
    v->nested->shadowing = false;
}

void vmcs02_fill(struct vcpu *v, const struct vmcs01_state *l1)
{
    assert_true(v->nested->in_l2);
    assert_int_equal(l1->efer, EFER_LMA);
    assert_int_equal(l1->pat, 0x11);
    assert_int_equal(l1->dr7, 0x22);
    assert_int_equal(l1->debugctl, 0x33);
    low.filled++;
}

void vmcs02_inherit(struct vcpu *v, const struct vmcs01_state *l1)
{
    assert_true(v->nested->in_l2);
    assert_int_equal(l1->pat, 0x11);
    low.inherited++;
}

void vmcs02_refresh(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    low.refreshed++;
}

void vmcs02_follow_tsc(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    low.followed++;
}

void nested_prepare_exit(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    low.prepared++;
}

void nested_prepare_routes(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
}

u32 nested_load_entry_msrs(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    return low.failed_msr;
}

void nested_load_host(struct vcpu *v, u64 efer, u64 pat)
{
    assert_false(v->nested->in_l2);
    low.efer = efer;
    low.pat = pat;
    low.loaded_host++;
}

void nested_vmfail(struct vcpu *v, enum vmx_instruction_error error)
{
    (void)v;
    low.vmfail = error;
}

void vcpu_skip_instruction(struct vcpu *v)
{
    (void)v;
    low.skipped++;
}

bool vcpu_continue(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    return low.continues;
}

#define NO_PART (~0u) /* nothing but RIP was looked at */

#define ENTRY (ENTRYCTL_DEFAULT1 | ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_DEBUG_CONTROLS)

static struct lapic apic;

/* L1 at VMRESUME. */
static void start_l1(void)
{
    start_l2();
    in_l2(false);
    memset(&low, 0, sizeof(low));
    vcpu.lapic = &apic;
    low.continues = true;
    low.part = NO_PART;
    vmcs01[GUEST_IA32_EFER] = EFER_LMA;
    vmcs01[GUEST_IA32_PAT] = 0x11;
    vmcs01[GUEST_DR7] = 0x22;
    vmcs01[GUEST_IA32_DEBUGCTL] = 0x33;
    L1_SAYS(PRIMARY_CONTROLS) = PROC_DEFAULT1 | (u64)PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_ENABLE_EPT;
    L1_SAYS(ENTRY_CONTROLS) = ENTRY | ENTRYCTL_IA32E_MODE_GUEST;
    L1_SAYS(PRIMARY_EXIT_CONTROLS) =
        EXITCTL_DEFAULT1 | EXITCTL_SAVE_DEBUG_CONTROLS | EXITCTL_SAVE_EFER | EXITCTL_SAVE_PAT;
    L1_SAYS(GUEST_CR0) = CR0_PE | (u64)CR0_PG;
    L1_SAYS(GUEST_CR4) = CR4_PAE;
    L1_SAYS(VMCS_LINK_POINTER) = ~0ull;
}

/* One whole entry is behind L1, and an exit. */
static void start_quick(void)
{
    start_l1();
    nested_enter(&vcpu);
    assert_true(nested.checked);
    in_l2(false);
    low.synced = 0;
}

/* --- failures --- */

static void expect_vmfail(u32 error)
{
    assert_false(nested_enter(&vcpu));
    assert_false(nested.in_l2 || nested.checked);
    assert_int_equal(low.vmfail, error);
    assert_int_equal(low.skipped, 1);
    assert_int_equal(low.loaded_host + low.filled, 0);
    assert_int_equal(nested.vmcs12.launched, 0);
}

static void early_failures(void **state)
{
    (void)state;
    start_l1();
    low.stage = ENTRY_VMFAIL_CONTROLS;
    expect_vmfail(VMX_ERROR_ENTRY_CONTROLS);
    start_l1();
    low.stage = ENTRY_VMFAIL_HOST;
    expect_vmfail(VMX_ERROR_ENTRY_HOST_STATE);
    /* Pages that are not there come before the state. */
    for (u32 i = 0; i < 2; i++) {
        start_l1();
        low.no_page = true;
        low.stage = ENTRY_GUEST_STATE;
        L1_SAYS(PRIMARY_CONTROLS) |= i ? PROC_USE_TPR_SHADOW : 0;
        L1_SAYS(SECONDARY_CONTROLS) |= i ? 0 : PROC2_VIRTUALIZE_APIC_ACCESSES;
        expect_vmfail(VMX_ERROR_ENTRY_CONTROLS);
    }
}

static void expect_late(u32 reason, u64 qualification)
{
    assert_false(nested_enter(&vcpu));
    assert_false(nested.in_l2 || nested.checked || nested.shadowing);
    assert_int_equal(L1_SAYS(EXIT_REASON), reason | EXIT_REASON_ENTRY_FAILURE);
    assert_int_equal(L1_SAYS(EXIT_QUALIFICATION), qualification);
    assert_int_equal(low.loaded_host, 1);
    assert_int_equal(low.skipped + low.vmfail, 0);
    assert_int_equal(nested.vmcs12.launched, 0);
}

static void late_failures(void **state)
{
    (void)state;
    start_l1();
    nested.shadowing = true;
    low.stage = ENTRY_GUEST_STATE;
    low.qualification = ENTRY_FAIL_LINK_POINTER;
    expect_late(EXIT_REASON_ENTRY_FAILURE_GUEST_STATE, ENTRY_FAIL_LINK_POINTER);
    assert_int_equal(low.efer, EFER_LMA); /* L1's */
    assert_int_equal(low.pat, 0x11);
    start_l1();
    low.failed_msr = 3;
    vmcs02[GUEST_IA32_EFER] = EFER_LMA | EFER_NXE;
    vmcs02[GUEST_IA32_PAT] = 0x44;
    expect_late(EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, 3);
    assert_int_equal(low.efer, EFER_LMA | EFER_NXE); /* L2's, which have been loaded */
    assert_int_equal(low.pat, 0x44);
}

static void msr_load_area_may_move_the_tsc(void **state)
{
    (void)state;
    for (u32 count = 0; count < 2; count++) {
        start_l1();
        L1_SAYS(ENTRY_MSR_LOAD_COUNT) = count;
        nested_enter(&vcpu);
        assert_int_equal(low.followed, count);
    }
}

/* --- what starts --- */

static void events(void **state)
{
    (void)state;
    for (u32 quick = 0; quick < 2; quick++) {
        quick ? start_quick() : start_l1();
        L1_SAYS(ENTRY_INTERRUPTION_INFO) =
            INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_PF) | (u32)INTR_INFO_DELIVER_ERROR;
        L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE) = 7;
        L1_SAYS(ENTRY_INSTRUCTION_LENGTH) = 2;
        nested_enter(&vcpu);
        assert_true(nested.injects && !nested.mtf && nested.in_l2);
        assert_int_equal(vmcs02[ENTRY_INTERRUPTION_INFO], L1_SAYS(ENTRY_INTERRUPTION_INFO));
        assert_int_equal(vmcs02[ENTRY_EXCEPTION_ERROR_CODE], 7);
        assert_int_equal(vmcs02[ENTRY_INSTRUCTION_LENGTH], 2);
        assert_int_equal(nested.vmcs12.launched, 1);
        /* A pending MTF VM exit is no event. */
        quick ? start_quick() : start_l1();
        L1_SAYS(ENTRY_INTERRUPTION_INFO) = INTR_INFO(INTR_TYPE_OTHER_EVENT, 0);
        assert_false(nested_enter(&vcpu));
        assert_true(!nested.injects && nested.mtf);
        assert_int_equal(vmcs02[ENTRY_INTERRUPTION_INFO], 0);
    }
}

static void activity(void **state)
{
    static const struct {
        u64 state, info;
        enum vcpu_activity wanted;
    } rows[] = {
        {ACTIVITY_ACTIVE, 0, VCPU_ACTIVE},
        {ACTIVITY_HLT, 0, VCPU_HALTED},
        {ACTIVITY_HLT, INTR_INFO(INTR_TYPE_EXTERNAL, 0x30), VCPU_ACTIVE},
        {ACTIVITY_HLT, INTR_INFO(INTR_TYPE_NMI, VEC_NMI), VCPU_ACTIVE},
        {ACTIVITY_HLT, INTR_INFO(INTR_TYPE_OTHER_EVENT, 0), VCPU_HALTED},
        {ACTIVITY_WAIT_FOR_SIPI, 0, VCPU_WAIT_SIPI},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 quick = 0; quick < 2; quick++) {
            quick ? start_quick() : start_l1();
            L1_SAYS(GUEST_ACTIVITY_STATE) = rows[i].state;
            L1_SAYS(ENTRY_INTERRUPTION_INFO) = rows[i].info;
            vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS] = PENDING_DEBUG_BS;
            assert_int_equal(nested_enter(&vcpu), quick && rows[i].wanted == VCPU_ACTIVE);
            assert_int_equal(vcpu.activity, rows[i].wanted);
            assert_int_equal(vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS],
                             rows[i].wanted == VCPU_WAIT_SIPI ? 0 : PENDING_DEBUG_BS);
        }
}

static void preemption_timer(void **state)
{
    (void)state;
    for (u32 quick = 0; quick < 2; quick++) {
        quick ? start_quick() : start_l1();
        vmx_caps.misc |= 5;
        L1_SAYS(PREEMPTION_TIMER_VALUE) = 0xffffffff;
        nested_enter(&vcpu);
        assert_int_equal(nested.timer_end, ~0ull);
        quick ? start_quick() : start_l1();
        vmx_caps.misc |= 5;
        L1_SAYS(PREEMPTION_TIMER_VALUE) = 0xffffffff;
        L1_SAYS(PIN_BASED_CONTROLS) |= PIN_PREEMPTION_TIMER;
        nested_enter(&vcpu);
        assert_int_equal(nested.timer_end, now + (0xffffffffull << 5));
    }
    start_l1();
    L1_SAYS(PIN_BASED_CONTROLS) |= PIN_PREEMPTION_TIMER;
    L1_SAYS(GUEST_ACTIVITY_STATE) = ACTIVITY_WAIT_FOR_SIPI;
    nested_enter(&vcpu);
    assert_int_equal(nested.timer_end, ~0ull);
}

/* --- quick entries --- */

static void no_ept(void)
{
    L1_SAYS(SECONDARY_CONTROLS) = 0;
}

static void not_ia32e(void)
{
    L1_SAYS(ENTRY_CONTROLS) &= ~(u64)ENTRYCTL_IA32E_MODE_GUEST;
}

static void no_pae(void)
{
    not_ia32e();
    L1_SAYS(GUEST_CR4) = 0;
}

static void no_pae_no_ept(void)
{
    no_pae();
    no_ept();
}

static void no_load_efer(void)
{
    L1_SAYS(ENTRY_CONTROLS) &= ~(u64)ENTRYCTL_LOAD_EFER;
}

static void no_load_pat(void)
{
    L1_SAYS(ENTRY_CONTROLS) &= ~(u64)ENTRYCTL_LOAD_PAT;
}

static void no_load_debug(void)
{
    L1_SAYS(ENTRY_CONTROLS) &= ~(u64)ENTRYCTL_LOAD_DEBUG_CONTROLS;
}

static void no_save_debug(void)
{
    L1_SAYS(PRIMARY_EXIT_CONTROLS) &= ~(u64)EXITCTL_SAVE_DEBUG_CONTROLS;
}

static void msr_area(void)
{
    L1_SAYS(ENTRY_MSR_LOAD_COUNT) = 1;
}

static void tpr_shadow(void)
{
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_USE_TPR_SHADOW;
}

static void tpr_threshold(void)
{
    tpr_shadow();
    L1_SAYS(TPR_THRESHOLD) = 1;
}

static void link_pointer(void)
{
    L1_SAYS(VMCS_LINK_POINTER) = LINKED;
    link_revision = VMCS12_REVISION;
}

static void hlt(void)
{
    L1_SAYS(GUEST_ACTIVITY_STATE) = ACTIVITY_HLT;
}

static void log_of_writes(void)
{
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) |= PROC2_ENABLE_EPT | PROC2_ENABLE_PML;
    L1_SAYS(SECONDARY_CONTROLS) &= ~(u64)PROC2_ENABLE_VPID;
}

static void log_and_vpid(void)
{
    log_of_writes();
    L1_SAYS(SECONDARY_CONTROLS) |= PROC2_ENABLE_VPID;
}

static void after_a_whole_one(void **state)
{
    static const struct {
        void (*change)(void);
        bool quick, inherits;
    } rows[] = {
        {no_ept, true, false},         {not_ia32e, true, false},      {no_pae, true, false},
        {no_pae_no_ept, false, false}, {no_load_efer, true, true},    {no_load_pat, true, true},
        {no_load_debug, true, true},   {no_save_debug, true, true},   {msr_area, false, false},
        {tpr_shadow, true, false},     {tpr_threshold, false, false}, {link_pointer, true, false},
        {hlt, false, false},           {log_of_writes, false, false}, {log_and_vpid, true, false},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        start_l1();
        rows[i].change();
        nested_enter(&vcpu);
        assert_true(nested.in_l2);
        assert_int_equal(nested.checked, rows[i].quick);
        assert_int_equal(nested.inherits, rows[i].inherits);
        if (!rows[i].quick)
            continue;
        in_l2(false);
        nested_enter(&vcpu);
        assert_int_equal(low.inherited, rows[i].inherits);
    }
}

static void slow_if_something_waits(void **state)
{
    (void)state;
    start_quick();
    assert_true(nested_enter(&vcpu));
    assert_int_equal(low.refreshed, 1);
    assert_int_equal(low.filled, 1);
    for (u32 status = 0x3000; status <= 0x3041; status += 0x41) {
        start_quick();
        apic.by_cpu = true;
        vmcs01[GUEST_INTERRUPT_STATUS] = status; /* one in service is nothing that L2 could exit for */
        assert_int_equal(nested_enter(&vcpu), status == 0x3000);
        apic.by_cpu = false;
    }
    for (u32 i = 0; i < 6; i++) {
        start_quick();
        vcpu.irq_window = i == 0;
        vcpu.nmi_window = i == 1;
        vcpu.events.nmi_pending = i == 2;
        vcpu.events.exception_stage = i == 3 ? EVENT_INJECTED : EVENT_NONE;
        vcpu.events.init = i == 4; /* blocked in VMX root operation */
        low.continues = i != 5;
        assert_false(nested_enter(&vcpu));
        assert_int_equal(low.refreshed, 1);
    }
}

/* What L1 has written in the shadow VMCS, with the checks that it needs. */
static void from_the_shadow(void **state)
{
    static const struct {
        u32 field;
        u64 value;
        u32 part;
    } rows[] = {
        {GUEST_RIP, 0x1234, NO_PART},
        {GUEST_RSP, 0x1234, NO_PART},
        {GUEST_RFLAGS, RFLAGS_IF, ENTRY_EVENTS},
        {GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI, ENTRY_EVENTS},
        {ENTRY_INTERRUPTION_INFO, INTR_INFO(INTR_TYPE_EXTERNAL, 0x30), ENTRY_EVENTS},
        {ENTRY_INTERRUPTION_INFO, 0x30, NO_PART},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        start_quick();
        nested.shadowing = true;
        vmcs02[rows[i].field] = rows[i].value;
        assert_true(nested_enter(&vcpu));
        assert_int_equal(low.part, rows[i].part);
        assert_int_equal(vmcs02[rows[i].field], rows[i].value);
        assert_int_equal(nested.injects, i == 4);
    }
}

static void from_vmcs12(void **state)
{
    static const u16 place[] = {VI_GUEST_RIP, VI_GUEST_RSP},
                     event[] = {VI_GUEST_RFLAGS, VI_GUEST_INTERRUPTIBILITY_STATE, VI_ENTRY_INTERRUPTION_INFO,
                                VI_ENTRY_EXCEPTION_ERROR_CODE, VI_ENTRY_INSTRUCTION_LENGTH};

    (void)state;
    for (u32 i = 0; i < 2 + 5; i++) {
        start_quick();
        L1_SAYS(GUEST_RIP) = 1;
        L1_SAYS(GUEST_RSP) = 2;
        L1_SAYS(GUEST_RFLAGS) = 3;
        L1_SAYS(GUEST_INTERRUPTIBILITY_STATE) = 4;
        nested_quick_written(&nested, i < 2 ? place[i] : event[i - 2]);
        assert_true(nested_enter(&vcpu));
        assert_int_equal(low.part, i < 2 ? NO_PART : ENTRY_EVENTS);
        assert_int_equal(vmcs02[GUEST_RIP], i < 2 ? 1 : 0);
        assert_int_equal(vmcs02[GUEST_RSP], i < 2 ? 2 : 0);
        assert_int_equal(vmcs02[GUEST_RFLAGS], i < 2 ? 0 : 3);
        assert_int_equal(vmcs02[GUEST_INTERRUPTIBILITY_STATE], i < 2 ? 0 : 4);
        assert_int_equal(nested.quick, 0);
    }
    start_quick();
    L1_SAYS(GUEST_RIP) = 1;
    L1_SAYS(GUEST_INTERRUPT_STATUS) = 5;
    nested_quick_written(&nested, VI_GUEST_INTERRUPT_STATUS);
    assert_true(nested_enter(&vcpu));
    assert_int_equal(low.part, NO_PART);
    assert_int_equal(vmcs02[GUEST_RIP], 0);
    assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], 5);
}

/* Bits 63:32 are for 64-bit mode, and there canonical; it is vmcs02 that says which mode L2 is in. */
static void rip(void **state)
{
    static const struct {
        u64 rip;
        bool good_64, good_32;
    } rows[] = {
        {0xffffffff, true, true},           {BIT(32), true, false},
        {BIT(47) - 1, true, false},         {BIT(47), false, false},
        {0xffff800000000000, true, false},  {0xffff7fffffffffff, false, false},
        {0x7fffffffffffffff, false, false}, {~0ull, true, false},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 mode = 0; mode < 8; mode++) {
            bool l = mode & 1, ia32e = mode & 2;

            start_quick();
            nested.shadowing = mode & 4;
            vmcs02[GUEST_CS_ACCESS_RIGHTS] = l ? SEG_AR_L : 0;
            vmcs02[ENTRY_CONTROLS] = ia32e ? ENTRYCTL_IA32E_MODE_GUEST : 0;
            vmcs02[GUEST_RIP] = L1_SAYS(GUEST_RIP) = rows[i].rip;
            nested_enter(&vcpu);
            /* What is not good is left to the whole checks. */
            assert_int_equal(low.filled, (l && ia32e ? rows[i].good_64 : rows[i].good_32) ? 1 : 2);
        }
}

/* The VMCS that the link pointer refers to is looked at by each entry. */
static void linked(void **state)
{
    (void)state;
    for (u32 i = 0; i < 6; i++) {
        bool shadowing = i & 1;
        const u32 revisions[] = {VMCS12_REVISION, VMCS12_REVISION | (u32)VMCS12_SHADOW, VMCS12_REVISION + 1};

        start_l1();
        L1_SAYS(SECONDARY_CONTROLS) |= shadowing ? PROC2_VMCS_SHADOWING : 0;
        link_pointer();
        nested_enter(&vcpu);
        in_l2(false);
        nested.shadowing = true;
        link_revision = revisions[i / 2];
        low.synced = 0;
        nested_enter(&vcpu);
        assert_int_equal(low.filled, i / 2 == shadowing ? 1 : 2);
        in_l2(false);
        L1_SAYS(VMCS_LINK_POINTER) = 2 * LINKED; /* where nothing is */
        low.synced = 0;
        nested_enter(&vcpu);
        assert_int_equal(low.filled, i / 2 == shadowing ? 2 : 3);
    }
}

/* The two ways to vmcs02 leave the same behind. */
static void switches(void **state)
{
    (void)state;
    for (u32 here = 0; here < 2; here++) {
        start_quick();
        nested.shadowing = true;
        vcpu.launched = 1;
        nested.other.windows = 0x100;
        nested.other.cpu = !here;
        nested_enter(&vcpu);
        assert_true(nested.in_l2 && loaded == vmcs02);
        if (!here)
            continue; /* by nested_switch(), which is not the real one here */
        assert_false(is_clear02);
        assert_ptr_equal(vcpu.vmcs, region02);
        assert_ptr_equal(nested.other.region, region01);
        assert_int_equal(*region02, VMX_BASIC_REVISION(vmx_caps.basic));
        assert_int_equal(vcpu.launched, 0);
        assert_int_equal(nested.other.launched, 1);
        assert_int_equal(vcpu.windows, 0x100);
        assert_int_equal(nested.other.windows, 0);
    }
}

/* A check that fails is made again with all there is, and it is that which counts. */
static void quick_then_whole(void **state)
{
    (void)state;
    start_quick();
    nested_quick_written(&nested, VI_GUEST_RFLAGS);
    low.part_stage = ENTRY_GUEST_STATE;
    nested_enter(&vcpu);
    assert_true(nested.in_l2 && nested.checked);
    assert_int_equal(low.filled, 2);
    start_quick();
    nested_quick_written(&nested, VI_GUEST_RFLAGS);
    low.part_stage = low.stage = ENTRY_GUEST_STATE;
    nested_enter(&vcpu);
    assert_false(nested.in_l2 || nested.checked);
    assert_int_equal(low.loaded_host, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(early_failures),
        cmocka_unit_test(late_failures),
        cmocka_unit_test(msr_load_area_may_move_the_tsc),
        cmocka_unit_test(events),
        cmocka_unit_test(activity),
        cmocka_unit_test(preemption_timer),
        cmocka_unit_test(after_a_whole_one),
        cmocka_unit_test(slow_if_something_waits),
        cmocka_unit_test(from_the_shadow),
        cmocka_unit_test(from_vmcs12),
        cmocka_unit_test(rip),
        cmocka_unit_test(switches),
        cmocka_unit_test(linked),
        cmocka_unit_test(quick_then_whole),
    };

    return cmocka_run_group_tests_name("nested_entry", tests, NULL, NULL);
}
