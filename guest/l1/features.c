/* SPDX-License-Identifier: MIT */
/* What of VMX few hypervisors use: wait-for-SIPI. */
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

const struct test feature_tests[] = {
    {"sipi", test_sipi},
    {"sipi-behind-init", test_sipi_behind_init},
    {"sipi-behind-interrupt", test_sipi_behind_interrupt},
    {"sipi-with-timer", test_sipi_with_timer},
    {"sipi-while-active", test_sipi_while_active},
    {NULL, NULL},
};
