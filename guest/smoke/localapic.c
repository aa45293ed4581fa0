/* SPDX-License-Identifier: MIT */
/* The local APIC in both modes: identity, self-IPI, priorities, timer. The x2APIC tests come last: no way
 * back. */
#include "guest/smoke/smoke.h"
#include "guest/common/apic.h"

#define IPI_LOW      0x41
#define IPI_HIGH     0x62
#define TIMER_VECTOR 0x51
#define LVT_PERIODIC BIT(17)
#define PATIENCE     1000000000ull

static volatile u32 count[256];
static volatile u32 order[4], nr_order;
static volatile bool in_service_seen;

static void got(struct trap_frame *f)
{
    u32 v = (u32)f->vector;

    if (v != 0xff) {
        count[v]++;
        if (nr_order < ARRAY_SIZE(order))
            order[nr_order++] = v;
        in_service_seen = apic_read(APIC_ISR + 0x10 * (v / 32)) & BIT(v % 32);
        apic_eoi();
    }
}

static void begin(void)
{
    apic_enable(apic_mode() == APIC_X2, false);
    for (u32 v = 32; v < 256; v++)
        trap_set_handler((u8)v, got);
    nr_order = 0;
    count[IPI_LOW] = count[IPI_HIGH] = count[TIMER_VECTOR] = 0;
}

static bool x1(void)
{
    if (apic_mode() != APIC_X1)
        smoke_skip("the APIC is not in xAPIC mode");
    return apic_mode() == APIC_X1;
}

static bool x2(void)
{
    if (!apic_has() || !apic_has_x2() || apic_mode() == APIC_OFF) {
        smoke_skip("no x2APIC");
        return false;
    }
    apic_enable(true, false);
    return true;
}

static void self_ipi(u8 vector)
{
    apic_send(0, ICR_SELF | ICR_ASSERT | vector);
}

/* Interrupts on for a moment; n is what is waited for. */
static void open(u8 vector, u32 n)
{
    irq_enable();
    for (u64 start = rdtsc(); count[vector] < n && rdtsc() - start < PATIENCE;)
        cpu_pause();
    irq_disable();
}

static void check_identity(void)
{
    u32 version = apic_read(APIC_VERSION);

    expect((version & 0xff) >= 0x10 && (version & 0xff) < 0x20, "version 0x%x", version);
    expect((version >> 16 & 0xff) >= 3, "%u LVT entries", (version >> 16 & 0xff) + 1);
    if (apic_mode() == APIC_X1)
        expect_equal(apic_id(), cpuid(1, 0).ebx >> 24, "APIC id, and that of CPUID");
}

static void check_self_ipi(void)
{
    begin();
    self_ipi(IPI_LOW);
    expect(apic_read(APIC_IRR + 0x10 * (IPI_LOW / 32)) & BIT(IPI_LOW % 32), "not requested");
    expect_equal(count[IPI_LOW], 0, "interrupts while off");
    open(IPI_LOW, 1);
    expect_equal(count[IPI_LOW], 1, "interrupts");
    expect(in_service_seen, "not in service in its handler");
    for (u32 i = 0; i < 100; i++) {
        self_ipi(IPI_LOW);
        open(IPI_LOW, 2 + i);
    }
    expect_equal(count[IPI_LOW], 101, "interrupts");
}

/* The higher vector first; nothing that the task priority does not let through. */
static void check_priority(void)
{
    begin();
    self_ipi(IPI_LOW);
    self_ipi(IPI_HIGH);
    open(IPI_LOW, 1);
    expect(nr_order == 2 && order[0] == IPI_HIGH && order[1] == IPI_LOW, "%u interrupts, 0x%x first",
           nr_order, order[0]);
    apic_write(APIC_TPR, 0x50);
    expect_equal(read_cr8(), 5, "CR8 with TPR 0x50");
    self_ipi(IPI_LOW);
    self_ipi(IPI_HIGH);
    open(IPI_HIGH, 2);
    expect_equal(count[IPI_HIGH], 2, "interrupts above the task priority");
    expect_equal(count[IPI_LOW], 1, "interrupts below it");
    write_cr8(0);
    expect_equal(apic_read(APIC_TPR), 0, "TPR with CR8 0");
    open(IPI_LOW, 2);
    expect_equal(count[IPI_LOW], 2, "interrupts after CR8 = 0");
}

static void check_timer(void)
{
    u32 first, second;

    begin();
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, LVT_MASKED | TIMER_VECTOR);
    apic_write(APIC_TIMER_INITIAL, 0xffffffff);
    first = apic_read(APIC_TIMER_CURRENT);
    for (u64 start = rdtsc(); rdtsc() - start < 100000;)
        ;
    second = apic_read(APIC_TIMER_CURRENT);
    expect(second < first, "count 0x%x after 0x%x", second, first);
    apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
    apic_write(APIC_TIMER_INITIAL, 100000);
    open(TIMER_VECTOR, 1);
    expect_equal(count[TIMER_VECTOR], 1, "one-shot interrupts");
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "count afterwards");
    apic_write(APIC_LVT_TIMER, LVT_PERIODIC | TIMER_VECTOR);
    apic_write(APIC_TIMER_INITIAL, 100000);
    open(TIMER_VECTOR, 4);
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    expect(count[TIMER_VECTOR] >= 4, "%u periodic interrupts", count[TIMER_VECTOR] - 1);
}

static void check_timer_halt(void)
{
    begin();
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
    for (u32 i = 1; i <= 20; i++) {
        apic_write(APIC_TIMER_INITIAL, 1000 * i);
        while (count[TIMER_VECTOR] < i)
            irq_enable_and_halt();
    }
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    expect_equal(count[TIMER_VECTOR], 20, "interrupts");
}

static void check_deadline(void)
{
    if (!(cpuid(1, 0).ecx & BIT(24))) {
        smoke_skip("no TSC deadline");
        return;
    }
    begin();
    apic_write(APIC_LVT_TIMER, LVT_DEADLINE | TIMER_VECTOR);
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000000000);
    expect(rdmsr(MSR_TSC_DEADLINE) != 0, "not armed");
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + 100000);
    open(TIMER_VECTOR, 1);
    expect_equal(count[TIMER_VECTOR], 1, "interrupts");
    if (under_hypervisor()) /* Bochs itself leaves it */
        expect_equal(rdmsr(MSR_TSC_DEADLINE), 0, "MSR afterwards");
    wrmsr(MSR_TSC_DEADLINE, 1); /* in the past */
    open(TIMER_VECTOR, 2);
    expect_equal(count[TIMER_VECTOR], 2, "interrupts, deadline in the past");
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

#define IN_X1(name, check) \
    static void name(void) \
    {                      \
        if (x1())          \
            check();       \
    }
#define IN_X2(name, check) \
    static void name(void) \
    {                      \
        if (x2())          \
            check();       \
    }

IN_X1(x1_identity, check_identity)
IN_X1(x1_self_ipi, check_self_ipi)
IN_X1(x1_priority, check_priority)
IN_X1(x1_timer, check_timer)
IN_X1(x1_timer_halt, check_timer_halt)
IN_X1(x1_deadline, check_deadline)
IN_X2(x2_identity, check_identity)
IN_X2(x2_self_ipi, check_self_ipi)
IN_X2(x2_priority, check_priority)
IN_X2(x2_timer, check_timer)
IN_X2(x2_timer_halt, check_timer_halt)
IN_X2(x2_deadline, check_deadline)

DEFINE_ATTEMPT(write_id, wrmsr(X2APIC_MSR(APIC_ID), 0))
DEFINE_ATTEMPT(write_eoi, wrmsr(X2APIC_MSR(APIC_EOI), 1))
DEFINE_ATTEMPT(read_eoi, rdmsr(X2APIC_MSR(APIC_EOI)))
DEFINE_ATTEMPT(write_svr_high, wrmsr(X2APIC_MSR(APIC_SVR), BIT(32)))
DEFINE_ATTEMPT(read_missing, rdmsr(0x8ff))
DEFINE_ATTEMPT(back_to_x1, wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_BASE_X2))

static void x2_self_ipi_msr(void)
{
    if (!x2())
        return;
    begin();
    wrmsr(X2APIC_MSR(APIC_SELF_IPI), IPI_HIGH);
    open(IPI_HIGH, 1);
    expect_equal(count[IPI_HIGH], 1, "interrupts");
}

static void x2_bad(void)
{
    if (!x2())
        return;
    expect_vector(X_GP, write_id, NULL, "write of the id");
    expect_vector(X_GP, write_eoi, NULL, "write of 1 to EOI");
    expect_vector(X_GP, read_eoi, NULL, "read of EOI");
    expect_vector(X_GP, write_svr_high, NULL, "reserved bit of SVR");
    expect_vector(X_GP, read_missing, NULL, "read of MSR 0x8ff");
    expect_vector(X_GP, back_to_x1, NULL, "x2APIC to xAPIC in one step");
}

const struct smoke_test apic_tests[] = {
    {"xapic-identity", x1_identity},
    {"xapic-self-ipi", x1_self_ipi},
    {"xapic-priority", x1_priority},
    {"xapic-timer", x1_timer},
    {"xapic-timer-halt", x1_timer_halt},
    {"xapic-deadline", x1_deadline},
    {"x2apic-identity", x2_identity},
    {"x2apic-self-ipi", x2_self_ipi},
    {"x2apic-self-ipi-msr", x2_self_ipi_msr},
    {"x2apic-priority", x2_priority},
    {"x2apic-timer", x2_timer},
    {"x2apic-timer-halt", x2_timer_halt},
    {"x2apic-deadline", x2_deadline},
    {"x2apic-bad", x2_bad},
    {NULL, NULL},
};
