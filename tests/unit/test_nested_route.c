/* SPDX-License-Identifier: MIT */
/* Exits of L2: whose each of them is, with what L1 has asked for and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"
#include "vmm/nested/route.c"

enum whose {
    NOBODYS,
    L1S,
    NIDUSES,
    AS_VIOLATION,
    AS_OTHER,
    RETRY,
    DEVICE,
    OWN_CR,
    OWN_SHADOW,
    FUNCTION,
    CALL
};

static enum whose got;
static u32 handled, requeued, unblocked, crashes, followed, syncs;
static u64 reflected;
static bool moves_rip, exits, resumes;
static struct nested_exit_info info;
static enum shadow_result shadow;

static void note(enum whose whose)
{
    assert_int_equal(got, NOBODYS);
    got = whose;
}

bool nested_reflect(struct vcpu *v)
{
    (void)v;
    note(L1S);
    return resumes;
}

bool nested_reflect_as(struct vcpu *v, u64 qualification)
{
    (void)v;
    reflected = qualification;
    note(AS_VIOLATION);
    return false;
}

void nested_exit_with(struct vcpu *v, const struct nested_exit_info *x)
{
    (void)v;
    info = *x;
    note(AS_OTHER);
}

bool vmx_exit_handle(struct vcpu *v, u32 reason)
{
    assert_ptr_equal(v, &vcpu);
    handled = reason;
    vmcs02[GUEST_RIP] += moves_rip;
    note(NIDUSES);
    return resumes;
}

bool nested_msr_exits(struct vcpu *v, u32 msr, bool write)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(msr, (u32)v->gpr[REG_RCX]);
    assert_int_equal(write, vmcs02[EXIT_REASON] == EXIT_REASON_WRMSR);
    return exits;
}

static bool ipis, sends; /* L1 has IPI virtualization; the write is one that sends an IPI */

bool nested_virtualizes_ipis(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return ipis;
}

bool nested_ipi_written(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return ipis && sends;
}

bool nested_has_own_icr(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return ipis;
}

static u32 asked; /* the bitmap, by who comes here */

/* exits: its own look at L1's bitmap finds that too. */
bool nested_ipi_msr(struct vcpu *v, bool asked_already)
{
    assert_true(ipis);
    assert_int_equal((u32)v->gpr[REG_RCX], 0x830);
    asked += asked_already;
    if (exits && !asked_already)
        return false;
    vmcs02[GUEST_RIP] += 2;
    return true;
}

bool nested_port_exits(struct vcpu *v, u16 port, u32 size)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(port, 0xcf8);
    assert_int_equal(size, 4);
    return exits;
}

bool nested_wants_cr(struct vcpu *v)
{
    (void)v;
    return exits;
}

bool nested_wants_vmread(struct vcpu *v)
{
    (void)v;
    return exits;
}

bool nested_wants_vmwrite(struct vcpu *v)
{
    (void)v;
    return exits;
}

bool nested_shadow_vmread(struct vcpu *v)
{
    (void)v;
    note(OWN_SHADOW);
    return resumes;
}

bool nested_shadow_vmwrite(struct vcpu *v)
{
    return nested_shadow_vmread(v);
}

bool nested_own_cr(struct vcpu *v)
{
    (void)v;
    note(OWN_CR);
    return resumes;
}

void nested_correct_vectoring(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
}

enum shadow_result shadow_ept_fill(struct vcpu *v, gpa_t gpa2, u64 q, gpa_t *gpa1, u64 *reflect)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(gpa2, 0x123456);
    *gpa1 = 0x654321;
    *reflect = q | BIT(3);
    return shadow;
}

enum shadow_result shadow_ept_translate(struct vcpu *v, gpa_t gpa2, u64 access, gpa_t *gpa1, u64 *reflect)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(gpa2, 0x123456);
    *gpa1 = 0x654321;
    *reflect = access;
    return shadow;
}

static bool serves;

bool pv_serves_l2(struct vcpu *v)
{
    assert_true(v->nested->serves_l2);
    return serves;
}

bool pv_l2_vmcall(struct vcpu *v)
{
    (void)v;
    note(CALL);
    return resumes;
}

bool nested_vmfunc(struct vcpu *v)
{
    (void)v;
    note(FUNCTION);
    return resumes;
}

bool exit_memory(struct vcpu *v, gpa_t gpa)
{
    (void)v;
    note(gpa == 0x654321 ? DEVICE : NIDUSES);
    return true;
}

void vcpu_requeue_event(struct vcpu *v, bool unblocked_nmi)
{
    (void)v;
    requeued++;
    unblocked = unblocked_nmi;
    note(RETRY);
}

void(vm_crash)(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    assert_non_null(fmt);
    crashes++;
}

void vmcs02_follow_tsc(struct vcpu *v)
{
    (void)v;
    followed++;
}

void fail_report_entry(struct vcpu *v)
{
    (void)v;
}

void nested_sync(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    v->nested->synced = true;
    L1_SAYS(GUEST_RIP) = vmcs02[GUEST_RIP];
    L1_SAYS(EXIT_REASON) = 0;
    syncs++;
}

void nested_switch(struct vcpu *v, bool l2)
{
    (void)v;
    in_l2(l2);
}

void nested_shadow(struct vcpu *v, bool on)
{
    assert_false(v->nested->in_l2 || on);
}

void nested_load_host(struct vcpu *v, u64 efer, u64 pat)
{
    assert_false(v->nested->in_l2);
    assert_int_equal(efer, vmcs01[GUEST_IA32_EFER]);
    assert_int_equal(pat, vmcs01[GUEST_IA32_PAT]);
    note(L1S);
}

static void start(u32 reason)
{
    start_l2();
    got = NOBODYS;
    handled = ~0u;
    requeued = crashes = followed = syncs = 0;
    moves_rip = exits = ipis = sends = false;
    resumes = true;
    vmcs02[EXIT_REASON] = reason;
    vmcs02[EXIT_QUALIFICATION] = reason == EXIT_REASON_IO_INSTRUCTION ? 0xcf8 << 16 | 3 : 0;
    vmcs02[GUEST_PHYSICAL_ADDRESS] = 0x123456;
    nested.injects = nested.exit_soon = true;
}

static enum whose whose(void)
{
    u32 reason = (u32)vmcs02[EXIT_REASON];

    got = NOBODYS;
    nested_l2_exit(&vcpu);
    assert_false(nested.injects || nested.exit_soon);
    if (got == NIDUSES && reason != EXIT_REASON_EPT_VIOLATION)
        assert_int_equal(handled, reason);
    return got;
}

/* --- by a control --- */

#define PIN  VI_PIN_BASED_CONTROLS
#define PROC VI_PRIMARY_CONTROLS

/* control 0: never asked. */
static const struct {
    u32 reason;
    enum whose without;
    u16 word;
    u64 control;
} rows[] = {
    {EXIT_REASON_EXTERNAL_INTERRUPT, NIDUSES, PIN, 0},
    {EXIT_REASON_TRIPLE_FAULT, L1S, PROC, 0},
    {EXIT_REASON_INIT, NIDUSES, PIN, 0},
    {EXIT_REASON_INTERRUPT_WINDOW, NIDUSES, PROC, PROC_INTERRUPT_WINDOW_EXITING},
    {EXIT_REASON_NMI_WINDOW, NIDUSES, PROC, PROC_NMI_WINDOW_EXITING},
    {EXIT_REASON_TASK_SWITCH, L1S, PROC, 0},
    {EXIT_REASON_CPUID, L1S, PROC, 0},
    {EXIT_REASON_GETSEC, L1S, PROC, 0},
    {EXIT_REASON_HLT, NIDUSES, PROC, PROC_HLT_EXITING},
    {EXIT_REASON_INVD, L1S, PROC, 0},
    {EXIT_REASON_RDPMC, NIDUSES, PROC, PROC_RDPMC_EXITING},
    {EXIT_REASON_VMCALL, L1S, PROC, 0},
    {EXIT_REASON_VMCLEAR, L1S, PROC, 0},
    {EXIT_REASON_VMLAUNCH, L1S, PROC, 0},
    {EXIT_REASON_VMPTRLD, L1S, PROC, 0},
    {EXIT_REASON_VMPTRST, L1S, PROC, 0},
    {EXIT_REASON_VMRESUME, L1S, PROC, 0},
    {EXIT_REASON_VMXOFF, L1S, PROC, 0},
    {EXIT_REASON_VMXON, L1S, PROC, 0},
    {EXIT_REASON_MWAIT, NIDUSES, PROC, PROC_MWAIT_EXITING},
    {EXIT_REASON_MONITOR, NIDUSES, PROC, PROC_MONITOR_EXITING},
    {EXIT_REASON_EPT_MISCONFIGURATION, NIDUSES, PROC, 0},
    {EXIT_REASON_INVEPT, L1S, PROC, 0},
    {EXIT_REASON_PREEMPTION_TIMER, NIDUSES, PIN, 0},
    {EXIT_REASON_INVVPID, L1S, PROC, 0},
    {EXIT_REASON_ENCLS, NIDUSES, PROC, 0},
    {EXIT_REASON_RSM, NIDUSES, PROC, 0},
    /* The CPU makes these for L1's controls alone. */
    {EXIT_REASON_INVLPG, L1S, PROC, 0},
    {EXIT_REASON_RDTSC, L1S, PROC, 0},
    {EXIT_REASON_RDTSCP, L1S, PROC, 0},
    {EXIT_REASON_MOV_DR, L1S, PROC, 0},
    {EXIT_REASON_PAUSE, NIDUSES, PROC, PROC_PAUSE_EXITING},
    {EXIT_REASON_TPR_BELOW_THRESHOLD, L1S, PROC, 0},
    {EXIT_REASON_APIC_ACCESS, L1S, PROC, 0},
    {EXIT_REASON_VIRTUALIZED_EOI, L1S, PROC, 0},
    {EXIT_REASON_APIC_WRITE, L1S, PROC, 0},
    {EXIT_REASON_GDTR_IDTR_ACCESS, L1S, PROC, 0},
    {EXIT_REASON_LDTR_TR_ACCESS, L1S, PROC, 0},
    {EXIT_REASON_RDRAND, L1S, PROC, 0},
    {EXIT_REASON_INVPCID, L1S, PROC, 0},
    {EXIT_REASON_VMFUNC, FUNCTION, PROC, 0},
    {EXIT_REASON_RDSEED, L1S, PROC, 0},
    {EXIT_REASON_XSAVES, L1S, PROC, 0},
    {EXIT_REASON_XRSTORS, L1S, PROC, 0},
};

static void by_reason(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        start(rows[i].reason);
        assert_int_equal(whose(), rows[i].without);
        start(rows[i].reason); /* all others are on */
        L1_SAYS(PIN_BASED_CONTROLS) = ~0u;
        L1_SAYS(PRIMARY_CONTROLS) = ~0u & ~(u64)PROC_MONITOR_TRAP_FLAG;
        nested.vmcs12.image.f[rows[i].word] &= ~rows[i].control;
        assert_int_equal(whose(), rows[i].without);
        if (!rows[i].control)
            continue;
        start(rows[i].reason);
        nested.vmcs12.image.f[rows[i].word] = rows[i].control;
        assert_int_equal(whose(), L1S);
    }
}

/* No more reasons than those are looked at, besides the ones with tests of their own. */
static void all_reasons(void **state)
{
    static const u32 others[] = {EXIT_REASON_EXCEPTION_OR_NMI,
                                 EXIT_REASON_CR_ACCESS,
                                 EXIT_REASON_IO_INSTRUCTION,
                                 EXIT_REASON_RDMSR,
                                 EXIT_REASON_WRMSR,
                                 EXIT_REASON_EPT_VIOLATION,
                                 EXIT_REASON_MONITOR_TRAP_FLAG,
                                 EXIT_REASON_XSETBV,
                                 EXIT_REASON_VMREAD,
                                 EXIT_REASON_VMWRITE,
                                 EXIT_REASON_WBINVD};
    bool known[VMX_NR_EXIT_REASONS] = {0};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        known[rows[i].reason] = true;
    for (u32 i = 0; i < ARRAY_SIZE(others); i++)
        known[others[i]] = true;
    for (u32 reason = 0; reason < 2 * VMX_NR_EXIT_REASONS; reason++) {
        if (reason < VMX_NR_EXIT_REASONS && known[reason])
            continue;
        start(reason);
        assert_int_equal(whose(), NIDUSES);
    }
}

static void counted_and_resumed(void **state)
{
    (void)state;
    for (u32 i = 0; i < 2; i++) {
        start(EXIT_REASON_CPUID);
        resumes = i;
        assert_int_equal(nested_l2_exit(&vcpu), i);
        assert_int_equal(vcpu.exits[EXIT_REASON_CPUID], 1);
        start(EXIT_REASON_HLT);
        resumes = i;
        assert_int_equal(nested_l2_exit(&vcpu), i);
        assert_int_equal(vcpu.exits[EXIT_REASON_HLT], 1);
    }
}

/* --- by more than a control --- */

static void exceptions(void **state)
{
    (void)state;
    for (u32 vec = 0; vec < 32; vec++)
        for (u32 bit = 0; bit < 32; bit++) {
            bool l1 = (vec == bit && vec != VEC_MC) || vec == VEC_PF; /* for which only L1 asks */

            if (vec == VEC_NMI)
                continue;
            start(EXIT_REASON_EXCEPTION_OR_NMI);
            L1_SAYS(EXCEPTION_BITMAP) = BIT(bit);
            vmcs02[EXIT_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, vec);
            assert_int_equal(whose(), l1 ? L1S : NIDUSES);
        }
    /* With the mask and match, bit 14 may be 0. */
    start(EXIT_REASON_EXCEPTION_OR_NMI);
    vmcs02[EXIT_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_PF);
    assert_int_equal(whose(), L1S);
    /* An NMI of the machine. */
    start(EXIT_REASON_EXCEPTION_OR_NMI);
    L1_SAYS(EXCEPTION_BITMAP) = ~0u;
    L1_SAYS(PIN_BASED_CONTROLS) = PIN_NMI_EXITING;
    vmcs02[EXIT_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_NMI, VEC_NMI);
    assert_int_equal(whose(), NIDUSES);
    /* INT1, INT3 and INTO go by the bitmap like the others. */
    for (u32 type = INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION; type <= INTR_TYPE_SOFTWARE_EXCEPTION; type++) {
        start(EXIT_REASON_EXCEPTION_OR_NMI);
        L1_SAYS(EXCEPTION_BITMAP) = BIT(VEC_DB);
        vmcs02[EXIT_INTERRUPTION_INFO] = INTR_INFO(type, VEC_DB);
        assert_int_equal(whose(), L1S);
    }
}

static void bitmaps(void **state)
{
    static const u32 reasons[] = {EXIT_REASON_IO_INSTRUCTION, EXIT_REASON_RDMSR, EXIT_REASON_WRMSR};

    (void)state;
    for (u32 i = 0; i < 6; i++) {
        start(reasons[i / 2]);
        vcpu.gpr[REG_RCX] = 0x100000174;
        exits = i & 1;
        assert_int_equal(whose(), exits ? L1S : NIDUSES);
        assert_int_equal(followed, 0);
    }
}

static void writes_of_the_tsc(void **state)
{
    static const u32 msrs[] = {MSR_IA32_TSC, MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_DEADLINE};

    (void)state;
    for (u32 i = 0; i < 6; i++) {
        start(EXIT_REASON_WRMSR);
        vcpu.gpr[REG_RCX] = msrs[i / 2];
        exits = i & 1;
        assert_int_equal(whose(), exits ? L1S : NIDUSES);
        assert_int_equal(followed, !exits && i / 2 < 2);
    }
}

/* Without a bitmap the route is asked, and with L1's monitor trap flag, for which the instruction counts. */
static void ipis_in_x2apic_mode(void **state)
{
    (void)state;
    for (u32 i = 0; i < 32; i++) {
        start(EXIT_REASON_WRMSR);
        vcpu.gpr[REG_RCX] = i & 16 ? MSR_IA32_TSC : MSR_IA32_X2APIC_ICR;
        exits = i & 1;
        ipis = i & 2;
        asked = 0;
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_MONITOR_TRAP_FLAG, i & 4);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_USE_MSR_BITMAPS, i & 8);
        nested_prepare_routes(&vcpu);
        assert_int_equal(whose(), exits ? L1S : ipis && !(i & 16) ? NOBODYS : NIDUSES);
        assert_int_equal(nested.mtf, (i & 0x17) == 6);
        assert_int_equal(asked, (i & 0x13) == 2 && (i & 12) != 8);
        assert_int_equal(vcpu.exits[EXIT_REASON_WRMSR], 1);
    }
    /* What waits is looked at. */
    for (u32 i = 0; i < 3; i++) {
        start(EXIT_REASON_WRMSR);
        vcpu.gpr[REG_RCX] = MSR_IA32_X2APIC_ICR;
        ipis = true;
        L1_SAYS(PRIMARY_CONTROLS) = PROC_USE_MSR_BITMAPS;
        nested_prepare_routes(&vcpu);
        vcpu.requests = i == 1 ? REQ_KICK : 0;
        vcpu.until = i == 2 ? now : ~0ull;
        assert_int_equal(nested_l2_exit(&vcpu), !i);
    }
}

static void ipis_in_xapic_mode(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        start(EXIT_REASON_APIC_WRITE);
        ipis = i & 1;
        sends = i & 2;
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_MONITOR_TRAP_FLAG, i & 4);
        nested_prepare_routes(&vcpu);
        assert_int_equal(whose(), (i & 3) == 3 ? NOBODYS : L1S);
        assert_int_equal(nested.mtf, i == 7);
    }
}

static void control_registers(void **state)
{
    (void)state;
    start(EXIT_REASON_CR_ACCESS);
    assert_int_equal(whose(), OWN_CR);
    exits = true;
    assert_int_equal(whose(), L1S);
}

static void shadow_vmcs(void **state)
{
    (void)state;
    for (u32 i = 0; i < 4; i++) {
        start(i & 1 ? EXIT_REASON_VMREAD : EXIT_REASON_VMWRITE);
        exits = i & 2;
        assert_int_equal(whose(), exits ? L1S : OWN_SHADOW);
    }
}

static void wbinvd(void **state)
{
    (void)state;
    for (u32 i = 0; i < 4; i++) {
        start(EXIT_REASON_WBINVD);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_ACTIVATE_SECONDARY, i & 1);
        set(&L1_SAYS(SECONDARY_CONTROLS), PROC2_WBINVD_EXITING, i & 2);
        assert_int_equal(whose(), i == 3 ? L1S : NIDUSES);
    }
}

/* In user mode it is #GP, and no exit. */
static void xsetbv_by_cpl(void **state)
{
    (void)state;
    for (u32 cpl = 0; cpl < 4; cpl++) {
        start(EXIT_REASON_XSETBV);
        vmcs02[GUEST_SS_ACCESS_RIGHTS] = 0xc093 | cpl << 5;
        assert_int_equal(whose(), cpl ? NIDUSES : L1S);
    }
}

/* If not L1's, it was to end a shadow: once. */
static void monitor_trap(void **state)
{
    (void)state;
    for (u32 l1 = 0; l1 < 2; l1++) {
        start(EXIT_REASON_MONITOR_TRAP_FLAG);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_MONITOR_TRAP_FLAG, l1);
        vmcs02[PRIMARY_CONTROLS] = PROC_MONITOR_TRAP_FLAG | PROC_HLT_EXITING;
        assert_int_equal(whose(), l1 ? L1S : NOBODYS);
        assert_int_equal(vmcs02[PRIMARY_CONTROLS], PROC_HLT_EXITING | (l1 ? PROC_MONITOR_TRAP_FLAG : 0));
        assert_int_equal(nested.mtf, 0);
    }
}

/* --- memory --- */

static void with_ept(void)
{
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) |= PROC2_ENABLE_EPT;
}

static void ept_violations(void **state)
{
    static const enum whose wanted[] = {
        [SHADOW_OK] = RETRY,          [SHADOW_VIOLATION] = AS_VIOLATION, [SHADOW_MISCONFIG] = AS_OTHER,
        [SHADOW_LOG_FULL] = AS_OTHER, [SHADOW_DEVICE] = DEVICE,          [SHADOW_NO_MEMORY] = NOBODYS};

    (void)state;
    for (u32 result = 0; result < ARRAY_SIZE(wanted); result++)
        for (u32 iret = 0; iret < 2; iret++) {
            start(EXIT_REASON_EPT_VIOLATION);
            with_ept();
            shadow = (enum shadow_result)result;
            vmcs02[EXIT_QUALIFICATION] = 0x182 | (iret ? EPT_QUAL_UNBLOCKED_NMI : 0);
            vmcs02[IDT_VECTORING_INFO] = INTR_INFO(INTR_TYPE_EXTERNAL, 0x31);
            assert_int_equal(whose(), wanted[result]);
            assert_int_equal(crashes, result == SHADOW_NO_MEMORY);
            assert_int_equal(requeued, result == SHADOW_OK);
            if (result == SHADOW_OK)
                assert_int_equal(unblocked, iret);
            if (result == SHADOW_VIOLATION)
                assert_int_equal(reflected, vmcs02[EXIT_QUALIFICATION] | BIT(3));
            if (result != SHADOW_MISCONFIG && result != SHADOW_LOG_FULL)
                continue;
            if (result == SHADOW_MISCONFIG) {
                assert_int_equal(info.reason, EXIT_REASON_EPT_MISCONFIGURATION);
                assert_int_equal(info.guest_physical, 0x123456);
                assert_int_equal(info.qualification, 0);
            } else {
                assert_int_equal(info.reason, EXIT_REASON_PML_FULL);
                assert_int_equal(info.guest_physical, 0);
                assert_int_equal(info.qualification, iret ? EPT_QUAL_UNBLOCKED_NMI : 0);
            }
            assert_int_equal(info.idt_info, INTR_INFO(INTR_TYPE_EXTERNAL, 0x31));
        }
    /* Without EPT of L1's it is Nidus's own. */
    start(EXIT_REASON_EPT_VIOLATION);
    assert_int_equal(whose(), NIDUSES);
}

static void emulated_accesses(void **state)
{
    static const struct {
        u32 access;
        u64 qualification;
    } kinds[] = {{WALK_READ, EPT_READ}, {WALK_WRITE, EPT_WRITE}, {WALK_FETCH, EPT_EXEC}};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
        for (u32 result = SHADOW_OK; result <= SHADOW_NO_MEMORY; result++) {
            bool due = result == SHADOW_VIOLATION || result == SHADOW_MISCONFIG || result == SHADOW_LOG_FULL;
            gpa_t gpa = 0x123456;

            start(EXIT_REASON_EPT_VIOLATION);
            with_ept();
            shadow = (enum shadow_result)result;
            assert_int_equal(nested_physical(&vcpu, &gpa, kinds[i].access), due ? ERR_BUSY : OK);
            assert_int_equal(nested.is_due, due);
            assert_int_equal(vcpu.requests, due ? REQ_KICK : 0);
            if (!due) {
                assert_int_equal(gpa, 0x654321);
                continue;
            }
            assert_int_equal(nested.due.reason, result == SHADOW_VIOLATION ? EXIT_REASON_EPT_VIOLATION
                                                : result == SHADOW_MISCONFIG
                                                    ? EXIT_REASON_EPT_MISCONFIGURATION
                                                    : EXIT_REASON_PML_FULL);
            assert_int_equal(nested.due.guest_physical, result == SHADOW_LOG_FULL ? 0 : 0x123456);
            if (result == SHADOW_VIOLATION)
                assert_int_equal(nested.due.qualification, kinds[i].qualification);
        }
}

static void emulated_accesses_by_kind_of_page(void **state)
{
    (void)state;
    for (u32 advanced = 0; advanced < 2; advanced++) {
        gpa_t gpa = 0x123456;

        start(EXIT_REASON_EPT_VIOLATION);
        with_ept();
        set(&vm.nested_caps.ept_vpid, EPT_CAP_ADVANCED_EXIT_INFO, advanced);
        shadow = SHADOW_VIOLATION;
        nested_physical(&vcpu, &gpa, WALK_FETCH | WALK_PAGE_USER | WALK_PAGE_NX);
        assert_int_equal(nested.due.qualification,
                         EPT_EXEC | EPT12_USER | (advanced ? WALK_PAGE_USER | WALK_PAGE_NX : 0));
        gpa = 0x123456;
        nested_physical(&vcpu, &gpa, WALK_FETCH | WALK_PAGE_WRITE);
        assert_int_equal(nested.due.qualification, EPT_EXEC | (advanced ? WALK_PAGE_WRITE : 0));
    }
}

/* --- the rest --- */

static void monitor_trap_flag(void **state)
{
    (void)state;
    for (u32 i = 0; i < 4; i++) {
        start(EXIT_REASON_HLT);
        L1_SAYS(PRIMARY_CONTROLS) = i & 1 ? PROC_MONITOR_TRAP_FLAG : 0;
        moves_rip = i & 2;
        assert_int_equal(nested_l2_exit(&vcpu), i != 3);
        assert_int_equal(nested.mtf, i == 3);
    }
}

/* L1 may leave those that Nidus has for L2 to Nidus. */
static void hypercalls(void **state)
{
    (void)state;
    start(EXIT_REASON_VMCALL);
    nested.serves_l2 = false;
    nested_prepare_routes(&vcpu);
    assert_true(nested.always_l1 >> EXIT_REASON_VMCALL & 1);
    assert_int_equal(whose(), L1S);
    start(EXIT_REASON_VMCALL);
    nested.serves_l2 = true;
    nested_prepare_routes(&vcpu);
    assert_false(nested.always_l1 >> EXIT_REASON_VMCALL & 1);
    serves = true;
    assert_int_equal(whose(), CALL);
    start(EXIT_REASON_VMCALL);
    nested.serves_l2 = true;
    nested_prepare_routes(&vcpu);
    serves = false;
    assert_int_equal(whose(), L1S);
    nested.serves_l2 = false;
}

/* 'VM-Entry Failures During or After Loading Guest State' */
static void refused_by_the_cpu(void **state)
{
    (void)state;
    start(EXIT_REASON_ENTRY_FAILURE_GUEST_STATE | (u32)EXIT_REASON_ENTRY_FAILURE);
    vmcs02[EXIT_QUALIFICATION] = ENTRY_FAIL_PDPTE;
    vmcs02[GUEST_RIP] = 0x777;
    nested.checked = nested.mtf = true;
    assert_false(nested_l2_exit(&vcpu));
    assert_int_equal(got, L1S);
    assert_int_equal(syncs, 1);
    assert_int_equal(L1_SAYS(EXIT_REASON), EXIT_REASON_ENTRY_FAILURE_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE);
    assert_int_equal(L1_SAYS(EXIT_QUALIFICATION), ENTRY_FAIL_PDPTE);
    assert_int_equal(L1_SAYS(GUEST_RIP), 0x777);
    assert_false(nested.checked || nested.mtf || nested.injects || nested.exit_soon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_reason),
        cmocka_unit_test(all_reasons),
        cmocka_unit_test(counted_and_resumed),
        cmocka_unit_test(exceptions),
        cmocka_unit_test(bitmaps),
        cmocka_unit_test(writes_of_the_tsc),
        cmocka_unit_test(ipis_in_x2apic_mode),
        cmocka_unit_test(ipis_in_xapic_mode),
        cmocka_unit_test(control_registers),
        cmocka_unit_test(shadow_vmcs),
        cmocka_unit_test(wbinvd),
        cmocka_unit_test(xsetbv_by_cpl),
        cmocka_unit_test(monitor_trap),
        cmocka_unit_test(ept_violations),
        cmocka_unit_test(emulated_accesses),
        cmocka_unit_test(emulated_accesses_by_kind_of_page),
        cmocka_unit_test(monitor_trap_flag),
        cmocka_unit_test(hypercalls),
        cmocka_unit_test(refused_by_the_cpu),
    };

    return cmocka_run_group_tests_name("nested_route", tests, NULL, NULL);
}
