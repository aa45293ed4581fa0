/* SPDX-License-Identifier: MIT */
/* What of VMX few hypervisors use: wait-for-SIPI, VM functions. */
#include "guest/common/apic.h"
#include "guest/common/cpu.h"
#include "guest/common/trap.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

L2_CODE(l2_vmcall, "");

/* --- the other CPU --- */

#define OTHER_CPU_PAGE 0x8000 /* a SIPI's vector is its page number */
#define MAX_SENDS      4
#define START_LOOPS    1000000u

extern u8 other_cpu_start[], other_cpu_end[];
u32 other_cpu_sends[MAX_SENDS + 1]; /* low halves of the ICR for this CPU, up to a 0 */
volatile u32 other_cpu_go = 1;      /* it is to send them; cleared when it has */

static bool wait_for_other_cpu(void)
{
    for (u32 i = 0; other_cpu_go && i < START_LOOPS; i++)
        asm volatile("pause");
    return !other_cpu_go;
}

static bool have_other_cpu(void)
{
    static bool tried;

    if (!tried) {
        memcpy((void *)OTHER_CPU_PAGE, other_cpu_start, (size_t)(other_cpu_end - other_cpu_start));
        apic_enable(false, true);
        apic_send(1, ICR_ASSERT | ICR_INIT);
        apic_send(1, ICR_ASSERT | ICR_STARTUP | OTHER_CPU_PAGE / PAGE_SIZE);
    }
    tried = true;
    return wait_for_other_cpu();
}

/* A VMCS whose L2 waits for a SIPI. */
static bool waiting_l2(void)
{
    if (!(caps.misc & VMX_MISC_ACTIVITY_SIPI)) {
        test_skip("the CPU has not got the activity state");
        return false;
    }
    if (!have_other_cpu()) {
        test_skip("there is one CPU");
        return false;
    }
    l2_new(l2_vmcall);
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_WAIT_FOR_SIPI);
    return true;
}

/* The other CPU sends those two soon, the first of which may be 0. */
static void other_cpu_will_send(u32 first, u32 second)
{
    other_cpu_sends[0] = first ? first : second;
    other_cpu_sends[1] = first ? second : 0;
    other_cpu_go = 1;
}

#define SIPI_VECTOR 0x9a
#define SIPI        (ICR_ASSERT | ICR_STARTUP | SIPI_VECTOR)

static void expect_sipi(const char *what)
{
    l2_expect(EXIT_REASON_SIPI, what);
    expect_equal(vmread(EXIT_QUALIFICATION), SIPI_VECTOR, "the vector");
    expect_equal(vmread(GUEST_ACTIVITY_STATE), ACTIVITY_WAIT_FOR_SIPI, "activity state");
    expect_equal(vmread(GUEST_RIP), (u64)l2_vmcall, "RIP");
    expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), 0, "instruction length");
    wait_for_other_cpu();
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
}

/* --- activity state wait-for-SIPI --- */

static void test_sipi(void)
{
    if (!waiting_l2())
        return;
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, PENDING_DEBUG_BS);
    vmset(GUEST_RFLAGS, RFLAGS_TF);
    other_cpu_will_send(0, SIPI);
    expect_sipi("SIPI");
    expect_equal(vmread(GUEST_PENDING_DEBUG_EXCEPTIONS), 0, "pending debug exceptions");
    vmunset(GUEST_RFLAGS, RFLAGS_TF);
    l2_expect(EXIT_REASON_VMCALL, "after it");
}

/* It neither wakes L2 nor is it lost. */
static void test_sipi_behind_init(void)
{
    if (!waiting_l2())
        return;
    other_cpu_will_send(ICR_ASSERT | ICR_INIT, SIPI);
    expect_sipi("INIT, then SIPI");
    l2_expect(EXIT_REASON_INIT, "the INIT that was blocked");
    l2_expect(EXIT_REASON_VMCALL, "after both");
}

#define VECTOR 0x60

static void test_sipi_behind_interrupt(void)
{
    if (!waiting_l2() || !need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING))
        return;
    vmset(PRIMARY_EXIT_CONTROLS, EXITCTL_ACK_INTERRUPT_ON_EXIT);
    vmset(GUEST_RFLAGS, RFLAGS_IF);
    other_cpu_will_send(ICR_ASSERT | VECTOR, SIPI);
    expect_sipi("interrupt, then SIPI");
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "the interrupt that was blocked");
    expect_equal(vmread(EXIT_INTERRUPTION_INFO), INTR_INFO(INTR_TYPE_EXTERNAL, VECTOR), "information");
    apic_eoi();
}

/* The timer does not count. */
static void test_sipi_with_timer(void)
{
    if (!waiting_l2() || !need(VMX_WORD_PIN, PIN_PREEMPTION_TIMER))
        return;
    vmwrite(PREEMPTION_TIMER_VALUE, 1);
    vmset(PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_PREEMPTION_TIMER);
    other_cpu_will_send(0, SIPI);
    expect_sipi("SIPI, not the timer");
    expect_equal(vmread(PREEMPTION_TIMER_VALUE), 1, "the timer");
}

static void test_sipi_while_active(void)
{
    if (!waiting_l2())
        return;
    other_cpu_will_send(0, SIPI);
    wait_for_other_cpu();
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    l2_expect(EXIT_REASON_VMCALL, "a SIPI in VMX root operation is lost");
}

/* --- VM functions --- */

#define NR_EPTS   6 /* more than Nidus keeps */
#define BAD_EPTP  NR_EPTS
#define LIST_SIZE 512

static u64 roots[NR_EPTS][512] __aligned(4096), eptp_list[LIST_SIZE] __aligned(4096);
static u64 other_pdpt[512] __aligned(4096), other_pd[512] __aligned(4096), other_pt[512] __aligned(4096);

/* It shows what TEST_PAGES holds. */
L2_CODE(l2_switches, "1: vmfunc\nmov 0x800000, %rbx\nvmcall\njmp 1b");

static void copy_table(u64 *to, u32 level, u64 entry)
{
    const u64 *from = ept_entry(level);
    u64 index = TEST_PAGES >> (12 + 9 * (level - 1)) & 511;

    memcpy(to, from - index, PAGE_SIZE);
    to[index] = entry;
}

/* All with an odd number have the second of the tests' pages in place of the first. */
static void make_epts(void)
{
    copy_table(other_pt, 1, (u64)(page + PAGE_SIZE) | EPT_RWX | EPT_WB);
    copy_table(other_pd, 2, (u64)other_pt | EPT_RWX);
    copy_table(other_pdpt, 3, (u64)other_pd | EPT_RWX);
    for (u32 i = 0; i < NR_EPTS; i++) {
        copy_table(roots[i], 4, i & 1 ? (u64)other_pdpt | EPT_RWX : *ept_entry(4));
        eptp_list[i] = (u64)roots[i] | EPTP_WB | EPTP_WALK_4;
    }
    eptp_list[BAD_EPTP] = (u64)roots[0] | EPTP_WB; /* no page-walk length */
    *(u64 *)page = 0;
    *(u64 *)(page + PAGE_SIZE) = 1;
}

/* An L2 that executes VMFUNC; with EPTP switching. */
static bool vmfunc_l2(void)
{
    l2_new(l2_switches);
    if (!l2_has_ept() || !vmx_can(VMX_WORD_PROC2, PROC2_ENABLE_VM_FUNCTIONS) ||
        !(rdmsr(MSR_IA32_VMX_VMFUNC) & VMFUNC_EPTP_SWITCHING)) {
        test_skip("the CPU has not got EPTP switching");
        return false;
    }
    make_epts();
    vmset(SECONDARY_CONTROLS, PROC2_ENABLE_VM_FUNCTIONS);
    vmwrite(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING);
    vmwrite(EPTP_LIST_ADDRESS, (u64)eptp_list);
    return true;
}

static void expect_switch(u64 rcx)
{
    l2.gpr[REG_RAX] = BIT(32); /* only EAX and ECX count */
    l2.gpr[REG_RCX] = rcx;
    l2_expect_and_skip(EXIT_REASON_VMCALL, "a switch");
    expect_equal(l2.gpr[REG_RBX], (u32)rcx & 1, "what L2 sees");
    expect_equal(vmread(EPT_POINTER), eptp_list[(u32)rcx], "EPT pointer");
}

static void test_eptp_switching(void)
{
    if (!vmfunc_l2())
        return;
    for (u32 i = 0; i < 4 * NR_EPTS; i++)
        expect_switch(i * 5 % NR_EPTS);
    expect_switch(BIT(32) | 3);
    /* The list and the tables as they are now. */
    eptp_list[LIST_SIZE - 1] = eptp_list[2];
    *ept_entry(1) = (u64)page | EPT_RWX | EPT_WB | EPT_A;
    expect_switch(2);
    l2.gpr[REG_RCX] = LIST_SIZE - 1;
    l2_expect_and_skip(EXIT_REASON_VMCALL, "the last of the list");
    expect_equal(l2.gpr[REG_RBX], 0, "what L2 sees");
}

static void expect_vmfunc_exit(u64 rax, u64 rcx, const char *what)
{
    u64 eptp = vmread(EPT_POINTER), rip = vmread(GUEST_RIP);

    l2.gpr[REG_RAX] = rax;
    l2.gpr[REG_RCX] = rcx;
    l2_expect(EXIT_REASON_VMFUNC, what);
    expect_equal(vmread(EXIT_INSTRUCTION_LENGTH), 3, "instruction length");
    expect_equal(vmread(EXIT_QUALIFICATION), 0, "qualification");
    expect_equal(vmread(EPT_POINTER), eptp, "EPT pointer");
    expect_equal(vmread(GUEST_RIP), rip, "RIP");
}

static void test_vmfunc_exits(void)
{
    if (!vmfunc_l2())
        return;
    expect_vmfunc_exit(0, BAD_EPTP, "an EPTP that VM entry would not take");
    expect_vmfunc_exit(0, LIST_SIZE, "beyond the list");
    expect_vmfunc_exit(0, ~0ull, "far beyond the list");
    expect_vmfunc_exit(1, 0, "function 1");
    expect_vmfunc_exit(63, 0, "function 63");
    vmwrite(VM_FUNCTION_CONTROLS, 0);
    expect_vmfunc_exit(0, 0, "a function that is not enabled");
}

static void test_vmfunc_undefined(void)
{
    if (!vmfunc_l2())
        return;
    l2.gpr[REG_RAX] = 64;
    l2_expect_vector(X_UD, "function 64");
    if (!vmfunc_l2())
        return;
    vmunset(SECONDARY_CONTROLS, PROC2_ENABLE_VM_FUNCTIONS);
    l2_expect_vector(X_UD, "VMFUNC without VM functions");
}

static void test_vmfunc_entry(void)
{
    if (!vmfunc_l2())
        return;
    vmwrite(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING | BIT(1));
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "VM-function control 1");
    vmwrite(VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING);
    vmwrite(EPTP_LIST_ADDRESS, (u64)eptp_list + 8);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "an EPTP list that is no page");
}

const struct test feature_tests[] = {
    {"sipi", test_sipi},
    {"sipi-behind-init", test_sipi_behind_init},
    {"sipi-behind-interrupt", test_sipi_behind_interrupt},
    {"sipi-with-timer", test_sipi_with_timer},
    {"sipi-while-active", test_sipi_while_active},
    {"vmfunc-eptp-switching", test_eptp_switching},
    {"vmfunc-exits", test_vmfunc_exits},
    {"vmfunc-undefined", test_vmfunc_undefined},
    {"vmfunc-entry", test_vmfunc_entry},
    {NULL, NULL},
};
