/* SPDX-License-Identifier: MIT */
/* Each operation: by a call and by the queue, what it does, and what it refuses. */
#include "guest/common/apic.h"
#include "guest/common/paging.h"
#include "guest/pv/tests.h"

#define NOWHERE (1ull << 50)
#define MS      1000000ull

s64 queued(u32 op, u64 a, u64 b, u64 c, u64 d)
{
    struct nidus_queue *q = &queues[this_cpu()];
    struct nidus_slot entry = {.op = op, .arg = {a, b, c, d}};
    s64 index = nidus_put(q, &entry, 1);

    expect_result(nidus_drain(q), 0, "left");
    expect_equal(nidus_gather(q, (u32)index, &entry, 1), 0, "not done");
    return entry.result;
}

static void test_nop(void)
{
    FOR_BOTH(run)
    expect_result((*run)(NIDUS_OP_NOP, 1, 2, 3, 4), 0, "result");
}

/* --- control registers --- */

static void check_copies(const char *when)
{
    struct nidus_area *a = queues[this_cpu()].area;

    expect(a->cr0 == read_cr0(), "%s: the copy of CR0 is 0x%llx, not 0x%llx", when, (ull)a->cr0,
           (ull)read_cr0());
    expect(a->cr3 == read_cr3(), "%s: the copy of CR3 is 0x%llx, not 0x%llx", when, (ull)a->cr3,
           (ull)read_cr3());
    expect(a->cr4 == read_cr4(), "%s: the copy of CR4 is 0x%llx, not 0x%llx", when, (ull)a->cr4,
           (ull)read_cr4());
}

static void test_set_cr(void)
{
    u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

    FOR_BOTH(run)
    {
        expect_result((*run)(NIDUS_OP_SET_CR, 0, cr0 ^ CR0_TS, 0, 0), 0, "CR0.TS");
        expect_equal(read_cr0(), cr0 ^ CR0_TS, "CR0");
        expect_result((*run)(NIDUS_OP_SET_CR, 3, cr3 | BIT(4), 0, 0), 0, "CR3.PCD");
        expect_equal(read_cr3(), cr3 | BIT(4), "CR3");
        expect_result((*run)(NIDUS_OP_SET_CR, 4, cr4 ^ CR4_TSD, 0, 0), 0, "CR4.TSD");
        expect_equal(read_cr4(), cr4 ^ CR4_TSD, "CR4");
        check_copies("changed");
        (*run)(NIDUS_OP_SET_CR, 0, cr0, 0, 0);
        (*run)(NIDUS_OP_SET_CR, 3, cr3, 0, 0);
        (*run)(NIDUS_OP_SET_CR, 4, cr4, 0, 0);
        check_copies("changed back");
        expect_equal(read_cr0(), cr0, "CR0 at the end");
    }
}

static void test_set_cr_bad(void)
{
    static const struct {
        u64 number, value;
    } bad[] = {
        {0, 0},                            /* without PE, in 64-bit mode */
        {0, CR0_PG},                       /* PG without PE */
        {0, CR0_PE | CR0_PG | CR0_NW},     /* NW without CD */
        {0, CR0_PE | CR0_PG | 1ull << 40}, /* a reserved bit */
        {3, 1ull << 60},                   /* beyond the address width */
        {4, 0},                            /* without PAE, in 64-bit mode */
        {4, CR4_PAE | 1ull << 40},         /* a reserved bit */
        {1, 0},
        {2, 0},
        {5, 0},
        {8, 0},
        {16, 0},
        {~0ull, 0},
        {1ull << 32, 0},
    };
    u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        FOR_BOTH(run)
        {
            s64 result = (*run)(NIDUS_OP_SET_CR, bad[i].number, bad[i].value, 0, 0);

            expect(result == -NIDUS_EINVAL, "row %u: %lld", i, (long long)result);
        }
    }
    expect(read_cr0() == cr0 && read_cr3() == cr3 && read_cr4() == cr4, "a register has changed");
    check_copies("refused");
}

/* The library's, in a batch: the copy is there at once. */
static void test_set_cr_batch(void)
{
    struct nidus_queue *q = &queues[this_cpu()];
    u64 cr0 = read_cr0();

    nidus_batch_begin(q);
    expect_result(nidus_set_cr(q, 0, cr0 | CR0_TS), 0, "set");
    expect_equal(q->area->cr0, cr0 | CR0_TS, "the copy");
    expect_result(nidus_batch_end(q), 0, "end");
    expect_equal(read_cr0(), cr0 | CR0_TS, "CR0");
    expect_result(nidus_set_cr(q, 0, cr0), 0, "set back");
    check_copies("outside of a batch");
    expect_result(nidus_set_cr(q, 0, 0), -NIDUS_EINVAL, "a bad one");
    check_copies("a bad one");
}

/* --- translations --- */

#define SLOT 3

static void map(u64 physical)
{
    *window_entry(SLOT) = physical | PTE_P | PTE_W | PTE_PS;
}

static u64 mapped(void)
{
    return *(volatile u64 *)WINDOW(SLOT);
}

/* Two pieces of memory that say which they are. */
static void mark(void)
{
    *(volatile u64 *)TEST_FROM = 1;
    *(volatile u64 *)(TEST_FROM + MiB(2)) = 2;
}

static void test_flush_local(void)
{
    static const u64 pages[] = {0, 1, 33, ~0ull};

    mark();
    for (u32 i = 0; i < ARRAY_SIZE(pages); i++) {
        FOR_BOTH(run)
        {
            map(TEST_FROM);
            (*run)(NIDUS_OP_FLUSH_LOCAL, WINDOW(SLOT), pages[i], 0, 0);
            expect_equal(mapped(), 1, "before");
            map(TEST_FROM + MiB(2));
            expect_result((*run)(NIDUS_OP_FLUSH_LOCAL, WINDOW(SLOT), pages[i], 0, 0), 0, "result");
            expect_equal(mapped(), 2, "after");
        }
    }
    expect_result(call(NIDUS_OP_FLUSH_LOCAL, 1ull << 55, 1, 0, 0), 0, "an address that is not canonical");
}

static u32 looking, stop_looking;
static volatile u64 seen;

/* On another CPU: looks at the window all the time, without an exit. */
static void look(u32 cpu)
{
    (void)cpu;
    __atomic_store_n(&looking, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stop_looking, __ATOMIC_ACQUIRE))
        seen = mapped();
}

/* What the other CPU sees from its second look after this on. */
static u64 see_next(void)
{
    for (u32 i = 0; i < 2; i++) {
        u64 start = rdtsc();

        seen = 0;
        while (!seen && rdtsc() - start < WAIT_TICKS)
            cpu_pause();
    }
    return seen;
}

static void test_flush_tlb(void)
{
    if (!need_cpus(2))
        return;
    mark();
    map(TEST_FROM);
    looking = stop_looking = 0;
    start_on(1, look);
    wait_for(&looking, 1, WAIT_TICKS);
    for (u32 i = 0; i < 20 && !test_over(); i++) {
        u64 first = i & 1;

        map(TEST_FROM + MiB(2) * (i & 1));
        expect_result(both[i / 2 & 1](NIDUS_OP_FLUSH_TLB, first ? 1 : 3, first, WINDOW(SLOT), i % 3), 0,
                      "result");
        expect_equal(see_next(), 1 + (i & 1), "what the other CPU sees");
    }
    stop_looking = 1;
    finish(1);
}

static void test_targets(void)
{
    static const u32 ops[] = {NIDUS_OP_FLUSH_TLB, NIDUS_OP_SEND_IPI};

    for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
        FOR_BOTH(run)
        {
            expect_result((*run)(ops[i], 0, ~0ull, COUNT_VECTOR, 0), 0, "nobody");
            expect_result((*run)(ops[i], 1, nr_cpus, COUNT_VECTOR, 0), -NIDUS_ENOENT, "one behind the last");
            expect_result((*run)(ops[i], 1ull << 63, 0, COUNT_VECTOR, 0), nr_cpus > 63 ? 0 : -NIDUS_ENOENT,
                          "vCPU 63");
            expect_result((*run)(ops[i], 1, ~0ull, COUNT_VECTOR, 0), -NIDUS_ENOENT, "vCPU -1");
            expect_result((*run)(ops[i], 2, ~0ull, COUNT_VECTOR, 0), -NIDUS_ENOENT, "vCPU -1 + 1");
        }
    }
}

/* --- interrupts and time --- */

static u64 everyone(void)
{
    return (nr_cpus < 64 ? BIT(nr_cpus) : 0) - 1;
}

static void test_send_ipi(void)
{
    FOR_BOTH(run)
    {
        u32 before[MAX_CPUS] = {0};

        for (u32 i = 0; i < nr_cpus; i++)
            before[i] = __atomic_load_n(&counted[i], __ATOMIC_ACQUIRE);
        irq_enable();
        expect_result((*run)(NIDUS_OP_SEND_IPI, everyone(), 0, COUNT_VECTOR, 0), nr_cpus, "to all");
        for (u32 i = 0; i < nr_cpus; i++) {
            wait_for(&counted[i], before[i] + 1, WAIT_TICKS);
            expect(counted[i] == before[i] + 1, "CPU %u: %u interrupts", i, counted[i] - before[i]);
        }
        expect_result((*run)(NIDUS_OP_SEND_IPI, 1, nr_cpus - 1, COUNT_VECTOR, 0), 1, "to the last");
        wait_for(&counted[nr_cpus - 1], before[nr_cpus - 1] + 2, WAIT_TICKS);
        expect_equal(counted[nr_cpus - 1], before[nr_cpus - 1] + 2, "interrupts of the last");
        expect_result((*run)(NIDUS_OP_SEND_IPI, everyone(), 0, 0x400, 0), nr_cpus, "NMIs");
        irq_disable();
        for (u64 vector = 0; vector < 16; vector++)
            expect_result((*run)(NIDUS_OP_SEND_IPI, 1, 0, vector, 0), -NIDUS_EINVAL, "a vector below 16");
        for (u64 mode = 1; mode < 8; mode++) {
            if (mode != 4)
                expect_result((*run)(NIDUS_OP_SEND_IPI, 1, 0, mode << 8 | COUNT_VECTOR, 0), -NIDUS_EINVAL,
                              "a delivery mode");
        }
    }
}

static void test_set_timer(void)
{
    const struct nidus_clock *clock = &queues[this_cpu()].area->clock;
    u32 *count = &counted[this_cpu()];

    FOR_BOTH(run)
    {
        u32 before = *count;
        u64 when = nidus_clock_ns(clock) + 2 * MS;

        irq_enable();
        expect_result((*run)(NIDUS_OP_SET_TIMER, when, COUNT_VECTOR, 0, 0), 0, "set");
        wait_for(count, before + 1, WAIT_TICKS);
        expect_equal(*count, before + 1, "interrupts");
        expect(nidus_clock_ns(clock) >= when, "%lld ns early", (long long)(when - nidus_clock_ns(clock)));
        expect_result((*run)(NIDUS_OP_SET_TIMER, 1, COUNT_VECTOR, 0, 0), 0, "in the past");
        wait_for(count, before + 2, WAIT_TICKS);
        expect_result((*run)(NIDUS_OP_SET_TIMER, nidus_clock_ns(clock) + 50 * MS, COUNT_VECTOR, 0, 0), 0,
                      "set");
        expect_result((*run)(NIDUS_OP_SET_TIMER, 0, 0, 0, 0), 0, "stopped");
        for (u64 end = nidus_clock_ns(clock) + 60 * MS; nidus_clock_ns(clock) < end;)
            cpu_pause();
        irq_disable();
        expect_equal(*count, before + 2, "interrupts in all");
        expect_result((*run)(NIDUS_OP_SET_TIMER, ~0ull, COUNT_VECTOR, 0, 0), -NIDUS_ERANGE, "never");
        expect_result((*run)(NIDUS_OP_SET_TIMER, 1, 15, 0, 0), -NIDUS_EINVAL, "vector 15");
        expect_result((*run)(NIDUS_OP_SET_TIMER, 1, 256, 0, 0), -NIDUS_EINVAL, "vector 256");
    }
}

static void test_yield(void)
{
    FOR_BOTH(run)
    {
        for (u64 to = 0; to <= nr_cpus; to++) {
            s64 result = (*run)(NIDUS_OP_YIELD, to < nr_cpus ? to : NIDUS_ANY_VCPU, 0, 0, 0);

            expect(result == 0 || result == 1, "to %llu: %lld", (ull)to, (long long)result);
        }
        expect_result((*run)(NIDUS_OP_YIELD, nr_cpus, 0, 0, 0), -NIDUS_ENOENT, "to one that is not there");
        expect_result((*run)(NIDUS_OP_YIELD, 1ull << 32, 0, 0, 0), -NIDUS_ENOENT, "to 2^32");
    }
}

/* --- the clock --- */

static u64 last_ns;

static void check_time(u32 cpu)
{
    u64 ns = nidus_clock_ns(&queues[cpu].area->clock);

    expect(ns >= last_ns, "CPU %u is %llu ns behind", cpu, (ull)(last_ns - ns));
    last_ns = ns;
}

static void test_clock(void)
{
    const struct nidus_clock *clock = &queues[0].area->clock;
    u64 ns = nidus_clock_ns(clock), tsc = rdtsc(), wanted;

    expect(!(clock->version & 1) && clock->version, "version %u", clock->version);
    expect(clock->flags & 1, "the vCPUs have different clocks");
    last_ns = ns;
    for (u32 round = 0; round < 20 && !test_over(); round++) {
        for (u32 i = 0; i < nr_cpus; i++) {
            if (i)
                on_cpu(i, check_time);
            else
                check_time(0);
        }
    }
    while (rdtsc() - tsc < 5000000)
        cpu_pause();
    tsc = rdtsc() - tsc;
    ns = nidus_clock_ns(clock) - ns;
    wanted = tsc * 1000000 / info.tsc_khz;
    expect(ns > wanted - wanted / 100 && ns < wanted + wanted / 100, "%llu ns, not %llu", (ull)ns,
           (ull)wanted);
}

/* A TSC that the guest moves takes the clock along; it still shows the same time. */
static void test_clock_moves(void)
{
    const struct nidus_clock *clock = &queues[0].area->clock;
    u64 adjust = rdmsr(MSR_TSC_ADJUST), before = nidus_clock_ns(clock), after;
    u32 version = clock->version;

    wrmsr(MSR_TSC_ADJUST, adjust + 1000000000);
    after = nidus_clock_ns(clock);
    expect(after >= before && after - before < 10 * MS, "%lld ns", (long long)(after - before));
    expect(clock->version != version, "the version is the same");
    expect(nr_cpus == 1 || !(clock->flags & 1), "flags still say that all clocks are one");
    wrmsr(MSR_TSC_ADJUST, adjust);
    expect(clock->flags & 1, "flags do not say that all clocks are one again");
}

static void test_nested(void)
{
    if (!need(NIDUS_HAS_NESTED))
        return;
    expect_result(call(NIDUS_OP_NESTED, 2, 0, 0, 0), -NIDUS_EINVAL, "2");
    expect_result(call(NIDUS_OP_NESTED, 1, 0, 0, 0), -NIDUS_ENOENT, "outside of VMX operation");
    expect_result(call(NIDUS_OP_NESTED, 1, NOWHERE, 0, 0), -NIDUS_ENOENT, "nowhere");
}

const struct test operation_tests[] = {
    {"op-nop", test_nop},
    {"op-set-cr", test_set_cr},
    {"op-set-cr-bad", test_set_cr_bad},
    {"op-set-cr-batch", test_set_cr_batch},
    {"op-flush-local", test_flush_local},
    {"op-flush-tlb", test_flush_tlb},
    {"op-targets", test_targets},
    {"op-send-ipi", test_send_ipi},
    {"op-set-timer", test_set_timer},
    {"op-yield", test_yield},
    {"op-nested", test_nested},
    {"clock", test_clock},
    {"clock-moves", test_clock_moves},
    {NULL, NULL},
};
