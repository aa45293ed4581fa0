/* SPDX-License-Identifier: MIT */
/*
 * What the interface costs, in TSC ticks: the smallest of many runs, less an empty one. A batch is counted
 * from the first instruction that queues to the last that reads a result.
 */
#include "guest/pv/tests.h"

#define RUNS  50
#define CALLS 16

static struct nidus_queue *queue(void)
{
    return &queues[0];
}

/* --- one after another --- */

static u64 time_nothing(void)
{
    u64 start = rdtsc();

    return rdtsc() - start;
}

/* The loop around the calls, without them. */
static u64 time_loop(void)
{
    u64 start = rdtsc();

    for (u32 i = 0; i < CALLS; i++) {
        s64 result = NIDUS_CALL(NIDUS_OP_NOP);
        u64 b = 0, c = 0, d = 0, si = 0;

        asm volatile("" : "+a"(result), "+b"(b), "+c"(c), "+d"(d), "+S"(si) : : "memory");
    }
    return rdtsc() - start;
}

static u64 time_calls(void)
{
    u64 start = rdtsc();

    for (u32 i = 0; i < CALLS; i++)
        nidus_call(NIDUS_OP_NOP, 0, 0, 0, 0);
    return rdtsc() - start;
}

static u64 time_page_calls(void)
{
    u64 start = rdtsc();

    for (u32 i = 0; i < CALLS; i++)
        nidus_call_page(hypercall_page, NIDUS_OP_NOP, 0, 0, 0, 0);
    return rdtsc() - start;
}

/* --- a full queue of no-ops --- */

static s64 sum; /* of results, so that they are read */

static void read_results(u32 first)
{
    struct nidus_slot *slot = queue()->area->slot, *end = slot + NIDUS_SLOTS;
    s64 all = 0;

    /* All of them, in whatever order. */
    for (; slot != end; slot++)
        all |= slot->result;
    sum |= all;
    nidus_release(queue(), first, NIDUS_SLOTS);
}

/* Reserved at once. */
static u64 time_bulk(void)
{
    struct nidus_slot *slot = queue()->area->slot, *end = slot + NIDUS_SLOTS;
    u64 start = rdtsc();
    s64 first = nidus_reserve(queue(), NIDUS_SLOTS, 1);

    if (first < 0)
        return 0;
    for (; slot != end; slot++)
        nidus_publish(slot, NIDUS_OP_NOP, 0);
    sum |= nidus_flush();
    read_results((u32)first);
    return rdtsc() - start;
}

/* Each one reserved and its result read for itself. */
static u64 time_single(void)
{
    struct nidus_queue *q = queue();
    u32 first = q->area->tail;
    u64 start = rdtsc();

    for (u32 i = 0; i < NIDUS_SLOTS; i++) {
        s64 index = nidus_reserve(q, 1, 1);

        if (index < 0)
            return 0;
        nidus_publish(nidus_slot(q, (u32)index), NIDUS_OP_NOP, 0);
    }
    sum |= nidus_flush();
    for (u32 i = 0; i < NIDUS_SLOTS; i++) {
        sum |= nidus_slot(q, first + i)->result;
        nidus_release(q, first + i, 1);
    }
    return rdtsc() - start;
}

/* As a lazy guest does it, which asks for no results; with arguments. */
static u64 time_lazy(void)
{
    u64 start = rdtsc();

    nidus_batch_begin(queue());
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        sum |= nidus_do(queue(), NIDUS_OP_NOP, 0, 0, 0, 0);
    sum |= nidus_batch_end(queue());
    return rdtsc() - start;
}

/* One entry that a CPU of Nidus's sees and runs: no exit. */
static u64 time_polled(void)
{
    struct nidus_queue *q = queue();
    u64 start = rdtsc();
    s64 index = nidus_reserve(q, 1, 0);

    if (index < 0)
        return 0;
    nidus_publish(nidus_slot(q, (u32)index), NIDUS_OP_NOP, 0);
    while (!nidus_is_done(nidus_slot(q, (u32)index)))
        cpu_pause();
    return rdtsc() - start;
}

/* --- page tables --- */

/* The entries that a fork and an exec of a small program write: the child's tables, a copy of each entry with
 * both write-protected, a flush; the child gives all up, a flush, and gets new ones. */
#define UPPER   6
#define MAPPED  256
#define NEW     40
#define WRITES  (2 * (UPPER + MAPPED) + MAPPED + UPPER + NEW)
#define FLUSHES 3

static u64 parent[512] __aligned(4096), child[512] __aligned(4096);
static struct nidus_write list[NIDUS_MAX_WRITES] __aligned(4096);
static u32 nr_listed, nr_written;

typedef void write_fn(u64 *entry, u64 value);
typedef void flush_fn(void);

static void storm(write_fn *write, flush_fn *flush)
{
    nr_written = 0;
    for (u32 i = 0; i < UPPER + MAPPED; i++) {
        write(&child[i], TEST_FROM + i * PAGE_SIZE + 5);
        write(&parent[i], TEST_FROM + i * PAGE_SIZE + 5);
    }
    flush();
    for (u32 i = 0; i < MAPPED; i++)
        write(&child[UPPER + i], 0);
    flush();
    for (u32 i = 0; i < UPPER + NEW; i++)
        write(&child[i], TEST_FROM + MiB(1) + i * PAGE_SIZE + 7);
    flush();
}

static void write_call(u64 *entry, u64 value)
{
    sum |= nidus_call(NIDUS_OP_WRITE_ENTRY, (u64)entry, value, 0, 0);
}

static void flush_call(void)
{
    sum |= nidus_call(NIDUS_OP_FLUSH_LOCAL, 0, 0, 0, 0);
}

static void write_lazy(u64 *entry, u64 value)
{
    sum |= nidus_do(queue(), NIDUS_OP_WRITE_ENTRY, (u64)entry, value, 0, 0);
}

static void flush_lazy(void)
{
    sum |= nidus_do(queue(), NIDUS_OP_FLUSH_LOCAL, 0, 0, 0, 0);
}

static void write_list(u64 *entry, u64 value)
{
    if (nr_listed == NIDUS_MAX_WRITES) {
        sum |= nidus_call(NIDUS_OP_WRITE_ENTRIES, (u64)list, nr_listed, 0, 0);
        nr_listed = 0;
    }
    list[nr_listed++] = (struct nidus_write){(u64)entry, value};
}

static void flush_list(void)
{
    sum |= nidus_call(NIDUS_OP_WRITE_ENTRIES, (u64)list, nr_listed, 0, 0);
    nr_listed = 0;
    flush_call();
}

static u64 time_storm_calls(void)
{
    u64 start = rdtsc();

    storm(write_call, flush_call);
    return rdtsc() - start;
}

static u64 time_storm_queue(void)
{
    u64 start = rdtsc();

    nidus_batch_begin(queue());
    storm(write_lazy, flush_lazy);
    sum |= nidus_batch_end(queue());
    return rdtsc() - start;
}

static u64 time_storm_lists(void)
{
    u64 start = rdtsc();

    storm(write_list, flush_list);
    return rdtsc() - start;
}

/* --- all of it --- */

static u64 smallest(u64 (*fn)(void))
{
    u64 least = ~0ull;

    fn();
    for (u32 i = 0; i < RUNS; i++)
        least = MIN(least, fn());
    return least;
}

/* For each of n, with one decimal. */
static void print(const char *name, u64 ticks, u64 n)
{
    u64 tenths = (10 * ticks + n / 2) / n;

    if (sum)
        printf("bench: %s = -\n", name);
    else
        printf("bench: %s = %llu.%llu\n", name, (ull)tenths / 10, (ull)tenths % 10);
    sum = 0;
}

static void print_storms(void)
{
    print("storm_calls", smallest(time_storm_calls), WRITES + FLUSHES);
    print("storm_queue", smallest(time_storm_queue), WRITES + FLUSHES);
    print("storm_lists", smallest(time_storm_lists), WRITES + FLUSHES);
}

/* Nothing but this, so that the exits of the VM tell what it takes. */
static void repeat(u64 n)
{
    u32 index = queue()->area->tail;

    for (u64 i = 0; i < n; i++) {
        nidus_batch_begin(queue());
        for (u32 j = 0; j < NIDUS_SLOTS; j++)
            sum |= nidus_do(queue(), NIDUS_OP_NOP, 0, 0, 0, 0);
        sum |= nidus_batch_end(queue());
    }
    printf("bench: %u entries in %llu batches, results 0x%llx\n", queue()->area->head - index, (ull)n,
           (ull)sum);
}

void figures(void)
{
    u64 nothing = smallest(time_nothing), loop = smallest(time_loop);

    if (option("repeat")) {
        repeat(option_number("repeat", 100));
        return;
    }
    print("call", smallest(time_calls) - loop, CALLS);
    nidus_register_page(&info, (u64)hypercall_page);
    print("page_call", smallest(time_page_calls) - loop, CALLS);
    new_area();
    print("queue_bulk", smallest(time_bulk) - nothing, NIDUS_SLOTS);
    print("queue_single", smallest(time_single) - nothing, NIDUS_SLOTS);
    print("queue_lazy", smallest(time_lazy) - nothing, NIDUS_SLOTS);
    print_storms();
    if (queue()->area->polled)
        print("polled", smallest(time_polled) - nothing, 1);
    printf("bench: end\n");
}
