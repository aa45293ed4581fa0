/* SPDX-License-Identifier: MIT */
/* APICs that software disables; transitions of IA32_APIC_BASE, with interrupts pending and in service. */
#include "guest/apic/tests.h"

#define VECTOR       0x51
#define SVR_ENABLE   0x100u
#define TIMER_VECTOR 0x61

static void disable(u32 cpu)
{
    (void)cpu;
    reg_write(APIC_SVR, SPURIOUS);
}

static void enable(u32 cpu)
{
    (void)cpu;
    reg_write(APIC_SVR, SVR_ENABLE | SPURIOUS);
}

/* --- disabled by software --- */

/* What is pending stays, nothing is added; all comes once it is enabled, exactly once. */
static void test_pending(void)
{
    self_ipi(0x41);
    self_ipi(0x62);
    disable(0);
    expect_set(APIC_IRR, "disabled", 0x41, 0x62);
    self_ipi(0x73);
    expect_set(APIC_IRR, "after an IPI while disabled", 0x41, 0x62);
    enable(0);
    expect_set(APIC_IRR, "enabled again", 0x41, 0x62);
    open_until(2);
    expect_log(0, "in the end", 0x62, 0x41);
}

static void disable_in_handler(u32 vector)
{
    disable(0);
    expect_equal(reg_bit(APIC_ISR, vector), 1, "ISR while disabled");
    enable(0);
}

static void test_in_service(void)
{
    in_handler = disable_in_handler;
    self_ipi(VECTOR);
    self_ipi(VECTOR + 1);
    open_until(2);
    expect_log(0, "in the end", VECTOR + 1, VECTOR);
    expect_set(APIC_ISR, "in the end");
}

static void test_lvt(void)
{
    const u32 entries[] = {APIC_LVT_TIMER, APIC_LVT_LINT0, APIC_LVT_LINT1, APIC_LVT_ERROR};

    for (u32 i = 0; i < ARRAY_SIZE(entries); i++)
        reg_write(entries[i], VECTOR + i);
    disable(0);
    for (u32 i = 0; i < ARRAY_SIZE(entries); i++) {
        expect_equal(reg_read(entries[i]), LVT_MASKED | (VECTOR + i), "LVT entry while disabled");
        reg_write(entries[i], VECTOR + i);
        expect_equal(reg_read(entries[i]), LVT_MASKED | (VECTOR + i), "LVT entry written while disabled");
    }
    enable(0);
    for (u32 i = 0; i < ARRAY_SIZE(entries); i++)
        expect_equal(reg_read(entries[i]), LVT_MASKED | (VECTOR + i), "LVT entry afterwards");
}

/* --- disabled CPUs among others --- */

static u32 ready, go;

static void be_disabled(u32 cpu)
{
    (void)cpu;
    disable(cpu);
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    irq_enable();
    wait_for(&go, 1, WAIT_TICKS);
    irq_disable();
    enable(cpu);
}

/* Of IPIs it takes NMIs, and still sends itself. */
static void test_others(void)
{
    u32 last = nr_cpus - 1;

    if (!need_cpus(2))
        return;
    ready = go = 0;
    start_on(last, be_disabled);
    wait_for(&ready, 1, WAIT_TICKS);
    send(cpu_ids[last], ICR_ASSERT | VECTOR);
    send(0, ICR_ALL | ICR_ASSERT | (VECTOR + 1));
    send(cpu_ids[last], ICR_ASSERT | ICR_NMI);
    wait_for(&logs[last].nmis, 1, WAIT_TICKS);
    go = 1;
    finish(last);
    expect_equal(logs[last].nmis, 1, "NMIs of a disabled CPU");
    logs[last].nmis = 0;
    expect_taken(all_cpus() & ~BIT(last), VECTOR + 1, "to all");
}

static void disable_and_send(u32 cpu)
{
    disable(cpu);
    send(cpu_ids[0], ICR_ASSERT | VECTOR);
    enable(cpu);
}

static void test_sends(void)
{
    if (!need_cpus(2))
        return;
    on_cpu(nr_cpus - 1, disable_and_send);
    expect_taken(1, VECTOR, "from a disabled CPU");
}

const struct test disable_tests[] = {
    {"disable-pending", test_pending}, {"disable-in-service", test_in_service}, {"disable-lvt", test_lvt},
    {"disable-others", test_others},   {"disable-sends", test_sends},           {NULL, NULL},
};

/* --- IA32_APIC_BASE --- */

#define MODE_BITS (APIC_BASE_X2 | APIC_BASE_ENABLE)

static void set_bits(u64 mode)
{
    wrmsr(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & ~MODE_BITS) | mode);
}

static void to_x2(void)
{
    set_bits(MODE_BITS);
    model = X2APIC;
}

/* In xAPIC mode, CPU 0 at least. */
static bool from_x1(void)
{
    if (!has_model(XAPIC_FLAT) || !has_model(X2APIC)) {
        test_skip("not both modes");
        return false;
    }
    model = XAPIC_FLAT;
    fresh();
    return true;
}

static bool may_disable(void)
{
    if (!under_hypervisor())
        test_skip("the lab's own CPU cannot enable an APIC again");
    return under_hypervisor();
}

static void test_to_x2_pending(void)
{
    if (!from_x1())
        return;
    self_ipi(0x41);
    self_ipi(0x62);
    reg_write(APIC_TPR, 0x35);
    to_x2();
    expect_set(APIC_IRR, "in x2APIC mode", 0x41, 0x62);
    expect_equal(reg_read(APIC_TPR), 0x35, "TPR in x2APIC mode");
    expect_equal(reg_read(APIC_SVR), SVR_ENABLE | SPURIOUS, "SVR in x2APIC mode");
    self_ipi(0x53);
    open_until(3);
    expect_log(0, "in x2APIC mode", 0x62, 0x53, 0x41);
}

static void to_x2_in_handler(u32 vector)
{
    if (model != X2APIC)
        to_x2();
    expect_equal(reg_bit(APIC_ISR, vector), 1, "ISR in x2APIC mode");
    expect_equal(reg_read(APIC_PPR), vector & 0xf0, "PPR in x2APIC mode");
}

static void test_to_x2_in_service(void)
{
    if (!from_x1())
        return;
    in_handler = to_x2_in_handler;
    self_ipi(VECTOR);
    self_ipi(VECTOR - 1);
    open_until(2);
    expect_log(0, "in the end", VECTOR, VECTOR - 1);
    expect_set(APIC_ISR, "in the end");
}

static void test_to_x2_ids(void)
{
    u32 id;

    if (!from_x1())
        return;
    id = apic_id();
    to_x2();
    expect_equal(reg_read(APIC_ID), id, "id in x2APIC mode");
    expect_equal(reg_read(APIC_LDR), id >> 4 << 16 | 1u << (id & 15), "LDR in x2APIC mode");
}

/* A count that runs goes on. */
static void test_to_x2_timer(void)
{
    if (!from_x1())
        return;
    reg_write(APIC_TIMER_DIVIDE, 0xb);
    reg_write(APIC_LVT_TIMER, TIMER_VECTOR);
    reg_write(APIC_TIMER_INITIAL, 200000);
    to_x2();
    expect(reg_read(APIC_TIMER_CURRENT) > 0, "the timer has stopped");
    open_until(1);
    expect_log(0, "in x2APIC mode", TIMER_VECTOR);
}

static void check_power_up(const char *what)
{
    expect_set(APIC_IRR, what);
    expect_set(APIC_ISR, what);
    expect_equal(reg_read(APIC_TPR), 0, "TPR");
    expect_equal(reg_read(APIC_SVR), 0xff, "SVR");
    expect_equal(reg_read(APIC_LVT_TIMER), LVT_MASKED, "the timer's LVT entry");
    expect_equal(reg_read(APIC_TIMER_INITIAL), 0, "initial count");
}

/* By way of a disabled APIC all is lost, from either mode. */
static void test_disabled(void)
{
    if (!may_disable() || !from_x1())
        return;
    for (u32 round = 0; round < 4; round++) {
        self_ipi(0x41);
        reg_write(APIC_LVT_TIMER, TIMER_VECTOR);
        reg_write(APIC_TIMER_INITIAL, 5000);
        reg_write(APIC_TPR, 0x20);
        set_bits(0);
        expect_equal(cpuid(1, 0).edx >> 9 & 1, 0, "CPUID's APIC flag while disabled");
        open_briefly(0);
        set_bits(APIC_BASE_ENABLE);
        model = XAPIC_FLAT;
        expect_equal(cpuid(1, 0).edx >> 9 & 1, 1, "CPUID's APIC flag");
        check_power_up("after disabling");
        apic_enable(false, false);
        if (round & 1)
            to_x2();
    }
    open_briefly(0);
    expect_log(0, "in the end");
}

DEFINE_ATTEMPT(to_x1, set_bits(APIC_BASE_ENABLE))
DEFINE_ATTEMPT(to_invalid, set_bits(APIC_BASE_X2))
DEFINE_ATTEMPT(to_x2_directly, set_bits(MODE_BITS))
DEFINE_ATTEMPT(to_reserved, wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(9)))
DEFINE_ATTEMPT(read_x2_register, rdmsr(X2APIC_MSR(APIC_TPR)))

static void test_illegal(void)
{
    if (!may_disable() || !from_x1())
        return;
    expect_vector(X_GP, to_invalid, NULL, "xAPIC to invalid");
    expect_vector(X_GP, to_reserved, NULL, "reserved bit");
    expect_vector(X_GP, read_x2_register, NULL, "MSR in xAPIC mode");
    to_x2();
    expect_vector(X_GP, to_x1, NULL, "x2APIC to xAPIC");
    expect_vector(X_GP, to_invalid, NULL, "x2APIC to invalid");
    set_bits(0);
    expect_vector(X_GP, to_x2_directly, NULL, "disabled to x2APIC");
    expect_vector(X_GP, read_x2_register, NULL, "MSR while disabled");
    expect_vector(X_NONE, to_x1, NULL, "disabled to xAPIC");
}

static void be_off(u32 cpu)
{
    set_bits(0);
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    irq_enable();
    wait_for(&go, 1, WAIT_TICKS);
    irq_disable();
    set_bits(APIC_BASE_ENABLE);
    set_model(cpu);
}

/* A CPU without an APIC hears of no IPI. */
static void test_others_off(void)
{
    u32 last = nr_cpus - 1;

    if (!need_cpus(2) || !may_disable() || !from_x1())
        return;
    ready = go = 0;
    start_on(last, be_off);
    wait_for(&ready, 1, WAIT_TICKS);
    send(cpu_ids[last], ICR_ASSERT | VECTOR);
    send(cpu_ids[last], ICR_ASSERT | ICR_NMI);
    send(0, ICR_ALL | ICR_ASSERT | (VECTOR + 1));
    for (u64 start = rdtsc(); rdtsc() - start < 3000000;)
        cpu_pause();
    go = 1;
    finish(last);
    expect_equal(logs[last].nmis, 0, "NMIs of a CPU whose APIC is off");
    expect_taken(all_cpus() & ~BIT(last), VECTOR + 1, "to all");
}

/* All CPUs to and fro, with what is pending lost or kept as it must be. */
static void pend_and_set(u32 cpu)
{
    enum model before = rdmsr(MSR_APIC_BASE) & APIC_BASE_X2 ? X2APIC : XAPIC_FLAT;

    apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR);
    set_model(cpu);
    expect_equal(reg_bit(APIC_IRR, VECTOR), before != X2APIC || model == X2APIC, "IRR behind the transition");
    open_briefly(cpu);
}

static void test_all_to_and_fro(void)
{
    const enum model to[] = {X2APIC, XAPIC_FLAT, X2APIC, XAPIC_CLUSTER, XAPIC_FLAT};

    if (!may_disable() || !from_x1())
        return;
    for (u32 i = 0; i < 20 && !test_over(); i++) {
        bool kept = model != X2APIC;

        model = to[i % ARRAY_SIZE(to)];
        on_all(pend_and_set);
        expect_taken(kept ? all_cpus() : 0, VECTOR, "across the transition");
        send(0, ICR_ALL | ICR_ASSERT | (VECTOR + 1));
        expect_taken(all_cpus(), VECTOR + 1, "after the transition");
    }
}

const struct test transition_tests[] = {
    {"mode-to-x2apic-pending", test_to_x2_pending},
    {"mode-to-x2apic-in-service", test_to_x2_in_service},
    {"mode-to-x2apic-ids", test_to_x2_ids},
    {"mode-to-x2apic-timer", test_to_x2_timer},
    {"mode-disabled", test_disabled},
    {"mode-illegal", test_illegal},
    {"mode-others-off", test_others_off},
    {"mode-all-to-and-fro", test_all_to_and_fro},
    {NULL, NULL},
};
