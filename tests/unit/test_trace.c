/* SPDX-License-Identifier: MIT */
/* links: vmm/trace.c vmm/trace_text.c arch/x86/vmx_names.c lib/format.c lib/text.c lib/str_copy.c */
/* libs: -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/vmx_bits.h"
#include "vmm/trace.h"

#define ROOM 8

static struct trace_event slots[ROOM];
static struct trace_ring ring;

static void begin(void)
{
    memset(slots, 0xee, sizeof(slots));
    ring = (struct trace_ring){.events = slots, .mask = ROOM - 1};
}

static void put(struct trace_ring *r, u64 first, u64 n)
{
    for (u64 i = first; i < first + n; i++) {
        struct trace_event e = {.tsc = i, .a = ~i, .b = i * 3};

        trace_put(r, &e);
    }
}

static void expect(u64 first, u64 n)
{
    struct trace_event e;

    for (u64 i = first; i < first + n; i++) {
        assert_true(trace_get(&ring, &e));
        assert_int_equal(e.tsc, i);
        assert_int_equal(e.a, ~i);
    }
    assert_false(trace_get(&ring, &e));
}

static void an_empty_ring_has_nothing(void **state)
{
    (void)state;
    begin();
    assert_int_equal(trace_rewind(&ring, 100), 0);
    expect(0, 0);
}

static void events_come_as_they_were_written(void **state)
{
    (void)state;
    begin();
    put(&ring, 0, 3);
    expect(0, 3);
    put(&ring, 3, ROOM - 1);
    expect(3, ROOM - 1);
    assert_int_equal(ring.lost, 0);
}

/* The oldest may be being overwritten: it does not count. */
static void what_is_overwritten_is_counted(void **state)
{
    (void)state;
    begin();
    put(&ring, 0, ROOM);
    expect(1, ROOM - 1);
    assert_int_equal(ring.lost, 1);
    put(&ring, ROOM, 3 * ROOM);
    expect(3 * ROOM + 1, ROOM - 1);
    assert_int_equal(ring.lost, 1 + 2 * ROOM + 1);
}

static void the_newest_are_asked_for(void **state)
{
    (void)state;
    begin();
    put(&ring, 0, 20);
    assert_int_equal(trace_rewind(&ring, 5), 5);
    expect(15, 5);
    assert_int_equal(trace_rewind(&ring, 100), ROOM - 1);
    expect(20 - ROOM + 1, ROOM - 1);
    begin();
    put(&ring, 0, 2);
    assert_int_equal(trace_rewind(&ring, 100), 2);
    expect(0, 2);
}

static void several_rings_are_read_in_the_order_of_time(void **state)
{
    static struct trace_event more[3][ROOM];
    struct trace_ring rings[3];
    struct trace_event e;
    static const u32 order[] = {0, 2, 2, 0, 0, 2};
    static const u64 times[] = {1, 2, 3, 10, 11, 12};

    (void)state;
    for (u32 i = 0; i < 3; i++)
        rings[i] = (struct trace_ring){.events = more[i], .mask = ROOM - 1};
    put(&rings[0], 1, 1);
    put(&rings[2], 2, 2);
    put(&rings[0], 10, 2);
    put(&rings[2], 12, 1);
    for (u32 i = 0; i < 3; i++)
        trace_rewind(&rings[i], ROOM);
    for (u32 i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(trace_get_first(rings, 3, &e), order[i]);
        assert_int_equal(e.tsc, times[i]);
    }
    assert_int_equal(trace_get_first(rings, 3, &e), 3);
}

#define NR_WRITTEN 400000

static u32 written_all;

static void *writer(void *arg)
{
    put(arg, 1, NR_WRITTEN);
    __atomic_store_n(&written_all, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Each event that is read is whole, and none is read twice or counted wrongly. */
static void writer_and_reader_do_not_wait(void **state)
{
    u64 last = 0, got = 0;
    struct trace_event e;
    pthread_t thread;
    bool all;

    (void)state;
    begin();
    written_all = 0;
    pthread_create(&thread, NULL, writer, &ring);
    do {
        all = __atomic_load_n(&written_all, __ATOMIC_ACQUIRE);
        while (trace_get(&ring, &e)) {
            assert_true(e.tsc > last);
            assert_int_equal(e.a, ~e.tsc);
            assert_int_equal(e.b, e.tsc * 3);
            last = e.tsc;
            got++;
        }
    } while (!all);
    pthread_join(thread, NULL);
    assert_int_equal(last, NR_WRITTEN);
    assert_int_equal(got + ring.lost, NR_WRITTEN);
}

static void filters_choose(void **state)
{
    struct trace_event e = {.kind = TRACE_EXIT, .vm = 1, .vcpu = 2, .reason = 65};
    struct trace_filter f = trace_everything;

    (void)state;
    for (u32 kind = 0; kind < TRACE_KINDS; kind++) {
        e.kind = (u8)kind & 15;
        assert_true(trace_wants(&f, &e));
        f.kinds &= ~(1u << kind);
        assert_false(trace_wants(&f, &e));
    }
    e.kind = TRACE_EXIT;
    f = trace_everything;
    f.vm = 1;
    f.vcpu = 2;
    assert_true(trace_wants(&f, &e));
    f.vm = 0;
    assert_false(trace_wants(&f, &e));
    f.vm = TRACE_ANY;
    f.vcpu = 1;
    assert_false(trace_wants(&f, &e));
    f.vcpu = TRACE_ANY;
    f.reasons[1] = BIT(1);
    f.reasons[0] = 0;
    assert_true(trace_wants(&f, &e));
    e.reason = 64;
    assert_false(trace_wants(&f, &e));
    e.reason = 1;
    assert_false(trace_wants(&f, &e));
    e.kind = TRACE_INJECT;
    assert_true(trace_wants(&f, &e));
}

static void reasons_have_names(void **state)
{
    static const struct {
        const char *text;
        int reason;
    } rows[] = {
        {"10", 10},      {"79", 79},         {"80", ERR_NOENT},       {"10x", ERR_NOENT}, {"cpuid", 10},
        {"CPUID", 10},   {"ept-v", 48},      {"EPT violation", 48},   {"i/o-i", 30},      {"i-o", 5},
        {"vmread", 23},  {"rdtsc", 16},      {"rdtscp", 51},          {"preemption", 52}, {"hlt", 12},
        {"control", 28}, {"apic-write", 56}, {"nonsense", ERR_NOENT}, {"", ERR_NOENT},    {"monitor", 39},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(trace_reason_of(rows[i].text), rows[i].reason);
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (u32 i = 0; i < TRACE_KINDS; i++)
        assert_int_equal(trace_kind_of(trace_kind_name(i)), i);
    assert_int_equal(trace_kind_of("exits"), TRACE_KINDS);
}

static void events_are_told(void **state)
{
    static const struct {
        struct trace_event e;
        const char *text;
    } rows[] = {
        {{.kind = TRACE_EXIT, .level = 1, .reason = EXIT_REASON_CPUID, .cost = 55, .a = 0x1000},
         "L1 exit: CPUID 0x0 at 0x1000, 55 ticks"},
        {{.kind = TRACE_EXIT, .level = 1, .reason = EXIT_REASON_HLT, .cost = 9, .a = 0x1000, .slow = 1},
         "L1 exit: HLT at 0x1000, 9 ticks, slow"},
        {{.kind = TRACE_EXIT,
          .level = 2,
          .reason = EXIT_REASON_WRMSR,
          .a = 1,
          .b = 0x1234000006e0,
          .reflected = 1},
         "L2 exit: WRMSR 0x6e0 <- ...00001234 at 0x1, 0 ticks, to L1"},
        {{.kind = TRACE_EXIT, .level = 1, .reason = EXIT_REASON_RDMSR, .a = 1, .b = 0x1b},
         "L1 exit: RDMSR 0x1b at 0x1, 0 ticks"},
        {{.kind = TRACE_EXIT,
          .level = 1,
          .reason = EXIT_REASON_EPT_VIOLATION,
          .a = 1,
          .b = 0x00200000fec00000},
         "L1 exit: EPT violation 0xfec00000 w at 0x1, 0 ticks"},
        {{.kind = TRACE_EXIT, .level = 1, .reason = EXIT_REASON_IO_INSTRUCTION, .a = 1, .b = 0x1103fd},
         "L1 exit: I/O instruction in 0x3fd at 0x1, 0 ticks"},
        {{.kind = TRACE_EXIT, .level = 2, .reason = EXIT_REASON_EXCEPTION_OR_NMI, .a = 1, .b = 0x80000b0e},
         "L2 exit: exception or NMI #PF 14 at 0x1, 0 ticks"},
        {{.kind = TRACE_ENTRY, .level = 2, .a = 0xffffffff81000000}, "L2 entry at 0xffffffff81000000"},
        {{.kind = TRACE_INJECT, .level = 1, .b = 0x800000ec}, "L1 gets external interrupt 236"},
        {{.kind = TRACE_INJECT, .level = 1, .b = 0x280000b0e}, "L1 gets #PF 14, error 0x2"},
        {{.kind = TRACE_INJECT, .level = 2, .b = 0x80000202}, "L2 gets NMI 2"},
        {{.kind = TRACE_NESTED, .level = 2, .a = 0x10, .b = 0x7000}, "L1 enters L2, VMCS 0x7000, at 0x10"},
        {{.kind = TRACE_NESTED, .level = 1, .reason = 12, .a = 0x20, .b = 0x7000},
         "L2 exits to L1, VMCS 0x7000: HLT; at 0x20"},
        {{.kind = TRACE_CHECK, .level = 1, .a = 5, .b = (u64) "HOST_CR0: PE must be 1"},
         "L1 entry fails at 0x5: HOST_CR0: PE must be 1"},
        {{.kind = TRACE_CHECK, .level = 1, .a = 5, .reason = 7},
         "L1 entry fails at 0x5: VM entry with invalid control field(s)"},
        {{.kind = TRACE_CHECK, .level = 1, .a = 5, .reason = 33},
         "L1 entry fails at 0x5: VM-entry failure due to invalid guest state"},
        {{.kind = TRACE_IPI, .level = 1, .b = 0x1000000fd}, "L1 IPI 0xfd to 0x1"},
        {{.kind = TRACE_PORT, .level = 1, .b = 0x61001103fd}, "L1 in 0x3fd -> 0x61"},
        {{.kind = TRACE_PORT, .level = 2, .b = 0x1234000203f8}, "L2 out 0x3f8 <- 0x1234"},
        {{.kind = TRACE_PORT, .level = 1, .b = 0x3101f0}, "L1 string in 0x1f0"},
        {{.kind = TRACE_MMIO, .level = 1, .b = 0x00100000fee00300}, "L1 device 0xfee00300 r"},
    };
    char text[160], little[10];

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        trace_text(text, sizeof(text), &rows[i].e);
        assert_string_equal(text, rows[i].text);
        trace_text(little, sizeof(little), &rows[i].e);
        assert_memory_equal(little, text, sizeof(little) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ring_has_nothing),
        cmocka_unit_test(events_come_as_they_were_written),
        cmocka_unit_test(what_is_overwritten_is_counted),
        cmocka_unit_test(the_newest_are_asked_for),
        cmocka_unit_test(several_rings_are_read_in_the_order_of_time),
        cmocka_unit_test(writer_and_reader_do_not_wait),
        cmocka_unit_test(filters_choose),
        cmocka_unit_test(reasons_have_names),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(events_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
