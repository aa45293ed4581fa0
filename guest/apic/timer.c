/* SPDX-License-Identifier: MIT */
/* The APIC's timer, on all CPUs: as often as it must, and not too early. */
#include "guest/apic/tests.h"

#define VECTOR       0x51
#define LVT_PERIODIC BIT(17)
#define LVT_DEADLINE BIT(18)
#define MSR_DEADLINE 0x6e0u
#define DIVIDE_BY_1  0xb
#define QUIET_TICKS  300000

static u64 scale; /* TSC ticks in 1024 of the timer's */

static void set_timer(u32 lvt, u32 initial)
{
    reg_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    reg_write(APIC_LVT_TIMER, lvt | VECTOR);
    reg_write(APIC_TIMER_INITIAL, initial);
}

static void stop_timer(void)
{
    reg_write(APIC_TIMER_INITIAL, 0);
    reg_write(APIC_LVT_TIMER, LVT_MASKED);
}

static void wait_ticks(u64 ticks)
{
    for (u64 start = rdtsc(); rdtsc() - start < ticks;)
        cpu_pause();
}

static void open_for(u64 ticks)
{
    irq_enable();
    wait_ticks(ticks);
    irq_disable();
}

static void measure(void)
{
    u64 start;

    set_timer(LVT_MASKED, ~0u);
    start = rdtsc();
    wait_ticks(200000);
    scale = (rdtsc() - start) * 1024 / (~0u - reg_read(APIC_TIMER_CURRENT));
    stop_timer();
}

static void one_shots(u32 cpu)
{
    for (u32 i = 0; i < 20; i++) {
        u32 initial = 100 + cpu_random() % 30000;
        u64 start = rdtsc(), took;

        set_timer(0, initial);
        open_until(i + 1);
        took = rdtsc() - start;
        expect_equal(logs[cpu].n, i + 1, "interrupts");
        expect(took + 100 >= initial * scale / 1024, "%u timer ticks after %llu of the TSC", initial,
               (ull)took);
        expect_equal(reg_read(APIC_TIMER_CURRENT), 0, "count afterwards");
    }
    open_for(QUIET_TICKS);
    expect_equal(logs[cpu].n, 20, "interrupts in the end");
    stop_timer();
}

static void test_one_shot(void)
{
    measure();
    on_all(one_shots);
}

/* Halted: nothing else wakes it. */
static void halts(u32 cpu)
{
    for (u32 i = 1; i <= 20; i++) {
        set_timer(0, 1 + cpu_random() % 20000);
        while (__atomic_load_n(&logs[cpu].n, __ATOMIC_ACQUIRE) < i)
            idle_halt();
    }
    expect_equal(logs[cpu].n, 20, "interrupts");
    stop_timer();
}

static void test_halted(void)
{
    on_all(halts);
}

/* Not more than there were periods; fewer where this CPU could not take them in time. */
static void periods(u32 cpu)
{
    const u32 period = 20000;
    u64 start = rdtsc(), most;
    u32 n;

    set_timer(LVT_PERIODIC, period);
    irq_enable();
    wait_for(&logs[cpu].n, 20, WAIT_TICKS);
    irq_disable();
    most = (rdtsc() - start) * 1024 / scale / period + 1;
    stop_timer();
    open_briefly(cpu); /* one may be pending */
    n = logs[cpu].n;
    expect(n >= 20 && n <= most + 1, "%u interrupts in %llu periods", n, (ull)most);
    open_for(QUIET_TICKS);
    expect_equal(logs[cpu].n, n, "interrupts after the end");
}

static void test_periodic(void)
{
    measure();
    on_all(periods);
}

/* Periods without interrupts on leave one request. */
static void test_masked_periods(void)
{
    measure();
    set_timer(LVT_PERIODIC, 20000);
    wait_ticks(QUIET_TICKS);
    expect_set(APIC_IRR, "with interrupts off", VECTOR);
    stop_timer();
    open_for(QUIET_TICKS);
    expect_log(0, "after ten periods", VECTOR);
}

static void test_lvt_masked(void)
{
    set_timer(LVT_MASKED, 1000);
    wait_ticks(QUIET_TICKS);
    expect_equal(reg_read(APIC_TIMER_CURRENT), 0, "count");
    expect_set(APIC_IRR, "masked");
    reg_write(APIC_LVT_TIMER, VECTOR);
    open_for(QUIET_TICKS);
    expect_log(0, "unmasked too late");
}

/* A count of 0 stops it, another begins anew. */
static void test_stopped(void)
{
    set_timer(0, 100000);
    reg_write(APIC_TIMER_INITIAL, 0);
    open_for(QUIET_TICKS);
    expect_log(0, "stopped");
    for (u32 i = 0; i < 10; i++) {
        set_timer(0, 100000);
        wait_ticks(20000);
    }
    expect_log(0, "begun anew");
    open_for(QUIET_TICKS);
    expect_log(0, "in the end", VECTOR);
}

/* The rates are what they say, within a part in 32. */
static void test_divide(void)
{
    const u8 codes[] = {0xb, 0, 1, 2, 3, 8, 9, 0xa}; /* by 1, 2, 4 to 128 */

    measure();
    for (u32 i = 0; i < ARRAY_SIZE(codes); i++) {
        u64 start, took, counted;

        set_timer(LVT_MASKED, 0);
        reg_write(APIC_TIMER_DIVIDE, codes[i]);
        reg_write(APIC_TIMER_INITIAL, ~0u);
        start = rdtsc();
        wait_ticks(200000);
        counted = (u64)(~0u - reg_read(APIC_TIMER_CURRENT)) << i;
        took = (rdtsc() - start) * 1024 / scale;
        expect(counted + took / 32 + 2000 >= took && counted <= took + took / 32 + 2000,
               "divide by %u: %llu ticks, not %llu", 1u << i, (ull)counted, (ull)took);
    }
    stop_timer();
}

/* --- TSC deadline --- */

static bool has_deadline(void)
{
    if (!(cpuid(1, 0).ecx & BIT(24)))
        test_skip("no TSC deadline");
    return cpuid(1, 0).ecx & BIT(24);
}

static u64 deadlines[MAX_CPUS];

static void not_early(u32 vector)
{
    (void)vector;
    expect(rdtsc() >= deadlines[this_cpu()], "before its deadline");
}

static void random_deadlines(u32 cpu)
{
    reg_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
    for (u32 i = 0; i < 30; i++) {
        deadlines[cpu] = rdtsc() + (i % 5 ? cpu_random() % 50000 : 0);
        wrmsr(MSR_DEADLINE, deadlines[cpu]);
        open_until(i + 1);
        expect_equal(logs[cpu].n, i + 1, "interrupts");
    }
    open_for(QUIET_TICKS);
    expect_equal(logs[cpu].n, 30, "interrupts in the end");
    stop_timer();
}

static void test_deadline(void)
{
    if (!has_deadline())
        return;
    in_handler = not_early;
    on_all(random_deadlines);
}

static void test_deadline_moved(void)
{
    if (!has_deadline())
        return;
    reg_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
    wrmsr(MSR_DEADLINE, rdtsc() + 100000);
    wrmsr(MSR_DEADLINE, 0);
    open_for(QUIET_TICKS);
    expect_log(0, "disarmed");
    wrmsr(MSR_DEADLINE, rdtsc() + 100000);
    wrmsr(MSR_DEADLINE, rdtsc() + 10 * QUIET_TICKS);
    open_for(QUIET_TICKS);
    expect_log(0, "put off");
    wrmsr(MSR_DEADLINE, rdtsc() + 1000);
    open_for(QUIET_TICKS);
    expect_log(0, "brought forward", VECTOR);
    stop_timer();
}

/* To or from TSC-deadline mode the timer is disarmed. */
static void test_deadline_and_count(void)
{
    if (!has_deadline())
        return;
    set_timer(0, 100000);
    reg_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
    expect_equal(reg_read(APIC_TIMER_CURRENT), 0, "count in TSC-deadline mode");
    open_for(QUIET_TICKS);
    expect_log(0, "to TSC deadline");
    wrmsr(MSR_DEADLINE, rdtsc() + 100000);
    reg_write(APIC_LVT_TIMER, VECTOR);
    open_for(QUIET_TICKS);
    expect_log(0, "from TSC deadline");
    stop_timer();
}

const struct test timer_tests[] = {
    {"timer-one-shot", test_one_shot},
    {"timer-halted", test_halted},
    {"timer-periodic", test_periodic},
    {"timer-masked-periods", test_masked_periods},
    {"timer-lvt-masked", test_lvt_masked},
    {"timer-stopped", test_stopped},
    {"timer-divide", test_divide},
    {"timer-deadline", test_deadline},
    {"timer-deadline-moved", test_deadline_moved},
    {"timer-deadline-and-count", test_deadline_and_count},
    {NULL, NULL},
};
