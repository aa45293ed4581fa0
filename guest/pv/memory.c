/* SPDX-License-Identifier: MIT */
/* Operations on memory: paging-structure entries, text, memory that is given back. */
#include "guest/common/paging.h"
#include "guest/pv/tests.h"
#include "lib/string.h"

#define SLOT   4
#define PIECE  MiB(2)
#define MEMORY (TEST_FROM + MiB(4)) /* two pieces */
#define BEYOND (1ull << 45)

static void test_write_entry(void)
{
    u64 *entry = window_entry(SLOT);

    *(volatile u64 *)TEST_FROM = 1;
    *(volatile u64 *)(TEST_FROM + PIECE) = 2;
    for (u32 i = 0; i < 4; i++) {
        run_fn *run = both[i / 2];
        u64 value = (TEST_FROM + PIECE * (i & 1)) | PTE_P | PTE_W | PTE_PS;

        expect_result(run(NIDUS_OP_WRITE_ENTRY, (u64)entry, value, 0, 0), 0, "result");
        expect_equal(*entry & ~(PTE_A | PTE_D), value, "the entry");
        run(NIDUS_OP_FLUSH_LOCAL, WINDOW(SLOT), 1, 0, 0);
        expect_equal(*(volatile u64 *)WINDOW(SLOT), 1 + (i & 1), "what is mapped");
        for (u64 j = 1; j < 8; j++)
            expect_result(run(NIDUS_OP_WRITE_ENTRY, (u64)entry + j, 0, 0, 0), -NIDUS_EINVAL, "misaligned");
        expect_result(run(NIDUS_OP_WRITE_ENTRY, BEYOND, 0, 0, 0), -NIDUS_EFAULT, "beyond the RAM");
        expect_result(run(NIDUS_OP_WRITE_ENTRY, 0xfee00000, 0, 0, 0), -NIDUS_EFAULT, "the local APIC");
        expect_result(run(NIDUS_OP_WRITE_ENTRY, ~7ull, 0, 0, 0), -NIDUS_EFAULT, "the last entry of all");
    }
}

static struct nidus_write list[NIDUS_MAX_WRITES];
static u64 entries[NIDUS_MAX_WRITES];

static s64 write_list(run_fn *run, u32 n)
{
    return run(NIDUS_OP_WRITE_ENTRIES, (u64)list, n, 0, 0);
}

static void check_lists(run_fn *run)
{
    static const u32 sizes[] = {0, 1, 15, 16, 17, 511, 512};

    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
        memset(entries, 0xff, sizeof(entries));
        for (u32 j = 0; j < NIDUS_MAX_WRITES; j++)
            list[j] = (struct nidus_write){(u64)&entries[j], j};
        expect_result(write_list(run, sizes[i]), 0, "result");
        for (u32 j = 0; j < NIDUS_MAX_WRITES && !test_over(); j++)
            expect_equal(entries[j], j < sizes[i] ? j : ~0ull, "an entry");
    }
    expect_result(write_list(run, NIDUS_MAX_WRITES + 1), -NIDUS_ERANGE, "513 of them");
    memset(entries, 0xff, sizeof(entries));
    list[20].address = BEYOND;
    expect_result(write_list(run, 30), -NIDUS_EFAULT, "one that is nowhere");
    expect_equal(entries[19], 19, "the one before it");
    expect_equal(entries[21], ~0ull, "the one behind it");
    list[20].address = (u64)&entries[20] + 4;
    expect_result(write_list(run, 30), -NIDUS_EINVAL, "one that is misaligned");
    expect_result(run(NIDUS_OP_WRITE_ENTRIES, BEYOND, 1, 0, 0), -NIDUS_EFAULT, "a list that is nowhere");
    expect_result(run(NIDUS_OP_WRITE_ENTRIES, 0xfee00000, 1, 0, 0), -NIDUS_EFAULT, "a list in a device");
    expect_result(run(NIDUS_OP_WRITE_ENTRIES, (u64)list, ~0ull, 0, 0), -NIDUS_ERANGE, "2^64 - 1 of them");
}

static void test_write_entries(void)
{
    FOR_BOTH(run)
    check_lists(*run);
}

/* The lab looks for the text. */
static void test_console(void)
{
    static char text[300];

    FOR_BOTH(run)
    {
        str_copy(text, *run == call ? "pv: by a call\n" : "pv: by the queue\n", sizeof(text));
        expect_result((*run)(NIDUS_OP_CONSOLE, (u64)text, strlen(text), 0, 0), 0, "result");
        expect_result((*run)(NIDUS_OP_CONSOLE, (u64)text, 0, 0, 0), 0, "nothing");
        expect_result((*run)(NIDUS_OP_CONSOLE, (u64)text, NIDUS_MAX_TEXT + 1, 0, 0), -NIDUS_ERANGE,
                      "4097 bytes");
        expect_result((*run)(NIDUS_OP_CONSOLE, (u64)text, ~0ull, 0, 0), -NIDUS_ERANGE, "2^64 - 1 bytes");
        expect_result((*run)(NIDUS_OP_CONSOLE, BEYOND, 1, 0, 0), -NIDUS_EFAULT, "nowhere");
        expect_result((*run)(NIDUS_OP_CONSOLE, 0xfee00000, 1, 0, 0), -NIDUS_EFAULT, "a device");
    }
}

/* --- memory that is given back --- */

static u64 wanted_there;
static u32 wrong;

static void look_there(u32 cpu)
{
    (void)cpu;
    for (u64 at = MEMORY; at < MEMORY + 2 * PIECE; at += PIECE / 2)
        wrong += *(volatile u64 *)at != wanted_there;
}

static void expect_there(u64 value, const char *what)
{
    wanted_there = value;
    wrong = 0;
    for (u32 i = 1; i < nr_cpus; i++)
        on_cpu(i, look_there);
    look_there(0);
    expect(!wrong, "%s: %u of %u words are not 0x%llx", what, wrong, 4 * nr_cpus, (ull)value);
}

static void check_balloon(run_fn *run)
{
    memset((void *)MEMORY, 0x11, 2 * PIECE);
    expect_there(0x1111111111111111, "before");
    expect_result(run(NIDUS_OP_POPULATE, MEMORY, PIECE, 0, 0), -NIDUS_EEXIST, "it is there");
    expect_result(run(NIDUS_OP_RELEASE, MEMORY, 2 * PIECE, 0, 0), 0, "release");
    expect_there(~0ull, "released");
    *(volatile u64 *)MEMORY = 5;
    expect_there(~0ull, "written while it was released");
    expect(run(NIDUS_OP_RELEASE, MEMORY, PIECE, 0, 0) < 0, "released twice");
    expect_result(run(NIDUS_OP_WRITE_ENTRY, MEMORY, 1, 0, 0), -NIDUS_EFAULT, "an entry there");
    expect_result(run(NIDUS_OP_POPULATE, MEMORY + PIECE, PIECE, 0, 0), 0, "populate the second");
    expect_result(run(NIDUS_OP_POPULATE, MEMORY, 2 * PIECE, 0, 0), -NIDUS_EEXIST, "one is there");
    expect_result(run(NIDUS_OP_POPULATE, MEMORY, PIECE, 0, 0), 0, "populate the first");
    expect_there(0, "populated");
}

static void check_bad_ranges(run_fn *run)
{
    static const struct {
        u64 address, size;
        s64 result;
    } rows[] = {
        {MEMORY + PAGE_SIZE, PIECE, -NIDUS_EINVAL},
        {MEMORY, PAGE_SIZE, -NIDUS_EINVAL},
        {MEMORY, 0, -NIDUS_EINVAL},
        {0, PIECE, -NIDUS_EINVAL},
        {BEYOND, PIECE, -NIDUS_EFAULT},
        {0xfec00000, PIECE, -NIDUS_EFAULT},
        {MEMORY, GiB(64), -NIDUS_EFAULT},
        {MEMORY, -PIECE, -NIDUS_EFAULT},
        {-PIECE, PIECE, -NIDUS_EFAULT},
        {-PIECE, 2 * PIECE, -NIDUS_EFAULT},
    };

    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        for (u32 op = NIDUS_OP_POPULATE; op <= NIDUS_OP_RELEASE; op++) {
            s64 result = run(op, rows[i].address, rows[i].size, 0, 0);

            expect(result == rows[i].result, "row %u, operation %u: %lld", i, op, (long long)result);
        }
    }
}

static void test_balloon(void)
{
    if (!need(NIDUS_HAS_MEMORY))
        return;
    FOR_BOTH(run)
    {
        check_balloon(*run);
        check_bad_ranges(*run);
    }
    /* What Nidus has in its hands stays. */
    nidus_register_page(&info, MEMORY);
    expect_result(call(NIDUS_OP_RELEASE, MEMORY, PIECE, 0, 0), -NIDUS_EBUSY, "the hypercall page");
    wrmsr(info.first_msr, 0);
    expect_result(call(NIDUS_OP_RELEASE, MEMORY, PIECE, 0, 0), 0, "when it is none any more");
    expect_result(call(NIDUS_OP_POPULATE, MEMORY, PIECE, 0, 0), 0, "and back");
}

static u32 stop_using;
static volatile u64 rounds[MAX_CPUS], last[MAX_CPUS];

/* On the other CPUs: what is there is what was written, zero, or nothing. */
static void use(u32 cpu)
{
    volatile u64 *mine = (u64 *)MEMORY + 8 * cpu;

    while (!__atomic_load_n(&stop_using, __ATOMIC_ACQUIRE)) {
        u64 value = *mine;

        if (value && value != ~0ull && value != cpu)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        last[cpu] = value;
        *mine = cpu;
        rounds[cpu]++;
    }
}

/* In a round that they begin from now on. */
static void others_find_nothing(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        u64 until = rounds[i] + 2, start = rdtsc();

        while (rounds[i] < until && rdtsc() - start < WAIT_TICKS)
            cpu_pause();
        expect_equal(last[i], ~0ull, "what another CPU finds");
    }
}

/* While others have its translations at hand, and make no exits. */
static void test_balloon_in_use(void)
{
    if (!need(NIDUS_HAS_MEMORY) || !need_cpus(2))
        return;
    stop_using = wrong = 0;
    memset((void *)MEMORY, 0, PIECE);
    for (u32 i = 1; i < nr_cpus; i++)
        start_on(i, use);
    for (u32 i = 0; i < 10 && !test_over(); i++) {
        expect_result(call(NIDUS_OP_RELEASE, MEMORY, PIECE, 0, 0), 0, "release");
        others_find_nothing();
        expect_result(call(NIDUS_OP_POPULATE, MEMORY, PIECE, 0, 0), 0, "populate");
        expect_equal(*(volatile u64 *)MEMORY, 0, "new memory");
    }
    stop_using = 1;
    for (u32 i = 1; i < nr_cpus; i++)
        finish(i);
    expect_equal(wrong, 0, "foreign values");
}

static void come_and_go(u32 cpu)
{
    volatile u64 *mine = (u64 *)(MEMORY + cpu * PIECE);

    for (u32 i = 0; i < 10; i++) {
        *mine = cpu + 1;
        expect_result(call(NIDUS_OP_RELEASE, (u64)mine, PIECE, 0, 0), 0, "release");
        expect_equal(*mine, ~0ull, "released");
        expect_result(call(NIDUS_OP_POPULATE, (u64)mine, PIECE, 0, 0), 0, "populate");
        expect_equal(*mine, 0, "populated");
    }
}

/* All at once, each with a piece of its own. */
static void test_balloon_by_all(void)
{
    if (need(NIDUS_HAS_MEMORY))
        on_all(come_and_go);
}

const struct test memory_tests[] = {
    {"op-write-entry", test_write_entry},
    {"op-write-entries", test_write_entries},
    {"op-console", test_console},
    {"op-balloon", test_balloon},
    {"op-balloon-in-use", test_balloon_in_use},
    {"op-balloon-by-all", test_balloon_by_all},
    {NULL, NULL},
};
