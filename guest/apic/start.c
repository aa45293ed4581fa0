/* SPDX-License-Identifier: MIT */
/* INIT and start-up IPIs. */
#include "guest/apic/tests.h"

#define VECTOR      0x51
#define STILL_TICKS 3000000 /* each CPU has had a turn in this time */
#define ICR_LEVEL   0x8000u

static u32 beats[MAX_CPUS];

/* What a CPU is at when its INIT comes: it counts with interrupts off, or in a handler. */
static void beat(u32 cpu)
{
    for (;;) {
        __atomic_add_fetch(&beats[cpu], 1, __ATOMIC_ACQ_REL);
        cpu_pause();
    }
}

static void beat_in_handler(u32 vector)
{
    if (vector == VECTOR)
        beat(this_cpu());
}

static void be_in_handler(u32 cpu)
{
    (void)cpu;
    self_ipi(VECTOR);
    open_until(~0u);
}

static bool beats_on(u32 cpu)
{
    u32 before = __atomic_load_n(&beats[cpu], __ATOMIC_ACQUIRE);

    return wait_for(&beats[cpu], before + 1, STILL_TICKS);
}

/* Where it cannot be interrupted, some emulated processors leave a guest late. */
static bool stops(u32 cpu)
{
    u64 start = rdtsc();

    while (beats_on(cpu)) {
        if (rdtsc() - start > WAIT_TICKS)
            return false;
    }
    return true;
}

static void release(u32 cpu)
{
    expect(work_release(cpu, model == X2APIC), "CPU %u does not start", cpu);
}

static void check_reset(u32 cpu)
{
    expect_set(APIC_IRR, "after INIT");
    expect_set(APIC_ISR, "after INIT");
    expect_set(APIC_TMR, "after INIT");
    expect_equal(reg_read(APIC_TPR), 0, "TPR after INIT");
    expect_equal(reg_read(APIC_TIMER_INITIAL), 0, "initial count after INIT");
    if (model != X2APIC) {
        expect_equal(reg_read(APIC_LDR), 0, "LDR after INIT");
        expect_equal(reg_read(APIC_DFR), 0xffffffff, "DFR after INIT");
    }
    expect_equal(apic_id(), cpu_ids[cpu], "id after INIT");
}

static void begin(u32 cpu, void (*fn)(u32 cpu))
{
    start_on(cpu, fn);
    expect(beats_on(cpu), "CPU %u does not begin", cpu);
}

/* The CPU does what fn says, has an interrupt pending, and starts anew; nothing comes of the interrupt. */
static void init_one(u32 cpu, void (*fn)(u32 cpu))
{
    if (fn) {
        begin(cpu, fn);
        send(cpu_ids[cpu], ICR_ASSERT | (VECTOR + 1));
    }
    send(cpu_ids[cpu], ICR_ASSERT | ICR_INIT);
    expect(stops(cpu), "CPU %u goes on after INIT", cpu);
    send(cpu_ids[cpu], ICR_ASSERT | (VECTOR + 2)); /* its APIC is disabled by now */
    release(cpu);
    if (test_over())
        return;
    on_cpu(cpu, check_reset);
    logs[cpu].n = 0;
    expect_taken(0, VECTOR, "after the start");
}

static void init_all(void (*fn)(u32 cpu))
{
    if (!need_cpus(2))
        return;
    for (u32 i = 1; i < nr_cpus && !test_over(); i++)
        init_one(i, fn);
}

static void test_init_masked(void)
{
    init_all(beat);
}

static void test_init_halted(void)
{
    init_all(NULL);
}

static void test_init_in_handler(void)
{
    in_handler = beat_in_handler;
    init_all(be_in_handler);
}

static void test_init_others(void)
{
    if (!need_cpus(2))
        return;
    for (u32 i = 1; i < nr_cpus; i++) {
        begin(i, beat);
    }
    send(0, ICR_OTHERS | ICR_ASSERT | ICR_INIT);
    for (u32 i = 1; i < nr_cpus; i++) {
        expect(stops(i), "CPU %u goes on after INIT", i);
        release(i);
    }
}

/* Neither stops a CPU: an INIT that is only de-asserted, and a start-up IPI without an INIT. */
static void test_no_init(void)
{
    if (!need_cpus(2))
        return;
    for (u32 i = 1; i < nr_cpus; i++) {
        begin(i, beat);
        send(cpu_ids[i], ICR_LEVEL | ICR_INIT);
        send(cpu_ids[i], ICR_ASSERT | ICR_STARTUP | 0x55);
        expect(beats_on(i) && beats_on(i), "CPU %u has stopped", i);
        send(cpu_ids[i], ICR_ASSERT | ICR_INIT);
        release(i);
    }
}

const struct test start_tests[] = {
    {"init-masked", test_init_masked},
    {"init-halted", test_init_halted},
    {"init-in-handler", test_init_in_handler},
    {"init-others", test_init_others},
    {"init-not", test_no_init},
    {NULL, NULL},
};
