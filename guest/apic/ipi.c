/* SPDX-License-Identifier: MIT */
/* Destinations, shorthands and delivery modes of the ICR; targets that cannot take it now. */
#include "guest/apic/tests.h"

#define VECTOR 0x51

/* Logical destinations: sets of CPUs, all there are of few. */
static u64 choose_set(u32 i)
{
    return nr_cpus <= 4 ? i & all_cpus() : (i < nr_cpus ? BIT(i) : cpu_random() & all_cpus());
}

#define NR_SETS 16

static void test_physical(void)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        send(cpu_ids[i], ICR_ASSERT | VECTOR);
        expect_taken(BIT(i), VECTOR, "physical");
        send(cpu_ids[i], VECTOR); /* edge-triggered: the level bit says nothing */
        expect_taken(BIT(i), VECTOR, "physical, de-assert");
    }
}

static bool is_used(u32 id)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        if (cpu_ids[i] == id)
            return true;
    }
    return false;
}

static void test_physical_nobody(void)
{
    for (u32 id = 0; id < 40; id++) {
        if (!is_used(id))
            send(id, ICR_ASSERT | VECTOR);
    }
    if (model == X2APIC)
        send(0x100 + cpu_ids[0], ICR_ASSERT | VECTOR);
    expect_taken(0, VECTOR, "to ids that are not there");
}

static void test_physical_broadcast(void)
{
    send(model == X2APIC ? ~0u : 0xff, ICR_ASSERT | VECTOR);
    expect_taken(all_cpus(), VECTOR, "broadcast");
    if (model == X2APIC) {
        send(0xff, ICR_ASSERT | VECTOR);
        expect_taken(0, VECTOR, "id 0xff in x2APIC mode");
    }
}

static void test_logical(void)
{
    for (u32 i = 1; i < NR_SETS; i++) {
        u64 reached;
        u32 destination = logical_destination(choose_set(i), &reached);

        if (!reached)
            continue;
        send(destination, ICR_ASSERT | ICR_LOGICAL | VECTOR);
        expect_taken(reached, VECTOR, "logical");
    }
}

static void test_logical_broadcast(void)
{
    send(model == X2APIC ? ~0u : 0xff, ICR_ASSERT | ICR_LOGICAL | VECTOR);
    expect_taken(all_cpus(), VECTOR, "broadcast");
}

static void test_logical_nobody(void)
{
    send(0, ICR_ASSERT | ICR_LOGICAL | VECTOR);
    expect_taken(0, VECTOR, "logical, to no bit");
    if (model == X2APIC)
        send(0xfff0ffff, ICR_ASSERT | ICR_LOGICAL | VECTOR);
    else if (model == XAPIC_CLUSTER)
        send(0xef, ICR_ASSERT | ICR_LOGICAL | VECTOR);
    expect_taken(0, VECTOR, "logical, to an empty cluster");
}

static void test_shorthands(void)
{
    send(0xaa, ICR_SELF | ICR_ASSERT | VECTOR);
    expect_taken(1, VECTOR, "self");
    send(0xaa, ICR_ALL | ICR_ASSERT | VECTOR);
    expect_taken(all_cpus(), VECTOR, "all");
    send(0xaa, ICR_OTHERS | ICR_ASSERT | VECTOR);
    expect_taken(all_cpus() & ~1ull, VECTOR, "others");
}

static void shorthands_from(u32 cpu)
{
    send(0, ICR_OTHERS | ICR_ASSERT | VECTOR);
    send(0, ICR_SELF | ICR_ASSERT | (VECTOR + (cpu != 0)));
}

static void test_others_send(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        on_cpu(i, shorthands_from);
        settle();
        expect(taken(i, VECTOR) == 0 && taken(i, VECTOR + 1) == 1,
               "CPU %u: %u from itself by 'others', %u by 'self'", i, taken(i, VECTOR), taken(i, VECTOR + 1));
        logs[i].n = 0;
        expect_taken(all_cpus() & ~BIT(i), VECTOR, "others");
    }
}

static void test_self_msr(void)
{
    if (model != X2APIC) {
        test_skip("not in x2APIC mode");
        return;
    }
    reg_write(APIC_SELF_IPI, VECTOR);
    expect_set(APIC_IRR, "after the write", VECTOR);
    expect_set(APIC_TMR, "after the write");
    expect_taken(1, VECTOR, "SELF IPI");
}

/* --- lowest priority --- */

static u64 tpr_raised; /* CPUs */

static void raise_tpr(u32 cpu)
{
    reg_write(APIC_TPR, tpr_raised >> cpu & 1 ? 0x20 : 0);
}

/* Each in turn has a lower task priority than the others. */
static void test_lowest(void)
{
    u64 reached;
    u32 destination = logical_destination(all_cpus(), &reached);

    for (u32 i = 0; i < nr_cpus; i++) {
        if (!(reached >> i & 1))
            continue;
        tpr_raised = all_cpus() & ~BIT(i);
        on_all(raise_tpr);
        send(destination, ICR_ASSERT | ICR_LOGICAL | ICR_LOWEST | VECTOR);
        expect_taken(BIT(i), VECTOR, "lowest priority");
    }
    tpr_raised = 0;
    on_all(raise_tpr);
}

static u64 takers(u32 vector)
{
    u64 mask = 0;

    for (u32 i = 0; i < nr_cpus; i++)
        mask |= taken(i, vector) ? BIT(i) : 0;
    return mask;
}

static void test_lowest_of_equals(void)
{
    for (u32 i = 1; i < NR_SETS; i++) {
        u64 reached, got;
        u32 destination = logical_destination(choose_set(i), &reached);

        if (!reached)
            continue;
        send(destination, ICR_ASSERT | ICR_LOGICAL | ICR_LOWEST | VECTOR);
        settle();
        got = takers(VECTOR);
        expect(got & reached && !(got & (got - 1)), "of CPUs 0x%llx 0x%llx took it", (ull)reached, (ull)got);
        expect_taken(got, VECTOR, "lowest priority");
    }
}

/* --- NMI --- */

static void test_nmi(void)
{
    u64 reached;
    u32 destination = logical_destination(all_cpus(), &reached);

    for (u32 i = 0; i < nr_cpus; i++) {
        send(cpu_ids[i], ICR_ASSERT | ICR_NMI);
        expect_nmis(BIT(i), "physical");
        send(cpu_ids[i], ICR_ASSERT | ICR_NMI | 0x55);
        expect_nmis(BIT(i), "with a vector");
    }
    send(destination, ICR_ASSERT | ICR_LOGICAL | ICR_NMI);
    expect_nmis(reached, "logical");
    send(0, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
    expect_nmis(all_cpus() & ~1ull, "others");
}

/* --- targets that do something --- */

static u32 ready, go, held;
static bool requested;

static void await_go(void)
{
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    wait_for(&go, 1, WAIT_TICKS);
}

static void target_masked(u32 cpu)
{
    await_go();
    held = logs[cpu].n;
    requested = reg_bit(APIC_IRR, VECTOR);
    open_until(1);
}

static void target_raised(u32 cpu)
{
    reg_write(APIC_TPR, VECTOR & 0xf0);
    irq_enable();
    await_go();
    held = logs[cpu].n;
    requested = reg_bit(APIC_IRR, VECTOR);
    write_cr8(0);
    open_until(1);
}

static void target_halted(u32 cpu)
{
    await_go();
    held = 0;
    requested = true;
    while (!__atomic_load_n(&logs[cpu].n, __ATOMIC_ACQUIRE))
        idle_halt();
}

/* go comes behind the IPI where the target looks at what it holds, before it where it halts by then. */
static void to_target(void (*target)(u32 cpu), bool go_first)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        ready = go = 0;
        requested = false;
        start_on(i, target);
        wait_for(&ready, 1, WAIT_TICKS);
        __atomic_store_n(&go, go_first, __ATOMIC_RELEASE);
        for (u32 spin = cpu_random() % 3000; go_first && spin; spin--)
            asm volatile("");
        send(cpu_ids[i], ICR_ASSERT | VECTOR);
        __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
        finish(i);
        expect_equal(held, 0, "taken too early");
        expect(requested, "CPU %u: not in IRR", i);
        expect_taken(BIT(i), VECTOR, "in the end");
    }
}

static void test_to_masked(void)
{
    if (need_cpus(2))
        to_target(target_masked, false);
}

static void test_to_raised(void)
{
    if (need_cpus(2))
        to_target(target_raised, false);
}

/* At any time around its STI and HLT. */
static void test_to_halted(void)
{
    if (!need_cpus(2))
        return;
    for (u32 n = 0; n < 20 && !test_over(); n++)
        to_target(target_halted, true);
}

static void target_burst(u32 cpu)
{
    await_go();
    held = logs[cpu].n;
    open_until(SPURIOUS - 0x40);
}

/* All vectors at once; the highest come first. */
static void test_burst(void)
{
    u32 last;

    if (!need_cpus(2))
        return;
    last = nr_cpus - 1;
    ready = go = 0;
    start_on(last, target_burst);
    wait_for(&ready, 1, WAIT_TICKS);
    for (u32 v = 0x40; v < SPURIOUS; v++)
        send(cpu_ids[last], ICR_ASSERT | (0x40 + (v * 37) % (SPURIOUS - 0x40)));
    go = 1;
    finish(last);
    expect_equal(logs[last].n, SPURIOUS - 0x40, "interrupts");
    for (u32 i = 0; i < MIN(logs[last].n, LOG_SIZE); i++)
        expect_equal(logs[last].vector[i], SPURIOUS - 1 - i, "vector");
}

/* --- requests that merge --- */

static void again_in_handler(u32 vector)
{
    if (logs[0].n > 1)
        return;
    for (u32 i = 0; i < 3; i++)
        self_ipi(vector);
    expect_set(APIC_IRR, "in the handler", VECTOR);
    expect_set(APIC_ISR, "in the handler", VECTOR);
}

static void test_merge(void)
{
    for (u32 i = 0; i < 3; i++)
        self_ipi(VECTOR);
    expect_set(APIC_IRR, "after three", VECTOR);
    expect_taken(1, VECTOR, "three at once");
    in_handler = again_in_handler;
    self_ipi(VECTOR);
    open_until(2);
    expect_log(0, "three more in the handler", VECTOR, VECTOR);
}

/* --- errors --- */

#define ERROR_VECTOR    0x71
#define ESR_SEND_VECTOR BIT(5)

static u32 read_esr(void)
{
    reg_write(APIC_ESR, 0);
    return reg_read(APIC_ESR);
}

static void test_illegal_vector(void)
{
    read_esr();
    reg_write(APIC_LVT_ERROR, ERROR_VECTOR);
    for (u32 v = 0; v < 16; v += 5) {
        send(cpu_ids[nr_cpus - 1], ICR_ASSERT | v);
        expect(!(reg_read(APIC_ESR) & ESR_SEND_VECTOR), "ESR before a write to it");
        expect(read_esr() & ESR_SEND_VECTOR, "vector %u: not in ESR", v);
        expect_equal(read_esr(), 0, "ESR the second time");
        expect_taken(1, ERROR_VECTOR, "illegal vector");
    }
    send(0, ICR_SELF | ICR_ASSERT | 3);
    expect(read_esr() & ESR_SEND_VECTOR, "self: not in ESR");
    expect_taken(1, ERROR_VECTOR, "illegal vector to self");
    reg_write(APIC_LVT_ERROR, LVT_MASKED);
    send(0, ICR_SELF | ICR_ASSERT | 3);
    expect_taken(0, ERROR_VECTOR, "masked");
    read_esr();
}

const struct test ipi_tests[] = {
    {"ipi-physical", test_physical},
    {"ipi-physical-nobody", test_physical_nobody},
    {"ipi-physical-broadcast", test_physical_broadcast},
    {"ipi-logical", test_logical},
    {"ipi-logical-broadcast", test_logical_broadcast},
    {"ipi-logical-nobody", test_logical_nobody},
    {"ipi-shorthands", test_shorthands},
    {"ipi-others-send", test_others_send},
    {"ipi-self-msr", test_self_msr},
    {"ipi-lowest", test_lowest},
    {"ipi-lowest-of-equals", test_lowest_of_equals},
    {"ipi-nmi", test_nmi},
    {"ipi-to-masked", test_to_masked},
    {"ipi-to-raised-tpr", test_to_raised},
    {"ipi-to-halted", test_to_halted},
    {"ipi-burst", test_burst},
    {"ipi-merge", test_merge},
    {"ipi-illegal-vector", test_illegal_vector},
    {NULL, NULL},
};
